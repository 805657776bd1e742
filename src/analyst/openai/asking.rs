//! Asks a model's server a question: in a bounded number of requests at a time, again if a failure
//! may pass, and not at all while the server is away. Each request is noted.

use super::{
    answers::ReadAnswer,
    exchange::{Answered, Endpoint, ModelCallFailure, TokenUsage},
    model_breaker::{BreakerPause, ModelBreaker},
    prompts::ModelQuestion,
    request_limit::RequestLimit,
};
use crate::{
    analyst::{AnalystError, Asker, ModelCallLog},
    config::{AnalystConfig, Secret},
    domain::{ModelCall, model_call::ModelCallStatus},
    telemetry::traces::{self, SpanKind, SpanStart, TraceSpan, names},
};
use serde_json::{Value, json};
use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    time::{Instant, sleep, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;

/// The most repetitions of a question.
const RETRIES_MAX: u32 = 3;
/// The pause before the first repetition, if the server asks for none. It doubles with each.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
/// A request is sent only if at least this much time is left.
const LEFT_LEAST: Duration = Duration::from_millis(100);
/// The most tokens of an answer, those of a model's reasoning included.
const TOKENS_MAX: u32 = 4_000;

/// A model's server: connections to it, and what is known of it.
pub(in crate::analyst) struct ModelServer {
    limit: RequestLimit,
    /// The connections under the last settings.
    connected: Mutex<Option<Arc<ConnectedServer>>>,
    runtime: OnceLock<Option<ModelRuntime>>,
    log: ModelCallLog,
}

/// Connections to a server, which last as long as its URL and key stay the same.
#[derive(Debug)]
struct ConnectedServer {
    base_url: Secret,
    api_key: Option<Secret>,
    endpoint: Endpoint,
    breaker: ModelBreaker,
}

impl ConnectedServer {
    /// The error of a question to `model` whose last request failed so. A server that takes
    /// nothing more for now is left alone, by all, for as long as it asks.
    fn given_up(&self, failure: ModelCallFailure, model: &str) -> AnalystError {
        if failure.is_limit {
            return paused(model, self.breaker.told_to_wait(failure.retry_after));
        }
        failure.into_error(model)
    }
}

/// The error of a question to `model` that is to be asked later.
fn paused(model: &str, pause: BreakerPause) -> AnalystError {
    let why = if pause.is_limit {
        "takes no more requests for now: lower `analyst.max_concurrent`, or raise your limit at its server"
    } else {
        "has failed several times in a row"
    };
    AnalystError::Paused { model: model.to_owned(), why, pause: pause.length }
}

/// The thread of requests. Connections belong to the runtime that opened them, and the runtimes of
/// handlers come and go.
struct ModelRuntime(Option<Runtime>);

impl ModelRuntime {
    fn start() -> Option<Self> {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("model").enable_all().build();
        match runtime {
            Ok(runtime) => Some(Self(Some(runtime))),
            Err(error) => {
                tracing::error!(%error, "no thread for requests to the model");
                None
            }
        }
    }

    fn handle(&self) -> Option<&Handle> {
        self.0.as_ref().map(Runtime::handle)
    }
}

impl Drop for ModelRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // The last user may be a task, which must not wait for others.
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for ModelServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelServer").finish_non_exhaustive()
    }
}

impl ModelServer {
    /// No connection is made before the first question.
    pub(in crate::analyst) fn new(log: ModelCallLog) -> Self {
        Self {
            limit: RequestLimit::closed(),
            connected: Mutex::default(),
            runtime: OnceLock::new(),
            log,
        }
    }

    /// The connections under these settings. A server that is new, or gets another key, starts
    /// without failures.
    fn connected(&self, settings: &AnalystConfig) -> Result<Arc<ConnectedServer>, AnalystError> {
        let Some(base_url) = &settings.base_url else {
            return Err(unable(settings, "`analyst.base_url` is not set"));
        };
        let mut last = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same =
            |it: &Arc<ConnectedServer>| it.base_url == *base_url && it.api_key == settings.api_key;
        if let Some(same) = last.as_ref().filter(|it| is_same(it)) {
            return Ok(same.clone());
        }
        let api_key = settings.api_key.clone();
        let endpoint = Endpoint::new(base_url, api_key.as_ref());
        let endpoint = endpoint.map_err(|why| unable(settings, &why))?;
        let breaker = ModelBreaker::default();
        let new =
            Arc::new(ConnectedServer { base_url: base_url.clone(), api_key, endpoint, breaker });
        *last = Some(new.clone());
        Ok(new)
    }

    /// Asks `question` until `read` can read the answer, a failure does not pass, or no time is
    /// left.
    ///
    /// # Errors
    /// [`AnalystError::Paused`] if the server was not asked because it is known to be away, or if
    /// it takes nothing more for now; otherwise how the last request ended.
    pub(super) async fn ask<T>(
        &self,
        settings: &AnalystConfig,
        asker: &Asker,
        question: &ModelQuestion,
        read: impl Fn(&str) -> ReadAnswer<T>,
    ) -> Result<T, AnalystError> {
        let server = self.connected(settings)?;
        self.limit.resize(settings.max_concurrent);
        let body = body(&settings.model, question);
        let model = settings.model.as_str();
        let mut last: Option<ModelCallFailure> = None;
        for retry in 0..=RETRIES_MAX {
            // Wait for a permit, and for the breaker.
            let permit = timeout_at(asker.until, self.limit.take()).await;
            let left = asker.until.saturating_duration_since(Instant::now());
            if permit.is_err() || left < LEFT_LEAST {
                let late = "no time was left for a request; raise `analyst.max_concurrent`, or the \
                            `timeout` of the job's pool";
                return Err(last.map_or_else(
                    || unable(settings, late),
                    |failure| server.given_up(failure, model),
                ));
            }
            if let Err(pause) = server.breaker.admit() {
                return Err(last.map_or_else(
                    || paused(model, pause),
                    |failure| server.given_up(failure, model),
                ));
            }
            // Send the request.
            let limit = settings.timeout.min(left);
            let note =
                CallNote::begin(&self.log, &server.breaker, settings, asker, question, retry);
            let sent = self.send(&server, &body, limit).await;
            drop(permit);
            let result = sent.and_then(|answered| understood(&answered, &read));
            let failure = match note.ended(result, limit < settings.timeout) {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            // Wait before the next one, if there is one.
            let pause = failure.retry_after.unwrap_or_else(|| own_pause(retry));
            let is_too_late = Instant::now() + pause + LEFT_LEAST > asker.until;
            if !failure.status.is_passing() || is_too_late {
                return Err(server.given_up(failure, model));
            }
            last = Some(failure);
            if retry < RETRIES_MAX {
                sleep(pause).await;
            }
        }
        let never = || unable(settings, "it was not asked");
        Err(last.map_or_else(never, |failure| server.given_up(failure, model)))
    }

    /// Sends one request on the thread of requests. If the caller is cut off, so is the request.
    async fn send(
        &self,
        server: &Arc<ConnectedServer>,
        body: &Arc<Value>,
        limit: Duration,
    ) -> Result<Answered, ModelCallFailure> {
        let runtime = self.runtime.get_or_init(ModelRuntime::start).as_ref();
        let lost = || {
            ModelCallFailure::new(ModelCallStatus::Unreachable, "there is no thread for requests")
        };
        let handle = runtime.and_then(ModelRuntime::handle).ok_or_else(lost)?;
        let (server, body) = (server.clone(), body.clone());
        let task = handle.spawn(async move { server.endpoint.send(&body, limit).await });
        AbortOnDropHandle::new(task).await.unwrap_or_else(|_| Err(lost()))
    }
}

/// The error of a question that could not be sent.
fn unable(settings: &AnalystConfig, why: &str) -> AnalystError {
    AnalystError::Away(format!("model `{}`: {why}", settings.model))
}

/// The body of a request, in the form that servers of this protocol have in common.
fn body(model: &str, question: &ModelQuestion) -> Arc<Value> {
    let ModelQuestion { prompt, data, schema } = question;
    Arc::new(json!({
        "model": model,
        "messages": [
            {"role": "system", "content": prompt.instructions},
            {"role": "user", "content": data},
        ],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": prompt.feature.as_str(), "strict": true, "schema": schema},
        },
        "max_completion_tokens": TOKENS_MAX,
    }))
}

/// The pause before the next repetition: it doubles, and a random part keeps jobs apart.
fn own_pause(retry: u32) -> Duration {
    let pause = PAUSE_FIRST * 2_u32.saturating_pow(retry);
    pause + pause.mul_f64(rand::random::<f64>() / 2.0)
}

/// The answer as `read` reads it, with the tokens of the request.
fn understood<T>(
    answered: &Answered,
    read: impl Fn(&str) -> ReadAnswer<T>,
) -> Result<(T, TokenUsage), ModelCallFailure> {
    let usage = answered.usage;
    match read(&answered.text) {
        Ok(answer) => Ok((answer, usage)),
        Err(why) => {
            Err(ModelCallFailure { usage, ..ModelCallFailure::new(ModelCallStatus::Unusable, why) })
        }
    }
}

/// A request that is being sent. However it ends, it is noted, and the breaker is told.
struct CallNote<'a> {
    log: &'a ModelCallLog,
    breaker: &'a ModelBreaker,
    started: Instant,
    /// The row; taken when the request has ended.
    call: Option<ModelCall>,
    span: TraceSpan,
}

impl<'a> CallNote<'a> {
    fn begin(
        log: &'a ModelCallLog,
        breaker: &'a ModelBreaker,
        settings: &AnalystConfig,
        asker: &Asker,
        question: &ModelQuestion,
        retry: u32,
    ) -> Self {
        let call = ModelCall {
            kind: asker.kind.0.to_owned(),
            feature: question.prompt.feature,
            prompt: question.prompt.version,
            model: settings.model.clone(),
            status: ModelCallStatus::Dropped,
            error: None,
            tokens_in: None,
            tokens_out: None,
            latency_ms: 0,
            retry,
            client_id: asker.client_id.clone(),
            lead_id: asker.lead_id,
            job_id: asker.job_id,
        };
        let start = || SpanStart::new(format!("chat {}", settings.model), SpanKind::Client);
        let span = traces::current().child(start);
        span.set(names::MODEL_OPERATION, "chat");
        span.set(names::MODEL_PROVIDER, "openai");
        span.set(names::MODEL, settings.model.clone());
        span.set(names::QUESTION, call.feature.as_str());
        Self { log, breaker, started: Instant::now(), call: Some(call), span }
    }

    /// Notes how the request ended, and returns the answer or the failure. A time-out says nothing
    /// about the server if the request was given less time than usual. A limit says only that it
    /// takes no more for now.
    fn ended<T>(
        mut self,
        result: Result<(T, TokenUsage), ModelCallFailure>,
        is_hurried: bool,
    ) -> Result<T, ModelCallFailure> {
        let is_limit = result.as_ref().is_err_and(|failure| failure.is_limit);
        let (result, status, error, usage) = match result {
            Ok((answer, usage)) => (Ok(answer), ModelCallStatus::Ok, None, usage),
            Err(failure) => {
                let (status, why, usage) = (failure.status, failure.why.clone(), failure.usage);
                (Err(failure), status, Some(why), usage)
            }
        };
        if is_limit || (status == ModelCallStatus::Timeout && is_hurried) {
            self.breaker.gave_up();
        } else if status.is_outage() {
            self.breaker.failed();
        } else {
            self.breaker.succeeded();
        }
        if let Some(call) = self.call.take() {
            let TokenUsage { tokens_in, tokens_out } = usage;
            self.note(ModelCall { status, error, tokens_in, tokens_out, ..call });
        }
        result
    }

    fn note(&self, call: ModelCall) {
        for (name, tokens) in
            [(names::INPUT_TOKENS, call.tokens_in), (names::OUTPUT_TOKENS, call.tokens_out)]
        {
            tokens.into_iter().for_each(|tokens| self.span.set(name, tokens));
        }
        if call.status != ModelCallStatus::Ok {
            self.span.failed(call.status.as_str());
        }
        let took = self.started.elapsed().as_millis();
        self.log.note(ModelCall { latency_ms: i64::try_from(took).unwrap_or(i64::MAX), ..call });
    }
}

impl Drop for CallNote<'_> {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            self.breaker.gave_up();
            self.note(call);
        }
    }
}
