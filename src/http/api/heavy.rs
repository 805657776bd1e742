//! Reads that load long texts. Only a few run at once, which bounds their memory.

use crate::http::problem::Problem;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// How many such reads run at once. Each holds several copies of a page of at most 8 MiB, or of one
/// item with all of its texts.
const AT_ONCE: usize = 2;
/// How long one waits for its turn before it is refused: longer than two statements may take.
const WAIT: Duration = Duration::from_secs(5);
/// The seconds after which to ask again then.
const RETRY_SECONDS: u64 = 2;

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
    ///
    /// # Errors
    /// 503 if that takes long, because too many ask.
    pub(super) async fn permit(&self) -> Result<SemaphorePermit<'_>, Problem> {
        self.permit_within(WAIT).await
    }

    async fn permit_within(&self, wait: Duration) -> Result<SemaphorePermit<'_>, Problem> {
        let permit = tokio::time::timeout(wait, self.0.acquire()).await;
        permit.ok().and_then(Result::ok).ok_or_else(|| {
            let detail = format!(
                "{AT_ONCE} reads of long texts go on, and this one had to wait too long: ask again, or for \
                 less with `limit`"
            );
            Problem::unavailable(detail, RETRY_SECONDS)
        })
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
        assert!(first.is_ok() && second.is_ok());
        let mut third = std::pin::pin!(reads.permit());
        assert!(third.as_mut().now_or_never().is_none());
        drop(first);
        assert!(third.await.is_ok());
    }

    #[tokio::test]
    async fn one_that_waits_too_long_is_refused() {
        let reads = HeavyReads::default();
        let held = (reads.permit().await, reads.permit().await);
        let refused = reads.permit_within(Duration::from_millis(1)).await.unwrap_err();
        assert_eq!(refused.status(), 503, "{refused:?}");
        drop(held);
        assert!(reads.permit().await.is_ok());
    }
}
