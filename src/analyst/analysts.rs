//! Gives each job the analyst that the configuration says.

use super::{
    Analyst, AnalystAnswer, AnalystError, AnalystVerdict, DraftRequest, DraftText, Evaluation,
    EvaluationRequest, Local, Metered, ModelCallLog, RuledMessage, Score,
    openai::{self, ModelServer, Openai},
};
use crate::{
    config::{self, AnalystFallback, AnalystProvider},
    domain::{Conversation, Id, Job, JobKind},
    telemetry::metrics::Metrics,
};
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::Instant;

/// The most time of an attempt that is left for what follows the analyst's answers.
const REST_MAX: Duration = Duration::from_secs(2);

/// The job for which an analyst is asked, and until when an answer is of use.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The job.
    pub job_id: Id,
    /// Its kind.
    pub kind: JobKind,
    /// Its client.
    pub client_id: String,
    /// Its lead.
    pub lead_id: Option<Id>,
    /// When the attempt has no time left for answers.
    pub until: Instant,
}

impl Asker {
    /// A person's request about a draft, which is of use for this long from now. It is noted under
    /// the id of the draft.
    pub fn by_hand(draft_id: Id, client_id: &str, lead_id: Id, limit: Duration) -> Self {
        Self {
            job_id: draft_id,
            kind: BY_HAND,
            client_id: client_id.to_owned(),
            lead_id: Some(lead_id),
            until: Instant::now() + limit,
        }
    }

    /// An attempt that starts now and is cut off after `timeout`.
    pub fn of(job: &Job, timeout: Duration) -> Self {
        Self {
            job_id: job.id,
            kind: job.kind,
            client_id: job.client_id.clone(),
            lead_id: job.lead_id,
            until: Instant::now() + timeout.saturating_sub(REST_MAX.min(timeout / 10)),
        }
    }
}

/// The kind under which questions are noted that a person's request asks, and no job.
const BY_HAND: JobKind = JobKind("BY_HAND");

/// Gives each job the analyst that the configuration says at that moment. Clones share the
/// connections to the model's server, and what is known of it.
#[derive(Clone)]
pub struct Analysts {
    config: config::Live,
    metrics: Metrics,
    server: Arc<ModelServer>,
}

impl fmt::Debug for Analysts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Analysts").finish_non_exhaustive()
    }
}

impl Analysts {
    /// Analysts as `config` says. Their requests to a model's server are noted in `log`.
    pub fn new(config: config::Live, metrics: Metrics, log: ModelCallLog) -> Self {
        Self { config, metrics, server: Arc::new(ModelServer::new(log)) }
    }

    /// The analyst for the job of `asker`.
    pub fn of(&self, asker: Asker) -> Box<dyn Analyst> {
        let settings = self.config.get().analyst.clone();
        let local = Metered::new(Local, "local", self.metrics.clone());
        let (provider, fallback) = (settings.provider, settings.fallback);
        if provider == AnalystProvider::Local {
            return Box::new(local);
        }
        let openai = Openai::new(self.server.clone(), settings, asker);
        let openai = Metered::new(openai, openai::NAME, self.metrics.clone());
        match fallback {
            AnalystFallback::None => Box::new(openai),
            AnalystFallback::Local => Box::new(WithFallback { model: openai, local }),
        }
    }
}

/// Asks a model, and the rules if the model has no answer.
struct WithFallback<M, L> {
    model: M,
    local: L,
}

/// Awaits the answer of the model; if there is none, that of the rules.
async fn first_or<'a, T>(
    model: AnalystAnswer<'a, T>,
    local: impl FnOnce() -> AnalystAnswer<'a, T> + Send,
) -> Result<T, AnalystError> {
    match model.await {
        Ok(answer) => Ok(answer),
        Err(error) => {
            tracing::warn!(%error, "the rules answer in the place of the model");
            local().await
        }
    }
}

impl<M: Analyst, L: Analyst> Analyst for WithFallback<M, L> {
    fn classify<'a>(&'a self, message: &'a RuledMessage<'a>) -> AnalystAnswer<'a, AnalystVerdict> {
        let model = self.model.classify(message);
        Box::pin(first_or(model, move || self.local.classify(message)))
    }

    fn score<'a>(
        &'a self,
        conversation: &'a Conversation,
        ideal_customer: Option<&'a str>,
    ) -> AnalystAnswer<'a, Option<Score>> {
        let model = self.model.score(conversation, ideal_customer);
        Box::pin(first_or(model, move || self.local.score(conversation, ideal_customer)))
    }

    fn draft<'a>(&'a self, request: DraftRequest<'a>) -> AnalystAnswer<'a, Option<DraftText>> {
        Box::pin(first_or(self.model.draft(request), move || self.local.draft(request)))
    }

    fn evaluate<'a>(&'a self, request: EvaluationRequest<'a>) -> AnalystAnswer<'a, Evaluation> {
        Box::pin(first_or(self.model.evaluate(request), move || self.local.evaluate(request)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyst::testing::{Away, TEXT, conversation};
    use futures_util::FutureExt;

    #[test]
    fn the_rules_answer_only_where_the_model_has_no_answer() {
        let it = conversation("any", "Not interested");
        let both = WithFallback { model: Away, local: Local };
        let message = RuledMessage::new(&it, TEXT);
        let answer = both.classify(&message).now_or_never().unwrap();
        assert_eq!(answer, Local.classify(&message).now_or_never().unwrap());
        let none = WithFallback { model: Local, local: Away };
        assert!(none.classify(&message).now_or_never().unwrap().is_ok());
        let none = WithFallback { model: Away, local: Away };
        assert!(none.score(&it, None).now_or_never().unwrap().is_err());
    }
}
