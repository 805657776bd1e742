//! The list of the inbox, its views and its filters.

use super::InboxShown;
use crate::{
    domain::{Id, LeadStatus, Sentiment, Timestamp},
    http::{
        api::{DECIDED_MAX, InboxJson, InboxView},
        ui::{
            command::{send_command, with_options},
            lead::{beginning, gate_text, many, name_of},
            parts::{
                Sign, StateMark, Tone, at, choice, clock, command, copy_button, duration, field,
                hidden_input, live_count, new_rows, outside, percent, since,
            },
            visit::Visit,
        },
    },
};
use maud::{Markup, html};

/// How much of a message a row shows.
const BEGINNING_CHARS: usize = 90;

/// What the list is, for readers of the screen.
pub(super) const fn label(view: InboxView) -> &'static str {
    match view {
        InboxView::Drafts => "Drafts that wait, longest first",
        InboxView::Attention => "Drafts that something blocks, longest first",
        InboxView::All => "Leads, newest message first",
        InboxView::Snoozed => "Drafts that are put off, longest first",
        InboxView::OptedOut => "Leads that are not written to",
    }
}

const fn name(view: InboxView) -> &'static str {
    match view {
        InboxView::Drafts => "Drafts",
        InboxView::Attention => "Attention",
        InboxView::All => "All",
        InboxView::Snoozed => "Snoozed",
        InboxView::OptedOut => "Opted out",
    }
}

/// The heading with the views, the filters, and what was decided lately.
pub(super) fn tool(inbox: &InboxShown<'_>) -> Markup {
    let visit = inbox.visit;
    let waiting = visit.api().last_totals().map(|it| it.drafts_pending);
    let waiting = waiting.filter(|_| visit.viewer.clients.is_none() && visit.client.is_none());
    html! {
        div.tool {
            h1 { "Inbox" }
            nav.chips aria-label="Views" {
                @for view in InboxView::ALL {
                    a href=(visit.to_with("/inbox", &[("view", view.as_str())]))
                        aria-current=[(view == inbox.view).then_some("true")] {
                        (name(view))
                        @if view == InboxView::Drafts { @if waiting.is_some() { " " b { (live_count("drafts", "pending", waiting)) } } }
                    }
                }
            }
            (filter(inbox))
            (new_rows(&visit.here()))
            (as_command(inbox))
            @if let Some(lately) = &inbox.lately {
                span.sm.mut.end {
                    @if lately.count >= DECIDED_MAX { (lately.count) "+" } @else { (lately.count) }
                    " decided in a day"
                    @if let Some(median) = lately.median_ms {
                        span title="from the draft to the decision" { ", median " (duration(median)) }
                    }
                    @if let Some(share) = percent(lately.count.saturating_sub(lately.approved), lately.count) { ", " (share) " % rejected" }
                    @if let Some(last) = lately.last_at { ", the last " (clock(last, visit.now)) }
                }
            }
        }
    }
}

/// The command that lists the same, or what comes nearest: commands know no campaign and no tag.
fn as_command(inbox: &InboxShown<'_>) -> Markup {
    let given = |name: &'static str| inbox.visit.given(name);
    let of_leads = |status: Option<LeadStatus>| {
        let status = status.map(|it| ("status", it.as_str()));
        let sought = given("q").map(|it| ("search", it));
        let client = given("client").map(|it| ("client", it));
        let options = [status, sought, client].into_iter().flatten();
        with_options("postroom leads list", options)
    };
    let command = match inbox.view {
        InboxView::All => of_leads(None),
        InboxView::OptedOut => of_leads(Some(LeadStatus::Blacklisted)),
        InboxView::Drafts | InboxView::Attention | InboxView::Snoozed => {
            let options = ["client", "channel"].into_iter();
            let options = options.filter_map(|name| Some((name, given(name)?)));
            with_options("postroom drafts list --status pending", options)
        }
    };
    copy_button("Copy as command", &command)
}

/// The filters as a form, folded; and what is filtered by, each with a way to leave it out.
fn filter(inbox: &InboxShown<'_>) -> Markup {
    let visit = inbox.visit;
    let given = |name: &str| visit.given(name).unwrap_or_default();
    let has_more = inbox.view.waiting_for().is_some();
    let tags = Sentiment::ALL.into_iter().filter(|tag| tag.gets_draft()).map(Sentiment::as_str);
    let tags = std::iter::once(("", "any")).chain(tags.map(|tag| (tag, tag)));
    let state = visit.state();
    let mut channels: Vec<&str> = state.channels.keys().copied().collect();
    channels.sort_unstable();
    let channels = std::iter::once(("", "any")).chain(channels.into_iter().map(|it| (it, it)));
    html! {
        details.menu.l {
            summary { "Filter" (Sign::Chevron) }
            div.pop {
                form.pad action=(at("/inbox")) {
                    (hidden_input("view", inbox.view.as_str()))
                    @if let Some(client) = &visit.client { (hidden_input("client", client)) }
                    (field("Name, company, address or phone", "q", given("q"), "", None))
                    @if has_more {
                        (choice("Tag", "tag", given("tag"), tags))
                        (choice("Channel", "channel", given("channel"), channels))
                        (field("Campaign", "campaign", given("campaign"), "its id", None))
                    }
                    button.btn.ut { "Filter" }
                }
            }
        }
        @for name in ["q", "tag", "channel", "campaign"] {
            @if let Some(value) = visit.given(name) {
                span.chips { a href=(visit.with(name, None)) {
                    span.vh { "Leave out the filter " }
                    (name) ": " (outside(value)) (Sign::Cancelled)
                } }
            }
        }
    }
}

/// The rows, and what stands below or in the place of them.
pub(super) fn rows(inbox: &InboxShown<'_>) -> Markup {
    let visit = inbox.visit;
    if inbox.rows.is_empty() && inbox.page.next.is_none() {
        return empty(inbox);
    }
    let next = inbox.page.next.as_deref().map(|next| visit.with("cursor", Some(next)));
    let is_of_drafts = inbox.view.waiting_for().is_some();
    let further = if is_of_drafts { "Later ones" } else { "Older ones" };
    html! {
        @if inbox.rows.is_empty() { p.pad { b { "Nothing matches yet." } " What is further down was not looked at." } }
        ul { @for row in &inbox.rows { li { (one(inbox, row)) } } }
        @if let Some(next) = &next {
            div.pad { p.row { a.btn href=(next) rel="next" { (further) } span.sm.mut { (many(inbox.rows.len(), "row")) " here" } } }
        }
    }
}

fn empty(inbox: &InboxShown<'_>) -> Markup {
    let is_filtered = ["q", "tag", "channel", "campaign", "client"]
        .into_iter()
        .any(|name| inbox.visit.given(name).is_some());
    html! {
        div.pad {
            @match inbox.view {
                InboxView::Drafts => {
                    p { b { "No draft waits" @if is_filtered { " that matches" } "." } }
                    @if let Some(lately) = &inbox.lately {
                        p.mut.ut {
                            @if lately.approved >= DECIDED_MAX { (lately.approved) "+" } @else { (lately.approved) }
                            " approved in a day"
                            @if let Some(last) = lately.last_at { ", the last decision at " (clock(last, inbox.visit.now)) }
                            "."
                        }
                    }
                    p.mut.ut { "A message that asks for an answer brings one. To try it:" }
                    (command(&send_command(inbox.visit)))
                },
                InboxView::Attention => p { b { "Nothing blocks an answer" @if is_filtered { " that matches" } "." } },
                InboxView::Snoozed => {
                    p { b { "No draft is put off" @if is_filtered { " that matches" } "." } }
                    p.mut.ut { "A draft that you snooze comes back at its time, or when its lead writes again." }
                },
                InboxView::All => p { b { "No lead" @if is_filtered { " that matches" } "." } " The first message brings one." },
                InboxView::OptedOut => p { b { "Nobody" @if is_filtered { " that matches" } " has opted out." } },
            }
        }
    }
}

fn one(inbox: &InboxShown<'_>, row: &InboxJson<'_>) -> Markup {
    let visit = inbox.visit;
    let (lead, draft) = (&row.lead, row.draft.as_ref());
    let (name, id) = match draft {
        Some(draft) => ("draft", draft.id.0),
        None => ("lead", lead.id.0),
    };
    let is_chosen = inbox.chosen.is_some_and(|it| match it.draft_id {
        Some(chosen) if draft.is_some() => chosen == id,
        _ => it.lead_id == lead.id.0,
    });
    let at: Option<Timestamp> =
        row.message.as_ref().map(|it| it.created_at).or(lead.last_message_at);
    let tag = draft.and_then(|it| it.tag).or(lead.sentiment);
    let channel = draft.map(|it| it.channel).or(row.message.as_ref().map(|it| it.channel));
    let about = [channel, Some(lead.client_id), tag].into_iter().flatten().collect::<Vec<_>>();
    html! {
        a.who data-row=(id) href=(address_of(visit, (name, id))) aria-current=[is_chosen.then_some("true")] {
            span {
                b.one { (outside(&name_of(lead))) }
                @if let Some(company) = lead.company_name { span.mut.one { (outside(company)) } }
                @if let Some(at) = at { span.mut.nw.end { (since(at, visit.now)) } }
            }
            span.mut { span.one { (about.join(" · ")) } }
            @if let Some(message) = &row.message { p { (beginning(message, BEGINNING_CHARS)) } }
            @if let Some(draft) = draft {
                span {
                    @if let Some(until) = draft.snoozed_until.filter(|it| *it > visit.now) {
                        span.nw { (StateMark::LATER.quiet()) " " (clock(until, visit.now)) }
                    }
                    @if let Some(text) = gate_text(draft) { span.nw { (text) } }
                    @if let Some(why) = draft.blocked_by {
                        (StateMark::new(Tone::Warn, Sign::Warn, "blocked").quiet()) span.mut.one { (why.replace('_', " ")) }
                    } @else if let Some(reason) = draft.gate.as_ref().and_then(|it| it.reason) {
                        span.mut.one { (outside(reason)) }
                    }
                }
            } @else if lead.opted_out.is_some() {
                span { (StateMark::new(Tone::Bad, Sign::Cancelled, "opted out").quiet()) }
            } @else if lead.bounced.is_some() {
                span { (StateMark::new(Tone::Bad, Sign::Fail, "bounced").quiet()) }
            }
        }
    }
}

/// The address of the inbox with a row chosen: a draft or a lead. Its page of the list stays.
pub(super) fn address_of(visit: &Visit, (name, id): (&'static str, Id)) -> String {
    let address = visit.with(name, Some(&id.to_string()));
    match visit.given("cursor") {
        Some(cursor) => super::with_pair(&address, "cursor", cursor),
        None => address,
    }
}
