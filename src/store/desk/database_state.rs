//! The database as an operator sees it: its version, how much it holds, and the transaction that
//! has lasted longest.

use super::Desk;
use crate::store::engine::{
    Database, StoreError, connect::undurable, migrate::known_migrations, sql::sql, tx::read,
};

sql! {
    /// The server's version, the bytes of the database, and how long the oldest transaction in it
    /// has lasted, in milliseconds. A role that may not watch sees its own sessions only. It looks
    /// at each session, of which the server has a bounded number. PostgreSQL only.
    static READ_STATE_POSTGRES =
        "select current_setting('server_version') as version, pg_database_size(current_database()) as bytes, \
           (select cast(extract(epoch from clock_timestamp() - min(a.xact_start)) * 1000 as bigint) from pg_stat_get_activity(null) a \
             where a.datid = (select d.oid from pg_database d where d.datname = current_database()) \
               and a.pid <> pg_backend_pid()) as oldest_ms";

    /// The version of the library that reads the file, and the bytes of the file. SQLite only.
    static READ_STATE_SQLITE =
        "select sqlite_version() as version, \
           (select p.page_count from pragma_page_count() p) * (select s.page_size from pragma_page_size() s) as bytes";
}

/// The database as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseState {
    /// The product and its version: `PostgreSQL 15.14`, `SQLite 3.51.0`.
    pub version: String,
    /// How much it holds, in bytes, indexes included.
    pub bytes: u64,
    /// The bytes of the write-ahead log. `None` on PostgreSQL, which tells them to few roles.
    pub log_bytes: Option<u64>,
    /// How long the oldest transaction has lasted, in milliseconds, of those that the role may see.
    /// `None` if there is none, and on SQLite, which does not tell.
    pub oldest_transaction_ms: Option<i64>,
    /// How many migrations this version knows. All are applied, or the daemon had not started.
    pub migrations: usize,
    /// The name of the last of them.
    pub last_migration: String,
}

impl Desk {
    /// The settings of the database's server under which an acknowledged webhook can be lost; empty
    /// is good.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn undurable(&self) -> Result<Vec<String>, StoreError> {
        self.db.call(|db| async move { undurable(db.api()).await }).await
    }

    /// What the database is and holds.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn database_state(&self) -> Result<DatabaseState, StoreError> {
        self.db.call(|db| async move { state(&db).await }).await
    }
}

async fn state(db: &Database) -> Result<DatabaseState, StoreError> {
    let broken = || StoreError::Broken("the database did not tell its version".to_owned());
    let (product, sql) = match db.is_sqlite() {
        true => ("SQLite", &READ_STATE_SQLITE),
        false => ("PostgreSQL", &READ_STATE_POSTGRES),
    };
    let rows = read(db.api(), sql, []).await?;
    let row = rows.first().ok_or_else(broken)?;
    let (version, bytes): (String, i64) = (row.try_get("", "version")?, row.try_get("", "bytes")?);
    let oldest_transaction_ms = if db.is_sqlite() { None } else { row.try_get("", "oldest_ms")? };
    let log_bytes = match &db.connections().log_path {
        // Without a log yet, it has no bytes.
        Some(path) => Some(tokio::fs::metadata(path).await.map_or(0, |file| file.len())),
        None => None,
    };
    let (migrations, last_migration) = known_migrations();
    Ok(DatabaseState {
        version: format!("{product} {version}"),
        bytes: u64::try_from(bytes).unwrap_or_default(),
        log_bytes,
        oldest_transaction_ms,
        migrations,
        last_migration,
    })
}
