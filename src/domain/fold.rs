//! Folds texts so that their words can be compared: small letters of one width, without accents,
//! one blank between words.

use unicode_normalization::char::decompose_compatible;

/// A folded text that remembers its source, so that a match can be shown as it was written.
#[derive(Debug)]
pub(super) struct Folded<'a> {
    pub(super) source: &'a str,
    /// The folded text. A run of blanks is a `\n` if it contains the end of a line, otherwise a
    /// space.
    pub(super) text: String,
}

impl<'a> Folded<'a> {
    pub(super) fn of(source: &'a str) -> Self {
        let mut text = String::with_capacity(source.len());
        walk(source, |_, char| {
            text.push(char);
            true
        });
        Self { source, text }
    }

    /// The source of the bytes `start..end` of the folded text, with one space for each run of
    /// blanks.
    pub(super) fn original(&self, start: usize, end: usize) -> String {
        let (mut at, mut from, mut to) = (0, None, self.source.len());
        walk(self.source, |place, char| {
            if at >= end {
                to = place;
                return false;
            }
            if at >= start && from.is_none() {
                from = Some(place);
            }
            at += char.len_utf8();
            true
        });
        let written = self.source.get(from.unwrap_or(to)..to).unwrap_or_default();
        written.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// The folded form of `text`, without its source.
pub(crate) fn folded(text: &str) -> String {
    Folded::of(text).text
}

/// Calls `put` with each folded character of `source` and the byte of its source, until `put`
/// returns false.
fn walk(source: &str, mut put: impl FnMut(usize, char) -> bool) {
    let mut blank: Option<(usize, char)> = None;
    let (mut is_first, mut goes_on) = (true, true);
    for (place, char) in source.char_indices() {
        fold(char, |folded| {
            if !goes_on {
                return;
            }
            if folded == ' ' {
                let is_line_end = char == '\n';
                match &mut blank {
                    Some((_, kind)) if is_line_end => *kind = '\n',
                    Some(_) => {}
                    None => blank = Some((place, if is_line_end { '\n' } else { ' ' })),
                }
                return;
            }
            if let Some((place, kind)) = blank.take().filter(|_| !is_first) {
                goes_on = put(place, kind);
            }
            is_first = false;
            goes_on = goes_on && put(place, folded);
        });
        if !goes_on {
            return;
        }
    }
}

/// Calls `put` with the folded form of one character: no character, one, or several.
fn fold(char: char, mut put: impl FnMut(char)) {
    match char {
        // First the characters of which most texts consist.
        'a'..='z' | '0'..='9' => put(char),
        'A'..='Z' => put(char.to_ascii_lowercase()),
        ' ' | '\n' => put(' '),
        // Not decomposed: its compatible form starts with a blank. `U+1FFD` is another code for it.
        '´' | '\u{1ffd}' => put('\''),
        // Korean syllables are compared whole.
        '\u{ac00}'..='\u{d7a3}' => put(char),
        _ if char.is_ascii() => plain(char, &mut put),
        _ => decompose_compatible(char, |part| plain(part, &mut put)),
    }
}

/// Calls `put` with the folded form of a character that cannot be decomposed further.
fn plain(part: char, put: &mut impl FnMut(char)) {
    match part {
        // The grave accent has a wide form, which decomposes to it.
        '`' | '’' | '‘' | 'ʼ' | '‛' => put('\''),
        '“' | '”' | '„' | '‟' | '«' | '»' => put('"'),
        '‐' | '‑' | '‒' | '–' | '—' | '−' => put('-'),
        // Marks that cannot be seen: joiners, directions, variants of a sign.
        '\u{ad}'
        | '\u{61c}'
        | '\u{640}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' => {}
        'ł' | 'Ł' => put('l'),
        'ø' | 'Ø' => put('o'),
        'đ' | 'Đ' => put('d'),
        'ı' => put('i'),
        'ς' => put('σ'),
        'æ' | 'Æ' => ['a', 'e'].into_iter().for_each(put),
        _ if is_accent(part) => {}
        _ if part.is_whitespace() || part.is_control() => put(' '),
        _ => part.to_lowercase().filter(|letter| !is_accent(*letter)).for_each(put),
    }
}

/// Marks that people leave out: accents, and the vowels of Hebrew and Arabic.
const fn is_accent(char: char) -> bool {
    matches!(char,
        '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5c7}' | '\u{610}'..='\u{61a}'
        | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{6d6}'..='\u{6ed}' | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn widths_accents_and_cases_are_one() {
        for (text, expected) in [
            ("ＳＴＯＰ", "stop"),
            ("𝗦𝗧𝗢𝗣", "stop"),
            ("ARRÊT", "arret"),
            ("arre\u{302}t", "arret"),
            ("S\u{200b}TOP\u{fe0f}", "stop"),
            ("СТОП", "стоп"),
            ("Łódź Ærø İĞNE ığ", "lodz aero igne ig"),
            ("ΔΙΑΚΟΠΉ", "διακοπη"),
            ("إلغاء", "الغاء"),
            ("ｽﾄｯﾌﾟ", "ストッフ\u{309a}"),
            ("수신거부", "수신거부"),
            (" a \t b \r\n c ", "a b\nc"),
            ("don’t „x“ – y", "don't \"x\" - y"),
        ] {
            assert_eq!(folded(text), expected, "{text}");
        }
    }

    #[test]
    fn what_comes_first_is_folded_like_everything_else() {
        for char in '\0'..='\u{7f}' {
            let (mut first, mut usual) = (String::new(), String::new());
            fold(char, |char| first.push(char));
            plain(char, &mut |char| usual.push(char));
            assert_eq!(first, usual, "{char:?}");
        }
    }

    #[test]
    fn each_character_is_folded_once_for_all() {
        for char in '\0'..=char::MAX {
            let once = folded(&format!("a{char}a"));
            assert_eq!(folded(&once), once, "{char:?}");
        }
    }

    #[test]
    fn what_was_found_is_shown_as_it_was_written() {
        let it = Folded::of("  Hé,  ＳＴＯＰ   me \n now ");
        let at = it.text.find("stop me").unwrap();
        assert_eq!(it.original(at, at + "stop me\nnow".len()), "ＳＴＯＰ me now");
        assert_eq!(it.original(0, 2), "Hé");
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(text in "(?s).{0,80}") {
            let once = folded(&text);
            prop_assert_eq!(once.trim(), once.as_str());
            prop_assert_eq!(folded(&once), once.clone());
            let it = Folded::of(&text);
            prop_assert_eq!(folded(&it.original(0, it.text.len())).replace('\n', " "), once.replace('\n', " "));
        }
    }
}
