//! How soon the jobs of a dead node run on another, and that each of very many ends once.

use super::{chaos::parameter, load::Dice, seed};
use crate::support::{
    both::{Peek, Place},
    daemon::{Daemon, Options},
    eventually,
};
use futures_util::future::join_all;
use std::time::Duration;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(60);
/// How many jobs the node holds when it is killed.
const IN_HAND: i64 = 4;
const CLIENT: &str = "[[clients]]\nid = \"fine\"\n";
const SHORT: &str = "[supervisor]\ntick = \"100ms\"\nheartbeat = \"100ms\"\nlease = \"400ms\"\n\
    [pools.default]\nbackoff = { base = \"10ms\", cap = \"100ms\" }\n";

/// How long each step took, counted from the kill.
#[derive(Clone, Copy, Debug)]
struct Takeover {
    /// The first of the node's jobs is a failed attempt.
    rescued: Duration,
    /// The first of them runs on the other node: the pause before its retry has passed.
    first: Duration,
    /// The last of them does.
    last: Duration,
}

/// Kills one of two nodes over a fresh database `kills` times: each time the one that holds the
/// jobs.
async fn takeovers(config: &str, kills: u64, seed: u64) -> Vec<Takeover> {
    let Some(place) = Place::postgres() else { return Vec::new() };
    let options = Options { has_own_kinds: true, ..place.options(&format!("{config}{CLIENT}")) };
    let mut dice = Dice::new(seed);
    let mut holder = Daemon::start(options.clone()).await;
    let db = Peek::of(&holder).await;
    let mut found = Vec::new();
    for round in 0..kills {
        let first = 1 + i64::try_from(round).unwrap() * IN_HAND;
        // They wait in their first attempt, and end at once in their second.
        db.put_jobs(first - 1, IN_HAND, "LINGERS", "fine").await;
        let claimed = format!(
            "select count(*) from job_ready where node is not null and job_id between {first} and {}",
            first + IN_HAND - 1
        );
        eventually(PATIENCE, async || (db.number(&claimed).await == IN_HAND).then_some(())).await;
        let other = Daemon::start(options.clone()).await;
        // At any moment between two heartbeats.
        let beat = Duration::from_millis(dice.below(1_000));
        tokio::time::timeout(beat, std::future::pending::<()>()).await.ok();
        // The database's clock is this machine's.
        let killed_ms = postroom::store::wall_clock().as_millis();
        holder.kill_9();
        let ended = format!(
            "select count(*) from job_attempts where ended and job_id between {first} and {}",
            first + IN_HAND - 1
        );
        eventually(PATIENCE, async || (db.number(&ended).await == IN_HAND).then_some(())).await;
        found.push(look(&db, first, killed_ms).await);
        holder = other;
    }
    let wrong = "select count(*) from job_attempts where outcome not in ('rescued', 'succeeded') \
        and job_id < 1000000";
    assert_eq!(db.number(wrong).await, 0, "attempts that came to something else");
    drop(holder);
    place.remove();
    found
}

async fn look(db: &Peek, first: i64, killed_ms: i64) -> Takeover {
    let ms = |column: &str| format!("cast(extract(epoch from {column}) * 1000 as bigint)");
    let of_these = format!("job_id between {first} and {}", first + IN_HAND - 1);
    let after = async |what: &str, outcome: &str| {
        let sql =
            format!("select {what} from job_attempts where {of_these} and outcome = '{outcome}'");
        Duration::from_millis(u64::try_from(db.number(&sql).await - killed_ms).unwrap_or_default())
    };
    let (rescued, started) = (ms("min(finished_at)"), ms("min(started_at)"));
    Takeover {
        rescued: after(&rescued, "rescued").await,
        first: after(&started, "succeeded").await,
        last: after(&ms("max(started_at)"), "succeeded").await,
    }
}

fn tell(what: &str, found: &[Takeover]) {
    let column = |of: fn(&Takeover) -> Duration| {
        let mut all: Vec<Duration> = found.iter().map(of).collect();
        all.sort_unstable();
        let at = |share: usize| all[(all.len() * share / 100).min(all.len() - 1)];
        format!("p50 {:?}, p99 {:?}, max {:?}", at(50), at(99), at(100))
    };
    eprintln!("takeover, {what}, {} kills:", found.len());
    eprintln!("  from the kill to the rescue: {}", column(|it| it.rescued));
    eprintln!("  from the kill to the start of the first job: {}", column(|it| it.first));
    eprintln!("  from the kill to the start of the last of {IN_HAND}: {}", column(|it| it.last));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_jobs_of_a_dead_node_run_on_another_within_two_leases() {
    let found = takeovers(SHORT, 3, seed()).await;
    if found.is_empty() {
        return;
    }
    tell("a lease of 400 ms", &found);
    // Two leases are 0.8 s; the rest is for a machine that has other things to do.
    assert!(found.iter().all(|it| it.rescued < Duration::from_secs(4)), "{found:?}");
}

/// They run one at a time, because each may be the one that killed its node; but none waits for a
/// tick.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_jobs_of_a_dead_node_follow_each_other_without_pause() {
    const TICK: Duration = Duration::from_secs(4);
    let config = SHORT.replace("tick = \"100ms\"", "tick = \"4s\"");
    let found = takeovers(&config, 1, seed()).await;
    for it in found {
        eprintln!("{it:?}");
        // The pauses before their retries differ by a second at most.
        assert!(it.last - it.first < TICK * 2, "a tick for each: {it:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: `just chaos takeover::by_hand`"]
async fn by_hand_fifty_takeovers() {
    /// Pairs of nodes at once, each over a database of its own: they only wait.
    const PAIRS: u64 = 5;
    let kills = parameter("CHAOS_TAKEOVERS", 50);
    for (what, config) in [("a lease of 400 ms", SHORT), ("defaults (lease 5 s)", "")] {
        let pairs = (0..PAIRS).map(|pair| takeovers(config, kills.div_ceil(PAIRS), seed() + pair));
        let found: Vec<Takeover> = join_all(pairs).await.into_iter().flatten().collect();
        if !found.is_empty() {
            tell(what, &found);
        }
    }
}

/// Three nodes, one of which is killed while they work. Returns how many runs were rescued.
async fn three_nodes(jobs: i64) {
    let Some(place) = Place::postgres() else { return };
    let mut daemons = Vec::new();
    for _ in 0..3 {
        daemons.push(place.start(&format!("{SHORT}size = 16\nprefetch = 64\n")).await);
    }
    let db = Peek::of(&daemons[0]).await;
    let started = Instant::now();
    db.put_jobs(0, jobs, "SELF_CHECK", "_system").await;
    let ended = format!("select count(*) from job_attempts where ended and job_id <= {jobs}");
    eventually(PATIENCE, async || (db.number(&ended).await > jobs / 3).then_some(())).await;
    daemons[0].kill_9();
    let before = db.number(&ended).await;
    assert!(before < jobs, "all was done before the kill");
    eventually(PATIENCE, async || (db.number(&ended).await >= jobs).then_some(())).await;
    let took = started.elapsed();
    for (what, sql) in [
        (
            "jobs that have not ended exactly once",
            format!(
                "select count(*) from jobs j where j.id <= {jobs} and 1 <> \
               (select count(*) from job_attempts a where a.job_id = j.id and a.ended)"
            ),
        ),
        (
            "jobs that ended otherwise than well",
            format!(
                "select count(*) from job_attempts where ended and outcome <> 'succeeded' and job_id <= {jobs}"
            ),
        ),
        (
            "attempts after the end",
            format!(
                "select count(*) from job_attempts a join job_attempts e on e.job_id = a.job_id and e.ended \
               where a.run > e.run and a.job_id <= {jobs}"
            ),
        ),
        ("jobs that still wait", format!("select count(*) from job_ready where job_id <= {jobs}")),
    ] {
        assert_eq!(db.number(&sql).await, 0, "{what}");
    }
    let by_node =
        "select node || ': ' || count(*) from job_attempts where ended group by node order by node";
    let rescued = "select count(*) from job_attempts where outcome = 'rescued'";
    eprintln!(
        "{jobs} jobs on three nodes, one killed after {before}, all ended once after {took:?}; {} attempts rescued; ended by node {:?}",
        db.number(rescued).await,
        db.texts(by_node).await
    );
    drop(daemons);
    place.remove();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn every_job_of_three_nodes_ends_once_when_one_is_killed() {
    three_nodes(6_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "wants an optimised build: `just chaos takeover::by_hand`"]
async fn by_hand_every_job_of_a_hundred_thousand_ends_once_when_one_of_three_nodes_is_killed() {
    three_nodes(i64::try_from(parameter("CHAOS_JOBS", 100_000)).unwrap()).await;
}
