//! Takes the calls of models to the part that keeps them.

use crate::{domain::ModelCall, telemetry::metrics::Metrics};
use std::time::Duration;
use tokio::sync::mpsc;

/// The most calls that wait to be kept. More are counted, and not kept: no job waits for them.
const WAITING_MAX: usize = 2_048;

/// Where calls of models are noted. Clones share it.
#[derive(Clone, Debug)]
pub struct ModelCallLog {
    kept: mpsc::Sender<ModelCall>,
    metrics: Metrics,
}

impl ModelCallLog {
    /// A log, and the calls that are noted in it, for the part that keeps them.
    pub fn new(metrics: Metrics) -> (Self, mpsc::Receiver<ModelCall>) {
        let (kept, calls) = mpsc::channel(WAITING_MAX);
        (Self { kept, metrics }, calls)
    }

    /// Notes a call. It never waits and never fails.
    pub fn note(&self, call: ModelCall) {
        let took = Duration::from_millis(u64::try_from(call.latency_ms).unwrap_or_default());
        self.metrics.model().called(call.feature, call.status, took);
        let (question, answer) = (call.tokens_in, call.tokens_out);
        self.metrics.model().tokens(question.unwrap_or_default(), answer.unwrap_or_default());
        if self.kept.try_send(call).is_err() {
            self.metrics.model().not_kept(1);
        }
    }
}
