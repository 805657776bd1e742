//! What a pool's other keys do when they change while it works.

use super::{FIRST, PATIENCE, config, ended, enqueue, holds, looks, start, succeed, view};
use crate::{
    on_both_daemons,
    support::{
        both::Peek,
        eventually,
        inside::Inside,
        leftovers::Leftover,
        web::{ask, sms},
    },
};
use postroom::{registry, telemetry::board::Fatal};
use serde_json::Value;
use std::sync::atomic::Ordering;

/// A configuration with these lines in `[pools.FIRST]`.
fn with(pool: &str) -> String {
    config("100ms", pool)
}

/// The first failed attempt of a job.
fn first_error(job: &Value) -> (&str, &str) {
    let error = &job["errors"][0];
    (error["reason"].as_str().unwrap(), error["message"].as_str().unwrap())
}

on_both_daemons! {
    async fn a_timeout_that_changes_applies_to_the_next_attempt(place: Place) {
        let (daemon, _) = start(&place, &with("timeout = \"30s\"")).await;
        for (timeout, told) in [("200ms", "200ms"), ("300ms", "300ms"), ("200ms", "200ms")] {
            daemon.set_config(&with(&format!("timeout = \"{timeout}\"")));
            let id = enqueue(&daemon, FIRST, "hangs", 1).await[0];
            let job = ended(&daemon, id).await;
            let (reason, message) = first_error(&job);
            assert!(reason == "timeout" && message.contains(told), "{job}");
            let shown = daemon.board.pool(FIRST).view().timeout_ms;
            assert_eq!(format!("{shown}ms"), timeout);
        }
    }

    async fn a_backoff_that_changes_applies_to_the_next_failure(place: Place) {
        let long = with("backoff = { base = \"1h\", cap = \"2h\" }");
        let (daemon, _) = start(&place, &long).await;
        daemon.may_leave(Leftover::Unfinished, "two jobs wait for an hour before their retries");
        let db = Peek::open(&daemon.database_url).await;
        let waits = async |count: i64| {
            let later = "select count(*) from job_ready where node is null and run_at is not null";
            eventually(PATIENCE, async || (db.number(later).await == count).then_some(())).await;
        };
        enqueue(&daemon, FIRST, "fails", 1).await;
        waits(1).await;
        daemon.set_config(&with("backoff = { base = \"5ms\", cap = \"20ms\" }"));
        let quick = enqueue(&daemon, FIRST, "fails", 1).await;
        succeed(&daemon, &quick, 2).await;
        daemon.set_config(&long);
        enqueue(&daemon, FIRST, "fails", 1).await;
        waits(2).await;
    }

    #[ignore = "long: `just long`"]
    async fn a_prefetch_that_changes_applies_to_the_next_claim(place: Place) {
        let (daemon, [probe, _]) = start(&place, &with("size = 1\nprefetch = 0")).await;
        for (prefetch, most) in [(0, 0), (7, 7), (0, 0), (3, 3)] {
            daemon.set_config(&with(&format!("size = 1\nprefetch = {prefetch}")));
            looks(&daemon, |it| it.busy == 0).await;
            // A pool is given no more ahead than it has finished lately.
            probe.open(30);
            let jobs = enqueue(&daemon, FIRST, "gated", 45).await;
            looks(&daemon, |it| it.busy == 1 && it.claimed == most).await;
            holds(|| probe.started() % 45 == 31).await;
            assert!(view(&daemon, FIRST).claimed <= most);
            probe.open(15);
            succeed(&daemon, &jobs, 1).await;
        }
    }

    async fn restarts_that_may_come_at_once_change_for_the_next(place: Place) {
        let restart = |most: u32| {
            let backoff = "backoff = { base = \"60s\", cap = \"60s\" }";
            format!("[restart]\nmax_restarts = {most}\n{backoff}\n{}", with("size = 2"))
        };
        let (daemon, [probe, _]) = start(&place, &restart(1_000)).await;
        daemon.may_leave(Leftover::Panic, "the test makes handlers panic");
        let jobs = enqueue(&daemon, FIRST, "broken", 4).await;
        looks(&daemon, |it| it.restarts > 10).await;
        assert_eq!(view(&daemon, FIRST).backing_off, 0);
        daemon.set_config(&restart(1));
        looks(&daemon, |it| it.is_backing_off()).await;
        probe.is_mended.store(true, Ordering::SeqCst);
        // Those that wait go on waiting; a new one works.
        daemon.set_config(&restart(1_000).replace("size = 2", "size = 3"));
        for id in jobs {
            assert_eq!(ended(&daemon, id).await["status"], "succeeded");
        }
        assert_eq!(view(&daemon, FIRST).backing_off, 2);
    }

    async fn attempts_that_change_count_for_the_next_job(place: Place) {
        let with = |most: u32| {
            let sms = "[clients.channels.sms]\n";
            let sms = with("").replace("id = \"fine\"\n", &format!("id = \"fine\"\n{sms}"));
            format!("{sms}[pools.SMS_INBOUND_POST_PROCESS]\nmax_attempts = {most}\n")
        };
        let registry = registry::postroom();
        let text = with(5).replace("[pools.FIRST]\n", "");
        let daemon = Inside::start(&place, &text, registry).await;
        for (number, most) in [5, 3, 9].into_iter().enumerate() {
            daemon.set_config(&with(most).replace("[pools.FIRST]\n", ""));
            let body = sms(number as u64, "Could you call me?");
            let answer = ask(daemon.webhook("sms", "fine").json(&body)).await;
            let id = answer.job_ids()[0].parse().unwrap();
            assert_eq!(ended(&daemon, id).await["max_attempts"], most);
        }
    }

    #[ignore = "long: `just long`"]
    async fn a_limit_of_lost_threads_that_falls_to_what_is_lost_ends_the_process(place: Place) {
        let lost = |most: u32| {
            format!("[restart]\nmax_lost_threads = {most}\n{}", with("timeout = \"200ms\""))
        };
        let (daemon, [probe, _]) = start(&place, &lost(5)).await;
        daemon.may_leave(Leftover::Stuck, "a handler never yields");
        daemon.may_leave(Leftover::Panic, "its slot is replaced");
        let id = enqueue(&daemon, FIRST, "blocks", 1).await;
        succeed(&daemon, &id, 2).await;
        looks(&daemon, |it| it.lost_threads == 1).await;
        daemon.set_config(&lost(2));
        let others = enqueue(&daemon, FIRST, "fine", 5).await;
        succeed(&daemon, &others, 1).await;
        daemon.set_config(&lost(1));
        let why = tokio::time::timeout(PATIENCE, daemon.board.given_up()).await;
        assert_eq!(why, Ok(Fatal::LostThreads));
        probe.is_mended.store(true, Ordering::SeqCst);
        looks(&daemon, |it| it.lost_threads == 0).await;
    }
}
