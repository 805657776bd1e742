//! What the pages of deliveries have in common.

use super::{
    parts::{Sign, StateMark, Tone, clock, note, one_line, outside, two},
    visit::Visit,
};
use crate::{
    domain::{Id, Timestamp},
    http::problem::Problem,
    store::{DeliveryRow, DraftView, Excerpt, LeadName, TroubledAccount},
};
use maud::{Markup, html};
use std::collections::HashMap;

/// The characters of an answer that a row shows.
const LINE_CHARS: usize = 90;

/// Deliveries, with what is shown of their leads and drafts.
pub(super) struct ShownSends {
    pub(super) rows: Vec<DeliveryRow>,
    drafts: HashMap<Id, Excerpt<DraftView>>,
    names: HashMap<Id, LeadName>,
}

impl ShownSends {
    /// Reads what is shown of these.
    ///
    /// # Errors
    /// If the database is away.
    pub(super) async fn read(visit: &Visit, rows: Vec<DeliveryRow>) -> Result<Self, Problem> {
        let drafts = visit.api().drafts_of(&rows).await?;
        let names = visit.api().lead_names(rows.iter().map(|it| it.lead_id)).await?;
        let drafts = drafts.into_iter().map(|it| (it.row.draft.id, it)).collect();
        Ok(Self { rows, drafts, names })
    }

    /// The draft that a delivery sends, if it is stored.
    pub(super) fn draft(&self, delivery: &DeliveryRow) -> Option<&Excerpt<DraftView>> {
        delivery.draft_id.and_then(|id| self.drafts.get(&id))
    }

    /// The name of the lead of a delivery.
    pub(super) fn name(&self, delivery: &DeliveryRow) -> Markup {
        lead_name(&self.names, delivery.lead_id)
    }

    /// The lead, with the beginning of what is sent to it.
    pub(super) fn what(&self, visit: &Visit, delivery: &DeliveryRow) -> Markup {
        let lead = html! {
            a href=(visit.to(&format!("/deliveries/{}", delivery.id))) { (self.name(delivery)) }
        };
        match self.draft(delivery) {
            Some(draft) => two(lead, one_line(&draft.row.draft.body, LINE_CHARS)),
            None => two(lead, "its text is not stored any more"),
        }
    }
}

/// The name of a lead, else its id.
pub(super) fn lead_name(names: &HashMap<Id, LeadName>, lead: Id) -> Markup {
    let name = names.get(&lead).and_then(LeadName::shown);
    html! { @if let Some(name) = name { (outside(&name)) } @else { "lead " (lead) } }
}

/// The mark of a delivery's state.
pub(super) fn mark(status: &str) -> StateMark {
    match status {
        "sending" => StateMark::new(Tone::Busy, Sign::Send, "sending"),
        "sent" => StateMark::new(Tone::Good, Sign::Ok, "sent"),
        "failed" => StateMark::new(Tone::Bad, Sign::Fail, "failed"),
        _ => StateMark::UNCERTAIN,
    }
}

/// What is known of the call.
pub(super) fn on_the_wire(delivery: &DeliveryRow) -> Markup {
    match (delivery.status.as_str(), &delivery.error) {
        (_, Some(error)) => html! { div.wire { (outside(error)) } },
        ("sent", None) => html! { span.z { "the provider took it" } },
        ("sending", None) => html! { "the call is being made" },
        _ => html! { span.z { "–" } },
    }
}

/// The accounts in trouble that the page is about.
pub(super) fn troubled<'a>(
    visit: &'a Visit,
    accounts: &'a [TroubledAccount],
) -> impl Iterator<Item = &'a TroubledAccount> {
    accounts.iter().filter(|it| {
        let is_shown = visit.client.as_ref().is_none_or(|client| *client == it.client_id);
        is_shown && visit.viewer.sees(&it.client_id)
    })
}

/// A note about an account through which nothing is sent now.
pub(super) fn account_note(account: &TroubledAccount, now: Timestamp) -> Markup {
    let is_disconnected = account.is_disconnected();
    let what = html! {
        (account.channel) " of " (outside(&account.client_id)) " is "
        @if is_disconnected { "disconnected" } @else { "rate limited" }
        " since " (clock(account.since, now)) "."
    };
    let more = html! {
        @if account.paused_until > now {
            "Nothing is sent through it until " (clock(account.paused_until, now)) "."
        } @else { "The next send tries it again." }
        " Its provider said: " (outside(&account.reason))
    };
    note(if is_disconnected { Tone::Bad } else { Tone::Warn }, what, more, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::sending::DeliveryStatus, http::ui::parts::assert_told_apart};

    #[test]
    fn every_state_of_a_delivery_has_a_mark_of_its_own() {
        assert_told_apart(&DeliveryStatus::ALL.map(|it| mark(it.as_str())), &[]);
    }

    #[test]
    fn a_lead_is_called_by_its_name_else_by_its_address() {
        let name = |first: Option<&str>, email: Option<&str>| {
            let name = LeadName {
                id: 7,
                first_name: first.map(str::to_owned),
                email: email.map(str::to_owned),
                ..LeadName::default()
            };
            lead_name(&HashMap::from([(7, name)]), 7).into_string()
        };
        assert!(name(Some("<b>Rita"), None).contains("&lt;b&gt;Rita"));
        assert!(name(Some(" "), Some("r@x.test")).contains("r@x.test"));
        assert_eq!(name(None, None), "lead 7");
    }

    #[test]
    fn what_a_provider_said_does_nothing_on_the_page() {
        let now = Timestamp::from_millis(1_764_000_000_000);
        let account = TroubledAccount {
            client_id: "acme".to_owned(),
            channel: "pager".to_owned(),
            state: "rate_limited".to_owned(),
            paused_until: now.plus_millis(60_000),
            since: now,
            reason: "<img src=x onerror=alert(1)>\u{202e}".to_owned(),
        };
        let note = account_note(&account, now).into_string();
        assert!(note.contains("&lt;img src=x") && note.contains("\\u202e"), "{note}");
        assert!(note.contains("Nothing is sent through it until"), "{note}");
    }
}
