//! Overrides of pools: what operators have set beside the configuration files.

use crate::Instant;
use sea_orm::entity::prelude::*;

/// The override of one kind's pool.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "pool_overrides")]
pub struct Model {
    /// The job kind.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: String,
    /// The number of slots of each node; null: as the file says.
    pub size: Option<i64>,
    /// Whether the pool is paused; null: as the file says.
    pub paused: Option<bool>,
    /// The file's size when `size` was set.
    pub base_size: Option<i64>,
    /// The file's `paused` when `paused` was set.
    pub base_paused: Option<bool>,
    /// Who set it.
    pub changed_by: String,
    /// Why, in the words of the person.
    pub note: Option<String>,
    /// When it was set.
    pub changed_at: Instant,
    /// When it ends by itself; null: not by itself.
    pub expires_at: Option<Instant>,
}

/// No relations: rows that belong together are read by their keys.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
