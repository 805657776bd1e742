//! The identities of leads.

use crate::domain::Id;
use crate::store::engine::{
    StoreError,
    sql::sql,
    tx::{Tx, group},
};

sql! {
    /// The identities of leads. By `lead_identities_of_lead`.
    static READ_IDENTITIES_OF =
        "select lead_id, kind, value from lead_identities where lead_id @ids($1)";
}

/// An identity as it is stored. Its kind may be one that this version does not know.
#[derive(Clone, Debug)]
pub(in crate::store) struct StoredIdentity {
    pub(in crate::store) lead_id: Id,
    pub(in crate::store) kind: String,
    pub(in crate::store) value: String,
}

/// The identities of these leads.
pub(in crate::store) async fn of_leads(
    tx: &Tx,
    ids: &[Id],
) -> Result<Vec<StoredIdentity>, StoreError> {
    let rows = tx.all(&READ_IDENTITIES_OF, [group(ids)?]).await?;
    let identity = |row: &sea_orm::QueryResult| {
        Ok(StoredIdentity {
            lead_id: row.try_get("", "lead_id")?,
            kind: row.try_get("", "kind")?,
            value: row.try_get("", "value")?,
        })
    };
    rows.iter().map(identity).collect()
}
