//! The one way to write: a transaction that begins IMMEDIATE on SQLite, ends within a bounded time, and
//! speaks in [`Sql`] statements.

use super::{
    StoreError,
    connect::Connections,
    door::{broke_in_call, while_open},
    sessions::{LentTx, Sessions},
    sql::Sql,
    trouble::Trouble,
};
use crate::{domain::fairness::TRANSACTION_MAX, telemetry::faults::Faults};
use sea_orm::{
    ConnectionTrait, DatabaseBackend, DatabaseTransaction, ExecResult, QueryResult,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait, Value,
};
use serde::Serialize;
use std::{
    future::Future,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// How long a read may take: longer than the server lets a statement run.
const READ_MAX: Duration = Duration::from_secs(10);

/// How often a group is repeated when another transaction was in the way.
const CONFLICT_ATTEMPTS: u32 = 8;

/// A write transaction. Dropped without [`Tx::commit`], it rolls back.
pub(super) struct Tx {
    inner: Inner,
    backend: DatabaseBackend,
    has_caps: bool,
    /// What it is for: tests end the process at a stage of a transaction that they name by it.
    purpose: &'static str,
    faults: Arc<Faults>,
    trouble: Trouble,
}

/// Over a session that is our own, or over one that a pooler lends for it. The futures of the latter are large,
/// and boxed, so that those of the former stay as they are.
enum Inner {
    Own(DatabaseTransaction),
    Lent(LentTx),
}

impl Inner {
    async fn query(&self, statement: Statement) -> Result<Vec<QueryResult>, StoreError> {
        Ok(match self {
            Self::Own(it) => it.query_all_raw(statement).await?,
            Self::Lent(it) => Box::pin(it.query(statement)).await?,
        })
    }

    async fn execute(&self, statement: Statement) -> Result<ExecResult, StoreError> {
        Ok(match self {
            Self::Own(it) => it.execute_raw(statement).await?,
            Self::Lent(it) => Box::pin(it.execute(statement)).await?,
        })
    }

    async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Own(it) => Ok(it.commit().await?),
            Self::Lent(it) => Ok(Box::pin(it.commit()).await?),
        }
    }
}

impl Tx {
    /// Begins a write for `purpose`. On SQLite IMMEDIATE, because a transaction that turns from reading to
    /// writing fails at once when another wrote in between, whatever the busy time-out says.
    pub(super) async fn begin(
        connections: &Connections,
        purpose: &'static str,
    ) -> Result<Self, StoreError> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let begin = async {
            Ok(match connections.writer.begin_lent().await? {
                Some(lent) => Inner::Lent(lent),
                None => Inner::Own(connections.writer.db().begin_with_options(options).await?),
            })
        };
        let trouble = connections.trouble.clone();
        let inner = while_open(begin).await.inspect_err(|it| trouble.note(purpose, it))?;
        let has_caps = connections.has_caps.load(Ordering::Relaxed);
        let faults = connections.faults.clone();
        faults.stage(purpose, "begun");
        Ok(Self { inner, backend: connections.backend, has_caps, purpose, faults, trouble })
    }

    /// Runs a statement and gives its rows.
    pub(super) async fn all<const N: usize>(
        &self,
        sql: &Sql,
        values: [Value; N],
    ) -> Result<Vec<QueryResult>, StoreError> {
        let statement =
            Statement::from_sql_and_values(self.backend, sql.text(self.backend), values);
        self.noted(self.inner.query(statement).await)
    }

    /// The same for a text that is made for its number of parameters.
    pub(super) async fn all_text(
        &self,
        text: String,
        values: Vec<Value>,
    ) -> Result<Vec<QueryResult>, StoreError> {
        let statement = Statement::from_sql_and_values(self.backend, text, values);
        self.noted(self.inner.query(statement).await)
    }

    /// Runs a statement and gives the number of rows it touched.
    pub(super) async fn run<const N: usize>(
        &self,
        sql: &Sql,
        values: [Value; N],
    ) -> Result<u64, StoreError> {
        let statement =
            Statement::from_sql_and_values(self.backend, sql.text(self.backend), values);
        Ok(self.noted(self.inner.execute(statement).await)?.rows_affected())
    }

    /// True where some client's jobs at once are capped.
    pub(super) const fn has_caps(&self) -> bool {
        self.has_caps
    }

    /// True on SQLite, which has no data-modifying CTE.
    pub(super) fn is_sqlite(&self) -> bool {
        self.backend == DatabaseBackend::Sqlite
    }

    /// Commits.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        self.faults.stage(self.purpose, "before_commit");
        self.inner.commit().await.inspect_err(|it| self.trouble.note(self.purpose, it))?;
        self.trouble.has_written(self.purpose);
        self.faults.stage(self.purpose, "committed");
        Ok(())
    }

    fn noted<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        result.inspect_err(|it| self.trouble.note(self.purpose, it))
    }
}

/// Repeats `group` while another transaction is in its way, and ends it when it takes too long: a turn
/// that was read in it must not appear after the claim's floor has passed it.
pub(super) async fn in_group<T, F>(group: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut attempt = 1;
    loop {
        match within(TRANSACTION_MAX, group()).await {
            Err(error) if error.is_conflict() && attempt < CONFLICT_ATTEMPTS => attempt += 1,
            other => return other,
        }
    }
}

/// Ends `work` when it takes longer. The server ends statements sooner, so that its other side is taken for
/// gone.
pub(super) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let mut work = std::pin::pin!(work);
    match tokio::time::timeout(limit, &mut work).await {
        Ok(result) => result,
        Err(_) => {
            let why = "the transaction took too long";
            // Said while the work still has its connection, so that nobody waits for that to answer.
            broke_in_call(why);
            Err(StoreError::Unreachable(why.to_owned()))
        }
    }
}

/// Reads outside a transaction.
pub(super) async fn read<const N: usize>(
    sessions: &Sessions,
    sql: &Sql,
    values: [Value; N],
) -> Result<Vec<QueryResult>, StoreError> {
    let backend = sessions.get_database_backend();
    let statement = Statement::from_sql_and_values(backend, sql.text(backend), values);
    within(READ_MAX, while_open(async { Ok(sessions.query_all_raw(statement).await?) })).await
}

/// A group as one JSON parameter.
pub(super) fn group<T: Serialize>(rows: &[T]) -> Result<Value, StoreError> {
    serde_json::to_string(rows)
        .map(Value::from)
        .map_err(|error| StoreError::Broken(format!("a group cannot be written as JSON: {error}")))
}
