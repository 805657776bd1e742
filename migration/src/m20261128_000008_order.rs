//! The times of the events that told a lead's state or a message's text, so that an older event
//! never undoes a newer one.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

/// Null if nothing was told yet. For leads with a do-not-disturb the time is not known, so it is
/// set to now: no older event lifts it.
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
