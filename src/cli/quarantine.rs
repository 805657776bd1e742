//! `postroom quarantine`: webhooks that were authentic but not understood.

use super::{
    admin::{Admin, Remote},
    bulk::{self, BulkChange, BulkChoice},
    completions,
    failure::Failure,
    files::Files,
    lists::{self, Filters, HeldList, ListArgs, Listed as _, QuarantineList, ShowArgs},
};
use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};
use serde_json::Value;

const REPLAY_USAGE: &str = "postroom quarantine replay <ID>... [--dry-run] | --all [--client ID] [--channel CHANNEL] [--event NAME] [--reason REASON] [--dry-run | --yes]";
const DISCARD_USAGE: &str = "postroom quarantine discard <ID>... | --all [--client ID] [--channel CHANNEL] [--event NAME] [--reason REASON] [--dry-run | --yes]";

#[derive(Subcommand)]
pub(super) enum QuarantineCommand {
    List(ListArgs<QuarantineList>),
    Show(ShowArgs<QuarantineList>),
    /// Interpret items again, as if they had just come
    #[command(override_usage = REPLAY_USAGE)]
    Replay {
        #[command(flatten)]
        selection: QuarantineSelection,
        /// Say what this version would make of the items; with --all, count those that match and
        /// show three of them. Change nothing
        #[arg(long, conflicts_with_all = ["yes", "no_wait"])]
        dry_run: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Discard items: keep them, and do nothing more about them
    #[command(override_usage = DISCARD_USAGE)]
    Discard {
        #[command(flatten)]
        selection: QuarantineSelection,
        /// Count the items that match and show three of them; change nothing
        #[arg(long, conflicts_with_all = ["yes", "no_wait", "ids"])]
        dry_run: bool,
        #[command(flatten)]
        remote: Remote,
    },
}

/// The items with these ids, or all that are held and match.
#[derive(Args)]
pub(super) struct QuarantineSelection {
    /// Ids of the items
    #[arg(
        value_name = "ID",
        value_parser = NonEmptyStringValueParser::new(),
        add = completions::ids::<QuarantineList>(),
        required_unless_present = "all",
        conflicts_with_all = ["all", "client", "channel", "event", "reason"],
    )]
    ids: Vec<String>,
    /// All items that are held, or those of them that the options select, the oldest first
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filters: Filters<HeldList>,
    /// Do not ask
    #[arg(long, conflicts_with = "ids")]
    yes: bool,
    /// Print the id of the operation, and do not wait for its end
    #[arg(long, conflicts_with = "ids")]
    no_wait: bool,
}

/// The columns of the items that are shown before many are changed.
const EXAMPLE_COLUMNS: [&str; 7] =
    ["id", "client_id", "channel", "event_type", "reason", "count", "received_at"];
const REPLAYED_COLUMNS: [&str; 5] = ["id", "outcome", "reason", "message_id", "lead_id"];
const TRIED_COLUMNS: [&str; 6] = ["id", "outcome", "reason", "event_type", "signal", "body"];
const DISCARDED_COLUMNS: [&str; 3] = ["id", "status", "reason"];

/// A change of items.
#[derive(Clone, Copy, PartialEq, Eq)]
enum QuarantineChange {
    /// Nothing is changed: it only says what a replay would come to.
    Try,
    Replay,
    Discard,
}

/// Runs the command. `files` are those given before it.
pub(super) fn run(command: QuarantineCommand, files: Files) -> Result<(), Failure> {
    match command {
        QuarantineCommand::List(args) => args.run(files),
        QuarantineCommand::Show(args) => args.run(files),
        QuarantineCommand::Replay { selection, dry_run, remote } if dry_run && !selection.all => {
            change(QuarantineChange::Try, &selection, false, remote, files)
        }
        QuarantineCommand::Replay { selection, dry_run, remote } => {
            change(QuarantineChange::Replay, &selection, dry_run, remote, files)
        }
        QuarantineCommand::Discard { selection, dry_run, remote } => {
            change(QuarantineChange::Discard, &selection, dry_run, remote, files)
        }
    }
}

/// Changes the items with these ids one by one, or all that match in an operation.
fn change(
    change: QuarantineChange,
    selection: &QuarantineSelection,
    dry_run: bool,
    remote: Remote,
    files: Files,
) -> Result<(), Failure> {
    if selection.all {
        let (is_json, times) = (remote.json, remote.times());
        let mut filter = selection.filters.document();
        if let Some(fields) = filter.as_object_mut() {
            fields.insert("status".to_owned(), Value::from("held"));
        }
        let admin = remote.connect(files)?;
        let change = BulkChange {
            spec: &HeldList::SPEC,
            noun: "item",
            verb: change.verb(),
            columns: &EXAMPLE_COLUMNS,
            filter: &filter,
        };
        let QuarantineSelection { yes, no_wait, .. } = *selection;
        let choice = BulkChoice { yes, dry_run, no_wait };
        return bulk::run(&admin, &change, choice, is_json, &times);
    }
    let each = async |admin: &Admin, id: &str| {
        let mut item = match change {
            QuarantineChange::Try => {
                let query = [("dry_run", "true".to_owned())];
                admin.post(&["quarantine", id, "replay"], &query, None).await
            }
            QuarantineChange::Replay => admin.post(&["quarantine", id, "replay"], &[], None).await,
            QuarantineChange::Discard => admin.delete(&["quarantine", id], &[]).await,
        }?;
        if let Some(fields) = item.as_object_mut() {
            fields.insert("id".to_owned(), Value::from(id));
        }
        Ok(item)
    };
    let columns: &[&str] = match change {
        QuarantineChange::Try => &TRIED_COLUMNS,
        QuarantineChange::Replay => &REPLAYED_COLUMNS,
        QuarantineChange::Discard => &DISCARDED_COLUMNS,
    };
    lists::change::<QuarantineList>(remote, files, &selection.ids, columns, each)
}

impl QuarantineChange {
    const fn verb(self) -> &'static str {
        match self {
            Self::Try => "try",
            Self::Replay => "replay",
            Self::Discard => "discard",
        }
    }
}
