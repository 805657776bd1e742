//! What each client holds in quarantine, counted, so that its bound is known without counting rows.

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
alter table quarantine add column size @bigint not null default 0;
update quarantine set size = @payload_bytes;
create index quarantine_by_hash on quarantine (body_hash);
create table quarantine_room (
    client_id text primary key,
    items @bigint not null,
    bytes @bigint not null
) @hot_row;
insert into quarantine_room (client_id, items, bytes)
    select client_id, count(*), sum(size) from quarantine where status = 'held' group by client_id;
";

const DOWN: &str = "
drop table quarantine_room;
drop index quarantine_by_hash;
alter table quarantine drop column size;
";
