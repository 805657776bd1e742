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
    let Address { address, name } = letter.to;
    // With `reply_all` the provider would find both by itself. But everybody to whom the reply went
    // would get the answer, too.
    let Some(mailbox) = mailbox else {
        return Err(Unsendable(
            "the message does not say which mailbox received it: set the channel's `send.sender_email_id`".to_owned(),
        ));
    };
    let Some(address) = address else {
        return Err(Unsendable("the message does not say who wrote it".to_owned()));
    };
    let body = json!({
        "message": letter.body,
        "content_type": "text",
        "reply_all": false,
        "sender_email_id": mailbox.parse::<u64>().map_or(Value::from(mailbox), Value::from),
        "to_emails": [{"name": name, "email_address": address}],
    });
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
