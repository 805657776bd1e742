//! Jobs that are due later: delayed or snoozed.

use crate::Instant;
use sea_orm::entity::prelude::*;

/// A job that is due later.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "job_later")]
pub struct Model {
    /// The job.
    #[sea_orm(primary_key, auto_increment = false)]
    pub job_id: i64,
    /// When it is due.
    pub run_at: Instant,
    /// The line that it will join: the lead's id, or the negative job id.
    pub line: i64,
    /// Its kind.
    pub kind: String,
    /// Its client.
    pub client_id: String,
    /// The fencing token: the number of claims so far.
    pub run: i32,
    /// Runs so far that do not count as attempts.
    pub spared: i32,
}

/// No relations: rows that belong together are read by their keys.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
