//! The things that a person may mean by the text of a search.

use super::Id;

/// The fewest digits of a phone number.
const PHONE_DIGITS_MIN: usize = 7;
/// The most digits of a phone number (E.164).
const PHONE_DIGITS_MAX: usize = 15;

/// The things that a text may name. Each is compared as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchTerms {
    /// The id of a row.
    pub id: Option<Id>,
    /// The text itself: a request id, the name of a client, the kind of a job.
    pub text: String,
    /// Values of identities, as they are stored: addresses, phone numbers, ids of providers.
    pub identities: Vec<String>,
}

impl SearchTerms {
    /// What `text` may name.
    pub fn of(text: &str) -> Self {
        let text = text.trim();
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let id = if is_number { text.parse().ok().filter(|id| *id > 0) } else { None };
        let mut identities = vec![text.to_owned(), text.to_lowercase()];
        // A number that is not stored in E.164 is stored as its digits.
        let phones = phones(text);
        if !phones.is_empty() {
            identities.push(text.chars().filter(char::is_ascii_digit).collect());
        }
        identities.extend(phones);
        identities.extend(profile(text));
        identities.retain(|value| !value.is_empty());
        identities.sort();
        identities.dedup();
        Self { id, text: text.to_owned(), identities }
    }

    /// Those of the identities that are phone numbers in E.164.
    pub fn phones(&self) -> impl Iterator<Item = &str> {
        let is_phone = |it: &&String| {
            let digits = it.strip_prefix('+');
            digits.is_some_and(|it| it.bytes().all(|byte| byte.is_ascii_digit()))
        };
        self.identities.iter().filter(is_phone).map(String::as_str)
    }
}

/// The phone numbers in E.164 that a text may be. Without a country it may be of North America.
fn phones(text: &str) -> Vec<String> {
    let is_phone = |c: char| {
        c.is_ascii_digit() || matches!(c, '+' | ' ' | '-' | '.' | '(' | ')' | '/' | '\u{a0}')
    };
    if !text.chars().all(is_phone) {
        return Vec::new();
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let abroad = digits.strip_prefix("00").filter(|_| !text.starts_with('+'));
    let digits = abroad.unwrap_or(&digits);
    if !(PHONE_DIGITS_MIN..=PHONE_DIGITS_MAX).contains(&digits.len()) {
        return Vec::new();
    }
    let mut found = vec![format!("+{digits}")];
    if digits.len() == 10 && !text.starts_with('+') && abroad.is_none() {
        found.push(format!("+1{digits}"));
    }
    found
}

/// The address of a LinkedIn profile, as it is stored.
fn profile(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let (_, name) = lower.split_once("linkedin.com/in/")?;
    let name = name.split(['/', '?', '#']).next().filter(|it| !it.is_empty())?;
    Some(format!("https://linkedin.com/in/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_names_what_it_may_mean() {
        for (text, id, identities) in [
            (" 383812725093957633 ", Some(383_812_725_093_957_633), &["383812725093957633"][..]),
            ("Dana@Example.com", None, &["Dana@Example.com", "dana@example.com"]),
            ("+1 (212) 555-0123", None, &["+1 (212) 555-0123", "+12125550123", "12125550123"]),
            ("212.555.0123", None, &["+12125550123", "+2125550123", "212.555.0123", "2125550123"]),
            ("0049 30 1234567", None, &["+49301234567", "0049 30 1234567", "0049301234567"]),
            (
                "https://www.linkedin.com/in/Dana/?trk=x",
                None,
                &[
                    "https://linkedin.com/in/dana",
                    "https://www.linkedin.com/in/Dana/?trk=x",
                    "https://www.linkedin.com/in/dana/?trk=x",
                ],
            ),
            ("12", Some(12), &["12"]),
            ("0", None, &["0"]),
            ("  ", None, &[]),
        ] {
            let terms = SearchTerms::of(text);
            assert_eq!(
                (terms.id, terms.identities),
                (id, identities.iter().map(|it| (*it).to_owned()).collect()),
                "{text}"
            );
        }
    }
}
