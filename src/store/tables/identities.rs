//! The identities of leads.

use crate::domain::{ChannelDirectory, Id, IdentityKind, lead::Barriers};
use crate::store::engine::{
    StoreError,
    sql::sql,
    tx::{Tx, flag, group},
};
use serde::Serialize;

sql! {
    /// The identities of leads. By `lead_identities_of_lead`.
    static READ_IDENTITIES_OF =
        "select lead_id, kind, value from lead_identities where lead_id @ids($1)";

    /// The leads that are known by some identities, with their barriers. By primary keys.
    static READ_OWNERS =
        "select l.id, case when l.opted_out_at is null then 0 else 1 end as opted_out, \
           case when l.bounced_at is null then 0 else 1 end as bounced, case when l.sms_dnd then 1 else 0 end as sms_dnd \
         from @rows($1, client_id text, kind text, value text) g \
         join lead_identities i on i.client_id = g.client_id and i.kind = g.kind and i.value = g.value \
         join leads l on l.id = i.lead_id";
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

/// What keeps messages from an address on a channel, because of leads other than `lead_id` that are
/// known by it. A message may come as one lead's, and from the address of another: two ids of a
/// provider are two leads, though one person may write as both.
pub(in crate::store) async fn barriers_of_others(
    channels: &ChannelDirectory,
    tx: &Tx,
    (client_id, lead_id): (&str, Id),
    channel: &str,
    address: Option<&str>,
) -> Result<Barriers, StoreError> {
    #[derive(Serialize)]
    struct Row<'a> {
        client_id: &'a str,
        kind: &'static str,
        value: String,
    }
    let none = Barriers { opted_out: false, bounced: false, sms_dnd: false };
    let Some(address) = address.map(str::trim).filter(|it| !it.is_empty()) else { return Ok(none) };
    let row = |kind: IdentityKind| Row {
        client_id,
        kind: kind.as_str(),
        value: match kind {
            IdentityKind::MAIL_ADDRESS => address.to_lowercase(),
            _ => address.to_owned(),
        },
    };
    let rows: Vec<Row<'_>> = channels.identities_on(channel).map(row).collect();
    let mut found = none;
    for row in tx.all(&READ_OWNERS, [group(&rows)?]).await? {
        if row.try_get::<Id>("", "id")? != lead_id {
            found = found.and(Barriers {
                opted_out: flag(&row, "opted_out")?,
                bounced: flag(&row, "bounced")?,
                sms_dnd: flag(&row, "sms_dnd")?,
            });
        }
    }
    Ok(found)
}
