//! The objects of the API, field by field. A field without a value is `null`, never absent.

mod actors;
mod jobs;
mod leads;
mod messages;
mod overview;
mod quarantine;

pub(super) use self::{
    actors::{ActorJson, PoolJson},
    jobs::{Counted, JobDetailJson, JobJson},
    leads::{LeadDetailJson, LeadJson},
    messages::{DraftJson, MessageDetailJson, MessageJson},
    overview::{ClientCount, JobCounts, NodeJson, OverviewJson},
    quarantine::{QuarantineDetailJson, QuarantineJson},
};

pub(in crate::http) use self::overview::KindCount;

use super::query::Query;
use crate::{domain::Id, http::problem::Problem};
use serde::{Serialize, Serializer};

/// An instant of a row, if it has one.
macro_rules! at {
    ($instant:expr) => {
        $instant.map(|it| Timestamp::from_millis(it.0))
    };
}
use at;

/// An id: a text, opaque to readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowKey(pub(super) Id);

impl Serialize for RowKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A page of a list.
#[derive(Debug, Serialize)]
pub(super) struct List<T> {
    pub(super) items: Vec<T>,
    pub(super) next_cursor: Option<String>,
}

impl<T> List<T> {
    /// A page of a short list that is in the order of names: all of it, unless there is a limit. The
    /// cursor is the last name.
    pub(super) fn by_name(
        mut items: Vec<T>,
        query: &Query,
        name: impl Fn(&T) -> String,
    ) -> Result<Self, Problem> {
        let limit = query.limit_if_given()?.unwrap_or(usize::MAX);
        if let Some(cursor) = query.text("cursor")? {
            items.retain(|it| name(it).as_str() > cursor);
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
        assert_eq!(serde_json::to_value(None::<RowKey>).unwrap(), serde_json::Value::Null);
    }

    #[test]
    fn a_short_list_is_whole_unless_a_limit_is_named() {
        let page = |text: &str| {
            let query = Query::parse(text, &["limit", "cursor"]).unwrap();
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
