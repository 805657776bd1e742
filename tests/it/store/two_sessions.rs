//! Two sessions at once, one test for each pair of statements: many interleavings on the same
//! lines, and sound tables after each.

use super::{
    life::{claim, end, settle},
    tools::{
        Dice, assert_places, assert_whole, claim_of, drain, enqueue, instant, messages, phones,
        put, settle_all, succeed,
    },
};
use crate::support::leftovers::Leftover;
use crate::{
    on_both_databases,
    support::{
        eventually,
        fixture::{Fixture, SMS, event},
    },
};
use postroom::{
    config::Retention,
    domain::{
        Id, Identity, IdentityKind, JobStatus, Signal,
        job::{FailureReason, SELF_CHECK},
    },
    store::{
        Claim, Content, Inbound, JobActionError, JobView, Pruning, Settlement, Store, Transition,
        wall_clock,
    },
};
use sqlx::Connection;
use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

const LEADS: usize = 6;

/// The other session: on SQLite, which has one writer, another task.
async fn other_of(db: &Fixture) -> Store {
    if db.is_sqlite() { db.store.clone() } else { db.another_node().await }
}

/// SQLite has one order for whole transactions, PostgreSQL many.
fn rounds(db: &Fixture) -> usize {
    if db.is_sqlite() { 5 } else { 50 }
}

async fn late<T>(seed: u64, work: impl Future<Output = T>) -> T {
    Dice::new(seed).dawdle().await;
    work.await
}

/// Runs both at once, beginning a little apart, in either order.
async fn at_once<A, B>(
    round: usize,
    left: impl Future<Output = A>,
    right: impl Future<Output = B>,
) -> (A, B) {
    let round = u64::try_from(round).unwrap();
    tokio::join!(late(2 * round, left), late(2 * round + 1, right))
}

fn retry_now() -> Transition {
    Transition::Retry {
        after: Duration::ZERO,
        reason: FailureReason::Error,
        error: "no".to_owned(),
    }
}

/// A settlement of each claim.
fn all(store: &Store, claims: &[Claim], transition: &Transition) -> std::sync::Arc<[Settlement]> {
    claims.iter().map(|it| settle(store, it, transition.clone())).collect()
}

/// Every lead has exactly one head: what was enqueued while the line emptied was not left behind.
async fn assert_heads(db: &Fixture, count: usize) {
    assert_eq!(
        db.number("select count(*) from job_ready where line > 0").await,
        i64::try_from(count).unwrap()
    );
    assert_whole(db).await;
}

async fn cancel(store: &Store, id: Id) -> Result<JobView, JobActionError> {
    store.desk().cancel(id).await
}

on_both_databases! {
    async fn enqueue_against_end(db: Fixture) {
        let (other, phones) = (other_of(&db).await, phones(LEADS));
        put(&db.store, "a", &phones, "first").await;
        for round in 0..rounds(&db) {
            let claims = claim(&other, LEADS).await;
            assert_eq!(claims.len(), LEADS);
            let ends = all(&other, &claims, &Transition::Succeed(Vec::new()));
            let (inbox, ledger) = (db.store.inbox(), other.ledger());
            let (stored, applied) =
                at_once(round, inbox.put(messages("a", &phones, round)), ledger.settle(ends)).await;
            assert_eq!(stored.unwrap().len(), LEADS);
            assert!(applied.unwrap().iter().all(|it| *it));
            assert_heads(&db, LEADS).await;
        }
        drain(&db.store, 50).await;
        assert_heads(&db, 0).await;
    }

    /// NEXT: what is promoted while more is enqueued behind it.
    #[ignore = "long: `just long`"]
    async fn next_against_enqueue(db: Fixture) {
        let (other, phones) = (other_of(&db).await, phones(LEADS));
        for n in 0..3 {
            put(&db.store, "a", &phones, format!("first {n}")).await;
        }
        for round in 0..rounds(&db) {
            let claims = claim(&other, LEADS).await;
            assert_eq!(claims.len(), LEADS);
            let transition = match round % 3 {
                0 => Transition::Succeed(Vec::new()),
                1 => Transition::Fail { reason: FailureReason::Error, error: "no".to_owned() },
                _ => Transition::Snooze { after: Duration::ZERO },
            };
            let ends = all(&other, &claims, &transition);
            let (inbox, ledger) = (db.store.inbox(), other.ledger());
            let (stored, applied) =
                at_once(round, inbox.put(messages("a", &phones, round)), ledger.settle(ends)).await;
            stored.unwrap();
            assert!(applied.unwrap().iter().all(|it| *it));
            assert_heads(&db, LEADS).await;
        }
        let later = db.number("select count(*) from job_later").await;
        assert!(later > 0);
        db.execute(&format!("update job_later set run_at = {}", instant(&db, -1))).await;
        drain(&db.store, 50).await;
        assert_heads(&db, 0).await;
    }

    async fn enqueue_against_claim(db: Fixture) {
        let (other, phones) = (other_of(&db).await, phones(LEADS));
        let total = AtomicI64::new(0);
        for round in 0..rounds(&db) {
            let mut some = phones.clone();
            some.rotate_left(round % LEADS);
            let inbox = db.store.inbox();
            let (stored, claims) =
                at_once(round, inbox.put(messages("a", &some, round)), claim_of(&other, &[(SMS, 4)])).await;
            total.fetch_add(i64::try_from(stored.unwrap().len()).unwrap(), Ordering::Relaxed);
            assert_heads(&db, LEADS).await;
            if round % 2 == 0 {
                succeed(&other, &claims).await;
            } else {
                settle_all(&other, &claims, &Transition::Release).await;
            }
        }
        drain(&db.store, 50).await;
        assert_heads(&db, 0).await;
        assert_eq!(db.number("select count(*) from job_attempts where ended").await, total.into_inner());
    }

    async fn claim_against_claim(db: Fixture) {
        let (other, phones) = (other_of(&db).await, phones(LEADS));
        for round in 0..rounds(&db) {
            put(&db.store, "a", &phones, round).await;
            let (left, right) =
                at_once(round, claim_of(&db.store, &[(SMS, 4)]), claim_of(&other, &[(SMS, 4)])).await;
            let mut jobs: Vec<Id> = left.iter().chain(&right).map(|it| it.job.id).collect();
            jobs.sort_unstable();
            jobs.dedup();
            assert_eq!(jobs.len(), left.len() + right.len(), "a job was claimed twice");
            succeed(&db.store, &left).await;
            succeed(&other, &right).await;
        }
        drain(&db.store, 50).await;
        assert_heads(&db, 0).await;
    }

    /// Retries and snoozes become due while their leads get more.
    #[ignore = "long: `just long`"]
    async fn enqueue_against_due(db: Fixture) {
        let (other, phones) = (other_of(&db).await, phones(LEADS));
        put(&db.store, "a", &phones, "first").await;
        for round in 0..rounds(&db) {
            let claims = claim(&other, LEADS).await;
            let (retried, snoozed) = claims.split_at(claims.len() / 2);
            settle_all(&other, retried, &retry_now()).await;
            settle_all(&other, snoozed, &Transition::Snooze { after: Duration::ZERO }).await;
            db.execute(&format!("update job_later set run_at = {}", instant(&db, -1))).await;
            let (inbox, queue) = (db.store.inbox(), other.queue());
            let (stored, due) =
                at_once(round, inbox.put(messages("a", &phones, round)), queue.make_due()).await;
            stored.unwrap();
            assert_eq!(due.unwrap(), claims.len());
            assert_heads(&db, LEADS).await;
        }
        drain(&db.store, 50).await;
        assert_heads(&db, 0).await;
    }

    /// The timers of all nodes fire for the same due time: a client is not put behind by turns that
    /// nobody uses.
    #[ignore = "long: `just long`"]
    async fn due_against_due_takes_one_turn_for_each_job(db: Fixture) {
        let other = other_of(&db).await;
        let mut due = 0;
        for round in 0..rounds(&db) {
            enqueue(&db.store, "a", SELF_CHECK, 10).await;
            let claims = claim(&db.store, 10).await;
            let v = db.store.queue().clock().await.unwrap()[SELF_CHECK.0];
            let (retried, snoozed) = claims.split_at(5);
            settle_all(&db.store, retried, &retry_now()).await;
            settle_all(&db.store, snoozed, &Transition::Snooze { after: Duration::ZERO }).await;
            db.execute(&format!("update job_later set run_at = {}", instant(&db, -1))).await;
            let (one, two) = (db.store.queue(), other.queue());
            let (left, right) = at_once(round, one.make_due(), two.make_due()).await;
            let moved = left.unwrap() + right.unwrap() + one.make_due().await.unwrap();
            assert_eq!(moved, 10);
            // After V, or after the client's last such turn, come as many turns as jobs became due.
            let before = due.max(v - 1);
            due = db.number("select last_due from job_clients where client_id = 'a'").await;
            assert_eq!(due - before, 10, "round {round}");
            assert_eq!(drain(&db.store, 50).await, 10);
        }
    }

    #[ignore = "long: `just long`"]
    async fn due_against_due(db: Fixture) {
        let (other, phones) = (other_of(&db).await, phones(LEADS));
        for round in 0..rounds(&db) {
            put(&db.store, "a", &phones, round).await;
            let claims = claim(&other, LEADS).await;
            let (retried, snoozed) = claims.split_at(claims.len() / 2);
            settle_all(&other, retried, &retry_now()).await;
            settle_all(&other, snoozed, &Transition::Snooze { after: Duration::ZERO }).await;
            db.execute(&format!("update job_later set run_at = {}", instant(&db, -1))).await;
            let (one, two) = (db.store.queue(), other.queue());
            let (left, right) = at_once(round, one.make_due(), two.make_due()).await;
            let moved = left.unwrap() + right.unwrap();
            // A head that the other holds at that moment is passed over, and is due at the next
            // tick.
            let moved = moved + db.store.queue().make_due().await.unwrap();
            assert_eq!(moved, claims.len());
            assert_whole(&db).await;
        }
        drain(&db.store, 50).await;
        assert_heads(&db, 0).await;
    }

    /// A person cancels heads and what is behind them while their leads get more.
    #[ignore = "long: `just long`"]
    async fn enqueue_against_cancel(db: Fixture) {
        let (other, phones) = (other_of(&db).await, phones(2));
        for n in 0..2 {
            put(&db.store, "a", &phones, format!("first {n}")).await;
        }
        for round in 0..rounds(&db) {
            let place = if round % 2 == 0 { "job_ready where line > 0" } else { "job_blocked" };
            let ids = db.texts(&format!("select cast(job_id as text) from {place} order by job_id limit 1")).await;
            let id: Id = ids[0].parse().unwrap();
            let inbox = db.store.inbox();
            let (stored, cancelled) =
                at_once(round, inbox.put(messages("a", &phones, round)), cancel(&other, id)).await;
            stored.unwrap();
            assert_eq!(cancelled.unwrap().status, JobStatus::Cancelled);
            assert_heads(&db, 2).await;
        }
        drain(&db.store, 50).await;
        assert_heads(&db, 0).await;
    }

    /// A waiting head is cancelled under its own fence by the recorder's way, while a claim is
    /// after it.
    async fn claim_against_cancel(db: Fixture) {
        let (other, phones) = (other_of(&db).await, phones(LEADS));
        for round in 0..rounds(&db) {
            let jobs = put(&db.store, "a", &phones, round).await;
            let cancels: std::sync::Arc<[Settlement]> = jobs
                .iter()
                .map(|(lead_id, job_id)| Settlement {
                    job_id: *job_id,
                    line: *lead_id,
                    kind: SMS.0.to_owned(),
                    client_id: "a".to_owned(),
                    lead_id: Some(*lead_id),
                    message_id: None,
                    draft_id: None,
                    channel: None,
                    request_id: None,
                    run: 0,
                    spared: 0,
                    node: None,
                    actor: None,
                    duration: None,
                    transition: Transition::Cancel { reason: "not needed".to_owned() },
                    send: None,
                    trace: None,
                })
                .collect();
            let ledger = other.ledger();
            let (claims, applied) =
                at_once(round, claim_of(&db.store, &[(SMS, 4)]), ledger.settle(cancels)).await;
            let applied = applied.unwrap();
            for ((_, job_id), is_applied) in jobs.iter().zip(&applied) {
                let is_claimed = claims.iter().any(|it| it.job.id == *job_id);
                assert!(is_claimed ^ is_applied, "job {job_id}: claimed {is_claimed}, cancelled {is_applied}");
            }
            assert_whole(&db).await;
            succeed(&db.store, &claims).await;
        }
        assert_heads(&db, 0).await;
    }

    #[ignore = "long: `just long`"]
    async fn end_against_cancel(db: Fixture) {
        let (other, phones) = (other_of(&db).await, phones(1));
        for round in 0..rounds(&db) {
            put(&db.store, "a", &phones, format!("{round} first")).await;
            put(&db.store, "a", &phones, format!("{round} second")).await;
            let claims = claim(&other, 1).await;
            let job = claims[0].job.id;
            let (cancelled, ended) = at_once(
                round,
                cancel(&db.store, job),
                end(&other, &claims[0], Transition::Succeed(Vec::new())),
            ).await;
            assert!(cancelled.is_ok() ^ ended, "{cancelled:?}, ended: {ended}");
            assert_heads(&db, 1).await;
            drain(&db.store, 50).await;
        }
    }

    /// A failed job enters again by hand while its lead gets more, and while another person does
    /// the same.
    #[ignore = "long: `just long`"]
    async fn retry_by_a_person_against_enqueue_and_against_itself(db: Fixture) {
        let (other, phones) = (other_of(&db).await, phones(1));
        for round in 0..rounds(&db) {
            put(&db.store, "a", &phones, format!("{round} first")).await;
            let claims = claim(&db.store, 1).await;
            let fail = Transition::Fail { reason: FailureReason::Error, error: "no".to_owned() };
            settle_all(&db.store, &claims, &fail).await;
            let job = claims[0].job.id;
            let (inbox, desk) = (db.store.inbox(), other.desk());
            let (stored, retried) =
                at_once(round, inbox.put(messages("a", &phones, round)), desk.retry(job, None)).await;
            stored.unwrap();
            assert_eq!(retried.unwrap().status, JobStatus::Pending);
            assert_heads(&db, 1).await;
            drain(&db.store, 50).await;
            let again = db.texts(&format!("select outcome from job_attempts where job_id = {job} and ended")).await;
            assert_eq!(again, ["succeeded"]);
        }
        put(&db.store, "a", &phones, "last").await;
        for round in 0..rounds(&db) {
            let claims = claim(&db.store, 1).await;
            let fail = Transition::Fail { reason: FailureReason::Error, error: "no".to_owned() };
            settle_all(&db.store, &claims, &fail).await;
            let (one, two) = (db.store.desk(), other.desk());
            let (left, right) = at_once(round, one.retry(claims[0].job.id, None), two.retry(claims[0].job.id, None)).await;
            assert!(left.is_ok() ^ right.is_ok(), "{left:?} {right:?}");
            assert_heads(&db, 1).await;
        }
    }

    /// A line without a head, which no transaction leaves behind, gets exactly one.
    #[ignore = "long: `just long`"]
    async fn sweep_against_enqueue_and_against_itself(db: Fixture) {
        db.may_leave(Leftover::Miscounted, "jobs are ended by hand");
        let (other, phones) = (other_of(&db).await, phones(LEADS));
        for round in 0..rounds(&db) {
            for n in 0..3 {
                put(&db.store, "a", &phones, format!("{round} {n}")).await;
            }
            db.execute(&format!(
                "insert into job_attempts (job_id, run, spared, outcome, ended, finished_at) \
                 select job_id, run + 1, spared, 'succeeded', {}, {} from job_ready",
                if db.is_sqlite() { "1" } else { "true" },
                instant(&db, 0),
            )).await;
            db.execute("delete from job_ready").await;
            let swept = if round % 2 == 0 {
                let (inbox, queue) = (db.store.inbox(), other.queue());
                let (stored, swept) =
                    at_once(round, inbox.put(messages("a", &phones, round)), queue.sweep()).await;
                stored.unwrap();
                swept.unwrap()
            } else {
                let (one, two) = (db.store.queue(), other.queue());
                let (left, right) = at_once(round, one.sweep(), two.sweep()).await;
                left.unwrap() + right.unwrap()
            };
            assert!(swept <= LEADS);
            let left = db.number("select count(*) from job_ready where line > 0").await;
            assert_eq!(left, i64::try_from(LEADS).unwrap(), "round {round}: {swept} swept");
            assert_places(&db).await;
            drain(&db.store, 50).await;
        }
    }

    async fn sweep_against_end_finds_nothing(db: Fixture) {
        let (other, phones) = (other_of(&db).await, phones(LEADS));
        put(&db.store, "a", &phones, "first").await;
        for round in 0..rounds(&db) {
            put(&db.store, "a", &phones, round).await;
            let claims = claim(&db.store, LEADS).await;
            let ends = all(&db.store, &claims, &Transition::Succeed(Vec::new()));
            let (ledger, queue) = (db.store.ledger(), other.queue());
            let (applied, swept) = at_once(round, ledger.settle(ends), queue.sweep()).await;
            assert!(applied.unwrap().iter().all(|it| *it));
            assert_eq!(swept.unwrap(), 0);
            assert_heads(&db, LEADS).await;
        }
    }
}

/// Begins a transaction that holds the turns of client `a`, so that the due step stops before it
/// locks anything.
async fn hold_turns(db: &Fixture) -> sqlx::PgConnection {
    let url = db.config.database.url.expose();
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    let hold = "begin; select * from job_clients where client_id = 'a' for update";
    sqlx::raw_sql(hold).execute(&mut connection).await.unwrap();
    connection
}

/// Lets the due step read what is due, changes that behind its back, and then lets it go on.
async fn change_while_due_waits(db: &Fixture, change: &str) -> usize {
    let mut holder = hold_turns(db).await;
    let queue = db.store.queue();
    let meanwhile = async {
        eventually(Duration::from_secs(10), async || {
            let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
            (db.number(waiting).await == 1).then_some(())
        })
        .await;
        db.execute(change).await;
        sqlx::raw_sql("commit").execute(&mut holder).await.unwrap();
    };
    let (moved, ()) = tokio::join!(queue.make_due(), meanwhile);
    moved.unwrap()
}

/// Prunes all that may go, while another session has changed a row that was to go, and commits that
/// only once the chore waits for it.
async fn change_while_pruning_waits(db: &Fixture, change: &str) {
    let url = db.config.database.url.expose();
    let mut holder = sqlx::PgConnection::connect(url).await.unwrap();
    let change = sqlx::AssertSqlSafe(format!("begin; {change}"));
    sqlx::raw_sql(change).execute(&mut holder).await.unwrap();
    let none = Duration::ZERO;
    let keep = Retention { succeeded: none, failed: none, quarantine: none, payloads: none };
    let chores = db.store.chores();
    let prune = async {
        let mut round = Pruning::begin();
        while !round.is_over() {
            let pruned = chores.prune(&mut round, &keep, none).await;
            assert!(pruned.failures.is_empty(), "{:?}", pruned.failures);
        }
    };
    let meanwhile = async {
        eventually(Duration::from_secs(10), async || {
            let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
            (db.number(waiting).await == 1).then_some(())
        })
        .await;
        sqlx::raw_sql("commit").execute(&mut holder).await.unwrap();
    };
    tokio::join!(prune, meanwhile);
}

/// On PostgreSQL only: SQLite has nobody in between. A key that has expired is taken over by the
/// next message that has it: gone, the message after that one would be taken for new, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_taken_over_while_pruning_waits_for_it_stays() {
    let Some(db) = Fixture::postgres().await else { return };
    put(&db.store, "a", &phones(2), "first").await;
    db.execute("update message_keys set expires_at = now() - interval '1 hour'").await;
    let key = "(select key from message_keys order by key limit 1)";
    let take_over = format!(
        "update message_keys set expires_at = now() + interval '10 minutes' where key = {key}"
    );
    change_while_pruning_waits(&db, &take_over).await;
    assert_eq!(db.number("select count(*) from message_keys").await, 1, "the other is gone");
}

/// The same for a quarantined item that has just come again, and was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quarantined_item_that_comes_again_while_pruning_waits_for_it_stays() {
    let Some(db) = Fixture::postgres().await else { return };
    for body in ["one", "two"] {
        let at = wall_clock().plus_millis(-60_000);
        let body_hash = body.to_owned();
        let reason = "unknown_event".to_owned();
        let content = Content::Quarantine { event_type: None, reason, body_hash };
        let phone = Identity::new(IdentityKind::PHONE, "+15550000001");
        let item = Inbound { content, ..event("a", "sms", vec![phone], Signal::Connected, at) };
        db.store.inbox().put(std::sync::Arc::new([item])).await.unwrap();
    }
    let again = "update quarantine set count = count + 1, last_received_at = now() + interval '1 minute' where body_hash = 'one'";
    change_while_pruning_waits(&db, again).await;
    assert_eq!(db.texts("select body_hash from quarantine").await, ["one"], "the other is gone");
}

/// On PostgreSQL only: SQLite has nobody in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_ran_and_was_snoozed_anew_while_the_due_step_waited_uses_no_run_twice() {
    let Some(db) = Fixture::postgres().await else { return };
    enqueue(&db.store, "a", SELF_CHECK, 1).await;
    let claims = claim(&db.store, 1).await;
    settle_all(&db.store, &claims, &Transition::Snooze { after: Duration::ZERO }).await;
    db.execute("update job_later set run_at = now() - interval '1 second'").await;
    let change = "update job_later set run = 2, spared = 2, run_at = now() + interval '1 hour'";
    assert_eq!(change_while_due_waits(&db, change).await, 0, "it is not due any more");
    assert_eq!(db.number("select run from job_later").await, 2);
}

/// On PostgreSQL only: SQLite has nobody in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_took_the_place_of_one_that_was_due_gets_no_turn_that_was_not_counted() {
    let Some(db) = Fixture::postgres().await else { return };
    enqueue(&db.store, "a", SELF_CHECK, 40).await;
    let claims = claim(&db.store, 40).await;
    settle_all(&db.store, &claims[..1], &retry_now()).await;
    let change = "update job_ready set kind = 'LEAD_SCORING_POST_PROCESS' where run_at is not null";
    assert_eq!(change_while_due_waits(&db, change).await, 0, "it waits for the next tick");
    assert_eq!(db.store.queue().make_due().await.unwrap(), 1);
}
