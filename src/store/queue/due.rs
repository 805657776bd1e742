//! Makes jobs due: retries get a turn, and delayed or snoozed jobs enter their line.

use crate::domain::{Id, fairness::Turn};
use crate::store::{
    engine::{
        StoreError,
        sql::sql,
        tx::{Finished, Tx, group},
    },
    tables::{
        caps::{self, Caps},
        leads::{Followed, Leads},
        lines::{self, Entering, Place, TAKE_DUE_LATER},
        suspects::is_suspect,
        turns::{self, TurnsNeeded},
    },
};
use sea_orm::QueryResult;
use serde::Serialize;
use std::collections::{BTreeSet, HashMap, HashSet};

sql! {
    /// Heads whose retry is due, without locks. Suspects are left out: they are claimed without a
    /// turn. By `job_ready_retry`.
    static READ_DUE_RETRIES = concat!(
        "select r.line, r.kind, r.client_id from job_ready r where r.run_at is not null and r.run_at <= @now and not (",
        is_suspect!(),
        ") order by r.run_at limit 1000",
    );

    /// Gives turns to jobs that become due: after V and after the client's last turn of this sort,
    /// but not after its backlog. Locks the rows of `job_clients`, sorted. By primary key. (When
    /// all got the same turn, 5,000 retries of one client kept another waiting for 312 rounds.)
    static TAKE_DUE_TURNS =
        "insert into job_clients (client_id, kind, last_turn, last_due) \
         select g.client_id, g.kind, coalesce(v.turn, 0) - 1, coalesce(v.turn, 0) - 1 + g.n \
         from @rows($1, client_id text, kind text, n bigint) g \
         left join (select kind, max(turn) as turn from job_clock group by kind) v on v.kind = g.kind \
         where true order by g.kind, g.client_id \
         on conflict (client_id, kind) do update set last_due = \
           case when job_clients.last_due > excluded.last_turn then job_clients.last_due else excluded.last_turn end \
           + (excluded.last_due - excluded.last_turn) \
         returning client_id, kind, last_due";

    /// Locks the heads whose retry is still due, in the order of lines. Heads that another
    /// transaction has locked are skipped. By primary key.
    static LOCK_DUE_RETRIES = concat!(
        "select r.line, r.kind, r.client_id from job_ready r where r.line @ids($1) and r.run_at is not null \
           and r.run_at <= @now and not (",
        is_suspect!(),
        ") order by r.line @skip_locked",
    );

    /// Gives heads their turn: in turn, or held. The rows are locked. By primary key.
    static TURN_HEADS =
        "update job_ready set due_at = run_at, run_at = null, turn = g.turn, held = g.held \
         from @rows($1, line bigint, turn bigint, held bigint) g where job_ready.line = g.line";

    /// Delayed and snoozed jobs that are due, without locks. By `job_later_due`.
    static READ_DUE_LATER =
        "select job_id, line, kind, client_id, run, spared from job_later where run_at <= @now order by run_at, job_id limit 1000";
}

/// Makes retries due, in one transaction. Returns how many. They are read without locks first,
/// because `job_clients` comes before heads in the order of locks. They are counted under both
/// locks, because another node may have made them due meanwhile: turns that no job uses would put
/// their client behind.
pub(super) async fn due_retries(tx: Tx) -> Result<Finished<usize>, StoreError> {
    #[derive(Serialize)]
    struct Row {
        line: Id,
        turn: Option<Turn>,
        held: Option<Turn>,
    }
    // 1. Find them without locks: by line, the kind and client of its head.
    let mut due: HashMap<Id, (String, String)> = HashMap::new();
    for row in tx.all(&READ_DUE_RETRIES, []).await? {
        due.insert(row.try_get("", "line")?, kind_and_client(&row)?);
    }
    if due.is_empty() {
        return Ok(tx.roll_back(0));
    }
    let lines: Vec<Id> = due.keys().copied().collect();
    // 2. Lock the caps, the clients' turns and the heads, and check each head again.
    let clients = due.values().map(|(_, client_id)| client_id.as_str());
    let mut caps = Caps::lock(&tx, clients).await?;
    turns::lock_turns(&tx, &due.values().cloned().collect()).await?;
    let mut needed = TurnsNeeded::default();
    let mut locked: Vec<(Id, (String, String))> = Vec::with_capacity(lines.len());
    for row in tx.all(&LOCK_DUE_RETRIES, [group(&lines)?]).await? {
        let (line, of) = (row.try_get("", "line")?, kind_and_client(&row)?);
        // Another job may have become the line's head meanwhile. The turns of its kind and client
        // may not be locked.
        if due.get(&line) == Some(&of) {
            needed.add(&of.0, &of.1);
            locked.push((line, of));
        }
    }
    // 3. Give them turns.
    let mut given = needed.take_with(&tx, &TAKE_DUE_TURNS, "last_due").await?;
    let mut place = |(line, (kind, client_id)): &(Id, (String, String))| {
        let turn = given.next(kind, client_id);
        let (turn, held) = caps::placed(caps.enters(client_id), turn);
        Row { line: *line, turn, held }
    };
    let rows: Vec<Row> = locked.iter().map(&mut place).collect();
    if !rows.is_empty() {
        tx.run(&TURN_HEADS, [group(&rows)?]).await?;
    }
    caps.admit_and_write(&tx).await?;
    tx.commit(rows.len()).await
}

fn kind_and_client(row: &QueryResult) -> Result<(String, String), StoreError> {
    Ok((row.try_get("", "kind")?, row.try_get("", "client_id")?))
}

/// Makes delayed and snoozed jobs due: they enter their lines under their leads' locks. If a lead
/// was merged into another, its job enters that other lead's line. Returns how many became due.
pub(super) async fn due_later(tx: Tx, followed: &Followed) -> Result<Finished<usize>, StoreError> {
    // 1. Find them without locks.
    let due: Vec<Place> =
        tx.all(&READ_DUE_LATER, []).await?.iter().map(Place::from_row).collect::<Result<_, _>>()?;
    if due.is_empty() {
        return Ok(tx.roll_back(0));
    }
    // 2. Lock their leads, caps and turns, and take those that no other node has taken.
    let leads: BTreeSet<Id> = due.iter().map(|it| it.line).filter(|line| *line > 0).collect();
    let leads = Leads::lock_following(&tx, &leads, followed).await?;
    let mut caps = Caps::lock(&tx, due.iter().map(|place| place.client_id.as_str())).await?;
    let of = due.iter().map(|place| (place.kind.clone(), place.client_id.clone())).collect();
    turns::lock_turns(&tx, &of).await?;
    let ids: Vec<Id> = due.iter().map(|it| it.job_id).collect();
    // By job id: its run.
    let mut taken: HashMap<Id, i64> = HashMap::new();
    for row in tx.all(&TAKE_DUE_LATER, [group(&ids)?]).await? {
        let place = Place::from_row(&row)?;
        taken.insert(place.job_id, place.run);
    }
    let has_moved = |place: &Place| taken.get(&place.job_id).is_some_and(|run| *run != place.run);
    if due.iter().any(has_moved) {
        // The job ran and was snoozed again meanwhile: it is not due, and the run that was read has
        // ended.
        return Err(StoreError::Conflict("a job that is due moved meanwhile".to_owned()));
    }
    // 3. Let them enter their lines.
    let entering: Vec<Entering> = due
        .into_iter()
        .filter(|place| taken.contains_key(&place.job_id))
        .map(|place| Entering {
            place: Place { line: leads.resolve(place.line), ..place },
            delay_ms: 0,
            is_by_hand: false,
        })
        .collect();
    let moved = entering.len();
    let placed = lines::place(&tx, entering, &HashSet::new()).await?;
    let mut needed = TurnsNeeded::default();
    for place in &placed.ready {
        needed.add(&place.kind, &place.client_id);
    }
    let given = needed.take_with(&tx, &TAKE_DUE_TURNS, "last_due").await?;
    lines::write(&tx, placed, given, &mut caps).await?;
    caps.admit_and_write(&tx).await?;
    tx.commit(moved).await
}
