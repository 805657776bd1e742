//! Opens the database, with the settings that the guarantees depend on.

use super::{
    StoreError,
    circuit_breaker::{CircuitBreaker, GuardedPool, Probe},
    connections::Connections,
    last_failed_write::LastFailedWrite,
    news::NewsListener,
    sessions::{self, LENT_BEGIN, LastMove, Sessions, Watch},
    sql::sql,
    statement_end::{API_STATEMENT_MAX, StatementEnd},
    timings::Timings,
    tx::read,
    writer_token::WriterTokens,
};
use crate::{
    config::{self, Pooler},
    telemetry::faults::Faults,
};
use sea_orm::{ConnectionTrait, DatabaseBackend, SqlxPostgresConnector, SqlxSqliteConnector};
use sqlx::{
    ConnectOptions, Connection, PgConnection, SqliteConnection,
    postgres::{PgConnectOptions, PgPool, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{path::PathBuf, str::FromStr, sync::Arc, time::Duration};

/// Connections that read from SQLite, beside its one writer.
const SQLITE_READER_COUNT: u32 = 4;
/// How long SQLite waits for a lock of another process (a backup, a shell) before it gives up.
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// SQLite copies its log back after this many pages: 4 MiB at 4 KiB a page.
const SQLITE_CHECKPOINT_PAGES: &str = "1000";
/// Cache of SQLite's writer in KiB (negative, as the pragma wants it): the keys that every group
/// reads.
const SQLITE_WRITER_CACHE: &str = "-65536";
/// Cache of each reader in KiB. It is smaller, because there are several readers and the system
/// caches the file, too.
const SQLITE_READER_CACHE: &str = "-12288";
/// Cache of each connection of the admin API in KiB. Its lists read megabytes that are not read
/// again soon.
const SQLITE_API_CACHE: &str = "-2048";
/// SQLite truncates its log to this size after a checkpoint.
const SQLITE_WAL_LIMIT_BYTES: &str = "16777216";
/// Connections for the admin API and the metrics alone, in addition to `database.max_connections`:
/// a slow page takes no connection from webhooks, claims and handlers.
const API_CONNECTIONS: u32 = 2;
/// After this many steps, which take some hundred microseconds, SQLite's virtual machine checks
/// whether a statement of the admin API has run too long.
const SQLITE_STEPS_A_CHECK: i32 = 10_000;
/// An unused connection to PostgreSQL is closed after this long. Firewalls silently forget a
/// connection after 4 minutes or more.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection that has been idle for this long is checked before use, which costs a round trip.
const IDLE_UNCHECKED: Duration = Duration::from_secs(10);
/// How long that check may take.
const CHECK_LIMIT: Duration = Duration::from_secs(1);
/// If a statement takes longer, its connection counts as silent: the server ends statements after
/// [`POSTGRES_TIMEOUTS`].
const STATEMENT_LIMIT: Duration = Duration::from_secs(10);
/// What every transaction depends on, set against other defaults of the database or the role. In
/// `read committed`, a statement that waited for a lock sees what was committed meanwhile.
const POSTGRES_TRANSACTIONS: [(&str, &str); 2] =
    [("default_transaction_isolation", "read committed"), ("default_transaction_read_only", "off")];
/// As [`POSTGRES_TIMEOUTS`], for the admin API.
const POSTGRES_API_TIMEOUTS: [(&str, &str); 3] = [
    ("statement_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "8s"),
    ("lock_timeout", "2s"),
];
/// Statements and idle transactions end before the claim's floor may rise above their turns
/// (`domain::fairness::TRANSACTION_MAX`).
const POSTGRES_TIMEOUTS: [(&str, &str); 3] = [
    ("statement_timeout", "8s"),
    ("idle_in_transaction_session_timeout", "8s"),
    ("lock_timeout", "8s"),
];

/// Planner settings of all connections except those for scans: each statement finds its rows by
/// key. Without these, PostgreSQL reads a table with old or missing statistics whole and joins it
/// by hash until vacuum has analysed it: a new database took twice as long for each group of
/// webhooks.
const POSTGRES_PLANS_BY_KEY: [(&str, &str); 5] = [
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

/// The path of the SQLite file that `url` names, or `None` for another database.
pub fn sqlite_path(url: &str) -> Option<PathBuf> {
    let options =
        url.starts_with("sqlite:").then(|| SqliteConnectOptions::from_str(url).ok())??;
    Some(options.get_filename().to_owned())
}

/// Disables the logging of statements, except in debug builds, where
/// `telemetry.log = "info,sqlx::query=debug"` shows them. In release builds, even the check whether
/// that level is enabled costs too much.
fn quiet<O: ConnectOptions>(options: O) -> O {
    if cfg!(debug_assertions) { options } else { options.disable_statement_logging() }
}

/// Opens one connection for migrations, without time-outs for statements.
pub(in crate::store) async fn open_for_migration(
    cfg: &config::DatabaseConfig,
) -> Result<Sessions, StoreError> {
    if sqlite_path(cfg.url.expose()).is_some() {
        return one_sqlite(cfg, sqlite_options(cfg)?).await;
    }
    one_postgres(cfg, "postroom migrate").await
}

/// Opens one connection that only reads, for a look at a database that a daemon may use. On SQLite
/// it takes no lock that a daemon takes, and makes no file.
pub(in crate::store) async fn open_to_look(
    cfg: &config::DatabaseConfig,
) -> Result<Sessions, StoreError> {
    let Some(path) = sqlite_path(cfg.url.expose()) else {
        return one_postgres(cfg, "postroom doctor").await;
    };
    let options = SqliteConnectOptions::from_str(cfg.url.expose())?
        .read_only(true)
        .create_if_missing(false)
        .busy_timeout(SQLITE_BUSY_TIMEOUT)
        // Without a write-ahead log nobody uses the file, and a plain reader would make a log.
        .immutable(!log_beside(path).exists());
    one_sqlite(cfg, quiet(options)).await
}

/// Opens one connection to a SQLite file for a backup.
pub(in crate::store) async fn of_backup(
    options: SqliteConnectOptions,
) -> Result<SqliteConnection, StoreError> {
    let options = quiet(options.busy_timeout(SQLITE_BUSY_TIMEOUT));
    Ok(SqliteConnection::connect_with(&options).await?)
}

async fn one_sqlite(
    cfg: &config::DatabaseConfig,
    options: SqliteConnectOptions,
) -> Result<Sessions, StoreError> {
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(cfg.acquire_timeout)
        .connect_with(options)
        .await?;
    Ok(Sessions::own(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool)))
}

async fn one_postgres(
    cfg: &config::DatabaseConfig,
    name: &'static str,
) -> Result<Sessions, StoreError> {
    let cfg = resolved(cfg).await?;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(cfg.acquire_timeout)
        .connect_with({
            let options = postgres_options(&cfg)?.application_name(name);
            let is_own = cfg.pooler != Pooler::Transaction;
            let options = if is_own { options.options(POSTGRES_TRANSACTIONS) } else { options };
            options.disable_statement_logging()
        })
        .await?;
    Ok(match cfg.pooler {
        Pooler::Transaction => Sessions::lent(pool, []),
        Pooler::Auto | Pooler::None => {
            Sessions::own(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
        }
    })
}

/// The options of every connection to PostgreSQL. A pooler takes only the common start parameters.
fn postgres_options(cfg: &config::DatabaseConfig) -> Result<PgConnectOptions, StoreError> {
    let options = quiet(PgConnectOptions::from_str(cfg.url.expose())?);
    Ok(match cfg.pooler {
        Pooler::Transaction => options.extra_float_digits(None).statement_cache_capacity(0),
        Pooler::Auto | Pooler::None => options.statement_cache_capacity(200),
    })
}

/// The same configuration. If its pooler is [`Pooler::Auto`], one connection finds out whether
/// there is a pooler between this process and PostgreSQL.
pub(in crate::store) async fn resolved(
    cfg: &config::DatabaseConfig,
) -> Result<config::DatabaseConfig, StoreError> {
    let mut cfg = cfg.clone();
    if cfg.pooler == Pooler::Auto && !cfg.url.is_sqlite() {
        let options = postgres_options(&cfg)?.application_name("postroom");
        let found = tokio::time::timeout(cfg.acquire_timeout, sessions::are_own(&options)).await;
        let are_own = found
            .unwrap_or_else(|_| Err(StoreError::Unreachable("no connection in time".to_owned())))
            .map_err(StoreError::while_connecting)?;
        cfg.pooler = if are_own { Pooler::None } else { Pooler::Transaction };
    }
    Ok(cfg)
}

sql! {
    /// The settings of a PostgreSQL server that say whether a commit is flushed before it is
    /// acknowledged.
    static READ_DURABILITY =
        "select current_setting('fsync') as fsync, current_setting('synchronous_commit') as synchronous_commit";
}

/// The settings of the server by which an acknowledged webhook can be lost. Empty if there are
/// none.
pub(in crate::store) async fn undurable(sessions: &Sessions) -> Result<Vec<String>, StoreError> {
    if sessions.get_database_backend() == DatabaseBackend::Sqlite {
        return Ok(Vec::new());
    }
    let mut off = Vec::new();
    for row in read(sessions, &READ_DURABILITY, []).await? {
        for name in ["fsync", "synchronous_commit"] {
            let value: String = row.try_get("", name)?;
            if value == "off" {
                off.push(format!("{name} = off"));
            }
        }
    }
    Ok(off)
}

/// Creates a database on the PostgreSQL server that `url` names.
///
/// # Errors
/// If the server is unreachable or refuses.
pub async fn create_database(url: &str, name: &str) -> Result<(), StoreError> {
    on_server(url, &format!("create database \"{name}\"")).await
}

/// Drops such a database, and ends the connections to it.
///
/// # Errors
/// If the server is unreachable or refuses.
pub async fn drop_database(url: &str, name: &str) -> Result<(), StoreError> {
    on_server(url, &format!("drop database if exists \"{name}\" with (force)")).await
}

async fn on_server(url: &str, statement: &str) -> Result<(), StoreError> {
    // Only options that a pooler accepts: the statement needs no session.
    let options =
        PgConnectOptions::from_str(url)?.disable_statement_logging().extra_float_digits(None);
    let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await?;
    let db = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
    db.execute_unprepared(statement).await?;
    Ok(db.close().await?)
}

/// Opens one connection, for a thread of its own.
pub(in crate::store) async fn open_one(
    cfg: &config::DatabaseConfig,
) -> Result<Connections, StoreError> {
    postgres(&config::DatabaseConfig { max_connections: 1, ..cfg.clone() }).await
}

/// The pool of a listener: one connection, without time-outs for statements. The listener checks by
/// itself whether the other side is still there.
pub(in crate::store) async fn listener_pool(
    cfg: &config::DatabaseConfig,
) -> Result<PgPool, StoreError> {
    Ok(PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(cfg.acquire_timeout)
        .connect_with(
            postgres_options(cfg)?
                .application_name("postroom listener")
                .disable_statement_logging(),
        )
        .await?)
}

/// Opens connections to the configured database. Must run on the runtime that will use them: a
/// sqlx connection belongs to the runtime that opened it.
pub(in crate::store) async fn open(
    cfg: &config::DatabaseConfig,
) -> Result<Connections, StoreError> {
    match sqlite_path(cfg.url.expose()) {
        Some(_) => sqlite(cfg).await,
        None => postgres(cfg).await,
    }
}

/// The settings of every connection to SQLite.
fn sqlite_options(cfg: &config::DatabaseConfig) -> Result<SqliteConnectOptions, StoreError> {
    let options = SqliteConnectOptions::from_str(cfg.url.expose())?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(SQLITE_BUSY_TIMEOUT)
        .pragma("wal_autocheckpoint", SQLITE_CHECKPOINT_PAGES)
        .pragma("journal_size_limit", SQLITE_WAL_LIMIT_BYTES)
        .pragma("cache_size", SQLITE_WRITER_CACHE)
        .pragma("temp_store", "memory")
        .statement_cache_capacity(200);
    Ok(quiet(options))
}

/// Opens SQLite with one writer, which is opened first and never closed. SQLite has one writer at a
/// time: callers wait in the pool's queue and never get "database is locked".
async fn sqlite(cfg: &config::DatabaseConfig) -> Result<Connections, StoreError> {
    // The writer.
    let options = sqlite_options(cfg)?;
    let writer = SqlitePoolOptions::new()
        .min_connections(1)
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .acquire_timeout(cfg.acquire_timeout)
        // When the disk is full, SQLite ends a transaction by itself. It then refuses the driver's
        // rollback, and the driver still counts the transaction: each later transaction would be a
        // savepoint in one that is never committed.
        .before_acquire(|connection, _| {
            let is_clean = !connection.is_in_transaction();
            Box::pin(async move { Ok(is_clean) })
        })
        .connect_with(options.clone())
        .await?;
    // The readers, and those of the admin API, whose statements are limited.
    let of_readers =
        options.pragma("cache_size", SQLITE_READER_CACHE).read_only(true).create_if_missing(false);
    let readers = SqlitePoolOptions::new()
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .acquire_timeout(cfg.acquire_timeout);
    let reader = readers
        .clone()
        .min_connections(1)
        .max_connections(SQLITE_READER_COUNT)
        .connect_with(of_readers.clone())
        .await?;
    let api = readers
        .max_connections(API_CONNECTIONS)
        .after_connect(|connection, _| Box::pin(bound_statements(connection)))
        .before_acquire(|connection, _| {
            Box::pin(async move { bound_statements(connection).await.map(|()| true) })
        })
        .connect_lazy_with(
            of_readers.pragma("cache_size", SQLITE_API_CACHE).busy_timeout(API_STATEMENT_MAX),
        );
    let timings = Timings::default();
    let sessions = |pool, purpose| {
        Sessions::own(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool)).noting(purpose, &timings)
    };
    let reader = sessions(reader, "read");
    Ok(Connections {
        backend: DatabaseBackend::Sqlite,
        writer: sessions(writer, "alone"),
        tokens: WriterTokens::one(),
        scans: reader.clone(),
        reader,
        api: sessions(api, "api"),
        timings,
        has_caps: Arc::default(),
        last_failed_write: LastFailedWrite::default(),
        news: NewsListener::default(),
        breaker: None,
        faults: Arc::new(Faults::from_env()),
        log_path: sqlite_path(cfg.url.expose()).map(log_beside),
    })
}

/// The write-ahead log of a SQLite file.
fn log_beside(file: PathBuf) -> PathBuf {
    let mut path = file.into_os_string();
    path.push("-wal");
    path.into()
}

/// Limits each statement for which this connection will now be used to [`API_STATEMENT_MAX`]. After
/// that, SQLite interrupts it. A snapshot extends the time before each of its statements.
async fn bound_statements(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let end = StatementEnd::of_connection(API_STATEMENT_MAX);
    let may_go_on = move || !end.has_passed();
    connection.lock_handle().await?.set_progress_handler(SQLITE_STEPS_A_CHECK, may_go_on);
    Ok(())
}

/// Opens PostgreSQL. Readers get connections of their own, so that a page of the API never waits
/// behind a flood of webhooks.
async fn postgres(cfg: &config::DatabaseConfig) -> Result<Connections, StoreError> {
    // The limits and the breaker, which every pool shares.
    let cfg = resolved(cfg).await?;
    let faults = Arc::new(Faults::from_env());
    let statement_limit = faults.limit("statement", STATEMENT_LIMIT);
    let call_limit = cfg.acquire_timeout + statement_limit;
    let breaker = CircuitBreaker::new(probe(&cfg)?, cfg.acquire_timeout, cfg.max_connections);
    // How sessions for one purpose are made: their number, their settings, and how the breaker
    // replaces their pool.
    let plain = postgres_options(&cfg)?.application_name("postroom");
    let is_lent = cfg.pooler == Pooler::Transaction;
    let mut guarded = Vec::new();
    let mut sessions = |connections: u32, settings: &[(&str, &str)]| {
        let options = match is_lent {
            true => plain.clone(),
            false => plain.clone().options(POSTGRES_TRANSACTIONS).options(settings.iter().copied()),
        };
        let last_move = LastMove::default();
        let pools = postgres_pool(&cfg, &breaker, connections, &last_move);
        let pool = pools.clone().connect_lazy_with(options.clone());
        let sessions = match is_lent {
            true => Sessions::lent(pool, settings),
            false => Sessions::own(SqlxPostgresConnector::from_sqlx_postgres_pool(pool)),
        };
        let sessions = sessions.watched(Watch { call_limit, statement_limit, last_move });
        let behind_breaker = sessions.clone();
        guarded.push(GuardedPool::new(move || {
            behind_breaker.renew(pools.clone().connect_lazy_with(options.clone()));
        }));
        sessions
    };
    // Two thirds write; one of the readers is for scans, if there are at least two.
    let by_key: Vec<_> = POSTGRES_TIMEOUTS.into_iter().chain(POSTGRES_PLANS_BY_KEY).collect();
    let readers = cfg.max_connections / 3;
    let writer = sessions(cfg.max_connections - readers, &by_key);
    let (reader, scans) = match readers {
        0 => (writer.clone(), writer.clone()),
        1 => {
            let reader = sessions(1, &by_key);
            (reader.clone(), reader)
        }
        _ => (sessions(readers - 1, &by_key), sessions(1, &POSTGRES_TIMEOUTS)),
    };
    // The admin API.
    let of_api: Vec<_> = POSTGRES_API_TIMEOUTS.into_iter().chain(POSTGRES_PLANS_BY_KEY).collect();
    let api = sessions(API_CONNECTIONS, &of_api);
    breaker.set_pools(guarded);
    let timings = Timings::default();
    let (writer, reader) = (writer.noting("alone", &timings), reader.noting("read", &timings));
    let (scans, api) = (scans.noting("read", &timings), api.noting("api", &timings));
    Ok(Connections {
        timings,
        backend: DatabaseBackend::Postgres,
        writer,
        tokens: WriterTokens::unlimited(),
        reader,
        scans,
        api,
        has_caps: Arc::default(),
        last_failed_write: LastFailedWrite::default(),
        news: NewsListener::default(),
        breaker: Some(breaker),
        log_path: None,
        faults,
    })
}

/// How a probe connects: with the settings that the transactions of the pools depend on.
fn probe(cfg: &config::DatabaseConfig) -> Result<Probe, StoreError> {
    let options = postgres_options(cfg)?.application_name("postroom").disable_statement_logging();
    Ok(match cfg.pooler {
        Pooler::Transaction => Probe { options, opening: Some(LENT_BEGIN.to_owned()) },
        Pooler::Auto | Pooler::None => {
            Probe { options: options.options(POSTGRES_TRANSACTIONS), opening: None }
        }
    })
}

/// The options of a pool of at most `most` connections. It drops a returned connection that was
/// opened before the pools were last replaced. It opens connections only on demand: a pool that
/// keeps some open would try to connect by itself while the server is away.
fn postgres_pool(
    cfg: &config::DatabaseConfig,
    breaker: &Arc<CircuitBreaker>,
    most: u32,
    last_move: &LastMove,
) -> PgPoolOptions {
    // Weak, because the breaker holds its pools: neither would ever be dropped.
    let (of_release, of_acquire) = (Arc::downgrade(breaker), Arc::downgrade(breaker));
    let [connected, taken, given_back] = std::array::from_fn(|_| last_move.clone());
    PgPoolOptions::new()
        .max_connections(most.max(1))
        .idle_timeout(IDLE_TIMEOUT)
        .test_before_acquire(false)
        .acquire_timeout(cfg.acquire_timeout)
        .after_connect(move |_, _| {
            connected.note();
            Box::pin(async { Ok(()) })
        })
        .before_acquire(move |session, meta| {
            taken.note();
            let must_check =
                of_acquire.upgrade().is_some_and(|breaker| breaker.must_check(meta.idle_for));
            let is_checked = must_check || meta.idle_for >= IDLE_UNCHECKED;
            Box::pin(async move { if is_checked { is_sound(session).await } else { Ok(true) } })
        })
        .after_release(move |_, meta| {
            given_back.note();
            let may_return =
                of_release.upgrade().is_none_or(|breaker| breaker.may_return(meta.age));
            // An error, because `Ok(false)` closes the connection with a message and waits for the
            // other side.
            let stale = || sqlx::Error::Protocol("from before the database was away".to_owned());
            Box::pin(async move { if may_return { Ok(true) } else { Err(stale()) } })
        })
}

/// Whether a connection answers without an error.
///
/// # Errors
/// If it does not answer in time. An error, because `Ok(false)` closes the connection with a
/// message and waits for the other side.
async fn is_sound(session: &mut PgConnection) -> Result<bool, sqlx::Error> {
    match tokio::time::timeout(CHECK_LIMIT, session.ping()).await {
        Ok(answer) => Ok(answer.is_ok()),
        Err(_) => Err(sqlx::Error::Protocol("an idle connection fell silent".to_owned())),
    }
}

/// Tries once whether PostgreSQL is there and takes writes. Does nothing on SQLite.
///
/// # Errors
/// If it is unreachable or takes no writes.
pub async fn reach(cfg: &config::DatabaseConfig) -> Result<(), StoreError> {
    match sqlite_path(cfg.url.expose()) {
        Some(_) => Ok(()),
        // Finding out whether there is a pooler is an attempt of its own, which every pooler
        // accepts.
        None => probe(&resolved(cfg).await?)?.attempt().await,
    }
}
