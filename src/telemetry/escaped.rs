//! Makes log lines safe to show: each event is one line, and no character in it moves the cursor,
//! turns the direction of reading, or is invisible.
//!
//! Strangers choose paths, names and texts, and errors quote them. Lines are therefore escaped
//! where they are written, so that no field of an event is forgotten.

use crate::domain::visible::visible;
use std::io;

/// The event with its hidden characters spelled out. The end of the line stays, and so does `own`:
/// the formatter writes it itself, and has escaped it in values.
fn escaped(event: &str, own: Option<char>) -> String {
    let line = event.strip_suffix('\n').unwrap_or(event);
    let end = event.get(line.len()..).unwrap_or_default();
    visible(line, own.as_slice()).into_owned() + end
}

/// A writer to standard error, to which the formatter writes one event at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    /// True if the formatter colours lines. Then it escapes the escape character in values itself.
    pub(super) has_colours: bool,
}

impl io::Write for Lines {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let own = self.has_colours.then_some('\u{1b}');
        let line = String::from_utf8_lossy(event);
        io::stderr().lock().write_all(escaped(&line, own).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// True for a character that controls the output or cannot be seen.
    fn is_deceptive(char: char) -> bool {
        char.is_control()
            || matches!(
                char,
                '\u{ad}'
                    | '\u{61c}'
                    | '\u{180e}'
                    | '\u{200b}'..='\u{200f}'
                    | '\u{2028}'..='\u{202e}'
                    | '\u{2060}'..='\u{206f}'
                    | '\u{feff}'
                    | '\u{fff9}'..='\u{fffb}'
                    | '\u{e0000}'..='\u{e007f}'
            )
    }

    #[test]
    fn only_the_end_of_the_line_is_one() {
        for (event, expected) in [
            ("a line\n", "a line\n"),
            ("Grüße, 東京 🙂\n", "Grüße, 東京 🙂\n"),
            ("a\nERROR forged\n", "a\\u000aERROR forged\n"),
            ("a\r\n", "a\\u000d\n"),
            ("\u{1b}[31m\u{9b}m\u{7f}\0\t\n", "\\u001b[31m\\u009bm\\u007f\\u0000\\u0009\n"),
            ("\u{202e}\u{2066}\u{200b}\u{feff}\u{2028}\n", "\\u202e\\u2066\\u200b\\ufeff\\u2028\n"),
            ("\u{e0041}\n", "\\udb40\\udc41\n"),
            ("without an end", "without an end"),
            ("\n", "\n"),
            ("", ""),
        ] {
            assert_eq!(escaped(event, None), expected);
        }
        let coloured = "\u{1b}[2mx\u{1b}[0m \u{9b}\n";
        assert_eq!(escaped(coloured, Some('\u{1b}')), "\u{1b}[2mx\u{1b}[0m \\u009b\n");
    }

    proptest! {
        #[test]
        fn an_event_is_one_line_and_shows_itself(event in any::<String>()) {
            let line = format!("{event}\n");
            let written = escaped(&line, None);
            let text = written.strip_suffix('\n').expect("its end");
            prop_assert!(!text.contains(is_deceptive), "{text:?}");
        }

        #[test]
        fn json_stays_what_it_says(text in any::<String>()) {
            let line = serde_json::json!({ "a": text }).to_string();
            let again: serde_json::Value = serde_json::from_str(&escaped(&line, None)).expect("JSON");
            prop_assert_eq!(again, serde_json::json!({ "a": text }));
        }
    }
}
