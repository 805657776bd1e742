//! `/quarantine/replay` and `/quarantine/discard`: one action on all held items that match a
//! filter.

use super::{EVENT_TYPE, QuarantineJson, REASON, alike, task::ItemsTask};
use crate::{
    domain::Id,
    http::{
        State, admin,
        api::{
            ApiResult, ApiState, objects,
            operations::{self, BulkJson},
            query::Query,
        },
        openapi::{ApiParameter, CHANNEL, CLIENT, ID, Takes},
        operator::Operator,
        problem::{Cause, Problem},
    },
    store::{MatchingItems, NewOperation, OperationAction, QuarantineAction, QuarantineFilter},
};
use actix_web::{Error, HttpRequest, web};
use serde_json::{Value, json};
use tokio::runtime::Handle;

/// The only state of items that can be replayed or discarded.
const HELD: &str = "held";

/// The fields that select held items.
pub(super) const HELD_FILTERS: [ApiParameter; 6] = [
    ApiParameter::new("status", Takes::Words(|| vec![HELD])),
    CLIENT,
    CHANNEL,
    EVENT_TYPE,
    REASON,
    ID,
];

/// `POST /quarantine/replay`.
pub(super) async fn replay_many(
    state: web::Data<ApiState>,
    webhooks_state: web::Data<State>,
    body: Result<web::Bytes, Error>,
    request: HttpRequest,
) -> ApiResult {
    change(&state, &webhooks_state, QuarantineAction::Replay, body, &request).await
}

/// `POST /quarantine/discard`.
pub(super) async fn discard_many(
    state: web::Data<ApiState>,
    webhooks_state: web::Data<State>,
    body: Result<web::Bytes, Error>,
    request: HttpRequest,
) -> ApiResult {
    change(&state, &webhooks_state, QuarantineAction::Discard, body, &request).await
}

/// Counts the items that match, and starts an operation on them if it is not a dry run.
async fn change(
    state: &web::Data<ApiState>,
    webhooks_state: &State,
    action: QuarantineAction,
    body: Result<web::Bytes, Error>,
    request: &HttpRequest,
) -> ApiResult {
    // 1. Read what is asked for.
    let is_dry_run = operations::is_dry_run(request)?;
    let body = operations::body_of(body)?;
    let query = Query::from_json(&body, &HELD_FILTERS)?.limited(&admin::admit(request).await?);
    let filter = held_filter(state, &query)?;
    // 2. Count.
    let matching = matching_items(state, filter.clone()).await?;
    let examples = matching.examples.iter().map(QuarantineJson::of).collect();
    let counted = BulkJson::of(matching.count, matching.is_exact, examples);
    if is_dry_run || counted.is_nothing() {
        return objects::object(counted);
    }
    // 3. Start, and tell how far it is.
    let operator = Operator::of(request);
    let id = start_on_items(state, webhooks_state, action, &matching, &filter, operator).await?;
    objects::object(counted.started(state, id).await?)
}

/// The filter of held items that a query has.
///
/// # Errors
/// 400 for an unknown channel, a state other than `held`, and an empty filter: it would mean all
/// items that are held, which has to be said.
pub(in crate::http) fn held_filter(
    state: &ApiState,
    query: &Query,
) -> Result<QuarantineFilter, Problem> {
    let filter = QuarantineFilter {
        status: query.one_of("status", &[HELD])?,
        client: query.values("client"),
        channel: state.channels_in(query)?,
        id: query.ids("id")?,
        ..alike(query)?
    };
    if filter.is_empty() {
        let detail = "an empty filter would mean all items that are held; name a client, channel, \
                      event_type or reason, or the status `held` for all of them";
        return Err(Problem::new(Cause::BadRequest, detail));
    }
    Ok(filter)
}

/// Counts the held items that match.
///
/// # Errors
/// If the database is away.
pub(in crate::http) async fn matching_items(
    state: &ApiState,
    filter: QuarantineFilter,
) -> Result<MatchingItems, Problem> {
    Ok(state.operations.matching_items(filter).await?)
}

/// Starts an operation on the items that were counted with `filter`, and waits for it if it is
/// small. Returns its id.
///
/// # Errors
/// 409 if too many operations run, or if this node takes no webhooks and so cannot replay them; if
/// the database is away.
pub(in crate::http) async fn start_on_items(
    state: &web::Data<ApiState>,
    webhooks_state: &State,
    action: QuarantineAction,
    matching: &MatchingItems,
    filter: &QuarantineFilter,
    operator: Operator,
) -> Result<Id, Problem> {
    if action == QuarantineAction::Replay && !webhooks_state.role.takes_webhooks() {
        let detail = "this node takes no webhooks, so it replays none: ask one that does";
        return Err(Problem::conflict(detail));
    }
    let plan = NewOperation {
        action: OperationAction::Quarantine(action),
        total: matching.count,
        filter: filter_json(filter).to_string(),
        by: operator.name.clone(),
    };
    let task = ItemsTask {
        api: state.clone(),
        webhooks: webhooks_state.clone(),
        action,
        matching: matching.clone(),
        operator: operator.clone(),
    };
    // Bodies are read here, where webhooks are read, and not where the database is awaited.
    let here = Handle::current();
    let work = move |run| task.work_on(here, run);
    let started = state.operations.start_work(plan.clone(), work).await?;
    Ok(operations::begun(state, started, &plan, operator, matching.is_exact).await)
}

/// The filter as it is stored and shown: the fields that are set, each with a list.
fn filter_json(filter: &QuarantineFilter) -> Value {
    let QuarantineFilter { status, client, channel, event_type, reason, id } = filter;
    let ids: Vec<String> = id.iter().map(ToString::to_string).collect();
    operations::set_fields([
        ("status", json!(status)),
        ("client", json!(client)),
        ("channel", json!(channel)),
        ("event_type", json!(event_type)),
        ("reason", json!(reason)),
        ("id", json!(ids)),
    ])
}
