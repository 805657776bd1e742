//! The threads on which handlers of one kind run.
//!
//! A handler that never yields keeps its thread. The runtime of such a thread is replaced by a
//! fresh one, so the kind's other jobs have as many threads as before. Futures on the old runtime
//! go on there, and the runtime ends with the last of them.

use crate::{
    config,
    domain::JobKind,
    telemetry::{
        board::{Board, Fatal},
        pool_post::PoolPost,
    },
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

/// The most threads of one runtime. A thread costs nothing while nothing runs on it.
const THREADS_MAX: usize = 16;

/// The threads of one kind.
#[derive(Debug)]
pub struct WorkRuntime {
    kind: JobKind,
    /// How many threads a runtime gets.
    threads: usize,
    /// The runtime of the next futures; `None` once it is stopped.
    current: Mutex<Option<Arc<HandlerThreads>>>,
}

/// A runtime that ends when nothing holds it any more.
#[derive(Debug)]
struct HandlerThreads {
    runtime: Mutex<Option<Runtime>>,
    handle: Handle,
}

impl HandlerThreads {
    /// Stops it without waiting. May be called on one of its own threads.
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

/// The future holds no thread.
const AWAY: u8 = 0;
/// A thread polls the future.
const POLLED: u8 = 1;
/// A thread polls the future, and counts as lost until it is given back.
const LOST: u8 = 2;

/// Says from outside whether a thread polls a future now.
#[derive(Debug)]
pub(super) struct PollGuard {
    /// [`AWAY`], [`POLLED`] or [`LOST`].
    state: AtomicU8,
    kind: JobKind,
    post: Arc<PoolPost>,
}

impl PollGuard {
    fn enter(&self) -> Polling<'_> {
        self.state.store(POLLED, Ordering::Release);
        Polling(self)
    }

    /// If a thread polls the future now, counts that thread as lost until it is given back.
    /// Returns whether one does.
    pub(super) fn lose(&self) -> bool {
        let lost =
            self.state.compare_exchange(POLLED, LOST, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if lost {
            self.post.thread_is_lost();
        }
        lost
    }
}

/// Marks the thread as polling the future until it is dropped, which unwinding does too.
struct Polling<'a>(&'a PollGuard);

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        if self.0.state.swap(AWAY, Ordering::AcqRel) == LOST {
            self.0.post.thread_is_back();
            tracing::info!(kind = %self.0.kind, "a thread that was lost is back");
        }
    }
}

impl WorkRuntime {
    /// Starts the threads of a kind: one for each of its slots, at least 1 and at most 16.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(kind: JobKind, slots: usize) -> io::Result<Arc<Self>> {
        let threads = slots.clamp(1, THREADS_MAX);
        let current = Mutex::new(Some(start_threads(threads)?));
        Ok(Arc::new(Self { kind, threads, current }))
    }

    /// Runs a handler's future. `None`: the daemon is going down.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
        post: Arc<PoolPost>,
    ) -> Option<(JoinHandle<T>, Arc<PollGuard>)> {
        let threads = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let handle = threads.handle.clone();
        let guard = Arc::new(PollGuard { state: AtomicU8::new(AWAY), kind: self.kind, post });
        let of_future = guard.clone();
        let task = handle.spawn(async move {
            // The runtime lives as long as this future.
            let _threads = threads;
            let mut future = pin!(future);
            poll_fn(|cx| {
                let _polling = of_future.enter();
                future.as_mut().poll(cx)
            })
            .await
        });
        Some((task, guard))
    }

    /// Replaces the runtime, which has lost a thread, by a fresh one.
    pub(super) fn renew(&self) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.is_none() {
            return;
        }
        match start_threads(self.threads) {
            Ok(fresh) => *current = Some(fresh),
            Err(error) => {
                tracing::error!(%error, kind = %self.kind, "no fresh threads for the kind: it goes on with fewer");
            }
        }
    }

    /// Ends the threads, without waiting: a handler that blocks must not keep the daemon from
    /// ending.
    pub fn stop(&self) {
        if let Some(threads) = self.current.lock().unwrap_or_else(PoisonError::into_inner).take() {
            threads.stop();
        }
    }
}

/// Ends the process if it has lost too many threads, so that its service manager starts it again.
pub(super) fn give_up_if_too_many_are_lost(board: &Board, config: &config::Live) {
    let (lost, most) = (board.lost_threads(), config.get().restart.max_lost_threads);
    if lost >= most {
        tracing::error!(lost, "handlers hold too many threads that never yield: the process ends");
        board.give_up(Fatal::LostThreads);
    }
}

fn start_threads(threads: usize) -> io::Result<Arc<HandlerThreads>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("work")
        .enable_all()
        .build()?;
    let handle = runtime.handle().clone();
    Ok(Arc::new(HandlerThreads { runtime: Mutex::new(Some(runtime)), handle }))
}
