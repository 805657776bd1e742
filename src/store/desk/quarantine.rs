//! The quarantine for the admin API: webhooks to examine, to replay after a fix, or to discard.

use super::{
    Page,
    jobs::count,
    portions::{Heavy, portions},
    values::{self, CHANNELS_OF_QUARANTINE, CLIENTS_OF_QUARANTINE, each_with_each},
};
use crate::domain::Id;
use crate::store::{
    engine::{
        Database, StoreError,
        sessions::Sessions,
        sql::sql,
        tx::{group, read},
    },
    tables::quarantine_room::QuarantineRooms,
};
use entity::quarantine;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use serde::Serialize;
use std::collections::BTreeSet;

pub use entity::quarantine::{Listed as ListedQuarantine, Model as QuarantineRow};

sql! {
    /// The client of an item. By primary key.
    static READ_QUARANTINED_OF =
        "select client_id from quarantine where id = $1";

    /// Settles a held item. Returns no row if it was settled before, or does not exist. By primary
    /// key.
    static SETTLE_QUARANTINE =
        "update quarantine set status = $2 where id = $1 and status = 'held' returning size";

    /// Items, newest first. By primary key.
    static LIST_QUARANTINE =
        "select q.id, cast(octet_length(q.payload) as bigint) as weight from quarantine q where q.id < $1 order by q.id desc limit $2";

    /// The same for some clients, channels and statuses, a page of each. By `quarantine_listed`.
    static LIST_QUARANTINE_BY =
        "select q.id, cast(octet_length(q.payload) as bigint) as weight from @rows($3, client_id text, channel text, status text) g join quarantine q on q.id @each( \
           select x.id from quarantine x where x.client_id = g.client_id and x.channel = g.channel and x.status = g.status \
             and x.id < $1 order by x.id desc limit $2) order by q.id desc limit $2";
}

/// The statuses of items.
const STATUSES: [&str; 3] = ["held", "replayed", "discarded"];

/// Selects items. The values of a field are alternatives; all fields must match; an empty field
/// matches all items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuarantineFilter {
    /// `held`, `replayed` or `discarded`.
    pub status: Vec<String>,
    /// Their clients.
    pub client: Vec<String>,
    /// Their channels.
    pub channel: Vec<String>,
}

/// Items, newest first, without their payloads.
pub(super) async fn list(
    reader: &Sessions,
    filter: QuarantineFilter,
    limit: usize,
    cursor: Option<Id>,
) -> Result<Page<ListedQuarantine>, StoreError> {
    let Page { items, next } = weighed(reader, filter, limit, cursor).await?;
    let mut found = Vec::with_capacity(items.len());
    for ids in portions(&items) {
        found.extend(listed(reader, ids).await?);
    }
    Ok(Page { items: found, next })
}

/// These items, newest first, without their payloads.
pub(super) async fn listed(
    reader: &Sessions,
    ids: Vec<Id>,
) -> Result<Vec<ListedQuarantine>, StoreError> {
    let select = quarantine::Entity::find().filter(quarantine::Column::Id.is_in(ids));
    let newest_first = select.order_by_desc(quarantine::Column::Id);
    Ok(newest_first.into_partial_model().all(reader).await?)
}

/// The same, with no more than the sizes of their payloads.
pub(super) async fn weighed(
    reader: &Sessions,
    filter: QuarantineFilter,
    limit: usize,
    cursor: Option<Id>,
) -> Result<Page<Heavy>, StoreError> {
    #[derive(Serialize)]
    struct Row<'a> {
        client_id: &'a str,
        channel: &'a str,
        status: &'a str,
    }
    let QuarantineFilter { status, client, channel } = filter;
    let [before, most] = [cursor.unwrap_or(Id::MAX).into(), count(limit + 1)];
    let found = if [&status, &client, &channel].into_iter().all(Vec::is_empty) {
        read(reader, &LIST_QUARANTINE, [before, most]).await?
    } else {
        let clients = values::clients(reader, &CLIENTS_OF_QUARANTINE, &client).await?;
        let pairs = values::pairs(reader, &CHANNELS_OF_QUARANTINE, clients, &channel).await?;
        let statuses =
            if status.is_empty() { STATUSES.map(str::to_owned).to_vec() } else { status };
        let all = each_with_each(&pairs, &statuses);
        let rows: Vec<Row<'_>> = all
            .iter()
            .map(|((client_id, channel), status)| Row { client_id, channel, status })
            .collect();
        read(reader, &LIST_QUARANTINE_BY, [before, most, group(&rows)?]).await?
    };
    let mut heavy = Vec::with_capacity(found.len());
    for row in &found {
        heavy.push(Heavy { id: row.try_get("", "id")?, weight: row.try_get("", "weight")? });
    }
    Ok(Page::cut(heavy, limit, |it| it.id))
}

/// One item.
pub(super) async fn one(reader: &Sessions, id: Id) -> Result<Option<QuarantineRow>, StoreError> {
    Ok(quarantine::Entity::find_by_id(id).one(reader).await?)
}

/// Settles a held item. False if it is not held.
pub(super) async fn settle(
    db: &Database,
    id: Id,
    status: &'static str,
) -> Result<bool, StoreError> {
    db.write("quarantine", async |tx| {
        let found = tx.all(&READ_QUARANTINED_OF, [id.into()]).await?;
        let Some(row) = found.first() else { return Ok(tx.roll_back(false)) };
        let client: String = row.try_get("", "client_id")?;
        let mut rooms = QuarantineRooms::lock(&tx, &BTreeSet::from([client.as_str()])).await?;
        let settled = tx.all(&SETTLE_QUARANTINE, [id.into(), status.into()]).await?;
        for row in &settled {
            rooms.set(&client, rooms.of(&client).without(row.try_get("", "size")?));
        }
        rooms.write(&tx).await?;
        tx.commit(!settled.is_empty()).await
    })
    .await
}
