//! When a statement of the admin API must have ended on SQLite, which has no time-out for
//! statements. PostgreSQL ends each by itself.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::time::Instant;

/// How long a statement of the admin API may run.
pub(in crate::store) const API_STATEMENT_MAX: Duration = Duration::from_secs(2);

tokio::task_local! {
    /// What the snapshot that is taking a connection has set.
    static OF_SNAPSHOT: StatementEnd;
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

    /// For a connection that is taken now: what the snapshot that takes it has set, or else one of
    /// its own. A statement that begins now may take this long.
    pub(in crate::store) fn of_connection(limit: Duration) -> Self {
        let end = OF_SNAPSHOT.try_with(Self::clone).unwrap_or_else(|_| Self::after(limit));
        end.extend(limit);
        end
    }

    /// Runs work that takes a connection. The connection will end statements at this time.
    pub(in crate::store) async fn of<T>(&self, work: impl Future<Output = T>) -> T {
        OF_SNAPSHOT.scope(self.clone(), work).await
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
    use crate::store::engine::{sessions::Sessions, snapshot::in_snapshot, sql::Sql};
    use sea_orm::SqlxSqliteConnector;
    use sqlx::sqlite::{SqliteConnection, SqlitePoolOptions};

    /// Takes some thousands of steps of SQLite's virtual machine.
    const COUNT: &str = "with recursive n (i) as (select 1 union all select i + 1 from n where i < 5000) \
                         select count(*) as found from n";

    /// Ends statements at once, if nothing extends their time.
    async fn end_at_once(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let end = StatementEnd::of_connection(Duration::ZERO);
        connection.lock_handle().await?.set_progress_handler(100, move || !end.has_passed());
        Ok(())
    }

    #[tokio::test]
    async fn each_statement_of_a_snapshot_has_its_own_time_and_nothing_else_has_it() {
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .after_connect(|connection, _| Box::pin(end_at_once(connection)))
            .before_acquire(|connection, _| {
                Box::pin(async { end_at_once(connection).await.map(|()| true) })
            })
            .connect_lazy("sqlite::memory:")
            .unwrap();
        let sessions = Sessions::own(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool.clone()));
        let count = Sql::new("COUNT", COUNT);
        for _ in 0..2 {
            let counted = in_snapshot(&sessions, async |snapshot| {
                snapshot.all(&count, []).await?;
                Ok(snapshot.all(&count, []).await?.len())
            });
            assert_eq!(counted.await, Ok(1));
            let alone = sqlx::query(COUNT);
            let error = alone.fetch_all(&pool).await.unwrap_err();
            assert!(error.to_string().contains("interrupted"), "{error}");
        }
    }
}
