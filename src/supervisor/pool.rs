//! A pool: the slots of one job kind, and the claimed jobs that wait for them in turn.

use super::{
    slot::{self, HandlerActor, Wake},
    work::Work,
};
use crate::{
    config,
    domain::{
        JobKind,
        intensity::{Intensity, Limit, Streak},
    },
    handlers::{Deps, JobHandler},
    recorder::{InFlightGuard, Uncommitted},
    store::{Claim, Queue, wall_clock},
    telemetry::{
        board::{ActorState, ActorType, Board, PoolPost},
        metrics::KindMetrics,
    },
};
use actix::{Actor, ArbiterHandle, Recipient};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// A claimed job in memory, with the hold on it.
#[derive(Debug)]
pub(super) struct ClaimedJob {
    pub(super) claim: Claim,
    pub(super) hold: InFlightGuard,
    /// Since when it waits for a slot, and then since when it runs.
    pub(super) since: Instant,
    /// Its last attempt was rescued: this node runs no other such job meanwhile.
    pub(super) is_suspect: bool,
}

/// What slots and supervisor share of a pool.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) post: Arc<PoolPost>,
    started: Instant,
    /// When a job of the kind last succeeded, in milliseconds after `started`, and one; 0 is never.
    succeeded_at_ms: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// Claimed and not started, in the order of turns.
    queue: VecDeque<ClaimedJob>,
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
        let (state, started) = (Mutex::default(), Instant::now());
        Self { state, post, started, succeeded_at_ms: AtomicU64::new(0) }
    }

    /// A job of the kind has succeeded.
    pub(super) fn succeeded(&self) {
        let ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.succeeded_at_ms.store(ms + 1, Ordering::Relaxed);
    }

    /// When that was last, on the pool's clock.
    fn last_success(&self) -> Option<Duration> {
        let at = self.succeeded_at_ms.load(Ordering::Relaxed);
        at.checked_sub(1).map(Duration::from_millis)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job for slot `number`. `None`: the slot is noted as idle and will be woken.
    pub(super) fn next(&self, number: usize) -> Option<ClaimedJob> {
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
#[derive(Debug, Default)]
pub(super) struct Hand {
    job: Mutex<Option<(ClaimedJob, Instant)>>,
    /// The slot fell silent and was replaced: if it ever goes on, it is to leave.
    is_abandoned: AtomicBool,
}

/// Shared by a slot and its pool.
pub(super) type InHand = Arc<Hand>;

impl Hand {
    /// Takes a job, which runs from now on. After `limit` the slot counts as silent.
    pub(super) fn put(&self, held: ClaimedJob, limit: Duration) {
        let since = Instant::now();
        *self.job() = Some((ClaimedJob { since, ..held }, since + limit));
    }

    /// Takes the job away. None: the supervisor has taken it.
    pub(super) fn take(&self) -> Option<ClaimedJob> {
        self.job().take().map(|it| it.0)
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.is_abandoned.load(Ordering::Acquire)
    }

    fn job(&self) -> MutexGuard<'_, Option<(ClaimedJob, Instant)>> {
        self.job.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A slot, as the supervisor sees it.
#[derive(Debug)]
pub(super) struct Slot {
    wake: Recipient<Wake>,
    in_hand: InHand,
    /// On which arbiter it lives.
    arbiter: usize,
    streak: Streak,
    /// When it is started again, where it waits for that.
    pub(super) restart_at: Option<Instant>,
}

impl Slot {
    /// Whether its actor is there.
    pub(super) fn is_alive(&self) -> bool {
        self.wake.connected()
    }

    /// Whether it should have been done with its job long ago.
    pub(super) fn is_silent(&self) -> bool {
        self.in_hand.job().as_ref().is_some_and(|it| it.1 < Instant::now())
    }
}

/// What slots are made of; kept by their pool, which makes replacements from it.
#[derive(Clone)]
pub struct SlotPlan {
    /// The kind.
    pub kind: JobKind,
    /// What handlers are given.
    pub deps: Deps,
    /// The threads on which handlers' futures run.
    pub work: Arc<Work>,
    /// Where it is said that the jobs of a client are left to other nodes.
    pub queue: Queue,
    /// Where outcomes go.
    pub uncommitted: Uncommitted,
    /// Who is told that jobs are wanted.
    pub supervisor: super::handover::SupervisorAddress,
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
    intensity: Intensity,
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
            intensity: Intensity::default(),
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
            self.start(number, number, Streak::default());
        }
        self.post_waiting();
    }

    /// Starts slot `number` anew; on another arbiter where its own is blocked.
    pub(super) fn restart(&mut self, number: usize) {
        let Some(slot) = self.slots.get(number) else { return };
        let arbiter = slot.arbiter + usize::from(slot.in_hand.is_abandoned());
        let streak = slot.streak;
        self.start(number, arbiter, streak);
        self.post_waiting();
    }

    fn start(&mut self, number: usize, arbiter: usize, streak: Streak) {
        let in_hand = InHand::default();
        let place = arbiter % self.arbiters.len().max(1);
        let Some(handle) = self.arbiters.get(place) else { return };
        self.plan.shared.state().idle.retain(|it| *it != number);
        let wake = (self.entry.start)(handle, self.plan.clone(), number, in_hand.clone());
        let slot = Slot { wake, in_hand, arbiter: place, streak, restart_at: None };
        match self.slots.get_mut(number) {
            Some(place) => *place = slot,
            None => self.slots.push(slot),
        }
    }

    /// Slot `number` went down: how long it waits for its restart; `None` where it comes at once.
    pub(super) fn went_down(
        &mut self,
        number: usize,
        limit: &Limit,
        random: u64,
    ) -> Option<Duration> {
        let shared = self.plan.shared.clone();
        shared.post.restarts.fetch_add(1, Ordering::Relaxed);
        let (now, last_success) = (shared.started.elapsed(), shared.last_success());
        if !self.intensity.went_down(now, last_success, limit) {
            return None;
        }
        shared.state().idle.retain(|it| *it != number);
        let name = self.plan.slot_name(number);
        let slot = self.slots.get_mut(number)?;
        let pause = slot.streak.pause(now, last_success, limit, random);
        slot.restart_at = Some(Instant::now() + pause);
        tracing::warn!(actor = name, ?pause, "a slot goes down again and again: it waits");
        let now = wall_clock();
        let post = self.plan.board.post(&name, ActorType::Handler, slot::PARENT, now);
        post.set(ActorState::BackingOff, now);
        self.post_waiting();
        Some(pause)
    }

    /// Says on the board and in the log how many slots wait for their restart.
    fn post_waiting(&self) {
        let post = &self.plan.shared.post;
        let was_backing_off = post.is_backing_off();
        let waiting = self.slots.iter().filter_map(|it| it.restart_at);
        let first = waiting.clone().min().map_or(0, |it| {
            let ms = it.saturating_duration_since(Instant::now()).as_millis();
            wall_clock().as_millis().saturating_add(i64::try_from(ms).unwrap_or(i64::MAX))
        });
        post.backing_off.store(waiting.count(), Ordering::Relaxed);
        post.resumes_at_ms.store(first, Ordering::Relaxed);
        match (was_backing_off, post.is_backing_off()) {
            (false, true) => {
                tracing::error!(kind = %self.entry.kind, "all slots of the pool go down: it is paused for a while");
            }
            (true, false) => tracing::info!(kind = %self.entry.kind, "the pool goes on"),
            (false, false) | (true, true) => {}
        }
        self.plan.board.changed();
    }

    fn wake(&self, number: usize) {
        if let Some(slot) = self.slots.get(number)
            && slot.wake.try_send(Wake).is_err()
        {
            tracing::debug!(slot = number, kind = %self.entry.kind, "a slot that was to be woken is gone");
        }
    }

    pub(super) fn slot(&self, number: usize) -> Option<&Slot> {
        self.slots.get(number)
    }

    pub(super) fn slot_count(&self) -> usize {
        self.slots.len()
    }

    /// Takes away what slot `number` has in hand.
    pub(super) fn take_in_hand(&self, number: usize) -> Option<ClaimedJob> {
        self.slots.get(number)?.in_hand.take()
    }

    /// Slot `number` is silent: nothing that it may still do counts.
    pub(super) fn abandon(&self, number: usize) {
        if let Some(slot) = self.slots.get(number) {
            slot.in_hand.is_abandoned.store(true, Ordering::Release);
        }
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

    /// True where a claim would fill half of what the pool holds at the most.
    pub(super) fn is_half_free(&mut self) -> bool {
        let cfg = self.plan.config.get().pools.of(self.entry.kind.0);
        2 * self.room() >= cfg.size + cfg.prefetch
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
    pub(super) fn give(&mut self, jobs: Vec<ClaimedJob>) {
        let mut woken = Vec::new();
        {
            let mut state = self.plan.shared.state();
            state.queue.extend(jobs);
            state.queue.make_contiguous().sort_by(|a, b| {
                let key = |it: &ClaimedJob| (it.claim.turn, it.claim.line);
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
    pub(super) fn take_back(&self, limit: Duration) -> Vec<ClaimedJob> {
        let mut state = self.plan.shared.state();
        let (back, kept) =
            state.queue.drain(..).partition::<VecDeque<_>, _>(|it| it.since.elapsed() > limit);
        state.queue = kept;
        self.plan.shared.post.queued.store(state.queue.len(), Ordering::Relaxed);
        back.into()
    }

    /// Gives nothing out any more, and takes back what was not started.
    pub(super) fn close(&self) -> Vec<ClaimedJob> {
        let mut state = self.plan.shared.state();
        state.is_closed = true;
        state.queue.drain(..).collect()
    }

    /// Takes what slots still have in hand away from them.
    pub(super) fn take_all_in_hand(&self) -> Vec<(usize, ClaimedJob)> {
        let take = |(number, slot): (usize, &Slot)| Some((number, slot.in_hand.take()?));
        self.slots.iter().enumerate().filter_map(take).collect()
    }

    /// How many slots run a job.
    pub(super) fn busy(&self) -> usize {
        self.slots.iter().filter(|it| it.in_hand.job().is_some()).count()
    }

    pub(super) fn plan(&self) -> &SlotPlan {
        &self.plan
    }
}
