//! A pool's place on the board.
//!
//! The pool posts how it is configured, which of its slots wait or leave, and how many jobs wait
//! for a slot; slots post when they are busy, and threads when they are lost. All of it is atomic,
//! so posting blocks nobody.

use super::rates::Rate60;
use crate::{
    config::PoolConfig,
    domain::{JobKind, Timestamp},
};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use tokio::time::Instant;

/// One pool's place on the board. The pool, its slots and their threads post here; readers take a
/// [`PoolView`].
#[derive(Debug)]
pub struct PoolPost {
    kind: JobKind,
    size: AtomicUsize,
    leaving: AtomicUsize,
    busy: AtomicUsize,
    claimed: AtomicUsize,
    backing_off: AtomicUsize,
    /// In Unix milliseconds; 0 if no slot waits for its restart.
    resumes_at_ms: AtomicI64,
    lost_threads: AtomicUsize,
    paused: AtomicBool,
    restarts: AtomicU64,
    finished: AtomicU64,
    /// The attempts that ended lately, and the start of the clock by which they are counted.
    lately: Rate60,
    started: Instant,
    max_attempts: AtomicU64,
    timeout_ms: AtomicU64,
}

/// A pool as readers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolView {
    /// The kind of jobs that the pool works on.
    pub kind: JobKind,
    /// How many slots are wanted: those of the configuration, or of an operator's override.
    pub size: usize,
    /// How many slots beyond `size` are still there, because they run a job.
    pub leaving: usize,
    /// How many slots run a job, those that are leaving included.
    pub busy: usize,
    /// How many claimed jobs wait for a slot.
    pub claimed: usize,
    /// How many of the slots that are wanted wait for their restart.
    pub backing_off: usize,
    /// When the first of those is started again; the epoch if none waits.
    pub resumes_at: Timestamp,
    /// How many threads its handlers hold without giving them back.
    pub lost_threads: usize,
    /// True if it is paused, by the configuration or by an operator: no job of the kind starts.
    pub paused: bool,
    /// How often a slot was started again.
    pub restarts: u64,
    /// How many attempts have ended here.
    pub finished: u64,
    /// How many attempts end in a minute, by the last 60 s; in the first minute by the time since
    /// the start.
    pub per_minute: u64,
    /// How many attempts a job may have.
    pub max_attempts: u64,
    /// The time-out of an attempt, in milliseconds.
    pub timeout_ms: u64,
}

impl PoolView {
    /// Whether all slots wait for their restart, so that no job of the kind starts here.
    pub const fn is_backing_off(&self) -> bool {
        self.backing_off > 0 && self.backing_off >= self.size
    }

    /// `running`, `paused` or `backing_off`, as the API spells it.
    pub const fn state_word(&self) -> &'static str {
        if self.paused {
            "paused"
        } else if self.is_backing_off() {
            "backing_off"
        } else {
            "running"
        }
    }
}

impl PoolPost {
    /// The place of a pool that is not configured yet.
    pub(super) fn new(kind: JobKind) -> Self {
        Self {
            kind,
            size: AtomicUsize::new(0),
            leaving: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            claimed: AtomicUsize::new(0),
            backing_off: AtomicUsize::new(0),
            resumes_at_ms: AtomicI64::new(0),
            lost_threads: AtomicUsize::new(0),
            paused: AtomicBool::new(false),
            restarts: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            lately: Rate60::new(),
            started: Instant::now(),
            max_attempts: AtomicU64::new(0),
            timeout_ms: AtomicU64::new(0),
        }
    }

    /// Posts the configuration to which the pool was fitted. The slots that are leaving must be
    /// posted before.
    pub fn configured(&self, config: &PoolConfig) {
        let timeout_ms = u64::try_from(config.timeout.as_millis()).unwrap_or(u64::MAX);
        self.paused.store(config.paused, Ordering::Relaxed);
        self.max_attempts.store(u64::from(config.max_attempts), Ordering::Relaxed);
        self.timeout_ms.store(timeout_ms, Ordering::Relaxed);
        // Who reads this size finds all of the above, and the slots that are leaving.
        self.size.store(config.size, Ordering::Release);
    }

    /// Posts how many slots are leaving.
    pub fn slots_leave(&self, count: usize) {
        self.leaving.store(count, Ordering::Relaxed);
    }

    /// Posts how many claimed jobs wait for a slot.
    pub fn jobs_wait(&self, count: usize) {
        self.claimed.store(count, Ordering::Relaxed);
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
        let size = self.size.load(Ordering::Acquire);
        PoolView {
            kind: self.kind,
            size,
            leaving: self.leaving.load(Ordering::Relaxed),
            busy: self.busy.load(Ordering::Relaxed),
            claimed: self.claimed.load(Ordering::Relaxed),
            backing_off: self.backing_off.load(Ordering::Relaxed),
            resumes_at: Timestamp::from_millis(self.resumes_at_ms.load(Ordering::Relaxed)),
            lost_threads: self.lost_threads(),
            paused: self.paused.load(Ordering::Relaxed),
            restarts: self.restarts.load(Ordering::Relaxed),
            finished: self.finished(),
            per_minute: self.lately.per_minute(self.started.elapsed().as_secs()),
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
        self.0.lately.add(self.0.started.elapsed().as_secs(), 1);
    }
}
