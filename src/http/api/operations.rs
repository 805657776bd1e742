//! `/operations`, and what makes them: `/jobs/retry` and `/jobs/cancel`. Those on held webhooks are
//! made by `/quarantine`.

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
            ApiEndpoint, ApiParameter, CURSOR, DRY_RUN, LIMIT, OperationActionWord,
            OperationStatusWord, Takes, get, post,
        },
        operator::Operator,
        problem::{Cause, Problem},
    },
    store::{
        ByKind, JobAction, JobFilter, MatchingJobs, NewOperation, OperationAction, OperationFilter,
        OperationRow, StartedOperation,
    },
};
use actix_web::{Error, HttpRequest, web};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, time::Duration};

/// The parameters of the list.
const PARAMETERS: [ApiParameter; 4] = [
    ApiParameter::new("status", Takes::Words(|| OPERATION_STATUSES.to_vec())),
    ApiParameter::new(
        "action",
        Takes::Words(|| OperationAction::ALL.map(OperationAction::as_str).to_vec()),
    ),
    LIMIT,
    CURSOR,
];

/// Operations: one action on many jobs or held webhooks.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        post("/jobs/retry", retry_jobs)
            .says("Gives all jobs that match one more attempt")
            .takes(&[DRY_RUN])
            .reads(&FILTERS)
            .may_conflict()
            .answers::<BulkJson<JobJson<'_>>>(),
        post("/jobs/cancel", cancel_jobs)
            .says("Cancels all jobs that match")
            .takes(&[DRY_RUN])
            .reads(&FILTERS)
            .may_conflict()
            .answers::<BulkJson<JobJson<'_>>>(),
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
const SMALL_JOBS_MAX: u64 = 500;
/// The same for held webhooks, each of which is taken in by itself.
const SMALL_ITEMS_MAX: u64 = 50;
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
        action: query.one_of("action", &OperationAction::ALL.map(OperationAction::as_str))?,
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
    let noun = OperationAction::named(&operation.action).map_or("job", OperationAction::noun);
    entry.new_value = Some(format!("{} of {total} {noun}s: stop at {done}", operation.action));
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
    let plan = NewOperation {
        action: OperationAction::Jobs(action),
        total: matching.count,
        filter: text.clone(),
        by: operator.name.clone(),
    };
    let started = state.operations.start(matching, text, operator.name.clone(), on_changed).await?;
    Ok(begun(state, started, &plan, operator, matching.is_exact).await)
}

/// Notes in the audit log that an operation was started, and waits for its end if it is small.
/// Returns its id.
pub(super) async fn begun(
    state: &ApiState,
    started: StartedOperation,
    plan: &NewOperation,
    operator: Operator,
    is_exact: bool,
) -> Id {
    let NewOperation { action, total, filter, by: _ } = plan;
    let mut entry = operator.did("operation.start", started.id);
    let (least, word, noun) =
        (if is_exact { "" } else { "at least " }, action.as_str(), action.noun());
    entry.new_value = Some(format!("{word} {least}{total} {noun}s: {filter}"));
    state.record(entry).await;
    let small_max = match action {
        OperationAction::Jobs(_) => SMALL_JOBS_MAX,
        OperationAction::Quarantine(_) => SMALL_ITEMS_MAX,
    };
    if *total <= small_max {
        tokio::time::timeout(SMALL_WAIT, started.task).await.ok();
    }
    started.id
}

/// Counts the jobs that match, and starts an operation on them if it is not a dry run.
async fn change(
    state: &ApiState,
    action: JobAction,
    body: Result<web::Bytes, Error>,
    request: &HttpRequest,
) -> ApiResult {
    // 1. Read what is asked for.
    let is_dry_run = is_dry_run(request)?;
    let filter = filter_in(state, request, body).await?;
    // 2. Count.
    let matching = matching(state, action, filter.clone()).await?;
    let examples = matching.examples.iter().map(JobJson::of).collect();
    let counted = BulkJson::of(matching.count, matching.is_exact, examples);
    if is_dry_run || counted.is_nothing() {
        return objects::object(counted);
    }
    // 3. Start, and tell how far it is.
    let id = start(state, &matching, &filter, Operator::of(request)).await?;
    objects::object(counted.started(state, id).await?)
}

/// True if a request asks only for a count.
///
/// # Errors
/// 400 for another query.
pub(super) fn is_dry_run(request: &HttpRequest) -> Result<bool, Problem> {
    let query = Query::parse(request, &[DRY_RUN])?;
    Ok(query.one_of("dry_run", &["true", "false"])?.contains(&"true".to_owned()))
}

/// The body of a request that has a filter.
///
/// # Errors
/// 413 or 400 if it cannot be read.
pub(super) fn body_of(body: Result<web::Bytes, Error>) -> Result<web::Bytes, Problem> {
    body.map_err(|error| body_problem(&error, BODY_MAX_BYTES))
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
    let body = body_of(body)?;
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
    set_fields([
        ("status", json!(status.collect::<Vec<&str>>())),
        ("kind", json!(kind)),
        ("client", json!(client)),
        ("lead", json!(texts(lead))),
        ("id", json!(texts(id))),
        ("error", json!(error)),
    ])
}

/// The fields that have values, as an object.
pub(super) fn set_fields<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let is_set = |(_, values): &(&str, Value)| values.as_array().is_some_and(|it| !it.is_empty());
    let set = fields.into_iter().filter(is_set).map(|(name, values)| (name.to_owned(), values));
    Value::Object(set.collect::<Map<_, _>>())
}

/// The answer to a request for many jobs, or for many held webhooks.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "BulkOf{T}")]
pub(super) struct BulkJson<T> {
    /// How many match. Once the operation has ended: how many it has changed.
    count: u64,
    /// False if counting was given up: there may be more.
    exact: bool,
    /// `null` if there is nothing to do, and for a dry run.
    operation_id: Option<RowKey>,
    #[schemars(with = "Option<OperationStatusWord>")]
    status: Option<String>,
    /// Some of those that match; for a dry run only.
    examples: Vec<T>,
}

impl<T> BulkJson<T> {
    /// Of so many, before an operation has begun.
    pub(super) const fn of(count: u64, exact: bool, examples: Vec<T>) -> Self {
        Self { count, exact, operation_id: None, status: None, examples }
    }

    /// True if nothing matches.
    pub(super) const fn is_nothing(&self) -> bool {
        self.count == 0 && self.exact
    }

    /// The same once the operation with this id was started: how far it is.
    ///
    /// # Errors
    /// If the database is away.
    pub(super) async fn started(self, state: &ApiState, id: Id) -> Result<Self, Problem> {
        let mut answer = Self {
            operation_id: Some(RowKey(id)),
            status: Some("running".to_owned()),
            examples: Vec::new(),
            ..self
        };
        if let Some(seen) = state.operations.show(id).await?.filter(|it| it.status != "running") {
            answer.count = seen.done.unsigned_abs();
            answer.status = Some(seen.status);
        }
        Ok(answer)
    }
}

#[derive(Debug, JsonSchema, Serialize)]
struct OperationJson<'a> {
    id: RowKey,
    #[schemars(with = "OperationActionWord")]
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
    /// Why some were skipped: an object from reason to count.
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
