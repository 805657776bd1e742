//! Nodes: one process each, new at every start, alive while its heartbeat moves.

use super::{
    Store, StoreError,
    connect::Connections,
    ids::SLOT_COUNT,
    sql::Sql,
    tx::{Tx, group, in_group, read},
};
use crate::domain::{Id, Timestamp};
use std::{collections::HashMap, time::Duration};

/// The next node id. Locks the counter's row until the commit, so that starts are one after the other.
pub(super) static NEXT_NODE: Sql = Sql::new(
    "insert into counters (name, value) values ('node', 1) \
     on conflict (name) do update set value = counters.value + 1 returning value",
);

/// Slots that are taken, with how long their node has been silent.
pub(super) static READ_SLOTS: Sql =
    Sql::new("select id, slot, @ms(@now) - @ms(seen_at) as silent_ms from nodes order by seen_at");

/// Makes the row of a node.
pub(super) static PUT_NODE: Sql = Sql::new(
    "insert into nodes (id, slot, role, started_at, seen_at) values ($1, $2, $3, @now, @now)",
);

/// Takes the rows of nodes away.
pub(super) static DELETE_NODES: Sql = Sql::new("delete from nodes where id @ids($1)");

/// The heartbeat. No row: the node was taken for dead long ago and must not go on.
pub(super) static BEAT: Sql = Sql::new("update nodes set seen_at = @now where id = $1");

/// All nodes, for judging who is silent and for the overview.
pub(super) static READ_NODES: Sql = Sql::new(
    "select id, role, @ms(started_at) as started_at, @ms(seen_at) as seen_at, \
       @ms(@now) - @ms(seen_at) as silent_ms from nodes order by id",
);

/// The greatest ids ever stored, by primary keys.
pub(super) static READ_ID_FLOOR: Sql = Sql::new(
    "select coalesce((select max(id) from jobs), 0) as jobs, coalesce((select max(id) from messages), 0) as messages, \
       coalesce((select max(id) from leads), 0) as leads, coalesce((select max(id) from quarantine), 0) as quarantine",
);

/// How long a node of which nothing was heard keeps its slot. A process that was stopped and goes on must
/// not give out ids of a slot that another has got meanwhile.
const SLOT_KEPT: Duration = Duration::from_secs(3_600);

/// A node as others see it.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its id: one process, new at every start.
    pub id: Id,
    /// What it does: `all`, `ingest` or `worker`.
    pub role: String,
    /// When it started.
    pub started_at: Timestamp,
    /// Its last heartbeat, by the database's clock.
    pub seen_at: Timestamp,
    /// How long ago that was, by the database's clock.
    pub silent: Duration,
}

/// What a node is given when it registers.
pub(super) struct Registered {
    pub(super) node: Id,
    pub(super) slot: i64,
    pub(super) floor: Id,
}

/// Registers this process. On SQLite all others are dead: the caller holds the lock of the file.
pub(super) async fn register(
    connections: &Connections,
    role: &str,
) -> Result<Registered, StoreError> {
    in_group(|| async {
        let tx = Tx::begin(connections).await?;
        let node: Id = one(&tx, &NEXT_NODE, "value").await?;
        let mut taken: Vec<(Id, i64, i64)> = Vec::new();
        for row in tx.all(&READ_SLOTS, []).await? {
            let slot: i32 = row.try_get("", "slot")?;
            taken.push((row.try_get("", "id")?, i64::from(slot), row.try_get("", "silent_ms")?));
        }
        let kept_ms = i64::try_from(SLOT_KEPT.as_millis()).unwrap_or(i64::MAX);
        let (gone, kept): (Vec<_>, Vec<_>) =
            taken.into_iter().partition(|it| tx.is_sqlite() || it.2 > kept_ms);
        let gone: Vec<Id> = gone.into_iter().map(|it| it.0).collect();
        if !gone.is_empty() {
            tx.run(&DELETE_NODES, [group(&gone)?]).await?;
        }
        let slot = (0..SLOT_COUNT)
            .find(|slot| kept.iter().all(|it| it.1 != *slot))
            .ok_or_else(|| StoreError::Broken(format!("more than {SLOT_COUNT} nodes")))?;
        let slot_value = i32::try_from(slot).unwrap_or_default();
        tx.run(&PUT_NODE, [node.into(), slot_value.into(), role.into()]).await?;
        let mut floor = 0;
        for row in tx.all(&READ_ID_FLOOR, []).await? {
            for column in ["jobs", "messages", "leads", "quarantine"] {
                floor = floor.max(row.try_get::<Id>("", column)?);
            }
        }
        tx.commit().await?;
        Ok(Registered { node, slot, floor })
    })
    .await
}

async fn one(tx: &Tx, sql: &Sql, column: &str) -> Result<Id, StoreError> {
    match tx.all(sql, []).await?.first() {
        Some(row) => Ok(row.try_get("", column)?),
        None => Err(StoreError::Broken("the counter of nodes gave no value".to_owned())),
    }
}

/// Handle for heartbeats and for judging other nodes.
#[derive(Clone, Debug)]
pub struct Nodes(pub(super) Store);

impl Nodes {
    /// All nodes with a row.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn list(&self) -> Result<Vec<Node>, StoreError> {
        let store = self.0.clone();
        self.0
            .spawn(async move {
                let mut nodes = Vec::new();
                for row in read(&store.connections().reader, &READ_NODES, []).await? {
                    let silent_ms: i64 = row.try_get("", "silent_ms")?;
                    nodes.push(Node {
                        id: row.try_get("", "id")?,
                        role: row.try_get("", "role")?,
                        started_at: Timestamp::from_millis(row.try_get("", "started_at")?),
                        seen_at: Timestamp::from_millis(row.try_get("", "seen_at")?),
                        silent: Duration::from_millis(u64::try_from(silent_ms).unwrap_or_default()),
                    });
                }
                Ok(nodes)
            })
            .await
    }
}

/// Which nodes are dead.
///
/// Those that are silent for longer than the lease by the database's clock *and* were not seen to move for
/// one lease of the observer's own monotonic clock, so that a jump of the database's clock kills nobody.
#[derive(Debug, Default)]
pub struct Silence {
    last_moved: HashMap<Id, (Timestamp, Duration)>,
}

impl Silence {
    /// The dead among `nodes`, as seen at `now` (any monotonic reading). Call it about once a heartbeat.
    pub fn dead(&mut self, nodes: &[Node], lease: Duration, now: Duration) -> Vec<Id> {
        self.last_moved.retain(|id, _| nodes.iter().any(|it| it.id == *id));
        let mut dead = Vec::new();
        for node in nodes {
            let (seen_at, since) = self.last_moved.entry(node.id).or_insert((node.seen_at, now));
            if *seen_at != node.seen_at {
                (*seen_at, *since) = (node.seen_at, now);
            }
            if node.silent > lease && now.saturating_sub(*since) >= lease {
                dead.push(node.id);
            }
        }
        dead
    }
}

/// Sends heartbeats from a thread and a connection of its own, until `stop` says so: neither a busy
/// handler nor a flood of webhooks can make a live node look dead. Calls `on_beat` with whether it went
/// through, and `on_lost` when the node's row is gone.
pub(super) async fn beat_once(connections: &Connections, node: Id) -> Result<bool, StoreError> {
    use sea_orm::{ConnectionTrait, Statement};
    let backend = connections.backend;
    let statement = Statement::from_sql_and_values(backend, BEAT.text(backend), [node.into()]);
    Ok(connections.writer.execute_raw(statement).await?.rows_affected() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(5);

    fn node(seen_at_ms: i64, silent_ms: u64) -> Node {
        Node {
            id: 7,
            role: "all".to_owned(),
            started_at: Timestamp::from_millis(0),
            seen_at: Timestamp::from_millis(seen_at_ms),
            silent: Duration::from_millis(silent_ms),
        }
    }

    #[test]
    fn a_silent_node_is_dead_after_a_lease_on_both_clocks() {
        let mut silence = Silence::default();
        assert!(silence.dead(&[node(1_000, 4_000)], LEASE, Duration::from_secs(0)).is_empty());
        assert!(silence.dead(&[node(1_000, 8_000)], LEASE, Duration::from_secs(4)).is_empty());
        assert_eq!(silence.dead(&[node(1_000, 9_000)], LEASE, Duration::from_secs(5)), [7]);
    }

    #[test]
    fn a_jump_of_the_databases_clock_kills_nobody() {
        let mut silence = Silence::default();
        for second in 0..60 {
            let seen = i64::try_from(second).unwrap() * 1_000;
            let dead = silence.dead(&[node(seen, 3_600_000)], LEASE, Duration::from_secs(second));
            assert!(dead.is_empty(), "after {second} s");
        }
    }
}
