//! What a secret must be, so that nobody guesses it and nobody takes its absence for one.

use super::value::MASK;

/// The least length of a channel's secret, in characters.
pub(super) const CHANNEL_CHARS_MIN: usize = 16;
/// The least length of the admin token, in characters: it opens all clients at once.
pub(super) const TOKEN_CHARS_MIN: usize = 24;

/// Why `secret` is none: `None` where all is well. Says nothing of the secret but its length.
pub(super) fn flaw(secret: &str, chars_min: usize) -> Option<String> {
    let chars = secret.chars().count();
    let is_short = chars < chars_min;
    let is_template = ["${", "{{"].iter().any(|it| secret.contains(it));
    blank_or_masked(secret).or_else(|| unsendable(secret)).or_else(|| {
        if is_template {
            return Some("is a template that nobody has filled in".to_owned());
        }
        is_short.then(|| {
            format!(
                "has {chars} characters, and at least {chars_min} are needed: \
                 `openssl rand -hex 24` makes one"
            )
        })
    })
}

/// Why `text` stands for a secret and is none.
pub(super) fn blank_or_masked(text: &str) -> Option<String> {
    if text.trim().is_empty() {
        return Some("is blank: leave it out, or set a secret".to_owned());
    }
    text.trim().chars().all(|it| it == '*').then(|| {
        format!("is `{MASK}`, as a secret is shown where it is hidden: take the secret itself")
    })
}

/// Why nobody can send `secret` along, or would mean it: `None` where all is well.
///
/// A header is trimmed on its way and holds no control characters; a character without a shape was
/// copied by mistake.
pub(super) fn unsendable(secret: &str) -> Option<String> {
    let is_hidden = |it: char| {
        it.is_control() || matches!(it, '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2060}')
    };
    if secret.trim() != secret {
        return Some("begins or ends with a blank or a line end: leave it out".to_owned());
    }
    let hidden = secret.chars().find(|it| is_hidden(*it))?;
    Some(format!(
        "holds a character that cannot be seen (U+{:04X}): leave it out",
        u32::from(hidden)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_long_enough_and_meant() {
        for (text, word) in [
            ("", "blank"),
            (" ", "blank"),
            ("                        ", "blank"),
            ("\u{a0}\u{2003}", "blank"),
            ("***", "`***`"),
            ("*", "`***`"),
            ("************************", "`***`"),
            ("a", "at least 16"),
            ("fifteen-letters", "at least 16"),
            ("ключ-ключ-ключ-", "at least 16"),
            ("fifteen-letters ", "blank or a line end"),
            ("sixteen-letters!\n", "blank or a line end"),
            ("sixteen\u{200b}-letters", "U+200B"),
            ("${ACME_WEBHOOK_SECRET}", "template"),
        ] {
            let reason = flaw(text, CHANNEL_CHARS_MIN).expect(text);
            assert!(reason.contains(word), "{text}: {reason}");
        }
        for text in
            ["sixteen-letters!", "ключ-ключ-ключ-!", "***sixteen-letters", "a              z"]
        {
            assert_eq!(flaw(text, CHANNEL_CHARS_MIN), None, "{text}");
        }
    }
}
