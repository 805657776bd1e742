//! Posting and asking, as tests do it.

use postroom::{
    channels::{AnyChannel, instantly::Instantly, sms::Sms},
    registry,
};
use reqwest::{RequestBuilder, header::HeaderMap};
use serde_json::Value;

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    /// `Null` if it is no JSON.
    pub body: Value,
}

impl Answer {
    /// A field of the body, as text; empty if there is none.
    pub fn field(&self, name: &str) -> &str {
        self.body.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// The outcome of a webhook; empty if it was refused.
    pub fn outcome(&self) -> &str {
        self.field("outcome")
    }

    /// The ids of its jobs.
    pub fn job_ids(&self) -> Vec<String> {
        let ids = self.body.get("job_ids").and_then(Value::as_array);
        ids.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// A header, as text; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default()
    }

    /// The items of a list.
    #[track_caller]
    pub fn items(&self) -> &[Value] {
        let items = self.body.get("items").and_then(Value::as_array);
        items.unwrap_or_else(|| panic!("no list: {self:?}"))
    }

    /// Checks that this is a problem document of that status and type, with all its fields.
    #[track_caller]
    pub fn is_problem(&self, status: u16, kind: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.field("type"), format!("urn:postroom:{kind}"), "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        assert_eq!(self.body.get("status"), Some(&Value::from(status)), "{self:?}");
        for name in ["title", "detail", "request_id"] {
            assert!(!self.field(name).is_empty(), "no `{name}`: {self:?}");
        }
        assert_eq!(self.header("x-request-id"), self.field("request_id"));
        assert!(self.body.get("field").is_some(), "no `field`: {self:?}");
        if status == 429 {
            let seconds: u64 = self.header("retry-after").parse().expect("whole seconds");
            assert!(seconds >= 1, "{self:?}");
        }
    }
}

/// Sends a request; `None` if no whole answer came.
pub async fn try_ask(request: RequestBuilder) -> Option<Answer> {
    let response = request.send().await.ok()?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.ok()?;
    let body = serde_json::from_str(&text).unwrap_or_default();
    Some(Answer { status, headers, text, body })
}

/// Sends a request that must be answered.
pub async fn ask(request: RequestBuilder) -> Answer {
    try_ask(request).await.expect("an answer")
}

/// A text message of the lead of that number. The same text of the same lead is the same message.
pub fn sms(lead: u64, text: &str) -> Value {
    let mut body = AnyChannel::sample(&Sms, None, lead).expect("a sample");
    body["message"]["body"] = text.into();
    body
}

/// A mail of the lead of that number.
pub fn mail(lead: u64) -> Value {
    AnyChannel::sample(&Instantly, None, lead).expect("a sample")
}

/// Postroom's channel of that name.
#[track_caller]
pub fn channel(name: &str) -> std::sync::Arc<dyn AnyChannel> {
    let mut channels = registry::postroom().channels.into_iter();
    channels.find(|channel| channel.name().0 == name).expect("a channel of that name")
}
