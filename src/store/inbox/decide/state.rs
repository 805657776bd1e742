//! Events that change a lead and bring no message (docs/RULES.md P16, P17).

use super::{
    case::{Case, Deciding, Reply},
    writes::Writes,
};
use crate::{
    domain::{Id, OptOutSource, Signal},
    store::{
        inbox::{arrival::Hint, inbound::Answer},
        tables::{
            drafts::EndDrafts,
            leads::{Bounced, Lead},
            opt_outs::OptedOut,
        },
    },
};

impl<'a> Deciding<'_, 'a> {
    /// Applies an event to its lead. The answer is `recorded` if it changes something, else
    /// `duplicate`; a hint decides that later.
    pub(super) fn state(&mut self, case: &Case<'_, 'a>, lead_id: Id) -> Reply {
        let Some(lead) = self.known.leads.get_mut(lead_id) else {
            return Answer::Ignored { reason: case.event.not_found() }.into();
        };
        // 1. Apply the event.
        let writes = &mut self.writes;
        let reason = case.event.signal.reason();
        let mut hint = None;
        let is_changed = match &case.event.signal {
            Signal::Hint { sentiment, .. } => {
                hint = Some(*sentiment);
                false
            }
            Signal::Category { name, hint: told, opt_out: is_opt_out } => {
                hint = told.filter(|_| !is_opt_out);
                let is_new = categorise(lead, case, name.as_ref());
                let words = name.as_deref().unwrap_or(reason);
                (*is_opt_out && opt_out(lead, case, None, (words, OptOutSource::Provider), writes))
                    || is_new
            }
            Signal::OptOut { reason } => {
                opt_out(lead, case, None, (reason, OptOutSource::Provider), writes)
            }
            Signal::Bounce { address, reason, .. } => {
                bounce(lead, case, address, reason.as_ref(), writes)
            }
            Signal::DoNotDisturb { active } => {
                let before = lead.sms_dnd();
                let after = before.told(*active, case.told());
                if before != after {
                    lead.set_sms_dnd(after);
                }
                before.is_on != after.is_on
            }
            Signal::Connected => {
                let is_first = lead.connected_at.is_none();
                if is_first {
                    lead.change().connected_at = Some(case.event.at);
                }
                is_first
            }
            // These are about messages, and are applied elsewhere.
            Signal::Message(_)
            | Signal::Edited { .. }
            | Signal::Deleted { .. }
            | Signal::Failed { .. } => false,
        };
        // 2. Answer, or leave the answer to the hint.
        let answer = if is_changed {
            Answer::Recorded { message_id: None, lead_id, reason }
        } else {
            Answer::Duplicate { message_id: None, lead_id: Some(lead_id), job_id: None }
        };
        let Some(sentiment) = hint else { return answer.into() };
        let not_after = case.event.at;
        let (word, otherwise) = (reason, answer);
        let hint = Hint { lead_id, message_id: None, not_after, sentiment, word, otherwise };
        Reply::AfterHint(hint)
    }
}

/// Sets a lead's category, unless a newer event has set it. Returns true if the category changes.
fn categorise(lead: &mut Lead, case: &Case<'_, '_>, name: Option<&String>) -> bool {
    let told = case.told();
    if told.is_stale(lead.category_at) {
        return false;
    }
    let is_new = lead.category.as_ref() != name;
    let lead = lead.change();
    lead.category = name.cloned();
    lead.category_at = Some(told.at);
    is_new
}

/// Opts a lead out on all channels, and ends its drafts. False if it had opted out before.
pub(super) fn opt_out(
    lead: &mut Lead,
    case: &Case<'_, '_>,
    message_id: Option<Id>,
    (reason, source): (&str, OptOutSource),
    writes: &mut Writes<'_>,
) -> bool {
    let channel = Some(case.arrival.inbound.channel.0.to_owned());
    let fact = OptedOut { at: case.event.at, channel, message_id, reason: reason.to_owned() };
    let is_new = lead.opt_out(fact, source, None);
    if is_new {
        writes.end_drafts([EndDrafts::opted_out(lead.id)]);
    }
    is_new
}

/// Notes that mail to a lead came back. False if this address was known to bounce; then the time of
/// its newest bounce counts, and an older mail does not lift it.
fn bounce(
    lead: &mut Lead,
    case: &Case<'_, '_>,
    address: &str,
    reason: Option<&String>,
    writes: &mut Writes<'_>,
) -> bool {
    let at = case.event.at;
    if let Some(known) = lead.bounced.as_mut().filter(|known| known.address == address) {
        known.at = known.at.max(at);
        lead.change();
        return false;
    }
    let lead = lead.change();
    lead.bounced = Some(Bounced { at, address: address.to_owned(), reason: reason.cloned() });
    lead.standing = lead.standing.bounced();
    writes.end_drafts([EndDrafts::bounced(lead.id)]);
    true
}
