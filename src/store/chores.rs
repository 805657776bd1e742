//! For the node that leads: what has to be done now and then besides pruning (`prune.rs`).

use crate::domain::Id;
use crate::store::{
    engine::{
        Database, StoreError,
        sql::sql,
        tx::{Finished, Tx, group},
    },
    fleet::nodes::SLOT_KEPT,
    tables::{caps, lines::ADD_COUNTS, unknown_clients},
};
use sea_orm::ConnectionTrait;
use serde::Serialize;
use std::collections::BTreeMap;

sql! {
    /// Takes the counts of nodes that are gone, and gives what it took.
    static TAKE_FOLDED_COUNTS =
        "delete from job_counts where node <> 0 and node < $1 and not exists (select 1 from nodes n where n.id = job_counts.node) \
         returning kind, state, count";

    /// Takes the turns of nodes that are gone, and gives what it took.
    static TAKE_FOLDED_CLOCK =
        "delete from job_clock where node <> 0 and node < $1 and not exists (select 1 from nodes n where n.id = job_clock.node) \
         returning kind, turn";

    /// Keeps the greatest turn of nodes that are gone as that of nobody, so that V never falls.
    static FOLD_CLOCK =
        "insert into job_clock (kind, node, turn) select g.kind, 0, g.turn from @rows($1, kind text, turn bigint) g \
         where true order by g.kind on conflict (kind, node) do update set turn = \
           case when excluded.turn > job_clock.turn then excluded.turn else job_clock.turn end";

    /// Forgets those of these nodes that have been silent for so long that nobody of them can be at work any more.
    static FORGET_NODES = "delete from nodes where id @ids($1) and seen_at < @in_ms(-$2)";
}

/// Empties SQLite's log into its file. Waits only shortly for readers, because all writers wait meanwhile.
const CHECKPOINT: &str =
    "pragma busy_timeout = 100; pragma wal_checkpoint(truncate); pragma busy_timeout = 5000";

/// From this size on SQLite's log is emptied: its own checkpoints copy it back without shortening it while
/// readers overlap.
const LOG_MAX_BYTES: u64 = 32 << 20;

/// The janitor's handle.
#[derive(Clone, Debug)]
pub struct Chores {
    pub(super) db: Database,
}

impl Chores {
    /// Folds what nodes that are gone have counted into one row each: there is one a start.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn fold_nodes(&self) -> Result<(), StoreError> {
        self.db
            .call(|db| async move { db.write("chores", |tx| fold_nodes(tx, db.node())).await })
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
        self.db
            .call(|db| async move {
                let kept_ms = i64::try_from(SLOT_KEPT.as_millis()).unwrap_or(i64::MAX);
                let dead = group(&dead)?;
                db.write("forget", async |tx| {
                    tx.run(&FORGET_NODES, [dead.clone(), kept_ms.into()]).await?;
                    tx.commit(()).await
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
        let Some(path) = self.db.connections().log_path.clone() else { return Ok(0) };
        self.db
            .call(|db| async move {
                // No log, no size: it is made by the first write.
                let size = tokio::fs::metadata(path).await.map_or(0, |it| it.len());
                if size > LOG_MAX_BYTES {
                    db.connections().writer.execute_unprepared(CHECKPOINT).await?;
                }
                Ok(size)
            })
            .await
    }

    /// Corrects the counts of capped clients where they are not what stands in line: a node that
    /// did not know the caps has moved jobs uncounted. Returns how many clients that were.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn recount_caps(&self) -> Result<usize, StoreError> {
        self.db.call(|db| async move { caps::recount(&db).await }).await
    }

    /// Takes jobs out of turn of clients that no node knows, and lets those in that are known
    /// again. Returns the clients of which jobs were taken out. Does nothing while some node has
    /// not said which clients it knows. Nodes that are `dead` know nothing any more.
    ///
    /// # Errors
    /// When the database is away; what was done before stays done.
    pub async fn rest_unknown_clients(&self, dead: Vec<Id>) -> Result<Vec<String>, StoreError> {
        self.db.call(|db| async move { unknown_clients::rest_unknown(&db, &dead).await }).await
    }
}

/// What is taken away is what is added: a row that somebody else changes meanwhile is taken as it
/// is then.
async fn fold_nodes(tx: Tx, own: Id) -> Result<Finished<()>, StoreError> {
    #[derive(Serialize)]
    struct Turn {
        kind: String,
        turn: i64,
    }
    #[derive(Serialize)]
    struct Count {
        node: Id,
        kind: String,
        state: String,
        n: i64,
    }
    // Nodes that register meanwhile have greater ids.
    let mut turns: BTreeMap<String, i64> = BTreeMap::new();
    for row in tx.all(&TAKE_FOLDED_CLOCK, [own.into()]).await? {
        let turn = turns.entry(row.try_get("", "kind")?).or_insert(0);
        *turn = row.try_get::<i64>("", "turn")?.max(*turn);
    }
    if !turns.is_empty() {
        let turns: Vec<Turn> = turns.into_iter().map(|(kind, turn)| Turn { kind, turn }).collect();
        tx.run(&FOLD_CLOCK, [group(&turns)?]).await?;
    }
    let mut counts: BTreeMap<(String, String), i64> = BTreeMap::new();
    for row in tx.all(&TAKE_FOLDED_COUNTS, [own.into()]).await? {
        let of = (row.try_get("", "kind")?, row.try_get("", "state")?);
        *counts.entry(of).or_default() += row.try_get::<i64>("", "count")?;
    }
    if !counts.is_empty() {
        let counts: Vec<Count> = counts
            .into_iter()
            .map(|((kind, state), n)| Count { node: 0, kind, state, n })
            .collect();
        tx.run(&ADD_COUNTS, [group(&counts)?]).await?;
    }
    tx.commit(()).await
}
