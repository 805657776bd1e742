//! Changes of messages after they were stored: they are edited, deleted, or could not be delivered
//! (docs/RULES.md LINKEDIN, P17).

use super::{
    case::{Case, Deciding},
    known::Changeable,
    state::opt_out,
    writes::MessageChange,
};
use crate::{
    domain::{Id, OptOutSource, Signal, Timestamp, event::Direction},
    store::inbox::{
        arrival::{Arrival, First, Key},
        inbound::Answer,
    },
};
use std::collections::{BTreeSet, HashMap};

/// Finds the messages of the group that its later events are about. Returns the indexes of the
/// events about other messages, each with the keys by which its message may be stored.
pub(crate) fn find_in_group<'a>(arrivals: &mut [Arrival<'a>]) -> Vec<(usize, Vec<Key<'a>>)> {
    // By key: the message of the group, or the stored message that the group repeats.
    let mut in_group: HashMap<Key<'a>, First> = HashMap::new();
    let mut elsewhere = Vec::new();
    for (at, arrival) in arrivals.iter_mut().enumerate() {
        if let Some(message) = arrival.message() {
            let first = arrival.first.unwrap_or(First::InGroup(at));
            for key in &message.keys {
                in_group.entry(arrival.message_key(key)).or_insert(first);
            }
        }
        let about = arrival.event().filter(|_| arrival.first.is_none());
        let Some(keys) = about.and_then(|event| event.signal.about()) else { continue };
        let keys: Vec<Key<'a>> = keys.iter().map(|key| arrival.message_key(key)).collect();
        arrival.about = keys.iter().find_map(|key| in_group.get(key).copied());
        if arrival.about.is_none() {
            elsewhere.push((at, keys));
        }
    }
    elsewhere
}

/// Redirects events about an echo earlier in the group to the stored message of its delivery.
pub(crate) fn follow_echoes(arrivals: &mut [Arrival<'_>]) {
    let echoed: Vec<Option<Id>> =
        arrivals.iter().map(|arrival| arrival.echo.and_then(|echo| echo.message_id)).collect();
    for arrival in arrivals {
        if let Some(First::InGroup(root)) = arrival.about
            && let Some(Some(message_id)) = echoed.get(root)
        {
            arrival.about = Some(First::Stored(*message_id));
        }
    }
}

/// The stored messages that events of the group are about.
pub(crate) fn stored_ids(arrivals: &[Arrival<'_>]) -> BTreeSet<Id> {
    let stored = arrivals.iter().filter_map(|arrival| match arrival.about {
        Some(First::Stored(id)) => Some(id),
        Some(First::InGroup(_)) | None => None,
    });
    stored.collect()
}

impl<'a> Deciding<'_, 'a> {
    /// Applies an event to the message that it is about. A new text of the lead's newest message is
    /// judged again; one that opts out opts its lead out.
    pub(super) fn change(&mut self, case: &Case<'_, 'a>) -> Answer {
        // 1. Find the message: stored, or of this group.
        let id = match case.arrival.about {
            Some(First::Stored(id)) => Some(id),
            Some(First::InGroup(root)) => {
                let id = case.earlier.get(root).map(|root| root.message_id);
                id.inspect(|id| self.note_changeable(*id))
            }
            None => None,
        };
        let found = id.and_then(|id| Some((id, self.known.changeable.get_mut(&id)?)));
        let Some((id, message)) = found else {
            return Answer::Ignored { reason: case.event.not_found() };
        };
        // 2. Apply the event.
        let leads = &mut self.known.leads;
        let lead_id = leads.resolve(message.lead_id);
        let change = self.writes.changes.entry(id);
        let change = change.or_insert_with(|| MessageChange { id, ..MessageChange::default() });
        let is_changed = match &case.event.signal {
            Signal::Edited { body, opt_out: words, .. } => {
                let is_new = edit(message, body, case.event.at, change);
                let lead = leads.get_mut(lead_id).filter(|_| is_new && message.is_inbound);
                if let Some(lead) = lead {
                    let is_newest = lead.newest_inbound.is_some_and(|(_, newest)| newest == id);
                    change.judged_again |= is_newest;
                    if let Some(words) = words {
                        let by_words = (words.as_str(), OptOutSource::Words);
                        opt_out(lead, case, Some(id), by_words, &mut self.writes);
                    }
                    // Only the newest message has pending drafts, and speaks for its lead.
                    if is_newest {
                        self.writes.supersede_drafts(lead_id, "message_edited");
                        self.writes.judged_again.insert(id, case.job(lead_id, id));
                    }
                }
                is_new
            }
            Signal::Deleted { .. } => {
                change.deleted = true;
                let is_new = !std::mem::replace(&mut message.is_deleted, true);
                let newest = leads.get_mut(lead_id).and_then(|lead| lead.newest_inbound);
                // Only the newest message has pending drafts.
                if is_new && newest.is_some_and(|(_, newest)| newest == id) {
                    self.writes.supersede_drafts(lead_id, "message_deleted");
                }
                is_new
            }
            Signal::Failed { .. } => {
                change.failed = true;
                !std::mem::replace(&mut message.has_failed, true)
            }
            // These are not about a stored message.
            Signal::Message(_)
            | Signal::OptOut { .. }
            | Signal::Bounce { .. }
            | Signal::DoNotDisturb { .. }
            | Signal::Hint { .. }
            | Signal::Category { .. }
            | Signal::Connected => false,
        };
        // 3. Answer.
        if is_changed {
            let reason = case.event.signal.reason();
            Answer::Recorded { message_id: Some(id), lead_id, reason }
        } else {
            Answer::Duplicate { message_id: Some(id), lead_id: Some(lead_id), job_id: None }
        }
    }

    /// Adds a message that this group stores to those that can be changed.
    fn note_changeable(&mut self, id: Id) {
        let made = self.writes.messages.iter().find(|row| row.id == id);
        if let Some(row) = made {
            self.known.changeable.entry(id).or_insert_with(|| Changeable {
                lead_id: row.lead_id,
                is_inbound: row.direction == Direction::Inbound.as_str(),
                body: row.body.clone().into_owned(),
                edit_told_at: None,
                is_deleted: false,
                has_failed: false,
            });
        }
    }
}

/// Takes over an edited text, unless a newer one is known. Returns true if the text changes.
fn edit(message: &mut Changeable, body: &str, at: Timestamp, change: &mut MessageChange) -> bool {
    if message.edit_told_at.is_some_and(|known| at < known) {
        return false;
    }
    message.edit_told_at = Some(at);
    change.edit_told_at = Some(at.as_millis());
    if message.body == body {
        return false;
    }
    body.clone_into(&mut message.body);
    change.body = Some(body.to_owned());
    true
}
