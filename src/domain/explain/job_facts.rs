//! The facts from which the reason of a job follows. No text of a message is among them.

use super::AccountPause;
use crate::domain::{Id, JobStatus, Timestamp, fairness::Turn};

/// What is known of a job and of what it waits for.
#[derive(Clone, Debug)]
pub struct JobFacts {
    /// What is stored of it.
    pub job: StoredJob,
    /// The nodes that have a row, this one included.
    pub nodes: Vec<NodeFacts>,
    /// What this process does with the run that it has claimed; `None` if it has no such run.
    pub stage: Option<RunStage>,
    /// True if the job needs no client in the configuration: Postroom made it for itself.
    pub needs_no_client: bool,
    /// The key that caps its client, if one does by this node's configuration.
    pub cap_key: Option<ConfigKey>,
    /// The key that switches sending off, while it does.
    pub switched_off: Option<ConfigKey>,
    /// The key of its client that must be set so that it can send; `None` if it is, or the job
    /// sends nothing.
    pub no_settings: Option<String>,
    /// What is known of [`StoredJob::admitted`].
    pub admitted: Vec<JobFacts>,
    /// Times of the configuration.
    pub timing: Timing,
}

/// A job as one snapshot of the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredJob {
    /// The time of the snapshot, by the database's clock.
    pub now: Timestamp,
    /// Its id.
    pub id: Id,
    /// Its kind, which this version may not know.
    pub kind: String,
    /// Its client.
    pub client_id: String,
    /// The lead that it is about.
    pub lead_id: Option<Id>,
    /// How many times it was claimed.
    pub run: i64,
    /// Attempts so far, a running one included.
    pub attempts: i64,
    /// The most attempts that it may have.
    pub max_attempts: i64,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When it is or was due.
    pub due_at: Timestamp,
    /// Where its row stands.
    pub place: JobPlace,
    /// Its turn, if it is in turn.
    pub turn: Option<Turn>,
    /// Its last row of history.
    pub last_run: Option<LastRun>,
    /// Its client's cap, if that has one.
    pub cap: Option<ClientCap>,
    /// Admitted jobs of its client: of each kind one, which a node has claimed if there is such a
    /// one. Only read for a job that its client's cap holds.
    pub admitted: Vec<StoredJob>,
    /// The suspects that run, as (job, node). Only read for a suspect.
    pub suspects: Vec<(Id, Id)>,
    /// What keeps the draft that it is about from being sent; `None` if it is about none.
    pub send: Option<StoredSend>,
    /// How many heads of its kind have smaller turns, at most one more than
    /// [`BEFORE_MAX`](super::BEFORE_MAX). `None` if it is not in turn, or counting took too long.
    pub before: Option<i64>,
}

/// What keeps a draft from being sent for a while.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredSend {
    /// The channel of the draft.
    pub channel: String,
    /// True if a person has approved the draft.
    pub is_by_person: bool,
    /// Until when the lead is snoozed. Only what a rule sends waits for that.
    pub snoozed_until: Option<Timestamp>,
    /// The pause of the account that sends it.
    pub pause: Option<AccountPause>,
}

/// Where the row of a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobPlace {
    /// It has ended.
    Ended {
        /// Whether it succeeded, failed or was cancelled.
        status: JobStatus,
        /// When it ended.
        at: Timestamp,
    },
    /// In no line yet, until it is due.
    Later,
    /// Behind the head of its lead's line.
    Behind {
        /// The head; `None` if the line has none.
        head: Option<Id>,
        /// Its place in the line; the head has 1. At most two more than
        /// [`BEFORE_MAX`](super::BEFORE_MAX).
        number: i64,
        /// The jobs in the line, bounded in the same way.
        of: i64,
    },
    /// A head out of turn, until it is due.
    Waits,
    /// A head out of turn, because its client is at its cap.
    Held,
    /// A head in turn.
    InTurn,
    /// A head that a node has claimed.
    Claimed {
        /// The node that has it.
        node: Id,
        /// When the node claimed it.
        at: Timestamp,
    },
}

/// The last row of a job's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRun {
    /// The number of the run.
    pub run: i64,
    /// The number of the attempt.
    pub attempt: i64,
    /// How it ended, as stored.
    pub outcome: String,
    /// The error that an operator reads.
    pub error: Option<String>,
    /// When it ended.
    pub finished_at: Timestamp,
}

impl LastRun {
    /// True if the run was taken from its node: the job may have killed it.
    pub(super) fn is_rescued(&self) -> bool {
        self.outcome == "rescued"
    }
}

/// How many jobs of a client may run at once, on all nodes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientCap {
    /// The cap; 0 if no node knew the client.
    pub cap: i64,
    /// Heads of the client that are in turn or run.
    pub admitted: i64,
    /// Heads of the client that are held.
    pub held: i64,
}

/// A key of the configuration, and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigKey {
    /// The dotted key.
    pub key: String,
    /// Its file and line, or its variable.
    pub place: Option<String>,
}

impl ConfigKey {
    /// As a sentence names it: `clients.acme.max_running (local.toml:44)`.
    pub(super) fn spelled(&self) -> String {
        match &self.place {
            Some(place) => format!("`{}` ({place})", self.key),
            None => format!("`{}`", self.key),
        }
    }
}

/// Times of the configuration, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long a node may be silent before it counts as dead.
    pub lease_ms: i64,
    /// The longest pause between two ticks of a supervisor.
    pub tick_ms: i64,
    /// The time-out of an attempt of the job's kind.
    pub timeout_ms: i64,
}

/// A node, and what it says of the job's kind and client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// Its id.
    pub id: Id,
    /// True for the node that explains.
    pub is_here: bool,
    /// True if its role lets it work jobs.
    pub works: bool,
    /// True unless it has been silent for a lease.
    pub is_up: bool,
    /// Its last heartbeat, by the database's clock.
    pub seen_at: Timestamp,
    /// Whether its configuration has the client. `None` if it does not say.
    pub knows_client: Option<bool>,
    /// True if it takes no more work.
    pub is_stopping: bool,
    /// Its pool of the job's kind.
    pub pool: NodePool,
}

/// What is known of a node's pool of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one for each node, and there are few")]
pub enum NodePool {
    /// The node does not say which pools it has.
    NotSaid,
    /// It has none: it does not know the kind.
    Missing,
    /// It has one that is not paused. How busy it is, the node does not say.
    Open,
    /// It has one.
    Is(PoolFacts),
}

/// A pool, and what keeps its node from claiming.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolFacts {
    /// How many slots it has.
    pub size: usize,
    /// How many of them run a job.
    pub busy: usize,
    /// Who or what paused it; `None` if it is not paused.
    pub pause: Option<PoolPause>,
    /// How many of its slots wait for their restart.
    pub backing_off: usize,
    /// When the first of those is started again.
    pub resumes_at: Option<Timestamp>,
    /// How often a slot was started again; `None` if that is not known.
    pub restarts: Option<u64>,
    /// The last failure of a slot: when and why.
    pub last_failure: Option<(Timestamp, String)>,
    /// The job that has run the longest in it, and since when.
    pub longest: Option<(Id, Timestamp)>,
    /// How many attempts ended in it within a minute lately; `None` if that is not known.
    pub per_minute: Option<u64>,
    /// True if the node's recorder has no room for another outcome.
    pub is_recorder_full: bool,
    /// Why the node's last write to the database failed, while that counts.
    pub write_error: Option<String>,
    /// When the node's supervisor last ticked, if that is too long ago.
    pub stalled_since: Option<Timestamp>,
}

/// Why a pool is paused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolPause {
    /// A person paused it.
    ByOperator {
        /// The name of the person.
        by: String,
        /// Why, in the words of the person.
        note: Option<String>,
        /// When the person did so.
        at: Timestamp,
        /// When the pause ends by itself.
        until: Option<Timestamp>,
    },
    /// The configuration says so.
    ByFile(ConfigKey),
    /// Another node says that it is paused, and not why.
    NotSaid,
}

/// The stage of a run that this process has claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunStage {
    /// It waits for a slot.
    Waiting {
        /// The instant from which this is so.
        since: Timestamp,
    },
    /// A slot runs it.
    Running {
        /// The instant from which this is so.
        since: Timestamp,
        /// The slot, by its name on the board.
        actor: String,
        /// When it is cut off.
        cut_off_at: Timestamp,
    },
    /// Its outcome waits for its commit.
    Uncommitted {
        /// The instant from which this is so.
        since: Timestamp,
    },
}
