//! Values that change while the page is seen. The script puts what a topic tells into the elements
//! that name it.

use super::number::spelled;
use maud::{Markup, html};

/// A value of a topic of `/api/v1/events`.
#[derive(Clone, Debug)]
pub(in crate::http::ui) struct LiveValue(String);

/// The value `key` of `topic`: `live("pools", "SELF_CHECK/busy")`.
pub(in crate::http::ui) fn live(topic: &str, key: &str) -> LiveValue {
    LiveValue(format!("{topic}/{key}"))
}

impl LiveValue {
    /// The value as a text, as it is now; a dash if there is none.
    pub(in crate::http::ui) fn text(&self, now: Option<&str>) -> Markup {
        let is_nothing = matches!(now, None | Some("" | "0" | "0.0"));
        html! { span class=[is_nothing.then_some("z")] data-live=(self.0) { (now.filter(|it| !it.is_empty()).unwrap_or("–")) } }
    }

    /// A value on which more than a text depends: the page is fetched again once it is not `now`.
    pub(in crate::http::ui) fn whole(&self, now: impl maud::Render) -> Markup {
        html! { span hidden data-live=(self.0) data-whole=(now) {} }
    }
}

/// A count of a topic; a dash if it is not known.
pub(in crate::http::ui) fn live_count(topic: &str, key: &str, now: Option<i64>) -> Markup {
    live(topic, key).text(now.map(spelled).as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_topic_and_key() {
        let count = live_count("totals", "drafts/pending", Some(1_200)).into_string();
        assert_eq!(count, "<span data-live=\"totals/drafts/pending\">1,200</span>");
        for nothing in [None, Some(0)] {
            assert!(live_count("a", "b", nothing).into_string().contains("class=\"z\""));
        }
        let whole = live("pools", "A/state").whole("paused").into_string();
        assert!(whole.contains("hidden") && whole.contains("data-whole=\"paused\""), "{whole}");
    }
}
