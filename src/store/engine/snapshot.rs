//! A transaction that only reads: all its statements see the database at one instant.

use super::{
    StoreError,
    circuit_breaker::{lost_in_call, while_closed},
    sessions::{LentTx, Sessions},
    sql::Sql,
    statement_end::{API_STATEMENT_MAX, StatementEnd},
};
use sea_orm::{
    ConnectionTrait, DatabaseBackend, DatabaseTransaction, QueryResult, SqliteTransactionMode,
    Statement, TransactionOptions, TransactionTrait, Value,
};
use std::time::Duration;
use tokio::time::Instant;

/// On SQLite, a snapshot gives its statements no more time after this long: it keeps the log from
/// being emptied.
const SNAPSHOT_MAX: Duration = Duration::from_secs(20);
/// Makes a transaction of PostgreSQL see one instant. SQLite's do so anyway.
const ONE_INSTANT: &str = "set transaction isolation level repeatable read, read only";

/// A transaction that only reads. It ends when it is dropped.
pub(in crate::store) struct Snapshot {
    sessions: Sessions,
    tx: ReadTx,
    begun_at: Instant,
    /// On SQLite, when the running statement must have ended.
    statement_end: StatementEnd,
}

/// The transaction over a session of our own, or over a lent one.
enum ReadTx {
    Own(DatabaseTransaction),
    Lent(LentTx),
}

impl Snapshot {
    async fn begin(sessions: &Sessions) -> Result<Self, StoreError> {
        let backend = sessions.get_database_backend();
        let one_instant = || Statement::from_string(backend, ONE_INSTANT);
        let sessions = sessions.clone();
        let begun_at = Instant::now();
        let statement_end = StatementEnd::after(API_STATEMENT_MAX);
        if let Some(lent) = sessions.begin_lent().await? {
            sessions.in_time(lent.execute(one_instant())).await?;
            return Ok(Self { sessions, tx: ReadTx::Lent(lent), begun_at, statement_end });
        }
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Deferred),
            ..TransactionOptions::default()
        };
        let db = sessions.db();
        let begun = statement_end.of(sessions.in_time(db.begin_with_options(options)));
        let tx = begun.await?;
        if backend == DatabaseBackend::Postgres {
            sessions.in_time(tx.execute_raw(one_instant())).await?;
        }
        Ok(Self { sessions, tx: ReadTx::Own(tx), begun_at, statement_end })
    }

    /// Runs a statement and returns its rows. After an error the transaction can read no more.
    pub(in crate::store) async fn all<const N: usize>(
        &self,
        sql: &Sql,
        values: [Value; N],
    ) -> Result<Vec<QueryResult>, StoreError> {
        let backend = self.sessions.get_database_backend();
        let statement = Statement::from_sql_and_values(backend, sql.text(backend), values);
        if self.begun_at.elapsed() < SNAPSHOT_MAX {
            self.statement_end.extend(API_STATEMENT_MAX);
        }
        let rows = match &self.tx {
            ReadTx::Own(tx) => self.sessions.in_time(tx.query_all_raw(statement)).await,
            ReadTx::Lent(tx) => self.sessions.in_time(Box::pin(tx.query(statement))).await,
        };
        Ok(rows?)
    }
}

/// Runs `work` in a transaction that only reads. Tries twice if the connection was lost.
///
/// # Errors
/// Those of `work` and of the database.
pub(in crate::store) async fn in_snapshot<T, F>(
    sessions: &Sessions,
    work: impl Fn(Snapshot) -> F,
) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let once = async || while_closed(async { work(Snapshot::begin(sessions).await?).await }).await;
    match once().await {
        Err(StoreError::Disconnected(_)) => {
            lost_in_call();
            once().await
        }
        other => other,
    }
}
