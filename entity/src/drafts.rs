//! Drafts: answers that are written and not sent.

use crate::Instant;
use sea_orm::entity::prelude::*;

/// A draft.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "drafts")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// Whose draft it is.
    pub client_id: String,
    /// To whom.
    pub lead_id: i64,
    /// The message it answers.
    pub message_id: i64,
    /// The channel it is to be sent on.
    pub channel: String,
    /// `pending`, `approved`, `sending`, `sent`, `rejected` or `superseded`.
    pub status: String,
    /// Subject line.
    pub subject: Option<String>,
    /// The whole text.
    pub body: String,
    /// The parts of an SMS, as JSON.
    pub parts: String,
    /// A person changed it.
    pub edited: bool,
    /// What keeps it from being sent.
    pub blocked_by: Option<String>,
    /// When it was written.
    pub created_at: Instant,
    /// When it left `pending`.
    pub decided_at: Option<Instant>,
    /// Who or what decided.
    pub decided_by: Option<String>,
}

/// None: what belongs together is read by keys.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
