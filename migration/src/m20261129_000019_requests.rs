//! Indexes by which a search finds what came with a request.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

const UP: &str = "
create index messages_of_request on messages (request_id) where request_id is not null;
create index quarantine_of_request on quarantine (request_id) where request_id is not null;
";

const DOWN: &str = "
drop index quarantine_of_request;
drop index messages_of_request;
";
