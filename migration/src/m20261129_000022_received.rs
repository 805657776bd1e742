//! Finds what a request brought, by the id that its answer named.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

// Ids of requests grow with time unless the sender gives them, so new entries of the index lie
// together.
const UP: &str = "
create index messages_by_request on messages (request_id, id) where request_id is not null;
create index quarantine_by_request on quarantine (request_id, id) where request_id is not null;
";

const DOWN: &str = "
drop index quarantine_by_request;
drop index messages_by_request;
";
