//! Whose jobs are taken over and whose are not: nodes that die, and nodes that only look as if they
//! had.

use crate::{
    g01_acknowledged_means_durable::Load,
    support::{
        both::{Peek, Place},
        daemon::{Daemon, Options},
        eventually,
        fixture::{Fixture, config},
        http,
        leftovers::Leftover,
        web::{Answer, ask},
    },
};
use postroom::store::{Heartbeat, Store};
use std::{collections::HashSet, time::Duration};
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(60);
/// A job that is lost by a node's death is tried again at once.
const SHORT: &str = "[supervisor]\ntick = \"100ms\"\nheartbeat = \"100ms\"\nlease = \"500ms\"\n\
    [pools.default]\nsize = 4\nmax_attempts = 50\nbackoff = { base = \"10ms\", cap = \"50ms\" }\n";
const CLIENT: &str = "[[clients]]\nid = \"fine\"\n";
const RESCUED: &str = "select count(*) from job_attempts where outcome = 'rescued'";

/// A daemon with the kinds of the tests.
async fn with_own_kinds(place: &Place, config: &str) -> Daemon {
    let options = Options { has_own_kinds: true, ..place.options(&format!("{config}{CLIENT}")) };
    Daemon::start(options).await
}

/// The only node, or the one that came last.
async fn newest_node(db: &Peek) -> i64 {
    db.number("select max(id) from nodes").await
}

/// Waits until a node holds `count` jobs of a kind.
async fn has_in_hand(db: &Peek, node: i64, kind: &str, count: i64) {
    let claimed = format!("select count(*) from job_ready where node = {node} and kind = '{kind}'");
    eventually(PATIENCE, async || (db.number(&claimed).await == count).then_some(())).await;
}

/// Waits until each of these nodes has made more than `count` heartbeats.
async fn beats(db: &Peek, nodes: &[i64], count: usize) {
    let mut seen: Vec<HashSet<String>> = vec![HashSet::new(); nodes.len()];
    eventually(PATIENCE, async || {
        for (node, seen) in nodes.iter().zip(&mut seen) {
            let sql = format!("select cast(seen_at as text) from nodes where id = {node}");
            seen.insert(db.texts(&sql).await.pop().expect("nobody has forgotten it"));
        }
        seen.iter().all(|it| it.len() > count).then_some(())
    })
    .await;
}

/// Waits until a new job of a kind that every node knows has succeeded. By then the node that ran
/// it has polled.
async fn a_self_check_succeeds(db: &Peek, id: i64) {
    db.put_job(id, "SELF_CHECK", "_system", 5).await;
    let ended =
        format!("select count(*) from job_attempts where job_id = {id} and outcome = 'succeeded'");
    eventually(PATIENCE, async || (db.number(&ended).await == 1).then_some(())).await;
}

/// One node has a registry with a kind more than the other: it alone decides about the jobs of that
/// kind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g03_jobs_of_a_kind_are_left_to_nodes_that_know_it() {
    const LEASE: Duration = Duration::from_secs(2);
    let Some(place) = Place::postgres() else { return };
    let config = SHORT.replace("\"500ms\"", "\"2s\"");
    let stranger = place.start(&format!("{config}{CLIENT}")).await;
    let db = Peek::of(&stranger).await;
    db.put_jobs(0, 3, "LINGERS", "fine").await;
    a_self_check_succeeds(&db, 100).await;
    a_self_check_succeeds(&db, 101).await;
    assert_eq!(db.number("select count(*) from job_attempts where job_id < 100").await, 0);
    let overview = ask(stranger.api(reqwest::Method::GET, "/overview")).await.body;
    assert_eq!(overview["jobs"]["pending"], 3, "{overview}");

    let knower = with_own_kinds(&place, &config).await;
    let dead = newest_node(&db).await;
    has_in_hand(&db, dead, "LINGERS", 3).await;
    // The stranger knows this kind, so its rescue is seen.
    db.execute(
        "insert into jobs (id, kind, client_id, subject_id, max_attempts, run_at, created_at) \
         values (102, 'SELF_CHECK', '_system', 102, 5, now(), now())",
    )
    .await;
    db.execute(&format!(
        "insert into job_ready (line, job_id, kind, client_id, turn, run, node, locked_at) \
         values (-102, 102, 'SELF_CHECK', '_system', 1, 1, {dead}, now())"
    ))
    .await;
    knower.kill_9();
    let killed = Instant::now();
    let rescued = "select count(*) from job_attempts where job_id = 102 and outcome = 'rescued'";
    eventually(PATIENCE, async || (db.number(rescued).await == 1).then_some(())).await;
    let took = killed.elapsed();
    eprintln!("a job of a dead node was rescued after {took:?}, with a lease of {LEASE:?}");
    assert!(took < 2 * LEASE, "{took:?}");
    let done = "select count(*) from job_attempts where job_id = 102 and outcome = 'succeeded'";
    eventually(PATIENCE, async || (db.number(done).await == 1).then_some(())).await;
    has_in_hand(&db, dead, "LINGERS", 3).await;
    assert_eq!(db.number("select count(*) from job_attempts where job_id < 100").await, 0);

    // Not even a node that is forgotten makes it the stranger's business.
    db.execute(&format!("delete from nodes where id = {dead}")).await;
    let another = with_own_kinds(&place, &config).await;
    let ended = "select count(*) from job_attempts where job_id < 100 and ended and outcome = 'succeeded' and run = 2";
    eventually(PATIENCE, async || (db.number(ended).await == 3).then_some(())).await;
    let first = "select distinct outcome from job_attempts where job_id < 100 and run = 1";
    assert_eq!(db.texts(first).await, ["rescued"]);
    assert!(another.is_running() && stranger.is_running());
}

/// All cores are busy for ten leases, on both nodes: the heartbeat has a thread of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g03_handlers_that_burn_the_processor_for_ten_leases_are_not_taken_for_dead() {
    let Some(place) = Place::postgres() else { return };
    let (one, other) = tokio::join!(with_own_kinds(&place, SHORT), with_own_kinds(&place, SHORT));
    let db = Peek::of(&one).await;
    db.put_jobs(0, 8, "BURNS", "fine").await;
    let ended =
        "select count(*) from job_attempts where ended and outcome = 'succeeded' and job_id <= 8";
    eventually(PATIENCE, async || (db.number(ended).await == 8).then_some(())).await;
    assert_eq!(db.number("select count(*) from job_attempts where job_id <= 8").await, 8);
    assert_eq!(db.number(RESCUED).await, 0);
    let short = "select count(*) from job_attempts where job_id <= 8 and finished_at - started_at < interval '4900 ms'";
    assert_eq!(db.number(short).await, 0, "each burned for ten leases");
    let nodes = "select count(distinct node) from job_attempts where job_id <= 8";
    assert_eq!(db.number(nodes).await, 2, "each was watched by the other");
    assert!(one.is_running() && other.is_running());
}

/// The clock of the database goes an hour forth, and an hour back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g03_a_database_clock_that_jumps_kills_nobody_and_holds_no_lead_up() {
    let Some(place) = Place::postgres() else { return };
    let db = Peek::open(place.database_url().unwrap()).await;
    // What is named before the built-in functions comes first.
    db.execute("create table moved (by interval not null); insert into moved values ('0')").await;
    db.execute(
        "create function public.now() returns timestamptz language sql stable as \
         'select pg_catalog.now() + (select by from public.moved)'",
    )
    .await;
    let name = place.database_url().unwrap().rsplit('/').next().unwrap();
    db.execute(&format!("alter database \"{name}\" set search_path = public, pg_catalog")).await;
    let leads = "select node from leases where name = 'chores'";
    let one = with_own_kinds(&place, SHORT).await;
    let other = with_own_kinds(&place, SHORT).await;
    for daemon in [&one, &other] {
        daemon.may_leave(Leftover::Unfinished, "`LINGERS` runs for longer than any test");
    }
    let nodes = [newest_node(&db).await - 1, newest_node(&db).await];
    eventually(PATIENCE, async || db.texts("select cast(node as text) from leases").await.pop())
        .await;
    db.put_jobs(0, 8, "LINGERS", "fine").await;
    for node in nodes {
        has_in_hand(&db, node, "LINGERS", 4).await;
    }
    for jump in ["1 hour", "3 hours", "0", "-3 hours"] {
        db.execute(&format!("update moved set by = '{jump}'")).await;
        // More than two leases.
        beats(&db, &nodes, 11).await;
        assert_eq!(db.number(RESCUED).await, 0, "after the jump to {jump}");
    }
    for node in nodes {
        has_in_hand(&db, node, "LINGERS", 4).await;
    }
    assert!(one.is_running() && other.is_running());
    // The lead was taken in the future, as far as one can see now.
    db.execute("update moved set by = '1 hour'").await;
    beats(&db, &nodes, 3).await;
    let leader = db.number(leads).await;
    let survivor = if leader == nodes[0] { nodes[1] } else { nodes[0] };
    if leader == nodes[0] { &one } else { &other }.kill_9();
    db.execute("update moved set by = '0'").await;
    eventually(Duration::from_secs(10), async || {
        (db.number(leads).await == survivor).then_some(())
    })
    .await;
    eventually(PATIENCE, async || (db.number(RESCUED).await == 4).then_some(())).await;
}

/// The start of a node is one look at the clock: it takes nobody's row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g03_a_start_after_a_jump_of_the_clock_forgets_nobody() {
    let Some(db) = Fixture::postgres().await else { return };
    let other = db.another_node().await;
    db.execute("update nodes set seen_at = now() - interval '3 hours'").await;
    let third = db.another_node().await;
    let known = "select cast(id as text) from nodes order by id";
    let ids = [db.store.node(), other.node(), third.node()];
    assert_eq!(db.texts(known).await, ids.map(|it| it.to_string()));
    assert_eq!(db.number("select count(distinct slot) from nodes").await, 3);
    // The one that leads has watched them.
    third.chores().forget_nodes(vec![other.node(), third.node()]).await.unwrap();
    let ids = [db.store.node(), third.node()];
    assert_eq!(db.texts(known).await, ids.map(|it| it.to_string()), "this one was heard just now");
    // Where no slot is left, the longest silent gives its own.
    db.execute(
        "insert into nodes (id, slot, role, started_at, seen_at) \
         select -n, n + 1, 'all', now(), now() from generate_series(2, 1022) n",
    )
    .await;
    let last = db.another_node().await;
    let slots = "select count(distinct slot) from nodes";
    assert_eq!(db.number(slots).await, 1_024);
    assert_eq!(db.number("select count(*) from nodes").await, 1_024);
    let next = db.another_node().await;
    assert_eq!(db.number(slots).await, 1_024);
    let still = format!(
        "select count(*) from nodes where id in ({}, {}, {})",
        last.node(),
        next.node(),
        third.node()
    );
    assert_eq!(db.number(&still).await, 3);
    let gone = format!("select count(*) from nodes where id = {}", db.store.node());
    assert_eq!(db.number(&gone).await, 0, "it had been silent for three hours");
}

/// A worker is stopped while it has jobs in hand, longer than the lease, and goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn g03_a_node_that_was_stopped_and_goes_on_changes_nothing_twice() {
    const STOPS: usize = 3;
    let Some(place) = Place::postgres() else { return };
    let taker = place.start(SHORT).await;
    let worker =
        Options { args: vec!["--role".to_owned(), "worker".to_owned()], ..place.options(SHORT) };
    let worker = Daemon::start(worker).await;
    let db = Peek::of(&taker).await;
    let node = db.number("select id from nodes where role = 'worker'").await;
    let in_hand = format!("select count(*) from job_ready where node = {node}");
    let load = Load::default();
    let (http, url) = (http(), taker.url("/webhooks/sms/demo"));
    tokio::join!(load.post_over(&http, &url, 4), async {
        let mut caught = 0;
        while caught < STOPS {
            load.has_reached(load.count() + 10).await;
            worker.signal("STOP");
            if db.number(&in_hand).await > 0 {
                caught += 1;
                eventually(PATIENCE, async || (db.number(&in_hand).await == 0).then_some(())).await;
            }
            worker.signal("CONT");
            beats(&db, &[node], 2).await;
        }
        load.stop();
    });
    assert!(db.number(RESCUED).await >= i64::try_from(STOPS).unwrap());
    load.is_stored_and_worked_off(&taker, "a worker that was stopped").await;
    assert!(worker.is_running(), "it works on");
    let refused = "the lease was lost: nothing of this run is recorded";
    assert!(worker.log().contains(refused), "it has tried");

    // Longer than anybody remembers it.
    worker.signal("STOP");
    db.execute(&format!("delete from nodes where id = {node}")).await;
    worker.signal("CONT");
    assert_eq!(worker.wait(PATIENCE).await.code(), Some(70));
    assert!(taker.is_running());
}

/// The connection over which a node says that it lives is cut, again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g03_a_node_whose_heartbeats_lose_their_connection_lives() {
    const CUTS: usize = 12;
    let Some(place) = Place::postgres() else { return };
    let (one, other) = tokio::join!(with_own_kinds(&place, SHORT), with_own_kinds(&place, SHORT));
    for daemon in [&one, &other] {
        daemon.may_leave(Leftover::Unfinished, "`LINGERS` runs for longer than any test");
    }
    let db = Peek::of(&one).await;
    let nodes = [newest_node(&db).await - 1, newest_node(&db).await];
    db.put_jobs(0, 8, "LINGERS", "fine").await;
    for node in nodes {
        has_in_hand(&db, node, "LINGERS", 4).await;
    }
    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
        where datname = current_database() and state = 'idle' and query like 'with beat as (%'";
    for _ in 0..CUTS {
        eventually(PATIENCE, async || (db.number(cut).await == 2).then_some(())).await;
        beats(&db, &nodes, 1).await;
    }
    beats(&db, &nodes, 6).await;
    assert_eq!(db.number(RESCUED).await, 0);
    for node in nodes {
        has_in_hand(&db, node, "LINGERS", 4).await;
    }
    drop(other);
}

/// One of three leads, at all times at most one, and another after its death.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g03_one_node_leads_and_another_after_it() {
    const LEASE: Duration = Duration::from_millis(500);
    let Some(db) = Fixture::postgres().await else { return };
    let config = config(&[
        ("POSTROOM__DATABASE__URL", db.config.database.url.expose()),
        ("POSTROOM__SUPERVISOR__HEARTBEAT", "50ms"),
        ("POSTROOM__SUPERVISOR__LEASE", "500ms"),
    ]);
    let start = |store: &Store| {
        Heartbeat::start(&store.nodes(), &config, true, || panic!("forgotten")).unwrap()
    };
    let mut alive =
        vec![start(&db.store), start(&db.another_node().await), start(&db.another_node().await)];
    while !alive.is_empty() {
        let mut looks = 0;
        let leader = eventually(PATIENCE, async || {
            let leads: Vec<usize> =
                (0..alive.len()).filter(|it| alive[*it].membership().leads(LEASE)).collect();
            assert!(leads.len() <= 1, "{leads:?} lead at once");
            looks += leads.len();
            (looks >= 25).then(|| leads.first().copied()).flatten()
        })
        .await;
        let gone = alive.swap_remove(leader);
        let membership = gone.membership();
        drop(gone);
        eventually(PATIENCE, async || (!membership.leads(LEASE)).then_some(())).await;
    }
}

/// One node does the chores for all, and another does them once that node is dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g03_chores_are_done_by_one_node() {
    let Some(place) = Place::postgres() else { return };
    let config = format!("{SHORT}[telemetry]\nlog = \"info,postroom=trace\"\n");
    let daemons =
        [place.start(&config).await, place.start(&config).await, place.start(&config).await];
    let chores = |daemon: &Daemon| daemon.log().matches("looked after the database's log").count();
    let counts = || daemons.iter().map(chores).collect::<Vec<usize>>();
    let first = eventually(PATIENCE, async || counts().iter().position(|it| *it >= 10)).await;
    assert_eq!(counts().iter().filter(|it| **it > 0).count(), 1, "{:?}", counts());
    let mut others: Vec<usize> = (0..3).filter(|it| *it != first).collect();
    daemons[first].kill_9();
    let second = eventually(PATIENCE, async || {
        counts().iter().enumerate().position(|(at, it)| at != first && *it >= 10)
    });
    let second = second.await;
    others.retain(|it| *it != second);
    assert_eq!(counts()[others[0]], 0, "{:?}", counts());
    let answer: Answer = ask(daemons[second].get("/readyz")).await;
    assert_eq!(answer.status, 200);
}
