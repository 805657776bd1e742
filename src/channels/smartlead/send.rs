//! An answer through `SmartLead`: `POST …/api/v1/campaigns/{campaign}/reply-email-thread`.

use crate::{
    channels::{
        fields,
        sending::{Call, Letter, Taken, Unsendable, encoded},
    },
    config::Secret,
};
use serde_json::{Map, Value};

pub(super) const SERVER: &str = "https://server.smartlead.ai";

pub(super) fn call(letter: &Letter<'_>) -> Result<Call, Unsendable> {
    let campaign = letter.segment("campaign_id")?;
    let stats = letter.id("email_stats_id")?;
    let of_handle = |name| fields::word(letter.reply_handle, name);
    let body: Map<String, Value> = [
        ("email_stats_id", Some(stats)),
        ("email_body", Some(html(letter.body))),
        ("reply_message_id", of_handle("reply_message_id")),
        ("reply_email_time", of_handle("reply_email_time")),
        ("reply_email_body", Some(html(letter.quoted))),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?))))
    .collect();
    // The provider takes its key in the query only.
    let key = encoded(letter.settings.api_key.expose());
    let path = format!("/api/v1/campaigns/{campaign}/reply-email-thread?api_key={key}");
    let mut call = letter.post_json(Some(SERVER), &path, &Value::Object(body))?;
    call.secrets.push(Secret::new(key));
    Ok(call)
}

/// A text as the HTML that looks like it.
fn html(text: &str) -> String {
    let escaped = text
        .trim()
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;");
    escaped.replace("\r\n", "\n").replace('\n', "<br>")
}

/// How the text begins with which the provider says that it has taken an answer.
const QUEUED: &str = "Email added to the queue";

/// What the body of a success says. The provider does not document it: it is seen as plain text,
/// and as an object, in which only a word against it counts.
pub(super) fn taken(body: &[u8]) -> Taken {
    let as_text = |text: &str| match text.trim().starts_with(QUEUED) {
        true => Taken::Yes(None),
        false => Taken::Unclear,
    };
    match serde_json::from_slice(body) {
        Ok(Value::String(text)) => as_text(&text),
        Ok(body) => taken_in(&body),
        Err(_) => as_text(&String::from_utf8_lossy(body)),
    }
}

fn taken_in(body: &Value) -> Taken {
    let is_no = |name| matches!(fields::raw(body, name), Some(Value::Bool(false)));
    let has_error = fields::get(body, "error").is_some();
    let id = fields::first_word(body, &["message_id", "data.message_id"]);
    match body {
        Value::Object(_) if is_no("ok") || is_no("success") => Taken::No,
        Value::Object(_) if !has_error => Taken::Yes(id),
        Value::Object(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_) => Taken::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_success_is_a_plain_text_or_an_object_without_an_error() {
        let id = |id: &str| Taken::Yes(Some(id.to_owned()));
        for (body, expected) in [
            ("Email added to the queue, will be sent out soon!", Taken::Yes(None)),
            ("\r\n Email added to the queue, will be sent out soon!\n", Taken::Yes(None)),
            (r#""Email added to the queue, will be sent out soon!""#, Taken::Yes(None)),
            ("<html>done", Taken::Unclear),
            ("Email was not added to the queue", Taken::Unclear),
            ("Email", Taken::Unclear),
            (r#""ok""#, Taken::Unclear),
            ("", Taken::Unclear),
            ("true", Taken::Unclear),
            ("[]", Taken::Unclear),
            (r#"{"ok":true"#, Taken::Unclear),
            (r#"{"ok":true,"data":{"message_id":"m-1"}}"#, id("m-1")),
            ("{}", Taken::Yes(None)),
            (r#"{"ok":false}"#, Taken::No),
            (r#"{"success":false}"#, Taken::No),
            (r#"{"error":"x"}"#, Taken::Unclear),
        ] {
            assert_eq!(taken(body.as_bytes()), expected, "{body}");
        }
        assert_eq!(taken(b"\xff"), Taken::Unclear);
    }
}
