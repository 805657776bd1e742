//! An effect names what the job that it enqueues is about.

use super::{life::end, tools::claim_of};
use crate::{
    on_both_databases,
    support::fixture::{SMS, sms},
};
use postroom::{
    domain::{Effect, Id, JobKind, job::SELF_CHECK, outcome::Subject},
    store::Transition,
};
use std::{sync::Arc, time::Duration};

fn about(subject: Subject) -> Effect {
    Effect::Enqueue { kind: SELF_CHECK, subject, delay: Duration::ZERO }
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
}
