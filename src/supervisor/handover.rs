//! What outlives a supervisor, so that its replacement goes on where it stopped: the pools with
//! the jobs in them, the state of the actors that it owns, the claim that is under way, and the
//! reports of actors that went down.
//!
//! A supervisor takes it when it starts, and leaves it when it is dropped, which unwinding does
//! too.

use super::{actor::Supervisor, claiming::ClaimResult, pool::Pool, restarts::Supervised};
use crate::{
    domain::{Id, explain::RunStage},
    recorder::{InFlight, ResizableBound},
    telemetry::board::Down,
};
use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, ready},
};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};
use tokio_util::task::TaskTracker;

/// The supervisor that lives now. Clones share it, and a replacement sets it again.
#[derive(Clone, Debug, Default)]
pub struct SupervisorAddress(Arc<arc_swap::ArcSwapOption<actix::Addr<Supervisor>>>);

impl SupervisorAddress {
    pub(super) fn set(&self, address: actix::Addr<Supervisor>) {
        self.0.store(Some(Arc::new(address)));
    }

    /// The supervisor that lives now, if one does.
    pub fn get(&self) -> Option<actix::Addr<Supervisor>> {
        self.0.load().as_ref().filter(|it| it.connected()).map(|it| actix::Addr::clone(it))
    }
}

/// What this process has claimed, for readers. A clone reads the same.
#[derive(Clone, Debug)]
pub struct ClaimsHere {
    in_flight: InFlight,
    room: ResizableBound,
}

impl ClaimsHere {
    /// What this process does with that run; `None` if it does not have it in memory.
    pub fn stage(&self, job_id: Id, run: i64) -> Option<RunStage> {
        self.in_flight.stage(job_id, run)
    }

    /// True if the recorder has no room for another outcome: nothing is claimed then.
    pub fn is_recorder_full(&self) -> bool {
        // The first supervisor sets its capacity.
        self.room.capacity() > 0 && self.room.free() == 0
    }
}

/// What a supervisor leaves to the next.
#[derive(Debug)]
pub struct Handover {
    /// The supervisor that lives now.
    pub address: SupervisorAddress,
    /// The runs that this process has in memory.
    pub in_flight: InFlight,
    /// Room in the recorder: one permit for each outcome that it may still take.
    pub room: ResizableBound,
    /// One permit: this node runs at most one job whose last attempt was rescued.
    pub(super) suspects: ResizableBound,
    /// The start of the clock of restarts and polls.
    pub(super) started: Instant,
    /// Empty while a supervisor lives.
    left: Mutex<HandedOver>,
    /// The claim under way. The supervisor that lives when it is finished takes its result.
    claim: Mutex<Option<JoinHandle<ClaimResult>>>,
    /// Owns the task of the claim under way.
    tasks: TaskTracker,
    downs: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Down>>>,
}

/// The part that a supervisor takes while it lives.
#[derive(Debug, Default)]
pub(super) struct HandedOver {
    pub(super) pools: Vec<Pool>,
    /// By the index of the child in `SupervisorSetup::children`.
    pub(super) supervised: Vec<Supervised>,
}

impl Handover {
    /// Nothing is claimed until the first supervisor has fitted the recorder's room to its pools.
    /// `downs`: where the board reports actors that went down.
    pub fn new(downs: mpsc::UnboundedReceiver<Down>) -> Arc<Self> {
        Arc::new(Self {
            address: SupervisorAddress::default(),
            in_flight: InFlight::default(),
            room: ResizableBound::new(0),
            suspects: ResizableBound::new(1),
            started: Instant::now(),
            left: Mutex::default(),
            claim: Mutex::default(),
            tasks: TaskTracker::new(),
            downs: Arc::new(tokio::sync::Mutex::new(downs)),
        })
    }

    /// What this process has claimed.
    pub fn claims(&self) -> ClaimsHere {
        ClaimsHere { in_flight: self.in_flight.clone(), room: self.room.clone() }
    }

    /// Takes what the last supervisor left.
    pub(super) fn take(&self) -> HandedOver {
        std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Leaves everything to the next one. Must not panic: it runs while unwinding.
    pub(super) fn leave(&self, left: HandedOver) {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = left;
    }

    /// Starts a claim. Must be called on an arbiter, and only if no claim is under way.
    pub(super) fn start_claim(&self, claim: impl Future<Output = ClaimResult> + Send + 'static) {
        let task = self.tasks.spawn(claim);
        *self.claim() = Some(task);
    }

    /// Whether a claim is under way.
    pub(super) fn is_claim_under_way(&self) -> bool {
        self.claim().is_some()
    }

    /// Waits for the result of the claim under way; `None` if there is no claim, or it was lost.
    pub(super) fn claim_finished(
        self: &Arc<Self>,
    ) -> impl Future<Output = Option<ClaimResult>> + use<> {
        let handover = self.clone();
        poll_fn(move |cx| {
            let mut claim = handover.claim();
            let Some(task) = claim.as_mut() else { return Poll::Ready(None) };
            let result = ready!(Pin::new(task).poll(cx));
            *claim = None;
            Poll::Ready(match result {
                Ok(result) => Some(result),
                Err(error) => {
                    tracing::error!(%error, "a claim was lost: the janitor will find its jobs as lost runs");
                    None
                }
            })
        })
    }

    /// The next report of an actor that went down; `None` if the board is gone.
    pub(super) fn next_down(self: &Arc<Self>) -> impl Future<Output = Option<Down>> + use<> {
        let downs = self.downs.clone();
        async move { downs.lock().await.recv().await }
    }

    fn claim(&self) -> MutexGuard<'_, Option<JoinHandle<ClaimResult>>> {
        self.claim.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
