//! One text of DDL for both databases.

use sea_orm_migration::sea_orm::DatabaseBackend;

/// What is written in a migration, on SQLite, and on PostgreSQL.
///
/// Instants are Unix milliseconds on SQLite, because the text forms of its date functions do not sort
/// with those of drivers. `@keyed` marks tables whose key has several columns, which SQLite then keeps
/// in one b-tree.
const WORDS: &[(&str, &str, &str)] = &[
    ("@bigint", "integer", "bigint"),
    ("@int", "integer", "integer"),
    ("@now", "cast(unixepoch('subsec') * 1000 as integer)", "now()"),
    ("@payload_bytes", "length(cast(payload as blob))", "octet_length(payload)"),
    ("@instant", "integer", "timestamptz"),
    ("@bool", "integer", "boolean"),
    ("@false", "0", "false"),
    ("@keyed", "without rowid", ""),
    // SQLite takes NULL for the least value, and its indexes know no other place for it.
    ("@nulls_last", "", "nulls last"),
    // The claim updates these rows in place and the end deletes them: room on the page keeps updates
    // HOT, and vacuum comes after a number of rows, not after a share of a table that is nearly empty.
    (
        "@hot_queue",
        "",
        "with (fillfactor = 60, autovacuum_vacuum_scale_factor = 0, \
         autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0)",
    ),
    ("@hot_row", "without rowid", "with (fillfactor = 50)"),
];

/// `text` in the dialect of `backend`.
pub(crate) fn in_dialect(backend: DatabaseBackend, text: &str) -> String {
    WORDS.iter().fold(text.to_owned(), |text, (word, sqlite, postgres)| {
        let replacement = if backend == DatabaseBackend::Sqlite { sqlite } else { postgres };
        text.replace(word, replacement)
    })
}
