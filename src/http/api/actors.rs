//! `/actors`: the actors of this node and their states.

use super::{
    ApiResult, ApiState,
    objects::{self, List, RowKey},
    query::Query,
};
use crate::{domain::Timestamp, telemetry::board::ActorView};
use actix_web::{HttpRequest, web};
use serde::Serialize;

/// `GET /actors`.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let query = Query::parse(&request, &["limit", "cursor"])?;
    let items = state.board.actors().into_iter().map(ActorJson::of).collect();
    objects::object(List::by_name(items, &query, |it: &ActorJson| it.name.clone())?)
}

#[derive(Debug, Serialize)]
struct ActorJson {
    name: String,
    r#type: &'static str,
    parent: Option<&'static str>,
    state: &'static str,
    since: Timestamp,
    restarts: u64,
    last_failure: Option<FailureJson>,
    mailbox_depth: usize,
    mailbox_capacity: usize,
    job_id: Option<RowKey>,
}

#[derive(Debug, Serialize)]
struct FailureJson {
    at: Timestamp,
    reason: String,
}

impl ActorJson {
    fn of(actor: ActorView) -> Self {
        Self {
            name: actor.name,
            r#type: actor.kind.as_str(),
            parent: Some(actor.parent).filter(|parent| !parent.is_empty()),
            state: actor.state.as_str(),
            since: actor.since,
            restarts: actor.restarts,
            last_failure: actor
                .last_failure
                .map(|failure| FailureJson { at: failure.at, reason: failure.reason }),
            mailbox_depth: actor.mailbox_depth,
            mailbox_capacity: actor.mailbox_capacity,
            job_id: actor.job_id.map(RowKey),
        }
    }
}
