//! A pool's place on the board.
//!
//! The pool posts how it is configured and which of its slots wait; slots post when they are busy,
//! and threads when they are lost. All of it is atomic, so posting blocks nobody.

use crate::{
    config::PoolConfig,
    domain::{JobKind, Timestamp},
};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

/// One pool's place on the board. The pool, its slots and their threads post here; readers take a
/// [`PoolView`].
#[derive(Debug)]
pub struct PoolPost {
    kind: JobKind,
    size: AtomicUsize,
    busy: AtomicUsize,
    backing_off: AtomicUsize,
    /// In Unix milliseconds; 0 if no slot waits for its restart.
    resumes_at_ms: AtomicI64,
    lost_threads: AtomicUsize,
    paused: AtomicBool,
    restarts: AtomicU64,
    finished: AtomicU64,
    max_attempts: AtomicU64,
    timeout_ms: AtomicU64,
}

/// A pool as readers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolView {
    /// The kind of jobs that the pool works on.
    pub kind: JobKind,
    /// How many slots it has.
    pub size: usize,
    /// How many of them run a job.
    pub busy: usize,
    /// How many of them wait for their restart.
    pub backing_off: usize,
    /// When the first of those is started again; the epoch if none waits.
    pub resumes_at: Timestamp,
    /// How many threads its handlers hold without giving them back.
    pub lost_threads: usize,
    /// True if an operator paused it.
    pub paused: bool,
    /// How often a slot was started again.
    pub restarts: u64,
    /// How many attempts have ended here.
    pub finished: u64,
    /// How many attempts a job may have.
    pub max_attempts: u64,
    /// The time-out of an attempt, in milliseconds.
    pub timeout_ms: u64,
}

impl PoolView {
    /// Whether all slots wait for their restart, so that no job of the kind runs here.
    pub const fn is_backing_off(&self) -> bool {
        self.backing_off > 0 && self.backing_off >= self.size
    }
}

impl PoolPost {
    /// The place of a pool that is not configured yet.
    pub(super) fn new(kind: JobKind) -> Self {
        Self {
            kind,
            size: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            backing_off: AtomicUsize::new(0),
            resumes_at_ms: AtomicI64::new(0),
            lost_threads: AtomicUsize::new(0),
            paused: AtomicBool::new(false),
            restarts: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            max_attempts: AtomicU64::new(0),
            timeout_ms: AtomicU64::new(0),
        }
    }

    /// Posts the configuration by which the pool was sized.
    pub fn configured(&self, config: &PoolConfig) {
        let timeout_ms = u64::try_from(config.timeout.as_millis()).unwrap_or(u64::MAX);
        self.size.store(config.size, Ordering::Relaxed);
        self.paused.store(config.paused, Ordering::Relaxed);
        self.max_attempts.store(u64::from(config.max_attempts), Ordering::Relaxed);
        self.timeout_ms.store(timeout_ms, Ordering::Relaxed);
    }

    /// Counts a slot as busy until the guard is dropped, which unwinding does too.
    pub fn slot_is_busy(&self) -> BusySlot<'_> {
        self.busy.fetch_add(1, Ordering::Relaxed);
        BusySlot(self)
    }

    /// Counts a slot that went down.
    pub fn slot_went_down(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// Posts how many slots wait for their restart, and when the first of them is started again.
    pub fn slots_wait(&self, count: usize, resumes_at: Option<Timestamp>) {
        self.backing_off.store(count, Ordering::Relaxed);
        let ms = resumes_at.map_or(0, Timestamp::as_millis);
        self.resumes_at_ms.store(ms, Ordering::Relaxed);
    }

    /// Counts a thread that a handler holds without giving it back.
    pub fn thread_is_lost(&self) {
        self.lost_threads.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes back one [`PoolPost::thread_is_lost`]: the handler has returned.
    pub fn thread_is_back(&self) {
        self.lost_threads.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many threads its handlers hold without giving them back.
    pub fn lost_threads(&self) -> usize {
        self.lost_threads.load(Ordering::Relaxed)
    }

    /// How many attempts have ended here. Every poll reads it, so it does not copy the rest.
    pub fn finished(&self) -> u64 {
        self.finished.load(Ordering::Relaxed)
    }

    /// A copy for readers.
    pub fn view(&self) -> PoolView {
        PoolView {
            kind: self.kind,
            size: self.size.load(Ordering::Relaxed),
            busy: self.busy.load(Ordering::Relaxed),
            backing_off: self.backing_off.load(Ordering::Relaxed),
            resumes_at: Timestamp::from_millis(self.resumes_at_ms.load(Ordering::Relaxed)),
            lost_threads: self.lost_threads(),
            paused: self.paused.load(Ordering::Relaxed),
            restarts: self.restarts.load(Ordering::Relaxed),
            finished: self.finished(),
            max_attempts: self.max_attempts.load(Ordering::Relaxed),
            timeout_ms: self.timeout_ms.load(Ordering::Relaxed),
        }
    }
}

/// Counts a slot as busy while it lives, and one more finished attempt when it is dropped.
#[derive(Debug)]
pub struct BusySlot<'a>(&'a PoolPost);

impl Drop for BusySlot<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
        self.0.finished.fetch_add(1, Ordering::Relaxed);
    }
}
