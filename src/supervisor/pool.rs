//! A pool: everything that one job kind has in this process.
//!
//! `claiming` fills its queue, up to the room that its rate allows; `restarts` replaces its
//! slots; `fitting` lets it follow the configuration. The pool outlives the supervisor, which hands
//! it over to the next one.

use super::{
    handover::SupervisorAddress,
    pool_queue::{ClaimedJob, PoolQueue, QueueChange},
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
    /// What it was fitted to last; `None` before the first time.
    applied: Option<Applied>,
}

/// The part of the configuration that slots are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Applied {
    size: usize,
    is_paused: bool,
}

/// What follows from fitting a pool.
#[derive(Debug, Default)]
pub(super) struct Fitted {
    /// The jobs that go back, because the pool is paused.
    pub(super) back: Vec<ClaimedJob>,
    /// The pool can take more jobs than before.
    pub(super) can_take_more: bool,
}

impl Pool {
    /// A pool without slots: [`Pool::fit`] starts them.
    pub(super) fn new(entry: KindEntry, setup: SlotSetup, arbiters: Arc<[ArbiterHandle]>) -> Self {
        let slots = Slots::new(entry, setup.clone(), arbiters);
        Self { setup, slots, rate: FinishRate::start(), applied: None }
    }

    /// Gives the pool the size that the configuration says, and pauses or resumes it. Slots that
    /// are not wanted any more leave as soon as they have no job.
    pub(super) fn fit(&mut self, pools: &config::Pools) -> Fitted {
        let kind = self.setup.kind;
        let config = pools.of(kind.0);
        let wanted = Applied { size: config.size, is_paused: config.paused };
        let before = self.applied;
        let mut fitted = Fitted::default();
        if before != Some(wanted) {
            // First the queue: from here on no job starts that may not.
            let QueueChange { wake, back } = self.setup.waiting.fit(wanted.size, wanted.is_paused);
            self.setup.work.resize(wanted.size);
            self.slots.resize(wanted.size);
            self.slots.wake(&wake);
            log_change(kind, before, wanted, self.slots.leaving(), back.len());
            let grows = before.is_none_or(|it| it.is_paused || it.size < wanted.size);
            fitted = Fitted { back, can_take_more: grows && !wanted.is_paused };
            self.applied = Some(wanted);
        }
        // Last the board: who reads the new size there finds the slots that leave, too.
        self.setup.post.configured(&config);
        if before != Some(wanted) {
            self.setup.board.changed();
        }
        fitted
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

    /// Adds claimed jobs, and wakes slots for them. Returns those that go back, because the pool
    /// was paused meanwhile.
    pub(super) fn give(&self, jobs: Vec<ClaimedJob>) -> Vec<ClaimedJob> {
        let QueueChange { wake, back } = self.setup.waiting.add(jobs);
        self.slots.wake(&wake);
        back
    }

    /// Wakes slots for the jobs that wait: another slot has gone, and one more job may start.
    pub(super) fn wake_waiting(&self) {
        self.slots.wake(&self.setup.waiting.wake());
    }
}

/// Logs how a pool has changed. `leaving`: how many slots still have to leave. `back`: how many
/// jobs go back.
fn log_change(kind: JobKind, before: Option<Applied>, now: Applied, leaving: usize, back: usize) {
    if let Some(before) = before.filter(|before| before.size != now.size) {
        tracing::info!(%kind, from = before.size, to = now.size, leaving, "the pool is resized");
    }
    match (before.is_some_and(|it| it.is_paused), now.is_paused) {
        (false, true) => {
            tracing::info!(%kind, back, "the pool is paused: no job of the kind starts here")
        }
        (true, false) => tracing::info!(%kind, "the pool is resumed"),
        (false, false) | (true, true) => {}
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
