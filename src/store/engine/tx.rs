//! The one way to write: a transaction of [`Sql`] statements that begins IMMEDIATE on SQLite and
//! ends within a bounded time.

use super::{
    StoreError,
    circuit_breaker::{fell_silent_in_call, lost_in_call, while_closed},
    connections::Connections,
    last_failed_write::LastFailedWrite,
    news::NewsListener,
    sessions::{LentTx, Sessions, Watch},
    sql::Sql,
};
use crate::{
    domain::{SendNews, fairness::TRANSACTION_MAX},
    telemetry::faults::Faults,
};
use sea_orm::{
    ConnectionTrait, DatabaseBackend, DatabaseTransaction, ExecResult, QueryResult,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait, Value,
};
use serde::Serialize;
use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};
use tokio::time::Instant;

/// How many times a group is repeated after conflicts with other transactions.
const CONFLICT_REPEATS: u32 = 7;
/// How many times a group is repeated after a constraint refused it. Another transaction may have
/// been the cause, and has ended by then.
const CONSTRAINT_REPEATS: u32 = 2;

/// The result of a transaction that was committed, or rolled back on purpose.
/// [`Connections::write`] demands it, so that no caller forgets to commit.
pub(in crate::store) struct Finished<T>(T);

impl Connections {
    /// Runs `work` in a write transaction, which `work` ends by [`Tx::commit`] or
    /// [`Tx::roll_back`]. Begins again after a conflict with another transaction, so `work` may run
    /// several times.
    ///
    /// `purpose` names the transaction in [`LastFailedWrite`] and at the points at which tests end
    /// the process.
    ///
    /// # Errors
    /// Those of `work` and of the database. Then nothing was committed, except if the connection
    /// was lost during the commit: then it is unknown.
    pub(in crate::store) async fn write<T, F>(
        &self,
        purpose: &'static str,
        work: impl Fn(Tx) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<Finished<T>, StoreError>>,
    {
        let written = in_group(|| async { Ok(work(Tx::begin(self, purpose).await?).await?.0) });
        self.timings.time(purpose, written).await
    }
}

/// A write transaction. It rolls back if it is dropped without [`Tx::commit`].
pub(in crate::store) struct Tx {
    inner: Inner,
    backend: DatabaseBackend,
    begun_at: Instant,
    /// When its connection counts as silent. `None` on SQLite.
    watch: Option<Watch>,
    /// True if some client is capped, as read from [`Connections::has_caps`] at the begin.
    has_caps: bool,
    /// Its name in [`LastFailedWrite`], and at the points at which tests end the process.
    purpose: &'static str,
    faults: Arc<Faults>,
    last_failed_write: LastFailedWrite,
    /// What it has done to sends, and who is told of that after the commit.
    news: Mutex<Vec<SendNews>>,
    listener: NewsListener,
}

/// The transaction over a session of our own, or over a lent one. Futures over lent sessions are
/// large; they are boxed, so that the others stay small.
enum Inner {
    Own(DatabaseTransaction),
    Lent(LentTx),
}

impl Inner {
    async fn query(&self, statement: Statement) -> Result<Vec<QueryResult>, StoreError> {
        Ok(match self {
            Self::Own(tx) => tx.query_all_raw(statement).await?,
            Self::Lent(tx) => Box::pin(tx.query(statement)).await?,
        })
    }

    async fn execute(&self, statement: Statement) -> Result<ExecResult, StoreError> {
        Ok(match self {
            Self::Own(tx) => tx.execute_raw(statement).await?,
            Self::Lent(tx) => Box::pin(tx.execute(statement)).await?,
        })
    }

    async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Own(tx) => Ok(tx.commit().await?),
            Self::Lent(tx) => Ok(Box::pin(tx.commit()).await?),
        }
    }
}

impl Tx {
    /// Begins a transaction for `purpose`. On SQLite it begins IMMEDIATE: a transaction that reads
    /// before it writes would fail at once if another one wrote in between, without waiting for the
    /// busy time-out.
    ///
    /// Tries twice if the pool's connection was lost: nothing has happened yet.
    async fn begin(connections: &Connections, purpose: &'static str) -> Result<Self, StoreError> {
        let begin = async || {
            if let Some(lent) = connections.writer.begin_lent().await? {
                return Ok(Inner::Lent(lent));
            }
            let options = TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..TransactionOptions::default()
            };
            let db = connections.writer.db();
            let begun = connections.writer.in_time(db.begin_with_options(options));
            Ok::<_, StoreError>(Inner::Own(begun.await?))
        };
        let begin_twice = async {
            match begin().await {
                Err(StoreError::Disconnected(_)) => {
                    lost_in_call();
                    begin().await
                }
                other => other,
            }
        };
        let last_failed_write = connections.last_failed_write.clone();
        let inner = while_closed(begin_twice)
            .await
            .inspect_err(|error| last_failed_write.note(purpose, error))?;
        let has_caps = connections.has_caps.load(Ordering::Relaxed);
        let faults = connections.faults.clone();
        faults.stage(purpose, "begun");
        Ok(Self {
            inner,
            backend: connections.backend,
            begun_at: Instant::now(),
            watch: connections.writer.watch(),
            has_caps,
            purpose,
            faults,
            last_failed_write,
            news: Mutex::default(),
            listener: connections.news.clone(),
        })
    }

    /// Runs a statement and returns its rows.
    pub(in crate::store) async fn all<const N: usize>(
        &self,
        sql: &Sql,
        values: [Value; N],
    ) -> Result<Vec<QueryResult>, StoreError> {
        let statement =
            Statement::from_sql_and_values(self.backend, sql.text(self.backend), values);
        self.in_time(self.inner.query(statement)).await
    }

    /// The same for a text that was built for its number of parameters.
    pub(in crate::store) async fn all_text(
        &self,
        text: String,
        values: Vec<Value>,
    ) -> Result<Vec<QueryResult>, StoreError> {
        let statement = Statement::from_sql_and_values(self.backend, text, values);
        self.in_time(self.inner.query(statement)).await
    }

    /// Runs a statement and returns the number of rows that it changed.
    pub(in crate::store) async fn run<const N: usize>(
        &self,
        sql: &Sql,
        values: [Value; N],
    ) -> Result<u64, StoreError> {
        let statement =
            Statement::from_sql_and_values(self.backend, sql.text(self.backend), values);
        Ok(self.in_time(self.inner.execute(statement)).await?.rows_affected())
    }

    /// True if some client is capped: moved heads must be counted.
    pub(in crate::store) const fn has_caps(&self) -> bool {
        self.has_caps
    }

    /// True on SQLite, which has no data-modifying CTE.
    pub(in crate::store) fn is_sqlite(&self) -> bool {
        self.backend == DatabaseBackend::Sqlite
    }

    /// Notes what this transaction does to sends. It is told after the commit.
    pub(in crate::store) fn note(&self, news: impl IntoIterator<Item = SendNews>) {
        self.news.lock().unwrap_or_else(PoisonError::into_inner).extend(news);
    }

    /// Commits the transaction, and passes `result` to the caller of [`Connections::write`].
    ///
    /// # Errors
    /// If the transaction has taken longer than [`TRANSACTION_MAX`], or the commit fails.
    pub(in crate::store) async fn commit<T>(self, result: T) -> Result<Finished<T>, StoreError> {
        self.faults.stage(self.purpose, "before_commit");
        self.check_age().inspect_err(|error| self.last_failed_write.note(self.purpose, error))?;
        let committed = in_time(self.watch.as_ref(), self.inner.commit()).await;
        committed.inspect_err(|error| self.last_failed_write.note(self.purpose, error))?;
        self.last_failed_write.has_written(self.purpose);
        self.faults.stage(self.purpose, "committed");
        self.listener.tell(&self.news.into_inner().unwrap_or_else(PoisonError::into_inner));
        Ok(Finished(result))
    }

    /// Rolls back, because there is nothing to write, and passes `result` to the caller of
    /// [`Connections::write`].
    #[expect(clippy::unused_self, reason = "the drop of the transaction rolls it back")]
    pub(in crate::store) fn roll_back<T>(self, result: T) -> Finished<T> {
        Finished(result)
    }

    /// Runs a statement of this transaction: fails if the transaction is too old or the statement
    /// gets no answer in time, and notes the failure.
    async fn in_time<T>(
        &self,
        statement: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let result = match self.check_age() {
            Ok(()) => in_time(self.watch.as_ref(), statement).await,
            Err(error) => Err(error),
        };
        result.inspect_err(|error| self.last_failed_write.note(self.purpose, error))
    }

    /// Fails if the transaction has taken too long: a turn that it has read must not be committed
    /// after the claim's floor has risen above that turn. Checked between statements, because the
    /// server ends each statement in time.
    fn check_age(&self) -> Result<(), StoreError> {
        match self.begun_at.elapsed() > TRANSACTION_MAX {
            true => Err(StoreError::Busy("the transaction took too long".to_owned())),
            false => Ok(()),
        }
    }
}

/// Runs a statement over a connection that the caller holds. The server ends statements before the
/// limit of `watch`, so a connection that takes longer does not answer any more.
async fn in_time<T>(
    watch: Option<&Watch>,
    statement: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let Some(watch) = watch else { return statement.await };
    let mut statement = std::pin::pin!(statement);
    match tokio::time::timeout(watch.statement_limit, &mut statement).await {
        Ok(result) => {
            watch.last_move.note();
            result
        }
        Err(_) => {
            // Reported while the statement still holds its connection, so that no other caller gets
            // it.
            fell_silent_in_call();
            Err(StoreError::Disconnected("a statement got no answer".to_owned()))
        }
    }
}

/// How many times a group was repeated, by reason.
#[derive(Debug, Default)]
struct Repeats {
    /// At most [`CONFLICT_REPEATS`].
    conflicts: u32,
    /// At most [`CONSTRAINT_REPEATS`].
    constraints: u32,
}

impl Repeats {
    /// Whether a group that ended with `error` is repeated at once. Counts it.
    const fn allow(&mut self, error: &StoreError) -> bool {
        let (count, most) = match error {
            StoreError::Conflict(_) => (&mut self.conflicts, CONFLICT_REPEATS),
            StoreError::Constraint(_) => (&mut self.constraints, CONSTRAINT_REPEATS),
            StoreError::Data(_)
            | StoreError::Busy(_)
            | StoreError::Full(_)
            | StoreError::Disconnected(_)
            | StoreError::Unreachable(_)
            | StoreError::ReadOnly(_)
            | StoreError::Unusable(_)
            | StoreError::Broken(_) => return false,
        };
        *count += 1;
        *count <= most
    }
}

/// Runs `group`, and repeats it while other transactions are in its way. The whole has no time
/// limit: the transaction in `group` has one.
pub(in crate::store) async fn in_group<T, F>(group: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut repeats = Repeats::default();
    loop {
        match group().await {
            Err(error) if repeats.allow(&error) => {}
            other => return other,
        }
    }
}

/// Reads outside a transaction. Tries twice if the pool's connection was lost.
pub(in crate::store) async fn read<const N: usize>(
    sessions: &Sessions,
    sql: &Sql,
    values: [Value; N],
) -> Result<Vec<QueryResult>, StoreError> {
    match write_alone(sessions, sql, values.clone()).await {
        Err(StoreError::Disconnected(_)) => {
            lost_in_call();
            write_alone(sessions, sql, values).await
        }
        other => other,
    }
}

/// Runs one statement as a transaction of its own, which may write. If its connection is lost, the
/// statement may have been committed.
pub(in crate::store) async fn write_alone<const N: usize>(
    sessions: &Sessions,
    sql: &Sql,
    values: [Value; N],
) -> Result<Vec<QueryResult>, StoreError> {
    let backend = sessions.get_database_backend();
    let statement = Statement::from_sql_and_values(backend, sql.text(backend), values);
    sessions.timed(while_closed(async { Ok(sessions.query_all_raw(statement).await?) })).await
}

/// A group as one JSON parameter.
pub(in crate::store) fn group<T: Serialize>(rows: &[T]) -> Result<Value, StoreError> {
    serde_json::to_string(rows)
        .map(Value::from)
        .map_err(|error| StoreError::Broken(format!("a group cannot be written as JSON: {error}")))
}

/// A group whose rows have one column, as one JSON parameter.
pub(in crate::store) fn column<T: Serialize>(
    name: &'static str,
    values: impl IntoIterator<Item = T>,
) -> Result<Value, StoreError> {
    let rows: Vec<OneColumn<T>> =
        values.into_iter().map(|value| OneColumn { name, value }).collect();
    group(&rows)
}

/// A row of a group that has one column.
struct OneColumn<T> {
    name: &'static str,
    value: T,
}

impl<T: Serialize> Serialize for OneColumn<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(self.name, &self.value)])
    }
}

/// Reads a boolean that a statement selects as 1 or 0, because SQLite has no booleans.
pub(in crate::store) fn flag(row: &QueryResult, column: &str) -> Result<bool, StoreError> {
    Ok(row.try_get::<i32>("", column)? != 0)
}

/// A duration as a parameter: whole milliseconds. They are far below what the type holds, because
/// statements add them to a time.
pub(in crate::store) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// How many times a group that always ends with `error` is tried.
    async fn tries(error: StoreError) -> u32 {
        let tries = Cell::new(0);
        let ended = in_group(|| {
            tries.set(tries.get() + 1);
            let error = error.clone();
            async move { Err::<(), _>(error) }
        })
        .await;
        assert_eq!(ended, Err(error));
        tries.get()
    }

    #[tokio::test]
    async fn conflicts_and_constraints_are_repeated_and_nothing_else() {
        let text = || "x".to_owned();
        assert_eq!(tries(StoreError::Conflict(text())).await, 8);
        assert_eq!(tries(StoreError::Constraint(text())).await, 3, "then the data is at fault");
        for error in [
            StoreError::Data,
            StoreError::Busy,
            StoreError::Full,
            StoreError::Disconnected,
            StoreError::Unreachable,
            StoreError::ReadOnly,
            StoreError::Unusable,
            StoreError::Broken,
        ] {
            assert_eq!(tries(error(text())).await, 1);
        }
    }

    #[tokio::test]
    async fn two_that_took_one_key_at_once_are_no_fault_of_the_data() {
        let tries = Cell::new(0);
        let stored = in_group(|| {
            tries.set(tries.get() + 1);
            let is_first = tries.get() == 1;
            async move {
                match is_first {
                    true => {
                        Err(StoreError::Constraint("SQLSTATE 23505, job_ready_pkey".to_owned()))
                    }
                    false => Ok(()),
                }
            }
        });
        assert_eq!(stored.await, Ok(()));
    }
}
