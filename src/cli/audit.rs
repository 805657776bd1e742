//! `postroom audit`: who changed what on a running daemon, and when.

use super::{
    failure::Failure,
    files::Files,
    lists::{AuditList, ListArgs},
};
use clap::Subcommand;

#[derive(Subcommand)]
pub(super) enum AuditCommand {
    List(ListArgs<AuditList>),
}

/// Runs the command. `files` are those given before it.
pub(super) fn run(command: AuditCommand, files: Files) -> Result<(), Failure> {
    let AuditCommand::List(args) = command;
    args.run(files)
}
