//! How statements reach the database: over sessions that are our own, or over such as a pooler lends for one
//! transaction at a time (docs/decisions/0014).
//!
//! What a session keeps (prepared statements, settings) is lost or somebody else's as soon as it is lent anew.
//! So behind a pooler every statement belongs to a transaction that begins with its settings, and is sent
//! without a name.

use super::{StoreError, circuit_breaker};
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
use std::{io, pin::Pin, sync::Arc, time::Duration};
use tokio::sync::Mutex;

/// What `SeaORM` wants its futures to be.
type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, DbErr>> + Send + 'a>>;

/// Begins a transaction over a lent session, whatever the defaults of the database or the role are.
pub(in crate::store) const LENT_BEGIN: &str = "begin isolation level read committed read write";

/// Sessions for one purpose.
#[derive(Clone, Debug)]
pub(in crate::store) struct Sessions {
    /// Shared by all clones, so that all of them go on with the next pool.
    db: Arc<ArcSwap<DatabaseConnection>>,
    /// Behind a pooler: the text that begins a transaction and makes its settings.
    opening: Option<Arc<str>>,
    /// How long a statement may take together with the wait for its connection; after that its connection
    /// counts as silent. `None` on SQLite, which has no other side.
    limit: Option<Duration>,
}

impl Sessions {
    /// Sessions that are our own for as long as they are open.
    pub(in crate::store) fn own(db: DatabaseConnection) -> Self {
        Self { db: Arc::new(ArcSwap::from_pointee(db)), opening: None, limit: None }
    }

    /// The same, with a limit for a statement together with the wait for its connection. The server ends
    /// statements sooner, so a connection that takes longer answers nothing any more.
    #[must_use]
    pub(in crate::store) fn with_limit(self, limit: Duration) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// Sessions that are lent for a transaction, which begins with these settings.
    pub(in crate::store) fn lent<'a>(
        pool: PgPool,
        settings: impl IntoIterator<Item = &'a (&'a str, &'a str)>,
    ) -> Self {
        let settings = settings.into_iter().map(|it| format!("; set local {} = '{}'", it.0, it.1));
        let opening = settings.fold(LENT_BEGIN.to_owned(), |text, it| text + &it);
        let db = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
        Self { opening: Some(opening.into()), ..Self::own(db) }
    }

    /// `SeaORM`'s connection, for what needs no session.
    pub(in crate::store) fn db(&self) -> Arc<DatabaseConnection> {
        self.db.load_full()
    }

    /// Goes on with another pool, and drops the connections of the one before that nobody uses. Whatever still hangs in
    /// that one keeps no room in this.
    pub(in crate::store) fn renew(&self, pool: PgPool) {
        let fresh = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
        let before = self.db.swap(Arc::new(fresh));
        let before = before.get_postgres_connection_pool();
        while let Some(connection) = before.try_acquire() {
            drop(connection.detach());
        }
    }

    /// Runs work that takes a connection and sends one statement over it.
    pub(in crate::store) async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, DbErr>>,
    ) -> Result<T, DbErr> {
        let Some(limit) = self.limit else { return work.await };
        let mut work = std::pin::pin!(work);
        match tokio::time::timeout(limit, &mut work).await {
            Ok(result) => result,
            Err(_) => {
                // Said while the work still has its connection: nobody is to wait for that one.
                circuit_breaker::fell_silent_in_call();
                Err(failed(sqlx::Error::Io(io::ErrorKind::TimedOut.into())))
            }
        }
    }

    /// Closes them.
    pub(in crate::store) async fn close(self) -> Result<(), StoreError> {
        Ok(self.db().close_by_ref().await?)
    }

    /// True behind a pooler.
    pub(in crate::store) const fn is_lent(&self) -> bool {
        self.opening.is_some()
    }

    /// Begins a transaction over a session that is lent for it; `None` where sessions are our own.
    pub(in crate::store) async fn begin_lent(&self) -> Result<Option<LentTx>, StoreError> {
        match &self.opening {
            Some(opening) => {
                let begin = Box::pin(LentTx::begin(self.db(), opening.clone()));
                Ok(Some(self.in_time(begin).await?))
            }
            None => Ok(None),
        }
    }
}

/// A statement outside of a transaction is one of its own behind a pooler.
impl ConnectionTrait for Sessions {
    fn get_database_backend(&self) -> DatabaseBackend {
        self.db.load().get_database_backend()
    }

    fn execute_raw<'a, 'f>(&'a self, statement: Statement) -> Answer<'f, ExecResult>
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

    fn execute_unprepared<'a, 't, 'f>(&'a self, text: &'t str) -> Answer<'f, ExecResult>
    where
        'a: 'f,
        't: 'f,
    {
        let db = self.db();
        // Without parameters it goes over the wire as one message, whole.
        Box::pin(self.in_time(async move { db.execute_unprepared(text).await }))
    }

    fn query_one_raw<'a, 'f>(&'a self, statement: Statement) -> Answer<'f, Option<QueryResult>>
    where
        'a: 'f,
    {
        let rows = self.query_all_raw(statement);
        Box::pin(async move { Ok(rows.await?.into_iter().next()) })
    }

    fn query_all_raw<'a, 'f>(&'a self, statement: Statement) -> Answer<'f, Vec<QueryResult>>
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

/// A transaction over a session that is lent for it. Dropped without [`LentTx::commit`], it rolls back.
pub(in crate::store) struct LentTx(Mutex<Transaction<'static, Postgres>>);

impl LentTx {
    async fn begin(db: Arc<DatabaseConnection>, opening: Arc<str>) -> Result<Self, DbErr> {
        let pool = db.get_postgres_connection_pool();
        let begun = pool.begin_with(AssertSqlSafe(opening)).await.map_err(failed)?;
        Ok(Self(Mutex::new(begun)))
    }

    /// Runs a statement and gives its rows.
    pub(in crate::store) async fn query(
        &self,
        statement: Statement,
    ) -> Result<Vec<QueryResult>, DbErr> {
        let mut tx = self.0.lock().await;
        let rows = nameless(statement).fetch_all(&mut **tx).await.map_err(failed)?;
        Ok(rows.into_iter().map(QueryResult::from).collect())
    }

    /// Runs a statement.
    pub(in crate::store) async fn execute(
        &self,
        statement: Statement,
    ) -> Result<ExecResult, DbErr> {
        let mut tx = self.0.lock().await;
        Ok(nameless(statement).execute(&mut **tx).await.map_err(failed)?.into())
    }

    /// Commits.
    pub(in crate::store) async fn commit(self) -> Result<(), DbErr> {
        self.0.into_inner().commit().await.map_err(failed)
    }
}

/// A statement without a name: one that has a name would meet another's of that name on the next session.
fn nameless(
    statement: Statement,
) -> sqlx::query::Query<'static, Postgres, <Postgres as sqlx::Database>::Arguments> {
    let values = SqlxValues(statement.values.unwrap_or_else(|| sea_orm::Values(Vec::new())));
    let arguments: PgArguments = sqlx::IntoArguments::<Postgres>::into_arguments(values);
    sqlx::query_with(AssertSqlSafe(statement.sql), arguments).persistent(false)
}

fn failed(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}

/// What a session is started with, to see whether it is still there.
const MARK: (&str, &str) = ("postroom.session", "own");
const READ_MARK: &str = "select coalesce(current_setting('postroom.session', true), '')";

/// Whether a session is our own: one keeps what it was started with. Poolers refuse start parameters that they do
/// not know, or leave them out.
pub(in crate::store) async fn are_own(options: &PgConnectOptions) -> Result<bool, StoreError> {
    let mut session = match PgConnection::connect_with(&options.clone().options([MARK])).await {
        Ok(session) => session,
        Err(error) if is_refused(&error) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    // As one message, which no pooler takes apart.
    let row = session.fetch_one(sqlx::raw_sql(READ_MARK)).await?;
    session.close().await?;
    Ok(row.try_get::<String, _>(0)? == MARK.1)
}

/// True where the other side does not take start parameters: `protocol_violation`, `feature_not_supported`.
fn is_refused(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("08P01" | "0A000"))
}
