//! `postroom operations`: changes of many jobs or held webhooks, which a daemon works on.

use super::{
    admin::Remote,
    bulk::summary,
    failure::Failure,
    files::Files,
    http::block_on,
    lists::{IdArg, ListArgs, OperationList, ShowArgs},
    output::{self, line},
};
use clap::Subcommand;

#[derive(Subcommand)]
pub(super) enum OperationsCommand {
    List(ListArgs<OperationList>),
    Show(ShowArgs<OperationList>),
    /// Stop an operation after its portion; what is done stays done
    Stop {
        #[command(flatten)]
        operation: IdArg<OperationList>,
        #[command(flatten)]
        remote: Remote,
    },
}

/// Runs the command. `files` are those given before it.
pub(super) fn run(command: OperationsCommand, files: Files) -> Result<(), Failure> {
    match command {
        OperationsCommand::List(args) => args.run(files),
        OperationsCommand::Show(args) => args.run(files),
        OperationsCommand::Stop { operation: IdArg { id, .. }, remote } => {
            let is_json = remote.json;
            let admin = remote.connect(files)?;
            let operation = block_on(admin.post(&["operations", &id, "cancel"], &[], None))??;
            if is_json {
                return output::print_json(&operation);
            }
            output::print(&format!("operation {}: {}", line(&id), summary(&operation)))
        }
    }
}
