//! A transaction is held open for minutes, and PostgreSQL can clean up nothing meanwhile: the cost
//! of a claim depends on the last few seconds, and not on all that ran since.

use super::tools::{enqueue, succeed, text_of};
use crate::{harness::parameter, support::fixture::Fixture};
use postroom::{
    domain::{fairness::Floor, job::SELF_CHECK},
    store::{Claim, Want},
};
use sqlx::{Connection, Row};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Jobs of one claim.
const SLOTS: usize = 500;

/// The pages that a claim touches, and the milliseconds that it takes; it is undone.
async fn cost(db: &Fixture, floor: i64) -> (i64, f64) {
    let wants = format!("[{{\"kind\":\"SELF_CHECK\",\"floor\":{floor},\"slots\":{SLOTS}}}]");
    let claim = text_of(db, "CLAIM").replace("$1", "5").replace("$2", &format!("'{wants}'"));
    let url = db.config.database.url.expose();
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    // As the connections that claim.
    let explain = format!(
        "set enable_seqscan = off; set enable_bitmapscan = off; set enable_hashjoin = off; set enable_mergejoin = off; set jit = off; begin; \
         explain (analyze, buffers, timing off, format json) {claim}"
    );
    let plan =
        sqlx::raw_sql(sqlx::AssertSqlSafe(explain)).fetch_all(&mut connection).await.unwrap();
    sqlx::raw_sql("rollback").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let plan: serde_json::Value = plan.last().unwrap().get(0);
    let number = |name: &str| plan[0]["Plan"][name].as_i64().unwrap();
    let pages = number("Shared Hit Blocks") + number("Shared Read Blocks");
    (pages, plan[0]["Execution Time"].as_f64().unwrap())
}

fn greatest(claims: &[Claim]) -> i64 {
    claims.iter().map(|it| it.turn).max().unwrap_or_default()
}

/// The cost of claims over a number of jobs.
#[derive(Debug)]
struct Costs {
    before: (i64, f64),
    with_floor: (i64, f64),
    without: (i64, f64),
    /// The times of the first and the last tenth of the real claims, in milliseconds.
    first: f64,
    last: f64,
}

impl Costs {
    fn told(&self) -> String {
        format!(
            "pages and ms of a claim of {SLOTS}: at first {:?}, then with the floor {:?}, without {:?}; \
             real claims: the first {:.1} ms, the last {:.1} ms",
            self.before, self.with_floor, self.without, self.first, self.last
        )
    }
}

/// Runs `jobs` jobs while a transaction is held: `a_second` a second by the clock that the floor
/// follows.
async fn run(jobs: usize, a_second: u32) -> Option<Costs> {
    let db = Fixture::postgres().await?;
    enqueue(&db.store, "a", SELF_CHECK, jobs + 2 * SLOTS).await;
    let before = cost(&db, 0).await;
    let mut holder = sqlx::PgConnection::connect(db.config.database.url.expose()).await.unwrap();
    let hold = "begin isolation level repeatable read; select count(*) from job_ready";
    sqlx::raw_sql(hold).execute(&mut holder).await.unwrap();
    let (mut floor, mut with, mut now, mut v, mut took) =
        (Floor::default(), 0, Duration::from_secs(60), 0, Vec::new());
    for _ in 0..jobs / SLOTS {
        let wants = vec![Want { kind: SELF_CHECK.0, floor: floor.for_claim(now), slots: SLOTS }];
        let started = Instant::now();
        let claims = db.store.queue().claim(wants, Arc::new([SELF_CHECK])).await.unwrap();
        took.push(started.elapsed().as_secs_f64() * 1e3);
        assert_eq!(claims.len(), SLOTS);
        floor.claimed(now, SLOTS, claims.len(), greatest(&claims), v);
        v = v.max(greatest(&claims));
        with = floor.for_claim(now);
        now += Duration::from_secs(1) * u32::try_from(SLOTS).unwrap() / a_second;
        succeed(&db.store, &claims).await;
    }
    // Cleaned up as far as the held transaction lets.
    db.execute("vacuum job_ready").await;
    let (with_floor, without) = (cost(&db, with).await, cost(&db, 0).await);
    sqlx::raw_sql("rollback").execute(&mut holder).await.unwrap();
    let tenth = (took.len() / 10).max(1);
    let median = |part: &[f64]| {
        let mut part = part.to_vec();
        part.sort_unstable_by(f64::total_cmp);
        part[part.len() / 2]
    };
    let (first, last) = (median(&took[..tenth]), median(&took[took.len() - tenth..]));
    Some(Costs { before, with_floor, without, first, last })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn claims_stay_cheap_while_a_transaction_is_held_open() {
    let Some(costs) = run(16_000, 100).await else { return };
    eprintln!("{}", costs.told());
    let (before, with_floor, without) = (costs.before.0, costs.with_floor.0, costs.without.0);
    assert!(with_floor < before * 3, "{costs:?}");
    assert!(without > before * 3, "what ran before is still there: {costs:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a figure: HELD_JOBS, HELD_A_SECOND"]
async fn by_hand_what_claims_cost_after_a_hundred_thousand_jobs_under_a_held_transaction() {
    let jobs = usize::try_from(parameter("HELD_JOBS", 100_000)).unwrap();
    let a_second = u32::try_from(parameter("HELD_A_SECOND", 1_000)).unwrap();
    if let Some(costs) = run(jobs, a_second).await {
        eprintln!("{jobs} jobs, {a_second} a second: {}", costs.told());
    }
}
