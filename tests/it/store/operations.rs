//! Operations on many jobs: what they touch, what they count, and how they end.

use super::{
    life::settle,
    tools::{claim_of, enqueue, fill, instant, numbers},
};
use crate::{
    on_both_databases,
    support::{eventually, leftovers::Leftover},
};
use postroom::{
    domain::{Id, JobStatus, job::SELF_CHECK},
    store::{
        ByKind, JobAction, JobFilter, OperationError, OperationFilter, OperationRow, Operations,
        Pruning, Settlement, StartedOperation, Store, Transition,
    },
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

/// Jobs in one portion.
const PORTION: i64 = 500;

fn of(client: &str) -> JobFilter {
    JobFilter { client: vec![client.to_owned()], ..JobFilter::default() }
}

async fn start(
    operations: &Operations,
    action: JobAction,
    filter: JobFilter,
    on_changed: impl Fn(&ByKind) + Send + Sync + 'static,
) -> StartedOperation {
    let matching = operations.matching(action, filter).await.unwrap();
    let started = operations.start(&matching, "{}".to_owned(), "dana".to_owned(), on_changed);
    started.await.unwrap()
}

/// Starts an operation and waits for its end.
async fn run_to_end(operations: &Operations, action: JobAction, filter: JobFilter) -> OperationRow {
    let started = start(operations, action, filter, |_| ()).await;
    ended(operations, started).await
}

async fn ended(operations: &Operations, started: StartedOperation) -> OperationRow {
    tokio::time::timeout(Duration::from_secs(60), started.task).await.unwrap().unwrap();
    operations.show(started.id).await.unwrap().unwrap()
}

/// Status, total, done and skipped.
fn counts(row: &OperationRow) -> (&str, i64, i64, i64) {
    assert_eq!(row.finished_at.is_some(), row.status != "running", "{row:?}");
    (&row.status, row.total, row.done, row.skipped)
}

fn reasons(row: &OperationRow) -> Value {
    serde_json::from_str(row.reasons.as_deref().unwrap_or("{}")).unwrap()
}

/// Keeps an operation between its first portion and the next, until it is opened.
struct Barrier {
    reached: mpsc::Receiver<()>,
    open: mpsc::Sender<()>,
}

impl Barrier {
    /// The barrier, and what the operation is to call after each portion.
    fn new() -> (Self, impl Fn(&ByKind) + Send + Sync + 'static) {
        let (told, reached) = mpsc::channel();
        let (open, opened) = mpsc::channel();
        let opened = Mutex::new(opened);
        let wait = move |_: &ByKind| {
            told.send(()).ok();
            // An error says that the barrier is open for good.
            tokio::task::block_in_place(|| opened.lock().unwrap().recv().ok());
        };
        (Self { reached, open }, wait)
    }

    fn wait_until_reached(&self) {
        tokio::task::block_in_place(|| self.reached.recv_timeout(Duration::from_secs(30))).unwrap();
    }

    /// Lets the operation go on to its end.
    fn open(self) {
        drop(self.open);
    }
}

/// Fails these jobs for good.
async fn fail(store: &Store, slots: usize) -> usize {
    let claims = claim_of(store, &[(SELF_CHECK, slots)]).await;
    let transition = Transition::Fail {
        error: "no".to_owned(),
        reason: postroom::domain::job::FailureReason::Error,
    };
    let all: Vec<Settlement> =
        claims.iter().map(|it| settle(store, it, transition.clone())).collect();
    let applied = store.ledger().settle(all.into()).await.unwrap();
    assert!(applied.iter().all(|it| *it), "{applied:?}");
    claims.len()
}

on_both_databases! {
    /// More jobs than one read finds and one transaction changes.
    #[ignore = "long: `just long`"]
    async fn many_jobs_are_cancelled_and_retried_portion_by_portion(db: Fixture) {
        let (large, small) = (5_600_i64, 40_i64);
        fill(&db, "large", SELF_CHECK, 0, large as usize).await;
        fill(&db, "small", SELF_CHECK, 100_000, small as usize).await;
        let operations = db.store.operations();
        let matching = operations.matching(JobAction::Cancel, of("large")).await.unwrap();
        assert_eq!((matching.count, matching.is_exact), (large as u64, true));
        let newest: Vec<Id> = matching.examples.iter().map(|it| it.id).collect();
        assert_eq!(newest, [5_600, 5_599, 5_598]);
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = { let told = told.clone(); move |by_kind: &ByKind| told.lock().unwrap().push(by_kind.clone()) };
        let started = start(&operations, JobAction::Cancel, of("large"), tell).await;
        let cancelled = ended(&operations, started).await;
        assert_eq!(counts(&cancelled), ("done", large, large, 0));
        assert_eq!((cancelled.action.as_str(), cancelled.changed_by.as_str()), ("cancel", "dana"));
        assert_eq!(cancelled.node, db.store.node());
        let told = told.lock().unwrap().clone();
        assert_eq!(told.len(), 12, "a transaction for each 500");
        assert_eq!(told.iter().map(|it| it[SELF_CHECK.0]).sum::<u64>(), large as u64);
        let nothing = operations.matching(JobAction::Cancel, of("large")).await.unwrap();
        assert_eq!((nothing.count, nothing.is_exact, nothing.examples.len()), (0, true, 0));
        assert_eq!(db.number("select count(*) from job_ready").await, small);
        let failed = JobFilter { status: vec![JobStatus::Failed], ..of("large") };
        assert_eq!(counts(&run_to_end(&operations, JobAction::Retry, failed).await), ("done", 0, 0, 0));
        let retried = run_to_end(&operations, JobAction::Retry, of("large")).await;
        assert_eq!(counts(&retried), ("done", large, large, 0));
        let in_turn = "select cast(job_id as text) from job_ready where client_id = 'large' order by turn, job_id";
        let ids: Vec<String> = (1..=large).map(|it| it.to_string()).collect();
        assert_eq!(db.texts(in_turn).await, ids, "the oldest first");
        let balance = db.store.desk().totals().await.unwrap().balance();
        assert_eq!((balance.imbalance(), balance.pending), (0, large + small), "{balance:?}");
    }

    async fn a_filter_that_excludes_what_the_action_changes_matches_nothing(db: Fixture) {
        fill(&db, "a", SELF_CHECK, 0, 3).await;
        let operations = db.store.operations();
        for (action, status) in [
            (JobAction::Cancel, JobStatus::Failed),
            (JobAction::Cancel, JobStatus::Succeeded),
            (JobAction::Retry, JobStatus::Pending),
        ] {
            let filter = JobFilter { status: vec![status], ..of("a") };
            let matching = operations.matching(action, filter).await.unwrap();
            assert_eq!((matching.count, matching.is_exact), (0, true), "{action:?} {status:?}");
            let started = operations.start(&matching, "{}".to_owned(), "dana".to_owned(), |_| ()).await;
            assert!(matches!(started, Err(OperationError::Store(_))), "{started:?}");
        }
        assert_eq!(db.number("select count(*) from operations").await, 0);
    }

    async fn an_operation_stops_between_portions_and_its_numbers_add_up(db: Fixture) {
        let total = 3_000;
        fill(&db, "a", SELF_CHECK, 0, total as usize).await;
        let operations = db.store.operations();
        let (barrier, wait) = Barrier::new();
        let started = start(&operations, JobAction::Cancel, of("a"), wait).await;
        let id = started.id;
        barrier.wait_until_reached();
        let running = operations.show(id).await.unwrap().unwrap();
        assert_eq!(counts(&running), ("running", total, PORTION, 0));
        // Any node may ask for it.
        let other = db.another_node().await.operations();
        assert!(other.stop(id).await.unwrap());
        barrier.open();
        let stopped = ended(&operations, started).await;
        assert_eq!(counts(&stopped), ("stopped", total, 2 * PORTION, 0), "after its portion");
        assert_eq!((stopped.is_stopping, stopped.error.as_deref()), (true, None));
        let cancelled = "select count(*) from job_attempts where ended and outcome = 'cancelled'";
        assert_eq!(db.number(cancelled).await, stopped.done);
        assert!(!other.stop(id).await.unwrap(), "it has ended");
        assert!(!other.stop(7).await.unwrap(), "there is none");
        // The rest is another operation.
        let rest = run_to_end(&operations, JobAction::Cancel, of("a")).await;
        assert_eq!(counts(&rest), ("done", total - stopped.done, total - stopped.done, 0));
        let list = async |filter: OperationFilter| {
            let page = other.list(filter, 10, None).await.unwrap();
            page.items.iter().map(|it| it.id).collect::<Vec<Id>>()
        };
        let of_status = |status: &str| OperationFilter { status: vec![status.to_owned()], ..OperationFilter::default() };
        assert_eq!(list(OperationFilter::default()).await, [rest.id, id]);
        assert_eq!(list(of_status("stopped")).await, [id]);
        assert_eq!(list(of_status("running")).await, [] as [Id; 0]);
        let of_action = |action: &str| OperationFilter { action: vec![action.to_owned()], ..of_status("done") };
        assert_eq!(list(of_action("cancel")).await, [rest.id]);
        assert_eq!(list(of_action("retry")).await, [] as [Id; 0]);
        let first = other.list(OperationFilter::default(), 1, None).await.unwrap();
        assert_eq!(first.next, Some(rest.id));
        assert_eq!(other.list(OperationFilter::default(), 1, first.next).await.unwrap().items[0].id, id);
    }

    async fn a_rare_operation_is_found_behind_many_others(db: Fixture) {
        let now = instant(&db, 0);
        db.execute(&format!(
            "insert into operations (id, action, filter, status, total, done, skipped, is_stopping, changed_by, node, created_at, updated_at) \
             select n, 'retry', '{{}}', case when n < 3 then 'failed' else 'done' end, 1, 1, 0, false, 'dana', 1, {now}, {now} from {}",
            numbers(&db, 11_000)
        ))
        .await;
        let operations = db.store.operations();
        let failed = OperationFilter { status: vec!["failed".to_owned()], ..OperationFilter::default() };
        let first = operations.list(failed.clone(), 50, None).await.unwrap();
        assert_eq!((first.items.len(), first.next), (0, Some(1_001)), "a read has an end");
        let second = operations.list(failed, 50, first.next).await.unwrap();
        let ids: Vec<Id> = second.items.iter().map(|it| it.id).collect();
        assert_eq!((ids, second.next), (vec![2, 1], None));
    }

    async fn jobs_that_changed_meanwhile_are_skipped_for_a_reason(db: Fixture) {
        let total = 1_200;
        fill(&db, "a", SELF_CHECK, 0, total as usize).await;
        let operations = db.store.operations();
        let (barrier, wait) = Barrier::new();
        let pending = JobFilter { status: vec![JobStatus::Pending], ..of("a") };
        let started = start(&operations, JobAction::Cancel, pending, wait).await;
        barrier.wait_until_reached();
        // The newest 500 are cancelled. Of the others ten are claimed, four of them end, three are
        // cancelled by hand, and one is deleted.
        let claims = claim_of(&db.store, &[(SELF_CHECK, 10)]).await;
        let ending: Vec<Settlement> = claims.iter().take(4)
            .map(|it| settle(&db.store, it, Transition::Succeed(Vec::new()))).collect();
        db.store.ledger().settle(ending.into()).await.unwrap();
        for id in [600, 601, 602] {
            db.store.desk().cancel(id).await.unwrap();
        }
        db.may_leave(Leftover::Miscounted, "a job is deleted by hand");
        db.execute("delete from job_ready where job_id = 603").await;
        db.execute("delete from jobs where id = 603").await;
        barrier.open();
        let row = ended(&operations, started).await;
        assert_eq!(counts(&row), ("done", total, total - 14, 14));
        let expected = json!({"already ended": 7, "changed meanwhile": 1, "is running": 6});
        assert_eq!(reasons(&row), expected);
        assert_eq!(db.number("select count(*) from job_ready where node is not null").await, 6);
        let imbalance = db.store.desk().totals().await.unwrap().balance().imbalance();
        assert_eq!(imbalance, 1, "the job that was deleted by hand");
    }

    async fn jobs_that_come_to_match_later_are_not_touched(db: Fixture) {
        fill(&db, "a", SELF_CHECK, 0, 700).await;
        let operations = db.store.operations();
        let matching = operations.matching(JobAction::Cancel, of("a")).await.unwrap();
        let late: BTreeSet<Id> = enqueue(&db.store, "a", SELF_CHECK, 5).await.into_iter().collect();
        let (barrier, wait) = Barrier::new();
        let started = operations.start(&matching, "{}".to_owned(), "dana".to_owned(), wait).await.unwrap();
        barrier.wait_until_reached();
        let later = enqueue(&db.store, "a", SELF_CHECK, 5).await;
        barrier.open();
        assert_eq!(counts(&ended(&operations, started).await), ("done", 700, 700, 0));
        let left = db.texts("select cast(job_id as text) from job_ready").await;
        let left: BTreeSet<Id> = left.iter().map(|it| it.parse().unwrap()).collect();
        assert_eq!(left, late.into_iter().chain(later).collect());
    }

    /// Retried jobs fail again while the operation works.
    async fn a_retry_touches_each_job_once(db: Fixture) {
        let total = 1_300;
        fill(&db, "a", SELF_CHECK, 0, total as usize).await;
        assert_eq!(fail(&db.store, total as usize).await, total as usize);
        let operations = db.store.operations();
        let (barrier, wait) = Barrier::new();
        let failed = JobFilter { status: vec![JobStatus::Failed], ..of("a") };
        let started = start(&operations, JobAction::Retry, failed, wait).await;
        barrier.wait_until_reached();
        assert_eq!(fail(&db.store, 1_000).await, PORTION as usize, "those that were retried");
        barrier.open();
        assert_eq!(counts(&ended(&operations, started).await), ("done", total, total, 0));
        let failed = "select count(*) from job_attempts where ended and outcome = 'error'";
        assert_eq!(db.number(failed).await, PORTION);
        assert_eq!(db.number("select count(*) from job_ready").await, total - PORTION);
        assert_eq!(db.store.desk().totals().await.unwrap().balance().imbalance(), 0);
    }

    async fn four_run_at_once_and_the_fifth_is_refused(db: Fixture) {
        let clients = ["a", "b", "c", "d", "e"];
        for (number, client) in clients.iter().enumerate() {
            fill(&db, client, SELF_CHECK, number as i64 * 10_000, 700).await;
        }
        let operations = db.store.operations();
        let mut running = Vec::new();
        for client in &clients[..4] {
            // Two on the same jobs: each job is cancelled by one of them.
            let client = if *client == "d" { "c" } else { client };
            let (barrier, wait) = Barrier::new();
            let started = start(&operations, JobAction::Cancel, of(client), wait).await;
            barrier.wait_until_reached();
            running.push((barrier, started));
        }
        let matching = operations.matching(JobAction::Cancel, of("e")).await.unwrap();
        let fifth = async || operations.start(&matching, "{}".to_owned(), "dana".to_owned(), |_| ()).await;
        assert_eq!(fifth().await.unwrap_err(), OperationError::TooMany);
        let mut rows = Vec::new();
        for (barrier, started) in running {
            barrier.open();
            rows.push(ended(&operations, started).await);
        }
        for row in &rows {
            assert_eq!((row.status.as_str(), row.done + row.skipped), ("done", row.total), "{row:?}");
        }
        assert_eq!(rows.iter().map(|it| it.done).sum::<i64>(), 2_100);
        let fifth = fifth().await.unwrap();
        assert_eq!(counts(&ended(&operations, fifth).await), ("done", 700, 700, 0));
        assert_eq!(db.store.desk().totals().await.unwrap().balance().imbalance(), 0);
    }

    async fn a_daemon_that_stops_ends_its_operations_and_starts_no_more(db: Fixture) {
        fill(&db, "a", SELF_CHECK, 0, 3_000).await;
        let operations = db.store.operations();
        let (barrier, wait) = Barrier::new();
        let started = start(&operations, JobAction::Cancel, of("a"), wait).await;
        barrier.wait_until_reached();
        let matching = operations.matching(JobAction::Cancel, of("a")).await.unwrap();
        let refuse = async {
            eventually(Duration::from_secs(10), async || {
                let refused = operations.start(&matching, "{}".to_owned(), "dana".to_owned(), |_| ()).await;
                matches!(refused, Err(OperationError::Draining)).then_some(())
            })
            .await;
            barrier.open();
        };
        tokio::join!(operations.drain(), refuse);
        let row = ended(&operations, started).await;
        assert_eq!(counts(&row), ("stopped", 3_000, PORTION, 0));
        assert_eq!(row.error.as_deref(), Some("its daemon was stopped: start it again for the rest"));
    }

    /// Those that still run are left to those that end them.
    async fn operations_that_ended_are_kept_for_90_days(db: Fixture) {
        const DAY: i64 = 24 * 3_600 * 1_000;
        fill(&db, "a", SELF_CHECK, 0, 1).await;
        let operations = db.store.operations();
        let started = start(&operations, JobAction::Cancel, of("a"), |_| ()).await;
        let newest = ended(&operations, started).await.id;
        let now = instant(&db, 0);
        for (days, status) in [(89, "done"), (91, "done"), (92, "failed"), (93, "running")] {
            let id = newest - ((days * DAY) << 22);
            db.execute(&format!(
                "insert into operations (id, action, filter, status, total, done, skipped, is_stopping, changed_by, node, created_at, updated_at) \
                 values ({id}, 'cancel', '{{}}', '{status}', 10, 5, 0, false, 'dana', 1, {now}, {now})"
            ))
            .await;
        }
        let (mut round, keep) = (Pruning::begin(), db.config.retention.clone());
        while !round.is_over() {
            let pruned = db.store.chores().prune(&mut round, &keep, Duration::ZERO).await;
            assert!(pruned.failures.is_empty(), "{:?}", pruned.failures);
        }
        let left = operations.list(OperationFilter::default(), 10, None).await.unwrap().items;
        let ids: Vec<Id> = left.iter().map(|it| it.id).collect();
        assert_eq!(ids, [newest, newest - ((89 * DAY) << 22), newest - ((93 * DAY) << 22)]);
        db.execute("update operations set status = 'failed' where status = 'running'").await;
    }

    async fn an_operation_of_a_node_that_is_gone_is_failed(db: Fixture) {
        fill(&db, "a", SELF_CHECK, 0, 3_000).await;
        let now = instant(&db, 0);
        db.execute(&format!(
            "insert into operations (id, action, filter, status, total, done, skipped, is_stopping, changed_by, node, created_at, updated_at) \
             select 100 + n, 'cancel', '{{}}', 'running', 10, 5, 0, false, 'dana', 999000 + n, {now}, {now} from {}",
            numbers(&db, 2)
        ))
        .await;
        let operations = db.store.operations();
        let (barrier, wait) = Barrier::new();
        let started = start(&operations, JobAction::Cancel, of("a"), wait).await;
        let id = started.id;
        barrier.wait_until_reached();
        let chores = db.store.chores();
        let mut failed = chores.fail_abandoned_operations(Vec::new()).await.unwrap();
        failed.sort_unstable();
        assert_eq!(failed, [101, 102], "that of a node that lives goes on");
        let row = operations.show(101).await.unwrap().unwrap();
        assert_eq!(counts(&row), ("failed", 10, 5, 0));
        assert_eq!(row.error.as_deref(), Some("the node went down: start it again"));
        assert_eq!(chores.fail_abandoned_operations(Vec::new()).await.unwrap(), [] as [Id; 0]);
        // A node that others take for dead, and that goes on, leaves the row and the jobs alone.
        let failed = chores.fail_abandoned_operations(vec![db.store.node()]).await.unwrap();
        assert_eq!(failed, [id]);
        barrier.open();
        let row = ended(&operations, started).await;
        assert_eq!(counts(&row), ("failed", 3_000, PORTION, 0));
        let cancelled = "select count(*) from job_attempts where ended and outcome = 'cancelled'";
        assert_eq!(db.number(cancelled).await, PORTION);
    }
}
