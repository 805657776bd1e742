//! The heads of lines: ready, running, or waiting for their retry.

use crate::Instant;
use sea_orm::entity::prelude::*;

/// The head of a line.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "job_ready")]
pub struct Model {
    /// The lead of an inbound job, else the negative job.
    #[sea_orm(primary_key, auto_increment = false)]
    pub line: i64,
    /// The job.
    pub job_id: i64,
    /// Its kind.
    pub kind: String,
    /// Its client.
    pub client_id: String,
    /// When it is its turn; none while it waits for its retry, or is held back by its client's cap.
    pub turn: Option<i64>,
    /// When its retry is due.
    pub run_at: Option<Instant>,
    /// The fencing token: one higher at each claim.
    pub run: i32,
    /// Runs that do not count as attempts.
    pub spared: i32,
    /// Who holds it.
    pub node: Option<i64>,
    /// Since when.
    pub locked_at: Option<Instant>,
    /// The turn that it would have if its client's cap let it in.
    pub held: Option<i64>,
}

/// None: what belongs together is read by keys.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
