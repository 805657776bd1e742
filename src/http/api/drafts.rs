//! `/drafts`: answers that are written and not sent.

use super::{
    Answer, ApiState,
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
    let page = state.desk.drafts(status, query.limit()?, query.cursor()?).await?;
    let items = page.items.iter().map(DraftJson::of).collect();
    Ok(HttpResponse::Ok().json(List { items, next_cursor: page.next.map(|it| it.to_string()) }))
}
