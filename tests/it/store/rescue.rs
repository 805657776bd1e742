//! The jobs of nodes that are gone are rescued.

use super::life::KINDS;
use super::{
    life::{claim, end, settle},
    tools::{
        assert_whole, claim_of, claim_suspects, drain, enqueue, phones, put, settle_all, succeed,
        succeed_one,
    },
};
use crate::support::leftovers::Leftover;
use crate::{
    on_both_databases,
    support::fixture::{Fixture, SMS, job},
};
use postroom::{
    domain::{
        Id,
        job::{FailureReason, SELF_CHECK},
    },
    store::{Orphan, Settlement, Store, Transition},
};
use std::{sync::Arc, time::Duration};

/// A rescue makes a failed attempt of an orphan, and a retry if one is left.
fn rescued(orphan: &Orphan) -> Settlement {
    let reason = FailureReason::Rescued;
    let error = "its node fell silent".to_owned();
    let transition = if orphan.attempt < orphan.max_attempts {
        Transition::Retry { after: Duration::ZERO, reason, error }
    } else {
        Transition::Fail { reason, error }
    };
    Settlement { transition, ..orphan.settlement.clone() }
}

/// Rescues what nodes without a row, or `dead` ones, hold. Returns how many were applied.
pub(super) async fn rescue(store: &Store, dead: Vec<Id>) -> usize {
    let orphans = store.queue().orphans(dead, &KINDS).await.unwrap();
    let all: Arc<[Settlement]> = orphans.iter().map(rescued).collect();
    let applied = store.ledger().settle(all).await.unwrap();
    applied.iter().filter(|it| **it).count()
}

async fn forget(db: &Fixture, node: Id) {
    db.execute(&format!("delete from nodes where id = {node}")).await;
}

on_both_databases! {
    async fn jobs_of_a_node_without_a_row_are_found_and_retried_with_the_run_used(db: Fixture) {
        put(&db.store, "a", &phones(2), 1).await;
        enqueue(&db.store, "a", SELF_CHECK, 2).await;
        let lost = claim(&db.store, 10).await;
        assert_eq!(lost.len(), 4);
        let other = db.another_node().await;
        // On SQLite the start of another has already taken the row away: it holds the file.
        forget(&db, db.store.node()).await;
        let orphans = other.queue().orphans(Vec::new(), &KINDS).await.unwrap();
        assert_eq!(orphans.len(), 4);
        for orphan in &orphans {
            assert_eq!((orphan.attempt, orphan.max_attempts), (1, 5));
            assert_eq!(orphan.settlement.node, Some(db.store.node()));
        }
        assert_eq!(rescue(&other, Vec::new()).await, 4);
        assert_eq!(rescue(&other, Vec::new()).await, 0, "a rescue is done once");
        // None of them gets a turn: each may be the one that killed its node.
        assert_eq!(other.queue().make_due().await.unwrap(), 0);
        assert!(claim(&other, 10).await.is_empty());
        let again = claim_suspects(&other).await;
        assert_eq!(again.len(), 4);
        assert!(again.iter().all(|it| (it.job.attempt, it.run) == (2, 2)), "{again:?}");
        let outcomes = db.texts("select distinct outcome from job_attempts").await;
        assert_eq!(outcomes, ["rescued"]);
        for claim in &lost {
            assert!(!succeed_one(&db.store, claim).await, "who was rescued changes nothing any more");
        }
        succeed(&other, &again).await;
    }

    async fn jobs_of_a_silent_node_are_found_by_its_id(db: Fixture) {
        enqueue(&db.store, "a", SELF_CHECK, 3).await;
        assert_eq!(claim(&db.store, 10).await.len(), 3);
        let node = db.store.node();
        assert!(db.store.queue().orphans(Vec::new(), &KINDS).await.unwrap().is_empty(), "it lives");
        assert!(db.store.queue().orphans(vec![node + 1_000], &KINDS).await.unwrap().is_empty(), "another is dead");
        assert_eq!(db.store.queue().orphans(vec![node], &KINDS).await.unwrap().len(), 3);
        assert_eq!(rescue(&db.store, vec![node]).await, 3);
        assert!(db.store.queue().orphans(vec![node], &KINDS).await.unwrap().is_empty());
    }

    async fn a_job_that_outlives_no_node_fails_when_its_attempts_are_used(db: Fixture) {
        let mut poisonous = job(&db.store, "a", SELF_CHECK);
        poisonous.max_attempts = 3;
        let id = db.store.enqueuer().enqueue(vec![poisonous]).await.unwrap()[0].unwrap();
        let node = db.store.node();
        for attempt in 1..=3 {
            let claims = if attempt == 1 { claim(&db.store, 1).await } else { claim_suspects(&db.store).await };
            assert_eq!((claims.len(), claims[0].job.attempt), (1, attempt));
            assert_eq!(rescue(&db.store, vec![node]).await, 1);
        }
        assert!(claim_suspects(&db.store).await.is_empty());
        let history = db.texts(&format!("select outcome from job_attempts where job_id = {id} order by run")).await;
        assert_eq!(history, ["rescued", "rescued", "rescued"]);
        assert_eq!(db.number("select count(*) from job_attempts where ended").await, 1);
        assert_eq!(db.number("select cast(sum(count) as bigint) from job_counts where state = 'failed'").await, 1);
    }

    /// Two nodes claim suspects at once: none is claimed twice, and both get one while there are
    /// two.
    async fn a_suspect_is_claimed_once_and_is_none_after_an_attempt_that_its_node_outlived(db: Fixture) {
        db.may_leave(Leftover::Miscounted, "suspects are removed by hand after each round");
        db.may_leave(Leftover::Misplaced, "suspects are removed by hand after each round");
        let other = if db.is_sqlite() { db.store.clone() } else { db.another_node().await };
        let dead = db.store.node();
        for round in 0..10 {
            enqueue(&db.store, "a", SELF_CHECK, 2).await;
            assert_eq!(claim(&db.store, 10).await.len(), 2);
            assert_eq!(rescue(&db.store, vec![dead]).await, 2);
            let kinds = || Arc::from([SELF_CHECK]);
            let (mine, others) = (db.store.queue(), other.queue());
            let wanted = [SELF_CHECK.0];
            let (left, right) =
                tokio::join!(mine.claim_suspect(&wanted, kinds()), others.claim_suspect(&wanted, kinds()));
            let (left, right) = (left.unwrap(), right.unwrap());
            // A suspect that the other session is claiming is not passed over: it is found in the
            // next claim.
            let claimed = [&left, &right].into_iter().flatten().count() + claim_suspects(&db.store).await.len();
            assert_eq!(claimed, 2, "round {round}: {left:?} {right:?}");
            if let (Some(left), Some(right)) = (&left, &right) {
                assert_ne!(left.job.id, right.job.id);
            }
            let rows = "select count(*) from job_ready where node is not null and turn is not null and run_at is null";
            assert_eq!(db.number(rows).await, 2);
            // Of a kind that is not wanted, none.
            assert!(mine.claim_suspect(&[SMS.0], kinds()).await.unwrap().is_none());
            db.execute("delete from job_ready").await;
        }
        enqueue(&db.store, "a", SELF_CHECK, 1).await;
        claim(&db.store, 1).await;
        assert_eq!(rescue(&db.store, vec![dead]).await, 1);
        let suspect = claim_suspects(&db.store).await;
        let (reason, error) = (FailureReason::Error, "no luck".to_owned());
        let retry = Transition::Retry { after: Duration::ZERO, reason, error };
        settle_all(&db.store, &suspect, &retry).await;
        assert!(claim_suspects(&db.store).await.is_empty(), "its node outlived it");
        assert_eq!(db.store.queue().make_due().await.unwrap(), 1);
        // Given back unstarted, a job is as suspect as before.
        let again = claim(&db.store, 1).await;
        assert_eq!(rescue(&db.store, vec![dead]).await, 1);
        assert_eq!(again[0].job.attempt, 3);
        let suspect = claim_suspects(&db.store).await;
        settle_all(&db.store, &suspect, &Transition::Postpone { after: Duration::ZERO }).await;
        assert_eq!(db.store.queue().make_due().await.unwrap(), 0);
        assert_eq!(db.store.queue().next_due_ms().await.unwrap(), None, "nothing to wake up for");
        assert_eq!(claim_suspects(&db.store).await[0].job.attempt, 4);
    }

    async fn a_snooze_and_a_release_do_not_count_when_a_rescue_does(db: Fixture) {
        enqueue(&db.store, "a", SELF_CHECK, 1).await;
        let first = claim(&db.store, 1).await;
        assert!(end(&db.store, &first[0], Transition::Release).await);
        let second = claim(&db.store, 1).await;
        settle_all(&db.store, &second, &Transition::Release).await;
        assert_eq!(claim(&db.store, 1).await.len(), 1);
        let orphans = db.store.queue().orphans(vec![db.store.node()], &KINDS).await.unwrap();
        assert_eq!((orphans[0].attempt, orphans[0].settlement.run), (1, 3));
    }

    /// A job that a rescue takes over moves the line on as any other end does.
    async fn the_next_of_a_lead_runs_when_the_head_that_died_has_failed(db: Fixture) {
        let phone = phones(1);
        put(&db.store, "a", &phone, 1).await;
        let (_, second) = put(&db.store, "a", &phone, 2).await[0];
        db.execute("update jobs set max_attempts = 1").await;
        assert_eq!(claim(&db.store, 10).await.len(), 1);
        assert_eq!(rescue(&db.store, vec![db.store.node()]).await, 1);
        let next = claim_of(&db.store, &[(SMS, 10)]).await;
        assert_eq!(next[0].job.id, second);
    }

    /// The rescue, and the end by a node that was only slow: the first to commit wins, and the
    /// other changes nothing.
    async fn a_rescue_and_the_end_it_meets_never_both_count(db: Fixture) {
        let other = if db.is_sqlite() { db.store.clone() } else { db.another_node().await };
        let rounds = if db.is_sqlite() { 10 } else { 40 };
        let (mut rescues, mut ends) = (0, 0);
        for round in 0..rounds {
            put(&db.store, "a", &phones(3), round).await;
            let claims = claim(&db.store, 3).await;
            let orphans = other.queue().orphans(vec![db.store.node()], &KINDS).await.unwrap();
            assert_eq!(orphans.len(), claims.len());
            let by_rescue: Arc<[Settlement]> = orphans.iter().map(rescued).collect();
            let mut by_end: Vec<Settlement> =
                claims.iter().map(|it| settle(&db.store, it, Transition::Succeed(Vec::new()))).collect();
            by_end.sort_by_key(|it| it.line);
            let (slow, quick) = (db.store.ledger(), other.ledger());
            let (left, right) = if round % 2 == 0 {
                tokio::join!(slow.settle(by_end.into()), quick.settle(by_rescue))
            } else {
                let (right, left) = tokio::join!(quick.settle(by_rescue), slow.settle(by_end.into()));
                (left, right)
            };
            for (ended, rescued) in left.unwrap().iter().zip(&right.unwrap()) {
                assert!(ended ^ rescued, "ended {ended}, rescued {rescued}");
                rescues += usize::from(*rescued);
                ends += usize::from(*ended);
            }
            assert_whole(&db).await;
            drain(&db.store, 50).await;
        }
        assert_eq!(rescues + ends, rounds * 3);
    }
}
