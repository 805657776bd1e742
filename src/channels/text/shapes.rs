//! Quotes by their shape, in languages that nobody has listed (docs/RULES.md TEXT).

use crate::domain::lazy_pattern::LazyPattern;
use regex::Regex;
use std::sync::LazyLock;

/// The most bytes of a line by which a mail program introduces a quote.
const LINE_BYTES_MAX: usize = 400;
/// The most lines over which such a line may be broken.
const INTRODUCTION_LINES: usize = 4;
/// The most bytes of a header's label. It has at most `LABEL_WORDS` words.
const LABEL_BYTES: usize = 48;
const LABEL_WORDS: usize = 3;
/// The fewest headers that make a block of headers in any language.
const HEADERS_MIN: usize = 3;
/// The most headers that a block has.
const HEADERS_MAX: usize = 12;

struct Shapes {
    /// `Sam <sam@x.example>`, `Sam [mailto:sam@x.example]`, `Sam (sam@x.example)`.
    named: LazyPattern,
    address: LazyPattern,
    year: LazyPattern,
    time: LazyPattern,
    date: LazyPattern,
    /// A phone number or a web address, which a visiting card has and a header never has.
    card: LazyPattern,
    card_label: LazyPattern,
}

static SHAPES: LazyLock<Shapes> = LazyLock::new(|| Shapes {
    named: LazyPattern::new(
        r"[<(\[]\s?(?:<|mailto:)?[^\s<>()\[\]@]{1,64}@[^\s<>()\[\]@]{1,190}[>)\]]",
    ),
    address: LazyPattern::new(r"[^\s<>()\[\]@:]{1,64}@[^\s<>()\[\]@]{1,190}\.[^\s<>()\[\]@]{1,20}"),
    year: LazyPattern::new(r"(?-u:\b)(?:19|20|25|14)[0-9]{2}(?-u:\b)|(?:[٠-٩]|[۰-۹]){4}"),
    time: LazyPattern::new(r"(?-u:\b)[0-9]{1,2}(?:[:.h時点시] ?)[0-9]{2}(?-u:\b)"),
    date: LazyPattern::new(r"(?-u:\b)[0-9]{1,4}[./-] ?[0-9]{1,2}[./-] ?[0-9]{1,4}(?-u:\b)"),
    card: LazyPattern::new(
        r"(?i)^\W*(?:\+?[0-9(][0-9 ()./-]{6,}[0-9]|(?:https?://|www\.)\S+|[^\s@]+@[^\s@]+)\W*$",
    ),
    card_label: LazyPattern::new(concat!(
        r"(?i)^(?:name|full name|my (?:name|e-?mail|number|phone|address)|e-?mail(?: address)?|mail|phone(?: number)?|mobile|cell|tel|telephone",
        r"|telefon|téléphone|teléfono|telefono|telefone|address|company|website|web|title|role|budget|time|place|location|where|when|who|what|why|how",
        r"|price|cost|quantity|size|start|end|zeit|ort|preis|firma|adresse|heure|lieu|hora|lugar|ora|luogo|local|tijd|plaats|deadline|timeline|option [0-9a-c])$",
    )),
});

/// A line without the blanks and the marks of writing direction around it.
pub(super) fn shown(line: &str) -> &str {
    line.trim_matches(|char: char| {
        char.is_whitespace()
            || matches!(char, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    })
}

/// Splits `Word: value` in any language. Bold text may be between stars.
fn header(line: &str) -> Option<(&str, &str)> {
    let line = shown(line).trim_start_matches(['*', '_', ' ']);
    let (label, value) = line.split_once([':', '：'])?;
    let label = shown(label.trim_end_matches(['*', '_', ' ', '\u{a0}', '\u{202f}']));
    let value = shown(value.trim_start_matches(['*', '_', ' ']));
    let is_label = !label.is_empty()
        && label.len() <= LABEL_BYTES
        && label.split_whitespace().count() <= LABEL_WORDS
        && label
            .chars()
            .all(|char| char.is_alphabetic() || " '’-.\u{a0}/".contains(char) || is_mark(char));
    is_label.then_some((label, value))
}

fn is_mark(char: char) -> bool {
    matches!(char, '\u{300}'..='\u{36f}' | '\u{900}'..='\u{dff}' | '\u{e00}'..='\u{e7f}')
}

/// True if `lines` start with three or more headers of a mail: one holds an address or a date, and
/// none is a line of a visiting card or of an agenda.
pub(super) fn starts_headers(lines: &[&str]) -> bool {
    let shapes = &*SHAPES;
    if lines.first().is_none_or(|line| line.len() > LINE_BYTES_MAX || header(line).is_none()) {
        return false;
    }
    let (mut headers, mut taken) = (Vec::new(), 0);
    for line in lines.iter().take(2 * HEADERS_MAX) {
        let line = shown(line);
        if line.is_empty() {
            // Programs that write HTML as text put a blank line between headers.
            if headers.len() >= HEADERS_MIN {
                break;
            }
            taken += 1;
            continue;
        }
        match header(line).filter(|_| line.len() <= 4 * LINE_BYTES_MAX) {
            Some(it) if headers.len() < HEADERS_MAX => headers.push(it),
            // An address list goes on in the next line.
            _ if !headers.is_empty() && line.contains('@') => {}
            _ => break,
        }
        taken += 1;
    }
    if headers.len() < HEADERS_MIN {
        return false;
    }
    let is_card = headers.iter().any(|(label, value)| {
        shapes.card_label.is_match(label)
            || (shapes.card.is_match(value) && !shapes.address.is_match(value))
    });
    if is_card {
        return false;
    }
    let has = |regex: &Regex| headers.iter().any(|(_, value)| regex.is_match(value));
    if has(&shapes.named) || has(&shapes.address) {
        return true;
    }
    // Without an address, there must be a name, a date, and text behind the headers.
    let is_dated = headers.iter().any(|(_, value)| {
        (shapes.year.is_match(value) || shapes.date.is_match(value))
            && (shapes.time.is_match(value) || headers.len() > HEADERS_MIN)
    });
    let names_somebody = headers.first().is_some_and(|(_, value)| {
        !value.is_empty() && !value.bytes().any(|it| it.is_ascii_digit())
    });
    let goes_on = lines.iter().skip(taken).any(|it| !shown(it).is_empty());
    is_dated && names_somebody && goes_on
}

/// How many lines an introduction at the start of `lines` takes: an address beside a name, a date,
/// and a colon at the end. It may be broken over several lines. `None` if there is none.
pub(super) fn introduction(lines: &[&str]) -> Option<usize> {
    let shapes = &*SHAPES;
    let first = shown(lines.first()?);
    if first.is_empty() || first.len() > LINE_BYTES_MAX || first.starts_with('>') {
        return None;
    }
    let dates = |text: &str| {
        shapes.year.is_match(text) || shapes.date.is_match(text) || shapes.time.is_match(text)
    };
    // An introduction that goes on in the next line begins with a date or an address.
    let may_go_on = dates(first) || first.contains(['@', '<']);
    let most = if may_go_on { INTRODUCTION_LINES } else { 1 };
    let mut said = String::new();
    for (index, line) in lines.iter().take(most).enumerate() {
        let line = shown(line);
        if line.is_empty() || said.len() + line.len() > LINE_BYTES_MAX {
            return None;
        }
        if !said.is_empty() && !said.ends_with('<') && !line.starts_with('>') {
            said.push(' ');
        }
        said.push_str(line);
        let ends = said.trim_end_matches(['*', '_', ' ']).ends_with([':', '：']);
        if !ends {
            continue;
        }
        let behind = lines.get(index + 1..).unwrap_or_default();
        let is_quoted = behind
            .iter()
            .map(|it| shown(it))
            .find(|it| !it.is_empty())
            .is_some_and(|it| it.starts_with('>'));
        let is_one = (shapes.named.is_match(&said) && dates(&said))
            || (is_quoted
                && (shapes.address.is_match(&said)
                    || shapes.year.is_match(&said)
                    || shapes.date.is_match(&said)));
        return is_one.then_some(index + 1);
    }
    None
}

/// True if at least two lines are marked as quoted with `>`. A single line, or a comparison (`>100
/// seats`), may be the writer's own.
pub(super) fn has_marked_quotes(lines: &[&str]) -> bool {
    let marked =
        lines.iter().map(|it| shown(it)).filter(|line| is_marked(line) && !is_comparison(line));
    marked.take(2).count() == 2
}

/// True for a line that starts with `>`.
pub(super) fn is_marked(line: &str) -> bool {
    line.starts_with('>')
}

fn is_comparison(line: &str) -> bool {
    line.trim_start_matches('>')
        .starts_with(|char: char| char.is_ascii_digit() || "=$€£-".contains(char))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_patterns_are_valid() {
        let Shapes { named, address, year, time, date, card, card_label } = &*SHAPES;
        LazyPattern::assert_valid([named, address, year, time, date, card, card_label]);
    }
}
