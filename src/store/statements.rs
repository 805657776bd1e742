//! All statements by name, so that tests can look at their plans.
//!
//! What is not declared by `sql!` is not among them, because it has no plan: settings of sessions,
//! transactions, pragmas, locks, notices and questions about the server itself.

use super::{engine::sql, queue};
use sea_orm::DatabaseBackend;

/// Every statement: its name, and its text for SQLite or PostgreSQL.
///
/// The claim is one text for PostgreSQL, and for SQLite one for each number of kinds: as `CLAIM`
/// comes the first or, on SQLite, the one for two kinds.
pub fn statements(is_sqlite: bool) -> Vec<(&'static str, String)> {
    let backend = if is_sqlite { DatabaseBackend::Sqlite } else { DatabaseBackend::Postgres };
    let mut all = sql::registered(backend);
    let postgres_claim = all.remove("CLAIM_POSTGRES");
    let sqlite_claim = is_sqlite.then(|| queue::claim_sqlite_text(2));
    all.extend(sqlite_claim.or(postgres_claim).map(|text| ("CLAIM", text)));
    all.into_iter().collect()
}
