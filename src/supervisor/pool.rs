//! A pool: the slots of one job kind, and the claimed jobs that wait for them in turn.

use super::slot::{self, HandlerActor, Wake};
use crate::{
    config,
    domain::JobKind,
    handlers::{Deps, JobHandler},
    recorder,
    store::{Claim, wall_clock},
    telemetry::{
        board::{ActorType, Board, PoolPost},
        metrics::KindMetrics,
    },
};
use actix::{Actor, ArbiterHandle, Recipient};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

/// A claimed job in memory, with its room in the recorder.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) claim: Claim,
    pub(super) permit: OwnedSemaphorePermit,
    pub(super) since: Instant,
}

/// What slots and supervisor share of a pool.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) post: Arc<PoolPost>,
}

#[derive(Debug, Default)]
struct State {
    /// Claimed and not started, in the order of turns.
    queue: VecDeque<Held>,
    /// Slots that wait, by number.
    idle: Vec<usize>,
    /// Slots with this number and above are to stop.
    size: usize,
    /// Nobody is given anything any more.
    is_closed: bool,
}

impl Shared {
    /// For the pool of `kind`.
    pub(super) fn new(post: Arc<PoolPost>) -> Self {
        Self { state: Mutex::new(State::default()), post }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job for slot `number`. `None`: the slot is noted as idle and will be woken.
    pub(super) fn next(&self, number: usize) -> Option<Held> {
        let mut state = self.state();
        let stops = state.is_closed || number >= state.size;
        let next = if stops { None } else { state.queue.pop_front() };
        if next.is_none() && !stops && !state.idle.contains(&number) {
            state.idle.push(number);
        }
        self.post.queued.store(state.queue.len(), Ordering::Relaxed);
        next
    }

    /// Whether slot `number` is to stop.
    pub(super) fn is_surplus(&self, number: usize) -> bool {
        number >= self.state().size
    }

    /// How many jobs wait for a slot.
    pub(super) fn queued(&self) -> usize {
        self.state().queue.len()
    }
}

/// What a slot has in hand. The supervisor looks here when the slot went down.
pub(super) type InHand = Arc<Mutex<Option<Held>>>;

/// A slot, as the supervisor sees it.
#[derive(Debug)]
pub(super) struct Slot {
    wake: Recipient<Wake>,
    pub(super) in_hand: InHand,
    /// How often it went down in a row, and when last.
    pub(super) failures: u32,
    pub(super) failed_at: Option<Instant>,
}

/// What slots are made of; kept by their pool, which makes replacements from it.
#[derive(Clone)]
pub struct SlotPlan {
    /// The kind.
    pub kind: JobKind,
    /// What handlers are given.
    pub deps: Deps,
    /// The runtime on which handlers' futures run.
    pub work: tokio::runtime::Handle,
    /// Where outcomes go.
    pub recorder: recorder::Address,
    /// Who is told that jobs are wanted.
    pub wanting: Option<Recipient<super::claiming::Wanting>>,
    /// Time-outs and backoff, read for each attempt.
    pub config: config::Live,
    /// Where they post.
    pub board: Arc<Board>,
    /// What they count.
    pub metrics: KindMetrics,
    /// This process.
    pub node: crate::domain::Id,
    pub(super) shared: Arc<Shared>,
}

impl SlotPlan {
    /// The name of slot `number`.
    pub(super) fn slot_name(&self, number: usize) -> String {
        format!("{}/{number}", self.kind)
    }
}

/// A job kind as the supervisor sees it: its name and how to start one of its slots.
#[derive(Clone, Copy, Debug)]
pub struct KindEntry {
    /// The kind.
    pub kind: JobKind,
    start: fn(&ArbiterHandle, SlotPlan, usize, InHand) -> Recipient<Wake>,
}

impl KindEntry {
    /// The entry of a handler; its type is forgotten here, and only here.
    pub fn of<H: JobHandler>() -> Self {
        Self {
            kind: H::KIND,
            start: |arbiter, plan, number, in_hand| {
                HandlerActor::start_in_arbiter(arbiter, move |_| {
                    HandlerActor::<H>::new(plan, number, in_hand)
                })
                .recipient()
            },
        }
    }
}

/// The pool of one kind; owned by the supervisor.
pub struct Pool {
    entry: KindEntry,
    plan: SlotPlan,
    slots: Vec<Slot>,
    arbiters: Arc<[ArbiterHandle]>,
    finished_before: (u64, Instant),
    finished_lately: u64,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("kind", &self.entry.kind)
            .field("slots", &self.slots.len())
            .finish()
    }
}

/// Over what time it is measured how fast a pool works, to tell whether prefetching helps it.
const PACE_WINDOW: Duration = Duration::from_secs(1);

impl Pool {
    /// A pool without slots; [`Pool::resize`] starts them.
    pub(super) fn new(entry: KindEntry, plan: SlotPlan, arbiters: Arc<[ArbiterHandle]>) -> Self {
        Self {
            entry,
            plan,
            slots: Vec::new(),
            arbiters,
            finished_before: (0, Instant::now()),
            finished_lately: 0,
        }
    }

    pub(super) fn kind(&self) -> JobKind {
        self.entry.kind
    }

    /// Starts or stops slots until there are as many as configured. A slot that is to stop finishes its job.
    pub(super) fn resize(&mut self) {
        let cfg = self.plan.config.get().pools.of(self.entry.kind.0);
        let post = &self.plan.shared.post;
        post.configured_size.store(cfg.size, Ordering::Relaxed);
        post.size.store(cfg.size, Ordering::Relaxed);
        post.paused.store(cfg.paused, Ordering::Relaxed);
        post.max_attempts.store(u64::from(cfg.max_attempts), Ordering::Relaxed);
        let timeout_ms = u64::try_from(cfg.timeout.as_millis()).unwrap_or(u64::MAX);
        post.timeout_ms.store(timeout_ms, Ordering::Relaxed);
        self.plan.metrics.pool_size.set(i64::try_from(cfg.size).unwrap_or(i64::MAX));
        let surplus: Vec<usize> = {
            let mut state = self.plan.shared.state();
            state.size = cfg.size;
            let (kept, surplus) = state.idle.iter().partition(|it| **it < cfg.size);
            state.idle = kept;
            surplus
        };
        for number in surplus {
            self.wake(number);
        }
        self.slots.truncate(self.slots.len().min(cfg.size));
        for number in self.slots.len()..cfg.size {
            self.start(number, (0, None));
        }
    }

    /// Starts slot `number` anew.
    pub(super) fn restart(&mut self, number: usize) {
        if number < self.slots.len() {
            let before = self.slots.get(number).map(|it| (it.failures, it.failed_at));
            self.start(number, before.unwrap_or_default());
        }
    }

    fn start(&mut self, number: usize, (failures, failed_at): (u32, Option<Instant>)) {
        let in_hand = InHand::default();
        let Some(arbiter) = self.arbiters.get(number % self.arbiters.len().max(1)) else { return };
        self.plan.shared.state().idle.retain(|it| *it != number);
        let wake = (self.entry.start)(arbiter, self.plan.clone(), number, in_hand.clone());
        let slot = Slot { wake, in_hand, failures, failed_at };
        match self.slots.get_mut(number) {
            Some(place) => *place = slot,
            None => self.slots.push(slot),
        }
    }

    fn wake(&self, number: usize) {
        if let Some(slot) = self.slots.get(number)
            && slot.wake.try_send(Wake).is_err()
        {
            tracing::debug!(slot = number, kind = %self.entry.kind, "a slot that was to be woken is gone");
        }
    }

    pub(super) fn slot_mut(&mut self, number: usize) -> Option<&mut Slot> {
        self.slots.get_mut(number)
    }

    /// How many jobs the pool can take: a job for each idle slot, and as many more as it has lately
    /// finished in a second, up to `prefetch`: slow slots would only hold them up.
    pub(super) fn room(&mut self) -> usize {
        let cfg = self.plan.config.get().pools.of(self.entry.kind.0);
        if cfg.paused {
            return 0;
        }
        self.measure_pace();
        let state = self.plan.shared.state();
        let idle = state.idle.len();
        let pace = usize::try_from(self.finished_lately).unwrap_or(usize::MAX);
        (idle + cfg.prefetch.min(pace)).saturating_sub(state.queue.len())
    }

    fn measure_pace(&mut self) {
        let (before, since) = self.finished_before;
        let finished = self.plan.shared.post.finished.load(Ordering::Relaxed);
        let so_far = finished.saturating_sub(before);
        if since.elapsed() >= PACE_WINDOW {
            self.finished_before = (finished, Instant::now());
            self.finished_lately = so_far;
        } else {
            self.finished_lately = self.finished_lately.max(so_far);
        }
    }

    /// Takes jobs in, in turn, and wakes slots for them. Gives back what it may not take.
    pub(super) fn give(&mut self, jobs: Vec<Held>) {
        let mut woken = Vec::new();
        {
            let mut state = self.plan.shared.state();
            state.queue.extend(jobs);
            state.queue.make_contiguous().sort_by(|a, b| {
                let key = |it: &Held| (it.claim.turn, it.claim.line);
                (key(a), &a.claim.job.client_id).cmp(&(key(b), &b.claim.job.client_id))
            });
            let count = state.queue.len().min(state.idle.len());
            woken.extend(state.idle.drain(..count));
            self.plan.shared.post.queued.store(state.queue.len(), Ordering::Relaxed);
        }
        for number in woken {
            self.wake(number);
        }
    }

    /// Takes back jobs that have waited for a slot longer than `limit`.
    pub(super) fn take_back(&self, limit: Duration) -> Vec<Held> {
        let mut state = self.plan.shared.state();
        let (back, kept) =
            state.queue.drain(..).partition::<VecDeque<_>, _>(|it| it.since.elapsed() > limit);
        state.queue = kept;
        self.plan.shared.post.queued.store(state.queue.len(), Ordering::Relaxed);
        back.into()
    }

    /// Gives nothing out any more, and takes back what was not started.
    pub(super) fn close(&self) -> Vec<Held> {
        let mut state = self.plan.shared.state();
        state.is_closed = true;
        state.queue.drain(..).collect()
    }

    /// Takes what slots still have in hand away from them.
    pub(super) fn take_in_hand(&self) -> Vec<(usize, Held)> {
        let take = |(number, slot): (usize, &Slot)| {
            let held = slot.in_hand.lock().unwrap_or_else(PoisonError::into_inner).take()?;
            Some((number, held))
        };
        self.slots.iter().enumerate().filter_map(take).collect()
    }

    /// How many slots run a job.
    pub(super) fn busy(&self) -> usize {
        let is_busy =
            |it: &&Slot| it.in_hand.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        self.slots.iter().filter(is_busy).count()
    }

    pub(super) fn plan(&self) -> &SlotPlan {
        &self.plan
    }

    /// Notes that slot `number` waits for its restart.
    pub(super) fn backing_off(&self, number: usize) {
        let post = self.plan.board.post(
            &self.plan.slot_name(number),
            ActorType::Handler,
            slot::PARENT,
            wall_clock(),
        );
        post.set(crate::telemetry::board::ActorState::BackingOff, wall_clock());
    }
}
