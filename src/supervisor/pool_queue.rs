//! The jobs of one kind that wait in this process for a slot, and the slots that wait for a job.

use crate::{recorder::InFlightGuard, store::Claim};
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
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

/// Shared by the slots of a pool and the supervisor. Starts empty and open.
#[derive(Debug, Default)]
pub(super) struct PoolQueue(Mutex<QueueState>);

#[derive(Debug, Default)]
struct QueueState {
    /// Claimed and not started, in the order of turns.
    jobs: VecDeque<ClaimedJob>,
    /// The numbers of the slots that wait for a job.
    idle: Vec<usize>,
    /// No slot gets a job any more.
    is_closed: bool,
}

impl PoolQueue {
    /// The next job for a slot. `None`: there is none; the slot is noted as idle and will be
    /// woken.
    pub(super) fn next(&self, slot: usize) -> Option<ClaimedJob> {
        let mut state = self.state();
        if state.is_closed {
            return None;
        }
        let next = state.jobs.pop_front();
        if next.is_none() && !state.idle.contains(&slot) {
            state.idle.push(slot);
        }
        next
    }

    /// Adds jobs, and sorts all by turn. Returns the slots to wake for them; they count as idle
    /// no longer.
    pub(super) fn add(&self, jobs: Vec<ClaimedJob>) -> Vec<usize> {
        let mut state = self.state();
        state.jobs.extend(jobs);
        state.jobs.make_contiguous().sort_by(|a, b| {
            let key = |job: &ClaimedJob| (job.claim.turn, job.claim.line);
            (key(a), &a.claim.job.client_id).cmp(&(key(b), &b.claim.job.client_id))
        });
        let count = state.jobs.len().min(state.idle.len());
        state.idle.drain(..count).collect()
    }

    /// Takes out the jobs that have waited for a slot longer than `limit`.
    pub(super) fn take_stale(&self, limit: Duration) -> Vec<ClaimedJob> {
        let mut state = self.state();
        let (stale, kept) =
            state.jobs.drain(..).partition::<VecDeque<_>, _>(|job| job.since.elapsed() > limit);
        state.jobs = kept;
        stale.into()
    }

    /// Gives out nothing any more, and takes out all jobs.
    pub(super) fn close(&self) -> Vec<ClaimedJob> {
        let mut state = self.state();
        state.is_closed = true;
        state.jobs.drain(..).collect()
    }

    /// The actor of this slot is new, or down: it does not wait for a job.
    pub(super) fn is_not_idle(&self, slot: usize) {
        self.state().idle.retain(|idle| *idle != slot);
    }

    /// Whether no job waits for a slot.
    pub(super) fn is_empty(&self) -> bool {
        self.state().jobs.is_empty()
    }

    /// How many jobs fit in: one for each idle slot and `prefetch` more.
    pub(super) fn room(&self, prefetch: usize) -> usize {
        let state = self.state();
        (state.idle.len() + prefetch).saturating_sub(state.jobs.len())
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
