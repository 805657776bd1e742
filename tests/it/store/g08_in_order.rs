//! G8: in order for a lead.

use super::{
    life::{claim, end},
    tools::{Dice, assert_whole, claim_of, drain, instant, phones, put, succeed, succeed_one},
};
use crate::{
    on_both_databases,
    support::{
        eventually,
        fixture::{Fixture, SMS, job_of, sms},
    },
};
use postroom::{
    domain::{ChannelName, Effect, Id, JobKind, OptOutSource, job::FailureReason},
    store::{Claim, Content, Store, Transition},
};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinSet;

/// The state that two claimers share.
#[derive(Default)]
struct Watch {
    /// Claim rounds, of either.
    rounds: AtomicU64,
    ended: AtomicUsize,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    running: HashMap<Id, Id>,
    /// The ended jobs of each lead, in the order of their ends.
    ends: HashMap<Id, Vec<Id>>,
    snoozed: HashSet<Id>,
    overlaps: usize,
}

/// Claims until `total` jobs have ended; what it claims is held over one more claim, of whichever
/// claimer.
async fn work(store: Store, watch: Arc<Watch>, total: usize, seed: u64, is_steady: bool) {
    let mut dice = Dice::new(seed);
    let mut holding = JoinSet::new();
    while watch.ended.load(Ordering::SeqCst) < total {
        store.queue().make_due().await.unwrap();
        let claims = claim_of(&store, &[(SMS, 4)]).await;
        let round = watch.rounds.fetch_add(1, Ordering::SeqCst) + 1;
        for claim in claims {
            let lead = claim.job.lead_id.unwrap();
            {
                let mut seen = watch.seen.lock().unwrap();
                let other = seen.running.insert(lead, claim.job.id);
                seen.overlaps += usize::from(other.is_some());
            }
            let transition = if is_steady {
                Transition::Succeed(Vec::new())
            } else {
                anything(&mut dice, &claim)
            };
            holding.spawn(hold(store.clone(), watch.clone(), claim, round, transition));
        }
        while let Some(result) = holding.try_join_next() {
            result.unwrap();
        }
    }
    while let Some(result) = holding.join_next().await {
        result.unwrap();
    }
}

async fn hold(store: Store, watch: Arc<Watch>, claim: Claim, round: u64, transition: Transition) {
    while watch.rounds.load(Ordering::SeqCst) <= round {
        tokio::task::yield_now().await;
    }
    let lead = claim.job.lead_id.unwrap();
    let ends = matches!(transition, Transition::Succeed(_));
    {
        let mut seen = watch.seen.lock().unwrap();
        seen.running.remove(&lead);
        if ends {
            seen.ends.entry(lead).or_default().push(claim.job.id);
        }
        if matches!(transition, Transition::Snooze { .. }) {
            seen.snoozed.insert(claim.job.id);
        }
    }
    assert!(end(&store, &claim, transition).await, "nobody else has moved it");
    watch.ended.fetch_add(usize::from(ends), Ordering::SeqCst);
}

/// An end more often than not; attempts and snoozes run out.
fn anything(dice: &mut Dice, claim: &Claim) -> Transition {
    let after = Duration::from_millis(dice.roll(5));
    match dice.roll(6) {
        0 if claim.job.attempt < 5 => {
            Transition::Retry { after, reason: FailureReason::Error, error: "no".to_owned() }
        }
        1 => Transition::Snooze { after },
        2 => Transition::Release,
        _ => Transition::Succeed(Vec::new()),
    }
}

async fn two_claimers(db: &Fixture, leads: usize, jobs: usize, is_steady: bool) {
    let phones = phones(leads);
    let mut order: HashMap<Id, Vec<Id>> = HashMap::new();
    for n in 0..jobs {
        for (lead, job) in put(&db.store, "a", &phones, n).await {
            order.entry(lead).or_default().push(job);
        }
    }
    let other = if db.is_sqlite() { db.store.clone() } else { db.another_node().await };
    let watch = Arc::new(Watch::default());
    let total = leads * jobs;
    let mut both = JoinSet::new();
    both.spawn(work(db.store.clone(), watch.clone(), total, 1, is_steady));
    both.spawn(work(other, watch.clone(), total, 2, is_steady));
    while let Some(result) = both.join_next().await {
        result.unwrap();
    }
    {
        let seen = watch.seen.lock().unwrap();
        assert_eq!(seen.overlaps, 0, "two jobs of a lead ran at once");
        for (lead, ends) in &seen.ends {
            let kept = |jobs: &[Id]| -> Vec<Id> {
                jobs.iter().filter(|it| !seen.snoozed.contains(it)).copied().collect()
            };
            assert_eq!(kept(ends), kept(&order[lead]), "lead {lead}");
        }
        assert_eq!(seen.ends.values().map(Vec::len).sum::<usize>(), total);
    }
    assert_eq!(db.number("select count(*) from job_ready").await, 0);
    assert_eq!(db.number("select count(*) from messages where handled_at is null").await, 0);
    assert_whole(db).await;
}

on_both_databases! {
    /// Each job stores whether it stands in its lead's line, whatever its kind is called.
    async fn a_job_of_any_kind_that_is_retried_by_hand_enters_its_leads_line(db: Fixture) {
        for kind in [JobKind("WHATSAPP"), JobKind("READ_A_FAX"), SMS] {
            let phone = format!("+1555{}", kind.0.len());
            let of_kind = |key: &str| {
                let mut inbound = sms("a", &phone, &format!("{kind} {key}"), "hello");
                if let Content::Event { kind: of, .. } = &mut inbound.content {
                    *of = kind;
                }
                inbound
            };
            let group = [of_kind("k1"), of_kind("k2")];
            let answers = db.store.inbox().put(Arc::new(group)).await.unwrap();
            let (first, second) = (job_of(&answers[0]), job_of(&answers[1]));
            let fail = Transition::Fail { reason: FailureReason::Error, error: "no".to_owned() };
            let claims = claim_of(&db.store, &[(kind, 10)]).await;
            assert_eq!(claims.iter().map(|it| it.job.id).collect::<Vec<_>>(), [first], "{kind}");
            assert!(end(&db.store, &claims[0], fail).await);
            let running = claim_of(&db.store, &[(kind, 10)]).await;
            assert_eq!(running.iter().map(|it| it.job.id).collect::<Vec<_>>(), [second], "{kind}");
            db.store.desk().retry(first, None).await.unwrap();
            assert!(claim_of(&db.store, &[(kind, 10)]).await.is_empty(), "{kind}: two of a lead at once");
            succeed(&db.store, &running).await;
            let again = claim_of(&db.store, &[(kind, 10)]).await;
            assert_eq!(again.iter().map(|it| (it.line, it.job.id)).collect::<Vec<_>>(), [(running[0].line, first)]);
            succeed(&db.store, &again).await;
        }
    }

    /// A job from before that column existed is recognised by the name of its kind.
    async fn a_job_of_an_earlier_version_is_in_line_by_its_name(db: Fixture) {
        let phone = phones(1);
        put(&db.store, "a", &phone, 1).await;
        put(&db.store, "a", &phone, 2).await;
        db.execute("update jobs set in_lead_line = null").await;
        let claims = claim(&db.store, 10).await;
        let fail = Transition::Fail { reason: FailureReason::Error, error: "no".to_owned() };
        assert!(end(&db.store, &claims[0], fail).await);
        let running = claim(&db.store, 10).await;
        db.store.desk().retry(claims[0].job.id, None).await.unwrap();
        assert!(claim(&db.store, 10).await.is_empty());
        succeed(&db.store, &running).await;
        assert_eq!(claim(&db.store, 10).await.len(), 1);
    }

    /// The handler says on which channel a lead opted out, whatever its kind is called.
    async fn an_opt_out_is_noted_on_the_channel_on_which_it_was_said(db: Fixture) {
        put(&db.store, "a", &phones(1), 1).await;
        db.execute("update job_ready set kind = 'READ_A_FAX'").await;
        db.execute("update jobs set kind = 'READ_A_FAX'").await;
        let claims = claim_of(&db.store, &[(JobKind("READ_A_FAX"), 10)]).await;
        let opt_out = Effect::OptOut { channel: ChannelName("fax"), source: OptOutSource::Model, reason: "stop".to_owned() };
        assert!(end(&db.store, &claims[0], Transition::Succeed(vec![opt_out])).await);
        assert_eq!(db.texts("select opted_out_channel from leads").await, ["fax"]);
    }

    async fn g08_two_jobs_of_a_lead_never_run_at_once_and_end_in_order(db: Fixture) {
        two_claimers(&db, 10, 2, true).await;
    }

    /// A snoozed job lets those behind it pass; all others keep their order through retries and
    /// releases.
    async fn g08_retries_snoozes_and_releases_keep_the_order(db: Fixture) {
        two_claimers(&db, 10, 5, false).await;
    }

    async fn g08_a_job_that_waits_for_its_retry_holds_back_the_later_ones(db: Fixture) {
        let phone = phones(1);
        let mut jobs = Vec::new();
        for n in 0..4 {
            jobs.push(put(&db.store, "a", &phone, n).await[0].1);
        }
        let first = claim(&db.store, 10).await;
        assert_eq!(first.len(), 1);
        let after = Duration::from_secs(3_600);
        let retry = Transition::Retry { after, reason: FailureReason::Timeout, error: "slow".to_owned() };
        assert!(end(&db.store, &first[0], retry).await);
        jobs.push(put(&db.store, "a", &phone, 4).await[0].1);
        assert_eq!(db.store.queue().make_due().await.unwrap(), 0);
        assert!(claim(&db.store, 10).await.is_empty(), "all wait behind the retry");
        let due = db.store.queue().next_due_ms().await.unwrap().unwrap();
        assert!(due > 3_000_000, "{due}");
        db.execute(&format!("update job_ready set run_at = {}", instant(&db, -1))).await;
        assert_eq!(db.store.queue().make_due().await.unwrap(), 1);
        let mut order = Vec::new();
        loop {
            let claims = claim(&db.store, 10).await;
            let Some(one) = claims.first() else { break };
            assert_eq!(claims.len(), 1);
            order.push(one.job.id);
            assert!(succeed_one(&db.store, one).await);
        }
        assert_eq!(order, jobs);
    }

    async fn g08_a_snoozed_job_comes_back_behind_those_that_passed_it(db: Fixture) {
        let phone = phones(1);
        let mut jobs = Vec::new();
        for n in 0..3 {
            jobs.push(put(&db.store, "a", &phone, n).await[0].1);
        }
        let first = claim(&db.store, 10).await;
        assert!(end(&db.store, &first[0], Transition::Snooze { after: Duration::ZERO }).await);
        let second = claim(&db.store, 10).await;
        assert_eq!(second[0].job.id, jobs[1], "the next one does not wait for it");
        eventually(Duration::from_secs(5), async || {
            (db.store.queue().make_due().await.unwrap() == 1).then_some(())
        }).await;
        assert!(claim(&db.store, 10).await.is_empty(), "one runs");
        succeed(&db.store, &second).await;
        let third = claim(&db.store, 10).await;
        assert_eq!(third[0].job.id, jobs[2]);
        succeed(&db.store, &third).await;
        let again = claim(&db.store, 10).await;
        assert_eq!((again[0].job.id, again[0].job.attempt, again[0].run), (jobs[0], 1, 2));
        succeed(&db.store, &again).await;
    }

    async fn g08_jobs_of_other_kinds_wait_for_nothing(db: Fixture) {
        let (lead, _) = put(&db.store, "a", &phones(1), 1).await[0];
        let mut scoring = crate::support::fixture::job(&db.store, "a", postroom::domain::job::LEAD_SCORING);
        scoring.lead_id = Some(lead);
        db.store.enqueuer().enqueue(vec![scoring]).await.unwrap();
        let claims = claim(&db.store, 10).await;
        assert_eq!(claims.len(), 2);
        succeed(&db.store, &claims).await;
        assert_eq!(drain(&db.store, 10).await, 0);
    }
}
