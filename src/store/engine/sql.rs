//! Statements written once for both databases.
//!
//! The two databases differ in six ways, and a word in the text stands for each:
//!
//! - how a group is passed as one JSON parameter: `@rows`, `@ids`;
//! - how the time is read: `@now`, `@in_ms`;
//! - how an instant becomes Unix milliseconds: `@ms`;
//! - how Unix milliseconds become an instant: `@at`;
//! - how rows are locked: `@for_update`, `@skip_locked` (SQLite has one writer and needs no locks);
//! - how a subquery chooses rows for each row of a group: `@each`.
//!
//! Each statement is declared by [`sql!`], which also registers it.
//!
//! With a group as one JSON parameter, the text stays the same for each size of the group. So it
//! stays prepared, does not exceed the limit on parameters, and can contain NULLs.

use sea_orm::DatabaseBackend;
use std::{collections::BTreeMap, sync::OnceLock};

/// SQLite's clock in Unix milliseconds.
const SQLITE_NOW: &str = "cast(unixepoch('subsec') * 1000 as integer)";

/// A statement. Its text has `$1`, `$2`, … for parameters on both databases. Declared by [`sql!`].
#[derive(Debug)]
pub(in crate::store) struct Sql {
    name: &'static str,
    /// The text with the words of this module.
    text: &'static str,
    /// The text as each database takes it, rendered at its first use.
    sqlite: OnceLock<String>,
    postgres: OnceLock<String>,
}

/// Declares statements: `static NAME = "text";`, each with its doc comment. [`registered`] returns
/// them by name to the tests that measure their plans.
macro_rules! sql {
    ($($(#[$meta:meta])* $vis:vis static $name:ident = $text:expr;)+) => {$(
        $(#[$meta])*
        $vis static $name: $crate::store::engine::Sql =
            $crate::store::engine::Sql::new(stringify!($name), $text);
        inventory::submit! { $crate::store::engine::sql::RegisteredSql(&$name) }
    )+};
}
pub(in crate::store) use sql;

/// A statement for [`registered`]: what [`sql!`] submits to `inventory`.
pub(in crate::store) struct RegisteredSql(pub(in crate::store) &'static Sql);

inventory::collect!(RegisteredSql);

/// The texts of all statements for `backend`, keyed by their names.
pub(in crate::store) fn registered(backend: DatabaseBackend) -> BTreeMap<&'static str, String> {
    let all = inventory::iter::<RegisteredSql>.into_iter();
    all.map(|RegisteredSql(sql)| (sql.name, sql.text(backend).to_owned())).collect()
}

impl Sql {
    /// A statement for both databases. Only [`sql!`] and tests call it: others would not be
    /// registered.
    pub(in crate::store) const fn new(name: &'static str, text: &'static str) -> Self {
        Self { name, text, sqlite: OnceLock::new(), postgres: OnceLock::new() }
    }

    /// Its text for `backend`.
    pub(in crate::store) fn text(&self, backend: DatabaseBackend) -> &str {
        let cell = if backend == DatabaseBackend::Sqlite { &self.sqlite } else { &self.postgres };
        cell.get_or_init(|| render(self.text, backend == DatabaseBackend::Sqlite))
    }
}

/// `text` with every `@word` and `@word(argument)` replaced by what the database understands.
fn render(text: &str, sqlite: bool) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('@') {
        out.push_str(before);
        let name_end =
            after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
        let (name, tail) = after.split_at(name_end);
        let (argument, tail) = match tail.strip_prefix('(') {
            Some(inside) if takes_argument(name) => {
                let end = closing(inside);
                let (argument, tail) = inside.split_at(end);
                (render(argument, sqlite), tail.strip_prefix(')').unwrap_or(tail))
            }
            _ => (String::new(), tail),
        };
        out.push_str(&word(name, &argument, sqlite));
        rest = tail;
    }
    out.push_str(rest);
    out
}

fn takes_argument(name: &str) -> bool {
    matches!(name, "rows" | "ids" | "each" | "in_ms" | "ms" | "at")
}

/// The offset in `text` of the parenthesis that closes the one opened before `text`.
fn closing(text: &str) -> usize {
    let mut depth = 1_usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    text.len()
}

fn word(name: &str, argument: &str, sqlite: bool) -> String {
    match (name, sqlite) {
        ("rows", _) => rows(argument, sqlite),
        ("ids", true) => format!("in (select value from json_each({argument}))"),
        // The array is computed once, and the index is read by it. A join would be planned for 100
        // rows.
        ("ids", false) => format!(
            "= any(array(select value::bigint from json_array_elements_text({argument}::json)))"
        ),
        // A subquery that has a limit and uses columns of the group, like a lateral join.
        ("each", true) => format!("in ({argument})"),
        ("each", false) => format!("= any(array({argument}))"),
        ("now", true) => SQLITE_NOW.to_owned(),
        ("now", false) => "now()".to_owned(),
        ("in_ms", true) => format!("({SQLITE_NOW} + {argument})"),
        ("in_ms", false) => format!("(now() + ({argument}) * interval '1 millisecond')"),
        ("ms", true) | ("at", true) => format!("({argument})"),
        ("ms", false) => format!("(extract(epoch from {argument}) * 1000)::bigint"),
        ("at", false) => format!("to_timestamp(({argument})::double precision / 1000)"),
        ("for_update", false) => "for update".to_owned(),
        ("skip_locked", false) => "for update skip locked".to_owned(),
        ("materialized", _) => "materialized".to_owned(),
        ("for_update" | "skip_locked", true) => String::new(),
        _ => format!("@{name}"),
    }
}

/// `$1, id bigint, at instant, …` as a derived table of those columns.
fn rows(argument: &str, sqlite: bool) -> String {
    let mut parts = argument.split(',').map(str::trim);
    let parameter = parts.next().unwrap_or_default();
    let columns: Vec<(&str, &str)> = parts.filter_map(|column| column.split_once(' ')).collect();
    if sqlite {
        // A name alone would be made into such a path for each value: a fifth of the time.
        let list: Vec<String> =
            columns.iter().map(|(name, _)| format!("value->>'$.{name}' as {name}")).collect();
        return format!("(select {} from jsonb_each({parameter}))", list.join(", "));
    }
    let list: Vec<String> = columns
        .iter()
        .map(|(name, kind)| match *kind {
            "instant" => format!("to_timestamp({name} / 1000) as {name}"),
            _ => (*name).to_owned(),
        })
        .collect();
    let definition: Vec<String> = columns
        .iter()
        .map(|(name, kind)| match *kind {
            "instant" => format!("{name} double precision"),
            _ => format!("{name} {kind}"),
        })
        .collect();
    format!(
        "(select {} from json_to_recordset({parameter}::json) as json_group({}))",
        list.join(", "),
        definition.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_one_json_parameter_on_both_databases() {
        let sql = Sql::new("X", "select g.id from @rows($1, id bigint, at instant) g");
        assert_eq!(
            sql.text(DatabaseBackend::Sqlite),
            "select g.id from (select value->>'$.id' as id, value->>'$.at' as at from jsonb_each($1)) g"
        );
        assert_eq!(
            sql.text(DatabaseBackend::Postgres),
            "select g.id from (select id, to_timestamp(at / 1000) as at from \
             json_to_recordset($1::json) as json_group(id bigint, at double precision)) g"
        );
    }

    #[test]
    fn words_nest_and_unknown_ones_stay() {
        let sql = Sql::new("X", "select @ms(@now), a@b from t @for_update");
        assert_eq!(
            sql.text(DatabaseBackend::Postgres),
            "select (extract(epoch from now()) * 1000)::bigint, a@b from t for update"
        );
    }
}
