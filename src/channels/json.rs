//! Bodies as JSON: strict where JSON is strict, lenient with lone surrogates (docs/RULES.md P3).

use super::masks::{MASK, Masks};
use memchr::{memchr2, memmem};
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Map, Value};
use std::{borrow::Cow, cell::Cell, fmt};
use thiserror::Error;

/// The name of the only field of a map by which `serde_json` passes on a number of any size.
const NUMBER: &str = "$serde_json::private::Number";

/// The most values that are read from one body. A tree of values takes many times the memory of
/// their text.
pub const VALUES_MAX: usize = 200_000;
/// An object counts as this many values more than it holds, because the tree of an object with a
/// single name takes that much memory.
const OBJECT_VALUES: usize = 8;

/// Why no tree is made of a body.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unreadable {
    /// It is not JSON. The text says where and why; it holds nothing of the body, so it is safe to
    /// show.
    #[error("{0}")]
    NotJson(String),
    /// It is JSON, but holds more than [`VALUES_MAX`] values.
    #[error("more than {VALUES_MAX} values")]
    TooManyValues,
}

/// UTF-8's byte order mark, which some programs write before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The body behind its byte order mark, if it has one.
pub fn without_byte_order_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body)
}

/// Reads a body. It skips a byte order mark at the start and removes lone surrogate escapes from
/// strings. Numbers may be of any size.
///
/// # Errors
/// [`Unreadable::NotJson`] if it is empty, cut short or nested deeper than 127 levels, or has raw
/// control characters in a string or invalid UTF-8. [`Unreadable::TooManyValues`] if it holds too
/// many values.
pub fn parse(body: &[u8]) -> Result<Value, Unreadable> {
    let body = without_byte_order_mark(body);
    let read = read(body).or_else(|error| match without_lone_surrogates(body) {
        Some(mended) => read(&mended),
        None => Err(error),
    });
    match read {
        Ok(Some(value)) => Ok(value),
        // Values that were skipped were not checked for valid UTF-8.
        Ok(None) if std::str::from_utf8(body).is_err() => {
            Err(Unreadable::NotJson("invalid UTF-8".to_owned()))
        }
        Ok(None) => Err(Unreadable::TooManyValues),
        Err(error) => Err(not_json(&error)),
    }
}

/// Reads a [`Value`] as `serde_json` does, except that its private names have no meaning here: with
/// them, a sender could pass an object off as a number, or nest values in a text more deeply than
/// is allowed. `None` is JSON with too many values.
fn read(body: &[u8]) -> Result<Option<Value>, serde_json::Error> {
    let mut text = serde_json::Deserializer::from_slice(body);
    let (is_owned, count) = (Cell::new(false), Cell::new(0));
    let builder = ValueBuilder { is_owned: &is_owned, count: &count };
    let value = builder.deserialize(&mut text)?;
    text.end()?;
    Ok((!builder.is_full()).then_some(value))
}

/// Builds a [`Value`]. Once there are too many values, it keeps no more.
#[derive(Clone, Copy)]
struct ValueBuilder<'a> {
    /// Set if the last text was passed as an owned `String`. Only the digits of a number are: the
    /// texts of a body are borrowed.
    is_owned: &'a Cell<bool>,
    /// How many values there are so far.
    count: &'a Cell<usize>,
}

impl ValueBuilder<'_> {
    fn add(&self, values: usize) {
        self.count.set(self.count.get() + values);
    }

    /// True once there are too many values. The rest is then skipped.
    fn is_full(&self) -> bool {
        self.count.get() > VALUES_MAX
    }
}

impl<'de> DeserializeSeed<'de> for ValueBuilder<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.is_full() {
            return deserializer.deserialize_ignored_any(IgnoredAny).map(|_| Value::Null);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueBuilder<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        self.is_owned.set(true);
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            self.add(1);
            if !self.is_full() {
                list.push(item);
            }
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            self.is_owned.set(false);
            let value = fields.next_value_seed(self)?;
            // A number of any size comes as a map with this one name.
            if name == NUMBER
                && self.is_owned.get()
                && let Value::String(digits) = &value
            {
                return digits.parse().map(Value::Number).map_err(A::Error::custom);
            }
            self.add(if map.is_empty() { 1 + OBJECT_VALUES } else { 1 });
            if !self.is_full() {
                map.insert(name, value);
            }
        }
        Ok(Value::Object(map))
    }
}

fn not_json(error: &serde_json::Error) -> Unreadable {
    let shown = error.to_string();
    let what = shown.rsplit_once(" at line ").map_or(shown.as_str(), |(what, _)| what);
    let what = match what {
        "recursion limit exceeded" => "nested deeper than 127 levels",
        other => other,
    };
    Unreadable::NotJson(format!("line {} column {}: {what}", error.line(), error.column()))
}

/// The text of the field `name` of a body that is an object, read without a tree, so that the
/// memory does not grow with the number of values. If the name occurs several times, the last
/// counts.
///
/// `None` if the field is absent or no text, or if the body is no object or not JSON. The other
/// values are skipped: they may be nested deeper than [`parse`] allows, and hold bytes that are not
/// UTF-8.
pub fn text_of_field(body: &[u8], name: &str) -> Option<String> {
    let find = |body: &[u8]| {
        let mut text = serde_json::Deserializer::from_slice(body);
        let found = text.deserialize_map(FieldFinder(name))?;
        text.end()?;
        Ok::<_, serde_json::Error>(found)
    };
    let body = without_byte_order_mark(body);
    let found = find(body).or_else(|error| match without_lone_surrogates(body) {
        Some(mended) => find(&mended),
        None => Err(error),
    });
    found.ok().flatten()
}

/// Finds the field of this name in an object and skips all others.
struct FieldFinder<'a>(&'a str);

impl<'de> Visitor<'de> for FieldFinder<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Option<String>, A::Error> {
        let mut found = None;
        while let Some(is_it) = fields.next_key_seed(IsName(self.0))? {
            if is_it {
                found = fields.next_value_seed(TextOnly)?;
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Compares a field's name with this one, without keeping it.
struct IsName<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for IsName<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsName<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

/// Reads a text; `None` for any other value.
struct TextOnly;

impl<'de> DeserializeSeed<'de> for TextOnly {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TextOnly {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    /// Numbers of any size come as a map, too.
    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// The JSON `text` without secrets, as [`Masks::body`] but without a tree of it.
///
/// Everything except strings that hold a secret stays as it is written. The value of `secret_field`
/// is replaced if it is a text.
pub fn masked_text(text: &str, secret_field: Option<&str>, masks: &Masks<'_>) -> String {
    let mut shown = String::with_capacity(text.len());
    let (mut rest, mut is_secret) = (text, false);
    while let Some((before, literal, after)) = first_string(rest) {
        is_secret &= before.trim_matches([' ', '\t', '\r', '\n', ':']).is_empty();
        let value = unquoted(literal);
        let masked = match is_secret {
            true => MASK.to_owned(),
            false => masks.text(&value).unwrap_or_else(|| value.clone()),
        };
        let is_name = after.trim_start().starts_with(':');
        is_secret = is_name && secret_field == Some(value.as_str());
        shown.push_str(before);
        shown.push_str(&match masked == value {
            true => Cow::Borrowed(literal),
            false => Cow::Owned(Value::from(masked).to_string()),
        });
        rest = after;
    }
    shown.push_str(rest);
    shown
}

/// The text before the first string of a JSON text, that string with its quotes, and the text
/// behind it.
fn first_string(text: &str) -> Option<(&str, &str, &str)> {
    let bytes = text.as_bytes();
    let start = memchr::memchr(b'"', bytes)?;
    let mut at = start + 1;
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes.get(at) == Some(&b'"') {
            break;
        }
        at += 2;
    }
    Some((text.get(..start)?, text.get(start..=at)?, text.get(at + 1..)?))
}

/// The value of a string that is written with its quotes; the text itself if it is no valid string.
fn unquoted(literal: &str) -> String {
    let mended = || without_lone_surrogates(literal.as_bytes());
    let read = serde_json::from_str(literal).ok();
    read.or_else(|| serde_json::from_slice(&mended()?).ok()).unwrap_or_else(|| literal.to_owned())
}

/// `body` without the escapes of surrogates that have no partner; `None` if it holds none.
fn without_lone_surrogates(body: &[u8]) -> Option<Vec<u8>> {
    memmem::find(body, br"\u")?;
    let mut kept = Vec::with_capacity(body.len());
    let (mut rest, mut in_string) = (body, false);
    // Only quotes and backslashes need a closer look: all text between two of them is kept as it
    // is.
    while let Some(at) = memchr2(b'"', b'\\', rest) {
        let (plain, marked) = rest.split_at(at);
        kept.extend_from_slice(plain);
        let is_quote = marked.first() == Some(&b'"');
        let taken = if is_quote {
            in_string = !in_string;
            1
        } else if in_string {
            match escaped_unit(marked) {
                Some(0xD800..=0xDBFF) => match marked.get(6..).and_then(escaped_unit) {
                    Some(0xDC00..=0xDFFF) => 12,
                    _ => 0,
                },
                Some(0xDC00..=0xDFFF) => 0,
                _ => 2,
            }
        } else {
            1
        };
        let (taken, left) = marked.split_at(taken.min(marked.len()));
        kept.extend_from_slice(taken);
        rest = if taken.is_empty() { left.get(6..).unwrap_or_default() } else { left };
    }
    kept.extend_from_slice(rest);
    (kept.len() < body.len()).then_some(kept)
}

/// The UTF-16 unit of the `\uXXXX` with which `text` starts.
fn escaped_unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(br"\u")?.get(..4)?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn nested(levels: usize) -> String {
        format!("{}{}", "[".repeat(levels), "]".repeat(levels))
    }

    #[test]
    fn exactly_127_levels_are_read_and_128_are_not() {
        assert!(parse(nested(127).as_bytes()).is_ok());
        let refused = parse(nested(128).as_bytes()).unwrap_err();
        assert_eq!(refused.to_string(), "line 1 column 128: nested deeper than 127 levels");
        assert!(parse(nested(100_000).as_bytes()).is_err());
        assert!(parse("{\"a\":".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn what_is_not_json_is_refused_without_telling_its_contents() {
        for body in [
            &b""[..],
            b"  ",
            b"{not json",
            b"{\"secret\":\"hunter2",
            b"{\"secret\":\"hunter2\n\"}",
            b"{\"secret\":\"hunter2\xff\"}",
            b"{\"secret\":hunter2}",
            b"{\"secret\":1} hunter2",
            b"{\"secret\":1\\ud800}",
            b"{\"secret\":\"\\ud800 hunter2",
        ] {
            let refused = parse(body).unwrap_err().to_string();
            assert!(refused.starts_with("line "), "{refused}");
            assert!(!refused.contains("hunter"), "{refused}");
        }
    }

    #[test]
    fn lone_surrogates_are_taken_out_and_pairs_stay() {
        for (text, expected) in [
            (r#""a\ud800b""#, "ab"),
            (r#""a\udc00b""#, "ab"),
            (r#""\ud83d\ude00""#, "😀"),
            (r#""\ud800\ud83d\ude00\udfff""#, "😀"),
            (r#""\\ud800""#, r"\ud800"),
            (r#""\\\ud800""#, r"\"),
            (r#""\"\uD800\"""#, "\"\""),
            (r#""\ud800\n""#, "\n"),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap(), json!(expected), "{text}");
        }
        assert_eq!(parse(br#"{"k\ud800":1}"#).unwrap(), json!({"k": 1}));
    }

    #[test]
    fn a_byte_order_mark_before_the_body_is_passed_over_and_no_other() {
        assert_eq!(parse(b"\xef\xbb\xbf{\"a\":1}").unwrap(), json!({"a": 1}));
        assert_eq!(parse(b"\xef\xbb\xbf \n[\"\\ud800b\"]").unwrap(), json!(["b"]));
        assert_eq!(parse("\"\u{feff}a\"".as_bytes()).unwrap(), json!("\u{feff}a"));
        for body in [
            &b"\xef\xbb\xbf"[..],
            b"\xef\xbb\xbf\xef\xbb\xbf{}",
            b" \xef\xbb\xbf{}",
            b"{}\xef\xbb\xbf",
            b"\xef\xbb{}",
            b"\xfe\xff\x00{\x00}",
        ] {
            assert!(parse(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn numbers_of_any_size_are_read() {
        let digits = "9".repeat(400);
        let body = parse(format!("{{\"id\":{digits},\"x\":1e999}}").as_bytes()).unwrap();
        assert_eq!(body.get("id").unwrap().to_string(), digits);
        assert_eq!(body.get("x").unwrap().as_f64(), None);
    }

    #[test]
    fn the_parsers_own_names_are_names_like_any_other() {
        const RAW: &str = "$serde_json::private::RawValue";
        for name in [NUMBER, RAW] {
            for value in [
                json!(1),
                json!("12"),
                json!("1e999"),
                json!("twelve"),
                json!("{\"a\":1}"),
                json!(null),
                json!([1, "2"]),
                json!({"a": "12"}),
            ] {
                for text in [
                    format!("{{\"{name}\":{value}}}"),
                    format!("{{\"\\u0024{}\":{value}}}", name.strip_prefix('$').unwrap()),
                    format!("{{ \"{name}\" : {value} }}"),
                ] {
                    let body = parse(text.as_bytes()).unwrap();
                    let map = body.as_object().unwrap_or_else(|| panic!("{text} is {body}"));
                    assert_eq!(map.get(name), Some(&value), "{text}");
                    assert_eq!(map.len(), 1);
                }
                let text = format!(
                    "{{\"a\":[{{\"{name}\":{value},\"b\":\"c\"}}],\"{name}\":\"7\",\"n\":7}}"
                );
                let body = parse(text.as_bytes()).unwrap();
                let inner = body.pointer("/a/0").unwrap().as_object().unwrap();
                assert_eq!((inner.get(name), inner.len()), (Some(&value), 2), "{text}");
                assert_eq!(body.get(name), Some(&json!("7")));
                assert_eq!(body.get("n"), Some(&json!(7)), "numbers are numbers");
            }
        }
        // JSON that is written in a text does not count as nested.
        let deep = json!({RAW: nested(127)}).to_string();
        let deep = format!("{}{deep}{}", "[".repeat(100), "]".repeat(100));
        assert!(parse(deep.as_bytes()).unwrap().pointer(&"/0".repeat(100)).unwrap().is_object());
    }

    #[test]
    fn numbers_are_as_they_were_written() {
        for text in
            ["0", "-0", "7", "-7", "1.50", "1e5", "1E+400", "-1e999", "18446744073709551616"]
        {
            let read = parse(text.as_bytes()).unwrap();
            assert!(read.is_number(), "{text}");
            assert_eq!(read, serde_json::from_str::<Value>(text).unwrap(), "{text}");
        }
    }

    #[test]
    fn of_equal_keys_the_last_counts() {
        assert_eq!(parse(br#"{"a":1,"a":2}"#).unwrap(), json!({"a": 2}));
    }

    fn masked(text: &str, value: &Value, field: Option<&str>, secrets: &[&str]) -> String {
        let masks = Masks::new(field, secrets.iter().copied());
        masks.body(text.as_bytes(), value).map_or_else(|| text.to_owned(), |it| it.to_string())
    }

    #[test]
    fn a_secret_in_the_body_is_masked() {
        let text = r#"{"secret_key":"hunter2","a":{"secret_key":"b"}}"#;
        let value = parse(text.as_bytes()).unwrap();
        let shown = masked(text, &value, Some("secret_key"), &[]);
        assert_eq!(shown, r#"{"a":{"secret_key":"***"},"secret_key":"***"}"#);
        let wrapped = r#"[{"data":{"secret_key":"hunter2"}}]"#;
        let shown = masked(wrapped, &parse(wrapped.as_bytes()).unwrap(), Some("secret_key"), &[]);
        assert_eq!(shown, r#"[{"data":{"secret_key":"***"}}]"#);
        assert_eq!(masked("[1]", &json!([1]), Some("secret_key"), &["hunter2"]), "[1]");
        let told = r#"{"webhook_url":"https://x.example/webhooks?secret=hunter2&a=1","n":[ 1 ]}"#;
        let shown = masked(told, &parse(told.as_bytes()).unwrap(), None, &["hunter2"]);
        assert_eq!(shown, r#"{"n":[1],"webhook_url":"https://x.example/webhooks?secret=***&a=1"}"#);
    }

    #[test]
    fn as_many_values_as_may_be_are_read_and_no_more() {
        let list =
            |count: usize, item: &str| format!("[{}{item}]", format!("{item},").repeat(count - 1));
        for item in ["1", "\"a\"", "null", "1.5", "[]", "{}"] {
            assert!(parse(list(VALUES_MAX, item).as_bytes()).is_ok(), "{item}");
            let many = parse(list(VALUES_MAX + 1, item).as_bytes());
            assert_eq!(many, Err(Unreadable::TooManyValues), "{item}");
        }
        // With the item of the list, an object of one name is ten.
        assert!(parse(list(VALUES_MAX / 10, "{\"\":0}").as_bytes()).is_ok());
        let objects = list(VALUES_MAX / 10 + 1, "{\"\":0}");
        assert_eq!(parse(objects.as_bytes()), Err(Unreadable::TooManyValues));
        let names: String = (0..VALUES_MAX).map(|it| format!("\"{it}\":0,")).collect();
        let object = format!("{{{names}\"last\":0}}");
        assert_eq!(parse(object.as_bytes()), Err(Unreadable::TooManyValues));
        let with_surrogate = format!("[\"\\ud800\",{}]", list(VALUES_MAX, "1"));
        assert_eq!(parse(with_surrogate.as_bytes()), Err(Unreadable::TooManyValues));
        // What comes behind must be JSON all the same.
        for end in [&b""[..], b"]]", b",1] x", b",\"\xff\"]", b",\"\n\"]", b",01]"] {
            let many = list(VALUES_MAX + 1, "1");
            let body = [many.trim_end_matches(']').as_bytes(), end].concat();
            let refused = parse(&body).unwrap_err();
            assert!(matches!(refused, Unreadable::NotJson(_)), "{end:?}: {refused}");
        }
    }

    #[test]
    fn a_field_is_found_without_reading_the_rest() {
        let deep = nested(100_000);
        for (body, expected) in [
            (r#"{"key":"a"}"#, Some("a")),
            (r#" {"b":{"key":"no"}, "key" : "a", "c":[{"key":"no"}]} "#, Some("a")),
            (r#"{"key":"b","key":"a"}"#, Some("a")),
            (r#"{"key":"a","key":7}"#, None),
            (r#"{"key":"a","key":null}"#, None),
            (r#"{"key":7,"key":"a"}"#, Some("a")),
            (r#"{"k\u0065y":"\u0061"}"#, Some("a")),
            (r#"{"key":"a\ud800"}"#, Some("a")),
            (r#"{"k\udc00ey":"a","x":"\ud800"}"#, Some("a")),
            (r#"{"key":"a","n":1e999,"m":-0.5e-7,"t":true,"o":{},"l":[]}"#, Some("a")),
            (r#"{"key":["a"]}"#, None),
            (r#"{"key":{"key":"a"}}"#, None),
            (r#"{"key":{"$serde_json::private::Number":"a"}}"#, None),
            (r#"{"Key":"a"}"#, None),
            (r#"[{"key":"a"}]"#, None),
            (r#""key""#, None),
            (r#"{"key":"a"} x"#, None),
            (r#"{"key":"a""#, None),
            (r#"{"key":"a",}"#, None),
            (r#"{"key":"a","b":"#, None),
            ("", None),
            (&format!("{{\"deep\":{deep},\"key\":\"a\"}}"), Some("a")),
        ] {
            assert_eq!(text_of_field(body.as_bytes(), "key").as_deref(), expected, "{body:.80}");
        }
        let marked = text_of_field(b"\xef\xbb\xbf{\"key\":\"a\"}", "key");
        assert_eq!(marked.as_deref(), Some("a"));
    }

    #[test]
    fn a_secret_is_masked_in_a_text_of_which_there_is_no_tree() {
        for (text, expected) in [
            (r#"[1, 2,{"a":"b"}]"#, r#"[1, 2,{"a":"b"}]"#),
            (r#"{"key":"x", "a":["hunter2"]}"#, r#"{"key":"***", "a":["***"]}"#),
            (r#"{"a":{"key" : "other"},"key":7}"#, r#"{"a":{"key" : "***"},"key":7}"#),
            (r#"["key","other"]"#, r#"["key","other"]"#),
            (r#"{"a":"see ?secret=hunter2&b=\"c\""}"#, r#"{"a":"see ?secret=***&b=\"c\""}"#),
            (r#"{"\u0068unter2":1,"b":"\\"}"#, r#"{"***":1,"b":"\\"}"#),
            (r#"["\ud800hunt\u0065r2","\udc00"]"#, r#"["***","\udc00"]"#),
            (r#"{"a":"hunt\u0065r2","\u006bey":"y"}"#, r#"{"a":"***","\u006bey":"***"}"#),
        ] {
            assert_eq!(
                masked_text(text, Some("key"), &Masks::new(Some("key"), ["hunter2"])),
                expected
            );
            assert!(parse(expected.as_bytes()).is_ok(), "{expected}");
        }
        assert_eq!(masked_text(r#"{"key":"x"}"#, None, &Masks::new(None, [])), r#"{"key":"x"}"#);
    }

    proptest! {
        #[test]
        fn a_field_is_found_as_in_the_tree(text in "[\\[\\]{}:, \"\\\\ab0-9.eE+-]{0,40}") {
            let text = format!("{{\"a\":\"b\",{text}}}");
            if let Ok(value) = parse(text.as_bytes()) {
                let expected = value.get("a").and_then(Value::as_str);
                let found = text_of_field(text.as_bytes(), "a");
                prop_assert_eq!(found.as_deref(), expected);
            }
        }

        #[test]
        fn text_without_secrets_stays_as_it_is(text in "\\PC{0,80}") {
            prop_assert_eq!(masked_text(&text, Some("secret_key"), &Masks::new(Some("secret_key"), ["hunter2"])), text);
        }

        #[test]
        fn what_is_read_is_what_was_written(text in "[\\[\\]{}:, \"\\\\a0-9.eE+-]{0,40}") {
            let theirs = serde_json::from_str::<Value>(&text).ok();
            prop_assert_eq!(parse(text.as_bytes()).ok(), theirs);
        }

        #[test]
        fn any_bytes_are_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..400)) {
            parse(&body).ok();
        }

        #[test]
        fn any_escapes_are_read(escapes in proptest::collection::vec(any::<u16>(), 0..40)) {
            use std::fmt::Write as _;
            let mut text = String::from("\"");
            for unit in escapes {
                write!(text, "\\u{unit:04x}").unwrap();
            }
            text.push('"');
            prop_assert!(parse(text.as_bytes()).is_ok());
        }
    }
}
