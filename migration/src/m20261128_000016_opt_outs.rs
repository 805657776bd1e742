//! Opt-outs as facts of their own, and the suppression that outlives the data of a person.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

// `lead_id` is null once the lead was erased. `suppressed` has the keyed hashes of the identities
// of leads that were erased and must not be written to. The key is made here, once for each
// database.
// A lead that opted out before has one fact, with the lead's id: no other opt-out can have it.
const UP: &str = "
create table installation (
    name text primary key,
    value text not null
);
insert into installation (name, value) values ('suppression_key', @random_hex);
create table opt_outs (
    id @bigint primary key,
    client_id text not null,
    lead_id @bigint,
    opted_out_at @instant not null,
    channel text,
    message_id @bigint,
    reason text not null,
    source text not null,
    noted_by text,
    lifted_at @instant,
    lifted_by text,
    lift_note text
);
create index opt_outs_of_lead on opt_outs (lead_id);
create table suppressed (
    client_id text not null,
    identity_hash text not null,
    opt_out_id @bigint not null,
    primary key (client_id, identity_hash)
) @keyed;
create index suppressed_of_opt_out on suppressed (opt_out_id);
insert into opt_outs (id, client_id, lead_id, opted_out_at, channel, message_id, reason, source)
    select id, client_id, id, opted_out_at, opted_out_channel, opted_out_message_id, coalesce(opted_out_reason, ''),
        case when opted_out_message_id is null then 'provider' else 'words' end
    from leads where opted_out_at is not null and merged_into is null;
";

const DOWN: &str = "
drop table suppressed;
drop table opt_outs;
drop table installation;
";
