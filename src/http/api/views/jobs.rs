//! Jobs.

use super::RowKey;
use crate::{
    domain::{Timestamp, job::dedupe_key},
    store::{FailedAttempt, JobDetail, JobView},
};
use serde::Serialize;

/// How many jobs were moved.
#[derive(Debug, Serialize)]
pub(in crate::http::api) struct Counted {
    pub(in crate::http::api) count: u64,
}

#[derive(Debug, Serialize)]
pub(in crate::http::api) struct JobJson<'a> {
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
    pub(in crate::http::api) fn of(it: &'a JobView) -> Self {
        Self {
            id: RowKey(it.id),
            kind: &it.kind,
            status: it.status.as_str(),
            client_id: &it.client_id,
            lead_id: it.lead_id.map(RowKey),
            message_id: it.message_id.map(RowKey),
            draft_id: it.draft_id.map(RowKey),
            delivery_id: None,
            dedupe_key: dedupe_key(&it.client_id, it.subject_id, &it.kind),
            attempts: it.attempts,
            max_attempts: it.max_attempts,
            run_at: it.run_at,
            created_at: it.created_at,
            started_at: it.started_at,
            finished_at: it.finished_at,
            locked_by: it.node.map(RowKey),
            last_error: it.last_error.as_deref(),
        }
    }
}

#[derive(Debug, Serialize)]
pub(in crate::http::api) struct JobDetailJson<'a> {
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
    pub(in crate::http::api) fn of(it: &'a JobDetail) -> Self {
        let error = |it: &'a FailedAttempt| AttemptJson {
            attempt: it.attempt,
            failed_at: it.failed_at,
            duration_ms: it.duration_ms,
            node: it.node.map(RowKey),
            actor: it.actor.as_deref(),
            reason: &it.reason,
            message: it.message.as_deref(),
        };
        Self { job: JobJson::of(&it.job), errors: it.errors.iter().map(error).collect() }
    }
}
