//! What a person decides: about drafts, about sends of which nobody knows the end, and about tags
//! (docs/RULES.md DRAFTS, SENDING).
//!
//! Each decision is one transaction under the lock of its lead, which also writes the row of the
//! audit log. Whoever ends, marks or settles a draft holds the same lock.

mod deliveries;
mod drafts;
mod facts;
mod tags;

pub(super) use self::{deliveries::resolve, drafts::decide, tags::retag};

use crate::domain::{Id, Sentiment, Timestamp, trace::JobTrace};
use crate::store::engine::StoreError;
use std::time::Duration;
use thiserror::Error;

/// What a person decides about a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DraftDecision {
    /// Change its text. What is `None` stays as it is.
    Edit {
        /// The subject line, which only mail has. An empty one is none.
        subject: Option<String>,
        /// The whole text.
        body: Option<String>,
    },
    /// Have it sent.
    Approve {
        /// How long it can be taken back until it is sent.
        undo: Duration,
        /// The most attempts of the job that sends it.
        max_attempts: u32,
        /// The span of the approval, if it is recorded.
        trace: Option<JobTrace>,
    },
    /// Take an approval back.
    Undo,
    /// Have it not sent.
    Reject {
        /// Why.
        note: Option<String>,
    },
    /// Put it off until then; `None` ends that.
    Snooze {
        /// The time at which it is to be decided.
        until: Option<Timestamp>,
    },
    /// Put a text in its place that was written anew.
    Rewrite(Box<Rewriting>),
}

/// What the person saw of a draft who decides about it. If it is no longer so, nothing is decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenDraft {
    /// The version of its text ([`DraftView::version`](super::DraftView::version)).
    pub version: Option<String>,
    /// The newest inbound message of its lead that the person has seen.
    pub newest_inbound_id: Option<Id>,
}

/// A text that was written anew for a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewriting {
    /// The subject and the text that the draft had when the new one was asked for. If it has
    /// others by now, nothing changes.
    pub was: (Option<String>, String),
    /// The fingerprint of the text of the message that it answers (`text::fingerprint`). If that
    /// was edited by now, nothing changes.
    pub answers: u64,
    /// The new subject line, which only mail has.
    pub subject: Option<String>,
    /// The new text.
    pub body: String,
    /// The parts of a text message.
    pub parts: Vec<String>,
    /// The tag of the message that it answers.
    pub tag: Sentiment,
}

/// Why a decision of a person was not carried out.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DecisionError {
    /// There is no such thing.
    #[error("there is no {what} {id}")]
    NotFound {
        /// `draft`, `delivery`, `message` or `lead`.
        what: &'static str,
        /// The id that was asked for.
        id: Id,
    },
    /// Its state does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// A value cannot be taken.
    #[error("{why}")]
    Invalid {
        /// The field at fault.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The result of a decision.
type Decided = Result<(), DecisionError>;
