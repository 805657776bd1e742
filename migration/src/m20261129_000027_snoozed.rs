//! Drafts that a person has put off, and those that something blocks, each found by client.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

// The last column is not `id` itself, for the reason that `deliveries_listed` gives. Few drafts are
// in either index.
const UP: &str = "
alter table drafts add column snoozed_until @instant;
create index drafts_snoozed on drafts (client_id, (id + 0)) where status = 'pending' and snoozed_until is not null;
create index drafts_blocked on drafts (client_id, (id + 0)) where blocked_by is not null and status in ('pending', 'approved');
";

const DOWN: &str = "
drop index drafts_blocked;
drop index drafts_snoozed;
alter table drafts drop column snoozed_until;
";
