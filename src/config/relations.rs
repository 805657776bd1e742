//! Relations between keys that must hold. An error names both keys, with their values and places.

use super::{
    Config,
    error::Errors,
    layers::{Origin, Table, TreeNode},
};
use bytesize::ByteSize;
use humantime::format_duration;

/// One of the two keys of a relation.
struct Side<'a> {
    key: &'static str,
    /// The value as an error shows it.
    value: String,
    origin: Option<&'a Origin>,
}

impl Side<'_> {
    fn shown(&self) -> String {
        let at = self.origin.map(|place| format!(", {place}")).unwrap_or_default();
        format!("`{}` ({}{at})", self.key, self.value)
    }
}

/// Notes every relation that does not hold.
pub(super) fn check(config: &Config, table: &Table, errors: &Errors) {
    let side = |key, value: String| Side { key, value, origin: origin_of(table, key) };
    let must = |holds: bool, left: Side<'_>, words: &str, right: Side<'_>| {
        let is_readable = !errors.has(left.key) && !errors.has(right.key);
        if !holds && is_readable {
            // The error is reported at the first side that is not a default.
            let is_written =
                |side: &&Side<'_>| side.origin.is_some_and(|origin| !origin.is_default);
            let at = [&left, &right].into_iter().find(is_written).unwrap_or(&left);
            let message = format!("{} {words} {}", left.shown(), right.shown());
            errors.push(at.origin, at.key, message);
        }
    };
    let Config { server, ingest, supervisor, .. } = config;
    must(
        supervisor.lease > 3 * supervisor.heartbeat,
        side("supervisor.lease", format_duration(supervisor.lease).to_string()),
        "must exceed 3 ×",
        side("supervisor.heartbeat", format_duration(supervisor.heartbeat).to_string()),
    );
    must(
        ingest.batch_bytes <= ingest.queue_bytes,
        side("ingest.batch_bytes", ByteSize::b(ingest.batch_bytes).to_string()),
        "must not exceed",
        side("ingest.queue_bytes", ByteSize::b(ingest.queue_bytes).to_string()),
    );
    must(
        server.body_limit <= ingest.queue_bytes,
        side("server.body_limit", ByteSize::b(server.body_limit).to_string()),
        "must not exceed",
        side("ingest.queue_bytes", ByteSize::b(ingest.queue_bytes).to_string()),
    );
    must(
        !config.database.url.is_sqlite() || ingest.commit_lanes <= 1,
        side("ingest.commit_lanes", ingest.commit_lanes.to_string()),
        "must be 1, since SQLite has one writer, with",
        side("database.url", config.database.url.to_string()),
    );
}

/// The place where the dotted `key` was written.
fn origin_of<'a>(table: &'a Table, key: &str) -> Option<&'a Origin> {
    let (section, key) = key.split_once('.')?;
    table.get(section).and_then(TreeNode::as_table)?.get(key).map(|it| &it.origin)
}
