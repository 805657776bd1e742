//! Whether the threads on which actors live still run what they are given.
//!
//! An actor that panics is replaced. An actor that keeps its thread cannot be: nothing in a
//! process can take the thread away from it, and all actors on that thread stand still. So each
//! check of the guardian asks each thread for a sign of life. Missed signs are counted and no
//! time is measured, so a process that was suspended, or a clock that jumps, is not mistaken for
//! a thread that hangs.

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
    /// The name of the thread, for the log.
    name: String,
    arbiter: ArbiterHandle,
    /// The thread has given a sign of life since the last check.
    has_answered: Arc<AtomicBool>,
    /// Consecutive checks without one.
    missed: u32,
}

impl ThreadWatch {
    /// Watches these threads; the names are for the log.
    pub(super) fn of(threads: impl IntoIterator<Item = (String, ArbiterHandle)>) -> Self {
        let thread = |(name, arbiter)| {
            let has_answered = Arc::new(AtomicBool::new(true));
            Thread { name, arbiter, has_answered, missed: 0 }
        };
        Self(threads.into_iter().map(thread).collect())
    }

    /// Asks all threads. Returns the name of the first that has given no sign of life for
    /// `missed_max` checks.
    pub(super) fn check(&mut self, missed_max: u32) -> Option<&str> {
        for thread in &mut self.0 {
            if thread.has_answered.swap(false, Ordering::Relaxed) {
                thread.missed = 0;
                let has_answered = thread.has_answered.clone();
                // If the arbiter has ended, this never runs, and the next checks find no answer.
                thread.arbiter.spawn_fn(move || has_answered.store(true, Ordering::Relaxed));
            } else {
                thread.missed += 1;
            }
        }
        let hanging = self.0.iter().find(|thread| thread.missed >= missed_max);
        hanging.map(|thread| thread.name.as_str())
    }

    /// True if no thread missed the last check.
    pub(super) fn all_move(&self) -> bool {
        self.0.iter().all(|thread| thread.missed == 0)
    }
}
