//! G7: fair to clients.

use super::{
    life::{claim, settle},
    tools::{
        Dice, analyze, claim_of, enqueue, fill, instant, numbers, settle_all, succeed, text_of,
    },
};
use crate::on_both_databases;
use crate::support::leftovers::Leftover;
use postroom::{
    domain::{
        Id, JobKind,
        fairness::{Floor, TRANSACTION_MAX, Turn},
        job::{FailureReason, LEAD_SCORING, SELF_CHECK},
    },
    store::{Claim, Settlement, Store, Transition, Want},
};
use sqlx::Connection;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

const SLOTS: usize = 16;

/// Claims rounds of `SLOTS` until `job` is claimed, ending every other round. Returns the rounds,
/// and how many jobs of `other` were claimed until then.
async fn rounds_until(
    store: &Store,
    kind: JobKind,
    slots: usize,
    job: Id,
    other: &str,
) -> (usize, usize) {
    let mut others = 0;
    for round in 1..=100 {
        let claims = claim_of(store, &[(kind, slots)]).await;
        let at = claims.iter().position(|it| it.job.id == job);
        others += claims
            .iter()
            .take(at.unwrap_or(claims.len()))
            .filter(|it| it.job.client_id == other)
            .count();
        if round % 2 == 0 {
            succeed(store, &claims).await;
        }
        if at.is_some() {
            return (round, others);
        }
    }
    panic!("job {job} was not claimed in 100 rounds");
}

/// A node's claims as the supervisor makes them: a floor a kind, and V read where a claim looks
/// without one.
#[derive(Default)]
struct Claimer {
    floors: HashMap<&'static str, Floor>,
}

impl Claimer {
    async fn claim(
        &mut self,
        store: &Store,
        now: Duration,
        kind: JobKind,
        slots: usize,
    ) -> Vec<Claim> {
        let floor = self.floors.entry(kind.0).or_default();
        let want = Want { kind: kind.0, floor: floor.for_claim(now), slots };
        let clock =
            if want.floor == 0 { store.queue().clock().await.unwrap() } else { HashMap::new() };
        let claims = store.queue().claim(vec![want], Arc::new([kind])).await.unwrap();
        let greatest = claims.iter().map(|it| it.turn).max().unwrap_or_default();
        let v = clock.get(kind.0).copied().unwrap_or_default();
        floor.claimed(now, slots, claims.len(), greatest, v);
        claims
    }

    fn floor(&self, kind: JobKind, now: Duration) -> Turn {
        self.floors[kind.0].for_claim(now)
    }
}

on_both_databases! {
    #[ignore = "long: `just long`"]
    async fn g07_a_hundred_thousand_jobs_of_a_client_hold_up_nobody_nor_after_a_restart(db: Fixture) {
        db.may_leave(Leftover::Orphaned, "nobody rescues what the node before the restart had claimed");
        fill(&db, "a", SELF_CHECK, 0, 98_000).await;
        enqueue(&db.store, "a", SELF_CHECK, 2_000).await;
        for _ in 0..6 {
            let claims = claim_of(&db.store, &[(SELF_CHECK, SLOTS)]).await;
            assert_eq!(claims.len(), SLOTS);
            succeed(&db.store, &claims).await;
        }
        let running = claim_of(&db.store, &[(SELF_CHECK, SLOTS)]).await;
        assert_eq!(running.len(), SLOTS);
        let single = enqueue(&db.store, "b", SELF_CHECK, 1).await[0];
        let (rounds, others) = rounds_until(&db.store, SELF_CHECK, SLOTS, single, "a").await;
        assert!(others <= 2 * SLOTS && rounds <= 2, "{others} of a in {rounds} rounds");

        let restarted = db.another_node().await;
        let single = enqueue(&restarted, "c", SELF_CHECK, 1).await[0];
        let mut claimer = Claimer::default();
        let mut others = 0;
        let mut now = Duration::ZERO;
        loop {
            let claims = claimer.claim(&restarted, now, SELF_CHECK, SLOTS).await;
            now += Duration::from_millis(100);
            if let Some(at) = claims.iter().position(|it| it.job.id == single) {
                others += at;
                break;
            }
            others += claims.len();
            assert!(others <= 2 * SLOTS, "{others} after a restart");
        }
        assert!(others <= 2 * SLOTS, "{others} after a restart");
        let late = enqueue(&restarted, "d", SELF_CHECK, 50).await;
        let (rounds, others) = rounds_until(&restarted, SELF_CHECK, SLOTS, late[0], "a").await;
        assert!(others <= 2 * SLOTS && rounds <= 2, "{others} of a in {rounds} rounds");
    }

    #[ignore = "long: `just long`"]
    async fn g07_a_paused_kind_with_a_hundred_thousand_jobs_costs_its_client_no_round(db: Fixture) {
        const FEW: usize = 2;
        const CLIENTS: usize = 3;
        fill(&db, "a", LEAD_SCORING, 0, 100_000).await;
        for client in ["b", "c"] {
            enqueue(&db.store, client, SELF_CHECK, 60).await;
        }
        for _ in 0..10 {
            let claims = claim_of(&db.store, &[(SELF_CHECK, FEW)]).await;
            succeed(&db.store, &claims).await;
        }
        let single = enqueue(&db.store, "a", SELF_CHECK, 1).await[0];
        let (rounds, _) = rounds_until(&db.store, SELF_CHECK, FEW, single, "b").await;
        assert!(rounds <= CLIENTS.div_ceil(FEW) + 1, "{rounds} rounds");
    }

    async fn g07_five_thousand_retries_that_fall_due_at_once_hold_up_nobody(db: Fixture) {
        enqueue(&db.store, "a", SELF_CHECK, 5_000).await;
        let claims = claim_of(&db.store, &[(SELF_CHECK, 5_000)]).await;
        assert_eq!(claims.len(), 5_000);
        let retry = Transition::Retry { after: Duration::ZERO, reason: FailureReason::Error, error: "no".to_owned() };
        for some in claims.chunks(1_000) {
            let all: Vec<Settlement> = some.iter().map(|it| settle(&db.store, it, retry.clone())).collect();
            db.store.ledger().settle(all.into()).await.unwrap();
        }
        for step in 0..5 {
            assert_eq!(db.store.queue().make_due().await.unwrap(), 1_000, "step {step}");
            let claims = claim_of(&db.store, &[(SELF_CHECK, SLOTS)]).await;
            assert_eq!(claims.len(), SLOTS);
        }
        assert_eq!(db.store.queue().make_due().await.unwrap(), 0);
        let single = enqueue(&db.store, "b", SELF_CHECK, 1).await[0];
        let (rounds, others) = rounds_until(&db.store, SELF_CHECK, SLOTS, single, "a").await;
        assert!(others <= 2 * SLOTS && rounds <= 2, "{others} of a in {rounds} rounds");
    }

    async fn g07_a_client_that_has_both_retries_and_a_backlog_waits_behind_neither(db: Fixture) {
        enqueue(&db.store, "a", SELF_CHECK, 500).await;
        let first = claim_of(&db.store, &[(SELF_CHECK, 1)]).await;
        let retry = Transition::Retry { after: Duration::ZERO, reason: FailureReason::Error, error: "no".to_owned() };
        settle_all(&db.store, &first, &retry).await;
        assert_eq!(db.store.queue().make_due().await.unwrap(), 1);
        let (rounds, _) = rounds_until(&db.store, SELF_CHECK, SLOTS, first[0].job.id, "b").await;
        assert!(rounds <= 2, "a retry waited {rounds} rounds behind its client's backlog");
    }

    /// A client that was away has saved up no turns, and those it gets are not below the floor.
    async fn g07_a_client_that_comes_with_a_long_backlog_takes_no_more_than_its_share(db: Fixture) {
        let mut claimer = Claimer::default();
        let mut now = Duration::ZERO;
        enqueue(&db.store, "a", SELF_CHECK, 55 * SLOTS).await;
        for _ in 0..55 {
            let claims = claimer.claim(&db.store, now, SELF_CHECK, SLOTS).await;
            succeed(&db.store, &claims).await;
            now += Duration::from_secs(1);
        }
        assert!(claimer.floor(SELF_CHECK, now) > 0, "the floor is in use");
        enqueue(&db.store, "b", SELF_CHECK, 60 * SLOTS).await;
        let single = enqueue(&db.store, "a", SELF_CHECK, 1).await[0];
        let first = claimer.claim(&db.store, now, SELF_CHECK, 1).await;
        assert_eq!(first[0].job.client_id, "b", "what has just come is above the floor");
        let (rounds, _) = rounds_until(&db.store, SELF_CHECK, SLOTS, single, "b").await;
        assert!(rounds <= 2, "{rounds} rounds");
    }

    /// Every round takes as much as is waiting: no row is hidden by the floor, whatever enters in
    /// between.
    async fn g07_the_floor_hides_no_row(db: Fixture) {
        let mut dice = Dice::new(7);
        let mut claimer = Claimer::default();
        let mut now = Duration::ZERO;
        let mut waiting = 0;
        let mut claimed: Vec<Claim> = Vec::new();
        for step in 0..120 {
            now += Duration::from_millis(dice.roll(3_000));
            if dice.roll(3) > 0 && step < 100 {
                let client = format!("client {}", dice.roll(7));
                let count = usize::try_from(dice.roll(12) + 1).unwrap();
                enqueue(&db.store, &client, SELF_CHECK, count).await;
                waiting += count;
            }
            if dice.roll(4) == 0 {
                let again = match dice.roll(3) {
                    0 => Transition::Release,
                    1 => Transition::Retry { after: Duration::ZERO, reason: FailureReason::Error, error: "no".to_owned() },
                    _ => Transition::Succeed(Vec::new()),
                };
                let released = matches!(again, Transition::Release);
                let some: Vec<Claim> = claimed.drain(..claimed.len() / 2).collect();
                if !some.is_empty() {
                    settle_all(&db.store, &some, &again).await;
                }
                waiting += if released { some.len() } else { 0 };
                waiting += db.store.queue().make_due().await.unwrap();
            }
            let slots = usize::try_from(dice.roll(6) + 1).unwrap();
            let claims = claimer.claim(&db.store, now, SELF_CHECK, slots).await;
            assert_eq!(claims.len(), slots.min(waiting), "step {step}, floor {}", claimer.floor(SELF_CHECK, now));
            waiting -= claims.len();
            claimed.extend(claims);
        }
        assert!(claimer.floor(SELF_CHECK, now) > 0, "the floor was in use");
    }

    /// A row below the floor, as of a transaction that read V long ago, waits for the next claim
    /// without one.
    async fn g07_a_row_below_the_floor_is_seen_within_ten_seconds(db: Fixture) {
        let mut claimer = Claimer::default();
        let mut now = Duration::ZERO;
        enqueue(&db.store, "a", SELF_CHECK, 400).await;
        while claimer.floors.is_empty() || claimer.floor(SELF_CHECK, now) == 0 {
            let claims = claimer.claim(&db.store, now, SELF_CHECK, 10).await;
            assert!(!claims.is_empty());
            now += Duration::from_secs(4);
        }
        let late = enqueue(&db.store, "b", SELF_CHECK, 1).await[0];
        db.execute(&format!("update job_ready set turn = 0 where job_id = {late}")).await;
        let deadline = now + TRANSACTION_MAX;
        loop {
            let claims = claimer.claim(&db.store, now, SELF_CHECK, 3).await;
            if claims.iter().any(|it| it.job.id == late) {
                break;
            }
            assert!(now <= deadline, "not seen at {now:?}");
            now += Duration::from_secs(1);
        }
    }

    async fn g07_a_claim_costs_the_same_whatever_the_number_of_clients(db: Fixture) {
        db.may_leave(Leftover::Miscounted, "most jobs are made by hand");
        const CLIENTS: usize = 10_000;
        let now = instant(&db, 0);
        fill(&db, "alone", LEAD_SCORING, 0, 2 * CLIENTS).await;
        let from = numbers(&db, 2 * CLIENTS);
        let shuffled = format!("(n * 7919) % {CLIENTS}");
        db.execute(&format!(
            "insert into jobs (id, kind, client_id, subject_id, max_attempts, run_at, created_at) \
             select 1000000 + n, 'SELF_CHECK', 'client ' || ({shuffled}), n, 5, {now}, {now} from {from}"
        )).await;
        db.execute(&format!(
            "insert into job_ready (line, job_id, kind, client_id, turn) \
             select -1000000 - n, 1000000 + n, 'SELF_CHECK', 'client ' || ({shuffled}), (n - 1) / {CLIENTS} from {from}"
        )).await;
        assert_eq!(db.number("select count(distinct client_id) from job_ready").await, 10_001);
        analyze(&db).await;
        let one = cost_of_claim(&db, LEAD_SCORING).await;
        let many = cost_of_claim(&db, SELF_CHECK).await;
        assert!(many <= 2 * one, "{many} with {CLIENTS} clients, {one} with one");
        assert_eq!(claim(&db.store, 3).await.len(), 6, "what was measured was rolled back");
    }
}

/// The cost of a claim of 100 jobs: buffers on PostgreSQL, steps of its virtual machine on SQLite.
/// It is rolled back.
async fn cost_of_claim(db: &crate::support::fixture::Fixture, kind: JobKind) -> u64 {
    let text = text_of(db, "CLAIM");
    if db.is_sqlite() {
        return steps_of_claim(db, text, kind).await;
    }
    // PostgreSQL undoes a statement of a transaction that is not committed.
    let wants = format!(r#"[{{"kind":"{}","floor":0,"slots":100}}]"#, kind.0);
    let text = text.replace("$1", "77").replace("$2", &format!("'{wants}'"));
    let url = db.config.database.url.expose();
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql("begin").execute(&mut connection).await.unwrap();
    let plan: (serde_json::Value,) = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "explain (analyze, buffers, format json) {text}"
    )))
    .fetch_one(&mut connection)
    .await
    .unwrap();
    sqlx::raw_sql("rollback").execute(&mut connection).await.unwrap();
    let plan = &plan.0[0]["Plan"];
    assert_eq!(plan["Actual Rows"].as_f64(), Some(100.0), "{plan}");
    buffers(plan) + side_plan(plan).map_or(0, buffers)
}

fn buffers(plan: &serde_json::Value) -> u64 {
    ["Shared Hit Blocks", "Shared Read Blocks"].iter().filter_map(|it| plan[it].as_u64()).sum()
}

/// The part of a plan that raises the clock: it runs after the rest and is not in its sum.
fn side_plan(plan: &serde_json::Value) -> Option<&serde_json::Value> {
    let parts = plan["Plans"].as_array()?;
    parts
        .iter()
        .find(|it| it["Subplan Name"] == "CTE v")
        .or_else(|| parts.iter().find_map(side_plan))
}

async fn steps_of_claim(db: &crate::support::fixture::Fixture, text: String, kind: JobKind) -> u64 {
    let url = db.config.database.url.expose();
    let mut connection = sqlx::SqliteConnection::connect(url).await.unwrap();
    let steps = Arc::new(AtomicU64::new(0));
    sqlx::raw_sql("begin immediate").execute(&mut connection).await.unwrap();
    let counter = steps.clone();
    connection.lock_handle().await.unwrap().set_progress_handler(1, move || {
        counter.fetch_add(1, Ordering::Relaxed);
        true
    });
    let claimed = sqlx::query(sqlx::AssertSqlSafe(text))
        .bind(77_i64)
        .bind(kind.0)
        .bind(0_i64)
        .bind(100_i64)
        .bind("NO_SUCH_KIND")
        .bind(0_i64)
        .bind(100_i64)
        .bind("[]")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    connection.lock_handle().await.unwrap().remove_progress_handler();
    assert_eq!(claimed.len(), 100);
    sqlx::raw_sql("rollback").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    steps.load(Ordering::Relaxed)
}
