//! G4, and the fence in every transition: an old run changes nothing.

use super::life::KINDS;
use super::{
    inbox::judges,
    life::{claim, end, settle},
    tools::{assert_whole, claim_suspects, drain, enqueue, phones, put, succeed_one},
};
use crate::{
    on_both_databases,
    support::fixture::{Fixture, SMS},
};
use postroom::{
    domain::{
        ChannelName, Effect, JobStatus, OptOutSource, Sentiment,
        job::{FailureReason, LEAD_SCORING, SELF_CHECK},
    },
    store::{Settlement, Transition},
};
use sea_orm::EntityTrait;
use std::{fmt::Debug, sync::Arc, time::Duration};

fn effects() -> Vec<Effect> {
    vec![
        judges(Sentiment::Interested),
        Effect::AddDraft {
            channel: ChannelName("sms"),
            subject: None,
            body: "Hi".to_owned(),
            parts: Vec::new(),
            facts: postroom::domain::outcome::DraftFacts::default(),
        },
        Effect::Score { fit: 4, intent: 4, overall: 4, reason: "r".to_owned() },
        Effect::OptOut {
            channel: ChannelName("sms"),
            source: OptOutSource::Model,
            reason: "stop".to_owned(),
        },
        Effect::Enqueue {
            kind: LEAD_SCORING,
            subject: postroom::domain::outcome::Subject::OfTheJob,
            delay: Duration::ZERO,
        },
        Effect::Enqueue {
            kind: SELF_CHECK,
            subject: postroom::domain::outcome::Subject::OfTheJob,
            delay: Duration::from_secs(60),
        },
    ]
}

/// All that can happen to a job.
fn transitions() -> [Transition; 6] {
    let (reason, error) = (FailureReason::Error, "no".to_owned());
    [
        Transition::Succeed(effects()),
        Transition::Retry { after: Duration::ZERO, reason, error: error.clone() },
        Transition::Fail { reason, error },
        Transition::Snooze { after: Duration::ZERO },
        Transition::Release,
        Transition::Cancel { reason: "not needed".to_owned() },
    ]
}

/// All that a settlement may change. The turns of clients may have gaps.
async fn dump(db: &Fixture) -> Vec<String> {
    async fn all<E: EntityTrait>(db: &Fixture, _: E) -> Vec<String>
    where
        E::Model: Debug,
    {
        let mut rows: Vec<String> =
            E::find().all(&db.db).await.unwrap().iter().map(|it| format!("{it:?}")).collect();
        rows.sort_unstable();
        rows
    }
    let mut rows = all(db, entity::jobs::Entity).await;
    rows.extend(all(db, entity::job_ready::Entity).await);
    rows.extend(all(db, entity::job_blocked::Entity).await);
    rows.extend(all(db, entity::job_later::Entity).await);
    rows.extend(all(db, entity::job_attempts::Entity).await);
    rows.extend(all(db, entity::leads::Entity).await);
    rows.extend(all(db, entity::messages::Entity).await);
    rows.extend(all(db, entity::drafts::Entity).await);
    rows.extend(
        db.texts("select kind || ' ' || state || ' ' || count from job_counts order by 1").await,
    );
    rows
}

/// Checks that the fence holds for none of `settlements`, and that nothing changes.
async fn assert_refused(db: &Fixture, settlements: Vec<Settlement>, why: &str) {
    let before = dump(db).await;
    for it in settlements {
        let word = it.transition.word();
        let applied = db.store.ledger().settle(Arc::new([it])).await.unwrap();
        assert_eq!(applied, [false], "{word}: {why}");
        assert_eq!(dump(db).await, before, "{word}: {why}");
    }
}

on_both_databases! {
    async fn g04_an_old_run_changes_nothing_whatever_it_wants(db: Fixture) {
        for n in 0..2 {
            put(&db.store, "a", &phones(1), n).await;
        }
        let old = claim(&db.store, 1).await;
        assert!(end(&db.store, &old[0], Transition::Release).await);
        let wanted = || transitions().map(|it| settle(&db.store, &old[0], it)).to_vec();
        assert_refused(&db, wanted(), "it was handed back").await;
        let new = claim(&db.store, 1).await;
        assert_eq!(new[0].job.id, old[0].job.id);
        assert_refused(&db, wanted(), "it has a new run").await;
        let foreign: Vec<Settlement> = transitions()
            .map(|it| Settlement { node: Some(db.store.node() + 1), ..settle(&db.store, &new[0], it) })
            .to_vec();
        assert_refused(&db, foreign, "another node holds it").await;
        let nobody: Vec<Settlement> =
            transitions().map(|it| Settlement { node: None, ..settle(&db.store, &new[0], it) }).to_vec();
        assert_refused(&db, nobody, "it does not wait").await;
        let other_job: Vec<Settlement> =
            transitions().map(|it| Settlement { job_id: 1, ..settle(&db.store, &new[0], it) }).to_vec();
        assert_refused(&db, other_job, "the head is another job").await;
        assert!(succeed_one(&db.store, &new[0]).await);
        let done = || transitions().map(|it| settle(&db.store, &new[0], it)).to_vec();
        assert_refused(&db, done(), "it has ended").await;
        let next = claim(&db.store, 1).await;
        assert_ne!(next[0].job.id, new[0].job.id);
        assert_refused(&db, done(), "the next of its line runs").await;
        assert!(succeed_one(&db.store, &next[0]).await);
    }

    /// River #1302: a rescue keyed by the job alone overwrote one that had finished.
    async fn a_rescue_that_comes_late_does_not_touch_a_job_that_has_finished(db: Fixture) {
        put(&db.store, "a", &phones(1), 1).await;
        let claims = claim(&db.store, 1).await;
        let orphans = db.store.queue().orphans(vec![db.store.node()], &KINDS).await.unwrap();
        assert!(succeed_one(&db.store, &claims[0]).await);
        let late = transitions().map(|it| Settlement { transition: it, ..orphans[0].settlement.clone() }).to_vec();
        assert_refused(&db, late, "it has finished").await;
        let status = db.store.desk().job(claims[0].job.id).await.unwrap().unwrap().job.status;
        assert_eq!(status, JobStatus::Succeeded);
    }

    /// Oban #532: an attempt that finished after its job had been discarded brought it back to
    /// life.
    async fn an_attempt_that_finishes_late_does_not_revive_a_job_that_has_failed(db: Fixture) {
        enqueue(&db.store, "a", SELF_CHECK, 1).await;
        db.execute("update jobs set max_attempts = 2").await;
        let second_to_last = claim(&db.store, 1).await;
        let orphans = db.store.queue().orphans(vec![db.store.node()], &KINDS).await.unwrap();
        let retry = Transition::Retry { after: Duration::ZERO, reason: FailureReason::Rescued, error: "silent".to_owned() };
        let rescue = Settlement { transition: retry, ..orphans[0].settlement.clone() };
        assert_eq!(db.store.ledger().settle(Arc::new([rescue])).await.unwrap(), [true]);
        let last = claim_suspects(&db.store).await;
        let fail = Transition::Fail { reason: FailureReason::Panic, error: "no".to_owned() };
        assert!(end(&db.store, &last[0], fail).await);
        let late = transitions().map(|it| settle(&db.store, &second_to_last[0], it)).to_vec();
        assert_refused(&db, late, "its job has failed").await;
        let status = db.store.desk().job(last[0].job.id).await.unwrap().unwrap().job.status;
        assert_eq!(status, JobStatus::Failed);
    }

    async fn g04_effects_come_with_the_end_of_their_run_or_not_at_all(db: Fixture) {
        put(&db.store, "a", &phones(2), 1).await;
        let old = claim(&db.store, 1).await;
        let mut both = claim(&db.store, 1).await;
        assert!(end(&db.store, &old[0], Transition::Release).await);
        both.extend(old);
        // A group of one whose fence holds and one whose does not.
        let group: Vec<Settlement> =
            both.iter().map(|it| settle(&db.store, it, Transition::Succeed(effects()))).collect();
        let applied = db.store.ledger().settle(group.into()).await.unwrap();
        assert_eq!(applied, [true, false]);
        let lead = both[0].job.lead_id.unwrap();
        assert_eq!(db.texts("select cast(id as text) from leads where opted_out_at is not null").await, [lead.to_string()]);
        assert_eq!(db.texts("select cast(lead_id as text) from messages where sentiment is not null").await, [lead.to_string()]);
        assert_eq!(db.number("select count(*) from messages where handled_at is not null").await, 1);
        assert_eq!(db.number("select count(*) from jobs where kind = 'LEAD_SCORING_POST_PROCESS'").await, 1);
        assert_eq!(db.number("select count(*) from job_later").await, 1);
        assert_eq!(db.number("select count(*) from job_attempts").await, 1);
    }

    async fn of_two_settlements_of_one_run_in_a_group_the_first_counts(db: Fixture) {
        put(&db.store, "a", &phones(1), 1).await;
        let claims = claim(&db.store, 1).await;
        let retry = Transition::Retry { after: Duration::ZERO, reason: FailureReason::Timeout, error: "slow".to_owned() };
        let group = [
            settle(&db.store, &claims[0], retry),
            settle(&db.store, &claims[0], Transition::Succeed(effects())),
        ];
        assert_eq!(db.store.ledger().settle(Arc::new(group)).await.unwrap(), [true, false]);
        assert_eq!(db.texts("select outcome from job_attempts").await, ["timeout"]);
        assert_eq!(db.number("select count(*) from jobs").await, 1, "no job follows from what did not count");
        assert_eq!(db.number("select count(*) from drafts").await, 0);
        assert_eq!(db.number("select count(*) from leads where opted_out_at is not null").await, 0);
        assert_eq!(db.number("select count(*) from messages where handled_at is not null").await, 0);
        assert_whole(&db).await;
        assert_eq!(drain(&db.store, 5).await, 1);

        put(&db.store, "a", &phones(1), 2).await;
        let claims = claim(&db.store, 1).await;
        let twice = [
            settle(&db.store, &claims[0], Transition::Succeed(effects())),
            settle(&db.store, &claims[0], Transition::Succeed(effects())),
        ];
        assert_eq!(db.store.ledger().settle(Arc::new(twice)).await.unwrap(), [true, false]);
        assert_eq!(db.number("select count(*) from jobs where kind = 'LEAD_SCORING_POST_PROCESS'").await, 1);
    }

    /// The runs of a job rise by one a claim, whichever way it comes back.
    async fn a_run_is_used_once(db: Fixture) {
        put(&db.store, "a", &phones(1), 1).await;
        let mut expected = 1;
        for transition in transitions() {
            let claims = claim(&db.store, 1).await;
            assert_eq!((claims.len(), claims[0].run), (1, expected));
            let word = transition.word();
            let is_end = matches!(transition, Transition::Succeed(_) | Transition::Fail { .. } | Transition::Cancel { .. });
            if matches!(transition, Transition::Succeed(_)) {
                assert!(end(&db.store, &claims[0], Transition::Release).await);
                expected += 1;
                continue;
            }
            assert!(end(&db.store, &claims[0], transition).await, "{word}");
            if is_end {
                let last = db.number("select max(run) from job_attempts").await;
                db.store.desk().retry(claims[0].job.id, None).await.unwrap();
                expected = last + 1;
            } else {
                expected += 1;
            }
            crate::support::eventually(Duration::from_secs(5), async || {
                db.store.queue().make_due().await.unwrap();
                (db.number("select count(*) from job_ready where turn is not null").await == 1).then_some(())
            }).await;
        }
        assert_eq!(claim(&db.store, 1).await[0].run, expected);
        assert_eq!(SMS.0, db.texts("select kind from jobs").await[0]);
    }

    /// One group may hold two runs of one job, of which only one passes.
    async fn two_runs_of_a_job_in_a_group_are_told_apart(db: Fixture) {
        put(&db.store, "a", &phones(1), 1).await;
        let old = claim(&db.store, 1).await;
        assert!(end(&db.store, &old[0], Transition::Release).await);
        let new = claim(&db.store, 1).await;
        let group = [
            settle(&db.store, &old[0], Transition::Succeed(effects())),
            settle(&db.store, &new[0], Transition::Succeed(Vec::new())),
        ];
        assert_eq!(db.store.ledger().settle(Arc::new(group)).await.unwrap(), [false, true]);
        assert_eq!(db.number("select count(*) from jobs").await, 1);
        assert_eq!(db.number("select count(*) from drafts").await, 0);
        assert_eq!(db.texts("select cast(run as text) from job_attempts").await, [new[0].run.to_string()]);
    }
}
