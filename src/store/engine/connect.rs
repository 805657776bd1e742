//! Opens the database, with the settings that the guarantees rest on.

use super::{
    StoreError,
    circuit_breaker::{CircuitBreaker, GuardedPool, Probe},
    connections::Connections,
    last_failed_write::LastFailedWrite,
    sessions::{self, LENT_BEGIN, Sessions},
    sql::sql,
    tx::read,
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
use tokio::time::Instant;

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
/// What each connection of the admin API keeps: its lists read past megabytes that nobody asks for again.
const SQLITE_API_CACHE: &str = "-2048";
/// The log file is cut to this size after a checkpoint.
const SQLITE_WAL_LIMIT_BYTES: &str = "16777216";
/// Connections that only the admin API and the metrics read over, beyond `database.max_connections`: a slow
/// page takes no connection from webhooks, claims and handlers.
const API_CONNECTIONS: u32 = 2;
/// How long a statement of the admin API may run.
const API_STATEMENT_MAX: Duration = Duration::from_secs(2);
/// SQLite's virtual machine asks after this many steps whether a statement of the admin API has run too long:
/// some hundred microseconds.
const SQLITE_STEPS_A_CHECK: i32 = 10_000;
/// An unused connection to PostgreSQL is closed after this long, before a firewall between forgets it without
/// a word: those do after 4 minutes or more.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection that has been idle for this long is checked before use, which costs a round trip.
const IDLE_UNCHECKED: Duration = Duration::from_secs(10);
/// How long that check may take.
const CHECK_LIMIT: Duration = Duration::from_secs(1);
/// A statement that takes longer has a connection that answers nothing: the server ends statements after
/// [`POSTGRES_TIMEOUTS`].
const STATEMENT_LIMIT: Duration = Duration::from_secs(10);
/// What every transaction rests on, whatever the defaults of the database or the role are: one that waited for
/// a lock sees what was committed meanwhile.
const POSTGRES_TRANSACTIONS: [(&str, &str); 2] =
    [("default_transaction_isolation", "read committed"), ("default_transaction_read_only", "off")];
/// As [`POSTGRES_TIMEOUTS`], for the admin API.
const POSTGRES_API_TIMEOUTS: [(&str, &str); 3] = [
    ("statement_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "8s"),
    ("lock_timeout", "2s"),
];
/// Statements, and transactions that sit idle, end before the claim's floor may rise over their turns
/// (`domain::fairness::TRANSACTION_MAX`).
const POSTGRES_TIMEOUTS: [(&str, &str); 3] = [
    ("statement_timeout", "8s"),
    ("idle_in_transaction_session_timeout", "8s"),
    ("lock_timeout", "8s"),
];

/// How all connections but the one for scans are planned: each of their statements finds its rows by key. Without this, a table whose statistics are old or missing is read whole and joined by hash, until
/// vacuum comes by (a fresh database took 2 × as long for each group of webhooks).
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

/// In debug builds statements can be seen, by `telemetry.log = "info,sqlx::query=debug"`; in others not even the
/// question whether somebody looks is worth asking.
fn quiet<O: ConnectOptions>(options: O) -> O {
    if cfg!(debug_assertions) { options } else { options.disable_statement_logging() }
}

/// A connection for migrations: without time-outs.
pub(in crate::store) async fn open_for_migration(
    cfg: &config::DatabaseConfig,
) -> Result<Sessions, StoreError> {
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
        .connect_with({
            let options = postgres_options(&cfg)?.application_name("postroom migrate");
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

/// The options of every connection to PostgreSQL. A pooler takes no start parameters but the common ones.
fn postgres_options(cfg: &config::DatabaseConfig) -> Result<PgConnectOptions, StoreError> {
    let options = quiet(PgConnectOptions::from_str(cfg.url.expose())?);
    Ok(match cfg.pooler {
        Pooler::Transaction => options.extra_float_digits(None).statement_cache_capacity(0),
        Pooler::Auto | Pooler::None => options.statement_cache_capacity(200),
    })
}

/// The same, with what is between us and PostgreSQL found out.
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
    /// What a PostgreSQL server does not flush before it says that a commit is done.
    static READ_DURABILITY =
        "select current_setting('fsync') as fsync, current_setting('synchronous_commit') as synchronous_commit";
}

/// The settings of a server under which an acknowledged webhook can be lost; empty is good.
pub(in crate::store) async fn undurable(
    connections: &Connections,
) -> Result<Vec<String>, StoreError> {
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
pub(in crate::store) async fn open_one(
    cfg: &config::DatabaseConfig,
) -> Result<Connections, StoreError> {
    postgres(&config::DatabaseConfig { max_connections: 1, ..cfg.clone() }).await
}

/// The pool of a listener: one connection, without time-outs, and with probes that find out when the other
/// side has gone without a word.
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

/// Opens connections to the configured database. Must run on the runtime that will poll them: a sqlx
/// connection belongs to the runtime that opened it.
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

/// One writer, opened first and kept for ever, because SQLite has one writer at a time: who waits, waits
/// in the pool's queue and never meets "database is locked".
async fn sqlite(cfg: &config::DatabaseConfig) -> Result<Connections, StoreError> {
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
        .after_connect(|it, _| Box::pin(bound_statements(it)))
        .before_acquire(|it, _| Box::pin(async move { bound_statements(it).await.map(|()| true) }))
        .connect_lazy_with(
            of_readers.pragma("cache_size", SQLITE_API_CACHE).busy_timeout(API_STATEMENT_MAX),
        );
    let reader = Sessions::own(SqlxSqliteConnector::from_sqlx_sqlite_pool(reader));
    Ok(Connections {
        backend: DatabaseBackend::Sqlite,
        writer: Sessions::own(SqlxSqliteConnector::from_sqlx_sqlite_pool(writer)),
        scans: reader.clone(),
        reader,
        api: Sessions::own(SqlxSqliteConnector::from_sqlx_sqlite_pool(api)),
        statement_limit: None,
        has_caps: Arc::default(),
        last_failed_write: LastFailedWrite::default(),
        breaker: None,
        faults: Arc::new(Faults::from_env()),
        log_path: sqlite_path(cfg.url.expose()).map(|it| {
            let mut path = it.into_os_string();
            path.push("-wal");
            path.into()
        }),
    })
}

/// Lets what this connection is about to be used for run for [`API_STATEMENT_MAX`] from now on; then SQLite
/// interrupts it.
async fn bound_statements(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let ends_at = Instant::now() + API_STATEMENT_MAX;
    let may_go_on = move || Instant::now() < ends_at;
    connection.lock_handle().await?.set_progress_handler(SQLITE_STEPS_A_CHECK, may_go_on);
    Ok(())
}

/// Readers get connections of their own, so that a page of the API never waits behind a flood of webhooks.
async fn postgres(cfg: &config::DatabaseConfig) -> Result<Connections, StoreError> {
    let cfg = resolved(cfg).await?;
    let faults = Arc::new(Faults::from_env());
    let statement_limit = faults.limit("statement", STATEMENT_LIMIT);
    let limit = cfg.acquire_timeout + statement_limit;
    let breaker = CircuitBreaker::new(probe(&cfg)?, cfg.acquire_timeout, cfg.max_connections);
    let plain = postgres_options(&cfg)?.application_name("postroom");
    let is_lent = cfg.pooler == Pooler::Transaction;
    let mut guarded = Vec::new();
    let mut sessions = |connections: u32, settings: &[(&str, &str)]| {
        let options = match is_lent {
            true => plain.clone(),
            false => plain.clone().options(POSTGRES_TRANSACTIONS).options(settings.iter().copied()),
        };
        let pools = postgres_pool(&cfg, &breaker, connections);
        let pool = pools.clone().connect_lazy_with(options.clone());
        let sessions = match is_lent {
            true => Sessions::lent(pool, settings),
            false => Sessions::own(SqlxPostgresConnector::from_sqlx_postgres_pool(pool)),
        };
        let sessions = sessions.with_limit(limit);
        let behind_breaker = sessions.clone();
        guarded.push(GuardedPool::new(move || {
            behind_breaker.renew(pools.clone().connect_lazy_with(options.clone()));
        }));
        sessions
    };
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
    let of_api: Vec<_> = POSTGRES_API_TIMEOUTS.into_iter().chain(POSTGRES_PLANS_BY_KEY).collect();
    let api = sessions(API_CONNECTIONS, &of_api);
    breaker.set_pools(guarded);
    Ok(Connections {
        backend: DatabaseBackend::Postgres,
        writer,
        reader,
        scans,
        api,
        statement_limit: Some(statement_limit),
        has_caps: Arc::default(),
        last_failed_write: LastFailedWrite::default(),
        breaker: Some(breaker),
        log_path: None,
        faults,
    })
}

/// How a probe connects: with what the transactions of the pools rest on.
fn probe(cfg: &config::DatabaseConfig) -> Result<Probe, StoreError> {
    let options = postgres_options(cfg)?.application_name("postroom").disable_statement_logging();
    Ok(match cfg.pooler {
        Pooler::Transaction => Probe { options, opening: Some(LENT_BEGIN.to_owned()) },
        Pooler::Auto | Pooler::None => {
            Probe { options: options.options(POSTGRES_TRANSACTIONS), opening: None }
        }
    })
}

/// A pool of at most that many connections, which takes none back that is from before the pools were replaced.
/// It opens them only for those who ask: to keep some open, it would try by itself while the server is away.
fn postgres_pool(
    cfg: &config::DatabaseConfig,
    breaker: &Arc<CircuitBreaker>,
    most: u32,
) -> PgPoolOptions {
    // The breaker knows its pools, and would keep them for good if they kept it.
    let (of_release, of_acquire) = (Arc::downgrade(breaker), Arc::downgrade(breaker));
    PgPoolOptions::new()
        .max_connections(most.max(1))
        .idle_timeout(IDLE_TIMEOUT)
        .test_before_acquire(false)
        .acquire_timeout(cfg.acquire_timeout)
        .before_acquire(move |session, it| {
            let is_doubted =
                of_acquire.upgrade().is_some_and(|breaker| breaker.must_check(it.idle_for));
            let is_checked = is_doubted || it.idle_for >= IDLE_UNCHECKED;
            Box::pin(async move { if is_checked { is_sound(session).await } else { Ok(true) } })
        })
        .after_release(move |_, it| {
            let is_trusted = of_release.upgrade().is_none_or(|breaker| breaker.may_return(it.age));
            // An error, because a polite goodbye waits for the other side.
            let stale = || sqlx::Error::Protocol("from before the database was away".to_owned());
            Box::pin(async move { if is_trusted { Ok(true) } else { Err(stale()) } })
        })
}

/// Whether a connection answers.
///
/// # Errors
/// When it answers nothing: a polite goodbye would wait for the other side, too.
async fn is_sound(session: &mut PgConnection) -> Result<bool, sqlx::Error> {
    match tokio::time::timeout(CHECK_LIMIT, session.ping()).await {
        Ok(answer) => Ok(answer.is_ok()),
        Err(_) => Err(sqlx::Error::Protocol("an idle connection fell silent".to_owned())),
    }
}

/// Sees with one attempt whether PostgreSQL is there and takes writes. Nothing to see on SQLite.
///
/// # Errors
/// When it is not, or does not.
pub async fn reach(cfg: &config::DatabaseConfig) -> Result<(), StoreError> {
    match sqlite_path(cfg.url.expose()) {
        Some(_) => Ok(()),
        // Finding out what is between is an attempt of its own, and the only one that every pooler takes.
        None => probe(&resolved(cfg).await?)?.attempt().await,
    }
}
