//! The life of a job, step by step.

use super::inbox::judges;
use crate::support::leftovers::Leftover;
use crate::{
    on_both_databases,
    support::fixture::{SMS, job_of, self_check, sms},
};
use postroom::{
    domain::{Effect, JobKind, Sentiment, job::SELF_CHECK},
    store::{Answer, Claim, Settlement, Store, Transition, Want},
};
use std::{sync::Arc, time::Duration};

/// The kinds that these tests use.
pub(super) const KINDS: [JobKind; 3] = [SMS, SELF_CHECK, postroom::domain::job::LEAD_SCORING];

/// Claims up to `slots` jobs of the kinds that these tests use.
pub(super) async fn claim(store: &Store, slots: usize) -> Vec<Claim> {
    let kinds: Arc<[JobKind]> = Arc::new([SMS, SELF_CHECK, postroom::domain::job::LEAD_SCORING]);
    let wants = kinds.iter().map(|it| Want { kind: it.0, floor: 0, slots }).collect();
    store.queue().claim(wants, kinds).await.unwrap()
}

/// The settlement of a claim of `store`'s node.
pub(super) fn settle(store: &Store, claim: &Claim, transition: Transition) -> Settlement {
    Settlement {
        job_id: claim.job.id,
        line: claim.line,
        kind: claim.job.kind.0.to_owned(),
        client_id: claim.job.client_id.clone(),
        lead_id: claim.job.lead_id,
        message_id: claim.job.message_id,
        draft_id: claim.job.draft_id,
        channel: claim.job.channel.clone(),
        request_id: claim.job.request_id.clone(),
        run: claim.run,
        spared: claim.spared,
        node: Some(store.node()),
        actor: Some("test".to_owned()),
        duration: Some(Duration::from_millis(3)),
        transition,
        send: None,
        trace: None,
    }
}

/// Ends a claim, and returns whether its settlement was applied.
pub(super) async fn end(store: &Store, claim: &Claim, transition: Transition) -> bool {
    store.ledger().settle(Arc::new([settle(store, claim, transition)])).await.unwrap()[0]
}

on_both_databases! {
    async fn a_message_is_stored_claimed_and_ended_with_its_effects(db: Fixture) {
        let answers = db.store.inbox().put(Arc::new([sms("a", "+15550001", "k1", "hello")])).await.unwrap();
        let job = job_of(&answers[0]);
        let claims = claim(&db.store, 10).await;
        assert_eq!(claims.len(), 1);
        assert_eq!(claims[0].job.id, job);
        assert_eq!(claims[0].job.attempt, 1);
        let effects = vec![
            judges(Sentiment::Interested),
            Effect::AddDraft { channel: postroom::domain::ChannelName("sms"), subject: None, body: "Hi".to_owned(), parts: vec!["Hi".to_owned()], facts: postroom::domain::outcome::DraftFacts::default() },
            Effect::Enqueue { kind: postroom::domain::job::LEAD_SCORING, subject: postroom::domain::outcome::Subject::OfTheJob, delay: Duration::ZERO },
        ];
        assert!(end(&db.store, &claims[0], Transition::Succeed(effects)).await);
        assert_eq!(db.texts("select sentiment from messages").await, ["Interested"]);
        assert_eq!(db.texts("select status from leads").await, ["qualified"]);
        assert_eq!(db.number("select count(*) from drafts where status = 'pending'").await, 1);
        assert_eq!(db.number("select count(*) from messages where handled_at is not null").await, 1);
        let scoring = claim(&db.store, 10).await;
        assert_eq!(scoring.len(), 1);
        assert_eq!(scoring[0].job.kind.0, "LEAD_SCORING_POST_PROCESS");
        assert!(end(&db.store, &scoring[0], Transition::Succeed(vec![Effect::Score { fit: 3, intent: 3, overall: 3, reason: "r".to_owned() }])).await);
        assert_eq!(db.number("select overall from leads").await, 3);
        assert_eq!(db.number("select count(*) from job_ready").await, 0);
        assert_eq!(db.number("select count(*) from job_attempts where ended").await, 2);
    }

    async fn a_retry_waits_as_head_of_its_line_and_holds_back_the_next(db: Fixture) {
        let group = [sms("a", "+15550001", "k1", "one"), sms("a", "+15550001", "k2", "two")];
        let answers = db.store.inbox().put(Arc::new(group)).await.unwrap();
        let first = claim(&db.store, 10).await;
        assert_eq!(first.len(), 1, "the second waits behind the first");
        assert_eq!(first[0].job.id, job_of(&answers[0]));
        let retry = Transition::Retry { after: Duration::ZERO, reason: postroom::domain::job::FailureReason::Error, error: "no".to_owned() };
        assert!(end(&db.store, &first[0], retry).await);
        assert!(claim(&db.store, 10).await.is_empty(), "it is not in line yet");
        assert_eq!(db.store.queue().make_due().await.unwrap(), 1);
        let again = claim(&db.store, 10).await;
        assert_eq!(again.len(), 1);
        assert_eq!((again[0].job.id, again[0].job.attempt), (first[0].job.id, 2));
        assert!(end(&db.store, &again[0], Transition::Succeed(Vec::new())).await);
        let next = claim(&db.store, 10).await;
        assert_eq!(next.len(), 1);
        assert_eq!(next[0].job.id, job_of(&answers[1]));
    }

    async fn a_postponed_head_keeps_its_place_and_uses_no_attempt(db: Fixture) {
        let group = [sms("a", "+15550001", "k1", "one"), sms("a", "+15550001", "k2", "two")];
        let answers = db.store.inbox().put(Arc::new(group)).await.unwrap();
        let first = claim(&db.store, 10).await;
        assert!(end(&db.store, &first[0], Transition::Postpone { after: Duration::ZERO }).await);
        assert!(claim(&db.store, 10).await.is_empty(), "the second still waits behind the first");
        assert_eq!(db.store.queue().make_due().await.unwrap(), 1);
        let again = claim(&db.store, 10).await;
        assert_eq!((again[0].job.id, again[0].job.attempt), (job_of(&answers[0]), 1));
        assert_eq!(db.number("select count(*) from job_attempts").await, 0, "nothing was tried");
    }

    async fn a_snooze_and_a_release_use_no_attempt(db: Fixture) {
        db.store.enqueuer().enqueue(vec![self_check(&db.store, "a")]).await.unwrap();
        let first = claim(&db.store, 1).await;
        assert!(end(&db.store, &first[0], Transition::Snooze { after: Duration::ZERO }).await);
        crate::support::eventually(Duration::from_secs(5), async || {
            (db.store.queue().make_due().await.unwrap() == 1).then_some(())
        }).await;
        let second = claim(&db.store, 1).await;
        assert_eq!((second[0].job.attempt, second[0].run), (1, 2));
        assert!(end(&db.store, &second[0], Transition::Release).await);
        let third = claim(&db.store, 1).await;
        assert_eq!((third[0].job.attempt, third[0].run), (1, 3));
        assert!(!end(&db.store, &second[0], Transition::Succeed(Vec::new())).await, "an old run changes nothing");
        assert!(end(&db.store, &third[0], Transition::Succeed(Vec::new())).await);
    }

    async fn a_duplicate_gets_the_first_ids_and_its_missing_job(db: Fixture) {
        db.may_leave(Leftover::Miscounted, "a job is removed by hand");
        let inbox = db.store.inbox();
        let first = inbox.put(Arc::new([sms("a", "+15550001", "k1", "hello")])).await.unwrap();
        let again = inbox.put(Arc::new([sms("a", "+15550001", "k1", "hello"), sms("a", "+15550001", "k1", "hello")])).await.unwrap();
        let Answer::Accepted { message_id, lead_id, job_id } = first[0].clone() else { panic!("{first:?}") };
        let expected = Answer::Duplicate { message_id: Some(message_id), lead_id: Some(lead_id), job_id: Some(job_id) };
        assert_eq!(again, [expected.clone(), expected]);
        for table in ["jobs", "job_ready"] {
            db.execute(&format!("delete from {table}")).await;
        }
        let late = inbox.put(Arc::new([sms("a", "+15550001", "k1", "hello")])).await.unwrap();
        assert!(matches!(late[0], Answer::Duplicate { job_id: Some(id), .. } if id != job_id), "{late:?}");
        assert_eq!(db.number("select count(*) from messages").await, 1);
        assert_eq!(db.number("select count(*) from jobs").await, 1);
    }

    /// R4, D10: whatever state its job is in.
    async fn r4_a_webhook_that_comes_again_leaves_its_job_as_it_is(db: Fixture) {
        let inbox = db.store.inbox();
        let post = async || inbox.put(Arc::new([sms("a", "+15550001", "k1", "hello")])).await.unwrap().remove(0);
        let Answer::Accepted { message_id, lead_id, job_id } = post().await else { panic!("it is new") };
        let expected = Answer::Duplicate { message_id: Some(message_id), lead_id: Some(lead_id), job_id: Some(job_id) };
        let running = claim(&db.store, 10).await;
        assert_eq!(running.len(), 1);
        // While it runs.
        assert_eq!(post().await, expected);
        assert!(claim(&db.store, 10).await.is_empty(), "it runs once");
        let effects = vec![judges(Sentiment::Interested)];
        assert!(end(&db.store, &running[0], Transition::Succeed(effects)).await, "its end counts");
        // When it has ended.
        assert_eq!(post().await, expected);
        assert!(claim(&db.store, 10).await.is_empty(), "it does not run again");
        assert_eq!(db.number("select count(*) from jobs").await, 1);
        assert_eq!(db.texts("select sentiment from messages").await, ["Interested"]);
    }
}
