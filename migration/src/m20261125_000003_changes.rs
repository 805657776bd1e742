//! Deliveries, failed messages, merged leads, and the categories that providers give leads.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

const UP: &str = "
alter table leads add column category text;
create index leads_merged on leads (merged_into) where merged_into is not null;
alter table messages add column failed_at @instant;
create table deliveries (
    id @bigint primary key,
    client_id text not null,
    lead_id @bigint not null,
    draft_id @bigint,
    message_id @bigint,
    channel text not null,
    status text not null,
    text_key text not null,
    provider_id text,
    attempts @int not null default 0,
    error text,
    created_at @instant not null,
    settled_at @instant
);
create index deliveries_of_lead on deliveries (lead_id, id);
create index deliveries_of_message on deliveries (message_id) where message_id is not null;
";

const DOWN: &str = "
drop table deliveries;
alter table messages drop column failed_at;
drop index leads_merged;
alter table leads drop column category;
";
