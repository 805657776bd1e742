//! `/jobs`: shows jobs with their failed attempts, and retries and cancels them one by one.

use super::{
    ApiResult, ApiState, no_such,
    objects::{self, List, RowKey},
    only_id,
    query::Query,
};
use crate::{
    domain::{
        Id, JobState, JobStatus, Timestamp, error_signature::error_signature, explain::RunStage,
        job::dedupe_key, trace::Hop,
    },
    http::{
        openapi::{
            ApiEndpoint, ApiParameter, CLIENT, CURSOR, ID, JobStateWord, JobStatusWord, LEAD,
            LIMIT, Takes, VALUE_CHARS_MAX, get, post,
        },
        operator::Operator,
        problem::Problem,
    },
    store::{ErrorGroup, ErrorGroups, FailedAttempt, JobDetail, JobFilter, JobView, Page},
    telemetry::traces::{SpanKind, SpanStart, names},
};
use actix_web::{HttpRequest, web};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// Jobs, one by one.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        get("/jobs", list)
            .says("Jobs, newest first; with `group=error`, what the errors of jobs have in common")
            .takes(&PARAMETERS)
            .answers::<JobsAnswer>(),
        get("/jobs/{id}", show)
            .says("A job with its failed attempts")
            .answers::<JobDetailJson<'_>>(),
        post("/jobs/{id}/retry", retry)
            .says("Gives a job one more attempt")
            .may_conflict()
            .answers::<JobJson<'_>>(),
        post("/jobs/{id}/cancel", cancel)
            .says("Cancels a job")
            .may_conflict()
            .answers::<JobJson<'_>>(),
    ]
}

/// The parameters of a list of jobs that select them.
pub(super) const FILTERS: [ApiParameter; 6] = [
    ApiParameter::new("status", Takes::Words(status_words)),
    ApiParameter::new("kind", Takes::Kinds),
    CLIENT,
    LEAD,
    ID,
    ApiParameter::new("error", Takes::Text(VALUE_CHARS_MAX)),
];
/// The parameters of a list of jobs.
const PARAMETERS: [ApiParameter; 9] = {
    let [status, kind, client, lead, id, error] = FILTERS;
    let group = ApiParameter::new("group", Takes::Word(|| vec!["error"]));
    [status, kind, client, lead, id, error, group, LIMIT, CURSOR]
};

/// The words for the status of a job: of those that wait, also what they wait for.
fn status_words() -> Vec<&'static str> {
    let words = JobStatus::ALL.map(JobStatus::as_str).into_iter();
    words.chain(JobState::WAITING.map(JobState::as_str)).collect()
}

/// `GET /jobs`. With `group=error`: not the jobs, but their errors.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let query = Query::parse(&request, &PARAMETERS)?;
    let filter = filter(&state, &query).await?;
    if is_by_error(&query)? {
        let groups = error_groups(&state, filter, query.cursor()?).await?;
        return objects::object(ErrorGroupsJson::of(&groups));
    }
    let page = jobs(&state, filter, query.limit()?, query.cursor()?).await?;
    let items = page.items.iter().map(JobJson::of).collect();
    objects::page(items, page.next)
}

/// True if the errors of jobs are asked for.
pub(in crate::http) fn is_by_error(query: &Query) -> Result<bool, Problem> {
    Ok(!query.one_of("group", &["error"])?.is_empty())
}

/// A page of jobs.
pub(in crate::http) async fn jobs(
    state: &ApiState,
    filter: JobFilter,
    limit: usize,
    cursor: Option<Id>,
) -> Result<Page<JobView>, Problem> {
    Ok(state.desk.jobs(filter, limit, cursor).await?)
}

/// The errors of the jobs that match; of those that have failed, if no status is named.
pub(in crate::http) async fn error_groups(
    state: &ApiState,
    mut filter: JobFilter,
    cursor: Option<Id>,
) -> Result<ErrorGroups, Problem> {
    if filter.status.is_empty() && filter.state.is_empty() {
        filter.status = vec![JobStatus::Failed];
    }
    Ok(state.desk.error_groups(filter, cursor).await?)
}

/// A job with its failed attempts.
///
/// # Errors
/// 404 if there is no such job.
pub(in crate::http) async fn detail(state: &ApiState, id: Id) -> Result<JobDetail, Problem> {
    state.desk.job(id).await?.ok_or_else(|| no_such("job", id))
}

/// True if this node has claimed the job, and it waits for its slot here.
pub(in crate::http) fn waits_for_slot(state: &ApiState, job: &JobView) -> bool {
    matches!(state.claims.stage(job.id, job.run), Some(RunStage::Waiting { .. }))
}

/// `GET /jobs/{id}`.
pub(super) async fn show(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> ApiResult {
    let id = only_id(&request, &path, "job")?;
    objects::object(JobDetailJson::of(&detail(&state, id).await?))
}

/// `POST /jobs/{id}/retry`.
pub(super) async fn retry(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> ApiResult {
    let id = only_id(&request, &path, "job")?;
    objects::object(JobJson::of(&retry_one(&state, id, Operator::of(&request)).await?))
}

/// `POST /jobs/{id}/cancel`.
pub(super) async fn cancel(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> ApiResult {
    let id = only_id(&request, &path, "job")?;
    objects::object(JobJson::of(&cancel_one(&state, id, Operator::of(&request)).await?))
}

/// Gives a job one more attempt.
pub(in crate::http) async fn retry_one(
    state: &ApiState,
    id: Id,
    operator: Operator,
) -> Result<JobView, Problem> {
    // It is recorded whatever the share, because a person asked: the next run of a job that was
    // cancelled before its first one would otherwise be recorded by chance.
    let start = || SpanStart::new("retry job", SpanKind::Internal);
    let span = state.board.traces().always(start);
    span.set(names::MESSAGE_ID, id.to_string());
    let retried = state.desk.retry(id, span.job_trace(Hop::Retry)).await;
    let job = retried.inspect_err(|_| span.failed("refused"))?;
    span.set(names::DESTINATION, job.kind.clone());
    span.set(names::CLIENT, job.client_id.clone());
    tracing::info!(
        job.id = job.id,
        job.kind = job.kind,
        trace_id = span.trace_id(),
        "job retried by hand"
    );
    state.record(operator.did("job.retry", id)).await;
    Ok(job)
}

/// Cancels a job.
pub(in crate::http) async fn cancel_one(
    state: &ApiState,
    id: Id,
    operator: Operator,
) -> Result<JobView, Problem> {
    let job = state.desk.cancel(id).await?;
    state.metrics.attempt_ended(&job.kind, "cancelled");
    tracing::info!(job.id = job.id, job.kind = job.kind, "job cancelled by hand");
    state.record(operator.did("job.cancel", id)).await;
    Ok(job)
}

/// The filter that these values name.
pub(in crate::http) async fn filter(state: &ApiState, query: &Query) -> Result<JobFilter, Problem> {
    let statuses = || status_words().join(", ");
    let word = |word: &str| {
        let status = JobStatus::parse(word).map(Ok);
        status.or_else(|| JobState::waiting(word).map(Err))
    };
    let mut filter = JobFilter {
        kind: known_kinds(state, query).await?,
        client: query.values("client"),
        lead: query.ids("lead")?,
        id: query.ids("id")?,
        error: query.text("error")?.map(error_signature).into_iter().collect(),
        ..JobFilter::default()
    };
    for word in query.parsed("status", word, statuses)? {
        match word {
            Ok(status) => filter.status.push(status),
            Err(state) => filter.state.push(state),
        }
    }
    Ok(filter)
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

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct JobJson<'a> {
    id: RowKey,
    kind: &'a str,
    #[schemars(with = "JobStatusWord")]
    status: &'static str,
    /// The status, and for a job that waits, what it waits for.
    #[schemars(with = "JobStateWord")]
    state: &'static str,
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
    /// The trace in which it was made, if that is recorded.
    trace_id: Option<&'a str>,
}

impl<'a> JobJson<'a> {
    pub(super) fn of(job: &'a JobView) -> Self {
        Self {
            id: RowKey(job.id),
            kind: &job.kind,
            status: job.status.as_str(),
            state: job.state.as_str(),
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
            trace_id: job.trace_id.as_deref(),
        }
    }
}

/// What a list of jobs answers, for the document only.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is of use")]
enum JobsAnswer {
    Jobs(List<JobJson<'static>>),
    Errors(ErrorGroupsJson<'static>),
}

/// The errors of jobs, largest group first.
#[derive(Debug, JsonSchema, Serialize)]
struct ErrorGroupsJson<'a> {
    items: Vec<ErrorGroupJson<'a>>,
    next_cursor: Option<String>,
    /// How many jobs the groups have together.
    counted: u64,
    /// Older jobs than those of this time were not read: they are behind the cursor.
    back_to: Option<Timestamp>,
}

#[derive(Debug, JsonSchema, Serialize)]
struct ErrorGroupJson<'a> {
    signature: &'a str,
    count: u64,
    first_at: Timestamp,
    last_at: Timestamp,
    clients: &'a BTreeMap<String, u64>,
    kinds: &'a BTreeMap<String, u64>,
    sample_job_id: RowKey,
    sample_error: Option<&'a str>,
}

impl<'a> ErrorGroupsJson<'a> {
    fn of(groups: &'a ErrorGroups) -> Self {
        let item = |group: &'a ErrorGroup| ErrorGroupJson {
            signature: &group.signature,
            count: group.count,
            first_at: group.first_at,
            last_at: group.last_at,
            clients: &group.clients,
            kinds: &group.kinds,
            sample_job_id: RowKey(group.sample),
            sample_error: group.error.as_deref(),
        };
        Self {
            items: groups.groups.iter().map(item).collect(),
            next_cursor: groups.next.map(|it| it.to_string()),
            counted: groups.counted,
            back_to: groups.back_to(),
        }
    }
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct JobDetailJson<'a> {
    #[serde(flatten)]
    job: JobJson<'a>,
    errors: Vec<AttemptJson<'a>>,
    /// The trace of its last run that is over, if that is recorded.
    run_trace_id: Option<&'a str>,
}

#[derive(Debug, JsonSchema, Serialize)]
struct AttemptJson<'a> {
    attempt: i64,
    failed_at: Timestamp,
    duration_ms: Option<i64>,
    node: Option<RowKey>,
    actor: Option<&'a str>,
    reason: &'a str,
    message: Option<&'a str>,
    /// Its trace, if that is recorded.
    trace_id: Option<&'a str>,
}

impl<'a> JobDetailJson<'a> {
    pub(in crate::http) fn of(detail: &'a JobDetail) -> Self {
        let error = |failed: &'a FailedAttempt| AttemptJson {
            attempt: failed.attempt,
            failed_at: failed.failed_at,
            duration_ms: failed.duration_ms,
            node: failed.node.map(RowKey),
            actor: failed.actor.as_deref(),
            reason: &failed.reason,
            message: failed.message.as_deref(),
            trace_id: failed.trace_id.as_deref(),
        };
        Self {
            job: JobJson::of(&detail.job),
            errors: detail.errors.iter().map(error).collect(),
            run_trace_id: detail.run_trace_id.as_deref(),
        }
    }
}
