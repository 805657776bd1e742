//! What was authentic and not understood.

use crate::Instant;
use sea_orm::entity::prelude::*;

/// A webhook that is kept for a person.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "quarantine")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// Whose it is.
    pub client_id: String,
    /// The channel it came over.
    pub channel: String,
    /// Hash of the body as received.
    pub body_hash: String,
    /// The provider's name of the event.
    pub event_type: Option<String>,
    /// Why it was not understood.
    pub reason: String,
    /// `held`, `replayed` or `discarded`.
    pub status: String,
    /// How often the same bytes came.
    pub count: i64,
    /// The body as received, secrets masked.
    pub payload: String,
    /// The request it came with first.
    pub request_id: Option<String>,
    /// When it came first.
    pub received_at: Instant,
    /// When it came last.
    pub last_received_at: Instant,
    /// Bytes of the payload.
    pub size: i64,
}

/// None: what belongs together is read by keys.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// An item without what was received, which may be megabytes.
#[derive(Clone, Debug, PartialEq, Eq, DerivePartialModel)]
#[sea_orm(entity = "Entity")]
pub struct Listed {
    /// Its key.
    pub id: i64,
    /// Whose it is.
    pub client_id: String,
    /// The channel it came over.
    pub channel: String,
    /// The provider's name of the event.
    pub event_type: Option<String>,
    /// Why it was not understood.
    pub reason: String,
    /// `held`, `replayed` or `discarded`.
    pub status: String,
    /// How often the same bytes came.
    pub count: i64,
    /// The request it came with first.
    pub request_id: Option<String>,
    /// When it came first.
    pub received_at: Instant,
    /// When it came last.
    pub last_received_at: Instant,
}

impl Model {
    /// What a list shows of it, and what was received.
    pub fn split(self) -> (Listed, String) {
        let listed = Listed {
            id: self.id,
            client_id: self.client_id,
            channel: self.channel,
            event_type: self.event_type,
            reason: self.reason,
            status: self.status,
            count: self.count,
            request_id: self.request_id,
            received_at: self.received_at,
            last_received_at: self.last_received_at,
        };
        (listed, self.payload)
    }
}
