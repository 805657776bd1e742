//! `postroom completions`: what a shell completes.
//!
//! The script that a shell loads is short: at each tab it asks this program, which knows all
//! commands and options, and asks the daemon for kinds, clients and ids.

use super::{
    admin::{Admin, Remote},
    failure::Failure,
    files::Files,
    http::block_on,
    lists::{ListSpec, Listed, Named, Pages, field},
    output::{self, text},
};
use clap::{Command, Parser};
use clap_complete::{
    aot::Shell,
    engine::{ArgValueCompleter, CompletionCandidate},
    env::{CompleteEnv, Shells},
};
use serde_json::Value;
use std::{
    env,
    ffi::{OsStr, OsString},
    path::Path,
    time::Duration,
};
use tokio::time::timeout;

/// The variable by which a shell asks for completions; its value is the name of the shell.
const VARIABLE: &str = "POSTROOM_COMPLETE";
/// How long the daemon may take: a person waits at a tab.
const DAEMON_TIMEOUT: Duration = Duration::from_millis(300);
/// The options of a command line that say which daemon to ask. `--token` is not among them: it may
/// want standard input.
const OF_DAEMON: [&str; 3] = ["--url", "--token-file", "--config"];

#[derive(clap::Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script for a shell.
pub(super) fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    let name = args.shell.to_string();
    let shells = Shells::builtins();
    let unknown = || Failure::Failed(format!("completions for {name} cannot be made"));
    let shell = shells.completer(&name).ok_or_else(unknown)?;
    let mut script = Vec::new();
    shell
        .write_registration(VARIABLE, "postroom", "postroom", "postroom", &mut script)
        .map_err(output::unwritten)?;
    output::print(String::from_utf8_lossy(&script).trim_end())
}

/// Answers a shell that asks for completions. Returns false if none does.
///
/// # Errors
/// If the shell is not known, or the answer cannot be written.
pub(super) fn answer(
    command: fn() -> Command,
    args: &[OsString],
    directory: Option<&Path>,
) -> Result<bool, Failure> {
    let answered =
        CompleteEnv::with_factory(command).var(VARIABLE).try_complete(args.to_vec(), directory);
    answered.map_err(|error| Failure::Usage(Box::new(error)))
}

/// Completes names that the daemon knows. If it does not answer in time, the kinds and channels are
/// those of this program.
pub(super) fn names(named: Named) -> ArgValueCompleter {
    ArgValueCompleter::new(move |current: &OsStr| {
        let asked = ask(async |admin| named.of(admin).await);
        let names = asked.unwrap_or_else(|| named.built_in());
        names
            .into_iter()
            .filter(|name| begins(name, current))
            .map(CompletionCandidate::new)
            .collect()
    })
}

/// Completes the ids of the newest objects of a list. The columns behind the id explain them.
pub(super) fn ids<L: Listed>() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let spec = L::SPEC;
        let items = ask(async |admin| newest(admin, &spec).await).unwrap_or_default();
        let shown = items.iter().filter_map(|item| {
            let id = item.get(spec.id)?.as_str().filter(|id| begins(id, current))?;
            let others = spec.default_columns().into_iter().filter(|it| it.name != spec.id).take(3);
            let help: Vec<String> = others.map(|it| text(field(item, it.name))).collect();
            Some(CompletionCandidate::new(id).help(Some(help.join(" ").into())))
        });
        shown.collect()
    })
}

/// Completes the columns of a list.
pub(super) fn columns<L: Listed>() -> ArgValueCompleter {
    words(|| L::SPEC.columns.iter().map(|column| column.name.to_owned()).collect())
}

/// Completes words that this program knows.
pub(super) fn words(all: fn() -> Vec<String>) -> ArgValueCompleter {
    ArgValueCompleter::new(move |current: &OsStr| {
        all()
            .into_iter()
            .filter(|word| begins(word, current))
            .map(CompletionCandidate::new)
            .collect()
    })
}

async fn newest(admin: &Admin, spec: &ListSpec) -> Option<Vec<Value>> {
    let answer = Pages::new(admin, spec, Vec::new(), false).next().await.ok()??;
    Some(admin.items(&answer).ok()?.to_vec())
}

fn begins(name: &str, current: &OsStr) -> bool {
    current.to_str().is_some_and(|current| name.starts_with(current))
}

/// Asks the daemon that the command line names; `None` if it does not answer in time.
fn ask<T>(question: impl AsyncFn(&Admin) -> Option<T>) -> Option<T> {
    let admin = of_command_line(env::args_os())?;
    block_on(async { timeout(DAEMON_TIMEOUT, question(&admin)).await.ok().flatten() }).ok()?
}

#[derive(Parser)]
struct CompletedCommand {
    #[command(flatten)]
    remote: Remote,
}

/// The daemon of a command line that is not complete.
fn of_command_line(args: impl Iterator<Item = OsString>) -> Option<Admin> {
    let parsed = CompletedCommand::try_parse_from(daemon_options(args)).ok()?;
    parsed.remote.admin(Files::default()).ok()
}

/// The options of [`OF_DAEMON`], behind the name of the program.
fn daemon_options(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut options = vec![OsString::from("postroom")];
    let mut takes_value = false;
    for arg in args {
        let name = arg.to_str().unwrap_or_default();
        let is_option = OF_DAEMON.contains(&name);
        let has_value = name.split_once('=').is_some_and(|(name, _)| OF_DAEMON.contains(&name));
        if takes_value || is_option || has_value {
            options.push(arg.clone());
        }
        takes_value = is_option && !takes_value;
    }
    if takes_value {
        // Its value is what is completed.
        options.pop();
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_of_the_daemon_are_picked_from_an_unfinished_line() {
        let picked = |line: &str| {
            let args = line.split(' ').map(OsString::from);
            let options =
                daemon_options(args).into_iter().map(|it| it.into_string().expect("text"));
            options.collect::<Vec<_>>().join(" ")
        };
        for (line, options) in [
            ("postroom jobs list --kind S", "postroom"),
            (
                "postroom --config a.toml jobs show --url=http://h:1 7",
                "postroom --config a.toml --url=http://h:1",
            ),
            ("postroom jobs list --token-file t --kind", "postroom --token-file t"),
            ("postroom jobs list --token secret --url", "postroom"),
        ] {
            assert_eq!(picked(line), options, "{line}");
        }
    }
}
