//! Opens the database, with the settings that the guarantees rest on.

use super::{
    StoreError,
    door::{Door, Room, knock},
    sessions::{self, Sessions},
    sql::Sql,
    trouble::Trouble,
    tx::read,
};
use crate::{
    config::{self, Pooler},
    telemetry::faults::Faults,
};
use sea_orm::{ConnectionTrait, DatabaseBackend, SqlxPostgresConnector, SqlxSqliteConnector};
use sqlx::{
    ConnectOptions, Connection,
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
const POSTGRES_WRITER_PLANS: [(&str, &str); 5] = [
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

/// The connections: those that write, and those that only read.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    pub(super) backend: DatabaseBackend,
    pub(super) writer: Sessions,
    pub(super) reader: Sessions,
    /// True once the configuration caps some client's jobs at once.
    pub(super) has_caps: Arc<AtomicBool>,
    /// Where tests end the process.
    pub(super) faults: Arc<Faults>,
    /// The last write that failed because the database could not do it.
    pub(super) trouble: Trouble,
    /// The way to PostgreSQL.
    pub(super) door: Option<Arc<Door>>,
    /// Where SQLite keeps what it has not copied into its file yet.
    pub(super) log_path: Option<PathBuf>,
}

impl Connections {
    /// The same configuration, with what was found between us and PostgreSQL.
    pub(super) fn as_found(&self, cfg: &config::Database) -> config::Database {
        let pooler = if self.writer.is_lent() { Pooler::Transaction } else { Pooler::None };
        config::Database { pooler, ..cfg.clone() }
    }
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

/// A connection for migrations: without time-outs.
pub(super) async fn open_for_migration(cfg: &config::Database) -> Result<Sessions, StoreError> {
    if sqlite_path(cfg.url.expose()).is_some() {
        let options = sqlite_options(cfg)?;
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(cfg.acquire_timeout)
            .connect_with(options)
            .await?;
        return Ok(Sessions::own(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool)));
    }
    let cfg = resolved(cfg).await?;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(cfg.acquire_timeout)
        .connect_with(
            postgres_options(&cfg)?
                .application_name("postroom migrate")
                .disable_statement_logging(),
        )
        .await?;
    Ok(match cfg.pooler {
        Pooler::Transaction => Sessions::lent(pool, []),
        Pooler::Auto | Pooler::None => {
            Sessions::own(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
        }
    })
}

/// The options of every connection to PostgreSQL. A pooler takes no start parameters but the common ones.
fn postgres_options(cfg: &config::Database) -> Result<PgConnectOptions, StoreError> {
    let options = quiet(PgConnectOptions::from_str(cfg.url.expose())?);
    Ok(match cfg.pooler {
        Pooler::Transaction => options.extra_float_digits(None).statement_cache_capacity(0),
        Pooler::Auto | Pooler::None => options.statement_cache_capacity(200),
    })
}

/// The same, with what is between us and PostgreSQL found out.
pub(super) async fn resolved(cfg: &config::Database) -> Result<config::Database, StoreError> {
    let mut cfg = cfg.clone();
    if cfg.pooler == Pooler::Auto && !cfg.url.is_sqlite() {
        let options = postgres_options(&cfg)?.application_name("postroom");
        let found = tokio::time::timeout(cfg.acquire_timeout, sessions::are_own(&options)).await;
        let are_own = found
            .unwrap_or_else(|_| Err(StoreError::Unreachable("no connection in time".to_owned())))?;
        cfg.pooler = if are_own { Pooler::None } else { Pooler::Transaction };
    }
    Ok(cfg)
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
    // Nothing that a pooler would refuse: what is sent needs no session.
    let options =
        PgConnectOptions::from_str(url)?.disable_statement_logging().extra_float_digits(None);
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
        // SQLite ends a transaction by itself when the disk is full, and the driver, which is refused when it
        // rolls back then, goes on counting it: each transaction from then on would be a savepoint in one that
        // nobody commits.
        .before_acquire(|it, _| {
            let is_clean = !it.is_in_transaction();
            Box::pin(async move { Ok(is_clean) })
        })
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
        writer: Sessions::own(SqlxSqliteConnector::from_sqlx_sqlite_pool(writer)),
        reader: Sessions::own(SqlxSqliteConnector::from_sqlx_sqlite_pool(reader)),
        has_caps: Arc::default(),
        trouble: Trouble::default(),
        door: None,
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
    let cfg = resolved(cfg).await?;
    let is_lent = cfg.pooler == Pooler::Transaction;
    let plain = postgres_options(&cfg)?.application_name("postroom");
    let door = Door::new(plain.clone(), cfg.acquire_timeout, cfg.max_connections);
    let readers = cfg.max_connections / 3;
    let mut rooms = Vec::new();
    let mut sessions = async |connections: u32, settings: &[(&str, &str)]| {
        let mut options = plain.clone();
        if !is_lent {
            options = options.options(settings.iter().copied());
        }
        let pools = postgres_pool(&cfg, &door, connections);
        let pool = pools.clone().connect_with(options.clone()).await?;
        let sessions = if is_lent {
            Sessions::lent(pool, settings)
        } else {
            Sessions::own(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
        };
        let another = Box::new(move || pools.clone().connect_lazy_with(options.clone()));
        rooms.push(Room { sessions: sessions.clone(), another });
        Ok::<_, StoreError>(sessions)
    };
    let of_writers: Vec<_> = POSTGRES_TIMEOUTS.into_iter().chain(POSTGRES_WRITER_PLANS).collect();
    let writer = sessions(cfg.max_connections - readers, &of_writers).await?;
    let reader = match readers {
        0 => writer.clone(),
        _ => sessions(readers, &POSTGRES_TIMEOUTS).await?,
    };
    door.leads_to(rooms);
    Ok(Connections {
        backend: DatabaseBackend::Postgres,
        writer,
        reader,
        has_caps: Arc::default(),
        trouble: Trouble::default(),
        door: Some(door),
        log_path: None,
        faults: Arc::new(Faults::from_env()),
    })
}

/// A pool of that many connections, which takes none back that is from before the door closed. It opens them for
/// those who ask only: to keep some open, it would try by itself while the server is away.
fn postgres_pool(cfg: &config::Database, door: &Arc<Door>, most: u32) -> PgPoolOptions {
    // The door knows its pools, and would keep them for good if they kept it.
    let door = Arc::downgrade(door);
    PgPoolOptions::new()
        .max_connections(most.max(1))
        .test_before_acquire(false)
        .acquire_timeout(cfg.acquire_timeout)
        .after_release(move |_, it| {
            let is_trusted = door.upgrade().is_none_or(|door| door.trusts(it.age));
            // An error, because a polite goodbye waits for the other side.
            let stale = || sqlx::Error::Protocol("from before the database was away".to_owned());
            Box::pin(async move { if is_trusted { Ok(true) } else { Err(stale()) } })
        })
}

/// Sees whether PostgreSQL is there, with one attempt. SQLite is where it is.
///
/// # Errors
/// When it is not.
pub async fn reach(cfg: &config::Database) -> Result<(), StoreError> {
    match sqlite_path(cfg.url.expose()) {
        Some(_) => Ok(()),
        // Finding out what is between is an attempt, and the only one that every pooler takes.
        None if cfg.pooler == Pooler::Auto => resolved(cfg).await.map(|_| ()),
        None => knock(&postgres_options(cfg)?).await,
    }
}
