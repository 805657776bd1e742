//! Jobs: their kinds, their states, and what a handler and the queue know of one.

use super::{Id, trace::JobTrace};
use serde::{Serialize, Serializer};
use std::fmt;

/// A job's kind, in the spelling of the database, the configuration, the metrics and the API.
///
/// It is a newtype and not an enum, so that a new kind is one file and one line of registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobKind(pub &'static str);

/// The kind of jobs that score a lead after one of its messages was handled.
pub const LEAD_SCORING: JobKind = JobKind("LEAD_SCORING_POST_PROCESS");
/// The kind of jobs that do nothing. The canary and the benchmarks use it.
pub const SELF_CHECK: JobKind = JobKind("SELF_CHECK");
/// The kind of jobs that decide whether a draft that a rule wants to send may go out now.
pub const AUTO_SEND_DELAYED: JobKind = JobKind("AUTO_SEND_DELAYED");
/// The kind of jobs that send an approved draft through its provider.
pub const DELIVER_REPLY: JobKind = JobKind("DELIVER_REPLY");
/// The client of jobs that Postroom makes for itself.
pub const SYSTEM_CLIENT: &str = "_system";

impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for JobKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

/// The state of a job, as the API spells it. `Failed` is about the job, not about an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobStatus {
    /// It is due, is due later, waits for its retry, or waits behind another job of its lead.
    Pending,
    /// A node has claimed it.
    Running,
    /// It ended with success.
    Succeeded,
    /// It ended without success: it has no attempt left, or failed for good.
    Failed,
    /// A person ended it, or its message or lead is gone.
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

    /// The state with this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// A claimed job, as its handler sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The job's key.
    pub id: Id,
    /// What the job does.
    pub kind: JobKind,
    /// The client that the job belongs to.
    pub client_id: String,
    /// The lead that the job is about; `None` for jobs that Postroom makes for itself.
    pub lead_id: Option<Id>,
    /// The inbound message that the job is about.
    pub message_id: Option<Id>,
    /// The draft that the job is about.
    pub draft_id: Option<Id>,
    /// The fencing token of its claim, by which a write checks that the job is still its own.
    pub run: i64,
    /// The number of this attempt, from 1. Snoozes, postponements and releases do not count.
    pub attempt: u32,
    /// The most attempts that the job may have.
    pub max_attempts: u32,
    /// The id of the request that brought its message.
    pub request_id: Option<String>,
    /// The channel of the message that brought it, as stored: this daemon may not have it. `None`
    /// for jobs without a message, and for jobs that an earlier version stored.
    pub channel: Option<String>,
    /// The span that made it, if that is recorded.
    pub trace: Option<JobTrace>,
}

/// A job to be enqueued. Its dedupe key is (`subject_id`, `kind`), in text
/// `{client}:{subject}:{kind}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// What the job does.
    pub kind: JobKind,
    /// The client that the job belongs to.
    pub client_id: String,
    /// The lead that the job is about.
    pub lead_id: Option<Id>,
    /// The subject of the dedupe key: the message, the draft, or a fresh id for `SELF_CHECK`.
    pub subject_id: Id,
    /// The inbound message that the job is about.
    pub message_id: Option<Id>,
    /// The draft that the job is about.
    pub draft_id: Option<Id>,
    /// The most attempts that the job may have.
    pub max_attempts: u32,
    /// True for inbound jobs. Those of a lead form one line and run one at a time, in order (G8).
    pub in_lead_line: bool,
    /// The channel of the message that brought it: an inbound job has that of its event, and a job
    /// that an effect enqueues has that of the job that enqueues it.
    pub channel: Option<String>,
    /// Milliseconds until the job is due, by the database's clock; 0 means now.
    pub delay_ms: i64,
    /// The span that makes it, if that is recorded.
    pub trace: Option<JobTrace>,
}

/// A dedupe key as text, for people to read.
pub fn dedupe_key(client_id: &str, subject_id: Id, kind: &str) -> String {
    format!("{client_id}:{subject_id}:{kind}")
}

/// Why an attempt did not succeed: `job_attempts.outcome` in the database, `reason` in the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureReason {
    /// The handler returned a failure.
    Error,
    /// The handler panicked in this attempt.
    Panic,
    /// The attempt was cut off by the kind's time-out.
    Timeout,
    /// The attempt went on after it was cut off, and held its thread.
    Stuck,
    /// The job's node fell silent, or lost track of the job.
    Rescued,
    /// The attempt still ran at the deadline of the shutdown.
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
