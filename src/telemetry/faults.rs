//! Where tests make actors and processes die.
//!
//! A point is a line in an actor or in a transaction that does nothing, until a test arms it by name. It is
//! there only where debug assertions are on (docs/decisions/0008): in a release build a point is an empty
//! function, and nothing can be armed. For a daemon that is a process of its own, `POSTROOM_FAULTS` arms
//! points when it starts: `supervisor.started=100` makes the next hundred that come there panic,
//! `store.ingest.before_commit=kill@7` ends the process at once when somebody comes there for the seventh time, and
//! whoever comes to `janitor.handle=block` first keeps its thread for good.
//!
//! Limits that only show after minutes are shorter where a test wants it: `limit.statement=300ms`.

#[cfg(debug_assertions)]
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;
#[cfg(debug_assertions)]
use tokio::time::Instant;

/// The points of one daemon. Each daemon has its own, so that tests in one process do not meet.
#[derive(Debug)]
pub struct Faults {
    #[cfg(debug_assertions)]
    armed: dashmap::DashMap<String, Armed>,
    #[cfg(debug_assertions)]
    limits: dashmap::DashMap<String, Duration>,
}

/// What happens at a point.
#[cfg(debug_assertions)]
#[derive(Debug, Default)]
struct Armed {
    panics_left: u32,
    /// The process dies when somebody has come so often; 0 is never.
    dies_in: u32,
    struck_at: Option<Instant>,
    /// Keeps its thread until the other end is dropped.
    blocks: Option<Mutex<mpsc::Receiver<()>>>,
}

#[cfg(debug_assertions)]
impl Faults {
    /// The points that `POSTROOM_FAULTS` names.
    pub fn from_env() -> Self {
        let it = Self { armed: dashmap::DashMap::new(), limits: dashmap::DashMap::new() };
        let text = std::env::var("POSTROOM_FAULTS").unwrap_or_default();
        for (point, what) in text.split(',').filter_map(|it| it.split_once('=')) {
            let ms = what.strip_suffix("ms").and_then(|it| it.parse().ok());
            if let (Some(limit), Some(ms)) = (point.strip_prefix("limit."), ms) {
                it.limits.insert(limit.to_owned(), Duration::from_millis(ms));
                continue;
            }
            match what.strip_prefix("kill@") {
                Some(passages) => it.arm_kill(point, passages.parse().unwrap_or_default()),
                None if what == "block" => std::mem::forget(it.block(point)),
                None => it.arm(point, what.parse().unwrap_or_default()),
            }
        }
        it
    }

    /// The process dies when somebody comes to `point` for the `passages`th time from now on.
    fn arm_kill(&self, point: &str, passages: u32) {
        self.armed.entry(point.to_owned()).or_default().dies_in = passages;
    }

    /// The next `times` actors that come to `point` panic there.
    pub fn arm(&self, point: &str, times: u32) {
        self.armed.entry(point.to_owned()).or_default().panics_left = times;
    }

    /// The next actor that comes to `point` keeps its thread there, until what is returned is dropped.
    pub fn block(&self, point: &str) -> mpsc::Sender<()> {
        let (release, released) = mpsc::channel();
        self.armed.entry(point.to_owned()).or_default().blocks = Some(Mutex::new(released));
        release
    }

    /// How many are still to panic at `point`.
    pub fn left(&self, point: &str) -> u32 {
        self.armed.get(point).map_or(0, |it| it.panics_left)
    }

    /// The limit of that name: `usual`, or what a test has set instead.
    pub fn limit(&self, name: &'static str, usual: Duration) -> Duration {
        self.limits.get(name).map_or(usual, |it| *it)
    }

    /// When one last panicked at `point`.
    pub fn struck_at(&self, point: &str) -> Option<Instant> {
        self.armed.get(point).and_then(|it| it.struck_at)
    }

    /// A point of a transaction of the store: what it is for, and how far it is.
    pub fn stage(&self, transaction: &'static str, stage: &'static str) {
        if !self.armed.is_empty() {
            self.point(&format!("store.{transaction}.{stage}"));
        }
    }

    /// Panics, blocks or ends the process where a test wants it.
    ///
    /// # Panics
    /// Where a test wants it.
    pub fn point(&self, point: &str) {
        let (is_struck, blocks) = match self.armed.get_mut(point) {
            Some(mut it) if it.dies_in > 0 => {
                it.dies_in -= 1;
                if it.dies_in == 0 {
                    // Nothing is unwound, flushed or closed.
                    std::process::abort();
                }
                (false, None)
            }
            Some(mut it) if it.panics_left > 0 => {
                it.panics_left -= 1;
                it.struck_at = Some(Instant::now());
                (true, None)
            }
            Some(mut it) => (false, it.blocks.take()),
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
    /// No points.
    pub fn from_env() -> Self {
        Self {}
    }

    /// The usual one.
    #[inline(always)]
    pub fn limit(&self, _: &'static str, usual: Duration) -> Duration {
        usual
    }

    /// Nothing.
    #[inline(always)]
    pub fn point(&self, _: &'static str) {}

    /// Nothing.
    #[inline(always)]
    pub fn stage(&self, _: &'static str, _: &'static str) {}
}
