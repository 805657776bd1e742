//! The configuration that applies now.

use super::Config;
use arc_swap::ArcSwap;
use std::sync::Arc;

/// The configuration that applies now; a clone is the same one. Read it for each use, never keep a copy:
/// a reload puts another in its place.
#[derive(Clone, Debug)]
pub struct Live(Arc<ArcSwap<Config>>);

impl Live {
    /// Starts with `config`.
    pub fn new(config: Config) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(config)))
    }

    /// The one that applies now.
    pub fn get(&self) -> Arc<Config> {
        self.0.load_full()
    }

    /// Puts another in its place.
    pub fn set(&self, config: Config) {
        self.0.store(Arc::new(config));
    }
}
