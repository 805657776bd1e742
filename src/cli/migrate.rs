//! `postroom migrate`: migrations by hand.

use super::{
    failure::Failure,
    files::Files,
    output::{self, TextTable},
    prompt::confirm,
};
use crate::{
    app::{self, Migrate},
    store::Migrations,
};
use clap::Subcommand;
use serde_json::{Value, json};

#[derive(Subcommand)]
pub(super) enum MigrateCommand {
    /// Apply all pending migrations
    Up {
        /// Show which migrations are pending, and apply none
        #[arg(long)]
        dry_run: bool,
        /// Show their statements, too, as they are for this database. Only `migrate up` notes what
        /// is applied: do not run them by hand
        #[arg(long, requires = "dry_run")]
        sql: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Revert the last migration
    Down(Common),
    /// Show which migrations are applied, and change nothing
    Status(Common),
    /// Drop everything and apply all migrations. All data is lost
    Fresh {
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(clap::Args)]
pub(super) struct Common {
    #[command(flatten)]
    files: Files,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The word that a person has to type before everything is dropped.
const CONFIRMATION: &str = "fresh";

/// Runs migrations, and prints which are applied afterwards. `files` are those given before the
/// command.
pub(super) fn run(command: MigrateCommand, files: Files) -> Result<(), Failure> {
    let (step, common, is_confirmed) = match command {
        MigrateCommand::Up { dry_run: true, sql, common } => return plan(sql, common, files),
        MigrateCommand::Up { dry_run: false, sql: _, common } => (Migrate::Up, common, true),
        MigrateCommand::Down(common) => (Migrate::Down, common, true),
        MigrateCommand::Status(common) => (Migrate::Status, common, true),
        MigrateCommand::Fresh { yes, common } => (Migrate::Fresh, common, yes),
    };
    let config = common.files.over(files).load()?;
    if !is_confirmed {
        let url = &config.database.url;
        let what = format!("`postroom migrate fresh` drops everything in {url}");
        confirm(&what, CONFIRMATION)?;
    }
    let migrations = app::migrate(&config, step)?;
    if common.json {
        output::print_json(&document(&migrations))
    } else {
        output::print_table(&table(&migrations))
    }
}

/// Prints which migrations are pending, with their statements if `has_sql`.
fn plan(has_sql: bool, common: Common, files: Files) -> Result<(), Failure> {
    let config = common.files.over(files).load()?;
    let migrations = app::migrate(&config, Migrate::Status)?;
    let pending = migrations.pending_statements(&config.database.url);
    if common.json {
        return output::print_json(&plan_document(&pending, has_sql));
    }
    if pending.is_empty() {
        return output::print("no migration is pending");
    }
    for (name, sql) in &pending {
        output::print(&if has_sql { format!("-- {name}\n{sql}\n") } else { name.clone() })?;
    }
    Ok(())
}

fn plan_document(pending: &[(String, String)], has_sql: bool) -> Value {
    let item = |(name, sql): &(String, String)| match has_sql {
        true => json!({"name": name, "sql": sql}),
        false => json!({"name": name}),
    };
    json!({"items": pending.iter().map(item).collect::<Vec<_>>()})
}

fn document(migrations: &Migrations) -> Value {
    let item = |(name, applied): &(String, bool)| json!({"name": name, "applied": applied});
    json!({"items": migrations.steps.iter().map(item).collect::<Vec<_>>()})
}

fn table(migrations: &Migrations) -> TextTable {
    let row = |(name, is_applied): &(String, bool)| {
        vec![name.clone(), if *is_applied { "yes" } else { "no" }.to_owned()]
    };
    TextTable::new(&["name", "applied"], migrations.steps.iter().map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_shown_with_whether_they_are_applied() {
        let steps =
            vec![("m20260101_tables".to_owned(), true), ("m20260201_more".to_owned(), false)];
        let migrations = Migrations { steps };
        assert_eq!(
            table(&migrations).text(None, false),
            "name              applied\nm20260101_tables  yes\nm20260201_more    no"
        );
        assert_eq!(
            document(&migrations),
            json!({"items": [
                {"name": "m20260101_tables", "applied": true},
                {"name": "m20260201_more", "applied": false},
            ]})
        );
    }
}
