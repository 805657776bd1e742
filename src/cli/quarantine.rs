//! `postroom quarantine`: webhooks that were authentic but not understood.

use super::{
    admin::{Admin, Remote},
    completions,
    failure::Failure,
    files::Files,
    http::block_on,
    lists::{ListArgs, Listed, Pages, QuarantineList, ShowArgs, change_each, table_of},
    output::{self, Times, text},
    prompt::{confirm, typed_for},
};
use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};
use serde_json::{Value, json};

#[derive(Subcommand)]
pub(super) enum QuarantineCommand {
    List(ListArgs<QuarantineList>),
    Show(ShowArgs<QuarantineList>),
    /// Interpret items again, as if they had just come
    Replay {
        #[command(flatten)]
        selection: QuarantineSelection,
        /// Say what this version would make of the items; with --all, count those that are held and
        /// show three of them. Change nothing
        #[arg(long, conflicts_with = "yes")]
        dry_run: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Discard items: keep them, and do nothing more about them
    Discard {
        #[command(flatten)]
        selection: QuarantineSelection,
        /// Count the items that are held and show three of them; change nothing
        #[arg(long, conflicts_with_all = ["yes", "ids"])]
        dry_run: bool,
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
    /// Do not ask
    #[arg(long, conflicts_with = "ids")]
    yes: bool,
}

/// How many items are shown before all are changed.
const EXAMPLES: usize = 3;
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
            change(QuarantineChange::Try, selection, false, remote, files)
        }
        QuarantineCommand::Replay { selection, dry_run, remote } => {
            change(QuarantineChange::Replay, selection, dry_run, remote, files)
        }
        QuarantineCommand::Discard { selection, dry_run, remote } => {
            change(QuarantineChange::Discard, selection, dry_run, remote, files)
        }
    }
}

fn change(
    change: QuarantineChange,
    selection: QuarantineSelection,
    dry_run: bool,
    remote: Remote,
    files: Files,
) -> Result<(), Failure> {
    let (is_json, times) = (remote.json, remote.times());
    let admin = remote.connect(files)?;
    let ids = if selection.all {
        let items = block_on(held(&admin))??;
        if dry_run && is_json {
            let examples: Vec<&Value> = items.iter().take(EXAMPLES).collect();
            return output::print_json(&json!({"count": items.len(), "examples": examples}));
        }
        if items.is_empty() && !is_json {
            return output::print("no item is held");
        }
        if dry_run {
            return output::print(&overview(&items, &times));
        }
        if !items.is_empty() && !selection.yes {
            output::complain(&overview(&items, &times));
            let what = format!(
                "this will {} {} (--dry-run only counts)",
                change.verb(),
                counted(items.len())
            );
            confirm(&what, &typed_for(u64::try_from(items.len()).unwrap_or(u64::MAX)))?;
        }
        // The oldest first, so that messages are replayed in their order.
        items.iter().rev().map(|item| text(item.get("id"))).collect()
    } else {
        selection.ids
    };
    let each = async |id: &str| {
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
    let changes = block_on(change_each(&admin, &QuarantineList::SPEC, &ids, each))?;
    let columns: &[&str] = match change {
        QuarantineChange::Try => &TRIED_COLUMNS,
        QuarantineChange::Replay => &REPLAYED_COLUMNS,
        QuarantineChange::Discard => &DISCARDED_COLUMNS,
    };
    changes.print(columns, is_json)
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

/// All held items, the newest first.
async fn held(admin: &Admin) -> Result<Vec<Value>, Failure> {
    let mut items = Vec::new();
    let query = vec![("status", "held".to_owned())];
    let mut pages = Pages::new(admin, &QuarantineList::SPEC, query, true);
    while let Some(answer) = pages.next().await? {
        items.extend_from_slice(admin.items(&answer)?);
    }
    Ok(items)
}

/// What is held, with the newest items.
fn overview(items: &[Value], times: &Times) -> String {
    let columns = QuarantineList::SPEC.default_columns();
    let examples = items.get(..EXAMPLES).unwrap_or(items);
    let table = table_of(examples, &columns, times).text(output::columns_of_terminal(), false);
    let are = if items.len() == 1 { "is" } else { "are" };
    format!("{} {are} held, the newest of them:\n{table}", counted(items.len()))
}

fn counted(count: usize) -> String {
    format!("{count} item{}", if count == 1 { "" } else { "s" })
}
