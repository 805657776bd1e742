//! For the node that leads: what has to be done now and then so that tables stay small.
//!
//! Everything goes in small batches by key, so that nobody waits long behind one. What is kept for how long
//! is said by `[retention]`; ids grow with time, so that what is old is found by its key.

use super::{
    Store, StoreError,
    ids::first_at,
    ledger::millis,
    nodes::SLOT_KEPT,
    sql::Sql,
    tx::{Tx, group, in_group, read},
};
use crate::{config, domain::Id};
use sea_orm::ConnectionTrait;
use std::{collections::BTreeMap, time::Duration};

/// Rows of one batch.
const BATCH: i64 = 500;

/// Jobs in the order of their keys. By primary key.
pub(super) static READ_OLD_JOBS: Sql =
    Sql::new("select id from jobs where id > $1 and id < $2 order by id limit $3");

/// Those of these jobs that have ended, with the run that ended each; locked, so that nobody retries one by
/// hand meanwhile. By primary key.
pub(super) static LOCK_ENDED: Sql = Sql::new(
    "select job_id, outcome, @ms(@now) - @ms(finished_at) as age_ms from job_attempts \
     where job_id @ids($1) and ended order by job_id, run @for_update",
);

/// By primary key.
pub(super) static DELETE_ATTEMPTS: Sql = Sql::new("delete from job_attempts where job_id @ids($1)");

/// By primary key.
pub(super) static DELETE_JOBS: Sql = Sql::new("delete from jobs where id @ids($1)");

/// The last message of the next batch. By primary key.
pub(super) static READ_OLD_MESSAGES: Sql = Sql::new(
    "select max(id) as last from (select id from messages where id > $1 and id < $2 order by id limit $3) as batch",
);

/// Takes bodies as received away from messages of a range. By primary key.
pub(super) static DROP_PAYLOADS: Sql = Sql::new(
    "update messages set payload = null where id > $1 and id <= $2 and payload is not null",
);

/// How far a chore has come; kept, because what is behind it is history and long.
pub(super) static READ_PROGRESS: Sql = Sql::new("select value from counters where name = $1");

/// Notes it.
pub(super) static PUT_PROGRESS: Sql = Sql::new(
    "insert into counters (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value",
);

/// Quarantined items that are old and did not come again lately. By primary key.
pub(super) static DELETE_QUARANTINED: Sql = Sql::new(
    "delete from quarantine where id in (select id from quarantine where id < $1 and last_received_at < @at($2) \
       order by id limit $3)",
);

/// Keys that have expired. By `message_keys_expiring`.
pub(super) static DELETE_EXPIRED_KEYS: Sql = Sql::new(
    "delete from message_keys where (client_id, channel, kind, key) in (select client_id, channel, kind, key \
       from message_keys where expires_at < @in_ms(-60000) order by expires_at limit $1)",
);

/// Adds the counts of nodes that are gone to those of nobody.
pub(super) static FOLD_COUNTS: Sql = Sql::new(
    "insert into job_counts (node, kind, state, count) \
     select 0, c.kind, c.state, cast(sum(c.count) as bigint) from job_counts c \
     where c.node <> 0 and c.node < $1 and not exists (select 1 from nodes n where n.id = c.node) \
     group by c.kind, c.state order by c.kind, c.state \
     on conflict (node, kind, state) do update set count = job_counts.count + excluded.count",
);

/// Takes the folded rows away.
pub(super) static DELETE_FOLDED_COUNTS: Sql = Sql::new(
    "delete from job_counts where node <> 0 and node < $1 and not exists (select 1 from nodes n where n.id = job_counts.node)",
);

/// Keeps the greatest turn of nodes that are gone as that of nobody, so that V never falls.
pub(super) static FOLD_CLOCK: Sql = Sql::new(
    "insert into job_clock (kind, node, turn) \
     select c.kind, 0, max(c.turn) from job_clock c \
     where c.node <> 0 and c.node < $1 and not exists (select 1 from nodes n where n.id = c.node) \
     group by c.kind order by c.kind \
     on conflict (kind, node) do update set turn = \
       case when excluded.turn > job_clock.turn then excluded.turn else job_clock.turn end",
);

/// Takes the folded rows away.
pub(super) static DELETE_FOLDED_CLOCK: Sql = Sql::new(
    "delete from job_clock where node <> 0 and node < $1 and not exists (select 1 from nodes n where n.id = job_clock.node)",
);

/// Forgets those of these nodes that have been silent for so long that nobody of them can be at work any more.
pub(super) static FORGET_NODES: Sql =
    Sql::new("delete from nodes where id @ids($1) and seen_at < @in_ms(-$2)");

/// Empties SQLite's log into its file. Waits only shortly for readers, because all writers wait meanwhile.
const CHECKPOINT: &str =
    "pragma busy_timeout = 100; pragma wal_checkpoint(truncate); pragma busy_timeout = 5000";

/// From this size on SQLite's log is emptied: its own checkpoints copy it back without shortening it while
/// readers overlap.
const LOG_MAX_BYTES: u64 = 32 << 20;

/// Where the pass over old payloads has got to, in `counters`.
const PAYLOADS: &str = "payloads_pruned_to";

/// The janitor's handle.
#[derive(Clone, Debug)]
pub struct Chores(pub(super) Store);

/// Where a pass over old jobs has got to. A new one starts at the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobsPass {
    after: Id,
    /// True once it has come to what is too young.
    pub is_over: bool,
}

impl Chores {
    /// Prunes the next batch of ended jobs with their attempts; returns how many went. What has not ended is
    /// passed over, whatever its age.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn prune_jobs(
        &self,
        pass: &mut JobsPass,
        keep: &config::Retention,
    ) -> Result<u64, StoreError> {
        let youngest = keep.succeeded.min(keep.failed);
        let (store, after, keep) = (self.0.clone(), pass.after, keep.clone());
        let before = first_at(super::wall_clock().plus_millis(-millis(youngest)));
        let (pruned, last, count) = self
            .0
            .spawn(async move { in_group(|| prune_jobs(&store, after, before, &keep)).await })
            .await?;
        pass.after = last.unwrap_or(after);
        pass.is_over = count < BATCH;
        Ok(pruned)
    }

    /// Takes the bodies as received away from the next batch of old messages; true while there may be more.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn prune_payloads(&self, keep: Duration) -> Result<bool, StoreError> {
        let store = self.0.clone();
        let before = first_at(super::wall_clock().plus_millis(-millis(keep)));
        self.0.spawn(async move { in_group(|| prune_payloads(&store, before)).await }).await
    }

    /// Prunes one batch each of what is kept for a time only; true while there may be more.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn prune_others(&self, keep: &config::Retention) -> Result<bool, StoreError> {
        let store = self.0.clone();
        let oldest = super::wall_clock().plus_millis(-millis(keep.quarantine));
        self.0
            .spawn(async move {
                in_group(|| async {
                    let tx = Tx::begin(store.connections(), "chores").await?;
                    let values = [first_at(oldest).into(), oldest.as_millis().into(), BATCH.into()];
                    let items = tx.run(&DELETE_QUARANTINED, values).await?;
                    let keys = tx.run(&DELETE_EXPIRED_KEYS, [BATCH.into()]).await?;
                    tx.commit().await?;
                    Ok(items.max(keys) >= BATCH.unsigned_abs())
                })
                .await
            })
            .await
    }

    /// Folds what nodes that are gone have counted into one row each: there is one a start.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn fold_nodes(&self) -> Result<(), StoreError> {
        let store = self.0.clone();
        self.0
            .spawn(async move {
                in_group(|| async {
                    // Nodes that register meanwhile have greater ids.
                    let own = store.node();
                    let tx = Tx::begin(store.connections(), "chores").await?;
                    let statements =
                        [&FOLD_COUNTS, &DELETE_FOLDED_COUNTS, &FOLD_CLOCK, &DELETE_FOLDED_CLOCK];
                    for sql in statements {
                        tx.run(sql, [own.into()]).await?;
                    }
                    tx.commit().await
                })
                .await
            })
            .await
    }

    /// Forgets those of these `dead` nodes that have been silent for an hour; their slots are free then.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn forget_nodes(&self, dead: Vec<Id>) -> Result<(), StoreError> {
        if dead.is_empty() {
            return Ok(());
        }
        let store = self.0.clone();
        self.0
            .spawn(async move {
                let kept_ms = i64::try_from(SLOT_KEPT.as_millis()).unwrap_or(i64::MAX);
                let dead = group(&dead)?;
                in_group(|| async {
                    let tx = Tx::begin(store.connections(), "forget").await?;
                    tx.run(&FORGET_NODES, [dead.clone(), kept_ms.into()]).await?;
                    tx.commit().await
                })
                .await
            })
            .await
    }

    /// Empties SQLite's log into its file if it has grown large; returns its size in bytes before. Nothing to
    /// do elsewhere.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn checkpoint(&self) -> Result<u64, StoreError> {
        let Some(path) = self.0.connections().log_path.clone() else { return Ok(0) };
        let store = self.0.clone();
        self.0
            .spawn(async move {
                // No log, no size: it is made by the first write.
                let size = tokio::fs::metadata(path).await.map_or(0, |it| it.len());
                if size > LOG_MAX_BYTES {
                    store.connections().writer.execute_unprepared(CHECKPOINT).await?;
                }
                Ok(size)
            })
            .await
    }

    /// Counts anew how many jobs of capped clients stand in turn; see [`Store::set_caps`].
    ///
    /// # Errors
    /// When the database is away.
    pub async fn recount_caps(&self, caps: BTreeMap<String, u32>) -> Result<(), StoreError> {
        match caps.is_empty() {
            true => Ok(()),
            false => self.0.set_caps(caps).await,
        }
    }
}

async fn prune_jobs(
    store: &Store,
    after: Id,
    before: Id,
    keep: &config::Retention,
) -> Result<(u64, Option<Id>, i64), StoreError> {
    let values = [after.into(), before.into(), BATCH.into()];
    let rows = read(&store.connections().reader, &READ_OLD_JOBS, values).await?;
    let mut ids: Vec<Id> = Vec::with_capacity(rows.len());
    for row in &rows {
        ids.push(row.try_get("", "id")?);
    }
    let (last, count) = (ids.last().copied(), i64::try_from(ids.len()).unwrap_or(BATCH));
    if ids.is_empty() {
        return Ok((0, last, count));
    }
    let tx = Tx::begin(store.connections(), "chores").await?;
    let mut gone: Vec<Id> = Vec::new();
    for row in tx.all(&LOCK_ENDED, [group(&ids)?]).await? {
        let outcome: String = row.try_get("", "outcome")?;
        let age_ms: i64 = row.try_get("", "age_ms")?;
        let kept = match outcome.as_str() {
            "succeeded" | "cancelled" => keep.succeeded,
            _ => keep.failed,
        };
        if age_ms > millis(kept) {
            gone.push(row.try_get("", "job_id")?);
        }
    }
    gone.dedup();
    if gone.is_empty() {
        return Ok((0, last, count));
    }
    tx.run(&DELETE_ATTEMPTS, [group(&gone)?]).await?;
    let pruned = tx.run(&DELETE_JOBS, [group(&gone)?]).await?;
    tx.commit().await?;
    Ok((pruned, last, count))
}

async fn prune_payloads(store: &Store, before: Id) -> Result<bool, StoreError> {
    let reader = &store.connections().reader;
    let after: Id = match read(reader, &READ_PROGRESS, [PAYLOADS.into()]).await?.first() {
        Some(row) => row.try_get("", "value")?,
        None => 0,
    };
    let values = [after.into(), before.into(), BATCH.into()];
    let last: Option<Id> = match read(reader, &READ_OLD_MESSAGES, values).await?.first() {
        Some(row) => row.try_get("", "last")?,
        None => None,
    };
    let Some(last) = last else { return Ok(false) };
    let tx = Tx::begin(store.connections(), "chores").await?;
    tx.run(&DROP_PAYLOADS, [after.into(), last.into()]).await?;
    tx.run(&PUT_PROGRESS, [PAYLOADS.into(), last.into()]).await?;
    tx.commit().await?;
    Ok(true)
}
