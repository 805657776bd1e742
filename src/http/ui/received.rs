//! `/received`: what came in and what went out, newest first, also what left no row; and webhooks
//! that were not understood.

use super::{
    PageResult,
    command::copy_command,
    frame::{PageContent, PagePlace},
    overview::webhooks_of_a_day,
    parts::{
        ButtonLook, Chip, Column, PageTable, ROWS, Segment, Sign, StateMark, TableRow, Tone, ago,
        button, chips, choice, clock, command, dialog, empty, field, hidden_input, id, id_link,
        link_button, new_rows, note, nothing_back_to, number, older, outside, post_form, segments,
        two,
    },
    quarantined::{self, QuarantineGroup, held_groups},
    sends::lead_name,
    visit::Visit,
};
use crate::{
    domain::{Id, Timestamp, received::RECEIVED_OUTCOMES},
    http::{
        api::{QUARANTINE_STATUSES, Query, ReceivedItem, ReceivedJson},
        problem::Problem,
    },
    store::{BODIES_SEARCHED, LeadName, ListedQuarantine, QuarantineFilter, given_out_at},
};
use maud::{Markup, html};
use std::collections::HashMap;

/// How often the script fetches the page again, in seconds.
const REFRESH_SECONDS: u32 = 10;
/// The directions of messages to choose from, with what they are called.
const DIRECTIONS: [(&str, &str); 3] =
    [("", "both"), ("inbound", "inbound"), ("outbound", "outbound")];

/// `GET /received`.
pub(super) async fn show(visit: Visit) -> PageResult {
    // The two tabs have filters of their own.
    let known: &[&str] = if visit.given("tab") == Some("quarantine") {
        &["tab", "channel", "status", "limit", "cursor", "ask", "group"]
    } else {
        &["tab", "lead", "channel", "direction", "outcome", "q", "limit", "cursor"]
    };
    let query = visit.query(known)?;
    let tab = query.parsed(
        "tab",
        |it| matches!(it, "all" | "quarantine").then(|| it.to_owned()),
        || "all or quarantine".to_owned(),
    )?;
    let is_quarantine = tab.first().is_some_and(|it| it == "quarantine");
    let (title, content) = if is_quarantine {
        ("Received · quarantine", quarantine(&visit, &query).await?)
    } else {
        ("Received", all(&visit, &query).await?)
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
            span.end { (as_command(&visit, is_quarantine)) }
        }
        (done(&visit))
        (content)
    };
    Ok(visit.answer(&PageContent::new(PagePlace::Received, title, body).refresh(REFRESH_SECONDS)))
}

fn as_command(visit: &Visit, is_quarantine: bool) -> Markup {
    if is_quarantine {
        return copy_command(visit, "postroom quarantine list", &["status", "client", "channel"]);
    }
    let filters = ["q", "client", "lead", "channel", "direction", "outcome"];
    copy_command(visit, "postroom received list", &filters)
}

/// What the form that led here has done: `replayed.COUNT.LEFT` or `discarded.COUNT.LEFT`.
fn done(visit: &Visit) -> Markup {
    let mut parts = visit.done().unwrap_or_default().split('.');
    let word = parts.next().unwrap_or_default();
    let mut count = || parts.next().and_then(|it| it.parse::<i64>().ok()).unwrap_or_default();
    let (done, left) = (count(), count());
    let what = match word {
        "replayed" => "replayed: they are stored as what they mean now",
        "discarded" => "discarded",
        _ => return html! {},
    };
    let tone = if done == 0 { Tone::Warn } else { Tone::Good };
    let what = html! { (number(done)) " " (what) "." };
    let more = html! {
        @if left > 0 { (number(left)) " are still held: not understood, settled meanwhile, or not tried yet." }
    };
    note(tone, what, more, None)
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

async fn quarantine(visit: &Visit, query: &Query) -> Result<Markup, Problem> {
    let mut filter = visit.api().quarantine_filter(query)?;
    filter.client = visit.clients();
    let is_of_any_status = !filter.status.is_empty();
    if !is_of_any_status {
        filter.status = vec!["held".to_owned()];
    }
    let (limit, cursor) = (query.limit_if_given()?.unwrap_or(ROWS), query.cursor()?);
    let is_held = filter.status == ["held"];
    let groups = if is_held && cursor.is_none() {
        held_groups(visit, filter.clone()).await?
    } else {
        Vec::new()
    };
    let page = visit.api().quarantined(filter.clone(), limit, cursor).await?;
    let is_empty = page.items.is_empty() && page.next.is_none();
    let older_page = page.next.map(|it| visit.with("cursor", Some(&it.to_string())));
    let question = question(visit, query, &groups)?;
    Ok(html! {
        @if let Some(question) = question { (question) }
        div.mt { (status_chips(visit, &filter)) }
        @if page.items.is_empty() {
            div.mt {
                @if is_held {
                    (empty("All was understood.", "A webhook that is authentic and not understood is kept here for a person. What would be is tried with a file:"))
                    (command("postroom send sms --file webhook.json"))
                } @else {
                    (empty("Nothing matches.", "Items are listed here once they were replayed or discarded:"))
                    (command("postroom quarantine replay ID"))
                    (command("postroom quarantine discard ID"))
                }
            }
        } @else {
            @if groups.len() > 1 || groups.iter().any(|it| it.ids.len() > 1) { (group_table(visit, &groups)) }
            section.sec aria-labelledby="items" { h2 #items { "Items" } (item_table(visit, &page.items)) }
        }
        @if !is_empty { (older(older_page.as_deref(), "newest first")) }
    })
}

fn status_chips(visit: &Visit, filter: &QuarantineFilter) -> Markup {
    let chip = |status: &'static str| Chip {
        mark: quarantined::mark(status),
        count: None,
        is_on: filter.status.iter().any(|it| it == status),
        href: visit.with("status", Some(status)),
    };
    chips("State", &QUARANTINE_STATUSES.map(chip))
}

/// The question before a whole group is changed.
fn question(
    visit: &Visit,
    query: &Query,
    groups: &[QuarantineGroup],
) -> Result<Option<Markup>, Problem> {
    let word = |it: &str| matches!(it, "replay" | "discard").then(|| it.to_owned());
    let asked = query.parsed("ask", word, || "replay or discard".to_owned())?;
    let any_of_it = query.ids("group")?;
    let group = groups.iter().find(|it| any_of_it.iter().any(|id| it.ids.contains(id)));
    let (Some(action), Some(group)) = (asked.first(), group) else { return Ok(None) };
    if !visit.viewer.may_operate() {
        return Ok(None);
    }
    let leave = visit.to_with("/received", &[("tab", "quarantine")]);
    let follows = if action == "replay" {
        "Each is read again as if it had just come. What is understood now is stored and answered; what is not stays here."
    } else {
        "They stay stored, and nothing more is done about them."
    };
    let label = if action == "replay" { "Replay" } else { "Discard" };
    let look = if action == "replay" { ButtonLook::Primary } else { ButtonLook::Danger };
    let content = html! {
        p {
            (group.counted()) " of " (group.channel) ", " (outside(&group.client_id)) ": "
            (outside(&group.reason)) @if let Some(event) = &group.event_type { " (" (outside(event)) ")" } "."
        }
        p.ut { (follows) }
        @if group.ids.len() > quarantined::AT_ONCE {
            p.ut { "The oldest " (quarantined::AT_ONCE) " are done at once; ask again for the others." }
        }
        (hidden_input("action", action))
        p.mt { (button(look, label)) }
    };
    let path = format!("/quarantine/{}/group", group.newest());
    let heading = format!("{label} {}?", group.counted());
    Ok(Some(dialog(&heading, &leave, "Leave them", post_form(&path, content))))
}

fn group_table(visit: &Visit, groups: &[QuarantineGroup]) -> Markup {
    let may_operate = visit.viewer.may_operate();
    let mut columns = vec![
        Column::new("why").cut(),
        Column::number("held").beside(),
        Column::new("channel"),
        Column::new("client"),
        Column::new("last").below(),
    ];
    if may_operate {
        columns.push(Column::new("what to do").unnamed().below());
    }
    let rows = groups.iter().map(|group| {
        let newest = group.newest().to_string();
        let ask = |action: &str| {
            let pairs = [("tab", "quarantine"), ("ask", action), ("group", newest.as_str())];
            visit.to_with("/received", &pairs)
        };
        let event = group.event_type.as_deref();
        let mut cells = vec![
            two(outside(&group.reason), html! { @if let Some(event) = event { (outside(event)) } @else { "no name" } }),
            html! { (group.counted()) },
            html! { (group.channel) },
            outside(&group.client_id),
            ago(group.last_at, visit.now),
        ];
        if may_operate {
            cells.push(html! {
                span.row {
                    (link_button(&visit.to_with(&format!("/quarantine/{newest}"), &[("try", "true")]), "Try"))
                    (link_button(&ask("replay"), "Replay"))
                    (link_button(&ask("discard"), "Discard"))
                }
            });
        }
        TableRow::new(cells).keyed(group.key())
    });
    let table = PageTable::new("Groups", columns).caption_hidden().rows(rows);
    html! { section.sec aria-labelledby="groups" { h2 #groups { "By reason" } (table) } }
}

fn item_table(visit: &Visit, items: &[ListedQuarantine]) -> Markup {
    let columns = [
        Column::new("why").cut(),
        Column::new("state").beside(),
        Column::new("last").below(),
        Column::new("client"),
        Column::new("channel"),
        Column::new("request"),
        Column::number("times"),
        Column::new("item"),
    ];
    let rows = items.iter().map(|item| {
        let event = item.event_type.as_deref();
        let why = html! {
            a href=(visit.to(&format!("/quarantine/{}", item.id))) { (outside(&item.reason)) }
        };
        let last_at = Timestamp::from_millis(item.last_received_at.0);
        TableRow::new([
            two(why, html! { @if let Some(event) = event { (outside(event)) } @else { "no name" } }),
            quarantined::mark(&item.status).quiet(),
            clock(last_at, visit.now),
            outside(&item.client_id),
            html! { (item.channel) },
            html! { @if let Some(request) = &item.request_id { (id(request)) } @else { span.z { "–" } } },
            number(item.count),
            id_link("/quarantine", item.id),
        ])
        .keyed(item.id)
    });
    let table = PageTable::new("Quarantined webhooks", columns).caption_hidden().rows(rows);
    html! { (table) }
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
