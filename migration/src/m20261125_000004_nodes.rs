//! What nodes share: the caps of clients and the leader's lease. And the index by which chores find
//! expired keys.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

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
