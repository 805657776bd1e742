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
    /// The number in the ids that it assigns, unique among the nodes that exist.
    pub slot: i32,
    /// `all`, `ingest` or `worker`.
    pub role: String,
    /// When it started.
    pub started_at: Instant,
    /// Its last heartbeat.
    pub seen_at: Instant,
    /// The clients in its configuration, as a JSON list; null until it has told them.
    pub clients: Option<String>,
    /// What the node says of itself, as a JSON object: version, configuration and pools; null until
    /// it has said it.
    pub status: Option<String>,
}

/// No relations: rows that belong together are read by their keys.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
