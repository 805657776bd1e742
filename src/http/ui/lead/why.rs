//! Why a lead is not answered: each unanswered message with the steps that it has passed.

use super::{LeadShown, words::many};
use crate::{
    domain::explain::{ChainLink, Explanation, LeadExplanation, LinkState, MessageExplanation},
    http::ui::parts::{Sign, Tone, at, clock, outside},
};
use maud::{Markup, html};

/// The panel. `explained` is what `GET /leads/{id}/explain` answers.
pub(in crate::http::ui) fn why(shown: &LeadShown<'_>, explained: &LeadExplanation) -> Markup {
    let newest = explained.messages.last();
    html! {
        section #why aria-labelledby="h-why" {
            div.head {
                h2 #h-why { @if newest.is_some() { "Why is there no answer yet?" } @else { "Nothing waits for an answer" } }
                @if explained.messages.len() > 1 { span.sm.mut { (many(explained.messages.len(), "message")) " without an answer" } }
            }
            p.say { (sentence(&explained.explanation.sentence)) }
            @if !explained.explanation.what_to_do.is_empty() {
                p.mut.ut { "What to do: " (sentence(&explained.explanation.what_to_do)) }
            }
            @if let Some(newest) = newest {
                div.mt { (chain(shown, newest)) }
                (links(shown, newest.job.as_ref()))
            }
            @for older in explained.messages.iter().rev().skip(1) {
                details.fold {
                    summary { "Message " (older.message_id) ": " (older.reason.replace('_', " ")) }
                    (chain(shown, older))
                }
            }
        }
    }
}

/// A sentence may quote what others wrote.
fn sentence(text: &str) -> Markup {
    html! { bdi dir="auto" { (crate::domain::visible::visible(text, &[])) } }
}

fn chain(shown: &LeadShown<'_>, message: &MessageExplanation) -> Markup {
    html! {
        ol.chain {
            @for link in &message.chain { (step(shown, link)) }
        }
    }
}

fn step(shown: &LeadShown<'_>, link: &ChainLink) -> Markup {
    let (tone, sign, class) = match link.state {
        LinkState::Done => (Tone::Good, Sign::Ok, ""),
        LinkState::Here => (Tone::Warn, Sign::Later, "here"),
        LinkState::Ahead => (Tone::Wait, Sign::Due, "todo"),
    };
    let name = step_name(link.link);
    html! {
        li.(tone.class()).(class) aria-current=[(link.state == LinkState::Here).then_some("step")] {
            (sign)
            div {
                b { (name) }
                @match link.state {
                    LinkState::Here => p.say { (sentence(&link.sentence)) },
                    LinkState::Done => { " " span.mut { (sentence(&link.sentence)) } },
                    LinkState::Ahead => span.vh { ", not reached" },
                }
            }
            @match link.at { Some(at) => (clock(at, shown.visit.now)), None => span {} }
        }
    }
}

fn step_name(step: &str) -> &str {
    match step {
        "received" => "Received",
        "stored" => "Stored",
        "judged" => "Judged",
        "draft" => "Draft",
        "gate" => "Gate and person",
        "due" => "Due",
        "sent" => "Sent",
        other => other,
    }
}

/// Where what is at fault can be seen.
fn links(shown: &LeadShown<'_>, job: Option<&Explanation>) -> Markup {
    let Some(job) = job else { return html! {} };
    html! {
        p.row.ut {
            @for link in &job.links {
                @match link.r#type {
                    "job" => a.btn.tight href=(at(format!("/jobs/{}", link.id))) { "Job " (link.id) },
                    "pool" => a.btn.tight href=(shown.visit.to("/pools")) { "Pool " (link.id) },
                    "node" => a.btn.tight href=(shown.visit.to("/system")) { "Node " (link.id) },
                    "config" => a.btn.tight href=(shown.visit.to_with("/config", &[("q", &link.id)])) { (outside(&link.id)) },
                    _ => "",
                }
            }
        }
    }
}
