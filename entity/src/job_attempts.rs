//! The history of jobs: one row per run. Rows are only appended.

use crate::Instant;
use sea_orm::entity::prelude::*;

/// A run of a job: from a claim to its end.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "job_attempts")]
pub struct Model {
    /// The job.
    #[sea_orm(primary_key, auto_increment = false)]
    pub job_id: i64,
    /// The fencing token of the claim.
    #[sea_orm(primary_key, auto_increment = false)]
    pub run: i32,
    /// Runs of the job up to and including this one that do not count as attempts.
    pub spared: i32,
    /// `succeeded`, the reason of a failure, `snoozed` or `cancelled`. A postponed or released run
    /// has no row.
    pub outcome: String,
    /// True if it ended the job.
    pub ended: bool,
    /// The node that ran it.
    pub node: Option<i64>,
    /// The slot that ran it.
    pub actor: Option<String>,
    /// When it started.
    pub started_at: Option<Instant>,
    /// When it ended.
    pub finished_at: Instant,
    /// The error that an operator reads.
    pub error: Option<String>,
    /// The id of its trace; null if that is not recorded, and if an earlier version stored the row.
    pub trace_id: Option<String>,
}

/// No relations: rows that belong together are read by their keys.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
