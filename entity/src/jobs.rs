//! Jobs: what was asked. Rows are inserted once and never updated.

use crate::Instant;
use sea_orm::entity::prelude::*;

/// A job.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "jobs")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// What is to be done.
    pub kind: String,
    /// Whose job it is.
    pub client_id: String,
    /// The lead it concerns.
    pub lead_id: Option<i64>,
    /// What its dedupe key is over.
    pub subject_id: i64,
    /// The message it concerns.
    pub message_id: Option<i64>,
    /// The draft it concerns.
    pub draft_id: Option<i64>,
    /// How many attempts it may have.
    pub max_attempts: i32,
    /// Whether it stands in its lead's line; null where it was stored before that was noted.
    pub in_lead_line: Option<bool>,
    /// When it was asked to run.
    pub run_at: Instant,
    /// When it was stored.
    pub created_at: Instant,
}

/// None: what belongs together is read by keys.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
