//! Finds the quarantined items that name a person (docs/OPERATIONS.md, decision 0033).
//!
//! Nobody has understood these webhooks, so their bodies are searched as texts: for addresses as
//! they are stored, for phone numbers by their last digits however they are written, and for
//! profiles by their name. The search runs here and not in the database, whose statements for the
//! API end after 2 s: it reads a few small bodies at once, or one large body.

use super::{
    portions::{Heavy, portions_below},
    quarantine::{self, QuarantineFilter},
};
use crate::domain::{Id, IdentityKind};
use crate::store::engine::{
    StoreError,
    sessions::Sessions,
    sql::sql,
    tx::{group, read},
};

sql! {
    /// The bodies of items. By primary key.
    static READ_BODIES = "select id, payload from quarantine where id @ids($1)";
}

/// How many items are listed at once.
const PAGE: usize = 200;
/// The most bytes of bodies that are read at once, unless a single body has more.
const SEARCHED_BYTES_MAX: i64 = 256 << 10;
/// The fewest characters of what is sought. Anything shorter would be found in bodies of others.
const CHARS_MIN: usize = 6;
/// The fewest digits of a phone number that is sought.
const DIGITS_MIN: usize = 7;
/// How many of its last digits are sought: those before depend on who writes it.
const DIGITS_SOUGHT: usize = 9;
/// The most characters between two digits of one phone number.
const GAP_MAX: usize = 3;

/// What is sought of one identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Needle {
    /// An address, wherever it stands.
    Address(String),
    /// A word, which stands alone.
    Word(String),
    /// The last digits of a phone number.
    Digits(String),
}

impl Needle {
    /// `None` if the identity is too short to be sought.
    pub(super) fn of(kind: &str, value: &str) -> Option<Self> {
        if kind == IdentityKind::PHONE.as_str() {
            let digits: String = value.chars().filter(char::is_ascii_digit).collect();
            let from = digits.len().saturating_sub(DIGITS_SOUGHT);
            let last = digits.get(from..).filter(|it| it.len() >= DIGITS_MIN);
            return last.map(|it| Self::Digits(it.to_owned()));
        }
        let value = value.to_lowercase();
        if value.chars().count() < CHARS_MIN {
            return None;
        }
        if value.contains('@') {
            return Some(Self::Address(value));
        }
        // Of a profile's address, its name with the folder: the host may be spelled otherwise.
        let name = match value.rmatch_indices('/').nth(1) {
            Some((at, _)) if value.contains("://") => value.get(at..).unwrap_or(&value),
            _ => value.as_str(),
        };
        Some(Self::Word(name.to_owned()))
    }
}

/// A body as it is searched.
struct Searched {
    /// In lower case, with the usual escapes of JSON and of forms resolved.
    text: String,
    /// The same with the digits of each number together.
    joined: String,
}

impl Searched {
    fn of(body: &str) -> Self {
        const ESCAPES: [(&str, &str); 10] = [
            ("\\/", "/"),
            ("\\n", " "),
            ("\\r", " "),
            ("\\t", " "),
            ("\\u0040", "@"),
            ("%40", "@"),
            ("%2f", "/"),
            ("%3d", "="),
            ("%20", " "),
            ("%2b", "+"),
        ];
        let mut text = body.to_lowercase();
        for (escape, meant) in ESCAPES {
            if text.contains(escape) {
                text = text.replace(escape, meant);
            }
        }
        let joined = joined_digits(&text);
        Self { text, joined }
    }

    fn has(&self, needle: &Needle) -> bool {
        match needle {
            Needle::Address(address) => self.text.contains(address),
            Needle::Word(word) => {
                stands(&self.text, word, |c| !c.is_alphanumeric() && !matches!(c, '-' | '_' | '%'))
            }
            Needle::Digits(digits) => self
                .joined
                .match_indices(digits)
                .any(|(at, _)| !follows(&self.joined, at + digits.len(), |c| c.is_ascii_digit())),
        }
    }
}

/// True if `word` stands in `text` between characters that may stand beside a word.
fn stands(text: &str, word: &str, is_outside: impl Fn(char) -> bool) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text.get(..at).and_then(|it| it.chars().next_back());
        let is_begun = word.starts_with('/') || before.is_none_or(&is_outside);
        is_begun && !follows(text, at + word.len(), |c| !is_outside(c))
    })
}

/// True if a character of this kind stands at `at`.
fn follows(text: &str, at: usize, is_kind: impl Fn(char) -> bool) -> bool {
    text.get(at..).and_then(|it| it.chars().next()).is_some_and(is_kind)
}

/// `text` without what people write between the digits of a phone number.
fn joined_digits(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    let mut gap = String::new();
    for c in text.chars() {
        let is_separator = matches!(c, ' ' | '-' | '.' | '(' | ')' | '/' | '\u{a0}' | '\u{2011}');
        let is_after_digit = joined.ends_with(|last: char| last.is_ascii_digit());
        if c.is_ascii_digit() {
            gap.clear();
        } else if is_separator && is_after_digit && gap.chars().count() < GAP_MAX {
            gap.push(c);
            continue;
        } else {
            joined.push_str(&gap);
            gap.clear();
        }
        joined.push(c);
    }
    joined + &gap
}

/// The quarantined items of a client whose body names one of these identities, given as kind and
/// value. Newest first.
pub(super) async fn find<'a>(
    reader: &Sessions,
    client: &str,
    identities: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<Vec<Id>, StoreError> {
    let needles: Vec<Needle> =
        identities.filter_map(|(kind, value)| Needle::of(kind, value)).collect();
    let (mut cursor, mut found) = (None, Vec::new());
    if needles.is_empty() {
        return Ok(found);
    }
    loop {
        let filter =
            QuarantineFilter { client: vec![client.to_owned()], ..QuarantineFilter::default() };
        let page = quarantine::weighed(reader, filter, PAGE, cursor).await?;
        found.extend(among(reader, &page.items, &needles).await?);
        cursor = page.next;
        if cursor.is_none() {
            return Ok(found);
        }
    }
}

/// Those of these items whose body holds one of the needles.
pub(super) async fn among(
    reader: &Sessions,
    items: &[Heavy],
    needles: &[Needle],
) -> Result<Vec<Id>, StoreError> {
    let mut found = Vec::new();
    for ids in portions_below(items, SEARCHED_BYTES_MAX) {
        for row in read(reader, &READ_BODIES, [group(&ids)?]).await? {
            let searched = Searched::of(&row.try_get::<String>("", "payload")?);
            if needles.iter().any(|needle| searched.has(needle)) {
                found.push(row.try_get("", "id")?);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(identity: (&str, &str), body: &str) -> bool {
        let needle = Needle::of(identity.0, identity.1);
        needle.is_some_and(|needle| Searched::of(body).has(&needle))
    }

    #[test]
    fn a_phone_number_is_found_however_it_is_written() {
        let phone = ("phone", "+12125550123");
        for body in [
            "+12125550123",
            r#"{"from": "(212) 555-0123"}"#,
            "From=%2B12125550123&Body=hi",
            "001 212 555 01 23",
            "call 212.555.0123.",
        ] {
            assert!(names(phone, body), "{body}");
        }
        for body in ["2125550124", "21255501231", "212 555", "12, 125, 550, 123"] {
            assert!(!names(phone, body), "{body}");
        }
        assert!(!names(("phone", "+12345"), "+12345"), "too short");
    }

    #[test]
    fn an_address_and_a_profile_are_found_as_others_spell_them() {
        let mail = ("email", "dana@example.com");
        for body in ["To DANA@example.com", "e=dana%40example.com", r#""dana\u0040example.com""#] {
            assert!(names(mail, body), "{body}");
        }
        assert!(!names(mail, "dana at example.com"));
        let profile = ("linkedin_url", "https://linkedin.com/in/dana");
        for body in [
            "https://www.linkedin.com/in/Dana/",
            r#"{"url":"http:\/\/de.linkedin.com\/in\/dana"}"#,
            "linkedin.com/in/dana?trk=x",
        ] {
            assert!(names(profile, body), "{body}");
        }
        for body in ["linkedin.com/in/dana-smith", "linkedin.com/in/danae", "/company/dana", "dana"]
        {
            assert!(!names(profile, body), "{body}");
        }
        let member = ("linkedin_member", "ACoAA12345");
        assert!(names(member, r#"{"id":"acoaa12345"}"#));
        assert!(!names(member, r#"{"id":"ACoAA123456"}"#));
        assert!(!names(("emailbison_lead", "12345"), "12345"), "too short");
    }
}
