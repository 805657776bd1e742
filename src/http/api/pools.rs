//! `/pools`: the slots of each kind.

use super::{
    Answer, ApiState,
    query::Query,
    views::{List, PoolJson},
};
use actix_web::{HttpRequest, HttpResponse, web};
use std::collections::HashMap;

/// `GET /pools`. Answers without the database, too; then nothing is known of what waits.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> Answer {
    let query = Query::parse(request.query_string(), &["limit", "cursor"])?;
    let totals = state.totals().await.ok();
    let mut pending: HashMap<&str, i64> = HashMap::new();
    for it in totals.iter().flat_map(|it| &it.backlog) {
        *pending.entry(&it.kind).or_default() += it.pending;
    }
    let pools = state.board.pools();
    let backlog =
        |kind: &str| totals.as_ref().map(|_| pending.get(kind).copied().unwrap_or_default());
    let items = pools.iter().map(|pool| PoolJson::of(pool, backlog(pool.kind.0))).collect();
    Ok(HttpResponse::Ok().json(List::by_name(items, &query, |it: &PoolJson| it.kind.to_owned())?))
}
