//! Decides the answers to the webhooks of a group, and the rows to change.
//!
//! Nothing here sees a transaction or a clock: plain values go in and come out. The rules are P9
//! to P17 of docs/RULES.md. [`decide`] applies most of them. `read` applies some earlier, before
//! the leads are locked: which webhooks repeat which message (`recognise`), and which lead each
//! belongs to (`people`, `merges`). `write` applies two later, when the messages are stored:
//! verdicts (`verdicts`) and room in quarantine (`quarantine`).

mod case;
pub(super) mod changes;
mod duplicates;
pub(super) mod echoes;
pub(super) mod known;
pub(super) mod merges;
mod news;
pub(super) mod people;
pub(super) mod quarantine;
pub(super) mod quotes;
pub(super) mod recognise;
mod state;
pub(super) mod verdicts;
pub(super) mod writes;

use self::{
    case::{Case, Deciding, Reply},
    known::Known,
    writes::Writes,
};
use super::{
    arrival::{Arrival, First},
    inbound::Answer,
};
use crate::domain::Id;

/// Decides the group in the order of arrival. Fills in the answers or hints of the webhooks,
/// changes the locked leads in memory, and returns the other rows to write. `next_id` gives out ids
/// for jobs.
///
/// A webhook that is held for a person gets its answer later: `write` knows whether there is room.
pub(super) fn decide<'a>(
    arrivals: &mut [Arrival<'a>],
    known: &mut Known,
    next_id: &dyn Fn() -> Id,
) -> Writes<'a> {
    let made = arrivals.iter().filter_map(|arrival| arrival.lead).filter(|lead| lead.is_new);
    let made_leads = made.map(|lead| lead.lead_id).collect();
    let writes = Writes { made_leads, ..Writes::default() };
    let mut deciding = Deciding { known, writes, next_id };
    for at in 0..arrivals.len() {
        let (earlier, rest) = arrivals.split_at_mut(at);
        let Some(arrival) = rest.first_mut() else { continue };
        match Case::of(arrival, earlier).map(|case| deciding.reply(&case)) {
            Some(Reply::Now(answer)) => arrival.answer = Some(answer),
            Some(Reply::AfterHint(hint)) => arrival.hint = Some(hint),
            None => {}
        }
    }
    deciding.writes
}

impl<'a> Deciding<'_, 'a> {
    /// Applies an event: a duplicate, a change of a message, or news about a lead.
    fn reply(&mut self, case: &Case<'_, 'a>) -> Reply {
        match case.arrival.first {
            Some(First::Stored(id)) => self.repeat_stored(case, id),
            Some(First::InGroup(root)) => match case.earlier.get(root) {
                Some(first) => self.repeat_in_group(case, first),
                None => Answer::DUPLICATE_OF_NOTHING.into(),
            },
            None if case.event.signal.about().is_some() => self.change(case).into(),
            None => self.news(case),
        }
    }

    /// An event that is no duplicate and is about a lead.
    fn news(&mut self, case: &Case<'_, 'a>) -> Reply {
        let (arrival, event) = (case.arrival, case.event);
        let lead = arrival.lead.and_then(|lead| self.known.leads.get_mut(lead.lead_id));
        let Some(lead) = lead else {
            return Answer::Ignored { reason: event.not_found() }.into();
        };
        lead.fill_in(&event.profile, arrival.campaign_id);
        let lead_id = lead.id;
        match (event.signal.message(), arrival.echo) {
            (Some(_), Some(echo)) => self.echo(case, echo, lead_id).into(),
            (Some(message), None) => self.message(case, message, lead_id).into(),
            (None, _) => self.state(case, lead_id),
        }
    }
}

#[cfg(test)]
mod tests;
