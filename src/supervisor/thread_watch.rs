//! Whether the threads on which actors live still turn.
//!
//! An actor that panics is replaced. One that keeps its thread cannot be: nothing in a process can take a thread
//! from whoever holds it, and all actors on that thread stand still with it. So each thread is asked for a sign of
//! life at every look of the guardian; what counts is how often it did not give one, and not for how long, so
//! that a process that was suspended, or a clock that jumps, is not taken for one that hangs.

use actix::ArbiterHandle;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// The threads that are watched.
#[derive(Debug)]
pub(super) struct ThreadWatch(Vec<Thread>);

#[derive(Debug)]
struct Thread {
    name: String,
    arbiter: ArbiterHandle,
    has_turned: Arc<AtomicBool>,
    missed: u32,
}

impl ThreadWatch {
    /// Watches these threads; the names are for the log.
    pub(super) fn of(threads: impl IntoIterator<Item = (String, ArbiterHandle)>) -> Self {
        let thread = |(name, arbiter)| {
            let has_turned = Arc::new(AtomicBool::new(true));
            Thread { name, arbiter, has_turned, missed: 0 }
        };
        Self(threads.into_iter().map(thread).collect())
    }

    /// Asks all of them, and names the first that has given no sign of life for so many looks.
    pub(super) fn look(&mut self, looks_max: u32) -> Option<&str> {
        for thread in &mut self.0 {
            if thread.has_turned.swap(false, Ordering::Relaxed) {
                thread.missed = 0;
                let has_turned = thread.has_turned.clone();
                // An arbiter that has ended turns no more either: it is found by what it misses.
                thread.arbiter.spawn_fn(move || has_turned.store(true, Ordering::Relaxed));
            } else {
                thread.missed += 1;
            }
        }
        self.0.iter().find(|it| it.missed >= looks_max).map(|it| it.name.as_str())
    }
}
