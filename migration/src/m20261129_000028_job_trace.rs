//! The span in which a job was made.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

// Null in jobs whose trace is not recorded, and in rows of earlier versions.
const UP: &str = "
alter table jobs add column trace text;
";

const DOWN: &str = "
alter table jobs drop column trace;
";
