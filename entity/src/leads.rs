//! Leads: the people whom clients write to.

use crate::Instant;
use sea_orm::entity::prelude::*;

/// A lead.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "leads")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The client that it belongs to.
    pub client_id: String,
    /// Its status.
    pub status: String,
    /// The verdict on its newest inbound message; null if it is not judged.
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
    /// Phone number in E.164; if that is not possible, its digits.
    pub phone: Option<String>,
    /// IANA time zone.
    pub timezone: Option<String>,
    /// The first campaign that named it.
    pub campaign_id: Option<i64>,
    /// When it opted out; since then nothing is sent to it.
    pub opted_out_at: Option<Instant>,
    /// The channel on which it opted out.
    pub opted_out_channel: Option<String>,
    /// The message in which it opted out.
    pub opted_out_message_id: Option<i64>,
    /// The words by which it opted out.
    pub opted_out_reason: Option<String>,
    /// When mail to it came back.
    pub bounced_at: Option<Instant>,
    /// The address that bounced.
    pub bounced_address: Option<String>,
    /// The provider's text about the bounce.
    pub bounced_reason: Option<String>,
    /// True if it wants no SMS (do not disturb).
    pub sms_dnd: bool,
    /// When it accepted an invitation on LinkedIn.
    pub connected_at: Option<Instant>,
    /// When it wants to hear from the client again.
    pub snoozed_until: Option<Instant>,
    /// Match with the client's ideal customer, 1–4.
    pub fit: Option<i32>,
    /// Readiness, 1–4.
    pub intent: Option<i32>,
    /// Half of their sum, rounded down.
    pub overall: Option<i32>,
    /// The reason of the score.
    pub score_reason: Option<String>,
    /// When it was scored.
    pub scored_at: Option<Instant>,
    /// The time of its newest message, by the provider's time.
    pub last_message_at: Option<Instant>,
    /// The time of its newest inbound message, by the provider's time.
    pub last_inbound_at: Option<Instant>,
    /// The time of the newest message to it, by the provider's time.
    pub last_outbound_at: Option<Instant>,
    /// Its newest inbound message, whose verdict counts.
    pub newest_inbound_id: Option<i64>,
    /// The lead that it was merged into, since both are one person; null for a lead of its own.
    pub merged_into: Option<i64>,
    /// When it was stored.
    pub created_at: Instant,
    /// The category that a person or a provider gave it.
    pub category: Option<String>,
    /// The time of the event that told `sms_dnd`. An older event changes nothing.
    pub sms_dnd_at: Option<Instant>,
    /// The time of the event that told `category`. An older event changes nothing.
    pub category_at: Option<Instant>,
}

/// No relations: rows that belong together are read by their keys.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
