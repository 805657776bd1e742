//! Nodes: one daemon process each.

use crate::Instant;
use sea_orm::entity::prelude::*;

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "nodes")]
pub struct Model {
    /// Its key, new at every start.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// Its part of the ids that it gives out.
    pub slot: i32,
    /// `all`, `ingest` or `worker`.
    pub role: String,
    /// When it started.
    pub started_at: Instant,
    /// Its last heartbeat.
    pub seen_at: Instant,
    /// The clients that it knows, as a JSON list; null where it has not said so.
    pub clients: Option<String>,
}

/// None: what belongs together is read by keys.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
