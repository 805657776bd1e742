//! Errors as they are answered: problem details (RFC 9457), one stable type per cause.

use super::openapi::ProblemTypeWord;
use crate::store::{DecisionError, JobActionError, OperationError, StoreError};
use actix_web::{
    HttpResponse, ResponseError,
    body::{BoxBody, MessageBody},
    dev::ServiceResponse,
    http::{StatusCode, header},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::{borrow::Cow, fmt};

/// The encodings that a body may have, for the header that a 415 carries (RFC 9110, 15.5.16).
const ENCODINGS: &str = "gzip, deflate, br, identity";

/// The seconds after which to ask again if the database is away.
const DATABASE_RETRY_SECONDS: u64 = 1;

/// Why a request was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The body is not JSON.
    NotJson,
    /// No secret, or a wrong one.
    Unauthenticated,
    /// Forbidden in this form, even with the right secret.
    Forbidden,
    /// Too many requests of an address or a client.
    RateLimited,
    /// Too much waits already.
    QueueFull,
    /// The database does not answer.
    DatabaseAway,
    /// The analyst has no answer.
    AnalystAway,
    /// The daemon is stopping, or takes no webhooks.
    Draining,
    /// The body is larger than allowed.
    TooLarge,
    /// The body has an encoding that is not known.
    UnsupportedEncoding,
    /// The thing is in a state in which this cannot be done to it.
    Conflict,
    /// The files of the configuration are wrong.
    ConfigRefused,
    /// There is no such thing.
    NotFound,
    /// The daemon does not answer under this host name.
    ForeignHost,
    /// The request makes no sense.
    BadRequest,
    /// There is something at this path, but not for this method.
    MethodNotAllowed,
    /// A mistake of ours.
    Internal,
}

impl Cause {
    /// All causes.
    pub(super) const ALL: [Self; 17] = [
        Self::NotJson,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::RateLimited,
        Self::QueueFull,
        Self::DatabaseAway,
        Self::AnalystAway,
        Self::Draining,
        Self::TooLarge,
        Self::UnsupportedEncoding,
        Self::Conflict,
        Self::ConfigRefused,
        Self::NotFound,
        Self::ForeignHost,
        Self::BadRequest,
        Self::MethodNotAllowed,
        Self::Internal,
    ];

    /// True if a problem of this cause may be answered with this status.
    pub(super) fn may_be(self, status: StatusCode) -> bool {
        // The admin API says 503 where a webhook is told to come again.
        let is_away = matches!(self, Self::DatabaseAway | Self::RateLimited)
            && status == StatusCode::SERVICE_UNAVAILABLE;
        self.status() == status || is_away
    }

    pub(super) const fn urn(self) -> &'static str {
        match self {
            Self::NotJson => "urn:postroom:not-json",
            Self::Unauthenticated => "urn:postroom:unauthenticated",
            Self::Forbidden => "urn:postroom:forbidden",
            Self::RateLimited => "urn:postroom:rate-limited",
            Self::QueueFull => "urn:postroom:queue-full",
            Self::DatabaseAway => "urn:postroom:database-away",
            Self::AnalystAway => "urn:postroom:analyst-away",
            Self::Draining => "urn:postroom:draining",
            Self::TooLarge => "urn:postroom:too-large",
            Self::UnsupportedEncoding => "urn:postroom:unsupported-encoding",
            Self::Conflict => "urn:postroom:conflict",
            Self::ConfigRefused => "urn:postroom:config-refused",
            Self::NotFound => "urn:postroom:not-found",
            Self::ForeignHost => "urn:postroom:foreign-host",
            Self::BadRequest => "urn:postroom:bad-request",
            Self::MethodNotAllowed => "urn:postroom:method-not-allowed",
            Self::Internal => "urn:postroom:internal",
        }
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::NotJson => "The body is not JSON",
            Self::Unauthenticated => "Not authenticated",
            Self::Forbidden => "Not allowed",
            Self::RateLimited => "Too many requests",
            Self::QueueFull => "Too much waits already",
            Self::DatabaseAway => "The database is away",
            Self::AnalystAway => "The analyst has no answer",
            Self::Draining => "The daemon is stopping",
            Self::TooLarge => "The body is too large",
            Self::UnsupportedEncoding => "The body's encoding is not known",
            Self::Conflict => "Not in this state",
            Self::ConfigRefused => "The configuration is wrong, and the old one still runs",
            Self::NotFound => "Not found",
            Self::ForeignHost => "Not a host name of this daemon",
            Self::BadRequest => "Bad request",
            Self::MethodNotAllowed => "Method not allowed",
            Self::Internal => "Internal error",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::NotJson | Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::RateLimited | Self::QueueFull | Self::DatabaseAway | Self::Draining => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::AnalystAway => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Conflict => StatusCode::CONFLICT,
            Self::ConfigRefused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::ForeignHost => StatusCode::MISDIRECTED_REQUEST,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// The answer to a request that was not done. 429 and 503 always say when to ask again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    cause: Cause,
    status: StatusCode,
    detail: String,
    field: Option<String>,
    request_id: Option<String>,
    /// The value of the header `Retry-After`.
    retry_after_seconds: Option<u64>,
    /// `Allow`: the methods that there are.
    allow: Option<Cow<'static, str>>,
    /// True if the connection ends after this answer.
    is_last: bool,
    /// What was tried, as JSON of its own.
    report: Option<Value>,
}

/// The JSON of a problem.
#[derive(JsonSchema, Serialize)]
pub(super) struct ProblemBody<'a> {
    #[schemars(with = "ProblemTypeWord")]
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    request_id: &'a Option<String>,
    field: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: &'a Option<Value>,
}

impl Problem {
    /// A problem of this cause; `detail` is for the person who reads it.
    pub fn new(cause: Cause, detail: impl Into<String>) -> Self {
        let status = cause.status();
        let must_say_when =
            matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        Self {
            cause,
            status,
            detail: detail.into(),
            field: None,
            request_id: None,
            retry_after_seconds: must_say_when.then_some(1),
            allow: None,
            is_last: false,
            report: None,
        }
    }

    /// 400: the body is not JSON, or nested too deep.
    pub fn not_json(detail: impl Into<String>) -> Self {
        Self::new(Cause::NotJson, detail)
    }

    /// 401. The same for every reason, so that it tells nothing.
    pub fn unauthenticated() -> Self {
        Self::new(Cause::Unauthenticated, "a valid secret is required")
    }

    /// 503: the database does not answer. For the admin API. Webhooks are answered 429 instead,
    /// because most providers repeat nothing else.
    pub fn database_unavailable(detail: impl Into<String>) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self { status, ..Self::new(Cause::DatabaseAway, detail) }
            .retry_after(DATABASE_RETRY_SECONDS)
    }

    /// 503: as much of it is open or running as may be. The caller should ask again after so many
    /// seconds.
    pub fn unavailable(detail: impl Into<String>, retry_seconds: u64) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self { status, ..Self::new(Cause::RateLimited, detail) }.retry_after(retry_seconds)
    }

    /// 413: the body is larger than `limit_bytes`.
    pub fn too_large(limit_bytes: usize) -> Self {
        Self::new(Cause::TooLarge, format!("the body is larger than {limit_bytes} bytes"))
    }

    /// 415: the body's `Content-Encoding` is not one of `ENCODINGS`.
    pub fn unsupported_encoding(detail: impl Into<String>) -> Self {
        Self::new(Cause::UnsupportedEncoding, detail)
    }

    /// 409: it cannot be done in the state that the thing is in.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(Cause::Conflict, detail)
    }

    /// 404: there is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Cause::NotFound, detail)
    }

    /// 400: `field` makes no sense.
    pub fn bad_request(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..Self::new(Cause::BadRequest, detail) }
    }

    /// 405: only the methods in `allow` (`GET, POST`).
    pub fn method_not_allowed(allow: impl Into<Cow<'static, str>>) -> Self {
        let allow = allow.into();
        let detail = format!("only {allow}");
        Self { allow: Some(allow), ..Self::new(Cause::MethodNotAllowed, detail) }
    }

    /// 500. The detail tells no more than it must: the log says what happened.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(Cause::Internal, detail)
    }

    /// The same, with the seconds after which to ask again, at least 1.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after_seconds: Some(seconds.max(1)), ..self }
    }

    /// The same, as the last answer of its connection (`Connection: close`).
    #[must_use]
    pub fn closing(self) -> Self {
        Self { is_last: true, ..self }
    }

    /// The same, about this field.
    #[must_use]
    pub fn of_field(self, field: Option<String>) -> Self {
        Self { field, ..self }
    }

    /// The same, with a report of what was tried.
    #[must_use]
    pub fn with_report(self, report: Value) -> Self {
        Self { report: Some(report), ..self }
    }

    /// The same, with the id of the request.
    #[must_use]
    pub fn of_request(self, id: impl Into<String>) -> Self {
        Self { request_id: Some(id.into()), ..self }
    }

    /// Why the request was not done.
    pub const fn cause(&self) -> Cause {
        self.cause
    }

    /// The cause in a few words.
    pub(super) const fn title(&self) -> &'static str {
        self.cause.title()
    }

    pub(super) const fn status(&self) -> StatusCode {
        self.status
    }

    /// What is wrong with this very request.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// The field at fault, as a dotted path.
    pub(super) fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// The response, as problem details.
    pub fn response(&self) -> HttpResponse {
        let body = ProblemBody {
            r#type: self.cause.urn(),
            title: self.cause.title(),
            status: self.status.as_u16(),
            detail: &self.detail,
            request_id: &self.request_id,
            field: &self.field,
            report: &self.report,
        };
        // Texts and numbers can always be written as JSON.
        let text = serde_json::to_string(&body).unwrap_or_default();
        let mut response = HttpResponse::build(self.status);
        response.insert_header((header::CONTENT_TYPE, "application/problem+json"));
        if let Some(seconds) = self.retry_after_seconds {
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        if self.is_last {
            response.force_close();
        }
        if let Some(allow) = &self.allow {
            response.insert_header((header::ALLOW, allow.as_ref()));
        }
        if self.cause == Cause::UnsupportedEncoding {
            response.insert_header((header::ACCEPT_ENCODING, ENCODINGS));
        }
        if self.cause == Cause::Unauthenticated {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"postroom\""));
        }
        response.body(text)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        self.response()
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Disconnected(_) | StoreError::Unreachable(_) | StoreError::Unusable(_) => {
                Self::database_unavailable("the database does not answer")
            }
            StoreError::Full(_) => Self::database_unavailable("the database has no room"),
            StoreError::ReadOnly(_) => Self::database_unavailable("the database takes no writes"),
            StoreError::Conflict(_) | StoreError::Busy(_) => {
                Self::database_unavailable("the database is too busy: ask for less, or again later")
            }
            StoreError::Data(_) | StoreError::Constraint(_) => {
                Self::new(Cause::BadRequest, "the database cannot store or compare such a value")
            }
            StoreError::Broken(reason) => {
                tracing::error!(reason, "a request failed in the store");
                Self::internal("something is wrong with the database; the log says more")
            }
        }
    }
}

impl From<JobActionError> for Problem {
    fn from(error: JobActionError) -> Self {
        match error {
            JobActionError::NotFound(_) => Self::not_found(error.to_string()),
            JobActionError::Conflict(detail) => Self::conflict(detail),
            JobActionError::Store(error) => error.into(),
        }
    }
}

impl From<DecisionError> for Problem {
    fn from(error: DecisionError) -> Self {
        match error {
            DecisionError::NotFound { .. } => Self::not_found(error.to_string()),
            DecisionError::Conflict(detail) => Self::conflict(detail),
            DecisionError::Invalid { field, why } => Self::bad_request(field, why),
            DecisionError::Store(error) => error.into(),
        }
    }
}

impl From<OperationError> for Problem {
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::TooMany => Self::conflict(error.to_string()),
            OperationError::Draining => Self::new(Cause::Draining, error.to_string()),
            OperationError::Store(error) => error.into(),
        }
    }
}

/// The same response; a problem gets the id of its request, which handlers do not know.
pub(super) fn name_request<B: MessageBody + 'static>(
    response: ServiceResponse<B>,
    id: &str,
) -> ServiceResponse<BoxBody> {
    let problem = response.response().error().and_then(|it| it.as_error::<Problem>()).cloned();
    match problem {
        Some(problem) => response.into_response(problem.of_request(id).response()),
        None => response.map_into_boxed_body(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::body::to_bytes;

    async fn json(problem: &Problem) -> Value {
        let bytes = to_bytes(problem.response().into_body()).await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[actix_web::test]
    async fn a_problem_has_all_its_fields() {
        let problem = Problem::bad_request("limit", "must be 1 to 500");
        let expected = serde_json::json!({
            "type": "urn:postroom:bad-request", "title": "Bad request", "status": 400,
            "detail": "must be 1 to 500", "request_id": null, "field": "limit",
        });
        assert_eq!(json(&problem).await, expected);
        let named = json(&problem.of_request("r-1")).await;
        assert_eq!(named.get("request_id"), Some(&"r-1".into()));
    }

    #[actix_web::test]
    async fn whoever_is_told_to_come_back_is_told_when() {
        for problem in [
            Problem::new(Cause::RateLimited, "too many").retry_after(0),
            Problem::new(Cause::QueueFull, "full"),
            Problem::new(Cause::DatabaseAway, "away"),
            Problem::new(Cause::AnalystAway, "away"),
            Problem::new(Cause::Draining, "stopping"),
            Problem::database_unavailable("away"),
        ] {
            let response = problem.response();
            let after = response.headers().get(header::RETRY_AFTER).unwrap();
            assert_eq!(after, "1", "{problem:?}");
            assert!(matches!(response.status().as_u16(), 429 | 503), "{problem:?}");
        }
        let response = Problem::conflict("no").response();
        assert!(response.headers().get(header::RETRY_AFTER).is_none());
        assert_eq!(
            response.headers().get(header::CONTENT_TYPE).unwrap(),
            "application/problem+json"
        );
    }
}
