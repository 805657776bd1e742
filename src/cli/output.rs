//! What is printed: tables for people, one JSON document for machines.

use super::failure::Failure;
use crate::domain::visible::visible;
use comfy_table::{Cell, Color, Table, presets};
use serde::Serialize;
use serde_json::Value;
use std::io::{self, ErrorKind, IsTerminal, Write};

/// Between two columns of a table.
const COLUMN_GAP: u16 = 2;
/// What stands for a value that is not there.
pub(super) const NONE: &str = "-";
/// What lays out a text of several lines, and comes from here.
pub(super) const LINE_END: &[char] = &['\n'];

/// Prints to stdout, with a line end.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n"));
    written.and_then(|()| out.flush()).map_err(unwritten)
}

/// Prints a document to stdout: laid out where a person reads, on one line where a program does. What would steer a
/// terminal is spelled out, which is the same JSON.
pub(super) fn print_json(document: &impl Serialize) -> Result<(), Failure> {
    let text = if io::stdout().is_terminal() {
        serde_json::to_string_pretty(document)
    } else {
        serde_json::to_string(document)
    };
    let text =
        text.map_err(|it| Failure::Failed(format!("no JSON can be made of the answer: {it}")))?;
    print(&visible(&text, LINE_END))
}

/// Prints to stderr, with a line end.
pub(super) fn complain(text: &str) {
    // Who has closed stderr does not want to hear it.
    writeln!(io::stderr(), "{}", visible(text, LINE_END)).ok();
}

/// What to do when stdout takes no more: who reads only the start of a list wants no complaint.
pub(super) fn unwritten(error: io::Error) -> Failure {
    if error.kind() == ErrorKind::BrokenPipe {
        Failure::Told
    } else {
        Failure::Failed(format!("stdout cannot be written: {error}"))
    }
}

/// A table without lines, as wide as its content: what a terminal would wrap stays easy to cut and to search.
pub(super) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for row in rows {
        let cells = header.iter().zip(row);
        table.add_row(cells.map(|(name, text)| colored(name, text)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, COLUMN_GAP));
    }
    table.trim_fmt()
}

/// Colors the states that somebody should look at. They show on a terminal only.
fn colored(column: &str, text: String) -> Cell {
    let color = match (column, text.as_str()) {
        ("status" | "state", "failed" | "backing_off") => Some(Color::Red),
        ("status" | "state", "cancelled" | "paused") | ("outcome", "quarantined") => {
            Some(Color::Yellow)
        }
        _ => None,
    };
    let cell = Cell::new(text);
    match color {
        Some(color) => cell.fg(color),
        None => cell,
    }
}

/// The rows of a table of objects: for each, the named fields.
pub(super) fn rows<'a>(
    items: &'a [Value],
    fields: &'a [&str],
) -> impl Iterator<Item = Vec<String>> {
    items.iter().map(move |item| fields.iter().map(|name| text(item.get(*name))).collect())
}

/// A JSON value as a cell: text without quotes, [`NONE`] for what is null or absent, lists with commas.
pub(super) fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => NONE.to_owned(),
        Some(Value::String(text)) if text.is_empty() => NONE.to_owned(),
        Some(Value::String(text)) => line(text),
        Some(Value::Array(list)) if list.is_empty() => NONE.to_owned(),
        Some(Value::Array(list)) => {
            list.iter().map(|it| text(Some(it))).collect::<Vec<_>>().join(",")
        }
        Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Object(_))) => {
            line(&other.to_string())
        }
    }
}

/// Text from outside on one line, with what would steer a terminal spelled out.
pub(super) fn line(text: &str) -> String {
    let blank = |it: char| if matches!(it, '\t' | '\n' | '\r') { ' ' } else { it };
    let line: String = text.trim().chars().map(blank).collect();
    visible(&line, &[]).into_owned()
}

/// At most `chars_max` of it, with an ellipsis for the rest.
pub(super) fn shortened(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let head: String = text.chars().take(chars_max.saturating_sub(1)).collect();
    format!("{}…", head.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_is_as_wide_as_its_content_and_has_no_trailing_blanks() {
        let items = [
            json!({"kind": "SELF_CHECK", "size": 8, "resumes_at": null}),
            json!({"kind": "LEAD_SCORING_POST_PROCESS", "size": 16, "resumes_at": "2026-01-18T14:03:11.120Z"}),
        ];
        let fields = ["kind", "size", "resumes_at"];
        assert_eq!(
            table(&fields, rows(&items, &fields)),
            "kind                       size  resumes_at\n\
             SELF_CHECK                 8     -\n\
             LEAD_SCORING_POST_PROCESS  16    2026-01-18T14:03:11.120Z"
        );
    }

    #[test]
    fn nothing_from_outside_steers_the_terminal() {
        assert_eq!(text(Some(&json!("a\u{1b}[31mb\nc"))), "a\\u001b[31mb c");
        let values = [json!(null), json!(""), json!([]), json!(["1", "2"]), json!(true), json!(3)];
        let texts: Vec<String> = values.iter().map(|it| text(Some(it))).collect();
        assert_eq!(texts, ["-", "-", "-", "1,2", "true", "3"]);
        assert_eq!(text(None), "-");
    }

    #[test]
    fn long_text_is_shortened() {
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äö üß", 4), "äö…");
    }
}
