//! When a statement of the admin API must have ended on SQLite, which has no time-out for
//! statements. PostgreSQL ends each by itself.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

/// How long a statement of the admin API may run.
pub(in crate::store) const API_STATEMENT_MAX: Duration = Duration::from_secs(2);

tokio::task_local! {
    /// That of the transaction which is taking a connection.
    static OF_TRANSACTION: StatementEnd;
}

/// When the running statement of a connection must have ended. Shared by the connection, which
/// checks it while it works, and by what sends statements over it.
#[derive(Clone, Debug)]
pub(in crate::store) struct StatementEnd(Arc<RwLock<Instant>>);

impl StatementEnd {
    /// A statement that begins now may take this long.
    pub(in crate::store) fn after(limit: Duration) -> Self {
        Self(Arc::new(RwLock::new(Instant::now() + limit)))
    }

    /// That of the transaction which takes a connection in this task, or else one of its own. From
    /// now on the next statement may take this long.
    pub(in crate::store) fn of_connection(limit: Duration) -> Self {
        let end = OF_TRANSACTION.try_with(Self::clone).unwrap_or_else(|_| Self::after(limit));
        end.extend(limit);
        end
    }

    /// Runs work that takes a connection, which will end statements when this says.
    pub(in crate::store) async fn of<T>(&self, work: impl Future<Output = T>) -> T {
        OF_TRANSACTION.scope(self.clone(), work).await
    }

    /// The next statement begins now, and may take this long.
    pub(in crate::store) fn extend(&self, limit: Duration) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Instant::now() + limit;
    }

    /// True if the statement must end now.
    pub(in crate::store) fn has_passed(&self) -> bool {
        Instant::now() >= *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[tokio::test]
    async fn each_statement_of_a_transaction_has_its_own_time() {
        let of_transaction = StatementEnd::after(Duration::ZERO);
        let of_connection =
            of_transaction.of(async { StatementEnd::of_connection(Duration::ZERO) }).await;
        assert!(of_connection.has_passed());
        of_transaction.extend(HOUR);
        assert!(!of_connection.has_passed());
    }

    #[tokio::test]
    async fn a_connection_without_a_transaction_has_its_own_time() {
        let other = StatementEnd::after(Duration::ZERO);
        let of_connection = StatementEnd::of_connection(HOUR);
        assert!(!of_connection.has_passed() && other.has_passed());
    }
}
