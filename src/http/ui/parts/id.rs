//! Ids: whole in the document, cut in the middle on the screen, whole again with the focus.

use super::at;
use crate::{config::TRACE_ID, domain::visible::visible};
use maud::{Markup, html};
use std::fmt::Display;

/// How many characters stay at the beginning and at the end.
const START: usize = 6;
const END: usize = 4;

/// An id that can be copied.
pub(in crate::http::ui) fn id(text: impl Display) -> Markup {
    html! { span.id tabindex="0" { (cut(&text.to_string())) } }
}

/// An id that leads to the page of its object: `id_link("/jobs", job.id)`.
pub(in crate::http::ui) fn id_link(path: &str, id: impl Display) -> Markup {
    let text = id.to_string();
    html! { a.id href=(at(format!("{path}/{text}"))) { (cut(&text)) } }
}

/// The id of a trace. It leads to the trace's page if `trace_url` (of the configuration) says where
/// that is.
pub(in crate::http::ui) fn trace_link(trace_url: Option<&str>, trace_id: &str) -> Markup {
    match trace_url {
        Some(url) => html! { a.mono href=(url.replace(TRACE_ID, trace_id)) { (trace_id) } },
        None => html! { span.mono { (trace_id) } },
    }
}

fn cut(text: &str) -> Markup {
    let text = visible(text, &[]);
    let count = text.chars().count();
    // A short id would not become shorter.
    if count <= START + END + 2 {
        return html! { (text) };
    }
    let part = |from: usize, count: usize| text.chars().skip(from).take(count).collect::<String>();
    let (start, middle) = (part(0, START), part(START, count - START - END));
    html! { (start) i { (middle) } (part(count - END, END)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_whole_in_the_document() {
        assert_eq!(cut("123456789012").into_string(), "123456789012");
        assert_eq!(cut("383812aaaaa7633").into_string(), "383812<i>aaaaa</i>7633");
        let link = id_link("/jobs", 7).into_string();
        assert_eq!(link, "<a class=\"id\" href=\"/jobs/7\">7</a>");
        assert!(id("<script>".repeat(9)).into_string().contains("&lt;"));
    }
}
