//! `postroom config`: checks, shows and explains the configuration, and compares it.

mod diff;
mod explain;
mod show;

use super::{failure::Failure, files::Files, output};
use crate::{
    config::{Loaded, Sources},
    registry,
};
use clap::{Subcommand, builder::NonEmptyStringValueParser};

#[derive(Subcommand)]
pub(super) enum ConfigCommand {
    /// Check the configuration and print everything that is wrong with it
    Check {
        #[command(flatten)]
        files: Files,
    },
    /// Show every value with the place where it was set, secrets masked
    Show(show::ShowArgs),
    /// Explain a key: what it means, which layers set it, when a change of it applies
    Explain {
        /// The key, such as `pools.default.size`; or a section
        #[arg(value_name = "KEY", value_parser = NonEmptyStringValueParser::new())]
        key: String,
        #[command(flatten)]
        files: Files,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the values that are not the defaults; exit code 3 if there are any
    Diff {
        #[command(flatten)]
        files: Files,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command. `files` are those given before it.
pub(super) fn run(command: ConfigCommand, files: Files) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check { files: own } => {
            let sources = own.over(files).sources();
            check(&load(&sources)?)?;
            output::print(&format!("ok: {}", output::line(&read(&sources))))
        }
        ConfigCommand::Show(args) => show::run(args, files),
        ConfigCommand::Explain { key, files: own, json } => {
            explain::run(&key, &own.over(files).sources(), json)
        }
        ConfigCommand::Diff { files: own, json } => diff::run(&own.over(files).sources(), json),
    }
}

fn load(sources: &Sources) -> Result<Loaded, Failure> {
    Ok(Loaded::load(sources)?)
}

/// Checks the names of kinds and channels, and prints warnings to stderr.
fn check(loaded: &Loaded) -> Result<(), Failure> {
    registry::postroom().check(&loaded.config)?;
    for warning in loaded.config.warnings() {
        output::complain(&output::line(&format!("warning: {warning}")));
    }
    Ok(())
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
