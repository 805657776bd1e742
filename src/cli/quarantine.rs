//! `postroom quarantine`: webhooks that were authentic but not understood.

use super::{
    admin::{Admin, AdminRefusal, Remote, RemoteObject},
    failure::Failure,
    files::Files,
    http::block_on,
    output::{self, complain, text},
};
use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};
use serde_json::{Value, json};

#[derive(Subcommand)]
pub(super) enum QuarantineCommand {
    /// Show the items in quarantine, the newest first
    List {
        /// In this state; several with commas
        #[arg(long, value_name = "STATUS", value_delimiter = ',', default_value = "held", value_parser = ["held", "replayed", "discarded"])]
        status: Vec<String>,
        /// Of this client; several with commas
        #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
        client: Vec<String>,
        /// The most items to show
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
        limit: u16,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show one item, with the body as it was received
    Show(RemoteObject),
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
        required_unless_present = "all",
        conflicts_with = "all",
    )]
    ids: Vec<String>,
    /// All items that are held, the oldest first
    #[arg(long)]
    all: bool,
}

const LIST_COLUMNS: [&str; 7] =
    ["id", "client_id", "channel", "event_type", "reason", "count", "received_at"];
const FIELDS: [&str; 10] = [
    "id",
    "client_id",
    "channel",
    "event_type",
    "reason",
    "status",
    "count",
    "received_at",
    "last_received_at",
    "request_id",
];
const REPLAYED_COLUMNS: [&str; 5] = ["id", "outcome", "reason", "message_id", "lead_id"];
const DISCARDED_COLUMNS: [&str; 3] = ["id", "status", "reason"];
/// Items that are read with one request.
const PAGE: &str = "500";

/// A change of items.
#[derive(Clone, Copy, PartialEq, Eq)]
enum QuarantineChange {
    Replay,
    Discard,
}

/// Runs the command. `files` are those given before it.
pub(super) fn run(command: QuarantineCommand, files: Files) -> Result<(), Failure> {
    match command {
        QuarantineCommand::List { status, client, limit, remote } => {
            let mut query = vec![("status", status.join(",")), ("limit", limit.to_string())];
            if !client.is_empty() {
                query.push(("client", client.join(",")));
            }
            let is_json = remote.json;
            let admin = remote.connect(files)?;
            let answer = block_on(admin.get(&["quarantine"], &query))??;
            if is_json {
                return output::print_json(&answer);
            }
            let rows = output::rows(admin.items(&answer)?, &LIST_COLUMNS);
            output::print(&output::table(&LIST_COLUMNS, rows))
        }
        QuarantineCommand::Show(object) => object.show(files, "quarantine", details),
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
    let (items, refused) = block_on(change_each(&admin, change, &ids))?;
    let columns: &[&str] =
        if change == QuarantineChange::Replay { &REPLAYED_COLUMNS } else { &DISCARDED_COLUMNS };
    if is_json {
        output::print_json(&json!({"items": items}))?;
    } else {
        output::print(&output::table(columns, output::rows(&items, columns)))?;
    }
    for message in &refused {
        complain(&format!("error: {message}"));
    }
    if refused.is_empty() { Ok(()) } else { Err(Failure::Told) }
}

/// The ids of all held items, the oldest first, so that messages are replayed in their order.
async fn held(admin: &Admin) -> Result<Vec<String>, Failure> {
    let mut ids = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query = vec![("status", "held".to_owned()), ("limit", PAGE.to_owned())];
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let answer = admin.get(&["quarantine"], &query).await?;
        ids.extend(admin.items(&answer)?.iter().map(|item| text(item.get("id"))));
        cursor = answer.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
        if cursor.is_none() {
            ids.reverse();
            return Ok(ids);
        }
    }
}

/// Changes items one by one. Returns the answers, and the reasons why others were refused. A
/// refusal does not prevent the change of the next item.
async fn change_each(
    admin: &Admin,
    change: QuarantineChange,
    ids: &[String],
) -> (Vec<Value>, Vec<String>) {
    let (mut items, mut refused) = (Vec::new(), Vec::new());
    for id in ids {
        let result = match change {
            QuarantineChange::Replay => admin.post(&["quarantine", id, "replay"], None).await,
            QuarantineChange::Discard => admin.delete(&["quarantine", id]).await,
        };
        match result {
            Ok(mut item) => {
                if let Some(fields) = item.as_object_mut() {
                    fields.insert("id".to_owned(), Value::from(id.as_str()));
                }
                items.push(item);
            }
            Err(AdminRefusal::This(message)) => refused.push(format!("item {id}: {message}")),
            Err(AdminRefusal::All(message)) => {
                refused.push(message);
                break;
            }
        }
    }
    (items, refused)
}

/// The fields of an item, one per line, then the body as it was received.
fn details(item: &Value) -> String {
    let width = FIELDS.iter().map(|it| it.len()).max().unwrap_or_default();
    let mut lines: Vec<String> =
        FIELDS.iter().map(|name| format!("{name:width$}  {}", text(item.get(*name)))).collect();
    lines.push(String::new());
    lines.push(output::line(item.get("payload").and_then(Value::as_str).unwrap_or_default()));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_shown_with_what_was_received() {
        let item = json!({"id": "7", "reason": "unknown_event", "payload": "{\"a\":1}"});
        let shown = details(&item);
        assert!(shown.contains("unknown_event") && shown.ends_with("{\"a\":1}"), "{shown}");
    }
}
