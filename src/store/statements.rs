//! All statements by name, so that tests can measure their plans.
//!
//! They are those declared by `sql!`. Other SQL texts read and write no table of the schema
//! (settings of sessions, transactions, pragmas, locks, notices, reads about the server itself), or
//! are put together by a function. The test of the plans lists them with a reason each.

use super::{engine::sql, queue};
use sea_orm::DatabaseBackend;

/// Every statement: its name, and its text for SQLite or PostgreSQL.
///
/// The claim has one text on PostgreSQL, and one text for each number of kinds on SQLite. `CLAIM`
/// is the former or, on SQLite, the text for two kinds.
pub fn statements(is_sqlite: bool) -> Vec<(&'static str, String)> {
    let backend = if is_sqlite { DatabaseBackend::Sqlite } else { DatabaseBackend::Postgres };
    let mut all = sql::registered(backend);
    let postgres_claim = all.remove("CLAIM_POSTGRES");
    let sqlite_claim = is_sqlite.then(|| queue::claim_sqlite_text(2));
    all.extend(sqlite_claim.or(postgres_claim).map(|text| ("CLAIM", text)));
    all.into_iter().collect()
}
