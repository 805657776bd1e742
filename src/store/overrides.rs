//! Overrides of pools, kept for all nodes. Each change is one transaction with its row of the audit
//! log, and raises a version by which other nodes notice it.

use crate::domain::{DroppedKey, OverrideChange, PoolInFiles, PoolOverride, Timestamp};
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
           coalesce((select value from counters where name = 'overrides'), 0) as version, o.kind, o.size, \
           case when o.paused then 1 when not o.paused then 0 end as paused, o.base_size, \
           case when o.base_paused then 1 when not o.base_paused then 0 end as base_paused, \
           o.changed_by, o.note, @ms(o.changed_at) as changed_at, @ms(o.expires_at) as expires_at \
         from (select 1 as one) x left join pool_overrides o on true order by o.kind";

    /// Writes overrides. By primary key.
    static PUT_OVERRIDES =
        "insert into pool_overrides (kind, size, paused, base_size, base_paused, changed_by, note, changed_at, expires_at) \
         select g.kind, g.size, g.paused, g.base_size, g.base_paused, g.changed_by, g.note, @at(g.changed_at), @at(g.expires_at) \
         from @rows($1, kind text, size bigint, paused boolean, base_size bigint, base_paused boolean, changed_by text, \
           note text, changed_at bigint, expires_at bigint) g where true \
         on conflict (kind) do update set size = excluded.size, paused = excluded.paused, base_size = excluded.base_size, \
           base_paused = excluded.base_paused, changed_by = excluded.changed_by, note = excluded.note, \
           changed_at = excluded.changed_at, expires_at = excluded.expires_at";

    /// Deletes the override of a kind. By primary key.
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
            let Some(kind) = row.try_get("", "kind")? else { continue };
            let size = |column: &str| {
                let size: Option<i64> = row.try_get("", column)?;
                Ok::<_, StoreError>(size.and_then(|it| usize::try_from(it).ok()))
            };
            let paused = |column: &str| {
                let paused: Option<i32> = row.try_get("", column)?;
                Ok::<_, StoreError>(paused.map(|it| it != 0))
            };
            let expires_at: Option<i64> = row.try_get("", "expires_at")?;
            stored.overrides.push(PoolOverride {
                kind,
                size: size("size")?,
                paused: paused("paused")?,
                base_size: size("base_size")?,
                base_paused: paused("base_paused")?,
                by: row.try_get("", "changed_by")?,
                note: row.try_get("", "note")?,
                at: Timestamp::from_millis(row.try_get("", "changed_at")?),
                expires_at: expires_at.map(Timestamp::from_millis),
                node: None,
            });
        }
        Ok(stored)
    }

    /// The override of a kind.
    pub fn of(&self, kind: &str) -> Option<&PoolOverride> {
        self.overrides.iter().find(|it| it.kind == kind)
    }
}

#[derive(Serialize)]
struct OverridePut<'a> {
    kind: &'a str,
    size: Option<usize>,
    paused: Option<bool>,
    base_size: Option<usize>,
    base_paused: Option<bool>,
    changed_by: &'a str,
    note: Option<&'a str>,
    changed_at: i64,
    expires_at: Option<i64>,
}

impl<'a> OverridePut<'a> {
    fn of(set: &'a PoolOverride) -> Self {
        Self {
            kind: &set.kind,
            size: set.size,
            paused: set.paused,
            base_size: set.base_size,
            base_paused: set.base_paused,
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
    match set {
        Some(set) => tx.run(&PUT_OVERRIDES, [group(&[OverridePut::of(&set)])?]).await?,
        None => tx.run(&DELETE_OVERRIDE, [kind.into()]).await?,
    };
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
