//! An answer through Unipile: `POST {server}/api/v1/chats/{chat}/messages`.

use crate::channels::{
    fields,
    sending::{Call, Letter, Taken, Unsendable},
};
use serde_json::Value;

pub(super) fn call(letter: &Letter<'_>) -> Result<Call, Unsendable> {
    let chat = letter.segment("chat_id")?;
    let account = fields::word(letter.reply_handle, "account_id");
    let parts: Vec<(&str, &str)> = account
        .as_deref()
        .map(|id| ("account_id", id))
        .into_iter()
        .chain([("text", letter.body)])
        .collect();
    let boundary = boundary(letter.delivery_id, &parts);
    let content_type = format!("multipart/form-data; boundary={boundary}");
    let path = format!("/api/v1/chats/{chat}/messages");
    let mut call = letter.post(None, &path, &content_type, form(&boundary, &parts))?;
    call.headers.push(("x-api-key", letter.settings.api_key.clone()));
    Ok(call)
}

/// A line that no part holds (RFC 2046). The same letter has the same one.
fn boundary(delivery_id: &str, parts: &[(&str, &str)]) -> String {
    let id: String = delivery_id.chars().filter(char::is_ascii_alphanumeric).take(30).collect();
    let mut boundary = format!("postroom-{id}");
    while parts.iter().any(|(_, value)| value.contains(&boundary)) {
        boundary.push('x');
    }
    boundary
}

/// The parts as `multipart/form-data` (RFC 7578).
fn form(boundary: &str, parts: &[(&str, &str)]) -> Vec<u8> {
    let part = |(name, value): &(&str, &str)| {
        format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        )
    };
    let parts: String = parts.iter().map(part).collect();
    format!("{parts}--{boundary}--\r\n").into_bytes()
}

pub(super) fn taken(body: &Value) -> Taken {
    let is_sent = fields::word(body, "object").is_some_and(|it| it == "MessageSent");
    match fields::word(body, "message_id") {
        None if is_sent => Taken::Yes(None),
        id => Taken::with_id(id),
    }
}
