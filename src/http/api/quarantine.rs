//! `/quarantine`: webhooks that were authentic and not understood, and are kept for a person.

use super::{
    ApiResult, ApiState, id_in,
    objects::{self, List, RowKey, at},
    query::Query,
};
use crate::{
    config::Config,
    domain::{Id, Timestamp},
    http::{
        State,
        openapi::{
            ApiEndpoint, ApiParameter, CHANNEL, CLIENT, CURSOR, DRY_RUN, DirectionWord, LIMIT,
            QuarantineStatusWord, Takes, delete, get, post,
        },
        operator::Operator,
        problem::Problem,
        request_id,
        webhook_answers::{AnswerBody, problem_of, spelled},
    },
    ingest::{Answer, Replay, ReplayError, TriedReplay},
    store::{AuditEntry, ListedQuarantine, Page, QuarantineFilter, QuarantineRow},
    telemetry::traces::{SpanKind, SpanStart, TraceSpan, names},
};
use actix_web::{HttpRequest, web};
use schemars::JsonSchema;
use serde::Serialize;
use tracing::Instrument as _;

/// The parameters of the list.
const PARAMETERS: [ApiParameter; 5] = [
    ApiParameter::new("status", Takes::Words(|| QUARANTINE_STATUSES.to_vec())),
    CLIENT,
    CHANNEL,
    LIMIT,
    CURSOR,
];

/// Quarantined webhooks.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        get("/quarantine", list)
            .says("Webhooks that were authentic and not understood, newest first")
            .takes(&PARAMETERS)
            .answers::<List<QuarantineJson<'_>>>(),
        get("/quarantine/{id}", show)
            .says("A quarantined webhook with its body")
            .answers::<QuarantineDetailJson<'_>>(),
        delete("/quarantine/{id}", discard)
            .says("Discards a held item, which stays as discarded")
            .may_conflict()
            .answers::<QuarantineJson<'_>>(),
        post("/quarantine/{id}/replay", replay)
            .says("Interprets a held item again, and answers as a webhook does")
            .takes(&[DRY_RUN])
            .may_conflict()
            .answers::<ReplayAnswer>(),
    ]
}

/// The states of an item.
pub(in crate::http) const QUARANTINE_STATUSES: [&str; 3] = ["held", "replayed", "discarded"];

/// `GET /quarantine`.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let query = Query::parse(&request, &PARAMETERS)?;
    let filter = state.quarantine_filter(&query)?;
    let page = state.quarantined(filter, query.limit()?, query.cursor()?).await?;
    let items = page.items.iter().map(QuarantineJson::of).collect();
    objects::page(items, page.next)
}

/// `GET /quarantine/{id}`.
pub(super) async fn show(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> ApiResult {
    Query::none(&request)?;
    let _permit = state.heavy_reads.permit().await?;
    let (item, payload) = found(&state, &path).await?.split();
    objects::object(QuarantineDetailJson::of(&item, &payload))
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
    let permit = state.heavy_reads.permit().await?;
    let item = found(state, path).await?;
    drop(permit);
    if item.status != "held" {
        return Err(Problem::conflict(format!(
            "the item is {}: only a held one is replayed",
            item.status
        )));
    }
    let cfg = webhooks_state.config.get();
    let request_id = request_id::of(request);
    let mut replay = replay_of(item, webhooks_state, &cfg, &request_id)?;
    replay.span = span_of(&replay, webhooks_state);
    let log_span = replay.span.log_span();
    let answer = webhooks_state.intake.replay(replay, &state.desk, &cfg);
    let answer = answer.instrument(log_span).await;
    let answer = answer.map_err(|error| match error {
        ReplayError::Unreadable(error) => Problem::internal(error.to_string()),
        ReplayError::Refused(refusal) => problem_of(&refusal),
        ReplayError::NotSettled(error) => error.into(),
    })?;
    // One that is not understood yet is still held: nothing has changed.
    if !matches!(answer, Answer::Quarantined { .. }) {
        state.record(settled(request, "quarantine.replay", path, "replayed")).await;
    }
    Ok(answer)
}

/// The span in which an item is taken again. It is recorded whatever the share: a person asked.
fn span_of(replay: &Replay<'_>, webhooks_state: &State) -> TraceSpan {
    let start = || SpanStart::new("replay", SpanKind::Internal);
    let span = webhooks_state.board.traces().always(start);
    span.set(names::REQUEST_ID, replay.request_id.to_owned());
    span.set(names::CHANNEL, replay.item.channel.clone());
    span.set(names::CLIENT, replay.item.client_id.clone());
    span
}

fn replay_of<'a>(
    item: QuarantineRow,
    webhooks_state: &'a State,
    cfg: &'a Config,
    request_id: &'a str,
) -> Result<Replay<'a>, Problem> {
    let channel = webhooks_state.channels.get(item.channel.as_str()).ok_or_else(|| {
        Problem::conflict(format!("this version has no channel `{}`", item.channel))
    })?;
    let client = cfg.client(&item.client_id).ok_or_else(|| {
        Problem::conflict(format!("the client `{}` is not in the configuration", item.client_id))
    })?;
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
    if !state.desk.settle_quarantine(item.id, "discarded").await? {
        return Err(Problem::conflict(format!(
            "the item is {}: only a held one is discarded",
            item.status
        )));
    }
    tracing::info!(quarantine.id = item.id, "discarded by hand");
    state.record(settled(request, "quarantine.discard", path, "discarded")).await;
    found(state, path).await
}

impl ApiState {
    /// The values of a query that select quarantined webhooks.
    ///
    /// # Errors
    /// 400 for an unknown status or channel.
    pub(in crate::http) fn quarantine_filter(
        &self,
        query: &Query,
    ) -> Result<QuarantineFilter, Problem> {
        Ok(QuarantineFilter {
            status: query.one_of("status", &QUARANTINE_STATUSES)?,
            client: query.values("client"),
            channel: self.channels_in(query)?,
        })
    }

    /// Quarantined webhooks before `cursor`, newest first.
    ///
    /// # Errors
    /// If the database is away.
    pub(in crate::http) async fn quarantined(
        &self,
        filter: QuarantineFilter,
        limit: usize,
        cursor: Option<Id>,
    ) -> Result<Page<ListedQuarantine>, Problem> {
        let _permit = self.heavy_reads.permit().await?;
        Ok(self.desk.quarantine(filter, limit, cursor).await?)
    }

    /// A quarantined webhook with its body.
    ///
    /// # Errors
    /// 404 if there is none with this id; if the database is away.
    pub(in crate::http) async fn quarantined_item(
        &self,
        path: &str,
    ) -> Result<QuarantineRow, Problem> {
        let _permit = self.heavy_reads.permit().await?;
        found(self, path).await
    }
}

/// The row of the audit log for a held item that has become `status`.
fn settled(request: &HttpRequest, action: &'static str, id: &str, status: &str) -> AuditEntry {
    let (old_value, new_value) = (Some("held".to_owned()), Some(status.to_owned()));
    AuditEntry { old_value, new_value, ..Operator::of(request).did(action, id) }
}

async fn found(state: &ApiState, path: &str) -> Result<QuarantineRow, Problem> {
    let id = id_in(path, "quarantine item")?;
    let item = state.desk.quarantine_item(id).await?;
    item.ok_or_else(|| Problem::not_found(format!("there is no quarantine item `{id}`")))
}

/// An item of a list.
#[derive(Debug, JsonSchema, Serialize)]
struct QuarantineJson<'a> {
    id: RowKey,
    client_id: &'a str,
    channel: &'a str,
    event_type: Option<&'a str>,
    reason: &'a str,
    #[schemars(with = "QuarantineStatusWord")]
    status: &'a str,
    count: i64,
    received_at: Option<Timestamp>,
    last_received_at: Option<Timestamp>,
    request_id: Option<&'a str>,
}

impl<'a> QuarantineJson<'a> {
    fn of(row: &'a ListedQuarantine) -> Self {
        Self {
            id: RowKey(row.id),
            client_id: &row.client_id,
            channel: &row.channel,
            event_type: row.event_type.as_deref(),
            reason: &row.reason,
            status: &row.status,
            count: row.count,
            received_at: at!(Some(row.received_at)),
            last_received_at: at!(Some(row.last_received_at)),
            request_id: row.request_id.as_deref(),
        }
    }
}

/// An item with what was received.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct QuarantineDetailJson<'a> {
    #[serde(flatten)]
    item: QuarantineJson<'a>,
    payload: &'a str,
}

impl<'a> QuarantineDetailJson<'a> {
    pub(super) fn of(row: &'a ListedQuarantine, payload: &'a str) -> Self {
        Self { item: QuarantineJson::of(row), payload }
    }
}

/// What a replay answers, for the document only.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is of use")]
enum ReplayAnswer {
    Done(AnswerBody<'static>),
    Tried(TriedJson<'static>),
}

/// What this version would make of an item.
#[derive(Debug, JsonSchema, Serialize)]
struct TriedJson<'a> {
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
