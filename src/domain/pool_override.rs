//! Overrides of pools: what operators set beside the configuration files.

use super::Timestamp;

/// What an operator has set for the pool of one kind, on all nodes. It applies until it is reset,
/// expires, or the file's value of the same key changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolOverride {
    /// The job kind.
    pub kind: String,
    /// The number of slots of each node; `None`: as the file says.
    pub size: Option<usize>,
    /// Whether the pool is paused; `None`: as the file says.
    pub paused: Option<bool>,
    /// The file's size when `size` was set.
    pub base_size: Option<usize>,
    /// The file's `paused` when `paused` was set.
    pub base_paused: Option<bool>,
    /// Who set it.
    pub by: String,
    /// Why, in the words of the person.
    pub note: Option<String>,
    /// When it was set.
    pub at: Timestamp,
    /// When it ends by itself; `None`: not by itself.
    pub expires_at: Option<Timestamp>,
}
