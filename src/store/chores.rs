//! The leader's chores, except pruning (`prune.rs`).

use crate::domain::{Id, whole_millis};
use crate::store::{
    engine::{
        Database, StoreError,
        sql::sql,
        tx::{Finished, Tx, group},
    },
    fleet::nodes::SLOT_KEPT,
    operations,
    tables::{caps, lines::ADD_COUNTS, unknown_clients},
};
use sea_orm::ConnectionTrait;
use serde::Serialize;
use std::collections::BTreeMap;

sql! {
    /// Deletes the counts of nodes that are gone, and returns them. Reads the small table as a
    /// whole.
    static TAKE_FOLDED_COUNTS =
        "delete from job_counts where node <> 0 and node < $1 and not exists (select 1 from nodes n where n.id = job_counts.node) \
         returning kind, state, count";

    /// Deletes the clocks of nodes that are gone, and returns their turns. Reads the small table as
    /// a whole.
    static TAKE_FOLDED_CLOCK =
        "delete from job_clock where node <> 0 and node < $1 and not exists (select 1 from nodes n where n.id = job_clock.node) \
         returning kind, turn";

    /// Keeps the greatest turn of nodes that are gone under node 0, so that V never falls. By
    /// primary key.
    static FOLD_CLOCK =
        "insert into job_clock (kind, node, turn) select g.kind, 0, g.turn from @rows($1, kind text, turn bigint) g \
         where true order by g.kind on conflict (kind, node) do update set turn = \
           case when excluded.turn > job_clock.turn then excluded.turn else job_clock.turn end";

    /// Deletes those of these nodes that have been silent for more than `$2` milliseconds: they
    /// cannot be running any more. By primary key.
    static FORGET_NODES = "delete from nodes where id @ids($1) and seen_at < @in_ms(-$2)";
}

/// Moves SQLite's write-ahead log into the database file. It waits only a short time for readers,
/// because all writers wait for it.
const CHECKPOINT: &str =
    "pragma busy_timeout = 100; pragma wal_checkpoint(truncate); pragma busy_timeout = 5000";

/// The size in bytes from which SQLite's log is truncated. Its automatic checkpoints copy the log
/// without truncating it as long as readers overlap.
const LOG_MAX_BYTES: u64 = 32 << 20;

/// The janitor's handle.
#[derive(Clone, Debug)]
pub struct Chores {
    pub(super) db: Database,
}

impl Chores {
    /// Merges the counts and clocks of nodes that are gone into one row each. Otherwise every start
    /// of a daemon would leave a row.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn fold_nodes(&self) -> Result<(), StoreError> {
        self.db
            .call(|db| async move { db.write("chores", |tx| fold_nodes(tx, db.node())).await })
            .await
    }

    /// Deletes those of the `dead` nodes that have been silent for an hour. Their slots are free
    /// then.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn forget_nodes(&self, dead: Vec<Id>) -> Result<(), StoreError> {
        if dead.is_empty() {
            return Ok(());
        }
        self.db
            .call(|db| async move {
                let kept_ms = whole_millis(SLOT_KEPT);
                let dead = group(&dead)?;
                db.write("forget", async |tx| {
                    tx.run(&FORGET_NODES, [dead.clone(), kept_ms.into()]).await?;
                    tx.commit(()).await
                })
                .await
            })
            .await
    }

    /// Ends the operations of the `dead` nodes, and of nodes without a row, as failed. Returns
    /// their ids.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn fail_abandoned_operations(&self, dead: Vec<Id>) -> Result<Vec<Id>, StoreError> {
        self.db.call(|db| async move { operations::fail_abandoned(&db, &dead).await }).await
    }

    /// Truncates SQLite's log if it has grown large. Returns the size that it had, in bytes. Does
    /// nothing on PostgreSQL.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn checkpoint(&self) -> Result<u64, StoreError> {
        let Some(path) = self.db.connections().log_path.clone() else { return Ok(0) };
        self.db
            .call(|db| async move {
                // If there is no log yet, its size is 0: the first write makes it.
                let size = tokio::fs::metadata(path).await.map_or(0, |file| file.len());
                if size > LOG_MAX_BYTES {
                    db.connections().writer.execute_unprepared(CHECKPOINT).await?;
                }
                Ok(size)
            })
            .await
    }

    /// Corrects the counts of capped clients that differ from their heads: a node that did not know
    /// the caps may have moved jobs without counting. Returns the number of these clients.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn recount_caps(&self) -> Result<usize, StoreError> {
        self.db.call(|db| async move { caps::recount(&db).await }).await
    }

    /// Holds the heads of clients that no node knows, and admits those of clients that are known
    /// again. Returns the clients whose heads it held. Does nothing while a node has not said which
    /// clients it knows. Nodes in `dead` do not count.
    ///
    /// # Errors
    /// If the database is unreachable; what was done before stays done.
    pub async fn hold_unknown_clients(&self, dead: Vec<Id>) -> Result<Vec<String>, StoreError> {
        self.db.call(|db| async move { unknown_clients::hold_unknown(&db, &dead).await }).await
    }
}

/// Adds up the rows that the deletions return. So a row that another node changes meanwhile is
/// counted as it is when it is deleted. `own` is the id of this node.
async fn fold_nodes(tx: Tx, own: Id) -> Result<Finished<()>, StoreError> {
    #[derive(Serialize)]
    struct TurnRow {
        kind: String,
        turn: i64,
    }
    #[derive(Serialize)]
    struct CountRow {
        node: Id,
        kind: String,
        state: String,
        n: i64,
    }
    // 1. The clocks, by kind. Nodes that register meanwhile have greater ids, so they are not
    // affected.
    let mut turns: BTreeMap<String, i64> = BTreeMap::new();
    for row in tx.all(&TAKE_FOLDED_CLOCK, [own.into()]).await? {
        let turn = turns.entry(row.try_get("", "kind")?).or_insert(0);
        *turn = row.try_get::<i64>("", "turn")?.max(*turn);
    }
    if !turns.is_empty() {
        let turns: Vec<TurnRow> =
            turns.into_iter().map(|(kind, turn)| TurnRow { kind, turn }).collect();
        tx.run(&FOLD_CLOCK, [group(&turns)?]).await?;
    }
    // 2. The counts, by (kind, state).
    let mut counts: BTreeMap<(String, String), i64> = BTreeMap::new();
    for row in tx.all(&TAKE_FOLDED_COUNTS, [own.into()]).await? {
        let of = (row.try_get("", "kind")?, row.try_get("", "state")?);
        *counts.entry(of).or_default() += row.try_get::<i64>("", "count")?;
    }
    if !counts.is_empty() {
        let counts: Vec<CountRow> = counts
            .into_iter()
            .map(|((kind, state), n)| CountRow { node: 0, kind, state, n })
            .collect();
        tx.run(&ADD_COUNTS, [group(&counts)?]).await?;
    }
    tx.commit(()).await
}
