//! How many jobs of a client run at once.

use super::{
    inbox::{PHONE, put_one, with},
    life::{claim, end},
    tools::{
        Dice, claim_of, claim_suspects, drain, enqueue, instant, phones, put, settle_all, succeed,
        succeed_one,
    },
};
use crate::{
    on_both_databases,
    support::{
        eventually,
        fixture::{Fixture, SMS, sms},
    },
};
use postroom::{
    domain::{
        Effect, Identity, IdentityKind,
        job::{FailureReason, LEAD_SCORING, SELF_CHECK},
    },
    store::{Heartbeat, Store, Transition},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

pub(super) async fn cap(store: &Store, caps: &[(&str, u32)]) {
    let caps: BTreeMap<String, u32> = caps.iter().map(|it| (it.0.to_owned(), it.1)).collect();
    store.set_caps(caps).await.unwrap();
}

fn retry(after: Duration) -> Transition {
    Transition::Retry { after, reason: FailureReason::Error, error: "no".to_owned() }
}

/// Checks that the counts of `job_caps` fit the table, and that no job waits without a reason.
async fn assert_caps(db: &Fixture) {
    let wrong = "select c.client_id || ' ' || c.admitted || ' ' || c.held from job_caps c where \
        c.admitted <> (select count(*) from job_ready r where r.client_id = c.client_id and r.turn is not null) or \
        c.held <> (select count(*) from job_ready r where r.client_id = c.client_id and r.held is not null) or \
        (c.admitted < c.cap and c.held > 0)";
    assert_eq!(db.texts(wrong).await, Vec::<String>::new(), "client, admitted, held");
    let both = "select count(*) from job_ready where turn is not null and held is not null";
    assert_eq!(db.number(both).await, 0);
}

on_both_databases! {
    async fn no_more_than_its_cap_run_at_once_over_all_kinds(db: Fixture) {
        cap(&db.store, &[("a", 2)]).await;
        enqueue(&db.store, "a", SELF_CHECK, 6).await;
        enqueue(&db.store, "a", LEAD_SCORING, 6).await;
        enqueue(&db.store, "b", SELF_CHECK, 4).await;
        assert_caps(&db).await;
        let first = claim(&db.store, 100).await;
        let of = |claims: &[postroom::store::Claim], client: &str| claims.iter().filter(|it| it.job.client_id == client).count();
        assert_eq!((of(&first, "a"), of(&first, "b")), (2, 4), "others are not held up");
        assert!(claim(&db.store, 100).await.is_empty());
        let (mine, others): (Vec<_>, Vec<_>) = first.into_iter().partition(|it| it.job.client_id == "a");
        assert!(succeed_one(&db.store, &mine[0]).await);
        let next = claim(&db.store, 100).await;
        assert_eq!(next.len(), 1, "one ends, one comes");
        assert_caps(&db).await;
        for it in others.iter().chain(&next).chain(&mine[1..]) {
            assert!(succeed_one(&db.store, it).await);
        }
        assert_eq!(drain(&db.store, 100).await, 9);
        assert_caps(&db).await;
    }

    async fn what_leaves_its_turn_lets_the_next_one_in(db: Fixture) {
        cap(&db.store, &[("a", 1)]).await;
        let jobs = enqueue(&db.store, "a", SELF_CHECK, 6).await;
        let mut seen = Vec::new();
        let hour = Duration::from_secs(3_600);
        let transitions = [retry(hour), Transition::Snooze { after: hour }, Transition::Postpone { after: hour }, Transition::Cancel { reason: "x".to_owned() }];
        for transition in transitions {
            let claims = claim(&db.store, 10).await;
            assert_eq!(claims.len(), 1, "{transition:?}");
            seen.push(claims[0].job.id);
            assert!(end(&db.store, &claims[0], transition).await);
            assert_caps(&db).await;
        }
        assert_eq!(seen, jobs[..4], "in the order of their turns");
        let given_back = claim(&db.store, 10).await;
        assert!(end(&db.store, &given_back[0], Transition::Release).await);
        assert_caps(&db).await;
        let again = claim(&db.store, 10).await;
        assert_eq!(again[0].job.id, given_back[0].job.id, "what is given back keeps its turn");
        assert!(succeed_one(&db.store, &again[0]).await);
        db.execute(&format!("update job_ready set run_at = {} where run_at is not null", instant(&db, -1))).await;
        db.execute(&format!("update job_later set run_at = {}", instant(&db, -1))).await;
        assert_eq!(db.store.queue().make_due().await.unwrap(), 3);
        assert_caps(&db).await;
        assert_eq!(claim(&db.store, 10).await.len(), 1);
        assert_caps(&db).await;
    }

    async fn a_person_s_cancel_and_retry_keep_count(db: Fixture) {
        cap(&db.store, &[("a", 1)]).await;
        let jobs = enqueue(&db.store, "a", SELF_CHECK, 4).await;
        let desk = db.store.desk();
        desk.cancel(jobs[2]).await.unwrap();
        assert_caps(&db).await;
        desk.cancel(jobs[0]).await.unwrap();
        assert_caps(&db).await;
        let claims = claim(&db.store, 10).await;
        assert_eq!(claims.iter().map(|it| it.job.id).collect::<Vec<_>>(), [jobs[1]]);
        desk.cancel(jobs[1]).await.unwrap();
        assert_caps(&db).await;
        for it in [jobs[0], jobs[1]] {
            desk.retry(it, None).await.unwrap();
            assert_caps(&db).await;
        }
        assert_eq!(drain(&db.store, 10).await, 3);
        assert_caps(&db).await;
    }

    async fn a_lead_s_followers_and_follow_on_jobs_count(db: Fixture) {
        cap(&db.store, &[("a", 1)]).await;
        for n in 0..3 {
            put(&db.store, "a", &phones(3), n).await;
        }
        assert_caps(&db).await;
        let mut ended = 0;
        loop {
            let claims = claim(&db.store, 10).await;
            let Some(it) = claims.first() else { break };
            assert_eq!(claims.len(), 1);
            let effects = if it.job.kind == SMS {
                vec![Effect::Enqueue { kind: LEAD_SCORING, subject: postroom::domain::outcome::Subject::OfTheJob, delay: Duration::ZERO }]
            } else {
                Vec::new()
            };
            assert!(end(&db.store, it, Transition::Succeed(effects)).await);
            assert_caps(&db).await;
            ended += 1;
        }
        assert_eq!(ended, 18);
    }

    async fn another_cap_and_none_let_in_what_they_may(db: Fixture) {
        enqueue(&db.store, "a", SELF_CHECK, 5).await;
        cap(&db.store, &[("a", 2)]).await;
        assert_caps(&db).await;
        // Those that came before the cap stay in turn; what comes later waits until they have gone.
        enqueue(&db.store, "a", SELF_CHECK, 5).await;
        assert_caps(&db).await;
        assert_eq!(db.number("select count(*) from job_ready where held is not null").await, 5);
        cap(&db.store, &[("a", 7)]).await;
        assert_eq!(db.number("select count(*) from job_ready where held is not null").await, 3);
        assert_caps(&db).await;
        cap(&db.store, &[]).await;
        assert_eq!(db.number("select count(*) from job_ready where held is not null").await, 0);
        assert_eq!(claim(&db.store, 100).await.len(), 10);
    }

    /// A backlog that a new cap lets in moves in portions: no transaction has to move all of it.
    async fn a_large_backlog_is_let_in_by_portions(db: Fixture) {
        const HELD: &str = "select count(*) from job_ready where held is not null";
        cap(&db.store, &[("a", 1), ("b", 1)]).await;
        enqueue(&db.store, "a", SELF_CHECK, 2_401).await;
        enqueue(&db.store, "b", SELF_CHECK, 2).await;
        // As another node leaves it that stops between two portions.
        db.execute("update job_caps set cap = 3000").await;
        enqueue(&db.store, "a", SELF_CHECK, 1).await;
        assert_eq!(db.number(HELD).await, 1_401);
        assert_eq!(db.store.chores().recount_caps().await.unwrap(), 2);
        assert_eq!(db.number(HELD).await, 0);
        assert_caps(&db).await;
        // The same for a cap that ends.
        cap(&db.store, &[("a", 1)]).await;
        enqueue(&db.store, "a", SELF_CHECK, 1_100).await;
        db.execute("delete from job_caps").await;
        assert_eq!(db.store.chores().recount_caps().await.unwrap(), 0);
        assert_eq!(db.number(HELD).await, 0);
    }

    /// A node with another configuration has moved heads uncounted.
    async fn counts_that_have_gone_astray_come_right(db: Fixture) {
        cap(&db.store, &[("a", 2)]).await;
        enqueue(&db.store, "a", SELF_CHECK, 6).await;
        db.execute("update job_caps set admitted = 9, held = 1").await;
        cap(&db.store, &[("a", 2)]).await;
        assert_caps(&db).await;
        db.execute("update job_caps set admitted = 0, held = 99").await;
        cap(&db.store, &[("a", 2)]).await;
        assert_caps(&db).await;
        assert_eq!(drain(&db.store, 10).await, 6);
    }

    async fn a_cap_holds_for_leads_that_are_merged(db: Fixture) {
        cap(&db.store, &[("a", 1)]).await;
        for (key, kinds) in [("k1", 0), ("k2", 1), ("k3", 1), ("k4", 2)] {
            let both = [Identity::new(IdentityKind::PHONE, PHONE), Identity::new(IdentityKind::MAIL_ADDRESS, "x@example.com")];
            let identities = match kinds { 0 => both[..1].to_vec(), 1 => both[1..].to_vec(), _ => both.to_vec() };
            put_one(&db, with(sms("a", PHONE, key, "hello"), |it| it.identities = identities)).await;
            assert_caps(&db).await;
        }
        assert_eq!(db.number("select count(*) from job_ready").await, 1);
        assert_eq!(drain(&db.store, 10).await, 4);
        assert_caps(&db).await;
    }

    /// G7: two nodes never run more than the cap together, whatever becomes of the jobs.
    #[ignore = "long: `just long`"]
    async fn g07_a_cap_holds_across_nodes(db: Fixture) {
        let other = if db.is_sqlite() { db.store.clone() } else { db.another_node().await };
        for store in [&db.store, &other] {
            cap(store, &[("a", 3), ("b", 1)]).await;
        }
        let running: Arc<[AtomicUsize; 2]> = Arc::default();
        let ended = Arc::new(AtomicUsize::new(0));
        let total = 240;
        let enqueuer = async {
            for n in 0..40 {
                enqueue(&db.store, "a", SELF_CHECK, 2).await;
                enqueue(&db.store, "b", LEAD_SCORING, 1).await;
                put(&db.store, "a", &phones(2), n).await;
                put(&db.store, "b", &phones(1), n).await;
            }
        };
        let work = async |store: Store, seed: u64| {
            let mut dice = Dice::new(seed);
            while ended.load(Ordering::SeqCst) < total {
                store.queue().make_due().await.unwrap();
                let claims = claim_of(&store, &[(SMS, 4), (SELF_CHECK, 4), (LEAD_SCORING, 4)]).await;
                let of = |it: &postroom::store::Claim| usize::from(it.job.client_id == "b");
                for it in &claims {
                    let now = running[of(it)].fetch_add(1, Ordering::SeqCst) + 1;
                    assert!(now <= [3, 1][of(it)], "{now} of {}", it.job.client_id);
                }
                for it in &claims {
                    dice.dawdle().await;
                    let transition = match dice.roll(8) {
                        0 if it.job.attempt < 5 => retry(Duration::ZERO),
                        1 => Transition::Snooze { after: Duration::ZERO },
                        2 => Transition::Release,
                        _ => Transition::Succeed(Vec::new()),
                    };
                    let ends = matches!(transition, Transition::Succeed(_));
                    running[of(it)].fetch_sub(1, Ordering::SeqCst);
                    assert!(end(&store, it, transition).await);
                    ended.fetch_add(usize::from(ends), Ordering::SeqCst);
                }
            }
        };
        tokio::join!(enqueuer, work(db.store.clone(), 1), work(other.clone(), 2));
        assert_caps(&db).await;
    }

    /// A client at its cap, with more work than that, and a dead node that held jobs of it and of
    /// others.
    async fn a_suspect_of_a_client_at_its_cap_holds_up_nobody_elses(db: Fixture) {
        cap(&db.store, &[("a", 1)]).await;
        enqueue(&db.store, "a", SELF_CHECK, 1).await;
        enqueue(&db.store, "b", SELF_CHECK, 3).await;
        let rescued = |it: &postroom::store::Claim| it.job.client_id.clone();
        let lost = claim_of(&db.store, &[(SELF_CHECK, 10)]).await;
        assert_eq!(lost.iter().map(rescued).collect::<String>().len(), 4);
        // Of a kind that is paused: it stands in turn and keeps the others out.
        enqueue(&db.store, "a", LEAD_SCORING, 2).await;
        let (of_a, of_others): (Vec<_>, Vec<_>) = lost.into_iter().partition(|it| it.job.client_id == "a");
        settle_all(&db.store, &of_a, &rescue(Duration::from_secs(3_600))).await;
        settle_all(&db.store, &of_others, &rescue(Duration::ZERO)).await;
        assert_caps(&db).await;
        db.execute(&format!("update job_ready set run_at = {} where client_id = 'a' and run_at is not null", instant(&db, -60_000))).await;
        let suspects = claim_suspects(&db.store).await;
        let mut clients: Vec<String> = suspects.iter().map(rescued).collect();
        clients.sort_unstable();
        assert_eq!(clients, ["b", "b", "b"], "those of others run, whatever waits in front");
        succeed(&db.store, &suspects).await;
        assert_caps_but_for_suspects(&db).await;
    }

    /// A suspect comes before the held jobs of its client; else it would wait for the end of the
    /// backlog.
    async fn a_suspect_comes_before_what_its_client_has_held(db: Fixture) {
        cap(&db.store, &[("a", 1)]).await;
        enqueue(&db.store, "a", SELF_CHECK, 1).await;
        let lost = claim(&db.store, 10).await;
        enqueue(&db.store, "a", LEAD_SCORING, 10).await;
        settle_all(&db.store, &lost, &rescue(Duration::from_secs(3_600))).await;
        // Before it is due, another one comes into turn.
        let first = claim(&db.store, 10).await;
        assert_eq!(first.len(), 1);
        db.execute(&format!("update job_ready set run_at = {} where run_at is not null", instant(&db, -1))).await;
        assert!(claim_suspects(&db.store).await.is_empty(), "the client is at its cap");
        assert!(succeed_one(&db.store, &first[0]).await);
        assert!(claim(&db.store, 10).await.is_empty(), "the place is kept");
        let suspects = claim_suspects(&db.store).await;
        assert_eq!(suspects.iter().map(|it| it.job.id).collect::<Vec<_>>(), [lost[0].job.id]);
        assert!(claim(&db.store, 10).await.is_empty(), "and taken");
        assert!(succeed_one(&db.store, &suspects[0]).await);
        assert_caps(&db).await;
        assert_eq!(drain(&db.store, 10).await, 9);
        // A cancelled job gives its place back.
        enqueue(&db.store, "a", SELF_CHECK, 1).await;
        let lost = claim(&db.store, 10).await;
        enqueue(&db.store, "a", LEAD_SCORING, 2).await;
        settle_all(&db.store, &lost, &rescue(Duration::ZERO)).await;
        db.store.desk().cancel(lost[0].job.id).await.unwrap();
        assert_caps(&db).await;
        assert_eq!(drain(&db.store, 10).await, 2);
    }

    /// Counts are corrected without the configuration of the node that does it.
    async fn any_node_that_leads_corrects_the_counts(db: Fixture) {
        cap(&db.store, &[("a", 2), ("b", 1)]).await;
        enqueue(&db.store, "a", SELF_CHECK, 6).await;
        enqueue(&db.store, "b", SELF_CHECK, 6).await;
        assert_eq!(db.store.chores().recount_caps().await.unwrap(), 0, "nothing to correct");
        for wrong in ["admitted = 9, held = 1", "admitted = 0, held = 99", "admitted = 2, held = 5"] {
            db.execute(&format!("update job_caps set {wrong} where client_id = 'a'")).await;
            let leader = if db.is_sqlite() { db.store.clone() } else { db.another_node().await };
            assert_eq!(leader.chores().recount_caps().await.unwrap(), 1, "{wrong}");
            assert_caps(&db).await;
        }
        assert_eq!(drain(&db.store, 10).await, 12);
    }

    /// A client that is in no node's configuration: its jobs are out of everybody's way until it is
    /// back.
    async fn jobs_of_a_client_that_no_node_knows_wait_out_of_turn(db: Fixture) {
        let known = |clients: &[&str]| clients.iter().map(|it| (*it).to_owned()).collect::<BTreeSet<String>>();
        db.store.set_clients(known(&["a", "b"])).await.unwrap();
        enqueue(&db.store, "a", LEAD_SCORING, 2_300).await;
        enqueue(&db.store, "b", LEAD_SCORING, 5).await;
        enqueue(&db.store, "x", SELF_CHECK, 3).await;
        let chores = db.store.chores();
        assert!(chores.hold_unknown_clients(Vec::new()).await.unwrap().is_empty(), "all are known");
        let running = claim_of(&db.store, &[(LEAD_SCORING, 1)]).await;
        db.store.set_clients(known(&["b"])).await.unwrap();
        assert_eq!(chores.hold_unknown_clients(Vec::new()).await.unwrap(), ["a"]);
        assert_caps(&db).await;
        assert!(chores.hold_unknown_clients(Vec::new()).await.unwrap().is_empty(), "it is done");
        // Running jobs are released, retried and enqueued again: none of them stands in another
        // client's way for long.
        assert!(end(&db.store, &running[0], Transition::Release).await);
        enqueue(&db.store, "a", LEAD_SCORING, 1).await;
        let others = claim_of(&db.store, &[(LEAD_SCORING, 100), (SELF_CHECK, 100)]).await;
        assert_eq!(others.iter().filter(|it| it.job.client_id == "a").count(), 1, "what was given back");
        assert_eq!(others.len(), 9);
        settle_all(&db.store, &others, &Transition::Release).await;
        assert_eq!(chores.hold_unknown_clients(Vec::new()).await.unwrap(), ["a"]);
        // The caps of the configuration do not touch it.
        cap(&db.store, &[("b", 50)]).await;
        assert_eq!(db.number("select count(*) from job_ready where held is not null").await, 2_301);
        db.store.set_clients(known(&["a", "b"])).await.unwrap();
        assert_eq!(db.number("select count(*) from job_ready where held is not null").await, 0);
        assert_eq!(db.number("select count(*) from job_caps where client_id = 'a'").await, 0);
        assert_eq!(drain(&db.store, 500).await, 2_309);
    }

    /// A node whose configuration lacks a client leaves its jobs to those that know it.
    async fn a_node_claims_nothing_of_clients_that_it_leaves_to_others(db: Fixture) {
        enqueue(&db.store, "a", LEAD_SCORING, 5).await;
        enqueue(&db.store, "b", LEAD_SCORING, 2).await;
        let queue = db.store.queue();
        assert!(queue.leave_to_others("a"));
        assert!(queue.leave_to_others("a"), "again");
        let of_b = claim(&db.store, 10).await;
        assert_eq!(of_b.iter().map(|it| it.job.client_id.as_str()).collect::<Vec<_>>(), ["b", "b"]);
        if !db.is_sqlite() {
            let other = db.another_node().await;
            let of_a = claim(&other, 2).await;
            assert_eq!(of_a.len(), 2);
            settle_all(&other, &of_a, &rescue(Duration::ZERO)).await;
            assert!(claim_suspects(&db.store).await.is_empty(), "nor suspects");
            assert_eq!(claim_suspects(&other).await.len(), 2);
        }
        queue.take_up(|it| it == "c");
        assert!(claim(&db.store, 10).await.is_empty());
        queue.take_up(|it| it == "a");
        assert_eq!(claim(&db.store, 10).await.len(), if db.is_sqlite() { 5 } else { 3 });
        for n in 0..1_000 {
            assert!(queue.leave_to_others(&format!("gone {n}")));
        }
        assert!(!queue.leave_to_others("one too many"));
    }
}

fn rescue(after: Duration) -> Transition {
    Transition::Retry {
        after,
        reason: FailureReason::Rescued,
        error: "its node fell silent".to_owned(),
    }
}

/// The counts are right; what is held may wait behind suspects.
async fn assert_caps_but_for_suspects(db: &Fixture) {
    let wrong = "select c.client_id || ' ' || c.admitted || ' ' || c.held from job_caps c where \
        c.admitted <> (select count(*) from job_ready r where r.client_id = c.client_id and r.turn is not null) or \
        c.held <> (select count(*) from job_ready r where r.client_id = c.client_id and r.held is not null)";
    assert_eq!(db.texts(wrong).await, Vec::<String>::new(), "client, admitted, held");
}

/// A node whose configuration caps nobody ends the jobs of a client that another node has capped.
/// On PostgreSQL only: SQLite has one node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caps_that_one_node_has_set_are_kept_by_all() {
    let Some(db) = Fixture::postgres().await else { return };
    let before = db.another_node().await;
    let config = crate::support::fixture::config(&[
        ("POSTROOM__DATABASE__URL", db.config.database.url.expose()),
        ("POSTROOM__SUPERVISOR__HEARTBEAT", "200ms"),
        ("POSTROOM__SUPERVISOR__LEASE", "1s"),
    ]);
    let beats = Heartbeat::start(&before.nodes(), &config, true, || {}).unwrap();
    cap(&db.store, &[("a", 2)]).await;
    eventually(Duration::from_secs(20), async || {
        beats.membership().last().filter(|it| it.1.has_caps).map(|_| ())
    })
    .await;
    let after = db.another_node().await;
    for other in [&before, &after] {
        enqueue(&db.store, "a", SELF_CHECK, 10).await;
        assert_eq!(drain(other, 10).await, 10, "what is held comes into turn");
        assert_caps(&db).await;
        enqueue(other, "a", SELF_CHECK, 10).await;
        assert_eq!(claim(&db.store, 100).await.len(), 2, "and no more than the cap");
        db.execute("update job_ready set node = null, turn = 0 where node is not null").await;
        assert_eq!(drain(other, 10).await, 10);
        assert_caps(&db).await;
    }
}
