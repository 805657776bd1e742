//! Database errors, classified once by what a caller can do about them
//! (docs/decisions/0015-errors.md).

use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr};
use std::io;
use thiserror::Error;

/// Why a database call failed.
///
/// The variants are the classes of docs/decisions/0015-errors.md, which says what each caller does
/// with each class. The texts contain only the code and the constraint: the database's own message
/// may quote the refused values, which are people's words and addresses.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StoreError {
    /// Another transaction was in the way (deadlock, serialization failure, a row that moved).
    /// Repeat the whole group at once.
    #[error("conflict with another transaction ({0})")]
    Conflict(String),
    /// A constraint failed, and another transaction may be the cause (it took a unique key, it
    /// deleted a parent row). Repeat a few times, as after a conflict. If the error stays, the data
    /// is at fault.
    #[error("a constraint refused the data ({0})")]
    Constraint(String),
    /// The values cannot be stored. Do not repeat; isolate the culprit.
    #[error("the database refused the data ({0})")]
    Data(String),
    /// The database works, but is too slow now. Wait. No connection is broken.
    #[error("the database is busy ({0})")]
    Busy(String),
    /// The database has no room. Wait. A write that needs no new room may still succeed.
    #[error("the database has no room ({0})")]
    Full(String),
    /// The connection is lost. Others may be sound: a probe decides whether the server is gone.
    #[error("the connection to the database was lost ({0})")]
    Disconnected(String),
    /// The server does not answer, or refuses new connections. Wait until a probe succeeds.
    #[error("the database cannot be reached ({0})")]
    Unreachable(String),
    /// The server answers, but takes no writes (a standby). Drop all its connections, and wait for
    /// the primary.
    #[error("the database takes no writes ({0})")]
    ReadOnly(String),
    /// Only a person can mend it (a password, a privilege, a file that is no database). The text
    /// says the cause and the way out.
    #[error("{0}")]
    Unusable(String),
    /// The store found something that contradicts its own rules, or sent a wrong statement. Our own
    /// bug.
    #[error("{0}")]
    Broken(String),
}

impl StoreError {
    /// True if repeating the same group at once may succeed.
    pub const fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict(_) | Self::Constraint(_))
    }

    /// True if the database cannot do it now. Wait; the data is not at fault.
    pub const fn is_away(&self) -> bool {
        match self {
            Self::Busy(_)
            | Self::Full(_)
            | Self::Disconnected(_)
            | Self::Unreachable(_)
            | Self::ReadOnly(_)
            | Self::Unusable(_) => true,
            Self::Conflict(_) | Self::Constraint(_) | Self::Data(_) | Self::Broken(_) => false,
        }
    }

    /// True if waiting is enough. If false, a start must end with the cause and the way out.
    pub const fn comes_back(&self) -> bool {
        self.is_away() && !matches!(self, Self::Unusable(_))
    }

    /// The same error during an attempt to connect, when there was no connection yet to lose.
    pub(in crate::store) fn while_connecting(self) -> Self {
        match self {
            Self::Disconnected(why) => Self::Unreachable(why),
            other @ (Self::Conflict(_)
            | Self::Constraint(_)
            | Self::Data(_)
            | Self::Busy(_)
            | Self::Full(_)
            | Self::Unreachable(_)
            | Self::ReadOnly(_)
            | Self::Unusable(_)
            | Self::Broken(_)) => other,
        }
    }

    /// True if the values are at fault.
    pub const fn is_data(&self) -> bool {
        matches!(self, Self::Data(_) | Self::Constraint(_))
    }
}

impl From<DbErr> for StoreError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "SeaORM's enum is non-exhaustive")]
    fn from(error: DbErr) -> Self {
        match &error {
            DbErr::Conn(RuntimeErr::SqlxError(cause))
            | DbErr::Exec(RuntimeErr::SqlxError(cause))
            | DbErr::Query(RuntimeErr::SqlxError(cause)) => from_sqlx(cause),
            DbErr::ConnectionAcquire(_) => Self::Busy(NO_CONNECTION_FREE.to_owned()),
            _ => Self::Broken(error.to_string()),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        from_sqlx(&error)
    }
}

/// True if no connection of the pool became free in time.
#[expect(clippy::wildcard_enum_match_arm, reason = "SeaORM's enum is non-exhaustive")]
pub(in crate::store) fn is_none_free(error: &DbErr) -> bool {
    match error {
        DbErr::ConnectionAcquire(ConnAcquireErr::Timeout) => true,
        DbErr::Query(RuntimeErr::SqlxError(cause)) => matches!(**cause, sqlx::Error::PoolTimedOut),
        _ => false,
    }
}

const NO_CONNECTION_FREE: &str = "no connection became free in time";

/// The class of an error of sqlx: by the database's code if there is one.
pub(in crate::store) fn from_sqlx(error: &sqlx::Error) -> StoreError {
    let Some(database) = error.as_database_error() else { return of_driver(error) };
    let code = database.code().unwrap_or_default().into_owned();
    let at = database.constraint().map(|name| format!(", {name}")).unwrap_or_default();
    if database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
        of_postgres(&code, format!("SQLSTATE {code}{at}"))
    } else {
        of_sqlite(&code, format!("SQLite {code}{at}"), database.message())
    }
}

/// Errors of the driver itself. Their own texts are not used, because they may quote the URL.
#[expect(clippy::wildcard_enum_match_arm, reason = "sqlx's enum is non-exhaustive")]
fn of_driver(error: &sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::PoolTimedOut => StoreError::Busy(NO_CONNECTION_FREE.to_owned()),
        sqlx::Error::Io(error) => of_io(error.kind()),
        sqlx::Error::Protocol(_) | sqlx::Error::BeginFailed => {
            StoreError::Disconnected("it broke off".to_owned())
        }
        sqlx::Error::PoolClosed => StoreError::Disconnected("its pool was closed".to_owned()),
        sqlx::Error::WorkerCrashed => {
            StoreError::Disconnected("the driver's worker ended".to_owned())
        }
        sqlx::Error::Tls(_) => StoreError::Unusable(
            "TLS failed: correct `sslmode` and `sslrootcert` in `database.url`, or the server's certificate"
                .to_owned(),
        ),
        sqlx::Error::Configuration(_) => StoreError::Unusable(
            "the driver does not understand the URL: correct `database.url`".to_owned(),
        ),
        _ => StoreError::Broken("the driver could not send a statement or read a row".to_owned()),
    }
}

/// Kinds that occur only while connecting mean that there is no server. All others mean that one
/// connection is lost.
#[expect(clippy::wildcard_enum_match_arm, reason = "std's enum is non-exhaustive")]
fn of_io(kind: io::ErrorKind) -> StoreError {
    match kind {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::NotFound => StoreError::Unreachable(kind.to_string()),
        _ => StoreError::Disconnected(kind.to_string()),
    }
}

/// By SQLSTATE: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn of_postgres(code: &str, text: String) -> StoreError {
    match code {
        // The start and privileges: only a person can mend these.
        "28P01" => StoreError::Unusable(format!(
            "the server refuses the password ({text}): correct it in `database.url`"
        )),
        "28000" => StoreError::Unusable(format!(
            "the server refuses the user ({text}): correct user, database and `sslmode` in `database.url`, \
             or let the user in by the server's pg_hba.conf"
        )),
        "3D000" => StoreError::Unusable(format!(
            "there is no such database on the server ({text}): create it, or name another in `database.url`"
        )),
        "3F000" => StoreError::Unusable(format!(
            "there is no schema for the tables ({text}): create it, or correct the user's `search_path`"
        )),
        "42501" => StoreError::Unusable(format!(
            "the user lacks a privilege ({text}): make it the owner of the database and its tables"
        )),
        // A unique key, a foreign key, an exclusion: another transaction may be the cause.
        "23503" | "23505" | "23P01" => StoreError::Constraint(text),
        // Out of time: statement_timeout, a lock's time-out. Out of sessions: too_many_connections.
        "53300" | "55006" | "55P03" | "57014" => StoreError::Busy(text),
        // The server ended this session: it was idle too long, an administrator ended it, or
        // another session crashed.
        "25P03" | "25P04" | "57P01" | "57P02" | "57P05" => StoreError::Disconnected(text),
        // The server starts up, shuts down or recovers, and accepts no sessions.
        "57P03" => StoreError::Unreachable(text),
        // A read-only transaction, a hot standby (0A000 when a write transaction begins), a
        // database that was dropped. 0A000 is also an outdated plan, which new sessions mend, too.
        "0A000" | "25006" | "55000" | "57P04" => StoreError::ReadOnly(text),
        _ => match code.get(..2) {
            Some("08") => StoreError::Disconnected(text),
            // Numbers, dates and texts out of range; more than a statement may contain.
            Some("22" | "23" | "54") => StoreError::Data(text),
            Some("40") => StoreError::Conflict(text),
            Some("53" | "58") => StoreError::Full(text),
            Some("57") => StoreError::Disconnected(text),
            // Cardinality, wrong transaction state, syntax, internal errors.
            _ => StoreError::Broken(text),
        },
    }
}

/// By result code: <https://www.sqlite.org/rescode.html>. The low byte is the primary code.
fn of_sqlite(code: &str, text: String, message: &str) -> StoreError {
    /// `SQLITE_BUSY_SNAPSHOT`: another connection wrote since this transaction read.
    const BUSY_SNAPSHOT: u32 = 517;
    let Ok(code) = code.parse::<u32>() else { return StoreError::Broken(text) };
    match (code, code & 0xff) {
        // Generic: a wrong statement. Its message quotes no values.
        (_, 1) => StoreError::Broken(format!("{text}: {message}")),
        // The schema changed under a prepared statement.
        (BUSY_SNAPSHOT, _) | (_, 17) => StoreError::Conflict(text),
        // Abort, busy, locked, no memory, interrupted, locking protocol.
        (_, 4..=7 | 9 | 15) => StoreError::Busy(text),
        (_, 8) => StoreError::Unusable(format!(
            "the database's file cannot be written ({text}): give the user of this process the right to \
             write it and its directory, and leave `mode=ro` out of `database.url`"
        )),
        (_, 10) => StoreError::Unreachable(text),
        (_, 11) => StoreError::Unusable(format!(
            "the database's file is damaged ({text}): restore it from a backup"
        )),
        (_, 13) => StoreError::Full(text),
        (_, 3 | 14 | 23) => StoreError::Unusable(format!(
            "the database's file cannot be opened ({text}): correct the path in `database.url`, or its rights"
        )),
        // Too big, a constraint (with one writer, no other transaction is the cause), a wrong type.
        (_, 18..=20) => StoreError::Data(text),
        (_, 24 | 26) => StoreError::Unusable(format!(
            "the file is no SQLite database ({text}): correct the path in `database.url`"
        )),
        _ => StoreError::Broken(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The variant's name.
    fn class(error: &StoreError) -> &'static str {
        match error {
            StoreError::Conflict(_) => "conflict",
            StoreError::Constraint(_) => "constraint",
            StoreError::Data(_) => "data",
            StoreError::Busy(_) => "busy",
            StoreError::Full(_) => "full",
            StoreError::Disconnected(_) => "disconnected",
            StoreError::Unreachable(_) => "unreachable",
            StoreError::ReadOnly(_) => "read only",
            StoreError::Unusable(_) => "unusable",
            StoreError::Broken(_) => "broken",
        }
    }

    #[test]
    fn every_sqlstate_that_can_occur_has_its_class() {
        for (wanted, codes) in [
            ("conflict", "40000 40001 40002 40003 40P01"),
            ("constraint", "23503 23505 23P01"),
            ("data", "22001 22003 22021 22P02 22P05 23502 23514 54000 54001 54011 54023"),
            ("busy", "53300 55006 55P03 57014"),
            ("full", "53000 53100 53200 53400 58000 58030 58P01"),
            ("disconnected", "08000 08001 08003 08004 08006 08007 08P01 25P03 25P04 57000"),
            ("disconnected", "57P01 57P02 57P05"),
            ("unreachable", "57P03"),
            ("read only", "0A000 25006 55000 57P04"),
            ("unusable", "28000 28P01 3D000 3F000 42501"),
            ("broken", "21000 25001 25P01 25P02 26000 34000 42601 42703 42804 42P01"),
            ("broken", "42P05 42P07 42P18 XX000 XX001 XX002"),
        ] {
            for code in codes.split(' ') {
                let error = of_postgres(code, format!("SQLSTATE {code}"));
                assert_eq!(class(&error), wanted, "{code}");
                assert!(error.to_string().contains(code), "{error}");
            }
        }
    }

    #[test]
    fn every_result_code_of_sqlite_has_its_class() {
        for (wanted, codes) in [
            ("conflict", "17 517"),
            ("data", "18 19 20 275 787 1299 1555 2067 3091"),
            ("busy", "4 5 6 7 9 15 261 262 516 773"),
            ("full", "13"),
            ("unreachable", "10 266 522 778 1034 1290 1546 3082 3338"),
            ("unusable", "3 8 11 14 23 24 26 264 267 520 526 776 1032 1288 1544"),
            ("broken", "1 2 12 16 21 22 25 257 x"),
        ] {
            for code in codes.split(' ') {
                let error = of_sqlite(code, format!("SQLite {code}"), "near \"form\"");
                assert_eq!(class(&error), wanted, "{code}");
                assert!(error.to_string().contains(code), "{error}");
            }
        }
    }

    #[test]
    fn every_error_of_the_driver_has_its_class() {
        use io::ErrorKind as Kind;
        let boxed = || Box::<dyn std::error::Error + Send + Sync>::from("postgres://u:secret@h/d");
        let io = |kind: Kind| sqlx::Error::Io(kind.into());
        for (wanted, error) in [
            ("busy", sqlx::Error::PoolTimedOut),
            ("disconnected", sqlx::Error::PoolClosed),
            ("disconnected", sqlx::Error::WorkerCrashed),
            ("disconnected", sqlx::Error::Protocol("secret".to_owned())),
            ("disconnected", sqlx::Error::BeginFailed),
            ("disconnected", io(Kind::ConnectionReset)),
            ("disconnected", io(Kind::BrokenPipe)),
            ("disconnected", io(Kind::UnexpectedEof)),
            ("disconnected", io(Kind::TimedOut)),
            ("unreachable", io(Kind::ConnectionRefused)),
            ("unreachable", io(Kind::HostUnreachable)),
            ("unreachable", io(Kind::NotFound)),
            ("unusable", sqlx::Error::Tls(boxed())),
            ("unusable", sqlx::Error::Configuration(boxed())),
            ("broken", sqlx::Error::RowNotFound),
            ("broken", sqlx::Error::Decode(boxed())),
            ("broken", sqlx::Error::Encode(boxed())),
        ] {
            let sorted = of_driver(&error);
            assert_eq!(class(&sorted), wanted, "{error:?}");
            assert!(!sorted.to_string().contains("secret"), "{sorted}");
        }
        let acquire = DbErr::ConnectionAcquire(ConnAcquireErr::Timeout);
        assert_eq!(class(&acquire.into()), "busy");
    }

    #[test]
    fn no_two_classes_of_an_absent_database_have_the_same_text() {
        let classes = [
            StoreError::Busy,
            StoreError::Full,
            StoreError::Disconnected,
            StoreError::Unreachable,
            StoreError::ReadOnly,
        ];
        let texts: std::collections::BTreeSet<String> =
            classes.iter().map(|class| class("x".to_owned()).to_string()).collect();
        assert_eq!(texts.len(), classes.len(), "{texts:?}");
    }

    #[test]
    fn what_only_a_person_can_mend_is_not_waited_for_at_the_start() {
        for (error, is_away, comes_back) in [
            (of_postgres("28P01", String::new()), true, false),
            (of_postgres("57P03", String::new()), true, true),
            (of_postgres("25006", String::new()), true, true),
            (of_postgres("53100", String::new()), true, true),
            (of_postgres("42P01", String::new()), false, false),
            (of_sqlite("26", String::new(), ""), true, false),
        ] {
            assert_eq!((error.is_away(), error.comes_back()), (is_away, comes_back), "{error:?}");
        }
    }
}
