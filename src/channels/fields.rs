//! Reads a body's fields in each way in which a provider may spell them (docs/RULES.md P5, P6, P9).

use crate::domain::{
    NotUnderstood,
    event::{Address, Attachment, KeyKind, MessageKey},
    text::is_blank,
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt;

pub use crate::domain::text::normalised;

/// Longer than any real id, name of a person or address; short enough for an index of either
/// database.
pub(super) const ID_BYTES_MAX: usize = 512;
const EMAIL_BYTES_MAX: usize = 320;
/// The most entries of a list that are read, more than any mail has. A stored entry takes several
/// times the memory that it takes in the body.
const LIST_MAX: usize = 1_000;

/// A required field that is absent or of a wrong type (docs/RULES.md P5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldError {
    /// The field at this path is absent.
    Missing(&'static str),
    /// The field at this path has a wrong type.
    Bad(&'static str),
}

impl FieldError {
    /// This error as the reason why a body of `event` is not understood.
    pub fn of(self, event: &str) -> NotUnderstood {
        NotUnderstood { event_type: Some(event.to_owned()), reason: self.to_string() }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(f, "missing_field {path}"),
            Self::Bad(path) => write!(f, "bad_field {path}"),
        }
    }
}

/// The value at a path of names joined by dots, even if it counts as absent (see [`get`]).
pub fn raw<'a>(body: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(body, |value, name| value.as_object()?.get(name))
}

/// The value at a path; `None` if it counts as absent: null, `""`, blanks only, `{}`, `"N/A"`.
pub fn get<'a>(body: &'a Value, path: &str) -> Option<&'a Value> {
    raw(body, path).filter(|value| !is_absent(value))
}

fn is_absent(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => {
            let text = text.trim_matches(is_blank);
            text.is_empty() || text == "N/A"
        }
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => false,
    }
}

/// A text as it came, without U+0000. A number counts as its digits.
pub fn text(body: &Value, path: &str) -> Option<String> {
    match get(body, path)? {
        Value::String(text) => Some(text.replace('\0', "")),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A name, an id or another short word, trimmed; a number as its digits. `None` if it is longer
/// than 512 bytes.
pub fn word(body: &Value, path: &str) -> Option<String> {
    let text = text(body, path)?;
    let word = text.trim_matches(is_blank);
    (word.len() <= ID_BYTES_MAX).then(|| word.to_owned())
}

/// The first of `paths` at which there is a word.
pub fn first_word(body: &Value, paths: &[&str]) -> Option<String> {
    paths.iter().find_map(|path| word(body, path))
}

/// The first of `paths` at which there is a text.
pub fn first_text(body: &Value, paths: &[&str]) -> Option<String> {
    paths.iter().find_map(|path| text(body, path))
}

/// An id that the event cannot do without.
///
/// # Errors
/// Absent, or neither a number nor a text of sensible length.
pub fn required(body: &Value, path: &'static str) -> Result<String, FieldError> {
    match get(body, path) {
        None => Err(FieldError::Missing(path)),
        Some(_) => word(body, path).ok_or(FieldError::Bad(path)),
    }
}

/// An object that the event cannot do without.
///
/// # Errors
/// Absent, or no object.
pub fn required_object(body: &Value, path: &'static str) -> Result<(), FieldError> {
    match get(body, path) {
        None => Err(FieldError::Missing(path)),
        Some(Value::Object(_)) => Ok(()),
        Some(_) => Err(FieldError::Bad(path)),
    }
}

/// The error for a required address that cannot be read. A text that is no address counts as
/// absent.
pub fn no_address(body: &Value, path: &'static str) -> FieldError {
    match get(body, path) {
        Some(Value::String(_)) | None => FieldError::Missing(path),
        Some(_) => FieldError::Bad(path),
    }
}

/// A flag: true/false, 0/1, or one of these as text. Anything else, or nothing, is false.
pub fn flag(body: &Value, path: &str) -> bool {
    match raw(body, path) {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::Number(number)) => number.as_f64() == Some(1.0),
        Some(Value::String(text)) => {
            let text = text.trim();
            text == "1" || text.eq_ignore_ascii_case("true")
        }
        Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => false,
    }
}

/// An e-mail address at a path, lower-cased; none if it is no address.
pub fn email(body: &Value, path: &str) -> Option<String> {
    email_address(&text(body, path)?)
}

/// The lower-cased address, if `text` is one: text on both sides of one `@`, no blanks.
pub fn email_address(text: &str) -> Option<String> {
    let text = text.trim_matches(is_blank);
    let (local, domain) = text.split_once('@')?;
    let is_address = !local.is_empty()
        && !domain.is_empty()
        && !domain.contains('@')
        && text.len() <= EMAIL_BYTES_MAX
        && !text.chars().any(is_blank);
    // A small letter may have more bytes than its capital.
    is_address.then(|| text.to_lowercase()).filter(|it| it.len() <= EMAIL_BYTES_MAX)
}

/// True for an address that has the name of a robot that returns mail. The name is the whole part
/// before the `@`; only a tail behind `+` or `-` may follow it.
///
/// The address may still be a person's. It is a robot's if the mail, too, shows that a machine
/// wrote it (docs/RULES.md P13).
pub fn has_robots_name(address: &str) -> bool {
    const NAMES: [&str; 4] = ["mailer-daemon", "postmaster", "bounces", "bounce"];
    let address = address.to_lowercase();
    let Some((local, _)) = address.split_once('@') else { return false };
    let local = local.trim_matches('"');
    NAMES.iter().any(|name| {
        local.strip_prefix(name).is_some_and(|tail| tail.is_empty() || tail.starts_with(['+', '-']))
    })
}

/// True if headers at a path, in any shape, name an empty envelope sender or say that a machine
/// wrote.
pub fn are_of_a_machine(body: &Value, path: &str) -> bool {
    let tells = |name: &str, value: &str| {
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_ascii_lowercase());
        match name.as_str() {
            "return-path" | "envelope-from" | "x-envelope-from" => {
                value == "<>" || value.is_empty()
            }
            "auto-submitted" => !value.is_empty() && value != "no",
            "content-type" => value.contains("delivery-status"),
            "x-failed-recipients" => !value.is_empty(),
            _ => false,
        }
    };
    match get(body, path) {
        Some(Value::Object(map)) => {
            map.iter().any(|(name, value)| value.as_str().is_some_and(|it| tells(name, it)))
        }
        Some(Value::Array(items)) => items.iter().take(LIST_MAX).any(|item| match item {
            Value::String(line) => {
                line.split_once(':').is_some_and(|(name, value)| tells(name, value))
            }
            Value::Object(_) => {
                let name = first_word(item, &["name", "key", "header"]);
                let value = raw(item, "value").and_then(Value::as_str).unwrap_or("-");
                name.is_some_and(|name| tells(&name, value))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => false,
        }),
        Some(Value::String(text)) => text
            .lines()
            .take(LIST_MAX)
            .any(|line| line.split_once(':').is_some_and(|(name, value)| tells(name, value))),
        Some(Value::Null | Value::Bool(_) | Value::Number(_)) | None => false,
    }
}

/// Mail addresses at a path: null, a list of texts or of objects, one object, or one text.
pub fn addresses(body: &Value, path: &str) -> Vec<Address> {
    match get(body, path) {
        Some(Value::Array(items)) => items.iter().filter_map(address).take(LIST_MAX).collect(),
        Some(Value::String(text)) => {
            text.split([',', ';']).filter_map(address_in).take(LIST_MAX).collect()
        }
        Some(one @ Value::Object(_)) => address(one).into_iter().collect(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_)) | None => Vec::new(),
    }
}

fn address(item: &Value) -> Option<Address> {
    match item {
        Value::String(text) => address_in(text),
        Value::Object(_) => {
            let address =
                ["address", "email", "email_address"].iter().find_map(|name| email(item, name))?;
            Some(Address { address: Some(address), name: word(item, "name") })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    }
}

/// `a@b.example`, or `Name <a@b.example>`.
fn address_in(text: &str) -> Option<Address> {
    let (name, address) = match text.split_once('<') {
        Some((name, rest)) => (name, rest.split('>').next()?),
        None => ("", text),
    };
    let name = name.replace('\0', "");
    let name = name.trim_matches(|char: char| char == '"' || is_blank(char));
    let is_name = !name.is_empty() && name.len() <= ID_BYTES_MAX;
    let name = is_name.then(|| name.to_owned());
    Some(Address { address: Some(email_address(address)?), name })
}

/// Files at a path: a list of objects or addresses, or one of these.
pub fn attachments(body: &Value, path: &str) -> Vec<Attachment> {
    match get(body, path) {
        Some(Value::Array(items)) => items.iter().filter_map(attachment).take(LIST_MAX).collect(),
        Some(one) => attachment(one).into_iter().collect(),
        None => Vec::new(),
    }
}

fn attachment(item: &Value) -> Option<Attachment> {
    match item {
        Value::String(_) if is_absent(item) => None,
        Value::String(url) => {
            Some(Attachment { name: None, r#type: None, url: Some(url.replace('\0', "")) })
        }
        Value::Object(map) if !map.is_empty() => Some(Attachment {
            name: first_text(item, &["file_name", "filename", "name"]),
            r#type: first_text(item, &["mimetype", "content_type", "type"]),
            url: first_text(item, &["download_url", "url"]),
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }
}

/// A full name, split into given name and family name.
pub fn split_name(full: &str) -> (Option<String>, Option<String>) {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    match full.trim().split_once(char::is_whitespace) {
        Some((first, last)) => (some(first), some(last.trim())),
        None => (some(full.trim()), None),
    }
}

/// The zone at a path, if there is one of that name.
pub fn timezone(body: &Value, path: &str) -> Option<String> {
    word(body, path).filter(|name| name.contains('/') && jiff::tz::TimeZone::get(name).is_ok())
}

/// A hash in 32 hex digits over parts that together distinguish one message from another.
pub fn hash(parts: &[&str]) -> String {
    let mut digest = format!("{:x}", Sha256::digest(parts.join("|")));
    digest.truncate(32);
    digest
}

/// A provider's id as a key that never expires.
pub fn id_key(kind: KeyKind, id: &str) -> MessageKey {
    MessageKey { kind, key: id.to_owned(), expires: false }
}

/// A key over a message's content. It never expires if `timed`, which means that a time of the
/// message itself is among the parts (docs/RULES.md P10).
pub fn content_key(kind: KeyKind, parts: &[&str], timed: bool) -> MessageKey {
    MessageKey { kind, key: format!("content:{}", hash(parts)), expires: !timed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn p5_what_says_nothing_is_absent() {
        for value in [json!(null), json!(""), json!(" \t\n"), json!({}), json!("N/A"), json!("\0")]
        {
            let body = json!({"a": {"b": value}});
            assert_eq!(required(&body, "a.b"), Err(FieldError::Missing("a.b")), "{body}");
        }
        assert_eq!(required(&json!({}), "a.b"), Err(FieldError::Missing("a.b")));
        assert_eq!(required(&json!({"a": 3}), "a.b"), Err(FieldError::Missing("a.b")));
    }

    #[test]
    fn p5_what_is_of_a_wrong_type_is_bad() {
        for value in [json!([]), json!(["x"]), json!({"x": 1}), json!(true), json!("x".repeat(600))]
        {
            let body = json!({"a": value});
            assert_eq!(required(&body, "a"), Err(FieldError::Bad("a")));
        }
    }

    #[test]
    fn p6_ids_are_numbers_or_texts() {
        let digits = "9".repeat(400);
        for (text, expected) in [
            (r#"{"id":771204}"#, "771204"),
            (r#"{"id":" 771204\n"}"#, "771204"),
            (r#"{"id":"a\u0000b"}"#, "ab"),
            (&format!("{{\"id\":{digits}}}"), &digits),
        ] {
            let body = crate::channels::json::parse(text.as_bytes()).unwrap();
            assert_eq!(required(&body, "id").as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn p6_flags_are_spelled_many_ways() {
        for (value, expected) in [
            (json!(true), true),
            (json!(1), true),
            (json!("1"), true),
            (json!("true"), true),
            (json!("True"), true),
            (json!(false), false),
            (json!(0), false),
            (json!("0"), false),
            (json!("false"), false),
            (json!(null), false),
            (json!("yes"), false),
            (json!({}), false),
        ] {
            assert_eq!(flag(&json!({"a": value}), "a"), expected, "{value}");
        }
    }

    #[test]
    fn p5_an_address_has_text_on_both_sides_of_one_at() {
        assert_eq!(
            email_address(" Dana@Larkspur.Example "),
            Some("dana@larkspur.example".to_owned())
        );
        for text in ["", "@", "a@", "@b", "a@b@c", "a b@c", "Dana <a@b.example>", "N/A"] {
            assert_eq!(email(&json!({"a": text}), "a"), None, "{text}");
        }
    }

    #[test]
    fn p5_an_address_is_one_in_small_letters_too() {
        let address = |times| format!("{}@x.example", "\u{130}".repeat(times));
        let kept = email_address(&address(50)).unwrap();
        assert_eq!(email_address(&kept), Some(kept));
        assert!(address(150).len() <= EMAIL_BYTES_MAX);
        assert_eq!(email_address(&address(150)), None, "in small letters it is too long");
    }

    #[test]
    fn p6_lists_of_addresses_come_in_many_shapes() {
        let one = |address: &str, name: Option<&str>| Address {
            address: Some(address.to_owned()),
            name: name.map(str::to_owned),
        };
        for (value, expected) in [
            (json!(null), vec![]),
            (json!([]), vec![]),
            (json!(["A@b.example", "nonsense", 3]), vec![one("a@b.example", None)]),
            (json!([{"address": "a@b.example", "name": null}]), vec![one("a@b.example", None)]),
            (json!({"email": "a@b.example", "name": "Al"}), vec![one("a@b.example", Some("Al"))]),
            (json!("\0 \"\" <a@b.example>"), vec![one("a@b.example", None)]),
            (json!("\"Al\u{a0}\" <a@b.example>"), vec![one("a@b.example", Some("Al"))]),
            (
                json!("Al <a@b.example>, c@d.example"),
                vec![one("a@b.example", Some("Al")), one("c@d.example", None)],
            ),
        ] {
            assert_eq!(addresses(&json!({"cc": value}), "cc"), expected, "{value}");
        }
    }

    #[test]
    fn p6_attachments_are_a_list_or_one_object() {
        for (value, expected) in [
            (json!([]), 0),
            (json!(null), 0),
            (json!({}), 0),
            (json!(["https://x.example/a.jpg", ""]), 1),
            (json!([{"id": 1, "file_name": "a.pdf", "download_url": "https://x.example"}]), 1),
            (json!({"id": "x", "type": "img", "sticker": "false"}), 1),
        ] {
            assert_eq!(attachments(&json!({"f": value}), "f").len(), expected, "{value}");
        }
    }

    #[test]
    fn p9_a_key_keeps_its_parts_apart() {
        assert_eq!(hash(&["a", "b"]).len(), 32);
        assert_ne!(hash(&["a", "b"]), hash(&["ab", ""]));
    }

    #[test]
    fn p13_a_robots_name_is_the_whole_local_part() {
        for address in [
            "MAILER-DAEMON@mx.example",
            "mailer-daemon@googlemail.com",
            "postmaster@x.example",
            "bounces@x.example",
            "bounce@x.example",
            "bounce+17-dana=x.example@mx.example",
            "bounces-7@x.example",
            "Postmaster-eu@x.example",
        ] {
            assert!(has_robots_name(address), "{address}");
        }
        for address in [
            "bouncer@club.example",
            "jane.postmaster@kiln.example",
            "bounce.back.fitness@gym.example",
            "dana@postmastergallery.example",
            "dana@bounce.example",
            "noreply@google.com",
            "noreply@x.example",
            "mailer-daemons@x.example",
            "maildelivery@x.example",
            "postmasters@x.example",
            "postmaster",
        ] {
            assert!(!has_robots_name(address), "{address}");
        }
    }

    #[test]
    fn p13_headers_tell_of_a_machine() {
        for headers in [
            json!({"Return-Path": "<>"}),
            json!({"auto-submitted": "auto-replied"}),
            json!(["From: x", "Return-Path: <>"]),
            json!([{"name": "Return-Path", "value": "<>"}]),
            json!("Received: x\r\nReturn-Path: <>\r\n"),
            json!({"Content-Type": "multipart/report; report-type=delivery-status"}),
        ] {
            assert!(are_of_a_machine(&json!({"h": headers}), "h"), "{headers}");
        }
        for headers in [
            json!(null),
            json!({"Return-Path": "<dana@x.example>"}),
            json!({"Auto-Submitted": "no"}),
            json!([7, {"name": "Subject", "value": "<>"}]),
            json!("Subject: Return-Path"),
        ] {
            assert!(!are_of_a_machine(&json!({"h": headers}), "h"), "{headers}");
        }
    }

    #[test]
    fn names_are_split_at_the_first_blank() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(split_name(" Ana  de la Cruz "), (some("Ana"), some("de la Cruz")));
        assert_eq!(split_name("Rita"), (some("Rita"), None));
        assert_eq!(split_name(" "), (None, None));
    }
}
