//! The metrics by which the tools of operators watch themselves: pages, streams of events, spans.

use super::metrics::{Declare, options};
use prometheus::{HistogramVec, IntCounter, IntGauge};
use std::time::Duration;

/// The pages.
pub const PAGES: [&str; 19] = [
    "overview",
    "inbox",
    "lead",
    "jobs",
    "job",
    "pools",
    "actors",
    "received",
    "message",
    "quarantine",
    "deliveries",
    "delivery",
    "clients",
    "client",
    "config",
    "system",
    "audit",
    "search",
    "login",
];
/// Buckets in seconds, with a bound at each time that a page is allowed.
const SECONDS: &[f64] = &[0.005, 0.015, 0.03, 0.15, 0.5, 2.0];

/// The metrics of the tools of operators. Clones share them.
#[derive(Clone, Debug)]
pub struct PageMetrics {
    seconds: HistogramVec,
    streams: IntGauge,
    spans_dropped: IntCounter,
}

impl PageMetrics {
    pub(super) fn declare(add: &Declare<'_>) -> Result<Self, prometheus::Error> {
        let streams = options("event_streams", "Streams of events that are open on this node");
        let dropped = options(
            "trace_spans_dropped_total",
            "Spans that were not sent: the collector was away or too slow",
        );
        let seconds = add.histograms(
            "page_seconds",
            "Pages for operators: request to answer",
            &["page"],
            SECONDS,
        )?;
        for page in PAGES {
            seconds.with_label_values(&[page]);
        }
        Ok(Self {
            seconds,
            streams: add.register(IntGauge::with_opts(streams)?)?,
            spans_dropped: add.register(IntCounter::with_opts(dropped)?)?,
        })
    }

    /// Notes that one of [`PAGES`] was answered after `took`.
    pub fn answered(&self, page: &'static str, took: Duration) {
        if PAGES.contains(&page) {
            self.seconds.with_label_values(&[page]).observe(took.as_secs_f64());
        }
    }

    /// The counter of spans that were not sent.
    pub fn spans_dropped(&self) -> IntCounter {
        self.spans_dropped.clone()
    }

    /// Counts a stream of events that was opened.
    pub fn stream_opened(&self) {
        self.streams.inc();
    }

    /// Counts a stream of events that has ended.
    pub fn stream_ended(&self) {
        self.streams.dec();
    }
}
