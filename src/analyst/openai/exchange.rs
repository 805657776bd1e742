//! One request to a model's server, over HTTP.

use crate::{analyst::AnalystError, config::Secret, domain::model_call::ModelCallStatus};
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{DATE, HeaderMap, RETRY_AFTER},
    redirect::Policy,
};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// How long a connection to the server may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// The longest code of an error that is kept.
const CODE_MAX: usize = 64;

/// Why a request has no answer.
#[derive(Clone, Debug)]
pub(super) struct ModelCallFailure {
    pub(super) status: ModelCallStatus,
    /// More about it, in our own words.
    pub(super) why: String,
    /// How long the server wants to be left alone.
    pub(super) retry_after: Option<Duration>,
    /// True if the server takes nothing more for now: 429, or 503 with a time.
    pub(super) is_limit: bool,
    pub(super) usage: TokenUsage,
}

impl ModelCallFailure {
    pub(super) fn new(status: ModelCallStatus, why: impl Into<String>) -> Self {
        let usage = TokenUsage::default();
        Self { status, why: why.into(), retry_after: None, is_limit: false, usage }
    }

    /// The error of a question to `model` whose last request failed so: it says what to do.
    pub(super) fn into_error(self, model: &str) -> AnalystError {
        let because = |remedy: &str| format!("model `{model}`: {}; {remedy}", self.why);
        match self.status {
            ModelCallStatus::Unreachable => {
                AnalystError::Away(because("see whether its server runs, and `analyst.base_url`"))
            }
            ModelCallStatus::Timeout => {
                AnalystError::Away(because("raise `analyst.timeout`, or take a faster model"))
            }
            ModelCallStatus::ServerError => {
                AnalystError::Away(because("its server has failed: see its log or status page"))
            }
            ModelCallStatus::Denied => AnalystError::Away(because(
                "see `analyst.api_key`, `analyst.model` and `analyst.base_url`",
            )),
            ModelCallStatus::Refused => AnalystError::Away(because(
                "see whether server and model keep to JSON schemas (\"structured outputs\")",
            )),
            ModelCallStatus::CutShort => {
                AnalystError::Unusable(because("take a model that reasons less"))
            }
            ModelCallStatus::Declined => AnalystError::Unusable(because(
                "a person must judge the message, or set `analyst.fallback`",
            )),
            ModelCallStatus::Unusable => AnalystError::Unusable(because(
                "take a model that keeps to what is asked for, or set `analyst.fallback`",
            )),
            ModelCallStatus::Ok | ModelCallStatus::RateLimited | ModelCallStatus::Dropped => {
                AnalystError::Away(because("try again"))
            }
        }
    }
}

/// How many tokens a request took, as the server counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct TokenUsage {
    #[serde(rename = "prompt_tokens")]
    pub(super) tokens_in: Option<i64>,
    #[serde(rename = "completion_tokens")]
    pub(super) tokens_out: Option<i64>,
}

/// The text of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) text: String,
    pub(super) usage: TokenUsage,
}

/// How a model's server is reached.
#[derive(Debug)]
pub(super) struct Endpoint {
    client: Client,
    url: Url,
    api_key: Option<Secret>,
}

impl Endpoint {
    /// The server at `base_url`. Follows no redirect, since that would take the key elsewhere.
    ///
    /// # Errors
    /// If the URL is none, or no client can be made. The text holds nothing of the URL.
    pub(super) fn new(base_url: &Secret, api_key: Option<&Secret>) -> Result<Self, String> {
        let no_url = || "`analyst.base_url` is no URL".to_owned();
        let mut url = Url::parse(base_url.expose()).map_err(|_| no_url())?;
        url.path_segments_mut()
            .map_err(|()| no_url())?
            .pop_if_empty()
            .extend(["chat", "completions"]);
        // Fails only if it is installed already.
        rustls::crypto::ring::default_provider().install_default().ok();
        let builder = Client::builder()
            .user_agent(concat!("postroom/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(Policy::none());
        // Plain HTTP is for this machine alone: it needs neither a proxy nor root certificates.
        let is_plain = url.scheme() == "http";
        let builder = if is_plain { builder.no_proxy().tls_certs_only([]) } else { builder };
        let client = builder.build().map_err(|_| "no HTTP client can be made".to_owned())?;
        Ok(Self { client, url, api_key: api_key.cloned() })
    }

    /// Sends one request and reads its answer, all within `limit`.
    pub(super) async fn send(
        &self,
        body: &Value,
        limit: Duration,
    ) -> Result<Answered, ModelCallFailure> {
        let mut request = self.client.post(self.url.clone()).timeout(limit).json(body);
        if let Some(key) = &self.api_key {
            request = request.bearer_auth(key.expose());
        }
        let response = request.send().await.map_err(|error| lost(&error, limit))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = whole(response, limit).await;
        if status.is_success() { answered(&body?) } else { Err(refused(status, &headers, &body)) }
    }
}

/// Why there was no answer, or not all of it. The error itself may show the URL.
fn lost(error: &reqwest::Error, limit: Duration) -> ModelCallFailure {
    if error.is_timeout() {
        let limit = humantime::format_duration(Duration::from_millis(
            u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
        ));
        ModelCallFailure::new(ModelCallStatus::Timeout, format!("no answer within {limit}"))
    } else if error.is_connect() {
        ModelCallFailure::new(ModelCallStatus::Unreachable, "no connection")
    } else {
        ModelCallFailure::new(ModelCallStatus::Unreachable, "the connection was lost")
    }
}

/// The whole body of an answer.
async fn whole(mut response: Response, limit: Duration) -> Result<Vec<u8>, ModelCallFailure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| lost(&error, limit))? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(ModelCallFailure::new(ModelCallStatus::Unusable, "the answer is too long"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The failure that a status stands for. Of the body, only a code is kept: its text may repeat what
/// was asked.
fn refused(
    status: StatusCode,
    headers: &HeaderMap,
    body: &Result<Vec<u8>, ModelCallFailure>,
) -> ModelCallFailure {
    let kind = match status.as_u16() {
        429 => ModelCallStatus::RateLimited,
        401 | 403 | 404 => ModelCallStatus::Denied,
        408 | 500..=599 => ModelCallStatus::ServerError,
        _ => ModelCallStatus::Refused,
    };
    let code = body.as_ref().ok().and_then(|body| error_code(body));
    let code = code.map(|code| format!(", {code}")).unwrap_or_default();
    let why = format!("status {}{code}", status.as_u16());
    let retry_after = retry_after(headers).filter(|_| kind.is_passing());
    let is_limit = kind == ModelCallStatus::RateLimited
        || (status == StatusCode::SERVICE_UNAVAILABLE && retry_after.is_some());
    ModelCallFailure { retry_after, is_limit, ..ModelCallFailure::new(kind, why) }
}

/// The code of an error, if it is a word: `rate_limit_exceeded`.
fn error_code(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let word = |name: &str| body.get("error")?.get(name)?.as_str();
    let code = word("code").or_else(|| word("type"))?;
    let is_letter = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.');
    let is_word = (1..=CODE_MAX).contains(&code.len()) && code.bytes().all(is_letter);
    is_word.then(|| code.to_owned())
}

/// How long the server wants to be left alone: a number of milliseconds or seconds, or a date,
/// which is compared with the server's own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let seconds = |number: f64| Duration::try_from_secs_f64(number).ok();
    if let Some(millis) = text("retry-after-ms").and_then(|it| it.parse::<f64>().ok()) {
        return seconds(millis / 1_000.0);
    }
    let after = text(RETRY_AFTER.as_str())?;
    if let Ok(number) = after.parse::<f64>() {
        return seconds(number);
    }
    let at = |text: &str| Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_second());
    let wait = at(after)?.saturating_sub(at(text(DATE.as_str())?)?);
    Some(Duration::from_secs(u64::try_from(wait).unwrap_or_default()))
}

/// The text of an answer of status 200.
fn answered(body: &[u8]) -> Result<Answered, ModelCallFailure> {
    #[derive(Deserialize)]
    struct Completion {
        choices: Vec<CompletionChoice>,
        #[serde(default)]
        usage: Option<TokenUsage>,
    }
    #[derive(Deserialize)]
    struct CompletionChoice {
        message: CompletionMessage,
        finish_reason: Option<String>,
    }
    #[derive(Deserialize)]
    struct CompletionMessage {
        content: Option<String>,
        refusal: Option<String>,
    }
    let unusable = |why: &str| ModelCallFailure::new(ModelCallStatus::Unusable, why);
    let Ok(completion) = serde_json::from_slice::<Completion>(body) else {
        return Err(unusable("the answer is no completion"));
    };
    let usage = completion.usage.unwrap_or_default();
    let failed =
        |status, why: &str| ModelCallFailure { usage, ..ModelCallFailure::new(status, why) };
    let Some(choice) = completion.choices.into_iter().next() else {
        return Err(failed(ModelCallStatus::Unusable, "the answer is empty"));
    };
    let CompletionChoice { message, finish_reason } = choice;
    if message.refusal.is_some_and(|it| !it.is_empty()) {
        return Err(failed(ModelCallStatus::Declined, "the model declined"));
    }
    match finish_reason.as_deref() {
        Some("length") => {
            return Err(failed(ModelCallStatus::CutShort, "the answer was cut short"));
        }
        Some("content_filter") => {
            return Err(failed(
                ModelCallStatus::Declined,
                "the server's filter stopped the answer",
            ));
        }
        Some(_) | None => {}
    }
    match message.content {
        Some(text) if !text.trim().is_empty() => Ok(Answered { text, usage }),
        Some(_) | None => Err(failed(ModelCallStatus::Unusable, "the answer is empty")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(header).collect()
    }

    #[test]
    fn a_server_says_in_four_ways_how_long_it_wants_to_be_left_alone() {
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        for (pairs, millis) in [
            (vec![("retry-after", "2")], Some(2_000)),
            (vec![("retry-after", " 0.5 ")], Some(500)),
            (vec![("retry-after-ms", "250"), ("retry-after", "2")], Some(250)),
            (vec![("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT"), date], Some(10_000)),
            (vec![("retry-after", "Sun, 06 Nov 1994 08:49:27 GMT"), date], Some(0)),
            (vec![("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT")], None),
            (vec![("retry-after", "-5")], None),
            (vec![("retry-after", "soon")], None),
            (vec![], None),
        ] {
            let found = retry_after(&headers(&pairs)).map(|it| it.as_millis());
            assert_eq!(found, millis, "{pairs:?}");
        }
    }

    #[test]
    fn of_an_error_only_a_word_is_kept() {
        for (body, code) in [
            (
                r#"{"error":{"message":"Ana wrote: secret","type":"x","code":"rate_limit_exceeded"}}"#,
                Some("rate_limit_exceeded"),
            ),
            (
                r#"{"error":{"message":"m","type":"insufficient_quota","code":null}}"#,
                Some("insufficient_quota"),
            ),
            (r#"{"error":{"code":"Ana wrote: secret"}}"#, None),
            (r#"{"error":"secret"}"#, None),
            ("<html>", None),
        ] {
            assert_eq!(error_code(body.as_bytes()).as_deref(), code, "{body}");
        }
    }

    #[test]
    fn an_answer_is_a_whole_text_or_none() {
        let status = |body: &str| answered(body.as_bytes()).map_err(|it| it.status);
        let good = r#"{"choices":[{"message":{"role":"assistant","content":"{}"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}"#;
        let usage = TokenUsage { tokens_in: Some(7), tokens_out: Some(2) };
        assert_eq!(status(good), Ok(Answered { text: "{}".to_owned(), usage }));
        for (body, expected) in [
            (
                r#"{"choices":[{"message":{"content":"{\"t"},"finish_reason":"length"}]}"#,
                ModelCallStatus::CutShort,
            ),
            (
                r#"{"choices":[{"message":{"content":null,"refusal":"I can't"},"finish_reason":"stop"}]}"#,
                ModelCallStatus::Declined,
            ),
            (
                r#"{"choices":[{"message":{"content":""},"finish_reason":"content_filter"}]}"#,
                ModelCallStatus::Declined,
            ),
            (r#"{"choices":[{"message":{"content":null}}]}"#, ModelCallStatus::Unusable),
            (r#"{"choices":[]}"#, ModelCallStatus::Unusable),
            (r#"{"error":{}}"#, ModelCallStatus::Unusable),
            ("", ModelCallStatus::Unusable),
        ] {
            assert_eq!(status(body), Err(expected), "{body}");
        }
    }

    #[test]
    fn the_path_of_the_base_url_is_kept() {
        for (base, expected) in [
            ("http://127.0.0.1:1/v1", "http://127.0.0.1:1/v1/chat/completions"),
            ("http://127.0.0.1:1/v1/", "http://127.0.0.1:1/v1/chat/completions"),
            ("http://127.0.0.1:1", "http://127.0.0.1:1/chat/completions"),
        ] {
            let endpoint = Endpoint::new(&Secret::new(base), None).unwrap();
            assert_eq!(endpoint.url.as_str(), expected);
        }
        assert!(Endpoint::new(&Secret::new("mailto:x"), None).is_err());
    }
}
