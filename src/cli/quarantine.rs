//! `postroom quarantine`: webhooks that were authentic but not understood.

use super::{
    admin::{Admin, Remote},
    completions,
    failure::Failure,
    files::Files,
    http::block_on,
    lists::{ListArgs, Listed, Pages, QuarantineList, ShowArgs, change_each},
    output::text,
};
use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};
use serde_json::Value;

#[derive(Subcommand)]
pub(super) enum QuarantineCommand {
    List(ListArgs<QuarantineList>),
    Show(ShowArgs<QuarantineList>),
    /// Interpret items again, as if they had just come
    Replay {
        #[command(flatten)]
        selection: QuarantineSelection,
        #[command(flatten)]
        remote: Remote,
    },
    /// Discard items: keep them, and do nothing more about them
    Discard {
        #[command(flatten)]
        selection: QuarantineSelection,
        #[command(flatten)]
        remote: Remote,
    },
}

/// The items with these ids, or all that are held.
#[derive(Args)]
pub(super) struct QuarantineSelection {
    /// Ids of the items
    #[arg(
        value_name = "ID",
        value_parser = NonEmptyStringValueParser::new(),
        add = completions::ids::<QuarantineList>(),
        required_unless_present = "all",
        conflicts_with = "all",
    )]
    ids: Vec<String>,
    /// All items that are held, the oldest first
    #[arg(long)]
    all: bool,
}

const REPLAYED_COLUMNS: [&str; 5] = ["id", "outcome", "reason", "message_id", "lead_id"];
const DISCARDED_COLUMNS: [&str; 3] = ["id", "status", "reason"];

/// A change of items.
#[derive(Clone, Copy, PartialEq, Eq)]
enum QuarantineChange {
    Replay,
    Discard,
}

/// Runs the command. `files` are those given before it.
pub(super) fn run(command: QuarantineCommand, files: Files) -> Result<(), Failure> {
    match command {
        QuarantineCommand::List(args) => args.run(files),
        QuarantineCommand::Show(args) => args.run(files),
        QuarantineCommand::Replay { selection, remote } => {
            change(QuarantineChange::Replay, selection, remote, files)
        }
        QuarantineCommand::Discard { selection, remote } => {
            change(QuarantineChange::Discard, selection, remote, files)
        }
    }
}

fn change(
    change: QuarantineChange,
    selection: QuarantineSelection,
    remote: Remote,
    files: Files,
) -> Result<(), Failure> {
    let is_json = remote.json;
    let admin = remote.connect(files)?;
    let ids = if selection.all { block_on(held(&admin))?? } else { selection.ids };
    let each = async |id: &str| {
        let mut item = match change {
            QuarantineChange::Replay => admin.post(&["quarantine", id, "replay"], &[], None).await,
            QuarantineChange::Discard => admin.delete(&["quarantine", id], &[]).await,
        }?;
        if let Some(fields) = item.as_object_mut() {
            fields.insert("id".to_owned(), Value::from(id));
        }
        Ok(item)
    };
    let changes = block_on(change_each(&admin, &QuarantineList::SPEC, &ids, each))?;
    let columns: &[&str] =
        if change == QuarantineChange::Replay { &REPLAYED_COLUMNS } else { &DISCARDED_COLUMNS };
    changes.print(columns, is_json)
}

/// The ids of all held items, the oldest first, so that messages are replayed in their order.
async fn held(admin: &Admin) -> Result<Vec<String>, Failure> {
    let mut ids = Vec::new();
    let query = vec![("status", "held".to_owned())];
    let mut pages = Pages::new(admin, &QuarantineList::SPEC, query, true);
    while let Some(answer) = pages.next().await? {
        ids.extend(admin.items(&answer)?.iter().map(|item| text(item.get("id"))));
    }
    ids.reverse();
    Ok(ids)
}
