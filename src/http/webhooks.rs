//! Receives webhooks: reads, limits and authenticates them, and gives them to ingest.
//!
//! The order of checks is fixed: no such channel, wrong method, too large or packed in an unknown
//! way, too many from this address, not authenticated, not JSON, too many of this client, no room
//! or no database.
//!
//! An unknown client is handled exactly like a known one: the same reads, the same search for
//! secrets, the same computation. All of it depends on the request alone.

use super::{
    State,
    authentication::{self, SenderProof},
    body::{Announced, Body as Posted, Unpackable},
    body_budget::Borrower,
    browsers, limits,
    openapi::{ApiEndpoint, EndpointAccess, get, post},
    problem::{Cause, Problem},
    request_id,
    signatures::{self, Signed},
    state::ChannelState,
    untraced::Unstored,
    webhook_answers::{AnswerBody, problem_of, spelled, stranger, word_of},
};
use crate::{
    channels::{
        AnyChannel,
        json::{self, Unreadable},
    },
    config::{self, ClientChannel, SignatureScheme},
    domain::trace::{Hop, TracePoint},
    ingest::{Answer, SignedBody, SignedTime, TakenWebhook, Webhook},
    store::wall_clock,
    telemetry::traces::{SpanKind, SpanStart, TraceSpan, names},
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode, header},
    web,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::{hint::black_box, net::IpAddr};
use tokio::time::Instant;
use tracing::Instrument as _;

/// The seconds after which to post again if the disk is full: it is not emptied at once.
const DISK_RETRY_SECONDS: u64 = 10;

/// The path of webhooks. A slash at the end is forgiven, because people add one to addresses.
const PATH: &str = "/webhooks/{channel}/{client}";

/// Webhooks.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        get(PATH, webhook)
            .says("Which events a channel takes; the same for every client")
            .for_all(EndpointAccess::Webhook)
            .answers::<ProbeAnswer>(),
        post(PATH, webhook)
            .says("Takes a webhook of a provider")
            .for_all(EndpointAccess::Webhook)
            .reads_posts()
            .refused_with(StatusCode::BAD_REQUEST)
            .refused_with(StatusCode::UNAUTHORIZED)
            .refused_with(StatusCode::UNSUPPORTED_MEDIA_TYPE)
            .answers::<AnswerBody<'_>>(),
    ]
}

/// Mounts the paths of webhooks. The handler looks at the method itself, after the channel.
pub(super) fn configure(cfg: &mut web::ServiceConfig) {
    cfg.route(PATH, web::to(webhook)).route(&format!("{PATH}/"), web::to(webhook));
}

/// The answer to a provider's probe (`GET`). It is the same for every client.
#[derive(Debug, JsonSchema, Serialize)]
struct ProbeAnswer {
    channel: &'static str,
    events: Vec<&'static str>,
}

async fn webhook(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let started = Instant::now();
    let request_id = request_id::of(&request);

    // The channel and the method.
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

    // All the rest, and the spelling of the answer.
    let mut is_proven = false;
    let asked = (channel, client_id.as_str(), request_id.as_str());
    let span = span_of(&request, asked, &state);
    let received = receive(&request, payload, asked, &span, &mut is_proven, &state);
    let result = received.instrument(span.log_span()).await;
    let told = (&request, asked, is_proven);
    let (outcome, response) = match result {
        Ok(taken) => {
            let (outcome, response) = spelled(&taken.answer, &request_id);
            remember_taken(&state, told, taken, outcome);
            (outcome, Ok(response))
        }
        Err(problem) => {
            let outcome = word_of(problem.cause());
            remember_refused(&state, told, &problem, outcome);
            (outcome, Err(problem))
        }
    };

    // Span, metrics and log.
    let status = response.as_ref().map_or_else(Problem::status, HttpResponse::status);
    span.set(names::OUTCOME, outcome);
    span.set(names::HTTP_STATUS, i64::from(status.as_u16()));
    if status.is_server_error() {
        span.failed(outcome);
    }
    if is_proven && span.at().is_some() {
        span.set(names::CLIENT, client_id.clone());
    }
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
        trace_id = span.trace_id(),
        "webhook answered"
    );
    response
}

/// The span of a webhook. A sender may name a span of its own: it is linked, and no parent, because
/// nobody vouches for it.
fn span_of(
    request: &HttpRequest,
    (channel, _, request_id): WebhookNames<'_>,
    state: &State,
) -> TraceSpan {
    let start = || SpanStart::new(format!("POST {PATH}"), SpanKind::Server);
    let span = state.board.traces().sampled(start);
    if span.at().is_none() {
        return span;
    }
    span.set(names::HTTP_METHOD, "POST");
    span.set(names::HTTP_ROUTE, PATH);
    span.set(names::CHANNEL, channel.channel.name().0);
    span.set(names::REQUEST_ID, request_id.to_owned());
    let named = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    if let Some(sender) = named.and_then(TracePoint::of_header) {
        span.link(sender);
    }
    span
}

fn probe(channel: &dyn AnyChannel) -> HttpResponse {
    HttpResponse::Ok().json(ProbeAnswer { channel: channel.name().0, events: channel.events() })
}

/// The channel, the client and the request, as the path and the head name them.
type WebhookNames<'a> = (&'a ChannelState, &'a str, &'a str);

/// Remembers a webhook that was authentic and of which nothing is stored.
fn remember_taken(
    state: &State,
    (request, asked, is_proven): (&HttpRequest, WebhookNames<'_>, bool),
    taken: TakenWebhook,
    outcome: &'static str,
) {
    let (reason, message_id, lead_id) = match taken.answer {
        Answer::Ignored { reason } => (reason, None, None),
        Answer::Duplicate { message_id, lead_id, job_id: _ } => ("", message_id, lead_id),
        Answer::Accepted { .. }
        | Answer::Recorded { .. }
        | Answer::Quarantined { .. }
        | Answer::QuarantineFull => return,
    };
    let webhook = Unstored {
        event_type: taken.event_type,
        reason: reason.to_owned(),
        message_id,
        lead_id,
        ..unstored(state, request, asked, is_proven, outcome)
    };
    state.api.untraced().remember(webhook, wall_clock());
}

/// Remembers a webhook that was refused because of its sender, or because there was no room.
fn remember_refused(
    state: &State,
    (request, asked, is_proven): (&HttpRequest, WebhookNames<'_>, bool),
    problem: &Problem,
    outcome: &'static str,
) {
    let is_of_interest = matches!(
        problem.cause(),
        Cause::Unauthenticated
            | Cause::RateLimited
            | Cause::QueueFull
            | Cause::DatabaseAway
            | Cause::Draining
    );
    if is_of_interest {
        let reason = problem.detail().to_owned();
        let webhook = Unstored { reason, ..unstored(state, request, asked, is_proven, outcome) };
        state.api.untraced().remember(webhook, wall_clock());
    }
}

fn unstored<'a>(
    state: &State,
    request: &HttpRequest,
    (channel, client, request_id): WebhookNames<'a>,
    is_proven: bool,
    outcome: &'static str,
) -> Unstored<'a> {
    let cfg = state.config.get();
    Unstored {
        client,
        is_configured: cfg.client(client).is_some(),
        channel: channel.channel.name().0,
        outcome,
        event_type: None,
        reason: String::new(),
        request_id,
        message_id: None,
        lead_id: None,
        is_proven,
        address: limits::address_of(request, &cfg.server),
    }
}

/// From the request to the answer of ingest. `is_proven` becomes true once the sender has shown who
/// it is.
async fn receive(
    request: &HttpRequest,
    payload: web::Payload,
    (channel, client_id, request_id): WebhookNames<'_>,
    span: &TraceSpan,
    is_proven: &mut bool,
    state: &State,
) -> Result<TakenWebhook, Problem> {
    // Find the client and its settings. If there is no such client, an arbitrary client's are
    // looked up and ignored, so that the time is the same.
    let cfg = state.config.get();
    let client = cfg.client(client_id);
    let name = channel.channel.name();
    let looked_up = black_box(client.or_else(|| cfg.clients.first()));
    let settings = looked_up.and_then(|it| it.channel(name.0));
    let is_free = looked_up.is_some_and(|it| it.accepts_without_secret(name.0));
    let asked = WebhookRequest {
        request,
        channel: channel.channel.as_ref(),
        client,
        settings: settings.filter(|_| client.is_some()),
        is_free: is_free && client.is_some(),
    };

    // Read the body if it can help, and authenticate the sender.
    let (proof, mut posted) = asked.read(payload, &cfg.server, state).await?;
    let grounds = asked.authenticate(proof, &mut posted)?;
    // `authenticate` lets no one in without a client.
    let client = client.ok_or_else(stranger)?;
    *is_proven = true;

    // Parse it.
    let body = posted.unpack()?.clone();
    let json = match json::parse(&body) {
        Ok(json) => Some(json),
        Err(Unreadable::TooManyValues) => None,
        Err(Unreadable::NotJson(detail)) => return Err(Problem::not_json(detail)),
    };
    let signed = asked.signed_body(grounds, json.as_ref());

    // See that webhooks of this client are taken now.
    is_taken_now(client, state)?;

    // Give it to ingest, whose gate counts its bytes from here on.
    drop(posted);
    let webhook = Webhook {
        channel: asked.channel,
        client,
        request_id,
        received_at: wall_clock(),
        body,
        json,
        signed,
        span: (span.clone(), Hop::None),
    };
    state.intake.take(webhook, &cfg).await.map_err(|refusal| problem_of(&refusal))
}

/// # Errors
/// If the client posts too much, if the disk is full, or if this node takes no webhooks: not any
/// more, or never.
fn is_taken_now(client: &config::Client, state: &State) -> Result<(), Problem> {
    if let Some(seconds) = state.limits.client(&client.id, client.rate_limit) {
        let detail = "more requests than this client may send (its `rate_limit`)";
        return Err(Problem::new(Cause::RateLimited, detail).retry_after(seconds));
    }
    if state.board.is_draining() {
        return Err(Problem::new(Cause::Draining, "the daemon is stopping: post again"));
    }
    if !state.role.takes_webhooks() {
        let detail = "this node only works jobs off: post to another";
        return Err(Problem::new(Cause::Draining, detail));
    }
    if let Some(trouble) = state.store.disk_trouble() {
        let detail = format!("the database takes nothing new: {trouble}: post again");
        return Err(Problem::new(Cause::DatabaseAway, detail).retry_after(DISK_RETRY_SECONDS));
    }
    Ok(())
}

/// What a request asks for, and the settings that it is judged by.
struct WebhookRequest<'a> {
    request: &'a HttpRequest,
    channel: &'a dyn AnyChannel,
    client: Option<&'a config::Client>,
    /// `None` if there is no such client, or it does not have that channel.
    settings: Option<&'a ClientChannel>,
    /// True if there is such a client, and its channel takes webhooks without a secret.
    is_free: bool,
}

/// Why a sender was let in.
struct Grounds {
    signed: Signed,
    /// Nothing proves the sender but a signature of the provider, which signs with one key for all
    /// of its customers.
    is_by_provider_alone: bool,
}

impl WebhookRequest<'_> {
    /// Judges the head, and reads the body if it may prove the sender. A problem that is found
    /// before the body is read ends the connection if the body has no length: nothing else says
    /// where the body ends.
    async fn read(
        &self,
        payload: web::Payload,
        server: &config::ServerConfig,
        state: &State,
    ) -> Result<(SenderProof, Posted), Problem> {
        let is_endless = self.request.headers().contains_key(header::TRANSFER_ENCODING);
        let unread = |problem: Problem| if is_endless { problem.closing() } else { problem };

        // The size and the encoding that the head announces.
        let limit = usize::try_from(server.body_limit).unwrap_or(usize::MAX);
        let announced = Announced::by(self.request, limit).map_err(unread)?;

        // The rate of the address.
        let address = limits::address_of(self.request, server);
        if let Some(address) = address
            && let Some(seconds) = state.limits.address(address, server.address_rate_limit)
        {
            let detail = "more requests than this address may send (server.address_rate_limit)";
            return Err(unread(Problem::new(Cause::RateLimited, detail).retry_after(seconds)));
        }

        // The secrets in the head.
        let proof = self.proof(state);
        let may_be_in_body =
            self.channel.secret_field().is_some() || signatures::is_borne(self.request.headers());
        if proof == SenderProof::Unknown && !may_be_in_body {
            // A body that came in with its head is read during this yield, so that the connection
            // can be used again. Any other is not waited for, and its connection is closed.
            tokio::task::yield_now().await;
            return Err(unread(stranger()));
        }

        // The body, in borrowed room.
        let loan = state.body_budget.open(self.borrower(proof, address), limit);
        let posted = announced.read(payload, loan, server.request_timeout).await;
        Ok((proof, posted.map_err(unread)?))
    }

    /// What the head proves, and whether the request may do without a secret if none is asked for.
    fn proof(&self, state: &State) -> SenderProof {
        let (request, settings) = (self.request, self.settings);
        let proof = authentication::by_head(request, self.channel, settings, self.is_free);
        let is_allowed_explicitly = self.settings.is_some_and(|it| it.allow_unauthenticated);
        if proof == SenderProof::Free
            && let Some(why) = browsers::objection(self.request, is_allowed_explicitly)
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
        proof
    }

    fn borrower(&self, proof: SenderProof, address: Option<IpAddr>) -> Borrower {
        let is_this_machine =
            proof == SenderProof::Free && self.settings.is_some_and(|it| !it.allow_unauthenticated);
        if proof == SenderProof::Shown || is_this_machine {
            Borrower::Known
        } else {
            Borrower::stranger(address)
        }
    }

    /// Lets in a sender that has shown a secret, or whose body is signed or holds one.
    ///
    /// # Errors
    /// 401; or a problem of the body that every sender is told.
    fn authenticate(&self, proof: SenderProof, posted: &mut Posted) -> Result<Grounds, Problem> {
        let signature = self.settings.and_then(|it| it.signature.as_ref());
        if proof != SenderProof::Unknown && signature.is_none() {
            return Ok(Grounds { signed: Signed::No, is_by_provider_alone: false });
        }
        let headers = self.request.headers();
        let signed = signatures::check(headers, &posted.received, signature, wall_clock());
        if proof != SenderProof::Unknown {
            return Ok(Grounds { signed, is_by_provider_alone: false });
        }
        // Searched also if the signature is right, so that the work is the same for all.
        let is_in_body = match self.channel.secret_field() {
            Some(field) => self.shows_in_body(field, posted)?,
            None => false,
        };
        let is_signed = matches!(signed, Signed::Right { .. });
        if !is_in_body && !is_signed {
            return Err(stranger());
        }
        let is_of_provider = signature.is_some_and(|cfg| cfg.scheme == SignatureScheme::Ghl);
        Ok(Grounds { signed, is_by_provider_alone: !is_in_body && is_of_provider })
    }

    /// True if `field` of the body holds a right secret. A body that cannot be unpacked shows none.
    fn shows_in_body(&self, field: &str, posted: &mut Posted) -> Result<bool, Problem> {
        match posted.unpack() {
            Ok(body) => Ok(json::text_of_field(body, field)
                .is_some_and(|secret| authentication::by_field(&secret, self.settings))),
            Err(Unpackable::Garbled(_)) => Ok(false),
            Err(Unpackable::Refused(problem)) => Err(problem),
        }
    }

    /// What a right signature says of the body; `None` without one.
    fn signed_body(&self, grounds: Grounds, json: Option<&Value>) -> Option<SignedBody> {
        let Signed::Right { delivery_id } = grounds.signed else { return None };
        let signature = self.settings?.signature.as_ref()?;
        // A body with too many values is not parsed, so it has no time.
        let time = json.map_or(SignedTime::Untold { field: signatures::GHL_TIME }, |json| {
            signatures::time_of(signature, json, wall_clock())
        });
        let is_only_proof = grounds.is_by_provider_alone;
        Some(SignedBody { delivery_id, window: signature.window, time, is_only_proof })
    }
}
