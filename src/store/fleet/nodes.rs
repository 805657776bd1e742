//! Nodes. A node is one process, new at every start. It lives while its heartbeats arrive.

use super::notices::NoticeState;
use crate::domain::{Id, Timestamp, whole_millis};
use crate::store::{
    engine::{
        Database, Sql, StoreError,
        connections::Connections,
        ids::{self, SLOT_COUNT, wall_clock},
        sessions::Sessions,
        sql::sql,
        tx::{Tx, flag, group, read, write_alone},
    },
    tables::caps,
};
use std::{collections::HashMap, sync::Arc, time::Duration};

sql! {
    /// The next node id. Locks the counter's row until the commit, so that nodes register one after
    /// the other.
    static NEXT_NODE =
        "insert into counters (name, value) values ('node', 1) \
         on conflict (name) do update set value = counters.value + 1 returning value";

    /// The slots in use, and how long their nodes have been silent.
    static READ_SLOTS =
        "select id, slot, @ms(@now) - @ms(seen_at) as silent_ms from nodes order by seen_at";

    /// Inserts the row of a node.
    static PUT_NODE =
        "insert into nodes (id, slot, role, started_at, seen_at) values ($1, $2, $3, @now, @now)";

    /// Stores what node `$1` says of itself. By primary key.
    static PUT_STATUS = "update nodes set status = $2 where id = $1";

    /// Notes that node `$1` lives. By primary key.
    static TOUCH_NODE = "update nodes set seen_at = @now where id = $1";

    /// Deletes the rows of nodes. By primary key.
    static DELETE_NODES = "delete from nodes where id @ids($1)";

    /// The heartbeat of node `$1`:
    ///
    /// - notes that it lives;
    /// - takes or keeps the lead for `$2` milliseconds, if `$3` allows it and no other node leads.
    ///   A lead that ends long after one taken now was taken before the clock was set back, and
    ///   does not count;
    /// - returns all nodes, and the version of the overrides of pools;
    /// - if `$4` contains kinds and the floors of their claims, returns whether a job of these
    ///   kinds waits in turn, a head of theirs is due, or any later job is. Without floors, it
    ///   would read all index entries of claimed jobs that vacuum has not removed. A suspect of
    ///   another kind, which may be paused here, stays due and is nothing to wake for.
    ///
    /// PostgreSQL only. One statement, so that an idle node costs no more than its heartbeats.
    static BEAT =
        "with beat as (update nodes set seen_at = now() where id = $1 returning id), \
         lead as (insert into leases (name, node, expires_at) \
           select 'chores', $1, now() + $2 * interval '1 millisecond' where $3 \
           on conflict (name) do update set node = excluded.node, expires_at = excluded.expires_at \
             where leases.node = excluded.node or leases.expires_at < now() \
               or leases.expires_at > excluded.expires_at + interval '1 minute' returning node) \
         select n.id, n.role, @ms(n.started_at) as started_at, @ms(n.seen_at) as seen_at, @ms(@now) - @ms(n.seen_at) as silent_ms, \
           exists (select 1 from beat) as is_known, exists (select 1 from lead) as leads, \
           exists (select 1 from job_caps) as has_caps, \
           coalesce((select value from counters where name = 'overrides'), 0) as overrides, case when $4 is not null then \
             exists (select 1 from json_to_recordset($4::json) as k(kind text, floor bigint) cross join lateral ( \
               select 1 from job_ready r where r.kind = k.kind and r.turn >= k.floor and r.turn is not null and r.node is null \
               order by r.turn limit 1) x) \
             or exists (select 1 from job_ready r where r.run_at <= now() \
               and r.kind in (select k.kind from json_to_recordset($4::json) as k(kind text))) \
             or exists (select 1 from job_later where run_at <= now()) \
           else false end as has_jobs \
         from nodes n order by n.id";

    /// All nodes, with what they say of themselves, and whether each has the lead.
    static READ_NODES =
        "select id, role, @ms(started_at) as started_at, @ms(seen_at) as seen_at, \
           @ms(@now) - @ms(seen_at) as silent_ms, status, \
           case when exists (select 1 from leases l where l.name = 'chores' and l.node = nodes.id and l.expires_at > @now) \
             then 1 else 0 end as leads \
         from nodes order by id";

    /// The greatest ids ever stored, by primary keys, and the database's clock.
    static READ_ID_FLOOR =
        "select @ms(@now) as now_ms, coalesce((select max(id) from jobs), 0) as jobs, \
           coalesce((select max(id) from messages), 0) as messages, coalesce((select max(id) from leads), 0) as leads, \
           coalesce((select max(id) from quarantine), 0) as quarantine, coalesce((select max(id) from drafts), 0) as drafts, \
           coalesce((select max(id) from campaigns), 0) as campaigns, \
           coalesce((select max(id) from deliveries), 0) as deliveries, \
           coalesce((select max(id) from operations), 0) as operations, coalesce((select max(id) from audit), 0) as audit, \
           coalesce((select max(id) from model_calls), 0) as model_calls, coalesce((select max(id) from opt_outs), 0) as opt_outs, \
           coalesce((select max(id) from labelled_examples), 0) as labelled_examples, \
           coalesce((select max(id) from sessions), 0) as sessions";
}

/// The tables whose ids are assigned by nodes. The names are columns of [`READ_ID_FLOOR`].
const TABLES_WITH_IDS: [&str; 13] = [
    "jobs",
    "messages",
    "leads",
    "quarantine",
    "drafts",
    "campaigns",
    "deliveries",
    "operations",
    "audit",
    "model_calls",
    "opt_outs",
    "labelled_examples",
    "sessions",
];

/// How long a silent node keeps its row, and with it its slot. A process that was suspended and
/// continues must not assign ids of a slot that another node has got meanwhile.
pub(in crate::store) const SLOT_KEPT: Duration = Duration::from_secs(3_600);

/// A node as others see it.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its id: one process, new at every start.
    pub id: Id,
    /// What it does: `all`, `ingest` or `worker`.
    pub role: String,
    /// When it started, by the database's clock.
    pub started_at: Timestamp,
    /// Its last heartbeat, by the database's clock.
    pub seen_at: Timestamp,
    /// How far `seen_at` is from now, by the database's clock, in either direction: it is in the
    /// future if the clock was set back since. A live node sends its next heartbeat soon.
    pub silent: Duration,
    /// What it says of itself, as a JSON object. `None` until it has said it, and in the report of
    /// a heartbeat.
    pub status: Option<String>,
    /// True if it does the chores that only one node does. False in the report of a heartbeat,
    /// which tells of the node's own lead only.
    pub leads: bool,
}

impl Node {
    fn from_row(row: &sea_orm::QueryResult) -> Result<Self, StoreError> {
        let silent_ms: i64 = row.try_get("", "silent_ms")?;
        Ok(Self {
            id: row.try_get("", "id")?,
            role: row.try_get("", "role")?,
            started_at: Timestamp::from_millis(row.try_get("", "started_at")?),
            seen_at: Timestamp::from_millis(row.try_get("", "seen_at")?),
            silent: Duration::from_millis(silent_ms.unsigned_abs()),
            status: None,
            leads: false,
        })
    }
}

/// What a node is given when it registers.
pub(in crate::store) struct Registration {
    /// Its id.
    pub(in crate::store) node: Id,
    /// The slot of the ids that it assigns.
    pub(in crate::store) slot: i64,
    /// The greatest id ever stored: its ids are greater.
    pub(in crate::store) floor: Id,
    /// True if some client is capped.
    pub(in crate::store) has_caps: bool,
}

/// Registers this process as a node. On SQLite all other nodes are dead: the caller holds the lock
/// of the file.
///
/// # Errors
/// [`StoreError::Broken`] if all slots are in use; others if the database is unreachable.
pub(in crate::store) async fn register(
    connections: &Connections,
    role: &str,
) -> Result<Registration, StoreError> {
    let register = async |tx: Tx| {
        // The id, and the slots in use: node, slot, milliseconds of silence.
        let node: Id = one(&tx, &NEXT_NODE, "value").await?;
        let mut taken: Vec<(Id, i64, i64)> = Vec::new();
        for row in tx.all(&READ_SLOTS, []).await? {
            let slot: i32 = row.try_get("", "slot")?;
            taken.push((row.try_get("", "id")?, i64::from(slot), row.try_get("", "silent_ms")?));
        }
        // Which nodes are gone. On PostgreSQL the leader deletes their rows, because it has watched
        // them. One comparison with the database's clock, which may have jumped, is not enough to
        // delete a live node's row, except if no slot is free.
        let mut gone: Vec<Id> = match tx.is_sqlite() {
            true => taken.drain(..).map(|(node, ..)| node).collect(),
            false => Vec::new(),
        };
        let kept_ms = whole_millis(SLOT_KEPT);
        let free = (0..SLOT_COUNT).find(|slot| taken.iter().all(|(_, other, _)| other != slot));
        let longest_silent = taken.iter().find(|(.., silent_ms)| *silent_ms > kept_ms);
        let slot = match (free, longest_silent) {
            (Some(slot), _) => slot,
            (None, Some((id, slot, _))) => {
                gone.push(*id);
                *slot
            }
            (None, None) => {
                return Err(StoreError::Broken(format!("more than {SLOT_COUNT} nodes")));
            }
        };
        // Write the changes, and read what the node needs to know.
        if !gone.is_empty() {
            tx.run(&DELETE_NODES, [group(&gone)?]).await?;
        }
        let slot_value = i32::try_from(slot).unwrap_or_default();
        tx.run(&PUT_NODE, [node.into(), slot_value.into(), role.into()]).await?;
        let floor = id_floor(&tx).await?;
        let has_caps = caps::are_there(&tx).await?;
        tx.commit(Registration { node, slot, floor, has_caps }).await
    };
    connections.write("register", register).await
}

/// The greatest id ever stored. Warns if its time is far ahead of the clock: a clock was wrong
/// once, and all later ids continue from there.
async fn id_floor(tx: &Tx) -> Result<Id, StoreError> {
    let mut floor = 0;
    for row in tx.all(&READ_ID_FLOOR, []).await? {
        let now = Timestamp::from_millis(row.try_get("", "now_ms")?);
        for table in TABLES_WITH_IDS {
            let greatest: Id = row.try_get("", table)?;
            floor = floor.max(greatest);
            if let Some(ahead) = ids::ahead_of(greatest, now) {
                tracing::warn!(
                    table,
                    id = greatest,
                    given_out_at = %ids::given_out_at(greatest),
                    ?ahead,
                    "ids are ahead of the database's clock: a clock was wrong when they were given out, and \
                     new ids go on from there; nothing of that table is pruned until the clock has caught up"
                );
            }
        }
    }
    Ok(floor)
}

/// Deletes this node's row, because it has finished all its work.
pub(in crate::store) async fn leave(connections: &Connections, node: Id) -> Result<(), StoreError> {
    connections
        .write("leave", async |tx| {
            tx.run(&DELETE_NODES, [group(&[node])?]).await?;
            tx.commit(()).await
        })
        .await
}

/// The first row's `column`.
async fn one(tx: &Tx, sql: &Sql, column: &str) -> Result<Id, StoreError> {
    match tx.all(sql, []).await?.first() {
        Some(row) => Ok(row.try_get("", column)?),
        None => Err(StoreError::Broken("the counter of nodes gave no value".to_owned())),
    }
}

/// Checks that the database answers.
///
/// # Errors
/// If it does not.
pub(in crate::store) async fn is_there(connections: &Connections) -> Result<(), StoreError> {
    read(&connections.reader, &READ_NODES, []).await.map(|_| ())
}

/// Writes to the node's own row. Shows whether the database takes writes.
pub(in crate::store) async fn stay(connections: &Connections, node: Id) -> Result<(), StoreError> {
    connections
        .write("stay", async |tx| {
            tx.run(&TOUCH_NODE, [node.into()]).await?;
            tx.commit(()).await
        })
        .await
}

/// Handle for heartbeats, and for reading which nodes there are.
#[derive(Clone, Debug)]
pub struct Nodes {
    pub(in crate::store) db: Database,
    /// What heartbeats tell of other nodes.
    pub(in crate::store) notices: Arc<NoticeState>,
}

impl Nodes {
    /// All nodes with a row.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn list(&self) -> Result<Vec<Node>, StoreError> {
        self.db.call(|db| async move { read_all(&db, db.reader()).await }).await
    }

    /// Stores what this node says of itself: a JSON object.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn say(&self, status: String) -> Result<(), StoreError> {
        self.db
            .call(|db| async move {
                let values = [db.node().into(), status.into()];
                write_alone(&db.connections().writer, &PUT_STATUS, values).await.map(|_| ())
            })
            .await
    }
}

/// All nodes with a row. On SQLite this node is seen now, and leads: the lock of the file takes the
/// place of heartbeats and of the lead, so its row does not tell that it lives.
pub(in crate::store) async fn read_all(
    db: &Database,
    sessions: &Sessions,
) -> Result<Vec<Node>, StoreError> {
    let rows = read(sessions, &READ_NODES, []).await?;
    let with_status = |row: &sea_orm::QueryResult| {
        let node = Node {
            status: row.try_get("", "status")?,
            leads: flag(row, "leads")?,
            ..Node::from_row(row)?
        };
        let is_seen_now = db.is_sqlite() && node.id == db.node();
        Ok(match is_seen_now {
            true => Node { seen_at: wall_clock(), silent: Duration::ZERO, leads: true, ..node },
            false => node,
        })
    };
    rows.iter().map(with_status).collect()
}

/// Finds dead nodes.
///
/// A node is dead if it was silent for longer than the lease by the database's clock *and* its
/// heartbeat did not change for one lease of the observer's own monotonic clock. So a jump of the
/// database's clock declares no node dead. Time in which the observer could not reach the database
/// does not count, because no node could send a heartbeat either. Nor does time in which its writes
/// found the disk full, because heartbeats of others may have found it full. If the observer's
/// checks are rare, because the database is slow, the time before each counts for at most half a
/// lease.
#[derive(Debug, Default)]
pub(in crate::store) struct NodeWatch {
    /// Keyed by node: its last heartbeat, and how long the observer has watched it without another.
    last_moved: HashMap<Id, (Timestamp, Duration)>,
    /// When the last check was made, by the observer's clock.
    checked_at: Duration,
}

impl NodeWatch {
    /// Notes that the observer could not reach the database, or that the database had no room:
    /// other nodes may have been unable to send heartbeats. The watch begins again.
    pub(in crate::store) fn was_blind(&mut self) {
        self.last_moved.clear();
    }

    /// The dead among `nodes`, which a heartbeat has read at `now`, the time since any fixed
    /// instant of the observer's monotonic clock.
    pub(in crate::store) fn dead(
        &mut self,
        nodes: &[Node],
        lease: Duration,
        now: Duration,
    ) -> Vec<Id> {
        let watched = now.saturating_sub(self.checked_at).min(lease / 2);
        self.checked_at = now;
        self.last_moved.retain(|id, _| nodes.iter().any(|node| node.id == *id));
        let mut dead = Vec::new();
        for node in nodes {
            let (seen_at, silent) = match self.last_moved.get(&node.id) {
                Some((seen_at, silent)) if *seen_at == node.seen_at => {
                    (*seen_at, *silent + watched)
                }
                Some(_) | None => (node.seen_at, Duration::ZERO),
            };
            self.last_moved.insert(node.id, (seen_at, silent));
            if node.silent > lease && silent >= lease {
                dead.push(node.id);
            }
        }
        dead
    }
}

/// The result of a heartbeat.
#[derive(Clone, Debug, Default)]
pub struct HeartbeatReport {
    /// All nodes with a row.
    pub nodes: Vec<Node>,
    /// The dead nodes, as this node's watch has found.
    pub dead: Vec<Id>,
    /// True if this node leads: it does the chores that only one node does.
    pub leads: bool,
    /// False if this node's row is gone: it was silent until another node deleted it.
    pub is_known: bool,
    /// True if the heartbeat looked for jobs, and some job waits in turn or is due.
    pub has_jobs: bool,
    /// True if some client is capped, by the configuration of any node.
    pub has_caps: bool,
    /// The version of the overrides of pools.
    pub overrides: i64,
}

impl HeartbeatReport {
    /// Whether any node other than `own` lives and works jobs.
    pub(in crate::store) fn has_working_peers(&self, own: Id, lease: Duration) -> bool {
        let is_peer = |node: &Node| node.id != own && node.role != "ingest" && node.silent <= lease;
        self.nodes.iter().any(is_peer)
    }
}

/// Sends one heartbeat of `node`. If `may_lead`, it takes or keeps the lead for `lease`.
/// `looks_for_jobs` is the JSON of [`BEAT`]'s `$4`.
pub(in crate::store) async fn beat_once(
    connections: &Connections,
    node: Id,
    lease: Duration,
    may_lead: bool,
    looks_for_jobs: Option<&str>,
) -> Result<HeartbeatReport, StoreError> {
    let lease_ms = whole_millis(lease);
    let values = [node.into(), lease_ms.into(), may_lead.into(), looks_for_jobs.into()];
    let mut beat = HeartbeatReport::default();
    for row in write_alone(&connections.writer, &BEAT, values).await? {
        beat.nodes.push(Node::from_row(&row)?);
        beat.leads = row.try_get("", "leads")?;
        beat.is_known = row.try_get("", "is_known")?;
        beat.has_jobs = row.try_get("", "has_jobs")?;
        beat.has_caps = row.try_get("", "has_caps")?;
        beat.overrides = row.try_get("", "overrides")?;
    }
    Ok(beat)
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
            status: None,
            leads: false,
        }
    }

    /// Checks the same silent node each second from `first` to `last`. Returns the first second at
    /// which it is dead.
    fn watch(node_watch: &mut NodeWatch, first: u64, last: u64) -> Option<u64> {
        let mut seconds = first..=last;
        seconds.find(|second| {
            let silent = [node(1_000, 4_000 + second * 1_000)];
            !node_watch.dead(&silent, LEASE, Duration::from_secs(*second)).is_empty()
        })
    }

    #[test]
    fn a_silent_node_is_dead_after_a_lease_on_both_clocks() {
        let mut node_watch = NodeWatch::default();
        assert_eq!(watch(&mut node_watch, 10, 30), Some(15));
        assert!(node_watch.dead(&[node(2_000, 0)], LEASE, Duration::from_secs(16)).is_empty());
        assert_eq!(
            watch(&mut node_watch, 17, 40),
            Some(22),
            "its first check since counts as a heartbeat"
        );
    }

    /// After an outage all nodes are silent, and the first one back must not declare the others
    /// dead.
    #[test]
    fn time_without_the_database_is_not_silence() {
        let mut node_watch = NodeWatch::default();
        assert_eq!(watch(&mut node_watch, 10, 12), None);
        node_watch.was_blind();
        assert_eq!(watch(&mut node_watch, 60, 64), None);
        assert_eq!(watch(&mut node_watch, 65, 65), Some(65));
    }

    /// A process that was suspended has checked nothing meanwhile.
    #[test]
    fn a_long_pause_counts_for_half_a_lease() {
        let mut node_watch = NodeWatch::default();
        assert_eq!(watch(&mut node_watch, 10, 12), None);
        assert_eq!(watch(&mut node_watch, 60, 60), None);
        assert!(node_watch.dead(&[node(60_000, 0)], LEASE, Duration::from_secs(61)).is_empty());
    }

    /// A slow database answers each heartbeat late. Dead nodes are found all the same.
    #[test]
    fn deaths_are_found_however_rare_heartbeats_are() {
        for gap in [2_u64, 3, 4, 10, 60] {
            let mut node_watch = NodeWatch::default();
            let dead = (1..10_u64).find(|check| {
                let at = Duration::from_secs(check * gap);
                !node_watch.dead(&[node(1_000, 3_600_000)], LEASE, at).is_empty()
            });
            let checks = if gap == 2 { 4 } else { 3 };
            assert_eq!(dead, Some(checks), "checks {gap} s apart");
        }
    }

    #[test]
    fn a_jump_of_the_databases_clock_declares_no_node_dead() {
        let mut node_watch = NodeWatch::default();
        for second in 0..60 {
            let seen = i64::try_from(second).unwrap() * 1_000;
            let dead =
                node_watch.dead(&[node(seen, 3_600_000)], LEASE, Duration::from_secs(second));
            assert!(dead.is_empty(), "after {second} s");
        }
    }
}
