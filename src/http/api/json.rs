//! The JSON that the API takes: objects in which every name occurs once. If one occurs twice,
//! nobody knows which value was meant.

use crate::http::problem::{Cause, Problem};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};
use std::{cell::RefCell, collections::HashSet, fmt};

/// The object in a body.
///
/// # Errors
/// 400 if the body is no JSON or no object, or if an object in it, at any depth, has a name twice.
pub(super) fn object_in(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    if let Some(path) = named_twice(body) {
        let detail = format!("`{path}` is given twice");
        return Err(Problem::bad_request(path, detail));
    }
    let body: Value = serde_json::from_slice(body)
        .map_err(|error| Problem::not_json(format!("the body is not JSON: {error}")))?;
    match body {
        Value::Object(fields) => Ok(fields),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(Problem::new(Cause::BadRequest, "the body must be an object"))
        }
    }
}

/// The path, with dots, of the first name that its object has twice. `None` if there is none, or if
/// the body is no JSON.
fn named_twice(body: &[u8]) -> Option<String> {
    let found = RefCell::default();
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = Names { path: "", found: &found }.deserialize(&mut json);
    read.err().and_then(|_| found.into_inner())
}

/// Visits a value and checks its names; the values are dropped.
#[derive(Clone, Copy)]
struct Names<'a> {
    /// The path of the value.
    path: &'a str,
    /// The path of the first name that its object has twice, once it is found.
    found: &'a RefCell<Option<String>>,
}

impl Names<'_> {
    fn below(&self, name: impl fmt::Display) -> String {
        if self.path.is_empty() { name.to_string() } else { format!("{}.{name}", self.path) }
    }
}

impl<'de> DeserializeSeed<'de> for Names<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Names<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            let path = self.below(&name);
            if !names.insert(name) {
                *self.found.borrow_mut() = Some(path);
                return Err(A::Error::custom("a name occurs twice"));
            }
            map.next_value_seed(Names { path: &path, found: self.found })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut at = 0_usize;
        while seq.next_element_seed(Names { path: &self.below(at), found: self.found })?.is_some() {
            at += 1;
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_that_stands_twice_is_found_at_any_depth() {
        for (body, path) in [
            (r#"{"status":"failed","status":"pending"}"#, Some("status")),
            (r#"{"a":1,"b":{"c":{"d":1,"d":1}}}"#, Some("b.c.d")),
            (r#"{"a":[0,{"b":null,"b":null}]}"#, Some("a.1.b")),
            (r#"[{"a":1},{"a":1,"a":2}]"#, Some("1.a")),
            // The same name, spelled in another way.
            (r#"{"status":"failed","st\u0061tus":"pending"}"#, Some("status")),
            (r#"{"":1,"":2}"#, Some("")),
            (r#"{"a":1,"b":{"a":1},"c":[{"a":1},{"a":1}],"A":1}"#, None),
            (
                r#"{"a":12345678901234567890123456789,"b":-1.5e300,"c":"","d":true,"e":null,"f":[]}"#,
                None,
            ),
            ("{", None),
            ("", None),
            ("7", None),
        ] {
            assert_eq!(named_twice(body.as_bytes()).as_deref(), path, "{body}");
            assert_eq!(
                object_in(body.as_bytes()).is_ok(),
                path.is_none() && body.len() > 1 && body.ends_with('}')
            );
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-c$]{0,2}", inner, 0..4)
                    .prop_map(|it| Value::Object(it.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_has_every_name_once_is_taken(value in json()) {
            prop_assert_eq!(named_twice(value.to_string().as_bytes()), None);
            prop_assert_eq!(object_in(value.to_string().as_bytes()).is_ok(), value.is_object());
        }
    }
}
