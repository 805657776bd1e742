//! The outcome of an attempt, and the changes that follow from it.

use super::{
    ChannelName, Id, JobKind, JudgedBy, OptOutSource, Sentiment, Timestamp,
    auto_send::GateDecision, sending::SendEnd,
};
use std::time::Duration;

/// What a handler returns. Panics, time-outs and shutdowns are no outcomes: the slot or the
/// supervisor sees them.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The job succeeded. The effects commit with the completion, or not at all (G4).
    Done(Vec<Effect>),
    /// This attempt failed, with this error. The job is tried again after the kind's backoff if an
    /// attempt is left.
    Retry(String),
    /// The job failed for good, with this error: no retry.
    Fail(String),
    /// Run the job again after this long. Uses no attempt.
    Snooze(Duration),
    /// What the job needs is away, for no fault of the job: it keeps its place in its lead's line
    /// and is run again after this long. Uses no attempt.
    Postpone(Duration),
    /// There is nothing left to do, for this reason: the message or the lead is gone
    /// (docs/RULES.md STATUS).
    Cancel(String),
    /// The job made the call of a marked send, which ended so. Only this outcome settles the
    /// delivery: any other end of a marked job makes it `uncertain` (G5).
    Send(SendEnd),
}

/// What should change. A plain value: the recorder applies it in the transaction of the
/// completion.
///
/// What an effect does to a lead is judged again under the lead's lock by `domain::lead` (G8): a
/// message that is not the newest keeps its own verdict but changes neither lead nor drafts.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// The text of the job's message that the other effects were decided from
    /// ([`text::fingerprint`]). If the message says something else by then, none of them
    /// counts, and the job runs again on the new text.
    ///
    /// [`text::fingerprint`]: crate::domain::text::fingerprint
    Read {
        /// Of the body as it was read.
        fingerprint: u64,
    },
    /// The job's message means this. The lead takes it on if the message is its newest.
    Judge {
        /// What it means.
        tag: Sentiment,
        /// By what that is known; `None` if the message had the tag when it was read.
        by: Option<JudgedBy>,
    },
    /// The lead opted out in the job's message.
    OptOut {
        /// The channel it was said on.
        channel: ChannelName,
        /// By what that is known.
        source: OptOutSource,
        /// The words that say so.
        reason: String,
    },
    /// An answer to the job's message, for a person to look at.
    AddDraft {
        /// The channel it is to be sent on.
        channel: ChannelName,
        /// Subject line; mail only.
        subject: Option<String>,
        /// The whole text of the draft.
        body: String,
        /// The parts of a text message, within the bounds of its medium; empty on other media.
        parts: Vec<String>,
        /// How it came about, and whether a rule sends it.
        facts: DraftFacts,
    },
    /// A rule approves a draft, which is to be sent. A draft that is not pending any more stays as
    /// it is.
    ApproveDraft {
        /// The draft.
        draft_id: Id,
    },
    /// How good the lead is (1–4 each).
    Score {
        /// Match with the client's ideal customer.
        fit: i16,
        /// How ready the lead is to meet or buy, 1 to 4.
        intent: i16,
        /// Half of their sum, halves down.
        overall: i16,
        /// Why, at most 500 characters.
        reason: String,
    },
    /// Enqueue a job about the same message and lead, with as many attempts as its kind has in the
    /// configuration. A job of that kind and subject that exists already is no error.
    Enqueue {
        /// The kind of the job.
        kind: JobKind,
        /// The subject of the job: there is one job for each subject and kind.
        subject: Subject,
        /// When it is due, counted from the commit.
        delay: Duration,
    },
}

/// Longest text of a score's reason, in characters.
pub const SCORE_REASON_MAX: usize = 500;

/// What an enqueued job is about. It is half of the job's dedupe key; the kind is the other half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The message of the job that enqueues it; that job itself if it has no message.
    OfTheJob,
    /// A draft: each draft of a message gets a job of its own.
    Draft(Id),
    /// The draft that the same outcome adds. If it is not stored, the job finds no draft and ends.
    NewDraft,
}

/// How a draft came about, and whether a rule sends it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DraftFacts {
    /// The tag of the message that it answers.
    pub tag: Option<Sentiment>,
    /// True if the text is a filled template.
    pub from_template: bool,
    /// How the gate judged it; `None` if the gate was not asked.
    pub gate: Option<GateVerdict>,
}

/// How the gate judged a draft.
#[derive(Clone, Debug, PartialEq)]
pub struct GateVerdict {
    /// The decision.
    pub decision: GateDecision,
    /// The evaluator's confidence, 0 to 1; 0 under a hard block, `None` if it was not asked.
    pub confidence: Option<f64>,
    /// The least confidence that passes; `None` if none is asked for.
    pub threshold: Option<f64>,
    /// Why, in words.
    pub reason: String,
    /// When the draft is sent; `None` if no rule sends it.
    pub send_at: Option<Timestamp>,
}
