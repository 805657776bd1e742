//! Opens the database, with the settings that the guarantees rest on.

use super::{StoreError, sql::Sql, tx::read};
use crate::{config, telemetry::faults::Faults};
use sea_orm::{
    ConnectionTrait, DatabaseBackend, DatabaseConnection, SqlxPostgresConnector,
    SqlxSqliteConnector,
};
use sqlx::{
    ConnectOptions,
    postgres::{PgConnectOptions, PgPool, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{
    path::PathBuf,
    str::FromStr,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

/// How many connections read from SQLite beside its one writer.
const SQLITE_READER_COUNT: u32 = 4;
/// How long SQLite waits for a lock of another process (a backup, a shell) before it gives up.
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Pages after which SQLite copies its log back; 4 MiB at 4 KiB a page.
const SQLITE_CHECKPOINT_PAGES: &str = "1000";
/// What SQLite's writer keeps of the file in memory: the keys that every group looks into.
const SQLITE_WRITER_CACHE: &str = "-65536";
/// What each reader keeps: less, because the system keeps the file, too, and there are several.
const SQLITE_READER_CACHE: &str = "-12288";
/// The log file is cut to this size after a checkpoint.
const SQLITE_WAL_LIMIT_BYTES: &str = "16777216";
/// Statements, and transactions that sit idle, end before the claim's floor may rise over their turns
/// (`domain::fairness::TRANSACTION_MAX`).
const POSTGRES_TIMEOUTS: [(&str, &str); 3] = [
    ("statement_timeout", "8s"),
    ("idle_in_transaction_session_timeout", "8s"),
    ("lock_timeout", "8s"),
];

/// How connections that write are planned: each of their statements finds its rows by key, group by group.
/// Without this, a table whose statistics are old or missing is read whole and joined by hash, until
/// vacuum comes by (a fresh database took 2 × as long for each group of webhooks).
const POSTGRES_WRITER_PLANS: [(&str, &str); 4] = [
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

/// The connections: those that write, and those that only read.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    pub(super) backend: DatabaseBackend,
    pub(super) writer: DatabaseConnection,
    pub(super) reader: DatabaseConnection,
    /// True once the configuration caps some client's jobs at once.
    pub(super) has_caps: Arc<AtomicBool>,
    /// Where tests end the process.
    pub(super) faults: Arc<Faults>,
    /// Where SQLite keeps what it has not copied into its file yet.
    pub(super) log_path: Option<PathBuf>,
}

/// The path of the SQLite file that `url` names, or `None` for another database.
pub fn sqlite_path(url: &str) -> Option<PathBuf> {
    let options =
        url.starts_with("sqlite:").then(|| SqliteConnectOptions::from_str(url).ok())??;
    Some(options.get_filename().to_owned())
}

/// In debug builds statements can be seen, by `telemetry.log = "info,sqlx::query=debug"`; in others not even the
/// question whether somebody looks is worth asking.
fn quiet<O: ConnectOptions>(options: O) -> O {
    if cfg!(debug_assertions) { options } else { options.disable_statement_logging() }
}

/// Connections for migrations: without time-outs, and on SQLite only one.
pub(super) async fn open_for_migration(
    cfg: &config::Database,
) -> Result<DatabaseConnection, StoreError> {
    if sqlite_path(cfg.url.expose()).is_some() {
        let options = sqlite_options(cfg)?;
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(cfg.acquire_timeout)
            .connect_with(options)
            .await?;
        return Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool));
    }
    let options = PgConnectOptions::from_str(cfg.url.expose())?
        .application_name("postroom migrate")
        .disable_statement_logging();
    let pool = PgPoolOptions::new()
        .max_connections(3)
        .acquire_timeout(cfg.acquire_timeout)
        .connect_with(options)
        .await?;
    Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
}

/// What a PostgreSQL server does not flush before it says that a commit is done.
pub(super) static READ_DURABILITY: Sql = Sql::new(
    "select current_setting('fsync') as fsync, current_setting('synchronous_commit') as synchronous_commit",
);

/// The settings of a server under which an acknowledged webhook can be lost; empty is good.
pub(super) async fn undurable(connections: &Connections) -> Result<Vec<String>, StoreError> {
    if connections.backend == DatabaseBackend::Sqlite {
        return Ok(Vec::new());
    }
    let mut off = Vec::new();
    for row in read(&connections.reader, &READ_DURABILITY, []).await? {
        for name in ["fsync", "synchronous_commit"] {
            let value: String = row.try_get("", name)?;
            if value == "off" {
                off.push(format!("{name} = off"));
            }
        }
    }
    Ok(off)
}

/// Makes a database on the PostgreSQL server that `url` names.
///
/// # Errors
/// When the server cannot be reached or refuses.
pub async fn create_database(url: &str, name: &str) -> Result<(), StoreError> {
    on_server(url, &format!("create database \"{name}\"")).await
}

/// Drops such a database, whoever is connected to it.
///
/// # Errors
/// When the server cannot be reached or refuses.
pub async fn drop_database(url: &str, name: &str) -> Result<(), StoreError> {
    on_server(url, &format!("drop database if exists \"{name}\" with (force)")).await
}

async fn on_server(url: &str, statement: &str) -> Result<(), StoreError> {
    let options = PgConnectOptions::from_str(url)?.disable_statement_logging();
    let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await?;
    let db = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
    db.execute_unprepared(statement).await?;
    Ok(db.close().await?)
}

/// One connection, for a thread of its own.
pub(super) async fn open_one(cfg: &config::Database) -> Result<Connections, StoreError> {
    postgres(&config::Database { max_connections: 1, ..cfg.clone() }).await
}

/// The pool of a listener: one connection, without time-outs, and with probes that find out when the other
/// side has gone without a word.
pub(super) async fn listener_pool(cfg: &config::Database) -> Result<PgPool, StoreError> {
    let options = PgConnectOptions::from_str(cfg.url.expose())?
        .application_name("postroom listener")
        .disable_statement_logging();
    Ok(PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(cfg.acquire_timeout)
        .connect_with(options)
        .await?)
}

/// Opens connections to the configured database. Must run on the runtime that will poll them: a sqlx
/// connection belongs to the runtime that opened it.
pub(super) async fn open(cfg: &config::Database) -> Result<Connections, StoreError> {
    match sqlite_path(cfg.url.expose()) {
        Some(_) => sqlite(cfg).await,
        None => postgres(cfg).await,
    }
}

/// The settings of every connection to SQLite.
fn sqlite_options(cfg: &config::Database) -> Result<SqliteConnectOptions, StoreError> {
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

/// One writer, opened first and kept for ever, because SQLite has one writer at a time: who waits, waits
/// in the pool's queue and never meets "database is locked".
async fn sqlite(cfg: &config::Database) -> Result<Connections, StoreError> {
    let options = sqlite_options(cfg)?;
    let writer = SqlitePoolOptions::new()
        .min_connections(1)
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .acquire_timeout(cfg.acquire_timeout)
        .connect_with(options.clone())
        .await?;
    let reader = SqlitePoolOptions::new()
        .min_connections(1)
        .max_connections(SQLITE_READER_COUNT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .acquire_timeout(cfg.acquire_timeout)
        .connect_with(
            options
                .pragma("cache_size", SQLITE_READER_CACHE)
                .read_only(true)
                .create_if_missing(false),
        )
        .await?;
    Ok(Connections {
        backend: DatabaseBackend::Sqlite,
        writer: SqlxSqliteConnector::from_sqlx_sqlite_pool(writer),
        reader: SqlxSqliteConnector::from_sqlx_sqlite_pool(reader),
        has_caps: Arc::default(),
        faults: Arc::new(Faults::from_env()),
        log_path: sqlite_path(cfg.url.expose()).map(|it| {
            let mut path = it.into_os_string();
            path.push("-wal");
            path.into()
        }),
    })
}

/// Readers get connections of their own, so that a page of the API never waits behind a flood of webhooks.
async fn postgres(cfg: &config::Database) -> Result<Connections, StoreError> {
    let options = PgConnectOptions::from_str(cfg.url.expose())?
        .application_name("postroom")
        .statement_cache_capacity(200)
        .options(POSTGRES_TIMEOUTS);
    let options = quiet(options);
    let readers = cfg.max_connections / 3;
    let pool = |connections: u32| {
        PgPoolOptions::new()
            .min_connections(1)
            .max_connections(connections.max(1))
            .test_before_acquire(false)
            .acquire_timeout(cfg.acquire_timeout)
    };
    let writer = pool(cfg.max_connections - readers)
        .connect_with(options.clone().options(POSTGRES_WRITER_PLANS))
        .await?;
    let writer = SqlxPostgresConnector::from_sqlx_postgres_pool(writer);
    let reader = match readers {
        0 => writer.clone(),
        _ => {
            let pool = pool(readers).connect_with(options).await?;
            SqlxPostgresConnector::from_sqlx_postgres_pool(pool)
        }
    };
    Ok(Connections {
        backend: DatabaseBackend::Postgres,
        writer,
        reader,
        has_caps: Arc::default(),
        faults: Arc::new(Faults::from_env()),
        log_path: None,
    })
}
