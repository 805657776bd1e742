//! Drafts: answers that are written but not sent.

use crate::Instant;
use sea_orm::entity::prelude::*;

/// A draft.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "drafts")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The client that it belongs to.
    pub client_id: String,
    /// The lead that it goes to.
    pub lead_id: i64,
    /// The message that it answers.
    pub message_id: i64,
    /// The channel on which it will be sent.
    pub channel: String,
    /// `pending`, `approved`, `sending`, `sent`, `rejected` or `superseded`.
    pub status: String,
    /// The subject line.
    pub subject: Option<String>,
    /// The whole text.
    pub body: String,
    /// The parts of an SMS, as JSON.
    pub parts: String,
    /// True if a person changed it.
    pub edited: bool,
    /// The word for what prevents its sending; null if nothing does.
    pub blocked_by: Option<String>,
    /// When it was written.
    pub created_at: Instant,
    /// When it left `pending`.
    pub decided_at: Option<Instant>,
    /// The person or rule that decided.
    pub decided_by: Option<String>,
    /// The tag of the message when the draft was written.
    pub tag: Option<String>,
    /// True if the text is a template as it was filled, which nobody changed.
    pub from_template: bool,
    /// How the gate decided: `send_now`, `send_later`, `needs_review` or `skip`.
    pub gate_decision: Option<String>,
    /// The evaluator's confidence, 0 to 1.
    pub gate_confidence: Option<f64>,
    /// The least confidence that would have passed.
    pub gate_threshold: Option<f64>,
    /// Why the gate decided so.
    pub gate_reason: Option<String>,
    /// When it is sent, unless something comes between.
    pub send_at: Option<Instant>,
    /// Why a person rejected it, in the person's words.
    pub note: Option<String>,
    /// Until when a person has put it off.
    pub snoozed_until: Option<Instant>,
}

/// No relations: rows that belong together are read by their keys.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
