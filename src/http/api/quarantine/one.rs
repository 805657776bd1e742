//! What is done with one held item: it is tried, replayed or discarded. Operations on many do the
//! same, item by item.

use super::{QuarantineJson, found, id_of};
use crate::{
    config::Config,
    domain::Id,
    http::{
        State,
        api::{ApiResult, ApiState, objects, query::Query},
        openapi::{DRY_RUN, DirectionWord},
        operator::Operator,
        problem::Problem,
        request_id,
        webhook_answers::{AnswerBody, problem_of, spelled},
    },
    ingest::{Answer, Replay, ReplayError, TriedReplay},
    store::{AuditEntry, QuarantineRow, StoreError},
    telemetry::traces::{SpanKind, SpanStart, TraceSpan, Traces, names},
};
use actix_web::{HttpRequest, web};
use schemars::JsonSchema;
use serde::Serialize;
use thiserror::Error;
use tracing::Instrument as _;

/// Why an item was neither replayed nor discarded. It is as it was.
#[derive(Debug, Error)]
pub(super) enum ItemError {
    /// There is no such item.
    #[error("there is no quarantine item `{0}`")]
    Gone(Id),
    /// It is not held any more, but in this state.
    #[error("the item is {0}: only a held one is replayed")]
    Settled(String),
    /// This version does not have its channel.
    #[error("this version has no channel `{0}`")]
    NoChannel(String),
    /// Its client is not configured.
    #[error("the client `{0}` is not in the configuration")]
    NoClient(String),
    /// Too many others read long texts.
    #[error("{0}")]
    NoTurn(Problem),
    /// It was not taken in.
    #[error(transparent)]
    NotTaken(#[from] ReplayError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ItemError> for Problem {
    fn from(error: ItemError) -> Self {
        match error {
            ItemError::Gone(_) => Self::not_found(error.to_string()),
            ItemError::Settled(_) | ItemError::NoChannel(_) | ItemError::NoClient(_) => {
                Self::conflict(error.to_string())
            }
            ItemError::NoTurn(problem) => problem,
            ItemError::NotTaken(ReplayError::Unreadable(error)) => {
                Self::internal(error.to_string())
            }
            ItemError::NotTaken(ReplayError::Refused(refusal)) => problem_of(&refusal),
            ItemError::NotTaken(ReplayError::NotSettled(error)) | ItemError::Store(error) => {
                error.into()
            }
        }
    }
}

/// `POST /quarantine/{id}/replay`: answers as a webhook does.
pub(super) async fn replay(
    state: web::Data<ApiState>,
    webhooks_state: web::Data<State>,
    path: web::Path<String>,
    request: HttpRequest,
) -> ApiResult {
    let query = Query::parse(&request, &[DRY_RUN])?;
    let is_dry = match query.text("dry_run")? {
        Some("true") => true,
        Some("false") | None => false,
        Some(_) => return Err(Problem::bad_request("dry_run", "must be true or false")),
    };
    if is_dry {
        let tried = try_replay(&state, &webhooks_state, &path).await?;
        return objects::object(TriedJson::of(&tried));
    }
    let answer = replay_item(&state, &webhooks_state, &path, &request).await?;
    Ok(spelled(&answer, &request_id::of(&request)).1)
}

/// What this version would make of a quarantined webhook. Nothing is stored.
///
/// # Errors
/// 404 if there is no such item; 409 if its channel or its client is gone.
pub(in crate::http) async fn try_replay(
    state: &ApiState,
    webhooks_state: &State,
    path: &str,
) -> Result<TriedReplay, Problem> {
    let permit = state.heavy_reads.permit().await?;
    let item = found(state, path).await?;
    drop(permit);
    let cfg = webhooks_state.config.get();
    let replay = replay_of(item, webhooks_state, &cfg, "")?;
    replay.tried().map_err(|error| Problem::internal(error.to_string()))
}

/// Interprets a held item again, and stores what it means.
///
/// # Errors
/// 404 if there is no such item; 409 if it is not held, or its channel or its client is gone; as a
/// webhook otherwise.
pub(in crate::http) async fn replay_item(
    state: &ApiState,
    webhooks_state: &State,
    path: &str,
    request: &HttpRequest,
) -> Result<Answer, Problem> {
    let id = id_of(path)?;
    // It is recorded whatever the share: a person asked.
    let begin = |traces: &Traces| traces.always(started);
    Ok(replay_by(state, webhooks_state, id, &Operator::of(request), begin).await?)
}

/// The same for this operator, in the span that `begin` begins. An item that is settled has a row
/// in the audit log.
///
/// # Errors
/// See [`ItemError`].
pub(super) async fn replay_by(
    state: &ApiState,
    webhooks_state: &State,
    id: Id,
    operator: &Operator,
    begin: impl FnOnce(&Traces) -> TraceSpan,
) -> Result<Answer, ItemError> {
    // 1. Read it.
    let permit = state.heavy_reads.permit().await.map_err(ItemError::NoTurn)?;
    let item = state.desk.quarantine_item(id).await?.ok_or(ItemError::Gone(id))?;
    drop(permit);
    if item.status != "held" {
        return Err(ItemError::Settled(item.status));
    }
    // 2. Take it in.
    let cfg = webhooks_state.config.get();
    let mut replay = replay_of(item, webhooks_state, &cfg, &operator.request_id)?;
    replay.span = begin(webhooks_state.board.traces());
    tell_of(&replay);
    let log_span = replay.span.log_span();
    let answer = webhooks_state.intake.replay(replay, &state.desk, &cfg);
    let answer = answer.instrument(log_span).await?;
    // 3. One that is not understood yet is still held: nothing has changed.
    if !matches!(answer, Answer::Quarantined { .. }) {
        state.record(settled(operator, "quarantine.replay", id, "replayed")).await;
    }
    Ok(answer)
}

/// The span in which an item is taken again.
pub(super) fn started() -> SpanStart {
    SpanStart::new("replay", SpanKind::Internal)
}

/// Says in its span what is taken again.
fn tell_of(replay: &Replay<'_>) {
    replay.span.set(names::REQUEST_ID, replay.request_id.to_owned());
    replay.span.set(names::CHANNEL, replay.item.channel.clone());
    replay.span.set(names::CLIENT, replay.item.client_id.clone());
}

fn replay_of<'a>(
    item: QuarantineRow,
    webhooks_state: &'a State,
    cfg: &'a Config,
    request_id: &'a str,
) -> Result<Replay<'a>, ItemError> {
    let channel = webhooks_state.channels.get(item.channel.as_str());
    let channel = channel.ok_or_else(|| ItemError::NoChannel(item.channel.clone()))?;
    let client = cfg.client(&item.client_id);
    let client = client.ok_or_else(|| ItemError::NoClient(item.client_id.clone()))?;
    let span = TraceSpan::default();
    Ok(Replay { item, channel: channel.channel.as_ref(), client, request_id, span })
}

/// `DELETE /quarantine/{id}`: the item stays, as discarded.
pub(super) async fn discard(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> ApiResult {
    Query::none(&request)?;
    let (item, _) = discard_item(&state, &path, &request).await?.split();
    objects::object(QuarantineJson::of(&item))
}

/// Marks a held item as discarded.
///
/// # Errors
/// 404 if there is no such item, 409 if it is not held; if the database is away.
pub(in crate::http) async fn discard_item(
    state: &ApiState,
    path: &str,
    request: &HttpRequest,
) -> Result<QuarantineRow, Problem> {
    let _permit = state.heavy_reads.permit().await?;
    let item = found(state, path).await?;
    if !discard_by(state, item.id, &Operator::of(request)).await? {
        return Err(Problem::conflict(format!(
            "the item is {}: only a held one is discarded",
            item.status
        )));
    }
    found(state, path).await
}

/// The same for this operator. False if the item is not held.
///
/// # Errors
/// If the database is away.
pub(super) async fn discard_by(
    state: &ApiState,
    id: Id,
    operator: &Operator,
) -> Result<bool, StoreError> {
    let is_discarded = state.desk.settle_quarantine(id, "discarded").await?;
    if is_discarded {
        tracing::info!(quarantine.id = id, "discarded by hand");
        state.record(settled(operator, "quarantine.discard", id, "discarded")).await;
    }
    Ok(is_discarded)
}

/// The row of the audit log for a held item that has become `status`.
fn settled(operator: &Operator, action: &'static str, id: Id, status: &str) -> AuditEntry {
    let (old_value, new_value) = (Some("held".to_owned()), Some(status.to_owned()));
    AuditEntry { old_value, new_value, ..operator.clone().did(action, id) }
}

/// What a replay answers, for the document only.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is of use")]
pub(super) enum ReplayAnswer {
    Done(AnswerBody<'static>),
    Tried(TriedJson<'static>),
}

/// What this version would make of an item.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct TriedJson<'a> {
    dry_run: bool,
    /// `understood`, `ignored` or `quarantined`.
    outcome: &'static str,
    event_type: Option<&'a str>,
    reason: Option<&'a str>,
    /// What it says has happened, in a word.
    signal: Option<&'static str>,
    identities: Vec<IdentityTried<'a>>,
    #[schemars(with = "Option<DirectionWord>")]
    direction: Option<&'static str>,
    subject: Option<&'a str>,
    body: Option<&'a str>,
}

#[derive(Debug, JsonSchema, Serialize)]
struct IdentityTried<'a> {
    kind: &'static str,
    value: &'a str,
}

impl<'a> TriedJson<'a> {
    fn of(tried: &'a TriedReplay) -> Self {
        let empty = Self {
            dry_run: true,
            outcome: tried.outcome(),
            event_type: tried.event_type(),
            reason: None,
            signal: None,
            identities: Vec::new(),
            direction: None,
            subject: None,
            body: None,
        };
        match tried {
            TriedReplay::Ignored { reason, .. } => Self { reason: Some(reason), ..empty },
            TriedReplay::Quarantined { reason, .. } => Self { reason: Some(reason), ..empty },
            TriedReplay::Understood(event) => {
                let message = event.signal.message();
                let identity = |it: &'a crate::domain::Identity| IdentityTried {
                    kind: it.kind.as_str(),
                    value: &it.value,
                };
                Self {
                    signal: Some(tried.signal()),
                    identities: event.identities.iter().map(identity).collect(),
                    direction: message.map(|it| it.direction.as_str()),
                    subject: message.and_then(|it| it.subject.as_deref()),
                    body: message.map(|it| it.body.as_str()),
                    ..empty
                }
            }
        }
    }
}
