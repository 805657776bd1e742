//! Sessions of people who have signed in.

use crate::Instant;
use sea_orm::entity::prelude::*;

/// A session, from a sign-in until it is revoked or expires.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    /// The id of the session. It is no secret.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// SHA-256 of the random part of its cookie, in hex. Unique.
    pub hash: String,
    /// SHA-256 of what its cookie says about the token by which the person signed in, in hex.
    pub token_mark: String,
    /// The user of the configuration.
    pub user_name: String,
    /// The name in the audit log.
    pub actor: String,
    /// What the browser says of itself.
    pub browser: String,
    /// When the person signed in.
    pub created_at: Instant,
    /// When it was last used, to a few minutes.
    pub used_at: Instant,
    /// When it ends, however much it is used.
    pub expires_at: Instant,
    /// When it was ended by hand.
    pub revoked_at: Option<Instant>,
}

/// No relations: rows that belong together are read by their keys.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
