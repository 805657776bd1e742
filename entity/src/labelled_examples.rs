//! What people decided otherwise: the data by which analysts are judged.

use crate::Instant;
use sea_orm::entity::prelude::*;

/// A labelled example.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "labelled_examples")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The client that it belongs to.
    pub client_id: String,
    /// The lead who wrote the message.
    pub lead_id: i64,
    /// The message.
    pub message_id: i64,
    /// The draft that was changed or rejected.
    pub draft_id: Option<i64>,
    /// The channel of the message.
    pub channel: String,
    /// `tag`, `edited` or `rejected`.
    pub kind: String,
    /// The subject line of the message.
    pub subject: Option<String>,
    /// The beginning of the cleaned text of the message.
    pub body: String,
    /// The tag of the message after the decision.
    pub tag: Option<String>,
    /// True if the lead opted out in the message.
    pub opt_out: bool,
    /// True if a machine wrote the message.
    pub automated: bool,
    /// The tag, or the text of the draft, before.
    pub was: Option<String>,
    /// The tag, or the text of the draft, after; null for a rejected draft.
    pub became: Option<String>,
    /// Why, in the person's words.
    pub reason: Option<String>,
    /// The person who decided.
    pub decided_by: String,
    /// When.
    pub created_at: Instant,
}

/// No relations: rows that belong together are read by their keys.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
