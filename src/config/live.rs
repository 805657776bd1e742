//! The configuration that applies now, shared by all its readers.

use super::Config;
use arc_swap::ArcSwap;
use std::sync::Arc;
use tokio::sync::watch;

/// The configuration that applies now. Clones share it. Call [`Live::get`] for each use instead of
/// keeping a copy, since a reload replaces the configuration.
#[derive(Clone, Debug)]
pub struct Live {
    current: Arc<ArcSwap<Config>>,
    /// How many times it was replaced. For parts that must act on a change.
    replaced: Arc<watch::Sender<u64>>,
}

impl Live {
    /// Makes `config` the configuration that applies.
    pub fn new(config: Config) -> Self {
        let current = Arc::new(ArcSwap::from_pointee(config));
        Self { current, replaced: Arc::new(watch::Sender::new(0)) }
    }

    /// The configuration that applies now.
    pub fn get(&self) -> Arc<Config> {
        self.current.load_full()
    }

    /// Replaces the configuration for all clones, and tells all that wait for changes.
    pub fn set(&self, config: Config) {
        self.current.store(Arc::new(config));
        self.replaced.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Tells of each replacement from now on. Several in quick succession may be told as one.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.replaced.subscribe()
    }
}
