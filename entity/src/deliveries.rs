//! Deliveries: answers that are sent through a provider.

use crate::Instant;
use sea_orm::entity::prelude::*;

/// A delivery.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "deliveries")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The client that it belongs to.
    pub client_id: String,
    /// The lead that it goes to.
    pub lead_id: i64,
    /// The draft that it sends.
    pub draft_id: Option<i64>,
    /// The outbound message that it became, once it is stored.
    pub message_id: Option<i64>,
    /// The channel on which it is sent.
    pub channel: String,
    /// `sending`, `sent`, `failed` or `uncertain`.
    pub status: String,
    /// A hash of the normalised text, by which the provider's echo of it is recognised.
    pub text_key: String,
    /// The provider's id of the message, once it is known.
    pub provider_id: Option<String>,
    /// How many times it was tried.
    pub attempts: i32,
    /// Why it failed, or why its result is not known.
    pub error: Option<String>,
    /// When its sending began.
    pub created_at: Instant,
    /// When it left `sending`.
    pub settled_at: Option<Instant>,
    /// The job that sends it.
    pub job_id: Option<i64>,
    /// The run of that job whose call may be on the wire; null if there is none.
    pub marked_run: Option<i32>,
    /// When its last call was marked.
    pub marked_at: Option<Instant>,
}

/// No relations: rows that belong together are read by their keys.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
