//! The small table of what belongs to a database, and not to what is stored in it.

use crate::config::Secret;
use crate::store::engine::{StoreError, sessions::Sessions, sql::sql, tx::read};

sql! {
    /// A value. By primary key.
    static READ_INSTALLATION = "select value from installation where name = $1";
}

/// The key of the hashes of suppressed identities, which the migration has made. It never changes:
/// with another key, no suppressed identity would be known again.
pub(in crate::store) async fn suppression_key(reader: &Sessions) -> Result<Secret, StoreError> {
    let rows = read(reader, &READ_INSTALLATION, ["suppression_key".into()]).await?;
    let missing = || StoreError::Broken("the database has no suppression key".to_owned());
    Ok(Secret::new(rows.first().ok_or_else(missing)?.try_get::<String>("", "value")?))
}
