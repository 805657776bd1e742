//! `postroom config`: checks and shows the configuration.

use super::{
    failure::Failure,
    files::Files,
    output::{self, TextTable},
};
use crate::{
    app::AppError,
    config::{Config, EffectiveValue, Sources},
    registry,
    telemetry::logging,
};
use clap::Subcommand;
use serde_json::{Value, json};

#[derive(Subcommand)]
pub(super) enum ConfigCommand {
    /// Check the configuration and print everything that is wrong with it
    Check {
        #[command(flatten)]
        files: Files,
    },
    /// Show every value with the place where it was set, secrets masked
    Show {
        #[command(flatten)]
        files: Files,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Checks or shows the configuration. `files` are those given before the command.
pub(super) fn run(command: ConfigCommand, files: Files) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check { files: own } => {
            let sources = own.over(files).sources();
            let config = Config::load(&sources)?;
            registry::postroom().check(&config)?;
            logging::prepare(&config.telemetry.log).map_err(AppError::from)?;
            for warning in config.warnings() {
                output::complain(&output::line(&format!("warning: {warning}")));
            }
            output::print(&format!("ok: {}", output::line(&read(&sources))))
        }
        ConfigCommand::Show { files: own, json } => {
            let values = Config::effective(&own.over(files).sources())?;
            if json {
                output::print_json(&document(&values))
            } else {
                output::print_table(&table(values))
            }
        }
    }
}

/// The layers that were read, the lowest first.
fn read(sources: &Sources) -> String {
    let mut layers = vec!["config/default.toml (compiled in)".to_owned()];
    layers.extend(sources.layers().iter().map(|file| file.display().to_string()));
    let is_key = |name: &str| name.to_ascii_uppercase().starts_with("POSTROOM__");
    match sources.env.iter().filter(|(name, _)| is_key(name)).count() {
        0 => {}
        1 => layers.push("1 environment variable".to_owned()),
        count => layers.push(format!("{count} environment variables")),
    }
    layers.join(", ")
}

fn document(values: &[EffectiveValue]) -> Value {
    let item = |item: &EffectiveValue| json!({"key": item.key, "value": item.value, "origin": item.origin});
    json!({"items": values.iter().map(item).collect::<Vec<_>>()})
}

fn table(values: Vec<EffectiveValue>) -> TextTable {
    let row = |row: EffectiveValue| {
        [row.key, row.value, row.origin].map(|cell| output::line(&cell)).to_vec()
    };
    TextTable::new(&["key", "value", "origin"], values.into_iter().map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_shown_with_its_origin() {
        let sources = Sources {
            env: vec![("POSTROOM__SERVER__WORKERS".to_owned(), "2".to_owned())],
            ..Sources::default()
        };
        let values = Config::effective(&sources).expect("valid");
        let document = document(&values);
        let items = document.get("items").and_then(Value::as_array).expect("items");
        let workers = json!({
            "key": "server.workers",
            "value": "2",
            "origin": "environment variable POSTROOM__SERVER__WORKERS",
        });
        assert!(items.contains(&workers), "{items:?}");
        let table = table(values).text(None, false);
        let line = table.lines().find(|it| it.starts_with("server.workers ")).expect("a line");
        assert!(line.ends_with("  environment variable POSTROOM__SERVER__WORKERS"), "{line}");
        assert_eq!(read(&sources), "config/default.toml (compiled in), 1 environment variable");
    }
}
