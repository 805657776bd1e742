//! `postroom calls`: the requests to a model's server.

use super::{
    failure::Failure,
    files::Files,
    lists::{ListArgs, ModelCallList},
};
use clap::Subcommand;

#[derive(Subcommand)]
pub(super) enum ModelCallsCommand {
    List(ListArgs<ModelCallList>),
}

/// Runs the command. `files` are those given before it.
pub(super) fn run(command: ModelCallsCommand, files: Files) -> Result<(), Failure> {
    let ModelCallsCommand::List(args) = command;
    args.run(files)
}
