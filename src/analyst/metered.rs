//! Times and counts the answers of any analyst.

use super::{
    Analyst, AnalystAnswer, AnalystError, AnalystVerdict, DraftRequest, DraftText, Evaluation,
    EvaluationRequest, RuledMessage, Score,
};
use crate::{domain::Conversation, telemetry::metrics::Metrics};
use tokio::time::Instant;

/// An analyst whose answers are counted and timed in the metrics under its provider's name.
#[derive(Clone, Debug)]
pub struct Metered<A> {
    analyst: A,
    provider: &'static str,
    metrics: Metrics,
}

impl<A: Analyst> Metered<A> {
    /// Wraps `analyst`, and counts and times its answers.
    pub const fn new(analyst: A, provider: &'static str, metrics: Metrics) -> Self {
        Self { analyst, provider, metrics }
    }

    fn timed<'a, T: 'a>(&'a self, answer: AnalystAnswer<'a, T>) -> AnalystAnswer<'a, T> {
        Box::pin(async move {
            let started = Instant::now();
            let result = answer.await;
            let outcome = match &result {
                Ok(_) => "ok",
                Err(AnalystError::Away(_)) => "away",
                Err(AnalystError::Unusable(_)) => "unusable",
                Err(AnalystError::Paused { .. }) => "paused",
            };
            self.metrics.analyst_answered(self.provider, outcome, started.elapsed());
            result
        })
    }
}

impl<A: Analyst> Analyst for Metered<A> {
    fn classify<'a>(&'a self, message: &'a RuledMessage<'a>) -> AnalystAnswer<'a, AnalystVerdict> {
        self.timed(self.analyst.classify(message))
    }

    fn score<'a>(
        &'a self,
        conversation: &'a Conversation,
        ideal_customer: Option<&'a str>,
    ) -> AnalystAnswer<'a, Option<Score>> {
        self.timed(self.analyst.score(conversation, ideal_customer))
    }

    fn scores_by_thread(&self) -> bool {
        self.analyst.scores_by_thread()
    }

    fn draft<'a>(&'a self, request: DraftRequest<'a>) -> AnalystAnswer<'a, Option<DraftText>> {
        self.timed(self.analyst.draft(request))
    }

    fn evaluate<'a>(&'a self, request: EvaluationRequest<'a>) -> AnalystAnswer<'a, Evaluation> {
        self.timed(self.analyst.evaluate(request))
    }
}
