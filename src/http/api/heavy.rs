//! Reads that load long texts. Only a few run at once, which bounds their memory.

use tokio::sync::{Semaphore, SemaphorePermit};

/// How many such reads run at once. Each holds several copies of a page of at most 8 MiB, or of one
/// item with all of its texts.
const AT_ONCE: usize = 2;

/// Lets reads of long texts run in the order in which they come.
#[derive(Debug)]
pub(super) struct HeavyReads(Semaphore);

impl Default for HeavyReads {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

impl HeavyReads {
    /// Waits for a permit. The caller keeps it until its answer is made.
    pub(super) async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed, so this always gives a permit.
        self.0.acquire().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn two_read_at_once_and_the_third_waits_for_one_of_them() {
        let reads = HeavyReads::default();
        let (first, second) = (reads.permit().await, reads.permit().await);
        assert!(first.is_some() && second.is_some());
        let mut third = std::pin::pin!(reads.permit());
        assert!(third.as_mut().now_or_never().is_none());
        drop(first);
        assert!(third.await.is_some());
    }
}
