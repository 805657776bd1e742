//! Messages: what leads and clients wrote.

use crate::Instant;
use sea_orm::entity::prelude::*;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "messages")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// Whose message it is.
    pub client_id: String,
    /// The lead that it is from or to.
    pub lead_id: i64,
    /// The channel it came over.
    pub channel: String,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// `provider` (told by a webhook) or `postroom` (sent by us).
    pub source: String,
    /// The provider's id.
    pub provider_id: Option<String>,
    /// What the provider needs to answer it, as JSON.
    pub reply_handle: Option<String>,
    /// The provider's name of the event.
    pub event_type: Option<String>,
    /// The campaign it belongs to.
    pub campaign_id: Option<i64>,
    /// Subject line.
    pub subject: Option<String>,
    /// The text, cleaned.
    pub body: String,
    /// False where all of it is quoted.
    pub has_new_text: bool,
    /// The text as it came.
    pub raw_text: Option<String>,
    /// The HTML as it came.
    pub raw_html: Option<String>,
    /// The webhook as it came, secrets masked.
    pub payload: Option<String>,
    /// From whom, as JSON.
    pub sender: String,
    /// To whom, as JSON.
    pub recipients: String,
    /// Who else got it, as JSON.
    pub cc: String,
    /// What came with it, as JSON.
    pub attachments: String,
    /// The verdict on it.
    pub sentiment: Option<String>,
    /// Written by a machine.
    pub automated: bool,
    /// The request it came with.
    pub request_id: Option<String>,
    /// When it was sent, by provider's time.
    pub sent_at: Instant,
    /// When it was stored.
    pub created_at: Instant,
    /// When it was changed at the provider.
    pub edited_at: Option<Instant>,
    /// When it was deleted at the provider.
    pub deleted_at: Option<Instant>,
    /// When its job ended.
    pub handled_at: Option<Instant>,
    /// When its provider said that it did not arrive.
    pub failed_at: Option<Instant>,
    /// The time of the event that told its text, where it was changed: an older one changes nothing.
    pub edit_told_at: Option<Instant>,
}

/// None: what belongs together is read by keys.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A message without what it was made of, which may be megabytes.
#[derive(Clone, Debug, PartialEq, Eq, DerivePartialModel)]
#[sea_orm(entity = "Entity")]
pub struct Listed {
    /// Its key.
    pub id: i64,
    /// Whose message it is.
    pub client_id: String,
    /// The lead that it is from or to.
    pub lead_id: i64,
    /// The channel it came over.
    pub channel: String,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// `provider` (told by a webhook) or `postroom` (sent by us).
    pub source: String,
    /// The provider's id.
    pub provider_id: Option<String>,
    /// Subject line.
    pub subject: Option<String>,
    /// The text, cleaned.
    pub body: String,
    /// From whom, as JSON.
    pub sender: String,
    /// To whom, as JSON.
    pub recipients: String,
    /// Who else got it, as JSON.
    pub cc: String,
    /// What came with it, as JSON.
    pub attachments: String,
    /// The verdict on it.
    pub sentiment: Option<String>,
    /// Written by a machine.
    pub automated: bool,
    /// When it was sent, by provider's time.
    pub sent_at: Instant,
    /// When it was stored.
    pub created_at: Instant,
    /// When it was changed at the provider.
    pub edited_at: Option<Instant>,
    /// When it was deleted at the provider.
    pub deleted_at: Option<Instant>,
    /// When its provider said that it did not arrive.
    pub failed_at: Option<Instant>,
}
