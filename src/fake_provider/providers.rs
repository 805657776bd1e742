//! What the providers take as an answer, and what they say then. A call that they would refuse is
//! refused here, too.

use super::http::{FakeAnswer, Request};
use serde_json::{Value, json};

/// The channels that it plays.
pub(super) const CHANNELS: [&str; 5] = ["email", "sms", "linkedin", "smartlead", "instantly"];

/// An answer that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentReply {
    /// The channel.
    pub channel: &'static str,
    /// What it answers: the provider's id of the reply, contact, chat or mail.
    pub to: String,
    /// The text.
    pub text: String,
    /// The delivery's id, which is the same at each try.
    pub delivery_id: String,
    /// The request, as method, path with query, headers and body: `POST /x?y`, then a line for each
    /// header, an empty line, and the body.
    pub request: String,
}

impl SentReply {
    /// As `GET /sent` shows it.
    pub(super) fn shown(&self) -> Value {
        json!({
            "channel": self.channel, "to": self.to, "text": self.text,
            "delivery_id": self.delivery_id,
        })
    }
}

/// The answer in a request, or what the provider says against it.
pub(super) fn judge(request: &Request) -> Result<SentReply, FakeAnswer> {
    let path: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    let (channel, found) = match path.as_slice() {
        ["api", "replies", id, "reply"] => ("email", email(request, id)),
        ["conversations", "messages"] => ("sms", sms(request)),
        ["api", "v1", "chats", id, "messages"] => ("linkedin", linkedin(request, id)),
        ["api", "v1", "campaigns", id, "reply-email-thread"] => {
            ("smartlead", smartlead(request, id))
        }
        ["api", "v2", "emails", "reply"] => ("instantly", instantly(request)),
        _ => return Err(refusal(404, "not_found")),
    };
    if request.method != "POST" {
        return Err(refusal(405, "method_not_allowed"));
    }
    let (to, text) = found.map_err(|(status, word)| refusal(status, word))?;
    let headers = request.headers.iter().map(|(name, value)| format!("{name}: {value}\n"));
    let mark = if request.query.is_empty() { "" } else { "?" };
    Ok(SentReply {
        channel,
        to,
        text,
        delivery_id: request.header("idempotency-key").unwrap_or_default().to_owned(),
        request: format!(
            "{} {}{mark}{}\n{}\n{}",
            request.method,
            request.path,
            request.query,
            headers.collect::<String>(),
            String::from_utf8_lossy(&request.body)
        ),
    })
}

/// What the provider says when it has taken an answer, which is the `number`th.
pub(super) fn success(sent: &SentReply, number: usize) -> FakeAnswer {
    let id = format!("fake-{number}");
    let body = match sent.channel {
        "email" => json!({"data": {
            "success": true, "message": "Reply sent.",
            "reply": {"id": number, "uuid": id, "folder": "Sent", "type": "Outgoing Email"},
        }}),
        "sms" => json!({"conversationId": "fake", "messageId": id}),
        "linkedin" => json!({"object": "MessageSent", "message_id": id}),
        "smartlead" => {
            let answer = FakeAnswer::text(200, "Email added to the queue, will be sent out soon!");
            return answer.with("content-type", "text/html; charset=utf-8".to_owned());
        }
        _ => json!({"id": id, "thread_id": "fake", "message_id": format!("<{id}@fake.example>")}),
    };
    FakeAnswer::json(200, &body)
}

fn refusal(status: u16, word: &str) -> FakeAnswer {
    FakeAnswer::json(status, &json!({"status": status, "error": word}))
}

/// Whom a call answers and with what text, or the status and the word against it.
type WhomAndWhat = Result<(String, String), (u16, &'static str)>;

fn email(request: &Request, id: &str) -> WhomAndWhat {
    has_bearer(request)?;
    let body = json_of(request)?;
    let to = body.get("to_emails").and_then(|it| it.get(0)).and_then(|it| it.get("email_address"));
    let is_addressed = to.is_some_and(Value::is_string)
        && body.get("sender_email_id").is_some_and(Value::is_number);
    if !is_addressed {
        return Err((422, "to_emails_required"));
    }
    Ok((decoded(id), text(&body, "message", 422)?))
}

fn sms(request: &Request) -> WhomAndWhat {
    has_bearer(request)?;
    if request.header("version").is_none() {
        return Err((401, "version_header_was_not_found"));
    }
    let body = json_of(request)?;
    if body.get("type") != Some(&json!("SMS")) {
        return Err((422, "type_must_be_a_valid_enum_value"));
    }
    Ok((text(&body, "contactId", 422)?, text(&body, "message", 422)?))
}

fn linkedin(request: &Request, id: &str) -> WhomAndWhat {
    if request.header("x-api-key").is_none_or(str::is_empty) {
        return Err((401, "errors/missing_credentials"));
    }
    let boundary = request
        .header("content-type")
        .and_then(|it| it.strip_prefix("multipart/form-data; boundary="))
        .ok_or((415, "errors/invalid_request"))?;
    let body = String::from_utf8_lossy(&request.body);
    let start = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\n");
    let (_, rest) = body.split_once(&start).ok_or((400, "errors/invalid_parameters"))?;
    let end = format!("\r\n--{boundary}");
    let (text, _) = rest.split_once(&end).ok_or((400, "errors/invalid_parameters"))?;
    Ok((decoded(id), text.to_owned()))
}

fn smartlead(request: &Request, id: &str) -> WhomAndWhat {
    let has_key = request
        .query
        .split('&')
        .any(|pair| pair.strip_prefix("api_key=").is_some_and(|value| !value.is_empty()));
    if !has_key {
        return Err((401, "api_key_is_required"));
    }
    let body = json_of(request)?;
    text(&body, "email_stats_id", 400)?;
    Ok((decoded(id), text(&body, "email_body", 400)?))
}

fn instantly(request: &Request) -> WhomAndWhat {
    has_bearer(request)?;
    let body = json_of(request)?;
    for name in ["eaccount", "subject"] {
        text(&body, name, 400)?;
    }
    let inner = body.get("body").cloned().unwrap_or_default();
    Ok((text(&body, "reply_to_uuid", 400)?, text(&inner, "text", 400)?))
}

fn has_bearer(request: &Request) -> Result<(), (u16, &'static str)> {
    let key = request.header("authorization").and_then(|it| it.strip_prefix("Bearer "));
    key.filter(|it| !it.is_empty()).map(drop).ok_or((401, "unauthorized"))
}

fn json_of(request: &Request) -> Result<Value, (u16, &'static str)> {
    if request.header("content-type") != Some("application/json") {
        return Err((415, "unsupported_media_type"));
    }
    serde_json::from_slice(&request.body).map_err(|_| (400, "bad_json"))
}

fn text(body: &Value, name: &str, status: u16) -> Result<String, (u16, &'static str)> {
    let text = body.get(name).and_then(Value::as_str).filter(|it| !it.is_empty());
    text.map(str::to_owned).ok_or((status, "a_field_is_missing"))
}

fn decoded(segment: &str) -> String {
    percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned()
}
