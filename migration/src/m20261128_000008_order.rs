//! The times of the events that told a lead's state, so that an older event never undoes a newer one.

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

/// Null where nothing was told yet. When a do-not-disturb that stands was told is not known: nothing that is
/// older than now lifts it.
const UP: &str = "
alter table leads add column sms_dnd_at @instant;
alter table leads add column category_at @instant;
alter table messages add column edit_told_at @instant;
update leads set sms_dnd_at = @now where sms_dnd;
";

const DOWN: &str = "
alter table messages drop column edit_told_at;
alter table leads drop column category_at;
alter table leads drop column sms_dnd_at;
";
