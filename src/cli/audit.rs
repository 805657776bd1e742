//! `postroom audit`: who changed what on a running daemon, and when.

use super::{
    failure::Failure,
    files::Files,
    lists::{AuditList, ListArgs, Look},
};
use clap::Args;

/// Without a command, the list.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct AuditArgs {
    #[command(subcommand)]
    command: Option<Look<AuditList>>,
    #[command(flatten)]
    list: ListArgs<AuditList>,
}

impl AuditArgs {
    /// Runs the command. `files` are those given before it.
    pub(super) fn run(self, files: Files) -> Result<(), Failure> {
        match self.command {
            Some(command) => command.run(files),
            None => self.list.run(files),
        }
    }
}
