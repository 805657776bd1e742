//! The times of the events that told a lead's state, so that an older event never undoes a newer one.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

/// Null where nothing was told yet. When a do-not-disturb that stands was told is not known: nothing that is
/// older than now lifts it.
const UP: &str = "
alter table leads add column sms_dnd_at @instant;
alter table leads add column category_at @instant;
alter table messages add column edit_told_at @instant;
update leads set sms_dnd_at = @now where sms_dnd;
";

const DOWN: &str = "
alter table messages drop column edit_told_at;
alter table leads drop column category_at;
alter table leads drop column sms_dnd_at;
";
