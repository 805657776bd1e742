//! How jobs enter their lines. Used by everything that enqueues: ingest, the recorder, the step
//! that makes jobs due, and a person's retry.
//!
//! The line of an inbound job is its lead's id. Every other job has a line of its own, `-job_id`.
//! The head of a line is its row in `job_ready`. A job enters, leaves or moves within a lead's line
//! only under the lead's row lock, which the caller holds.

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

/// A job to enqueue, with the id that was given out for it.
#[derive(Clone, Debug)]
pub(in crate::store) struct Entry {
    pub(in crate::store) id: Id,
    pub(in crate::store) job: NewJob,
}

/// The columns that move with a job between `job_ready`, `job_blocked` and `job_later`.
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
    /// Reads the columns of the same names.
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

#[serde_with::skip_serializing_none]
#[derive(Serialize)]
struct NewJobRow<'a> {
    id: Id,
    kind: &'static str,
    client_id: &'a str,
    lead_id: Option<Id>,
    subject_id: Id,
    message_id: Option<Id>,
    draft_id: Option<Id>,
    max_attempts: u32,
    in_lead_line: bool,
    channel: Option<&'a str>,
    delay: i64,
    trace: Option<String>,
}

sql! {
    /// Appends the facts of jobs. No locks except those of the new keys (subject, kind). A key that
    /// exists returns no row.
    static PUT_JOBS =
        "insert into jobs (id, kind, client_id, lead_id, subject_id, message_id, draft_id, max_attempts, in_lead_line, \
           channel, trace, run_at, created_at) \
         select g.id, g.kind, g.client_id, g.lead_id, g.subject_id, g.message_id, g.draft_id, g.max_attempts, g.in_lead_line, \
           g.channel, g.trace, @in_ms(g.delay), @now \
         from @rows($1, id bigint, kind text, client_id text, lead_id bigint, subject_id bigint, message_id bigint, \
           draft_id bigint, max_attempts integer, in_lead_line boolean, channel text, delay bigint, trace text) g where true order by g.id \
         on conflict (subject_id, kind) do nothing returning id";

    /// By line: whether it has a head, and the last position behind it. By primary keys.
    static READ_LINES =
        "select g.line, (select count(*) from job_ready r where r.line = g.line) as heads, \
           coalesce((select max(b.pos) from job_blocked b where b.line = g.line), 0) as last_pos \
         from @rows($1, line bigint) g";

    /// Appends heads, in turn or held. The leads of their lines are locked.
    static PUT_READY =
        "insert into job_ready (line, job_id, kind, client_id, turn, held, run, spared, due_at) \
         select g.line, g.job_id, g.kind, g.client_id, g.turn, g.held, g.run, g.spared, @now \
         from @rows($1, line bigint, job_id bigint, kind text, client_id text, turn bigint, held bigint, run integer, \
           spared integer) g where true order by g.turn";

    /// Appends heads that are suspects: due, and out of turn. The leads of their lines are locked.
    static PUT_SUSPECTS =
        "insert into job_ready (line, job_id, kind, client_id, run_at, run, spared) \
         select g.line, g.job_id, g.kind, g.client_id, @now, g.run, g.spared \
         from @rows($1, line bigint, job_id bigint, kind text, client_id text, run integer, spared integer) g \
         where true order by g.line";

    /// Appends followers behind the heads of lines. The leads of their lines are locked.
    static PUT_BLOCKED =
        "insert into job_blocked (line, pos, job_id, kind, client_id, run, spared) \
         select g.line, g.pos, g.job_id, g.kind, g.client_id, g.run, g.spared \
         from @rows($1, line bigint, pos bigint, job_id bigint, kind text, client_id text, run integer, spared integer) g";

    /// Appends jobs that are due later. No locks except those of the new keys.
    static PUT_LATER =
        "insert into job_later (job_id, run_at, line, kind, client_id, run, spared) \
         select g.job_id, @in_ms(g.delay), g.line, g.kind, g.client_id, g.run, g.spared \
         from @rows($1, job_id bigint, delay bigint, line bigint, kind text, client_id text, run integer, spared integer) g";

    /// Takes due jobs out of `job_later`, and returns them. Jobs that another node has taken are
    /// missing. By primary key.
    pub(in crate::store) static TAKE_DUE_LATER =
        "delete from job_later where job_id @ids($1) returning job_id, line, kind, client_id, run, spared";

    /// Adds to the counts of the overview: a row for each node, kind and state. Sorted. It is the
    /// last statement of a transaction, because all transactions of the node need these rows. By
    /// primary key.
    pub(in crate::store) static ADD_COUNTS =
        "insert into job_counts (node, kind, state, count) \
         select g.node, g.kind, g.state, g.n from @rows($1, node bigint, kind text, state text, n bigint) g \
         where true order by g.kind, g.state \
         on conflict (node, kind, state) do update set count = job_counts.count + excluded.count";
}

/// Changes of the overview's counts. By (kind, state): the number to add, which may be negative.
#[derive(Debug, Default)]
pub(in crate::store) struct Counts(BTreeMap<(String, &'static str), i64>);

impl Counts {
    /// Adds `n` to the count of a kind and state.
    pub(in crate::store) fn add(&mut self, kind: &str, state: &'static str, n: i64) {
        *self.0.entry((kind.to_owned(), state)).or_default() += n;
    }

    /// Writes them to the rows of `node`: the last statement of a transaction.
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

/// Appends the facts of `entries`. Returns the ids of those that are new.
pub(in crate::store) async fn put_jobs(
    tx: &Tx,
    entries: &[Entry],
) -> Result<HashSet<Id>, StoreError> {
    if entries.is_empty() {
        return Ok(HashSet::new());
    }
    let rows: Vec<NewJobRow<'_>> = entries
        .iter()
        .map(|Entry { id, job }| NewJobRow {
            id: *id,
            kind: job.kind.0,
            client_id: &job.client_id,
            lead_id: job.lead_id,
            subject_id: job.subject_id,
            message_id: job.message_id,
            draft_id: job.draft_id,
            max_attempts: job.max_attempts,
            in_lead_line: job.in_lead_line,
            channel: job.channel.as_deref(),
            delay: job.delay_ms,
            trace: job.trace.map(|trace| trace.after(job.delay_ms).to_string()),
        })
        .collect();
    let mut ids = HashSet::new();
    for row in tx.all(&PUT_JOBS, [group(&rows)?]).await? {
        ids.insert(row.try_get("", "id")?);
    }
    Ok(ids)
}

/// A job that enters its line.
#[derive(Clone, Debug)]
pub(in crate::store) struct Entering {
    pub(in crate::store) place: Place,
    /// The time until it is due, in milliseconds; 0 or less if it is due now.
    pub(in crate::store) delay_ms: i64,
    /// True if a person has retried it: it is no suspect, even if its last attempt was rescued.
    pub(in crate::store) is_by_hand: bool,
}

impl Entry {
    /// How the job enters its line.
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

/// Puts jobs into their lines, in the given order. The first one of a line without a head becomes
/// its head, and the others wait behind it. A job that is due later waits outside of its line.
/// `fresh` are lines that have no head yet, because they are new.
///
/// Locks `job_caps` by client, and `job_clients` by (kind, client). The caller has locked the leads
/// of the lines.
pub(in crate::store) async fn enter(
    tx: &Tx,
    entering: Vec<Entering>,
    fresh: &HashSet<Id>,
) -> Result<(), StoreError> {
    let placed = place(tx, entering, fresh).await?;
    let (mut caps, turns) = take_for(tx, &placed, std::iter::empty()).await?;
    write(tx, placed, turns, &mut caps).await?;
    caps.admit_and_write(tx).await
}

/// Locks the caps of the clients that get heads, and of the clients `losing` some; then takes the
/// turns for the new heads.
pub(in crate::store) async fn take_for<'a>(
    tx: &Tx,
    placed: &'a Placed,
    losing: impl Iterator<Item = &'a str>,
) -> Result<(Caps, Turns), StoreError> {
    let caps = lock_caps(tx, placed, losing).await?;
    Ok((caps, take_turns(tx, placed).await?))
}

/// Locks the caps of the clients that get heads, and of the clients `losing` some.
pub(in crate::store) async fn lock_caps<'a>(
    tx: &Tx,
    placed: &'a Placed,
    losing: impl Iterator<Item = &'a str>,
) -> Result<Caps, StoreError> {
    let entering = placed.ready.iter().map(|place| place.client_id.as_str());
    Caps::lock(tx, entering.chain(losing)).await
}

/// Takes the turns for the new heads. The caps of their clients are locked.
pub(in crate::store) async fn take_turns(tx: &Tx, placed: &Placed) -> Result<Turns, StoreError> {
    let mut needed = TurnsNeeded::default();
    for place in &placed.ready {
        needed.add(&place.kind, &place.client_id);
    }
    needed.take(tx).await
}

/// Where entering jobs go.
#[derive(Debug, Default)]
pub(in crate::store) struct Placed {
    /// Heads that get a turn.
    pub(in crate::store) ready: Vec<Place>,
    /// Heads whose last attempt was rescued: they get no turn (`suspects.rs`).
    pub(in crate::store) suspects: Vec<Place>,
    /// Followers, each with its position in its line.
    pub(in crate::store) blocked: Vec<(i64, Place)>,
    /// Jobs that are due later, each with its delay in milliseconds.
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

/// By line: whether it has a head, and the last position behind it.
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
    /// Jobs that become heads: suspects, and those that get a turn.
    pub(in crate::store) async fn heads(tx: &Tx, heads: Vec<Place>) -> Result<Self, StoreError> {
        let have_run = heads.iter().filter(|place| place.run > 0);
        let have_run: Vec<Id> = have_run.map(|place| place.job_id).collect();
        let found = suspects::among(tx, &have_run).await?;
        let (suspects, ready) = heads.into_iter().partition(|head| found.contains(&head.job_id));
        Ok(Self { ready, suspects, ..Self::default() })
    }
}

/// Decides where each job goes. Reads the lines of leads, and the history of jobs that have run.
/// Takes no locks.
pub(in crate::store) async fn place(
    tx: &Tx,
    entering: Vec<Entering>,
    fresh: &HashSet<Id>,
) -> Result<Placed, StoreError> {
    // 1. Read the lines that may have a head already.
    let due_now = entering.iter().filter(|job| job.delay_ms <= 0).map(|job| job.place.line);
    let asked: HashSet<Id> = due_now.filter(|line| *line > 0 && !fresh.contains(line)).collect();
    let mut lines = read_line_states(tx, asked.into_iter()).await?;
    // 2. Place the jobs one after the other.
    let mut placed = Placed::default();
    let mut heads = Vec::new();
    for Entering { place, delay_ms, is_by_hand } in entering {
        if delay_ms > 0 {
            placed.later.push((delay_ms, place));
            continue;
        }
        let (has_head, last_pos) = lines.entry(place.line).or_default();
        if *has_head {
            *last_pos += 1;
            placed.blocked.push((*last_pos, place));
        } else {
            *has_head = true;
            match is_by_hand {
                true => placed.ready.push(place),
                false => heads.push(place),
            }
        }
    }
    // 3. Find the suspects among the new heads.
    let heads = Placed::heads(tx, heads).await?;
    placed.ready.extend(heads.ready);
    placed.suspects = heads.suspects;
    Ok(placed)
}

/// A row of `job_ready`, `job_blocked` or `job_later`; each statement takes the columns it needs.
#[serde_with::skip_serializing_none]
#[derive(Serialize)]
struct Numbered<'a> {
    turn: Option<Turn>,
    held: Option<Turn>,
    pos: i64,
    delay: i64,
    #[serde(flatten)]
    place: &'a Place,
}

/// Writes the jobs where [`place`] has put them, and gives its turn to each head. Returns the turns
/// that are left.
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
