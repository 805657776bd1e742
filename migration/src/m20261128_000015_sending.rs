//! What a send needs: which run of which job may have its call on the wire, accounts that are
//! paused, and for drafts how the gate decided and when they go out.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

// A draft has one delivery, whatever becomes of its job. `marked_run` is the run of the job whose
// call may be on the wire; null if there is none. `marked_at` is when it was marked last. By its
// provider's id a delivery is found when the provider reports something about it.
const UP: &str = "
alter table deliveries add column job_id @bigint;
alter table deliveries add column marked_run @int;
alter table deliveries add column marked_at @instant;
create index deliveries_by_provider_id on deliveries (client_id, channel, provider_id) where provider_id is not null;
create unique index deliveries_of_draft on deliveries (draft_id) where draft_id is not null;
create index deliveries_uncertain on deliveries (client_id) where status = 'uncertain';
create table send_accounts (
    client_id text not null,
    channel text not null,
    state text not null,
    paused_until @instant not null,
    reason text not null,
    since @instant not null,
    primary key (client_id, channel)
) @keyed;
alter table drafts add column tag text;
alter table drafts add column from_template @bool not null default @false;
alter table drafts add column gate_decision text;
alter table drafts add column gate_confidence double precision;
alter table drafts add column gate_threshold double precision;
alter table drafts add column gate_reason text;
alter table drafts add column send_at @instant;
alter table drafts add column note text;
";

const DOWN: &str = "
alter table drafts drop column note;
alter table drafts drop column send_at;
alter table drafts drop column gate_reason;
alter table drafts drop column gate_threshold;
alter table drafts drop column gate_confidence;
alter table drafts drop column gate_decision;
alter table drafts drop column from_template;
alter table drafts drop column tag;
drop table send_accounts;
drop index deliveries_uncertain;
drop index deliveries_of_draft;
drop index deliveries_by_provider_id;
alter table deliveries drop column marked_at;
alter table deliveries drop column marked_run;
alter table deliveries drop column job_id;
";
