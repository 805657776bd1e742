//! The body of each signed delivery, so that its id with another body is no repetition.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

/// Null for keys of other kinds, and for deliveries that were stored before.
const UP: &str = "
alter table message_keys add column body_hash text;
";

const DOWN: &str = "
alter table message_keys drop column body_hash;
";
