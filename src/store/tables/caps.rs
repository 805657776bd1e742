//! How many jobs of a client may run at once, on all nodes together (docs/decisions/0010).
//!
//! At most *cap* heads of a capped client are in turn. The others are *held*: they are not in the
//! claim's index, and keep the turns that they would have had. A transaction that takes a head out
//! of turn admits the held head with the smallest turn. So a claim never reads a head that it may
//! not take.
//!
//! Every transaction that moves a head of a capped client locks the client's row in `job_caps`
//! first, before `job_clients`. Only the claim does not: it moves no head into or out of turn.

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

    /// Writes the counts of caps that are locked. By primary key.
    static WRITE_CAPS =
        "update job_caps set admitted = g.admitted, held = g.held \
         from @rows($1, client_id text, admitted bigint, held bigint) g where job_caps.client_id = g.client_id";

    /// The held heads of a client with the smallest turns. By `job_ready_held`.
    static READ_HELD_HEADS =
        "select line from job_ready where client_id = $1 and held is not null order by held limit $2";

    /// Admits held heads, with a turn of at least V. Their client's row in `job_caps` is locked, if
    /// there is one. By primary key: the `+` keeps SQLite from reading all held heads.
    static ADMIT_HEADS =
        "update job_ready set held = null, due_at = @now, turn = case \
           when held > coalesce((select max(c.turn) from job_clock c where c.kind = job_ready.kind), 0) then held \
           else coalesce((select max(c.turn) from job_clock c where c.kind = job_ready.kind), 0) end \
         where line @ids($1) and +held is not null";

    /// All caps, without locks. Reads the small table as a whole.
    static READ_CAPS = "select client_id, cap, admitted, held from job_caps";

    /// Whether some client is capped.
    static HAS_CAPS =
        "select case when exists (select 1 from job_caps) then 1 else 0 end as has_caps";

    /// Sets the caps of clients, sorted. By primary key.
    static PUT_CAPS =
        "insert into job_caps (client_id, cap, admitted, held) select g.client_id, g.cap, 0, 0 \
         from @rows($1, client_id text, cap bigint) g where true order by g.client_id \
         on conflict (client_id) do update set cap = excluded.cap";

    /// Deletes the caps of all other clients, except those of unknown clients, whose cap is 0.
    static DELETE_CAPS =
        "delete from job_caps where cap > 0 and client_id not in (select g.client_id from @rows($1, client_id text) g)";

    /// The clients that have held heads and no cap any more. Reads the small table as a whole,
    /// without locks.
    static READ_UNCAPPED_CLIENTS =
        "select distinct client_id from job_ready \
         where held is not null and client_id not in (select client_id from job_caps)";

    /// Capped clients whose counts differ from their heads, or that have held heads and room for
    /// them. It reads counts and heads in one snapshot: a transaction of a node that knows the caps
    /// changes both or neither. Reads the small table as a whole, without locks.
    static READ_WRONG_CAPS =
        "select c.client_id from job_caps c left join (select client_id, count(turn) as admitted, count(held) as held \
           from job_ready where client_id in (select client_id from job_caps) group by client_id) h \
           on h.client_id = c.client_id \
         where c.admitted <> coalesce(h.admitted, 0) or c.held <> coalesce(h.held, 0) \
           or (c.admitted < c.cap and c.held > 0) order by c.client_id";

    /// How many heads of these clients are in turn, and how many are held. Reads the small table as
    /// a whole.
    static COUNT_HEADS =
        "select client_id, count(turn) as admitted, count(held) as held from job_ready \
         where client_id in (select g.client_id from @rows($1, client_id text) g) group by client_id";

    /// How many suspects of these clients are due: they come before held heads. By
    /// `job_ready_retry`.
    static COUNT_DUE_SUSPECTS = concat!(
        "select r.client_id, count(*) as due from job_ready r where r.run_at is not null and r.run_at <= @now \
           and r.client_id in (select g.client_id from @rows($1, client_id text) g) and ",
        is_suspect!(),
        " group by r.client_id"
    );
}

/// The most caps that one transaction corrects.
const CORRECTED_MAX: usize = 100;
/// The most held heads that one transaction admits. After a cap was raised, there may be hundreds
/// of thousands.
const ADMITTED_MAX: i64 = 1_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cap {
    /// How many jobs of the client may run at once; 0 if no node knows the client.
    cap: i64,
    /// How many of its heads are in turn or run.
    admitted: i64,
    /// How many of its heads are held.
    held: i64,
    /// True if the row is to be written.
    is_changed: bool,
}

/// The caps of the clients of a transaction, locked; keyed by client. Heads of a client without a
/// cap are never held.
#[derive(Debug, Default)]
pub(in crate::store) struct Caps(BTreeMap<String, Cap>);

/// How a head counts for its client's cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Admission {
    /// In turn, or claimed.
    Admitted,
    /// Out of turn, because its client is at its cap.
    Held,
    /// Out of turn, because it waits for its retry.
    Waiting,
}

impl Caps {
    /// Locks the caps of `clients`. Needs a statement only if some client is capped.
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

    /// Locks the caps of `clients`, and counts their heads, because the stored counts may be wrong.
    async fn lock_and_count(tx: &Tx, clients: BTreeSet<&str>) -> Result<Self, StoreError> {
        let mut caps = Self::lock_rows(tx, clients).await?;
        for cap in caps.0.values_mut() {
            *cap = Cap { admitted: 0, held: 0, is_changed: true, ..*cap };
        }
        if caps.0.is_empty() {
            return Ok(caps);
        }
        let rows = client_rows(caps.0.keys().map(String::as_str))?;
        for row in tx.all(&COUNT_HEADS, [rows]).await? {
            let client_id: String = row.try_get("", "client_id")?;
            if let Some(cap) = caps.0.get_mut(&client_id) {
                cap.admitted = row.try_get("", "admitted")?;
                cap.held = row.try_get("", "held")?;
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

    /// True if one more head of `client` may come into turn.
    pub(in crate::store) fn has_room(&self, client: &str) -> bool {
        self.0.get(client).is_none_or(|cap| cap.admitted < cap.cap)
    }

    /// How many more heads of `client` may run at once. None may pass one that is held.
    pub(in crate::store) fn client_room(&self, client: &str) -> usize {
        match self.0.get(client) {
            Some(cap) if cap.held > 0 => 0,
            Some(cap) => usize::try_from(cap.cap - cap.admitted).unwrap_or_default(),
            None => usize::MAX,
        }
    }

    /// Counts one more head of `client`. Returns true if it comes into turn, false if it is held.
    pub(in crate::store) fn enters(&mut self, client: &str) -> bool {
        let Some(cap) = self.0.get_mut(client) else { return true };
        cap.is_changed = true;
        let is_admitted = cap.admitted < cap.cap;
        if is_admitted {
            cap.admitted += 1;
        } else {
            cap.held += 1;
        }
        is_admitted
    }

    /// Counts one head of `client` less, which leaves its line or its turn.
    pub(in crate::store) fn leaves(&mut self, client: &str, from: Admission) {
        let Some(cap) = self.0.get_mut(client) else { return };
        cap.is_changed = true;
        match from {
            Admission::Admitted => cap.admitted = (cap.admitted - 1).max(0),
            Admission::Held => cap.held = (cap.held - 1).max(0),
            Admission::Waiting => {}
        }
    }

    /// Counts a head of `client` as held that was in turn.
    pub(in crate::store) fn is_held(&mut self, client: &str) {
        let Some(cap) = self.0.get_mut(client) else { return };
        cap.is_changed = true;
        cap.admitted = (cap.admitted - 1).max(0);
        cap.held += 1;
    }

    /// Admits the held heads of `client` if its cap is 0: at most `limit` of them. Returns true if
    /// none is left.
    pub(in crate::store) async fn admit_held(
        &mut self,
        tx: &Tx,
        client: &str,
        limit: i64,
    ) -> Result<bool, StoreError> {
        let Some(cap) = self.0.get_mut(client).filter(|cap| cap.cap == 0) else { return Ok(true) };
        let count = admit_heads(tx, client, limit).await?;
        let is_over = count < limit;
        *cap = Cap {
            admitted: cap.admitted + count,
            held: if is_over { 0 } else { (cap.held - count).max(1) },
            is_changed: true,
            ..*cap
        };
        Ok(is_over)
    }

    /// By client: how many suspects are due, of the clients that have held heads and room for them.
    async fn due_suspects(&self, tx: &Tx) -> Result<BTreeMap<String, i64>, StoreError> {
        let refills = self.0.iter().filter(|(_, cap)| cap.held > 0 && cap.admitted < cap.cap);
        let clients: Vec<&str> = refills.map(|(client_id, _)| client_id.as_str()).collect();
        let mut due = BTreeMap::new();
        if !clients.is_empty() {
            for row in tx.all(&COUNT_DUE_SUSPECTS, [client_rows(clients)?]).await? {
                due.insert(row.try_get("", "client_id")?, row.try_get("", "due")?);
            }
        }
        Ok(due)
    }

    /// Admits held heads of the clients that have room, at most [`ADMITTED_MAX`], and writes the
    /// caps. Room for suspects that are due is kept free: a suspect is admitted when it is claimed.
    /// A transaction must not change heads afterwards.
    pub(in crate::store) async fn admit_and_write(self, tx: &Tx) -> Result<(), StoreError> {
        self.admit_portion(tx).await.map(drop)
    }

    /// As [`Caps::admit_and_write`]. Returns false if more heads may be admitted.
    async fn admit_portion(mut self, tx: &Tx) -> Result<bool, StoreError> {
        #[derive(Serialize)]
        struct Row<'a> {
            client_id: &'a str,
            admitted: i64,
            held: i64,
        }
        // 1. Admit heads.
        let (mut left, mut is_over) = (ADMITTED_MAX, true);
        let waiting = self.due_suspects(tx).await?;
        for (client_id, cap) in &mut self.0 {
            let kept_free = waiting.get(client_id).copied().unwrap_or_default();
            let free = (cap.cap - cap.admitted - kept_free).min(cap.held);
            let limit = free.min(left);
            is_over &= free <= limit.max(0);
            if limit <= 0 {
                continue;
            }
            let count = admit_heads(tx, client_id, limit).await?;
            left -= count;
            cap.admitted += count;
            // Fewer than were counted: the count was wrong.
            cap.held = if count < limit { 0 } else { cap.held - count };
            cap.is_changed = true;
        }
        // 2. Write the counts.
        let rows: Vec<Row<'_>> = self
            .0
            .iter()
            .filter(|(_, cap)| cap.is_changed)
            .map(|(client_id, cap)| Row { client_id, admitted: cap.admitted, held: cap.held })
            .collect();
        if !rows.is_empty() {
            tx.run(&WRITE_CAPS, [group(&rows)?]).await?;
        }
        Ok(is_over)
    }
}

/// Admits the held heads of a client with the smallest turns, at most `limit`. Returns how many
/// these were.
async fn admit_heads(tx: &Tx, client: &str, limit: i64) -> Result<i64, StoreError> {
    let mut lines: Vec<Id> = Vec::new();
    for row in tx.all(&READ_HELD_HEADS, [client.into(), limit.into()]).await? {
        lines.push(row.try_get("", "line")?);
    }
    lines.sort_unstable();
    if !lines.is_empty() {
        tx.run(&ADMIT_HEADS, [group(&lines)?]).await?;
    }
    Ok(i64::try_from(lines.len()).unwrap_or(limit))
}

/// Clients as the parameter of a statement.
pub(in crate::store) fn client_rows<'a>(
    clients: impl IntoIterator<Item = &'a str>,
) -> Result<Value, StoreError> {
    column("client_id", clients)
}

/// Sets the caps to those of the configuration, which are keyed by client, and corrects wrong
/// counts. Locks only the caps that change. Returns whether some client is capped now.
///
/// The caps are committed first. The heads that they let in follow in portions: if that fails
/// between two portions, the next call or [`recount`] goes on.
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
        // 1. Which caps change.
        let before = Caps::of(tx.all(&READ_CAPS, []).await?)?.0;
        let is_changed = |(client_id, cap): &(&String, &u32)| {
            before.get(*client_id).map(|known| known.cap) != Some(i64::from(**cap))
        };
        let changed: Vec<Row<'_>> = caps
            .iter()
            .filter(is_changed)
            .map(|(client_id, cap)| Row { client_id, cap: *cap })
            .collect();
        // 2. Write them, and delete those that are not configured any more.
        if !changed.is_empty() {
            tx.run(&PUT_CAPS, [group(&changed)?]).await?;
        }
        tx.run(&DELETE_CAPS, [client_rows(caps.keys().map(String::as_str))?]).await?;
        // 3. Count the heads of these clients, and admit the first of those that have room now.
        let clients = changed.iter().map(|row| row.client_id).collect();
        Caps::lock_and_count(&tx, clients).await?.admit_and_write(&tx).await?;
        let has_caps = are_there(&tx).await?;
        tx.commit(has_caps).await
    });
    let has_caps = has_caps.await?;
    recount(db).await?;
    Ok(has_caps)
}

/// Caps a client at 0, whatever its cap was, and counts its heads.
pub(in crate::store) async fn cap_at_zero(tx: &Tx, client_id: &str) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Row<'a> {
        client_id: &'a str,
        cap: u32,
    }
    tx.run(&PUT_CAPS, [group(&[Row { client_id, cap: 0 }])?]).await?;
    Caps::lock_and_count(tx, BTreeSet::from([client_id])).await?.admit_and_write(tx).await
}

/// The clients that are capped at 0, with how many of their heads are held.
pub(in crate::store) async fn capped_at_zero(
    db: &Database,
) -> Result<BTreeMap<String, i64>, StoreError> {
    let caps = Caps::of(read(db.reader(), &READ_CAPS, []).await?)?.0;
    let capped = caps.into_iter().filter(|(_, cap)| cap.cap == 0);
    Ok(capped.map(|(client_id, cap)| (client_id, cap.held)).collect())
}

/// Corrects the caps whose counts differ from their clients' heads, and admits heads that are held
/// although their client has room, or has no cap any more. Finds them without locks, and counts
/// each client again under its lock. Returns how many clients had wrong counts or room.
pub(in crate::store) async fn recount(db: &Database) -> Result<usize, StoreError> {
    // 1. Clients that have no cap any more.
    for row in read(db.scans(), &READ_UNCAPPED_CLIENTS, []).await? {
        admit_uncapped(db, &row.try_get::<String>("", "client_id")?).await?;
    }
    // 2. Clients with a cap.
    let mut wrong: Vec<String> = Vec::new();
    for row in read(db.scans(), &READ_WRONG_CAPS, []).await? {
        wrong.push(row.try_get("", "client_id")?);
    }
    for clients in wrong.chunks(CORRECTED_MAX) {
        let mut is_counted = false;
        loop {
            let is_over = db.write("caps", async |tx| {
                let clients = clients.iter().map(String::as_str).collect();
                let caps = match is_counted {
                    true => Caps::lock_rows(&tx, clients).await?,
                    false => Caps::lock_and_count(&tx, clients).await?,
                };
                let is_over = caps.admit_portion(&tx).await?;
                tx.commit(is_over).await
            });
            if is_over.await? {
                break;
            }
            is_counted = true;
        }
    }
    Ok(wrong.len())
}

/// Admits all held heads of a client that has no cap.
async fn admit_uncapped(db: &Database, client: &str) -> Result<(), StoreError> {
    loop {
        let is_over = db.write("caps", async |tx| {
            if !Caps::lock_rows(&tx, BTreeSet::from([client])).await?.0.is_empty() {
                // It was capped again meanwhile.
                return tx.commit(true).await;
            }
            let count = admit_heads(&tx, client, ADMITTED_MAX).await?;
            tx.commit(count < ADMITTED_MAX).await
        });
        if is_over.await? {
            return Ok(());
        }
    }
}

/// Whether some client is capped.
pub(in crate::store) async fn are_there(tx: &Tx) -> Result<bool, StoreError> {
    match tx.all(&HAS_CAPS, []).await?.first() {
        Some(row) => flag(row, "has_caps"),
        None => Ok(false),
    }
}

/// The columns (`turn`, `held`) of a head that gets `turn`: it is in turn, or held.
pub(in crate::store) const fn placed(
    is_admitted: bool,
    turn: Turn,
) -> (Option<Turn>, Option<Turn>) {
    if is_admitted { (Some(turn), None) } else { (None, Some(turn)) }
}
