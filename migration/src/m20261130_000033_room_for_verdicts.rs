//! Room on the pages of messages and leads for the versions that a verdict and a score make.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

// No index has a column that these change, so a version on the same page needs no index entries.
const UP: &str = "
@only_postgres alter table messages set (fillfactor = 50);
@only_postgres alter table leads set (fillfactor = 50);
";

const DOWN: &str = "
@only_postgres alter table messages reset (fillfactor);
@only_postgres alter table leads reset (fillfactor);
";
