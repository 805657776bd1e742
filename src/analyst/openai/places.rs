//! Bounds how many requests are sent at the same time. The bound may change meanwhile.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of requests. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Places {
    semaphore: Arc<Semaphore>,
    count: Arc<Mutex<PlaceCount>>,
}

#[derive(Debug, Default)]
struct PlaceCount {
    /// As many as there should be.
    wanted: usize,
    /// As many as there are, taken ones included: more than wanted until enough of them are free.
    there: usize,
}

/// A place. It is free again when this is dropped.
#[derive(Debug)]
pub(super) struct RequestPlace {
    permit: Option<OwnedSemaphorePermit>,
    count: Arc<Mutex<PlaceCount>>,
}

fn locked(count: &Mutex<PlaceCount>) -> MutexGuard<'_, PlaceCount> {
    count.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Places {
    /// No places: call [`Places::resize`] before the first use.
    pub(super) fn none() -> Self {
        Self { semaphore: Arc::new(Semaphore::new(0)), count: Arc::default() }
    }

    /// Sets how many places there are. Taken places beyond it go when they become free.
    pub(super) fn resize(&self, wanted: usize) {
        let mut count = locked(&self.count);
        count.wanted = wanted;
        if wanted > count.there {
            self.semaphore.add_permits(wanted - count.there);
            count.there = wanted;
        } else {
            count.there -= self.semaphore.forget_permits(count.there - wanted);
        }
    }

    /// Waits for a free place, in the order of arrival. `None` never happens: the semaphore is
    /// never closed.
    pub(super) async fn take(&self) -> Option<RequestPlace> {
        let permit = self.semaphore.clone().acquire_owned().await.ok()?;
        Some(RequestPlace { permit: Some(permit), count: self.count.clone() })
    }
}

impl Drop for RequestPlace {
    fn drop(&mut self) {
        let mut count = locked(&self.count);
        if count.there > count.wanted
            && let Some(permit) = self.permit.take()
        {
            permit.forget();
            count.there -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn take(places: &Places) -> Option<RequestPlace> {
        places.take().now_or_never().flatten()
    }

    #[test]
    fn there_are_never_more_than_wanted() {
        let places = Places::none();
        assert!(take(&places).is_none());
        places.resize(2);
        let (one, two) = (take(&places).unwrap(), take(&places).unwrap());
        assert!(take(&places).is_none());
        places.resize(1);
        drop(one);
        assert!(take(&places).is_none(), "it was one too many");
        drop(two);
        let _one = take(&places).unwrap();
        assert!(take(&places).is_none());
        places.resize(3);
        let _others = [take(&places).unwrap(), take(&places).unwrap()];
        assert!(take(&places).is_none());
    }
}
