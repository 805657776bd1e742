//! An answer through `EmailBison`: `POST {instance}/api/replies/{id}/reply`.

use crate::{
    channels::{
        fields,
        sending::{Call, Letter, Taken, Unsendable},
    },
    domain::event::Address,
};
use serde_json::{Value, json};

pub(super) fn call(letter: &Letter<'_>) -> Result<Call, Unsendable> {
    let reply = letter.segment("reply_id")?;
    let mailbox = fields::word(letter.reply_handle, "sender_email_id")
        .or_else(|| letter.settings.sender_email_id.clone());
    let mut body = json!({"message": letter.body, "content_type": "text"});
    let Address { address, name } = letter.to;
    let more = match (mailbox, address) {
        (Some(mailbox), Some(address)) => json!({
            "reply_all": false,
            "sender_email_id": mailbox.parse::<u64>().map_or(Value::from(mailbox), Value::from),
            "to_emails": [{"name": name, "email_address": address}],
        }),
        // Then the provider finds out by itself who wrote the reply, and to which mailbox.
        (None, _) | (_, None) => json!({"reply_all": true}),
    };
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    let mut call = letter.post_json(None, &format!("/api/replies/{reply}/reply"), &body)?;
    call.headers.push(letter.bearer());
    Ok(call)
}

pub(super) fn taken(body: &Value) -> Taken {
    let id = fields::word(body, "data.reply.id");
    match (fields::raw(body, "data.success"), id) {
        (Some(Value::Bool(false)), None) => Taken::No,
        (Some(Value::Bool(true)), id) => Taken::Yes(id),
        (None, Some(id)) => Taken::Yes(Some(id)),
        (_, _) => Taken::Unclear,
    }
}
