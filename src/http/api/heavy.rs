//! Reads that load long texts: few at once, so that their memory is bounded however many are asked for.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Such reads at once. Each holds a page of at most 8 MiB, or one item with all of its texts, some times over.
const AT_ONCE: usize = 2;

/// Gives turns to those who read long texts, in the order in which they come.
#[derive(Debug)]
pub(super) struct HeavyReads(Semaphore);

impl Default for HeavyReads {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

impl HeavyReads {
    /// Waits for a turn. It is to be held until the answer is made.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // Nobody closes it, so there is always one.
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
        let (first, second) = (reads.turn().await, reads.turn().await);
        assert!(first.is_some() && second.is_some());
        let mut third = std::pin::pin!(reads.turn());
        assert!(third.as_mut().now_or_never().is_none());
        drop(first);
        assert!(third.await.is_some());
    }
}
