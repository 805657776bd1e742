//! The configuration that applies now, shared by all its readers.

use super::Config;
use arc_swap::ArcSwap;
use std::sync::Arc;

/// The configuration that applies now. Clones share it. Call [`Live::get`] for each use instead of
/// keeping a copy, since a reload replaces the configuration.
#[derive(Clone, Debug)]
pub struct Live(Arc<ArcSwap<Config>>);

impl Live {
    /// Makes `config` the configuration that applies.
    pub fn new(config: Config) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(config)))
    }

    /// The configuration that applies now.
    pub fn get(&self) -> Arc<Config> {
        self.0.load_full()
    }

    /// Replaces the configuration for all clones.
    pub fn set(&self, config: Config) {
        self.0.store(Arc::new(config));
    }
}
