//! Messages that leads and clients wrote.

use crate::Instant;
use sea_orm::entity::prelude::*;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "messages")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The client that it belongs to.
    pub client_id: String,
    /// The lead who wrote it or whom it was written to.
    pub lead_id: i64,
    /// The channel on which it came.
    pub channel: String,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// `provider` (told by a webhook) or `postroom` (sent by us).
    pub source: String,
    /// The provider's id.
    pub provider_id: Option<String>,
    /// The ids that an answer through the provider needs, as JSON.
    pub reply_handle: Option<String>,
    /// The provider's name of the event.
    pub event_type: Option<String>,
    /// The campaign that it belongs to.
    pub campaign_id: Option<i64>,
    /// The subject line.
    pub subject: Option<String>,
    /// The cleaned text.
    pub body: String,
    /// False if cleaning left nothing of the text.
    pub has_new_text: bool,
    /// The text as received.
    pub raw_text: Option<String>,
    /// The HTML as received.
    pub raw_html: Option<String>,
    /// The webhook's body as received, secrets masked.
    pub payload: Option<String>,
    /// The sender, as JSON.
    pub sender: String,
    /// The recipients, as JSON.
    pub recipients: String,
    /// The recipients of a copy, as JSON.
    pub cc: String,
    /// The files that came with it, as JSON.
    pub attachments: String,
    /// The verdict on it; null if it is not judged.
    pub sentiment: Option<String>,
    /// By what it got that verdict: `person`, `provider`, or an analyst with its version; null if
    /// it is not judged, or was judged by an earlier version of Postroom.
    pub judged_by: Option<String>,
    /// True if a machine wrote it.
    pub automated: bool,
    /// The id of the request that brought it.
    pub request_id: Option<String>,
    /// When it was sent, by the provider's time.
    pub sent_at: Instant,
    /// When it was stored.
    pub created_at: Instant,
    /// When it was changed at the provider.
    pub edited_at: Option<Instant>,
    /// When it was deleted at the provider.
    pub deleted_at: Option<Instant>,
    /// When its job ended.
    pub handled_at: Option<Instant>,
    /// When its provider reported that it did not arrive.
    pub failed_at: Option<Instant>,
    /// If its text was changed, the time of the event that told the new text. An older event
    /// changes nothing.
    pub edit_told_at: Option<Instant>,
}

/// No relations: rows that belong together are read by their keys.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A message without the texts and the body that it was made of, which may be megabytes.
#[derive(Clone, Debug, PartialEq, Eq, DerivePartialModel)]
#[sea_orm(entity = "Entity")]
pub struct Listed {
    /// Its key.
    pub id: i64,
    /// The client that it belongs to.
    pub client_id: String,
    /// The lead who wrote it or whom it was written to.
    pub lead_id: i64,
    /// The channel on which it came.
    pub channel: String,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// `provider` (told by a webhook) or `postroom` (sent by us).
    pub source: String,
    /// The provider's id.
    pub provider_id: Option<String>,
    /// The subject line.
    pub subject: Option<String>,
    /// The cleaned text.
    pub body: String,
    /// The sender, as JSON.
    pub sender: String,
    /// The recipients, as JSON.
    pub recipients: String,
    /// The recipients of a copy, as JSON.
    pub cc: String,
    /// The files that came with it, as JSON.
    pub attachments: String,
    /// The verdict on it; null if it is not judged.
    pub sentiment: Option<String>,
    /// By what it got that verdict: `person`, `provider`, or an analyst with its version; null if
    /// it is not judged, or was judged by an earlier version of Postroom.
    pub judged_by: Option<String>,
    /// True if a machine wrote it.
    pub automated: bool,
    /// When it was sent, by the provider's time.
    pub sent_at: Instant,
    /// When it was stored.
    pub created_at: Instant,
    /// When it was changed at the provider.
    pub edited_at: Option<Instant>,
    /// When it was deleted at the provider.
    pub deleted_at: Option<Instant>,
    /// When its provider reported that it did not arrive.
    pub failed_at: Option<Instant>,
}
