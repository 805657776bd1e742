//! `postroom deliveries`: the sends of drafts.

use super::{
    admin::{Admin, Remote},
    failure::Failure,
    files::Files,
    lists::{self, DeliveryList, IdsArg, ListArgs, NoteArg, ShowArgs},
    output::with_note,
};
use clap::{Args, Subcommand};
use serde_json::json;

#[derive(Subcommand)]
pub(super) enum DeliveriesCommand {
    List(ListArgs<DeliveryList>),
    Show(ShowArgs<DeliveryList>),
    /// Say what became of sends of which nobody knows the end: look at the provider first
    Resolve(ResolveArgs),
}

#[derive(Args)]
pub(super) struct ResolveArgs {
    #[command(flatten)]
    deliveries: IdsArg<DeliveryList>,
    #[command(flatten)]
    end: EndArgs,
    #[command(flatten)]
    why: NoteArg,
    #[command(flatten)]
    remote: Remote,
}

/// What became of a send.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(super) struct EndArgs {
    /// The provider has the answer
    #[arg(long)]
    sent: bool,
    /// The provider does not have it: the draft can be approved again
    #[arg(long)]
    not_sent: bool,
}

const COLUMNS: [&str; 4] = ["id", "draft_id", "status", "settled_at"];

/// Runs the command. `files` are those given before it.
pub(super) fn run(command: DeliveriesCommand, files: Files) -> Result<(), Failure> {
    match command {
        DeliveriesCommand::List(args) => args.run(files),
        DeliveriesCommand::Show(args) => args.run(files),
        DeliveriesCommand::Resolve(ResolveArgs { deliveries, end, why, remote }) => {
            let body = with_note(json!({"sent": end.sent && !end.not_sent}), why.note);
            let each = async |admin: &Admin, id: &str| {
                admin.post(&["deliveries", id, "resolve"], &[], Some(&body)).await
            };
            lists::change::<DeliveryList>(remote, files, deliveries.as_slice(), &COLUMNS, each)
        }
    }
}
