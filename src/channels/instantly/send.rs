//! An answer through Instantly: `POST …/api/v2/emails/reply`.

use crate::channels::{
    fields,
    sending::{Call, Letter, Taken, Unsendable},
};
use serde_json::{Value, json};

pub(super) const SERVER: &str = "https://api.instantly.ai";
/// The provider requires a subject, and a mail may have had none.
const NO_SUBJECT: &str = "Re:";

pub(super) fn call(letter: &Letter<'_>) -> Result<Call, Unsendable> {
    let body = json!({
        "reply_to_uuid": letter.id("reply_to_uuid")?,
        "eaccount": letter.id("eaccount")?,
        "subject": letter.subject.filter(|it| !it.trim().is_empty()).unwrap_or(NO_SUBJECT),
        "body": {"text": letter.body},
    });
    let mut call = letter.post_json(Some(SERVER), "/api/v2/emails/reply", &body)?;
    call.headers.push(letter.bearer());
    Ok(call)
}

pub(super) fn taken(body: &Value) -> Taken {
    Taken::with_id(fields::word(body, "id"))
}
