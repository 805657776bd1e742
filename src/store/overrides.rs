//! Overrides of pools, kept for all nodes. Each change is one transaction with its row of the audit
//! log, and raises a version by which other nodes notice it.

use crate::domain::{
    DroppedKey, OverriddenKey, OverrideChange, OverrideEntry, OverrideOrigin, PoolInFiles,
    PoolOverride, Timestamp,
};
use crate::store::{
    AuditEntry,
    audit::add,
    engine::{
        Database, StoreError,
        sql::sql,
        tx::{Finished, Tx, group, read},
    },
};
use sea_orm::QueryResult;
use serde::Serialize;
use std::str::FromStr;

sql! {
    /// Raises the version. Locks the counter's row until the commit, so that changes come one after
    /// the other. By primary key.
    static RAISE_OVERRIDES =
        "insert into counters (name, value) values ('overrides', 1) \
         on conflict (name) do update set value = counters.value + 1 returning value";

    /// All overrides with the version and the database's clock, in one snapshot. If there are no
    /// overrides, the only row has no kind.
    static READ_OVERRIDES =
        "select @ms(@now) as now_ms, \
           coalesce((select value from counters where name = 'overrides'), 0) as version, o.kind, o.name, \
           o.value, o.base, o.changed_by, o.note, @ms(o.changed_at) as changed_at, @ms(o.expires_at) as expires_at \
         from (select 1 as one) x left join pool_overrides o on true order by o.kind, o.name";

    /// Writes keys of overrides.
    static PUT_OVERRIDES =
        "insert into pool_overrides (kind, name, value, base, changed_by, note, changed_at, expires_at) \
         select g.kind, g.name, g.value, g.base, g.changed_by, g.note, @at(g.changed_at), @at(g.expires_at) \
         from @rows($1, kind text, name text, value text, base text, changed_by text, note text, changed_at bigint, \
           expires_at bigint) g";

    /// Deletes the override of a kind. By a prefix of the primary key.
    static DELETE_OVERRIDE = "delete from pool_overrides where kind = $1";
}

/// The handle for overrides of pools.
#[derive(Clone, Debug)]
pub struct Overrides {
    pub(super) db: Database,
}

/// All overrides, as one read found them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredOverrides {
    /// Grows with each change.
    pub version: i64,
    /// In the order of their kinds.
    pub overrides: Vec<PoolOverride>,
    /// The database's clock at the read.
    pub now: Timestamp,
}

impl StoredOverrides {
    fn from_rows(rows: &[QueryResult]) -> Result<Self, StoreError> {
        let mut stored = Self::default();
        for row in rows {
            stored.version = row.try_get("", "version")?;
            stored.now = Timestamp::from_millis(row.try_get("", "now_ms")?);
            let Some(kind) = row.try_get::<Option<String>>("", "kind")? else { continue };
            let expires_at: Option<i64> = row.try_get("", "expires_at")?;
            let set = OverrideOrigin {
                by: row.try_get("", "changed_by")?,
                note: row.try_get("", "note")?,
                at: Timestamp::from_millis(row.try_get("", "changed_at")?),
                expires_at: expires_at.map(Timestamp::from_millis),
                node: None,
            };
            if stored.of(&kind).is_none() {
                stored.overrides.push(PoolOverride::empty(&kind));
            }
            let Some(of_kind) = stored.overrides.last_mut() else { continue };
            match row.try_get::<String>("", "name")?.as_str() {
                "size" => of_kind.size = Some(key_in(row, set)?),
                "paused" => of_kind.paused = Some(key_in(row, set)?),
                name => return Err(StoreError::Broken(format!("pools have no key `{name}`"))),
            }
        }
        Ok(stored)
    }

    /// The override of a kind.
    pub fn of(&self, kind: &str) -> Option<&PoolOverride> {
        self.overrides.iter().find(|it| it.kind == kind)
    }
}

/// A key of an override in its row.
fn key_in<T: FromStr>(
    row: &QueryResult,
    set: OverrideOrigin,
) -> Result<OverriddenKey<T>, StoreError> {
    let value = |column: &str| {
        let text: String = row.try_get("", column)?;
        let broken = |_| StoreError::Broken(format!("an override has the value `{text}`"));
        text.parse().map_err(broken)
    };
    Ok(OverriddenKey { value: value("value")?, base: value("base")?, set })
}

#[derive(Serialize)]
struct OverridePut<'a> {
    kind: &'a str,
    name: &'static str,
    value: String,
    base: String,
    changed_by: &'a str,
    note: Option<&'a str>,
    changed_at: i64,
    expires_at: Option<i64>,
}

impl<'a> OverridePut<'a> {
    fn of(kind: &'a str, entry: OverrideEntry<'a>) -> Self {
        let OverrideEntry { key, value, base, set } = entry;
        Self {
            kind,
            name: key.as_str(),
            value,
            base,
            changed_by: &set.by,
            note: set.note.as_deref(),
            changed_at: set.at.as_millis(),
            expires_at: set.expires_at.map(Timestamp::as_millis),
        }
    }
}

impl Overrides {
    /// All overrides.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn read(&self) -> Result<StoredOverrides, StoreError> {
        self.db
            .call(|db| async move {
                StoredOverrides::from_rows(&read(db.reader(), &READ_OVERRIDES, []).await?)
            })
            .await
    }

    /// Changes the override of `kind`, whose pool is `files` in the files of this node. `entry` is
    /// the row of the audit log; its values are added here. Returns all overrides after the change.
    ///
    /// # Errors
    /// If the database is unreachable. Then nothing is changed, except if the connection was lost
    /// during the commit: then it is unknown.
    pub async fn set(
        &self,
        kind: &str,
        change: OverrideChange,
        files: PoolInFiles,
        entry: AuditEntry,
    ) -> Result<StoredOverrides, StoreError> {
        let kind = kind.to_owned();
        let work = async move |db: Database| {
            db.write("overrides", async |tx| {
                let (before, now) = begin(&tx, &kind).await?;
                let after = PoolOverride::changed(before.clone(), &kind, &change, files, now);
                end(tx, &db, (&kind, before, after), &entry).await
            })
            .await
        };
        self.db.call(work).await
    }

    /// Deletes the override of `kind`. `entry` is the row of the audit log; there is none if there
    /// was no override. Returns all overrides after the change.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub async fn reset(
        &self,
        kind: &str,
        entry: AuditEntry,
    ) -> Result<StoredOverrides, StoreError> {
        let kind = kind.to_owned();
        let work = async move |db: Database| {
            db.write("overrides", async |tx| {
                let (before, _) = begin(&tx, &kind).await?;
                end(tx, &db, (&kind, before, None), &entry).await
            })
            .await
        };
        self.db.call(work).await
    }

    /// Removes keys that no longer apply from the override `judged`, with these rows of the audit
    /// log. Changes nothing if it is no longer as it was judged: another node has removed them, or
    /// a person has renewed it. Returns all overrides after that, and whether this call has removed
    /// them.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub async fn drop_keys(
        &self,
        judged: PoolOverride,
        keys: Vec<DroppedKey>,
        entries: Vec<AuditEntry>,
    ) -> Result<(StoredOverrides, bool), StoreError> {
        let work = async move |db: Database| {
            db.write("overrides", async |tx| {
                let (before, _) = begin(&tx, &judged.kind).await?;
                if before.as_ref() != Some(&judged) {
                    let found = unchanged(&tx).await?;
                    return Ok(tx.roll_back((found, false)));
                }
                let mut after = judged.clone();
                keys.iter().for_each(|dropped| after.clear(dropped.key));
                write(&tx, &judged.kind, after.unless_empty()).await?;
                add(&tx, &db, &entries).await?;
                let found = all(&tx).await?;
                tx.commit((found, true)).await
            })
            .await
        };
        self.db.call(work).await
    }
}

/// Raises the version. Returns the override of `kind`, and the database's clock.
async fn begin(tx: &Tx, kind: &str) -> Result<(Option<PoolOverride>, Timestamp), StoreError> {
    tx.run(&RAISE_OVERRIDES, []).await?;
    let found = all(tx).await?;
    Ok((found.of(kind).cloned(), found.now))
}

async fn all(tx: &Tx) -> Result<StoredOverrides, StoreError> {
    StoredOverrides::from_rows(&tx.all(&READ_OVERRIDES, []).await?)
}

/// All overrides, in a transaction that has begun by [`begin`] and will be rolled back: with the
/// version before it.
async fn unchanged(tx: &Tx) -> Result<StoredOverrides, StoreError> {
    let found = all(tx).await?;
    Ok(StoredOverrides { version: found.version - 1, ..found })
}

/// Writes the override of a kind, or deletes it.
async fn write(tx: &Tx, kind: &str, set: Option<PoolOverride>) -> Result<(), StoreError> {
    tx.run(&DELETE_OVERRIDE, [kind.into()]).await?;
    if let Some(set) = set {
        let rows: Vec<_> = set.keys().map(|entry| OverridePut::of(kind, entry)).collect();
        tx.run(&PUT_OVERRIDES, [group(&rows)?]).await?;
    }
    Ok(())
}

/// Writes a change by a person with its row of the audit log, and commits.
async fn end(
    tx: Tx,
    db: &Database,
    (kind, before, after): (&str, Option<PoolOverride>, Option<PoolOverride>),
    entry: &AuditEntry,
) -> Result<Finished<StoredOverrides>, StoreError> {
    if before.is_none() && after.is_none() {
        let found = unchanged(&tx).await?;
        return Ok(tx.roll_back(found));
    }
    let entry = AuditEntry {
        old_value: before.as_ref().map(ToString::to_string),
        new_value: after.as_ref().map(ToString::to_string),
        ..entry.clone()
    };
    write(&tx, kind, after).await?;
    add(&tx, db, &[entry]).await?;
    let found = all(&tx).await?;
    tx.commit(found).await
}
