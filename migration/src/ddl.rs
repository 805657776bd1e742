//! Translates the DDL of the migrations, which is one text, into the dialects of both databases.

use sea_orm_migration::sea_orm::DatabaseBackend;

/// Each placeholder of a migration, with its text on SQLite and on PostgreSQL.
///
/// Instants are Unix milliseconds on SQLite, because the texts of its date functions and those of
/// drivers do not sort together. `@keyed` marks tables whose key has several columns; SQLite then
/// stores them in a single b-tree.
const WORDS: &[(&str, &str, &str)] = &[
    ("@bigint", "integer", "bigint"),
    ("@int", "integer", "integer"),
    // At least 244 random bits.
    (
        "@random_hex",
        "lower(hex(randomblob(32)))",
        "replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '')",
    ),
    ("@now", "cast(unixepoch('subsec') * 1000 as integer)", "now()"),
    ("@payload_bytes", "length(cast(payload as blob))", "octet_length(payload)"),
    ("@instant", "integer", "timestamptz"),
    ("@bool", "integer", "boolean"),
    ("@false", "0", "false"),
    ("@keyed", "without rowid", ""),
    // In SQLite's indexes NULL is always the least value.
    ("@nulls_last", "", "nulls last"),
    // A claim updates these rows, and the end of a job deletes them. Free space on each page keeps
    // the updates HOT. Vacuum runs after a fixed number of rows, since a share of a nearly empty
    // table says little.
    (
        "@hot_queue",
        "",
        "with (fillfactor = 60, autovacuum_vacuum_scale_factor = 0, \
         autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0)",
    ),
    // A line that SQLite takes as a comment.
    ("@only_postgres", "--", ""),
    ("@hot_row", "without rowid", "with (fillfactor = 50)"),
];

/// `text` in the dialect of `backend`.
pub(crate) fn in_dialect(backend: DatabaseBackend, text: &str) -> String {
    WORDS.iter().fold(text.to_owned(), |text, (word, sqlite, postgres)| {
        let replacement = if backend == DatabaseBackend::Sqlite { sqlite } else { postgres };
        text.replace(word, replacement)
    })
}
