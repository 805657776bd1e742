//! Jobs that are born running, in whole daemons: they start without a claim, and none is lost or
//! costs an attempt, whatever comes between the commit and the start.

use crate::{
    on_both_daemons,
    support::{
        both::{Peek, Place},
        eventually,
        inside::Inside,
        leftovers::Leftover,
        web::{Answer, ask, sms},
    },
};
use postroom::{domain::Id, registry};
use serde_json::Value;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
/// Far longer than a test waits: nothing is found to be lost meanwhile.
const LONG_LEASE: &str = "60s";

fn config(lease: &str) -> String {
    format!(
        "[supervisor]\ntick = \"100ms\"\nheartbeat = \"50ms\"\nlease = \"{lease}\"\n\
         [pools.default]\nsize = 2\nbackoff = {{ base = \"5ms\", cap = \"20ms\" }}\n\
         [[clients]]\nid = \"fine\"\n[clients.channels.sms]\n"
    )
}

const RUNNING: &str = "select count(*) from job_ready where node is not null";
const FAILED: &str =
    "select count(*) from job_attempts where outcome not in ('succeeded', 'released')";

async fn start(place: &Place, lease: &str) -> Inside {
    let daemon = Inside::start(place, &config(lease), registry::postroom()).await;
    // The first job of a kind is claimed. From then on jobs can be born running.
    let first = post(&daemon, 0).await;
    ended(&daemon, job_of(&first)).await;
    daemon
}

async fn post(daemon: &Inside, number: u64) -> Answer {
    let body = sms(number, &format!("Could you call me tomorrow? ({number})"));
    let answer = ask(daemon.webhook("sms", "fine").json(&body)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

fn job_of(answer: &Answer) -> Id {
    answer.job_ids()[0].parse().unwrap()
}

async fn ended(daemon: &Inside, job_id: Id) -> Value {
    eventually(PATIENCE, async || {
        let job = daemon.api(&format!("/jobs/{job_id}")).await.body;
        let has_ended = !matches!(job["status"].as_str(), Some("pending" | "running"));
        has_ended.then_some(job)
    })
    .await
}

/// How many jobs were handed off, of all kinds.
async fn handed_off(daemon: &Inside) -> u64 {
    let text = daemon.get("/metrics").await.text;
    let lines = text.lines().filter(|it| it.starts_with("postroom_jobs_handed_off_total{"));
    lines.filter_map(|it| it.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

on_both_daemons! {
    async fn an_idle_daemon_starts_jobs_without_a_claim(place: Place) {
        let daemon = start(&place, LONG_LEASE).await;
        let db = Peek::open(&daemon.database_url).await;
        let mut jobs = Vec::new();
        // A claim may be under way, and then it takes the job.
        let mut number = 0;
        eventually(PATIENCE, async || {
            number += 1;
            jobs.push(job_of(&post(&daemon, number).await));
            ended(&daemon, *jobs.last().unwrap()).await;
            (handed_off(&daemon).await >= 3).then_some(())
        })
        .await;
        for id in jobs {
            let job = ended(&daemon, id).await;
            assert_eq!((&job["status"], &job["attempts"]), (&"succeeded".into(), &1.into()), "{job}");
        }
        eventually(PATIENCE, async || (db.unfinished().await == 0).then_some(())).await;
        assert_eq!(db.number(FAILED).await, 0);
    }

    /// (1) The commit's answer is lost: the job never started, so it costs no attempt and makes no
    /// suspect.
    async fn a_job_whose_commit_was_not_answered_runs_later_and_costs_no_attempt(place: Place) {
        let daemon = start(&place, "400ms").await;
        daemon.may_leave(Leftover::Panic, "the test makes a call of the store panic");
        let db = Peek::open(&daemon.database_url).await;
        daemon.board.faults().arm("hand_off.committed", 1);
        let mut number = 0;
        let lost = eventually(PATIENCE, async || {
            number += 1;
            let answer = post(&daemon, number).await;
            let is_struck = daemon.board.faults().left("hand_off.committed") == 0;
            let job_id = job_of(&answer);
            if !is_struck {
                ended(&daemon, job_id).await;
            }
            is_struck.then_some((job_id, answer))
        })
        .await;
        assert_eq!(lost.1.outcome(), "duplicate", "it was stored by the try that was not answered");
        let job = ended(&daemon, lost.0).await;
        assert_eq!((&job["status"], &job["attempts"]), (&"succeeded".into(), &1.into()), "{job}");
        assert_eq!(db.number(FAILED).await, 0);
        let runs = format!("select max(run) from job_attempts where job_id = {}", lost.0);
        assert_eq!(db.number(&runs).await, 2, "the first run was spared");
    }

    /// (2) A group that commits after the pools were closed: its job goes back, and the drain waits
    /// for that.
    async fn a_job_that_is_born_while_the_daemon_stops_goes_back(place: Place) {
        let daemon = start(&place, LONG_LEASE).await;
        daemon.may_leave(Leftover::Unfinished, "the job that goes back");
        let db = Peek::open(&daemon.database_url).await;
        let release = daemon.board.faults().block("hand_off.committed");
        let mut number = 0;
        // Post until one stays without an answer: it is committed, and blocked before its start.
        let blocked = eventually(PATIENCE, async || {
            number += 1;
            let body = sms(number, "Could you call me tomorrow?");
            let posted = tokio::spawn(ask(daemon.webhook("sms", "fine").json(&body)));
            let mut seen = 0;
            let job = "select count(*) from job_ready where node is not null and run = 1 and line > 0";
            let is_blocked = eventually(PATIENCE, async || {
                if posted.is_finished() {
                    return Some(false);
                }
                // One that was claimed is answered soon.
                seen += u64::from(db.number(job).await > 0);
                (seen > 50).then_some(true)
            })
            .await;
            if !is_blocked {
                ended(&daemon, job_of(&posted.await.unwrap())).await;
                return None;
            }
            Some(posted)
        })
        .await;
        let stopping = tokio::task::spawn_blocking(move || drop(daemon));
        // At the deadline it is refused. By then the pools are closed.
        blocked.await.unwrap().is_problem(429, "draining");
        drop(release);
        stopping.await.unwrap();
        // A SQLite file is gone with its daemon. That nothing was left claimed was checked before.
        if place.is_sqlite() {
            return;
        }
        assert_eq!(db.number(RUNNING).await, 0);
        let spared = "select count(*) from job_ready where run = 1 and spared = 1 and node is null";
        assert_eq!(db.number(spared).await, 1, "no attempt was used");
        assert_eq!(db.number(FAILED).await, 0);
    }

    /// A pool that is paused lends nothing, and what was on its way goes back.
    async fn a_paused_pool_gets_no_job_handed_off(place: Place) {
        let daemon = start(&place, LONG_LEASE).await;
        let db = Peek::open(&daemon.database_url).await;
        daemon.reload("[pools.SMS_INBOUND_POST_PROCESS]\npaused = true\n").await;
        let before = handed_off(&daemon).await;
        let mut jobs = Vec::new();
        for number in 1..6 {
            jobs.push(job_of(&post(&daemon, number).await));
        }
        assert_eq!(handed_off(&daemon).await, before);
        assert_eq!(db.number(RUNNING).await, 0);
        daemon.reload("[pools.SMS_INBOUND_POST_PROCESS]\npaused = false\n").await;
        for id in jobs {
            assert_eq!(ended(&daemon, id).await["attempts"], 1);
        }
    }
}
