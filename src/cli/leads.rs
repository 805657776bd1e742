//! `postroom leads`: the leads of a running daemon.

use super::{
    explain::ExplainArgs,
    failure::Failure,
    files::Files,
    lists::{LeadList, ListArgs, ShowArgs},
};
use clap::Subcommand;

#[derive(Subcommand)]
pub(super) enum LeadsCommand {
    List(ListArgs<LeadList>),
    Show(ShowArgs<LeadList>),
    /// Say why leads are not answered: for each message, the step at which it stands
    Explain(ExplainArgs<LeadList>),
}

/// Runs the command. `files` are those given before it.
pub(super) fn run(command: LeadsCommand, files: Files) -> Result<(), Failure> {
    match command {
        LeadsCommand::List(args) => args.run(files),
        LeadsCommand::Show(args) => args.run(files),
        LeadsCommand::Explain(args) => args.run(files),
    }
}
