//! For the supervisor: claim, make due, give back, rescue.

use super::{
    Store, StoreError,
    caps::{self, Caps},
    leads::{Followed, Leads},
    ledger::{self, Settlement, Transition},
    lines::{self, Entering, Place, TurnsNeeded},
    sql::Sql,
    suspects::is_suspect,
    tx::{Tx, group, in_group, read, write_alone},
};
use crate::domain::{Id, JobKind, fairness::Turn, job::Job};
use sea_orm::QueryResult;
use serde::Serialize;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt::Write as _,
    sync::{Arc, OnceLock},
};

/// The claim on PostgreSQL: one row a kind in `$2` (kind, floor, slots, and of which clients none),
/// one limited scan of `job_ready_turn` each. Never waits: rows that another node is claiming are
/// skipped. Chosen by line and not by ctid, because a row that changed since the snapshot would be
/// locked and then missed. The node's clock rises in the same statement, and the facts come back
/// with it: one round trip.
pub(super) static CLAIM_POSTGRES: Sql = Sql::new(
    "with c as (update job_ready set node = $1, locked_at = now(), run = run + 1 where line = any(array( \
         select x.line from json_to_recordset($2::json) as k(kind text, floor bigint, slots bigint, not_of jsonb) cross join lateral ( \
           select r.line from job_ready r where r.kind = k.kind and r.turn >= k.floor and r.turn is not null and r.node is null \
             and (k.not_of is null or not k.not_of ? r.client_id) \
           order by r.turn, r.client_id limit k.slots for update skip locked) x)) \
       returning job_id, run, spared, line, client_id, kind, turn), \
     v as (insert into job_clock (kind, node, turn) select kind, $1, max(turn) from c group by kind order by kind \
       on conflict (kind, node) do update set turn = greatest(job_clock.turn, excluded.turn)) \
     select c.*, j.lead_id, j.message_id, j.draft_id, j.max_attempts, m.request_id, \
       (extract(epoch from now()) * 1000)::bigint - (extract(epoch from j.run_at) * 1000)::bigint as waited_ms \
     from c join jobs j on j.id = c.job_id left join messages m on m.id = j.message_id order by c.turn, c.client_id",
);

/// The facts of claimed jobs, by primary key (SQLite, in the claim's transaction).
pub(super) static READ_FACTS: Sql = Sql::new(
    "select j.id, j.lead_id, j.message_id, j.draft_id, j.max_attempts, m.request_id, @ms(@now) - @ms(j.run_at) as waited_ms \
     from jobs j left join messages m on m.id = j.message_id where j.id @ids($1)",
);

/// Raises the node's clock (SQLite).
pub(super) static RAISE_CLOCK: Sql = Sql::new(
    "insert into job_clock (kind, node, turn) select g.kind, $2, g.turn from @rows($1, kind text, turn bigint) g where true \
     on conflict (kind, node) do update set turn = max(job_clock.turn, excluded.turn)",
);

/// V of each kind: the turn of the job claimed last, by any node.
pub(super) static READ_CLOCK: Sql =
    Sql::new("select kind, max(turn) as turn from job_clock group by kind");

/// Heads whose retry is due, without locks, but for suspects, which are claimed from where they are. By
/// `job_ready_retry`.
pub(super) static READ_DUE_RETRIES: Sql = Sql::new(concat!(
    "select r.line, r.kind, r.client_id from job_ready r where r.run_at is not null and r.run_at <= @now and not (",
    is_suspect!(),
    ") order by r.run_at limit 1000",
));

/// Gives turns to jobs that become due: after V and the client's last such turn, not behind its backlog.
/// (With one turn for all, 5,000 retries of one client kept another waiting for 312 rounds.)
pub(super) static TAKE_DUE_TURNS: Sql = Sql::new(
    "insert into job_clients (client_id, kind, last_turn, last_due) \
     select g.client_id, g.kind, coalesce(v.turn, 0) - 1, coalesce(v.turn, 0) - 1 + g.n \
     from @rows($1, client_id text, kind text, n bigint) g \
     left join (select kind, max(turn) as turn from job_clock group by kind) v on v.kind = g.kind \
     where true order by g.kind, g.client_id \
     on conflict (client_id, kind) do update set last_due = \
       case when job_clients.last_due > excluded.last_turn then job_clients.last_due else excluded.last_turn end \
       + (excluded.last_due - excluded.last_turn) \
     returning client_id, kind, last_due",
);

/// Locks heads whose retry is still due, passing over those that somebody else holds.
pub(super) static LOCK_DUE_RETRIES: Sql = Sql::new(concat!(
    "select r.line, r.kind, r.client_id from job_ready r where r.line @ids($1) and r.run_at is not null \
       and r.run_at <= @now and not (",
    is_suspect!(),
    ") order by r.line @skip_locked",
));

/// Puts heads back into turn.
pub(super) static TURN_HEADS: Sql = Sql::new(
    "update job_ready set run_at = null, turn = g.turn, held = g.held \
     from @rows($1, line bigint, turn bigint, held bigint) g where job_ready.line = g.line",
);

/// Jobs that are due, without locks. By `job_later_due`.
pub(super) static READ_DUE_LATER: Sql = Sql::new(
    "select job_id, line, kind, client_id, run, spared from job_later where run_at <= @now order by run_at, job_id limit 1000",
);

/// Takes due jobs out; those that somebody else has taken do not come back.
pub(super) static TAKE_DUE_LATER: Sql = Sql::new(
    "delete from job_later where job_id @ids($1) returning job_id, line, kind, client_id, run, spared",
);

/// When the next job is due, in milliseconds from now. By the two indexes. A suspect that is due already
/// waits for another one, and not for the time.
pub(super) static READ_NEXT_DUE: Sql = Sql::new(concat!(
    "select least_due - @ms(@now) as ms from (select min(due) as least_due from ( \
       select @ms((select r.run_at from job_ready r where r.run_at is not null and (r.run_at > @now or not (",
    is_suspect!(),
    ")) order by r.run_at limit 1)) as due \
       union all select @ms(min(run_at)) as due from job_later) as both_tables) as nearest",
));

/// Claimed jobs of nodes without a row, or with one of these: dead. Scans the small table; no index on
/// `node`, which the claim changes.
pub(super) static READ_ORPHANS: Sql = Sql::new(
    "select r.line, r.job_id, r.kind, r.client_id, r.run, r.spared, r.node, j.lead_id, j.message_id, j.max_attempts, \
       @ms(@now) - @ms(r.locked_at) as held_ms \
     from job_ready r join jobs j on j.id = r.job_id \
     where r.node is not null and (not exists (select 1 from nodes n where n.id = r.node) or r.node @ids($1)) \
       and r.kind in (select g.kind from @rows($2, kind text) g) \
     order by r.line limit 500",
);

/// Claimed jobs of this node. By `job_ready_turn`: no job was claimed whose turn is beyond V of its kind.
pub(super) static READ_HELD_RUNS: Sql = Sql::new(
    "select r.line, r.job_id, r.kind, r.client_id, r.run, r.spared, r.node, j.lead_id, j.message_id, j.max_attempts, \
       @ms(@now) - @ms(r.locked_at) as held_ms \
     from (select kind, max(turn) as turn from job_clock group by kind) v cross join job_ready r join jobs j on j.id = r.job_id \
     where r.line @each(select x.line from job_ready x \
       where x.kind = v.kind and x.turn <= v.turn and x.turn is not null and x.node = $1)",
);

/// Lines that hold blocked jobs and no head. There should be none. Reads the small tables whole, so it is for a reader.
pub(super) static READ_HEADLESS: Sql = Sql::new(
    "select distinct b.line from job_blocked b where not exists (select 1 from job_ready r where r.line = b.line) limit 500",
);

/// How many jobs of one kind a claim wants.
#[derive(Clone, Debug, Serialize)]
pub struct Want {
    /// The kind.
    pub kind: &'static str,
    /// The least turn to look at; 0 is none.
    pub floor: Turn,
    /// At most so many.
    pub slots: usize,
}

/// A job that this node holds.
#[derive(Clone, Debug)]
pub struct Claim {
    /// What a handler sees of it.
    pub job: Job,
    /// Its line.
    pub line: Id,
    /// Its turn: the order in which claimed jobs go to slots.
    pub turn: Turn,
    /// The fencing token.
    pub run: i64,
    /// Runs that do not count.
    pub spared: i64,
    /// How long it had been due when it was claimed, by the database's clock.
    pub waited_ms: i64,
}

/// A job of a dead node.
#[derive(Clone, Debug)]
pub struct Orphan {
    /// The settlement to be filled in: everything but the transition is as the dead node held it.
    pub settlement: Settlement,
    /// Attempts used, this one included.
    pub attempt: u32,
    /// Attempts allowed.
    pub max_attempts: u32,
}

/// The supervisor's handle.
#[derive(Clone, Debug)]
pub struct Queue(pub(super) Store);

impl Queue {
    /// Claims at most what is wanted, in turn. Jobs of kinds that are not asked for stay as they are.
    ///
    /// # Errors
    /// When the database is away. A claim whose answer is lost shows up as held by this node.
    pub async fn claim(
        &self,
        wants: Vec<Want>,
        kinds: Arc<[JobKind]>,
    ) -> Result<Vec<Claim>, StoreError> {
        let store = self.0.clone();
        self.0
            .spawn(async move {
                in_group(|| async {
                    match store.is_sqlite() {
                        true => claim_sqlite(&store, &wants, &kinds).await,
                        false => claim_postgres(&store, &wants, &kinds).await,
                    }
                })
                .await
            })
            .await
    }

    /// V of each kind.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn clock(&self) -> Result<HashMap<String, Turn>, StoreError> {
        let store = self.0.clone();
        self.0
            .spawn(async move {
                let mut clock = HashMap::new();
                for row in read(&store.connections().reader, &READ_CLOCK, []).await? {
                    clock.insert(row.try_get("", "kind")?, row.try_get("", "turn")?);
                }
                Ok(clock)
            })
            .await
    }

    /// Moves what is due into line, at most 1,000 of either table. Returns how many moved.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn make_due(&self) -> Result<usize, StoreError> {
        let store = self.0.clone();
        self.0
            .spawn(async move {
                let retries = in_group(|| due_retries(&store)).await?;
                let followed = Followed::default();
                let later = in_group(|| due_later(&store, &followed)).await?;
                Ok(retries + later)
            })
            .await
    }

    /// Milliseconds until the next job is due, negative if one is overdue; `None` where none waits.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn next_due_ms(&self) -> Result<Option<i64>, StoreError> {
        let store = self.0.clone();
        self.0
            .spawn(async move {
                let rows = read(&store.connections().reader, &READ_NEXT_DUE, []).await?;
                match rows.first() {
                    Some(row) => Ok(row.try_get("", "ms")?),
                    None => Ok(None),
                }
            })
            .await
    }

    /// Jobs of these kinds that dead nodes hold, at most 500. `dead` are nodes that still have a row.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn orphans(
        &self,
        dead: Vec<Id>,
        kinds: &[JobKind],
    ) -> Result<Vec<Orphan>, StoreError> {
        #[derive(Serialize)]
        struct Row {
            kind: &'static str,
        }
        let kinds: Vec<Row> = kinds.iter().map(|it| Row { kind: it.0 }).collect();
        let (store, kinds) = (self.0.clone(), group(&kinds)?);
        self.0
            .spawn(async move {
                let rows =
                    read(&store.connections().scans, &READ_ORPHANS, [group(&dead)?, kinds]).await?;
                rows.iter().map(orphan).collect()
            })
            .await
    }

    /// Jobs that this node holds, by what the database says. As many as it has in memory, and those of which
    /// it has lost track.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn held(&self) -> Result<Vec<Orphan>, StoreError> {
        let store = self.0.clone();
        self.0
            .spawn(async move {
                let (reader, node) = (&store.connections().reader, store.node().into());
                read(reader, &READ_HELD_RUNS, [node]).await?.iter().map(orphan).collect()
            })
            .await
    }

    /// Gives a head to lines that have none. Returns how many there were: there should be none.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn sweep(&self) -> Result<usize, StoreError> {
        let store = self.0.clone();
        self.0.spawn(async move { in_group(|| sweep(&store)).await }).await
    }
}

pub(super) fn claim(
    row: &QueryResult,
    facts: &QueryResult,
    kinds: &[JobKind],
) -> Result<Option<Claim>, StoreError> {
    let kind: String = row.try_get("", "kind")?;
    let Some(kind) = kinds.iter().find(|it| it.0 == kind) else { return Ok(None) };
    let run = i64::from(row.try_get::<i32>("", "run")?);
    let spared = i64::from(row.try_get::<i32>("", "spared")?);
    let max_attempts: i32 = facts.try_get("", "max_attempts")?;
    Ok(Some(Claim {
        job: Job {
            id: row.try_get("", "job_id")?,
            kind: *kind,
            client_id: row.try_get("", "client_id")?,
            lead_id: facts.try_get("", "lead_id")?,
            message_id: facts.try_get("", "message_id")?,
            draft_id: facts.try_get("", "draft_id")?,
            attempt: u32::try_from(run - spared).unwrap_or(1),
            max_attempts: u32::try_from(max_attempts).unwrap_or(1),
            request_id: facts.try_get("", "request_id")?,
        },
        line: row.try_get("", "line")?,
        turn: row.try_get("", "turn")?,
        run,
        spared,
        waited_ms: facts.try_get("", "waited_ms")?,
    }))
}

async fn claim_postgres(
    store: &Store,
    wants: &[Want],
    kinds: &[JobKind],
) -> Result<Vec<Claim>, StoreError> {
    #[derive(Serialize)]
    struct Row<'a> {
        #[serde(flatten)]
        want: &'a Want,
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        not_of: &'a [String],
    }
    let not_of = store.left().names();
    let rows: Vec<Row<'_>> = wants.iter().map(|want| Row { want, not_of: &not_of }).collect();
    let values = [store.node().into(), group(&rows)?];
    let connections = store.connections();
    connections.faults.stage("claim", "before_commit");
    let claimed = write_alone(&connections.writer, &CLAIM_POSTGRES, values).await;
    let rows = claimed.inspect_err(|it| connections.last_failed_write.note("claim", it))?;
    if !rows.is_empty() {
        connections.last_failed_write.has_written("claim");
        connections.faults.stage("claim", "committed");
    }
    let mut claims = Vec::with_capacity(rows.len());
    for row in &rows {
        claims.extend(claim(row, row, kinds)?);
    }
    Ok(claims)
}

/// The text of SQLite's claim: one limited scan a kind. Fixed for a number of kinds, so it stays prepared.
fn sqlite_claim_text(kind_count: usize) -> String {
    let mut branches = String::new();
    let not_of = 2 + kind_count * 3;
    for n in 0..kind_count {
        let (kind, floor, slots) = (2 + n * 3, 3 + n * 3, 4 + n * 3);
        let union = if n == 0 { "" } else { " union all " };
        // Writing to a String cannot fail.
        let _infallible = write!(
            branches,
            "{union}select line from (select line from job_ready where kind = ${kind} and turn >= ${floor} \
             and turn is not null and node is null \
             and client_id not in (select value from json_each(${not_of})) order by turn, client_id limit ${slots})"
        );
    }
    format!(
        "update job_ready set node = $1, locked_at = cast(unixepoch('subsec') * 1000 as integer), run = run + 1 \
         where line in ({branches}) returning job_id, run, spared, line, client_id, kind, turn"
    )
}

/// SQLite's claim for up to 16 kinds at once; more are claimed with a text that is not kept.
static CLAIM_SQLITE: [OnceLock<String>; 16] = [const { OnceLock::new() }; 16];

/// SQLite's claim of `kind_count` kinds: `$1` the node, then kind, floor and slots of each, then of
/// which clients none.
pub(super) fn claim_sqlite_text(kind_count: usize) -> String {
    match CLAIM_SQLITE.get(kind_count) {
        Some(cell) => cell.get_or_init(|| sqlite_claim_text(kind_count)).clone(),
        None => sqlite_claim_text(kind_count),
    }
}

async fn claim_sqlite(
    store: &Store,
    wants: &[Want],
    kinds: &[JobKind],
) -> Result<Vec<Claim>, StoreError> {
    let tx = Tx::begin(store.connections(), "claim").await?;
    let mut values: Vec<sea_orm::Value> = vec![store.node().into()];
    for want in wants {
        let slots = i64::try_from(want.slots).unwrap_or(i64::MAX);
        values.extend([want.kind.into(), want.floor.into(), slots.into()]);
    }
    values.push(group(&store.left().names())?);
    let rows = tx.all_text(claim_sqlite_text(wants.len()), values).await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut ids: Vec<Id> = Vec::with_capacity(rows.len());
    for row in &rows {
        ids.push(row.try_get("", "job_id")?);
    }
    let mut facts: HashMap<Id, QueryResult> = HashMap::with_capacity(ids.len());
    for row in tx.all(&READ_FACTS, [group(&ids)?]).await? {
        facts.insert(row.try_get("", "id")?, row);
    }
    let mut claims = Vec::with_capacity(rows.len());
    for (row, id) in rows.iter().zip(&ids) {
        let Some(facts) = facts.get(id) else {
            return Err(StoreError::Broken(format!("job {id} is in line and has no facts")));
        };
        claims.extend(claim(row, facts, kinds)?);
    }
    claims.sort_unstable_by(|a, b| {
        (a.turn, &a.job.client_id, a.line).cmp(&(b.turn, &b.job.client_id, b.line))
    });
    raise_clock(&tx, store.node(), &claims).await?;
    tx.commit().await?;
    Ok(claims)
}

async fn raise_clock(tx: &Tx, node: Id, claims: &[Claim]) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Row {
        kind: &'static str,
        turn: Turn,
    }
    let mut greatest: HashMap<&'static str, Turn> = HashMap::new();
    for claim in claims {
        let turn = greatest.entry(claim.job.kind.0).or_default();
        *turn = claim.turn.max(*turn);
    }
    let rows: Vec<Row> = greatest.into_iter().map(|(kind, turn)| Row { kind, turn }).collect();
    tx.run(&RAISE_CLOCK, [group(&rows)?, node.into()]).await?;
    Ok(())
}

/// Retries that are due, in a transaction of their own. Read without locks first, because
/// `job_clients` comes before heads in the order of locks; counted under both, because another node
/// may have made them due meanwhile: turns that nobody uses would put their client behind.
async fn due_retries(store: &Store) -> Result<usize, StoreError> {
    #[derive(Serialize)]
    struct Row {
        line: Id,
        turn: Option<Turn>,
        held: Option<Turn>,
    }
    let tx = Tx::begin(store.connections(), "due_retries").await?;
    let mut due: HashMap<Id, (String, String)> = HashMap::new();
    for row in tx.all(&READ_DUE_RETRIES, []).await? {
        due.insert(row.try_get("", "line")?, kind_and_client(&row)?);
    }
    if due.is_empty() {
        return Ok(0);
    }
    let lines: Vec<Id> = due.keys().copied().collect();
    let mut caps = Caps::lock(&tx, due.values().map(|it| it.1.as_str())).await?;
    lines::lock_turns(&tx, &due.values().cloned().collect()).await?;
    let mut needed = TurnsNeeded::default();
    let mut locked: Vec<(Id, (String, String))> = Vec::with_capacity(lines.len());
    for row in tx.all(&LOCK_DUE_RETRIES, [group(&lines)?]).await? {
        let (line, of) = (row.try_get("", "line")?, kind_and_client(&row)?);
        // Another job of the line may have become its head meanwhile, and its turns are not locked.
        if due.get(&line) == Some(&of) {
            needed.add(&of.0, &of.1);
            locked.push((line, of));
        }
    }
    let mut turns = needed.take_with(&tx, &TAKE_DUE_TURNS, "last_due").await?;
    let mut place = |(line, (kind, client_id)): &(Id, (String, String))| {
        let turn = turns.next(kind, client_id);
        let (turn, held) = caps::placed(caps.enters(client_id), turn);
        Row { line: *line, turn, held }
    };
    let rows: Vec<Row> = locked.iter().map(&mut place).collect();
    if !rows.is_empty() {
        tx.run(&TURN_HEADS, [group(&rows)?]).await?;
    }
    caps.settle(&tx).await?;
    tx.commit().await?;
    Ok(rows.len())
}

fn kind_and_client(row: &QueryResult) -> Result<(String, String), StoreError> {
    Ok((row.try_get("", "kind")?, row.try_get("", "client_id")?))
}

/// Delayed and snoozed jobs that are due enter their lines, under their leads' locks: those of the leads that
/// theirs were merged into.
async fn due_later(store: &Store, followed: &Followed) -> Result<usize, StoreError> {
    let tx = Tx::begin(store.connections(), "due_later").await?;
    let due: Vec<Place> =
        tx.all(&READ_DUE_LATER, []).await?.iter().map(Place::from_row).collect::<Result<_, _>>()?;
    if due.is_empty() {
        return Ok(0);
    }
    let leads: BTreeSet<Id> = due.iter().map(|it| it.line).filter(|it| *it > 0).collect();
    let leads = Leads::lock_following(&tx, &leads, followed).await?;
    let mut caps = Caps::lock(&tx, due.iter().map(|it| it.client_id.as_str())).await?;
    let of = due.iter().map(|it| (it.kind.clone(), it.client_id.clone())).collect();
    lines::lock_turns(&tx, &of).await?;
    let ids: Vec<Id> = due.iter().map(|it| it.job_id).collect();
    let mut taken: HashMap<Id, i64> = HashMap::new();
    for row in tx.all(&TAKE_DUE_LATER, [group(&ids)?]).await? {
        let place = Place::from_row(&row)?;
        taken.insert(place.job_id, place.run);
    }
    if due.iter().any(|it| taken.get(&it.job_id).is_some_and(|run| *run != it.run)) {
        // It ran and was snoozed anew meanwhile: it is not due, and its run as read is used.
        return Err(StoreError::Conflict("a job that is due moved meanwhile".to_owned()));
    }
    let entering: Vec<Entering> = due
        .into_iter()
        .filter(|it| taken.contains_key(&it.job_id))
        .map(|it| Entering {
            place: Place { line: leads.resolve(it.line), ..it },
            delay_ms: 0,
            is_by_hand: false,
        })
        .collect();
    let moved = entering.len();
    let placed = lines::place(&tx, entering, &HashSet::new()).await?;
    let mut needed = TurnsNeeded::default();
    for it in &placed.ready {
        needed.add(&it.kind, &it.client_id);
    }
    let turns = needed.take_with(&tx, &TAKE_DUE_TURNS, "last_due").await?;
    lines::write(&tx, placed, turns, &mut caps).await?;
    caps.settle(&tx).await?;
    tx.commit().await?;
    Ok(moved)
}

fn orphan(row: &QueryResult) -> Result<Orphan, StoreError> {
    let run = i64::from(row.try_get::<i32>("", "run")?);
    let spared = i64::from(row.try_get::<i32>("", "spared")?);
    let max_attempts: i32 = row.try_get("", "max_attempts")?;
    let held_ms: Option<i64> = row.try_get("", "held_ms")?;
    let held_ms = u64::try_from(held_ms.unwrap_or_default()).unwrap_or_default();
    Ok(Orphan {
        settlement: Settlement {
            job_id: row.try_get("", "job_id")?,
            line: row.try_get("", "line")?,
            kind: row.try_get("", "kind")?,
            client_id: row.try_get("", "client_id")?,
            lead_id: row.try_get("", "lead_id")?,
            message_id: row.try_get("", "message_id")?,
            run,
            spared,
            node: row.try_get("", "node")?,
            actor: None,
            duration: Some(std::time::Duration::from_millis(held_ms)),
            transition: Transition::Release,
        },
        attempt: u32::try_from(run - spared).unwrap_or(1),
        max_attempts: u32::try_from(max_attempts).unwrap_or(1),
    })
}

async fn sweep(store: &Store) -> Result<usize, StoreError> {
    let mut headless: BTreeSet<Id> = BTreeSet::new();
    // Outside of the transaction, which would hold up SQLite's other writers meanwhile; under the locks each line is
    // looked at again.
    for row in read(&store.connections().scans, &READ_HEADLESS, []).await? {
        headless.insert(row.try_get("", "line")?);
    }
    if headless.is_empty() {
        return Ok(0);
    }
    let tx = Tx::begin(store.connections(), "sweep").await?;
    Leads::lock(&tx, &headless).await?;
    let promoted = ledger::promote_headless(&tx, &headless).await?;
    tx.commit().await?;
    Ok(promoted)
}
