//! Jobs: the facts that never change. Rows are inserted once and never updated.

use crate::Instant;
use sea_orm::entity::prelude::*;

/// A job.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "jobs")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The job's kind.
    pub kind: String,
    /// The client that it belongs to.
    pub client_id: String,
    /// The lead that it is about.
    pub lead_id: Option<i64>,
    /// The subject of its dedupe key.
    pub subject_id: i64,
    /// The message that it is about.
    pub message_id: Option<i64>,
    /// The draft that it is about.
    pub draft_id: Option<i64>,
    /// The most attempts that it may have.
    pub max_attempts: i32,
    /// True if it stands in its lead's line; null if an earlier version stored it, which did not
    /// note that.
    pub in_lead_line: Option<bool>,
    /// The channel of the message that brought it; null in jobs without a message, and if an
    /// earlier version stored it.
    pub channel: Option<String>,
    /// The span that made it; null if its trace is not recorded, and if an earlier version stored
    /// it.
    pub trace: Option<String>,
    /// When it was due first.
    pub run_at: Instant,
    /// When it was stored.
    pub created_at: Instant,
}

/// No relations: rows that belong together are read by their keys.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
