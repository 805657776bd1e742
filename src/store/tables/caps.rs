//! How many jobs of a client may run at once, on all nodes together (docs/decisions/0010).
//!
//! Of a client that is capped no more heads stand in turn than its cap allows; the others are *held*: out of
//! the claim's index, in the order of the turns that they would have had. Whoever takes one out of turn admits
//! the next. So a claim never meets a head that it may not take, and skips nobody's backlog.
//!
//! The row of a capped client in `job_caps` is locked before `job_clients`, by everybody who moves one of its
//! heads but the claim, which moves none in or out of turn.

use super::suspects::is_suspect;
use crate::domain::{Id, fairness::Turn};
use crate::store::engine::{
    Database, StoreError,
    sql::sql,
    tx::{Tx, column, flag, group, read},
};
use sea_orm::Value;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

sql! {
    /// Locks the caps of clients, sorted. By primary key.
    static LOCK_CAPS =
        "select c.client_id, c.cap, c.admitted, c.held from job_caps c \
         where c.client_id in (select g.client_id from @rows($1, client_id text) g) order by c.client_id @for_update";

    /// By primary key.
    static WRITE_CAPS =
        "update job_caps set admitted = g.admitted, held = g.held \
         from @rows($1, client_id text, admitted bigint, held bigint) g where job_caps.client_id = g.client_id";

    /// The held heads of a client that come first. By `job_ready_held`.
    static READ_HELD_HEADS =
        "select line from job_ready where client_id = $1 and held is not null order by held limit $2";

    /// Held heads come into turn, not behind V. By primary key: the `+` keeps SQLite from reading all that is held.
    static ADMIT_HEADS =
        "update job_ready set held = null, turn = case \
           when held > coalesce((select max(c.turn) from job_clock c where c.kind = job_ready.kind), 0) then held \
           else coalesce((select max(c.turn) from job_clock c where c.kind = job_ready.kind), 0) end \
         where line @ids($1) and +held is not null";

    /// All caps, without locks.
    static READ_CAPS = "select client_id, cap, admitted, held from job_caps";

    /// Whether some client is capped.
    static HAS_CAPS =
        "select case when exists (select 1 from job_caps) then 1 else 0 end as has_caps";

    /// Sets the caps of clients, sorted.
    static PUT_CAPS =
        "insert into job_caps (client_id, cap, admitted, held) select g.client_id, g.cap, 0, 0 \
         from @rows($1, client_id text, cap bigint) g where true order by g.client_id \
         on conflict (client_id) do update set cap = excluded.cap";

    /// Takes the caps of all other clients away, but those of clients that no node knows.
    static DELETE_CAPS =
        "delete from job_caps where cap > 0 and client_id not in (select g.client_id from @rows($1, client_id text) g)";

    /// Lets in what is held of clients that have no cap any more. By `job_ready_held`.
    static ADMIT_UNCAPPED =
        "update job_ready set held = null, turn = case \
           when held > coalesce((select max(c.turn) from job_clock c where c.kind = job_ready.kind), 0) then held \
           else coalesce((select max(c.turn) from job_clock c where c.kind = job_ready.kind), 0) end \
         where held is not null and client_id not in (select client_id from job_caps)";

    /// Capped clients whose counts are not what stands in line, or that have something held and room
    /// for it. In one snapshot, in which whoever knows the caps has changed both or neither. Reads the
    /// small table whole, without locks.
    static READ_WRONG_CAPS =
        "select c.client_id from job_caps c left join (select client_id, count(turn) as admitted, count(held) as held \
           from job_ready where client_id in (select client_id from job_caps) group by client_id) h \
           on h.client_id = c.client_id \
         where c.admitted <> coalesce(h.admitted, 0) or c.held <> coalesce(h.held, 0) \
           or (c.admitted < c.cap and c.held > 0) order by c.client_id";

    /// How many heads of these clients stand in turn, and how many are held. Reads the small table
    /// whole.
    static COUNT_HEADS =
        "select client_id, count(turn) as admitted, count(held) as held from job_ready \
         where client_id in (select g.client_id from @rows($1, client_id text) g) group by client_id";

    /// How many suspects of these clients are due: they come before what is held. By `job_ready_retry`.
    static COUNT_DUE_SUSPECTS = concat!(
        "select r.client_id, count(*) as due from job_ready r where r.run_at is not null and r.run_at <= @now \
           and r.client_id in (select g.client_id from @rows($1, client_id text) g) and ",
        is_suspect!(),
        " group by r.client_id"
    );
}

/// Caps that one transaction corrects at the most.
const CORRECTED_MAX: usize = 100;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cap {
    cap: i64,
    admitted: i64,
    held: i64,
    is_changed: bool,
}

/// The caps of the clients of a transaction, locked. A client without one is never held back.
#[derive(Debug, Default)]
pub(in crate::store) struct Caps(BTreeMap<String, Cap>);

/// Where a head is, as far as its client's cap goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Admission {
    /// In turn, or claimed.
    Admitted,
    /// Out of turn, because others are in it.
    Held,
    /// Out of turn, because it waits for its retry.
    Waiting,
}

impl Caps {
    /// Locks the caps of `clients`. Costs a statement only where some client is capped.
    pub(in crate::store) async fn lock<'a>(
        tx: &Tx,
        clients: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, StoreError> {
        match tx.has_caps() {
            true => Self::lock_rows(tx, clients.into_iter().collect()).await,
            false => Ok(Self::default()),
        }
    }

    async fn lock_rows(tx: &Tx, clients: BTreeSet<&str>) -> Result<Self, StoreError> {
        if clients.is_empty() {
            return Ok(Self::default());
        }
        Self::of(tx.all(&LOCK_CAPS, [client_rows(clients)?]).await?)
    }

    /// Locks the caps of `clients` and counts what stands in line, whatever was counted before.
    async fn lock_and_count(tx: &Tx, clients: BTreeSet<&str>) -> Result<Self, StoreError> {
        let mut caps = Self::lock_rows(tx, clients).await?;
        for it in caps.0.values_mut() {
            *it = Cap { admitted: 0, held: 0, is_changed: true, ..*it };
        }
        if caps.0.is_empty() {
            return Ok(caps);
        }
        let rows = client_rows(caps.0.keys().map(String::as_str))?;
        for row in tx.all(&COUNT_HEADS, [rows]).await? {
            let client_id: String = row.try_get("", "client_id")?;
            if let Some(it) = caps.0.get_mut(&client_id) {
                it.admitted = row.try_get("", "admitted")?;
                it.held = row.try_get("", "held")?;
            }
        }
        Ok(caps)
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

    /// True where one more head of `client` may come into turn.
    pub(in crate::store) fn has_room(&self, client: &str) -> bool {
        self.0.get(client).is_none_or(|it| it.admitted < it.cap)
    }

    /// A head of `client` comes into line: true if it comes into turn.
    pub(in crate::store) fn enters(&mut self, client: &str) -> bool {
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
    pub(in crate::store) fn leaves(&mut self, client: &str, from: Admission) {
        let Some(it) = self.0.get_mut(client) else { return };
        it.is_changed = true;
        match from {
            Admission::Admitted => it.admitted = (it.admitted - 1).max(0),
            Admission::Held => it.held = (it.held - 1).max(0),
            Admission::Waiting => {}
        }
    }

    /// A head of `client` that stood in turn is held.
    pub(in crate::store) fn is_held(&mut self, client: &str) {
        let Some(it) = self.0.get_mut(client) else { return };
        it.is_changed = true;
        it.admitted = (it.admitted - 1).max(0);
        it.held += 1;
    }

    /// Lets in what is held of `client`, at most `limit` heads, whatever its cap; true where
    /// nothing is left.
    pub(in crate::store) async fn let_in(
        &mut self,
        tx: &Tx,
        client: &str,
        limit: i64,
    ) -> Result<bool, StoreError> {
        let Some(it) = self.0.get_mut(client).filter(|it| it.cap == 0) else { return Ok(true) };
        let mut lines: Vec<Id> = Vec::new();
        for row in tx.all(&READ_HELD_HEADS, [client.into(), limit.into()]).await? {
            lines.push(row.try_get("", "line")?);
        }
        lines.sort_unstable();
        let count = i64::try_from(lines.len()).unwrap_or(limit);
        let is_over = count < limit;
        *it = Cap {
            admitted: it.admitted + count,
            held: if is_over { 0 } else { (it.held - count).max(1) },
            is_changed: true,
            ..*it
        };
        if !lines.is_empty() {
            tx.run(&ADMIT_HEADS, [group(&lines)?]).await?;
        }
        Ok(is_over)
    }

    /// How many suspects of clients that have something held are due.
    async fn due_suspects(&self, tx: &Tx) -> Result<BTreeMap<String, i64>, StoreError> {
        let refills = self.0.iter().filter(|(_, it)| it.held > 0 && it.admitted < it.cap);
        let clients: Vec<&str> = refills.map(|(client_id, _)| client_id.as_str()).collect();
        let mut due = BTreeMap::new();
        if !clients.is_empty() {
            for row in tx.all(&COUNT_DUE_SUSPECTS, [client_rows(clients)?]).await? {
                due.insert(row.try_get("", "client_id")?, row.try_get("", "due")?);
            }
        }
        Ok(due)
    }

    /// Admits what may come into turn now, and writes the caps. Places that suspects wait for are
    /// kept free: each comes into turn when it is claimed. The last that a transaction does to
    /// heads.
    pub(in crate::store) async fn settle(mut self, tx: &Tx) -> Result<(), StoreError> {
        #[derive(Serialize)]
        struct Row<'a> {
            client_id: &'a str,
            admitted: i64,
            held: i64,
        }
        let mut lines: Vec<Id> = Vec::new();
        let waiting = self.due_suspects(tx).await?;
        for (client_id, it) in &mut self.0 {
            let kept_free = waiting.get(client_id).copied().unwrap_or_default();
            let free = (it.cap - it.admitted - kept_free).min(it.held);
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

/// Clients as a parameter.
pub(in crate::store) fn client_rows<'a>(
    clients: impl IntoIterator<Item = &'a str>,
) -> Result<Value, StoreError> {
    column("client_id", clients)
}

/// Sets the caps to those of the configuration, and corrects the counts that have gone astray.
/// Locks only the caps that change. Says whether some client is capped now.
pub(in crate::store) async fn set(
    db: &Database,
    caps: &BTreeMap<String, u32>,
) -> Result<bool, StoreError> {
    #[derive(Serialize)]
    struct Row<'a> {
        client_id: &'a str,
        cap: u32,
    }
    let has_caps = db.write("caps", async |tx| {
        let before = Caps::of(tx.all(&READ_CAPS, []).await?)?.0;
        let is_changed = |(client_id, cap): &(&String, &u32)| {
            before.get(*client_id).map(|it| it.cap) != Some(i64::from(**cap))
        };
        let changed: Vec<Row<'_>> = caps
            .iter()
            .filter(is_changed)
            .map(|(client_id, cap)| Row { client_id, cap: *cap })
            .collect();
        if !changed.is_empty() {
            tx.run(&PUT_CAPS, [group(&changed)?]).await?;
        }
        tx.run(&DELETE_CAPS, [client_rows(caps.keys().map(String::as_str))?]).await?;
        tx.run(&ADMIT_UNCAPPED, []).await?;
        let clients = changed.iter().map(|it| it.client_id).collect();
        Caps::lock_and_count(&tx, clients).await?.settle(&tx).await?;
        let has_caps = are_there(&tx).await?;
        tx.commit(has_caps).await
    });
    let has_caps = has_caps.await?;
    recount(db).await?;
    Ok(has_caps)
}

/// Caps a client at 0, whatever its cap was, and counts what stands in line.
pub(in crate::store) async fn rest(tx: &Tx, client_id: &str) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Row<'a> {
        client_id: &'a str,
        cap: u32,
    }
    tx.run(&PUT_CAPS, [group(&[Row { client_id, cap: 0 }])?]).await?;
    Caps::lock_and_count(tx, BTreeSet::from([client_id])).await?.settle(tx).await
}

/// The clients that are capped at 0, with how many of their heads are held.
pub(in crate::store) async fn resting(db: &Database) -> Result<BTreeMap<String, i64>, StoreError> {
    let caps = Caps::of(read(db.reader(), &READ_CAPS, []).await?)?.0;
    let resting = caps.into_iter().filter(|(_, it)| it.cap == 0);
    Ok(resting.map(|(client_id, it)| (client_id, it.held)).collect())
}

/// Corrects the caps whose counts are not what stands in line. Looks without locks, and counts
/// again those that differ under theirs. Returns how many clients that were.
pub(in crate::store) async fn recount(db: &Database) -> Result<usize, StoreError> {
    let mut wrong: Vec<String> = Vec::new();
    for row in read(db.scans(), &READ_WRONG_CAPS, []).await? {
        wrong.push(row.try_get("", "client_id")?);
    }
    for clients in wrong.chunks(CORRECTED_MAX) {
        db.write("caps", async |tx| {
            let clients = clients.iter().map(String::as_str).collect();
            Caps::lock_and_count(&tx, clients).await?.settle(&tx).await?;
            tx.commit(()).await
        })
        .await?;
    }
    Ok(wrong.len())
}

/// Whether some client is capped.
pub(in crate::store) async fn are_there(tx: &Tx) -> Result<bool, StoreError> {
    match tx.all(&HAS_CAPS, []).await?.first() {
        Some(row) => flag(row, "has_caps"),
        None => Ok(false),
    }
}

/// The columns of a head that comes into line with `turn`: in turn, or held.
pub(in crate::store) const fn placed(
    is_admitted: bool,
    turn: Turn,
) -> (Option<Turn>, Option<Turn>) {
    if is_admitted { (Some(turn), None) } else { (None, Some(turn)) }
}
