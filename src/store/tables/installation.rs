//! The small table of what belongs to a database, and not to what is stored in it.

use crate::config::Secret;
use crate::store::engine::{StoreError, sessions::Sessions, sql::sql, tx::read};

sql! {
    /// A value. By primary key.
    static READ_INSTALLATION = "select value from installation where name = $1";
}

/// The key of the hashes of suppressed identities. With another key, no suppressed identity would
/// be known again.
pub(in crate::store) const SUPPRESSION_KEY: &str = "suppression_key";
/// The key that signs the cookies of people who have signed in. With another key, all would have to
/// sign in again.
pub(in crate::store) const SESSION_KEY: &str = "session_key";

/// A key, which a migration has made. It never changes.
pub(in crate::store) async fn key(
    reader: &Sessions,
    name: &'static str,
) -> Result<Secret, StoreError> {
    let rows = read(reader, &READ_INSTALLATION, [name.into()]).await?;
    let missing = || StoreError::Broken(format!("the database has no `{name}`"));
    Ok(Secret::new(rows.first().ok_or_else(missing)?.try_get::<String>("", "value")?))
}
