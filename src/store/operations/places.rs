//! How many operations run in this process, and how they are stopped with it.

use super::OperationError;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The most operations that one node works on at the same time. Others would only wait for the same
/// locks.
pub(super) const AT_ONCE_MAX: usize = 4;

/// The operations that this process works on.
#[derive(Debug, Default)]
pub(in crate::store) struct RunningOperations {
    pub(super) tasks: TaskTracker,
    /// How many have a place among [`AT_ONCE_MAX`].
    count: AtomicUsize,
    /// Cancelled when the daemon stops: each task stops after its portion.
    pub(super) stopping: CancellationToken,
}

/// The place of one operation among [`AT_ONCE_MAX`]. Free again when it is dropped.
#[derive(Debug)]
pub(super) struct PlaceOfOperation(Arc<RunningOperations>);

impl PlaceOfOperation {
    /// Takes a place.
    ///
    /// # Errors
    /// If there is none, or if the daemon is stopping.
    pub(super) fn take(running: &Arc<RunningOperations>) -> Result<Self, OperationError> {
        if running.stopping.is_cancelled() {
            return Err(OperationError::Draining);
        }
        if running.count.fetch_add(1, Ordering::AcqRel) >= AT_ONCE_MAX {
            running.count.fetch_sub(1, Ordering::AcqRel);
            return Err(OperationError::TooMany);
        }
        Ok(Self(running.clone()))
    }
}

impl Drop for PlaceOfOperation {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_operation_has_ended() {
        let running = Arc::new(RunningOperations::default());
        let take = || PlaceOfOperation::take(&running);
        let mut places: Vec<_> = (0..AT_ONCE_MAX).map(|_| take().unwrap()).collect();
        assert_eq!(take().unwrap_err(), OperationError::TooMany);
        assert_eq!(take().unwrap_err(), OperationError::TooMany, "a refusal takes no place");
        places.pop();
        places.push(take().unwrap());
        places.clear();
        running.stopping.cancel();
        assert_eq!(take().unwrap_err(), OperationError::Draining);
    }
}
