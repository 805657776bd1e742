//! `postroom config history`: the loads of a running daemon.

use crate::cli::{
    admin::Remote,
    failure::Failure,
    files::Files,
    http::block_on,
    output::{self, Times},
};
use serde_json::Value;

/// Runs the command. `files` are those given before it.
pub(super) fn run(remote: Remote, files: Files) -> Result<(), Failure> {
    let (is_json, times) = (remote.json, remote.times());
    let admin = remote.connect(files)?;
    let answer = block_on(admin.get(&["config", "loads"], &[]))??;
    if is_json {
        return output::print_json(&answer);
    }
    output::print(&told(&answer, &times))
}

/// The loads for people: a line for each, and below it what it has changed or why it was refused.
fn told(answer: &Value, times: &Times) -> String {
    let since = times.cell("at", answer.get("since"));
    let loads = output::items(answer, "items");
    if loads.is_empty() {
        return format!("no load since {since}, the start of the node, said something new");
    }
    let mut lines = vec![format!("loads since {since}, the start of the node, newest first")];
    for load in loads {
        let at = times.cell("at", load.get("at"));
        let [outcome, by, trigger, hash] =
            ["outcome", "by", "trigger", "hash"].map(|name| output::text(load.get(name)));
        lines.push(format!("\n{at}  {outcome}  by {by} ({trigger})  {hash}"));
        lines.extend(output::items(load, "changed").iter().map(changed));
        lines.extend(more(load, "more_changed", "keys"));
        lines.extend(output::items(load, "errors").iter().map(refusal));
        lines.extend(more(load, "more_errors", "errors"));
    }
    lines.join("\n")
}

fn changed(change: &Value) -> String {
    let [key, old, new, applies, origin] =
        ["key", "old", "new", "applies", "origin"].map(|name| output::text(change.get(name)));
    format!("  {key}: {old} → {new} ({applies}, {origin})")
}

fn refusal(error: &Value) -> String {
    let message = output::text(error.get("message"));
    match error.get("origin").and_then(Value::as_str) {
        Some(origin) => format!("  {}: {message}", output::line(origin)),
        None => format!("  {message}"),
    }
}

/// How many more there are, if there are more.
fn more(load: &Value, field: &str, what: &str) -> Option<String> {
    let count = load.get(field).and_then(Value::as_u64).filter(|it| *it > 0)?;
    Some(format!("  and {count} more {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_load_is_a_line_and_what_it_did_stands_below() {
        let applied = json!({"id": "1", "at": "2026-01-18T14:03:11.120Z", "outcome": "applied",
            "trigger": "page", "by": "dana", "hash": "0123456789ab", "more_changed": 2, "errors": [],
            "more_errors": 0, "changed": [{"key": "pools.default.size", "old": "8", "new": "16",
            "applies": "live", "origin": "a.toml:7"}]});
        let refused = json!({"id": "2", "at": "2026-01-18T14:04:11.120Z", "outcome": "refused",
            "trigger": "file", "by": "file", "hash": "0123456789ab", "changed": [], "more_changed": 0,
            "errors": [{"origin": "a.toml:7", "message": "`x` is wrong"},
            {"origin": null, "message": "`y` is wrong"}], "more_errors": 1});
        let since = "2026-01-18T14:00:00.000Z";
        let answer = json!({"items": [refused, applied], "next_cursor": null, "since": since});
        assert_eq!(
            told(&answer, &Times::utc()),
            "loads since 2026-01-18 14:00:00 UTC, the start of the node, newest first\n\n\
             2026-01-18 14:04:11 UTC  refused  by file (file)  0123456789ab\n  \
               a.toml:7: `x` is wrong\n  \
               `y` is wrong\n  \
               and 1 more errors\n\n\
             2026-01-18 14:03:11 UTC  applied  by dana (page)  0123456789ab\n  \
               pools.default.size: 8 → 16 (live, a.toml:7)\n  \
               and 2 more keys"
        );
        let none = json!({"items": [], "next_cursor": null, "since": since});
        let text = told(&none, &Times::utc());
        assert!(text.starts_with("no load since 2026-01-18 14:00:00 UTC"), "{text}");
    }
}
