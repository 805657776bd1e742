//! The signature of an error: its text without numbers, ids and quotes. Failures with one signature
//! have one cause as a rule, so a person decides about all of them together.

/// The most characters of a signature.
pub const SIGNATURE_CHARS_MAX: usize = 160;
/// How much of an error is read, in characters.
const READ_CHARS_MAX: usize = 2_000;
/// The most characters between two quotation marks.
const QUOTE_CHARS_MAX: usize = 200;
/// A word with a digit and as many characters is an id.
const ID_CHARS_MIN: usize = 8;
/// Stands for what differs between errors with one signature.
const MASK: char = '#';
/// The signature of an error without a text.
const NO_TEXT: &str = "(no error text)";

/// The signature of an error: its first line with numbers, ids, quotes, addresses and paths of URLs
/// masked. The signature of a signature is itself, so a filter may name either.
pub fn error_signature(text: &str) -> String {
    let mut lines = text.lines().map(|line| line.trim_matches(is_gap));
    let first = lines.find(|line| !line.is_empty()).unwrap_or(NO_TEXT);
    let first: String = first.chars().take(READ_CHARS_MAX).collect();
    let mut signature =
        first.split(is_gap).filter(|it| !it.is_empty()).collect::<Vec<_>>().join(" ");
    // A mask may stand beside another, and both then become one. Few texts need a third pass.
    for _ in 0..5 {
        let masked = cut(collapsed(masked(&signature)));
        if masked == signature {
            break;
        }
        signature = masked;
    }
    signature
}

fn is_gap(c: char) -> bool {
    c.is_whitespace() || c.is_control()
}

/// At most [`SIGNATURE_CHARS_MAX`] characters.
fn cut(text: String) -> String {
    if text.chars().nth(SIGNATURE_CHARS_MAX).is_none() {
        return text;
    }
    let start: String = text.chars().take(SIGNATURE_CHARS_MAX - 1).collect();
    format!("{}…", start.trim_end())
}

/// `text` with quotes, words and numbers masked.
fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after_word = out.chars().next_back().is_some_and(char::is_alphanumeric);
        if let Some((inside, tail)) = quoted(rest, after_word) {
            let close = rest.get(..rest.len() - tail.len()).and_then(|it| it.chars().next_back());
            out.push(c);
            if !inside.is_empty() {
                out.push(MASK);
            }
            out.extend(close);
            rest = tail;
            continue;
        }
        let end = rest.find(is_boundary).unwrap_or(rest.len()).max(c.len_utf8());
        let (word, tail) = rest.split_at(end);
        mask_word(word, &mut out);
        rest = tail;
    }
    out
}

/// What stands between the quotation mark at the beginning of `text` and the next one, and what
/// comes behind that. An apostrophe inside of a word is no quotation mark.
fn quoted(text: &str, after_word: bool) -> Option<(&str, &str)> {
    let open = text.chars().next()?;
    let close = match open {
        '"' | '`' => open,
        '\'' if !after_word => open,
        '“' => '”',
        '‘' => '’',
        '«' => '»',
        _ => return None,
    };
    let inside = text.get(open.len_utf8()..)?;
    let ends = |(at, c): (usize, char)| {
        let next = inside.get(at + c.len_utf8()..).and_then(|it| it.chars().next());
        c == close && (close != '\'' || !next.is_some_and(char::is_alphanumeric))
    };
    let (at, mark) = inside.char_indices().take(QUOTE_CHARS_MAX + 1).find(|found| ends(*found))?;
    Some((inside.get(..at)?, inside.get(at + mark.len_utf8()..)?))
}

/// True for what parts words.
fn is_boundary(c: char) -> bool {
    is_gap(c)
        || matches!(
            c,
            '"' | '\''
                | '`'
                | '“'
                | '”'
                | '‘'
                | '’'
                | '«'
                | '»'
                | '('
                | ')'
                | '['
                | ']'
                | '{'
                | '}'
                | '<'
                | '>'
                | ','
                | ';'
        )
}

/// Masks what differs in a word without blanks.
fn mask_word(word: &str, out: &mut String) {
    let at = word.find('@').filter(|at| *at > 0 && at + 1 < word.len());
    if at.is_some() {
        out.push(MASK);
        out.push_str(
            word.get(word.trim_end_matches(['.', ':', '!', '?']).len()..).unwrap_or_default(),
        );
        return;
    }
    if let Some((scheme, rest)) = word.split_once("://") {
        let host = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(host);
        out.push_str(scheme);
        out.push_str("://");
        mask_parts(host, out);
        if path.len() > 1 {
            out.push('/');
            out.push(MASK);
        }
        return;
    }
    mask_parts(word, out);
}

/// Masks the ids and numbers of a word.
fn mask_parts(word: &str, out: &mut String) {
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        let is_in = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        let end = rest.find(|c| !is_in(c)).unwrap_or(rest.len());
        if end == 0 {
            out.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            continue;
        }
        let (part, tail) = rest.split_at(end);
        rest = tail;
        let has_digit = part.contains(|c: char| c.is_ascii_digit());
        let is_hex = part.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        if has_digit && is_hex && part.len() >= ID_CHARS_MIN {
            out.push(MASK);
            continue;
        }
        for piece in part.split_inclusive(['-', '_']) {
            let separator = piece.chars().next_back().filter(|c| matches!(c, '-' | '_'));
            mask_piece(piece.trim_end_matches(['-', '_']), out);
            out.extend(separator);
        }
    }
}

/// Masks a piece without separators: as a whole if it is an id, else its digits.
fn mask_piece(piece: &str, out: &mut String) {
    let has_digit = piece.contains(|c: char| c.is_ascii_digit());
    if has_digit && piece.chars().count() >= ID_CHARS_MIN {
        out.push(MASK);
        return;
    }
    for c in piece.chars() {
        if !c.is_ascii_digit() {
            out.push(c);
        } else if !out.ends_with(MASK) {
            out.push(MASK);
        }
    }
}

/// `text` with numbers that have parts, such as `#.#` and `#:#`, masked as one.
fn collapsed(mut text: String) -> String {
    for parted in ["#.#", "#:#", "#,#", "#-#", "##"] {
        while text.contains(parted) {
            text = text.replace(parted, "#");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn errors_of_one_cause_have_one_signature() {
        for (errors, signature) in [
            (
                &[
                    "analyst: 429 Too Many Requests, Retry-After 40",
                    "analyst: 503 Too Many Requests, Retry-After 0.5",
                ][..],
                "analyst: # Too Many Requests, Retry-After #",
            ),
            (
                &[
                    "panic: index out of bounds: the len is 0 but the index is 12\nstack backtrace:\n 0: x",
                ],
                "panic: index out of bounds: the len is # but the index is #",
            ),
            (
                &[
                    "no contact 'abc 7' at https://api.example/v2/contacts/7?x=1",
                    "no contact 'Rita' at https://api.example/v1/contacts/9",
                ],
                "no contact '#' at https://api.example/#",
            ),
            (
                &[
                    "lead 7d3f01c9-b2aa-4e1c-9f00-0a1b2c3d4e5f (dana@example.com) has no phone",
                    "lead 383812725093957633 (bob@b.example) has no phone",
                ],
                "lead # (#) has no phone",
            ),
            (
                &["the model doesn't know gpt-5-mini: it's gone"],
                "the model doesn't know gpt-#-mini: it's gone",
            ),
            (
                &["timed out after 1 min 30.5 s", "timed out after 2 min 1 s"],
                "timed out after # min # s",
            ),
            (
                &["expected \"a\", found \"b\\\"\"", "expected \"\", found \"c\\\"\""],
                "expected \"#\", found \"#\"\"",
            ),
            (&["", "  \n \t"], "(no error text)"),
        ] {
            for error in errors {
                let found = error_signature(error);
                // Empty quotes stay empty.
                assert_eq!(
                    found.replace("\"\"", "\"#\""),
                    signature.replace("\"\"", "\"#\""),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn an_error_of_control_characters_has_no_text() {
        for text in ["", " \n\t", "\u{7f}\0"] {
            assert_eq!(error_signature(text), NO_TEXT, "{text:?}");
        }
        assert_eq!(error_signature("\u{7f}\nreset by peer"), "reset by peer");
    }

    #[test]
    fn a_long_error_has_a_short_signature() {
        let long = error_signature(&"word ".repeat(1_000));
        assert_eq!(long.chars().count(), SIGNATURE_CHARS_MAX);
        assert!(long.ends_with('…'));
        assert_eq!(error_signature(&long), long);
    }

    proptest! {
        #[test]
        fn the_signature_of_a_signature_is_itself(text in "(?s).{0,300}", odd in "[a-f0-9\"'`@:/.#,= -]{0,200}") {
            for text in [text, odd] {
                let signature = error_signature(&text);
                prop_assert!(signature.chars().count() <= SIGNATURE_CHARS_MAX);
                prop_assert_eq!(error_signature(&signature), signature);
            }
        }
    }
}
