//! Tools of this folder's tests: they fill tables, claim, and check what holds at any moment.

use super::life::{KINDS, claim, end, settle};
use crate::support::{
    eventually,
    fixture::{Fixture, job, sms},
};
use postroom::{
    domain::{Id, JobKind},
    store::{Answer, Claim, Inbound, Settlement, Store, StoreRuntime, Transition, Want},
};
use sea_orm::{ConnectionTrait, DatabaseConnection, QueryResult, Statement, Value};
use std::{sync::Arc, time::Duration};

/// Random numbers that are the same in every run.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number below `sides`.
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (it ^ (it >> 31)) % sides
    }

    /// Lets other tasks go first, a few times.
    pub(super) async fn dawdle(&mut self) {
        for _ in 0..self.roll(30) {
            tokio::task::yield_now().await;
        }
    }
}

/// Claims up to `slots` jobs of each of `wants`.
pub(super) async fn claim_of(store: &Store, wants: &[(JobKind, usize)]) -> Vec<Claim> {
    let kinds: Arc<[JobKind]> = wants.iter().map(|it| it.0).collect();
    let wants = wants.iter().map(|it| Want { kind: it.0.0, floor: 0, slots: it.1 }).collect();
    store.queue().claim(wants, kinds).await.unwrap()
}

/// Claims all jobs that are due and whose last attempt was rescued, one by one.
pub(super) async fn claim_suspects(store: &Store) -> Vec<Claim> {
    let wanted: Vec<&str> = KINDS.iter().map(|it| it.0).collect();
    let mut claims = Vec::new();
    while let Some(claim) = store.queue().claim_suspect(&wanted, Arc::new(KINDS)).await.unwrap() {
        claims.push(claim);
    }
    claims
}

/// Does the same to all of `claims`; every fence must hold.
pub(super) async fn settle_all(store: &Store, claims: &[Claim], transition: &Transition) {
    let all: Vec<Settlement> =
        claims.iter().map(|it| settle(store, it, transition.clone())).collect();
    let applied = store.ledger().settle(all.into()).await.unwrap();
    assert!(applied.iter().all(|it| *it), "{applied:?}");
}

/// Ends all of `claims` well.
pub(super) async fn succeed(store: &Store, claims: &[Claim]) {
    settle_all(store, claims, &Transition::Succeed(Vec::new())).await;
}

/// Runs all that is or becomes due, in rounds of `slots`, until nothing is left. Returns how many
/// runs that took.
pub(super) async fn drain(store: &Store, slots: usize) -> usize {
    let mut runs = 0;
    loop {
        let due = store.queue().make_due().await.unwrap();
        let mut claims = claim(store, slots).await;
        claims.extend(claim_suspects(store).await);
        if claims.is_empty() && due == 0 {
            return runs;
        }
        runs += claims.len();
        succeed(store, &claims).await;
    }
}

/// Enqueues `count` jobs that are lines of their own, in groups of a thousand.
pub(super) async fn enqueue(store: &Store, client: &str, kind: JobKind, count: usize) -> Vec<Id> {
    let mut ids = Vec::with_capacity(count);
    while ids.len() < count {
        let n = (count - ids.len()).min(1_000);
        let jobs = (0..n).map(|_| job(store, client, kind)).collect();
        let made = store.enqueuer().enqueue(jobs).await.unwrap();
        ids.extend(made.into_iter().flatten());
    }
    ids
}

/// A subquery `numbers` with one column `n` from 1 to `count`.
pub(super) fn numbers(db: &Fixture, count: usize) -> String {
    numbers_from(db, 1, i64::try_from(count).unwrap())
}

/// A subquery `numbers` with one column `n` from `first` to `last`.
pub fn numbers_from(db: &Fixture, first: i64, last: i64) -> String {
    if db.is_sqlite() {
        format!(
            "(with recursive up(n) as (select {first} union all select n + 1 from up where n < {last}) select n from up) as numbers"
        )
    } else {
        format!("(select n::bigint from generate_series({first}, {last}) as n) as numbers")
    }
}

/// The database's clock, moved by `ms`, as a stored instant.
pub fn instant(db: &Fixture, ms: i64) -> String {
    if db.is_sqlite() {
        format!("(cast(unixepoch('subsec') * 1000 as integer) + {ms})")
    } else {
        format!("(now() + {ms} * interval '1 millisecond')")
    }
}

/// Jobs of one client as if they had been enqueued one after the other: three statements, whatever
/// the number. Their ids are `first + 1` to `first + count`, small against those that nodes give
/// out.
pub(super) async fn fill(db: &Fixture, client: &str, kind: JobKind, first: i64, count: usize) {
    let (kind, now, numbers) = (kind.0, instant(db, 0), numbers(db, count));
    db.execute(&format!(
        "insert into jobs (id, kind, client_id, subject_id, max_attempts, run_at, created_at) \
         select {first} + n, '{kind}', '{client}', {first} + n, 5, {now}, {now} from {numbers}"
    ))
    .await;
    db.execute(&format!(
        "insert into job_ready (line, job_id, kind, client_id, turn) \
         select -({first} + n), {first} + n, '{kind}', '{client}', n from {numbers}"
    ))
    .await;
    db.execute(&format!(
        "insert into job_clients (client_id, kind, last_turn) values ('{client}', '{kind}', {count})"
    ))
    .await;
    db.execute(&format!(
        "insert into job_counts (node, kind, state, count) values (0, '{client}:{kind}', 'enqueued', {count})"
    ))
    .await;
}

/// Brings the statistics of all tables up to date.
pub(super) async fn analyze(db: &Fixture) {
    db.execute(if db.is_sqlite() { "analyze" } else { "vacuum analyze" }).await;
}

/// The text of a statement of the store.
pub(super) fn text_of(db: &Fixture, name: &str) -> String {
    let mut all = postroom::store::statements(db.is_sqlite());
    let at = all.iter().position(|it| it.0 == name);
    all.swap_remove(at.unwrap_or_else(|| panic!("no statement {name}"))).1
}

/// The rows of a query.
pub(super) async fn rows(db: &Fixture, sql: &str, values: Vec<Value>) -> Vec<QueryResult> {
    let statement = Statement::from_sql_and_values(db.db.get_database_backend(), sql, values);
    db.db.query_all_raw(statement).await.unwrap()
}

/// Inbound messages, one of each phone, in this order.
pub(super) fn messages(
    client: &str,
    phones: &[String],
    round: impl std::fmt::Display,
) -> Arc<[Inbound]> {
    phones.iter().map(|phone| sms(client, phone, &format!("{phone} {round}"), "hello")).collect()
}

/// Stores messages of `phones`; the answers are all `accepted`.
pub(super) async fn put(
    store: &Store,
    client: &str,
    phones: &[String],
    round: impl std::fmt::Display,
) -> Vec<(Id, Id)> {
    let answers = store.inbox().put(messages(client, phones, round)).await.unwrap();
    answers
        .iter()
        .map(|it| match it {
            Answer::Accepted { lead_id, job_id, .. } => (*lead_id, *job_id),
            other => panic!("{other:?}"),
        })
        .collect()
}

/// Phone numbers.
pub(super) fn phones(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("+1555{n:07}")).collect()
}

/// Ends one claim well.
pub(super) async fn succeed_one(store: &Store, claim: &Claim) -> bool {
    end(store, claim, Transition::Succeed(Vec::new())).await
}

/// Checks that every job is in exactly one place, and that every line with blocked jobs has a head.
pub(super) async fn assert_places(db: &Fixture) {
    let places = "select job_id from job_ready union all select job_id from job_blocked \
        union all select job_id from job_later union all select job_id from job_attempts where ended";
    let twice = format!(
        "select cast(job_id as text) from ({places}) as places group by job_id having count(*) > 1"
    );
    assert_eq!(db.texts(&twice).await, Vec::<String>::new(), "jobs in two places");
    let nowhere = format!("select cast(id as text) from jobs where id not in ({places})");
    assert_eq!(db.texts(&nowhere).await, Vec::<String>::new(), "jobs in no place");
    let unknown = format!(
        "select cast(job_id as text) from ({places}) as places where job_id not in (select id from jobs)"
    );
    assert_eq!(db.texts(&unknown).await, Vec::<String>::new(), "places of no job");
    let headless = rows(db, &text_of(db, "READ_HEADLESS"), Vec::new()).await;
    assert!(headless.is_empty(), "{} lines have no head", headless.len());
    let wrong_runs = "select cast(r.job_id as text) from job_ready r where exists \
        (select 1 from job_attempts a where a.job_id = r.job_id and a.run > r.run)";
    assert_eq!(db.texts(wrong_runs).await, Vec::<String>::new(), "runs went back");
}

/// Checks the same, and that the counts of the overview fit the tables.
pub(super) async fn assert_whole(db: &Fixture) {
    assert_places(db).await;
    let counted = db
        .number("select cast(coalesce(sum(case when state = 'enqueued' then count else -count end), 0) as bigint) from job_counts")
        .await;
    let waiting = db
        .number(
            "select (select count(*) from job_ready) + (select count(*) from job_blocked) + (select count(*) from job_later)",
        )
        .await;
    assert_eq!(counted, waiting, "the counts have gone astray");
}

/// A PostgreSQL database after the stores over it are gone: only then its statistics are complete.
pub(super) struct Left {
    connection: DatabaseConnection,
    _runtime: Arc<StoreRuntime>,
}

impl Left {
    /// Drops the stores, and waits until their sessions have ended.
    pub(super) async fn of(db: Fixture, others: Vec<Store>) -> Self {
        let Fixture { store, db: connection, runtime, .. } = db;
        drop((store, others));
        let left = Self { connection, _runtime: runtime };
        eventually(Duration::from_secs(20), async || {
            let open = "select count(*) from pg_stat_activity \
                where datname = current_database() and application_name = 'postroom'";
            (left.number(open).await == 0).then_some(())
        })
        .await;
        left
    }

    /// The only value of the only row.
    pub(super) async fn number(&self, sql: &str) -> i64 {
        let statement = Statement::from_string(self.connection.get_database_backend(), sql);
        let row = self.connection.query_one_raw(statement).await.unwrap().unwrap();
        row.try_get_by_index(0).unwrap()
    }
}
