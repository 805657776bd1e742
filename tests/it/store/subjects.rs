//! What a job is about: an effect names the subject of the job that it enqueues, and a job carries
//! its channel.

use super::{
    life::{claim, end},
    tools::{claim_of, claim_suspects, enqueue},
};
use crate::{
    on_both_databases,
    support::fixture::{SMS, sms},
};
use postroom::{
    domain::{
        Effect, Id, JobKind,
        job::{FailureReason, LEAD_SCORING, SELF_CHECK},
        outcome::Subject,
    },
    store::{Claim, Transition},
};
use std::{sync::Arc, time::Duration};

fn about(subject: Subject) -> Effect {
    Effect::Enqueue { kind: SELF_CHECK, subject, delay: Duration::ZERO }
}

/// Enqueues a scoring, as each inbound job does.
fn scoring() -> Transition {
    let (subject, delay) = (Subject::OfTheJob, Duration::ZERO);
    Transition::Succeed(vec![Effect::Enqueue { kind: LEAD_SCORING, subject, delay }])
}

/// The kind and the channel of the one job of `claims`.
fn told(claims: &[Claim]) -> (JobKind, Option<&str>) {
    let [claim] = claims else { panic!("not one job: {claims:?}") };
    (claim.job.kind, claim.job.channel.as_deref())
}

on_both_databases! {
    /// Two drafts of one message are two subjects. To post the same draft or message again is no
    /// error and makes no second job.
    async fn each_draft_of_a_message_gets_a_job_of_its_own(db: Fixture) {
        let message = Arc::new([sms("a", "+15550001", "k1", "hello")]);
        db.store.inbox().put(message).await.unwrap();
        let drafts: [Id; 2] = [db.store.enqueuer().next_id(), db.store.enqueuer().next_id()];
        let [claim] = &claim_of(&db.store, &[(SMS, 1)]).await[..] else { panic!("one job") };
        let effects = vec![
            about(Subject::Draft(drafts[0])),
            about(Subject::OfTheJob),
            about(Subject::Draft(drafts[1])),
            about(Subject::Draft(drafts[0])),
            about(Subject::OfTheJob),
        ];
        assert!(end(&db.store, claim, Transition::Succeed(effects)).await);

        let kind: JobKind = SELF_CHECK;
        let of_kind = format!("from jobs where kind = '{kind}'");
        assert_eq!(db.number(&format!("select count(*) {of_kind}")).await, 3);
        let jobs = claim_of(&db.store, &[(SELF_CHECK, 10)]).await;
        let mut told: Vec<Option<Id>> = jobs.iter().map(|claim| claim.job.draft_id).collect();
        told.sort_unstable();
        assert_eq!(told, [None, Some(drafts[0]), Some(drafts[1])]);
        for job in jobs.iter().map(|claim| &claim.job) {
            assert_eq!((job.message_id, job.lead_id), (claim.job.message_id, claim.job.lead_id));
            let attempts = db.config.pools.of(SELF_CHECK.0).max_attempts;
            assert_eq!(job.max_attempts, attempts, "as many as its kind has in the configuration");
            let subject = db.number(&format!("select subject_id from jobs where id = {}", job.id)).await;
            assert_eq!(Some(subject), job.draft_id.or(job.message_id));
        }
    }

    /// An inbound job has the channel of its event, and its follow-on job inherits it. A job
    /// without a message has none.
    async fn a_job_and_its_follow_on_job_carry_their_channel(db: Fixture) {
        let message = Arc::new([sms("a", "+15550001", "k1", "hello")]);
        db.store.inbox().put(message).await.unwrap();
        let inbound = claim(&db.store, 10).await;
        assert_eq!(told(&inbound), (SMS, Some("sms")));
        assert!(end(&db.store, &inbound[0], scoring()).await);
        let follow_on = claim(&db.store, 10).await;
        assert_eq!(told(&follow_on), (LEAD_SCORING, Some("sms")));
        assert!(end(&db.store, &follow_on[0], Transition::Succeed(Vec::new())).await);

        enqueue(&db.store, "a", SELF_CHECK, 1).await;
        assert_eq!(told(&claim(&db.store, 10).await), (SELF_CHECK, None));
        assert_eq!(db.texts("select channel from jobs order by id").await, ["sms", "sms", ""]);
    }

    /// Rows of earlier versions have no channel, and those of another node may have one that this
    /// daemon does not know.
    async fn a_job_without_a_channel_or_of_an_unknown_one_is_worked(db: Fixture) {
        for (key, stored, carried) in [("k1", "null", None), ("k2", "'fax'", Some("fax"))] {
            db.store.inbox().put(Arc::new([sms("a", "+15550001", key, "hello")])).await.unwrap();
            db.execute(&format!("update jobs set channel = {stored}")).await;
            let inbound = claim(&db.store, 10).await;
            assert_eq!(told(&inbound), (SMS, carried));
            assert!(end(&db.store, &inbound[0], scoring()).await);
            let follow_on = claim(&db.store, 10).await;
            assert_eq!(told(&follow_on), (LEAD_SCORING, carried));
            assert!(end(&db.store, &follow_on[0], Transition::Succeed(Vec::new())).await);
        }
        assert_eq!(db.number("select count(*) from job_attempts where ended").await, 4);
    }

    /// The settlement of a lost run has the job's channel, and the next run has the same one.
    async fn a_rescued_and_a_retried_job_keep_their_channel(db: Fixture) {
        let message = Arc::new([sms("a", "+15550001", "k1", "hello")]);
        db.store.inbox().put(message).await.unwrap();
        let first = claim(&db.store, 10).await;
        for orphans in [
            db.store.queue().claimed_runs().await.unwrap(),
            db.store.queue().orphans(vec![db.store.node()], &[SMS]).await.unwrap(),
        ] {
            let [orphan] = &orphans[..] else { panic!("not one job: {orphans:?}") };
            assert_eq!(orphan.settlement.channel.as_deref(), Some("sms"));
        }

        let (after, error) = (Duration::ZERO, "its node fell silent".to_owned());
        let rescue = Transition::Retry { after, reason: FailureReason::Rescued, error };
        assert!(end(&db.store, &first[0], rescue).await);
        let suspect = claim_suspects(&db.store).await;
        assert_eq!(told(&suspect), (SMS, Some("sms")));

        let error = "no".to_owned();
        let fail = Transition::Fail { reason: FailureReason::Error, error };
        assert!(end(&db.store, &suspect[0], fail).await);
        db.store.desk().retry(suspect[0].job.id, None).await.unwrap();
        assert_eq!(told(&claim(&db.store, 10).await), (SMS, Some("sms")));
    }
}
