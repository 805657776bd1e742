//! Finds secrets in bodies, in every spelling that providers use, and replaces them by [`MASK`].
//!
//! If the address that a provider posts to holds a secret, the provider may repeat that address in
//! a body: in a text, as a name, escaped as JSON within a text, or encoded as part of another
//! address.

use super::json;
use memchr::{memchr_iter, memmem};
use serde_json::{Map, Value};
use std::ops::Range;

/// The text that replaces a secret.
pub const MASK: &str = "***";

/// How many encodings within each other are undone in a text. The body's own JSON does not count.
const LAYERS: u8 = 3;
/// In a text of more bytes only one encoding is undone. Each layer costs passes over the whole
/// text, and anybody whose answer a provider forwards can write a text with many layers.
const LARGE_BYTES: usize = 128 * 1_024;
/// How many levels of JSON within texts of JSON are searched.
const NESTED: u8 = 3;
/// The parameter of an address that may hold a secret; see docs/RULES.md P2.
const PARAMETER: &[u8] = b"secret=";

/// The secrets to mask, and the field whose value is one.
#[derive(Debug)]
pub struct Masks<'a> {
    field: Option<&'a str>,
    secrets: Vec<Vec<u8>>,
}

impl<'a> Masks<'a> {
    /// Masks the value of `field` in any place of a body, these secrets, and the `secret` parameter
    /// of an address.
    pub fn new(field: Option<&'a str>, secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let told = secrets.into_iter().filter(|it| !it.is_empty());
        // A form encodes a blank as a plus sign.
        let spelled = told.flat_map(|secret| [secret.to_owned(), secret.replace(' ', "+")]);
        let mut secrets: Vec<Vec<u8>> = spelled.map(String::into_bytes).collect();
        secrets.sort();
        secrets.dedup();
        Self { field, secrets }
    }

    /// The body without secrets; `None` if it holds none. `text` is the body as it came, in which a
    /// name may occur twice.
    pub fn body(&self, text: &[u8], value: &Value) -> Option<Value> {
        let is_there = any_layer(text, layers(text) + 1, &mut |layer| {
            let holds = |it: &[u8]| memmem::find(layer, it).is_some();
            self.secrets.iter().any(|it| holds(it))
                || self.field.is_some_and(|it| holds(it.as_bytes()))
                || !parameters(layer).is_empty()
        });
        if !is_there {
            return None;
        }
        let mut masked = value.clone();
        let is_changed = self.value(&mut masked, NESTED);
        let is_hidden = || {
            any_layer(text, layers(text) + 1, &mut |layer| {
                self.secrets.iter().any(|it| memmem::find(layer, it).is_some())
            })
        };
        (is_changed || is_hidden()).then_some(masked)
    }

    /// A text without secrets; `None` if it holds none.
    pub fn text(&self, text: &str) -> Option<String> {
        let bytes = text.as_bytes();
        let is_there = any_layer(bytes, layers(bytes), &mut |layer| {
            self.secrets.iter().any(|it| memmem::find(layer, it).is_some())
                || !parameters(layer).is_empty()
        });
        if !is_there {
            return None;
        }
        let mut found: Vec<Range<usize>> = Vec::new();
        let starts: Vec<usize> = (0..=bytes.len()).collect();
        self.collect(bytes, &starts, layers(bytes), &mut found);
        found.sort_by_key(|range| (range.start, std::cmp::Reverse(range.end)));
        let (mut masked, mut kept) = (String::with_capacity(text.len()), 0);
        for range in found {
            if range.start >= kept {
                masked.push_str(text.get(kept..range.start)?);
                masked.push_str(MASK);
            }
            kept = kept.max(range.end);
        }
        masked.push_str(text.get(kept..)?);
        (masked != text).then_some(masked)
    }

    /// Adds the ranges of secrets in a text to `found`. `layer` is that text with some encodings
    /// undone, and `starts` gives for each byte of `layer` its place in the text.
    fn collect(&self, layer: &[u8], starts: &[usize], left: u8, found: &mut Vec<Range<usize>>) {
        let place = |index: usize| starts.get(index).copied().unwrap_or_default();
        let secrets = self
            .secrets
            .iter()
            .flat_map(|secret| memmem::find_iter(layer, secret).map(|at| at..at + secret.len()));
        found.extend(
            secrets.chain(parameters(layer)).map(|range| place(range.start)..place(range.end)),
        );
        let Some(left) = left.checked_sub(1) else { return };
        for code in Code::ALL {
            if let Some(read) = code.read(layer) {
                let starts: Vec<usize> = read.starts.iter().map(|it| place(*it)).collect();
                self.collect(&read.bytes, &starts, left, found);
            }
        }
    }

    /// Masks a value; true if it has changed.
    fn value(&self, value: &mut Value, nested: u8) -> bool {
        match value {
            Value::Object(map) => self.object(map, nested),
            Value::Array(items) => {
                items.iter_mut().fold(false, |changed, it| self.value(it, nested) | changed)
            }
            Value::String(text) => match self.string(text, nested) {
                Some(masked) => {
                    *text = masked;
                    true
                }
                None => false,
            },
            Value::Number(number) => match self.text(&number.to_string()) {
                Some(masked) => {
                    *value = Value::String(masked);
                    true
                }
                None => false,
            },
            Value::Null | Value::Bool(_) => false,
        }
    }

    fn object(&self, map: &mut Map<String, Value>, nested: u8) -> bool {
        let mut is_changed = false;
        for (name, value) in map.iter_mut() {
            if Some(name.as_str()) == self.field {
                is_changed |= value.as_str() != Some(MASK);
                *value = Value::from(MASK);
            } else {
                is_changed |= self.value(value, nested);
            }
        }
        let renamed: Vec<(String, String)> =
            map.keys().filter_map(|name| Some((name.clone(), self.text(name)?))).collect();
        for (name, mut masked) in renamed {
            is_changed = true;
            // Two names that would become equal stay different.
            while map.contains_key(&masked) {
                masked.push('*');
            }
            if let Some(value) = map.remove(&name) {
                map.insert(masked, value);
            }
        }
        is_changed
    }

    /// Masks a string. If it is itself JSON that holds the field, it is masked as JSON.
    fn string(&self, text: &str, nested: u8) -> Option<String> {
        let may_be_json = text.trim_start().starts_with(['{', '[', '"']);
        if let Some(field) = self.field.filter(|_| nested > 0 && may_be_json)
            && any_layer(text.as_bytes(), layers(text.as_bytes()), &mut |layer| {
                memmem::find(layer, field.as_bytes()).is_some()
            })
            && let Ok(mut value) = json::parse(text.as_bytes())
            && self.value(&mut value, nested - 1)
        {
            return Some(value.to_string());
        }
        self.text(text)
    }
}

/// The ranges of the values of the parameter in an address, except for values that are masked
/// already.
fn parameters(text: &[u8]) -> Vec<Range<usize>> {
    const ENDS: &[u8] = b"&#\"'<>\\()[]{},;|";
    let mut found = Vec::new();
    for at in memchr_iter(b'=', text) {
        let value = at + 1;
        let Some(name) = value.checked_sub(PARAMETER.len()) else { continue };
        let is_it = text.get(name..value).is_some_and(|it| it.eq_ignore_ascii_case(PARAMETER));
        let before = name.checked_sub(1).and_then(|it| text.get(it));
        // `;` may be the end of `&amp;`.
        if !is_it || !before.is_none_or(|it| matches!(it, b'?' | b'&' | b';')) {
            continue;
        }
        let rest = text.get(value..).unwrap_or_default();
        let is_end = |byte: &u8| ENDS.contains(byte) || byte.is_ascii_whitespace();
        let len = rest.iter().position(is_end).unwrap_or(rest.len());
        if len > 0 && rest.get(..len) != Some(MASK.as_bytes()) {
            found.push(value..value + len);
        }
    }
    found
}

/// How many encodings within each other are undone in `text`.
const fn layers(text: &[u8]) -> u8 {
    if text.len() > LARGE_BYTES { 1 } else { LAYERS }
}

/// True if `is_it` holds for a text, or for the text with up to `layers` encodings undone.
fn any_layer(text: &[u8], layers: u8, is_it: &mut impl FnMut(&[u8]) -> bool) -> bool {
    if is_it(text) {
        return true;
    }
    let Some(layers) = layers.checked_sub(1) else { return false };
    Code::ALL
        .into_iter()
        .any(|code| code.read(text).is_some_and(|read| any_layer(&read.bytes, layers, is_it)))
}

/// An encoding by which a text is put into another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    /// Percent-encoding, as in addresses.
    Percent,
    /// Escapes, as in a string of JSON.
    Escape,
    /// Entities, as in HTML.
    Entity,
}

/// A text with one encoding undone. `starts` gives for each byte its place in the encoded text, and
/// at the end that text's length.
#[derive(Debug, Default)]
struct Read {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Code {
    const ALL: [Self; 3] = [Self::Percent, Self::Escape, Self::Entity];

    const fn sign(self) -> u8 {
        match self {
            Self::Percent => b'%',
            Self::Escape => b'\\',
            Self::Entity => b'&',
        }
    }

    /// Undoes the encoding; `None` if nothing in the text is encoded this way.
    fn read(self, text: &[u8]) -> Option<Read> {
        let mut read = Read::default();
        let mut kept = 0;
        for at in memchr_iter(self.sign(), text) {
            if at < kept {
                continue;
            }
            let Some((decoded, len)) = text.get(at + 1..).and_then(|it| self.decoded(it)) else {
                continue;
            };
            read.keep(text, kept..at);
            for byte in decoded {
                read.bytes.push(byte);
                read.starts.push(at);
            }
            kept = at + 1 + len;
        }
        if kept == 0 {
            return None;
        }
        read.keep(text, kept..text.len());
        read.starts.push(text.len());
        Some(read)
    }

    /// The bytes that the start of `rest` stands for, and how many bytes of `rest` that takes.
    /// `rest` follows the sign.
    fn decoded(self, rest: &[u8]) -> Option<(Vec<u8>, usize)> {
        match self {
            Self::Percent => {
                let byte = hex(rest.get(..2)?)?;
                Some((vec![u8::try_from(byte).ok()?], 2))
            }
            Self::Escape => escape(rest),
            Self::Entity => entity(rest),
        }
    }
}

impl Read {
    fn keep(&mut self, text: &[u8], range: Range<usize>) {
        self.bytes.extend_from_slice(text.get(range.clone()).unwrap_or_default());
        self.starts.extend(range);
    }
}

fn hex(digits: &[u8]) -> Option<u32> {
    let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
    u32::from_str_radix(std::str::from_utf8(digits).ok().filter(|_| is_hex)?, 16).ok()
}

/// An escape of JSON; a lone surrogate stands for no bytes.
fn escape(rest: &[u8]) -> Option<(Vec<u8>, usize)> {
    let simple = match rest.first()? {
        it @ (b'"' | b'\\' | b'/' | b'\'') => *it,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => {
            let unit = |from: usize| u16::try_from(hex(rest.get(from..from + 4)?)?).ok();
            let first = unit(1)?;
            let second = rest.get(5..7).filter(|it| *it == b"\\u").and_then(|_| unit(7));
            let is_pair = (0xD800..0xDC00).contains(&first);
            let units = match second.filter(|it| is_pair && (0xDC00..0xE000).contains(it)) {
                Some(second) => vec![first, second],
                None => vec![first],
            };
            let len = units.len() * 6 - 1;
            let text: String = char::decode_utf16(units).filter_map(Result::ok).collect();
            return Some((text.into_bytes(), len));
        }
        _ => return None,
    };
    Some((vec![simple], 1))
}

/// The most bytes of an entity that are read.
const ENTITY_MAX: usize = 12;

fn entity(rest: &[u8]) -> Option<(Vec<u8>, usize)> {
    let end = rest.iter().take(ENTITY_MAX).position(|it| *it == b';')?;
    let name = std::str::from_utf8(rest.get(..end)?).ok()?;
    let number = name.strip_prefix('#').map(|digits| match digits.strip_prefix(['x', 'X']) {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => digits.parse(),
    });
    let char = match (number, name) {
        (Some(code), _) => char::from_u32(code.ok()?)?,
        (None, "amp" | "AMP") => '&',
        (None, "lt" | "LT") => '<',
        (None, "gt" | "GT") => '>',
        (None, "quot" | "QUOT") => '"',
        (None, "apos") => '\'',
        (None, "plus") => '+',
        (None, "equals") => '=',
        (None, "sol") => '/',
        (None, _) => return None,
    };
    Some((char.to_string().into_bytes(), end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::{
        AnyChannel, email::Email, instantly::Instantly, linkedin::Linkedin, smartlead::Smartlead,
        sms::Sms,
    };
    use proptest::prelude::*;
    use serde_json::json;

    const SECRET: &str = "p4ss-w0rd+of/acme=\"&ü 7";

    fn percent(text: &str, is_upper: bool) -> String {
        let hex = |it: u8| if is_upper { format!("%{it:02X}") } else { format!("%{it:02x}") };
        text.bytes().map(hex).collect()
    }

    fn form(text: &str) -> String {
        url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
    }

    fn in_json(text: &str) -> String {
        let quoted = Value::from(text).to_string();
        quoted[1..quoted.len() - 1].to_owned()
    }

    fn escaped(text: &str) -> String {
        text.encode_utf16().map(|it| format!("\\u{it:04X}")).collect()
    }

    /// The secret as somebody may write it in a text.
    fn spellings(secret: &str) -> Vec<String> {
        let entities: String = secret.chars().map(|it| format!("&#{};", u32::from(it))).collect();
        vec![
            secret.to_owned(),
            form(secret),
            form(secret).to_ascii_lowercase().replace("%c3%bc", "%C3%bC"),
            percent(secret, false),
            percent(secret, true),
            percent(&percent(secret, true), false),
            in_json(&in_json(secret)),
            escaped(secret),
            form(&escaped(secret)),
            in_json(&form(secret)),
            entities,
            secret.replace('&', "&amp;").replace('"', "&quot;"),
            secret.replace('/', "\\/").replace('"', "\\\""),
        ]
    }

    #[test]
    fn a_secret_is_found_in_every_spelling() {
        let masks = Masks::new(None, [SECRET]);
        for spelled in spellings(SECRET) {
            for (before, behind) in [("", ""), ("x", "y"), ("%", "%"), ("x ", "&"), ("🙂", "ü")]
            {
                let text = format!("{before}{spelled}{behind}");
                let expected = format!("{before}{MASK}{behind}");
                assert_eq!(masks.text(&text).as_deref(), Some(expected.as_str()), "{text}");
                let body = json!({"a": [text.clone()], "b": {text.clone(): 1}, "c": {"d": text}});
                let masked = masks.body(body.to_string().as_bytes(), &body).expect("it is masked");
                let expected = json!({"a": [expected.clone()], "b": {expected.clone(): 1}, "c": {"d": expected}});
                assert_eq!(masked, expected);
            }
        }
        for text in ["", "p4ss-w0rd", "p4ss-w0rd+of/acme=\"&ü  7", "P4ss-w0rd+of/acme=\"&ü 7"] {
            assert_eq!(masks.text(text), None, "{text}");
        }
    }

    #[test]
    fn digits_of_numbers_and_names_are_masked() {
        let masks = Masks::new(None, ["1234567890123456"]);
        let text = br#"{"n": 1234567890123456, "m": -1234567890123456.5, "1234567890123456": 1, "***": 2, "k": 12}"#;
        let value = json::parse(text).unwrap();
        let masked = masks.body(text, &value).unwrap();
        assert_eq!(masked, json!({"n": "***", "m": "-***.5", "***": 2, "****": 1, "k": 12}));
    }

    #[test]
    fn what_an_address_gives_as_secret_is_masked_whatever_it_is() {
        let masks = Masks::new(None, []);
        for (text, expected) in [
            ("https://x.test/?secret=abc&a=1", "https://x.test/?secret=***&a=1"),
            ("https://x.test/?a=1&Secret=a%2Bb#c", "https://x.test/?a=1&Secret=***#c"),
            ("see https://x.test/?secret=abc, please", "see https://x.test/?secret=***, please"),
            ("https%3A%2F%2Fx%3Fsecret%3Dabc%26a%3D1", "https%3A%2F%2Fx%3Fsecret%3D***%26a%3D1"),
            ("<a href=\"/?a&amp;secret=abc\">", "<a href=\"/?a&amp;secret=***\">"),
            ("secret=abc&a=1", "secret=***&a=1"),
        ] {
            assert_eq!(masks.text(text).as_deref(), Some(expected));
            assert_eq!(masks.text(expected), None, "masked once");
        }
        for text in ["my secret=abc", "secret=", "?secret=", "?secrets=abc", "secret"] {
            assert_eq!(masks.text(text), None, "{text}");
        }
    }

    #[test]
    fn the_field_is_masked_wherever_it_stands() {
        let masks = Masks::new(Some("secret_key"), ["a-secret-of-acme"]);
        let inner = json!({"secret_key": "another", "n": 1}).to_string();
        let body = json!({"secret_key": {"a": 1}, "a": [{"secret_key": "b"}], "raw": inner});
        let masked = masks.body(body.to_string().as_bytes(), &body).unwrap();
        let inner = json!({"secret_key": MASK, "n": 1}).to_string();
        assert_eq!(masked, json!({"secret_key": MASK, "a": [{"secret_key": MASK}], "raw": inner}));
        assert_eq!(masks.body(masked.to_string().as_bytes(), &masked), None);
    }

    #[test]
    fn a_secret_under_a_name_that_stands_twice_is_not_kept() {
        let masks = Masks::new(None, ["a-secret-of-acme"]);
        for text in [
            &br#"{"a": "a-secret-of-acme", "a": 1}"#[..],
            br#"{"a": "\u0061-secret-of-acme", "a": 1}"#,
        ] {
            let value = json::parse(text).unwrap();
            assert_eq!(masks.body(text, &value), Some(json!({"a": 1})));
        }
        // Escapes of half characters are taken out.
        let text = br#"{"a": "a-secret\ud800-of-acme"}"#;
        let value = json::parse(text).unwrap();
        assert_eq!(masks.body(text, &value), Some(json!({"a": MASK})));
    }

    /// All places of a value, as it is with `with` put there.
    fn planted(value: &Value, with: &str) -> Vec<Value> {
        let mut all = Vec::new();
        match value {
            Value::Object(map) => {
                for (name, inner) in map {
                    for it in planted(inner, with) {
                        let mut map = map.clone();
                        map.insert(name.clone(), it);
                        all.push(Value::Object(map));
                    }
                    let mut named = map.clone();
                    named.insert(format!("{name} {with}"), inner.clone());
                    all.push(Value::Object(named));
                }
            }
            Value::Array(items) => {
                for (at, inner) in items.iter().enumerate() {
                    for it in planted(inner, with) {
                        let mut items = items.clone();
                        *items.get_mut(at).expect("it is there") = it;
                        all.push(Value::Array(items));
                    }
                }
            }
            Value::String(text) => all.push(Value::String(format!("{text}{with} "))),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        all
    }

    #[test]
    fn only_the_secret_is_masked_wherever_it_stands_in_a_sample() {
        let bodies = [
            AnyChannel::sample(&Email, None, 7),
            AnyChannel::sample(&Sms, None, 7),
            AnyChannel::sample(&Linkedin, None, 7),
            AnyChannel::sample(&Smartlead, None, 7),
            AnyChannel::sample(&Instantly, None, 7),
        ];
        for body in bodies {
            let body = body.expect("a sample");
            let masks = Masks::new(None, [SECRET]);
            for spelled in spellings(SECRET) {
                let pairs = planted(&body, &spelled).into_iter().zip(planted(&body, MASK));
                for (body, expected) in pairs {
                    let masked = masks.body(body.to_string().as_bytes(), &body);
                    assert_eq!(masked, Some(expected), "{body}");
                }
            }
        }
    }

    #[test]
    fn in_a_large_text_a_secret_is_found_that_is_encoded_once() {
        let masks = Masks::new(None, [SECRET]);
        for spelled in [SECRET.to_owned(), percent(SECRET, true), form(SECRET)] {
            let large = format!("{spelled} {}", "lorem ipsum ".repeat(LARGE_BYTES / 10));
            let masked = masks.text(&large).expect("it holds a secret");
            assert!(masked.starts_with("*** lorem") && large.len() > LARGE_BYTES, "{spelled}");
            let body = json!({"message": {"body": large}});
            let shown = masks.body(body.to_string().as_bytes(), &body).expect("it holds a secret");
            assert_eq!(shown.pointer("/message/body"), Some(&masked.into()));
        }
    }

    proptest! {
        #[test]
        fn any_secret_is_found_in_any_spelling(
            secret in "[!-~]{16,24}", before in "[ a-z]{0,9}", behind in "[ a-z]{0,9}",
        ) {
            let masks = Masks::new(None, [secret.as_str()]);
            let spelled = [
                secret.clone(), form(&secret), percent(&secret, true), percent(&secret, false),
                in_json(&secret), escaped(&secret), form(&in_json(&secret)), percent(&form(&secret), false),
            ];
            for spelled in spelled {
                let text = format!("{before}{spelled}{behind}");
                let masked = masks.text(&text);
                prop_assert!(masked.as_ref().is_some_and(|it| it.contains(MASK)), "{text}");
                let left = masked.unwrap_or_default();
                prop_assert!(!left.contains(&spelled), "{left}");
            }
        }

        #[test]
        fn other_texts_are_left_alone(text in ".{0,200}") {
            prop_assert_eq!(Masks::new(Some("secret_key"), ["a-secret-of-acme"]).text(&text), None);
        }
    }
}
