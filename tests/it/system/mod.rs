//! What an operator has around the daemon: the service manager, the files in `ops`, and commands
//! that look after a database.

mod alerts;
mod backup;
mod collector;
mod doctor;
mod metrics;
mod service_manager;

use crate::support::skipped::skip_or_fail;
use std::{
    path::Path,
    process::{Command, Output},
};

/// Prepares a command of the program, run in this directory and without a configuration of its own.
fn postroom(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postroom"));
    for (name, _) in std::env::vars_os() {
        let upper = name.to_string_lossy().to_ascii_uppercase();
        if upper.starts_with("POSTROOM__") || upper == "POSTROOM_TOKEN" {
            command.env_remove(name);
        }
    }
    command.env("NO_PROXY", "127.0.0.1").current_dir(directory).args(args);
    command
}

/// Checks how a command ended, and returns what it printed to stdout and stderr.
#[track_caller]
fn ended(code: i32, output: &Output) -> (String, String) {
    let [out, err] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    assert_eq!(output.status.code(), Some(code), "stdout: {out}\nstderr: {err}");
    (out.into_owned(), err.into_owned())
}

/// Prometheus' own checks, run in the repository. `None` where it is not installed.
#[track_caller]
fn promtool() -> Option<Command> {
    let mut promtool = Command::new("promtool");
    promtool.current_dir(env!("CARGO_MANIFEST_DIR"));
    let is_there = Command::new("promtool").arg("--version").output().is_ok();
    if !is_there {
        skip_or_fail("promtool is not installed");
    }
    is_there.then_some(promtool)
}
