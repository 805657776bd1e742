//! The output of commands: tables for people, JSON documents for machines.
//!
//! The answer goes to stdout. Everything else goes to stderr ([`complain`]).

mod layout;
mod times;

pub(super) use self::{
    layout::{TextTable, cut},
    times::{TimeArgs, Times, now, span},
};

use super::failure::Failure;
use crate::domain::visible::visible;
use anstream::{AutoStream, ColorChoice};
use serde::Serialize;
use serde_json::Value;
use std::io::{self, ErrorKind, IsTerminal, Write};

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
    print(&visible(&text.map_err(no_json)?, LINE_END))
}

/// Prints each item to stdout as a JSON document on a line of its own.
///
/// # Errors
/// See [`unwritten`].
pub(super) fn print_jsonl<'a>(items: impl IntoIterator<Item = &'a Value>) -> Result<(), Failure> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for item in items {
        let text = serde_json::to_string(item).map_err(no_json)?;
        writeln!(out, "{}", visible(&text, LINE_END)).map_err(unwritten)?;
    }
    out.flush().map_err(unwritten)
}

fn no_json(error: serde_json::Error) -> Failure {
    Failure::Failed(format!("no JSON can be made of the answer: {error}"))
}

/// Prints a table to stdout. On a terminal it is cut to the terminal's width and coloured.
///
/// # Errors
/// See [`unwritten`].
pub(super) fn print_table(table: &TextTable) -> Result<(), Failure> {
    print(&table.text(columns_of_terminal(), is_coloured()))
}

/// Prints to stderr, with a line end.
pub(super) fn complain(text: &str) {
    // If stderr is closed, nobody wants the message.
    writeln!(io::stderr(), "{}", visible(text, LINE_END)).ok();
}

/// The failure of a write to stdout. A closed pipe is none: its reader wanted only the start of the
/// output.
pub(super) fn unwritten(error: io::Error) -> Failure {
    if error.kind() == ErrorKind::BrokenPipe {
        Failure::ReaderGone
    } else {
        Failure::Failed(format!("stdout cannot be written: {error}"))
    }
}

/// True if colours are wanted on stdout: `--color`, `NO_COLOR`, `CLICOLOR_FORCE`, and otherwise
/// whether it is a terminal that has them.
pub(super) fn is_coloured() -> bool {
    AutoStream::choice(&io::stdout()) != ColorChoice::Never
}

/// Prints to stdout what steers the terminal that it is.
///
/// # Errors
/// See [`unwritten`].
pub(super) fn print_raw(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(unwritten)
}

/// True if the terminal cannot be steered.
pub(super) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|name| name == "dumb")
}

/// The width of the terminal that stdout is, in columns.
pub(super) fn columns_of_terminal() -> Option<usize> {
    size_of_terminal().map(|(columns, _)| columns)
}

/// The columns and rows of the terminal that stdout is.
pub(super) fn size_of_terminal() -> Option<(usize, usize)> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let (columns, rows) = crossterm::terminal::size().ok()?;
    // A terminal that does not know its size says 0.
    (columns > 0 && rows > 0).then_some((columns.into(), rows.into()))
}

/// A table as text, as wide as its content and without colours.
pub(super) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    TextTable::new(header, rows).text(None, false)
}

/// The rows of a table: for each item, the cells of `fields`.
pub(super) fn rows<'a>(
    items: &'a [Value],
    fields: &'a [&str],
) -> impl Iterator<Item = Vec<String>> {
    items.iter().map(move |item| fields.iter().map(|name| text(item.get(*name))).collect())
}

/// The body of a request with a note, if there is one.
pub(super) fn with_note(mut body: Value, note: Option<String>) -> Value {
    if let (Some(note), Some(fields)) = (note, body.as_object_mut()) {
        fields.insert("note".to_owned(), Value::from(note));
    }
    body
}

/// The items of a list in an answer; none if it has no such list.
pub(super) fn items<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
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

/// Text from outside on its own lines, with hidden characters spelled out.
pub(super) fn lines(text: &str) -> impl Iterator<Item = String> {
    text.lines().map(|part| visible(part.trim_end(), &[]).into_owned())
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
        assert_eq!(lines("a\u{7}\r\n\tb").collect::<Vec<_>>(), ["a\\u0007", "\\u0009b"]);
    }
}
