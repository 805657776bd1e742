//! Makes text from outside safe for a terminal or a log: nothing in it moves the cursor, turns the
//! direction of reading, or is invisible.

use super::lazy_pattern::LazyPattern;
use std::{borrow::Cow, fmt::Write as _};

/// Characters that control the output or cannot be seen: controls (C0, DEL, C1), format characters
/// (marks of direction, zero widths), separators of lines and paragraphs, and other characters that
/// fonts do not draw. The variation selectors of emoji are not among them.
static HIDDEN: LazyPattern = LazyPattern::of(
    r"[[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]--[\u{FE0E}\u{FE0F}]]",
);

/// `text` with every hidden character spelled as in JSON (`\u001b`), except those in `kept`. A JSON
/// document keeps its meaning.
pub fn visible<'a>(text: &'a str, kept: &[char]) -> Cow<'a, str> {
    HIDDEN.replace_all(text, |found: &regex::Captures<'_>| {
        let mut spelled = String::new();
        for c in found[0].chars() {
            if kept.contains(&c) {
                spelled.push(c);
                continue;
            }
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a `String` does not fail.
                write!(spelled, "\\u{unit:04x}").ok();
            }
        }
        spelled
    })
}

/// The first character of `text` that cannot be seen, if there is one.
pub fn first_hidden(text: &str) -> Option<char> {
    HIDDEN.find(text)?.as_str().chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn what_steers_or_hides_is_spelled() {
        for (text, shown) in [
            ("plain, äöü, 日本語, \u{1f600}", "plain, äöü, 日本語, \u{1f600}"),
            ("\u{1b}[31m", "\\u001b[31m"),
            ("\u{9b}2J", "\\u009b2J"),
            ("\u{7f}", "\\u007f"),
            ("a\u{202e}b\u{2066}c\u{200b}d", "a\\u202eb\\u2066c\\u200bd"),
            ("\u{feff}\u{ad}\u{61c}\u{180e}\u{2060}", "\\ufeff\\u00ad\\u061c\\u180e\\u2060"),
            ("\u{2028}\u{2029}", "\\u2028\\u2029"),
            ("\u{3164}\u{34f}", "\\u3164\\u034f"),
            ("\u{e0041}", "\\udb40\\udc41"),
            ("\u{2764}\u{fe0f}", "\u{2764}\u{fe0f}"),
            ("a\nb\tc", "a\nb\\u0009c"),
        ] {
            assert_eq!(visible(text, &['\n']), shown);
            assert_eq!(first_hidden(text).is_some(), visible(text, &[]) != text, "{text}");
        }
    }

    /// Any text, with many hidden characters.
    fn texts() -> impl Strategy<Value = String> {
        let hidden = prop_oneof![
            0_u32..0x20,
            0x7f_u32..0xa0,
            0x200b_u32..0x2010,
            0x2028_u32..0x202f,
            0x2060_u32..0x2070,
            Just(0xfeff_u32),
            0xe0000_u32..0xe0080,
        ];
        let one = prop_oneof![
            any::<char>(),
            hidden.prop_map(|code| char::from_u32(code).unwrap_or(' ')),
        ];
        proptest::collection::vec(one, 0..40).prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_left(text in texts()) {
            let shown = visible(&text, &['\n']);
            let bad = |char: char| {
                (char.is_control() && char != '\n')
                    || matches!(char, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
            };
            prop_assert!(!shown.chars().any(bad), "{:?}", shown);
        }

        #[test]
        fn json_stays_the_same_json(text in texts()) {
            let document = Value::from(vec![text]);
            let spelled = serde_json::to_string_pretty(&document).unwrap();
            let shown: Value = serde_json::from_str(&visible(&spelled, &['\n'])).unwrap();
            prop_assert_eq!(shown, document);
        }
    }
}
