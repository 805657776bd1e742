//! What outlives a supervisor, so that its replacement goes on where it stopped: the pools with the jobs in
//! them, the actors that it owns, the claim that is under way, and the news of who went down.
//!
//! A supervisor takes it when it starts and leaves it when it is dropped, also by unwinding.

use super::{actor::Supervisor, claiming::Arrival, pool::Pool, restarts::Supervised};
use crate::{recorder::InFlight, telemetry::board::Down};
use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, ready},
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinHandle,
    time::Instant,
};
use tokio_util::task::TaskTracker;

/// Today's supervisor, also after a restart.
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

/// What a supervisor leaves to the next.
#[derive(Debug)]
pub struct Handover {
    /// Who lives now.
    pub address: SupervisorAddress,
    /// The runs that are in memory.
    pub in_flight: InFlight,
    /// Room in the recorder.
    pub(super) room: Arc<Semaphore>,
    /// The one place for a job whose last attempt was rescued.
    pub(super) suspects: Arc<Semaphore>,
    /// The clock of restarts.
    pub(super) started: Instant,
    left: Mutex<HandedOver>,
    /// The claim under way: its answer is taken by whoever is the supervisor when it comes.
    flight: Mutex<Option<JoinHandle<Arrival>>>,
    /// Owns the claim under way.
    tasks: TaskTracker,
    downs: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Down>>>,
}

/// What a supervisor has in its own hands while it lives.
#[derive(Debug, Default)]
pub(super) struct HandedOver {
    pub(super) pools: Vec<Pool>,
    pub(super) supervised: Vec<Supervised>,
}

impl Handover {
    /// Of a process whose recorder may hold so many outcomes and claimed jobs, and that hears here of actors
    /// that went down.
    pub fn new(recorder_capacity: usize, downs: mpsc::UnboundedReceiver<Down>) -> Arc<Self> {
        Arc::new(Self {
            address: SupervisorAddress::default(),
            in_flight: InFlight::default(),
            room: Arc::new(Semaphore::new(recorder_capacity)),
            suspects: Arc::new(Semaphore::new(1)),
            started: Instant::now(),
            left: Mutex::default(),
            flight: Mutex::default(),
            tasks: TaskTracker::new(),
            downs: Arc::new(tokio::sync::Mutex::new(downs)),
        })
    }

    /// Takes what the last supervisor left.
    pub(super) fn take(&self) -> HandedOver {
        std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Leaves everything to the next one. Must not panic: it runs while unwinding.
    pub(super) fn leave(&self, left: HandedOver) {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = left;
    }

    /// Starts a claim. Must be called on an arbiter.
    pub(super) fn take_off(&self, claim: impl Future<Output = Arrival> + Send + 'static) {
        let task = self.tasks.spawn(claim);
        *self.flight() = Some(task);
    }

    /// Whether a claim is under way.
    pub(super) fn is_flying(&self) -> bool {
        self.flight().is_some()
    }

    /// The answer of the claim under way; `None` where there is none, or where it was lost.
    pub(super) fn landing(self: &Arc<Self>) -> impl Future<Output = Option<Arrival>> + use<> {
        let handover = self.clone();
        poll_fn(move |cx| {
            let mut flight = handover.flight();
            let Some(task) = flight.as_mut() else { return Poll::Ready(None) };
            let arrival = ready!(Pin::new(task).poll(cx));
            *flight = None;
            Poll::Ready(match arrival {
                Ok(arrival) => Some(arrival),
                Err(error) => {
                    tracing::error!(%error, "a claim was lost: its jobs are found as held by nobody");
                    None
                }
            })
        })
    }

    /// The next news of an actor that went down.
    pub(super) fn next_down(self: &Arc<Self>) -> impl Future<Output = Option<Down>> + use<> {
        let downs = self.downs.clone();
        async move { downs.lock().await.recv().await }
    }

    fn flight(&self) -> MutexGuard<'_, Option<JoinHandle<Arrival>>> {
        self.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
