//! What the tuner tells about the configuration that runs.

use super::{
    loads::LoadHistory,
    report::{ReloadOutcome, ReloadReport},
};
use crate::{
    config::{ChangedKey, Loaded},
    domain::Timestamp,
};
use std::sync::Arc;

/// The state of the configuration of this daemon.
#[derive(Clone, Debug)]
pub struct TuningStatus {
    /// What runs, without overrides of pools.
    pub running: Arc<Loaded>,
    /// When it was loaded.
    pub loaded_at: Timestamp,
    /// What the last reload did; `None` if there was none since the start.
    pub last: Option<Arc<ReloadReport>>,
    /// The last reload that was applied; `None` if there was none since the start.
    pub last_applied: Option<Arc<ReloadReport>>,
    /// The last loads that said something new.
    pub loads: Arc<LoadHistory>,
    /// The keys that wait for a restart.
    pub pending: Vec<ChangedKey>,
    /// What is still being changed in the database because of the last reload: `caps`, `clients`,
    /// `audit`.
    pub applying: Vec<&'static str>,
}

impl TuningStatus {
    /// The last reload, if it was refused.
    pub fn refused(&self) -> Option<&ReloadReport> {
        self.last.as_deref().filter(|report| report.outcome == ReloadOutcome::Refused)
    }
}
