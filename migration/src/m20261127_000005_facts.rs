//! What was told from names before, and what a node serves: whether a job stands in its lead's
//! line, and of which clients a node knows.

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

// Null in rows of earlier versions: of those nothing is known.
const UP: &str = "
alter table jobs add column in_lead_line @bool;
alter table nodes add column clients text;
";

const DOWN: &str = "
alter table nodes drop column clients;
alter table jobs drop column in_lead_line;
";
