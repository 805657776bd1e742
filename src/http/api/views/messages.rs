//! Messages and drafts.

use super::{RowKey, at};
use crate::{
    domain::Timestamp,
    store::{DraftRow, Excerpt, ListedMessage, MessageRow},
};
use serde::Serialize;
use serde_json::{Value, value::RawValue};

#[derive(Debug, Serialize)]
pub(in crate::http::api) struct MessageJson<'a> {
    id: RowKey,
    client_id: &'a str,
    lead_id: RowKey,
    channel: &'a str,
    direction: &'a str,
    source: &'a str,
    provider_id: Option<&'a str>,
    subject: Option<&'a str>,
    body: &'a str,
    /// Whether the subject or the body has more than is shown.
    truncated: bool,
    sentiment: Option<&'a str>,
    automated: bool,
    from: Stored<'a>,
    to: Stored<'a>,
    cc: Stored<'a>,
    attachments: Stored<'a>,
    sent_at: Timestamp,
    created_at: Timestamp,
    edited_at: Option<Timestamp>,
    deleted_at: Option<Timestamp>,
    failed_at: Option<Timestamp>,
}

/// JSON that was stored as text. It goes out as it is: taken apart, it would have many times its size.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Stored<'a> {
    As(&'a RawValue),
    Otherwise(Value),
}

/// JSON that was stored as text; what cannot be read is `otherwise`.
fn stored(text: &str, otherwise: Value) -> Stored<'_> {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(json) if json.get() != "null" => Stored::As(json),
        Ok(_) | Err(_) => Stored::Otherwise(otherwise),
    }
}

/// The fields that both forms of a message have.
macro_rules! message_json {
    ($it:expr, $is_cut:expr) => {
        MessageJson {
            id: RowKey($it.id),
            client_id: &$it.client_id,
            lead_id: RowKey($it.lead_id),
            channel: &$it.channel,
            direction: &$it.direction,
            source: &$it.source,
            provider_id: $it.provider_id.as_deref(),
            subject: $it.subject.as_deref(),
            body: &$it.body,
            truncated: $is_cut,
            sentiment: $it.sentiment.as_deref(),
            automated: $it.automated,
            from: stored(&$it.sender, serde_json::json!({"address": null, "name": null})),
            to: stored(&$it.recipients, Value::Array(Vec::new())),
            cc: stored(&$it.cc, Value::Array(Vec::new())),
            attachments: stored(&$it.attachments, Value::Array(Vec::new())),
            sent_at: Timestamp::from_millis($it.sent_at.0),
            created_at: Timestamp::from_millis($it.created_at.0),
            edited_at: at!($it.edited_at),
            deleted_at: at!($it.deleted_at),
            failed_at: at!($it.failed_at),
        }
    };
}

impl<'a> MessageJson<'a> {
    pub(in crate::http::api) fn of(it: &'a Excerpt<ListedMessage>) -> Self {
        message_json!(it.row, it.is_cut)
    }
}

#[derive(Debug, Serialize)]
pub(in crate::http::api) struct MessageDetailJson<'a> {
    #[serde(flatten)]
    message: MessageJson<'a>,
    raw_text: Option<&'a str>,
    raw_html: Option<&'a str>,
    payload: Option<&'a str>,
}

impl<'a> MessageDetailJson<'a> {
    pub(in crate::http::api) fn of(it: &'a MessageRow) -> Self {
        Self {
            message: message_json!(it, false),
            raw_text: it.raw_text.as_deref(),
            raw_html: it.raw_html.as_deref(),
            payload: it.payload.as_deref(),
        }
    }
}

#[derive(Debug, Serialize)]
pub(in crate::http::api) struct DraftJson<'a> {
    id: RowKey,
    client_id: &'a str,
    lead_id: RowKey,
    message_id: RowKey,
    channel: &'a str,
    status: &'a str,
    subject: Option<&'a str>,
    body: &'a str,
    /// Whether the subject, the body or the parts have more than is shown.
    truncated: bool,
    parts: Stored<'a>,
    created_at: Timestamp,
    decided_at: Option<Timestamp>,
    decided_by: Option<&'a str>,
    edited: bool,
    send_at: Option<Timestamp>,
    blocked_by: Option<&'a str>,
    delivery_id: Option<RowKey>,
    gate: Option<()>,
}

impl<'a> DraftJson<'a> {
    pub(in crate::http::api) fn of(it: &'a Excerpt<DraftRow>) -> Self {
        Self { truncated: it.is_cut, ..Self::whole(&it.row) }
    }

    pub(in crate::http::api) fn whole(it: &'a DraftRow) -> Self {
        Self {
            id: RowKey(it.id),
            client_id: &it.client_id,
            lead_id: RowKey(it.lead_id),
            message_id: RowKey(it.message_id),
            channel: &it.channel,
            status: &it.status,
            subject: it.subject.as_deref(),
            body: &it.body,
            truncated: false,
            parts: stored(&it.parts, Value::Array(Vec::new())),
            created_at: Timestamp::from_millis(it.created_at.0),
            decided_at: at!(it.decided_at),
            decided_by: it.decided_by.as_deref(),
            edited: it.edited,
            send_at: None,
            blocked_by: it.blocked_by.as_deref(),
            delivery_id: None,
            gate: None,
        }
    }
}
