//! `/jobs/retry`, `/jobs/cancel` and `/operations`: one action on all jobs that match a filter.

use super::{
    ApiResult, ApiState,
    jobs::{self, FILTERS, JobJson},
    no_such,
    objects::{self, List, RowKey, StoredJson, at},
    only_id,
    query::Query,
};
use crate::{
    domain::{Id, Timestamp},
    http::{
        admin::{self, body_problem},
        openapi::{
            ApiEndpoint, ApiParameter, CURSOR, DRY_RUN, JobActionWord, LIMIT, OperationStatusWord,
            Takes, get, post,
        },
        operator::Operator,
        problem::{Cause, Problem},
    },
    store::{ByKind, JobAction, JobFilter, MatchingJobs, OperationFilter, OperationRow},
};
use actix_web::{Error, HttpRequest, web};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, time::Duration};

/// The parameters of the list.
const PARAMETERS: [ApiParameter; 4] = [
    ApiParameter::new("status", Takes::Words(|| OPERATION_STATUSES.to_vec())),
    ApiParameter::new("action", Takes::Words(|| JobAction::ALL.map(JobAction::as_str).to_vec())),
    LIMIT,
    CURSOR,
];

/// Operations: one action on many jobs.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        post("/jobs/retry", retry_jobs)
            .says("Gives all jobs that match one more attempt")
            .takes(&[DRY_RUN])
            .reads(&FILTERS)
            .may_conflict()
            .answers::<BulkJson<'_>>(),
        post("/jobs/cancel", cancel_jobs)
            .says("Cancels all jobs that match")
            .takes(&[DRY_RUN])
            .reads(&FILTERS)
            .may_conflict()
            .answers::<BulkJson<'_>>(),
        get("/operations", list)
            .says("Operations, newest first")
            .takes(&PARAMETERS)
            .answers::<List<OperationJson<'_>>>(),
        get("/operations/{id}", show).says("An operation").answers::<OperationJson<'_>>(),
        post("/operations/{id}/cancel", stop)
            .says("Stops an operation; what is done stays done")
            .may_conflict()
            .answers::<OperationJson<'_>>(),
    ]
}

/// The largest body of a request for many jobs. It holds a filter.
const BODY_MAX_BYTES: usize = 262_144;
/// The states of an operation.
pub(in crate::http) const OPERATION_STATUSES: [&str; 4] = ["running", "done", "stopped", "failed"];
/// A request waits for the end of an operation on at most this many jobs: one transaction.
const SMALL_MAX: u64 = 500;
/// How long a request waits for that.
const SMALL_WAIT: Duration = Duration::from_secs(5);

/// `POST /jobs/retry`.
pub(super) async fn retry_jobs(
    state: web::Data<ApiState>,
    body: Result<web::Bytes, Error>,
    request: HttpRequest,
) -> ApiResult {
    change(&state, JobAction::Retry, body, &request).await
}

/// `POST /jobs/cancel`.
pub(super) async fn cancel_jobs(
    state: web::Data<ApiState>,
    body: Result<web::Bytes, Error>,
    request: HttpRequest,
) -> ApiResult {
    change(&state, JobAction::Cancel, body, &request).await
}

/// `GET /operations`.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let query = Query::parse(&request, &PARAMETERS)?;
    let filter = OperationFilter {
        status: query.one_of("status", &OPERATION_STATUSES)?,
        action: query.one_of("action", &JobAction::ALL.map(JobAction::as_str))?,
    };
    let page = state.operations.list(filter, query.limit()?, query.cursor()?).await?;
    let items = page.items.iter().map(OperationJson::of).collect();
    objects::page(items, page.next)
}

/// `GET /operations/{id}`.
pub(super) async fn show(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> ApiResult {
    let id = only_id(&request, &path, "operation")?;
    objects::object(OperationJson::of(&operation(&state, id).await?))
}

/// An operation.
///
/// # Errors
/// 404 if there is no such operation.
pub(in crate::http) async fn operation(state: &ApiState, id: Id) -> Result<OperationRow, Problem> {
    state.operations.show(id).await?.ok_or_else(|| no_such("operation", id))
}

/// `POST /operations/{id}/cancel`: what is done stays done.
pub(super) async fn stop(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> ApiResult {
    let id = only_id(&request, &path, "operation")?;
    objects::object(OperationJson::of(&stop_one(&state, id, Operator::of(&request)).await?))
}

/// Asks an operation to stop.
///
/// # Errors
/// 404 if there is no such operation, 409 if it does not run.
pub(in crate::http) async fn stop_one(
    state: &ApiState,
    id: Id,
    operator: Operator,
) -> Result<OperationRow, Problem> {
    let is_asked = state.operations.stop(id).await?;
    let operation = operation(state, id).await?;
    if !is_asked {
        let status = &operation.status;
        return Err(Problem::conflict(format!("operation {id} does not run: it is {status}")));
    }
    tracing::info!(operation.id = id, "an operation is asked to stop");
    let mut entry = operator.did("operation.stop", id);
    let (done, total) = (operation.done, operation.total);
    entry.old_value = Some(operation.filter.clone());
    entry.new_value = Some(format!("{} of {total} jobs: stop at {done}", operation.action));
    state.record(entry).await;
    Ok(operation)
}

/// Counts the jobs that an action would change.
pub(in crate::http) async fn matching(
    state: &ApiState,
    action: JobAction,
    filter: JobFilter,
) -> Result<MatchingJobs, Problem> {
    Ok(state.operations.matching(action, filter).await?)
}

/// Starts an operation on the jobs that were counted with `filter`, and waits for it if it is
/// small. Returns its id.
pub(in crate::http) async fn start(
    state: &ApiState,
    matching: &MatchingJobs,
    filter: &JobFilter,
    operator: Operator,
) -> Result<Id, Problem> {
    let (metrics, action) = (state.metrics.clone(), matching.action);
    let on_changed = move |by_kind: &ByKind| {
        for (kind, count) in by_kind.iter().filter(|_| action == JobAction::Cancel) {
            metrics.attempts_ended(kind, "cancelled", *count);
        }
    };
    let text = filter_json(filter).to_string();
    let started =
        state.operations.start(matching, text.clone(), operator.name.clone(), on_changed).await?;
    let mut entry = operator.did("operation.start", started.id);
    let (least, count) = (if matching.is_exact { "" } else { "at least " }, matching.count);
    entry.new_value = Some(format!("{} {least}{count} jobs: {text}", action.as_str()));
    state.record(entry).await;
    if matching.count <= SMALL_MAX {
        tokio::time::timeout(SMALL_WAIT, started.task).await.ok();
    }
    Ok(started.id)
}

/// Counts the jobs that match, and starts an operation on them if it is not a dry run.
async fn change(
    state: &ApiState,
    action: JobAction,
    body: Result<web::Bytes, Error>,
    request: &HttpRequest,
) -> ApiResult {
    // 1. Read what is asked for.
    let query = Query::parse(request, &[DRY_RUN])?;
    let is_dry_run = query.one_of("dry_run", &["true", "false"])?.contains(&"true".to_owned());
    let filter = filter_in(state, request, body).await?;
    // 2. Count.
    let matching = matching(state, action, filter.clone()).await?;
    if is_dry_run {
        return objects::object(BulkJson::of(&matching));
    }
    if matching.count == 0 && matching.is_exact {
        return objects::object(BulkJson { examples: Vec::new(), ..BulkJson::of(&matching) });
    }
    // 3. Start, and tell how far it is.
    let id = start(state, &matching, &filter, Operator::of(request)).await?;
    let mut answer = BulkJson {
        operation_id: Some(RowKey(id)),
        status: Some("running".to_owned()),
        examples: Vec::new(),
        ..BulkJson::of(&matching)
    };
    if let Some(seen) = state.operations.show(id).await?.filter(|it| it.status != "running") {
        answer.count = seen.done.unsigned_abs();
        answer.status = Some(seen.status);
    }
    objects::object(answer)
}

/// The filter in a body.
///
/// # Errors
/// 400 for an empty filter, too: it would mean all jobs that there are.
async fn filter_in(
    state: &ApiState,
    request: &HttpRequest,
    body: Result<web::Bytes, Error>,
) -> Result<JobFilter, Problem> {
    let body = body.map_err(|error| body_problem(&error, BODY_MAX_BYTES))?;
    let query = Query::from_json(&body, &FILTERS)?.limited(&admin::admit(request).await?);
    let filter = jobs::filter(state, &query).await?;
    must_select(&filter)?;
    Ok(filter)
}

/// Refuses a filter that would mean all jobs that there are.
pub(in crate::http) fn must_select(filter: &JobFilter) -> Result<(), Problem> {
    if filter.is_empty() {
        let detail = "an empty filter would mean all jobs; name a status, kind, client or lead";
        return Err(Problem::new(Cause::BadRequest, detail));
    }
    Ok(())
}

/// The filter as it is stored and shown: the fields that are set, each with a list.
fn filter_json(filter: &JobFilter) -> Value {
    let JobFilter { status, state, kind, client, lead, id, error } = filter;
    let status = status.iter().map(|it| it.as_str()).chain(state.iter().map(|it| it.as_str()));
    let texts = |ids: &[Id]| ids.iter().map(ToString::to_string).collect::<Vec<String>>();
    let fields = [
        ("status", json!(status.collect::<Vec<&str>>())),
        ("kind", json!(kind)),
        ("client", json!(client)),
        ("lead", json!(texts(lead))),
        ("id", json!(texts(id))),
        ("error", json!(error)),
    ];
    let is_set = |(_, values): &(&str, Value)| values.as_array().is_some_and(|it| !it.is_empty());
    let set = fields.into_iter().filter(is_set).map(|(name, values)| (name.to_owned(), values));
    Value::Object(set.collect::<Map<_, _>>())
}

/// The answer to a request for many jobs.
#[derive(Debug, JsonSchema, Serialize)]
struct BulkJson<'a> {
    /// How many jobs match. Once the operation has ended: how many it has changed.
    count: u64,
    /// False if counting was given up: there may be more.
    exact: bool,
    /// `null` if there is nothing to do, and for a dry run.
    operation_id: Option<RowKey>,
    #[schemars(with = "Option<OperationStatusWord>")]
    status: Option<String>,
    /// Some of the jobs that match; for a dry run only.
    examples: Vec<JobJson<'a>>,
}

impl<'a> BulkJson<'a> {
    fn of(matching: &'a MatchingJobs) -> Self {
        Self {
            count: matching.count,
            exact: matching.is_exact,
            operation_id: None,
            status: None,
            examples: matching.examples.iter().map(JobJson::of).collect(),
        }
    }
}

#[derive(Debug, JsonSchema, Serialize)]
struct OperationJson<'a> {
    id: RowKey,
    #[schemars(with = "JobActionWord")]
    action: &'a str,
    #[schemars(with = "BTreeMap<String, Vec<String>>")]
    filter: StoredJson<'a>,
    #[schemars(with = "OperationStatusWord")]
    status: &'a str,
    /// Whether somebody has asked for its stop.
    stopping: bool,
    total: i64,
    done: i64,
    skipped: i64,
    /// Why jobs were skipped: an object from reason to count.
    #[schemars(with = "BTreeMap<String, u64>")]
    reasons: StoredJson<'a>,
    error: Option<&'a str>,
    by: &'a str,
    node: RowKey,
    created_at: Timestamp,
    updated_at: Timestamp,
    finished_at: Option<Timestamp>,
}

impl<'a> OperationJson<'a> {
    fn of(operation: &'a OperationRow) -> Self {
        let reasons = operation.reasons.as_deref().unwrap_or_default();
        Self {
            id: RowKey(operation.id),
            action: &operation.action,
            filter: StoredJson::of(&operation.filter, json!({})),
            status: &operation.status,
            stopping: operation.is_stopping,
            total: operation.total,
            done: operation.done,
            skipped: operation.skipped,
            reasons: StoredJson::of(reasons, json!({})),
            error: operation.error.as_deref(),
            by: &operation.changed_by,
            node: RowKey(operation.node),
            created_at: Timestamp::from_millis(operation.created_at.0),
            updated_at: Timestamp::from_millis(operation.updated_at.0),
            finished_at: at!(operation.finished_at),
        }
    }
}
