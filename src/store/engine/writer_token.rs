//! The token of SQLite's one writer.
//!
//! SQLite runs one write transaction at a time. A group that is formed before its transaction waits
//! for the writer misses what arrives meanwhile. So those who write in groups (ingest, recorder,
//! claims) first wait for the token, in the order of their calls, form the group then, and keep
//! the token until the transaction has ended. Groups grow with load, and none of the three waits
//! longer than for one group of each other. PostgreSQL has no token: its transactions run at once.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Gives the token of one database. A clone gives the same token.
#[derive(Clone, Debug)]
pub(in crate::store) struct WriterTokens(Option<Arc<Semaphore>>);

/// Held from before a group is formed until its transaction has ended. Other transactions do not
/// need it.
#[derive(Debug)]
pub struct WriterToken {
    _permit: Option<OwnedSemaphorePermit>,
}

impl WriterTokens {
    /// For SQLite: there is one token.
    pub(super) fn one() -> Self {
        Self(Some(Arc::new(Semaphore::new(1))))
    }

    /// For PostgreSQL: everybody gets a token at once.
    pub(super) const fn unlimited() -> Self {
        Self(None)
    }

    /// Waits for the token. First come, first served.
    pub(in crate::store) fn take(&self) -> impl Future<Output = WriterToken> + Send + use<> {
        let one = self.0.clone();
        async move {
            let permit = match one {
                // It is never closed.
                Some(one) => one.acquire_owned().await.ok(),
                None => None,
            };
            WriterToken { _permit: permit }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn sqlite_has_one_token_and_gives_it_in_the_order_of_calls() {
        let tokens = WriterTokens::one();
        let first = tokens.take().await;
        let (mut second, mut third) = (Box::pin(tokens.take()), Box::pin(tokens.clone().take()));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        drop(first);
        assert!(third.as_mut().now_or_never().is_none(), "the second called before it");
        drop(second.await);
        third.await;
    }

    #[tokio::test]
    async fn postgres_gives_a_token_to_everybody() {
        let tokens = WriterTokens::unlimited();
        let (_first, _second) = (tokens.take().await, tokens.take().await);
    }
}
