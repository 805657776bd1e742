//! The calls of models: a row for each request to a model's server, without any text.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

// `retry` is 0 for the first request of a question.
const UP: &str = "
create table model_calls (
    id @bigint primary key,
    kind text not null,
    feature text not null,
    prompt text not null,
    model text not null,
    status text not null,
    error text,
    tokens_in @bigint,
    tokens_out @bigint,
    latency_ms @bigint not null,
    retry @bigint not null,
    client_id text not null,
    lead_id @bigint,
    job_id @bigint not null,
    node @bigint not null,
    created_at @instant not null
);
create index model_calls_by_client on model_calls (client_id, id);
create index model_calls_by_lead on model_calls (lead_id, id);
create index model_calls_by_job on model_calls (job_id, id);
create index model_calls_by_feature on model_calls (feature, id);
create index model_calls_by_status on model_calls (status, id);
";

const DOWN: &str = "
drop table model_calls;
";
