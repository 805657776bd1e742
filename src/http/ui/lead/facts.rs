//! What is known of a lead.

use super::{LeadShown, words::time_in};
use crate::http::ui::parts::{Sign, StateMark, Tone, clock, id, outside};
use maud::{Markup, html};

/// The facts, as a list of names and values.
pub(in crate::http::ui) fn facts(shown: &LeadShown<'_>) -> Markup {
    let lead = &shown.lead.lead;
    let now = shown.visit.now;
    let there = lead.timezone.and_then(|zone| time_in(zone, now));
    html! {
        dl.dl {
            dt { "Client" } dd { (lead.client_id) }
            dt { "Status" } dd { (lead.status) }
            dt { "Tag" } dd { (or_none(lead.sentiment)) }
            @if let Some(score) = &lead.score {
                dt { "Score" }
                dd {
                    (parts_of_score(&[("fit", score.fit), ("intent", score.intent), ("overall", score.overall)]))
                    @if let Some(reason) = score.reason { br; span.mut.sm { (outside(reason)) } }
                }
            }
            dt { "Company" } dd { (or_none(lead.company_name)) @if let Some(title) = lead.title { ", " (outside(title)) } }
            dt { "E-mail" } dd { (or_none(lead.email)) }
            dt { "Phone" } dd { (or_none(lead.phone)) }
            dt { "Zone" } dd { (or_none(lead.timezone)) @if let Some(there) = there { ", " (there) " there" } }
            dt { "Campaign" }
            dd {
                @match &lead.campaign {
                    Some(campaign) => { @match campaign.name { Some(name) => (outside(name)), None => (id(campaign.id.0)) } },
                    None => span.z { "none" },
                }
            }
            @if let Some(category) = lead.category { dt { "Category" } dd { (outside(category)) } }
            dt { "Opt-out" }
            dd {
                @match &lead.opted_out {
                    Some(fact) => {
                        (StateMark::new(Tone::Bad, Sign::Cancelled, "opted out").badge())
                        " " (clock(fact.at, now))
                        @if let Some(reason) = fact.reason { br; span.mut.sm { (outside(reason)) } }
                    },
                    None => span.z { "none" },
                }
            }
            @if let Some(bounced) = &lead.bounced {
                dt { "Bounced" }
                dd { (clock(bounced.at, now)) @if let Some(reason) = bounced.reason { br; span.mut.sm { (outside(reason)) } } }
            }
            @if lead.sms_dnd { dt { "Texts" } dd { "wants none (do not disturb)" } }
            @if let Some(until) = lead.snoozed_until.filter(|it| *it > now) {
                dt { "Snoozed" } dd { "until " (clock(until, now)) }
            }
            dt { "Lead" } dd { (id(lead.id.0)) }
        }
        @if !lead.identities.is_empty() {
            details.fold {
                summary { "Known by " (lead.identities.len()) }
                dl.dl { @for identity in &lead.identities { dt { (identity.kind) } dd { (outside(identity.value)) } } }
            }
        }
    }
}

fn or_none(value: Option<&str>) -> Markup {
    match value.filter(|it| !it.trim().is_empty()) {
        Some(value) => outside(value),
        None => html! { span.z { "none known" } },
    }
}

fn parts_of_score(parts: &[(&str, Option<i32>)]) -> Markup {
    let known: Vec<String> =
        parts.iter().filter_map(|(name, value)| Some(format!("{name} {}", (*value)?))).collect();
    html! { (known.join(" · ")) }
}
