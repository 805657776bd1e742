//! While one kind crashes as fast as it is let, the others keep their pace.

use crate::{
    on_both_daemons,
    support::{both::Place, inside::Inside, leftovers::Leftover},
};
use postroom::{
    domain::{Job, JobKind, Outcome, job::NewJob},
    handlers::JobHandler,
    registry::Registry,
};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

const PATIENCE: Duration = Duration::from_secs(120);
/// Pairs of a quiet and a hot run.
const PAIRS: usize = 11;
/// The most pairs of runs on a machine that has much else to do.
const PAIRS_MAX: usize = 44;
/// The least pace of other kinds beside one that crashes, as a share of their pace without.
const SHARE_MIN: f64 = 0.9;
const HOT_JOBS: usize = 100;

/// Whether the hot kind crashes now, for the daemons of each database: their tests run in one
/// process.
struct Fire {
    is_hot: AtomicBool,
    is_lit: Notify,
}

static FIRES: [Fire; 2] =
    [const { Fire { is_hot: AtomicBool::new(false), is_lit: Notify::const_new() } }; 2];

/// Panics as soon as there is fire.
struct Hot<const DATABASE: usize>;

const HOT: JobKind = JobKind("HOT");

impl<const DATABASE: usize> JobHandler for Hot<DATABASE> {
    const KIND: JobKind = HOT;

    async fn handle(&self, _: &Job) -> Outcome {
        let fire = &FIRES[DATABASE];
        loop {
            let lit = fire.is_lit.notified();
            assert!(!fire.is_hot.load(Ordering::Relaxed), "hot");
            lit.await;
        }
    }
}

/// Waits for somebody else, as most handlers do most of the time.
struct Steady;

const STEADY: JobKind = JobKind("STEADY");

impl JobHandler for Steady {
    const KIND: JobKind = STEADY;

    async fn handle(&self, _: &Job) -> Outcome {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Outcome::Done(Vec::new())
    }
}

/// Does nothing, so that the processor and the database are the limit.
struct Brisk;

const BRISK: JobKind = JobKind("BRISK");

impl JobHandler for Brisk {
    const KIND: JobKind = BRISK;

    async fn handle(&self, _: &Job) -> Outcome {
        Outcome::Done(Vec::new())
    }
}

/// The measured load: a kind, and how many of its jobs.
#[derive(Clone, Copy)]
struct Load(JobKind, usize);

const STEADY_LOAD: Load = Load(STEADY, 200);
const BRISK_LOAD: Load = Load(BRISK, 3_000);

fn config(restart: &str) -> String {
    format!(
        "[supervisor]\ntick = \"100ms\"\n\
         [pools.HOT]\nbackoff = {{ base = \"1ms\", cap = \"1ms\" }}\n{restart}\n[[clients]]\nid = \"fine\"\n"
    )
}

async fn enqueue(daemon: &Inside, kind: JobKind, count: usize) {
    let enqueuer = daemon.store.enqueuer();
    let job = |_| NewJob {
        kind,
        client_id: "fine".to_owned(),
        lead_id: None,
        subject_id: enqueuer.next_id(),
        message_id: None,
        draft_id: None,
        max_attempts: 1_000_000,
        in_lead_line: false,
        channel: None,
        delay_ms: 0,
        trace: None,
    };
    enqueuer.enqueue((0..count).map(job).collect()).await.unwrap();
}

/// How long these jobs take from when they are stored.
async fn run(daemon: &Inside, Load(kind, count): Load) -> Duration {
    let pool = daemon.board.pool(kind);
    let until = pool.view().finished + count as u64;
    enqueue(daemon, kind, count).await;
    let started = Instant::now();
    let all_done = daemon.board.wait_until(|_| pool.view().finished >= until);
    tokio::time::timeout(PATIENCE, all_done).await.expect("all of them run");
    started.elapsed()
}

/// The best pace of runs in which the hot kind crashed as a share of that of quiet runs, and how
/// often slots went down. What else the machine does only makes a run slower, so the best runs are
/// those that it disturbed least.
async fn measure(place: &Place, restart: &str, load: Load, fire: &Fire) -> (f64, u64) {
    let registry = match place.is_sqlite() {
        true => Registry::default().kind(|_| Hot::<0>).kind(|_| Steady).kind(|_| Brisk),
        false => Registry::default().kind(|_| Hot::<1>).kind(|_| Steady).kind(|_| Brisk),
    };
    let daemon = Inside::start(place, &config(restart), registry).await;
    daemon.may_leave(Leftover::Panic, "the test makes actors or handlers go down");
    daemon.may_leave(Leftover::Unfinished, "a hot kind that crashes leaves jobs");
    enqueue(&daemon, HOT, HOT_JOBS).await;
    run(&daemon, load).await;
    let restarts = || daemon.board.pool(HOT).view().restarts;
    let (mut quiet, mut hot) = (Duration::MAX, Duration::MAX);
    let share = |quiet: Duration, hot: Duration| quiet.as_secs_f64() / hot.as_secs_f64();
    for pair in 0..PAIRS_MAX {
        // If the machine is busy throughout, it takes more runs until two were disturbed little.
        if pair >= PAIRS && share(quiet, hot) >= SHARE_MIN {
            break;
        }
        quiet = quiet.min(run(&daemon, load).await);
        let before = restarts();
        fire.is_hot.store(true, Ordering::Relaxed);
        fire.is_lit.notify_waiters();
        let took = run(&daemon, load).await;
        fire.is_hot.store(false, Ordering::Relaxed);
        // A pool that is paused after many restarts does not crash.
        if restarts() > before {
            hot = hot.min(took);
        }
    }
    (share(quiet, hot), restarts())
}

on_both_daemons! {
    #[ignore = "long: `just long`"]
    async fn a_kind_that_crashes_costs_the_others_a_tenth_of_their_pace_at_most(place: Place) {
        let fire = &FIRES[usize::from(!place.is_sqlite())];
        let (share, restarts) = measure(&place, "", STEADY_LOAD, fire).await;
        eprintln!("pace beside a kind that crashes, as configured: {:.1} % ({restarts} restarts)", share * 100.0);
        assert!(restarts > 5, "it crashed, and was paused: {restarts}");
        assert!(share >= SHARE_MIN, "{share}");
    }
}

/// The same for jobs that only cost time of the processor and the database, and without any limit
/// of restarts, which no configuration should ask for: figures, and no promise on a machine with
/// other things to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn by_hand_figures_beside_a_kind_that_crashes() {
    for place in [Some(Place::sqlite()), Place::postgres()].into_iter().flatten() {
        let fire = &FIRES[usize::from(!place.is_sqlite())];
        for (jobs, load) in [("waiting", STEADY_LOAD), ("brisk", BRISK_LOAD)] {
            for (limit, restart) in
                [("as configured", ""), ("without limit", "[restart]\nmax_restarts = 10000\n")]
            {
                let (share, restarts) = measure(&place, restart, load, fire).await;
                let share = share * 100.0;
                eprintln!(
                    "pace of {jobs} jobs, restarts {limit}: {share:.1} % ({restarts} restarts)"
                );
            }
        }
    }
}
