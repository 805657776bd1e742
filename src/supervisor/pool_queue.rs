//! The jobs of one kind that wait in this process for a slot, and the slots that wait for a job.

use super::slot_states::{NextStep, SlotStates};
use crate::{recorder::InFlightGuard, store::Claim, telemetry::pool_post::PoolPost};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// A claimed job in memory.
#[derive(Debug)]
pub(super) struct ClaimedJob {
    pub(super) claim: Claim,
    /// Lists the run as in flight and keeps its permit of the recorder.
    pub(super) guard: InFlightGuard,
    /// When it began to wait for a slot; once it runs, when the run began.
    pub(super) since: Instant,
    /// True for a suspect: this node runs no other one meanwhile.
    pub(super) is_suspect: bool,
}

/// Shared by the slots of a pool and the supervisor. Starts empty, open, and without slots.
#[derive(Debug)]
pub(super) struct PoolQueue {
    state: Mutex<QueueState>,
    /// Where it posts how many jobs wait.
    post: Arc<PoolPost>,
}

#[derive(Debug, Default)]
struct QueueState {
    /// Claimed and not started, in the order of turns.
    jobs: VecDeque<ClaimedJob>,
    slots: SlotStates,
}

/// What follows from a change of the queue.
#[derive(Debug, Default)]
pub(super) struct QueueChange {
    /// The slots to wake; they count as idle no longer.
    pub(super) wake: Vec<usize>,
    /// The jobs that go back, because the pool is paused.
    pub(super) back: Vec<ClaimedJob>,
}

impl PoolQueue {
    pub(super) fn new(post: Arc<PoolPost>) -> Self {
        Self { state: Mutex::default(), post }
    }

    /// From now on so many slots are wanted, and none of them gets a job if `is_paused`.
    pub(super) fn fit(&self, size: usize, is_paused: bool) -> QueueChange {
        self.change(|state| state.slots.fit(size, is_paused, state.jobs.len()))
    }

    /// The next step of a slot that has no job, or no job any more. If it has to wait, it is noted
    /// as idle and will be woken.
    pub(super) fn next(&self, slot: usize) -> NextStep<ClaimedJob> {
        let mut state = self.state();
        let QueueState { jobs, slots } = &mut *state;
        let next = slots.next(slot, jobs);
        self.post.jobs_wait(jobs.len());
        next
    }

    /// Adds jobs, and sorts all by turn.
    pub(super) fn add(&self, added: Vec<ClaimedJob>) -> QueueChange {
        self.change(|QueueState { jobs, slots }| {
            jobs.extend(added);
            jobs.make_contiguous().sort_by(|a, b| {
                let key = |job: &ClaimedJob| (job.claim.turn, job.claim.line);
                (key(a), &a.claim.job.client_id).cmp(&(key(b), &b.claim.job.client_id))
            });
            slots.wake(jobs.len())
        })
    }

    /// The slots to wake for the jobs that wait; they count as idle no longer.
    pub(super) fn wake(&self) -> Vec<usize> {
        let mut state = self.state();
        let waiting = state.jobs.len();
        state.slots.wake(waiting)
    }

    /// Takes out the jobs that have waited for a slot longer than `limit`.
    pub(super) fn take_stale(&self, limit: Duration) -> Vec<ClaimedJob> {
        let mut state = self.state();
        let (stale, kept) =
            state.jobs.drain(..).partition::<VecDeque<_>, _>(|job| job.since.elapsed() > limit);
        state.jobs = kept;
        self.post.jobs_wait(state.jobs.len());
        stale.into()
    }

    /// Gives out nothing any more, and takes out all jobs.
    pub(super) fn close(&self) -> Vec<ClaimedJob> {
        let mut state = self.state();
        state.slots.close();
        self.post.jobs_wait(0);
        state.jobs.drain(..).collect()
    }

    /// The actor of this slot is new, down or gone: it has no job and does not wait for one.
    pub(super) fn forget(&self, slot: usize) {
        self.state().slots.forget(slot);
    }

    /// Whether this slot was told to leave.
    pub(super) fn has_left(&self, slot: usize) -> bool {
        self.state().slots.has_left(slot)
    }

    /// Whether no job waits for a slot.
    pub(super) fn is_empty(&self) -> bool {
        self.state().jobs.is_empty()
    }

    /// How many jobs fit in: one for each slot that can start one soon, and `prefetch` more; none
    /// while it is paused.
    pub(super) fn room(&self, prefetch: usize) -> usize {
        let state = self.state();
        state.slots.room(prefetch, state.jobs.len())
    }

    /// Changes the state. `change` returns the slots to wake. The jobs of a paused pool are taken
    /// out.
    fn change(&self, change: impl FnOnce(&mut QueueState) -> Vec<usize>) -> QueueChange {
        let mut state = self.state();
        let wake = change(&mut state);
        let back = match state.slots.is_paused() {
            true => state.jobs.drain(..).collect(),
            false => Vec::new(),
        };
        self.post.jobs_wait(state.jobs.len());
        QueueChange { wake, back }
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
