//! The hash of each signed webhook's body, so that the same id with another body does not count as
//! a duplicate.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

/// Null for keys of other kinds, and for webhooks that an earlier version stored.
const UP: &str = "
alter table message_keys add column body_hash text;
";

const DOWN: &str = "
alter table message_keys drop column body_hash;
";
