//! `/quarantine/{id}`: a webhook that was not understood, what this version would make of it, and
//! what is done with it.

use super::mark;
use crate::{
    domain::Timestamp,
    http::{
        api::{discard_item, replay_item, try_replay},
        problem::Problem,
        ui::{
            PageResult,
            command::copy_command,
            frame::{PageContent, PagePlace},
            parts::{
                ButtonLook, Tone, button, clock, dialog, id, long_text, note, number, outside,
                post_form,
            },
            visit::Visit,
        },
    },
    ingest::{Answer, TriedReplay},
    store::QuarantineRow,
};
use actix_web::{HttpRequest, web};
use maud::{Markup, html};

/// `GET /quarantine/{id}`.
pub(in crate::http::ui) async fn show(visit: Visit, path: web::Path<String>) -> PageResult {
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
pub(in crate::http::ui) async fn replay(
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
pub(in crate::http::ui) async fn discard(
    visit: Visit,
    path: web::Path<String>,
    request: HttpRequest,
) -> PageResult {
    visit.must_operate()?;
    discard_item(visit.api(), &path, &request).await?;
    Ok(visit.see(&visit.to_with(&format!("/quarantine/{path}"), &[("done", "discarded")])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_tried_says_why_and_does_nothing() {
        let problem = Problem::conflict("no channel `<script>`");
        let shown = outcome(&Err(problem)).into_string();
        assert!(shown.contains("&lt;script&gt;") && !shown.contains("<script"), "{shown}");
    }
}
