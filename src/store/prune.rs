//! Deletes rows that are older than `[retention]` allows: jobs that ended, bodies as received,
//! quarantined items, expired keys, rows of the audit log, operations that ended, calls of models,
//! and sessions of people. It deletes in small batches by key, so that nobody waits long for one.
//!
//! Ids grow with time, so old rows are found by their ids. A pass keeps its place in `counters`,
//! and continues there in the next round and after a restart. So it does not read skipped rows
//! again before it comes to younger ones. Skipped jobs (not ended, ended only recently, or kept for
//! longer) are checked again by a second pass, which is slow if there is nothing to prune.

use crate::store::{
    Chores,
    engine::{
        Database, Sql, StoreError,
        ids::{first_at, wall_clock},
        sql::sql,
        tx::{Tx, group, millis, read},
    },
    tables::quarantine_room::QuarantineRooms,
};
use crate::{config, domain::Id};
use std::time::Duration;
use tokio::time::Instant;

/// Rows of one batch.
const BATCH: i64 = 500;

/// The most by which the first pass over jobs waits longer than the least retention of jobs.
/// Retention counts from a job's end, and most jobs end within this time after they were stored.
const JOB_SLACK_MAX: Duration = Duration::from_secs(60);

/// How long rows of the audit log are kept. It is no setting: otherwise a person who changes the
/// configuration could also make the log forget it at once. A year covers the audits that ask for
/// it.
const AUDIT_KEPT: Duration = Duration::from_secs(365 * 24 * 3_600);

/// How long operations are kept after their start. What they did to a job is in its history.
const OPERATIONS_KEPT: Duration = Duration::from_secs(90 * 24 * 3_600);
/// How long calls of models are kept. They tell what a model costs and how often it fails, which
/// nobody asks of a day that is longer ago.
const MODEL_CALLS_KEPT: Duration = Duration::from_secs(30 * 24 * 3_600);
/// How long sessions of people are kept after their start: a day longer than any lasts.
const SESSIONS_KEPT: Duration = Duration::from_secs(8 * 24 * 3_600);

sql! {
    /// Jobs in the order of their keys. By primary key.
    static READ_OLD_JOBS =
        "select id from jobs where id > $1 and id < $2 order by id limit $3";

    /// Those of these jobs whose retention has passed since their end: `$2` milliseconds for jobs
    /// that succeeded or were cancelled, `$3` for all others. Locked, so that nobody retries one by
    /// hand meanwhile. By primary key.
    static LOCK_ENDED =
        "select job_id from job_attempts where job_id @ids($1) and ended and finished_at < \
           case when outcome in ('succeeded', 'cancelled') then @in_ms(-$2) else @in_ms(-$3) end \
         order by job_id, run @for_update";

    /// Deletes the history of jobs. By primary key.
    static DELETE_ATTEMPTS = "delete from job_attempts where job_id @ids($1)";

    /// Deletes the facts of jobs. By primary key.
    static DELETE_JOBS = "delete from jobs where id @ids($1)";

    /// The last message of the next batch. By primary key.
    static READ_OLD_MESSAGES =
        "select max(id) as last from (select id from messages where id > $1 and id < $2 order by id limit $3) as batch";

    /// Deletes the bodies as received from the messages of a range. By primary key.
    static DROP_PAYLOADS =
        "update messages set payload = null where id > $1 and id <= $2 and payload is not null";

    /// The place of a pass. By primary key.
    static READ_PROGRESS = "select value from counters where name = $1";

    /// Stores the place of a pass. By primary key.
    static PUT_PROGRESS =
        "insert into counters (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value";

    /// Quarantined items that are old and have not come again recently. By primary key.
    static READ_OLD_QUARANTINED =
        "select id, client_id from quarantine where id < $1 and last_received_at < @at($2) order by id limit $3";

    /// Deletes those of these items that have not come again meanwhile. By primary key.
    static DELETE_QUARANTINED =
        "delete from quarantine where id @ids($1) and last_received_at < @at($2) returning client_id, status, size";

    /// Deletes the oldest of the rows of the audit log before `$1`. By primary key.
    static DELETE_OLD_AUDIT =
        "delete from audit where id in (select id from audit where id < $1 order by id limit $2)";

    /// Deletes the oldest of the operations before `$1` that have ended. By primary key.
    static DELETE_OLD_OPERATIONS =
        "delete from operations where id in (select id from operations where id < $1 and status <> 'running' \
           order by id limit $2)";
    /// Deletes the oldest of the calls of models before `$1`. By primary key.
    static DELETE_OLD_MODEL_CALLS =
        "delete from model_calls where id in (select id from model_calls where id < $1 order by id limit $2)";
    /// Deletes the oldest of the sessions before `$1`. By primary key.
    static DELETE_OLD_SESSIONS =
        "delete from sessions where id in (select id from sessions where id < $1 order by id limit $2)";

    /// Deletes expired keys. By `message_keys_expiring`. The condition is repeated for the deleted
    /// row, because the next message with an expired key takes it over.
    static DELETE_EXPIRED_KEYS =
        "delete from message_keys where (client_id, channel, kind, key) in (select client_id, channel, kind, key \
           from message_keys where expires_at < @in_ms(-60000) order by expires_at limit $1) \
           and expires_at < @in_ms(-60000)";
}

/// The names of the passes' places in `counters`.
const JOBS_PLACE: &str = "jobs_pruned_to";
const PASSED_OVER_PLACE: &str = "passed_over_jobs_pruned_to";
const PAYLOADS_PLACE: &str = "payloads_pruned_to";

/// What is pruned. Each has a pass of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prunable {
    /// Jobs with their attempts, from the pass's last place on.
    Jobs,
    /// Bodies as received; their messages stay.
    Payloads,
    /// Quarantined items.
    Quarantine,
    /// Expired dedupe keys of messages.
    Keys,
    /// Rows of the audit log.
    Audit,
    /// Operations that ended.
    Operations,
    /// Calls of models.
    ModelCalls,
    /// Sessions of people.
    Sessions,
    /// Jobs that [`Prunable::Jobs`] has skipped.
    PassedOverJobs,
}

impl Prunable {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Jobs,
        Self::Payloads,
        Self::Quarantine,
        Self::Keys,
        Self::Audit,
        Self::Operations,
        Self::ModelCalls,
        Self::Sessions,
        Self::PassedOverJobs,
    ];

    /// The words for it in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Payloads => "payloads",
            Self::Quarantine => "quarantined items",
            Self::Keys => "expired keys",
            Self::Audit => "rows of the audit log",
            Self::Operations => "operations",
            Self::ModelCalls => "calls of models",
            Self::Sessions => "sessions",
            Self::PassedOverJobs => "jobs that were passed over",
        }
    }
}

/// What is still to be pruned in a round. In the next round each pass continues from its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruning(Vec<Prunable>);

impl Pruning {
    /// A new round.
    pub fn begin() -> Self {
        Self(Prunable::ALL.to_vec())
    }

    /// True if nothing is left for this round.
    pub const fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    fn leave_out(&mut self, what: Prunable) {
        self.0.retain(|prunable| *prunable != what);
    }
}

/// The result of one step of a round.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Rows that were deleted, or lost their body.
    pub rows: u64,
    /// What could not be pruned. It is left out until the next round.
    pub failures: Vec<(Prunable, StoreError)>,
}

/// The result of one batch.
#[derive(Clone, Copy, Debug, Default)]
struct Batch {
    rows: u64,
    /// True if the pass has reached its end.
    is_over: bool,
}

impl Chores {
    /// Continues a round of pruning: at least one batch of each table, and more while there is work
    /// and `budget` lasts. A table that cannot be pruned does not prevent the pruning of others.
    pub async fn prune(
        &self,
        round: &mut Pruning,
        keep: &config::Retention,
        budget: Duration,
    ) -> Pruned {
        let (started, mut pruned) = (Instant::now(), Pruned::default());
        let mut next = round.0.clone();
        while !next.is_empty() {
            let mut again = Vec::with_capacity(next.len());
            for what in next {
                match self.prune_batch(what, keep).await {
                    Ok(batch) => {
                        pruned.rows += batch.rows;
                        let is_slow = what == Prunable::PassedOverJobs && batch.rows == 0;
                        if batch.is_over {
                            round.leave_out(what);
                        } else if !is_slow {
                            again.push(what);
                        }
                    }
                    Err(error) => {
                        round.leave_out(what);
                        pruned.failures.push((what, error));
                    }
                }
            }
            next = if started.elapsed() < budget { again } else { Vec::new() };
        }
        pruned
    }

    async fn prune_batch(
        &self,
        what: Prunable,
        keep: &config::Retention,
    ) -> Result<Batch, StoreError> {
        let keep = keep.clone();
        self.db
            .call(|db| async move {
                match what {
                    Prunable::Jobs => prune_jobs(&db, &keep).await,
                    Prunable::PassedOverJobs => prune_passed_over(&db, &keep).await,
                    Prunable::Payloads => prune_payloads(&db, keep.payloads).await,
                    Prunable::Quarantine => prune_quarantine(&db, keep.quarantine).await,
                    Prunable::Keys => prune_keys(&db).await,
                    Prunable::Audit => prune_by_age(&db, &DELETE_OLD_AUDIT, AUDIT_KEPT).await,
                    Prunable::Operations => {
                        prune_by_age(&db, &DELETE_OLD_OPERATIONS, OPERATIONS_KEPT).await
                    }
                    Prunable::ModelCalls => {
                        prune_by_age(&db, &DELETE_OLD_MODEL_CALLS, MODEL_CALLS_KEPT).await
                    }
                    Prunable::Sessions => {
                        prune_by_age(&db, &DELETE_OLD_SESSIONS, SESSIONS_KEPT).await
                    }
                }
            })
            .await
    }
}

/// The least id of rows that are younger than `age`.
fn first_younger_than(age: Duration) -> Id {
    first_at(wall_clock().plus_millis(-millis(age)))
}

/// The place of the pass `name`: the id of the last row that it has read, or 0.
async fn place(db: &Database, name: &'static str) -> Result<Id, StoreError> {
    let rows = read(db.reader(), &READ_PROGRESS, [name.into()]).await?;
    rows.first().map_or(Ok(0), |row| Ok(row.try_get("", "value")?))
}

/// Continues over jobs that are old enough for every retention. Skips those that cannot be pruned
/// yet.
async fn prune_jobs(db: &Database, keep: &config::Retention) -> Result<Batch, StoreError> {
    let youngest = keep.succeeded.min(keep.failed);
    let slack = JOB_SLACK_MAX.min(youngest / 10);
    let after = place(db, JOBS_PLACE).await?;
    let ids = old_jobs(db, after, first_younger_than(youngest + slack)).await?;
    let last = ids.last().copied().unwrap_or(after);
    prune_ended(db, keep, ids, (JOBS_PLACE, after, last)).await
}

/// Continues over jobs that [`prune_jobs`] has skipped; after the last one, from the beginning.
async fn prune_passed_over(db: &Database, keep: &config::Retention) -> Result<Batch, StoreError> {
    let after = place(db, PASSED_OVER_PLACE).await?;
    let ids = old_jobs(db, after, place(db, JOBS_PLACE).await? + 1).await?;
    let last = if is_last(&ids) { 0 } else { ids.last().copied().unwrap_or_default() };
    prune_ended(db, keep, ids, (PASSED_OVER_PLACE, after, last)).await
}

async fn old_jobs(db: &Database, after: Id, before: Id) -> Result<Vec<Id>, StoreError> {
    let values = [after.into(), before.into(), BATCH.into()];
    let rows = read(db.reader(), &READ_OLD_JOBS, values).await?;
    rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
}

/// True if this is the last batch of a pass.
fn is_last(ids: &[Id]) -> bool {
    ids.len() < usize::try_from(BATCH).unwrap_or(usize::MAX)
}

/// Prunes those of `ids` whose retention has passed since their end, and moves the place of the
/// pass.
async fn prune_ended(
    db: &Database,
    keep: &config::Retention,
    ids: Vec<Id>,
    (name, from, to): (&'static str, Id, Id),
) -> Result<Batch, StoreError> {
    let is_over = is_last(&ids);
    if ids.is_empty() && from == to {
        return Ok(Batch { rows: 0, is_over });
    }
    let kept = [millis(keep.succeeded), millis(keep.failed)];
    let prune = async |tx: Tx| {
        let mut gone: Vec<Id> = Vec::new();
        if !ids.is_empty() {
            let values = [group(&ids)?, kept[0].into(), kept[1].into()];
            for row in tx.all(&LOCK_ENDED, values).await? {
                gone.push(row.try_get("", "job_id")?);
            }
            gone.dedup();
        }
        let mut rows = 0;
        if !gone.is_empty() {
            tx.run(&DELETE_ATTEMPTS, [group(&gone)?]).await?;
            rows = tx.run(&DELETE_JOBS, [group(&gone)?]).await?;
        }
        if from != to {
            tx.run(&PUT_PROGRESS, [name.into(), to.into()]).await?;
        }
        tx.commit(Batch { rows, is_over }).await
    };
    db.write("chores", prune).await
}

async fn prune_payloads(db: &Database, keep: Duration) -> Result<Batch, StoreError> {
    let after = place(db, PAYLOADS_PLACE).await?;
    let values = [after.into(), first_younger_than(keep).into(), BATCH.into()];
    let rows = read(db.reader(), &READ_OLD_MESSAGES, values).await?;
    let last: Option<Id> = match rows.first() {
        Some(row) => row.try_get("", "last")?,
        None => None,
    };
    let Some(last) = last else { return Ok(Batch { rows: 0, is_over: true }) };
    db.write("chores", async |tx| {
        let rows = tx.run(&DROP_PAYLOADS, [after.into(), last.into()]).await?;
        tx.run(&PUT_PROGRESS, [PAYLOADS_PLACE.into(), last.into()]).await?;
        tx.commit(Batch { rows, is_over: false }).await
    })
    .await
}

async fn prune_quarantine(db: &Database, keep: Duration) -> Result<Batch, StoreError> {
    let oldest = wall_clock().plus_millis(-millis(keep));
    let values = [first_at(oldest).into(), oldest.as_millis().into(), BATCH.into()];
    let old = read(db.reader(), &READ_OLD_QUARANTINED, values).await?;
    let (mut ids, mut clients) = (Vec::<Id>::new(), Vec::<String>::new());
    for row in &old {
        ids.push(row.try_get("", "id")?);
        clients.push(row.try_get("", "client_id")?);
    }
    let is_over = is_last(&ids);
    if ids.is_empty() {
        return Ok(Batch { rows: 0, is_over });
    }
    let prune = async |tx: Tx| {
        let mut rooms =
            QuarantineRooms::lock(&tx, &clients.iter().map(String::as_str).collect()).await?;
        let values = [group(&ids)?, oldest.as_millis().into()];
        let gone = tx.all(&DELETE_QUARANTINED, values).await?;
        for row in &gone {
            let [client, status]: [String; 2] =
                [row.try_get("", "client_id")?, row.try_get("", "status")?];
            if status == "held" {
                rooms.set(&client, rooms.of(&client).without(row.try_get("", "size")?));
            }
        }
        rooms.write(&tx).await?;
        tx.commit(Batch { rows: gone.len() as u64, is_over }).await
    };
    db.write("chores", prune).await
}

async fn prune_keys(db: &Database) -> Result<Batch, StoreError> {
    db.write("chores", async |tx| {
        let rows = tx.run(&DELETE_EXPIRED_KEYS, [BATCH.into()]).await?;
        tx.commit(Batch { rows, is_over: rows < BATCH.unsigned_abs() }).await
    })
    .await
}

/// Deletes rows that are older than `kept`, by a statement that takes the id of the first younger
/// one and the size of a batch.
async fn prune_by_age(
    db: &Database,
    delete: &'static Sql,
    kept: Duration,
) -> Result<Batch, StoreError> {
    db.write("chores", async |tx| {
        let values = [first_younger_than(kept).into(), BATCH.into()];
        let rows = tx.run(delete, values).await?;
        tx.commit(Batch { rows, is_over: rows < BATCH.unsigned_abs() }).await
    })
    .await
}
