//! Webhooks in quarantine: authentic, but not understood.

use crate::Instant;
use sea_orm::entity::prelude::*;

/// A webhook that is kept until a person or a replay settles it.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "quarantine")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The client that it belongs to.
    pub client_id: String,
    /// The channel on which it came.
    pub channel: String,
    /// A hash of the body as received.
    pub body_hash: String,
    /// The provider's name of the event.
    pub event_type: Option<String>,
    /// Why it was not understood.
    pub reason: String,
    /// `held`, `replayed` or `discarded`.
    pub status: String,
    /// How many times the same bytes came.
    pub count: i64,
    /// The body as received, secrets masked.
    pub payload: String,
    /// The id of the request that brought it first.
    pub request_id: Option<String>,
    /// When it came first.
    pub received_at: Instant,
    /// When it came last.
    pub last_received_at: Instant,
    /// The size of the payload, in bytes.
    pub size: i64,
}

/// No relations: rows that belong together are read by their keys.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// An item without the body, which may be megabytes.
#[derive(Clone, Debug, PartialEq, Eq, DerivePartialModel)]
#[sea_orm(entity = "Entity")]
pub struct Listed {
    /// Its key.
    pub id: i64,
    /// The client that it belongs to.
    pub client_id: String,
    /// The channel on which it came.
    pub channel: String,
    /// The provider's name of the event.
    pub event_type: Option<String>,
    /// Why it was not understood.
    pub reason: String,
    /// `held`, `replayed` or `discarded`.
    pub status: String,
    /// How many times the same bytes came.
    pub count: i64,
    /// The id of the request that brought it first.
    pub request_id: Option<String>,
    /// When it came first.
    pub received_at: Instant,
    /// When it came last.
    pub last_received_at: Instant,
}

impl Model {
    /// Splits an item into what a list shows of it, and its body.
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
