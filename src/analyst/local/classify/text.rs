//! Prepares a message for the cues: lower case, plain marks, split into sentences.

use super::cue::cues;
use crate::domain::text::beginning;
use regex::Regex;

/// How many bytes of a message are read for cues. People who write more say what they want before
/// that. Opt-out words are searched in all of it.
const READ_MAX: usize = 20_000;
/// A line at least this long was broken by a mail program, not by its writer.
const WRAPPED_LINE_MIN: usize = 50;
/// How many bytes before a cue are searched for a negation.
const NEGATION_MAX: usize = 120;

/// Idioms that hold a negation or a number and mean neither, and what replaces them.
const IDIOMS: [(&str, &str); 15] = [
    ("why don't", "why do"),
    ("why not", "yes"),
    ("stop by", "come by"),
    ("don't hesitate to", "please"),
    ("do not hesitate to", "please"),
    ("if you don't mind", "please"),
    ("not a problem", "sure"),
    ("no problem", "sure"),
    ("no worries", "sure"),
    ("no rush", "sure"),
    ("can't wait to", "happy to"),
    ("cannot wait to", "happy to"),
    ("not only", "also"),
    ("24/7", "always"),
    ("p.m.", "pm"),
];

/// A message's text, as the cues read it.
#[derive(Debug, Default)]
pub(super) struct Text {
    /// Its sentences, in order.
    pub(super) sentences: Vec<Sentence>,
}

/// One sentence, without the mark at its end.
#[derive(Debug)]
pub(super) struct Sentence {
    /// Its words, with one blank between them.
    pub(super) words: String,
    /// True if it ends with a question mark.
    pub(super) is_question: bool,
}

cues! {
    /// The line behind which only names and numbers follow.
    SIGN_OFF = [
        r"^(?:(?:kind|kindest|best|warm|warmest|many|with kind|with best) regards|regards|
          best wishes|sincerely(?: yours)?|yours (?:sincerely|truly|faithfully)|all the best|
          cheers|best|sent from my \w+.*|get outlook for .*)[,.!]?$",
    ];
    NEGATION = [
        r"\b(?:no|not|never|cannot|cant|dont|wont|nor|neither|without|unable|stop|quit|avoid|
          instead of|rather than)\b",
        r"n't\b",
    ];
    CLAUSE = [
        r"[,;:()]",
        r" but ",
        r" however ",
        r" - ",
        r" and (?:then|please|just) ",
    ];
}

/// The message up to its sign-off, as it is written.
pub(super) fn before_sign_off(message: &str) -> &str {
    let mut at = 0;
    for line in message.split_inclusive('\n') {
        let before = message.get(..at).unwrap_or_default();
        if SIGN_OFF.is_match(&normalised(line)) && !before.trim().is_empty() {
            return before;
        }
        at += line.len();
    }
    message
}

impl Text {
    /// Reads a message up to its sign-off.
    pub(super) fn of(message: &str) -> Self {
        let mut text = Self::default();
        let mut paragraph = String::new();
        let mut is_open = false;
        for line in beginning(message, READ_MAX).lines() {
            let line = normalised(line);
            if SIGN_OFF.is_match(&line) && !(text.sentences.is_empty() && paragraph.is_empty()) {
                break;
            }
            if !is_open || line.is_empty() {
                text.add(&paragraph);
                paragraph.clear();
            } else {
                paragraph.push(' ');
            }
            is_open = line.len() >= WRAPPED_LINE_MIN;
            paragraph.push_str(&line);
        }
        text.add(&paragraph);
        text
    }

    /// True if there is no sentence.
    pub(super) const fn is_empty(&self) -> bool {
        self.sentences.is_empty()
    }

    /// All sentences in one line.
    pub(super) fn whole(&self) -> String {
        let words: Vec<&str> = self.sentences.iter().map(|it| it.words.as_str()).collect();
        words.join(" . ")
    }

    /// True if a sentence holds the cue's words and does not deny them.
    pub(super) fn says(&self, cue: &Regex) -> bool {
        self.sentences.iter().any(|it| it.says(cue))
    }

    /// True if a sentence holds the cue's words.
    pub(super) fn has(&self, cue: &Regex) -> bool {
        self.sentences.iter().any(|it| it.has(cue))
    }

    fn add(&mut self, paragraph: &str) {
        let mut start = 0;
        let mut chars = paragraph.char_indices().peekable();
        while let Some((at, mark)) = chars.next() {
            if !matches!(mark, '.' | '!' | '?' | ';') {
                continue;
            }
            let mut is_question = mark == '?';
            while let Some((_, more)) = chars.next_if(|(_, it)| matches!(it, '.' | '!' | '?')) {
                is_question |= more == '?';
            }
            let next = chars.peek().map(|(at, it)| (*at, *it));
            if next.is_none_or(|(_, it)| it == ' ') {
                self.push(paragraph.get(start..at), is_question);
                start = next.map_or(paragraph.len(), |(at, _)| at);
            }
        }
        self.push(paragraph.get(start..), false);
    }

    fn push(&mut self, words: Option<&str>, is_question: bool) {
        let words = words.unwrap_or_default().trim();
        if !words.is_empty() {
            self.sentences.push(Sentence { words: words.to_owned(), is_question });
        }
    }
}

impl Sentence {
    /// True if it holds the cue's words.
    pub(super) fn has(&self, cue: &Regex) -> bool {
        cue.is_match(&self.words)
    }

    /// True if it holds the cue's words and does not deny them, neither within them nor before them
    /// in their clause.
    pub(super) fn says(&self, cue: &Regex) -> bool {
        cue.find_iter(&self.words).any(|found| !is_denied(&self.words, found.start(), found.end()))
    }

    /// How many words it has.
    pub(super) fn count(&self) -> usize {
        self.words.split(' ').count()
    }
}

fn is_denied(words: &str, start: usize, end: usize) -> bool {
    let found = words.get(start..end).unwrap_or_default();
    let start = end - found.trim_start_matches(|it: char| !it.is_alphanumeric()).len();
    let from = words.floor_char_boundary(start.saturating_sub(NEGATION_MAX));
    let before = words.get(from..start).unwrap_or_default();
    let clause = CLAUSE.find_iter(before).last().map_or(0, |it| it.end());
    words.get(from + clause..end).is_some_and(|it| NEGATION.is_match(it))
}

/// A line in lower case with plain apostrophes, dashes and blanks.
pub(super) fn normalised(line: &str) -> String {
    const DROPPED: &str = "\u{200b}\u{200c}\u{200d}\u{feff}*\"“”";
    let plain = line.chars().filter(|it| !DROPPED.contains(*it));
    let plain: String = plain
        .flat_map(char::to_lowercase)
        .map(|char| match char {
            '’' | '‘' | 'ʼ' | '`' | '´' => '\'',
            '…' => '.',
            '–' | '—' => '-',
            other if other.is_whitespace() => ' ',
            other => other,
        })
        .collect();
    let mut line = plain.split(' ').filter(|it| !it.is_empty()).collect::<Vec<_>>().join(" ");
    for (idiom, meaning) in IDIOMS {
        if line.contains(idiom) {
            line = line.replace(idiom, meaning);
        }
    }
    line.replace("a.m.", "am")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(message: &str) -> Vec<(String, bool)> {
        Text::of(message).sentences.into_iter().map(|it| (it.words, it.is_question)).collect()
    }

    #[test]
    fn a_message_falls_into_sentences() {
        let it = sentences(
            "Yes 👍 what’s the price?? Call at 3 p.m. on v2.5!\nBest regards,\n+1 555 0100",
        );
        let expected = [("yes 👍 what's the price", true), ("call at 3 pm on v2.5", false)];
        assert_eq!(it, expected.map(|(words, is_question)| (words.to_owned(), is_question)));
    }

    #[test]
    fn a_wrapped_line_goes_on_and_a_short_one_does_not() {
        let it = sentences(&format!("{}\ngoes on\nnew", "word ".repeat(12)));
        assert_eq!(it.len(), 2);
    }

    #[test]
    fn a_negation_reaches_to_the_end_of_its_clause() {
        let cue = crate::analyst::local::classify::cue::compiled(&[r"\btalk\b"]);
        assert!(!Text::of("I really do not think we should talk").says(&cue));
        assert!(Text::of("I can’t do Monday, let us talk on Tuesday").says(&cue));
        assert!(Text::of("Why don't we talk?").says(&cue));
    }
}
