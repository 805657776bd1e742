//! A daemon that is told to stop finishes the jobs that it has begun and releases the others.

use crate::{
    on_both_daemons,
    support::{
        both::Peek,
        daemon::Daemon,
        eventually,
        web::{ask, sms, try_ask},
    },
};
use futures_util::future::join_all;
use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

const CONNECTIONS: usize = 12;
const LEADS: u64 = 200;
/// Few slots, so that jobs wait in the daemon when it is told to stop.
const CONFIG: &str = "[pools.default]\nsize = 1\nprefetch = 50\n";

/// The answers to webhooks that were posted while the daemon stopped.
#[derive(Default)]
struct Log {
    next: AtomicU64,
    is_told: AtomicBool,
    /// Messages and jobs that were acknowledged.
    acknowledged: Mutex<Vec<(String, String)>>,
    refused: AtomicU64,
}

impl Log {
    /// Posts until the daemon does not listen any more.
    async fn post(&self, daemon: &Daemon) {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let body = sms(number % LEADS, &format!("Could you call me tomorrow? ({number})"));
            let was_told = self.is_told.load(Ordering::Relaxed);
            match try_ask(daemon.webhook("sms", "demo").json(&body)).await {
                Some(answer) if answer.status == 200 => {
                    assert_eq!(answer.outcome(), "accepted", "{answer:?}");
                    let ids = (answer.field("message_id").to_owned(), answer.job_ids().remove(0));
                    self.acknowledged.lock().unwrap().push(ids);
                }
                Some(answer) => {
                    answer.is_problem(429, "draining");
                    assert!(self.is_told.load(Ordering::Relaxed), "{answer:?}");
                    self.refused.fetch_add(1, Ordering::Relaxed);
                }
                None => {
                    assert!(self.is_told.load(Ordering::Relaxed), "no answer before the stop");
                    if was_told {
                        return;
                    }
                }
            }
        }
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }
}

on_both_daemons! {
    async fn a_stop_under_load_loses_nothing_and_costs_no_attempt(place: Place) {
        let mut daemon = place.start(CONFIG).await;
        let db = Peek::of(&daemon).await;
        let log = Log::default();
        let posting = join_all((0..CONNECTIONS).map(|_| log.post(&daemon)));
        let stopping = async {
            let look = async || (log.count() > 150).then_some(());
            eventually(Duration::from_secs(30), look).await;
            log.is_told.store(true, Ordering::Relaxed);
            daemon.terminate();
            daemon.wait(Duration::from_secs(40)).await
        };
        let (_, status) = tokio::join!(posting, stopping);
        assert_eq!(status.code(), Some(0));
        let acknowledged = log.acknowledged.lock().unwrap().clone();
        for (message_id, job_id) in &acknowledged {
            let sql = format!(
                "select count(*) from jobs where id = {job_id} and subject_id = {message_id}"
            );
            assert_eq!(db.number(&sql).await, 1, "job {job_id} of message {message_id}");
        }
        let messages = db.number("select count(*) from messages").await;
        assert!(messages >= acknowledged.len() as i64);
        for (what, sql) in [
            ("jobs still claimed", "select count(*) from job_ready where node is not null"),
            (
                "attempts used by jobs that wait",
                "select count(*) from job_ready where run <> spared",
            ),
            (
                "attempts used by jobs in line",
                "select count(*) from job_blocked where run <> spared",
            ),
            (
                "attempts that failed",
                "select count(*) from job_attempts where outcome not in ('succeeded', 'released')",
            ),
        ] {
            assert_eq!(db.number(sql).await, 0, "{what}");
        }
        let left = db.unfinished().await;
        eprintln!(
            "{left} jobs went back, {} webhooks were refused",
            log.refused.load(Ordering::Relaxed)
        );
        daemon.start_again().await;
        eventually(Duration::from_secs(60), async || (db.unfinished().await == 0).then_some(()))
            .await;
        let failed =
            "select count(*) from job_attempts where outcome not in ('succeeded', 'released')";
        assert_eq!(db.number(failed).await, 0);
        assert_eq!(db.number("select count(*) from messages where handled_at is null").await, 0);
    }

    /// A node that stops takes its own row away, so that others need not find it dead.
    async fn a_node_that_has_finished_everything_takes_its_row_away(place: Place) {
        let mut daemon = place.start("").await;
        let db = Peek::of(&daemon).await;
        for number in 0..5 {
            let answer = ask(daemon.webhook("sms", "demo").json(&sms(number, "Hello"))).await;
            assert_eq!(answer.outcome(), "accepted", "{answer:?}");
        }
        assert_eq!(db.number("select count(*) from nodes").await, 1);
        daemon.terminate();
        assert_eq!(daemon.wait(Duration::from_secs(40)).await.code(), Some(0));
        assert_eq!(db.number("select count(*) from nodes").await, 0);
        daemon.start_again().await;
        eventually(Duration::from_secs(60), async || (db.unfinished().await == 0).then_some(()))
            .await;
    }

    async fn a_second_signal_ends_a_stop_that_hangs(place: Place) {
        let daemon = place.start("").await;
        let held = Peek::of(&daemon).await.hold().await;
        let body = sms(1, "Hello");
        let posting = async {
            let answer = try_ask(daemon.webhook("sms", "demo").json(&body)).await;
            // Any answer will do except one that says it is stored.
            assert!(answer.is_none_or(|it| it.status == 429), "acknowledged and not stored");
        };
        let stopping = async {
            let is_inside = async || {
                let text = ask(daemon.get("/metrics")).await.text;
                // On SQLite another writer may hold the token before it.
                let waits = "postroom_ingest_queue_depth{channel=\"sms\"} 1";
                let busy = "postroom_ingest_batch_size_count{channel=\"sms\"} 1";
                (text.contains(waits) || text.contains(busy)).then_some(())
            };
            eventually(Duration::from_secs(10), is_inside).await;
            daemon.terminate();
            let is_draining =
                async || (ask(daemon.get("/readyz")).await.status == 503).then_some(());
            eventually(Duration::from_secs(10), is_draining).await;
            assert!(daemon.is_running());
            daemon.terminate();
            daemon.wait(Duration::from_secs(5)).await
        };
        let ((), status) = tokio::join!(posting, stopping);
        assert_eq!(status.code(), Some(130), "{status:?}");
        held.release().await;
    }
}
