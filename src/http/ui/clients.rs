//! `/clients`: how each client is, in words, and what waits for it.

use super::{
    PageResult,
    command::copy_command,
    frame::{PageContent, PagePlace},
    overview::sent_in_a_day,
    parts::{
        Column, PageTable, ROWS, Sign, StateMark, TableRow, Tone, ago, banner, duration, empty,
        number, older, outside, two,
    },
    visit::Visit,
};
use crate::http::api::ClientJson;
use maud::{Markup, html};

/// How often the script fetches the page again, in seconds.
const REFRESH_SECONDS: u32 = 10;

/// `GET /clients`.
pub(super) async fn show(visit: Visit) -> PageResult {
    let query = visit.query(&["limit", "cursor"])?;
    let limit = query.limit_if_given()?.unwrap_or(ROWS);
    let cursor = query.text("cursor")?;
    // 1. Which clients.
    let mut known = visit.api().known_clients().await;
    let is_shown = |id: &str| {
        let is_chosen = visit.client.as_deref().is_none_or(|client| client == id);
        is_chosen && visit.viewer.sees(id) && cursor.is_none_or(|cursor| id > cursor)
    };
    let mut ids: Vec<String> =
        known.list().iter().map(|it| it.id.to_owned()).filter(|id| is_shown(id)).collect();
    let has_more = ids.len() > limit;
    ids.truncate(limit);
    // 2. What is stored for them.
    known.read_facts(visit.api(), |id| ids.iter().any(|it| it == id)).await;
    let clients: Vec<ClientJson<'_>> =
        known.list().into_iter().filter(|it| ids.iter().any(|id| id == it.id)).collect();
    let (configured, gone): (Vec<_>, Vec<_>) = clients.iter().partition(|it| it.configured);
    let next = ids.last().filter(|_| has_more).map(|last| visit.with("cursor", Some(last)));
    let body = html! {
        div.head { h1 { "Clients" } span.end { (copy_command(&visit, "postroom clients list", &[])) } }
        @if !known.is_counted() { (away()) }
        @if cursor.is_none() { (sent_in_a_day(&visit)) }
        div.stale[!known.is_counted()] {
            @if configured.is_empty() && gone.is_empty() {
                (empty("No client is configured.", "Add one under [[clients]] in config/local.toml; the file is read again as soon as it is saved."))
            } @else { (table(&visit, "Clients", &configured)) }
            @if !gone.is_empty() {
                section.sec aria-labelledby="gone" {
                    h2 #gone { "Not in the configuration any more" }
                    p.mut.ut { "Their webhooks get 401, and their jobs wait until they are back." }
                    (table(&visit, "Clients that left the configuration", &gone))
                }
            }
        }
        @if next.is_some() { (older(next.as_deref(), "in the order of their ids")) }
    };
    Ok(visit
        .answer(&PageContent::new(PagePlace::Clients, "Clients", body).refresh(REFRESH_SECONDS)))
}

/// Says that nothing could be counted.
pub(super) fn away() -> Markup {
    banner(
        "The database does not answer.",
        "What is configured is shown; what is stored and what waits is not known now.",
    )
}

fn table(visit: &Visit, caption: &str, clients: &[&ClientJson<'_>]) -> Markup {
    let columns = [
        Column::new("client"),
        Column::new("health").below(),
        Column::new("last message by channel"),
        Column::number("in/h"),
        Column::number("time to answer"),
        Column::number("backlog, running"),
        Column::number("drafts"),
        Column::number("uncertain"),
        Column::number("quarantine"),
        Column::new("auto reply"),
    ];
    let rows = clients.iter().map(|client| row(visit, client).keyed(client.id));
    let table = PageTable::new(caption, columns).caption_hidden().wide().rows(rows);
    html! { (table) }
}

fn row(visit: &Visit, client: &ClientJson<'_>) -> TableRow {
    let id = client.id;
    let link = html! {
        a href=(visit.to_with(&format!("/clients/{id}"), &[("client", "")])) { (outside(client.name)) }
    };
    let name = if client.name == id { link } else { two(link, outside(id)) };
    TableRow::new([
        name,
        health(client),
        last_messages(visit, client),
        count(client.received_in_hour),
        time_to_answer(client),
        two(
            linked(visit, client.pending, "/jobs", &[("client", id), ("status", "pending")]),
            html! {
                (count(client.running))
                @if let Some(cap) = client.max_running { span.mut { " of " (cap) } }
            },
        ),
        linked(visit, client.drafts_pending, "/inbox", &[("client", id), ("view", "drafts")]),
        linked(visit, client.uncertain, "/deliveries", &[("client", id), ("status", "uncertain")]),
        linked(visit, client.quarantined, "/received", &[("client", id), ("tab", "quarantine")]),
        html! { @if let Some(mode) = client.auto_reply { (mode) } @else { span.z { "–" } } },
    ])
}

/// How long its last answers took, if it has sent any.
pub(super) fn time_to_answer(client: &ClientJson<'_>) -> Markup {
    html! { @if let Some(ms) = client.answer_ms { (duration(ms)) } @else { span.z { "–" } } }
}

/// How it is, in words. What is well recedes.
pub(super) fn health(client: &ClientJson<'_>) -> Markup {
    if client.health == "well" {
        return StateMark::new(Tone::Good, Sign::Ok, "well").quiet();
    }
    let is_cut_off = client.channels.iter().any(|it| it.trouble == Some("disconnected"));
    let tone = if is_cut_off { Tone::Bad } else { Tone::Warn };
    html! { span.(tone.class()) { (tone.sign()) } " " (outside(&client.health)) }
}

fn last_messages(visit: &Visit, client: &ClientJson<'_>) -> Markup {
    html! {
        @for channel in &client.channels {
            div.nw {
                (channel.channel) " "
                @match channel.last_inbound_at {
                    Some(at) if channel.silent => b { (ago(at, visit.now)) },
                    Some(at) => span.mut { (ago(at, visit.now)) },
                    None => span.z { "none yet" },
                }
            }
        }
    }
}

/// A count that was perhaps not made.
pub(super) fn count(count: Option<i64>) -> Markup {
    html! { @if let Some(count) = count { (number(count)) } @else { span.z { "–" } } }
}

/// The same as a link to what is counted.
pub(super) fn linked(
    visit: &Visit,
    counted: Option<i64>,
    path: &str,
    pairs: &[(&str, &str)],
) -> Markup {
    html! {
        @if counted.is_some_and(|it| it > 0) { a href=(visit.to_with(path, pairs)) { (count(counted)) } }
        @else { (count(counted)) }
    }
}
