//! Webhooks in. The order of checks is fixed: no such channel, wrong method, too large, too many from this
//! address, not authenticated, not JSON, too many of this client, no room or no database.

use super::{
    ChannelState, State,
    authentication::{self, Standing},
    limits,
    problem::{Cause, Problem},
    request_id,
};
use crate::{
    channels::{self, AnyChannel, Received, json},
    config::{self, Config},
    domain::{Interpreted, NotUnderstood, Timestamp},
    ingest::Refusal,
    store::{Answer, Content, Inbound, body_hash, wall_clock},
};
use actix_web::{HttpRequest, HttpResponse, http::Method, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use tokio::time::Instant;

/// The webhook paths.
pub(super) fn configure(cfg: &mut web::ServiceConfig) {
    cfg.route("/webhooks/{channel}/{client}", web::to(webhook));
}

/// The answer to a webhook.
#[derive(Debug, Serialize)]
struct Body<'a> {
    outcome: &'static str,
    request_id: &'a str,
    message_id: Option<String>,
    lead_id: Option<String>,
    job_ids: Vec<String>,
    reason: Option<String>,
    quarantine_id: Option<String>,
}

/// What a provider's probe is told; the same for every client.
#[derive(Debug, Serialize)]
struct Probe {
    channel: &'static str,
    events: &'static [&'static str],
}

async fn webhook(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let started = Instant::now();
    let request_id = request_id::of(&request);
    let (channel, client_id) = path.into_inner();
    let Some(channel) = state.channels.get(channel.as_str()) else {
        let known: Vec<&str> = state.channels.keys().copied().collect();
        let detail = format!("there is no channel `{channel}`; there are: {}", known.join(", "));
        return Err(Problem::new(Cause::NotFound, detail));
    };
    match *request.method() {
        Method::GET | Method::HEAD => return Ok(probe(channel.channel.as_ref())),
        Method::POST => {}
        _ => return Err(Problem::method_not_allowed("GET, HEAD, POST")),
    }
    let result = receive(&request, payload, channel, &client_id, &request_id, &state).await;
    let (outcome, response) = match result {
        Ok(answer) => {
            let (outcome, response) = answered(&answer, &request_id);
            (outcome, Ok(response))
        }
        Err(problem) => (word_of(problem.cause()), Err(problem)),
    };
    channel.metrics.answered(outcome, started.elapsed());
    if outcome == "quarantined" {
        channel.metrics.quarantined.inc();
    }
    state.rates.webhooks.add(state.started.elapsed().as_secs(), 1);
    tracing::debug!(
        request.id = %request_id,
        client.id = %client_id,
        channel = %channel.channel.name(),
        outcome,
        "webhook answered"
    );
    response
}

fn probe(channel: &dyn AnyChannel) -> HttpResponse {
    HttpResponse::Ok().json(Probe { channel: channel.name().0, events: channel.events() })
}

/// From the request to what became of it.
async fn receive(
    request: &HttpRequest,
    payload: web::Payload,
    channel: &ChannelState,
    client_id: &str,
    request_id: &str,
    state: &State,
) -> Result<Answer, Problem> {
    let cfg = state.config.get();
    let body = read(request, payload, cfg.server.body_limit).await?;
    if let Some(address) = limits::address_of(request, &cfg.server)
        && let Some(seconds) = state.limits.address(address, cfg.server.address_rate_limit)
    {
        let detail = "more requests than this address may send (server.address_rate_limit)";
        return Err(Problem::new(Cause::RateLimited, detail).retry_after(seconds));
    }
    let (client, json) = authenticate(request, channel.channel.as_ref(), client_id, &body, &cfg)?;
    if let Some(seconds) = state.limits.client(client_id, client.rate_limit) {
        let detail = "more requests than this client may send (its `rate_limit`)";
        return Err(Problem::new(Cause::RateLimited, detail).retry_after(seconds));
    }
    if state.board.is_draining() {
        return Err(Problem::new(Cause::Draining, "the daemon is stopping: post again"));
    }
    if !state.takes_webhooks {
        return Err(Problem::new(
            Cause::Draining,
            "this node only works jobs off: post to another",
        ));
    }
    // Room is taken before the body is looked at: what must be refused is refused cheaply.
    let permit = state.entrance.enter(body.len()).map_err(|refusal| problem_of(&refusal))?;
    let webhook = Webhook {
        channel: channel.channel.as_ref(),
        client,
        request_id,
        received_at: wall_clock(),
    };
    let inbound = match webhook.interpret(&json, &body, &cfg) {
        Step::Answered(answer) => return Ok(answer),
        Step::Store(inbound) => *inbound,
    };
    let size = body.len();
    drop((json, body));
    state
        .entrance
        .submit(inbound, size, permit, cfg.server.request_timeout)
        .await
        .map_err(|refusal| problem_of(&refusal))
}

/// Reads the body, as far as it may be.
async fn read(
    request: &HttpRequest,
    mut payload: web::Payload,
    limit: u64,
) -> Result<Bytes, Problem> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let too_large = || {
        let detail = format!("the body is larger than {limit} bytes (server.body_limit)");
        Problem::new(Cause::TooLarge, detail)
    };
    let announced = request.headers().get("content-length").and_then(|it| it.to_str().ok());
    if announced.and_then(|it| it.parse::<usize>().ok()).is_some_and(|it| it > limit) {
        return Err(too_large());
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Problem::new(Cause::NotJson, "the body broke off"))?;
        if body.len() + chunk.len() > limit {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// The client, once its secret is seen, and the body as JSON. A body is parsed before that only where the
/// secret can be in it: a stranger learns nothing about it.
fn authenticate<'c>(
    request: &HttpRequest,
    channel: &dyn AnyChannel,
    client_id: &str,
    body: &[u8],
    cfg: &'c Config,
) -> Result<(&'c config::Client, Value), Problem> {
    let stranger = || {
        let detail = "no such client, or none of the secrets of its channel was given";
        Problem::new(Cause::Unauthenticated, detail)
    };
    let client = cfg.client(client_id).ok_or_else(stranger)?;
    let by_head = authentication::by_head(request, channel, client);
    if by_head == Standing::Open && channel.secret_field().is_none() {
        return Err(stranger());
    }
    let json = json::parse(body);
    match (by_head, json) {
        (Standing::Authenticated, Ok(json)) => Ok((client, json)),
        (Standing::Authenticated, Err(error)) => Err(Problem::new(Cause::NotJson, error.detail)),
        (Standing::Open, Ok(json))
            if authentication::by_body(&json, channel, client) == Standing::Authenticated =>
        {
            Ok((client, json))
        }
        (Standing::Open, _) => Err(stranger()),
    }
}

/// An authenticated webhook.
struct Webhook<'a> {
    channel: &'a dyn AnyChannel,
    client: &'a config::Client,
    request_id: &'a str,
    received_at: Timestamp,
}

/// What is to be done with a webhook.
enum Step {
    /// Nothing is stored.
    Answered(Answer),
    /// This is to be stored.
    Store(Box<Inbound>),
}

impl Webhook<'_> {
    fn interpret(&self, json: &Value, body: &[u8], cfg: &Config) -> Step {
        let settings = self.client.channel(self.channel.name().0);
        let account = settings.and_then(|it| it.account.as_deref());
        if let (Some(own), Some(named)) = (account, self.channel.account(json))
            && own != named
        {
            tracing::warn!(
                client.id = self.client.id,
                request.id = self.request_id,
                "a webhook of another account"
            );
            return Step::Answered(Answer::Ignored { reason: "other_account" });
        }
        let received = Received {
            body: json,
            received_at: self.received_at,
            country: self.client.country.as_deref(),
        };
        match channels::interpret(self.channel, &received) {
            Ok(Interpreted::Ignored { event_type, reason, warn }) => {
                if warn {
                    tracing::warn!(
                        client.id = self.client.id,
                        event_type,
                        reason,
                        "a provider's notice"
                    );
                }
                Step::Answered(Answer::Ignored { reason })
            }
            Ok(Interpreted::Event(event)) => {
                let kind = self.channel.post_process();
                let max_attempts = cfg.pools.of(kind.0).max_attempts;
                self.store(json, body, Content::Event { event, kind, max_attempts })
            }
            Err(NotUnderstood { event_type, reason }) => {
                let is_listed =
                    |it: &String| settings.is_some_and(|cfg| cfg.ignore_events.contains(it));
                if reason == "unknown_event" && event_type.as_ref().is_some_and(is_listed) {
                    return Step::Answered(Answer::Ignored { reason: "ignored_event" });
                }
                tracing::warn!(
                    client.id = self.client.id,
                    request.id = self.request_id,
                    reason,
                    "quarantined"
                );
                let body_hash = body_hash(body);
                self.store(json, body, Content::Quarantine { event_type, reason, body_hash })
            }
        }
    }

    fn store(&self, json: &Value, body: &[u8], content: Content) -> Step {
        // It was parsed as JSON, so it is UTF-8.
        let text = String::from_utf8_lossy(body);
        let payload = match self.channel.secret_field() {
            Some(field) => json::masked(&text, json, field),
            None => text.into_owned(),
        };
        Step::Store(Box::new(Inbound {
            client_id: Arc::from(self.client.id.as_str()),
            channel: self.channel.name(),
            request_id: self.request_id.to_owned(),
            received_at: self.received_at,
            payload,
            content,
        }))
    }
}

fn problem_of(refusal: &Refusal) -> Problem {
    let cause = match refusal {
        Refusal::Full => Cause::QueueFull,
        Refusal::Draining => Cause::Draining,
        Refusal::Away(_) | Refusal::Slow => Cause::DatabaseAway,
    };
    Problem::new(cause, format!("{refusal}: post again"))
}

/// The word of a refusal in metrics.
const fn word_of(cause: Cause) -> &'static str {
    match cause {
        Cause::NotJson => "not_json",
        Cause::Unauthenticated => "unauthenticated",
        Cause::RateLimited => "rate_limited",
        Cause::QueueFull => "queue_full",
        Cause::DatabaseAway => "database_away",
        Cause::Draining => "draining",
        Cause::TooLarge => "too_large",
        Cause::Conflict
        | Cause::NotFound
        | Cause::MethodNotAllowed
        | Cause::BadRequest
        | Cause::Internal => "other",
    }
}

fn answered(answer: &Answer, request_id: &str) -> (&'static str, HttpResponse) {
    let text = |id: &Option<i64>| id.map(|it| it.to_string());
    let mut body = Body {
        outcome: "ignored",
        request_id,
        message_id: None,
        lead_id: None,
        job_ids: Vec::new(),
        reason: None,
        quarantine_id: None,
    };
    match answer {
        Answer::Accepted { message_id, lead_id, job_id } => {
            body.outcome = "accepted";
            body.message_id = Some(message_id.to_string());
            body.lead_id = Some(lead_id.to_string());
            body.job_ids = vec![job_id.to_string()];
        }
        Answer::Duplicate { message_id, lead_id, job_id } => {
            body.outcome = "duplicate";
            body.message_id = text(message_id);
            body.lead_id = text(lead_id);
            body.job_ids = text(job_id).into_iter().collect();
        }
        Answer::Recorded { message_id, lead_id, reason } => {
            body.outcome = "recorded";
            body.message_id = text(message_id);
            body.lead_id = Some(lead_id.to_string());
            body.reason = Some((*reason).to_owned());
        }
        Answer::Ignored { reason } => body.reason = Some((*reason).to_owned()),
        Answer::Quarantined { quarantine_id, reason } => {
            body.outcome = "quarantined";
            body.quarantine_id = Some(quarantine_id.to_string());
            body.reason = Some(reason.clone());
        }
    }
    (body.outcome, HttpResponse::Ok().json(&body))
}
