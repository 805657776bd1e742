//! The index by which the list of drafts finds its pages, with any filter.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

// The last column is not `id` itself, for the reason that `deliveries_listed` gives.
const UP: &str = "
drop index drafts_listed;
create index drafts_listed on drafts (client_id, channel, status, (id + 0));
";

const DOWN: &str = "
drop index drafts_listed;
create index drafts_listed on drafts (client_id, status, id);
";
