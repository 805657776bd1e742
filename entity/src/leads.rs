//! Leads: the persons whom a client writes to.

use crate::Instant;
use sea_orm::entity::prelude::*;

/// A lead.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "leads")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// Whose lead it is.
    pub client_id: String,
    /// Where it stands.
    pub status: String,
    /// Its newest verdict.
    pub sentiment: Option<String>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// Company.
    pub company_name: Option<String>,
    /// Title in the company.
    pub title: Option<String>,
    /// E-mail address, lower-cased.
    pub email: Option<String>,
    /// Phone number: E.164, else its digits.
    pub phone: Option<String>,
    /// IANA time zone.
    pub timezone: Option<String>,
    /// The first campaign that named it.
    pub campaign_id: Option<i64>,
    /// When it opted out; nothing is sent to it since.
    pub opted_out_at: Option<Instant>,
    /// On which channel.
    pub opted_out_channel: Option<String>,
    /// In which message.
    pub opted_out_message_id: Option<i64>,
    /// The words that say so.
    pub opted_out_reason: Option<String>,
    /// When mail to it came back.
    pub bounced_at: Option<Instant>,
    /// To which address.
    pub bounced_address: Option<String>,
    /// The provider's text.
    pub bounced_reason: Option<String>,
    /// Do not disturb by SMS.
    pub sms_dnd: bool,
    /// When it accepted an invitation on LinkedIn.
    pub connected_at: Option<Instant>,
    /// When it wants to hear again.
    pub snoozed_until: Option<Instant>,
    /// Match with the client's ideal customer, 1–4.
    pub fit: Option<i32>,
    /// Readiness, 1–4.
    pub intent: Option<i32>,
    /// Half of their sum.
    pub overall: Option<i32>,
    /// Why.
    pub score_reason: Option<String>,
    /// When it was scored.
    pub scored_at: Option<Instant>,
    /// Its newest message, by provider's time.
    pub last_message_at: Option<Instant>,
    /// Its newest inbound message, by provider's time.
    pub last_inbound_at: Option<Instant>,
    /// The newest message to it, by provider's time.
    pub last_outbound_at: Option<Instant>,
    /// The inbound message that speaks for it.
    pub newest_inbound_id: Option<i64>,
    /// The lead that it was found to be.
    pub merged_into: Option<i64>,
    /// When it was stored.
    pub created_at: Instant,
    /// What a person or a provider filed it under.
    pub category: Option<String>,
    /// The time of the event that told `sms_dnd`: an older one changes nothing.
    pub sms_dnd_at: Option<Instant>,
    /// The time of the event that told `category`.
    pub category_at: Option<Instant>,
}

/// None: what belongs together is read by keys.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
