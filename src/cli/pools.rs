//! `postroom pools`: the pools of a running daemon.

use super::{admin::Remote, failure::Failure, files::Files, http::block_on, output};
use clap::Subcommand;

#[derive(Subcommand)]
pub(super) enum PoolsCommand {
    /// Show all pools, with what they are doing
    List(Remote),
}

const COLUMNS: [&str; 10] = [
    "kind",
    "size",
    "configured_size",
    "busy",
    "state",
    "backlog",
    "restarts",
    "resumes_at",
    "max_attempts",
    "timeout_ms",
];

/// Runs the command. `files` are those given before it.
pub(super) fn run(command: PoolsCommand, files: Files) -> Result<(), Failure> {
    let PoolsCommand::List(remote) = command;
    let is_json = remote.json;
    let admin = remote.connect(files)?;
    let answer = block_on(admin.get(&["pools"], &[]))??;
    if is_json {
        return output::print_json(&answer);
    }
    output::print(&output::table(&COLUMNS, output::rows(admin.items(&answer)?, &COLUMNS)))
}
