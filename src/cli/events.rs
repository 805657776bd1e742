//! `postroom events`: what changes on a running daemon, as JSON lines.

use super::{
    admin::{Admin, AdminRefusal, Remote},
    failure::Failure,
    files::Files,
    http::block_on,
    output::{self, complain},
};
use reqwest::Response;
use serde_json::{Value, json};
use std::time::Duration;

/// How long a daemon may be silent: it shows every 15 s that it lives.
const SILENT_MAX: Duration = Duration::from_secs(45);
/// The pause before a stream that has ended is opened again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// The most bytes of one update. A daemon sends less.
const UPDATE_BYTES_MAX: usize = 16 << 20;

#[derive(clap::Args)]
pub(super) struct EventsArgs {
    /// What to be told about: `totals`, `pools`, `actors`, `config`, `drafts`, `lead/ID` or
    /// `job/ID`
    #[arg(value_name = "TOPIC", default_values = ["totals", "pools", "actors", "config", "drafts"])]
    topics: Vec<String>,
    #[command(flatten)]
    remote: Remote,
}

/// Prints what changes until Ctrl-C, which ends it with success: all values first, then those that
/// change. `files` are those given before the command.
///
/// A daemon that goes away is asked again. One that does not answer the first time is a failure.
pub(super) fn run(args: EventsArgs, files: Files) -> Result<(), Failure> {
    let EventsArgs { topics, remote } = args;
    let (admin, topics) = (remote.connect(files)?, topics.join(","));
    block_on(async {
        tokio::select! {
            ended = follow(&admin, &topics) => ended,
            stopped = tokio::signal::ctrl_c() => stopped.map_err(|error| {
                Failure::Failed(format!("Ctrl-C cannot be waited for: {error}"))
            }),
        }
    })?
}

async fn follow(admin: &Admin, topics: &str) -> Result<(), Failure> {
    let query = [("topics", topics.to_owned())];
    let (mut has_answered, mut is_away) = (false, false);
    loop {
        match admin.open(&["events"], &query).await {
            Ok(answer) => {
                if is_away {
                    complain("the daemon answers again");
                }
                (has_answered, is_away) = (true, false);
                print_updates(answer).await?;
            }
            Err(refusal) if has_answered && is_passing(&refusal) => {
                if !is_away {
                    complain(&format!("{refusal}; it is asked again"));
                }
                is_away = true;
            }
            Err(refusal) => return Err(refusal.into()),
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// True if the daemon may take the same request later: it is away, stopping, or has no room.
fn is_passing(refusal: &AdminRefusal) -> bool {
    match refusal {
        AdminRefusal::Away(_) => true,
        AdminRefusal::This(refused) => matches!(refused.status, 429 | 503),
        AdminRefusal::All(_) | AdminRefusal::Token(_) => false,
    }
}

/// Prints the updates of a stream until it ends.
async fn print_updates(mut answer: Response) -> Result<(), Failure> {
    let mut reader = UpdateReader::default();
    while let Ok(Ok(Some(bytes))) = tokio::time::timeout(SILENT_MAX, answer.chunk()).await {
        let updates = reader.read(&bytes)?;
        output::print_jsonl(&updates)?;
    }
    Ok(())
}

/// Reads server-sent events from bytes that come in any pieces.
#[derive(Default)]
struct UpdateReader(Vec<u8>);

impl UpdateReader {
    /// The updates that are whole with these bytes: objects with `topic`, `id` and `values`.
    fn read(&mut self, bytes: &[u8]) -> Result<Vec<Value>, Failure> {
        self.0.extend_from_slice(bytes);
        let mut updates = Vec::new();
        let mut from = 0;
        while let Some(length) = self.0.get(from..).and_then(end_of_block) {
            let block = self.0.get(from..from + length).unwrap_or_default();
            updates.extend(update(&String::from_utf8_lossy(block)));
            from += length;
        }
        self.0.drain(..from);
        if self.0.len() > UPDATE_BYTES_MAX {
            let message = "an update has no end: is it a Postroom daemon? Name another with --url";
            return Err(Failure::Failed(message.to_owned()));
        }
        Ok(updates)
    }
}

/// The length of the first block, with the empty line behind it.
fn end_of_block(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|pair| pair == b"\n\n").map(|at| at + 2)
}

/// The update in a block; `None` for a comment and for what is meant for browsers.
fn update(block: &str) -> Option<Value> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let topic = field("event:")?;
    let data: Value = serde_json::from_str(field("data:")?).unwrap_or_default();
    let part = |name: &str| data.get(name).cloned().unwrap_or_default();
    Some(json!({"topic": topic, "id": part("id"), "values": part("values")}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_are_read_from_any_pieces() {
        let text = "retry: 3456\n\n:\n\nevent: pools\ndata: {\"id\":null,\"values\":{\"A/busy\":\"2\"}}\n\n\
            event: job/7\ndata: {\"id\":\"7\",\"values\":{\"status\":\"ü\"}}\n\nevent: resync\ndata: {}\n\n";
        let expected = [
            json!({"topic": "pools", "id": null, "values": {"A/busy": "2"}}),
            json!({"topic": "job/7", "id": "7", "values": {"status": "ü"}}),
            json!({"topic": "resync", "id": null, "values": null}),
        ];
        for size in [1, 2, 3, 7, 64, 4_096] {
            let mut reader = UpdateReader::default();
            let mut found = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                found.extend(reader.read(piece).ok().expect("updates"));
            }
            assert_eq!(found, expected, "{size}");
            assert!(reader.0.is_empty());
        }
    }

    #[test]
    fn what_never_ends_is_a_failure() {
        let mut reader = UpdateReader::default();
        let piece = vec![b'x'; UPDATE_BYTES_MAX];
        assert!(reader.read(&piece).is_ok());
        assert!(reader.read(b"x").is_err());
    }
}
