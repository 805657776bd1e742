//! Where the history reads a series: the counters and histograms of the metrics.

use super::{
    history::{SeriesName, SeriesReading},
    metrics::{FAILED, Metrics, SECONDS, WAITS},
};
use crate::domain::{ChannelName, sending::DeliveryStatus};
use prometheus::{Histogram, IntCounter, core::Metric as _};

/// The outcomes of an attempt that succeeded or failed.
const ENDED: [&str; 6] = ["succeeded", "error", "panic", "timeout", "stuck", "rescued"];

/// The metrics of a series, with their labels resolved.
#[derive(Clone, Debug)]
pub enum HistorySource {
    /// The sum of counters.
    Counters(Vec<IntCounter>),
    /// A histogram.
    Histogram(Histogram),
}

impl HistorySource {
    /// The series as it is now.
    pub fn read(&self) -> SeriesReading {
        match self {
            Self::Counters(counters) => SeriesReading::Count(
                counters.iter().map(IntCounter::get).fold(0, u64::saturating_add),
            ),
            Self::Histogram(histogram) => {
                let metric = histogram.metric();
                let histogram = metric.get_histogram();
                let finite =
                    histogram.get_bucket().iter().filter(|it| it.upper_bound().is_finite());
                let mut counts: Vec<u64> = finite.map(|it| it.cumulative_count()).collect();
                counts.push(histogram.get_sample_count());
                SeriesReading::Observed(counts)
            }
        }
    }
}

/// The bounds of the histogram of a series, as [`HistorySource::read`] counts by them.
pub fn bounds_of(name: &SeriesName) -> &'static [f64] {
    if matches!(name, SeriesName::Run(_)) { SECONDS } else { WAITS }
}

impl Metrics {
    /// Where the history reads a series; `None` if it is not counted here.
    pub fn history_source(
        &self,
        name: &SeriesName,
        channels: &[ChannelName],
    ) -> Option<HistorySource> {
        let webhooks = |outcome: &str| {
            let of = |it: &ChannelName| self.0.webhooks.with_label_values(&[it.0, outcome]);
            HistorySource::Counters(channels.iter().map(of).collect())
        };
        let attempts = |kind: &str, outcomes: &[&str]| {
            let of = |outcome: &&str| self.0.jobs.with_label_values(&[kind, *outcome]);
            HistorySource::Counters(outcomes.iter().map(of).collect())
        };
        match *name {
            SeriesName::Webhooks(outcome) => Some(webhooks(outcome)),
            SeriesName::Ended(kind) => Some(attempts(kind, &ENDED)),
            SeriesName::Failed(kind) => Some(attempts(kind, &FAILED)),
            SeriesName::Sent(channel) => {
                let labels = [channel, DeliveryStatus::Sent.as_str()];
                let sent = self.0.deliveries.with_label_values(&labels);
                Some(HistorySource::Counters(vec![sent]))
            }
            SeriesName::Wait(kind) => {
                let waits = self.0.job_wait_seconds.with_label_values(&[kind]);
                Some(HistorySource::Histogram(waits))
            }
            SeriesName::Run(kind) => {
                let runs = self.0.job_run_seconds.with_label_values(&[kind]);
                Some(HistorySource::Histogram(runs))
            }
            SeriesName::Backlog(_) | SeriesName::Restarts(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::alerts::prometheus_rules::PrometheusRule;

    #[test]
    fn prometheus_counts_the_same_attempts_as_failed_and_as_ended() {
        let expr = PrometheusRule::named("JobsFailing").expr;
        let words = expr.split("outcome=~\"").skip(1).map(|rest| rest.split('"').next());
        let words: Vec<_> = words.map(|it| it.unwrap().to_owned()).collect();
        assert_eq!(words, [FAILED.join("|"), FAILED.join("|"), ENDED.join("|")]);
    }
}
