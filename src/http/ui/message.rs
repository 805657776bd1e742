//! `/messages/{id}`: one message: what was made of it, beside the payload that brought it.

use super::{
    PageResult,
    command::copy_command,
    frame::{PageContent, PagePlace},
    parts::{
        Sign, StateMark, clock, duration, id, id_link, long_text, number_of, outside, with_query,
    },
    received::mark_of,
    sends::lead_name,
    visit::Visit,
};
use crate::{
    domain::{Id, Timestamp, judged_by::in_words, whole_millis},
    http::{
        api::{jobs, outcome_of, parse_id},
        problem::Problem,
    },
    store::{JobFilter, JobView, LeadName, MessageRow},
};
use actix_web::web;
use maud::{Markup, html};
use serde::de::IgnoredAny;
use std::collections::HashMap;

/// Among how many of the newest jobs of its lead those of a message are looked for.
const JOBS_READ: usize = 200;
/// How many jobs are shown.
const JOBS_SHOWN: usize = 10;
/// How many times its size a payload may become when it is put into lines.
const GROWTH_MAX: usize = 8;
/// Deeper levels of JSON are not indented further.
const INDENT_MAX: usize = 16;

/// What is stored of the webhook that brought a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeptPayload<'a> {
    Kept(&'a str),
    /// It was kept once, and its time is over.
    Deleted,
    /// No webhook has brought the message.
    Never,
}

impl<'a> KeptPayload<'a> {
    /// What we sent has no request, unless its provider told it back to us.
    fn of(payload: Option<&'a str>, source: &str, request_id: Option<&str>) -> Self {
        let has_request = request_id.is_some_and(|it| !it.is_empty());
        match payload.filter(|it| !it.is_empty()) {
            Some(text) => Self::Kept(text),
            None if source == "postroom" && !has_request => Self::Never,
            None => Self::Deleted,
        }
    }
}

/// `GET /messages/{id}`.
pub(super) async fn show(visit: Visit, path: web::Path<String>) -> PageResult {
    let query = visit.query(&["full"])?;
    let is_true = |it: &str| (it == "true").then_some(());
    let is_whole = !query.parsed("full", is_true, || "true".to_owned())?.is_empty();
    let none = || Problem::not_found("there is no message at this address");
    let message = visit.api().message(parse_id(&path).ok_or_else(none)?).await?;
    let message = message.ok_or_else(none)?;
    let names = visit.api().lead_names([message.lead_id]).await?;
    let jobs = jobs_about(&visit, &message).await?;
    let body = html! {
        p.crumb.sm { a href=(visit.to("/received")) { "Received" } }
        div.head data-part="head" {
            h1 {
                "Message " @if message.direction == "inbound" { "from " } @else { "to " }
                (lead_name(&names, message.lead_id))
            }
            (mark_of(outcome_of(&message.source)))
            span.end { (copy_command(&visit, &format!("postroom messages show {}", message.id), &[])) }
        }
        div.side.sec {
            div {
                section aria-labelledby="text" data-part="text" {
                    h2 #text { "Text" }
                    (text(&visit, &message, is_whole))
                }
                section.sec aria-labelledby="payload" {
                    h2 #payload { "Payload" }
                    (payload(&visit, &message, is_whole))
                }
            }
            aside aria-labelledby="made" data-part="facts" {
                h2 #made { "What was made of it" }
                (facts(&visit, &message, &names, &jobs))
            }
        }
    };
    let title = format!("Message {} · {}", message.id, message.client_id);
    Ok(visit.answer(&PageContent::new(PagePlace::Received, title, body)))
}

/// The jobs about a message, oldest first.
async fn jobs_about(visit: &Visit, message: &MessageRow) -> Result<Vec<JobView>, Problem> {
    let of_lead = JobFilter { lead: vec![message.lead_id], ..JobFilter::default() };
    let newest = jobs::jobs(visit.api(), of_lead, JOBS_READ, None).await?.items;
    let about = newest.into_iter().rev().filter(|it| it.message_id == Some(message.id));
    Ok(about.take(JOBS_SHOWN).collect())
}

fn text(visit: &Visit, message: &MessageRow, is_whole: bool) -> Markup {
    let all = visit.with("full", Some("true"));
    let subject = message.subject.as_deref().filter(|it| !it.trim().is_empty());
    let body = message.body.replace("\r\n", "\n");
    html! {
        div.box.pad.ut {
            @if let Some(subject) = subject { p { b { (outside(subject)) } } }
            @if body.trim().is_empty() { p.z { "no text" } }
            @else { (long_text(&body, (!is_whole).then_some(all.as_str()))) }
        }
        @if !message.has_new_text {
            p.sm.mut.ut { "Nothing of it is new text: it only quotes or reacts." }
        }
    }
}

/// The payload, folded; or why there is none.
fn payload(visit: &Visit, message: &MessageRow, is_whole: bool) -> Markup {
    let (source, request_id) = (message.source.as_str(), message.request_id.as_deref());
    let kept_for = duration(whole_millis(visit.state().config.get().retention.payloads));
    let text = match KeptPayload::of(message.payload.as_deref(), source, request_id) {
        KeptPayload::Kept(text) => text,
        KeptPayload::Deleted => {
            return html! {
                p.mut.ut {
                    "It is not kept any more: a payload is deleted " (kept_for) " after it came ("
                    code { "retention.payloads" } "). The message stays."
                }
            };
        }
        KeptPayload::Never => {
            return html! {
                p.mut.ut { "There never was one: Postroom sent this message itself, and no webhook brought it." }
            };
        }
    };
    if !visit.viewer.may_review() {
        return html! { p.mut.ut { "Payloads are shown to reviewers and operators." } };
    }
    let all = visit.with("full", Some("true"));
    let lines = in_lines(text);
    let shown = lines.as_deref().unwrap_or(text);
    html! {
        details.fold.ut open[is_whole] {
            summary {
                (number_of(text.len())) " bytes"
                @if lines.is_some() { ", as JSON in lines" } @else { ", as they came" }
            }
            div.box.pad.mono { (long_text(shown, (!is_whole).then_some(all.as_str()))) }
        }
        p.sm.mut.ut {
            "That of the webhook which told of the message first. Secrets are masked (" code { "***" }
            "). It is kept for " (kept_for) " (" code { "retention.payloads" } ")."
        }
    }
}

/// JSON with a line for each value. Its tokens stay as they are: names keep their order, also one
/// that stands twice, and numbers their spelling, which no value of `serde_json` keeps. `None` for
/// what is no JSON, and for what would grow more than [`GROWTH_MAX`] times.
fn in_lines(json: &str) -> Option<String> {
    serde_json::from_str::<IgnoredAny>(json).ok()?;
    let bytes_max = json.len().saturating_mul(GROWTH_MAX);
    let mut lines = String::with_capacity(json.len());
    let begin = |lines: &mut String, depth: usize| {
        lines.push('\n');
        lines.extend(std::iter::repeat_n("  ", depth.min(INDENT_MAX)));
    };
    let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
    let mut chars = json.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            _ if is_text => {
                lines.push(c);
                is_text = c != '"' || is_escaped;
                is_escaped = c == '\\' && !is_escaped;
            }
            ' ' | '\t' | '\n' | '\r' => {}
            '{' | '[' => {
                lines.push(c);
                while chars.next_if(char::is_ascii_whitespace).is_some() {}
                match chars.next_if(|it| matches!(it, '}' | ']')) {
                    Some(end) => lines.push(end),
                    None => {
                        depth += 1;
                        begin(&mut lines, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                begin(&mut lines, depth);
                lines.push(c);
            }
            ',' => {
                lines.push(c);
                begin(&mut lines, depth);
            }
            ':' => lines.push_str(": "),
            _ => {
                is_text = c == '"';
                lines.push(c);
            }
        }
        if lines.len() > bytes_max {
            return None;
        }
    }
    Some(lines)
}

fn facts(
    visit: &Visit,
    message: &MessageRow,
    names: &HashMap<Id, LeadName>,
    jobs: &[JobView],
) -> Markup {
    let (lead, client) = (message.lead_id.to_string(), &message.client_id);
    let time = |at: i64| clock(Timestamp::from_millis(at), visit.now);
    let none = html! { span.z { "–" } };
    let request_id = message.request_id.as_deref().filter(|it| !it.is_empty());
    // In the thread, a message is found by its id.
    let in_thread = format!("{}#m{}", visit.to(&format!("/leads/{lead}")), message.id);
    html! {
        dl.dl.ut {
            dt { "Event" }
            dd { @if let Some(event) = &message.event_type { (outside(event)) } @else { (none) } }
            dt { "Direction" }
            dd { (message.direction) @if message.source == "postroom" { ", sent by Postroom" } }
            dt { "Channel" } dd { (message.channel) }
            dt { "Client" } dd { a href=(with_query(format!("/clients/{client}"), [])) { (outside(client)) } }
            dt { "Lead" } dd { a href=(in_thread) { (lead_name(names, message.lead_id)) } }
            dt { "Sent" } dd { (time(message.sent_at.0)) }
            dt { "Stored" } dd { (time(message.created_at.0)) }
            @if let Some(at) = message.edited_at { dt { "Edited" } dd { (time(at.0)) } }
            @if let Some(at) = message.deleted_at { dt { "Deleted" } dd { (time(at.0)) " at its provider" } }
            @if let Some(at) = message.failed_at { dt { (Sign::Fail) " Failed" } dd { (time(at.0)) ": it did not arrive" } }
            dt { "Tag" }
            dd {
                @if let Some(tag) = &message.sentiment {
                    (tag)
                    @if let Some(by) = &message.judged_by { ", judged " (outside(&in_words(by))) }
                } @else { span.z { "not judged" } }
                @if message.automated { ", a machine wrote it" }
            }
            dt { "Provider's id" }
            dd { @if let Some(of_provider) = &message.provider_id { (id(of_provider)) } @else { (none) } }
            dt { "Request" } dd { @if let Some(request) = request_id { (id(request)) } @else { (none) } }
            dt { "Message" } dd { (id(message.id)) }
            dt { "Jobs" }
            dd {
                @for job in jobs {
                    p { (StateMark::of_job(job.status).quiet()) " " (id_link("/jobs", job.id)) " " span.mono { (job.kind) } }
                }
                @if jobs.is_empty() { p.z { "none known" } }
                p.sm { a href=(visit.to_with("/jobs", &[("lead", lead.as_str())])) { "Jobs of the lead" } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_kept_or_was_deleted_or_never_was() {
        for (payload, source, request_id, expected) in [
            (Some("{}"), "provider", Some("r"), KeptPayload::Kept("{}")),
            (None, "provider", Some("r"), KeptPayload::Deleted),
            // Older versions stored no request.
            (None, "provider", None, KeptPayload::Deleted),
            (Some(""), "postroom", Some(""), KeptPayload::Never),
            (None, "postroom", None, KeptPayload::Never),
            // A provider has told us what we sent.
            (Some("{}"), "postroom", Some("r"), KeptPayload::Kept("{}")),
            (None, "postroom", Some("r"), KeptPayload::Deleted),
        ] {
            let kept = KeptPayload::of(payload, source, request_id);
            assert_eq!(kept, expected, "{payload:?} {source} {request_id:?}");
        }
    }

    #[test]
    fn json_has_a_line_for_each_value_and_its_tokens_as_they_came() {
        for (json, expected) in [
            (r#"{"b":1,"a":[ ],"c":{}}"#, "{\n  \"b\": 1,\n  \"a\": [],\n  \"c\": {}\n}"),
            ("[1.50,1e3, true]", "[\n  1.50,\n  1e3,\n  true\n]"),
            (r#"{"a":1,"a":2}"#, "{\n  \"a\": 1,\n  \"a\": 2\n}"),
            (r#"{"a":"{x: [1,2]} \" \\"}"#, "{\n  \"a\": \"{x: [1,2]} \\\" \\\\\"\n}"),
            (r#" "\u202e" "#, r#""\u202e""#),
            (r#"[[{"a":null}]]"#, "[\n  [\n    {\n      \"a\": null\n    }\n  ]\n]"),
        ] {
            assert_eq!(in_lines(json).as_deref(), Some(expected), "{json}");
        }
        for other in ["", "From=%2B1&Body=hi", "{\"a\": cut", "[1] and more"] {
            assert_eq!(in_lines(other), None, "{other}");
        }
    }

    #[test]
    fn json_in_lines_means_the_same() {
        let json = r#"{"a":[1,{"b":"x, y: \\\"[z]\\\""},[[]]],"c":"ä\n","d":[{},{"e":-0.5}]}"#;
        let lines = in_lines(json).unwrap();
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&lines), value(json));
        assert_eq!(in_lines(&lines), Some(lines));
    }

    #[test]
    fn what_would_grow_without_a_bound_is_left_as_it_came() {
        let depth = 100_000;
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(in_lines(&deep), None);
        let wide = format!("[{}0]", "0,".repeat(100_000));
        assert!(in_lines(&wide).is_some_and(|it| it.len() < wide.len() * GROWTH_MAX));
    }
}
