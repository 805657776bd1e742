//! Any actor may die at any point: another takes its place, and its jobs are neither lost nor take
//! effect twice.

use crate::{
    on_both_daemons,
    support::{
        both::Peek,
        daemon::{Daemon, Options, Until},
        eventually,
        inside::Inside,
        leftovers::Leftover,
        web::{Answer, ask, sms},
    },
};
use postroom::{
    domain::{Id, Job, JobKind, Outcome},
    handlers::JobHandler,
    registry::{self, Registry},
    telemetry::board::{ActorState, ActorType},
};
use serde_json::Value;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(30);
const SLOTS: usize = 2;
/// Far longer than the tests wait: a job that comes back earlier did not wait for a lease.
const LONG_LEASE: &str = "60s";

/// Every restart comes at once, unless a test wants it otherwise.
fn config(lease: &str, max_restarts: u32, clients: &[&str]) -> String {
    let clients: String = clients
        .iter()
        .map(|it| format!("[[clients]]\nid = \"{it}\"\n[clients.channels.sms]\n"))
        .collect();
    format!(
        "[supervisor]\ntick = \"100ms\"\nheartbeat = \"50ms\"\nlease = \"{lease}\"\n\
         [pools.default]\nsize = {SLOTS}\ntimeout = \"1s\"\nbackoff = {{ base = \"5ms\", cap = \"20ms\" }}\n\
         [restart]\nmax_restarts = {max_restarts}\nbackoff = {{ base = \"100ms\", cap = \"400ms\" }}\n{clients}"
    )
}

/// Does nothing, or panics for the client `poison`.
struct Works;

const WORKS: JobKind = JobKind("WORKS");

impl JobHandler for Works {
    const KIND: JobKind = WORKS;

    async fn handle(&self, job: &Job) -> Outcome {
        assert_ne!(job.client_id, "poison", "as ever");
        Outcome::Done(Vec::new())
    }
}

async fn post(daemon: &Inside, body: &Value) -> Answer {
    ask(daemon.webhook("sms", "fine").json(body)).await
}

/// Posts until the message is stored, and returns its job's id.
async fn post_until_stored(daemon: &Inside, body: &Value) -> Id {
    eventually(PATIENCE, async || {
        let answer = post(daemon, body).await;
        assert!(matches!(answer.status, 200 | 429), "{answer:?}");
        let is_stored = matches!(answer.outcome(), "accepted" | "duplicate");
        is_stored.then(|| answer.job_ids()[0].parse().unwrap())
    })
    .await
}

async fn ended(daemon: &Inside, job_id: Id) -> Value {
    eventually(PATIENCE, async || {
        let job = daemon.api(&format!("/jobs/{job_id}")).await.body;
        let has_ended = !matches!(job["status"].as_str(), Some("pending" | "running"));
        has_ended.then_some(job)
    })
    .await
}

async fn is_struck(daemon: &Inside, point: &str) {
    let look = async || (daemon.board.faults().left(point) == 0).then_some(());
    eventually(PATIENCE, look).await;
}

/// Waits until all of these actors live.
async fn all_actors_live(daemon: &Inside, names: &[String]) {
    eventually(PATIENCE, async || {
        let actors = daemon.board.actors();
        let lives = |name: &String| {
            let it = actors.iter().find(|it| it.name == *name);
            it.is_some_and(|it| matches!(it.state, ActorState::Idle | ActorState::Busy))
        };
        names.iter().all(lives).then_some(())
    })
    .await;
}

fn names(daemon: &Inside) -> Vec<String> {
    daemon.board.actors().into_iter().map(|it| it.name).collect()
}

const ATTEMPTS: &str = "select count(*) from job_attempts where outcome <> 'released'";
const FAILED_ATTEMPTS: &str =
    "select count(*) from job_attempts where outcome not in ('succeeded', 'released')";

on_both_daemons! {
    /// In `handle`, in an async response, in a spawned future, and in `started`, which comes after
    /// another death.
    #[ignore = "long: `just long`"]
    async fn whatever_actor_dies_and_wherever_work_goes_on_and_nothing_is_lost(place: Place) {
        let points: [(&str, Option<&str>); 20] = [
            ("ingest.handle", None),
            ("ingest.commit", None),
            ("ingest.committed", None),
            ("ingest.started", Some("ingest.handle")),
            ("slot.handle", None),
            ("slot.work", None),
            ("slot.started", Some("slot.handle")),
            ("recorder.handle", None),
            ("recorder.commit", None),
            ("recorder.committed", None),
            ("recorder.started", Some("recorder.handle")),
            ("janitor.handle", None),
            ("janitor.look", None),
            ("janitor.started", Some("janitor.handle")),
            ("supervisor.tick", None),
            ("supervisor.due", None),
            ("supervisor.claimed", None),
            ("supervisor.started", Some("supervisor.tick")),
            // It dies while it handles another's death, and the next supervisor finds that death.
            ("supervisor.down", Some("slot.handle")),
            ("supervisor.down", Some("recorder.commit")),
        ];
        let registry = registry::postroom().kind(|_| Works);
        let daemon = Inside::start(&place, &config("400ms", 100, &["fine"]), registry).await;
        daemon.may_leave(Leftover::Panic, "the test makes actors or handlers go down");
        let db = Peek::open(&daemon.database_url).await;
        let first = post_until_stored(&daemon, &sms(0, "Hello there")).await;
        assert_eq!(ended(&daemon, first).await["status"], "succeeded");
        let names = names(&daemon);
        let mut jobs = vec![first];
        for (number, (point, cause)) in points.into_iter().enumerate() {
            let faults = daemon.board.faults();
            faults.arm(point, 1);
            cause.into_iter().for_each(|it| faults.arm(it, 1));
            let body = sms(number as u64 % 3, &format!("Could you call me? ({number})"));
            jobs.push(post_until_stored(&daemon, &body).await);
            jobs.push(daemon.enqueue(WORKS, "fine", 5).await);
            is_struck(&daemon, point).await;
            all_actors_live(&daemon, &names).await;
        }
        for id in &jobs {
            let job = ended(&daemon, *id).await;
            assert_eq!(job["status"], "succeeded", "{job}");
        }
        eventually(PATIENCE, async || (db.unfinished().await == 0).then_some(())).await;
        let messages = db.number("select count(*) from messages").await;
        assert_eq!(messages, points.len() as i64 + 1, "each message once");
        let ended = "select count(*) from job_attempts where ended group by job_id having count(*) > 1";
        assert_eq!(db.texts(ended).await.len(), 0, "each job ended once");
        for type_ in ["ingest", "handler", "recorder", "janitor", "supervisor"] {
            let text = daemon.get("/metrics").await.text;
            let none = format!("postroom_actor_restarts_total{{actor=\"{type_}\"}} 0");
            assert!(!text.contains(&none), "{text}");
        }
    }

    async fn a_webhook_in_an_ingest_actor_that_dies_is_posted_again_and_stored_once(place: Place) {
        let registry = registry::postroom();
        let daemon = Inside::start(&place, &config(LONG_LEASE, 100, &["fine"]), registry).await;
        daemon.may_leave(Leftover::Panic, "the test makes actors or handlers go down");
        let db = Peek::open(&daemon.database_url).await;
        for (number, (point, then)) in
            [("ingest.handle", "accepted"), ("ingest.commit", "accepted"), ("ingest.committed", "duplicate")]
                .into_iter()
                .enumerate()
        {
            daemon.board.faults().arm(point, 1);
            let body = sms(number as u64, "Hello there");
            let answer = post(&daemon, &body).await;
            answer.is_problem(429, "database-away");
            let again = eventually(PATIENCE, async || {
                let answer = post(&daemon, &body).await;
                (answer.status == 200).then_some(answer)
            })
            .await;
            assert_eq!(again.outcome(), then, "{point}: {again:?}");
            let job = ended(&daemon, again.job_ids()[0].parse().unwrap()).await;
            assert_eq!(job["status"], "succeeded", "{point}: {job}");
            let messages = db.number("select count(*) from messages").await;
            assert_eq!(messages, number as i64 + 1, "{point}");
        }
    }

    async fn outcomes_outlive_the_recorder_and_are_committed_once(place: Place) {
        let registry = Registry::default().kind(|_| Works);
        let daemon = Inside::start(&place, &config(LONG_LEASE, 100, &["fine"]), registry).await;
        daemon.may_leave(Leftover::Panic, "the test makes actors or handlers go down");
        let db = Peek::open(&daemon.database_url).await;
        let mut jobs = Vec::new();
        for point in ["recorder.handle", "recorder.commit", "recorder.committed"] {
            daemon.board.faults().arm(point, 1);
            for _ in 0..20 {
                jobs.push(daemon.enqueue(WORKS, "fine", 5).await);
            }
            is_struck(&daemon, point).await;
        }
        for id in &jobs {
            assert_eq!(ended(&daemon, *id).await["attempts"], 1);
        }
        assert_eq!(db.number(FAILED_ATTEMPTS).await, 0);
        assert_eq!(db.number(ATTEMPTS).await, jobs.len() as i64);
    }

    async fn the_job_of_a_dead_slot_is_a_failed_attempt_at_once(place: Place) {
        let registry = Registry::default().kind(|_| Works);
        let daemon = Inside::start(&place, &config(LONG_LEASE, 100, &["fine"]), registry).await;
        daemon.may_leave(Leftover::Panic, "the test makes actors or handlers go down");
        daemon.board.faults().arm("slot.work", 1);
        let id = daemon.enqueue(WORKS, "fine", 2).await;
        let job = ended(&daemon, id).await;
        assert_eq!((&job["status"], &job["attempts"]), (&"succeeded".into(), &2.into()), "{job}");
        assert_eq!(job["errors"][0]["reason"], "panic", "{job}");
        assert_eq!(job["errors"][0]["message"], "the actor of the slot panicked", "{job}");
    }

    async fn a_claim_under_way_outlives_its_supervisor(place: Place) {
        let registry = Registry::default().kind(|_| Works);
        let daemon = Inside::start(&place, &config(LONG_LEASE, 100, &["fine"]), registry).await;
        daemon.may_leave(Leftover::Panic, "the test makes actors or handlers go down");
        let db = Peek::open(&daemon.database_url).await;
        let jobs = [daemon.enqueue(WORKS, "fine", 5).await, daemon.enqueue(WORKS, "fine", 5).await];
        for id in jobs {
            ended(&daemon, id).await;
        }
        // Each tick makes a claim; from here on the claim does not return.
        let held = db.hold_claims().await;
        let waiting = if place.is_sqlite() {
            // Nobody can enqueue meanwhile, but each tick makes a claim.
            None
        } else {
            Some(daemon.enqueue(WORKS, "fine", 5).await)
        };
        let restarts = async |count: u64| {
            eventually(PATIENCE, async || {
                let actors = daemon.board.actors();
                let it = actors.iter().find(|it| it.name == "supervisor").unwrap();
                (it.restarts >= count).then_some(())
            })
            .await;
        };
        for number in 1..=3 {
            daemon.board.faults().arm("supervisor.tick", 1);
            restarts(number).await;
        }
        held.release().await;
        let last = daemon.enqueue(WORKS, "fine", 5).await;
        for id in waiting.into_iter().chain([last]) {
            let job = ended(&daemon, id).await;
            assert_eq!((&job["status"], &job["attempts"]), (&"succeeded".into(), &1.into()), "{job}");
        }
        assert_eq!(db.number(FAILED_ATTEMPTS).await, 0);
    }

    async fn a_job_that_its_node_has_lost_track_of_is_a_failed_attempt(place: Place) {
        let registry = Registry::default().kind(|_| Works);
        let daemon = Inside::start(&place, &config("400ms", 100, &["fine"]), registry).await;
        daemon.may_leave(Leftover::Panic, "the test makes actors or handlers go down");
        let db = Peek::open(&daemon.database_url).await;
        // The jobs of the claim are lost with it.
        daemon.board.faults().arm("supervisor.claimed", 1);
        let id = daemon.enqueue(WORKS, "fine", 5).await;
        let job = ended(&daemon, id).await;
        assert_eq!((&job["status"], &job["attempts"]), (&"succeeded".into(), &2.into()), "{job}");
        assert_eq!(job["errors"][0]["reason"], "rescued", "{job}");
        assert_eq!(job["errors"][0]["message"], "its node lost track of it", "{job}");
        assert_eq!(db.unfinished().await, 0);
    }

    async fn a_slot_that_falls_silent_is_replaced_and_its_job_is_stuck(place: Place) {
        let registry = Registry::default().kind(|_| Works);
        let daemon = Inside::start(&place, &config(LONG_LEASE, 100, &["fine"]), registry).await;
        daemon.may_leave(Leftover::Panic, "the test makes actors or handlers go down");
        daemon.may_leave(Leftover::Stuck, "the test makes actors or handlers go down");
        let release = daemon.board.faults().block("slot.work");
        let id = daemon.enqueue(WORKS, "fine", 2).await;
        let job = ended(&daemon, id).await;
        assert_eq!((&job["status"], &job["attempts"]), (&"succeeded".into(), &2.into()), "{job}");
        assert_eq!(job["errors"][0]["reason"], "stuck", "{job}");
        // It wakes up, finds that another one has its place, and goes.
        drop(release);
        for _ in 0..SLOTS * 2 {
            let id = daemon.enqueue(WORKS, "fine", 1).await;
            assert_eq!(ended(&daemon, id).await["attempts"], 1);
        }
        let pool = daemon.board.pool(WORKS);
        eventually(PATIENCE, async || (pool.view().busy == 0).then_some(())).await;
        assert_eq!(pool.view().restarts, 1);
    }

    #[ignore = "long: `just long`"]
    async fn one_clients_poisonous_messages_pause_nobody(place: Place) {
        let registry = Registry::default().kind(|_| Works);
        let daemon = Inside::start(&place, &config(LONG_LEASE, 2, &["fine", "poison"]), registry).await;
        daemon.may_leave(Leftover::Panic, "the test makes actors or handlers go down");
        let pool = daemon.board.pool(WORKS);
        let first = daemon.enqueue(WORKS, "fine", 1).await;
        ended(&daemon, first).await;
        let poison = [daemon.enqueue(WORKS, "poison", 20).await, daemon.enqueue(WORKS, "poison", 20).await];
        loop {
            assert_eq!(pool.view().backing_off, 0, "no slot waits");
            let id = daemon.enqueue(WORKS, "fine", 1).await;
            assert_eq!(ended(&daemon, id).await["status"], "succeeded");
            if daemon.board.pool(WORKS).view().restarts >= 40 {
                break;
            }
        }
        for id in poison {
            let job = ended(&daemon, id).await;
            assert_eq!((&job["status"], &job["attempts"]), (&"failed".into(), &20.into()));
        }
        assert_eq!(pool.view().backing_off, 0);
    }

    async fn a_pool_whose_slots_all_go_down_is_paused_seen_and_comes_back(place: Place) {
        let registry = match place.is_sqlite() {
            true => Registry::default().kind(|_| Broken::<0>).kind(|_| Works),
            false => Registry::default().kind(|_| Broken::<1>).kind(|_| Works),
        };
        let is_mended = &IS_MENDED[usize::from(!place.is_sqlite())];
        let daemon = Inside::start(&place, &config(LONG_LEASE, 2, &["fine"]), registry).await;
        daemon.may_leave(Leftover::Panic, "the test makes actors or handlers go down");
        let pool = daemon.board.pool(BROKEN);
        let mut jobs = Vec::new();
        for _ in 0..6 {
            jobs.push(daemon.enqueue(BROKEN, "fine", 1_000).await);
        }
        eventually(PATIENCE, async || pool.view().is_backing_off().then_some(())).await;
        let is_seen = eventually(PATIENCE, async || {
            let ready = daemon.get("/readyz").await.body["checks"]["pools"].clone();
            (ready["ok"] == false).then_some(ready)
        })
        .await;
        assert!(is_seen["detail"].as_str().unwrap().contains("BROKEN"), "{is_seen}");
        eventually(PATIENCE, async || {
            let pools = daemon.api("/pools").await;
            let it = pools.items().iter().find(|it| it["kind"] == "BROKEN").unwrap();
            (it["state"] == "backing_off" && it["resumes_at"].is_string()).then_some(())
        })
        .await;
        eventually(PATIENCE, async || {
            let line = format!("postroom_pool_backing_off{{kind=\"BROKEN\"}} {SLOTS}");
            daemon.get("/metrics").await.text.contains(&line).then_some(())
        })
        .await;
        // The page says why a slot waits and until when, and how often that was lately.
        eventually(PATIENCE, async || {
            let page = ask(daemon.prepare("/actors").header("accept", "text/html")).await.text;
            let says = ["the first starts ", ": more than 2 restarts within 1 min", " in 1 h"];
            says.iter().all(|it| page.contains(it)).then_some(())
        })
        .await;
        eventually(PATIENCE, async || {
            let actors = daemon.api("/actors?state=backing_off").await;
            actors.items().first().filter(|it| it["resumes_at"].is_string()).map(|_| ())
        })
        .await;
        let id = daemon.enqueue(WORKS, "fine", 1).await;
        assert_eq!(ended(&daemon, id).await["status"], "succeeded", "other pools work");
        is_mended.store(true, Ordering::Relaxed);
        for id in jobs {
            assert_eq!(ended(&daemon, id).await["status"], "succeeded");
        }
        eventually(PATIENCE, async || {
            let ready = daemon.get("/readyz").await.body["checks"]["pools"]["ok"] == true;
            ready.then_some(())
        })
        .await;
    }

    async fn a_supervisor_that_cannot_live_is_given_up_loudly(place: Place) {
        let options = Options {
            env: vec![("POSTROOM_FAULTS".to_owned(), "supervisor.started=100".to_owned())],
            until: Until::Started,
            ..place.options("[restart]\nmax_restarts = 3\n")
        };
        let daemon = Daemon::start(options).await;
        daemon.may_leave(Leftover::Panic, "the test makes actors or handlers go down");
        let status = daemon.wait(PATIENCE).await;
        assert_eq!(status.code(), Some(1), "{status:?}");
        let log = daemon.log();
        assert!(log.contains("the process gives up"), "{log}");
        assert_eq!(log.matches("another one takes over").count(), 3, "{log}");
    }

    /// A supervisor that dies while it drains is followed by another, which is told again.
    #[ignore = "long: `just long`"]
    async fn a_stop_is_clean_though_the_supervisor_dies_in_it(place: Place) {
        let options = Options {
            env: vec![("POSTROOM_FAULTS".to_owned(), "supervisor.drain=2".to_owned())],
            ..place.options("[pools.default]\nsize = 1\nprefetch = 50\n")
        };
        let daemon = Daemon::start(options).await;
        daemon.may_leave(Leftover::Panic, "the test makes actors or handlers go down");
        let db = Peek::of(&daemon).await;
        for number in 0..60 {
            let body = sms(number, "Could you call me tomorrow?");
            let answer = ask(daemon.webhook("sms", "demo").json(&body)).await;
            assert_eq!(answer.outcome(), "accepted", "{answer:?}");
        }
        daemon.terminate();
        let status = daemon.wait(PATIENCE).await;
        assert_eq!(status.code(), Some(0), "{status:?}");
        assert_eq!(daemon.log().matches("struck at supervisor.drain").count(), 2);
        assert_eq!(db.number("select count(*) from job_ready where node is not null").await, 0);
        assert_eq!(db.number(FAILED_ATTEMPTS).await, 0);
    }

    async fn a_recorder_that_cannot_live_waits_is_seen_and_goes_on_with_what_waited(place: Place) {
        let registry = Registry::default().kind(|_| Works);
        let daemon = Inside::start(&place, &config(LONG_LEASE, 2, &["fine"]), registry).await;
        daemon.may_leave(Leftover::Panic, "the test makes actors or handlers go down");
        let db = Peek::open(&daemon.database_url).await;
        daemon.board.faults().arm("recorder.handle", 1_000);
        let mut jobs = Vec::new();
        for _ in 0..10 {
            jobs.push(daemon.enqueue(WORKS, "fine", 5).await);
        }
        eventually(PATIENCE, async || {
            let ready = daemon.get("/readyz").await;
            let check = &ready.body["checks"]["supervisor"];
            (ready.status == 503 && check["detail"].as_str()?.contains("recorder")).then_some(())
        })
        .await;
        daemon.board.faults().arm("recorder.handle", 0);
        for id in jobs {
            assert_eq!(ended(&daemon, id).await["status"], "succeeded");
        }
        eventually(PATIENCE, async || (daemon.get("/readyz").await.status == 200).then_some(())).await;
        assert_eq!(db.number(FAILED_ATTEMPTS).await, 0);
    }

    /// Writes down how long it takes from a panic until the next job runs in that slot, and until
    /// the other actors are there again.
    #[ignore = "long: `just long`"]
    async fn a_replacement_is_there_at_once(place: Place) {
        let registry = registry::postroom().kind(|_| Works);
        let daemon = Inside::start(&place, &config(LONG_LEASE, 1_000, &["fine"]), registry).await;
        daemon.may_leave(Leftover::Panic, "the test makes actors or handlers go down");
        let db = Peek::open(&daemon.database_url).await;
        let faults = daemon.board.faults();
        for (kind, point) in [
            (ActorType::Handler, "slot.work"),
            (ActorType::Ingest, "ingest.commit"),
            (ActorType::Recorder, "recorder.commit"),
            (ActorType::Janitor, "janitor.look"),
            (ActorType::Supervisor, "supervisor.tick"),
        ] {
            let mut took = Vec::new();
            for number in 0..9 {
                let before = restarts_of(&daemon, kind);
                faults.arm(point, 1);
                let text = format!("{point} {number}");
                let body = sms(number, &text);
                let work = async {
                    daemon.enqueue(WORKS, "fine", 5).await;
                    post_until_stored(&daemon, &body).await;
                };
                let replaced = async {
                    daemon.board.wait_until(|_| faults.left(point) == 0).await;
                    let is_back = |_: &_| restarts_of(&daemon, kind) > before && all_live(&daemon, kind);
                    daemon.board.wait_until(is_back).await;
                    faults.struck_at(point).unwrap().elapsed()
                };
                let (_, it) = tokio::join!(work, tokio::time::timeout(PATIENCE, replaced));
                took.push(it.expect("a replacement"));
                // An outcome that is struck again and again would be dropped as the one that kills
                // recorders.
                eventually(PATIENCE, async || (db.unfinished().await == 0).then_some(())).await;
            }
            took.sort_unstable();
            eprintln!("{}: from panic to replacement {:?} (median of 9), at most {:?}", kind.as_str(), took[4], took[8]);
            assert!(took[4] < Duration::from_secs(2), "{took:?}");
        }
    }
}

fn restarts_of(daemon: &Inside, kind: ActorType) -> u64 {
    daemon.board.actors().iter().filter(|it| it.kind == kind).map(|it| it.restarts).sum()
}

fn all_live(daemon: &Inside, kind: ActorType) -> bool {
    let actors = daemon.board.actors();
    let mut named = actors.iter().filter(|it| it.kind == kind);
    named.all(|it| matches!(it.state, ActorState::Idle | ActorState::Busy))
}

static IS_MENDED: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];

/// Panics until it is mended; the tests of both databases run in one process.
struct Broken<const DATABASE: usize>;

const BROKEN: JobKind = JobKind("BROKEN");

impl<const DATABASE: usize> JobHandler for Broken<DATABASE> {
    const KIND: JobKind = BROKEN;

    async fn handle(&self, _: &Job) -> Outcome {
        assert!(IS_MENDED[DATABASE].load(Ordering::Relaxed), "not mended yet");
        Outcome::Done(Vec::new())
    }
}
