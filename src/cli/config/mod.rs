//! `postroom config`: checks, shows and explains the configuration, compares it, and lists its
//! loads.

mod diff;
mod explain;
mod history;
mod running;
mod show;

use super::{admin::Remote, completions, failure::Failure, files::Files, output};
use crate::{
    app::AppError,
    config::{self, Loaded, Sources},
    registry,
    telemetry::logging,
};
use clap::{Subcommand, builder::NonEmptyStringValueParser};
use serde_json::json;

#[derive(Subcommand)]
pub(super) enum ConfigCommand {
    /// Check the configuration and print everything that is wrong with it
    Check {
        /// Say also what a reload would change in the running daemon
        #[arg(long)]
        running: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show every value with the place where it was set, secrets masked
    Show(show::ConfigShowArgs),
    /// Explain a key: what it means, which layers set it, when a change of it applies, and what the
    /// daemon runs with, if one answers
    Explain {
        /// The key, such as `pools.default.size`; or a section
        #[arg(
            value_name = "KEY",
            value_parser = NonEmptyStringValueParser::new(),
            add = completions::words(keys),
        )]
        key: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show the values that are not the defaults; exit code 3 if there are any
    Diff {
        /// Compare with the running daemon instead of the defaults
        #[arg(long)]
        running: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show the loads of the running daemon since its start: what each has changed, or why it was
    /// refused. One that says the same as the one before is not listed
    History {
        #[command(flatten)]
        remote: Remote,
    },
}

/// Runs the command. `files` are those given before it.
pub(super) fn run(command: ConfigCommand, files: Files) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check { running, remote } => check(running, remote, files),
        ConfigCommand::Show(args) => show::run(args, files),
        ConfigCommand::Explain { key, remote } => explain::run(&key, remote, files),
        ConfigCommand::Diff { running: true, remote } => diff::with_running(remote, files),
        ConfigCommand::Diff { running: false, remote } => diff::with_defaults(&remote, &files),
        ConfigCommand::History { remote } => history::run(remote, files),
    }
}

/// The keys that a configuration may have; a name that people choose ends what is completed.
fn keys() -> Vec<String> {
    let known = config::known_keys().into_iter();
    let mut keys: Vec<String> =
        known.map(|key| key.pattern.split('*').next().unwrap_or_default().to_owned()).collect();
    keys.dedup();
    keys
}

/// Checks the configuration; warnings go to stderr.
fn check(is_running: bool, remote: Remote, files: Files) -> Result<(), Failure> {
    let (is_json, times, sources) = (remote.json, remote.times(), remote.sources(&files));
    let loaded = load(&sources)?;
    registry::postroom().check(&loaded.config)?;
    logging::prepare(&loaded.config.telemetry.log).map_err(AppError::from)?;
    let warnings = loaded.config.warnings();
    for warning in warnings {
        output::complain(&output::line(&format!("warning: {warning}")));
    }
    let running = if is_running { Some(running::ask(remote, files)?) } else { None };
    if is_json {
        let compared = |it| diff::running_document(&loaded, it, &it.differences(&loaded));
        let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        let running = running.as_ref().map(compared);
        return output::print_json(&json!({"warnings": warnings, "running": running}));
    }
    output::print(&format!("ok: {}", output::line(&read(&sources))))?;
    match running {
        Some(running) => output::print(&diff::reload_text(&loaded, &running, &times)),
        None => Ok(()),
    }
}

fn load(sources: &Sources) -> Result<Loaded, Failure> {
    Ok(Loaded::load(sources)?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layers_that_were_read_are_told() {
        let sources = Sources {
            env: vec![("POSTROOM__SERVER__WORKERS".to_owned(), "2".to_owned())],
            ..Sources::default()
        };
        assert_eq!(read(&sources), "config/default.toml (compiled in), 1 environment variable");
    }
}
