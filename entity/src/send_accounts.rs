//! Accounts at providers through which nothing is sent for a while.

use crate::Instant;
use sea_orm::entity::prelude::*;

/// The account of a client on a channel.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "send_accounts")]
pub struct Model {
    /// The client.
    #[sea_orm(primary_key, auto_increment = false)]
    pub client_id: String,
    /// The channel.
    #[sea_orm(primary_key, auto_increment = false)]
    pub channel: String,
    /// `rate_limited` or `disconnected`.
    pub state: String,
    /// Nothing is sent before then.
    pub paused_until: Instant,
    /// What the provider answered.
    pub reason: String,
    /// When the account came into that state.
    pub since: Instant,
}

/// No relations: rows that belong together are read by their keys.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
