//! A daemon in which nothing happens hardly asks its database (docs/decisions/0011-who-asks.md).

use crate::{
    harness::parameter,
    on_both_daemons,
    support::{
        both::{Peek, Place},
        daemon::Daemon,
        eventually,
        leftovers::Leftover,
        pgbouncer::{Parameters, PgBouncer},
        web::{ask, mail, sms},
    },
};
use reqwest::Method;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// How the log begins a line about a statement.
const CONFIG: &str = "[telemetry]\nlog = \"info,sqlx::query=debug\"\n";

/// The statements of the daemon so far, heartbeats apart. Those that begin and end transactions ask
/// nothing.
fn statements(daemon: &Daemon) -> (Vec<String>, usize) {
    let log = daemon.log();
    let frame = ["begin", "commit", "rollback"];
    let all = log.lines().filter(|line| line.contains("sqlx::query"));
    let asking =
        all.filter(|line| !frame.iter().any(|it| name(line).to_lowercase().starts_with(it)));
    let (beats, others): (Vec<&str>, Vec<&str>) =
        asking.partition(|line| line.contains("with beat as"));
    (others.into_iter().map(str::to_owned).collect(), beats.len())
}

/// The first words of a statement.
fn name(line: &str) -> String {
    let summary = line.split_once("summary=").map_or(line, |it| it.1);
    summary.trim_start_matches('"').chars().take(60).collect()
}

/// Watches an idle daemon. `IDLE_SECONDS` makes it watch for longer, so that the rounds of every
/// minute are seen.
async fn rests(daemon: &Daemon, has_heartbeats: bool) {
    rests_below(daemon, has_heartbeats, 1.0).await;
}

/// The same, with at most so many statements a second.
async fn rests_below(daemon: &Daemon, has_heartbeats: bool, most: f64) {
    let mut last = 0;
    // The statements of the start are over once few are made between two checks.
    eventually(Duration::from_secs(60), async || {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (now, before) = (statements(daemon).0.len(), last);
        last = now;
        (now > 0 && (now - before) as f64 <= most.floor() - 1.0).then_some(())
    })
    .await;
    let (before, beats_before) = statements(daemon);
    let started = Instant::now();
    tokio::time::sleep(Duration::from_secs(parameter("IDLE_SECONDS", 12))).await;
    let (all, beats) = statements(daemon);
    let seconds = started.elapsed().as_secs_f64();
    let asked = &all[before.len()..];
    let mut by_name: BTreeMap<String, usize> = BTreeMap::new();
    for line in asked {
        *by_name.entry(name(line)).or_default() += 1;
    }
    // Once a minute the counts of the overview are read, over a connection that is opened for it
    // (docs/decisions/0038-live-updates.md).
    let counts = |line: &&String| {
        let name = name(line);
        let starts = [
            "PRAGMA journal_mode",
            "select (select count(*) from",
            "select client_id, channel, state,",
            "select id, role, (",
            "select 'ready' as part,",
        ];
        starts.iter().any(|it| name.starts_with(it))
    };
    let read = if most < 2.0 { asked.iter().filter(counts).count() } else { 0 };
    assert!(read <= 6, "counted more than once: {by_name:#?}");
    let rate = (asked.len() - read) as f64 / seconds;
    let beats = beats - beats_before;
    eprintln!("{rate:.2} a second besides {beats} heartbeats in {seconds:.0} s: {by_name:#?}");
    assert!(rate < most, "{rate} a second: {by_name:#?}");
    assert!(!asked.is_empty(), "it looks now and then");
    assert_eq!(beats > 0, has_heartbeats, "one node of many says that it lives");
}

on_both_daemons! {
    /// The defaults.
    async fn an_idle_daemon_asks_less_than_once_a_second_besides_its_heartbeats(place: Place) {
        rests(&place.start(CONFIG).await, !place.is_sqlite()).await;
    }
}

on_both_daemons! {
    /// People who look at an idle daemon cost it little, however many they are.
    async fn an_idle_daemon_with_streams_asks_less_than_twice_a_second(place: Place) {
        let daemon = place.start(CONFIG).await;
        let answer = ask(daemon.webhook("sms", "demo").json(&sms(1, "Call me."))).await;
        let job = answer.job_ids().remove(0);
        let mut streams = Vec::new();
        for owner in 0..10 {
            let path = format!("/events?topics=totals,pools,actors,config,drafts,job/{job},lead/1");
            let request = daemon.api(Method::GET, &path).header("x-postroom-actor", owner.to_string());
            streams.push(request.send().await.unwrap());
        }
        rests_below(&daemon, !place.is_sqlite(), 2.0).await;
        assert!(streams.iter().all(|it| it.status() == 200));
    }
}

on_both_daemons! {
    /// Jobs of a paused kind wait, one of them a suspect, and nobody asks for them all the time.
    async fn a_daemon_with_a_paused_kind_rests_beside_its_jobs(place: Place) {
        let config = format!("{CONFIG}[pools.SMS_INBOUND_POST_PROCESS]\npaused = true\n");
        let daemon = place.start(&config).await;
        daemon.may_leave(Leftover::Unfinished, "the pool of text messages is paused");
        for lead in 0..20 {
            let answer = ask(daemon.webhook("sms", "demo").json(&sms(lead, "Call me."))).await;
            assert_eq!(answer.outcome(), "accepted", "{answer:?}");
        }
        let db = Peek::of(&daemon).await;
        let now = if db.is_sqlite() { "cast(unixepoch('subsec') * 1000 as integer)" } else { "now()" };
        let job = "(select min(job_id) from job_ready)";
        for sql in [
            format!(
                "insert into job_attempts (job_id, run, spared, outcome, ended, finished_at) \
                 values ({job}, 1, 0, 'rescued', false, {now})"
            ),
            format!("update job_ready set turn = null, run_at = {now}, run = 1 where job_id = {job}"),
        ] {
            db.execute(&sql).await;
        }
        rests(&daemon, !place.is_sqlite()).await;
        assert_eq!(db.unfinished().await, 20);
    }
}

/// A node that gets no notices of other nodes' jobs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_daemon_behind_a_pooler_asks_as_rarely() {
    let Some(pooler) = PgBouncer::start(Parameters::Refused, 4) else { return };
    rests(&Place::behind(&pooler).start(CONFIG).await, true).await;
}

on_both_daemons! {
    /// Most kinds never have a job, and that is no reason to poll.
    #[ignore = "long: `just long`"]
    async fn claims_ask_for_the_clock_of_their_kinds_every_ten_seconds_only(place: Place) {
        const WEBHOOKS: u64 = 40;
        let daemon = place.start(CONFIG).await;
        let peek = Peek::of(&daemon).await;
        let began = Instant::now();
        for lead in 0..WEBHOOKS {
            let answer = ask(daemon.webhook("instantly", "demo").json(&mail(lead))).await;
            assert_eq!(answer.outcome(), "accepted", "{answer:?}");
            eventually(Duration::from_secs(30), async || (peek.unfinished().await == 0).then_some(()))
                .await;
        }
        let (all, _) = statements(&daemon);
        let count = |what: &str| all.iter().filter(|it| it.contains(what)).count();
        let (claims, clocks) = (count("update job_ready set node"), count("summary=\"select kind, max(turn) as"));
        eprintln!("{claims} claims asked {clocks} times in {:?}", began.elapsed());
        assert!(claims as u64 >= WEBHOOKS, "{claims} claims are seen");
        assert!(clocks * 3 <= claims, "{clocks} of {claims} claims");
    }
}
