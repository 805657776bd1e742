//! G3 with several nodes over one PostgreSQL: they hear of each other's jobs, and one of them
//! leads.

use crate::support::{
    both::Peek,
    daemon::{Daemon, Options},
    eventually, postgres,
    web::{ask, mail},
};
use std::time::Duration;

/// A tick that comes too late for these tests: what starts in time was woken.
const CONFIG: &str = "[supervisor]\ntick = \"60s\"\nheartbeat = \"200ms\"\nlease = \"1s\"\n";

async fn node(url: &str, role: &str) -> Daemon {
    Daemon::start(Options {
        config: CONFIG.to_owned(),
        database_url: Some(url.to_owned()),
        args: vec!["--role".to_owned(), role.to_owned()],
        ..Options::default()
    })
    .await
}

async fn count(peek: &Peek, sql: &str) -> i64 {
    peek.number(sql).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn a_worker_is_woken_by_what_another_node_has_stored() {
    let Some(server) = postgres::server() else { return };
    let url = server.url(&server.create_database("woken"));
    let worker = node(&url, "worker").await;
    let ingest = node(&url, "ingest").await;
    let peek = Peek::of(&worker).await;
    // The listener is there, and the other node has heard that somebody works.
    let listening = "select count(*) from pg_stat_activity where application_name = 'postroom listener' \
        and datname = current_database() and state = 'idle'";
    eventually(Duration::from_secs(20), async || {
        (count(&peek, listening).await == 1).then_some(())
    })
    .await;
    let beats = "select count(*) from nodes where seen_at > started_at";
    eventually(Duration::from_secs(20), async || (count(&peek, beats).await == 2).then_some(()))
        .await;
    let ended = "select count(*) from job_attempts where ended and outcome = 'succeeded'";
    for number in 0..50 {
        // Each finds a node that rests.
        let answer = ask(ingest.webhook("instantly", "demo").json(&mail(number))).await;
        assert_eq!(answer.outcome(), "accepted", "{answer:?}");
        eventually(Duration::from_secs(20), async || (peek.unfinished().await == 0).then_some(()))
            .await;
    }
    let waited = "select cast(cast(extract(epoch from a.started_at - j.created_at) * 1000 as bigint) as text) \
        from job_attempts a join jobs j on j.id = a.job_id where j.kind = 'INSTANTLY_INBOUND_POST_PROCESS'";
    let mut waited: Vec<i64> =
        peek.texts(waited).await.iter().map(|it| it.parse().unwrap()).collect();
    waited.sort_unstable();
    let (p50, p99) = (waited[waited.len() / 2], waited[waited.len() * 99 / 100]);
    eprintln!("stored on one node, started on another: p50 {p50} ms, p99 {p99} ms");
    assert!(p99 < 6_000, "a tenth of a tick: {waited:?}");
    // Its connection is cut: it listens again.
    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
        where application_name = 'postroom listener' and datname = current_database()";
    assert_eq!(count(&peek, cut).await, 1);
    eventually(Duration::from_secs(20), async || {
        (count(&peek, listening).await == 1).then_some(())
    })
    .await;
    for number in 50..60 {
        let answer = ask(ingest.webhook("instantly", "demo").json(&mail(number))).await;
        assert_eq!(answer.outcome(), "accepted", "{answer:?}");
    }
    eventually(Duration::from_secs(20), async || (count(&peek, ended).await >= 60).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_leads_and_another_takes_over() {
    let Some(server) = postgres::server() else { return };
    let url = server.url(&server.create_database("lead"));
    let first = node(&url, "all").await;
    let peek = Peek::of(&first).await;
    let leader = "select coalesce((select node from leases where expires_at > now()), 0)";
    let led = eventually(Duration::from_secs(20), async || {
        Some(count(&peek, leader).await).filter(|it| *it > 0)
    })
    .await;
    let ingest = node(&url, "ingest").await;
    let second = node(&url, "worker").await;
    let beats = "select count(*) from nodes where seen_at > started_at";
    eventually(Duration::from_secs(20), async || (count(&peek, beats).await == 3).then_some(()))
        .await;
    assert_eq!(count(&peek, leader).await, led, "the lead is kept");
    first.kill_9();
    let next = eventually(Duration::from_secs(20), async || {
        Some(count(&peek, leader).await).filter(|it| *it > 0 && *it != led)
    })
    .await;
    let of_worker = "select id from nodes where role = 'worker'";
    assert_eq!(
        next,
        count(&peek, of_worker).await,
        "a node that only takes webhooks does no chores"
    );
    drop((ingest, second));
}
