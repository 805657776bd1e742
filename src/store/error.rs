//! Database errors, sorted once into what a caller can do about them.

use sea_orm::{DbErr, RuntimeErr};
use thiserror::Error;

/// Why a database call failed.
///
/// The texts name code and constraint only: a database's own message may quote the values at fault, and
/// those are people's words and addresses.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StoreError {
    /// Another transaction was in the way (deadlock, serialization, a key raced): repeat the whole group.
    #[error("conflict with another transaction ({0})")]
    Conflict(String),
    /// The values cannot be stored: looking for the culprit makes sense, repeating does not.
    #[error("the database refused the data ({0})")]
    Data(String),
    /// The database cannot do it now: wait, and do not blame the data.
    #[error("database away ({0})")]
    Away(String),
    /// The same, because there is no room: what needs none may be stored all the same.
    #[error("database away ({0})")]
    Full(String),
    /// The same, and the connection is of no use any more: the others may be broken, too.
    #[error("database away ({0})")]
    Unreachable(String),
    /// The store found something that contradicts its own rules.
    #[error("{0}")]
    Broken(String),
}

impl StoreError {
    /// True where repeating the same group may succeed at once.
    pub const fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict(_))
    }

    /// True where the database cannot do it now.
    pub const fn is_away(&self) -> bool {
        matches!(self, Self::Away(_) | Self::Full(_) | Self::Unreachable(_))
    }

    /// True where the values are at fault.
    pub const fn is_data(&self) -> bool {
        matches!(self, Self::Data(_))
    }
}

impl From<DbErr> for StoreError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "SeaORM's enum is non-exhaustive")]
    fn from(error: DbErr) -> Self {
        match &error {
            DbErr::Conn(RuntimeErr::SqlxError(it))
            | DbErr::Exec(RuntimeErr::SqlxError(it))
            | DbErr::Query(RuntimeErr::SqlxError(it)) => from_sqlx(it),
            DbErr::ConnectionAcquire(_) => {
                Self::Unreachable("no connection became free in time".to_owned())
            }
            _ => Self::Broken(error.to_string()),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        from_sqlx(&error)
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "sqlx's enum is non-exhaustive")]
pub(super) fn from_sqlx(error: &sqlx::Error) -> StoreError {
    let Some(database) = error.as_database_error() else {
        return StoreError::Unreachable(match error {
            sqlx::Error::PoolTimedOut => "no connection became free in time".to_owned(),
            sqlx::Error::Io(it) => it.kind().to_string(),
            other => kind_of(other).to_owned(),
        });
    };
    let code = database.code().unwrap_or_default().into_owned();
    let at = database.constraint().map(|it| format!(", {it}")).unwrap_or_default();
    let is_postgres = database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some();
    let text = format!("{} {code}{at}", if is_postgres { "SQLSTATE" } else { "SQLite" });
    if is_postgres { postgres(&code, text) } else { sqlite(&code, text, database.message()) }
}

fn postgres(code: &str, text: String) -> StoreError {
    match code {
        "40P01" | "40001" => StoreError::Conflict(text),
        _ if code.starts_with("22") || code.starts_with("23") => StoreError::Data(text),
        // The session was ended, could not begin, or there is no room for another.
        "25P03" | "53300" | "57P01" | "57P02" | "57P03" | "57P05" => StoreError::Unreachable(text),
        _ if code.starts_with("53") => StoreError::Full(text),
        _ if code.starts_with("08") => StoreError::Unreachable(text),
        _ if code.starts_with("42") => StoreError::Broken(text),
        _ => StoreError::Away(text),
    }
}

/// Extended result codes carry the primary one in the low byte: 13 FULL, 18 TOOBIG, 19 CONSTRAINT, 20 MISMATCH.
fn sqlite(code: &str, text: String, message: &str) -> StoreError {
    match code.parse::<u32>().map(|it| it & 0xff) {
        Ok(18..=20) => StoreError::Data(text),
        Ok(13) => StoreError::Full(text),
        // Code 1 is the generic one: a statement that is wrong, which names no values.
        Ok(1) => StoreError::Broken(format!("{text}: {message}")),
        _ => StoreError::Away(text),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "sqlx's enum is non-exhaustive")]
const fn kind_of(error: &sqlx::Error) -> &'static str {
    match error {
        sqlx::Error::Tls(_) => "TLS failed",
        sqlx::Error::Protocol(_) => "the connection broke off",
        sqlx::Error::PoolClosed => "the connections are closed",
        sqlx::Error::WorkerCrashed => "the driver's worker ended",
        sqlx::Error::Configuration(_) => "the URL is wrong",
        _ => "the driver failed",
    }
}
