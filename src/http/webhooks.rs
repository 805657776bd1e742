//! Webhooks in. The order of checks is fixed: no such channel, wrong method, too large or packed in a way
//! that is not known, too many from this address, not authenticated, not JSON, too many of this client, no
//! room or no database.

use super::{
    ChannelState, State,
    authentication::{self, Standing},
    body::{self, Read},
    limits,
    problem::{Cause, Problem},
    request_id,
    signatures::{self, Signed},
};
use crate::{
    channels::{self, AnyChannel, Received, json},
    config::{self, Config},
    domain::{Interpreted, NotUnderstood, Timestamp},
    ingest::Refusal,
    store::{Answer, Content, Delivery, Desk, Inbound, QuarantineRow, body_hash, wall_clock},
};
use actix_web::{HttpRequest, HttpResponse, http::Method, web};
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use tokio::time::Instant;
use url::form_urlencoded;

/// The longest id of a delivery that is remembered, in bytes.
const DELIVERY_ID_MAX: usize = 512;

/// The webhook paths. A slash at the end is forgiven: people add it to addresses.
pub(super) fn configure(cfg: &mut web::ServiceConfig) {
    cfg.route("/webhooks/{channel}/{client}", web::to(webhook))
        .route("/webhooks/{channel}/{client}/", web::to(webhook));
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
    state.metrics.throughput().webhook();
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
    let reading = body::read(request, payload, cfg.server.body_limit, &state.reading);
    let in_time = tokio::time::timeout(cfg.server.request_timeout, reading).await;
    let Read { received, unpacked, room } = in_time.map_err(|_| {
        let detail = "the body did not come in time (server.request_timeout): post again";
        Problem::new(Cause::QueueFull, detail)
    })??;
    if let Some(address) = limits::address_of(request, &cfg.server)
        && let Some(seconds) = state.limits.address(address, cfg.server.address_rate_limit)
    {
        let detail = "more requests than this address may send (server.address_rate_limit)";
        return Err(Problem::new(Cause::RateLimited, detail).retry_after(seconds));
    }
    let posted = Posted { request, received: &received, unpacked };
    let sender = authenticate(posted, channel.channel.as_ref(), client_id, &cfg)?;
    drop(received);
    let Sender { client, body, json, delivery } = sender;
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
    drop(room);
    let webhook = Webhook {
        channel: channel.channel.as_ref(),
        client,
        request_id,
        received_at: wall_clock(),
        delivery,
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

/// A request, with its body as it came and as it unpacks.
struct Posted<'r> {
    request: &'r HttpRequest,
    received: &'r [u8],
    unpacked: Result<Bytes, Problem>,
}

/// The client, once its secret is seen, and the body as JSON. A body is parsed before that only where the
/// secret can be in it: a stranger learns nothing about it.
fn authenticate<'c>(
    posted: Posted<'_>,
    channel: &dyn AnyChannel,
    client_id: &str,
    cfg: &'c Config,
) -> Result<Sender<'c>, Problem> {
    let stranger = || {
        let detail = "no such client, or none of the secrets of its channel was given";
        Problem::new(Cause::Unauthenticated, detail)
    };
    let client = cfg.client(client_id).ok_or_else(stranger)?;
    let signature = client.channel(channel.name().0).and_then(|it| it.signature.as_ref());
    let Posted { request, received, unpacked } = posted;
    let signed = signature
        .map_or(Signed::No, |it| signatures::check(request.headers(), received, it, wall_clock()));
    let by_head = match &signed {
        Signed::Right { .. } => Standing::Authenticated,
        Signed::Wrong | Signed::No => authentication::by_head(request, channel, client),
    };
    if by_head == Standing::Open && channel.secret_field().is_none() {
        return Err(stranger());
    }
    let read = unpacked.and_then(|body| match json::parse(&body) {
        Ok(json) => Ok((body, json)),
        Err(error) => Err(Problem::new(Cause::NotJson, error.detail)),
    });
    match (by_head, read) {
        (Standing::Authenticated, Ok((body, json))) => {
            let delivery = delivery(&signed, signature, &json, &body);
            Ok(Sender { client, body, json, delivery })
        }
        (Standing::Authenticated, Err(problem)) => Err(problem),
        (Standing::Open, Ok((body, json)))
            if authentication::by_body(&json, channel, client) == Standing::Authenticated =>
        {
            Ok(Sender { client, body, json, delivery: None })
        }
        (Standing::Open, _) => Err(stranger()),
    }
}

/// Who posted, and what.
struct Sender<'c> {
    client: &'c config::Client,
    body: Bytes,
    json: Value,
    delivery: Option<Delivery>,
}

/// The signed id of a delivery: of the headers, else the body's own, which is signed with it. It is
/// remembered for as long as its signature is taken, on either side of now.
fn delivery(
    signed: &Signed,
    signature: Option<&config::Signature>,
    json: &Value,
    body: &[u8],
) -> Option<Delivery> {
    let Signed::Right { delivery_id } = signed else { return None };
    let in_body = || json.get("webhookId").and_then(Value::as_str).map(str::to_owned);
    let id = delivery_id.clone().or_else(in_body).filter(|it| it.len() <= DELIVERY_ID_MAX)?;
    let window_ms = i64::try_from(signature?.window.as_millis()).unwrap_or(i64::MAX / 4);
    Some(Delivery { id, body_hash: body_hash(body), kept_ms: window_ms.saturating_mul(2) })
}

/// An authenticated webhook.
struct Webhook<'a> {
    channel: &'a dyn AnyChannel,
    client: &'a config::Client,
    request_id: &'a str,
    received_at: Timestamp,
    delivery: Option<Delivery>,
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
            text_field: settings.and_then(|it| it.text_field.as_deref()),
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
        // It was parsed as JSON, so it is UTF-8. A byte order mark is no part of the text.
        let text = String::from_utf8_lossy(json::without_byte_order_mark(body));
        let secrets = self.client.channel(self.channel.name().0).map(|it| it.secrets.as_slice());
        // As they are, and as they stand in the address that a provider was told to post to.
        let spelled = |it: &config::Secret| {
            let in_query = form_urlencoded::byte_serialize(it.expose().as_bytes()).collect();
            [it.expose().to_owned(), in_query]
        };
        let secrets: Vec<String> = secrets.unwrap_or_default().iter().flat_map(spelled).collect();
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let payload = json::masked(&text, json, self.channel.secret_field(), &secrets);
        Step::Store(Box::new(Inbound {
            client_id: Arc::from(self.client.id.as_str()),
            channel: self.channel.name(),
            request_id: self.request_id.to_owned(),
            received_at: self.received_at,
            payload,
            delivery: self.delivery.clone(),
            content,
        }))
    }
}

/// Interprets the kept bytes of a quarantined webhook again, as if they had just come, but for the time of
/// their receipt. It is settled where they are understood now.
pub(super) async fn replay(
    request: &HttpRequest,
    state: &State,
    desk: &Desk,
    item: &QuarantineRow,
) -> Result<HttpResponse, Problem> {
    let request_id = request_id::of(request);
    let cfg = state.config.get();
    let channel = state.channels.get(item.channel.as_str()).ok_or_else(|| {
        Problem::conflict(format!("this version has no channel `{}`", item.channel))
    })?;
    let client = cfg.client(&item.client_id).ok_or_else(|| {
        Problem::conflict(format!("the client `{}` is not in the configuration", item.client_id))
    })?;
    let body = item.payload.as_bytes();
    let json = json::parse(body).map_err(|error| Problem::internal(error.detail))?;
    let webhook = Webhook {
        channel: channel.channel.as_ref(),
        client,
        request_id: &request_id,
        received_at: Timestamp::from_millis(item.received_at.0),
        delivery: None,
    };
    let answer = match webhook.interpret(&json, body, &cfg) {
        Step::Answered(answer) => answer,
        Step::Store(inbound) => match &inbound.content {
            Content::Quarantine { reason, .. } => {
                Answer::Quarantined { quarantine_id: item.id, reason: reason.clone() }
            }
            Content::Event { .. } => {
                let permit = state.entrance.enter(body.len()).map_err(|it| problem_of(&it))?;
                let limit = cfg.server.request_timeout;
                let stored = state.entrance.submit(*inbound, body.len(), permit, limit).await;
                stored.map_err(|it| problem_of(&it))?
            }
        },
    };
    if !matches!(answer, Answer::Quarantined { .. }) {
        // A crash before this leaves it held; the next replay is a duplicate of this one.
        let is_first = desk.settle_quarantine(item.id, "replayed").await?;
        tracing::info!(quarantine.id = item.id, is_first, "replayed by hand");
    }
    Ok(answered(&answer, &request_id).1)
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
        Cause::UnsupportedEncoding => "unsupported_encoding",
        Cause::Conflict
        | Cause::ForeignHost
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
