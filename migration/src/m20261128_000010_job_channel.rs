//! The channel of the message that brought a job.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

// Null in jobs without a message, and in rows of earlier versions, which did not note it.
const UP: &str = "
alter table jobs add column channel text;
";

const DOWN: &str = "
alter table jobs drop column channel;
";
