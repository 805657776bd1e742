//! Campaigns, as their providers name them.

use sea_orm::entity::prelude::*;

/// A campaign.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "campaigns")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// Whose campaign it is.
    pub client_id: String,
    /// The channel it runs on.
    pub channel: String,
    /// The provider's id.
    pub provider_id: String,
    /// Its name, as last told.
    pub name: Option<String>,
}

/// None: what belongs together is read by keys.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
