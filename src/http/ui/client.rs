//! `/clients/{id}`: one client: where its providers post, how they prove who they are, what waits,
//! and its configuration.

use super::{
    PageResult,
    clients::{away, count, health, linked, time_to_answer},
    command::with_argument,
    frame::{PageContent, PagePlace},
    parts::{
        Column, PageTable, Sign, StateMark, TableRow, Tone, ago, clock, command, copy_button,
        link_button, note, number, number_of, outside, percent,
    },
    visit::Visit,
};
use crate::{
    config::{Client, ClientChannel},
    domain::{RejectReason, received::UNTRACED_OUTCOMES},
    http::{
        api::{
            ChannelOfClient, ClientJson, ConfigMoment, DecisionsJson, ReceivedJson, ReceivedQuery,
        },
        problem::Problem,
    },
};
use actix_web::web;
use maud::{Markup, html};

/// How many webhooks that left no row are counted.
const REFUSED_MAX: usize = 500;

/// `GET /clients/{id}`.
pub(super) async fn show(visit: Visit, path: web::Path<String>) -> PageResult {
    visit.query(&[])?;
    let id = path.as_str();
    let mut known = visit.api().known_clients().await;
    known.read_facts(visit.api(), |it| it == id).await;
    let clients = known.list();
    let client = clients
        .iter()
        .find(|it| it.id == id)
        .ok_or_else(|| Problem::not_found("there is no client at this address"))?;
    let config = visit.state().config.get();
    let decided = if known.is_counted() { visit.api().decisions_of(id).await } else { None };
    let body = html! {
        p.crumb.sm { a href=(visit.to("/clients")) { "Clients" } }
        div.head {
            h1 { (outside(client.name)) }
            span.sm.mut.mono { (outside(id)) }
            span.end { (copy_button("Copy as command", &with_argument("postroom clients show", id))) }
        }
        div data-part="health" {
            p.say { (health(client)) }
            @if !known.is_counted() { (away()) }
            @if !client.configured {
                (note(Tone::Warn, "It is not in the configuration.", "Its webhooks get 401, and its jobs wait until it is back.", None))
            }
        }
        (waits(&visit, client))
        div data-part="decisions" { (decisions(&visit, id, decided.as_ref())) }
        @if let Some(configured) = config.client(id) { (channels(&visit, client, configured)) }
        (refused(&visit, id).await?)
        (values(&visit, id))
    };
    Ok(visit
        .answer(&PageContent::new(PagePlace::Clients, format!("Clients · {id}"), body).refresh(10)))
}

fn waits(visit: &Visit, client: &ClientJson<'_>) -> Markup {
    let id = client.id;
    let config = visit.state().config.get();
    let rate = config.client(id).and_then(|it| it.rate_limit);
    html! {
        dl.dl.mt data-part="waits" {
            dt { "Backlog" } dd { (linked(visit, client.pending, "/jobs", &[("client", id), ("status", "pending")])) }
            dt { "Running" } dd { (count(client.running)) @if let Some(cap) = client.max_running { " of at most " (cap) } }
            dt { "Drafts waiting" } dd { (linked(visit, client.drafts_pending, "/inbox", &[("client", id), ("view", "drafts")])) }
            dt { "Uncertain sends" } dd { (linked(visit, client.uncertain, "/deliveries", &[("client", id), ("status", "uncertain")])) }
            dt { "Not understood" } dd { (linked(visit, client.quarantined, "/received", &[("client", id), ("tab", "quarantine")])) }
            dt { "Auto reply" } dd { (client.auto_reply.unwrap_or("–")) }
            dt { "Messages of leads, 1 h" } dd { (count(client.received_in_hour)) }
            dt { "Time to answer" } dd { (time_to_answer(client)) @if client.answer_ms.is_some() { span.mut { ", the median of the last answers" } } }
            dt { "Rate limit" }
            dd {
                @match rate {
                    Some(rate) => {
                        (rate.to_string()) ", " (visit.state().limits.used_by(id, rate)) " of " (rate.count.get())
                        " used up now " span.mut { "on this node" }
                    }
                    None => "none",
                }
            }
            @if let Some(zone) = client.timezone { dt { "Time zone" } dd { (zone) } }
        }
    }
}

/// How many of the answers that people looked at they rejected, and why.
fn decisions(visit: &Visit, client: &str, decided: Option<&DecisionsJson>) -> Markup {
    let Some(decided) = decided.filter(|it| it.decided > 0) else { return html! {} };
    let in_percent = |part: usize| {
        html! { @if let Some(share) = percent(part, decided.decided) { (share) " %" } }
    };
    let log = visit.to_with("/audit", &[("client", ""), ("action", "draft.reject")]);
    html! {
        section.sec aria-labelledby="decisions" {
            h2 #decisions { "What people decided" }
            p.sm.mut {
                "about the newest " (number_of(decided.decided)) " drafts of " (client) " that somebody looked at"
            }
            p.ut {
                (number_of(decided.rejected)) " rejected, " b { (in_percent(decided.rejected)) }
                @if visit.viewer.clients.is_none() { " " a.sm href=(log) { "Rejections in the audit log" } }
            }
            @if !decided.reasons.is_empty() {
                dl.dl.ut {
                    @for (reason, count) in by_count(decided) {
                        dt { (reason) }
                        dd { (number_of(count)) " " span.mut { (in_percent(count)) } }
                    }
                }
            }
        }
    }
}

/// Reasons in words, the most frequent first.
fn by_count(decided: &DecisionsJson) -> Vec<(&'static str, usize)> {
    let in_words = |word: &'static str| match RejectReason::parse(word) {
        Some(reason) => reason.in_words(),
        None => "no reason",
    };
    let mut reasons: Vec<(&'static str, usize)> =
        decided.reasons.iter().map(|(word, count)| (in_words(word), *count)).collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    reasons
}

/// The addresses to give to providers.
fn channels(visit: &Visit, client: &ClientJson<'_>, configured: &Client) -> Markup {
    html! {
        section.sec aria-labelledby="channels" {
            h2 #channels { "Where its providers post" }
            @if client.channels.is_empty() { p.mut { "It has no channel." } }
            @for channel in &client.channels {
                @if let Some(settings) = configured.channel(channel.channel) {
                    div.mt { (one_channel(visit, client.id, channel, settings)) }
                }
            }
        }
    }
}

fn one_channel(
    visit: &Visit,
    client: &str,
    channel: &ChannelOfClient<'_>,
    settings: &ClientChannel,
) -> Markup {
    let trouble = match channel.trouble {
        Some("disconnected") => StateMark::new(Tone::Bad, Sign::Fail, "disconnected").badge(),
        Some(_) => StateMark::new(Tone::Warn, Sign::Pause, "rate limited").badge(),
        None => html! {},
    };
    html! {
        div data-part={ "channel-" (channel.channel) } {
            h3.row { (channel.channel) (trouble) }
            p.sm.mut {
                (proves(settings)) " "
                @match channel.last_inbound_at {
                    Some(at) => { "Last message of a lead " (ago(at, visit.now)) ". " }
                    None => { "No message of a lead yet. " }
                }
                @if channel.silent { b { "That is longer ago than usual: perhaps the provider has switched its webhook off. " } }
                @if let Some(account) = channel.account { "Account " (outside(account)) ". " }
                @if settings.send.is_some() { "It sends answers." } @else { "It sends no answers." }
            }
        }
        (command(&format!("{}/webhooks/{}/{client}", visit.origin, channel.channel)))
    }
}

/// How a sender proves who it is. No secret is named.
fn proves(settings: &ClientChannel) -> &'static str {
    match (!settings.secrets.is_empty(), settings.signature.is_some()) {
        (true, true) => "A webhook must show the secret (…) and be signed.",
        (true, false) => "A webhook must show the secret (…).",
        (false, true) => "A webhook must be signed.",
        (false, false) => "A webhook needs no secret.",
    }
}

/// What was refused or left no row, by outcome.
async fn refused(visit: &Visit, client: &str) -> Result<Markup, Problem> {
    let asked = ReceivedQuery {
        client: vec![client.to_owned()],
        outcome: UNTRACED_OUTCOMES.map(str::to_owned).to_vec(),
        ..ReceivedQuery::default()
    };
    let page = visit.api().received(asked, REFUSED_MAX, None).await?;
    let counted = UNTRACED_OUTCOMES.map(|outcome| {
        let of = page.items.iter().filter(|it| it.outcome() == outcome);
        (outcome, of.map(|it| ReceivedJson::of(it).count).sum::<i64>())
    });
    let since = visit.api().untraced().since();
    Ok(html! {
        section.sec aria-labelledby="refused" data-part="refused" {
            h2 #refused { "What left no row" }
            p.sm.mut { "since " (clock(since, visit.now)) ", of this node, the last " (REFUSED_MAX) }
            dl.dl.ut {
                @for (outcome, count) in counted {
                    dt { (outcome) }
                    dd {
                        @if count == 0 { (number(0)) }
                        @else { a href=(visit.to_with("/received", &[("client", client), ("outcome", outcome)])) { (number(count)) } }
                    }
                }
            }
        }
    })
}

/// Its part of the configuration, with the places of the values.
fn values(visit: &Visit, client: &str) -> Markup {
    let moment = ConfigMoment::of(visit.state());
    let prefix = format!("clients.{client}.");
    let view = moment.view();
    let rows = view.values.iter().filter_map(|it| {
        let key = it.key.strip_prefix(&prefix)?;
        let row = TableRow::new([
            html! { code { (outside(key)) } },
            html! { code { (outside(&it.value)) } },
            html! { span.mono.z[it.origin == "the default"] { (outside(&it.origin)) } },
            html! { @if let Some(next) = &it.pending { (outside(next.value.as_deref().unwrap_or("removed"))) } @else { span.z { "–" } } },
        ]);
        Some(row.keyed(key))
    });
    let columns = [
        Column::new("key").cut(),
        Column::new("value").beside(),
        Column::new("origin"),
        Column::new("waits for a restart"),
    ];
    let table = PageTable::new("Its configuration", columns).caption_hidden().rows(rows);
    let all = visit.to_with("/config", &[("client", ""), ("show", "all"), ("q", &prefix)]);
    html! {
        section.sec aria-labelledby="values" {
            div.head { h2 #values { "Its configuration" } (link_button(&all, "In Config")) }
            (table)
        }
    }
}
