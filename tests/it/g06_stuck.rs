//! A handler that never yields and ignores its cancellation costs its attempt and a thread, and no
//! more.

use crate::{
    on_both_daemons,
    support::{
        both::{Peek, Place},
        daemon::{Daemon, Options, Until},
        eventually,
        inside::Inside,
        leftovers::Leftover,
        web::{ask, sms},
    },
};
use futures_util::future::join_all;
use postroom::{
    domain::{Id, Job, JobKind, Outcome},
    handlers::JobHandler,
    registry::Registry,
};
use serde_json::Value;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(40);
/// One slot, and so one thread for the kind.
const CONFIG: &str = "[supervisor]\ntick = \"100ms\"\nheartbeat = \"50ms\"\nlease = \"400ms\"\n\
    [pools.default]\nsize = 1\ntimeout = \"500ms\"\nbackoff = { base = \"10ms\", cap = \"50ms\" }\n\
    [[clients]]\nid = \"fine\"\n[[clients]]\nid = \"sleeps\"\n[[clients]]\nid = \"spins\"\n[[clients]]\nid = \"waits\"\n";

static IS_RELEASED: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];

/// Does not yield in its first attempt until the test releases it. The tests of both databases run
/// in one process.
struct Ignores<const DATABASE: usize>;

const IGNORES: JobKind = JobKind("IGNORES");

impl<const DATABASE: usize> JobHandler for Ignores<DATABASE> {
    const KIND: JobKind = IGNORES;

    async fn handle(&self, job: &Job) -> Outcome {
        let is_released = || IS_RELEASED[DATABASE].load(Ordering::Relaxed);
        match (job.client_id.as_str(), job.attempt) {
            ("sleeps", 1) => {
                while !is_released() {
                    thread::sleep(Duration::from_millis(5));
                }
            }
            ("spins", 1) => {
                while !is_released() {
                    std::hint::spin_loop();
                }
            }
            // Long, but it can be cut off.
            ("waits", 1) => std::future::pending().await,
            _ => {}
        }
        Outcome::Done(Vec::new())
    }
}

async fn ended(daemon: &Inside, job_id: Id) -> Value {
    eventually(PATIENCE, async || {
        let job = daemon.api(&format!("/jobs/{job_id}")).await.body;
        let has_ended = !matches!(job["status"].as_str(), Some("pending" | "running"));
        has_ended.then_some(job)
    })
    .await
}

on_both_daemons! {
    #[ignore = "long: `just long`"]
    async fn it_is_stuck_its_slot_is_replaced_and_its_thread_is_lost_until_it_is_back(place: Place) {
        let registry = match place.is_sqlite() {
            true => Registry::default().kind(|_| Ignores::<0>),
            false => Registry::default().kind(|_| Ignores::<1>),
        };
        let daemon = Inside::start(&place, CONFIG, registry).await;
        daemon.may_leave(Leftover::Stuck, "two handlers ignore that they are cut off");
        daemon.may_leave(Leftover::Panic, "their slots are replaced");
        let pool = daemon.board.pool(IGNORES);
        for (number, client) in ["sleeps", "spins"].into_iter().enumerate() {
            let id = daemon.enqueue(IGNORES, client, 2).await;
            // It succeeds in the end, though the only thread that the kind had is still held.
            let job = ended(&daemon, id).await;
            assert_eq!(job["status"], "succeeded", "{job}");
            assert_eq!(job["attempts"], 2, "{job}");
            assert_eq!(job["errors"][0]["reason"], "stuck", "{job}");
            assert_eq!(pool.view().lost_threads, number + 1);
            assert_eq!(pool.view().restarts, number as u64 + 1);
        }
        let ready = daemon.get("/readyz").await.body["checks"]["pools"].clone();
        assert_eq!(ready["ok"], false, "{ready}");
        assert!(ready["detail"].as_str().unwrap().contains("never yield: IGNORES"), "{ready}");
        let text = daemon.get("/metrics").await.text;
        assert!(text.contains("postroom_lost_threads{kind=\"IGNORES\"} 2"), "{text}");
        // A handler that only waits is cut off at once, and costs no thread.
        let id = daemon.enqueue(IGNORES, "waits", 2).await;
        let job = ended(&daemon, id).await;
        assert_eq!(job["errors"][0]["reason"], "timeout", "{job}");
        assert_eq!(pool.view().lost_threads, 2);
        IS_RELEASED[usize::from(!place.is_sqlite())].store(true, Ordering::Relaxed);
        eventually(PATIENCE, async || {
            let ready = daemon.get("/readyz").await.body["checks"]["pools"]["ok"] == true;
            (ready && pool.view().lost_threads == 0).then_some(())
        })
        .await;
    }

    async fn too_many_lost_threads_end_the_process_with_70(place: Place) {
        let config = format!("{CONFIG}[restart]\nmax_lost_threads = 2\n");
        let config = config.replace("size = 1", "size = 2");
        let mut daemon = Daemon::start(Options { has_own_kinds: true, ..place.options(&config) }).await;
        daemon.may_leave(Leftover::Stuck, "two handlers never yield");
        let db = Peek::of(&daemon).await;
        for id in 1..=2 {
            db.put_job(id, "BLOCKS", "fine", 1).await;
        }
        let status = daemon.wait(PATIENCE).await;
        assert_eq!(status.code(), Some(70), "{status:?}");
        let stuck = "select count(*) from job_attempts where ended and outcome = 'stuck'";
        assert_eq!(db.number(stuck).await, 2, "what it came to is recorded before the end");
        daemon.start_again().await;
        db.put_job(3, "BESIDE", "fine", 1).await;
        eventually(PATIENCE, async || (db.unfinished().await == 0).then_some(())).await;
        assert_eq!(ask(daemon.get("/readyz")).await.status, 200);
    }
}

/// Nothing can take a thread from an actor that keeps it: the process ends, and the next one goes
/// on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_that_never_yields_ends_the_process_with_70() {
    let points = ["ingest.handle", "recorder.handle", "supervisor.tick"];
    join_all(points.map(async |point| {
        let config = "[server]\nshutdown_timeout = \"1s\"\nrequest_timeout = \"500ms\"\n";
        let is_ingest = point == "ingest.handle";
        let mut daemon = Daemon::start(Options {
            env: vec![("POSTROOM_FAULTS".to_owned(), format!("{point}=block"))],
            // Before it is ready, no webhook reaches the actor; without the others it never is.
            until: if is_ingest { Until::Ready } else { Until::Alive },
            ..Place::sqlite().options(config)
        })
        .await;
        let post = async |daemon: &Daemon| {
            ask(daemon.webhook("sms", "demo").json(&sms(1, "Yes, please call me."))).await
        };
        if is_ingest {
            post(&daemon).await.is_problem(429, "database-away");
        }
        let status = daemon.wait(PATIENCE).await;
        assert_eq!(status.code(), Some(70), "{point}: {status:?} {}", daemon.log());
        daemon.set_env(Vec::new());
        daemon.set_until(Until::Ready);
        daemon.start_again().await;
        let answer = post(&daemon).await;
        assert_eq!(answer.outcome(), "accepted", "{answer:?}");
    }))
    .await;
}
