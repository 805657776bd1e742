//! The supervisor's handle: it claims jobs, makes them due, and finds jobs of dead nodes.

mod claim;
mod due;
mod suspect;

pub(super) use self::claim::claim_sqlite_text;

use crate::domain::{Id, JobKind, fairness::Turn, job::Job};
use crate::store::{
    engine::{
        Database, StoreError,
        sql::sql,
        tx::{column, group, in_group, read},
        writer_token::WriterToken,
    },
    ledger::{Settlement, Transition},
    tables::{
        heads,
        leads::{Followed, Leads},
        suspects::is_suspect,
        unknown_clients::UnknownClientsLeft,
    },
};
use sea_orm::QueryResult;
use serde::Serialize;
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

sql! {
    /// V of each kind: the greatest turn of it that any node has claimed. Reads the small table as
    /// a whole.
    static READ_CLOCK = "select kind, max(turn) as turn from job_clock group by kind";

    /// When the next job is due, in milliseconds from now. By `job_ready_retry` and
    /// `job_later_due`. A suspect that is due already does not count: it waits for another suspect,
    /// not for a time.
    static READ_NEXT_DUE = concat!(
        "select least_due - @ms(@now) as ms from (select min(due) as least_due from ( \
           select @ms((select r.run_at from job_ready r where r.run_at is not null and (r.run_at > @now or not (",
        is_suspect!(),
        ")) order by r.run_at limit 1)) as due \
           union all select @ms(min(run_at)) as due from job_later) as both_tables) as nearest",
    );

    /// The claimed jobs of dead nodes: those without a row, and those in `$1`. Scans the small
    /// table. There is no index on `node`, because each claim changes it.
    static READ_ORPHANS =
        "select r.line, r.job_id, r.kind, r.client_id, r.run, r.spared, r.node, j.lead_id, j.message_id, j.draft_id, j.channel, j.max_attempts, \
           @ms(@now) - @ms(r.locked_at) as claimed_ms \
         from job_ready r join jobs j on j.id = r.job_id \
         where r.node is not null and (not exists (select 1 from nodes n where n.id = r.node) or r.node @ids($1)) \
           and r.kind in (select g.kind from @rows($2, kind text) g) \
         order by r.line limit 500";

    /// The claimed jobs of this node. By `job_ready_turn`: a claimed job's turn is never greater
    /// than V of its kind.
    static READ_CLAIMED_RUNS =
        "select r.line, r.job_id, r.kind, r.client_id, r.run, r.spared, r.node, j.lead_id, j.message_id, j.draft_id, j.channel, j.max_attempts, \
           @ms(@now) - @ms(r.locked_at) as claimed_ms \
         from (select kind, max(turn) as turn from job_clock group by kind) v cross join job_ready r join jobs j on j.id = r.job_id \
         where r.line @each(select x.line from job_ready x \
           where x.kind = v.kind and x.turn <= v.turn and x.turn is not null and x.node = $1)";

    /// Lines with blocked jobs but without a head. There should be none. Reads the small tables as
    /// a whole, so it belongs on a reading connection.
    static READ_HEADLESS =
        "select distinct b.line from job_blocked b where not exists (select 1 from job_ready r where r.line = b.line) limit 500";
}

/// What a claim wants of one kind.
#[derive(Clone, Debug, Serialize)]
pub struct Want {
    /// The kind.
    pub kind: &'static str,
    /// The least turn to read (see *floor* in docs/GLOSSARY.md); 0 means no floor.
    pub floor: Turn,
    /// The most jobs to claim.
    pub slots: usize,
}

/// A job that this node has claimed.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The job as its handler sees it.
    pub job: Job,
    /// Its line.
    pub line: Id,
    /// Its turn, which is also the order in which claimed jobs go to slots.
    pub turn: Turn,
    /// The fencing token.
    pub run: i64,
    /// How many runs of the job used no attempt.
    pub spared: i64,
    /// How long it had been due when it was claimed, in milliseconds by the database's clock.
    pub waited_ms: i64,
}

/// A claimed job. Its node is dead or may have lost track of it.
#[derive(Clone, Debug)]
pub struct Orphan {
    /// Its settlement, in which the caller sets the transition. The rest is as the node claimed it.
    pub settlement: Settlement,
    /// Attempts so far, this one included.
    pub attempt: u32,
    /// The most attempts that it may have.
    pub max_attempts: u32,
}

/// The supervisor's handle.
#[derive(Clone, Debug)]
pub struct Queue {
    pub(super) db: Database,
    /// The clients whose jobs this process does not claim, because its configuration does not know
    /// them.
    pub(super) left: Arc<UnknownClientsLeft>,
}

impl Queue {
    /// Waits until a claim may be planned. Keep the token until the claim has ended.
    pub fn token(&self) -> impl Future<Output = WriterToken> + Send + use<> {
        self.db.connections().tokens.take()
    }

    /// Claims as many jobs of each kind as `wants` allows, the smallest turns first. `kinds` are
    /// all kinds of this version.
    ///
    /// # Errors
    /// If the database is unreachable. If only the answer of a claim is lost, its jobs show up in
    /// [`Queue::claimed_runs`].
    pub async fn claim(
        &self,
        wants: Vec<Want>,
        kinds: Arc<[JobKind]>,
    ) -> Result<Vec<Claim>, StoreError> {
        let left = self.left.clone();
        self.db
            .call(|db| async move {
                match db.is_sqlite() {
                    true => {
                        let claim = async |tx| {
                            claim::claim_sqlite(tx, db.node(), &wants, &left.names(), &kinds).await
                        };
                        db.write("claim", claim).await
                    }
                    false => {
                        in_group(|| async {
                            claim::claim_postgres(&db, &wants, &left.names(), &kinds).await
                        })
                        .await
                    }
                }
            })
            .await
    }

    /// Claims one suspect (a job whose last attempt was rescued), if one of the kinds in `wanted`
    /// is due. No suspect that this node has claimed may still run.
    ///
    /// # Errors
    /// If the database is unreachable. If only the answer of a claim is lost, its jobs show up in
    /// [`Queue::claimed_runs`].
    pub async fn claim_suspect(
        &self,
        wanted: &[&'static str],
        kinds: Arc<[JobKind]>,
    ) -> Result<Option<Claim>, StoreError> {
        let (wanted, left) = (column("kind", wanted)?, self.left.clone());
        self.db
            .call(|db| async move {
                db.write("suspect", async |tx| {
                    suspect::claim_one(tx, db.node(), wanted.clone(), &left.names(), &kinds).await
                })
                .await
            })
            .await
    }

    /// Stops claiming jobs of this client, which the configuration does not know. False if too many
    /// such clients are noted already; then it goes on claiming them.
    pub fn leave_to_others(&self, client_id: &str) -> bool {
        self.left.leave(client_id)
    }

    /// Claims jobs again of the clients that the configuration knows by now.
    pub fn take_up(&self, is_known: impl Fn(&str) -> bool) {
        self.left.take_up(is_known);
    }

    /// V of each kind.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn clock(&self) -> Result<HashMap<String, Turn>, StoreError> {
        self.db
            .call(|db| async move {
                let mut clock = HashMap::new();
                for row in read(db.reader(), &READ_CLOCK, []).await? {
                    clock.insert(row.try_get("", "kind")?, row.try_get("", "turn")?);
                }
                Ok(clock)
            })
            .await
    }

    /// Makes jobs due whose time has come: at most 1,000 retries and 1,000 delayed jobs. Returns
    /// how many.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn make_due(&self) -> Result<usize, StoreError> {
        self.db
            .call(|db| async move {
                let retries = db.write("due_retries", due::due_retries).await?;
                let followed = Followed::default();
                let later = db.write("due_later", |tx| due::due_later(tx, &followed)).await?;
                Ok(retries + later)
            })
            .await
    }

    /// Milliseconds until the next job is due, negative if one is overdue; `None` if none waits for
    /// its time.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn next_due_ms(&self) -> Result<Option<i64>, StoreError> {
        self.db
            .call(|db| async move {
                let rows = read(db.reader(), &READ_NEXT_DUE, []).await?;
                match rows.first() {
                    Some(row) => Ok(row.try_get("", "ms")?),
                    None => Ok(None),
                }
            })
            .await
    }

    /// Jobs of these kinds that dead nodes have claimed, at most 500. `dead` are the dead nodes
    /// that still have a row.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn orphans(
        &self,
        dead: Vec<Id>,
        kinds: &[JobKind],
    ) -> Result<Vec<Orphan>, StoreError> {
        let kinds = column("kind", kinds.iter().map(|kind| kind.0))?;
        self.db
            .call(|db| async move {
                let rows = read(db.scans(), &READ_ORPHANS, [group(&dead)?, kinds]).await?;
                rows.iter().map(orphan).collect()
            })
            .await
    }

    /// Jobs that this node has claimed, according to the database: those that it has in memory, and
    /// those that it has lost track of.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn claimed_runs(&self) -> Result<Vec<Orphan>, StoreError> {
        self.db
            .call(|db| async move {
                let (reader, node) = (db.reader(), db.node().into());
                read(reader, &READ_CLAIMED_RUNS, [node]).await?.iter().map(orphan).collect()
            })
            .await
    }

    /// Gives a head to each line without one. Returns how many there were; there should be none.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn sweep(&self) -> Result<usize, StoreError> {
        self.db.call(|db| async move { sweep(&db).await }).await
    }
}

fn orphan(row: &QueryResult) -> Result<Orphan, StoreError> {
    let run = i64::from(row.try_get::<i32>("", "run")?);
    let spared = i64::from(row.try_get::<i32>("", "spared")?);
    let max_attempts: i32 = row.try_get("", "max_attempts")?;
    let claimed_ms: Option<i64> = row.try_get("", "claimed_ms")?;
    let claimed_ms = u64::try_from(claimed_ms.unwrap_or_default()).unwrap_or_default();
    Ok(Orphan {
        settlement: Settlement {
            job_id: row.try_get("", "job_id")?,
            line: row.try_get("", "line")?,
            kind: row.try_get("", "kind")?,
            client_id: row.try_get("", "client_id")?,
            lead_id: row.try_get("", "lead_id")?,
            message_id: row.try_get("", "message_id")?,
            draft_id: row.try_get("", "draft_id")?,
            channel: row.try_get("", "channel")?,
            // It has no effects.
            request_id: None,
            run,
            spared,
            node: row.try_get("", "node")?,
            actor: None,
            duration: Some(std::time::Duration::from_millis(claimed_ms)),
            transition: Transition::Release,
            send: None,
            trace: None,
        },
        attempt: u32::try_from(run - spared).unwrap_or(1),
        max_attempts: u32::try_from(max_attempts).unwrap_or(1),
    })
}

async fn sweep(db: &Database) -> Result<usize, StoreError> {
    let mut headless: BTreeSet<Id> = BTreeSet::new();
    // This scan runs outside the transaction, because it would delay SQLite's other writers. Each
    // line is checked again under its locks.
    for row in read(db.scans(), &READ_HEADLESS, []).await? {
        headless.insert(row.try_get("", "line")?);
    }
    if headless.is_empty() {
        return Ok(0);
    }
    db.write("sweep", async |tx| {
        Leads::lock(&tx, &headless).await?;
        let promoted = heads::promote_headless(&tx, &headless).await?;
        tx.commit(promoted).await
    })
    .await
}
