//! The index by which the list of deliveries finds its pages, with any filter.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

// The last column is not `id` itself, so that no planner can take the primary key for the same
// order. With few statuses and channels it would expect to find a page of any client soon, and read
// past the deliveries of all other clients.
const UP: &str = "
create index deliveries_listed on deliveries (client_id, channel, status, (id + 0));
";

const DOWN: &str = "
drop index deliveries_listed;
";
