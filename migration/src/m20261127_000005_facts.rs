//! Whether a job stands in its lead's line, and which clients a node has in its configuration.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

// Null in rows of earlier versions, which did not note it.
const UP: &str = "
alter table jobs add column in_lead_line @bool;
alter table nodes add column clients text;
";

const DOWN: &str = "
alter table nodes drop column clients;
alter table jobs drop column in_lead_line;
";
