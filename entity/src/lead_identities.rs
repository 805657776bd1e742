//! What leads are known by.

use sea_orm::entity::prelude::*;

/// One thing by which a lead is known.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "lead_identities")]
pub struct Model {
    /// Whose lead it is.
    #[sea_orm(primary_key, auto_increment = false)]
    pub client_id: String,
    /// Of which kind: `email`, `phone`, `linkedin_url`, ….
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: String,
    /// Its normalised value.
    #[sea_orm(primary_key, auto_increment = false)]
    pub value: String,
    /// The lead.
    pub lead_id: i64,
}

/// None: what belongs together is read by keys.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
