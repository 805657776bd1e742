//! Indexes by which the lists of the API find their pages, with any filter.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

// No statement used `leads_by_client`, and `leads_listed` begins with the same column.
// `leads_by_message` has the condition `id > 0` so that only statements that repeat it can use the
// index. For others a planner might choose it for its order, and read past the leads of all other
// clients.
const UP: &str = "
drop index leads_by_client;
create index leads_listed on leads (client_id, status, last_message_at desc @nulls_last, id desc)
    where merged_into is null;
create index leads_by_message on leads (last_message_at desc @nulls_last, id desc)
    where merged_into is null and id > 0;
create index messages_listed on messages (client_id, channel, direction, id);
create index jobs_listed on jobs (client_id, kind, id);
create index job_ready_of_leads on job_ready (job_id) where line > 0;
create index drafts_listed on drafts (client_id, status, id);
create index quarantine_listed on quarantine (client_id, channel, status, id);
create index quarantine_held on quarantine (id) where status = 'held';
";

const DOWN: &str = "
drop index quarantine_held;
drop index quarantine_listed;
drop index drafts_listed;
drop index job_ready_of_leads;
drop index jobs_listed;
drop index messages_listed;
drop index leads_by_message;
drop index leads_listed;
create index leads_by_client on leads (client_id, id);
";
