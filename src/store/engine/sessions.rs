//! How statements reach the database: over sessions of our own, or over sessions that a pooler
//! lends for one transaction at a time (docs/decisions/0014).
//!
//! A session keeps prepared statements and settings. When the pooler lends it to another client,
//! they are lost or belong to that client. So behind a pooler every statement is part of a
//! transaction that begins with its settings, and is sent without a name.

use super::{StoreError, circuit_breaker, error::is_none_free, timings::Timings};
use arc_swap::ArcSwap;
use sea_orm::{
    ConnectionTrait, DatabaseBackend, DatabaseConnection, DbErr, ExecResult, QueryResult,
    RuntimeErr, SqlxPostgresConnector, Statement,
};
use sea_query_sqlx::SqlxValues;
use sqlx::{
    AssertSqlSafe, Connection, Executor, PgConnection, Postgres, Row, Transaction,
    postgres::{PgArguments, PgConnectOptions, PgPool},
};
use std::{
    io,
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::{sync::Mutex, time::Instant};

/// The futures that `SeaORM`'s trait returns.
type SqlFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, DbErr>> + Send + 'a>>;

/// Begins a transaction over a lent session, independent of the defaults of the database or the
/// role.
pub(in crate::store) const LENT_BEGIN: &str = "begin isolation level read committed read write";

/// When the connections of a pool count as silent.
#[derive(Clone, Debug)]
pub(in crate::store) struct Watch {
    /// How long the wait for a connection and the statement may take together.
    pub(in crate::store) call_limit: Duration,
    /// How long a statement may take.
    pub(in crate::store) statement_limit: Duration,
    /// When something last happened to a connection of the pool.
    pub(in crate::store) last_move: LastMove,
}

/// When a connection of a pool was last taken or given back, or a statement over one ended.
#[derive(Clone, Debug)]
pub(in crate::store) struct LastMove(Arc<RwLock<Instant>>);

impl Default for LastMove {
    fn default() -> Self {
        Self(Arc::new(RwLock::new(Instant::now())))
    }
}

impl LastMove {
    /// Notes that a connection is taken or given back, or that a statement over one has ended.
    pub(in crate::store) fn note(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn elapsed(&self) -> Duration {
        self.0.read().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// Sessions for one purpose.
#[derive(Clone, Debug)]
pub(in crate::store) struct Sessions {
    /// The pool. Shared by all clones, so that [`Sessions::renew`] gives all of them the next one.
    db: Arc<ArcSwap<DatabaseConnection>>,
    /// Behind a pooler: the text that begins a transaction and makes its settings.
    opening: Option<Arc<str>>,
    /// When connections count as silent. `None` on SQLite, which has no server.
    watch: Option<Watch>,
    /// What its statements outside of transactions are for, and where their time is noted.
    timings: (&'static str, Timings),
}

impl Sessions {
    /// Sessions that are our own as long as they are open.
    pub(in crate::store) fn own(db: DatabaseConnection) -> Self {
        let db = Arc::new(ArcSwap::from_pointee(db));
        Self { db, opening: None, watch: None, timings: ("other", Timings::default()) }
    }

    /// The same, with a place where the time of statements outside of transactions is noted, as
    /// being for `purpose`.
    #[must_use]
    pub(in crate::store) fn noting(self, purpose: &'static str, timings: &Timings) -> Self {
        Self { timings: (purpose, timings.clone()), ..self }
    }

    /// Runs a statement outside of a transaction, and notes its time.
    pub(in crate::store) async fn timed<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let (purpose, timings) = &self.timings;
        timings.time(purpose, work).await
    }

    /// How many of its connections are in use, and how many are open and wait to be used.
    pub(in crate::store) fn in_use(&self) -> (usize, usize) {
        let db = self.db.load();
        let (open, idle) = if db.get_database_backend() == DatabaseBackend::Sqlite {
            let pool = db.get_sqlite_connection_pool();
            (pool.size(), pool.num_idle())
        } else {
            let pool = db.get_postgres_connection_pool();
            (pool.size(), pool.num_idle())
        };
        busy_and_idle(usize::try_from(open).unwrap_or_default(), idle)
    }

    /// When its connections count as silent. `None` on SQLite.
    pub(in crate::store) fn watch(&self) -> Option<Watch> {
        self.watch.clone()
    }

    /// True if both take their connections from one pool.
    pub(in crate::store) fn shares_pool_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.db, &other.db)
    }

    /// The same, with limits after which a connection counts as silent. The server ends statements
    /// sooner, so a connection that takes longer does not answer any more.
    #[must_use]
    pub(in crate::store) fn watched(self, watch: Watch) -> Self {
        Self { watch: Some(watch), ..self }
    }

    /// Sessions that a pooler lends for one transaction, which begins with these settings: names
    /// and values.
    pub(in crate::store) fn lent<'a>(
        pool: PgPool,
        settings: impl IntoIterator<Item = &'a (&'a str, &'a str)>,
    ) -> Self {
        let settings =
            settings.into_iter().map(|(name, value)| format!("; set local {name} = '{value}'"));
        let opening = settings.fold(LENT_BEGIN.to_owned(), |text, setting| text + &setting);
        let db = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
        Self { opening: Some(opening.into()), ..Self::own(db) }
    }

    /// `SeaORM`'s connection, for work that does not depend on a session's settings.
    pub(in crate::store) fn db(&self) -> Arc<DatabaseConnection> {
        self.db.load_full()
    }

    /// Replaces the pool, and drops the unused connections of the old one. A caller that still
    /// waits in the old pool takes no place in the new one.
    pub(in crate::store) fn renew(&self, pool: PgPool) {
        let fresh = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
        let before = self.db.swap(Arc::new(fresh));
        let before = before.get_postgres_connection_pool();
        while let Some(connection) = before.try_acquire() {
            drop(connection.detach());
        }
        if let Some(watch) = &self.watch {
            watch.last_move.note();
        }
    }

    /// Runs work that takes a connection and sends one statement over it. The circuit
    /// breaker is told if the connection does not answer, and if none was free in a pool in which
    /// nothing has happened for longer than a statement may take.
    pub(in crate::store) async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, DbErr>>,
    ) -> Result<T, DbErr> {
        let Some(watch) = &self.watch else { return work.await };
        let mut work = std::pin::pin!(work);
        match tokio::time::timeout(watch.call_limit, &mut work).await {
            Ok(result) => {
                // The pool checks a returned connection without a limit: one that falls silent just
                // then keeps its place.
                let found_none = result.as_ref().is_err_and(is_none_free);
                if !found_none {
                    watch.last_move.note();
                } else if watch.last_move.elapsed() > watch.statement_limit {
                    circuit_breaker::stands_still_in_call();
                }
                result
            }
            Err(_) => {
                // Reported while the work still holds its connection, so that no other caller gets
                // it.
                circuit_breaker::fell_silent_in_call();
                Err(failed(sqlx::Error::Io(io::ErrorKind::TimedOut.into())))
            }
        }
    }

    /// Closes the sessions of the pool.
    ///
    /// # Errors
    /// If the database refuses.
    pub(in crate::store) async fn close(self) -> Result<(), StoreError> {
        Ok(self.db().close_by_ref().await?)
    }

    /// True if a pooler lends the sessions.
    pub(in crate::store) const fn is_lent(&self) -> bool {
        self.opening.is_some()
    }

    /// Begins a transaction over a lent session. `None` if sessions are our own.
    pub(in crate::store) async fn begin_lent(&self) -> Result<Option<LentTx>, StoreError> {
        match &self.opening {
            Some(opening) => {
                Ok(Some(self.in_time(LentTx::begin(self.db(), opening.clone())).await?))
            }
            None => Ok(None),
        }
    }
}

/// Behind a pooler, a statement outside a transaction gets a transaction of its own.
impl ConnectionTrait for Sessions {
    fn get_database_backend(&self) -> DatabaseBackend {
        self.db.load().get_database_backend()
    }

    fn execute_raw<'a, 'f>(&'a self, statement: Statement) -> SqlFuture<'f, ExecResult>
    where
        'a: 'f,
    {
        let db = self.db();
        Box::pin(self.in_time(async move {
            let Some(opening) = self.opening.clone() else {
                return db.execute_raw(statement).await;
            };
            let tx = LentTx::begin(db, opening).await?;
            let result = tx.execute(statement).await?;
            tx.commit().await?;
            Ok(result)
        }))
    }

    fn execute_unprepared<'a, 't, 'f>(&'a self, text: &'t str) -> SqlFuture<'f, ExecResult>
    where
        'a: 'f,
        't: 'f,
    {
        let db = self.db();
        // Without parameters, the text is sent as one message.
        Box::pin(self.in_time(async move { db.execute_unprepared(text).await }))
    }

    fn query_one_raw<'a, 'f>(&'a self, statement: Statement) -> SqlFuture<'f, Option<QueryResult>>
    where
        'a: 'f,
    {
        let rows = self.query_all_raw(statement);
        Box::pin(async move { Ok(rows.await?.into_iter().next()) })
    }

    fn query_all_raw<'a, 'f>(&'a self, statement: Statement) -> SqlFuture<'f, Vec<QueryResult>>
    where
        'a: 'f,
    {
        let db = self.db();
        Box::pin(self.in_time(async move {
            let Some(opening) = self.opening.clone() else {
                return db.query_all_raw(statement).await;
            };
            let tx = LentTx::begin(db, opening).await?;
            let rows = tx.query(statement).await?;
            tx.commit().await?;
            Ok(rows)
        }))
    }
}

/// A transaction over a lent session. It rolls back if it is dropped without [`LentTx::commit`].
pub(in crate::store) struct LentTx(Mutex<Transaction<'static, Postgres>>);

impl LentTx {
    async fn begin(db: Arc<DatabaseConnection>, opening: Arc<str>) -> Result<Self, DbErr> {
        let pool = db.get_postgres_connection_pool();
        // The future of a new connection has 190 KB: without a box, all that hold it move that.
        let begun = Box::pin(pool.begin_with(AssertSqlSafe(opening))).await.map_err(failed)?;
        Ok(Self(Mutex::new(begun)))
    }

    /// Runs a statement and returns its rows.
    pub(in crate::store) async fn query(
        &self,
        statement: Statement,
    ) -> Result<Vec<QueryResult>, DbErr> {
        let mut tx = self.0.lock().await;
        let rows = nameless(statement).fetch_all(&mut **tx).await.map_err(failed)?;
        Ok(rows.into_iter().map(QueryResult::from).collect())
    }

    /// Runs a statement and returns the number of rows that it changed.
    pub(in crate::store) async fn execute(
        &self,
        statement: Statement,
    ) -> Result<ExecResult, DbErr> {
        let mut tx = self.0.lock().await;
        Ok(nameless(statement).execute(&mut **tx).await.map_err(failed)?.into())
    }

    /// Commits the transaction.
    pub(in crate::store) async fn commit(self) -> Result<(), DbErr> {
        self.0.into_inner().commit().await.map_err(failed)
    }
}

/// A statement without a name. A name could already be taken by another client's statement on the
/// lent session.
fn nameless(
    statement: Statement,
) -> sqlx::query::Query<'static, Postgres, <Postgres as sqlx::Database>::Arguments> {
    let values = SqlxValues(statement.values.unwrap_or_else(|| sea_orm::Values(Vec::new())));
    let arguments: PgArguments = sqlx::IntoArguments::<Postgres>::into_arguments(values);
    sqlx::query_with(AssertSqlSafe(statement.sql), arguments).persistent(false)
}

/// How many of `open` connections are in use, and how many wait to be used. sqlx counts one that
/// waits a moment after others can take it, so its count can be one below zero.
fn busy_and_idle(open: usize, idle: usize) -> (usize, usize) {
    let idle = usize::try_from(idle.cast_signed()).unwrap_or_default().min(open);
    (open - idle, idle)
}

fn failed(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}

/// A start parameter of a session. If a later statement reads it back, the session is our own.
const MARK: (&str, &str) = ("postroom.session", "own");
const READ_MARK: &str = "select coalesce(current_setting('postroom.session', true), '')";

/// Whether sessions are our own: an own session keeps its start parameters. Poolers refuse start
/// parameters that they do not know, or drop them.
///
/// # Errors
/// If the connection fails for another reason.
pub(in crate::store) async fn are_own(options: &PgConnectOptions) -> Result<bool, StoreError> {
    let mut session = match PgConnection::connect_with(&options.clone().options([MARK])).await {
        Ok(session) => session,
        Err(error) if is_refused(&error) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    // Sent as one message, so that a pooler does not split it.
    let row = session.fetch_one(sqlx::raw_sql(READ_MARK)).await?;
    session.close().await?;
    Ok(row.try_get::<String, _>(0)? == MARK.1)
}

/// True if the other side refuses start parameters: `protocol_violation`, `feature_not_supported`.
fn is_refused(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("08P01" | "0A000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_of_waiting_connections_that_is_below_zero_means_none() {
        for (open, idle, wanted) in [
            (0, 0, (0, 0)),
            (8, 3, (5, 3)),
            (8, 8, (0, 8)),
            // Some were closed between the two counts.
            (2, 3, (0, 2)),
            (4, 0_usize.wrapping_sub(1), (4, 0)),
            (0, 0_usize.wrapping_sub(2), (0, 0)),
        ] {
            assert_eq!(busy_and_idle(open, idle), wanted, "{open} open, {idle} of them wait");
        }
    }
}
