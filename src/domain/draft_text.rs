//! The texts of answers, within the bounds of their medium (docs/RULES.md DRAFTS).

use super::{
    LeadView, Medium,
    segments::{self, TextAlphabet},
    template,
    text::one_line,
};
use sha2::{Digest as _, Sha256};
use std::ops::RangeInclusive;

/// How many characters an answer by mail has.
pub const MAIL_CHARS: RangeInclusive<usize> = 220..=1_200;

/// The characters of the longest segment of an SMS.
const SEGMENT_CHARS: usize = 160;

/// The length of a version.
const VERSION_CHARS: usize = 16;

/// A text within the bounds of its medium.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FittedText {
    /// The whole text.
    pub body: String,
    /// The segments of a text message, which together are the body; empty on other media.
    pub parts: Vec<String>,
}

/// `text` as an answer over `medium`. A longer one is cut behind its last sentence that fits, or
/// else behind its last word. A text message is on one line.
pub fn fitted(text: &str, medium: Medium) -> FittedText {
    match medium {
        Medium::Mail => cut(text, |text| first_chars(text, *MAIL_CHARS.end())),
        Medium::Chat { chars } => cut(text, |text| first_chars(text, chars)),
        Medium::Text { parts, chars } => {
            let FittedText { body, .. } =
                cut(&one_line(text), |text| match counts_segments(chars) {
                    true => segments::within(text, parts),
                    false => first_chars(text, parts.saturating_mul(chars)),
                });
            FittedText { parts: parts_of(&body, chars), body }
        }
    }
}

/// The alphabet in which a text message is sent, over a medium whose parts have at most `chars`
/// characters; `None` if its parts are no segments.
pub fn alphabet_of(body: &str, chars: usize) -> Option<TextAlphabet> {
    counts_segments(chars).then(|| TextAlphabet::of(body))
}

/// The parts of a text message that is sent as it is, over a medium whose parts have at most
/// `chars` characters.
pub fn parts_of(body: &str, chars: usize) -> Vec<String> {
    if counts_segments(chars) {
        return segments::segments(body).into_iter().map(str::to_owned).collect();
    }
    let mut rest = body;
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let (part, after) = rest.split_at(first_chars(rest, chars.max(1)).len());
        parts.push(part.to_owned());
        rest = after;
    }
    parts
}

/// The length that an answer over `medium` may have, as a sentence for the prompt.
pub fn room(medium: Medium) -> String {
    match medium {
        Medium::Mail => format!("{} to {} characters", MAIL_CHARS.start(), MAIL_CHARS.end()),
        Medium::Chat { chars } => format!("at most {chars} characters"),
        Medium::Text { parts, chars } if counts_segments(chars) => {
            let units = |alphabet: TextAlphabet| match parts {
                1 => alphabet.single(),
                _ => parts * alphabet.each(),
            };
            let (plain, other) = (units(TextAlphabet::Gsm7), units(TextAlphabet::Ucs2));
            format!(
                "at most {plain} characters of the GSM alphabet, or {other} of any other, on one line"
            )
        }
        Medium::Text { parts, chars } => {
            format!("at most {} characters, on one line", parts.saturating_mul(chars))
        }
    }
}

/// True if the parts of a medium are the segments of an SMS. A medium with shorter parts counts
/// characters.
const fn counts_segments(chars: usize) -> bool {
    chars >= SEGMENT_CHARS
}

/// Why a text that a person wrote cannot be sent over `medium`; `None` if it can. What a person
/// wants to say in a short mail, that is no flaw.
pub fn flaw(body: &str, medium: Medium) -> Option<String> {
    let chars = body.chars().count();
    let most = match medium {
        Medium::Mail => *MAIL_CHARS.end(),
        Medium::Chat { chars } => chars,
        Medium::Text { parts, chars } => {
            let count = parts_of(body, chars).len();
            let why =
                || format!("the text has {count} parts as an SMS, and at most {parts} are sent");
            return blank(body).or_else(|| (count > parts).then(why));
        }
    };
    let why = || format!("the text has {chars} characters, and at most {most} are sent");
    blank(body).or_else(|| (chars > most).then(why))
}

/// A short text that tells whether a draft still has this subject and body: other ones have another
/// version.
pub fn version(subject: Option<&str>, body: &str) -> String {
    let mut digest = Sha256::new();
    // The length parts the two. No subject is another one than an empty subject.
    let length = subject.map_or_else(String::new, |it| it.len().to_string());
    for part in [length.as_str(), ":", subject.unwrap_or_default(), body] {
        digest.update(part);
    }
    let mut version = format!("{:x}", digest.finalize());
    version.truncate(VERSION_CHARS);
    version
}

fn blank(body: &str) -> Option<String> {
    body.trim().is_empty().then(|| "the text is blank".to_owned())
}

/// True if `body` is the template as it is filled for this lead. It is not if the template was too
/// long for the medium: a text that was cut is not what the client wrote.
pub fn is_of_template(
    body: &str,
    own: &str,
    lead: &LeadView,
    sender: Option<&str>,
    medium: Medium,
) -> bool {
    let text = template::filled(own, lead, sender);
    let text = if medium.is_text() { one_line(&text) } else { text };
    text == body && flaw(body, medium).is_none()
}

/// The beginning of `text` that `longest` says fits, up to the end of a sentence or a word.
fn cut(text: &str, longest: impl Fn(&str) -> &str) -> FittedText {
    let head = longest(text);
    let body = match text.get(head.len()..).and_then(|rest| rest.chars().next()) {
        None => text,
        Some(next) => {
            let words = if next.is_whitespace() { head.trim_end() } else { whole_words(head) };
            whole_sentences(words).unwrap_or(words)
        }
    };
    FittedText { body: body.to_owned(), parts: Vec::new() }
}

fn first_chars(text: &str, max: usize) -> &str {
    text.char_indices().nth(max).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// `head` without its last word, which is not whole. A word alone stays as it is.
fn whole_words(head: &str) -> &str {
    let last_blank = head.trim_end().rfind(char::is_whitespace);
    let words = last_blank.and_then(|blank| head.get(..blank)).map(str::trim_end);
    words.filter(|words| !words.is_empty()).unwrap_or(head)
}

/// `text` up to its last full sentence, if that is at least half of it.
fn whole_sentences(text: &str) -> Option<&str> {
    let end = text.rmatch_indices(['.', '!', '?']).map(|(at, _)| at + 1).find(|end| {
        text.get(*end..)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
    })?;
    if end * 2 < text.len() { None } else { text.get(..end) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: Medium = Medium::Text { parts: 3, chars: 160 };
    const CHAT: Medium = Medium::Chat { chars: 1_900 };

    #[test]
    fn a_long_text_ends_with_a_sentence_or_a_word() {
        let sms = fitted(&"Some words that go on. ".repeat(40), TEXT);
        assert!(sms.body.ends_with("go on."), "{}", sms.body);
        assert_eq!((sms.parts.len(), sms.parts.concat()), (3, sms.body));

        let long = fitted(&format!("See https://x.example/{} now", "a".repeat(200)), TEXT);
        assert_eq!(long.parts.iter().map(String::len).collect::<Vec<_>>(), [153, 73]);

        let lines = fitted("a line\nand another", TEXT);
        assert_eq!((lines.body.as_str(), lines.parts.len()), ("a line and another", 1));

        let chat = fitted(&"words and words ".repeat(300), CHAT);
        assert!(chat.body.chars().count() <= 1_900 && chat.body.ends_with(['d', 's']));
        let mail = fitted(&"Words\n\nand words. ".repeat(300), Medium::Mail);
        assert!(mail.body.chars().count() <= 1_200 && mail.body.ends_with("words."));
        assert_eq!(fitted(&"x".repeat(3_000), CHAT).body.len(), 1_900);
    }

    #[test]
    fn a_text_message_in_another_alphabet_has_less_room() {
        let sms = fitted(&"Добрый день. ".repeat(40), TEXT);
        assert_eq!(sms.parts.len(), 3);
        assert!(sms.parts.iter().all(|part| part.chars().count() <= 67), "{:?}", sms.parts);
        assert!(sms.body.ends_with("день."));
    }

    #[test]
    fn a_text_of_a_person_is_sent_as_it_is_or_not_at_all() {
        let rows = [
            ("Hello".to_owned(), Medium::Mail, None),
            (" \n".to_owned(), Medium::Mail, Some("the text is blank")),
            (
                "x".repeat(1_201),
                Medium::Mail,
                Some("the text has 1201 characters, and at most 1200 are sent"),
            ),
            ("x".repeat(1_900), CHAT, None),
            (
                "x".repeat(1_901),
                CHAT,
                Some("the text has 1901 characters, and at most 1900 are sent"),
            ),
            ("x".repeat(459), TEXT, None),
            ("x".repeat(460), TEXT, Some("the text has 4 parts as an SMS, and at most 3 are sent")),
            ("я".repeat(202), TEXT, Some("the text has 4 parts as an SMS, and at most 3 are sent")),
        ];
        for (body, medium, expected) in rows {
            assert_eq!(flaw(&body, medium).as_deref(), expected, "{medium:?}");
        }
    }

    #[test]
    fn another_text_has_another_version() {
        let texts = [
            (None, "a"),
            (None, "a "),
            (None, "A"),
            (Some(""), "a"),
            (Some("a"), ""),
            (Some("a"), "a"),
            (None, "1:aa"),
            (Some("1:"), "a"),
        ];
        let versions: std::collections::BTreeSet<String> =
            texts.iter().map(|(subject, body)| version(*subject, body)).collect();
        assert_eq!(versions.len(), texts.len());
        assert!(versions.iter().all(|it| it.len() == VERSION_CHARS));
        assert_eq!(version(Some("x"), "y"), version(Some("x"), "y"));
    }

    #[test]
    fn the_room_is_what_passes_without_a_flaw() {
        let least = "at most 459 characters of the GSM alphabet, or 201 of any other, on one line";
        assert_eq!(room(TEXT), least);
        assert_eq!(room(Medium::Mail), "220 to 1200 characters");
        assert_eq!(room(CHAT), "at most 1900 characters");
        for (unit, chars) in [("x", 459), ("я", 201)] {
            assert_eq!(flaw(&unit.repeat(chars), TEXT), None);
            assert!(flaw(&unit.repeat(chars + 1), TEXT).is_some());
        }
    }

    proptest! {
        #[test]
        fn a_fitted_text_has_no_flaw_and_is_a_beginning(text in "(?:\\PC{0,200}[ .!]{0,2}){0,12}") {
            for medium in [TEXT, CHAT, Medium::Mail] {
                let it = fitted(&text, medium);
                prop_assert!(it.body.trim().is_empty() || flaw(&it.body, medium).is_none());
                let whole = if medium.is_text() { one_line(&text) } else { text.clone() };
                prop_assert!(whole.starts_with(&it.body));
                let expected = if medium.is_text() { it.body.clone() } else { String::new() };
                prop_assert_eq!(it.parts.concat(), expected);
            }
        }
    }
}
