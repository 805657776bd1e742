//! The segments in which a text message goes over the air.
//!
//! A text that the GSM 7-bit alphabet can spell is sent in septets, any other as UTF-16 (UCS-2).
//! A single segment has 140 bytes. Several have 134 each, because each says which one it is. No
//! segment ends within a character.

/// The basic characters of the GSM 7-bit alphabet (3GPP TS 23.038), one septet each.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
    ¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// The characters of its extension table, two septets each.
const EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// How the characters of a text message are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextAlphabet {
    /// Septets of the GSM 7-bit alphabet.
    Gsm7,
    /// Code units of UTF-16.
    Ucs2,
}

impl TextAlphabet {
    /// The one in which the text is sent.
    pub fn of(text: &str) -> Self {
        if text.chars().all(|char| septets(char).is_some()) { Self::Gsm7 } else { Self::Ucs2 }
    }

    /// Its name, as people who send text messages call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gsm7 => "GSM-7",
            Self::Ucs2 => "UCS-2",
        }
    }

    /// The units of a text that is sent in one segment.
    pub const fn single(self) -> usize {
        match self {
            Self::Gsm7 => 160,
            Self::Ucs2 => 70,
        }
    }

    /// The units of each segment of a text that is sent in several.
    pub const fn each(self) -> usize {
        match self {
            Self::Gsm7 => 153,
            Self::Ucs2 => 67,
        }
    }

    /// The units of a character.
    fn units(self, char: char) -> usize {
        match self {
            Self::Gsm7 => septets(char).unwrap_or(0),
            Self::Ucs2 => char.len_utf16(),
        }
    }
}

/// The septets of a character; `None` if the alphabet lacks it.
fn septets(char: char) -> Option<usize> {
    if char.is_ascii_alphanumeric() || char == ' ' || BASIC.contains(char) {
        Some(1)
    } else if EXTENSION.contains(char) {
        Some(2)
    } else {
        None
    }
}

/// The texts of the segments, in order. Together they are `text`. None for an empty text.
pub fn segments(text: &str) -> Vec<&str> {
    if text.is_empty() {
        return Vec::new();
    }
    let alphabet = TextAlphabet::of(text);
    if text.chars().map(|char| alphabet.units(char)).sum::<usize>() <= alphabet.single() {
        return vec![text];
    }
    let mut segments = Vec::new();
    let (mut start, mut units) = (0, 0);
    for (at, char) in text.char_indices() {
        let more = alphabet.units(char);
        if units + more > alphabet.each() {
            segments.extend(text.get(start..at));
            (start, units) = (at, 0);
        }
        units += more;
    }
    segments.extend(text.get(start..));
    segments
}

/// The longest beginning of `text` that has at most `max` segments.
pub fn within(text: &str, max: usize) -> &str {
    if segments(text).len() <= max {
        return text;
    }
    // A longer beginning never has fewer segments: a character more adds its units, or turns all
    // of them into UTF-16.
    let ends: Vec<usize> = text.char_indices().map(|(at, char)| at + char.len_utf8()).collect();
    let fits = |end: &usize| text.get(..*end).is_some_and(|head| segments(head).len() <= max);
    let count = ends.partition_point(fits);
    let end = count.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_alphabet_has_its_137_characters() {
        assert_eq!((BASIC.chars().count(), EXTENSION.chars().count()), (127, 10));
        // The 128th is the escape to the extension table, which no text holds.
        for (char, expected) in [
            ('a', Some(1)),
            ('Ç', Some(1)),
            ('ç', None),
            ('€', Some(2)),
            ('|', Some(2)),
            ('`', None),
            ('’', None),
            ('á', None),
            ('à', Some(1)),
            ('\t', None),
            ('\u{1b}', None),
            ('Δ', Some(1)),
            ('Α', None),
        ] {
            assert_eq!(septets(char), expected, "{char:?}");
        }
    }

    #[test]
    fn segments_are_counted_in_the_units_of_their_alphabet() {
        let of = |unit: &str, count: usize| unit.repeat(count);
        for (text, lengths) in [
            (String::new(), vec![]),
            (of("a", 160), vec![160]),
            (of("a", 161), vec![153, 8]),
            (of("a", 306), vec![153, 153]),
            (of("a", 307), vec![153, 153, 1]),
            (of("a", 459), vec![153, 153, 153]),
            (of("a", 460), vec![153, 153, 153, 1]),
            // Two septets each.
            (of("€", 80), vec![80]),
            (of("€", 81), vec![76, 5]),
            (of("a", 159) + "€", vec![153, 7]),
            (of("a", 152) + "€" + &of("a", 10), vec![152, 11]),
            (of("a", 151) + "€" + &of("a", 10), vec![152, 10]),
            // One character of another alphabet makes all of them UTF-16.
            (of("a", 69) + "ç", vec![70]),
            (of("a", 70) + "ç", vec![67, 4]),
            (of("я", 201), vec![67, 67, 67]),
            (of("я", 202), vec![67, 67, 67, 1]),
            // Two code units each.
            (of("😀", 35), vec![35]),
            (of("😀", 36), vec![33, 3]),
            (of("a", 66) + "😀" + &of("a", 9), vec![66, 10]),
        ] {
            let found: Vec<usize> =
                segments(&text).iter().map(|segment| segment.chars().count()).collect();
            assert_eq!(found, lengths, "{text}");
        }
    }

    #[test]
    fn the_longest_beginning_may_be_in_another_alphabet_than_the_text() {
        let text = "a".repeat(459) + "ç";
        assert_eq!(within(&text, 3), "a".repeat(459));
        let text = "a".repeat(200) + "ç" + &"a".repeat(200);
        assert_eq!(within(&text, 3), "a".repeat(200) + "ç");
        let text = "a".repeat(210) + "ç";
        assert_eq!(within(&text, 3), "a".repeat(210));
        assert_eq!((within("text", 0), within("", 3)), ("", ""));
    }

    fn any_text() -> impl Strategy<Value = String> {
        let char = prop_oneof![
            8 => proptest::char::range(' ', '~'),
            1 => Just('€'),
            1 => Just('\n'),
        ];
        let wide = prop_oneof![4 => proptest::char::range(' ', '~'), 1 => any::<char>()];
        prop_oneof![
            proptest::collection::vec(char, 0..700),
            proptest::collection::vec(wide, 0..400),
        ]
        .prop_map(|chars| chars.into_iter().collect())
    }

    /// The units of a text, counted in another way than by [`TextAlphabet::units`].
    fn counted(text: &str, alphabet: TextAlphabet) -> usize {
        match alphabet {
            TextAlphabet::Ucs2 => text.encode_utf16().count(),
            TextAlphabet::Gsm7 => {
                text.chars().count() + text.chars().filter(|it| EXTENSION.contains(*it)).count()
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]
        #[test]
        fn segments_are_the_text_and_as_few_as_can_be(text in any_text()) {
            let alphabet = TextAlphabet::of(&text);
            let found = segments(&text);
            prop_assert_eq!(found.concat(), text.clone());
            let most = if found.len() == 1 { alphabet.single() } else { alphabet.each() };
            for segment in &found {
                prop_assert!((1..=most).contains(&counted(segment, alphabet)));
            }
            // Each is full: not even the first character of the next has room in it.
            for pair in found.windows(2) {
                let [segment, next] = pair else { unreachable!("pairs") };
                let first: String = next.chars().take(1).collect();
                let longer = [*segment, first.as_str()].concat();
                prop_assert!(counted(&longer, alphabet) > most);
            }
            if found.len() > 1 {
                prop_assert!(counted(&text, alphabet) > alphabet.single());
            }
        }

        #[test]
        fn a_beginning_is_the_longest_that_fits(text in any_text(), max in 0_usize..5) {
            let head = within(&text, max);
            prop_assert!(text.starts_with(head) && segments(head).len() <= max);
            if let Some(next) = text[head.len()..].chars().next() {
                let longer = format!("{head}{next}");
                prop_assert!(segments(&longer).len() > max);
            }
        }
    }
}
