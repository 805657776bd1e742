//! The thread of a lead: what was written, and between it what Postroom did.

use super::{
    LeadShown,
    words::{linked, many, time_in},
};
use crate::{
    domain::{Timestamp, judged_by::in_words},
    http::{
        api::{DeliveryJson, DraftJson, MessageJson},
        ui::{
            parts::{Sign, StateMark, TEXT_CHARS_MAX, Tone, clock, id_link, outside, trace_link},
            sends,
        },
    },
};
use maud::{Markup, html};

/// The mark of a draft's status.
pub(in crate::http::ui) fn draft_mark(status: &str) -> StateMark {
    match status {
        "pending" => StateMark::new(Tone::Wait, Sign::Due, "waits for a person"),
        "approved" => StateMark::new(Tone::Wait, Sign::Later, "approved"),
        "sending" => StateMark::new(Tone::Busy, Sign::Run, "sending"),
        "sent" => StateMark::new(Tone::Good, Sign::Ok, "sent"),
        "rejected" => StateMark::new(Tone::Wait, Sign::Cancelled, "rejected"),
        // Another one lies over it.
        "superseded" => StateMark::new(Tone::Wait, Sign::Copy, "superseded"),
        _ => StateMark::new(Tone::Unsure, Sign::Unsure, "not known"),
    }
}

/// The messages, oldest first, and at the end what is approved and not sent.
pub(in crate::http::ui) fn thread(shown: &LeadShown<'_>) -> Markup {
    let lead = &shown.lead;
    html! {
        div.thread {
            @if lead.messages.is_empty() {
                p.mut { "No message of this lead is stored." }
            }
            @for message in &lead.messages {
                (message_part(shown, message))
                @if message.direction == "inbound" { (done_about(shown, message)) }
            }
            @for draft in lead.drafts.iter().filter(|it| matches!(it.status, "approved" | "sending")) {
                (unsent(shown, draft))
            }
        }
    }
}

fn message_part(shown: &LeadShown<'_>, message: &MessageJson<'_>) -> Markup {
    let is_inbound = message.direction == "inbound";
    let is_whole = shown.whole.as_ref().is_some_and(|it| it.id == message.id.0);
    let body = match &shown.whole {
        Some(whole) if is_whole => linked(&whole.body, usize::MAX),
        _ => linked(message.body, TEXT_CHARS_MAX),
    };
    let delivery = shown.lead.deliveries.iter().find(|it| it.message_id == Some(message.id));
    html! {
        article.msg.in[is_inbound] id={ "m" (message.id.0) } {
            header {
                b { (message.channel) @if is_inbound { " from " } @else { " to " } (outside(&shown.name)) }
                @if message.automated { "· a machine wrote it" }
                @if message.edited_at.is_some() { "· edited" }
                (when(shown, message.sent_at))
            }
            @if let Some(subject) = message.subject.filter(|it| !it.trim().is_empty()) {
                p { b { (outside(subject)) } }
            }
            @if message.deleted_at.is_some() { p.mut { "It was deleted at its provider." } }
            @if message.body.trim().is_empty() { p.z { "no text" } } @else { (body) }
            @if message.truncated && !is_whole {
                p.sm { a href=(shown.whole_address(message.id.0)) { "Show all of this text" } }
            }
            @if let Some(files) = attachments(message) { p.sm.mut { (files) } }
            @if !is_inbound { footer { (outbound_state(shown, message, delivery)) } }
        }
    }
}

/// When a message was written: for the reader, and where the lead is.
fn when(shown: &LeadShown<'_>, at: Timestamp) -> Markup {
    let there = shown.lead.lead.timezone.and_then(|zone| time_in(zone, at));
    html! {
        (clock(at, shown.visit.now))
        @if let Some(there) = there { span.nw { "· " (there) " there" } }
    }
}

fn attachments(message: &MessageJson<'_>) -> Option<Markup> {
    let files: Vec<serde_json::Value> = message.attachments.read()?;
    let names = files.iter().filter_map(|it| it.get("name").and_then(|it| it.as_str()));
    let names: Vec<&str> = names.take(5).collect();
    (!files.is_empty()).then(|| {
        html! { (many(files.len(), "attachment")) @for name in names { " · " (outside(name)) } }
    })
}

/// The address of the page that has a message with its payload.
fn message_page(shown: &LeadShown<'_>, message: &MessageJson<'_>) -> String {
    shown.visit.to(&format!("/messages/{}", message.id.0))
}

fn outbound_state(
    shown: &LeadShown<'_>,
    message: &MessageJson<'_>,
    delivery: Option<&DeliveryJson<'_>>,
) -> Markup {
    html! {
        @if message.failed_at.is_some() {
            (StateMark::new(Tone::Bad, Sign::Fail, "did not arrive").badge())
        } @else if let Some(delivery) = delivery {
            (sends::mark(delivery.status).quiet())
            @if let Some(error) = delivery.error { (outside(error)) }
            (id_link("/deliveries", delivery.id.0))
        } @else {
            (StateMark::new(Tone::Good, Sign::Ok, "sent elsewhere").quiet())
            a href=(message_page(shown, message)) { "as its provider told" }
        }
    }
}

/// What Postroom did about an inbound message, folded.
fn done_about(shown: &LeadShown<'_>, message: &MessageJson<'_>) -> Markup {
    let now = shown.visit.now;
    let drafts: Vec<&DraftJson<'_>> =
        shown.lead.drafts.iter().filter(|it| it.message_id == message.id).collect();
    let jobs: Vec<_> =
        shown.read.detail.jobs.iter().filter(|it| it.message_id == Some(message.id.0)).collect();
    // The first job of a message is made where the message is stored.
    let trace_id = jobs.iter().min_by_key(|it| it.id).and_then(|it| it.trace_id.as_deref());
    html! {
        details.fold {
            summary {
                @match message.sentiment {
                    Some(tag) => {
                        "judged " (tag)
                        @if let Some(by) = message.judged_by { " " (outside(&in_words(by))) }
                    },
                    None => "not judged",
                }
                " · "
                @match drafts.first() {
                    Some(draft) => { "draft " (draft_mark(draft.status).word) },
                    None => "no draft",
                }
            }
            ul.sm.mut {
                li {
                    (clock(message.created_at, now)) " stored, "
                    a href=(message_page(shown, message)) { "as it came" }
                }
                @for draft in drafts.iter().rev() {
                    li { (clock(draft.created_at, now)) " drafted" @if draft.edited { ", edited by a person" } }
                    @if let Some(gate) = &draft.gate {
                        li { "gate: " (gate.decision.replace('_', " ")) @if let Some(reason) = gate.reason { ", " (outside(reason)) } }
                    }
                    @if let Some(at) = draft.decided_at {
                        li {
                            (clock(at, now)) " " (draft_mark(draft.status).word)
                            @if let Some(by) = draft.decided_by { " by " (outside(by)) }
                            @if let Some(note) = draft.note { ": " (outside(note)) }
                        }
                    }
                }
                @if let Some(trace_id) = trace_id {
                    li { "trace " (trace_link(shown.visit.trace_url().as_deref(), trace_id)) }
                }
                @for job in jobs {
                    li { (StateMark::of_job(job.status).quiet()) " " span.mono { (job.kind) } " " (id_link("/jobs", job.id)) }
                }
            }
        }
    }
}

/// A draft that is approved and not sent yet, at the end of the thread.
fn unsent(shown: &LeadShown<'_>, draft: &DraftJson<'_>) -> Markup {
    html! {
        article.msg {
            header {
                b { @if draft.status == "sending" { "On its way" } @else { "Approved, not sent" } }
                @if let Some(by) = draft.decided_by { "by " (outside(by)) }
                @if let Some(at) = draft.decided_at { (when(shown, at)) }
            }
            (linked(draft.body, TEXT_CHARS_MAX))
            footer {
                (draft_mark(draft.status).quiet())
                @if let Some(at) = draft.send_at { "due " (clock(at, shown.visit.now)) }
                @if let Some(why) = draft.blocked_by { "blocked: " (why) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{http::ui::parts::assert_told_apart, store::DRAFT_STATUSES};

    #[test]
    fn every_state_of_a_draft_has_a_mark_of_its_own() {
        let marks = DRAFT_STATUSES.map(draft_mark);
        assert_told_apart(&[&marks[..], &[draft_mark("of a later version")]].concat(), &[]);
    }
}
