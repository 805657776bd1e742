//! `--config`, which every command takes that needs the configuration.

use super::failure::Failure;
use crate::config::{Config, Sources};
use std::path::PathBuf;

/// The files that a configuration is made of.
#[derive(clap::Args, Default)]
pub(super) struct Files {
    /// TOML file, laid over the defaults; of several, a later one over an earlier one [default:
    /// config/local.toml where it exists]
    #[arg(long = "config", value_name = "FILE")]
    config: Vec<PathBuf>,
}

impl Files {
    /// True if there is one.
    pub(super) fn is_given(&self) -> bool {
        !self.config.is_empty()
    }

    /// These over those of `lower`.
    pub(super) fn over(mut self, mut lower: Self) -> Self {
        lower.config.append(&mut self.config);
        lower
    }

    /// With the environment of this process.
    pub(super) fn sources(self) -> Sources {
        Sources::from_process(self.config)
    }

    /// Loads the configuration.
    pub(super) fn load(self) -> Result<Config, Failure> {
        Ok(Config::load(&self.sources())?)
    }
}
