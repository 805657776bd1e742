//! An attempt that fails, hangs or panics costs that attempt and nothing else.

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
use postroom::{
    domain::{Id, Job, JobKind, Outcome},
    handlers::JobHandler,
    registry::{self, Registry},
    telemetry::pool_post::PoolPost,
};
use serde_json::Value;
use std::{
    collections::HashSet,
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(20);
const SLOTS: usize = 2;
const MOST_ATTEMPTS: u32 = 2;
/// Behaves as the client's id says.
const BEHAVES: JobKind = JobKind("BEHAVES");

fn config() -> String {
    let clients = [
        "fine",
        "panics_at_once",
        "panics_later",
        "panics_in_a_child",
        "panics_when_cut_off",
        "hangs",
        "errs",
        "is_doomed",
        "gives_up",
        "snoozes",
        "cancels",
    ];
    let clients: String = clients
        .iter()
        .map(|it| format!("[[clients]]\nid = \"{it}\"\n[clients.channels.sms]\n"))
        .collect();
    format!(
        "[supervisor]\ntick = \"100ms\"\nheartbeat = \"50ms\"\nlease = \"400ms\"\n\
         [pools.default]\nsize = {SLOTS}\ntimeout = \"30s\"\nbackoff = {{ base = \"10ms\", cap = \"50ms\" }}\n\
         [pools.BEHAVES]\ntimeout = \"1s\"\n[restart]\nbackoff = {{ base = \"10ms\", cap = \"50ms\" }}\n{clients}"
    )
}

/// Panics when it is dropped.
struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        assert!(thread::panicking(), "when it was cut off");
    }
}

#[derive(Default)]
struct Behaves {
    snoozed: Mutex<HashSet<Id>>,
}

impl JobHandler for Behaves {
    const KIND: JobKind = BEHAVES;

    #[expect(clippy::disallowed_methods, reason = "that somebody does it is what is tested")]
    async fn handle(&self, job: &Job) -> Outcome {
        match (job.client_id.as_str(), job.attempt) {
            ("panics_at_once", 1) => panic!("at once"),
            ("panics_later", 1) => {
                tokio::task::yield_now().await;
                panic!("later");
            }
            ("panics_in_a_child", 1) => {
                tokio::spawn(async { panic!("in a child") }).await.unwrap();
            }
            ("panics_when_cut_off", 1) => {
                let _held = PanicsWhenDropped;
                pending().await
            }
            ("hangs", 1) => pending().await,
            ("errs", 1) | ("is_doomed", _) => return Outcome::Retry("no luck".to_owned()),
            ("gives_up", _) => return Outcome::Fail("no use".to_owned()),
            ("snoozes", _) if self.snoozed.lock().unwrap().insert(job.id) => {
                return Outcome::Snooze(Duration::from_millis(50));
            }
            ("cancels", _) => return Outcome::Cancel("nobody wants it".to_owned()),
            _ => {}
        }
        Outcome::Done(Vec::new())
    }
}

fn pool(daemon: &Inside, kind: JobKind) -> Arc<PoolPost> {
    daemon.board.pool(kind)
}

async fn is_busy(daemon: &Inside, kind: JobKind, slots: usize) {
    let pool = pool(daemon, kind);
    let look = async || (pool.view().busy == slots).then_some(());
    eventually(PATIENCE, look).await;
}

async fn ended(daemon: &Inside, job_id: Id) -> Value {
    eventually(PATIENCE, async || {
        let job = daemon.api(&format!("/jobs/{job_id}")).await.body;
        let has_ended = !matches!(job["status"].as_str(), Some("pending" | "running"));
        has_ended.then_some(job)
    })
    .await
}

/// All slots are free again, and as many as before work.
async fn the_slots_are_back(daemon: &Inside) {
    is_busy(daemon, BEHAVES, 0).await;
    assert_eq!(pool(daemon, BEHAVES).view().size, SLOTS);
    for _ in 0..SLOTS * 2 {
        let job = daemon.enqueue(BEHAVES, "fine", 1).await;
        assert_eq!(ended(daemon, job).await["status"], "succeeded");
    }
    let actors = daemon.board.actors();
    let slots: Vec<_> = actors.iter().filter(|it| it.name.starts_with(BEHAVES.0)).collect();
    assert_eq!(slots.len(), SLOTS, "{slots:?}");
    eventually(PATIENCE, async || {
        let actors = daemon.board.actors();
        let mut slots = actors.iter().filter(|it| it.name.starts_with(BEHAVES.0));
        slots.all(|it| it.state.as_str() == "idle").then_some(())
    })
    .await;
}

/// A job of this client ends so, after attempts that failed for these reasons.
async fn ends(
    daemon: &Inside,
    client: &str,
    status: &str,
    attempts: u32,
    reasons: &[(&str, &str)],
) {
    let id = daemon.enqueue(BEHAVES, client, MOST_ATTEMPTS).await;
    let job = ended(daemon, id).await;
    assert_eq!(job["status"], status, "{job}");
    assert_eq!(job["attempts"], attempts, "{job}");
    let errors = job["errors"].as_array().unwrap();
    assert_eq!(errors.len(), reasons.len(), "{job}");
    for (number, (error, (reason, message))) in errors.iter().zip(reasons).enumerate() {
        assert_eq!(error["attempt"], number + 1, "{job}");
        assert_eq!(error["reason"], *reason, "{job}");
        assert!(error["message"].as_str().unwrap().contains(message), "{job}");
        assert!(error["actor"].as_str().unwrap().starts_with("BEHAVES/"), "{job}");
        assert_eq!(error["node"], daemon.store.node().to_string(), "{job}");
        assert!(error["duration_ms"].is_i64() && error["failed_at"].is_string(), "{job}");
    }
}

/// Keeps its thread for as long as any test runs, and never yields.
struct Blocks;

const BLOCKS: JobKind = JobKind("BLOCKS");

impl JobHandler for Blocks {
    const KIND: JobKind = BLOCKS;

    async fn handle(&self, _: &Job) -> Outcome {
        thread::sleep(Duration::from_secs(10));
        Outcome::Done(Vec::new())
    }
}

/// Takes twice the lease.
struct TakesLong;

impl JobHandler for TakesLong {
    const KIND: JobKind = BEHAVES;

    async fn handle(&self, _: &Job) -> Outcome {
        tokio::time::sleep(Duration::from_millis(800)).await;
        Outcome::Done(Vec::new())
    }
}

/// Counts on its own for each database, as the tests of both run in one process.
trait Count: Send + Sync + 'static {
    fn counter() -> &'static AtomicU32;
}

struct OnSqlite;
struct OnPostgres;

impl Count for OnSqlite {
    fn counter() -> &'static AtomicU32 {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        &COUNT
    }
}

impl Count for OnPostgres {
    fn counter() -> &'static AtomicU32 {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        &COUNT
    }
}

/// Panics when it is made, the first few times.
struct BreaksAtStart<C>(std::marker::PhantomData<fn() -> C>);

impl<C: Count> Default for BreaksAtStart<C> {
    fn default() -> Self {
        assert!(C::counter().fetch_add(1, Ordering::Relaxed) >= 4, "at start");
        Self(std::marker::PhantomData)
    }
}

impl<C: Count> JobHandler for BreaksAtStart<C> {
    const KIND: JobKind = BEHAVES;

    async fn handle(&self, _: &Job) -> Outcome {
        Outcome::Done(Vec::new())
    }
}

/// Panics, and again when its actor goes because of that.
#[derive(Default)]
struct BreaksAtTheEnd(AtomicU32);

impl Drop for BreaksAtTheEnd {
    fn drop(&mut self) {
        assert!(self.0.load(Ordering::Relaxed) == 0 || thread::panicking(), "at the end");
    }
}

impl JobHandler for BreaksAtTheEnd {
    const KIND: JobKind = BEHAVES;

    async fn handle(&self, job: &Job) -> Outcome {
        if job.client_id != "fine" && job.attempt == 1 {
            self.0.fetch_add(1, Ordering::Relaxed);
            panic!("before the end");
        }
        Outcome::Done(Vec::new())
    }
}

on_both_daemons! {
    #[ignore = "long: `just long`"]
    async fn a_handler_that_never_yields_stops_nobody_else(place: Place) {
        let registry = registry::postroom().kind(|_| Blocks).kind(|_| Behaves::default());
        let daemon = Inside::start(&place, &config(), registry).await;
        daemon.may_leave(Leftover::Panic, "one handler panics beside those that block");
        daemon.may_leave(Leftover::Unfinished, "the handlers that block never end");
        daemon.may_leave(Leftover::Stuck, "the handlers that block never end");
        let db = Peek::open(&daemon.database_url).await;
        let mut blocking = Vec::new();
        for _ in 0..SLOTS {
            blocking.push(daemon.enqueue(BLOCKS, "fine", 1).await);
        }
        is_busy(&daemon, BLOCKS, SLOTS).await;
        if !place.is_sqlite() {
            let beat = "select cast(extract(epoch from max(seen_at)) * 1000 as bigint) from nodes";
            for _ in 0..3 {
                let before = db.number(beat).await;
                eventually(PATIENCE, async || (db.number(beat).await > before).then_some(())).await;
            }
        }
        for number in 0..5 {
            let answer = ask(daemon.webhook("sms", "fine").json(&sms(number, "Hello there"))).await;
            assert_eq!(answer.outcome(), "accepted", "{answer:?}");
            let job_id = answer.job_ids()[0].parse().unwrap();
            assert_eq!(ended(&daemon, job_id).await["status"], "succeeded");
        }
        ends(&daemon, "panics_at_once", "succeeded", 2, &[("panic", "at once")]).await;
        the_slots_are_back(&daemon).await;
        for id in blocking {
            let job = daemon.api(&format!("/jobs/{id}")).await.body;
            assert_eq!(job["status"], "running", "all of this happened meanwhile: {job}");
        }
    }

    #[ignore = "long: `just long`"]
    async fn every_kind_of_panic_costs_one_attempt_and_gives_its_slot_back(place: Place) {
        let daemon = Inside::start(&place, &config(), Registry::default().kind(|_| Behaves::default())).await;
        daemon.may_leave(Leftover::Panic, "the test makes actors or handlers go down");
        ends(&daemon, "panics_at_once", "succeeded", 2, &[("panic", "at once")]).await;
        the_slots_are_back(&daemon).await;
        ends(&daemon, "panics_later", "succeeded", 2, &[("panic", "later")]).await;
        the_slots_are_back(&daemon).await;
        ends(&daemon, "panics_in_a_child", "succeeded", 2, &[("panic", "in a child")]).await;
        the_slots_are_back(&daemon).await;
        ends(&daemon, "panics_when_cut_off", "succeeded", 2, &[("timeout", "cut off")]).await;
        the_slots_are_back(&daemon).await;
        assert_eq!(pool(&daemon, BEHAVES).view().restarts, 3);
        assert!(daemon.board.actors().iter().any(|it| it.last_failure.is_some()));
    }

    #[ignore = "long: `just long`"]
    async fn every_outcome_is_recorded_as_what_it_is(place: Place) {
        let daemon = Inside::start(&place, &config(), Registry::default().kind(|_| Behaves::default())).await;
        let no_luck = ("error", "no luck");
        ends(&daemon, "fine", "succeeded", 1, &[]).await;
        ends(&daemon, "errs", "succeeded", 2, &[no_luck]).await;
        ends(&daemon, "is_doomed", "failed", 2, &[no_luck, no_luck]).await;
        ends(&daemon, "gives_up", "failed", 1, &[("error", "no use")]).await;
        ends(&daemon, "hangs", "succeeded", 2, &[("timeout", "1s")]).await;
        ends(&daemon, "snoozes", "succeeded", 1, &[]).await;
        ends(&daemon, "cancels", "cancelled", 1, &[]).await;
        the_slots_are_back(&daemon).await;
        assert_eq!(pool(&daemon, BEHAVES).view().restarts, 0);
    }

    async fn a_job_that_takes_longer_than_a_lease_is_left_to_its_live_node(place: Place) {
        let daemon =
            Inside::start(&place, &config(), Registry::default().kind(|_| TakesLong)).await;
        // The first of them run before anybody could be taken for dead, the last after that.
        for _ in 0..3 {
            ends(&daemon, "fine", "succeeded", 1, &[]).await;
        }
    }

    async fn a_slot_that_cannot_be_started_is_started_again(place: Place) {
        let registry = match place.is_sqlite() {
            true => Registry::default().kind(|_| BreaksAtStart::<OnSqlite>::default()),
            false => Registry::default().kind(|_| BreaksAtStart::<OnPostgres>::default()),
        };
        let daemon = Inside::start(&place, &config(), registry).await;
        daemon.may_leave(Leftover::Panic, "the test makes actors or handlers go down");
        ends(&daemon, "fine", "succeeded", 1, &[]).await;
        the_slots_are_back(&daemon).await;
        assert_eq!(pool(&daemon, BEHAVES).view().restarts, 4);
    }

    async fn an_actor_that_panics_itself_is_replaced(place: Place) {
        let registry = Registry::default().kind(|_| BreaksAtTheEnd::default());
        let daemon = Inside::start(&place, &config(), registry).await;
        daemon.may_leave(Leftover::Panic, "the test makes actors or handlers go down");
        for _ in 0..2 {
            ends(&daemon, "errs", "succeeded", 2, &[("panic", "before the end")]).await;
            the_slots_are_back(&daemon).await;
        }
        assert_eq!(pool(&daemon, BEHAVES).view().restarts, 2);
    }
}
