//! New messages, and echoes of our own sends.

use super::{
    case::{Case, Deciding},
    state::opt_out,
};
use crate::{
    domain::{Id, NewMessage, OptOutSource, event::Direction},
    store::{
        inbox::{arrival::Echo, inbound::Answer},
        tables::leads::Lead,
    },
};

impl<'a> Deciding<'_, 'a> {
    /// An echo of our own send. It makes no second message (docs/RULES.md P12).
    pub(super) fn echo(&mut self, case: &Case<'_, 'a>, echo: Echo, lead_id: Id) -> Answer {
        let arrival = case.arrival;
        let message_id = echo.message_id.unwrap_or(arrival.message_id);
        if echo.message_id.is_none() {
            self.writes.add_message(arrival, lead_id, true);
        }
        self.writes.add_echo(arrival, echo, message_id);
        if let Some(lead) = self.known.leads.get_mut(lead_id) {
            note_outbound(lead, case);
        }
        Answer::Duplicate { message_id: Some(message_id), lead_id: Some(lead_id), job_id: None }
    }

    /// A new message. An inbound one gets its job. If it is its lead's newest message, its verdict
    /// changes the lead's standing.
    pub(super) fn message(
        &mut self,
        case: &Case<'_, 'a>,
        message: &NewMessage,
        lead_id: Id,
    ) -> Answer {
        let (at, message_id) = (case.event.at, case.arrival.message_id);
        // 1. Store it.
        self.writes.add_message(case.arrival, lead_id, false);
        // 2. Change its lead.
        if let Some(lead) = self.known.leads.get_mut(lead_id) {
            if message.direction == Direction::Outbound {
                note_outbound(lead, case);
                let reason = case.event.signal.reason();
                return Answer::Recorded { message_id: Some(message_id), lead_id, reason };
            }
            let lead = lead.change();
            lead.last_message_at = lead.last_message_at.max(Some(at));
            lift_bounce(lead, case, message);
            if lead.would_be_newest(at, message_id) {
                lead.newest_inbound = Some((at, message_id));
                lead.snoozed_until = None;
                self.writes.supersede_drafts(lead_id, "newer_message");
                if let Some(hint) = message.verdict() {
                    lead.standing = lead.standing.hinted(hint);
                }
            }
            if let Some(words) = case.arrival.opt_out_words(message) {
                opt_out(
                    lead,
                    case,
                    Some(message_id),
                    (words, OptOutSource::Words),
                    &mut self.writes,
                );
            }
        }
        // 3. Enqueue its job.
        let job_id = self.add_job(case, lead_id, message_id);
        Answer::Accepted { message_id, lead_id, job_id }
    }
}

fn note_outbound(lead: &mut Lead, case: &Case<'_, '_>) {
    let lead = lead.change();
    lead.last_message_at = lead.last_message_at.max(Some(case.event.at));
    lead.last_outbound_at = lead.last_outbound_at.max(Some(case.event.at));
}

/// Lifts a bounce if a mail comes from the address that bounced, because the address works again.
/// A mail that was written before the bounce and comes late does not lift it (docs/RULES.md P17).
fn lift_bounce(lead: &mut Lead, case: &Case<'_, '_>, message: &NewMessage) {
    let is_from_it = lead.bounced.as_ref().is_some_and(|bounced| {
        message.from.address.as_deref() == Some(bounced.address.as_str())
            && case.event.at >= bounced.at
    });
    if case.arrival.terms.medium.is_mail() && is_from_it {
        lead.bounced = None;
        lead.standing = lead.standing.bounce_lifted();
    }
}
