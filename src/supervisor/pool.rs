//! A pool: everything that one job kind has in this process.
//!
//! `claiming` fills its queue, up to the room that its rate allows; `restarts` replaces its
//! slots. The pool outlives the supervisor, which hands it over to the next one.

use super::{
    handover::SupervisorAddress,
    pool_queue::{ClaimedJob, PoolQueue},
    pool_slots::{CurrentJob, Slots, SuccessClock},
    slot::{HandlerActor, Wake},
    work::WorkRuntime,
};
use crate::{
    config,
    domain::{Id, JobKind},
    handlers::{Deps, JobHandler},
    recorder::Uncommitted,
    store::Queue,
    telemetry::{board::Board, metrics::KindMetrics, pool_post::PoolPost},
};
use actix::{Actor, ArbiterHandle, Recipient};
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::Instant;

/// The parts from which the slots of one pool are made, and which they share.
#[derive(Clone)]
pub(super) struct SlotSetup {
    /// The kind of jobs that the pool works on.
    pub(super) kind: JobKind,
    /// The parts from which handlers are made.
    pub(super) deps: Deps,
    /// The threads on which handlers' futures run.
    pub(super) work: Arc<WorkRuntime>,
    /// Where a client's jobs are left to other nodes.
    pub(super) queue: Queue,
    /// Receives the outcomes of jobs.
    pub(super) uncommitted: Uncommitted,
    /// The supervisor, which is told that a slot is free.
    pub(super) supervisor: SupervisorAddress,
    /// Time-outs and backoff, read for each attempt.
    pub(super) config: config::Live,
    /// Where the slots post.
    pub(super) board: Arc<Board>,
    /// Where the pool posts.
    pub(super) post: Arc<PoolPost>,
    /// The metrics of the kind.
    pub(super) metrics: KindMetrics,
    /// The id of this process as a node.
    pub(super) node: Id,
    /// The jobs that wait for a slot.
    pub(super) waiting: Arc<PoolQueue>,
    /// When a job of the kind last succeeded.
    pub(super) successes: Arc<SuccessClock>,
}

impl SlotSetup {
    /// The name of slot `number` on the board.
    pub(super) fn slot_name(&self, number: usize) -> String {
        format!("{}/{number}", self.kind)
    }

    /// What the configuration says of the kind now.
    pub(super) fn pool_config(&self) -> config::PoolConfig {
        self.config.get().pools.of(self.kind.0)
    }
}

impl fmt::Debug for SlotSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlotSetup").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// A job kind as the supervisor sees it: its name and how to start one of its slots.
#[derive(Clone)]
pub struct KindEntry {
    /// The kind of jobs that the handler works on.
    pub kind: JobKind,
    start: Arc<StartSlot>,
}

/// Starts the slot of this number on an arbiter, and says how to wake it.
type StartSlot =
    dyn Fn(&ArbiterHandle, SlotSetup, usize, Arc<CurrentJob>) -> Recipient<Wake> + Send + Sync;

impl KindEntry {
    /// The entry of a handler, which `make` makes for each slot. The handler's type is erased here,
    /// and only here.
    pub fn of<H: JobHandler>(make: impl Fn(&Deps) -> H + Send + Sync + 'static) -> Self {
        let make = Arc::new(make);
        let start = move |arbiter: &ArbiterHandle, setup: SlotSetup, number, current| {
            let make = make.clone();
            HandlerActor::start_in_arbiter(arbiter, move |_| {
                HandlerActor::<H>::new(make(&setup.deps), setup, number, current)
            })
            .recipient()
        };
        Self { kind: H::KIND, start: Arc::new(start) }
    }

    /// Starts the actor of slot `number` on `arbiter`, and says how to wake it.
    pub(super) fn start(
        &self,
        arbiter: &ArbiterHandle,
        setup: SlotSetup,
        number: usize,
        current: Arc<CurrentJob>,
    ) -> Recipient<Wake> {
        (self.start)(arbiter, setup, number, current)
    }
}

impl fmt::Debug for KindEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KindEntry").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// The pool of one kind; owned by the supervisor.
#[derive(Debug)]
pub(super) struct Pool {
    setup: SlotSetup,
    /// Its slots: what is down, and when it is started again.
    pub(super) slots: Slots,
    rate: FinishRate,
}

impl Pool {
    /// Starts as many slots as the configuration says. The size is read here, and never again.
    pub(super) fn start(
        entry: KindEntry,
        setup: SlotSetup,
        arbiters: Arc<[ArbiterHandle]>,
    ) -> Self {
        let config = setup.pool_config();
        setup.post.configured(&config);
        setup.metrics.pool_size.set(i64::try_from(config.size).unwrap_or(i64::MAX));
        let slots = Slots::start(entry, setup.clone(), arbiters, config.size);
        Self { setup, slots, rate: FinishRate::start() }
    }

    /// The parts from which its slots are made.
    pub(super) const fn setup(&self) -> &SlotSetup {
        &self.setup
    }

    /// The kind of jobs that it works on.
    pub(super) const fn kind(&self) -> JobKind {
        self.setup.kind
    }

    /// How many jobs the pool can take: one for each idle slot, and up to `prefetch` more, but no
    /// more than it finished in a second lately: jobs would only wait for slow slots.
    pub(super) fn room(&mut self) -> usize {
        let config = self.setup.pool_config();
        if config.paused {
            return 0;
        }
        let lately = self.rate.measure(self.setup.post.finished());
        let prefetch = config.prefetch.min(usize::try_from(lately).unwrap_or(usize::MAX));
        self.setup.waiting.room(prefetch)
    }

    /// Whether a claim would fill at least half of what the pool can hold.
    pub(super) fn is_half_free(&mut self) -> bool {
        let config = self.setup.pool_config();
        2 * self.room() >= config.size + config.prefetch
    }

    /// Adds claimed jobs, and wakes slots for them.
    pub(super) fn give(&self, jobs: Vec<ClaimedJob>) {
        let idle = self.setup.waiting.add(jobs);
        self.slots.wake(&idle);
    }
}

/// How many attempts a pool has finished within a second lately.
#[derive(Debug)]
struct FinishRate {
    /// The count and the time at which the current window began.
    window: (u64, Instant),
    /// How many ended in the last full window, or in the current one if those are more.
    lately: u64,
}

/// How long a window of [`FinishRate`] is.
const RATE_WINDOW: Duration = Duration::from_secs(1);

impl FinishRate {
    fn start() -> Self {
        Self { window: (0, Instant::now()), lately: 0 }
    }

    /// `finished`: how many have ended since the pool started. Returns how many ended lately.
    fn measure(&mut self, finished: u64) -> u64 {
        let (before, since) = self.window;
        let so_far = finished.saturating_sub(before);
        if since.elapsed() >= RATE_WINDOW {
            self.window = (finished, Instant::now());
            self.lately = so_far;
        } else {
            self.lately = self.lately.max(so_far);
        }
        self.lately
    }
}
