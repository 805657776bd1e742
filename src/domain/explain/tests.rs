//! Each reason with its sentence, the order in which reasons are checked, and what holds for all
//! facts.

use super::*;
use crate::domain::{JobStatus, Sentiment, lead::Barriers, sending::DeliveryStatus};
use proptest::prelude::*;

/// 14:03:11 on 18 January 2026.
const NOW: Timestamp = Timestamp::from_millis(1_768_744_991_000);

fn ago(seconds: i64) -> Timestamp {
    NOW.plus_millis(-seconds * 1_000)
}

fn here() -> NodeFacts {
    NodeFacts {
        id: 12,
        is_here: true,
        works: true,
        is_up: true,
        seen_at: NOW,
        knows_client: Some(true),
        is_stopping: false,
        pool: NodePool::Is(PoolFacts { size: 8, per_minute: Some(720), ..PoolFacts::default() }),
    }
}

/// Another node, which does not say what its pools do.
fn other() -> NodeFacts {
    NodeFacts { id: 13, is_here: false, pool: NodePool::NotSaid, ..here() }
}

fn in_turn() -> JobFacts {
    JobFacts {
        job: StoredJob {
            now: NOW,
            id: 7,
            kind: "K".to_owned(),
            client_id: "acme".to_owned(),
            lead_id: Some(5),
            run: 0,
            attempts: 0,
            max_attempts: 5,
            created_at: ago(100),
            due_at: ago(100),
            place: JobPlace::InTurn,
            turn: Some(40),
            last_run: None,
            cap: None,
            admitted: Vec::new(),
            suspects: Vec::new(),
            send: None,
            before: Some(0),
        },
        nodes: vec![here()],
        stage: None,
        needs_no_client: false,
        cap_key: None,
        switched_off: None,
        no_settings: None,
        admitted: Vec::new(),
        timing: Timing { lease_ms: 5_000, tick_ms: 1_000, timeout_ms: 60_000 },
    }
}

fn key(key: &str, place: &str) -> ConfigKey {
    ConfigKey { key: key.to_owned(), place: Some(place.to_owned()) }
}

fn run(run: i64, outcome: &str, error: &str) -> LastRun {
    let error = Some(error.to_owned()).filter(|text| !text.is_empty());
    LastRun { run, attempt: run, outcome: outcome.to_owned(), error, finished_at: ago(4) }
}

/// Changes the pool of this node.
fn with_pool(facts: &mut JobFacts, change: impl FnOnce(&mut PoolFacts)) {
    for node in &mut facts.nodes {
        if let NodePool::Is(pool) = &mut node.pool {
            return change(pool);
        }
    }
}

type Change = fn(&mut JobFacts);

fn ends_as(facts: &mut JobFacts, status: JobStatus, last: LastRun) {
    facts.job.place = JobPlace::Ended { status, at: ago(4) };
    facts.job.attempts = last.attempt;
    facts.job.last_run = Some(last);
}

fn waits_until(facts: &mut JobFacts, seconds: i64, last: Option<LastRun>) {
    facts.job.place = JobPlace::Waits;
    facts.job.due_at = ago(-seconds);
    facts.job.attempts = last.as_ref().map_or(0, |run| run.attempt);
    facts.job.run = facts.job.attempts;
    facts.job.last_run = last;
}

fn claimed_by(facts: &mut JobFacts, node: Id, seconds: i64) {
    facts.job.place = JobPlace::Claimed { node, at: ago(seconds) };
    (facts.job.run, facts.job.attempts) = (2, 2);
}

/// A change that makes a reason hold, the reason, and its sentence.
const ROWS: &[(Change, JobReason, &str)] = &[
    (
        |it| ends_as(it, JobStatus::Succeeded, run(1, "succeeded", "")),
        JobReason::Ended,
        "Job 7 has succeeded at 14:03:07 UTC (4s ago).",
    ),
    (
        |it| ends_as(it, JobStatus::Failed, run(5, "timeout", "cut off after 60s")),
        JobReason::Ended,
        "Job 7 has failed at 14:03:07 UTC (4s ago): attempt 5 of 5 ended as timeout: cut off after 60s.",
    ),
    (
        |it| ends_as(it, JobStatus::Cancelled, run(1, "cancelled", "cancelled by hand")),
        JobReason::Ended,
        "Job 7 was cancelled at 14:03:07 UTC (4s ago): cancelled by hand.",
    ),
    (
        |it| it.nodes.clear(),
        JobReason::NoWorker,
        "Job 7 waits, because no node that works jobs is up.",
    ),
    (
        |it| {
            it.nodes = vec![
                NodeFacts { works: false, ..here() },
                NodeFacts { is_up: false, seen_at: ago(30), ..other() },
            ];
        },
        JobReason::NoWorker,
        "Job 7 waits, because no node that works jobs is up. 1 node is up, with the role ingest. \
         Node 13 was the last: it fell silent at 14:02:41 UTC (30s ago).",
    ),
    (
        |it| it.nodes = vec![NodeFacts { pool: NodePool::Missing, ..here() }, other()],
        JobReason::KindUnknown,
        "Job 7 waits, because no node that is up knows the kind K. A newer version, or one with other kinds, has stored it.",
    ),
    (
        |it| it.nodes = vec![NodeFacts { knows_client: Some(false), ..here() }],
        JobReason::ClientUnknown,
        "Job 7 waits, because its client acme is not in the configuration of any node that works jobs.",
    ),
    (
        |it| (it.job.place, it.job.due_at) = (JobPlace::Later, ago(-60)),
        JobReason::Later,
        "Job 7 was stored for later: it is due at 14:04:11 UTC (in 1m).",
    ),
    (
        |it| {
            (it.job.place, it.job.due_at, it.job.run) = (JobPlace::Later, ago(-60), 1);
            it.job.last_run = Some(run(1, "snoozed", ""));
        },
        JobReason::Later,
        "Job 7 was snoozed by its handler at 14:03:07 UTC (4s ago), until 14:04:11 UTC (in 1m).",
    ),
    (
        |it| waits_until(it, 9, None),
        JobReason::Later,
        "Job 7 was postponed, because what it needs was away. It is due again at 14:03:20 UTC (in 9s), and no attempt was used.",
    ),
    (
        |it| waits_until(it, 9, Some(run(2, "error", "the analyst is away"))),
        JobReason::Retry,
        "Job 7 waits for its retry: attempt 2 of 5 failed at 14:03:07 UTC (4s ago) (error: the analyst is away). \
         The next attempt is due at 14:03:20 UTC (in 9s).",
    ),
    (
        |it| it.job.place = JobPlace::Behind { head: Some(6), number: 2, of: 4 },
        JobReason::Behind,
        "Job 7 waits behind job 6 of the same lead: it is number 2 of 4 in the lead's line, and they run one after the other.",
    ),
    (
        |it| {
            it.job.place = JobPlace::Held;
            it.job.cap = Some(ClientCap { cap: 20, admitted: 20, held: 3 });
            it.cap_key = Some(key("clients.acme.max_running", "local.toml:44"));
        },
        JobReason::Held,
        "Job 7 is held, because its client acme is at its cap: 20 of 20 jobs are in turn or run, by \
         `clients.acme.max_running` (local.toml:44). 3 jobs are held.",
    ),
    (
        |it| {
            waits_until(it, -1, Some(run(1, "rescued", "its node fell silent")));
            it.job.suspects = vec![(4, 12)];
        },
        JobReason::Suspect,
        "Job 7 is a suspect: its node went down or lost it in attempt 1, and a node runs one suspect at a time. \
         Now runs job 4 on node 12.",
    ),
    (
        |it| waits_until(it, -1, Some(run(1, "rescued", "its node fell silent"))),
        JobReason::Suspect,
        "Job 7 is a suspect, because its node went down or lost it. It runs as the only one of its node, and the next \
         claim takes it.",
    ),
    (
        |it| it.nodes[0].is_stopping = true,
        JobReason::Stopping,
        "Job 7 waits, because node 12 is stopping and claims nothing.",
    ),
    (
        |it| {
            with_pool(it, |pool| {
                pool.pause = Some(PoolPause::ByOperator {
                    by: "dana".to_owned(),
                    note: Some("provider down".to_owned()),
                    at: ago(120),
                    until: Some(ago(-3_600)),
                });
            });
        },
        JobReason::Paused,
        "Job 7 waits, because dana paused the pool K at 14:01:11 UTC (2m ago): \"provider down\". \
         The pause ends at 15:03:11 UTC (in 1h).",
    ),
    (
        |it| {
            with_pool(it, |pool| {
                pool.pause = Some(PoolPause::ByFile(key("pools.K.paused", "local.toml:7")));
            });
        },
        JobReason::Paused,
        "Job 7 waits, because the configuration pauses the pool K: `pools.K.paused` (local.toml:7) is true.",
    ),
    (
        |it| with_pool(it, |pool| pool.pause = Some(PoolPause::NotSaid)),
        JobReason::Paused,
        "Job 7 waits, because the pool K is paused on node 12.",
    ),
    (
        |it| {
            with_pool(it, |pool| {
                (pool.backing_off, pool.resumes_at, pool.restarts) = (8, Some(ago(-2)), Some(37));
                pool.last_failure = Some((ago(3), "panic".to_owned()));
            });
        },
        JobReason::BackingOff,
        "Job 7 waits, because all 8 slots of the pool K went down again and again, and wait for their restart. \
         The first starts at 14:03:13 UTC (in 2s). The last one went down at 14:03:08 UTC (3s ago): panic.",
    ),
    (
        |it| with_pool(it, |pool| pool.is_recorder_full = true),
        JobReason::RecorderFull,
        "Job 7 waits, because the recorder of node 12 has no room for another outcome: too many wait for their commit.",
    ),
    (
        |it| with_pool(it, |pool| pool.write_error = Some("the disk is full".to_owned())),
        JobReason::DatabaseAway,
        "Job 7 waits, because the last write of node 12 to the database failed: the disk is full.",
    ),
    (
        |it| {
            it.job.before = Some(140);
            with_pool(it, |pool| (pool.busy, pool.longest) = (8, Some((3, ago(50)))));
        },
        JobReason::PoolFull,
        "Job 7 waits for a slot: 8 of 8 slots of the pool K are busy, the longest by job 3 since 14:02:21 UTC (50s ago). \
         140 jobs come before it; at 12 a second that takes about 11s.",
    ),
    (
        |it| {
            it.job.before = Some(1_001);
            with_pool(it, |pool| pool.busy = 8);
        },
        JobReason::PoolFull,
        "Job 7 waits for a slot: 8 of 8 slots of the pool K are busy. More than 1,000 jobs come before it.",
    ),
    (|_| {}, JobReason::InTurn, "Job 7 is in turn, and slots are free: the next claim takes it."),
    (
        |it| it.job.before = Some(1),
        JobReason::InTurn,
        "Job 7 is in turn, and slots are free. 1 job comes before it.",
    ),
    (
        |it| it.nodes = vec![NodeFacts { pool: NodePool::Open, ..other() }],
        JobReason::InTurn,
        "Job 7 is in turn. Node 13 can run it, and does not say here how busy its pool K is.",
    ),
    (
        |it| (it.job.place, it.job.due_at) = (JobPlace::Later, ago(1)),
        JobReason::InTurn,
        "Job 7 is due since 14:03:10 UTC (1s ago): the next tick of a node puts it in turn.",
    ),
    (
        |it| {
            claimed_by(it, 12, 1);
            it.stage = Some(RunStage::Waiting { since: ago(1) });
        },
        JobReason::WaitsForSlot,
        "Job 7 was claimed ahead by node 12, and waits there for a free slot of the pool K. If none is free within 2s, \
         it goes back into turn, and no attempt is used.",
    ),
    (
        |it| {
            claimed_by(it, 12, 3);
            let (actor, cut_off_at) = ("K/3".to_owned(), ago(-57));
            it.stage = Some(RunStage::Running { since: ago(3), actor, cut_off_at });
        },
        JobReason::Running,
        "Job 7 runs on node 12 since 14:03:08 UTC (3s ago). Attempt 2 of 5 is cut off at 14:04:08 UTC (in 57s).",
    ),
    (
        |it| {
            claimed_by(it, 12, 3);
            it.stage = Some(RunStage::Uncommitted { since: ago(1) });
        },
        JobReason::WaitsForCommit,
        "Job 7 has run on node 12, and its outcome waits for its commit.",
    ),
    (
        |it| {
            it.nodes.push(other());
            claimed_by(it, 13, 2);
        },
        JobReason::WaitsForSlot,
        "Job 7 was claimed ahead by node 13, and waits there for a free slot of the pool K. If none is free within 2s, \
         it goes back into turn, and no attempt is used.",
    ),
    (
        |it| {
            it.nodes.push(other());
            claimed_by(it, 13, 20);
        },
        JobReason::Running,
        "Job 7 runs on node 13 since 14:02:51 UTC (20s ago). Attempt 2 of 5 is cut off at 14:03:51 UTC (in 40s).",
    ),
    (
        |it| {
            it.nodes.push(other());
            claimed_by(it, 13, 120);
        },
        JobReason::WaitsForCommit,
        "Job 7 has run on node 13, and its outcome waits for its commit.",
    ),
    (
        |it| claimed_by(it, 12, 3),
        JobReason::LostRun,
        "Job 7 was claimed by node 12 at 14:03:08 UTC (3s ago), and the node has no trace of it. \
         The attempt counts as failed by about 14:03:23 UTC (in 12s), and the job goes on.",
    ),
    (
        |it| {
            it.nodes.push(NodeFacts { is_up: false, seen_at: ago(6), ..other() });
            claimed_by(it, 13, 20);
        },
        JobReason::NodeSilent,
        "Job 7 was claimed by node 13, which is silent since 14:03:05 UTC (6s ago). Another node takes it over by \
         14:03:15 UTC (in 4s), and the attempt counts.",
    ),
    (
        |it| claimed_by(it, 99, 20),
        JobReason::NodeSilent,
        "Job 7 was claimed at 14:02:51 UTC (20s ago) by node 99, which is gone. Another node takes it over within 10s, \
         and the attempt counts.",
    ),
    (
        |it| it.job.place = JobPlace::Behind { head: None, number: 2, of: 2 },
        JobReason::Fault,
        "Job 7 waits in a line that has no head. This is a fault of Postroom, which the leader mends within a minute.",
    ),
    (
        |it| with_pool(it, |pool| pool.stalled_since = Some(ago(60))),
        JobReason::Fault,
        "Job 7 waits, because the supervisor of node 12 has not ticked since 14:02:11 UTC (1m ago). \
         This is a fault of Postroom.",
    ),
    (
        |it| (it.job.place, it.job.due_at) = (JobPlace::Later, ago(60)),
        JobReason::Fault,
        "Job 7 was due at 14:02:11 UTC (1m ago), and no node has put it in turn. No reason for that is known: \
         this is a fault of Postroom.",
    ),
];

#[test]
fn each_reason_has_its_sentence() {
    for (change, reason, sentence) in ROWS {
        let mut facts = in_turn();
        change(&mut facts);
        let explanation = explain_job(&facts);
        assert_eq!(
            (explanation.reason, explanation.sentence.as_str()),
            (reason.as_str(), *sentence)
        );
    }
    // `a_job_that_sends_says_what_it_waits_for` has the others.
    let of_sends = [
        JobReason::SwitchedOff,
        JobReason::NoSettings,
        JobReason::AccountPaused,
        JobReason::LeadSnoozed,
    ];
    for reason in JobReason::ALL.into_iter().filter(|it| !of_sends.contains(it)) {
        assert!(ROWS.iter().any(|(_, it, _)| *it == reason), "{reason:?} has no row");
    }
}

/// A job that is held at its client's cap of 1, with these admitted jobs.
fn held_behind(admitted: Vec<JobFacts>) -> JobFacts {
    let mut facts = in_turn();
    facts.job.place = JobPlace::Held;
    facts.job.cap = Some(ClientCap { cap: 1, admitted: 1, held: 1 });
    facts.cap_key = Some(key("clients.acme.max_running", "local.toml:44"));
    facts.admitted = admitted;
    facts
}

#[test]
fn a_held_job_says_what_keeps_the_jobs_before_it() {
    let mut paused = in_turn();
    paused.job.id = 3;
    with_pool(&mut paused, |pool| {
        pool.pause = Some(PoolPause::ByFile(key("pools.K.paused", "local.toml:9")));
    });
    let mut unworked = in_turn();
    unworked.nodes[0].works = false;
    let mut runs = in_turn();
    runs.job.place = JobPlace::Claimed { node: 12, at: ago(0) };

    let alone = explain_job(&held_behind(Vec::new()));
    let moving = explain_job(&held_behind(vec![paused.clone(), runs]));
    assert_eq!((&moving.sentence, &moving.what_to_do), (&alone.sentence, &alone.what_to_do));
    assert!(alone.what_to_do.contains("raise `clients.acme.max_running`"), "{}", alone.what_to_do);

    let still = explain_job(&held_behind(vec![paused.clone(), unworked]));
    assert_eq!(still.reason, "held");
    assert_eq!(
        still.sentence,
        format!(
            "{} Those that are in turn do not run. Job 3 waits, because the configuration pauses the pool K: \
             `pools.K.paused` (local.toml:9) is true.",
            alone.sentence
        )
    );
    assert_eq!(still.what_to_do, explain_job(&paused).what_to_do);
    let fact = still.facts.iter().find(|fact| fact.name == "admitted_reason");
    assert_eq!(fact.map(|fact| &fact.value), Some(&"paused".into()));
}

#[test]
fn the_page_about_jobs_has_every_reason() {
    let page = include_str!("../../../docs/JOBS.md");
    let jobs = JobReason::ALL.map(JobReason::as_str);
    let leads = LeadReason::ALL.map(LeadReason::as_str);
    for word in jobs.iter().chain(&leads) {
        assert!(page.contains(&format!("`{word}`")), "docs/JOBS.md does not name `{word}`");
    }
}

/// The reasons of a pending job, from the first that is checked to the last. Where the facts of
/// several hold, the first is given.
#[test]
fn the_first_reason_that_holds_is_given() {
    let mut facts = in_turn();
    let pool = |facts: &mut JobFacts, change: fn(&mut PoolFacts)| with_pool(facts, change);
    let reason = |facts: &JobFacts| explain_job(facts).reason;
    // From the last to the first, each laid over those before.
    assert_eq!(reason(&facts), "in_turn");
    pool(&mut facts, |it| it.stalled_since = Some(ago(60)));
    assert_eq!(reason(&facts), "fault");
    pool(&mut facts, |it| it.busy = 8);
    assert_eq!(reason(&facts), "pool_full");
    pool(&mut facts, |it| it.write_error = Some("away".to_owned()));
    assert_eq!(reason(&facts), "database_away");
    pool(&mut facts, |it| it.is_recorder_full = true);
    assert_eq!(reason(&facts), "recorder_full");
    pool(&mut facts, |it| it.backing_off = 8);
    assert_eq!(reason(&facts), "backing_off");
    pool(&mut facts, |it| it.pause = Some(PoolPause::NotSaid));
    assert_eq!(reason(&facts), "paused");
    facts.nodes[0].is_stopping = true;
    assert_eq!(reason(&facts), "stopping");
    let mut suspect = facts.clone();
    waits_until(&mut suspect, -1, Some(run(1, "rescued", "")));
    suspect.job.suspects = vec![(4, 12)];
    assert_eq!(reason(&suspect), "suspect");
    suspect.job.cap = Some(ClientCap { cap: 2, admitted: 2, held: 1 });
    assert_eq!(reason(&suspect), "held");
    for (place, word) in
        [(JobPlace::Held, "held"), (JobPlace::Behind { head: Some(6), number: 2, of: 2 }, "behind")]
    {
        facts.job.place = place;
        assert_eq!(reason(&facts), word);
    }
    waits_until(&mut facts, 9, Some(run(1, "error", "")));
    assert_eq!(reason(&facts), "retry");
    facts.job.place = JobPlace::Later;
    facts.job.last_run = None;
    assert_eq!(reason(&facts), "later");
    facts.nodes[0].knows_client = Some(false);
    assert_eq!(reason(&facts), "client_unknown");
    facts.nodes[0].pool = NodePool::Missing;
    assert_eq!(reason(&facts), "kind_unknown");
    facts.nodes[0].works = false;
    assert_eq!(reason(&facts), "no_worker");
    facts.job.place = JobPlace::Ended { status: JobStatus::Failed, at: ago(1) };
    assert_eq!(reason(&facts), "ended");
}

#[test]
fn one_node_that_can_run_it_is_enough() {
    let is = |change: fn(&mut PoolFacts)| {
        let mut pool = PoolFacts { size: 8, ..PoolFacts::default() };
        change(&mut pool);
        NodePool::Is(pool)
    };
    let paused = || is(|it| it.pause = Some(PoolPause::NotSaid));
    let full = || is(|it| it.busy = 8);
    for (here_pool, other_pool, reason) in [
        (paused(), is(|_| {}), "in_turn"),
        (paused(), full(), "pool_full"),
        (full(), paused(), "pool_full"),
        (paused(), NodePool::NotSaid, "paused"),
        (NodePool::Missing, full(), "pool_full"),
        (paused(), NodePool::Open, "in_turn"),
        (full(), NodePool::Open, "pool_full"),
        (NodePool::Missing, NodePool::Open, "in_turn"),
        (NodePool::Missing, NodePool::NotSaid, "kind_unknown"),
    ] {
        let mut facts = in_turn();
        let text = format!("{here_pool:?} {other_pool:?}");
        facts.nodes = vec![
            NodeFacts { pool: here_pool, ..here() },
            NodeFacts { pool: other_pool, ..other() },
        ];
        assert_eq!(explain_job(&facts).reason, reason, "{text}");
    }
    // A node that does not know the client does not count.
    let mut facts = in_turn();
    facts.nodes = vec![
        NodeFacts { knows_client: Some(false), ..here() },
        NodeFacts { pool: full(), ..other() },
    ];
    assert_eq!(explain_job(&facts).reason, "pool_full");
    facts.needs_no_client = true;
    assert_eq!(explain_job(&facts).reason, "in_turn");
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    (-100_000_i64..100_000).prop_map(|ms| NOW.plus_millis(ms))
}

fn any_place() -> impl Strategy<Value = JobPlace> {
    let status = prop::sample::select(JobStatus::ALL.to_vec());
    prop_oneof![
        (status, any_time()).prop_map(|(status, at)| JobPlace::Ended { status, at }),
        Just(JobPlace::Later),
        (prop::option::of(1_i64..9), 2_i64..2_000, 2_i64..2_000)
            .prop_map(|(head, number, of)| JobPlace::Behind { head, number, of }),
        Just(JobPlace::Waits),
        Just(JobPlace::Held),
        Just(JobPlace::InTurn),
        (10_i64..16, any_time()).prop_map(|(node, at)| JobPlace::Claimed { node, at }),
    ]
}

/// A text of others, with characters that have no place in a sentence.
fn any_text() -> impl Strategy<Value = String> {
    "(?s).{0,400}"
}

prop_compose! {
    fn any_pool()(
        size in 0_usize..9, busy in 0_usize..9, backing_off in 0_usize..9,
        pause in prop::option::of((any_text(), prop::option::of(any_text()), any_time())),
        last in prop::option::of((any_time(), any_text())),
        (is_recorder_full, write_error, stalled) in (any::<bool>(), prop::option::of(any_text()), any::<bool>()),
        per_minute in prop::option::of(any::<u64>()),
        longest in prop::option::of((1_i64..9, any_time())),
    ) -> PoolFacts {
        PoolFacts {
            size, busy, backing_off, per_minute, longest, is_recorder_full, write_error,
            pause: pause.map(|(by, note, at)| PoolPause::ByOperator { by, note, at, until: None }),
            resumes_at: None,
            restarts: None,
            last_failure: last,
            stalled_since: stalled.then_some(NOW),
        }
    }
}

prop_compose! {
    fn any_node()(
        id in 10_i64..16, is_here in any::<bool>(), works in any::<bool>(), is_up in any::<bool>(),
        seen_at in any_time(), knows_client in prop::option::of(any::<bool>()), is_stopping in any::<bool>(),
        pool in prop_oneof![
            Just(NodePool::NotSaid),
            Just(NodePool::Missing),
            Just(NodePool::Open),
            any_pool().prop_map(NodePool::Is),
        ],
    ) -> NodeFacts {
        NodeFacts { id, is_here, works, is_up, seen_at, knows_client, is_stopping, pool }
    }
}

prop_compose! {
    fn any_facts()(
        place in any_place(),
        nodes in prop::collection::vec(any_node(), 0..4),
        last in prop::option::of((0_i64..4, prop::sample::select(vec!["error", "rescued", "snoozed"]), any_text())),
        (due_at, run, client) in (any_time(), 0_i64..4, any_text()),
        cap in prop::option::of((0_i64..3, 0_i64..3, 0_i64..3)),
        suspects in prop::collection::vec((1_i64..9, 10_i64..16), 0..3),
        before in prop::option::of(0_i64..1_002),
        stage in prop::option::of(Just(RunStage::Uncommitted { since: NOW })),
    ) -> JobFacts {
        let mut facts = in_turn();
        facts.job.place = place;
        facts.job.due_at = due_at;
        facts.job.run = run;
        facts.job.client_id = client;
        facts.job.last_run = last.map(|(number, outcome, error)| self::run(number, outcome, &error));
        facts.job.cap = cap.map(|(cap, admitted, held)| ClientCap { cap, admitted, held });
        facts.job.suspects = suspects;
        facts.job.before = before;
        facts.stage = stage;
        facts.nodes = nodes;
        facts
    }
}

proptest! {
    #[test]
    fn whatever_the_facts_there_is_one_reason_in_one_short_line(
        mut facts in any_facts(), admitted in prop::collection::vec(any_facts(), 0..3),
    ) {
        let most = if admitted.is_empty() { 1_200 } else { 2_400 };
        facts.admitted = admitted;
        let it = explain_job(&facts);
        prop_assert!(JobReason::ALL.iter().any(|reason| reason.as_str() == it.reason), "{}", it.reason);
        for text in [&it.sentence, &it.what_to_do] {
            prop_assert!(!text.is_empty() && text.ends_with('.'), "{}", text);
            prop_assert!(text.chars().count() < most, "{}", text);
            prop_assert_eq!(crate::domain::visible::first_hidden(text), None, "{}", text);
        }
        prop_assert!(it.sentence.starts_with("Job 7 "), "{}", it.sentence);
        let is_ended = matches!(facts.job.place, JobPlace::Ended { .. });
        prop_assert_eq!(it.reason == "ended", is_ended);
    }
}

fn lead() -> LeadFacts {
    LeadFacts {
        now: NOW,
        id: 5,
        merged_into: None,
        barriers: Barriers::default(),
        last_inbound_at: Some(ago(60)),
        last_outbound_at: Some(ago(600)),
        auto_reply: Some(("off", key("clients.acme.auto_reply", "local.toml:31"))),
        switched_off: None,
        messages: vec![message(8)],
        has_more: false,
    }
}

/// A message with a pending draft.
fn message(id: Id) -> MessageFacts {
    MessageFacts {
        id,
        medium: Some(crate::domain::Medium::Mail),
        sent_at: ago(60),
        created_at: ago(59),
        handled_at: Some(ago(58)),
        tag: Some(Sentiment::Interested),
        is_automated: false,
        has_text: true,
        is_deleted: false,
        is_newest: true,
        draft: Some(ExplainedDraft {
            id: 9,
            status: "pending".to_owned(),
            created_at: ago(58),
            decided_at: None,
            decided_by: None,
            gate: Some(("needs_review".to_owned(), "the tag is a guess".to_owned())),
            send_at: None,
            blocked_by: None,
            note: None,
            delivery: None,
            pause: None,
        }),
        job: None,
        send_job: None,
    }
}

fn decide(facts: &mut LeadFacts, status: &str) {
    if let Some(draft) = &mut facts.messages[0].draft {
        status.clone_into(&mut draft.status);
        (draft.decided_at, draft.decided_by) = (Some(ago(20)), Some("dana".to_owned()));
    }
}

/// A lead's change, its reason, the step at which its message stands, and the sentence of that
/// step.
type StepRow = (fn(&mut LeadFacts), LeadReason, &'static str, &'static str);

const STEP_ROWS: &[StepRow] = &[
    (
        |_| {},
        LeadReason::WaitsForPerson,
        "gate",
        "Draft 9 waits for a person since 14:02:13 UTC (58s ago). `clients.acme.auto_reply` (local.toml:31) is off. \
         The gate decided needs_review: the tag is a guess.",
    ),
    (
        |it| it.auto_reply = None,
        LeadReason::WaitsForPerson,
        "gate",
        "Draft 9 waits for a person since 14:02:13 UTC (58s ago). The client is not in the configuration. \
         The gate decided needs_review: the tag is a guess.",
    ),
    (
        |it| {
            (it.messages[0].handled_at, it.messages[0].tag) = (None, None);
            it.messages[0].job = Some(explain_job(&in_turn()));
        },
        LeadReason::Job,
        "judged",
        "Job 7 is in turn, and slots are free: the next claim takes it.",
    ),
    (
        |it| (it.messages[0].handled_at, it.messages[0].tag) = (None, None),
        LeadReason::NoJob,
        "judged",
        "Message 8 is not judged, and no job for it is stored any more.",
    ),
    (
        |it| it.messages[0].is_deleted = true,
        LeadReason::Deleted,
        "draft",
        "Message 8 was deleted at its provider, so it is not answered.",
    ),
    (
        |it| (it.messages[0].draft, it.messages[0].tag) = (None, Some(Sentiment::NotInterested)),
        LeadReason::TagWithoutDraft,
        "draft",
        "Message 8 was judged Not Interested, and this tag gets no draft.",
    ),
    (
        |it| (it.messages[0].draft, it.messages[0].is_automated) = (None, true),
        LeadReason::Automated,
        "draft",
        "Message 8 was written by a machine, so it gets no draft.",
    ),
    (
        |it| (it.messages[0].draft, it.messages[0].has_text) = (None, false),
        LeadReason::NoText,
        "draft",
        "Message 8 has no new text, so it gets no draft.",
    ),
    (
        |it| (it.messages[0].draft, it.barriers.opted_out) = (None, true),
        LeadReason::OptedOut,
        "draft",
        "Lead 5 has opted out: it gets no message on any channel.",
    ),
    (
        |it| (it.messages[0].draft, it.barriers.bounced) = (None, true),
        LeadReason::Bounced,
        "draft",
        "Mail to lead 5 came back: it gets no mail until it writes from that address.",
    ),
    (
        |it| {
            it.messages[0].medium = Some(crate::domain::Medium::Text { parts: 1, chars: 160 });
            (it.messages[0].draft, it.barriers.sms_dnd) = (None, true);
        },
        LeadReason::DoNotDisturb,
        "draft",
        "Lead 5 wants no text messages: its do-not-disturb flag is on.",
    ),
    (
        |it| (it.messages[0].draft, it.messages[0].is_newest) = (None, false),
        LeadReason::Superseded,
        "draft",
        "The lead has written again after message 8: the newest message is the one that is answered.",
    ),
    (
        |it| decide(it, "superseded"),
        LeadReason::Superseded,
        "draft",
        "The lead has written again after message 8: the newest message is the one that is answered.",
    ),
    (
        |it| it.messages[0].draft = None,
        LeadReason::NoDraft,
        "draft",
        "Message 8 has no draft, and nothing that is stored forbids one.",
    ),
    (
        |it| decide(it, "rejected"),
        LeadReason::Rejected,
        "gate",
        "Draft 9 was rejected by dana at 14:02:51 UTC (20s ago).",
    ),
    (
        |it| decide(it, "approved"),
        LeadReason::Approved,
        "due",
        "Draft 9 was approved by dana at 14:02:51 UTC (20s ago). No job that sends it is stored.",
    ),
    (|it| decide(it, "sending"), LeadReason::Sending, "sent", "Draft 9 is being sent."),
    (
        |it| {
            decide(it, "rejected");
            with_draft(it, |draft| draft.note = Some("too pushy".to_owned()));
        },
        LeadReason::Rejected,
        "gate",
        "Draft 9 was rejected by dana at 14:02:51 UTC (20s ago). The reason: too pushy.",
    ),
    (
        |it| {
            decide(it, "rejected");
            with_draft(it, |draft| draft.decided_by = Some("opt_out".to_owned()));
        },
        LeadReason::OptedOut,
        "gate",
        "Lead 5 has opted out: it gets no message on any channel.",
    ),
    (
        |it| {
            decide(it, "rejected");
            with_draft(it, |draft| draft.decided_by = Some("bounce".to_owned()));
        },
        LeadReason::Bounced,
        "gate",
        "Mail to lead 5 came back: it gets no mail until it writes from that address.",
    ),
    (
        |it| (decide(it, "approved"), it.barriers.opted_out = true).1,
        LeadReason::OptedOut,
        "due",
        "Lead 5 has opted out: it gets no message on any channel.",
    ),
    (
        |it| (decide(it, "approved"), it.messages[0].is_newest = false).1,
        LeadReason::Superseded,
        "draft",
        "The lead has written again after message 8: the newest message is the one that is answered.",
    ),
    (
        |it| {
            with_draft(it, |draft| draft.send_at = Some(NOW.plus_millis(600_000)));
            it.messages[0].send_job = Some(explain_job(&in_turn()));
        },
        LeadReason::Scheduled,
        "gate",
        "Draft 9 is sent by rule at 14:13:11 UTC (in 10m), unless something speaks against it by then.",
    ),
    (
        |it| it.messages[0].send_job = Some(explain_job(&in_turn())),
        LeadReason::Scheduled,
        "gate",
        "Draft 9 is to be sent by rule. Job 7 is in turn, and slots are free: the next claim takes it.",
    ),
    (
        |it| {
            it.messages[0].send_job = Some(explain_job(&in_turn()));
            it.switched_off = Some(key("sending.enabled", "local.toml:3"));
        },
        LeadReason::SwitchedOff,
        "gate",
        "Draft 9 waits, because sending is switched off: `sending.enabled` (local.toml:3) is false.",
    ),
    (
        |it| {
            decide(it, "approved");
            with_draft(it, |draft| draft.send_at = Some(NOW.plus_millis(9_000)));
            it.switched_off = Some(key("sending.enabled", "local.toml:3"));
        },
        LeadReason::Scheduled,
        "due",
        "Draft 9 was approved by dana at 14:02:51 UTC (20s ago). It is sent at 14:03:20 UTC (in 9s), and can be taken back until then. \
         Until then, sending is switched off: `sending.enabled` (local.toml:3) is false.",
    ),
    (
        |it| {
            decide(it, "approved");
            with_draft(it, |draft| draft.pause = Some(pause("rate_limited")));
        },
        LeadReason::AccountPaused,
        "due",
        "Draft 9 is approved, and waits: the account of sms has sent too much (429): \
         nothing is sent through it until 14:04:11 UTC (in 1m).",
    ),
    (
        |it| {
            decide(it, "approved");
            it.messages[0].send_job = Some(explain_job(&in_turn()));
        },
        LeadReason::Approved,
        "due",
        "Draft 9 was approved by dana at 14:02:51 UTC (20s ago). Job 7 is in turn, and slots are free: the next claim takes it.",
    ),
    (
        |it| {
            decide(it, "approved");
            with_draft(it, |draft| {
                draft.blocked_by = Some("delivery_failed".to_owned());
                draft.delivery = Some(delivery(DeliveryStatus::Failed));
            });
        },
        LeadReason::DeliveryFailed,
        "sent",
        "Draft 9 was approved, and was not sent: 422 no such chat.",
    ),
    (
        |it| {
            decide(it, "approved");
            with_draft(it, |draft| draft.blocked_by = Some("cancelled".to_owned()));
        },
        LeadReason::DeliveryFailed,
        "sent",
        "Draft 9 was approved, and was not sent: cancelled.",
    ),
    (
        |it| {
            decide(it, "sending");
            with_draft(it, |draft| draft.delivery = Some(delivery(DeliveryStatus::Uncertain)));
        },
        LeadReason::Uncertain,
        "sent",
        "Nobody knows whether draft 9 was sent. The last that is known: 422 no such chat.",
    ),
];

fn with_draft(facts: &mut LeadFacts, change: impl FnOnce(&mut ExplainedDraft)) {
    if let Some(draft) = &mut facts.messages[0].draft {
        change(draft);
    }
}

fn delivery(status: DeliveryStatus) -> DeliveryFacts {
    DeliveryFacts { id: 11, status, error: Some("422 no such chat.".to_owned()) }
}

fn pause(state: &str) -> AccountPause {
    AccountPause {
        channel: "sms".to_owned(),
        state: state.to_owned(),
        reason: "429".to_owned(),
        until: NOW.plus_millis(60_000),
    }
}

#[test]
fn a_job_that_sends_says_what_it_waits_for() {
    let facts = |kind: &str, send: StoredSend| {
        let mut facts = in_turn();
        facts.job.kind = kind.to_owned();
        facts.job.place = JobPlace::Waits;
        (facts.job.run, facts.job.due_at) = (1, NOW.plus_millis(30_000));
        facts.job.send = Some(send);
        facts
    };
    let paused = |state| StoredSend {
        channel: "sms".to_owned(),
        pause: Some(pause(state)),
        snoozed_until: Some(NOW.plus_millis(1)),
        is_by_person: false,
    };
    let said = |facts: &JobFacts| {
        let it = explain_job(facts);
        (it.reason, it.sentence, it.what_to_do)
    };
    let (reason, sentence, todo) = said(&facts("DELIVER_REPLY", paused("disconnected")));
    assert_eq!(reason, "account_paused");
    assert_eq!(
        sentence,
        "Job 7 sends nothing, because the account of sms is not accepted by its provider (429): \
         nothing is sent through it until 14:04:11 UTC (in 1m). It is judged again at 14:03:41 UTC (in 30s)."
    );
    assert!(todo.starts_with("Renew the credentials under `channels.sms.send`"), "{todo}");
    // A job that only decides makes no call.
    let (reason, sentence, _) = said(&facts("AUTO_SEND_DELAYED", paused("rate_limited")));
    assert_eq!(reason, "lead_snoozed");
    assert!(sentence.contains("because its lead is snoozed until 14:03:11 UTC"), "{sentence}");
    // What a person has approved is sent although the lead is snoozed.
    let snoozed = StoredSend { pause: None, ..paused("rate_limited") };
    assert_eq!(said(&facts("DELIVER_REPLY", snoozed.clone())).0, "lead_snoozed");
    let by_person = StoredSend { is_by_person: true, ..snoozed };
    assert_eq!(said(&facts("DELIVER_REPLY", by_person)).0, "later");
    let mut unset = facts("DELIVER_REPLY", paused("rate_limited"));
    unset.no_settings = Some("channels.sms.send".to_owned());
    let (reason, sentence, todo) = said(&unset);
    assert_eq!(reason, "no_settings");
    assert!(
        sentence.contains(
            "has no settings for sending: `channels.sms.send` is not set. It is judged again at "
        ),
        "{sentence}"
    );
    assert_eq!(todo, "Set `channels.sms.send` of the client, and reload.");
    let mut off = facts("DELIVER_REPLY", paused("rate_limited"));
    off.switched_off = Some(key("sending.enabled", "local.toml:3"));
    let (reason, sentence, _) = said(&off);
    assert_eq!(reason, "switched_off");
    assert!(sentence.contains("`sending.enabled` (local.toml:3) is false"), "{sentence}");
    // One that has not run was stored for that time.
    off.job.run = 0;
    assert_eq!(said(&off).0, "later");
    // Nothing is in its way any more.
    assert_eq!(said(&facts("DELIVER_REPLY", StoredSend::default())).0, "later");
}

#[test]
fn a_message_stands_at_one_step_with_its_sentence() {
    for (change, reason, step, sentence) in STEP_ROWS {
        let mut facts = lead();
        change(&mut facts);
        let it = explain_lead(&facts);
        assert_eq!(it.explanation.reason, reason.as_str());
        assert_eq!(
            it.explanation.sentence,
            format!("1 message of the lead is not answered. {sentence}")
        );
        let [message] = it.messages.as_slice() else { panic!("{:?}", it.messages) };
        assert_eq!(message.reason, reason.as_str());
        let links: Vec<&str> = message.chain.iter().map(|link| link.link).collect();
        assert_eq!(links, lead::STEPS);
        let here: Vec<&ChainLink> =
            message.chain.iter().filter(|link| link.state == LinkState::Here).collect();
        let [here] = here.as_slice() else { panic!("{:?}", message.chain) };
        assert_eq!((here.link, here.sentence.as_str()), (*step, *sentence));
        let states: Vec<LinkState> = message.chain.iter().map(|link| link.state).collect();
        let sorted = states.is_sorted_by_key(|state| *state as u8);
        assert!(sorted, "what is done comes first: {states:?}");
        let is_at_job = *reason == LeadReason::Job || facts.messages[0].send_job.is_some();
        assert_eq!(message.job.is_some(), is_at_job);
    }
}

#[test]
fn a_lead_without_an_unanswered_message_says_so() {
    let of = |change: fn(&mut LeadFacts)| {
        let mut facts = lead();
        change(&mut facts);
        let LeadExplanation { explanation, messages } = explain_lead(&facts);
        (explanation.reason, explanation.sentence, messages.len())
    };
    assert_eq!(
        of(|it| it.merged_into = Some(3)),
        ("merged", "Lead 5 is one person with lead 3, which has its messages.".to_owned(), 0)
    );
    let none = "nothing_unanswered";
    assert_eq!(
        of(|it| it.messages.clear()),
        (none, "Lead 5 waits for no answer: the newest message of the thread went out at 13:53:11 UTC (10m ago).".to_owned(), 0)
    );
    assert_eq!(
        of(|it| (it.messages, it.last_inbound_at) = (Vec::new(), None)),
        (none, "Lead 5 has written no message that is stored here.".to_owned(), 0)
    );
    assert_eq!(
        of(|it| (it.messages, it.last_outbound_at) = (Vec::new(), None)),
        (
            none,
            "Lead 5 has no message to be answered; its last came at 14:02:11 UTC (1m ago)."
                .to_owned(),
            0
        )
    );
}

#[test]
fn of_several_messages_the_newest_is_said_and_all_are_listed() {
    let mut facts = lead();
    facts.messages.insert(0, MessageFacts { draft: None, is_newest: false, ..message(6) });
    facts.has_more = true;
    let it = explain_lead(&facts);
    assert!(
        it.explanation.sentence.starts_with(
            "More than 2 messages of the lead are not answered. The newest: Draft 9 waits"
        ),
        "{}",
        it.explanation.sentence
    );
    let reasons: Vec<&str> = it.messages.iter().map(|message| message.reason).collect();
    assert_eq!(reasons, ["superseded", "waits_for_person"]);
    let sent = {
        let mut facts = lead();
        decide(&mut facts, "sent");
        explain_lead(&facts)
    };
    assert_eq!(sent.explanation.reason, LeadReason::Sent.as_str());
    assert!(sent.messages[0].chain.iter().all(|link| link.state == LinkState::Done));
}

#[test]
fn an_explanation_in_json_has_ids_as_texts_and_facts_in_their_order() {
    let mut facts = in_turn();
    facts.job.place = JobPlace::Behind { head: Some(6), number: 2, of: 1_003 };
    let mut it = explain_job(&facts);
    it.waits_for(explain_job(&in_turn()));
    let json = serde_json::to_value(&it).unwrap();
    assert_eq!(json["facts"][0], serde_json::json!({"name": "head", "value": "6"}));
    assert_eq!(
        json["facts"][2],
        serde_json::json!({"name": "jobs_in_line", "value": "more than 1,000"})
    );
    assert_eq!(json["links"][0], serde_json::json!({"type": "job", "id": "6", "place": null}));
    let names: Vec<&str> = json["facts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fact| fact["name"].as_str().unwrap())
        .collect();
    assert_eq!(names[names.len() - 2..], ["head_reason", "head_sentence"]);
    assert_eq!(
        (&json["since"], &json["until"]),
        (&serde_json::Value::Null, &serde_json::Value::Null)
    );
    let lead = serde_json::to_value(explain_lead(&lead())).unwrap();
    assert_eq!(
        (&lead["messages"][0]["message_id"], &lead["reason"]),
        (&"8".into(), &"waits_for_person".into())
    );
    assert_eq!(lead["messages"][0]["chain"][4]["state"], "here");
}
