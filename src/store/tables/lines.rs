//! How jobs enter their lines. Shared by whoever enqueues: ingest, the recorder, the due step, a person.
//!
//! An inbound job's line is its lead, every other job is a line of its own (`-job_id`). The head of a
//! line is its row in `job_ready`; who enters, leaves or moves in a lead's line is decided only under
//! the lead's row lock, which the caller holds.

use super::{
    caps::{self, Caps},
    suspects,
    turns::{Turns, TurnsNeeded},
};
use crate::domain::{Id, fairness::Turn, job::NewJob};
use crate::store::engine::{
    StoreError,
    sql::sql,
    tx::{Tx, column, group},
};
use sea_orm::QueryResult;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// A job with the id that was given out for it.
#[derive(Clone, Debug)]
pub(in crate::store) struct Entry {
    pub(in crate::store) id: Id,
    pub(in crate::store) job: NewJob,
}

/// One place in a line: what travels with a job between the tables.
#[derive(Clone, Debug, Serialize)]
pub(in crate::store) struct Place {
    pub(in crate::store) line: Id,
    pub(in crate::store) job_id: Id,
    pub(in crate::store) kind: String,
    pub(in crate::store) client_id: String,
    pub(in crate::store) run: i64,
    pub(in crate::store) spared: i64,
}

impl Place {
    /// From the columns that travel.
    pub(in crate::store) fn from_row(row: &QueryResult) -> Result<Self, StoreError> {
        Ok(Self {
            line: row.try_get("", "line")?,
            job_id: row.try_get("", "job_id")?,
            kind: row.try_get("", "kind")?,
            client_id: row.try_get("", "client_id")?,
            run: i64::from(row.try_get::<i32>("", "run")?),
            spared: i64::from(row.try_get::<i32>("", "spared")?),
        })
    }
}

#[derive(Serialize)]
struct JobRow<'a> {
    id: Id,
    kind: &'static str,
    client_id: &'a str,
    lead_id: Option<Id>,
    subject_id: Id,
    message_id: Option<Id>,
    draft_id: Option<Id>,
    max_attempts: u32,
    in_lead_line: bool,
    delay: i64,
}

sql! {
    /// Appends the facts. No locks but those of the new keys; a key that exists returns no row.
    static PUT_JOBS =
        "insert into jobs (id, kind, client_id, lead_id, subject_id, message_id, draft_id, max_attempts, in_lead_line, \
           run_at, created_at) \
         select g.id, g.kind, g.client_id, g.lead_id, g.subject_id, g.message_id, g.draft_id, g.max_attempts, g.in_lead_line, \
           @in_ms(g.delay), @now \
         from @rows($1, id bigint, kind text, client_id text, lead_id bigint, subject_id bigint, message_id bigint, \
           draft_id bigint, max_attempts integer, in_lead_line boolean, delay bigint) g where true order by g.id \
         on conflict (subject_id, kind) do nothing returning id";

    /// Which lines have a head, and the last position behind it. By primary keys.
    static READ_LINES =
        "select g.line, (select count(*) from job_ready r where r.line = g.line) as heads, \
           coalesce((select max(b.pos) from job_blocked b where b.line = g.line), 0) as last_pos \
         from @rows($1, line bigint) g";

    /// Heads that are ready.
    static PUT_READY =
        "insert into job_ready (line, job_id, kind, client_id, turn, held, run, spared) \
         select g.line, g.job_id, g.kind, g.client_id, g.turn, g.held, g.run, g.spared \
         from @rows($1, line bigint, job_id bigint, kind text, client_id text, turn bigint, held bigint, run integer, \
           spared integer) g where true order by g.turn";

    /// Heads that are suspects: due, and out of turn.
    static PUT_SUSPECTS =
        "insert into job_ready (line, job_id, kind, client_id, run_at, run, spared) \
         select g.line, g.job_id, g.kind, g.client_id, @now, g.run, g.spared \
         from @rows($1, line bigint, job_id bigint, kind text, client_id text, run integer, spared integer) g \
         where true order by g.line";

    /// Jobs behind a head.
    static PUT_BLOCKED =
        "insert into job_blocked (line, pos, job_id, kind, client_id, run, spared) \
         select g.line, g.pos, g.job_id, g.kind, g.client_id, g.run, g.spared \
         from @rows($1, line bigint, pos bigint, job_id bigint, kind text, client_id text, run integer, spared integer) g";

    /// Jobs that are due later.
    static PUT_LATER =
        "insert into job_later (job_id, run_at, line, kind, client_id, run, spared) \
         select g.job_id, @in_ms(g.delay), g.line, g.kind, g.client_id, g.run, g.spared \
         from @rows($1, job_id bigint, delay bigint, line bigint, kind text, client_id text, run integer, spared integer) g";

    /// Takes due jobs out, and returns them. Jobs that another node has taken are missing.
    pub(in crate::store) static TAKE_DUE_LATER =
        "delete from job_later where job_id @ids($1) returning job_id, line, kind, client_id, run, spared";

    /// Counts for the overview, a row a node, kind and state; sorted, and last in every transaction.
    pub(in crate::store) static ADD_COUNTS =
        "insert into job_counts (node, kind, state, count) \
         select g.node, g.kind, g.state, g.n from @rows($1, node bigint, kind text, state text, n bigint) g \
         where true order by g.kind, g.state \
         on conflict (node, kind, state) do update set count = job_counts.count + excluded.count";
}

/// What changes the counts of the overview.
#[derive(Debug, Default)]
pub(in crate::store) struct Counts(BTreeMap<(String, &'static str), i64>);

impl Counts {
    pub(in crate::store) fn add(&mut self, kind: &str, state: &'static str, n: i64) {
        *self.0.entry((kind.to_owned(), state)).or_default() += n;
    }

    /// Adds them to the rows of `node`; the last statement of a transaction.
    pub(in crate::store) async fn write(self, tx: &Tx, node: Id) -> Result<(), StoreError> {
        #[derive(Serialize)]
        struct Row<'a> {
            node: Id,
            kind: &'a str,
            state: &'static str,
            n: i64,
        }
        let rows: Vec<Row<'_>> = self
            .0
            .iter()
            .filter(|(_, n)| **n != 0)
            .map(|((kind, state), n)| Row { node, kind, state, n: *n })
            .collect();
        if !rows.is_empty() {
            tx.run(&ADD_COUNTS, [group(&rows)?]).await?;
        }
        Ok(())
    }
}

/// Appends the facts of `entries`; returns the ids of those that are new.
pub(in crate::store) async fn put_jobs(
    tx: &Tx,
    entries: &[Entry],
) -> Result<HashSet<Id>, StoreError> {
    if entries.is_empty() {
        return Ok(HashSet::new());
    }
    let rows: Vec<JobRow<'_>> = entries
        .iter()
        .map(|Entry { id, job }| JobRow {
            id: *id,
            kind: job.kind.0,
            client_id: &job.client_id,
            lead_id: job.lead_id,
            subject_id: job.subject_id,
            message_id: job.message_id,
            draft_id: job.draft_id,
            max_attempts: job.max_attempts,
            in_lead_line: job.in_lead_line,
            delay: job.delay_ms,
        })
        .collect();
    let mut ids = HashSet::new();
    for row in tx.all(&PUT_JOBS, [group(&rows)?]).await? {
        ids.insert(row.try_get("", "id")?);
    }
    Ok(ids)
}

/// A job that enters, with the milliseconds until it is due.
#[derive(Clone, Debug)]
pub(in crate::store) struct Entering {
    pub(in crate::store) place: Place,
    pub(in crate::store) delay_ms: i64,
    /// A person has retried it: it runs among the others, even if its last attempt was rescued.
    pub(in crate::store) is_by_hand: bool,
}

impl Entry {
    /// Where the job enters.
    pub(in crate::store) fn entering(&self) -> Entering {
        let line = match self.job.lead_id {
            Some(lead_id) if self.job.in_lead_line => lead_id,
            _ => -self.id,
        };
        Entering {
            place: Place {
                line,
                job_id: self.id,
                kind: self.job.kind.0.to_owned(),
                client_id: self.job.client_id.clone(),
                run: 0,
                spared: 0,
            },
            delay_ms: self.job.delay_ms,
            is_by_hand: false,
        }
    }
}

/// Puts jobs into their lines, in the order given: the first of a line that has no head is ready, the
/// others wait behind it, what is due later waits apart. `fresh` names lines that cannot have a head yet.
///
/// Locks `job_caps` by client and `job_clients` by (kind, client). The leads of the lines are locked by the
/// caller.
pub(in crate::store) async fn enter(
    tx: &Tx,
    entering: Vec<Entering>,
    fresh: &HashSet<Id>,
) -> Result<(), StoreError> {
    let placed = place(tx, entering, fresh).await?;
    let (mut caps, turns) = take_for(tx, &placed, std::iter::empty()).await?;
    write(tx, placed, turns, &mut caps).await?;
    caps.settle(tx).await
}

/// Locks the caps of those who become heads, and of clients who lose some, and takes the turns.
pub(in crate::store) async fn take_for<'a>(
    tx: &Tx,
    placed: &'a Placed,
    losing: impl Iterator<Item = &'a str>,
) -> Result<(Caps, Turns), StoreError> {
    let entering = placed.ready.iter().map(|it| it.client_id.as_str());
    let caps = Caps::lock(tx, entering.chain(losing)).await?;
    let mut needed = TurnsNeeded::default();
    for it in &placed.ready {
        needed.add(&it.kind, &it.client_id);
    }
    Ok((caps, needed.take(tx).await?))
}

/// Where entering jobs go.
#[derive(Debug, Default)]
pub(in crate::store) struct Placed {
    pub(in crate::store) ready: Vec<Place>,
    /// Heads whose last attempt was rescued: they get no turn (`suspects.rs`).
    pub(in crate::store) suspects: Vec<Place>,
    pub(in crate::store) blocked: Vec<(i64, Place)>,
    pub(in crate::store) later: Vec<(i64, Place)>,
}

/// Those of `lines` that have a head.
pub(in crate::store) async fn read_lines(
    tx: &Tx,
    lines: &BTreeSet<Id>,
) -> Result<HashSet<Id>, StoreError> {
    let states = read_line_states(tx, lines.iter().copied()).await?;
    Ok(states.into_iter().filter(|(_, (has_head, _))| *has_head).map(|(line, _)| line).collect())
}

/// Of each line: whether it has a head, and the last position behind it.
async fn read_line_states(
    tx: &Tx,
    lines: impl Iterator<Item = Id>,
) -> Result<HashMap<Id, (bool, i64)>, StoreError> {
    let lines: Vec<Id> = lines.collect();
    let mut states = HashMap::new();
    if !lines.is_empty() {
        for row in tx.all(&READ_LINES, [column("line", lines)?]).await? {
            let heads: i64 = row.try_get("", "heads")?;
            states.insert(row.try_get("", "line")?, (heads > 0, row.try_get("", "last_pos")?));
        }
    }
    Ok(states)
}

impl Placed {
    /// Jobs that become heads, those of them that are suspects apart.
    pub(in crate::store) async fn heads(tx: &Tx, heads: Vec<Place>) -> Result<Self, StoreError> {
        let ran: Vec<Id> = heads.iter().filter(|it| it.run > 0).map(|it| it.job_id).collect();
        let found = suspects::among(tx, &ran).await?;
        let (suspects, ready) = heads.into_iter().partition(|it| found.contains(&it.job_id));
        Ok(Self { ready, suspects, ..Self::default() })
    }
}

/// Decides where each job goes. Reads the lines of leads and the history of what has run; locks
/// nothing.
pub(in crate::store) async fn place(
    tx: &Tx,
    entering: Vec<Entering>,
    fresh: &HashSet<Id>,
) -> Result<Placed, StoreError> {
    let asked: HashSet<Id> = entering
        .iter()
        .filter(|it| it.delay_ms <= 0 && it.place.line > 0 && !fresh.contains(&it.place.line))
        .map(|it| it.place.line)
        .collect();
    let mut lines = read_line_states(tx, asked.into_iter()).await?;
    let mut placed = Placed::default();
    let mut heads = Vec::new();
    for it in entering {
        if it.delay_ms > 0 {
            placed.later.push((it.delay_ms, it.place));
            continue;
        }
        let (has_head, last_pos) = lines.entry(it.place.line).or_default();
        if *has_head {
            *last_pos += 1;
            placed.blocked.push((*last_pos, it.place));
        } else {
            *has_head = true;
            match it.is_by_hand {
                true => placed.ready.push(it.place),
                false => heads.push(it.place),
            }
        }
    }
    let heads = Placed::heads(tx, heads).await?;
    placed.ready.extend(heads.ready);
    placed.suspects = heads.suspects;
    Ok(placed)
}

#[derive(Serialize)]
struct Numbered<'a> {
    turn: Option<Turn>,
    held: Option<Turn>,
    pos: i64,
    delay: i64,
    #[serde(flatten)]
    place: &'a Place,
}

/// Writes what [`place`] decided, with turns that were taken for it; gives back the turns that are left.
pub(in crate::store) async fn write(
    tx: &Tx,
    placed: Placed,
    mut turns: Turns,
    caps: &mut Caps,
) -> Result<Turns, StoreError> {
    if !placed.ready.is_empty() {
        let rows: Vec<Numbered<'_>> = placed
            .ready
            .iter()
            .map(|place| {
                let turn = turns.next(&place.kind, &place.client_id);
                let (turn, held) = caps::placed(caps.enters(&place.client_id), turn);
                Numbered { turn, held, pos: 0, delay: 0, place }
            })
            .collect();
        tx.run(&PUT_READY, [group(&rows)?]).await?;
    }
    if !placed.suspects.is_empty() {
        tx.run(&PUT_SUSPECTS, [group(&placed.suspects)?]).await?;
    }
    if !placed.blocked.is_empty() {
        let rows: Vec<Numbered<'_>> = placed
            .blocked
            .iter()
            .map(|(pos, place)| Numbered { turn: None, held: None, pos: *pos, delay: 0, place })
            .collect();
        tx.run(&PUT_BLOCKED, [group(&rows)?]).await?;
    }
    if !placed.later.is_empty() {
        let rows: Vec<Numbered<'_>> = placed
            .later
            .iter()
            .map(|(delay, place)| Numbered { turn: None, held: None, pos: 0, delay: *delay, place })
            .collect();
        tx.run(&PUT_LATER, [group(&rows)?]).await?;
    }
    Ok(turns)
}
