//! Duplicates. They are answered with the ids of the first message, and may add a few facts to it
//! (docs/RULES.md P11).

use super::{
    case::{Case, Deciding, Reply},
    state::opt_out,
};
use crate::{
    domain::{Id, NewMessage, OptOutSource, event::Direction},
    store::{
        inbox::{
            arrival::{Arrival, Hint},
            inbound::Answer,
        },
        tables::messages::Filling,
    },
};
use std::borrow::Cow;

impl<'a> Deciding<'_, 'a> {
    /// A duplicate of a stored message. The answer has its ids; its job is made if it is missing.
    pub(super) fn repeat_stored(&mut self, case: &Case<'_, 'a>, message_id: Id) -> Reply {
        let Some(first) = self.known.repeated.get(&message_id).copied() else {
            // A signed delivery without a message, or a message that was pruned while its key was
            // not.
            return Answer::DUPLICATE_OF_NOTHING.into();
        };
        let lead_id = first.message.lead_id;
        // 1. Add the provider's id and the text, if the message came without.
        if let Some(message) = case.event.signal.message() {
            if let (false, Some(provider_id)) = (first.message.is_named, &message.provider_id) {
                self.writes.names.entry(message_id).or_insert_with(|| provider_id.clone());
            }
            if first.lacks_text()
                && !message.body.is_empty()
                && !self.writes.fillings.contains_key(&message_id)
            {
                let text = case.arrival.stored_text(message);
                self.writes.fillings.insert(message_id, Filling::new(message_id, message, text));
                self.opt_out_late(case, message, message_id, lead_id);
            }
        }
        // 2. Make its job, unless it is there or an earlier webhook of the group has made it.
        let mut job_id = first.message.job_id;
        if first.misses_its_job() {
            let mut made = self.writes.entries.iter();
            let made = made.find(|entry| entry.job.subject_id == message_id).map(|entry| entry.id);
            job_id = Some(made.unwrap_or_else(|| self.add_job(case, lead_id, message_id)));
        }
        let answer =
            Answer::Duplicate { message_id: Some(message_id), lead_id: Some(lead_id), job_id };
        with_hint(case, message_id, lead_id, answer)
    }

    /// A duplicate of a webhook earlier in the same group.
    pub(super) fn repeat_in_group(&mut self, case: &Case<'_, 'a>, first: &Arrival<'a>) -> Reply {
        // 1. Answer with the ids of the first.
        let answer = match first.answer.as_ref() {
            Some(Answer::Accepted { message_id, lead_id, job_id }) => Answer::Duplicate {
                message_id: Some(*message_id),
                lead_id: Some(*lead_id),
                job_id: Some(*job_id),
            },
            Some(Answer::Recorded { message_id, lead_id, .. }) => {
                Answer::Duplicate { message_id: *message_id, lead_id: Some(*lead_id), job_id: None }
            }
            Some(other) => other.clone(),
            None => Answer::DUPLICATE_OF_NOTHING,
        };
        // 2. Add the provider's id and the text, if the first came without.
        let id = first.message_id;
        if let Some(message) = case.event.signal.message()
            && let Some(row) = self.writes.messages.iter_mut().find(|row| row.id == id)
        {
            row.provider_id =
                row.provider_id.take().or(message.provider_id.as_deref().map(Cow::Borrowed));
            let lead_id = row.lead_id;
            if row.direction == Direction::Inbound.as_str() && row.fill(message) {
                self.opt_out_late(case, message, id, lead_id);
            }
        }
        if let Answer::Duplicate { message_id: Some(message_id), lead_id: Some(lead_id), .. } =
            answer
        {
            with_hint(case, message_id, lead_id, answer)
        } else {
            answer.into()
        }
    }

    /// Applies an opt-out in the late text of a message that came without a text, as if the text
    /// had come at once.
    fn opt_out_late(
        &mut self,
        case: &Case<'_, 'a>,
        message: &NewMessage,
        message_id: Id,
        lead_id: Id,
    ) {
        let lead = self.known.leads.get_mut(lead_id);
        if let (Some(words), Some(lead)) = (case.arrival.opt_out_words(message), lead) {
            opt_out(lead, case, Some(message_id), (words, OptOutSource::Words), &mut self.writes);
        }
    }
}

/// The answer to a duplicate; a hint if the duplicate brings a verdict.
fn with_hint(case: &Case<'_, '_>, message_id: Id, lead_id: Id, answer: Answer) -> Reply {
    match case.event.signal.message().and_then(|message| message.hint) {
        Some(sentiment) => Reply::AfterHint(Hint {
            lead_id,
            message_id: Some(message_id),
            not_after: case.event.at,
            sentiment,
            // For a repeated reply there is no other reason word (docs/RULES.md P7).
            word: "interested",
            otherwise: answer,
        }),
        None => answer.into(),
    }
}
