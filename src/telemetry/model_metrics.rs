//! The metrics of requests to a model's server.

use super::metrics::{Declare, SECONDS};
use crate::domain::model_call::{ModelCallFeature, ModelCallStatus};
use prometheus::{HistogramVec, IntCounterVec};
use std::time::Duration;

/// The metrics of requests to a model's server. Clones share them.
#[derive(Clone, Debug)]
pub struct ModelMetrics {
    calls: IntCounterVec,
    seconds: HistogramVec,
    tokens: IntCounterVec,
    not_kept: IntCounterVec,
}

impl ModelMetrics {
    pub(super) fn declare(add: &Declare<'_>) -> Result<Self, prometheus::Error> {
        let calls = "Requests to a model's server, by what was asked for and how they ended";
        let labels = &["feature", "status"];
        let not_kept = "Requests to a model's server whose row could not be stored";
        let metrics = Self {
            calls: add.counters("model_calls_total", calls, labels)?,
            seconds: add.histograms(
                "model_call_seconds",
                "Request to a model's server: sent to ended",
                &["feature"],
                SECONDS,
            )?,
            tokens: add.counters(
                "analyst_tokens_total",
                "Tokens of questions (in) and answers (out), as the model's server counts them",
                &["provider", "direction"],
            )?,
            not_kept: add.counters("model_calls_not_kept_total", not_kept, &[])?,
        };
        metrics.not_kept(0);
        for feature in ModelCallFeature::ALL {
            metrics.seconds.with_label_values(&[feature.as_str()]);
            for status in ModelCallStatus::ALL {
                metrics.calls.with_label_values(&[feature.as_str(), status.as_str()]);
            }
        }
        metrics.tokens(0, 0);
        Ok(metrics)
    }

    /// Counts a request that has ended, and the time that it took.
    pub fn called(&self, feature: ModelCallFeature, status: ModelCallStatus, took: Duration) {
        let feature = feature.as_str();
        self.calls.with_label_values(&[feature, status.as_str()]).inc();
        self.seconds.with_label_values(&[feature]).observe(took.as_secs_f64());
    }

    /// Counts the tokens of a question and of its answer.
    pub fn tokens(&self, question: i64, answer: i64) {
        for (direction, count) in [("in", question), ("out", answer)] {
            let count = u64::try_from(count).unwrap_or_default();
            self.tokens.with_label_values(&["openai", direction]).inc_by(count);
        }
    }

    /// Counts requests that left no row.
    pub fn not_kept(&self, count: usize) {
        let none: [&str; 0] = [];
        self.not_kept.with_label_values(&none).inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }
}
