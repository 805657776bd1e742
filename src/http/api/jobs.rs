//! `/jobs`: shows jobs with their failed attempts, and retries and cancels them one by one.

use super::{
    ApiResult, ApiState, no_such,
    objects::{self, RowKey},
    only_id,
    query::Query,
};
use crate::{
    domain::{JobStatus, Timestamp, job::dedupe_key},
    http::{operator::Operator, problem::Problem},
    store::{FailedAttempt, JobDetail, JobFilter, JobView},
};
use actix_web::{HttpRequest, web};
use serde::Serialize;

/// `GET /jobs`.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let known = ["status", "kind", "client", "lead", "limit", "cursor"];
    let query = Query::parse(&request, &known)?;
    let filter = filter(&state, &query).await?;
    let page = state.desk.jobs(filter, query.limit()?, query.cursor()?).await?;
    let items = page.items.iter().map(JobJson::of).collect();
    objects::page(items, page.next)
}

/// `GET /jobs/{id}`.
pub(super) async fn show(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> ApiResult {
    let id = only_id(&request, &path, "job")?;
    let detail = state.desk.job(id).await?.ok_or_else(|| no_such("job", id))?;
    objects::object(JobDetailJson::of(&detail))
}

/// `POST /jobs/{id}/retry`.
pub(super) async fn retry(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> ApiResult {
    let id = only_id(&request, &path, "job")?;
    let job = state.desk.retry(id).await?;
    tracing::info!(job_id = job.id, kind = job.kind, "job retried by hand");
    state.record(Operator::of(&request).did("job.retry", id)).await;
    objects::object(JobJson::of(&job))
}

/// `POST /jobs/{id}/cancel`.
pub(super) async fn cancel(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> ApiResult {
    let id = only_id(&request, &path, "job")?;
    let job = state.desk.cancel(id).await?;
    state.metrics.attempt_ended(&job.kind, "cancelled");
    tracing::info!(job_id = job.id, kind = job.kind, "job cancelled by hand");
    state.record(Operator::of(&request).did("job.cancel", id)).await;
    objects::object(JobJson::of(&job))
}

/// The filter that these values name.
pub(super) async fn filter(state: &ApiState, query: &Query) -> Result<JobFilter, Problem> {
    let statuses = || JobStatus::ALL.map(JobStatus::as_str).join(", ");
    Ok(JobFilter {
        status: query.parsed("status", JobStatus::parse, statuses)?,
        kind: known_kinds(state, query).await?,
        client: query.values("client"),
        lead: query.ids("lead")?,
    })
}

/// The kinds that are asked for. A kind is known if it has a pool here, or if jobs of it wait: they
/// may be of a newer version, or of a daemon with another role.
async fn known_kinds(state: &ApiState, query: &Query) -> Result<Vec<String>, Problem> {
    let kinds = query.values("kind");
    let mut known: Vec<String> =
        state.board.pools().iter().map(|it| it.kind.0.to_owned()).collect();
    if !known.is_empty() && kinds.iter().any(|kind| !known.contains(kind)) {
        known.extend(state.totals().await?.backlog.iter().map(|it| it.kind.clone()));
        known.sort_unstable();
        known.dedup();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        return query.one_of("kind", &known);
    }
    Ok(kinds)
}

#[derive(Debug, Serialize)]
pub(super) struct JobJson<'a> {
    id: RowKey,
    kind: &'a str,
    status: &'static str,
    client_id: &'a str,
    lead_id: Option<RowKey>,
    message_id: Option<RowKey>,
    draft_id: Option<RowKey>,
    delivery_id: Option<RowKey>,
    dedupe_key: String,
    attempts: i64,
    max_attempts: i64,
    run_at: Timestamp,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    locked_by: Option<RowKey>,
    last_error: Option<&'a str>,
}

impl<'a> JobJson<'a> {
    pub(super) fn of(job: &'a JobView) -> Self {
        Self {
            id: RowKey(job.id),
            kind: &job.kind,
            status: job.status.as_str(),
            client_id: &job.client_id,
            lead_id: job.lead_id.map(RowKey),
            message_id: job.message_id.map(RowKey),
            draft_id: job.draft_id.map(RowKey),
            delivery_id: job.delivery_id.map(RowKey),
            dedupe_key: dedupe_key(&job.client_id, job.subject_id, &job.kind),
            attempts: job.attempts,
            max_attempts: job.max_attempts,
            run_at: job.run_at,
            created_at: job.created_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
            locked_by: job.node.map(RowKey),
            last_error: job.last_error.as_deref(),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct JobDetailJson<'a> {
    #[serde(flatten)]
    job: JobJson<'a>,
    errors: Vec<AttemptJson<'a>>,
}

#[derive(Debug, Serialize)]
struct AttemptJson<'a> {
    attempt: i64,
    failed_at: Timestamp,
    duration_ms: Option<i64>,
    node: Option<RowKey>,
    actor: Option<&'a str>,
    reason: &'a str,
    message: Option<&'a str>,
}

impl<'a> JobDetailJson<'a> {
    pub(super) fn of(detail: &'a JobDetail) -> Self {
        let error = |failed: &'a FailedAttempt| AttemptJson {
            attempt: failed.attempt,
            failed_at: failed.failed_at,
            duration_ms: failed.duration_ms,
            node: failed.node.map(RowKey),
            actor: failed.actor.as_deref(),
            reason: &failed.reason,
            message: failed.message.as_deref(),
        };
        Self { job: JobJson::of(&detail.job), errors: detail.errors.iter().map(error).collect() }
    }
}
