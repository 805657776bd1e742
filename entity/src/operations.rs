//! Operations: actions on all jobs, or all held webhooks, that match a filter.

use crate::Instant;
use sea_orm::entity::prelude::*;

/// An operation.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "operations")]
pub struct Model {
    /// Its key. Greater ids are newer.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// `retry`, `cancel`, `replay` or `discard`.
    pub action: String,
    /// The filter, as the JSON object of the request.
    pub filter: String,
    /// `running`, `done`, `stopped` or `failed`.
    pub status: String,
    /// How many matched when it began.
    pub total: i64,
    /// How many it has changed.
    pub done: i64,
    /// How many it has left as they were.
    pub skipped: i64,
    /// Why some were skipped: a JSON object from reason to count.
    pub reasons: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// Whether somebody has asked for its stop.
    pub is_stopping: bool,
    /// Who started it.
    pub changed_by: String,
    /// The node that works on it.
    pub node: i64,
    /// When it was started.
    pub created_at: Instant,
    /// When its counts were last written.
    pub updated_at: Instant,
    /// When it ended.
    pub finished_at: Option<Instant>,
}

/// No relations: rows that belong together are read by their keys.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
