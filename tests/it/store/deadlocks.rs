//! The order of locks: groups that meet wait for each other, and none fails or is lost.

use super::{
    inbox::{judges, with_message},
    life::settle as settlement,
    tools::{Left, claim_of, claim_suspects, drain, enqueue, phones, put, settle_all},
};
use crate::{
    on_both_databases,
    support::fixture::{Fixture, SMS, job_of, sms},
};
use postroom::{
    domain::{
        ChannelName, Effect, JobKind, Sentiment,
        job::{FailureReason, LEAD_SCORING, SELF_CHECK},
    },
    store::{Content, Inbound, Settlement, Store, Transition},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

const LEADS: usize = 8;
/// Rounds that write the same leads; then come new ones, so that making them meets, too.
const ROUNDS_A_SET: usize = 10;

fn set(round: usize) -> Vec<String> {
    let first = round / ROUNDS_A_SET * LEADS;
    (first..first + LEADS).map(|n| format!("+1555{n:07}")).collect()
}

/// A node that writes at the same time: on SQLite the one there is.
async fn another(db: &Fixture) -> Store {
    if db.is_sqlite() { db.store.clone() } else { db.another_node().await }
}

async fn ingest(store: &Store, rounds: usize, name: &str, is_reversed: bool) {
    for round in 0..rounds {
        let mut phones = set(round);
        if is_reversed {
            phones.reverse();
        }
        put(store, "a", &phones, format!("{name} {round}")).await;
    }
}

/// What a handler decides about a message: a verdict, a draft, and a job that follows.
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
        Effect::Enqueue {
            kind: LEAD_SCORING,
            subject: postroom::domain::outcome::Subject::OfTheJob,
            delay: Duration::ZERO,
        },
    ]
}

/// Ends jobs with effects until `total` inbound ones have ended.
async fn settle(store: &Store, total: usize) {
    let mut ended = 0;
    while ended < total {
        let mut claims = claim_of(store, &[(SMS, 20), (LEAD_SCORING, 20)]).await;
        claims.reverse();
        let all: Vec<Settlement> = claims
            .iter()
            .map(|it| {
                let effects = if it.job.kind == SMS {
                    effects()
                } else {
                    vec![Effect::Score { fit: 2, intent: 2, overall: 2, reason: "r".to_owned() }]
                };
                settlement(store, it, Transition::Succeed(effects))
            })
            .collect();
        ended += claims.iter().filter(|it| it.job.kind == SMS).count();
        let applied = store.ledger().settle(all.into()).await.unwrap();
        assert!(applied.iter().all(|it| *it));
    }
}

/// No transaction had to be repeated: waits went one way only. PostgreSQL counts a session's
/// deadlocks when the session ends.
async fn assert_no_deadlock(db: Fixture, other: Store) {
    if db.is_sqlite() {
        return;
    }
    let left = Left::of(db, vec![other]).await;
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    assert_eq!(left.number(deadlocks).await, 0, "deadlocks");
}

on_both_databases! {
    #[ignore = "long: `just long`"]
    async fn two_groups_with_the_same_leads_in_opposite_order_both_commit(db: Fixture) {
        const ROUNDS: usize = 200;
        let other = another(&db).await;
        tokio::join!(
            ingest(&db.store, ROUNDS, "forward", false),
            ingest(&other, ROUNDS, "backward", true),
        );
        let leads = i64::try_from(ROUNDS / ROUNDS_A_SET * LEADS).unwrap();
        let messages = i64::try_from(2 * ROUNDS * LEADS).unwrap();
        assert_eq!(db.number("select count(*) from leads").await, leads);
        assert_eq!(db.number("select count(*) from lead_identities").await, leads);
        assert_eq!(db.number("select count(*) from messages").await, messages);
        assert_eq!(db.number("select count(*) from jobs").await, messages);
        assert_eq!(db.number("select count(*) from job_ready").await, leads);
        assert_eq!(db.number("select count(*) from job_blocked").await, messages - leads);
        assert_no_deadlock(db, other).await;
    }

    #[ignore = "long: `just long`"]
    async fn groups_that_store_and_groups_that_end_jobs_of_the_same_leads_all_commit(db: Fixture) {
        const ROUNDS: usize = 40;
        let other = another(&db).await;
        let total = 2 * ROUNDS * LEADS;
        let (one, two) = (total / 2, total - total / 2);
        // Each settles half: whichever gets a job.
        tokio::join!(
            ingest(&db.store, ROUNDS, "forward", false),
            ingest(&other, ROUNDS, "backward", true),
            settle(&db.store, one - 40),
            settle(&other, two - 40),
        );
        drain(&db.store, 100).await;
        let total = i64::try_from(total).unwrap();
        assert_eq!(db.number("select count(*) from messages where handled_at is not null").await, total);
        assert_eq!(db.number("select count(*) from jobs where kind = 'SMS_INBOUND_POST_PROCESS'").await, total);
        assert_eq!(db.number("select count(*) from job_attempts").await, db.number("select count(*) from jobs").await);
        assert_eq!(db.number("select count(*) from job_ready").await, 0);
        let most = "select coalesce(max(n), 0) from (select count(*) as n from drafts where status = 'pending' group by lead_id, channel) as d";
        assert!(db.number(most).await <= 1, "a lead has at most one pending draft a channel");
        assert_no_deadlock(db, other).await;
    }

    async fn groups_that_end_the_same_lines_in_opposite_order_both_commit(db: Fixture) {
        const ROUNDS: usize = 25;
        let other = another(&db).await;
        let phones = phones(LEADS);
        for round in 0..ROUNDS {
            put(&db.store, "a", &phones, round).await;
            let claims = claim_of(&db.store, &[(SMS, LEADS)]).await;
            assert_eq!(claims.len(), LEADS);
            let forward: Vec<Settlement> =
                claims.iter().map(|it| settlement(&db.store, it, Transition::Succeed(effects()))).collect();
            let mut backward = forward.clone();
            backward.reverse();
            let (forward_ledger, backward_ledger) = (db.store.ledger(), other.ledger());
            let (left, right) =
                tokio::join!(forward_ledger.settle(forward.into()), backward_ledger.settle(backward.into()));
            let (left, mut right) = (left.unwrap(), right.unwrap());
            right.reverse();
            for (left, right) in left.iter().zip(&right) {
                assert!(left ^ right, "exactly one of the two fences holds");
            }
        }
        let all = i64::try_from(ROUNDS * LEADS).unwrap();
        assert_eq!(db.number("select count(*) from jobs where kind <> 'SMS_INBOUND_POST_PROCESS'").await, all);
        drain(&db.store, 100).await;
        assert_no_deadlock(db, other).await;
    }

    /// A message is told over its second path, and gets its provider's id, while its job ends.
    #[ignore = "long: `just long`"]
    async fn names_that_come_late_and_ends_of_the_same_messages_all_commit(db: Fixture) {
        const ROUNDS: usize = 60;
        let other = another(&db).await;
        let (phones, mut ended) = (phones(LEADS), 0);
        let unnamed = |phone: &str, key: String| {
            with_message(sms("a", phone, &key, "hello"), |it| it.provider_id = None)
        };
        for round in 0..ROUNDS {
            // Two a lead, so that ends take turns of the same kind for those that follow.
            let first: Vec<Inbound> = phones.iter().map(|it| unnamed(it, format!("{it} {round} 1"))).collect();
            let second: Vec<Inbound> = phones.iter().map(|it| unnamed(it, format!("{it} {round} 2"))).collect();
            db.store.inbox().put(first.clone().into()).await.unwrap();
            db.store.inbox().put(second.into()).await.unwrap();
            let claims = claim_of(&db.store, &[(SMS, LEADS)]).await;
            let ends: Vec<Settlement> =
                claims.iter().map(|it| settlement(&db.store, it, Transition::Succeed(effects()))).collect();
            // The names, and one of a new lead: it takes a turn of the same client and kind.
            let mut named: Vec<Inbound> = phones.iter().map(|it| sms("a", it, &format!("{it} {round} 1"), "hello")).collect();
            named.push(sms("a", &format!("+1444{round:07}"), &format!("new {round}"), "hello"));
            let (ledger, inbox) = (db.store.ledger(), other.inbox());
            let (applied, stored) = tokio::join!(ledger.settle(ends.into()), inbox.put(named.into()));
            assert!(applied.unwrap().iter().all(|it| *it));
            assert_eq!(stored.unwrap().len(), LEADS + 1);
            ended += claims.len() + drain(&db.store, 100).await;
        }
        assert_eq!(db.number("select count(*) from messages where provider_id is null").await, i64::try_from(ROUNDS * LEADS).unwrap());
        assert!(ended > ROUNDS * LEADS * 2);
        assert_no_deadlock(db, other).await;
    }

    /// A node claims suspects of capped clients while a person cancels them.
    #[ignore = "long: `just long`"]
    async fn suspects_that_are_claimed_and_cancelled_all_commit(db: Fixture) {
        const ROUNDS: usize = 60;
        const JOBS: usize = 4;
        let other = another(&db).await;
        let caps: BTreeMap<String, u32> = [("a".to_owned(), 8), ("b".to_owned(), 8)].into();
        for store in [&db.store, &other] {
            store.set_caps(caps.clone()).await.unwrap();
        }
        for _ in 0..ROUNDS {
            let mut jobs = enqueue(&db.store, "a", SELF_CHECK, JOBS).await;
            jobs.extend(enqueue(&db.store, "b", SELF_CHECK, JOBS).await);
            let claims = claim_of(&db.store, &[(SELF_CHECK, 2 * JOBS)]).await;
            let (reason, error) = (FailureReason::Rescued, "its node fell silent".to_owned());
            let rescued = Transition::Retry { after: Duration::ZERO, reason, error };
            settle_all(&db.store, &claims, &rescued).await;
            let claim_all = async { claim_suspects(&db.store).await };
            let cancel_all = async {
                let desk = other.desk();
                for id in &jobs {
                    desk.cancel(*id).await.unwrap();
                }
            };
            tokio::join!(claim_all, cancel_all);
        }
        assert_eq!(db.number("select count(*) from job_ready").await, 0);
        assert_eq!(db.number("select cast(coalesce(sum(admitted + held), 0) as bigint) from job_caps").await, 0);
        assert_no_deadlock(db, other).await;
    }

    /// A cancelled head lets one in of a kind that its client never had in turn, which others have
    /// at the same time.
    #[ignore = "long: `just long`"]
    async fn a_cancel_that_lets_in_another_kind_and_groups_of_that_kind_all_commit(db: Fixture) {
        const ROUNDS: usize = 60;
        const OTHER: JobKind = JobKind("AN_OTHER_KIND");
        let other = another(&db).await;
        for round in 0..ROUNDS {
            let client = format!("c{round}");
            let of = |phone: &str, key: &str, kind: JobKind| {
                let mut inbound = sms(&client, phone, key, "hello");
                if let Content::Event { kind: of, .. } = &mut inbound.content {
                    *of = kind;
                }
                inbound
            };
            let one = db.store.inbox().put(Arc::from([of("+15550001", "k1", SMS), of("+15550001", "k2", OTHER)])).await.unwrap();
            let head = job_of(&one[0]);
            // Of both kinds, so that turns are taken of both, and ends of the same lead's line.
            let group: Arc<[Inbound]> = Arc::from([of("+15550002", "k3", OTHER), of("+15550003", "k4", SMS), of("+15550001", "k5", OTHER)]);
            let (desk, inbox) = (db.store.desk(), other.inbox());
            let (cancelled, stored) = tokio::join!(desk.cancel(head), inbox.put(group));
            cancelled.unwrap();
            assert_eq!(stored.unwrap().len(), 3);
        }
        assert_no_deadlock(db, other).await;
    }
}
