//! The values that ingest hands over and gets back: webhooks, and their answers.

use crate::domain::{ChannelName, Event, Id, JobKind, Timestamp, trace::JobTrace};
use std::sync::Arc;

/// One webhook to store.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// The client that it was posted for.
    pub client_id: Arc<str>,
    /// The channel that it came over.
    pub channel: ChannelName,
    /// The id of the request that it came with.
    pub request_id: String,
    /// The time of its receipt.
    pub received_at: Timestamp,
    /// The body as received, with secrets masked.
    pub payload: String,
    /// Its delivery, if its sender has signed an id of it. The same id with the same body changes
    /// nothing; with another body it is held for a person.
    pub delivery: Option<Delivery>,
    /// Its meaning, or why it has none.
    pub content: Content,
    /// The span that receives it, if that is recorded.
    pub trace: Option<JobTrace>,
}

/// The reason of a delivery that is held because it has the id of an earlier one and another body.
pub const SAME_ID_OTHER_BODY: &str = "same_id_other_body";

/// A delivery that its sender has signed.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The id that its sender gave it. A repetition has the same id and the same body.
    pub id: String,
    /// The hash of its body; see [`body_hash`](crate::store::body_hash).
    pub body_hash: String,
    /// How long it is remembered, in milliseconds: as long as its signature is valid.
    pub kept_ms: i64,
}

/// The meaning of a webhook, as far as it was understood.
#[derive(Clone, Debug)]
pub enum Content {
    /// It was understood.
    Event {
        /// The event that it means.
        event: Box<Event>,
        /// The kind of job that works an inbound message through.
        kind: JobKind,
    },
    /// It was not understood, and is kept for a person.
    Quarantine {
        /// The provider's name of the event.
        event_type: Option<String>,
        /// Why it was not understood.
        reason: String,
        /// The hash of the body as received. The same bytes are the same item.
        body_hash: String,
    },
}

/// The answer to a webhook, with the ids that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is stored, and its job is enqueued.
    Accepted {
        /// The stored message.
        message_id: Id,
        /// The lead of the message.
        lead_id: Id,
        /// The job that works the message through.
        job_id: Id,
    },
    /// It repeats an earlier webhook. The ids are those of the first one.
    Duplicate {
        /// The first message; `None` for a state signal that changes nothing.
        message_id: Option<Id>,
        /// The lead of the first message.
        lead_id: Option<Id>,
        /// The inbound job of the first message.
        job_id: Option<Id>,
    },
    /// It is stored or applied, and needs no job.
    Recorded {
        /// The stored message, if any.
        message_id: Option<Id>,
        /// The lead that it is about.
        lead_id: Id,
        /// The word for the change.
        reason: &'static str,
    },
    /// Nothing has to be done.
    Ignored {
        /// Why nothing has to be done.
        reason: &'static str,
    },
    /// It is kept for a person.
    Quarantined {
        /// The item in quarantine.
        quarantine_id: Id,
        /// Why it is kept.
        reason: String,
    },
    /// It should be kept for a person, but its client holds as much in quarantine as it may.
    /// Nothing is stored.
    QuarantineFull,
}

impl Answer {
    /// The answer to a duplicate of a webhook without a message.
    pub(super) const DUPLICATE_OF_NOTHING: Self =
        Self::Duplicate { message_id: None, lead_id: None, job_id: None };
}
