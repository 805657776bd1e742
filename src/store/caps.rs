//! How many jobs of a client may run at once, on all nodes together (docs/decisions/0010).
//!
//! Of a client that is capped no more heads stand in turn than its cap allows; the others are *held*: out of
//! the claim's index, in the order of the turns that they would have had. Whoever takes one out of turn admits
//! the next. So a claim never meets a head that it may not take, and skips nobody's backlog.
//!
//! The row of a capped client in `job_caps` is locked before `job_clients`, by everybody who moves one of its
//! heads but the claim, which moves none in or out of turn.

use super::{
    Store, StoreError,
    sql::Sql,
    tx::{Tx, group, in_group},
};
use crate::domain::{Id, fairness::Turn};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Locks the caps of clients, sorted. By primary key.
pub(super) static LOCK_CAPS: Sql = Sql::new(
    "select c.client_id, c.cap, c.admitted, c.held from job_caps c \
     where c.client_id in (select g.client_id from @rows($1, client_id text) g) order by c.client_id @for_update",
);

/// By primary key.
pub(super) static WRITE_CAPS: Sql = Sql::new(
    "update job_caps set admitted = g.admitted, held = g.held \
     from @rows($1, client_id text, admitted bigint, held bigint) g where job_caps.client_id = g.client_id",
);

/// The held heads of a client that come first. By `job_ready_held`.
pub(super) static READ_HELD_HEADS: Sql = Sql::new(
    "select line from job_ready where client_id = $1 and held is not null order by held limit $2",
);

/// Held heads come into turn, not behind V. By primary key: the `+` keeps SQLite from reading all that is held.
pub(super) static ADMIT_HEADS: Sql = Sql::new(
    "update job_ready set held = null, turn = case \
       when held > coalesce((select max(c.turn) from job_clock c where c.kind = job_ready.kind), 0) then held \
       else coalesce((select max(c.turn) from job_clock c where c.kind = job_ready.kind), 0) end \
     where line @ids($1) and +held is not null",
);

/// Sets the caps of clients, sorted.
pub(super) static PUT_CAPS: Sql = Sql::new(
    "insert into job_caps (client_id, cap, admitted, held) select g.client_id, g.cap, 0, 0 \
     from @rows($1, client_id text, cap bigint) g where true order by g.client_id \
     on conflict (client_id) do update set cap = excluded.cap",
);

/// Takes the caps of all other clients away.
pub(super) static DELETE_CAPS: Sql = Sql::new(
    "delete from job_caps where client_id not in (select g.client_id from @rows($1, client_id text) g)",
);

/// Lets in what is held of clients that have no cap any more. By `job_ready_held`.
pub(super) static ADMIT_UNCAPPED: Sql = Sql::new(
    "update job_ready set held = null, turn = case \
       when held > coalesce((select max(c.turn) from job_clock c where c.kind = job_ready.kind), 0) then held \
       else coalesce((select max(c.turn) from job_clock c where c.kind = job_ready.kind), 0) end \
     where held is not null and client_id not in (select client_id from job_caps)",
);

/// All capped clients.
pub(super) static LOCK_ALL_CAPS: Sql =
    Sql::new("select client_id, cap, admitted, held from job_caps order by client_id @for_update");

/// How many heads of capped clients stand in turn, and how many are held. Reads the small table whole.
pub(super) static COUNT_HEADS: Sql = Sql::new(
    "select client_id, count(turn) as admitted, count(held) as held from job_ready \
     where client_id in (select client_id from job_caps) group by client_id",
);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cap {
    cap: i64,
    admitted: i64,
    held: i64,
    is_changed: bool,
}

/// The caps of the clients of a transaction, locked. A client without one is never held back.
#[derive(Debug, Default)]
pub(super) struct Caps(BTreeMap<String, Cap>);

/// Where a head is, as far as its client's cap goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// In turn, or claimed.
    Admitted,
    /// Out of turn, because others are in it.
    Held,
    /// Out of turn, because it waits for its retry.
    Waiting,
}

impl Caps {
    /// Locks the caps of `clients`. Costs a statement only where this node's configuration caps anybody.
    pub(super) async fn lock<'a>(
        tx: &Tx,
        clients: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, StoreError> {
        #[derive(Serialize)]
        struct Row<'a> {
            client_id: &'a str,
        }
        let clients: BTreeSet<&str> =
            if tx.has_caps() { clients.into_iter().collect() } else { BTreeSet::new() };
        if clients.is_empty() {
            return Ok(Self::default());
        }
        let rows: Vec<Row<'_>> = clients.into_iter().map(|client_id| Row { client_id }).collect();
        Self::of(tx.all(&LOCK_CAPS, [group(&rows)?]).await?)
    }

    fn of(rows: Vec<sea_orm::QueryResult>) -> Result<Self, StoreError> {
        let mut caps = BTreeMap::new();
        for row in rows {
            let cap = Cap {
                cap: row.try_get("", "cap")?,
                admitted: row.try_get("", "admitted")?,
                held: row.try_get("", "held")?,
                is_changed: false,
            };
            caps.insert(row.try_get("", "client_id")?, cap);
        }
        Ok(Self(caps))
    }

    /// A head of `client` comes into line: true if it comes into turn.
    pub(super) fn enters(&mut self, client: &str) -> bool {
        let Some(it) = self.0.get_mut(client) else { return true };
        it.is_changed = true;
        let is_admitted = it.admitted < it.cap;
        if is_admitted {
            it.admitted += 1;
        } else {
            it.held += 1;
        }
        is_admitted
    }

    /// A head of `client` goes out of line, or out of turn.
    pub(super) fn leaves(&mut self, client: &str, from: Admission) {
        let Some(it) = self.0.get_mut(client) else { return };
        it.is_changed = true;
        match from {
            Admission::Admitted => it.admitted = (it.admitted - 1).max(0),
            Admission::Held => it.held = (it.held - 1).max(0),
            Admission::Waiting => {}
        }
    }

    /// Admits what may come into turn now, and writes the caps. The last that a transaction does to heads.
    pub(super) async fn settle(mut self, tx: &Tx) -> Result<(), StoreError> {
        #[derive(Serialize)]
        struct Row<'a> {
            client_id: &'a str,
            admitted: i64,
            held: i64,
        }
        let mut lines: Vec<Id> = Vec::new();
        for (client_id, it) in &mut self.0 {
            let free = (it.cap - it.admitted).min(it.held);
            if free <= 0 {
                continue;
            }
            let values = [client_id.as_str().into(), free.into()];
            let found = tx.all(&READ_HELD_HEADS, values).await?;
            let count = i64::try_from(found.len()).unwrap_or_default();
            for row in found {
                lines.push(row.try_get("", "line")?);
            }
            it.admitted += count;
            // Fewer than were counted: the count had gone astray.
            it.held = if count < free { 0 } else { it.held - count };
            it.is_changed = true;
        }
        if !lines.is_empty() {
            lines.sort_unstable();
            tx.run(&ADMIT_HEADS, [group(&lines)?]).await?;
        }
        let rows: Vec<Row<'_>> = self
            .0
            .iter()
            .filter(|(_, it)| it.is_changed)
            .map(|(client_id, it)| Row { client_id, admitted: it.admitted, held: it.held })
            .collect();
        if !rows.is_empty() {
            tx.run(&WRITE_CAPS, [group(&rows)?]).await?;
        }
        Ok(())
    }
}

/// Sets the caps to those of the configuration and counts anew who stands where; so, too, what a node with
/// another configuration has left uncounted comes right again.
pub(super) async fn set(store: &Store, caps: &BTreeMap<String, u32>) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Row<'a> {
        client_id: &'a str,
        cap: u32,
    }
    in_group(|| async {
        let tx = Tx::begin(store.connections(), "caps").await?;
        let rows: Vec<Row<'_>> =
            caps.iter().map(|(client_id, cap)| Row { client_id, cap: *cap }).collect();
        tx.run(&PUT_CAPS, [group(&rows)?]).await?;
        tx.run(&DELETE_CAPS, [group(&rows)?]).await?;
        let mut all = Caps::of(tx.all(&LOCK_ALL_CAPS, []).await?)?;
        for it in all.0.values_mut() {
            *it = Cap { admitted: 0, held: 0, is_changed: true, ..*it };
        }
        for row in tx.all(&COUNT_HEADS, []).await? {
            let client_id: String = row.try_get("", "client_id")?;
            if let Some(it) = all.0.get_mut(&client_id) {
                it.admitted = row.try_get("", "admitted")?;
                it.held = row.try_get("", "held")?;
            }
        }
        tx.run(&ADMIT_UNCAPPED, []).await?;
        all.settle(&tx).await?;
        tx.commit().await
    })
    .await
}

/// The columns of a head that comes into line with `turn`: in turn, or held.
pub(super) const fn placed(is_admitted: bool, turn: Turn) -> (Option<Turn>, Option<Turn>) {
    if is_admitted { (Some(turn), None) } else { (None, Some(turn)) }
}
