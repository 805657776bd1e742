//! The identities by which leads are known.

use sea_orm::entity::prelude::*;

/// One thing by which a lead is known.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "lead_identities")]
pub struct Model {
    /// The client that it belongs to.
    #[sea_orm(primary_key, auto_increment = false)]
    pub client_id: String,
    /// The kind of the value: `email`, `phone`, `linkedin_url`, ….
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: String,
    /// The normalised value.
    #[sea_orm(primary_key, auto_increment = false)]
    pub value: String,
    /// The lead.
    pub lead_id: i64,
}

/// No relations: rows that belong together are read by their keys.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
