//! Bounds how many requests are sent at the same time. The bound may change meanwhile.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The permits of requests. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct RequestLimit {
    semaphore: Arc<Semaphore>,
    count: Arc<Mutex<PermitCount>>,
}

#[derive(Debug, Default)]
struct PermitCount {
    /// As many as there should be.
    wanted: usize,
    /// As many as there are, taken ones included: more than wanted until enough of them are free.
    there: usize,
}

/// The permission for one request, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct RequestPermit {
    permit: Option<OwnedSemaphorePermit>,
    count: Arc<Mutex<PermitCount>>,
}

fn locked(count: &Mutex<PermitCount>) -> MutexGuard<'_, PermitCount> {
    count.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RequestLimit {
    /// Lets no request pass: call [`RequestLimit::resize`] before the first use.
    pub(super) fn closed() -> Self {
        Self { semaphore: Arc::new(Semaphore::new(0)), count: Arc::default() }
    }

    /// Sets how many permits there are. Taken ones beyond it go when they become free.
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

    /// Waits for a free permit, in the order of arrival.
    #[expect(clippy::expect_used, reason = "the semaphore is never closed")]
    pub(super) async fn take(&self) -> RequestPermit {
        let permit = self.semaphore.clone().acquire_owned().await.expect("an open semaphore");
        RequestPermit { permit: Some(permit), count: self.count.clone() }
    }
}

impl Drop for RequestPermit {
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

    fn take(limit: &RequestLimit) -> Option<RequestPermit> {
        limit.take().now_or_never()
    }

    #[test]
    fn there_are_never_more_than_wanted() {
        let limit = RequestLimit::closed();
        assert!(take(&limit).is_none());
        limit.resize(2);
        let (one, two) = (take(&limit).unwrap(), take(&limit).unwrap());
        assert!(take(&limit).is_none());
        limit.resize(1);
        drop(one);
        assert!(take(&limit).is_none(), "it was one too many");
        drop(two);
        let _one = take(&limit).unwrap();
        assert!(take(&limit).is_none());
        limit.resize(3);
        let _others = [take(&limit).unwrap(), take(&limit).unwrap()];
        assert!(take(&limit).is_none());
    }
}
