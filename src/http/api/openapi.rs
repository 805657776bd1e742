//! `/openapi.json`: this API, for programs.

use super::{ApiResult, ApiState, query::Query};
use crate::http::openapi::{ApiEndpoint, get};
use actix_web::{HttpRequest, HttpResponse, http::header::ContentType, web};
use schemars::JsonSchema;
use serde_json::Value;
use std::collections::BTreeMap;

/// The document.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![get("/openapi.json", show).says("This document").answers::<OpenApi>()]
}

/// An OpenAPI document.
#[derive(JsonSchema)]
#[schemars(transparent)]
#[expect(dead_code, reason = "only its schema is of use")]
struct OpenApi(BTreeMap<String, Value>);

/// `GET /openapi.json`. It is made once.
pub(super) async fn show(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    Query::none(&request)?;
    let make = || web::Bytes::from(crate::http::openapi(&state.vocabulary).to_string());
    let document = state.document.get_or_init(make).clone();
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(document))
}
