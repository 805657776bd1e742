//! The slots of a pool as the supervisor sees them: which are alive, what each works on, and when
//! one that went down is started again.

use super::{
    pool::{KindEntry, SlotSetup},
    pool_queue::ClaimedJob,
    slot::{PARENT, Wake},
};
use crate::{
    domain::intensity::{Intensity, Limit, Streak},
    store::wall_clock,
    telemetry::board::ActorType,
};
use actix::{ArbiterHandle, Recipient};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// The job that a slot works on. The slot and its pool share it, so that the supervisor finds the
/// job if the slot goes down.
#[derive(Debug, Default)]
pub(super) struct CurrentJob {
    job: Mutex<Option<Running>>,
    /// The slot fell silent and was replaced: if it ever goes on, it stops.
    is_abandoned: AtomicBool,
}

#[derive(Debug)]
struct Running {
    job: ClaimedJob,
    /// When the slot counts as silent.
    silent_at: Instant,
}

impl CurrentJob {
    /// The slot starts this job now. After `limit` it counts as silent.
    pub(super) fn put(&self, job: ClaimedJob, limit: Duration) {
        let since = Instant::now();
        *self.running() =
            Some(Running { job: ClaimedJob { since, ..job }, silent_at: since + limit });
    }

    /// Takes the job out, so that only one of slot and supervisor settles it. `None`: the other
    /// has taken it.
    pub(super) fn take(&self) -> Option<ClaimedJob> {
        self.running().take().map(|it| it.job)
    }

    /// Whether another slot has taken the place of this one.
    pub(super) fn is_abandoned(&self) -> bool {
        self.is_abandoned.load(Ordering::Acquire)
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.job.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a job of the kind last succeeded, on a clock that starts with the pool.
#[derive(Debug)]
pub(super) struct SuccessClock {
    started: Instant,
    /// In milliseconds after `started`, plus one; 0 if none has succeeded.
    succeeded_at_ms: AtomicU64,
}

impl SuccessClock {
    /// A clock that starts now.
    pub(super) fn start() -> Self {
        Self { started: Instant::now(), succeeded_at_ms: AtomicU64::new(0) }
    }

    /// A job has succeeded now.
    pub(super) fn succeeded(&self) {
        let ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.succeeded_at_ms.store(ms + 1, Ordering::Relaxed);
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn last_success(&self) -> Option<Duration> {
        let at = self.succeeded_at_ms.load(Ordering::Relaxed);
        at.checked_sub(1).map(Duration::from_millis)
    }
}

/// One slot of the pool.
#[derive(Debug)]
struct Slot {
    wake: Recipient<Wake>,
    current: Arc<CurrentJob>,
    /// The index of the arbiter on which its actor lives.
    arbiter: usize,
    streak: Streak,
    /// When its actor is started again; `None` unless it waits for that.
    restart_at: Option<Instant>,
}

/// The state of a slot, as a check finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlotHealth {
    /// It works, or waits for a job.
    Alive,
    /// Its actor is gone.
    Dead,
    /// Its actor is gone, because it was not wanted any more.
    Left,
    /// Its job should have ended long ago.
    Silent,
    /// It went down and waits for its restart.
    Waiting {
        /// The pause is over.
        is_over: bool,
    },
}

/// All slots of a pool.
#[derive(Debug)]
pub(super) struct Slots {
    entry: KindEntry,
    setup: SlotSetup,
    arbiters: Arc<[ArbiterHandle]>,
    /// By slot number. Those with the number `size` or a greater one are leaving: they get no job
    /// any more, and stay here until their actors are gone.
    slots: BTreeMap<usize, Slot>,
    /// How many slots are wanted.
    size: usize,
    /// How often slots of this pool went down lately.
    intensity: Intensity,
}

impl Slots {
    /// A pool's slots before any is started.
    pub(super) fn new(entry: KindEntry, setup: SlotSetup, arbiters: Arc<[ArbiterHandle]>) -> Self {
        let (slots, intensity) = (BTreeMap::new(), Intensity::default());
        Self { entry, setup, arbiters, slots, size: 0, intensity }
    }

    /// From now on so many slots are wanted. Starts those that are missing; one that is leaving is
    /// taken back. The others leave by themselves, once the queue has told them to.
    pub(super) fn resize(&mut self, size: usize) {
        self.size = size;
        // A slot that waits for its restart has no actor that could leave.
        let is_gone =
            |number: &usize, slot: &mut Slot| *number >= size && slot.restart_at.is_some();
        let gone: Vec<usize> =
            self.slots.extract_if(.., is_gone).map(|(number, _)| number).collect();
        gone.into_iter().for_each(|number| self.forget(number));
        for number in 0..size {
            if !self.slots.contains_key(&number) {
                self.start_slot(number, number, Streak::default());
            }
        }
        self.post();
    }

    /// The numbers of all slots, of those that are leaving, too.
    pub(super) fn numbers(&self) -> Vec<usize> {
        self.slots.keys().copied().collect()
    }

    /// How many slots are leaving.
    pub(super) fn leaving(&self) -> usize {
        self.slots.range(self.size..).count()
    }

    /// Whether slot `number` is not wanted any more.
    pub(super) const fn is_leaving(&self, number: usize) -> bool {
        number >= self.size
    }

    /// How many slots run a job.
    pub(super) fn busy(&self) -> usize {
        self.slots.values().filter(|slot| slot.current.running().is_some()).count()
    }

    /// Wakes these slots, because there are jobs for them.
    pub(super) fn wake(&self, numbers: &[usize]) {
        for number in numbers {
            if let Some(slot) = self.slots.get(number)
                && slot.wake.try_send(Wake).is_err()
            {
                tracing::debug!(slot = *number, kind = %self.setup.kind, "a slot that was to be woken is gone");
            }
        }
    }

    /// How slot `number` is now; `None` if there is no such slot.
    pub(super) fn health(&self, number: usize) -> Option<SlotHealth> {
        let (slot, now) = (self.slots.get(&number)?, Instant::now());
        if let Some(at) = slot.restart_at {
            return Some(SlotHealth::Waiting { is_over: at <= now });
        }
        let is_silent = slot.current.running().as_ref().is_some_and(|it| it.silent_at < now);
        Some(match slot.wake.connected() {
            _ if is_silent => SlotHealth::Silent,
            true => SlotHealth::Alive,
            false if self.setup.waiting.has_left(number) => SlotHealth::Left,
            false => SlotHealth::Dead,
        })
    }

    /// Takes away the job of slot `number`, if it has one.
    pub(super) fn take_current(&self, number: usize) -> Option<ClaimedJob> {
        self.slots.get(&number)?.current.take()
    }

    /// Takes away the jobs of all slots, each with the number of its slot.
    pub(super) fn take_all_current(&self) -> Vec<(usize, ClaimedJob)> {
        let take = |(number, slot): (&usize, &Slot)| Some((*number, slot.current.take()?));
        self.slots.iter().filter_map(take).collect()
    }

    /// Slot `number` is silent: nothing that it may still do counts.
    pub(super) fn abandon(&self, number: usize) {
        if let Some(slot) = self.slots.get(&number) {
            slot.current.is_abandoned.store(true, Ordering::Release);
        }
    }

    /// Starts slot `number` again, on the next arbiter if its own is blocked. If the slot is
    /// leaving, it has left by this.
    pub(super) fn restart(&mut self, number: usize) {
        if self.is_leaving(number) {
            self.slots.remove(&number);
            self.forget(number);
            self.post();
            return;
        }
        let Some(slot) = self.slots.get(&number) else { return };
        let arbiter = slot.arbiter + usize::from(slot.current.is_abandoned());
        let streak = slot.streak;
        self.start_slot(number, arbiter, streak);
        self.post();
    }

    /// Nothing is left of slot `number`: neither on the board nor in the queue.
    fn forget(&self, number: usize) {
        self.setup.waiting.forget(number);
        self.setup.board.remove(&self.setup.slot_name(number));
    }

    /// Slot `number` went down. Returns how long it waits for its restart; `None`: it is
    /// restarted at once.
    pub(super) fn went_down(
        &mut self,
        number: usize,
        limit: &Limit,
        random: u64,
    ) -> Option<Duration> {
        self.setup.post.slot_went_down();
        let (now, last_success) = (self.setup.successes.now(), self.setup.successes.last_success());
        if !self.intensity.went_down(now, last_success, limit) {
            return None;
        }
        self.setup.waiting.forget(number);
        let name = self.setup.slot_name(number);
        let slot = self.slots.get_mut(&number)?;
        let pause = slot.streak.pause(now, last_success, limit, random);
        slot.restart_at = Some(Instant::now() + pause);
        tracing::warn!(
            actor = name,
            ?pause,
            "a slot keeps going down: it waits before its restart"
        );
        let now = wall_clock();
        let post = self.setup.board.post(&name, ActorType::Handler, PARENT, now);
        post.backs_off(pause, now);
        self.post();
        Some(pause)
    }

    fn start_slot(&mut self, number: usize, arbiter: usize, streak: Streak) {
        let current = Arc::<CurrentJob>::default();
        let arbiter = arbiter % self.arbiters.len().max(1);
        let Some(handle) = self.arbiters.get(arbiter) else { return };
        self.setup.waiting.forget(number);
        let wake = self.entry.start(handle, self.setup.clone(), number, current.clone());
        self.setup.waiting.attach(number, wake.clone());
        let slot = Slot { wake, current, arbiter, streak, restart_at: None };
        self.slots.insert(number, slot);
    }

    /// Posts how many slots are leaving and how many of the others wait for their restart, and logs
    /// if that pauses or resumes the pool.
    fn post(&self) {
        let post = &self.setup.post;
        let was_backing_off = post.view().is_backing_off();
        let wanted = self.slots.range(..self.size);
        let waiting = wanted.filter_map(|(_, slot)| slot.restart_at);
        let first = waiting.clone().min().map(|at| {
            let ms = at.saturating_duration_since(Instant::now()).as_millis();
            wall_clock().plus_millis(i64::try_from(ms).unwrap_or(i64::MAX))
        });
        post.slots_leave(self.leaving());
        post.slots_wait(waiting.count(), first);
        match (was_backing_off, post.view().is_backing_off()) {
            (false, true) => {
                tracing::error!(kind = %self.setup.kind, "every slot of the pool waits for its restart: the pool is paused");
            }
            (true, false) => tracing::info!(kind = %self.setup.kind, "the pool goes on"),
            (false, false) | (true, true) => {}
        }
        self.setup.board.changed();
    }
}
