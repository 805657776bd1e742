//! How long transactions and reads take, for the metrics.

use super::StoreError;
use crate::telemetry::database_metrics::DatabaseMetrics;
use std::sync::{Arc, OnceLock};
use tokio::time::Instant;

/// Where times are noted, once there is such a place. A clone shares it.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Timings(Arc<OnceLock<DatabaseMetrics>>);

impl Timings {
    /// Notes times in `metrics` from now on. A second place gets none.
    pub(in crate::store) fn set(&self, metrics: DatabaseMetrics) {
        drop(self.0.set(metrics));
    }

    /// Runs work for `purpose`, and notes how long it took and whether it succeeded.
    pub(in crate::store) async fn time<T>(
        &self,
        purpose: &'static str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let started = Instant::now();
        let result = work.await;
        if let Some(metrics) = self.0.get() {
            metrics.ended(purpose, result.is_ok(), started.elapsed());
        }
        result
    }
}
