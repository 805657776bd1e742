//! Deliveries: answers that went out to a provider.

use crate::Instant;
use sea_orm::entity::prelude::*;

/// A delivery.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "deliveries")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// Whose delivery it is.
    pub client_id: String,
    /// To whom.
    pub lead_id: i64,
    /// The draft that it sends.
    pub draft_id: Option<i64>,
    /// The outbound message that it became, once that is stored.
    pub message_id: Option<i64>,
    /// The channel it is sent on.
    pub channel: String,
    /// `sending`, `sent`, `failed` or `uncertain`.
    pub status: String,
    /// Hash of the normalised text, by which its echo is known.
    pub text_key: String,
    /// The provider's id of the message, once that is known.
    pub provider_id: Option<String>,
    /// How often it was tried.
    pub attempts: i32,
    /// Why it failed, or why nobody knows.
    pub error: Option<String>,
    /// When it was begun.
    pub created_at: Instant,
    /// When it left `sending`.
    pub settled_at: Option<Instant>,
}

/// None: what belongs together is read by keys.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
