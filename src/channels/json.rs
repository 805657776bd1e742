//! Bodies as JSON: strict where JSON is strict, lenient with lone surrogates (docs/RULES.md P3).

use serde_json::Value;
use thiserror::Error;

/// A body that is not JSON.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{detail}")]
pub struct NotJson {
    /// Where and why, in words that are safe to show: nothing of the body is in them.
    pub detail: String,
}

/// Reads a body. Lone surrogate escapes are taken out of its strings; numbers may be of any size.
///
/// # Errors
/// Whatever is not JSON: empty, cut, raw control characters in a string, invalid UTF-8; and what is
/// nested deeper than 127 levels.
pub fn parse(body: &[u8]) -> Result<Value, NotJson> {
    serde_json::from_slice(body).or_else(|error| match without_lone_surrogates(body) {
        Some(mended) => serde_json::from_slice(&mended).map_err(|error| not_json(&error)),
        None => Err(not_json(&error)),
    })
}

fn not_json(error: &serde_json::Error) -> NotJson {
    let shown = error.to_string();
    let what = shown.rsplit_once(" at line ").map_or(shown.as_str(), |(what, _)| what);
    let what = match what {
        "recursion limit exceeded" => "nested deeper than 127 levels",
        other => other,
    };
    NotJson { detail: format!("line {} column {}: {what}", error.line(), error.column()) }
}

/// The payload with the value of its top-level field `secret_field` replaced by `"***"`.
pub fn masked(text: &str, value: &Value, secret_field: &str) -> String {
    match value {
        Value::Object(map) if map.contains_key(secret_field) => {
            let mut map = map.clone();
            map.insert(secret_field.to_owned(), Value::from("***"));
            Value::Object(map).to_string()
        }
        Value::Object(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_) => text.to_owned(),
    }
}

/// `body` without the escapes of surrogates that have no partner; `None` if it holds none.
fn without_lone_surrogates(body: &[u8]) -> Option<Vec<u8>> {
    let mut kept = Vec::with_capacity(body.len());
    let (mut rest, mut in_string) = (body, false);
    while let Some((&byte, tail)) = rest.split_first() {
        let take = match byte {
            b'"' => {
                in_string = !in_string;
                1
            }
            b'\\' if in_string => match escaped_unit(rest) {
                Some(0xD800..=0xDBFF) => match tail.get(5..).and_then(escaped_unit) {
                    Some(0xDC00..=0xDFFF) => 12,
                    _ => 0,
                },
                Some(0xDC00..=0xDFFF) => 0,
                _ => 2,
            },
            _ => 1,
        };
        let (taken, left) = rest.split_at(take.min(rest.len()));
        kept.extend_from_slice(taken);
        rest = if take == 0 { left.get(6..).unwrap_or_default() } else { left };
    }
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
        assert_eq!(refused.detail, "line 1 column 128: nested deeper than 127 levels");
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
            let refused = parse(body).unwrap_err();
            assert!(refused.detail.starts_with("line "), "{refused}");
            assert!(!refused.detail.contains("hunter"), "{refused}");
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
    fn numbers_of_any_size_are_read() {
        let digits = "9".repeat(400);
        let body = parse(format!("{{\"id\":{digits},\"x\":1e999}}").as_bytes()).unwrap();
        assert_eq!(body.get("id").unwrap().to_string(), digits);
        assert_eq!(body.get("x").unwrap().as_f64(), None);
    }

    #[test]
    fn of_equal_keys_the_last_counts() {
        assert_eq!(parse(br#"{"a":1,"a":2}"#).unwrap(), json!({"a": 2}));
    }

    #[test]
    fn a_secret_in_the_body_is_masked() {
        let text = r#"{"secret_key":"hunter2","a":{"secret_key":"b"}}"#;
        let value = parse(text.as_bytes()).unwrap();
        let shown = masked(text, &value, "secret_key");
        assert!(!shown.contains("hunter2") && shown.contains("***"), "{shown}");
        assert_eq!(masked("[1]", &json!([1]), "secret_key"), "[1]");
    }

    proptest! {
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
