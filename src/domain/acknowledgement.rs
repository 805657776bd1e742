//! Messages that say no more than that something was read (docs/RULES.md AUTOMATIC).

/// The most characters of a message that only acknowledges.
const ACKNOWLEDGEMENT_MAX: usize = 80;

/// What people write to say no more than that they have read it. Longer ones stand before shorter
/// ones that they begin with.
const ACKNOWLEDGEMENTS: [&str; 40] = [
    "thank you very much",
    "thank you so much",
    "thank you",
    "thanks a lot",
    "thanks",
    "thx",
    "ty",
    "okay",
    "ok",
    "k",
    "got it",
    "great",
    "sounds good",
    "thumbs up",
    "perfect",
    "cool",
    "noted",
    "understood",
    "will do",
    "cheers",
    "vielen dank",
    "danke",
    "alles klar",
    "verstanden",
    "merci beaucoup",
    "merci",
    "d accord",
    "muchas gracias",
    "gracias",
    "vale",
    "grazie mille",
    "grazie",
    "va bene",
    "obrigado",
    "obrigada",
    "dank je",
    "bedankt",
    "tack",
    "takk",
    "tak",
];

/// True if the text says nothing but that it was read: a few such words, or signs alone.
pub fn is_acknowledgement(text: &str) -> bool {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > ACKNOWLEDGEMENT_MAX || text.contains('?') {
        return false;
    }
    let words: Vec<String> = text
        .split(|it: char| !it.is_alphanumeric())
        .filter(|it| !it.is_empty())
        .map(str::to_lowercase)
        .collect();
    let text = words.join(" ");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let found = ACKNOWLEDGEMENTS.iter().find_map(|it| {
            rest.strip_prefix(it).filter(|after| after.is_empty() || after.starts_with(' '))
        });
        let Some(after) = found else { return false };
        rest = after.trim_start();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_message_of_such_words_alone_acknowledges() {
        for (text, expected) in [
            ("thanks", true),
            (" Great, thanks! 👍 ", true),
            ("Got it.", true),
            ("👍", true),
            ("Vielen Dank!", true),
            ("ok?", false),
            ("ok call me", false),
            ("Great price", false),
            ("", false),
            ("  ", false),
        ] {
            assert_eq!(is_acknowledgement(text), expected, "{text:?}");
        }
        assert!(is_acknowledgement(&"ok ".repeat(27)) && !is_acknowledgement(&"ok, ".repeat(21)));
    }
}
