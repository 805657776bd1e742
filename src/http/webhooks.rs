//! Webhooks in. The order of checks is fixed: no such channel, wrong method, too large or packed in a way
//! that is not known, too many from this address, not authenticated, not JSON, too many of this client, no
//! room or no database.
//!
//! What a stranger makes us do depends on the request alone, never on whether there is such a client: whether the
//! body is read, where it may show something, and what is worked out from it.

use super::{
    ChannelState, State,
    authentication::{self, SenderProof},
    body::{Announced, Body as Posted, Unpackable},
    body_budget::Borrower,
    browsers, limits,
    meaning::{Shown, Step, Webhook, secrets_of},
    problem::{Cause, Problem},
    request_id,
    signatures::{self, Signed},
};
use crate::{
    channels::{
        AnyChannel,
        json::{self, Unreadable},
        masks::Masks,
    },
    config::{self, ClientChannel, SignatureScheme},
    domain::Timestamp,
    ingest::Refusal,
    store::{Answer, Content, Delivery, Desk, QuarantineRow, body_hash, wall_clock},
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, header},
    web,
};
use serde::Serialize;
use serde_json::Value;
use std::{hint::black_box, net::IpAddr};
use tokio::time::Instant;

/// A person has to make room in a full quarantine.
const QUARANTINE_RETRY_SECONDS: u64 = 60;
/// A full disk is not emptied at once.
const DISK_RETRY_SECONDS: u64 = 10;
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
        client.id = client_id,
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
    let client = cfg.client(client_id);
    let name = channel.channel.name();
    // Where there is no such client, another's settings are looked up and forgotten: looking takes time.
    let looked_at = black_box(client.or_else(|| cfg.clients.first()));
    let settings = looked_at.and_then(|it| it.channel(name.0));
    let is_free = looked_at.is_some_and(|it| it.accepts_without_secret(name.0));
    let asked = Asked {
        request,
        channel: channel.channel.as_ref(),
        client,
        settings: settings.filter(|_| client.is_some()),
        is_free: is_free && client.is_some(),
    };
    let (standing, mut posted) = asked.read(payload, &cfg.server, state).await?;
    let grounds = asked.authenticate(standing, &mut posted)?;
    // Whoever is let in is a client.
    let client = client.ok_or_else(stranger)?;
    let body = posted.unpack()?.clone();
    let json = match json::parse(&body) {
        Ok(json) => Some(json),
        Err(Unreadable::TooManyValues) => None,
        Err(Unreadable::NotJson(detail)) => return Err(Problem::not_json(detail)),
    };
    let delivery = asked.delivery(&grounds.signed, json.as_ref(), &body);
    let (is_late, may_be_replayed) = asked.timing(&grounds, json.as_ref());
    is_taken_now(client, state)?;
    if let Some(trouble) = state.store.disk_trouble() {
        let detail = format!("the database takes nothing new: {trouble}: post again");
        return Err(Problem::new(Cause::DatabaseAway, detail).retry_after(DISK_RETRY_SECONDS));
    }
    // BodyLoan is taken before the body is looked at: what must be refused is refused cheaply.
    let permit =
        state.entrance.enter(&client.id, body.len()).map_err(|refusal| problem_of(&refusal))?;
    drop(posted);
    let field = channel.channel.secret_field();
    let secrets = secrets_of(client);
    let masks = Masks::new(field, secrets.iter().map(|it| it.as_ref()));
    let delivery = delivery.map(|it| Delivery { id: masks.text(&it.id).unwrap_or(it.id), ..it });
    let webhook = Webhook {
        channel: channel.channel.as_ref(),
        client,
        request_id,
        received_at: wall_clock(),
        delivery,
        must_name_account: grounds.is_by_provider_alone,
        is_late,
        may_be_replayed,
        shown: Shown::of(&masks, field, json.as_ref(), &body),
    };
    let inbound = match webhook.interpret(json.as_ref(), &body, &cfg) {
        Step::Answered(answer) => return Ok(answer),
        Step::Refused => return Err(stranger()),
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

/// # Errors
/// Where the client posts too much, or this node takes no webhooks now, or never.
fn is_taken_now(client: &config::Client, state: &State) -> Result<(), Problem> {
    if let Some(seconds) = state.limits.client(&client.id, client.rate_limit) {
        let detail = "more requests than this client may send (its `rate_limit`)";
        return Err(Problem::new(Cause::RateLimited, detail).retry_after(seconds));
    }
    if state.board.is_draining() {
        return Err(Problem::new(Cause::Draining, "the daemon is stopping: post again"));
    }
    if !state.takes_webhooks {
        let detail = "this node only works jobs off: post to another";
        return Err(Problem::new(Cause::Draining, detail));
    }
    Ok(())
}

/// 401: the same for every reason.
fn stranger() -> Problem {
    let detail = "no such client, or none of the secrets of its channel was given";
    Problem::new(Cause::Unauthenticated, detail)
}

/// What a request asks for, and the settings that it is judged by.
struct Asked<'a> {
    request: &'a HttpRequest,
    channel: &'a dyn AnyChannel,
    client: Option<&'a config::Client>,
    /// `None` where there is no such client, or it does not have that channel.
    settings: Option<&'a ClientChannel>,
    /// True where there is one, and it takes webhooks without a secret.
    is_free: bool,
}

/// On what grounds somebody was let in.
struct Grounds {
    signed: Signed,
    /// The signature is the provider's, who signs so for all its customers, and there is no other proof.
    is_by_provider_alone: bool,
}

impl Asked<'_> {
    /// Judges the head, and reads the body where it may show who has sent it. A problem before the body is read is
    /// the last answer of its connection where the body has no length that says when it is over.
    async fn read(
        &self,
        payload: web::Payload,
        server: &config::ServerConfig,
        state: &State,
    ) -> Result<(SenderProof, Posted), Problem> {
        let is_endless = self.request.headers().contains_key(header::TRANSFER_ENCODING);
        let unread = |it: Problem| if is_endless { it.closing() } else { it };
        let limit = usize::try_from(server.body_limit).unwrap_or(usize::MAX);
        let announced = Announced::by(self.request, limit).map_err(unread)?;
        let address = limits::address_of(self.request, server);
        if let Some(address) = address
            && let Some(seconds) = state.limits.address(address, server.address_rate_limit)
        {
            let detail = "more requests than this address may send (server.address_rate_limit)";
            return Err(unread(Problem::new(Cause::RateLimited, detail).retry_after(seconds)));
        }
        let standing = self.standing(state);
        let may_be_in_body =
            self.channel.secret_field().is_some() || signatures::is_borne(self.request.headers());
        if standing == SenderProof::Unknown && !may_be_in_body {
            // A body that came in with its head is taken off the wire meanwhile, so that the connection can be used
            // again. Nobody waits for any other, and its connection is closed.
            tokio::task::yield_now().await;
            return Err(unread(stranger()));
        }
        let room = state.rooms.open(self.borrower(standing, address), limit);
        let posted = announced.read(payload, room, server.request_timeout).await;
        Ok((standing, posted.map_err(unread)?))
    }

    /// By the head, and whether the request may do without a secret where none is asked for.
    fn standing(&self, state: &State) -> SenderProof {
        let (request, settings) = (self.request, self.settings);
        let standing = authentication::by_head(request, self.channel, settings, self.is_free);
        let is_said_out_loud = self.settings.is_some_and(|it| it.allow_unauthenticated);
        if standing == SenderProof::Free
            && let Some(why) = browsers::objection(self.request, is_said_out_loud)
        {
            if state.logs_an_objection() {
                tracing::warn!(
                    client.id = self.client.map(|it| it.id.as_str()),
                    channel = %self.channel.name(),
                    why,
                    "a webhook for a channel without a secret was not taken (logged once a minute): \
                     set a secret, or `allow_unauthenticated = true` where somebody forwards webhooks"
                );
            }
            return SenderProof::Unknown;
        }
        standing
    }

    fn borrower(&self, standing: SenderProof, address: Option<IpAddr>) -> Borrower {
        let is_this_machine = standing == SenderProof::Free
            && self.settings.is_some_and(|it| !it.allow_unauthenticated);
        if standing == SenderProof::Shown || is_this_machine {
            Borrower::Known
        } else {
            Borrower::stranger(address)
        }
    }

    /// Lets in who has shown a secret, or whose body is signed or holds one.
    ///
    /// # Errors
    /// 401; or what is wrong with the body, whoever has sent it.
    fn authenticate(&self, standing: SenderProof, posted: &mut Posted) -> Result<Grounds, Problem> {
        let signature = self.settings.and_then(|it| it.signature.as_ref());
        if standing != SenderProof::Unknown && signature.is_none() {
            return Ok(Grounds { signed: Signed::No, is_by_provider_alone: false });
        }
        let headers = self.request.headers();
        let signed = signatures::check(headers, &posted.received, signature, wall_clock());
        if standing != SenderProof::Unknown {
            return Ok(Grounds { signed, is_by_provider_alone: false });
        }
        // Looked for even where the signature is right: the work is the same for all.
        let is_in_body = match self.channel.secret_field() {
            Some(field) => self.shows_in_body(field, posted)?,
            None => false,
        };
        let is_signed = matches!(signed, Signed::Right { .. });
        if !is_in_body && !is_signed {
            return Err(stranger());
        }
        let is_of_provider = signature.is_some_and(|it| it.scheme == SignatureScheme::Ghl);
        Ok(Grounds { signed, is_by_provider_alone: !is_in_body && is_of_provider })
    }

    /// True where the body's `field` holds a right secret. A body that cannot be unpacked shows none.
    fn shows_in_body(&self, field: &str, posted: &mut Posted) -> Result<bool, Problem> {
        match posted.unpack() {
            Ok(body) => Ok(json::text_of_field(body, field)
                .is_some_and(|it| authentication::by_field(&it, self.settings))),
            Err(Unpackable::Garbled(_)) => Ok(false),
            Err(Unpackable::Refused(problem)) => Err(problem),
        }
    }

    /// The signed id of a delivery: of the headers, else the body's own, which is signed with it, else that of
    /// the same bytes where they tell their time. It is remembered for as long as its signature is taken, on
    /// either side of now.
    fn delivery(&self, signed: &Signed, json: Option<&Value>, body: &[u8]) -> Option<Delivery> {
        let Signed::Right { delivery_id } = signed else { return None };
        let signature = self.settings?.signature.as_ref();
        let in_body = || json?.get("webhookId").and_then(Value::as_str).map(str::to_owned);
        let body_hash = body_hash(body);
        let by_body = || {
            let is_timed = !signatures::may_be_replayed(signed, signature, json?);
            is_timed.then(|| format!("body:{body_hash}"))
        };
        let named = delivery_id.clone().or_else(in_body).filter(|it| it.len() <= DELIVERY_ID_MAX);
        let id = named.or_else(by_body)?;
        let window_ms = i64::try_from(signature?.window.as_millis()).unwrap_or(i64::MAX / 4);
        Some(Delivery { id, body_hash, kept_ms: window_ms.saturating_mul(2) })
    }

    /// Of a body that is let in by its signature alone: whether its time lies outside of the window, and whether
    /// it tells none.
    fn timing(&self, grounds: &Grounds, json: Option<&Value>) -> (bool, bool) {
        let (Some(json), true) = (json, grounds.is_by_provider_alone) else {
            return (false, false);
        };
        let signature = self.settings.and_then(|it| it.signature.as_ref());
        let signed = &grounds.signed;
        let in_time = signatures::in_time(signed.clone(), signature, json, wall_clock());
        (in_time != *signed, signatures::may_be_replayed(signed, signature, json))
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
    let json = match json::parse(body) {
        Ok(json) => Some(json),
        Err(Unreadable::TooManyValues) => None,
        Err(error) => return Err(Problem::internal(error.to_string())),
    };
    let field = channel.channel.secret_field();
    let secrets = secrets_of(client);
    let masks = Masks::new(field, secrets.iter().map(|it| it.as_ref()));
    let webhook = Webhook {
        channel: channel.channel.as_ref(),
        client,
        request_id: &request_id,
        received_at: Timestamp::from_millis(item.received_at.0),
        delivery: None,
        must_name_account: false,
        is_late: false,
        may_be_replayed: false,
        shown: Shown::of(&masks, field, json.as_ref(), body),
    };
    let answer = match webhook.interpret(json.as_ref(), body, &cfg) {
        Step::Answered(answer) => answer,
        Step::Refused => return Err(stranger()),
        Step::Store(inbound) => match &inbound.content {
            Content::Quarantine { reason, .. } => {
                Answer::Quarantined { quarantine_id: item.id, reason: reason.clone() }
            }
            Content::Event { .. } => {
                let permit = state.entrance.enter(&client.id, body.len());
                let permit = permit.map_err(|it| problem_of(&it))?;
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
        Refusal::Full | Refusal::QuarantineFull => Cause::QueueFull,
        Refusal::Draining => Cause::Draining,
        Refusal::Away(_) | Refusal::Slow => Cause::DatabaseAway,
    };
    let problem = Problem::new(cause, format!("{refusal}: post again"));
    match refusal {
        Refusal::QuarantineFull => problem.retry_after(QUARANTINE_RETRY_SECONDS),
        Refusal::Full | Refusal::Draining | Refusal::Away(_) | Refusal::Slow => problem,
    }
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
        | Cause::Forbidden
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
        // Refused before it becomes an answer.
        Answer::QuarantineFull => body.reason = Some("quarantine_full".to_owned()),
        Answer::Quarantined { quarantine_id, reason } => {
            body.outcome = "quarantined";
            body.quarantine_id = Some(quarantine_id.to_string());
            body.reason = Some(reason.clone());
        }
    }
    (body.outcome, HttpResponse::Ok().json(&body))
}
