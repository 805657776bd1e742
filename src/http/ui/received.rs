//! `/received`: what came in and what went out, newest first, also what left no row. Its other tab,
//! the webhooks that were not understood, is in `quarantine`.

use super::{
    PageResult,
    command::copy_command,
    frame::{PageContent, PagePlace},
    overview::webhooks_of_a_day,
    parts::{
        ButtonLook, Chip, Column, PageTable, Segment, Sign, StateMark, TableRow, Tone, button,
        chips, choice, clock, command, empty, field, hidden_input, id, new_rows, nothing_back_to,
        number, older, outside, segments, two,
    },
    quarantine,
    sends::lead_name,
    visit::Visit,
};
use crate::{
    domain::{Id, received::RECEIVED_OUTCOMES},
    http::{
        api::{Query, ReceivedItem, ReceivedJson},
        problem::Problem,
    },
    store::{BODIES_SEARCHED, LeadName, given_out_at},
};
use maud::{Markup, html};
use std::collections::HashMap;

/// How often the script fetches the page again, in seconds.
const REFRESH_SECONDS: u32 = 10;
/// The same while the list follows an operation.
const FOLLOWED_SECONDS: u32 = 2;
/// The directions of messages to choose from, with what they are called.
const DIRECTIONS: [(&str, &str); 3] =
    [("", "both"), ("inbound", "inbound"), ("outbound", "outbound")];

/// `GET /received`.
pub(super) async fn show(visit: Visit) -> PageResult {
    // The two tabs have filters of their own.
    let is_quarantine = visit.given("tab") == Some("quarantine");
    let known: &[&str] = if is_quarantine {
        &quarantine::KNOWN
    } else {
        &["tab", "lead", "channel", "direction", "outcome", "q", "limit", "cursor"]
    };
    let query = visit.query(known)?;
    query.parsed(
        "tab",
        |it| matches!(it, "all" | "quarantine").then_some(()),
        || "all or quarantine".to_owned(),
    )?;
    let (title, content, refresh) = if is_quarantine {
        let tab = quarantine::tab(&visit, &query).await?;
        let refresh = if tab.is_followed { FOLLOWED_SECONDS } else { REFRESH_SECONDS };
        ("Received · quarantine", tab.content, refresh)
    } else {
        ("Received", all(&visit, &query).await?, REFRESH_SECONDS)
    };
    let views = [("all", "All", !is_quarantine), ("quarantine", "Quarantine", is_quarantine)];
    let views = views.map(|(tab, word, is_on)| Segment {
        word,
        is_on,
        href: visit.to_with("/received", &[("tab", tab)]),
    });
    let body = html! {
        div.head {
            h1 { "Received" }
            (segments("View", &views))
            (new_rows(&visit.here()))
            span.end { @if is_quarantine { (quarantine::as_command(&visit, &query)?) } @else { (as_command(&visit)) } }
        }
        (content)
    };
    Ok(visit.answer(&PageContent::new(PagePlace::Received, title, body).refresh(refresh)))
}

fn as_command(visit: &Visit) -> Markup {
    let filters = ["q", "client", "lead", "channel", "direction", "outcome"];
    copy_command(visit, "postroom received list", &filters)
}

async fn all(visit: &Visit, query: &Query) -> Result<Markup, Problem> {
    let mut asked = visit.api().received_query(query)?;
    asked.client = visit.clients();
    let (limit, cursor) = (query.limit()?, query.cursor()?);
    let (is_sought, is_of_lead) = (asked.sought.is_some(), !asked.lead.is_empty());
    let searches_bodies = is_sought && asked.looks_in_quarantine();
    let page = visit.api().received(asked, limit, cursor).await?;
    let leads = page.items.iter().filter_map(|it| ReceivedJson::of(it).lead());
    let names = visit.api().lead_names(leads).await?;
    let looked_back = page.next.map(given_out_at);
    let older_page = page.next.map(|it| visit.with("cursor", Some(&it.to_string())));
    Ok(html! {
        (filter(visit))
        @if !is_sought && cursor.is_none() && !is_of_lead { (webhooks_of_a_day(visit)) }
        div.ut { (outcome_chips(visit)) }
        (known_since(visit, searches_bodies, is_of_lead))
        div.mt {
            @if !page.items.is_empty() { (table(visit, &page.items, &names)) }
            @else if let (Some(at), Some(next)) = (looked_back, &older_page) { (nothing_back_to(at, visit.now, next)) }
            @else { (nothing(visit, is_sought)) }
        }
        @if !page.items.is_empty() { (older(older_page.as_deref(), "newest first")) }
    })
}

fn channel_names(visit: &Visit) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = visit.state().channels.keys().copied().collect();
    names.sort_unstable();
    names
}

fn filter(visit: &Visit) -> Markup {
    let channels = channel_names(visit);
    let channels = [("", "all")].into_iter().chain(channels.iter().map(|it| (*it, *it)));
    let given = |name: &str| visit.given(name).unwrap_or_default().to_owned();
    html! {
        form.filter role="search" aria-label="Filter" {
            @if let Some(client) = &visit.client { (hidden_input("client", client)) }
            @if visit.given("outcome").is_some() { (hidden_input("outcome", &given("outcome"))) }
            (field("Request id, provider id, address or phone", "q", &given("q"), "", None))
            (field("Lead", "lead", &given("lead"), "id", None))
            (choice("Channel", "channel", &given("channel"), channels))
            (choice("Direction", "direction", &given("direction"), DIRECTIONS))
            (button(ButtonLook::Usual, html! { (Sign::Search) "Find" }))
        }
    }
}

fn outcome_chips(visit: &Visit) -> Markup {
    let given: Vec<&str> = visit.given("outcome").unwrap_or_default().split(',').collect();
    let chip = |outcome: &'static str| Chip {
        mark: mark_of(outcome),
        count: None,
        is_on: given.contains(&outcome),
        href: visit.turned("outcome", outcome),
    };
    chips("Outcome", &RECEIVED_OUTCOMES.map(chip))
}

/// The mark of what became of it.
pub(super) fn mark_of(outcome: &str) -> StateMark {
    let (tone, sign, word) = match outcome {
        "stored" => (Tone::Good, Sign::Ok, "stored"),
        "sent" => (Tone::Good, Sign::Send, "sent by us"),
        "quarantined" => (Tone::Warn, Sign::Warn, "not understood"),
        "ignored" => (Tone::Wait, Sign::Cancelled, "ignored"),
        "duplicate" => (Tone::Wait, Sign::Copy, "duplicate"),
        "unauthenticated" => (Tone::Warn, Sign::Fail, "refused: 401"),
        "rate_limited" => (Tone::Warn, Sign::Retry, "refused: rate"),
        "queue_full" => (Tone::Warn, Sign::Retry, "refused: full"),
        "database_away" => (Tone::Warn, Sign::Retry, "refused: database"),
        _ => (Tone::Warn, Sign::Retry, "refused: stopping"),
    };
    StateMark::new(tone, sign, word)
}

/// How far back the list can tell.
fn known_since(visit: &Visit, searches_bodies: bool, is_of_lead: bool) -> Markup {
    html! {
        p.sm.mut.mt {
            "What was stored is known for good. What left no row (ignored, duplicate, refused) is known since "
            (clock(visit.api().untraced().since(), visit.now)) ", of this node."
            @if is_of_lead {
                " Only a message and its duplicates have a lead: what was not understood, ignored or refused has none."
            }
            @if searches_bodies {
                " The bodies of the newest " (BODIES_SEARCHED) " webhooks in quarantine were searched, too."
            }
        }
    }
}

/// An empty list: the address that fills it.
fn nothing(visit: &Visit, is_sought: bool) -> Markup {
    if visit.given("lead").is_some() {
        return empty(
            "Nothing of this lead matches.",
            "If it is one person with another lead, that one has its messages.",
        );
    }
    if is_sought {
        return empty(
            "Nothing was received under this id, address or number.",
            "Its provider may not have posted it, or to another address.",
        );
    }
    let config = visit.state().config.get();
    let mut shown = config.clients.iter().filter(|it| visit.viewer.sees(&it.id));
    let client = match &visit.client {
        Some(id) => shown.find(|it| it.id == *id),
        None => shown.next(),
    };
    let address = client.and_then(|client| {
        let channel = client.channels.keys().next()?;
        Some(format!("{}/webhooks/{channel}/{}", visit.origin, client.id))
    });
    html! {
        (empty("Nothing matches.", "A webhook is listed here once its provider has posted it to its address."))
        @if let Some(address) = address { (command(&address)) }
    }
}

fn table(visit: &Visit, items: &[ReceivedItem], names: &HashMap<Id, LeadName>) -> Markup {
    let columns = [
        Column::new("event").cut(),
        Column::new("outcome").beside(),
        Column::new("received").below(),
        Column::new("client"),
        Column::new("channel"),
        Column::new("lead"),
        Column::new("request"),
    ];
    let rows = items.iter().map(|item| row(visit, item, names).keyed(item.key()));
    let table = PageTable::new("What was received", columns).caption_hidden().rows(rows);
    html! { (table) }
}

fn row(visit: &Visit, item: &ReceivedItem, names: &HashMap<Id, LeadName>) -> TableRow {
    let view = ReceivedJson::of(item);
    let word = match view.event_type {
        Some(event) => outside(event),
        None => {
            html! { @if view.direction == Some("outbound") { "a message to the lead" } @else { span.z { "no name" } } }
        }
    };
    let address = match (view.quarantine(), view.message()) {
        (Some(item), _) => Some(format!("/quarantine/{item}")),
        // A duplicate leads to the message that it repeats.
        (None, Some(message)) => Some(format!("/messages/{message}")),
        (None, None) => None,
    };
    let event = match address {
        Some(address) => html! { a href=(visit.to(&address)) { (word) } },
        None => word,
    };
    let below = match (view.reason, view.address, view.provider_id) {
        (Some(reason), Some(address), _) => html! { (outside(reason)) ", from " (address) },
        (Some(reason), None, _) => outside(reason),
        (None, _, Some(provider_id)) => {
            html! { (view.direction.unwrap_or_default()) " " (outside(provider_id)) }
        }
        (None, _, None) => html! { (view.direction.unwrap_or_default()) },
    };
    let client = html! {
        @if view.configured { (outside(view.client_id)) }
        @else { (outside(view.client_id)) span.sub.nw { "no such client" } }
    };
    TableRow::new([
        two(event, below),
        html! { (outcome(&view)) @if view.count > 1 { span.sub { (number(view.count)) " times" } } },
        clock(view.at, visit.now),
        client,
        html! { (view.channel) },
        html! {
            @if let Some(lead) = view.lead() {
                a.kd href=(visit.to(&format!("/leads/{lead}"))) { (lead_name(names, lead)) }
            } @else { span.z { "–" } }
        },
        html! { @if let Some(request) = view.request_id { (id(request)) } @else { span.z { "–" } } },
    ])
}

fn outcome(view: &ReceivedJson<'_>) -> Markup {
    let mark = mark_of(view.outcome);
    match view.status {
        Some("replayed") => StateMark::new(Tone::Good, Sign::Ok, "replayed").quiet(),
        Some("discarded") => StateMark::new(Tone::Wait, Sign::Cancelled, "discarded").quiet(),
        // What strangers try is no news.
        _ if !view.configured || matches!(mark.tone, Tone::Good | Tone::Wait) => mark.quiet(),
        _ => mark.badge(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::ui::parts::assert_told_apart;

    #[test]
    fn each_outcome_has_a_mark_of_its_own() {
        // The provider comes again.
        let again = ["refused: rate", "refused: full", "refused: database", "refused: stopping"];
        assert_told_apart(&RECEIVED_OUTCOMES.map(mark_of), &again);
    }
}
