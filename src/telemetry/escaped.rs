//! Log lines that show nothing but what they say: each event is one line, and no character in it moves the
//! cursor, turns the direction of writing, or hides.
//!
//! Strangers choose paths, names and texts, and errors quote them. So this is seen to where lines are written,
//! whatever the event's fields are made of.

use crate::domain::visible::visible;
use std::io;

/// The event with what hides or steers spelled out, except the end of the line, and `own`, which the formatter
/// writes itself and has escaped in values.
fn escaped(event: &str, own: Option<char>) -> String {
    let line = event.strip_suffix('\n').unwrap_or(event);
    let end = event.get(line.len()..).unwrap_or_default();
    visible(line, own.as_slice()).into_owned() + end
}

/// Standard error, for whole events.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    /// Whether the formatter colours lines; it escapes that sign in values itself.
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

    /// Whether a character shows something else than itself.
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
