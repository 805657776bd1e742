//! `/calls`: the requests to a model's server.

use super::{
    ApiResult, ApiState,
    objects::{self, List, RowKey},
    query::Query,
};
use crate::{
    domain::{
        Timestamp,
        model_call::{ModelCallFeature, ModelCallStatus},
    },
    http::openapi::{
        ApiEndpoint, ApiParameter, CLIENT, CURSOR, LEAD, LIMIT, ModelCallFeatureWord,
        ModelCallStatusWord, SINCE, Takes, UNTIL, get,
    },
    store::{ModelCallFilter, ModelCallRow},
};
use actix_web::{HttpRequest, web};
use schemars::JsonSchema;
use serde::Serialize;

/// The parameters of the list.
const PARAMETERS: [ApiParameter; 10] = [
    CLIENT,
    LEAD,
    ApiParameter::new("job", Takes::Ids),
    ApiParameter::new("kind", Takes::Names),
    ApiParameter::new(
        "feature",
        Takes::Words(|| ModelCallFeature::ALL.map(ModelCallFeature::as_str).to_vec()),
    ),
    ApiParameter::new(
        "status",
        Takes::Words(|| ModelCallStatus::ALL.map(ModelCallStatus::as_str).to_vec()),
    ),
    SINCE,
    UNTIL,
    LIMIT,
    CURSOR,
];

/// Requests to a model's server.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        get("/calls", list)
            .says("The requests to a model's server, newest first")
            .takes(&PARAMETERS)
            .answers::<List<ModelCallJson<'_>>>(),
    ]
}

/// `GET /calls`. A page may have fewer rows than asked for, and yet a next one.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let query = Query::parse(&request, &PARAMETERS)?;
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

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct ModelCallJson<'a> {
    id: RowKey,
    kind: &'a str,
    #[schemars(with = "ModelCallFeatureWord")]
    feature: &'a str,
    prompt: &'a str,
    model: &'a str,
    #[schemars(with = "ModelCallStatusWord")]
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
