//! An answer through `GoHighLevel`: `POST …/conversations/messages`.

use crate::{
    channels::{
        fields,
        sending::{Call, Letter, Taken, Unsendable},
    },
    config::Secret,
};
use serde_json::{Value, json};

pub(super) const SERVER: &str = "https://services.leadconnectorhq.com";
/// The version of the API that these calls are made for.
const VERSION: &str = "2021-04-15";

pub(super) fn call(letter: &Letter<'_>) -> Result<Call, Unsendable> {
    let contact = letter.id("contact_id")?;
    let mut body = json!({"type": "SMS", "contactId": contact, "message": letter.body});
    if let (Some(body), Some(number)) = (body.as_object_mut(), &letter.settings.from_number) {
        body.insert("fromNumber".to_owned(), Value::from(number.as_str()));
    }
    let mut call = letter.post_json(Some(SERVER), "/conversations/messages", &body)?;
    let version = letter.settings.version.as_deref().unwrap_or(VERSION);
    call.headers.extend([letter.bearer(), ("version", Secret::new(version))]);
    Ok(call)
}

pub(super) fn taken(body: &Value) -> Taken {
    let of_list = || body.get("messageIds")?.get(0)?.as_str().map(str::to_owned);
    Taken::with_id(fields::word(body, "messageId").or_else(of_list))
}
