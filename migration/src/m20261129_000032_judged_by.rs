//! By what each message got its tag.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

// Null in messages that have no tag, and in rows of earlier versions.
const UP: &str = "
alter table messages add column judged_by text;
";

const DOWN: &str = "
alter table messages drop column judged_by;
";
