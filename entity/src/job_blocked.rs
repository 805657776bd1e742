//! Inbound jobs behind the head of their lead's line.

use sea_orm::entity::prelude::*;

/// A job behind the head of its line.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "job_blocked")]
pub struct Model {
    /// The line, which is the lead's id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub line: i64,
    /// Its place in the line.
    #[sea_orm(primary_key, auto_increment = false)]
    pub pos: i64,
    /// The job.
    pub job_id: i64,
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
