//! `/actors`: the tree of actors as it is now.

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
    fn of(it: ActorView) -> Self {
        Self {
            name: it.name,
            r#type: it.kind.as_str(),
            parent: Some(it.parent).filter(|it| !it.is_empty()),
            state: it.state.as_str(),
            since: it.since,
            restarts: it.restarts,
            last_failure: it
                .last_failure
                .map(|failure| FailureJson { at: failure.at, reason: failure.reason }),
            mailbox_depth: it.mailbox_depth,
            mailbox_capacity: it.mailbox_capacity,
            job_id: it.job_id.map(RowKey),
        }
    }
}
