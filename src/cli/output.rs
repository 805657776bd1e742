//! The output of commands: tables for people, JSON documents for machines.

use super::failure::Failure;
use crate::domain::visible::visible;
use comfy_table::{Cell, Color, Table, presets};
use serde::Serialize;
use serde_json::Value;
use std::io::{self, ErrorKind, IsTerminal, Write};

/// Blanks between two columns of a table.
const COLUMN_GAP: u16 = 2;
/// The cell for a value that does not exist.
pub(super) const NONE: &str = "-";
/// The only control character that is printed unchanged: it ends the lines of our own texts.
pub(super) const LINE_END: &[char] = &['\n'];

/// Prints to stdout, with a line end.
///
/// # Errors
/// See [`unwritten`].
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n"));
    written.and_then(|()| out.flush()).map_err(unwritten)
}

/// Prints a JSON document to stdout: indented on a terminal, otherwise on one line. Hidden
/// characters are spelled as escapes of JSON, so the document keeps its meaning.
///
/// # Errors
/// See [`unwritten`].
pub(super) fn print_json(document: &impl Serialize) -> Result<(), Failure> {
    let text = if io::stdout().is_terminal() {
        serde_json::to_string_pretty(document)
    } else {
        serde_json::to_string(document)
    };
    let text = text
        .map_err(|error| Failure::Failed(format!("no JSON can be made of the answer: {error}")))?;
    print(&visible(&text, LINE_END))
}

/// Prints to stderr, with a line end.
pub(super) fn complain(text: &str) {
    // If stderr is closed, nobody wants the message.
    writeln!(io::stderr(), "{}", visible(text, LINE_END)).ok();
}

/// The failure of a write to stdout. A closed pipe is not reported: its reader wanted only the
/// start of the output.
pub(super) fn unwritten(error: io::Error) -> Failure {
    if error.kind() == ErrorKind::BrokenPipe {
        Failure::Told
    } else {
        Failure::Failed(format!("stdout cannot be written: {error}"))
    }
}

/// A table without rules, as wide as its content: no cell is wrapped, so it is easy to cut and to
/// search.
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

/// Colours the states that need attention. Colours are printed on a terminal only.
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

/// The rows of a table: for each item, the cells of `fields`.
pub(super) fn rows<'a>(
    items: &'a [Value],
    fields: &'a [&str],
) -> impl Iterator<Item = Vec<String>> {
    items.iter().map(move |item| fields.iter().map(|name| text(item.get(*name))).collect())
}

/// A JSON value as a cell: text without quotes, lists with commas, and [`NONE`] for an empty, null
/// or missing value.
pub(super) fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => NONE.to_owned(),
        Some(Value::String(text)) if text.is_empty() => NONE.to_owned(),
        Some(Value::String(text)) => line(text),
        Some(Value::Array(list)) if list.is_empty() => NONE.to_owned(),
        Some(Value::Array(list)) => {
            list.iter().map(|item| text(Some(item))).collect::<Vec<_>>().join(",")
        }
        Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Object(_))) => {
            line(&other.to_string())
        }
    }
}

/// Text from outside on one line, with hidden characters spelled out.
pub(super) fn line(text: &str) -> String {
    let blank = |char: char| if matches!(char, '\t' | '\n' | '\r') { ' ' } else { char };
    let line: String = text.trim().chars().map(blank).collect();
    visible(&line, &[]).into_owned()
}

/// At most `chars_max` characters of `text`, with an ellipsis for the rest.
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
        let texts: Vec<String> = values.iter().map(|value| text(Some(value))).collect();
        assert_eq!(texts, ["-", "-", "-", "1,2", "true", "3"]);
        assert_eq!(text(None), "-");
    }

    #[test]
    fn long_text_is_shortened() {
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äö üß", 4), "äö…");
    }
}
