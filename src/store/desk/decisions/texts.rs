//! Whether a text that a person wrote can be sent over its medium.

use crate::domain::Medium;

/// The most characters of an answer by mail (docs/RULES.md DRAFTS).
const MAIL_CHARS_MAX: usize = 1_200;

/// Why a text cannot be sent over `medium`; `None` if it can.
pub(super) fn flaw(body: &str, medium: Medium) -> Option<String> {
    if body.trim().is_empty() {
        return Some("the text is blank".to_owned());
    }
    let chars = body.chars().count();
    let most = match medium {
        Medium::Mail => MAIL_CHARS_MAX,
        Medium::Chat { chars } => chars,
        Medium::Text { parts, .. } => {
            let count = parts_of(body).len();
            let why =
                || format!("the text has {count} parts as an SMS, and at most {parts} are sent");
            return (count > parts).then(why);
        }
    };
    let why = || format!("the text has {chars} characters, and at most {most} are sent");
    (chars > most).then(why)
}

/// The parts of a text message.
pub(super) fn parts_of(body: &str) -> Vec<String> {
    const PART_CHARS: usize = 160;
    let chars: Vec<char> = body.chars().collect();
    chars.chunks(PART_CHARS).map(|part| part.iter().collect()).collect()
}
