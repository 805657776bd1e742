//! The heads of lines: ready, running, or waiting for their retry.

use crate::Instant;
use sea_orm::entity::prelude::*;

/// The head of a line.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "job_ready")]
pub struct Model {
    /// The line: the lead's id of an inbound job, otherwise the negative job id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub line: i64,
    /// The job.
    pub job_id: i64,
    /// Its kind.
    pub kind: String,
    /// Its client.
    pub client_id: String,
    /// Its place in the order of claims; null while it waits for its retry, or is held back by its
    /// client's cap.
    pub turn: Option<i64>,
    /// When its retry is due; null if it waits for none.
    pub run_at: Option<Instant>,
    /// The fencing token, which each claim raises by one.
    pub run: i32,
    /// Runs so far that do not count as attempts.
    pub spared: i32,
    /// The node that has claimed it; null while it is not claimed.
    pub node: Option<i64>,
    /// When it was claimed.
    pub locked_at: Option<Instant>,
    /// The turn that it had when its client's cap held it back; null if it is not held.
    pub held: Option<i64>,
    /// Since when it is in turn; null for heads that an earlier version has put there.
    pub due_at: Option<Instant>,
}

/// No relations: rows that belong together are read by their keys.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
