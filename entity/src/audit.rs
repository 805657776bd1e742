//! The audit log: what operators and files have changed.

use crate::Instant;
use sea_orm::entity::prelude::*;

/// A change, or a try that was refused.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit")]
pub struct Model {
    /// Its key. Greater ids are newer.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// When it happened.
    pub happened_at: Instant,
    /// Who did it: a person's name, `file`, `signal` or `postroom`.
    pub actor: String,
    /// What the person might do when they acted: `viewer`, `reviewer` or `operator`. Null where no
    /// person acted, and in rows of earlier versions.
    pub role: Option<String>,
    /// How it came: `file`, `signal`, `api`, `command`, `start` or `rule`.
    pub via: String,
    /// What was done, such as `config.reload` or `pool.override`.
    pub action: String,
    /// What it was done to: a configuration key, a job kind, an id.
    pub target: Option<String>,
    /// The value before, secrets masked.
    pub old_value: Option<String>,
    /// The value after, secrets masked.
    pub new_value: Option<String>,
    /// Why, in the words of the person.
    pub note: Option<String>,
    /// The node that did it.
    pub node: Option<i64>,
    /// The id of the request that asked for it.
    pub request_id: Option<String>,
}

/// No relations: rows that belong together are read by their keys.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
