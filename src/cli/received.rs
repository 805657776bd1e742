//! `postroom received`: what a running daemon has received and sent, also what left no row.

use super::{
    failure::Failure,
    files::Files,
    lists::{ListArgs, Look, ReceivedList},
};
use clap::Args;

/// Without a command, the list.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct ReceivedArgs {
    #[command(subcommand)]
    command: Option<Look<ReceivedList>>,
    #[command(flatten)]
    list: ListArgs<ReceivedList>,
}

impl ReceivedArgs {
    /// Runs the command. `files` are those given before it.
    pub(super) fn run(self, files: Files) -> Result<(), Failure> {
        match self.command {
            Some(command) => command.run(files),
            None => self.list.run(files),
        }
    }
}
