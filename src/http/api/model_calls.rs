//! `/calls`: the requests to a model's server.

use super::{
    ApiResult, ApiState,
    objects::{self, RowKey},
    query::Query,
};
use crate::{
    domain::{
        Timestamp,
        model_call::{ModelCallFeature, ModelCallStatus},
    },
    store::{ModelCallFilter, ModelCallRow},
};
use actix_web::{HttpRequest, web};
use serde::Serialize;

/// `GET /calls`. A page may have fewer rows than asked for, and yet a next one.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let known =
        ["client", "lead", "job", "kind", "feature", "status", "since", "until", "limit", "cursor"];
    let query = Query::parse(&request, &known)?;
    let filter = ModelCallFilter {
        client: query.values("client"),
        lead: query.ids("lead")?,
        job: query.ids("job")?,
        kind: query.values("kind"),
        feature: query.one_of("feature", &ModelCallFeature::ALL.map(ModelCallFeature::as_str))?,
        status: query.one_of("status", &ModelCallStatus::ALL.map(ModelCallStatus::as_str))?,
        since: query.instant("since")?,
        until: query.instant("until")?,
    };
    let page = state.desk.model_calls(filter, query.limit()?, query.cursor()?).await?;
    let items = page.items.iter().map(ModelCallJson::of).collect();
    objects::page(items, page.next)
}

#[derive(Debug, Serialize)]
pub(super) struct ModelCallJson<'a> {
    id: RowKey,
    kind: &'a str,
    feature: &'a str,
    prompt: &'a str,
    model: &'a str,
    status: &'a str,
    error: Option<&'a str>,
    tokens_in: Option<i64>,
    tokens_out: Option<i64>,
    latency_ms: i64,
    retry: i64,
    client_id: &'a str,
    lead_id: Option<RowKey>,
    job_id: RowKey,
    node: RowKey,
    created_at: Timestamp,
}

impl<'a> ModelCallJson<'a> {
    pub(super) fn of(row: &'a ModelCallRow) -> Self {
        Self {
            id: RowKey(row.id),
            kind: &row.kind,
            feature: &row.feature,
            prompt: &row.prompt,
            model: &row.model,
            status: &row.status,
            error: row.error.as_deref(),
            tokens_in: row.tokens_in,
            tokens_out: row.tokens_out,
            latency_ms: row.latency_ms,
            retry: row.retry,
            client_id: &row.client_id,
            lead_id: row.lead_id.map(RowKey),
            job_id: RowKey(row.job_id),
            node: RowKey(row.node),
            created_at: Timestamp::from_millis(row.created_at.0),
        }
    }
}
