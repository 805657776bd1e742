//! The trace of each run of a job.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

// Null in runs that are not recorded, and in rows of earlier versions.
const UP: &str = "
alter table job_attempts add column trace_id text;
";

const DOWN: &str = "
alter table job_attempts drop column trace_id;
";
