//! `/messages`: what leads wrote, and what was written to them.

use super::{
    ApiResult, ApiState, no_such,
    objects::{self, List, RowKey, StoredJson, at},
    only_id,
    query::Query,
};
use crate::{
    domain::{
        Id, Timestamp,
        event::{Address, Attachment},
    },
    http::{
        openapi::{
            ApiEndpoint, ApiParameter, CHANNEL, CLIENT, CURSOR, DirectionWord, LEAD, LIMIT,
            SentimentWord, SourceWord, Takes, get,
        },
        problem::Problem,
    },
    store::{Excerpt, ListedMessage, MessageFilter, MessageRow, StoreError},
};
use actix_web::{HttpRequest, web};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// The parameters of the list.
const PARAMETERS: [ApiParameter; 6] = [
    CLIENT,
    LEAD,
    CHANNEL,
    ApiParameter::new("direction", Takes::Words(|| DIRECTIONS.to_vec())),
    LIMIT,
    CURSOR,
];

/// Messages.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        get("/messages", list)
            .says("Messages, newest first")
            .takes(&PARAMETERS)
            .answers::<List<MessageJson<'_>>>(),
        get("/messages/{id}", show)
            .says("A message with all of its text")
            .answers::<MessageDetailJson<'_>>(),
    ]
}

/// The directions of a message: written by the lead, or to it.
pub(super) const DIRECTIONS: [&str; 2] = ["inbound", "outbound"];

impl ApiState {
    /// A message with its whole text, for a page.
    ///
    /// # Errors
    /// If the database is away.
    pub(in crate::http) async fn message(&self, id: Id) -> Result<Option<MessageRow>, Problem> {
        let _permit = self.heavy_reads.permit().await?;
        Ok(self.desk.message(id).await?)
    }

    /// True if a message was ever stored.
    ///
    /// # Errors
    /// If the database is away.
    pub(in crate::http) async fn has_messages(&self) -> Result<bool, StoreError> {
        let newest = self.desk.messages(MessageFilter::default(), 1, None).await?;
        Ok(!newest.items.is_empty())
    }
}

/// `GET /messages`.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let query = Query::parse(&request, &PARAMETERS)?;
    let filter = MessageFilter {
        client: query.values("client"),
        lead: query.ids("lead")?,
        channel: state.channels_in(&query)?,
        direction: query.one_of("direction", &DIRECTIONS)?,
    };
    let _permit = state.heavy_reads.permit().await?;
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
    let id = only_id(&request, &path, "message")?;
    let _permit = state.heavy_reads.permit().await?;
    let message = state.desk.message(id).await?.ok_or_else(|| no_such("message", id))?;
    objects::object(MessageDetailJson::of(&message))
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct MessageJson<'a> {
    pub(in crate::http) id: RowKey,
    pub(in crate::http) client_id: &'a str,
    pub(in crate::http) lead_id: RowKey,
    pub(in crate::http) channel: &'a str,
    #[schemars(with = "DirectionWord")]
    pub(in crate::http) direction: &'a str,
    #[schemars(with = "SourceWord")]
    pub(in crate::http) source: &'a str,
    pub(in crate::http) provider_id: Option<&'a str>,
    pub(in crate::http) subject: Option<&'a str>,
    pub(in crate::http) body: &'a str,
    /// True if the subject or the body is longer than is shown.
    pub(in crate::http) truncated: bool,
    #[schemars(with = "Option<SentimentWord>")]
    pub(in crate::http) sentiment: Option<&'a str>,
    /// By what it got its tag: `person`, `provider`, `local` with the version of rules and learned
    /// weights, or `openai` with the model and the version of its prompt. Null without a tag, and
    /// if an earlier version of Postroom judged it.
    pub(in crate::http) judged_by: Option<&'a str>,
    pub(in crate::http) automated: bool,
    #[schemars(with = "Address")]
    pub(in crate::http) from: StoredJson<'a>,
    #[schemars(with = "Vec<Address>")]
    pub(in crate::http) to: StoredJson<'a>,
    #[schemars(with = "Vec<Address>")]
    pub(in crate::http) cc: StoredJson<'a>,
    #[schemars(with = "Vec<Attachment>")]
    pub(in crate::http) attachments: StoredJson<'a>,
    pub(in crate::http) sent_at: Timestamp,
    pub(in crate::http) created_at: Timestamp,
    pub(in crate::http) edited_at: Option<Timestamp>,
    pub(in crate::http) deleted_at: Option<Timestamp>,
    pub(in crate::http) failed_at: Option<Timestamp>,
}

/// The fields that a listed message and a whole one have in common.
macro_rules! message_json {
    ($row:expr, $is_cut:expr) => {
        MessageJson {
            id: RowKey($row.id),
            client_id: &$row.client_id,
            lead_id: RowKey($row.lead_id),
            channel: &$row.channel,
            direction: &$row.direction,
            source: &$row.source,
            provider_id: $row.provider_id.as_deref(),
            subject: $row.subject.as_deref(),
            body: &$row.body,
            truncated: $is_cut,
            sentiment: $row.sentiment.as_deref(),
            judged_by: $row.judged_by.as_deref(),
            automated: $row.automated,
            from: StoredJson::of(&$row.sender, serde_json::json!({"address": null, "name": null})),
            to: StoredJson::of(&$row.recipients, Value::Array(Vec::new())),
            cc: StoredJson::of(&$row.cc, Value::Array(Vec::new())),
            attachments: StoredJson::of(&$row.attachments, Value::Array(Vec::new())),
            sent_at: Timestamp::from_millis($row.sent_at.0),
            created_at: Timestamp::from_millis($row.created_at.0),
            edited_at: at!($row.edited_at),
            deleted_at: at!($row.deleted_at),
            failed_at: at!($row.failed_at),
        }
    };
}

impl<'a> MessageJson<'a> {
    pub(in crate::http) fn of(excerpt: &'a Excerpt<ListedMessage>) -> Self {
        message_json!(excerpt.row, excerpt.is_cut)
    }
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct MessageDetailJson<'a> {
    #[serde(flatten)]
    message: MessageJson<'a>,
    raw_text: Option<&'a str>,
    raw_html: Option<&'a str>,
    payload: Option<&'a str>,
}

impl<'a> MessageDetailJson<'a> {
    pub(in crate::http) fn of(message: &'a MessageRow) -> Self {
        Self {
            message: message_json!(message, false),
            raw_text: message.raw_text.as_deref(),
            raw_html: message.raw_html.as_deref(),
            payload: message.payload.as_deref(),
        }
    }
}
