//! Whether a database can be Postroom's. Checked at the start, before the first table is created.
//! Waiting does not help then, so each error says what to do.

use super::StoreError;
use migration::{Migrator, MigratorTrait, TABLES};
use sea_orm::{ConnectionTrait, DatabaseBackend, Statement};
use std::collections::BTreeSet;

/// The one encoding that holds the text of every language.
const ENCODING: &str = "UTF8";
/// The migrator's table of applied migrations. Other programs use the same name.
const APPLIED: &str = "seaql_migrations";

/// Refuses a PostgreSQL database that cannot store every text: messages would be quarantined one by
/// one.
///
/// # Errors
/// [`StoreError::Unusable`] if its encoding is not UTF-8; others if it is unreachable.
pub(in crate::store) async fn has_encoding(db: &impl ConnectionTrait) -> Result<(), StoreError> {
    if !is_postgres(db) {
        return Ok(());
    }
    let found = texts(db, "select current_setting('server_encoding')").await?;
    match found.into_iter().next() {
        Some(encoding) if encoding != ENCODING => Err(StoreError::Unusable(format!(
            "its encoding is `{encoding}`, which cannot hold every text: make a database with \
             `create database … encoding 'UTF8' template template0`, and name it in `database.url`"
        ))),
        Some(_) | None => Ok(()),
    }
}

/// Refuses a database in which another program's tables have the names of Postroom's.
///
/// # Errors
/// [`StoreError::Unusable`] if there are such tables; others if it is unreachable.
pub(in crate::store) async fn has_room(db: &impl ConnectionTrait) -> Result<(), StoreError> {
    let taken = taken(db).await?;
    let applied = if taken.contains(APPLIED) {
        texts(db, &format!("select version from {APPLIED}")).await?
    } else {
        Vec::new()
    };
    let own: Vec<String> =
        Migrator::get_migration_files().iter().map(|it| it.name().to_owned()).collect();
    let Some(names) = in_the_way(&taken, &applied, &own) else { return Ok(()) };
    let way_out = if is_postgres(db) {
        "give Postroom a database of its own, or a schema of its own (`create schema postroom`, and \
         `?options=-c%20search_path%3Dpostroom` behind `database.url`)"
    } else {
        "name another file in `database.url`"
    };
    Err(StoreError::Unusable(format!(
        "it holds tables of another program with names that Postroom needs ({names}): {way_out}"
    )))
}

fn is_postgres(db: &impl ConnectionTrait) -> bool {
    db.get_database_backend() == DatabaseBackend::Postgres
}

/// Which tables are in the way. If one of our migrations (`own`) is among the `applied` ones, none
/// is: the tables are ours. Otherwise all `taken` names are, except for the migrator's table if it
/// is empty.
fn in_the_way(taken: &BTreeSet<String>, applied: &[String], own: &[String]) -> Option<String> {
    if applied.iter().any(|migration| own.contains(migration)) {
        return None;
    }
    let is_in_the_way = |name: &&String| *name != APPLIED || !applied.is_empty();
    let names: Vec<String> =
        taken.iter().filter(is_in_the_way).map(|name| format!("`{name}`")).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// Those of the names that we need that are taken in the schema, by a table or anything else.
async fn taken(db: &impl ConnectionTrait) -> Result<BTreeSet<String>, StoreError> {
    let names: Vec<String> =
        TABLES.iter().chain([&APPLIED]).map(|name| format!("'{name}'")).collect();
    let names = names.join(", ");
    let text = if is_postgres(db) {
        format!(
            "select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace \
             where n.nspname = current_schema() and c.relname in ({names})"
        )
    } else {
        format!("select name from sqlite_master where name in ({names})")
    };
    Ok(texts(db, &text).await?.into_iter().collect())
}

/// The first column of all rows. `text` must contain nothing that comes from outside.
async fn texts(db: &impl ConnectionTrait, text: &str) -> Result<Vec<String>, StoreError> {
    let statement = Statement::from_string(db.get_database_backend(), text);
    let rows = db.query_all_raw(statement).await?;
    Ok(rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_ours_is_in_the_way() {
        let own = ["m1_queue".to_owned(), "m2_more".to_owned()];
        for (taken, applied, expected) in [
            (&[][..], &[][..], None),
            (&["jobs", "leads"], &[], Some("`jobs`, `leads`")),
            (&["jobs", APPLIED], &["m1_queue"], None),
            // A newer version has been here: the migrator says so.
            (&["jobs", APPLIED], &["m1_queue", "m9_later"], None),
            // All was taken back.
            (&[APPLIED], &[], None),
            (&["jobs", APPLIED], &[], Some("`jobs`")),
            (&[APPLIED], &["m2022_theirs"], Some("`seaql_migrations`")),
            (&["jobs", APPLIED], &["m2022_theirs"], Some("`jobs`, `seaql_migrations`")),
        ] {
            let taken_names = taken.iter().map(|it| (*it).to_owned()).collect();
            let applied_names: Vec<String> = applied.iter().map(|it| (*it).to_owned()).collect();
            let found = in_the_way(&taken_names, &applied_names, &own);
            assert_eq!(found.as_deref(), expected, "{taken:?} {applied:?}");
        }
    }
}
