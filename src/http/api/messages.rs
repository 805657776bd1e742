//! `/messages`: what was written, and what was received.

use super::{
    Answer, ApiState, id_in, no_such,
    query::Query,
    views::{List, MessageDetailJson, MessageJson},
};
use crate::store::MessageFilter;
use actix_web::{HttpRequest, HttpResponse, web};

/// Who wrote a message.
const DIRECTIONS: [&str; 2] = ["inbound", "outbound"];

/// `GET /messages`.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> Answer {
    let known = ["client", "lead", "channel", "direction", "limit", "cursor"];
    let query = Query::parse(request.query_string(), &known)?;
    let channels: Vec<&str> = state.channels.iter().map(|it| it.0).collect();
    let filter = MessageFilter {
        client: query.values("client"),
        lead: query.ids("lead")?,
        channel: query.one_of("channel", &channels)?,
        direction: query.one_of("direction", &DIRECTIONS)?,
    };
    let _turn = state.heavy_reads.turn().await;
    let page = state.desk.messages(filter, query.limit()?, query.cursor()?).await?;
    let items = page.items.iter().map(MessageJson::of).collect();
    Ok(HttpResponse::Ok().json(List { items, next_cursor: page.next.map(|it| it.to_string()) }))
}

/// `GET /messages/{id}`.
pub(super) async fn show(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> Answer {
    Query::parse(request.query_string(), &[])?;
    let id = id_in(&path, "message")?;
    let _turn = state.heavy_reads.turn().await;
    let message = state.desk.message(id).await?.ok_or_else(|| no_such("message", id))?;
    Ok(HttpResponse::Ok().json(MessageDetailJson::of(&message)))
}
