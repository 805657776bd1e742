//! How the answer to a webhook is spelled: as JSON, and as a word in the metrics.

use super::{
    openapi::OutcomeWord,
    problem::{Cause, Problem},
};
use crate::ingest::{Answer, Refusal};
use actix_web::HttpResponse;
use schemars::JsonSchema;
use serde::Serialize;

/// The seconds after which to post again if a quarantine is full: a person has to make room in it.
const QUARANTINE_RETRY_SECONDS: u64 = 60;

/// The JSON of an answer. Every field is there, and `null` without a value.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct AnswerBody<'a> {
    #[schemars(with = "OutcomeWord")]
    outcome: &'static str,
    request_id: &'a str,
    message_id: Option<String>,
    lead_id: Option<String>,
    job_ids: Vec<String>,
    reason: Option<String>,
    quarantine_id: Option<String>,
}

/// The outcome's word in the metrics, and the response.
pub(super) fn spelled(answer: &Answer, request_id: &str) -> (&'static str, HttpResponse) {
    let text = |id: &Option<i64>| id.map(|it| it.to_string());
    let mut body = AnswerBody {
        outcome: "ignored",
        request_id,
        message_id: None,
        lead_id: None,
        job_ids: Vec::new(),
        reason: None,
        quarantine_id: None,
    };
    match answer {
        Answer::Accepted { message_id, lead_id, job_id } => {
            body.outcome = "accepted";
            body.message_id = Some(message_id.to_string());
            body.lead_id = Some(lead_id.to_string());
            body.job_ids = vec![job_id.to_string()];
        }
        Answer::Duplicate { message_id, lead_id, job_id } => {
            body.outcome = "duplicate";
            body.message_id = text(message_id);
            body.lead_id = text(lead_id);
            body.job_ids = text(job_id).into_iter().collect();
        }
        Answer::Recorded { message_id, lead_id, reason } => {
            body.outcome = "recorded";
            body.message_id = text(message_id);
            body.lead_id = Some(lead_id.to_string());
            body.reason = Some((*reason).to_owned());
        }
        Answer::Ignored { reason } => body.reason = Some((*reason).to_owned()),
        // Ingest makes a refusal of it before it gets here.
        Answer::QuarantineFull => body.reason = Some("quarantine_full".to_owned()),
        Answer::Quarantined { quarantine_id, reason } => {
            body.outcome = "quarantined";
            body.quarantine_id = Some(quarantine_id.to_string());
            body.reason = Some(reason.clone());
        }
    }
    (body.outcome, HttpResponse::Ok().json(&body))
}

/// 401: the same for every reason, so that it tells a stranger nothing.
pub(super) fn stranger() -> Problem {
    let detail = "no such client, or none of the secrets of its channel was given";
    Problem::new(Cause::Unauthenticated, detail)
}

/// The problem that a refusal of ingest is answered with.
pub(super) fn problem_of(refusal: &Refusal) -> Problem {
    let problem = |cause| Problem::new(cause, format!("{refusal}: post again"));
    match refusal {
        Refusal::Full => problem(Cause::QueueFull),
        Refusal::QuarantineFull => problem(Cause::QueueFull).retry_after(QUARANTINE_RETRY_SECONDS),
        Refusal::Draining => problem(Cause::Draining),
        Refusal::Away(_) | Refusal::Slow => problem(Cause::DatabaseAway),
        Refusal::Untimely => stranger(),
    }
}

/// The word of a refusal in the metrics.
pub(super) const fn word_of(cause: Cause) -> &'static str {
    match cause {
        Cause::NotJson => "not_json",
        Cause::Unauthenticated => "unauthenticated",
        Cause::RateLimited => "rate_limited",
        Cause::QueueFull => "queue_full",
        Cause::DatabaseAway => "database_away",
        Cause::Draining => "draining",
        Cause::TooLarge => "too_large",
        Cause::UnsupportedEncoding => "unsupported_encoding",
        Cause::AnalystAway
        | Cause::ConfigRefused
        | Cause::Conflict
        | Cause::ForeignHost
        | Cause::Forbidden
        | Cause::NotFound
        | Cause::MethodNotAllowed
        | Cause::BadRequest
        | Cause::Internal => "other",
    }
}
