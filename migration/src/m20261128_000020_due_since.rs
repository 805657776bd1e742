//! Since when a head is due. It cannot be told from the job's id: a job that waited for its time,
//! its retry or its client's cap is due later than it was stored.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

const UP: &str = "
alter table job_ready add column due_at @instant;
";

const DOWN: &str = "
alter table job_ready drop column due_at;
";
