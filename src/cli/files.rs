//! `--config`, an option of every command that needs the configuration.

use super::failure::Failure;
use crate::config::{Config, Sources};
use std::path::PathBuf;

/// The configuration files of a command.
#[derive(clap::Args, Clone, Default)]
pub(super) struct Files {
    /// TOML file that overrides the defaults; a later file overrides an earlier one [default:
    /// config/local.toml, if it exists]
    #[arg(long = "config", value_name = "FILE")]
    config: Vec<PathBuf>,
}

impl Files {
    /// True if at least one file is given.
    pub(super) fn is_given(&self) -> bool {
        !self.config.is_empty()
    }

    /// The files of `lower`, followed by these.
    pub(super) fn over(mut self, mut lower: Self) -> Self {
        lower.config.append(&mut self.config);
        lower
    }

    /// These files and the environment of this process.
    pub(super) fn sources(self) -> Sources {
        Sources::from_process(self.config)
    }

    /// Loads the configuration.
    pub(super) fn load(self) -> Result<Config, Failure> {
        Ok(Config::load(&self.sources())?)
    }
}
