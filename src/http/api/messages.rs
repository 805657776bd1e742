//! `/messages`: what was written, and what was received.

use super::{
    ApiResult, ApiState, id_in, no_such,
    objects::{self, RowKey, StoredJson, at},
    query::Query,
};
use crate::{
    domain::Timestamp,
    store::{Excerpt, ListedMessage, MessageFilter, MessageRow},
};
use actix_web::{HttpRequest, web};
use serde::Serialize;
use serde_json::Value;

/// The directions of a message: written by the lead, or to it.
const DIRECTIONS: [&str; 2] = ["inbound", "outbound"];

/// `GET /messages`.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let known = ["client", "lead", "channel", "direction", "limit", "cursor"];
    let query = Query::parse(&request, &known)?;
    let channels: Vec<&str> = state.channels.iter().map(|it| it.0).collect();
    let filter = MessageFilter {
        client: query.values("client"),
        lead: query.ids("lead")?,
        channel: query.one_of("channel", &channels)?,
        direction: query.one_of("direction", &DIRECTIONS)?,
    };
    let _turn = state.heavy_reads.turn().await;
    let page = state.desk.messages(filter, query.limit()?, query.cursor()?).await?;
    let items = page.items.iter().map(MessageJson::of).collect();
    objects::page(items, page.next)
}

/// `GET /messages/{id}`.
pub(super) async fn show(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> ApiResult {
    Query::none(&request)?;
    let id = id_in(&path, "message")?;
    let _turn = state.heavy_reads.turn().await;
    let message = state.desk.message(id).await?.ok_or_else(|| no_such("message", id))?;
    objects::object(MessageDetailJson::of(&message))
}

#[derive(Debug, Serialize)]
pub(super) struct MessageJson<'a> {
    id: RowKey,
    client_id: &'a str,
    lead_id: RowKey,
    channel: &'a str,
    direction: &'a str,
    source: &'a str,
    provider_id: Option<&'a str>,
    subject: Option<&'a str>,
    body: &'a str,
    /// True if the subject or the body is longer than is shown.
    truncated: bool,
    sentiment: Option<&'a str>,
    automated: bool,
    from: StoredJson<'a>,
    to: StoredJson<'a>,
    cc: StoredJson<'a>,
    attachments: StoredJson<'a>,
    sent_at: Timestamp,
    created_at: Timestamp,
    edited_at: Option<Timestamp>,
    deleted_at: Option<Timestamp>,
    failed_at: Option<Timestamp>,
}

/// The fields that a listed message and a whole one have in common.
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
            from: StoredJson::of(&$it.sender, serde_json::json!({"address": null, "name": null})),
            to: StoredJson::of(&$it.recipients, Value::Array(Vec::new())),
            cc: StoredJson::of(&$it.cc, Value::Array(Vec::new())),
            attachments: StoredJson::of(&$it.attachments, Value::Array(Vec::new())),
            sent_at: Timestamp::from_millis($it.sent_at.0),
            created_at: Timestamp::from_millis($it.created_at.0),
            edited_at: at!($it.edited_at),
            deleted_at: at!($it.deleted_at),
            failed_at: at!($it.failed_at),
        }
    };
}

impl<'a> MessageJson<'a> {
    pub(super) fn of(it: &'a Excerpt<ListedMessage>) -> Self {
        message_json!(it.row, it.is_cut)
    }
}

#[derive(Debug, Serialize)]
struct MessageDetailJson<'a> {
    #[serde(flatten)]
    message: MessageJson<'a>,
    raw_text: Option<&'a str>,
    raw_html: Option<&'a str>,
    payload: Option<&'a str>,
}

impl<'a> MessageDetailJson<'a> {
    fn of(it: &'a MessageRow) -> Self {
        Self {
            message: message_json!(it, false),
            raw_text: it.raw_text.as_deref(),
            raw_html: it.raw_html.as_deref(),
            payload: it.payload.as_deref(),
        }
    }
}
