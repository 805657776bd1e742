//! What nodes share: caps of clients, who does the chores, and by what those find what is old.

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

const UP: &str = "
alter table job_ready add column held @bigint;
create index job_ready_held on job_ready (client_id, held) where held is not null;
create table job_caps (
    client_id text primary key,
    cap @bigint not null,
    admitted @bigint not null,
    held @bigint not null
) @hot_row;
create index message_keys_expiring on message_keys (expires_at) where expires_at is not null;
create table leases (
    name text primary key,
    node @bigint not null,
    expires_at @instant not null
) @hot_row;
";

const DOWN: &str = "
drop table leases;
drop index message_keys_expiring;
drop table job_caps;
drop index job_ready_held;
alter table job_ready drop column held;
";
