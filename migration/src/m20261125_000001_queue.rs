//! The queue. `jobs` has the facts, small tables have the state that changes, and `job_attempts`
//! has the history.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

const UP: &str = "
create table nodes (
    id @bigint primary key,
    slot @int not null unique,
    role text not null,
    started_at @instant not null,
    seen_at @instant not null
);
create table counters (
    name text primary key,
    value @bigint not null
);
create table jobs (
    id @bigint primary key,
    kind text not null,
    client_id text not null,
    lead_id @bigint,
    subject_id @bigint not null,
    message_id @bigint,
    draft_id @bigint,
    max_attempts @int not null,
    run_at @instant not null,
    created_at @instant not null,
    unique (subject_id, kind)
);
create table job_ready (
    line @bigint primary key,
    job_id @bigint not null,
    kind text not null,
    client_id text not null,
    turn @bigint,
    run_at @instant,
    run @int not null default 0,
    spared @int not null default 0,
    node @bigint,
    locked_at @instant
) @hot_queue;
create index job_ready_turn on job_ready (kind, turn, client_id) where turn is not null;
create index job_ready_retry on job_ready (run_at) where run_at is not null;
create table job_blocked (
    line @bigint not null,
    pos @bigint not null,
    job_id @bigint not null unique,
    kind text not null,
    client_id text not null,
    run @int not null,
    spared @int not null,
    primary key (line, pos)
) @keyed;
create table job_later (
    job_id @bigint primary key,
    run_at @instant not null,
    line @bigint not null,
    kind text not null,
    client_id text not null,
    run @int not null,
    spared @int not null
);
create index job_later_due on job_later (run_at, job_id);
create table job_attempts (
    job_id @bigint not null,
    run @int not null,
    spared @int not null,
    outcome text not null,
    ended @bool not null,
    node @bigint,
    actor text,
    started_at @instant,
    finished_at @instant not null,
    error text,
    primary key (job_id, run)
) @keyed;
create index job_attempts_unsuccessful on job_attempts (job_id) where ended and outcome <> 'succeeded';
create table job_clients (
    client_id text not null,
    kind text not null,
    last_turn @bigint not null default 0,
    last_due @bigint not null default 0,
    primary key (client_id, kind)
) @hot_row;
create table job_clock (
    kind text not null,
    node @bigint not null,
    turn @bigint not null,
    primary key (kind, node)
) @hot_row;
create table job_counts (
    node @bigint not null,
    kind text not null,
    state text not null,
    count @bigint not null,
    primary key (node, kind, state)
) @hot_row;
";

const DOWN: &str = "
drop table job_counts;
drop table job_clock;
drop table job_clients;
drop table job_attempts;
drop table job_later;
drop table job_blocked;
drop table job_ready;
drop table jobs;
drop table counters;
drop table nodes;
";
