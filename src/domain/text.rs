//! How texts are compared (normalised, as keys, and as fingerprints) and cut.

use sha2::{Digest, Sha256};
use std::hash::{DefaultHasher, Hash, Hasher};

/// True for blanks, and for U+0000, which stored texts cannot hold.
pub fn is_blank(char: char) -> bool {
    char.is_whitespace() || char == '\0'
}

/// The form in which texts are compared (docs/RULES.md P9): trimmed, lower-cased, with one space
/// for each run of blanks.
pub fn normalised(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for word in text.split(is_blank).filter(|word| !word.is_empty()) {
        if !folded.is_empty() {
            folded.push(' ');
        }
        if word.is_ascii() {
            folded.extend(word.chars().map(|char| char.to_ascii_lowercase()));
        } else {
            folded.extend(word.chars().flat_map(char::to_lowercase));
        }
    }
    folded
}

/// The text on one line, with one space for each run of blanks.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The beginning of a text, of at most `bytes_max` bytes and up to a whole character.
pub fn beginning(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text)
}

/// A hash of the normalised text, in 32 hex digits: the same for texts that count as equal.
pub fn key(text: &str) -> String {
    let mut digest = format!("{:x}", Sha256::digest(normalised(text)));
    digest.truncate(32);
    digest
}

/// A hash that tells whether a text has changed. It is valid within one process only.
pub fn fingerprint(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn p9_texts_are_compared_normalised() {
        assert_eq!(normalised("  Yes,\u{a0}\n THURSDAY \0 works "), "yes, thursday works");
        assert_eq!(key("Yes,  please"), key(" yes,\r\nplease "));
        assert_ne!(key("yes"), key("yes please"));
        assert_eq!(key("").len(), 32);
    }

    #[test]
    fn the_beginning_of_a_text_ends_with_a_whole_character() {
        for (bytes_max, expected) in [(0, ""), (1, "a"), (2, "a"), (3, "aä"), (9, "aäz")] {
            assert_eq!(beginning("aäz", bytes_max), expected);
        }
    }

    proptest! {
        #[test]
        fn normalising_twice_is_normalising_once(text in ".{0,60}") {
            let once = normalised(&text);
            prop_assert!(!once.starts_with(' ') && !once.ends_with(' '));
            prop_assert_eq!(normalised(&once), once);
        }
    }
}
