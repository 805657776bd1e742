//! What a secret must be like: hard to guess, and not a placeholder.

use super::value::MASK;
use crate::domain::visible::first_hidden;

/// The least length of a channel's secret, in characters.
pub(super) const CHANNEL_CHARS_MIN: usize = 16;
/// The least length of the admin token, in characters. It is longer because the token gives access
/// to all clients.
pub(super) const TOKEN_CHARS_MIN: usize = 24;

/// Why `secret` is refused, to be put after its key's name; `None` if it is fine. Of the secret,
/// the text tells only its length.
pub(super) fn flaw(secret: &str, chars_min: usize) -> Option<String> {
    let chars = secret.chars().count();
    let is_short = chars < chars_min;
    let is_template = ["${", "{{"].iter().any(|mark| secret.contains(mark));
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

/// Why `text` is not a secret but a placeholder for one; `None` if it is not.
pub(super) fn blank_or_masked(text: &str) -> Option<String> {
    if text.trim().is_empty() {
        return Some("is blank: leave it out, or set a secret".to_owned());
    }
    text.trim()
        .chars()
        .all(|char| char == '*')
        .then(|| format!("is `{MASK}`, which is shown in place of a secret: set the secret itself"))
}

/// Why a provider cannot send `secret`, or why it is probably not what was meant; `None` if it is
/// fine.
///
/// A header is trimmed on its way and cannot hold control characters. A character that cannot be
/// seen was copied by mistake.
pub(super) fn unsendable(secret: &str) -> Option<String> {
    if secret.trim() != secret {
        return Some("begins or ends with a blank or a line end: leave it out".to_owned());
    }
    let hidden = first_hidden(secret)?;
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
            ("sixteen\u{ad}-letters!", "U+00AD"),
            ("sixteen\u{e0041}-letters!", "U+E0041"),
            ("${ACME_WEBHOOK_SECRET}", "template"),
        ] {
            let reason = flaw(text, CHANNEL_CHARS_MIN).expect(text);
            assert!(reason.contains(word), "{text}: {reason}");
        }
        for text in [
            "sixteen-letters!",
            "ключ-ключ-ключ-!",
            "***sixteen-letters",
            "a              z",
            "sixteen-letters\u{2764}\u{fe0f}",
        ] {
            assert_eq!(flaw(text, CHANNEL_CHARS_MIN), None, "{text}");
        }
    }
}
