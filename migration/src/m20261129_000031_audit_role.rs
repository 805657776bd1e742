//! The role of the person in each row of the audit log.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

// Null where no person acted, and in rows of earlier versions.
const UP: &str = "
alter table audit add column role text;
";

const DOWN: &str = "
alter table audit drop column role;
";
