//! Counts what each client holds in quarantine, so that its bound can be checked without counting
//! rows.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

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
