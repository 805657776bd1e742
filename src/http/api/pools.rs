//! `/pools`: the slots of each kind.

use super::{
    ApiResult, ApiState,
    objects::{self, List},
    query::Query,
};
use crate::{domain::Timestamp, telemetry::pool_post::PoolView};
use actix_web::{HttpRequest, web};
use serde::Serialize;
use std::collections::HashMap;

/// `GET /pools`. It also answers without the database; then `backlog` is `null`.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let query = Query::parse(&request, &["limit", "cursor"])?;
    let totals = state.totals().await.ok();
    let mut pending: HashMap<&str, i64> = HashMap::new();
    for counted in totals.iter().flat_map(|it| &it.backlog) {
        *pending.entry(&counted.kind).or_default() += counted.pending;
    }
    let pools = state.board.pools();
    let backlog =
        |kind: &str| totals.as_ref().map(|_| pending.get(kind).copied().unwrap_or_default());
    let items = pools.iter().map(|pool| PoolJson::of(pool, backlog(pool.kind.0))).collect();
    objects::object(List::by_name(items, &query, |it: &PoolJson| it.kind.to_owned())?)
}

#[derive(Debug, Serialize)]
struct PoolJson {
    kind: &'static str,
    size: usize,
    configured_size: usize,
    busy: usize,
    leaving: usize,
    claimed: usize,
    paused: bool,
    state: &'static str,
    backlog: Option<i64>,
    restarts: u64,
    resumes_at: Option<Timestamp>,
    max_attempts: u64,
    timeout_ms: u64,
}

impl PoolJson {
    fn of(pool: &PoolView, backlog: Option<i64>) -> Self {
        let state = if pool.paused {
            "paused"
        } else if pool.is_backing_off() {
            "backing_off"
        } else {
            "running"
        };
        Self {
            kind: pool.kind.0,
            size: pool.size,
            configured_size: pool.configured_size,
            busy: pool.busy,
            leaving: pool.leaving,
            claimed: pool.claimed,
            paused: pool.paused,
            state,
            backlog,
            restarts: pool.restarts,
            resumes_at: pool.is_backing_off().then_some(pool.resumes_at),
            max_attempts: pool.max_attempts,
            timeout_ms: pool.timeout_ms,
        }
    }
}
