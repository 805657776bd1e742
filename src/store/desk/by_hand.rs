//! Jobs that a person retries or cancels: one, or a group of them. Operations on many jobs
//! (`store/operations`) work group by group.
//!
//! Locks are taken in the order of every transaction: leads by id, caps, `job_clients` by kind and
//! client, heads by line. Under the locks, the jobs are read again, and this second reading counts.
//! If a job moved in between, that is a conflict, and the whole group is repeated.

use super::{
    UNFINISHED, UNSUCCESSFUL, job_traces,
    job_views::{JobRow, JobView, Whereabouts},
    jobs,
};
use crate::domain::{Id, JobStatus, trace::JobTrace};
use crate::store::{
    engine::{
        Database, StoreError,
        sql::sql,
        tx::{Finished, Tx, group},
    },
    ledger::{self, Settlement, Transition, UPDATE_MESSAGES},
    tables::{
        caps::Caps,
        heads::{DELETE_FOLLOWERS, LOCK_HEADS},
        leads::{Followed, Leads},
        lines::{self, Counts, Entering, Place, TAKE_DUE_LATER},
        reopened::REOPEN_ATTEMPTS,
        turns,
    },
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};
use thiserror::Error;

sql! {
    /// The kinds and clients of the followers in lines: any of them may become the head. By primary
    /// key.
    static READ_BLOCKED_KINDS =
        "select distinct kind, client_id from job_blocked where line @ids($1)";

    /// Those of these drafts whose send is marked: a call may be on the wire. By
    /// `deliveries_of_draft`.
    static READ_MARKED_DRAFTS =
        "select draft_id from deliveries where draft_id @ids($1) and status = 'sending' and marked_run is not null";

    /// Gives back turns that no job will use, but not below V. Otherwise a hundred cancelled jobs
    /// would put their client's next job a hundred turns back. The rows are locked. By primary key.
    static LOWER_TURNS =
        "update job_clients set last_turn = \
           case when job_clients.last_turn - g.n > g.v then job_clients.last_turn - g.n else g.v end \
         from (select r.client_id, r.kind, r.n, coalesce((select max(c.turn) from job_clock c where c.kind = r.kind), 0) as v \
           from @rows($1, client_id text, kind text, n bigint) r) g \
         where job_clients.client_id = g.client_id and job_clients.kind = g.kind and job_clients.last_turn > g.v";
}

/// The reason that is stored for a cancelled job.
const BY_HAND: &str = "cancelled by hand";

/// Why a job was not retried or cancelled.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum JobActionError {
    /// There is no such job.
    #[error("there is no job {0}")]
    NotFound(Id),
    /// Its state does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A change of jobs by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobAction {
    /// Give a failed or cancelled job one more attempt.
    Retry,
    /// End a job that has not ended.
    Cancel,
}

impl JobAction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Retry, Self::Cancel];

    /// As it is stored: `retry` or `cancel`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Cancel => "cancel",
        }
    }

    /// The statuses of the jobs that it changes.
    pub(in crate::store) const fn statuses(self) -> [JobStatus; 2] {
        match self {
            Self::Retry => UNSUCCESSFUL,
            Self::Cancel => UNFINISHED,
        }
    }
}

/// What became of a group of jobs. Their counts are not written yet.
#[derive(Debug, Default)]
pub(in crate::store) struct ChangedGroup {
    /// The jobs that were changed: their kinds by job id.
    pub(in crate::store) moved: HashMap<Id, String>,
    /// The status of each job that was left as it was, as read under the locks. A job that is in
    /// neither map does not exist any more.
    pub(in crate::store) others: HashMap<Id, JobStatus>,
    /// What the caller must write before its commit.
    pub(in crate::store) counts: Counts,
}

/// The result for one job: the job as it is now, or the status that did not allow the change.
type Done = Result<JobView, JobActionError>;

/// Gives a failed or cancelled job one more attempt. `trace` is the span in which a person asks for
/// it, if that is recorded.
pub(super) async fn retry(
    db: &Database,
    id: Id,
    trace: Option<JobTrace>,
) -> Result<Done, StoreError> {
    db.write("by_hand", async |tx| {
        let group = change_group(db, &tx, JobAction::Retry, &[id], &UNSUCCESSFUL).await?;
        let has_moved = group.moved.contains_key(&id);
        if let Some(trace) = trace.filter(|_| has_moved) {
            job_traces::add(&tx, id, trace).await?;
        }
        group.counts.write(&tx, db.node()).await?;
        let refused = |status: JobStatus| {
            let status = status.as_str();
            format!("job {id} is {status}: only a failed or cancelled job can be retried")
        };
        finish(tx, id, has_moved, refused).await
    })
    .await
}

/// Ends a job that has not ended.
pub(super) async fn cancel(db: &Database, id: Id) -> Result<Done, StoreError> {
    db.write("by_hand", async |tx| {
        let group = change_group(db, &tx, JobAction::Cancel, &[id], &UNFINISHED).await?;
        let has_moved = group.moved.contains_key(&id);
        group.counts.write(&tx, db.node()).await?;
        let refused = |status: JobStatus| format!("job {id} has already {}", ended_as(status));
        finish(tx, id, has_moved, refused).await
    })
    .await
}

const fn ended_as(status: JobStatus) -> &'static str {
    match status {
        JobStatus::Succeeded => "succeeded",
        JobStatus::Failed => "failed",
        JobStatus::Cancelled => "been cancelled",
        JobStatus::Running => "begun to send its answer, and nobody can take that back",
        JobStatus::Pending => "moved on",
    }
}

/// Commits if the job has moved, and returns it as the transaction leaves it. `refused` says why
/// its status did not allow the change.
async fn finish(
    tx: Tx,
    id: Id,
    has_moved: bool,
    refused: impl FnOnce(JobStatus) -> String,
) -> Result<Finished<Done>, StoreError> {
    let Some(row) = jobs::rows(&tx, &[id]).await?.pop() else {
        return Ok(tx.roll_back(Err(JobActionError::NotFound(id))));
    };
    if !has_moved {
        return Ok(tx.roll_back(Err(JobActionError::Conflict(refused(row.view.status)))));
    }
    tx.commit(Ok(row.view)).await
}

/// Changes those of `ids` whose status is one of `statuses`, which the action must allow. The
/// caller writes the counts and commits.
pub(in crate::store) async fn change_group(
    db: &Database,
    tx: &Tx,
    action: JobAction,
    ids: &[Id],
    statuses: &[JobStatus],
) -> Result<ChangedGroup, StoreError> {
    match action {
        JobAction::Retry => retry_group(db, tx, ids, statuses, Reopening::LastAttempt).await,
        JobAction::Cancel => cancel_group(db, tx, ids, statuses).await,
    }
}

/// Takes the jobs with another status out of `rows`, and returns their statuses by id.
fn others_of(rows: &mut Vec<JobRow>, statuses: &[JobStatus]) -> HashMap<Id, JobStatus> {
    let others = rows.extract_if(.., |job| !statuses.contains(&job.view.status));
    others.map(|job| (job.view.id, job.view.status)).collect()
}

/// The conflict if a job moved while the locks were taken. The group is repeated.
fn moved(what: &str) -> StoreError {
    StoreError::Conflict(format!("{what} moved meanwhile"))
}

/// The lead whose line a job enters again; `None` if it has a line of its own. Rows of earlier
/// versions do not say that: then a job is in its lead's line if its kind is a channel's.
fn lead_line(db: &Database, job: &JobRow) -> Option<Id> {
    let is_channels_own = || db.channels().is_post_process(&job.view.kind);
    let is_in_line = job.in_lead_line.unwrap_or_else(is_channels_own);
    job.view.lead_id.filter(|_| is_in_line).map(|lead_id| job.merged_into.unwrap_or(lead_id))
}

/// How jobs that have ended are opened again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reopening {
    /// Due now, with exactly one attempt left.
    LastAttempt,
    /// As if they were new: with all of their attempts, due after this many milliseconds.
    Afresh { delay_ms: i64 },
}

/// Opens those of `ids` again that have one of these statuses.
pub(super) async fn retry_group(
    db: &Database,
    tx: &Tx,
    ids: &[Id],
    statuses: &[JobStatus],
    reopening: Reopening,
) -> Result<ChangedGroup, StoreError> {
    #[derive(Serialize)]
    struct Reopened {
        job: Id,
        last_run: i64,
    }
    // 1. Lock the leads, and read the jobs again under their locks.
    let retryable = |job: &JobRow| statuses.contains(&job.view.status);
    let before = jobs::rows(tx, ids).await?;
    let leads: BTreeSet<Id> =
        before.iter().filter(|job| retryable(job)).filter_map(|job| lead_line(db, job)).collect();
    Leads::lock(tx, &leads).await?;
    let mut rows = jobs::rows(tx, ids).await?;
    let others = others_of(&mut rows, statuses);
    rows.sort_unstable_by_key(|job| job.view.id);
    if rows.iter().filter_map(|job| lead_line(db, job)).any(|line| !leads.contains(&line)) {
        return Err(moved("a lead"));
    }
    if rows.is_empty() {
        return Ok(ChangedGroup { others, ..ChangedGroup::default() });
    }
    // 2. Reopen them.
    let last_runs: Vec<Reopened> =
        rows.iter().map(|job| Reopened { job: job.view.id, last_run: job.run }).collect();
    let mut reopened = HashSet::new();
    for row in tx.all(&REOPEN_ATTEMPTS, [group(&last_runs)?]).await? {
        reopened.insert(row.try_get::<Id>("", "job_id")?);
    }
    rows.retain(|job| reopened.contains(&job.view.id));
    // 3. Let them enter their lines.
    let mut counts = Counts::default();
    let mut entering = Vec::with_capacity(rows.len());
    for job in &rows {
        let view = &job.view;
        counts.add(&view.kind, view.status.as_str(), -1);
        let place = Place {
            line: lead_line(db, job).unwrap_or(-view.id),
            job_id: view.id,
            kind: view.kind.clone(),
            client_id: view.client_id.clone(),
            run: job.run,
            // The next claim has the number run + 1.
            spared: match reopening {
                Reopening::LastAttempt => job.run + 1 - view.max_attempts,
                Reopening::Afresh { .. } => job.run,
            },
        };
        let delay_ms = match reopening {
            Reopening::LastAttempt => 0,
            Reopening::Afresh { delay_ms } => delay_ms,
        };
        entering.push(Entering { place, delay_ms, is_by_hand: true });
    }
    lines::enter(tx, entering, &HashSet::new()).await?;
    Ok(ChangedGroup { moved: moved_of(rows), others, counts })
}

fn moved_of(rows: impl IntoIterator<Item = JobRow>) -> HashMap<Id, String> {
    rows.into_iter().map(|job| (job.view.id, job.view.kind)).collect()
}

/// Cancels those of `ids` with one of these statuses.
pub(super) async fn cancel_group(
    db: &Database,
    tx: &Tx,
    ids: &[Id],
    statuses: &[JobStatus],
) -> Result<ChangedGroup, StoreError> {
    // 1. Lock them, and give back the turns of heads.
    let mut rows = lock_unfinished(tx, ids).await?;
    let mut others = others_of(&mut rows, statuses);
    let marked = marked_drafts(tx, &rows).await?;
    let is_marked =
        |job: &mut JobRow| job.view.draft_id.is_some_and(|draft_id| marked.contains(&draft_id));
    others.extend(rows.extract_if(.., is_marked).map(|job| (job.view.id, job.view.status)));
    let (heads, waiting): (Vec<JobRow>, Vec<JobRow>) =
        rows.into_iter().partition(|job| job.at == Whereabouts::Head);
    lower_turns(tx, &heads).await?;
    // 2. End the others before the heads, so that none of them is promoted.
    let counts = end_waiting(db, tx, &waiting).await?;
    let settlements: Vec<Settlement> = heads.iter().map(settlement).collect();
    if !settlements.is_empty() {
        let followed = Followed::of(heads.iter().filter_map(|job| job.merged_into).collect());
        let settled = ledger::settle(db, tx, &settlements, &followed, &[]);
        let (applied, _) = Box::pin(settled).await?;
        if applied.contains(&false) {
            return Err(moved("the head of a line"));
        }
    }
    Ok(ChangedGroup { moved: moved_of(heads.into_iter().chain(waiting)), others, counts })
}

/// The drafts of these jobs whose send is marked. Their leads are locked.
async fn marked_drafts(tx: &Tx, rows: &[JobRow]) -> Result<HashSet<Id>, StoreError> {
    let drafts: Vec<Id> = rows.iter().filter_map(|job| job.view.draft_id).collect();
    let mut marked = HashSet::new();
    if drafts.is_empty() {
        return Ok(marked);
    }
    for row in tx.all(&READ_MARKED_DRAFTS, [group(&drafts)?]).await? {
        marked.insert(row.try_get("", "draft_id")?);
    }
    Ok(marked)
}

/// Locks the places of those of these jobs that have not ended, and reads all of them.
async fn lock_unfinished(tx: &Tx, ids: &[Id]) -> Result<Vec<JobRow>, StoreError> {
    // 1. Find their places without locks.
    let lines_of =
        |rows: &[JobRow]| -> BTreeSet<Id> { rows.iter().filter_map(|it| it.line).collect() };
    let mut before = jobs::rows(tx, ids).await?;
    before.retain(|job| job.at != Whereabouts::Ended);
    let lines = lines_of(&before);
    // 2. Lock leads, caps, turns and heads. Then none of the jobs becomes due meanwhile.
    let merged = before.iter().filter_map(|it| it.merged_into);
    // The deliveries of drafts belong to their leads.
    let with_drafts = before.iter().filter(|job| job.view.draft_id.is_some());
    let of_drafts = with_drafts.filter_map(|job| job.view.lead_id);
    let of_lines = lines.iter().copied().filter(|line| *line > 0);
    let leads: BTreeSet<Id> = of_lines.chain(merged).chain(of_drafts).collect();
    Leads::lock(tx, &leads).await?;
    Caps::lock(tx, before.iter().map(|job| job.view.client_id.as_str())).await?;
    let heads: Vec<Id> = lines.iter().copied().collect();
    let mut turns: BTreeSet<(String, String)> =
        before.iter().map(|job| (job.view.kind.clone(), job.view.client_id.clone())).collect();
    for row in tx.all(&READ_BLOCKED_KINDS, [group(&heads)?]).await? {
        turns.insert((row.try_get("", "kind")?, row.try_get("", "client_id")?));
    }
    turns::lock_turns(tx, &turns).await?;
    tx.all(&LOCK_HEADS, [group(&heads)?]).await?;
    // 3. Read them again.
    let rows = jobs::rows(tx, ids).await?;
    if !lines_of(&rows).is_subset(&lines) {
        return Err(moved("a job"));
    }
    Ok(rows)
}

/// Gives back the turns of heads that wait for a claim.
async fn lower_turns(tx: &Tx, heads: &[JobRow]) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Row<'a> {
        client_id: &'a str,
        kind: &'a str,
        n: i64,
    }
    // By (kind, client): how many turns.
    let mut given_back: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    // Heads that got their turn when they became due have a turn of the other count (`last_due`).
    let is_counted = |job: &&JobRow| job.run == 0 && job.view.run_at <= job.view.created_at;
    let waiting = heads.iter().filter(|job| job.has_turn && job.view.node.is_none());
    for job in waiting.filter(is_counted) {
        *given_back.entry((&job.view.kind, &job.view.client_id)).or_default() += 1;
    }
    let rows: Vec<Row<'_>> =
        given_back.into_iter().map(|((kind, client_id), n)| Row { client_id, kind, n }).collect();
    if !rows.is_empty() {
        tx.run(&LOWER_TURNS, [group(&rows)?]).await?;
    }
    Ok(())
}

#[derive(Serialize)]
struct HandledRow {
    id: Id,
    sentiment: Option<&'static str>,
    handled: bool,
}

/// Ends jobs that are not heads: deletes them from their table, and appends them to the history.
async fn end_waiting(db: &Database, tx: &Tx, waiting: &[JobRow]) -> Result<Counts, StoreError> {
    let mut counts = Counts::default();
    if waiting.is_empty() {
        return Ok(counts);
    }
    // 1. Delete them from the tables where they wait.
    let ids_at = |at: Whereabouts| -> Vec<Id> {
        waiting.iter().filter(|job| job.at == at).map(|job| job.view.id).collect()
    };
    let (blocked, later) = (ids_at(Whereabouts::Blocked), ids_at(Whereabouts::Later));
    let gone = tx.run(&DELETE_FOLLOWERS, [group(&blocked)?]).await?;
    let taken = tx.all(&TAKE_DUE_LATER, [group(&later)?]).await?.len();
    if gone != blocked.len() as u64 || taken != later.len() {
        return Err(moved("a waiting job"));
    }
    // 2. Write their history, settle their drafts, and mark their messages as handled.
    let settlements: Vec<Settlement> = waiting.iter().map(settlement).collect();
    ledger::write_history(tx, settlements.iter(), &mut counts).await?;
    ledger::end_unclaimed(db, tx, &settlements).await?;
    let handled_by = |job: &JobRow| {
        let in_lead_line = job.line.is_some_and(|line| line > 0);
        let id = job.view.message_id.filter(|_| in_lead_line)?;
        Some(HandledRow { id, sentiment: None, handled: true })
    };
    let handled: Vec<HandledRow> = waiting.iter().filter_map(handled_by).collect();
    if !handled.is_empty() {
        tx.run(&UPDATE_MESSAGES, [group(&handled)?]).await?;
    }
    Ok(counts)
}

/// The settlement that cancels a job. For a head, its fence is the head as it was read.
fn settlement(job: &JobRow) -> Settlement {
    Settlement {
        job_id: job.view.id,
        line: job.line.unwrap_or(-job.view.id),
        kind: job.view.kind.clone(),
        client_id: job.view.client_id.clone(),
        lead_id: job.view.lead_id,
        message_id: job.view.message_id,
        draft_id: job.view.draft_id,
        channel: job.channel.clone(),
        // It enqueues nothing.
        request_id: None,
        run: job.run,
        spared: job.spared,
        node: job.view.node,
        actor: None,
        duration: job.claimed_ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis),
        transition: Transition::Cancel { reason: BY_HAND.to_owned() },
        send: None,
        trace: None,
    }
}
