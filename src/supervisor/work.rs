//! The threads on which handlers of one kind run.
//!
//! A handler that never yields keeps its thread. The running of such a thread is replaced by a fresh one, so
//! that the kind's other jobs have as many threads as before; what runs on the old one goes on there, and
//! the running goes when the last of it has ended.

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

/// Threads of a running at the most. They cost nothing while nothing runs on them.
const THREADS_MAX: usize = 16;

/// The threads of one kind.
#[derive(Debug)]
pub struct Work {
    kind: JobKind,
    threads: usize,
    /// `None` once it is stopped.
    running: Mutex<Option<Arc<HandlerThreads>>>,
}

/// A runtime that ends when nothing holds it any more.
#[derive(Debug)]
struct HandlerThreads {
    runtime: Mutex<Option<Runtime>>,
    handle: Handle,
}

impl HandlerThreads {
    /// Does not wait, and may run on one of its own threads.
    fn stop(&self) {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runtime) = runtime {
            runtime.shutdown_background();
        }
    }
}

impl Drop for HandlerThreads {
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
pub(super) struct PollGuard {
    state: AtomicU8,
    post: Arc<PoolPost>,
}

impl PollGuard {
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
struct Inside<'a>(&'a PollGuard);

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
        let running = Mutex::new(Some(start_crew(threads)?));
        Ok(Arc::new(Self { kind, threads, running }))
    }

    /// Runs a handler's future. `None`: the daemon is going down.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
        post: Arc<PoolPost>,
    ) -> Option<(JoinHandle<T>, Arc<PollGuard>)> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let handle = running.handle.clone();
        let guard = Arc::new(PollGuard { state: AtomicU8::new(AWAY), post });
        let of_future = guard.clone();
        let task = handle.spawn(async move {
            // Its running lives as long as this does.
            let _crew = running;
            let mut future = pin!(future);
            poll_fn(|cx| {
                let _inside = of_future.enter();
                future.as_mut().poll(cx)
            })
            .await
        });
        Some((task, guard))
    }

    /// Puts a fresh running in the place of one that has lost a thread.
    pub(super) fn renew(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_none() {
            return;
        }
        match start_crew(self.threads) {
            Ok(fresh) => *running = Some(fresh),
            Err(error) => {
                tracing::error!(%error, kind = %self.kind, "no fresh threads for the kind: it goes on with fewer");
            }
        }
    }

    /// Ends the threads, without waiting: a handler that blocks must not keep the daemon from ending.
    pub fn stop(&self) {
        if let Some(running) = self.running.lock().unwrap_or_else(PoisonError::into_inner).take() {
            running.stop();
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

fn start_crew(threads: usize) -> io::Result<Arc<HandlerThreads>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("work")
        .enable_all()
        .build()?;
    let handle = runtime.handle().clone();
    Ok(Arc::new(HandlerThreads { runtime: Mutex::new(Some(runtime)), handle }))
}
