//! A stranger's text reaches the terminal of an operator as text, and controls nothing there.

use crate::{
    on_both_daemons,
    support::web::{ask, mail},
};
use serde_json::Value;
use std::{
    path::Path,
    process::{Command, Output},
};

/// A command without any configuration or token of its own.
pub(super) fn command(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postroom"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().to_ascii_uppercase().starts_with("POSTROOM_") {
            command.env_remove(name);
        }
    }
    command.env("NO_PROXY", "127.0.0.1").current_dir(directory).args(args);
    command
}

/// What a command printed on both of its outputs.
#[track_caller]
pub(super) fn printed(output: &Output) -> String {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8(text).expect("it is text")
}

const CONFIGS: [&str; 4] = ["--config", "harness.toml", "--config", "test.toml"];

/// ESC, BEL, DEL, two C1 controls, marks of direction, zero widths, separators, and a tag.
const HOSTILE: &str = "e\u{1b}[31m\u{7}\u{7f}\u{9b}2J\u{85}\u{202e}gnp\u{2066}\u{200b}\u{200d}\u{feff}\u{ad}\u{61c}\u{2028}\u{e0041}end";

on_both_daemons! {
    async fn what_a_stranger_writes_steers_no_terminal(place: Place) {
        let daemon = place.start("").await;
        let mut body = mail(1);
        body["event_type"] = HOSTILE.into();
        let answer = ask(daemon.webhook("instantly", "demo").json(&body)).await;
        assert_eq!(answer.outcome(), "quarantined", "{answer:?}");
        let id = answer.field("quarantine_id").to_owned();
        let directory = daemon.directory();
        let run = |args: &[&str]| {
            let output = command(directory, &[args, &CONFIGS].concat()).output().unwrap();
            let text = printed(&output);
            let hidden: Vec<char> = text
                .chars()
                .filter(|it| *it != '\n' && (it.is_control() || HOSTILE.contains(*it) && !it.is_ascii()))
                .collect();
            assert!(hidden.is_empty(), "{args:?}: {hidden:?} in {text:?}");
            text
        };
        for args in [&["quarantine", "list"][..], &["quarantine", "show", &id]] {
            let table = run(args);
            assert!(table.contains("\\u202egnp"), "{args:?}: {table}");
            let document: Value = serde_json::from_str(&run(&[args, &["--json"]].concat())).unwrap();
            let item = document["items"].get(0).unwrap_or(&document);
            assert_eq!(item["event_type"], HOSTILE, "{args:?}: the same JSON");
        }
        // Also in error messages.
        let told = run(&["quarantine", "show", "7\u{202e}\u{9b}2J"]);
        assert!(told.starts_with("error:"), "{told}");
        let sent = run(&["send", "instantly", "--client", "demo", "--json"]);
        assert!(serde_json::from_str::<Value>(&sent).is_ok(), "{sent}");
    }
}
