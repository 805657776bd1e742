//! A look at a database from outside of a daemon, which changes nothing.

use super::{
    StoreError,
    connect::{self, undurable},
    ids::wall_clock,
    migrate::{Migrations, status_over},
    sql::sql,
    tx::read,
};
use crate::config;

/// What a look at a database finds.
#[derive(Clone, Debug)]
pub struct DatabaseFacts {
    /// The product and its version: `PostgreSQL 15.14`, `SQLite 3.51.0`.
    pub version: String,
    /// The settings of the server by which an acknowledged webhook can be lost. Empty is good.
    pub undurable: Vec<String>,
    /// Which migrations are applied.
    pub migrations: Migrations,
    /// How far the server's clock is ahead of this machine's, in milliseconds; negative if it is
    /// behind. `None` on SQLite, which has no clock of its own.
    pub clock_ahead_ms: Option<i64>,
    /// How many connections the server takes from all its clients. `None` on SQLite.
    pub connections_max: Option<u32>,
}

sql! {
    /// The server's version, its clock in Unix milliseconds, and how many connections it takes.
    static READ_SERVER =
        "select current_setting('server_version') as version, \
         cast(extract(epoch from clock_timestamp()) * 1000 as bigint) as clock_ms, \
         cast(current_setting('max_connections') as integer) as connections_max";
    /// The version of the library that reads the file.
    static READ_SQLITE_VERSION = "select sqlite_version() as version";
}

/// Looks at the configured database. Writes nothing and makes no file.
///
/// # Errors
/// If it is unreachable, no database of Postroom's, or that of a newer version.
pub async fn examine(cfg: &config::DatabaseConfig) -> Result<DatabaseFacts, StoreError> {
    let sessions = connect::open_to_look(cfg).await?;
    let broken = || StoreError::Broken("the database did not tell its version".to_owned());
    let (version, clock_ahead_ms, connections_max) = if cfg.url.is_sqlite() {
        let rows = read(&sessions, &READ_SQLITE_VERSION, []).await?;
        let version: String = rows.first().ok_or_else(broken)?.try_get("", "version")?;
        (format!("SQLite {version}"), None, None)
    } else {
        let before = wall_clock();
        let rows = read(&sessions, &READ_SERVER, []).await?;
        let round_trip = wall_clock().millis_since(before);
        let row = rows.first().ok_or_else(broken)?;
        let version: String = row.try_get("", "version")?;
        let clock_ms: i64 = row.try_get("", "clock_ms")?;
        let connections_max: i32 = row.try_get("", "connections_max")?;
        // The server read its clock about half-way.
        let ahead = clock_ms - before.plus_millis(round_trip / 2).as_millis();
        (format!("PostgreSQL {version}"), Some(ahead), u32::try_from(connections_max).ok())
    };
    let facts = DatabaseFacts {
        version,
        undurable: undurable(&sessions).await?,
        migrations: status_over(&sessions).await?,
        clock_ahead_ms,
        connections_max,
    };
    sessions.close().await?;
    Ok(facts)
}
