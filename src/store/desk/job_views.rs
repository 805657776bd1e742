//! Jobs as the API shows them, read from the rows of `READ_JOBS`.

use crate::domain::{Id, JobState, JobStatus, Timestamp, trace::JobTrace};
use crate::store::engine::StoreError;
use sea_orm::QueryResult;

/// A job as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobView {
    /// Its key.
    pub id: Id,
    /// Its kind, which this version may not know.
    pub kind: String,
    /// Its status, which follows from the table that has its row.
    pub status: JobStatus,
    /// Its state, which says more of a job that waits.
    pub state: JobState,
    /// How many times it was claimed.
    pub run: i64,
    /// The client that it belongs to.
    pub client_id: String,
    /// The lead that it is about.
    pub lead_id: Option<Id>,
    /// The subject of its dedupe key.
    pub subject_id: Id,
    /// The message that it is about.
    pub message_id: Option<Id>,
    /// The draft that it is about.
    pub draft_id: Option<Id>,
    /// The delivery of that draft, if a send of it was ever marked.
    pub delivery_id: Option<Id>,
    /// Attempts so far, a running one included.
    pub attempts: i64,
    /// The most attempts that it may have.
    pub max_attempts: i64,
    /// When it is or was due.
    pub run_at: Timestamp,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When its last attempt started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// The node that runs it.
    pub node: Option<Id>,
    /// The node of its last run that is over.
    pub last_node: Option<Id>,
    /// The actor of that run.
    pub last_actor: Option<String>,
    /// The error of the last attempt that had one.
    pub last_error: Option<String>,
    /// The id of the trace in which it was made, if that is recorded.
    pub trace_id: Option<String>,
}

/// One failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedAttempt {
    /// The number of the attempt, from 1.
    pub attempt: i64,
    /// When it failed.
    pub failed_at: Timestamp,
    /// How long it took.
    pub duration_ms: Option<i64>,
    /// The node that ran it.
    pub node: Option<Id>,
    /// The actor that ran it.
    pub actor: Option<String>,
    /// The reason, as stored.
    pub reason: String,
    /// The error that an operator reads.
    pub message: Option<String>,
    /// The id of its trace, if that is recorded.
    pub trace_id: Option<String>,
}

impl FailedAttempt {
    pub(super) fn from_row(row: &QueryResult) -> Result<Self, StoreError> {
        let run = i64::from(row.try_get::<i32>("", "run")?);
        let spared = i64::from(row.try_get::<i32>("", "spared")?);
        Ok(Self {
            attempt: run - spared,
            failed_at: Timestamp::from_millis(row.try_get("", "finished_at")?),
            duration_ms: row.try_get("", "duration_ms")?,
            node: row.try_get("", "node")?,
            actor: row.try_get("", "actor")?,
            reason: row.try_get("", "outcome")?,
            message: row.try_get("", "error")?,
            trace_id: row.try_get("", "trace_id")?,
        })
    }
}

/// A job with its failed attempts, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobDetail {
    /// The job.
    pub job: JobView,
    /// Its failed attempts.
    pub errors: Vec<FailedAttempt>,
    /// The id of the trace of its last run that is over, if that is recorded.
    pub run_trace_id: Option<String>,
}

/// The table that has a job's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whereabouts {
    /// The head of its line.
    Head,
    /// Behind the head of its line.
    Blocked,
    /// Due later.
    Later,
    /// Only in the history.
    Ended,
}

/// A job with all that is needed to move it.
#[derive(Clone, Debug)]
pub(super) struct JobRow {
    pub(super) view: JobView,
    pub(super) at: Whereabouts,
    /// Its line, if it is in one.
    pub(super) line: Option<Id>,
    /// The lead that its lead was merged into, if it was.
    pub(super) merged_into: Option<Id>,
    /// True if its line is its lead's. `None` if an earlier version stored it, which did not note
    /// that.
    pub(super) in_lead_line: Option<bool>,
    /// Its channel, as stored.
    pub(super) channel: Option<String>,
    /// Its last run; 0 if it has not run.
    pub(super) run: i64,
    /// How many of its runs used no attempt.
    pub(super) spared: i64,
    /// True if it is a head in turn.
    pub(super) has_turn: bool,
    /// How long ago its node claimed it, in milliseconds; `None` if it is not claimed.
    pub(super) claimed_ms: Option<i64>,
    /// The id of the trace of its last run that is over, if that is recorded.
    pub(super) run_trace_id: Option<String>,
}

impl JobRow {
    pub(super) fn from_row(row: &QueryResult) -> Result<Self, StoreError> {
        let instant = |column: &str| -> Result<Option<Timestamp>, StoreError> {
            Ok(row.try_get::<Option<i64>>("", column)?.map(Timestamp::from_millis))
        };
        let number = |column: &str| -> Result<i64, StoreError> {
            Ok(i64::from(row.try_get::<i32>("", column)?))
        };
        let at = match row.try_get::<String>("", "place")?.as_str() {
            "head" => Whereabouts::Head,
            "blocked" => Whereabouts::Blocked,
            "later" => Whereabouts::Later,
            _ => Whereabouts::Ended,
        };
        let (run, spared) = (number("run")?, number("spared")?);
        let node: Option<Id> = row.try_get("", "node")?;
        let outcome: Option<String> = row.try_get("", "outcome")?;
        let ended_with = outcome.filter(|_| number("ended").is_ok_and(|flag| flag != 0));
        let (locked_at, last_started_at) = (instant("locked_at")?, instant("started_at")?);
        let finished_at = instant("finished_at")?;
        let (status, attempts) = (status_of(at, node, ended_with.as_deref()), run - spared);
        let has_turn = row.try_get::<Option<i64>>("", "turn")?.is_some();
        let is_held = row.try_get::<Option<i64>>("", "held")?.is_some();
        let trace: Option<String> = row.try_get("", "trace")?;
        let view = JobView {
            id: row.try_get("", "id")?,
            kind: row.try_get("", "kind")?,
            status,
            state: state_of(at, status, (has_turn, is_held), attempts > 0),
            run,
            client_id: row.try_get("", "client_id")?,
            lead_id: row.try_get("", "lead_id")?,
            subject_id: row.try_get("", "subject_id")?,
            message_id: row.try_get("", "message_id")?,
            draft_id: row.try_get("", "draft_id")?,
            delivery_id: row.try_get("", "delivery_id")?,
            attempts,
            max_attempts: number("max_attempts")?,
            run_at: instant("run_at")?.unwrap_or_default(),
            created_at: instant("created_at")?.unwrap_or_default(),
            started_at: locked_at.or(last_started_at),
            finished_at: finished_at.filter(|_| at == Whereabouts::Ended),
            node,
            last_node: row.try_get("", "last_node")?,
            last_actor: row.try_get("", "last_actor")?,
            last_error: row.try_get("", "error")?,
            trace_id: trace.as_deref().and_then(JobTrace::parse).map(|it| it.made_in.trace_id()),
        };
        Ok(Self {
            view,
            at,
            line: row.try_get("", "line")?,
            merged_into: row.try_get("", "merged_into")?,
            in_lead_line: row.try_get::<Option<i32>>("", "in_lead_line")?.map(|flag| flag != 0),
            channel: row.try_get("", "channel")?,
            run,
            spared,
            has_turn,
            claimed_ms: row.try_get("", "claimed_ms")?,
            run_trace_id: row.try_get("", "run_trace_id")?,
        })
    }
}

/// The status follows from the table of the row. For a job that has ended, it is that of its last
/// run.
fn status_of(at: Whereabouts, node: Option<Id>, ended_with: Option<&str>) -> JobStatus {
    match (at, ended_with) {
        (Whereabouts::Head, _) if node.is_some() => JobStatus::Running,
        (Whereabouts::Head | Whereabouts::Blocked | Whereabouts::Later, _) => JobStatus::Pending,
        (Whereabouts::Ended, Some("succeeded")) => JobStatus::Succeeded,
        (Whereabouts::Ended, Some("cancelled")) => JobStatus::Cancelled,
        (Whereabouts::Ended, _) => JobStatus::Failed,
    }
}

/// The state of a job. `LIST_UNFINISHED` finds the states of jobs that have not ended by the same
/// rules.
fn state_of(
    at: Whereabouts,
    status: JobStatus,
    (has_turn, is_held): (bool, bool),
    has_failed: bool,
) -> JobState {
    match (at, status) {
        (_, JobStatus::Running) => JobState::Running,
        (_, JobStatus::Succeeded) => JobState::Succeeded,
        (_, JobStatus::Failed) => JobState::Failed,
        (_, JobStatus::Cancelled) => JobState::Cancelled,
        (Whereabouts::Blocked, JobStatus::Pending) => JobState::Behind,
        (Whereabouts::Head, JobStatus::Pending) if is_held => JobState::Held,
        (_, JobStatus::Pending) if has_failed => JobState::Retrying,
        (Whereabouts::Head, JobStatus::Pending) if has_turn => JobState::Due,
        (_, JobStatus::Pending) => JobState::Later,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_waits_has_the_state_of_what_it_waits_for() {
        use Whereabouts::{Blocked, Ended, Head, Later};
        for (at, status, turn_and_held, has_failed, state) in [
            (Head, JobStatus::Running, (true, false), true, JobState::Running),
            (Head, JobStatus::Pending, (true, false), false, JobState::Due),
            (Head, JobStatus::Pending, (true, false), true, JobState::Retrying),
            (Head, JobStatus::Pending, (false, false), false, JobState::Later),
            (Head, JobStatus::Pending, (false, false), true, JobState::Retrying),
            (Head, JobStatus::Pending, (false, true), true, JobState::Held),
            (Blocked, JobStatus::Pending, (false, false), true, JobState::Behind),
            (Later, JobStatus::Pending, (false, false), false, JobState::Later),
            (Later, JobStatus::Pending, (false, false), true, JobState::Retrying),
            (Ended, JobStatus::Failed, (false, false), true, JobState::Failed),
        ] {
            assert_eq!(state_of(at, status, turn_and_held, has_failed), state, "{at:?} {status:?}");
            assert_eq!(state.status(), status);
        }
    }

    #[test]
    fn a_status_is_where_the_row_is() {
        use Whereabouts::{Blocked, Ended, Head, Later};
        for (at, node, ended_with, status) in [
            (Head, None, None, JobStatus::Pending),
            (Head, Some(7), None, JobStatus::Running),
            (Blocked, None, None, JobStatus::Pending),
            (Later, None, Some("cancelled"), JobStatus::Pending),
            (Ended, None, Some("succeeded"), JobStatus::Succeeded),
            (Ended, None, Some("cancelled"), JobStatus::Cancelled),
            (Ended, None, Some("timeout"), JobStatus::Failed),
            (Ended, None, None, JobStatus::Failed),
        ] {
            assert_eq!(status_of(at, node, ended_with), status, "{at:?} {node:?} {ended_with:?}");
        }
    }
}
