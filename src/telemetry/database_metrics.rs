//! The metrics of what Postroom asks of its database.

use super::metrics::{Declare, MetricLabels};
use prometheus::{Histogram, HistogramVec, IntGaugeVec};
use std::{sync::Arc, time::Duration};

/// What a transaction or a read outside of one is for. The last stands for all others.
const PURPOSES: [&str; 19] = [
    "ingest",
    "claim",
    "settle",
    "mark_send",
    "suspect",
    "due_retries",
    "due_later",
    "enqueue",
    "by_hand",
    "decide",
    "quarantine",
    "rescue",
    "erase",
    "caps",
    "chores",
    "read",
    "api",
    "alone",
    OTHER,
];
const OTHER: &str = "other";
/// How it ends.
const OUTCOMES: [&str; 2] = ["ok", "failed"];
/// What connections do.
const STATES: [&str; 2] = ["busy", "idle"];
/// Buckets in seconds, from a read by key to the longest transaction.
const SECONDS: &[f64] = &[0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0];

/// The metrics of the database. Clones share them.
#[derive(Clone, Debug)]
pub struct DatabaseMetrics {
    /// By purpose: the time of those that succeeded, and of those that failed.
    seconds: Arc<Vec<(&'static str, [Histogram; 2])>>,
    connections: IntGaugeVec,
}

impl DatabaseMetrics {
    pub(super) fn declare(
        add: &Declare<'_>,
        labels: &MetricLabels,
    ) -> Result<Self, prometheus::Error> {
        let seconds: HistogramVec = add.histograms(
            "database_seconds",
            "Transactions, and reads outside of them: the wait for a connection, to the end",
            &["purpose", "outcome"],
            SECONDS,
        )?;
        let of = |purpose| {
            (purpose, OUTCOMES.map(|outcome| seconds.with_label_values(&[purpose, outcome])))
        };
        let connections = add.gauges(
            "database_connections",
            "Connections that this node has open to its database",
            &["state"],
        )?;
        add.info(
            "build_info",
            "1; the labels tell what this node runs",
            &["version", "commit", "database"],
            &[
                env!("CARGO_PKG_VERSION"),
                option_env!("POSTROOM_COMMIT").unwrap_or("unknown"),
                labels.database,
            ],
        )?;
        let metrics = Self { seconds: Arc::new(PURPOSES.map(of).into()), connections };
        metrics.connections(0, 0);
        Ok(metrics)
    }

    /// Notes that work for `purpose` has ended after `took`.
    pub fn ended(&self, purpose: &'static str, is_ok: bool, took: Duration) {
        let of = |name: &str| self.seconds.iter().find(|(known, _)| *known == name);
        if let Some((_, [ok, failed])) = of(purpose).or_else(|| of(OTHER)) {
            if is_ok { ok } else { failed }.observe(took.as_secs_f64());
        }
    }

    /// Sets how many connections are in use, and how many wait to be used.
    pub fn connections(&self, busy: usize, idle: usize) {
        for (state, count) in STATES.into_iter().zip([busy, idle]) {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.connections.with_label_values(&[state]).set(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    #[test]
    fn a_purpose_without_a_series_of_its_own_counts_as_other() {
        let metrics = Metrics::new(MetricLabels::default()).expect("metrics");
        metrics.database().ended("ingest", true, Duration::from_millis(3));
        metrics.database().ended("ingest", false, Duration::from_millis(3));
        metrics.database().ended("never heard of", true, Duration::from_millis(3));
        metrics.database().connections(3, 4);
        let text = metrics.render().expect("text");
        for line in [
            "postroom_database_seconds_count{outcome=\"ok\",purpose=\"ingest\"} 1",
            "postroom_database_seconds_count{outcome=\"failed\",purpose=\"ingest\"} 1",
            "postroom_database_seconds_count{outcome=\"ok\",purpose=\"other\"} 1",
            "postroom_database_seconds_count{outcome=\"ok\",purpose=\"claim\"} 0",
            "postroom_database_connections{state=\"busy\"} 3",
            "postroom_database_connections{state=\"idle\"} 4",
        ] {
            assert!(text.lines().any(|known| known == line), "`{line}` is not in\n{text}");
        }
    }
}
