//! The threads on which handlers of one kind run.
//!
//! A handler that never yields keeps its thread. The runtime of such a thread is replaced by a
//! fresh one, so the kind's other jobs have as many threads as before. A pool that is resized gets
//! a fresh runtime, too. Futures on the old runtime go on there, and the runtime ends with the
//! last of them.

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
    io, panic,
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
/// The stack of a thread, in bytes: the usual one of Rust's threads.
const STACK: usize = 2 * 1024 * 1024;

/// The threads of one kind.
#[derive(Debug)]
pub struct WorkRuntime {
    kind: JobKind,
    /// The runtime of the next futures; `None` once it is stopped.
    current: Mutex<Option<Arc<HandlerThreads>>>,
}

/// A runtime that ends when nothing holds it any more.
#[derive(Debug)]
struct HandlerThreads {
    /// How many threads it has.
    count: usize,
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
        let current = Mutex::new(Some(start_threads(thread_count(slots), STACK)?));
        Ok(Arc::new(Self { kind, current }))
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

    /// Gives the kind as many threads as these slots need. If the system gives none, the kind goes
    /// on with those that it has.
    pub(super) fn resize(&self, slots: usize) {
        self.replace(|now| (now.count != thread_count(slots)).then(|| thread_count(slots)), STACK);
    }

    /// Replaces the runtime, which has lost a thread, by a fresh one.
    pub(super) fn renew(&self) {
        self.replace(|now| Some(now.count), STACK);
    }

    /// Replaces the runtime by one with as many threads as `wanted` says; `None`: it stays. Does
    /// nothing once it is stopped. Does not wait for the futures on the old one.
    fn replace(&self, wanted: impl Fn(&HandlerThreads) -> Option<usize>, stack: usize) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(count) = current.as_deref().and_then(wanted) else { return };
        match start_threads(count, stack) {
            Ok(fresh) => *current = Some(fresh),
            Err(error) => {
                tracing::error!(%error, kind = %self.kind, count, "no fresh threads for the kind: it goes on with those that it has");
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

/// How many threads so many slots need.
fn thread_count(slots: usize) -> usize {
    slots.clamp(1, THREADS_MAX)
}

fn start_threads(count: usize, stack: usize) -> io::Result<Arc<HandlerThreads>> {
    let build = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(count)
            .thread_name("work")
            .thread_stack_size(stack)
            .enable_all()
            .build()
    };
    // Tokio panics if the system gives it no thread.
    let runtime = panic::catch_unwind(build)
        .unwrap_or_else(|_| Err(io::Error::other("the system gives no thread")))?;
    let handle = runtime.handle().clone();
    Ok(Arc::new(HandlerThreads { count, runtime: Mutex::new(Some(runtime)), handle }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::board::Board;
    use std::collections::HashSet;

    const KIND: JobKind = JobKind("WORKS");

    fn post() -> Arc<PoolPost> {
        Board::new().0.pool(KIND)
    }

    /// The threads on which many futures run.
    async fn threads_of(work: &WorkRuntime) -> usize {
        let threads = Arc::new(Mutex::new(HashSet::new()));
        let tasks: Vec<_> = (0..200)
            .map(|_| {
                let threads = threads.clone();
                let future = async move {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                    threads.lock().unwrap().insert(std::thread::current().id());
                };
                work.spawn(future, post()).unwrap().0
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let threads = threads.lock().unwrap();
        threads.len()
    }

    #[tokio::test]
    async fn threads_follow_the_size_and_futures_go_on_where_they_are() {
        let work = WorkRuntime::start(KIND, 1).unwrap();
        assert_eq!(threads_of(&work).await, 1);
        let (go, told) = tokio::sync::oneshot::channel::<()>();
        let (old, _) = work.spawn(async move { told.await.is_ok() }, post()).unwrap();
        for (slots, threads) in [(4, 4), (0, 1), (100, THREADS_MAX), (2, 2)] {
            work.resize(slots);
            let seen = threads_of(&work).await;
            assert!(seen <= threads && (seen > 1 || threads == 1), "{slots}: {seen}");
            let count = work.current.lock().unwrap().as_ref().unwrap().count;
            assert_eq!(count, threads, "{slots}");
        }
        go.send(()).unwrap();
        assert!(old.await.unwrap(), "it went on through all of this");
    }

    #[tokio::test]
    async fn a_runtime_of_the_same_size_stays_and_a_stopped_one_stays_stopped() {
        let work = WorkRuntime::start(KIND, 3).unwrap();
        let current = || work.current.lock().unwrap().clone();
        let before = current().unwrap();
        work.resize(3);
        assert!(Arc::ptr_eq(&before, &current().unwrap()));
        work.renew();
        assert!(!Arc::ptr_eq(&before, &current().unwrap()));
        work.stop();
        work.resize(5);
        work.renew();
        assert!(current().is_none());
    }

    #[tokio::test]
    async fn without_a_thread_from_the_system_the_old_ones_go_on() {
        let work = WorkRuntime::start(KIND, 2).unwrap();
        // No system gives a thread such a stack.
        work.replace(|_| Some(4), usize::MAX / 4);
        assert_eq!(work.current.lock().unwrap().as_ref().unwrap().count, 2);
        assert!(threads_of(&work).await <= 2);
    }
}
