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
use postroom::{
    domain::{Id, JobKind, job::LEAD_SCORING},
    registry,
    telemetry::board::ActorType,
};
use serde_json::Value;
use std::{sync::mpsc, time::Duration};
use tokio::task::JoinHandle;

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

const INBOUND: JobKind = JobKind("SMS_INBOUND_POST_PROCESS");

const RUNNING: &str = "select count(*) from job_ready where node is not null";
const FAILED: &str =
    "select count(*) from job_attempts where outcome not in ('succeeded', 'released')";

async fn start(place: &Place, lease: &str) -> (Inside, Peek) {
    let daemon = Inside::start(place, &config(lease), registry::postroom()).await;
    let db = Peek::open(&daemon.database_url).await;
    // The first job of a kind is claimed. From then on jobs can be born running.
    let first = post(&daemon, 0).await;
    ended(&daemon, job_of(&first)).await;
    all_ended(&db).await;
    (daemon, db)
}

async fn all_ended(db: &Peek) {
    eventually(PATIENCE, async || (db.unfinished().await == 0).then_some(())).await;
}

/// Here a group is committed, and its jobs that are born running have not started.
const OF_INGEST: &str = "ingest.handing_off";
const OF_RECORDER: &str = "recorder.handing_off";

/// Posts until a job was committed as running and is blocked before its start. Returns its id,
/// its post, and what releases it when it is dropped.
#[expect(clippy::disallowed_methods, reason = "the test awaits what it posts")]
async fn post_until_blocked(
    daemon: &Inside,
    db: &Peek,
) -> (Id, JoinHandle<Answer>, mpsc::Sender<()>) {
    let faults = daemon.board.faults();
    let (release, mut number) = (faults.block(OF_INGEST), 100);
    let posted = eventually(PATIENCE, async || {
        number += 1;
        let body = sms(number, "Could you call me tomorrow?");
        let posted = tokio::spawn(ask(daemon.webhook("sms", "fine").json(&body)));
        let is_blocked = eventually(PATIENCE, async || {
            let is_answered = posted.is_finished();
            (faults.has_blocked(OF_INGEST) || is_answered).then_some(!is_answered)
        })
        .await;
        if is_blocked {
            return Some(posted);
        }
        // It was claimed.
        ended(daemon, job_of(&posted.await.unwrap())).await;
        None
    })
    .await;
    let born = "select max(job_id) from job_ready where node is not null and run = 1 and line > 0";
    (db.number(born).await, posted, release)
}

async fn ended_at_once(daemon: &Inside, job_id: Id) {
    let job = ended(daemon, job_id).await;
    assert_eq!((&job["status"], &job["attempts"]), (&"succeeded".into(), &1.into()), "{job}");
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

/// How many jobs of this kind were handed off.
async fn handed_off(daemon: &Inside, kind: JobKind) -> u64 {
    let text = daemon.get("/metrics").await.text;
    let name = format!("postroom_jobs_handed_off_total{{kind=\"{kind}\"}} ");
    let count = text.lines().find_map(|it| it.strip_prefix(&name));
    count.map_or(0, |it| it.parse().unwrap())
}

on_both_daemons! {
    async fn an_idle_daemon_starts_jobs_without_a_claim(place: Place) {
        let (daemon, db) = start(&place, LONG_LEASE).await;
        let mut jobs = Vec::new();
        // A claim may be under way, and then it takes the job.
        let mut number = 0;
        eventually(PATIENCE, async || {
            number += 1;
            jobs.push(job_of(&post(&daemon, number).await));
            ended(&daemon, *jobs.last().unwrap()).await;
            let follow_ons = handed_off(&daemon, LEAD_SCORING).await;
            (handed_off(&daemon, INBOUND).await >= 3 && follow_ons >= 3).then_some(())
        })
        .await;
        for id in jobs {
            ended_at_once(&daemon, id).await;
        }
        all_ended(&db).await;
        assert_eq!(db.number(FAILED).await, 0);
    }

    /// (1) The commit's answer is lost: the job never started, so it costs no attempt and makes no
    /// suspect.
    async fn a_job_whose_commit_was_not_answered_runs_later_and_costs_no_attempt(place: Place) {
        let (daemon, db) = start(&place, "400ms").await;
        daemon.may_leave(Leftover::Panic, "the test makes a call of the store panic");
        daemon.board.faults().arm(OF_INGEST, 1);
        let mut number = 0;
        let lost = eventually(PATIENCE, async || {
            number += 1;
            let answer = post(&daemon, number).await;
            let is_struck = daemon.board.faults().left(OF_INGEST) == 0;
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

    /// The same of a follow-on job.
    async fn a_follow_on_job_whose_commit_was_not_answered_costs_no_attempt(place: Place) {
        let (daemon, db) = start(&place, "400ms").await;
        daemon.may_leave(Leftover::Panic, "the test makes a call of the store panic");
        daemon.board.faults().arm(OF_RECORDER, 1);
        let mut number = 0;
        eventually(PATIENCE, async || {
            number += 1;
            post(&daemon, number).await;
            all_ended(&db).await;
            (daemon.board.faults().left(OF_RECORDER) == 0).then_some(())
        })
        .await;
        assert_eq!(db.number(FAILED).await, 0);
        let spared = "select count(*) from job_attempts a join jobs j on j.id = a.job_id \
            where a.run = 2 and a.spared = 1 and j.kind = 'LEAD_SCORING_POST_PROCESS'";
        assert_eq!(db.number(spared).await, 1, "the first run was spared");
    }

    /// (2) A group that commits after the pools were closed: its job goes back, and the drain waits
    /// for that.
    async fn a_job_that_is_born_while_the_daemon_stops_goes_back(place: Place) {
        let (daemon, db) = start(&place, LONG_LEASE).await;
        daemon.may_leave(Leftover::Unfinished, "the job that goes back");
        let (_, posted, release) = post_until_blocked(&daemon, &db).await;
        let stopping = tokio::task::spawn_blocking(move || drop(daemon));
        // At the deadline it is refused. By then the pools are closed.
        posted.await.unwrap().is_problem(429, "draining");
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

    /// The actor that stores a group dies between the commit and the start: the store starts its
    /// jobs all the same.
    async fn an_ingest_actor_that_dies_meanwhile_takes_no_job_along(place: Place) {
        let (daemon, db) = start(&place, LONG_LEASE).await;
        daemon.may_leave(Leftover::Panic, "the test makes actors go down");
        let (job_id, posted, release) = post_until_blocked(&daemon, &db).await;
        daemon.board.faults().arm("ingest.handle", 1);
        let next = ask(daemon.webhook("sms", "fine").json(&sms(99, "Hello"))).await;
        next.is_problem(429, "database-away");
        posted.await.unwrap().is_problem(429, "database-away");
        drop(release);
        ended_at_once(&daemon, job_id).await;
        all_ended(&db).await;
        let runs = format!("select max(run) from job_attempts where job_id = {job_id}");
        assert_eq!(db.number(&runs).await, 1, "it started at once");
    }

    /// The supervisor dies between the loan and the start, and is replaced before or after it.
    async fn a_supervisor_that_dies_meanwhile_takes_no_job_along(place: Place) {
        let (daemon, db) = start(&place, LONG_LEASE).await;
        daemon.may_leave(Leftover::Panic, "the test makes actors go down");
        let faults = daemon.board.faults();
        for is_replaced in [true, false] {
            let (job_id, posted, release) = post_until_blocked(&daemon, &db).await;
            let restarts = supervisors(&daemon);
            faults.arm("supervisor.tick", 1);
            eventually(PATIENCE, async || (faults.left("supervisor.tick") == 0).then_some(())).await;
            if is_replaced {
                eventually(PATIENCE, async || (supervisors(&daemon) > restarts).then_some(())).await;
            }
            drop(release);
            assert_eq!(job_of(&posted.await.unwrap()), job_id);
            ended_at_once(&daemon, job_id).await;
            all_ended(&db).await;
            // The place came back: the next job finds one.
            let (before, mut number) = (handed_off(&daemon, INBOUND).await, 0);
            eventually(PATIENCE, async || {
                number += 1;
                ended_at_once(&daemon, job_of(&post(&daemon, number).await)).await;
                (handed_off(&daemon, INBOUND).await > before).then_some(())
            })
            .await;
        }
        assert_eq!(db.number(FAILED).await, 0);
    }

    /// A pool that is paused lends nothing, and what was on its way goes back.
    async fn a_paused_pool_gets_no_job_handed_off(place: Place) {
        let (daemon, db) = start(&place, LONG_LEASE).await;
        let pool = daemon.board.pool(INBOUND);
        let (on_its_way, posted, release) = post_until_blocked(&daemon, &db).await;
        daemon.reload("[pools.SMS_INBOUND_POST_PROCESS]\npaused = true\n").await;
        eventually(PATIENCE, async || pool.view().paused.then_some(())).await;
        drop(release);
        posted.await.unwrap();
        eventually(PATIENCE, async || (db.number(RUNNING).await == 0).then_some(())).await;
        let before = handed_off(&daemon, INBOUND).await;
        let mut jobs = vec![on_its_way];
        for number in 1..6 {
            jobs.push(job_of(&post(&daemon, number).await));
        }
        assert_eq!(handed_off(&daemon, INBOUND).await, before);
        assert_eq!(db.number(RUNNING).await, 0);
        daemon.reload("[pools.SMS_INBOUND_POST_PROCESS]\npaused = false\n").await;
        for id in jobs {
            ended_at_once(&daemon, id).await;
        }
        let runs = format!("select max(run) from job_attempts where job_id = {on_its_way}");
        assert_eq!(db.number(&runs).await, 2, "it went back, and cost no attempt");
    }

    /// A pool that has shrunk runs what was on its way in the slots that are left.
    async fn a_pool_that_shrinks_meanwhile_runs_the_job_all_the_same(place: Place) {
        let (daemon, db) = start(&place, LONG_LEASE).await;
        let pool = daemon.board.pool(INBOUND);
        let (job_id, posted, release) = post_until_blocked(&daemon, &db).await;
        daemon.reload("[pools.SMS_INBOUND_POST_PROCESS]\nsize = 1\n").await;
        eventually(PATIENCE, async || (pool.view().size == 1 && pool.view().leaving == 0).then_some(())).await;
        drop(release);
        posted.await.unwrap();
        ended_at_once(&daemon, job_id).await;
        all_ended(&db).await;
        assert_eq!(db.number(FAILED).await, 0);
    }
}

/// How often the supervisor was replaced.
fn supervisors(daemon: &Inside) -> u64 {
    let actors = daemon.board.actors();
    actors.iter().filter(|it| it.kind == ActorType::Supervisor).map(|it| it.restarts).sum()
}
