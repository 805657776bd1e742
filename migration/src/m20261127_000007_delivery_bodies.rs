//! The body of each signed delivery, so that its id with another body is no repetition.

use super::run;
use sea_orm_migration::{async_trait, prelude::*};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait's own signature elides it; naming it is another signature"
)]
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, DOWN).await
    }
}

/// Null for keys of other kinds, and for deliveries that were stored before.
const UP: &str = "
alter table message_keys add column body_hash text;
";

const DOWN: &str = "
alter table message_keys drop column body_hash;
";
