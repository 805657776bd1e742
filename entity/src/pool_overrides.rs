//! Overrides of pools: what operators have set beside the configuration files.

use crate::Instant;
use sea_orm::entity::prelude::*;

/// A key that an override sets for one kind's pool.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "pool_overrides")]
pub struct Model {
    /// The job kind.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: String,
    /// The key: `size` or `paused`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// What is set, spelled as in a file.
    pub value: String,
    /// The file's value when the key was set.
    pub base: String,
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
