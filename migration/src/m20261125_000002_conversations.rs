//! Leads with their identities, campaigns, messages with their dedupe keys, drafts, and the
//! quarantine.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

const UP: &str = "
create table campaigns (
    id @bigint primary key,
    client_id text not null,
    channel text not null,
    provider_id text not null,
    name text,
    unique (client_id, channel, provider_id)
);
create table leads (
    id @bigint primary key,
    client_id text not null,
    status text not null,
    sentiment text,
    first_name text,
    last_name text,
    company_name text,
    title text,
    email text,
    phone text,
    timezone text,
    campaign_id @bigint,
    opted_out_at @instant,
    opted_out_channel text,
    opted_out_message_id @bigint,
    opted_out_reason text,
    bounced_at @instant,
    bounced_address text,
    bounced_reason text,
    sms_dnd @bool not null default @false,
    connected_at @instant,
    snoozed_until @instant,
    fit @int,
    intent @int,
    overall @int,
    score_reason text,
    scored_at @instant,
    last_message_at @instant,
    last_inbound_at @instant,
    last_outbound_at @instant,
    newest_inbound_id @bigint,
    merged_into @bigint,
    created_at @instant not null
);
create index leads_by_client on leads (client_id, id);
create table lead_identities (
    client_id text not null,
    kind text not null,
    value text not null,
    lead_id @bigint not null,
    primary key (client_id, kind, value)
) @keyed;
create index lead_identities_of_lead on lead_identities (lead_id);
create table messages (
    id @bigint primary key,
    client_id text not null,
    lead_id @bigint not null,
    channel text not null,
    direction text not null,
    source text not null,
    provider_id text,
    reply_handle text,
    event_type text,
    campaign_id @bigint,
    subject text,
    body text not null,
    has_new_text @bool not null,
    raw_text text,
    raw_html text,
    payload text,
    sender text not null,
    recipients text not null,
    cc text not null,
    attachments text not null,
    sentiment text,
    automated @bool not null,
    request_id text,
    sent_at @instant not null,
    created_at @instant not null,
    edited_at @instant,
    deleted_at @instant,
    handled_at @instant
);
create index messages_of_lead on messages (lead_id, id);
create table message_keys (
    client_id text not null,
    channel text not null,
    kind text not null,
    key text not null,
    message_id @bigint not null,
    first_seen @instant not null,
    expires_at @instant,
    primary key (client_id, channel, kind, key)
) @keyed;
create table drafts (
    id @bigint primary key,
    client_id text not null,
    lead_id @bigint not null,
    message_id @bigint not null,
    channel text not null,
    status text not null,
    subject text,
    body text not null,
    parts text not null,
    edited @bool not null default @false,
    blocked_by text,
    created_at @instant not null,
    decided_at @instant,
    decided_by text,
    unique (message_id, channel)
);
create index drafts_of_lead on drafts (lead_id, id);
create unique index drafts_pending on drafts (lead_id, channel) where status = 'pending';
create table quarantine (
    id @bigint primary key,
    client_id text not null,
    channel text not null,
    body_hash text not null,
    event_type text,
    reason text not null,
    status text not null,
    count @bigint not null,
    payload text not null,
    request_id text,
    received_at @instant not null,
    last_received_at @instant not null,
    unique (client_id, channel, body_hash)
);
";

const DOWN: &str = "
drop table quarantine;
drop table drafts;
drop table message_keys;
drop table messages;
drop table lead_identities;
drop table leads;
drop table campaigns;
";
