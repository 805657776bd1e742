//! The history of jobs: one row a run, appended.

use crate::Instant;
use sea_orm::entity::prelude::*;

/// A run of a job.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "job_attempts")]
pub struct Model {
    /// The job.
    #[sea_orm(primary_key, auto_increment = false)]
    pub job_id: i64,
    /// The fencing token it ran under.
    #[sea_orm(primary_key, auto_increment = false)]
    pub run: i32,
    /// Runs up to here that do not count as attempts.
    pub spared: i32,
    /// `succeeded`, a reason of failure, `snoozed` or `cancelled`.
    pub outcome: String,
    /// Whether it ended the job.
    pub ended: bool,
    /// Who ran it.
    pub node: Option<i64>,
    /// Which actor.
    pub actor: Option<String>,
    /// When it started.
    pub started_at: Option<Instant>,
    /// When it ended.
    pub finished_at: Instant,
    /// What an operator reads.
    pub error: Option<String>,
}

/// None: what belongs together is read by keys.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
