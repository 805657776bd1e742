//! The metrics of the configuration's reloads.

use super::metrics::{Declare, options};
use crate::domain::Timestamp;
use prometheus::{Gauge, IntCounterVec, IntGauge};

/// How a reload can end.
const RELOAD_OUTCOMES: [&str; 3] = ["applied", "unchanged", REFUSED];
const REFUSED: &str = "refused";

/// The metrics of reloads. Clones share them.
#[derive(Clone, Debug)]
pub struct ConfigMetrics {
    is_successful: IntGauge,
    succeeded_at: Gauge,
    reloads: IntCounterVec,
    pending: IntGauge,
}

impl ConfigMetrics {
    pub(super) fn declare(add: &Declare<'_>) -> Result<Self, prometheus::Error> {
        let successful = options(
            "config_last_reload_successful",
            "1 if this node applied the last load of the configuration or it said the same, 0 if it was refused",
        );
        let succeeded = options(
            "config_last_reload_success_timestamp_seconds",
            "When this node last did not refuse a load of the configuration, the start included",
        );
        let pending = options(
            "config_pending_restart_keys",
            "Changed keys of the configuration that wait for a restart of this node",
        );
        let reloads = add.counters(
            "config_reloads_total",
            "Reloads of the configuration since the start",
            &["outcome"],
        )?;
        for outcome in RELOAD_OUTCOMES {
            // The series exists from the start, so that the first reload shows as a rise.
            reloads.with_label_values(&[outcome]);
        }
        Ok(Self {
            is_successful: add.register(IntGauge::with_opts(successful)?)?,
            succeeded_at: add.register(Gauge::with_opts(succeeded)?)?,
            reloads,
            pending: add.register(IntGauge::with_opts(pending)?)?,
        })
    }

    /// Notes that the daemon started at `at` with a valid configuration.
    pub fn started(&self, at: Timestamp) {
        self.is_successful.set(1);
        self.succeeded_at.set(seconds(at));
    }

    /// Notes a reload that ended at `at` with one of the outcomes `applied`, `unchanged` and
    /// `refused`, and how many keys wait for a restart then.
    pub fn reloaded(&self, outcome: &str, at: Timestamp, pending: usize) {
        let is_successful = outcome != REFUSED;
        self.reloads.with_label_values(&[outcome]).inc();
        self.is_successful.set(i64::from(is_successful));
        if is_successful {
            self.succeeded_at.set(seconds(at));
        }
        self.pending.set(i64::try_from(pending).unwrap_or(i64::MAX));
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.as_millis() as f64 / 1_000.0
}
