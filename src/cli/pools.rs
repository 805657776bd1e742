//! `postroom pools`: the pools of a running daemon.

use super::{
    failure::Failure,
    files::Files,
    lists::{ListArgs, PoolList, ShowArgs},
};
use clap::Subcommand;

#[derive(Subcommand)]
pub(super) enum PoolsCommand {
    List(ListArgs<PoolList>),
    Show(ShowArgs<PoolList>),
}

/// Runs the command. `files` are those given before it.
pub(super) fn run(command: PoolsCommand, files: Files) -> Result<(), Failure> {
    match command {
        PoolsCommand::List(args) => args.run(files),
        PoolsCommand::Show(args) => args.run(files),
    }
}
