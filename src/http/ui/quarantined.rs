//! `/quarantine/{id}`: a webhook that was not understood, what this version would make of it, and
//! what is done with it and those like it.

use super::{
    PageResult,
    command::copy_command,
    frame::{PageContent, PagePlace},
    parts::{
        ButtonLook, Sign, StateMark, Tone, button, clock, dialog, id, long_text, note, number,
        outside, post_form,
    },
    visit::Visit,
};
use crate::{
    domain::{Id, Timestamp},
    http::{
        api::{discard_item, replay_item, try_replay},
        problem::{Cause, Problem},
    },
    ingest::{Answer, TriedReplay},
    store::{ListedQuarantine, QuarantineFilter, QuarantineRow},
};
use actix_web::{HttpRequest, web};
use maud::{Markup, html};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;

/// How many of a group are replayed or discarded by one form.
pub(super) const AT_ONCE: usize = 100;
/// How many held items are grouped.
const GROUPED_MAX: usize = 500;

/// The mark of an item's state.
pub(super) fn mark(status: &str) -> StateMark {
    match status {
        "replayed" => StateMark::new(Tone::Good, Sign::Ok, "replayed"),
        "discarded" => StateMark::new(Tone::Wait, Sign::Cancelled, "discarded"),
        _ => StateMark::new(Tone::Warn, Sign::Held, "held"),
    }
}

/// Held items that are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct QuarantineGroup {
    pub(super) client_id: String,
    pub(super) channel: String,
    pub(super) event_type: Option<String>,
    pub(super) reason: String,
    /// The items, newest first: at least one.
    pub(super) ids: Vec<Id>,
    /// True if there may be more: only so many held items are grouped.
    is_open: bool,
    pub(super) last_at: Timestamp,
}

impl QuarantineGroup {
    /// How many there are: `12`, or `500+`.
    pub(super) fn counted(&self) -> String {
        let count = self.ids.len();
        let noun = if count == 1 { "webhook" } else { "webhooks" };
        format!("{count}{} {noun}", if self.is_open { "+" } else { "" })
    }

    /// The newest of them.
    pub(super) fn newest(&self) -> Id {
        self.ids.first().copied().unwrap_or_default()
    }

    /// What the row of the group is found by: it stays while the group grows.
    pub(super) fn key(&self) -> String {
        let Self { client_id, channel, event_type, reason, .. } = self;
        let event = event_type.as_deref().unwrap_or_default();
        let parts = [client_id.as_str(), channel.as_str(), event, reason.as_str()].join("\0");
        let digest = Sha256::digest(parts);
        let start = digest.iter().take(8).fold(0_u64, |all, byte| (all << 8) | u64::from(*byte));
        format!("g{start:016x}")
    }
}

/// The newest held items, those alike together, the largest group first.
///
/// # Errors
/// If the database is away.
pub(super) async fn held_groups(
    visit: &Visit,
    filter: QuarantineFilter,
) -> Result<Vec<QuarantineGroup>, Problem> {
    let page = visit.api().quarantined(filter, GROUPED_MAX, None).await?;
    let held = page
        .items
        .iter()
        .map(|item| (kind_of(item), item.id, Timestamp::from_millis(item.last_received_at.0)));
    Ok(grouped(held, page.next.is_some()))
}

/// What items of a group have in common: client, channel, event and reason.
type HeldKind<'a> = (&'a str, &'a str, Option<&'a str>, &'a str);

/// Groups items, which come newest first.
fn grouped<'a>(
    items: impl Iterator<Item = (HeldKind<'a>, Id, Timestamp)>,
    has_more: bool,
) -> Vec<QuarantineGroup> {
    let mut groups: HashMap<HeldKind<'a>, QuarantineGroup> = HashMap::new();
    for (kind, id, last_at) in items {
        let (client_id, channel, event_type, reason) = kind;
        let group = groups.entry(kind).or_insert_with(|| QuarantineGroup {
            client_id: client_id.to_owned(),
            channel: channel.to_owned(),
            event_type: event_type.map(str::to_owned),
            reason: reason.to_owned(),
            ids: Vec::new(),
            is_open: has_more,
            last_at,
        });
        group.ids.push(id);
    }
    let mut groups: Vec<QuarantineGroup> = groups.into_values().collect();
    groups.sort_by_key(|it| std::cmp::Reverse((it.ids.len(), it.newest())));
    groups
}

fn kind_of(item: &ListedQuarantine) -> HeldKind<'_> {
    (&item.client_id, &item.channel, item.event_type.as_deref(), &item.reason)
}

/// `GET /quarantine/{id}`.
pub(super) async fn show(visit: Visit, path: web::Path<String>) -> PageResult {
    let query = visit.query(&["try", "ask", "full"])?;
    let is_true = |it: &str| (it == "true").then_some(());
    let is_tried = !query.parsed("try", is_true, || "true".to_owned())?.is_empty();
    let is_whole = !query.parsed("full", is_true, || "true".to_owned())?.is_empty();
    let discards = |it: &str| (it == "discard").then_some(());
    let is_asked = !query.parsed("ask", discards, || "discard".to_owned())?.is_empty();
    let item = visit.api().quarantined_item(&path).await?;
    let tried = if is_tried && visit.viewer.may_review() {
        Some(try_replay(visit.api(), visit.state(), &path).await)
    } else {
        None
    };
    let may_operate = visit.viewer.may_operate() && item.status == "held";
    let body = html! {
        p.crumb.sm { a href=(visit.to_with("/received", &[("tab", "quarantine")])) { "Quarantine" } }
        div.head data-part="head" {
            h1 { @if let Some(event) = &item.event_type { (outside(event)) } @else { "A webhook without a name" } }
            (mark(&item.status))
            span.end { (copy_command(&visit, &format!("postroom quarantine show {}", item.id), &[])) }
        }
        (note(Tone::Warn, html! { "Not understood: " (outside(&item.reason)) "." }, "It was authentic, so it is kept.", None))
        (done(&visit))
        @if may_operate && is_asked { (question(&visit, &path)) }
        @if let Some(tried) = &tried { (outcome(tried)) }
        div.row.mt data-part="deeds" {
            @if visit.viewer.may_review() {
                a.btn.tight href=(visit.with("try", Some("true"))) data-key="t" { "Try " kbd { "t" } }
            }
            @if may_operate {
                (post_form(&format!("/quarantine/{path}/replay"), html! { button.btn.tight data-key="r" { "Replay " kbd { "r" } } }))
                a.btn.tight.danger href=(visit.with("ask", Some("discard"))) data-key="D" { "Discard " kbd { "D" } }
            }
            span.sm.mut { "Try says what this version would make of it, and stores nothing." }
        }
        div.side.sec {
            div { h2 { "Body as received" } (payload(&visit, &item, is_whole)) }
            div data-part="facts" { (facts(&visit, &item)) }
        }
    };
    let title = format!("Quarantine {path}");
    Ok(visit.answer(&PageContent::new(PagePlace::Received, title, body)))
}

fn done(visit: &Visit) -> Markup {
    match visit.done() {
        Some("replayed") => {
            note(Tone::Good, "Replayed.", "It is stored as what it means now.", None)
        }
        Some("still_held") => {
            note(Tone::Warn, "Still not understood.", "It stays in quarantine.", None)
        }
        Some("discarded") => {
            note(Tone::Good, "Discarded.", "It stays stored, and nothing more is done.", None)
        }
        _ => html! {},
    }
}

/// What this version would make of it.
fn outcome(tried: &Result<TriedReplay, Problem>) -> Markup {
    let tried = match tried {
        Ok(tried) => tried,
        Err(problem) => {
            return note(Tone::Bad, "It cannot be tried.", outside(problem.detail()), None);
        }
    };
    match tried {
        TriedReplay::Ignored { reason, .. } => {
            let more = html! { "Reason: " (outside(reason)) ". Nothing would be stored." };
            note(Tone::Wait, "It would be ignored.", more, None)
        }
        TriedReplay::Quarantined { reason, .. } => {
            note(Tone::Warn, "It would still not be understood.", outside(reason), None)
        }
        TriedReplay::Understood(event) => {
            let message = event.signal.message();
            let more = html! {
                "It means: " (tried.signal()) ", of "
                @for (at, identity) in event.identities.iter().enumerate() {
                    @if at > 0 { ", " }
                    (identity.kind.as_str()) " " (outside(&identity.value))
                }
                @if event.identities.is_empty() { "a lead that is found by its message or chat" }
                ". Replay stores it, unless it is there already."
            };
            html! {
                (note(Tone::Good, "It is understood now.", more, None))
                @if let Some(message) = message {
                    div.box.pad.ut {
                        p.sm.mut { (message.direction.as_str()) }
                        @if let Some(subject) = &message.subject { p { b { (outside(subject)) } } }
                        (long_text(&message.body, None))
                    }
                }
            }
        }
    }
}

fn question(visit: &Visit, path: &str) -> Markup {
    let content = html! {
        p { "It stays stored, and nothing more is done about it. It cannot be replayed afterwards." }
        p.mt { (button(ButtonLook::Danger, "Discard")) }
    };
    let form = post_form(&format!("/quarantine/{path}/discard"), content);
    dialog("Discard this webhook?", &visit.with("ask", None), "Leave it", form)
}

fn payload(visit: &Visit, item: &QuarantineRow, is_whole: bool) -> Markup {
    if !visit.viewer.may_review() {
        return html! { p.mut { "Bodies are shown to reviewers and operators." } };
    }
    let all = visit.with("full", Some("true"));
    html! { div.box.pad.mono { (long_text(&item.payload, (!is_whole).then_some(all.as_str()))) } }
}

fn facts(visit: &Visit, item: &QuarantineRow) -> Markup {
    let time = |at: i64| clock(Timestamp::from_millis(at), visit.now);
    html! {
        dl.dl {
            dt { "Item" } dd { (id(item.id)) }
            dt { "Client" } dd { a href=(visit.to(&format!("/clients/{}", item.client_id))) { (outside(&item.client_id)) } }
            dt { "Channel" } dd { (item.channel) }
            dt { "Came first" } dd { (time(item.received_at.0)) }
            dt { "Came last" } dd { (time(item.last_received_at.0)) }
            dt { "Times" } dd { (number(item.count)) }
            dt { "Request" } dd { @if let Some(request) = &item.request_id { (id(request)) } @else { span.z { "–" } } }
            dt { "Bytes" } dd { (number(item.size)) }
        }
    }
}

/// `POST /quarantine/{id}/replay`.
pub(super) async fn replay(
    visit: Visit,
    path: web::Path<String>,
    request: HttpRequest,
) -> PageResult {
    visit.must_operate()?;
    let answer = replay_item(visit.api(), visit.state(), &path, &request).await?;
    let done = match answer {
        Answer::Quarantined { .. } | Answer::QuarantineFull => "still_held",
        Answer::Accepted { .. }
        | Answer::Duplicate { .. }
        | Answer::Recorded { .. }
        | Answer::Ignored { .. } => "replayed",
    };
    Ok(visit.see(&visit.to_with(&format!("/quarantine/{path}"), &[("done", done)])))
}

/// `POST /quarantine/{id}/discard`.
pub(super) async fn discard(
    visit: Visit,
    path: web::Path<String>,
    request: HttpRequest,
) -> PageResult {
    visit.must_operate()?;
    discard_item(visit.api(), &path, &request).await?;
    Ok(visit.see(&visit.to_with(&format!("/quarantine/{path}"), &[("done", "discarded")])))
}

/// The form that changes a whole group.
#[derive(Debug, Deserialize)]
pub(super) struct GroupForm {
    action: String,
}

/// `POST /quarantine/{id}/group`: replays or discards the held items that are like this one, the
/// oldest of those grouped first, at most [`AT_ONCE`].
pub(super) async fn change_group(
    visit: Visit,
    path: web::Path<String>,
    form: web::Form<GroupForm>,
    request: HttpRequest,
) -> PageResult {
    visit.must_operate()?;
    let is_replay = match form.action.as_str() {
        "replay" => true,
        "discard" => false,
        _ => return Err(Problem::bad_request("action", "must be replay or discard")),
    };
    // 1. Those alike.
    let (like, _) = visit.api().quarantined_item(&path).await?.split();
    let filter = QuarantineFilter {
        status: vec!["held".to_owned()],
        client: vec![like.client_id.clone()],
        channel: vec![like.channel.clone()],
        ..QuarantineFilter::default()
    };
    let held = visit.api().quarantined(filter, GROUPED_MAX, None).await?.items;
    let alike: Vec<Id> =
        held.iter().filter(|it| kind_of(it) == kind_of(&like)).map(|it| it.id).collect();
    // 2. Each of them, so that messages are replayed in their order.
    let mut done = 0_usize;
    for id in alike.iter().rev().take(AT_ONCE) {
        let id = id.to_string();
        let changed = if is_replay {
            let answer = replay_item(visit.api(), visit.state(), &id, &request).await;
            answer.map(|it| !matches!(it, Answer::Quarantined { .. } | Answer::QuarantineFull))
        } else {
            discard_item(visit.api(), &id, &request).await.map(|_| true)
        };
        match changed {
            Ok(is_changed) => done += usize::from(is_changed),
            // Another person was faster.
            Err(problem) if problem.cause() == Cause::Conflict => {}
            Err(problem) => return Err(problem),
        }
    }
    let word = if is_replay { "replayed" } else { "discarded" };
    let told = format!("{word}.{done}.{}", alike.len().saturating_sub(done));
    let pairs = [("tab", "quarantine"), ("done", told.as_str())];
    Ok(visit.see(&visit.to_with("/received", &pairs)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::ui::parts::assert_told_apart;

    #[test]
    fn every_state_of_an_item_has_a_mark_of_its_own() {
        assert_told_apart(&["held", "replayed", "discarded"].map(mark), &[]);
    }

    #[test]
    fn items_alike_are_one_group_and_the_largest_comes_first() {
        let at = Timestamp::from_millis(0);
        let items = [
            (("acme", "pager", Some("Paged"), "unknown_event"), 9, at),
            (("acme", "pager", None, "bad_field at"), 8, at),
            (("acme", "pager", None, "bad_field at"), 7, at),
        ];
        let groups = grouped(items.into_iter(), false);
        let found: Vec<(usize, Id)> = groups.iter().map(|it| (it.ids.len(), it.newest())).collect();
        assert_eq!(found, [(2, 8), (1, 9)]);
        assert_eq!(groups[0].counted(), "2 webhooks");
        let grown = items.into_iter().chain([(items[0].0, 3, at)]);
        let grown = grouped(grown, true);
        assert_eq!(grown[1].counted(), "2+ webhooks");
        // A row is found again although its group has grown.
        assert_eq!([groups[1].key(), groups[0].key()], [grown[0].key(), grown[1].key()]);
        assert_ne!(groups[0].key(), groups[1].key());
    }

    #[test]
    fn what_could_not_be_tried_says_why_and_does_nothing() {
        let problem = Problem::conflict("no channel `<script>`");
        let shown = outcome(&Err(problem)).into_string();
        assert!(shown.contains("&lt;script&gt;") && !shown.contains("<script"), "{shown}");
    }
}
