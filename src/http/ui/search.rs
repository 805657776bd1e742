//! `/search`: leads to the one thing that a text names, or lists what it names. Other texts are
//! looked for among leads, or among what came in.

use super::{
    PageResult,
    frame::{PageContent, PagePlace},
    parts::{Column, PageTable, TableRow, ago, id, one_line, with_query},
    visit::Visit,
};
use crate::{
    domain::Id,
    http::{
        api::{parse_id, search::found},
        problem::Problem,
    },
    store::{SearchHit, given_out_at},
};
use maud::{Markup, html};
use std::collections::BTreeSet;

/// The most characters of the text that a page repeats.
const TEXT_CHARS_MAX: usize = 200;

/// Something that was found: its page, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FoundPage {
    href: String,
    kind: String,
    id: Option<Id>,
    name: String,
    found_by: String,
}

/// `GET /search`.
pub(super) async fn show(visit: Visit) -> PageResult {
    let query = visit.query(&["q"])?;
    let text = query.text("q")?.unwrap_or_default().to_owned();
    let hits = found(visit.api(), &visit.viewer, &text).await?;
    let mut pages: Vec<FoundPage> = by_name(&visit, &text);
    pages.extend(hits.iter().map(|hit| of_hit(&visit, hit)));
    let places: BTreeSet<&str> = pages.iter().map(|it| it.href.as_str()).collect();
    // Several things may stand on one page.
    if let (1, Some(page)) = (places.len(), pages.first()) {
        return Ok(visit.see(&page.href));
    }
    if pages.is_empty() {
        return otherwise(&visit, &text);
    }
    let body = html! {
        div.head {
            h1 { "Search" }
            span.sm.mut { "for " (one_line(&text, TEXT_CHARS_MAX)) }
        }
        (table(&visit, &pages))
    };
    Ok(visit.answer(&PageContent::new(PagePlace::None, "Search", body)))
}

/// What the text names that is not stored: clients, kinds of jobs, and actors.
fn by_name(visit: &Visit, text: &str) -> Vec<FoundPage> {
    let of = |href: String, kind: &str| FoundPage {
        href,
        kind: kind.to_owned(),
        id: None,
        name: text.to_owned(),
        found_by: "name".to_owned(),
    };
    let mut pages = Vec::new();
    if text.is_empty() {
        return pages;
    }
    if visit.state().config.get().client(text).is_some() && visit.viewer.sees(text) {
        pages.push(of(visit.to_with(&format!("/clients/{text}"), &[("client", "")]), "client"));
    }
    if visit.state().board.pools().iter().any(|it| it.kind.0 == text) {
        pages.push(of(visit.to_with("/jobs", &[("kind", text)]), "kind"));
    }
    pages
}

fn of_hit(visit: &Visit, hit: &SearchHit) -> FoundPage {
    let lead = |id: Id| with_query(format!("/leads/{id}"), []);
    let row = hit.id.to_string();
    let href = match (hit.kind.as_str(), hit.lead_id) {
        ("job", _) => with_query(format!("/jobs/{}", hit.id), []),
        ("lead" | "message" | "draft", Some(id)) => lead(id),
        ("delivery", _) => with_query(format!("/deliveries/{}", hit.id), []),
        ("quarantine", _) => with_query(format!("/quarantine/{}", hit.id), []),
        ("operation", _) => with_query("/jobs", [("operation", row.as_str())]),
        ("node", _) => visit.to("/system"),
        _ => visit.to("/"),
    };
    FoundPage {
        href,
        kind: hit.kind.clone(),
        id: Some(hit.id),
        name: hit.client_id.clone().unwrap_or_default(),
        found_by: hit.found_by.replace('_', " "),
    }
}

fn table(visit: &Visit, pages: &[FoundPage]) -> Markup {
    let columns = [
        Column::new("what"),
        Column::new("id").beside(),
        Column::new("client"),
        Column::new("stored"),
        Column::new("found by").below(),
    ];
    let row = |page: &FoundPage| {
        TableRow::new([
            html! { a href=(page.href) { (page.kind) } },
            html! { @if let Some(row) = page.id { (id(row)) } @else { (one_line(&page.name, TEXT_CHARS_MAX)) } },
            html! { (one_line(&page.name, TEXT_CHARS_MAX)) },
            html! {
                @if let Some(row) = page.id { (ago(given_out_at(row), visit.now)) }
                @else { span.z { "–" } }
            },
            html! { (one_line(&page.found_by, TEXT_CHARS_MAX)) },
        ])
    };
    html! { (PageTable::new("Found", columns).caption_hidden().rows(pages.iter().map(row))) }
}

/// Where a text that names nothing as a whole is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LookedFor {
    /// Among leads: a name, a company, an address, a phone number.
    Leads,
    /// Among what came in: the id of a request, or one that a provider gave.
    Received,
}

fn otherwise(visit: &Visit, text: &str) -> PageResult {
    if text.is_empty() {
        return Ok(visit.see(&visit.to("/")));
    }
    if let Some(id) = parse_id(text) {
        return Err(Problem::not_found(format!(
            "no job, lead, delivery, draft or message has the id {id}; it may have been pruned"
        )));
    }
    let address = match looked_for(text) {
        LookedFor::Leads => visit.to_with("/inbox", &[("view", "all"), ("q", text)]),
        LookedFor::Received => visit.to_with("/received", &[("q", text)]),
    };
    Ok(visit.see(&address))
}

/// Addresses, phone numbers and words belong to leads; a long word of hexadecimal digits, or of
/// digits and signs, is an id.
fn looked_for(text: &str) -> LookedFor {
    let is_word = !text.contains(char::is_whitespace);
    let has_digit = text.contains(|c: char| c.is_ascii_digit());
    let has_letter = text.contains(|c: char| c.is_ascii_alphabetic());
    let is_address = text.contains('@') || text.starts_with('+');
    if is_word && has_digit && has_letter && !is_address && text.len() >= 8 {
        LookedFor::Received
    } else {
        LookedFor::Leads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_to_a_lead_and_a_request_to_what_came_in() {
        for (text, expected) in [
            ("rita@example.com", LookedFor::Leads),
            ("r1ta.2024@example.com", LookedFor::Leads),
            ("+1 312 555 0187", LookedFor::Leads),
            ("+13125550187", LookedFor::Leads),
            ("Rita Okonkwo", LookedFor::Leads),
            ("Halden", LookedFor::Leads),
            ("01931c5e-8a9b-7c3d-9e4f-0a1b2c3d4e5f", LookedFor::Received),
            ("smp0000000000000001", LookedFor::Received),
            ("<script>", LookedFor::Leads),
        ] {
            assert_eq!(looked_for(text), expected, "{text}");
        }
    }
}
