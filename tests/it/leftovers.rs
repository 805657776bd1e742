//! The check at the end of a test finds each sort of leftover, which is made by hand here.

use crate::{
    on_both_databases,
    support::{
        both::Peek,
        fixture::{SMS, self_check, sms},
        leftovers::{Allowed, Left, Leftover, assert_nothing, found, left_in_log},
    },
};
use Leftover::{Headless, Miscounted, Misplaced, Orphaned, Panic, Stuck, Unfinished};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

const ALL: &[Leftover] = &[Unfinished, Orphaned, Misplaced, Headless, Miscounted, Stuck, Panic];

fn sorts(left: &[Left]) -> Vec<Leftover> {
    let mut sorts: Vec<Leftover> = left.iter().map(|it| it.0).collect();
    sorts.dedup();
    sorts
}

on_both_databases! {
    async fn each_sort_of_it_is_found_in_the_database(db: Fixture) {
        db.may_leave(Leftover::Anything, "all of it is made by hand");
        let peek = Peek::over(db.db.clone());
        let seen = async || sorts(&found(&peek, ALL).await);
        assert!(seen().await.is_empty(), "a new database is clean");
        let job = self_check(&db.store, "a");
        let id = db.store.enqueuer().enqueue(vec![job]).await.unwrap()[0].unwrap();
        assert_eq!(seen().await, [Unfinished]);
        db.execute("update job_ready set node = 999").await;
        assert_eq!(seen().await, [Unfinished, Orphaned]);
        let allowed = Allowed::default();
        allowed.add(Orphaned, "the node is made up");
        assert_eq!(allowed.rest_of(&[Unfinished, Orphaned]), [Unfinished]);
        db.execute("delete from job_ready").await;
        assert_eq!(seen().await, [Misplaced, Miscounted]);
        db.execute(&format!(
            "insert into job_blocked (line, pos, job_id, kind, client_id, run, spared) \
             values (7, 1, {id}, '{}', 'a', 0, 0)",
            SMS.0
        ))
        .await;
        assert_eq!(seen().await, [Headless]);
        db.execute("delete from job_blocked").await;
        db.execute("delete from jobs").await;
        db.execute("delete from job_counts").await;
        assert!(seen().await.is_empty(), "{:?}", seen().await);
        for (outcome, sort) in [("stuck", Stuck), ("panic", Panic)] {
            let (no, now) = match db.is_sqlite() {
                true => ("0", "0"),
                false => ("false", "now()"),
            };
            db.execute(&format!(
                "insert into job_attempts (job_id, run, spared, outcome, ended, finished_at) \
                 values (1, 1, 0, '{outcome}', {no}, {now})"
            ))
            .await;
            assert_eq!(seen().await, [sort]);
            db.execute("delete from job_attempts").await;
        }
    }

    async fn a_store_that_is_dropped_fails_its_test(db: Fixture) {
        db.store.inbox().put(Arc::new([sms("a", "+15550001", "k1", "hello")])).await.unwrap();
        db.execute("delete from job_ready").await;
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(db)));
        let text = *dropped.unwrap_err().downcast::<String>().unwrap();
        assert!(text.contains("Misplaced: job"), "{text}");
    }
}

#[test]
fn a_panic_is_found_in_a_log() {
    let log = "INFO listening\nthread 'work' (7) panicked at src/lib.rs:1:2:\nno luck\n";
    let left = left_in_log(log, &Allowed::default());
    assert_eq!(sorts(&left), [Panic]);
    let text = *catch_unwind(|| assert_nothing(&left)).unwrap_err().downcast::<String>().unwrap();
    assert!(text.contains("panicked at src/lib.rs:1:2"), "{text}");
    let allowed = Allowed::default();
    allowed.add(Panic, "it is made up");
    assert!(left_in_log(log, &allowed).is_empty());
}
