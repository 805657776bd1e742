//! The input and output of the rules: one webhook, the facts about the group, and the list of rows
//! to write.

use super::{known::Known, writes::Writes};
use crate::{
    domain::{Event, Id, JobKind, job::NewJob, order::Told},
    store::inbox::{
        arrival::{Arrival, Hint},
        inbound::Answer,
    },
};

/// One webhook that is an event.
#[derive(Clone, Copy)]
pub(super) struct Case<'c, 'a> {
    pub(super) arrival: &'c Arrival<'a>,
    pub(super) event: &'a Event,
    /// The kind of job that works an inbound message through.
    pub(super) kind: JobKind,
    /// The webhooks of the group that came before it, with their answers.
    pub(super) earlier: &'c [Arrival<'a>],
}

impl<'c, 'a> Case<'c, 'a> {
    /// `None` for a webhook that is held for a person.
    pub(super) fn of(arrival: &'c Arrival<'a>, earlier: &'c [Arrival<'a>]) -> Option<Self> {
        let understood = arrival.understood()?;
        let (event, kind) = (understood.event, understood.kind);
        Some(Self { arrival, event, kind, earlier })
    }

    /// The job that works a message through.
    pub(super) fn job(&self, lead_id: Id, message_id: Id) -> NewJob {
        NewJob {
            kind: self.kind,
            client_id: self.arrival.inbound.client_id.to_string(),
            lead_id: Some(lead_id),
            subject_id: message_id,
            message_id: Some(message_id),
            draft_id: None,
            max_attempts: self.arrival.terms.max_attempts,
            in_lead_line: true,
            channel: Some(self.arrival.inbound.channel.0.to_owned()),
            delay_ms: 0,
            trace: self.arrival.inbound.trace,
        }
    }

    /// The time of the event as its provider tells it, and whether it is only the time of receipt.
    pub(super) fn told(&self) -> Told {
        let at = self.event.at;
        Told { at, is_of_receipt: at == self.arrival.inbound.received_at }
    }
}

/// The answer to a webhook, or the hint on which it depends.
pub(super) enum Reply {
    /// The answer is known.
    Now(Answer),
    /// The answer depends on whether the hint fills in a verdict. That is known after the group's
    /// messages are stored.
    AfterHint(Hint),
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self::Now(answer)
    }
}

/// A group that is being decided.
pub(super) struct Deciding<'d, 'a> {
    pub(super) known: &'d mut Known,
    pub(super) writes: Writes<'a>,
    /// Gives out ids for jobs.
    pub(super) next_id: &'d dyn Fn() -> Id,
}

impl<'a> Deciding<'_, 'a> {
    /// Enqueues the job that works a message through.
    pub(super) fn add_job(&mut self, case: &Case<'_, 'a>, lead_id: Id, message_id: Id) -> Id {
        self.writes.add_job((self.next_id)(), case.job(lead_id, message_id))
    }
}
