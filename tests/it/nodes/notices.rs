//! Notices are few, whatever the number of commits, and they come soon.

use crate::support::{
    both::{Peek, Place},
    daemon::{Daemon, Options},
    eventually,
    fixture::{Fixture, config, self_check},
    proxy::Way,
    web::{ask, mail},
};
use futures_util::future::join_all;
use postroom::store::Heartbeat;
use sqlx::postgres::PgListener;
use std::{thread, time::Duration};
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(20);
/// The least time between two notices of a node.
const APART: Duration = Duration::from_millis(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_commits_make_few_notices() {
    const WRITERS: usize = 6;
    const COMMITS: usize = 80;
    let Some(db) = Fixture::postgres().await else { return };
    let url = db.config.database.url.expose();
    let quick = config(&[
        ("POSTROOM__DATABASE__URL", url),
        ("POSTROOM__SUPERVISOR__HEARTBEAT", "100ms"),
        ("POSTROOM__SUPERVISOR__LEASE", "10s"),
    ]);
    // Two nodes that know of each other: else there is nobody to tell.
    let other = db.another_node().await;
    let _beats =
        [&db.store, &other].map(|it| Heartbeat::start(&it.nodes(), &quick, true, || ()).unwrap());
    let mut listener = PgListener::connect(url).await.unwrap();
    listener.listen("postroom_jobs").await.unwrap();
    eventually(PATIENCE, async || {
        db.store.notices().announce_to_others();
        tokio::time::timeout(APART * 4, listener.recv()).await.ok()
    })
    .await
    .unwrap();
    let enqueuer = db.store.enqueuer();
    let begun = Instant::now();
    join_all((0..WRITERS).map(|_| async {
        for _ in 0..COMMITS {
            enqueuer.enqueue(vec![self_check(&db.store, "a")]).await.unwrap();
        }
    }))
    .await;
    db.execute("notify postroom_jobs, 'the end'").await;
    let mut notices = 0;
    while listener.recv().await.unwrap().payload() != "the end" {
        notices += 1;
    }
    let (took, commits) = (begun.elapsed(), WRITERS * COMMITS);
    eprintln!("{commits} commits in {took:?} made {notices} notices");
    // One may have been under way before.
    let most = took.as_millis() / APART.as_millis() + 2;
    assert!((1..=most).contains(&notices), "{notices} notices in {took:?}, at the most {most}");
}

/// An actor is dropped with its thread, where there is no runtime.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_may_be_dropped_outside_of_any_runtime() {
    let Some(db) = Fixture::postgres().await else { return };
    let subscriber = db.store.subscriber(&db.config.database).unwrap();
    let subscription = subscriber.listen().await.unwrap();
    thread::spawn(move || drop(subscription)).join().expect("it does not panic");
    let left = format!("select count(*) {LISTENERS}");
    eventually(PATIENCE, async || (db.number(&left).await == 0).then_some(())).await;
}

const LISTENERS: &str = "from pg_stat_activity where application_name = 'postroom listener' \
    and datname = current_database() and state = 'idle'";

/// Both the tick and the heartbeat would come too late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_node_is_woken_long_before_its_tick() {
    const TICK: Duration = Duration::from_secs(30);
    let Some(place) = Place::postgres() else { return };
    let node = async |role: &str| {
        let args = vec!["--role".to_owned(), role.to_owned()];
        let config = "[supervisor]\ntick = \"30s\"\nheartbeat = \"6s\"\nlease = \"20s\"\n";
        Daemon::start(Options { args, ..place.options(config) }).await
    };
    let (worker, ingest) = (node("worker").await, node("ingest").await);
    let peek = Peek::of(&worker).await;
    let listening = format!("select count(*) {LISTENERS}");
    eventually(PATIENCE, async || (peek.number(&listening).await == 1).then_some(())).await;
    let beats = "select count(*) from nodes where seen_at > started_at";
    eventually(PATIENCE, async || (peek.number(beats).await == 2).then_some(())).await;
    let waits = waits_of_others_jobs(&ingest, &peek, 20).await;
    eprintln!(
        "from an idle node's other's commit to the start: p50 {} ms, max {} ms",
        waits[10], waits[19]
    );
    let longest = Duration::from_millis(u64::try_from(waits[19]).unwrap());
    assert!(longest < TICK / 10, "{waits:?}");
}

/// The other side of the listener's connection is gone without a word: nothing comes over it, and
/// nothing fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_whose_connection_has_fallen_silent_listens_anew() {
    let Some(place) = Place::postgres() else { return };
    let url = place.database_url().unwrap();
    // The test gets the notices, too.
    let mut notices = PgListener::connect(url).await.unwrap();
    notices.listen("postroom_jobs").await.unwrap();
    let config = "[supervisor]\ntick = \"30s\"\nheartbeat = \"3s\"\nlease = \"10s\"\n";
    let (worker, proxy) = place.start_behind_proxy(config).await;
    // The node that sends notices is not behind the proxy. It starts second, so that its first
    // heartbeat shows it the node that it has to notify.
    let args = vec!["--role".to_owned(), "ingest".to_owned()];
    let ingest = Daemon::start(Options { args, ..place.options(config) }).await;
    let peek = Peek::open(url).await;
    // The heartbeat detects silence only on a connection that was open before.
    let beats = "select count(*) from nodes where seen_at > started_at";
    eventually(PATIENCE, async || (peek.number(beats).await == 2).then_some(())).await;
    let pids = format!("select pid::text {LISTENERS}");
    let of_listeners = async |before: &[String]| {
        let now = peek.texts(&pids).await;
        now.iter().any(|it| !before.contains(it)).then_some(now)
    };
    let before = eventually(PATIENCE, async || of_listeners(&[]).await).await;
    hear_echo(&mut notices).await;
    proxy.set(Way::Silent);
    proxy.set(Way::Open);
    // Only now all connections of the worker are replaced, and notices can be sent and heard.
    let told = "the heartbeat's connection fell silent";
    eventually(PATIENCE, async || worker.log().contains(told).then_some(())).await;
    hear_echo(&mut notices).await;
    eventually(PATIENCE, async || of_listeners(&before).await).await;
    let listener = "listener";
    eventually(PATIENCE, async || {
        let answer = ask(worker.api(reqwest::Method::GET, "/actors")).await;
        let actors = answer.body["items"].as_array().cloned().unwrap_or_default();
        let it = actors.into_iter().find(|it| it["name"] == listener)?;
        (it["state"] == "busy" && it["restarts"] == 0).then_some(())
    })
    .await;
    let waits = waits_of_others_jobs(&ingest, &peek, 6).await;
    // By heartbeats alone half of them would wait for longer.
    assert!(*waits.last().unwrap() < 1_500, "{waits:?}");
}

/// Waits until a listener has sent the notice by which it checks that it hears itself.
async fn hear_echo(notices: &mut PgListener) {
    let echo = async { while !notices.recv().await.unwrap().payload().contains(" echo ") {} };
    tokio::time::timeout(PATIENCE, echo).await.expect("a node listens");
}

/// Posts `count` webhooks one after the other to a node that works no jobs. Returns how long each
/// job waited until another node started it, in milliseconds, the longest last.
async fn waits_of_others_jobs(ingest: &Daemon, peek: &Peek, count: u64) -> Vec<i64> {
    for lead in 0..count {
        let answer = ask(ingest.webhook("instantly", "demo").json(&mail(lead))).await;
        assert_eq!(answer.outcome(), "accepted", "{answer:?}");
        eventually(PATIENCE, async || (peek.unfinished().await == 0).then_some(())).await;
    }
    let waits = "select (extract(epoch from a.started_at - j.created_at) * 1000)::bigint::text \
        from job_attempts a join jobs j on j.id = a.job_id where j.kind like '%INBOUND%'";
    let mut waits: Vec<i64> =
        peek.texts(waits).await.iter().map(|it| it.parse().unwrap()).collect();
    waits.sort_unstable();
    assert_eq!(waits.len() as u64, count);
    waits
}
