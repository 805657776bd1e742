//! `/leads`: who they are and what was written.

use super::{
    Answer, ApiState, id_in, no_such,
    query::{Query, lead_cursor_text},
    views::{LeadDetailJson, LeadJson, List},
};
use crate::{domain::LeadStatus, store::LeadFilter};
use actix_web::{HttpRequest, HttpResponse, web};

/// `GET /leads`.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> Answer {
    let known = ["client", "status", "q", "limit", "cursor"];
    let query = Query::parse(request.query_string(), &known)?;
    let statuses = || LeadStatus::ALL.map(LeadStatus::as_str).join(", ");
    let filter = LeadFilter {
        client: query.values("client"),
        status: query.parsed("status", LeadStatus::parse, statuses)?,
        text: query.text("q")?.map(str::to_owned),
    };
    let page = state.desk.leads(filter, query.limit()?, query.lead_cursor()?).await?;
    let items = page.items.iter().map(LeadJson::of).collect();
    Ok(HttpResponse::Ok().json(List { items, next_cursor: page.next.map(lead_cursor_text) }))
}

/// `GET /leads/{id}`.
pub(super) async fn show(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> Answer {
    Query::parse(request.query_string(), &[])?;
    let id = id_in(&path, "lead")?;
    let _turn = state.heavy_reads.turn().await;
    let detail = state.desk.lead(id).await?.ok_or_else(|| no_such("lead", id))?;
    Ok(HttpResponse::Ok().json(LeadDetailJson::of(&detail)))
}
