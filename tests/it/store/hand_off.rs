//! Jobs that are born running: which they are, what is stored of them, and what they cost others.

use super::{
    caps::cap,
    inbox::{is_accepted, poisoned, refuse_poison},
    life::{claim, end, settle},
    rescue::rescue,
    tools::{assert_places, claim_suspects, drain, enqueue, phones, succeed},
};
use crate::{
    on_both_databases,
    support::fixture::{Fixture, SMS, job_of, sms},
};
use postroom::{
    domain::{
        Effect, Id, JobKind,
        fairness::Turn,
        job::{FailureReason, LEAD_SCORING, SELF_CHECK},
        outcome::Subject,
    },
    store::{
        Answer, Claim, FreePlaces, Inbound, LentSlots, Settlement, Store, Transition,
        commit_isolating,
    },
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// Places of a pool, and what became of them.
#[derive(Debug)]
struct Places(JobKind, Mutex<Lent>);

#[derive(Debug, Default)]
struct Lent {
    left: usize,
    floor: Turn,
    noted: Vec<Id>,
    started: Vec<Claim>,
}

impl Places {
    fn lend(count: usize) -> Arc<Self> {
        Self::of(SMS, count)
    }

    fn of(kind: JobKind, count: usize) -> Arc<Self> {
        Arc::new(Self(kind, Mutex::new(Lent { left: count, ..Lent::default() })))
    }

    fn left(&self) -> usize {
        self.1.lock().unwrap().left
    }

    fn started(&self) -> Vec<Claim> {
        self.1.lock().unwrap().started.clone()
    }

    fn started_ids(&self) -> Vec<Id> {
        self.started().iter().map(|claim| claim.job.id).collect()
    }
}

impl LentSlots for Places {
    fn places(&self) -> Vec<FreePlaces> {
        let lent = self.1.lock().unwrap();
        vec![FreePlaces { kind: self.0.0, floor: lent.floor, count: lent.left }]
    }

    fn note(&self, job_ids: &[Id]) {
        self.1.lock().unwrap().noted.extend(job_ids);
    }

    fn start(&self, claims: Vec<Claim>) {
        let mut lent = self.1.lock().unwrap();
        assert!(claims.len() <= lent.left, "no more start than there are places");
        assert!(claims.iter().all(|it| lent.noted.contains(&it.job.id)), "noted before the commit");
        lent.left -= claims.len();
        lent.started.extend(claims);
    }

    fn started(&self) -> usize {
        self.1.lock().unwrap().started.len()
    }
}

async fn put(store: &Store, group: Vec<Inbound>, places: &Arc<Places>) -> Vec<Answer> {
    store.inbox().put_and_start(group.into(), Some(places.clone())).await.unwrap()
}

fn one(client: &str, phone: &str, key: &str) -> Inbound {
    sms(client, phone, key, "hello")
}

/// Lets the kind have a V: without one nobody has claimed it yet, and nothing is born running.
async fn first_claim(db: &Fixture) {
    db.store.inbox().put(Arc::new([one("first", "+15559999", "first")])).await.unwrap();
    succeed(&db.store, &claim(&db.store, 1).await).await;
}

async fn v(db: &Fixture) -> i64 {
    db.number(&format!("select max(turn) from job_clock where kind = '{}'", SMS.0)).await
}

/// The end of a job that enqueues one job of this kind.
fn enqueues(kind: JobKind) -> Transition {
    let (subject, delay) = (Subject::OfTheJob, Duration::ZERO);
    Transition::Succeed(vec![Effect::Enqueue { kind, subject, delay }])
}

/// Ends all of `claims`, each with a scoring job that follows from it. Returns which were applied.
async fn score(store: &Store, claims: &[Claim], places: &Arc<Places>) -> Vec<bool> {
    let all: Vec<Settlement> =
        claims.iter().map(|it| settle(store, it, enqueues(LEAD_SCORING))).collect();
    store.ledger().settle_and_start(all.into(), Some(places.clone())).await.unwrap()
}

/// Lets both kinds have a V, and claims one job of each of these clients.
async fn claimed(db: &Fixture, clients: &[&str]) -> Vec<Claim> {
    first_claim(db).await;
    enqueue(&db.store, "first", LEAD_SCORING, 1).await;
    drain(&db.store, 1).await;
    let group = clients.iter().zip(phones(clients.len()));
    let group: Vec<Inbound> = group.map(|(client, phone)| one(client, &phone, &phone)).collect();
    db.store.inbox().put(group.into()).await.unwrap();
    let claims = claim(&db.store, clients.len()).await;
    assert_eq!(claims.len(), clients.len());
    claims
}

const RUNNING: &str = "select count(*) from job_ready where node is not null";

on_both_databases! {
    async fn a_job_is_born_running_with_its_place_and_ends_like_any_other(db: Fixture) {
        first_claim(&db).await;
        let (before, places) = (v(&db).await, Places::lend(4));
        let answers = put(&db.store, vec![one("a", "+15550001", "k1")], &places).await;
        let started = places.started();
        assert_eq!(places.started_ids(), [job_of(&answers[0])]);
        assert_eq!(places.left(), 3);
        let born = &started[0];
        assert_eq!((born.run, born.spared, born.turn), (1, 0, before));
        assert_eq!((born.job.run, born.job.attempt, born.job.max_attempts), (1, 1, 5));
        assert_eq!(born.job.request_id.as_deref(), Some("test"));
        assert_eq!(born.job.channel.as_deref(), Some("sms"));
        assert!(born.job.lead_id == Some(born.line) && born.job.message_id.is_some());
        // It is what a claim would have made of it, and the node finds it again.
        let row = format!(
            "select count(*) from job_ready where job_id = {} and run = 1 and node = {} and locked_at is not null",
            born.job.id, db.store.node()
        );
        assert_eq!(db.number(&row).await, 1);
        assert!(claim(&db.store, 10).await.is_empty(), "no claim finds it");
        let known = db.store.queue().claimed_runs().await.unwrap();
        assert_eq!(known.iter().map(|it| it.settlement.job_id).collect::<Vec<_>>(), [born.job.id]);
        // V does not rise: that is the claim's.
        assert_eq!(v(&db).await, before);
        assert!(end(&db.store, born, Transition::Succeed(Vec::new())).await, "its fence holds");
        assert!(!end(&db.store, born, Transition::Succeed(Vec::new())).await, "once");
        let history = format!("select count(*) from job_attempts where job_id = {} and run = 1 and ended", born.job.id);
        assert_eq!(db.number(&history).await, 1);
        assert_places(&db).await;
    }

    /// It would be lost if its answer were: a node finds its runs by V.
    async fn nothing_is_born_running_before_the_kind_was_claimed_once(db: Fixture) {
        let places = Places::lend(4);
        put(&db.store, vec![one("a", "+15550001", "k1")], &places).await;
        assert_eq!(places.started_ids(), Vec::<Id>::new());
        assert_eq!(claim(&db.store, 10).await.len(), 1);
    }

    /// (3) Also a head that another node has stored, of which this node knows nothing.
    async fn nothing_is_born_running_while_somebodys_head_waits_in_the_database(db: Fixture) {
        first_claim(&db).await;
        let other = db.another_node().await;
        other.inbox().put(Arc::new([one("b", "+15550002", "b1")])).await.unwrap();
        let places = Places::lend(4);
        let burst = phones(4).iter().map(|phone| one("a", phone, phone)).collect();
        put(&db.store, burst, &places).await;
        assert_eq!(places.started_ids(), Vec::<Id>::new());
        let next = claim(&db.store, 2).await;
        assert!(next.iter().any(|it| it.job.client_id == "b"), "among the next: {next:?}");
        succeed(&db.store, &next).await;
        drain(&db.store, 10).await;
        put(&db.store, vec![one("a", "+15550003", "a3")], &places).await;
        assert_eq!(places.started_ids().len(), 1, "nobody waits any more");
        succeed(&db.store, &places.started()).await;
    }

    /// (3) What ran while nobody waited is not held against its client.
    async fn jobs_that_are_born_running_use_up_no_turns(db: Fixture) {
        first_claim(&db).await;
        for round in 0..20 {
            let places = Places::lend(1);
            put(&db.store, vec![one("a", "+15550001", &format!("a{round}"))], &places).await;
            succeed(&db.store, &places.started()).await;
        }
        for client in ["a", "b", "a", "b"] {
            let phone = format!("+1555{}", db.store.enqueuer().next_id() % 10_000_000);
            db.store.inbox().put(Arc::new([one(client, &phone, &phone)])).await.unwrap();
        }
        let clients: Vec<String> = claim(&db.store, 2).await.into_iter().map(|it| it.job.client_id).collect();
        assert_eq!(clients, ["a", "b"], "in turn");
    }

    /// (3) Of a group, too: the places go round the clients, and the others wait in fair order.
    async fn a_burst_does_not_take_all_places_of_its_group(db: Fixture) {
        first_claim(&db).await;
        let mut group: Vec<Inbound> = phones(10).iter().map(|phone| one("a", phone, phone)).collect();
        group.push(one("b", "+15559998", "b1"));
        let places = Places::lend(3);
        put(&db.store, group, &places).await;
        let mut clients: Vec<String> = places.started().into_iter().map(|it| it.job.client_id).collect();
        clients.sort_unstable();
        assert_eq!(clients, ["a", "a", "b"]);
        assert_eq!(claim(&db.store, 20).await.len(), 8);
    }

    /// Only the head of a line is born running (G8), also behind one that waits for its retry.
    async fn the_line_of_a_lead_stays_in_order(db: Fixture) {
        first_claim(&db).await;
        let places = Places::lend(4);
        let group = vec![one("a", "+15550001", "k1"), one("a", "+15550001", "k2")];
        let answers = put(&db.store, group, &places).await;
        assert_eq!(places.started_ids(), [job_of(&answers[0])]);
        let later = put(&db.store, vec![one("a", "+15550001", "k3")], &places).await;
        assert_eq!(places.started_ids().len(), 1, "the line has a head");
        succeed(&db.store, &places.started()).await;
        for answer in [&answers[1], &later[0]] {
            let next = claim(&db.store, 10).await;
            assert_eq!(next.iter().map(|it| it.job.id).collect::<Vec<_>>(), [job_of(answer)]);
            succeed(&db.store, &next).await;
        }
        assert_places(&db).await;
    }

    /// (5)
    async fn a_client_at_its_cap_gets_no_place_and_what_is_born_counts(db: Fixture) {
        first_claim(&db).await;
        cap(&db.store, &[("a", 2)]).await;
        let places = Places::lend(8);
        let group = phones(4).iter().map(|phone| one("a", phone, phone)).collect();
        put(&db.store, group, &places).await;
        assert_eq!(places.started_ids().len(), 2);
        let counts = "select admitted * 10 + held from job_caps where client_id = 'a'";
        assert_eq!(db.number(counts).await, 22);
        put(&db.store, vec![one("a", "+15550009", "k9"), one("b", "+15550010", "b1")], &places).await;
        assert_eq!(places.started_ids().len(), 3, "the other client is not capped");
        assert_eq!(db.number(counts).await, 23);
        succeed(&db.store, &places.started()).await;
        assert_eq!(db.number(counts).await, 21, "two held ones came into turn");
        assert_eq!(drain(&db.store, 8).await, 3);
        assert_eq!(db.number(counts).await, 0);
        assert_places(&db).await;
    }

    /// (7) Places belong to a try: a half that fails leaves them to the next.
    async fn a_webhook_that_fails_its_group_takes_no_place(db: Fixture) {
        first_claim(&db).await;
        refuse_poison(&db).await;
        let mut group: Vec<Inbound> = phones(9).iter().map(|phone| one("a", phone, phone)).collect();
        group[4] = poisoned(&db, group[4].clone());
        let (places, inbox) = (Places::lend(9), db.store.inbox());
        let results = commit_isolating(group.into(), |some| {
            inbox.put_and_start(some, Some(places.clone()))
        })
        .await;
        let stored: Vec<&Answer> = results.iter().filter_map(|it| it.as_ref().ok()).collect();
        assert!(stored.len() == 8 && stored.iter().all(|it| is_accepted(it)), "{results:?}");
        let mut jobs: Vec<Id> = stored.into_iter().map(job_of).collect();
        let mut started = places.started_ids();
        jobs.sort_unstable();
        started.sort_unstable();
        assert_eq!(started, jobs, "those that were committed, under the ids of their commit");
        assert_eq!(places.left(), 1);
        assert_eq!(db.number(RUNNING).await, 8);
        succeed(&db.store, &places.started()).await;
        assert_places(&db).await;
    }

    /// (6) A node that dies with jobs that were born running: a failed attempt each, as of any
    /// running job, and they come back one at a time.
    async fn what_was_born_running_on_a_dead_node_is_rescued_as_any_running_job(db: Fixture) {
        first_claim(&db).await;
        let (dead, places) = (db.another_node().await, Places::lend(3));
        let group: Vec<Inbound> = phones(3).iter().map(|phone| one("a", phone, phone)).collect();
        put(&dead, group, &places).await;
        assert_eq!(places.started_ids().len(), 3);
        assert_eq!(rescue(&db.store, vec![dead.node()]).await, 3);
        let rescued = "select count(*) from job_attempts where outcome = 'rescued' and run = 1 and not ended";
        assert_eq!(db.number(rescued).await, 3);
        assert!(claim(&db.store, 10).await.is_empty(), "suspects have no turn");
        assert!(!end(&dead, &places.started()[0], Transition::Succeed(Vec::new())).await, "its fence fails");
        let suspects = claim_suspects(&db.store).await;
        assert!(suspects.iter().all(|it| it.run == 2) && suspects.len() == 3, "{suspects:?}");
        succeed(&db.store, &suspects).await;
        assert_places(&db).await;
    }

    async fn a_follow_on_job_is_born_running_in_the_commit_of_its_cause(db: Fixture) {
        let cause = claimed(&db, &["a"]).await;
        let places = Places::of(LEAD_SCORING, 2);
        assert_eq!(score(&db.store, &cause, &places).await, [true]);
        let (started, cause) = (places.started(), &cause[0]);
        assert_eq!((started.len(), places.left()), (1, 1));
        let born = &started[0];
        assert_eq!((born.run, born.spared, born.line), (1, 0, -born.job.id));
        assert_eq!((born.job.attempt, born.job.kind), (1, LEAD_SCORING));
        assert_eq!((born.job.lead_id, born.job.message_id), (cause.job.lead_id, cause.job.message_id));
        assert_eq!((&born.job.request_id, &born.job.channel), (&cause.job.request_id, &cause.job.channel));
        assert!(born.job.request_id.is_some());
        assert!(claim(&db.store, 10).await.is_empty(), "no claim finds it");
        let known = db.store.queue().claimed_runs().await.unwrap();
        assert_eq!(known.iter().map(|it| it.settlement.job_id).collect::<Vec<_>>(), [born.job.id]);
        let turns = format!("select count(*) from job_clients where client_id = 'a' and kind = '{LEAD_SCORING}'");
        assert_eq!(db.number(&turns).await, 0, "it took no turn");
        assert!(end(&db.store, born, Transition::Succeed(Vec::new())).await, "its fence holds");
        let counted = format!("select cast(sum(count) as bigint) from job_counts where kind = '{LEAD_SCORING}' and state = 'enqueued'");
        assert_eq!(db.number(&counted).await, 2);
        assert_places(&db).await;
    }

    /// (3) Another node's head waits, or one comes into turn by the same group.
    async fn no_follow_on_job_is_born_running_while_somebody_waits(db: Fixture) {
        let cause = claimed(&db, &["a", "b"]).await;
        let other = db.another_node().await;
        enqueue(&other, "c", LEAD_SCORING, 1).await;
        let places = Places::of(LEAD_SCORING, 4);
        assert_eq!(score(&db.store, &cause[..1], &places).await, [true]);
        assert!(places.started().is_empty());
        let waiting = claim(&db.store, 4).await;
        assert_eq!(waiting.len(), 2);
        let group = [settle(&db.store, &waiting[0], Transition::Release), settle(&db.store, &cause[1], enqueues(LEAD_SCORING))];
        let applied = db.store.ledger().settle_and_start(group.into(), Some(places.clone())).await.unwrap();
        assert!(applied == [true, true] && places.started().is_empty(), "one was released");
        succeed(&db.store, &waiting[1..]).await;
        assert_eq!(drain(&db.store, 4).await, 2);
        assert_places(&db).await;
    }

    /// What a fence refuses enqueues nothing, and what could not be stored is not started.
    async fn only_what_is_committed_uses_a_place(db: Fixture) {
        let cause = claimed(&db, &["a", "b"]).await;
        assert!(end(&db.store, &cause[0], enqueues(SELF_CHECK)).await);
        let places = Places::of(LEAD_SCORING, 4);
        assert_eq!(score(&db.store, &cause, &places).await, [false, true]);
        assert_eq!(places.started().iter().map(|it| it.job.client_id.as_str()).collect::<Vec<_>>(), ["b"]);
        // Once more: its run is over.
        assert_eq!(score(&db.store, &cause[1..], &places).await, [false]);
        assert_eq!(places.left(), 3);
        let retry = Transition::Retry { after: Duration::ZERO, reason: FailureReason::Error, error: String::new() };
        assert!(end(&db.store, &places.started()[0], retry).await, "it is a run like any other");
        assert_eq!(drain(&db.store, 4).await, 2);
        assert_places(&db).await;
    }

    /// (5)
    async fn a_follow_on_job_keeps_to_its_clients_cap(db: Fixture) {
        let cause = claimed(&db, &["a", "a", "b"]).await;
        cap(&db.store, &[("a", 3)]).await;
        let places = Places::of(LEAD_SCORING, 4);
        assert_eq!(score(&db.store, &cause, &places).await, [true, true, true]);
        let mut clients: Vec<String> = places.started().into_iter().map(|it| it.job.client_id).collect();
        clients.sort_unstable();
        assert_eq!(clients, ["a", "b"], "the two that end still counted when it was chosen");
        let counts = "select admitted * 10 + held from job_caps where client_id = 'a'";
        assert_eq!(db.number(counts).await, 20, "one runs, the other is in turn");
        succeed(&db.store, &places.started()).await;
        assert_eq!(drain(&db.store, 4).await, 1);
        assert_eq!(db.number(counts).await, 0);
        assert_places(&db).await;
    }

    /// (4) Two lanes, two nodes and their recorders at once: no deadlock, nothing twice.
    #[ignore = "long: `just long`"]
    async fn many_at_once_are_stored_and_run_once(db: Fixture) {
        const ROUNDS: usize = 25;
        first_claim(&db).await;
        enqueue(&db.store, "first", LEAD_SCORING, 1).await;
        drain(&db.store, 1).await;
        let other = db.another_node().await;
        let work = async |store: Store, name: &'static str| {
            for round in 0..ROUNDS {
                let places = Places::lend(round % 4);
                let group = (0..6)
                    .map(|n| one(["a", "b", "c"][n % 3], &format!("+1555000{}", n % 4), &format!("{name}{round}.{n}")))
                    .collect();
                put(&store, group, &places).await;
                let follow_ons = Places::of(LEAD_SCORING, round % 3);
                score(&store, &places.started(), &follow_ons).await;
                succeed(&store, &follow_ons.started()).await;
                succeed(&store, &claim(&store, 3).await).await;
            }
        };
        let both = async { tokio::join!(work(db.store.clone(), "one"), work(other.clone(), "two"), work(db.store.clone(), "three")) };
        tokio::time::timeout(Duration::from_secs(60), both).await.unwrap();
        drain(&db.store, 10).await;
        let messages = format!("select count(*) from jobs where kind = '{SMS}'");
        assert_eq!(db.number(&messages).await, 3 * 6 * ROUNDS as i64 + 1);
        let ended = db.number("select count(*) from job_attempts where ended").await;
        assert_eq!(ended, db.number("select count(*) from jobs").await);
        assert_eq!(db.number("select count(*) from job_attempts where outcome <> 'succeeded'").await, 0);
        assert_places(&db).await;
    }
}
