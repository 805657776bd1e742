//! `postroom migrate`: migrations by hand.

use super::{failure::Failure, files::Files, output};
use crate::{
    app::{self, Migrate},
    config::DatabaseUrl,
    store::Migrations,
};
use clap::Subcommand;
use serde_json::{Value, json};
use std::io::{self, IsTerminal, Write};

#[derive(Subcommand)]
pub(super) enum MigrateCommand {
    /// Apply all pending migrations
    Up(Common),
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
        MigrateCommand::Up(common) => (Migrate::Up, common, true),
        MigrateCommand::Down(common) => (Migrate::Down, common, true),
        MigrateCommand::Status(common) => (Migrate::Status, common, true),
        MigrateCommand::Fresh { yes, common } => (Migrate::Fresh, common, yes),
    };
    let config = common.files.over(files).load()?;
    if !is_confirmed {
        confirm(&config.database.url)?;
    }
    let migrations = app::migrate(&config, step)?;
    if common.json {
        output::print_json(&document(&migrations))
    } else {
        output::print(&table(&migrations))
    }
}

/// Asks a person for confirmation.
///
/// # Errors
/// If the person declines, or there is no terminal.
fn confirm(database: &DatabaseUrl) -> Result<(), Failure> {
    let what = format!("`postroom migrate fresh` drops everything in {database}");
    if !io::stdin().is_terminal() {
        let message = format!(
            "{what}, and there is no terminal to ask on: add --yes to do it without a question"
        );
        return Err(Failure::Wrong(message));
    }
    let mut err = io::stderr();
    let asked = write!(err, "{what}. Type `{CONFIRMATION}` to go on: ").and_then(|()| err.flush());
    let mut answer = String::new();
    let read = asked.and_then(|()| io::stdin().read_line(&mut answer));
    match read {
        Ok(_) if answer.trim() == CONFIRMATION => Ok(()),
        Ok(_) => Err(Failure::Failed("not confirmed: nothing was changed".to_owned())),
        Err(error) => Err(Failure::Failed(format!("no answer can be read: {error}"))),
    }
}

fn document(migrations: &Migrations) -> Value {
    let item = |(name, applied): &(String, bool)| json!({"name": name, "applied": applied});
    json!({"items": migrations.steps.iter().map(item).collect::<Vec<_>>()})
}

fn table(migrations: &Migrations) -> String {
    let row = |(name, is_applied): &(String, bool)| {
        vec![name.clone(), if *is_applied { "yes" } else { "no" }.to_owned()]
    };
    output::table(&["name", "applied"], migrations.steps.iter().map(row))
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
            table(&migrations),
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
