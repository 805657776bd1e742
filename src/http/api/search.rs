//! `/search`: what a text names as a whole.

use super::{
    ApiResult, ApiState,
    objects::{self, List, RowKey},
    query::Query,
};
use crate::{
    domain::SearchTerms,
    http::{
        admin,
        openapi::{ApiEndpoint, Q, get},
        problem::Problem,
        ui::Viewer,
    },
    store::SearchHit,
};
use actix_web::{HttpRequest, web};
use schemars::JsonSchema;
use serde::Serialize;

/// The search.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        get("/search", find)
            .says("What a text names as a whole")
            .takes(&[Q])
            .answers::<List<SearchHitJson<'_>>>(),
    ]
}

/// `GET /search`.
pub(super) async fn find(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let query = Query::parse(&request, &[Q])?;
    let viewer = admin::admit(&request).await?;
    let hits = found(&state, &viewer, query.text("q")?.unwrap_or_default()).await?;
    objects::page(hits.iter().map(SearchHitJson::of).collect(), None::<String>)
}

/// What a text names: rows with that id, leads with that address, phone number or id of a
/// provider, and what came with that request; if the viewer may see it.
pub(in crate::http) async fn found(
    state: &ApiState,
    viewer: &Viewer,
    q: &str,
) -> Result<Vec<SearchHit>, Problem> {
    if q.trim().is_empty() {
        return Ok(Vec::new());
    }
    let mut hits = state.desk.search(SearchTerms::of(q)).await?;
    hits.retain(|hit| viewer.sees_hit(hit));
    Ok(hits)
}

#[derive(Debug, JsonSchema, Serialize)]
struct SearchHitJson<'a> {
    r#type: &'a str,
    id: RowKey,
    client_id: Option<&'a str>,
    lead_id: Option<RowKey>,
    /// `id`, `request_id`, `provider_id`, or the kind of the identity.
    found_by: &'a str,
}

impl<'a> SearchHitJson<'a> {
    fn of(hit: &'a SearchHit) -> Self {
        Self {
            r#type: &hit.kind,
            id: RowKey(hit.id),
            client_id: hit.client_id.as_deref(),
            lead_id: hit.lead_id.map(RowKey),
            found_by: &hit.found_by,
        }
    }
}
