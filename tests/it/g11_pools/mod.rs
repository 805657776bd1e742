//! Pools grow, shrink and pause while jobs run, and nothing is lost or doubled by it.

mod live_keys;
mod process;
mod resizing;
mod storm;

use crate::support::{both::Place, eventually, inside::Inside};
use postroom::{
    domain::{Id, Job, JobKind, Outcome, job::NewJob},
    handlers::JobHandler,
    registry::Registry,
    telemetry::pool_post::PoolView,
};
use serde_json::Value;
use std::{
    collections::HashMap,
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::sync::Semaphore;

const PATIENCE: Duration = Duration::from_secs(30);
const KINDS: [JobKind; 2] = [JobKind("FIRST"), JobKind("SECOND")];
const FIRST: JobKind = KINDS[0];
const SECOND: JobKind = KINDS[1];

/// The clients, each with its name as the behaviour of its jobs: see [`Probed`].
const CLIENTS: [&str; 8] =
    ["fine", "slow", "gated", "panics", "panics_gated", "broken", "hangs", "fails"];

/// A tick that comes later than any test waits: what happens, happens because of something else.
const NO_TICK: &str = "60s";

/// A configuration file with these lines in `[pools.FIRST]`.
fn config(tick: &str, pool: &str) -> String {
    let clients = CLIENTS.iter().chain(&["blocks"]);
    let clients: String = clients.map(|id| format!("[[clients]]\nid = \"{id}\"\n")).collect();
    format!(
        "[supervisor]\ntick = \"{tick}\"\nheartbeat = \"100ms\"\nlease = \"2s\"\n\
         [pools.default]\nsize = 2\ntimeout = \"30s\"\nbackoff = {{ base = \"5ms\", cap = \"20ms\" }}\n\
         [pools.FIRST]\n{pool}\n{clients}"
    )
}

/// The counts of the handlers of one kind of one daemon, and the gate for which they wait.
#[derive(Debug)]
struct Probe {
    /// Attempts that run now.
    running: AtomicUsize,
    /// The most attempts that ran at once, since this was last set to 0.
    most: AtomicUsize,
    /// Attempts that have started.
    started: AtomicUsize,
    /// How often a job was done, by its id; without those of the client `blocks`.
    done: Mutex<HashMap<Id, u32>>,
    /// Each permit lets one attempt through.
    gate: Semaphore,
    /// True: what was broken is mended, and what blocked a thread lets it go.
    is_mended: AtomicBool,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            started: AtomicUsize::new(0),
            done: Mutex::default(),
            gate: Semaphore::new(0),
            is_mended: AtomicBool::new(false),
        }
    }
}

impl Probe {
    fn started(&self) -> usize {
        self.started.load(Ordering::SeqCst)
    }

    fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    /// How many jobs were done.
    fn done(&self) -> usize {
        self.done.lock().unwrap().len()
    }

    /// Lets this many attempts through the gate.
    fn open(&self, count: usize) {
        self.gate.add_permits(count);
    }

    async fn pass_gate(&self) {
        self.gate.acquire().await.unwrap().forget();
    }

    fn is_mended(&self) -> bool {
        self.is_mended.load(Ordering::SeqCst)
    }
}

/// Counts an attempt as running while it lives.
struct Counted<'a>(&'a Probe);

impl<'a> Counted<'a> {
    fn of(probe: &'a Probe) -> Self {
        let now = probe.running.fetch_add(1, Ordering::SeqCst) + 1;
        probe.most.fetch_max(now, Ordering::SeqCst);
        Self(probe)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Behaves as the client's id says, in the first attempt of a job.
struct Probed<const KIND: usize>(Arc<Probe>);

impl<const KIND: usize> JobHandler for Probed<KIND> {
    const KIND: JobKind = KINDS[KIND];

    async fn handle(&self, job: &Job) -> Outcome {
        let probe = &*self.0;
        probe.started.fetch_add(1, Ordering::SeqCst);
        if job.client_id == "blocks" {
            // Its slot is replaced while it holds its thread, and both attempts end: it is counted
            // nowhere.
            while job.attempt == 1 && !probe.is_mended() {
                thread::sleep(Duration::from_millis(5));
            }
            return Outcome::Done(Vec::new());
        }
        let _counted = Counted::of(probe);
        match (job.client_id.as_str(), job.attempt) {
            ("slow", _) => {
                let ms = 1 + job.id.unsigned_abs() % 20;
                tokio::time::sleep(Duration::from_millis(ms)).await;
            }
            ("gated", _) => probe.pass_gate().await,
            ("panics", 1) => panic!("as ever"),
            ("panics_gated", 1) => {
                probe.pass_gate().await;
                panic!("behind the gate");
            }
            ("broken", _) => assert!(probe.is_mended(), "not mended yet"),
            ("hangs", 1) => pending().await,
            ("fails", 1) => return Outcome::Retry("no luck".to_owned()),
            _ => {}
        }
        *probe.done.lock().unwrap().entry(job.id).or_default() += 1;
        Outcome::Done(Vec::new())
    }
}

/// Starts a daemon with both kinds and no other, and returns the probe of each.
async fn start(place: &Place, config: &str) -> (Inside, [Arc<Probe>; 2]) {
    let probes = [Arc::new(Probe::default()), Arc::new(Probe::default())];
    let [first, second] = probes.clone();
    let registry = Registry::default()
        .kind(move |_| Probed::<0>(first.clone()))
        .kind(move |_| Probed::<1>(second.clone()));
    (Inside::start(place, config, registry).await, probes)
}

/// Enqueues jobs of this kind and client in one transaction.
async fn enqueue(daemon: &Inside, kind: JobKind, client: &str, count: usize) -> Vec<Id> {
    let enqueuer = daemon.store.enqueuer();
    let job = || NewJob {
        kind,
        client_id: client.to_owned(),
        lead_id: None,
        subject_id: enqueuer.next_id(),
        message_id: None,
        draft_id: None,
        max_attempts: 1_000,
        in_lead_line: false,
        channel: None,
        delay_ms: 0,
        trace: None,
    };
    let ids = enqueuer.enqueue((0..count).map(|_| job()).collect()).await;
    ids.expect("the database is there").into_iter().flatten().collect()
}

fn view(daemon: &Inside, kind: JobKind) -> PoolView {
    daemon.board.pool(kind).view()
}

/// Waits until the pool of the first kind looks like this.
#[track_caller]
fn looks(daemon: &Inside, like: impl Fn(&PoolView) -> bool) -> impl Future<Output = ()> {
    eventually(PATIENCE, async move || like(&view(daemon, FIRST)).then_some(()))
}

/// Waits until this holds.
#[track_caller]
fn holds(what: impl Fn() -> bool) -> impl Future<Output = ()> {
    eventually(PATIENCE, async move || what().then_some(()))
}

/// The names of the slots of a kind that are on the board, sorted.
fn slots(daemon: &Inside, kind: JobKind) -> Vec<String> {
    let names = daemon.board.actors().into_iter().map(|it| it.name);
    names.filter(|name| name.starts_with(kind.0)).collect()
}

/// The names of the first slots of a kind.
fn first_slots(kind: JobKind, count: usize) -> Vec<String> {
    let mut names: Vec<String> = (0..count).map(|number| format!("{kind}/{number}")).collect();
    names.sort_unstable();
    names
}

async fn ended(daemon: &Inside, job_id: Id) -> Value {
    eventually(PATIENCE, async || {
        let job = daemon.api(&format!("/jobs/{job_id}")).await.body;
        let has_ended = !matches!(job["status"].as_str(), Some("pending" | "running"));
        has_ended.then_some(job)
    })
    .await
}

/// All of these jobs succeed, each with this attempt.
async fn succeed(daemon: &Inside, jobs: &[Id], attempts: u32) {
    for id in jobs {
        let job = ended(daemon, *id).await;
        let wanted = (&"succeeded".into(), &attempts.into());
        assert_eq!((&job["status"], &job["attempts"]), wanted, "{job}");
    }
}

/// The pool of the first kind, as the API shows it.
async fn in_api(daemon: &Inside) -> Value {
    let pools = daemon.api("/pools").await;
    pools.items().iter().find(|it| it["kind"] == FIRST.0).expect("the kind").clone()
}
