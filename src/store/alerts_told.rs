//! Which alerts somebody was told of, and of which nobody has said yet that they are over. Kept so
//! that a restart, or another leader, neither tells the same again nor forgets the end.

use crate::domain::Timestamp;
use crate::store::engine::{
    Database, StoreError,
    sql::sql,
    tx::{read, write_alone},
};
use std::collections::BTreeMap;

sql! {
    /// The alerts that were told, and since when each lasts. By a range of the primary key.
    static READ_TOLD = "select name, value from counters where name >= 'alert/' and name < 'alert0'";

    /// Notes that an alert was told. By primary key.
    static PUT_TOLD =
        "insert into counters (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value";

    /// Notes that its end was told. By primary key.
    static DELETE_TOLD = "delete from counters where name = $1";
}

/// The beginning of their names in `counters`.
const PREFIX: &str = "alert/";

/// The handle for the alerts that were told.
#[derive(Clone, Debug)]
pub struct AlertsTold {
    pub(super) db: Database,
}

impl AlertsTold {
    /// By name: since when each lasts.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn all(&self) -> Result<BTreeMap<String, Timestamp>, StoreError> {
        let rows = self.db.call(|db| async move { read(db.reader(), &READ_TOLD, []).await });
        let mut told = BTreeMap::new();
        for row in rows.await? {
            let name: String = row.try_get("", "name")?;
            let since = Timestamp::from_millis(row.try_get("", "value")?);
            told.insert(name.trim_start_matches(PREFIX).to_owned(), since);
        }
        Ok(told)
    }

    /// Notes that the alert of this name was told (`since`), or its end (`None`).
    ///
    /// # Errors
    /// If the database is unreachable; then nothing is noted.
    pub async fn note(&self, name: &str, since: Option<Timestamp>) -> Result<(), StoreError> {
        let name = format!("{PREFIX}{name}");
        self.db
            .call(|db| async move {
                let writer = &db.connections().writer;
                match since {
                    Some(since) => {
                        let values = [name.into(), since.as_millis().into()];
                        write_alone(writer, &PUT_TOLD, values).await?
                    }
                    None => write_alone(writer, &DELETE_TOLD, [name.into()]).await?,
                };
                Ok(())
            })
            .await
    }
}
