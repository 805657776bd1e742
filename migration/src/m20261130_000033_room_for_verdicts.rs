//! Room on the pages of messages for the version that a verdict makes.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

// No index of messages has a column that a verdict changes: a version on the same page needs no
// index entries.
const UP: &str = "
@only_postgres alter table messages set (fillfactor = 50);
";

const DOWN: &str = "
@only_postgres alter table messages reset (fillfactor);
";
