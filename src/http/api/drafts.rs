//! `/drafts`: answers that are written and not sent.

use super::{
    Answer, ApiState, id_in, no_such,
    query::Query,
    views::{DraftJson, List},
};
use actix_web::{HttpRequest, HttpResponse, web};

/// Where a draft can stand.
const STATUSES: [&str; 6] = ["pending", "approved", "sending", "sent", "rejected", "superseded"];

/// `GET /drafts`.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> Answer {
    let query = Query::parse(request.query_string(), &["status", "limit", "cursor"])?;
    let status = query.one_of("status", &STATUSES)?;
    let _turn = state.heavy_reads.turn().await;
    let page = state.desk.drafts(status, query.limit()?, query.cursor()?).await?;
    let items = page.items.iter().map(DraftJson::of).collect();
    Ok(HttpResponse::Ok().json(List { items, next_cursor: page.next.map(|it| it.to_string()) }))
}

/// `GET /drafts/{id}`: with all of its text.
pub(super) async fn show(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> Answer {
    Query::parse(request.query_string(), &[])?;
    let id = id_in(&path, "draft")?;
    let _turn = state.heavy_reads.turn().await;
    let draft = state.desk.draft(id).await?.ok_or_else(|| no_such("draft", id))?;
    Ok(HttpResponse::Ok().json(DraftJson::whole(&draft)))
}
