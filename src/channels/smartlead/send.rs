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
        ("reply_email_body", letter.quoted.map(html)),
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

/// The provider does not document the body of a success, so only a word against it counts.
pub(super) fn taken(body: &Value) -> Taken {
    let is_no = |name| matches!(fields::raw(body, name), Some(Value::Bool(false)));
    let has_error = fields::get(body, "error").is_some();
    let id = fields::first_word(body, &["message_id", "data.message_id"]);
    match body {
        Value::Object(_) if is_no("ok") || is_no("success") => Taken::No,
        Value::Object(_) if !has_error => Taken::Yes(id),
        Value::String(_) => Taken::Yes(None),
        Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            Taken::Unclear
        }
    }
}
