//! `/actors`: the tree as it is.

use super::{
    Answer, ApiState,
    query::Query,
    views::{ActorJson, List},
};
use actix_web::{HttpRequest, HttpResponse, web};

/// `GET /actors`.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> Answer {
    let query = Query::parse(request.query_string(), &["limit", "cursor"])?;
    let items = state.board.actors().into_iter().map(ActorJson::of).collect();
    Ok(HttpResponse::Ok().json(List::by_name(items, &query, |it: &ActorJson| it.name.clone())?))
}
