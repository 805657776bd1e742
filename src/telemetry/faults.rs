//! Fault injection: points at which tests make actors and processes fail.
//!
//! A point is a line in an actor or in a transaction that does nothing until a test arms it by
//! name. Points exist only with debug assertions (docs/decisions/0008): in a release build a point
//! is an empty function, and nothing can be armed.
//!
//! For a daemon in a process of its own, `POSTROOM_FAULTS` arms points at the start. With
//! `supervisor.started=100` the next hundred calls of that point panic. With
//! `store.ingest.before_commit=kill@7` the seventh call ends the process at once. With
//! `janitor.handle=block` the first call blocks its thread and never returns.
//!
//! A test can also shorten limits that would show only after minutes: `limit.statement=300ms`.

#[cfg(debug_assertions)]
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;
#[cfg(debug_assertions)]
use tokio::time::Instant;

/// The points of one daemon. Each daemon has its own, so that tests in one process do not disturb
/// each other.
#[derive(Debug)]
pub struct Faults {
    /// What happens at each armed point, by its name.
    #[cfg(debug_assertions)]
    armed: dashmap::DashMap<String, Armed>,
    /// Shortened limits, by name.
    #[cfg(debug_assertions)]
    limits: dashmap::DashMap<String, Duration>,
}

/// What happens at a point.
#[cfg(debug_assertions)]
#[derive(Debug, Default)]
struct Armed {
    /// How many of the next calls panic.
    panics_left: u32,
    /// Counts down to the call that kills the process; 0: none.
    dies_in: u32,
    /// When a call last panicked.
    struck_at: Option<Instant>,
    /// The next call blocks its thread until the other end is dropped.
    blocks: Option<Mutex<mpsc::Receiver<()>>>,
}

#[cfg(debug_assertions)]
impl Faults {
    /// The points that `POSTROOM_FAULTS` names.
    pub fn from_env() -> Self {
        let faults = Self { armed: dashmap::DashMap::new(), limits: dashmap::DashMap::new() };
        let text = std::env::var("POSTROOM_FAULTS").unwrap_or_default();
        for (point, what) in text.split(',').filter_map(|entry| entry.split_once('=')) {
            let ms = what.strip_suffix("ms").and_then(|number| number.parse().ok());
            if let (Some(limit), Some(ms)) = (point.strip_prefix("limit."), ms) {
                faults.limits.insert(limit.to_owned(), Duration::from_millis(ms));
                continue;
            }
            match what.strip_prefix("kill@") {
                Some(passages) => faults.arm_kill(point, passages.parse().unwrap_or_default()),
                None if what == "block" => std::mem::forget(faults.block(point)),
                None => faults.arm(point, what.parse().unwrap_or_default()),
            }
        }
        faults
    }

    /// The process ends at the `passages`th call of `point` from now on.
    fn arm_kill(&self, point: &str, passages: u32) {
        self.armed.entry(point.to_owned()).or_default().dies_in = passages;
    }

    /// The next `times` calls of `point` panic.
    pub fn arm(&self, point: &str, times: u32) {
        self.armed.entry(point.to_owned()).or_default().panics_left = times;
    }

    /// The next call of `point` blocks its thread, until the returned sender is dropped.
    pub fn block(&self, point: &str) -> mpsc::Sender<()> {
        let (release, released) = mpsc::channel();
        self.armed.entry(point.to_owned()).or_default().blocks = Some(Mutex::new(released));
        release
    }

    /// Whether a call of `point` was blocked since it was armed for that.
    pub fn has_blocked(&self, point: &str) -> bool {
        self.armed.get(point).is_some_and(|it| it.blocks.is_none())
    }

    /// How many calls of `point` are still to panic.
    pub fn left(&self, point: &str) -> u32 {
        self.armed.get(point).map_or(0, |it| it.panics_left)
    }

    /// The limit of that name: `usual`, unless a test has set another.
    pub fn limit(&self, name: &'static str, usual: Duration) -> Duration {
        self.limits.get(name).map_or(usual, |it| *it)
    }

    /// When a call of `point` last panicked.
    pub fn struck_at(&self, point: &str) -> Option<Instant> {
        self.armed.get(point).and_then(|it| it.struck_at)
    }

    /// The point of a transaction of the store at one of its stages, such as `before_commit`.
    pub fn stage(&self, transaction: &'static str, stage: &'static str) {
        if !self.armed.is_empty() {
            self.point(&format!("store.{transaction}.{stage}"));
        }
    }

    /// A point: panics, blocks or ends the process if a test has armed it.
    ///
    /// # Panics
    /// If a test has armed it to.
    pub fn point(&self, point: &str) {
        let (is_struck, blocks) = match self.armed.get_mut(point) {
            Some(mut armed) if armed.dies_in > 0 => {
                armed.dies_in -= 1;
                if armed.dies_in == 0 {
                    // As at a crash, nothing is unwound, flushed or closed.
                    std::process::abort();
                }
                (false, None)
            }
            Some(mut armed) if armed.panics_left > 0 => {
                armed.panics_left -= 1;
                armed.struck_at = Some(Instant::now());
                (true, None)
            }
            Some(mut armed) => (false, armed.blocks.take()),
            None => (false, None),
        };
        assert!(!is_struck, "struck at {point}");
        if let Some(released) = blocks {
            let released = released.into_inner().unwrap_or_else(PoisonError::into_inner);
            while released.recv().is_ok() {}
        }
    }
}

#[cfg(not(debug_assertions))]
impl Faults {
    /// A release build has no points.
    pub fn from_env() -> Self {
        Self {}
    }

    /// Returns the usual limit.
    #[inline(always)]
    pub fn limit(&self, _: &'static str, usual: Duration) -> Duration {
        usual
    }

    /// Does nothing in a release build.
    #[inline(always)]
    pub fn point(&self, _: &'static str) {}

    /// Does nothing in a release build.
    #[inline(always)]
    pub fn stage(&self, _: &'static str, _: &'static str) {}
}
