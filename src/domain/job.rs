//! Jobs: what was asked, of which kind, and how far it has come.

use super::Id;
use serde::{Serialize, Serializer};
use std::fmt;

/// A channel's path word: `email`, `sms`, `linkedin`, `smartlead` or `instantly`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(pub &'static str);

/// A job's kind, spelled as stored and as in configs, metrics and the API.
///
/// A newtype and no enum: a new kind is one file and one line of registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobKind(pub &'static str);

/// Scores a lead anew after one of its messages was worked through.
pub const LEAD_SCORING: JobKind = JobKind("LEAD_SCORING_POST_PROCESS");
/// Does nothing: the canary and the benchmarks use it.
pub const SELF_CHECK: JobKind = JobKind("SELF_CHECK");
/// The client of jobs that Postroom gives itself.
pub const SYSTEM_CLIENT: &str = "_system";

macro_rules! named {
    ($type:ty) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0)
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.0)
            }
        }
    };
}
named!(ChannelName);
named!(JobKind);

/// Where a job stands, as the API spells it. What is "failed" here is the job, not an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobStatus {
    /// Waits: due now, due later, for its retry, or behind another job of its lead.
    Pending,
    /// Claimed by a node.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended without success: no attempt left, or failed for good.
    Failed,
    /// Ended by a person, or because its message or lead is gone.
    Cancelled,
}

impl JobStatus {
    /// All states, in the order in which the API counts them.
    pub const ALL: [Self; 5] =
        [Self::Pending, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled];

    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == text)
    }
}

/// A claimed job, as its handler sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The job's key.
    pub id: Id,
    /// What is to be done.
    pub kind: JobKind,
    /// Whose job it is.
    pub client_id: String,
    /// The lead it concerns; none for jobs that Postroom gives itself.
    pub lead_id: Option<Id>,
    /// The inbound message it concerns.
    pub message_id: Option<Id>,
    /// The draft it concerns.
    pub draft_id: Option<Id>,
    /// Which attempt this is, from 1. Snoozes and releases do not count.
    pub attempt: u32,
    /// How many attempts it may have.
    pub max_attempts: u32,
    /// The request that its message came with.
    pub request_id: Option<String>,
}

/// A job to be enqueued. Its dedupe key is (`subject_id`, `kind`); in text `{client}:{subject}:{kind}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// What is to be done.
    pub kind: JobKind,
    /// Whose job it is.
    pub client_id: String,
    /// The lead it concerns.
    pub lead_id: Option<Id>,
    /// What the dedupe key is over: the message, the draft, or a fresh id for `SELF_CHECK`.
    pub subject_id: Id,
    /// The inbound message it concerns.
    pub message_id: Option<Id>,
    /// The draft it concerns.
    pub draft_id: Option<Id>,
    /// How many attempts it may have.
    pub max_attempts: u32,
    /// True for inbound jobs: they form one line a lead, worked one at a time and in order (G8).
    pub in_lead_line: bool,
    /// Milliseconds from now until it is due; 0 is now. The database's clock counts them.
    pub delay_ms: i64,
}

/// The text form of a dedupe key, for readers.
pub fn dedupe_key(client_id: &str, subject_id: Id, kind: &str) -> String {
    format!("{client_id}:{subject_id}:{kind}")
}

/// Why an attempt did not succeed, spelled as stored in `job_attempts.outcome` and as the API's `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureReason {
    /// The handler said so.
    Error,
    /// The handler panicked.
    Panic,
    /// The kind's time-out cut it off.
    Timeout,
    /// It ignored its abort.
    Stuck,
    /// Its node fell silent, or lost track of it.
    Rescued,
    /// It still ran when the shutdown's deadline came.
    Shutdown,
}

impl FailureReason {
    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Panic => "panic",
            Self::Timeout => "timeout",
            Self::Stuck => "stuck",
            Self::Rescued => "rescued",
            Self::Shutdown => "shutdown",
        }
    }
}
