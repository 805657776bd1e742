//! A copy of a SQLite database while a daemon uses it.

use super::{StoreError, connect, error::from_sqlx};
use crate::config;
use sqlx::{Connection, sqlite::SqliteConnectOptions};
use std::{path::Path, str::FromStr};

/// Copies everything of one moment. The copy has no free pages, so it may be smaller.
const COPY: &str = "vacuum into ?";
/// Reads every page and index. Its only row is `ok` if nothing is wrong.
const CHECK: &str = "pragma integrity_check(1)";

/// Copies the configured SQLite database to `copy`, which must be an empty file.
///
/// A daemon may use the database meanwhile: the copy is of one moment, and neither waits for the
/// other. Until it is done, SQLite's write-ahead log grows by what the daemon writes.
///
/// # Errors
/// If the database cannot be read, or `copy` not be written.
pub async fn back_up_sqlite(cfg: &config::DatabaseConfig, copy: &Path) -> Result<(), StoreError> {
    let options = SqliteConnectOptions::from_str(cfg.url.expose())?.create_if_missing(false);
    let mut from = connect::of_backup(options).await?;
    let name = copy.to_str().ok_or_else(|| {
        StoreError::Unusable(format!("`{}` is not UTF-8: name another file", copy.display()))
    })?;
    sqlx::query(COPY).bind(name).execute(&mut from).await.map_err(|it| from_sqlx(&it))?;
    Ok(from.close().await?)
}

/// Reads every page and index of a SQLite file that nobody uses, and changes nothing.
///
/// # Errors
/// What is wrong with it.
pub async fn check_copy(copy: &Path) -> Result<(), StoreError> {
    let options = SqliteConnectOptions::new().filename(copy).read_only(true).immutable(true);
    let mut from = connect::of_backup(options).await?;
    let found: String =
        sqlx::query_scalar(CHECK).fetch_one(&mut from).await.map_err(|it| from_sqlx(&it))?;
    from.close().await?;
    match found.as_str() {
        "ok" => Ok(()),
        wrong => Err(StoreError::Broken(format!("the copy is damaged: {wrong}"))),
    }
}
