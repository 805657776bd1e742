//! `postroom deliveries`: the sends of drafts.

use super::{
    admin::Remote,
    completions,
    failure::Failure,
    files::Files,
    http::block_on,
    lists::{DeliveryList, ListArgs, Listed, ShowArgs, change_each},
};
use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};
use serde_json::{Map, Value};

#[derive(Subcommand)]
pub(super) enum DeliveriesCommand {
    List(ListArgs<DeliveryList>),
    Show(ShowArgs<DeliveryList>),
    /// Say what became of sends of which nobody knows the end: look at the provider first
    Resolve(ResolveArgs),
}

#[derive(Args)]
pub(super) struct ResolveArgs {
    /// Ids of uncertain deliveries
    #[arg(
        value_name = "ID",
        required = true,
        value_parser = NonEmptyStringValueParser::new(),
        add = completions::ids::<DeliveryList>(),
    )]
    ids: Vec<String>,
    #[command(flatten)]
    end: EndArgs,
    /// Why, for those who find it later
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    note: Option<String>,
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
        DeliveriesCommand::Resolve(args) => {
            let ResolveArgs { ids, end, note, remote } = args;
            let is_json = remote.json;
            let admin = remote.connect(files)?;
            let mut body = Map::new();
            body.insert("sent".to_owned(), Value::from(end.sent && !end.not_sent));
            body.extend(note.map(|note| ("note".to_owned(), Value::from(note))));
            let body = Value::Object(body);
            let each =
                async |id: &str| admin.post(&["deliveries", id, "resolve"], &[], Some(&body)).await;
            block_on(change_each(&admin, &DeliveryList::SPEC, &ids, each))?.print(&COLUMNS, is_json)
        }
    }
}
