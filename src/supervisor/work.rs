//! The threads on which handlers of one kind run.
//!
//! A handler that never yields keeps its thread. The crew of such a thread is replaced by a fresh one, so
//! that the kind's other jobs have as many threads as before; what runs on the old one goes on there, and
//! the crew goes when the last of it has ended.

use crate::{
    config,
    domain::JobKind,
    telemetry::board::{Board, Fatal, PoolPost},
};
use std::{
    future::poll_fn,
    io,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};
use tokio::{
    runtime::{Handle, Runtime},
    task::JoinHandle,
};

/// Threads of a crew at the most. They cost nothing while nothing runs on them.
const THREADS_MAX: usize = 16;

/// The threads of one kind.
#[derive(Debug)]
pub struct Work {
    kind: JobKind,
    threads: usize,
    /// `None` once it is stopped.
    crew: Mutex<Option<Arc<Crew>>>,
}

/// A runtime that ends when nothing holds it any more.
#[derive(Debug)]
struct Crew {
    runtime: Mutex<Option<Runtime>>,
    handle: Handle,
}

impl Crew {
    /// Does not wait, and may run on one of its own threads.
    fn stop(&self) {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runtime) = runtime {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Where a future is with its thread. A thread is counted as lost only while the future is in its hands.
const AWAY: u8 = 0;
const INSIDE: u8 = 1;
const LOST: u8 = 2;

/// A future's hold on its thread, as seen from outside.
#[derive(Debug)]
pub(super) struct Grip {
    state: AtomicU8,
    post: Arc<PoolPost>,
}

impl Grip {
    fn enter(&self) -> Inside<'_> {
        self.state.store(INSIDE, Ordering::Release);
        Inside(self)
    }

    /// Counts the thread as lost if the future holds one now, until it gives it back.
    pub(super) fn lose(&self) -> bool {
        let lost =
            self.state.compare_exchange(INSIDE, LOST, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if lost {
            self.post.lost_threads.fetch_add(1, Ordering::Relaxed);
        }
        lost
    }
}

/// Says that the future has its thread; dropped, also by unwinding, that it has given it back.
struct Inside<'a>(&'a Grip);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if self.0.state.swap(AWAY, Ordering::AcqRel) == LOST {
            self.0.post.lost_threads.fetch_sub(1, Ordering::Relaxed);
            tracing::info!(kind = %self.0.post.kind, "a thread that was lost is back");
        }
    }
}

impl Work {
    /// Starts the threads of a kind: one for each of its slots, within bounds.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn start(kind: JobKind, slots: usize) -> io::Result<Arc<Self>> {
        let threads = slots.clamp(1, THREADS_MAX);
        let crew = Mutex::new(Some(start_crew(threads)?));
        Ok(Arc::new(Self { kind, threads, crew }))
    }

    /// Runs a handler's future. `None`: the daemon is going down.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
        post: Arc<PoolPost>,
    ) -> Option<(JoinHandle<T>, Arc<Grip>)> {
        let crew = self.crew.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let handle = crew.handle.clone();
        let grip = Arc::new(Grip { state: AtomicU8::new(AWAY), post });
        let of_future = grip.clone();
        let task = handle.spawn(async move {
            // Its crew lives as long as this does.
            let _crew = crew;
            let mut future = pin!(future);
            poll_fn(|cx| {
                let _inside = of_future.enter();
                future.as_mut().poll(cx)
            })
            .await
        });
        Some((task, grip))
    }

    /// Puts a fresh crew in the place of one that has lost a thread.
    pub(super) fn renew(&self) {
        let mut crew = self.crew.lock().unwrap_or_else(PoisonError::into_inner);
        if crew.is_none() {
            return;
        }
        match start_crew(self.threads) {
            Ok(fresh) => *crew = Some(fresh),
            Err(error) => {
                tracing::error!(%error, kind = %self.kind, "no fresh threads for the kind: it goes on with fewer");
            }
        }
    }

    /// Ends the threads, without waiting: a handler that blocks must not keep the daemon from ending.
    pub fn stop(&self) {
        if let Some(crew) = self.crew.lock().unwrap_or_else(PoisonError::into_inner).take() {
            crew.stop();
        }
    }
}

/// A process that has lost too many threads is ended, for its service manager to start it anew.
pub(super) fn give_up_if_too_many_are_lost(board: &Board, config: &config::Live) {
    let (lost, most) = (board.lost_threads(), config.get().restart.max_lost_threads);
    if lost >= most {
        tracing::error!(lost, "handlers hold too many threads that never yield: the process ends");
        board.give_up(Fatal::LostThreads);
    }
}

fn start_crew(threads: usize) -> io::Result<Arc<Crew>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("work")
        .enable_all()
        .build()?;
    let handle = runtime.handle().clone();
    Ok(Arc::new(Crew { runtime: Mutex::new(Some(runtime)), handle }))
}
