//! What the objects of the API have in common. A field without a value is `null`, never absent.

use super::{ApiResult, query::Query};
use crate::{domain::Id, http::problem::Problem};
use actix_web::HttpResponse;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};
use std::borrow::Cow;

/// An instant of a row, if it has one.
macro_rules! at {
    ($instant:expr) => {
        $instant.map(|instant| Timestamp::from_millis(instant.0))
    };
}
pub(super) use at;

/// An id: a text, opaque to readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct RowKey(pub(in crate::http) Id);

impl Serialize for RowKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl JsonSchema for RowKey {
    fn schema_name() -> Cow<'static, str> {
        "Id".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "pattern": "^[1-9][0-9]{0,17}$",
            "description": "An id: a text, opaque to readers",
        })
    }
}

/// JSON that was stored as text. It goes out as it is: as a tree it would take many times its size.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(in crate::http) enum StoredJson<'a> {
    /// The text, which is JSON.
    Text(&'a RawValue),
    /// Used when the text is `null` or not JSON.
    Otherwise(Value),
}

impl<'a> StoredJson<'a> {
    /// The JSON in `text`, or `otherwise` if that is `null` or cannot be read.
    pub(super) fn of(text: &'a str, otherwise: Value) -> Self {
        match serde_json::from_str::<&RawValue>(text) {
            Ok(json) if json.get() != "null" => Self::Text(json),
            Ok(_) | Err(_) => Self::Otherwise(otherwise),
        }
    }

    /// The value; `None` if the JSON is another one.
    pub(in crate::http) fn read<T: DeserializeOwned>(&self) -> Option<T> {
        match self {
            Self::Text(json) => serde_json::from_str(json.get()).ok(),
            Self::Otherwise(json) => T::deserialize(json).ok(),
        }
    }
}

/// Answers 200 with this object.
pub(super) fn object(object: impl Serialize) -> ApiResult {
    Ok(HttpResponse::Ok().json(object))
}

/// Answers 200 with a page of a list. `next` is the cursor of the page behind it, if there is one.
pub(super) fn page<T: Serialize>(items: Vec<T>, next: Option<impl ToString>) -> ApiResult {
    object(List { items, next_cursor: next.map(|it| it.to_string()) })
}

/// A page of a list.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "ListOf{T}")]
pub(super) struct List<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

impl<T> List<T> {
    /// A page of a short list that is in the order of names: all of it, unless there is a limit.
    /// The cursor is the last name.
    pub(super) fn by_name(
        mut items: Vec<T>,
        query: &Query,
        name: impl Fn(&T) -> String,
    ) -> Result<Self, Problem> {
        let limit = query.limit_if_given()?.unwrap_or(usize::MAX);
        if let Some(cursor) = query.text("cursor")? {
            items.retain(|item| name(item).as_str() > cursor);
        }
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items.last().filter(|_| has_more).map(name);
        Ok(Self { items, next_cursor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_text() {
        assert_eq!(serde_json::to_value(RowKey(42)).unwrap(), serde_json::json!("42"));
        assert_eq!(serde_json::to_value(None::<RowKey>).unwrap(), Value::Null);
    }

    #[test]
    fn a_short_list_is_whole_unless_a_limit_is_named() {
        let page = |text: &str| {
            let query = Query::from_text(text, &["limit", "cursor"]).unwrap();
            let items = vec!["a", "b", "c"];
            let list = List::by_name(items, &query, |it| (*it).to_owned()).unwrap();
            (list.items, list.next_cursor)
        };
        assert_eq!(page(""), (vec!["a", "b", "c"], None));
        assert_eq!(page("limit=2"), (vec!["a", "b"], Some("b".to_owned())));
        assert_eq!(page("limit=2&cursor=b"), (vec!["c"], None));
        assert_eq!(page("limit=3"), (vec!["a", "b", "c"], None));
    }
}
