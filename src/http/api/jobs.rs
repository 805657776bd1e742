//! `/jobs`: what was asked, how far it has come, and a person's word on it.

use super::{
    Answer, ApiState, id_in, no_such,
    query::Query,
    views::{Counted, JobDetailJson, JobJson, List},
};
use crate::{
    domain::JobStatus,
    http::{
        admin::body_problem,
        problem::{Cause, Problem},
    },
    store::JobFilter,
};
use actix_web::{Error, HttpRequest, HttpResponse, web};

/// What the body of a request for many jobs may be: a filter.
const BODY_MAX_BYTES: usize = 262_144;

/// `GET /jobs`.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> Answer {
    let known = ["status", "kind", "client", "lead", "limit", "cursor"];
    let query = Query::parse(request.query_string(), &known)?;
    let filter = filter(&state, &query).await?;
    let page = state.desk.jobs(filter, query.limit()?, query.cursor()?).await?;
    let items = page.items.iter().map(JobJson::of).collect();
    Ok(HttpResponse::Ok().json(List { items, next_cursor: page.next.map(|it| it.to_string()) }))
}

/// `GET /jobs/{id}`.
pub(super) async fn show(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> Answer {
    Query::parse(request.query_string(), &[])?;
    let id = id_in(&path, "job")?;
    let detail = state.desk.job(id).await?.ok_or_else(|| no_such("job", id))?;
    Ok(HttpResponse::Ok().json(JobDetailJson::of(&detail)))
}

/// `POST /jobs/{id}/retry`.
pub(super) async fn retry(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> Answer {
    Query::parse(request.query_string(), &[])?;
    let job = state.desk.retry(id_in(&path, "job")?).await?;
    tracing::info!(job_id = job.id, kind = job.kind, "job retried by hand");
    Ok(HttpResponse::Ok().json(JobJson::of(&job)))
}

/// `POST /jobs/{id}/cancel`.
pub(super) async fn cancel(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> Answer {
    Query::parse(request.query_string(), &[])?;
    let job = state.desk.cancel(id_in(&path, "job")?).await?;
    state.metrics.attempt_ended(&job.kind, "cancelled");
    tracing::info!(job_id = job.id, kind = job.kind, "job cancelled by hand");
    Ok(HttpResponse::Ok().json(JobJson::of(&job)))
}

/// `POST /jobs/retry`.
pub(super) async fn retry_many(
    state: web::Data<ApiState>,
    body: Result<web::Bytes, Error>,
    request: HttpRequest,
) -> Answer {
    let filter = filter_in(&state, body, &request).await?;
    let count: u64 = state.desk.retry_many(filter).await?.values().sum();
    tracing::info!(count, "jobs retried by hand");
    Ok(HttpResponse::Ok().json(Counted { count }))
}

/// `POST /jobs/cancel`.
pub(super) async fn cancel_many(
    state: web::Data<ApiState>,
    body: Result<web::Bytes, Error>,
    request: HttpRequest,
) -> Answer {
    let filter = filter_in(&state, body, &request).await?;
    let by_kind = state.desk.cancel_many(filter).await?;
    for (kind, count) in &by_kind {
        state.metrics.attempts_ended(kind, "cancelled", *count);
    }
    let count: u64 = by_kind.values().sum();
    tracing::info!(count, "jobs cancelled by hand");
    Ok(HttpResponse::Ok().json(Counted { count }))
}

/// The filter in a body. An empty one would mean all jobs there are, which nobody means.
async fn filter_in(
    state: &ApiState,
    body: Result<web::Bytes, Error>,
    request: &HttpRequest,
) -> Result<JobFilter, Problem> {
    Query::parse(request.query_string(), &[])?;
    let body = body.map_err(|error| body_problem(&error, BODY_MAX_BYTES))?;
    let query = Query::from_json(&body, &["status", "kind", "client", "lead"])?;
    let filter = filter(state, &query).await?;
    if filter.is_empty() {
        let detail = "an empty filter would mean all jobs; name a status, kind, client or lead";
        return Err(Problem::new(Cause::BadRequest, detail));
    }
    Ok(filter)
}

async fn filter(state: &ApiState, query: &Query) -> Result<JobFilter, Problem> {
    let statuses = || JobStatus::ALL.map(JobStatus::as_str).join(", ");
    Ok(JobFilter {
        status: query.parsed("status", JobStatus::parse, statuses)?,
        kind: known_kinds(state, query).await?,
        client: query.values("client"),
        lead: query.ids("lead")?,
    })
}

/// The kinds that are asked for. A kind is known if it has a pool here, or if jobs of it wait: those of a
/// newer version, or of a daemon with another role.
async fn known_kinds(state: &ApiState, query: &Query) -> Result<Vec<String>, Problem> {
    let kinds = query.values("kind");
    let mut known: Vec<String> =
        state.board.pools().iter().map(|it| it.kind.0.to_owned()).collect();
    if !known.is_empty() && kinds.iter().any(|it| !known.contains(it)) {
        known.extend(state.totals().await?.backlog.iter().map(|it| it.kind.clone()));
        known.sort_unstable();
        known.dedup();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        return query.one_of("kind", &known);
    }
    Ok(kinds)
}
