//! `/quarantine`: webhooks that were authentic and not understood, and are kept for a person.

use super::{
    ApiResult, ApiState, id_in,
    objects::{self, RowKey, at},
    query::Query,
};
use crate::{
    domain::Timestamp,
    http::{
        State,
        operator::Operator,
        problem::Problem,
        request_id,
        webhook_answers::{problem_of, spelled},
    },
    ingest::{Answer, Replay, ReplayError},
    store::{AuditEntry, ListedQuarantine, QuarantineFilter, QuarantineRow},
};
use actix_web::{HttpRequest, web};
use serde::Serialize;

/// The states of an item.
const STATUSES: [&str; 3] = ["held", "replayed", "discarded"];

/// `GET /quarantine`.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let known = ["status", "client", "channel", "limit", "cursor"];
    let query = Query::parse(&request, &known)?;
    let filter = QuarantineFilter {
        status: query.one_of("status", &STATUSES)?,
        client: query.values("client"),
        channel: state.channels_in(&query)?,
    };
    let _permit = state.heavy_reads.permit().await;
    let page = state.desk.quarantine(filter, query.limit()?, query.cursor()?).await?;
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
    let _permit = state.heavy_reads.permit().await;
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
    Query::none(&request)?;
    let permit = state.heavy_reads.permit().await;
    let item = found(&state, &path).await?;
    drop(permit);
    if item.status != "held" {
        return Err(Problem::conflict(format!(
            "the item is {}: only a held one is replayed",
            item.status
        )));
    }
    let cfg = webhooks_state.config.get();
    let channel = webhooks_state.channels.get(item.channel.as_str()).ok_or_else(|| {
        Problem::conflict(format!("this version has no channel `{}`", item.channel))
    })?;
    let client = cfg.client(&item.client_id).ok_or_else(|| {
        Problem::conflict(format!("the client `{}` is not in the configuration", item.client_id))
    })?;
    let request_id = request_id::of(&request);
    let replay =
        Replay { item, channel: channel.channel.as_ref(), client, request_id: &request_id };
    let answer = webhooks_state.intake.replay(replay, &state.desk, &cfg).await;
    let answer = answer.map_err(|error| match error {
        ReplayError::Unreadable(error) => Problem::internal(error.to_string()),
        ReplayError::Refused(refusal) => problem_of(&refusal),
        ReplayError::NotSettled(error) => error.into(),
    })?;
    // One that is not understood yet is still held: nothing has changed.
    if !matches!(answer, Answer::Quarantined { .. }) {
        state.record(settled(&request, "quarantine.replay", &path, "replayed")).await;
    }
    Ok(spelled(&answer, &request_id).1)
}

/// `DELETE /quarantine/{id}`: the item stays, as discarded.
pub(super) async fn discard(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> ApiResult {
    Query::none(&request)?;
    let _permit = state.heavy_reads.permit().await;
    let item = found(&state, &path).await?;
    if !state.desk.settle_quarantine(item.id, "discarded").await? {
        return Err(Problem::conflict(format!(
            "the item is {}: only a held one is discarded",
            item.status
        )));
    }
    tracing::info!(quarantine.id = item.id, "discarded by hand");
    state.record(settled(&request, "quarantine.discard", &path, "discarded")).await;
    let (item, _) = found(&state, &path).await?.split();
    objects::object(QuarantineJson::of(&item))
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
#[derive(Debug, Serialize)]
struct QuarantineJson<'a> {
    id: RowKey,
    client_id: &'a str,
    channel: &'a str,
    event_type: Option<&'a str>,
    reason: &'a str,
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
#[derive(Debug, Serialize)]
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
