//! A bound whose capacity can change while parts of it are lent.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Lends room, one permit at a time. A clone is the same bound.
///
/// If the capacity falls below what is lent, nothing is taken back: no more is lent until enough
/// permits have come back. A semaphore of tokio's cannot do that, because it lends each permit
/// again that comes back. Nobody waits for room here, so two counters are enough.
#[derive(Clone, Debug)]
pub struct ResizableBound(Arc<Lending>);

#[derive(Debug)]
struct Lending {
    /// How many permits may be lent at the same time.
    capacity: AtomicUsize,
    /// How many are lent now.
    lent: AtomicUsize,
}

/// Room for one. It is given back when this is dropped.
#[derive(Debug)]
pub struct LentRoom(Arc<Lending>);

impl ResizableBound {
    /// A bound of this many permits, none of them lent.
    pub fn new(capacity: usize) -> Self {
        let (capacity, lent) = (AtomicUsize::new(capacity), AtomicUsize::new(0));
        Self(Arc::new(Lending { capacity, lent }))
    }

    /// How many permits may be lent at the same time.
    pub fn capacity(&self) -> usize {
        self.0.capacity.load(Ordering::Acquire)
    }

    /// From now on this many permits may be lent at the same time.
    pub fn resize(&self, capacity: usize) {
        self.0.capacity.store(capacity, Ordering::Release);
    }

    /// How many permits can be taken now.
    pub fn free(&self) -> usize {
        self.capacity().saturating_sub(self.0.lent.load(Ordering::Acquire))
    }

    /// Takes a permit. `None`: all are lent.
    pub fn take(&self) -> Option<LentRoom> {
        let lend = |lent| (lent < self.capacity()).then_some(lent + 1);
        self.0.lent.fetch_update(Ordering::AcqRel, Ordering::Acquire, lend).ok()?;
        Some(LentRoom(self.0.clone()))
    }
}

impl Drop for LentRoom {
    fn drop(&mut self) {
        self.0.lent.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::thread;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Resize(usize),
        Take,
        /// Gives back the permit with this number, counted round.
        Give(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0..12_usize).prop_map(Step::Resize),
            Just(Step::Take),
            Just(Step::Take),
            any::<usize>().prop_map(Step::Give),
        ];
        prop::collection::vec(step, 0..300)
    }

    proptest! {
        #[test]
        fn no_more_is_lent_than_the_capacity_allowed_when_the_last_was_taken(
            steps in steps(), first in 0..12_usize,
        ) {
            let bound = ResizableBound::new(first);
            let (mut capacity, mut permits) = (first, Vec::new());
            for step in steps {
                match step {
                    Step::Resize(to) => {
                        bound.resize(to);
                        capacity = to;
                    }
                    Step::Take => {
                        let taken = bound.take();
                        prop_assert_eq!(taken.is_some(), permits.len() < capacity);
                        permits.extend(taken);
                    }
                    Step::Give(number) if !permits.is_empty() => {
                        permits.swap_remove(number % permits.len());
                    }
                    Step::Give(_) => {}
                }
                prop_assert_eq!(bound.free(), capacity.saturating_sub(permits.len()));
            }
            drop(permits);
            prop_assert_eq!(bound.free(), capacity, "all have come back");
        }
    }

    #[test]
    fn threads_that_take_at_once_never_get_more_than_there_is() {
        let bound = ResizableBound::new(7);
        let (held, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        if let Some(permit) = bound.take() {
                            let now = held.fetch_add(1, Ordering::AcqRel) + 1;
                            most.fetch_max(now, Ordering::AcqRel);
                            held.fetch_sub(1, Ordering::AcqRel);
                            drop(permit);
                        }
                    }
                });
            }
        });
        assert!(most.into_inner() <= 7);
        assert_eq!(bound.free(), 7);
    }
}
