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
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QueryResult, Value};
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
        "select q.id, q.event_type, q.reason, cast(octet_length(q.payload) as bigint) as weight from quarantine q \
         where q.id < $1 order by q.id desc limit $2";

    /// The same for some clients, channels and statuses, a page of each. By `quarantine_listed`.
    static LIST_QUARANTINE_BY =
        "select q.id, q.event_type, q.reason, cast(octet_length(q.payload) as bigint) as weight \
         from @rows($3, client_id text, channel text, status text) g join quarantine q on q.id @each( \
           select x.id from quarantine x where x.client_id = g.client_id and x.channel = g.channel and x.status = g.status \
             and x.id < $1 order by x.id desc limit $2) order by q.id desc limit $2";

    /// The same between two ids, the oldest first. By `quarantine_listed`.
    static LIST_OLDEST_QUARANTINE_BY =
        "select q.id, q.event_type, q.reason, cast(octet_length(q.payload) as bigint) as weight \
         from @rows($4, client_id text, channel text, status text) g join quarantine q on q.id @each( \
           select x.id from quarantine x where x.client_id = g.client_id and x.channel = g.channel and x.status = g.status \
             and x.id > $1 and x.id < $2 order by x.id limit $3) order by q.id limit $3";

    /// What items with these ids are. By primary key.
    static READ_QUARANTINE_OF_IDS =
        "select q.id, q.client_id, q.channel, q.event_type, q.reason, q.status, cast(octet_length(q.payload) as bigint) as weight \
         from quarantine q where q.id @ids($1)";
}

/// The statuses of items.
const STATUSES: [&str; 3] = ["held", "replayed", "discarded"];
/// How many items one read looks at if their events or reasons decide.
const READ_MAX: usize = 500;
/// The most reads for one page. After that, a page that is not full has a cursor to continue from.
const READS_MAX: usize = 20;

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
    /// The provider's names of their events; an empty one: without a name.
    pub event_type: Vec<String>,
    /// Why they were not understood.
    pub reason: Vec<String>,
    /// Their ids.
    pub id: Vec<Id>,
}

impl QuarantineFilter {
    /// True if it matches all items.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A filter of items, and how those that match are found.
#[derive(Clone, Debug)]
pub(in crate::store) struct QuarantineSearch {
    filter: QuarantineFilter,
    way: QuarantineWay,
}

/// How items are found.
#[derive(Clone, Debug)]
enum QuarantineWay {
    /// Among all items.
    All,
    /// Among those of the clients, channels and statuses of this group.
    Pairs(Value),
    /// Among those with these ids, in order.
    Ids(Vec<Id>),
}

/// Items that one read has found.
struct FoundItems {
    /// Those that match, in the order of the read.
    items: Vec<Heavy>,
    /// Where the next read begins; `None` if there are no more.
    next: Option<Id>,
}

impl QuarantineSearch {
    /// Prepares a search by `filter`.
    async fn of(reader: &Sessions, filter: QuarantineFilter) -> Result<Self, StoreError> {
        #[derive(Serialize)]
        struct Row<'a> {
            client_id: &'a str,
            channel: &'a str,
            status: &'a str,
        }
        let QuarantineFilter { status, client, channel, event_type: _, reason: _, id } = &filter;
        let way = if !id.is_empty() {
            let ids: BTreeSet<Id> = id.iter().copied().collect();
            QuarantineWay::Ids(ids.into_iter().collect())
        } else if [status, client, channel].into_iter().all(Vec::is_empty) {
            QuarantineWay::All
        } else {
            let clients = values::clients(reader, &CLIENTS_OF_QUARANTINE, client).await?;
            let pairs = values::pairs(reader, &CHANNELS_OF_QUARANTINE, clients, channel).await?;
            let all_statuses = STATUSES.map(str::to_owned);
            let statuses = if status.is_empty() { &all_statuses[..] } else { status };
            let all = each_with_each(&pairs, statuses);
            let rows: Vec<Row<'_>> = all
                .iter()
                .map(|((client_id, channel), status)| Row { client_id, channel, status })
                .collect();
            QuarantineWay::Pairs(group(&rows)?)
        };
        Ok(Self { filter, way })
    }

    /// The same for the items that match and are held, whatever statuses `filter` names.
    pub(in crate::store) async fn held(
        reader: &Sessions,
        filter: QuarantineFilter,
    ) -> Result<Self, StoreError> {
        let [held, ..] = STATUSES;
        Self::of(reader, QuarantineFilter { status: vec![held.to_owned()], ..filter }).await
    }

    /// The next items before `before`, newest first. They may be few, or none, although there are
    /// more.
    pub(in crate::store) async fn newest(
        &self,
        reader: &Sessions,
        before: Id,
    ) -> Result<Page<Id>, StoreError> {
        let found = self.newest_of(reader, before, READ_MAX).await?;
        Ok(Page { items: found.items.iter().map(|it| it.id).collect(), next: found.next })
    }

    /// The next items behind `after` and before `below`, the oldest first. They may be few, or
    /// none, although there are more.
    pub(in crate::store) async fn oldest(
        &self,
        reader: &Sessions,
        after: Id,
        below: Id,
    ) -> Result<Page<Id>, StoreError> {
        let found = match &self.way {
            QuarantineWay::Ids(ids) => {
                let between = ids.iter().copied().filter(|id| (after + 1..below).contains(id));
                let chosen: Vec<Id> = between.take(READ_MAX).collect();
                let mut found = self.of_ids(reader, chosen).await?;
                found.items.sort_unstable_by_key(|it| it.id);
                found
            }
            QuarantineWay::Pairs(pairs) => {
                let values = [after.into(), below.into(), count(READ_MAX), pairs.clone()];
                self.among(&read(reader, &LIST_OLDEST_QUARANTINE_BY, values).await?, READ_MAX)?
            }
            QuarantineWay::All => {
                let why = "no statement reads all items from the oldest on";
                return Err(StoreError::Broken(why.to_owned()));
            }
        };
        Ok(Page { items: found.items.iter().map(|it| it.id).collect(), next: found.next })
    }

    /// The items that match among the next `most` before `before`, newest first.
    async fn newest_of(
        &self,
        reader: &Sessions,
        before: Id,
        most: usize,
    ) -> Result<FoundItems, StoreError> {
        let rows = match &self.way {
            QuarantineWay::Ids(ids) => {
                let below = ids.iter().rev().copied().filter(|id| *id < before);
                let mut found = self.of_ids(reader, below.take(most).collect()).await?;
                found.items.sort_unstable_by_key(|it| std::cmp::Reverse(it.id));
                return Ok(found);
            }
            QuarantineWay::All => {
                read(reader, &LIST_QUARANTINE, [before.into(), count(most)]).await?
            }
            QuarantineWay::Pairs(pairs) => {
                let values = [before.into(), count(most), pairs.clone()];
                read(reader, &LIST_QUARANTINE_BY, values).await?
            }
        };
        self.among(&rows, most)
    }

    /// Those of these items that match, in any order. The last of `ids` is the cursor.
    async fn of_ids(&self, reader: &Sessions, ids: Vec<Id>) -> Result<FoundItems, StoreError> {
        let next = ids.last().copied();
        let mut items = Vec::new();
        for row in &read(reader, &READ_QUARANTINE_OF_IDS, [group(&ids)?]).await? {
            if self.is_of_place(row)? && self.is_alike(row)? {
                items.push(heavy(row)?);
            }
        }
        Ok(FoundItems { items, next })
    }

    /// Those of these rows that match. `most` rows were asked for.
    fn among(&self, rows: &[QueryResult], most: usize) -> Result<FoundItems, StoreError> {
        let (mut items, mut last) = (Vec::new(), None);
        for row in rows {
            let item = heavy(row)?;
            last = Some(item.id);
            if self.is_alike(row)? {
                items.push(item);
            }
        }
        Ok(FoundItems { items, next: last.filter(|_| rows.len() >= most) })
    }

    /// True if a row has an event and a reason that the filter takes.
    fn is_alike(&self, row: &QueryResult) -> Result<bool, StoreError> {
        let event_type: Option<String> = row.try_get("", "event_type")?;
        let reason: String = row.try_get("", "reason")?;
        let QuarantineFilter { event_type: events, reason: reasons, .. } = &self.filter;
        Ok(is_one_of(events, &event_type.unwrap_or_default()) && is_one_of(reasons, &reason))
    }

    /// True if a row has a client, a channel and a status that the filter takes.
    fn is_of_place(&self, row: &QueryResult) -> Result<bool, StoreError> {
        let QuarantineFilter { status, client, channel, .. } = &self.filter;
        for (name, values) in [("status", status), ("client_id", client), ("channel", channel)] {
            let value: String = row.try_get("", name)?;
            if !is_one_of(values, &value) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// True if the filter's `values` take this one.
fn is_one_of(values: &[String], value: &str) -> bool {
    values.is_empty() || values.iter().any(|it| it == value)
}

fn heavy(row: &QueryResult) -> Result<Heavy, StoreError> {
    Ok(Heavy { id: row.try_get("", "id")?, weight: row.try_get("", "weight")? })
}

/// Items, newest first, without their payloads. If those of an event or a reason are rare, a page
/// may have fewer than `limit` and yet a next page.
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
pub(in crate::store) async fn listed(
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
    let search = QuarantineSearch::of(reader, filter).await?;
    let QuarantineFilter { event_type, reason, id, .. } = &search.filter;
    let decides = !event_type.is_empty() || !reason.is_empty() || !id.is_empty();
    let step = if decides { READ_MAX } else { limit + 1 };
    let (mut items, mut before) = (Vec::new(), cursor.unwrap_or(Id::MAX));
    for _ in 0..READS_MAX {
        let found = search.newest_of(reader, before, step).await?;
        items.extend(found.items);
        match found.next {
            Some(next) if items.len() <= limit => before = next,
            Some(_) | None => return Ok(Page::cut(items, limit, |it| it.id)),
        }
    }
    Ok(Page { items, next: Some(before) })
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
