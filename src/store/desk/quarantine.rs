//! What was authentic and not understood: to be looked at, replayed after a fix, or discarded.

use super::Page;
use crate::{
    domain::Id,
    store::{Store, StoreError, sessions::Sessions, sql::Sql, tx::Tx},
};
use entity::quarantine;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

pub use entity::quarantine::Model as QuarantineRow;

/// Settles an item that is held. No row: it was settled before, or there is none.
pub(in crate::store) static SETTLE_QUARANTINE: Sql =
    Sql::new("update quarantine set status = $2 where id = $1 and status = 'held'");

/// Which items. Values of one field are alternatives, fields must all match; an empty one matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuarantineFilter {
    /// `held`, `replayed` or `discarded`.
    pub status: Vec<String>,
    /// Their clients.
    pub client: Vec<String>,
    /// Their channels.
    pub channel: Vec<String>,
}

/// Items, newest first.
pub(super) async fn list(
    reader: &Sessions,
    filter: QuarantineFilter,
    limit: usize,
    cursor: Option<Id>,
) -> Result<Page<QuarantineRow>, StoreError> {
    let most = u64::try_from(limit + 1).unwrap_or(u64::MAX);
    let mut select = quarantine::Entity::find().order_by_desc(quarantine::Column::Id).limit(most);
    let given = [
        (quarantine::Column::Status, filter.status),
        (quarantine::Column::ClientId, filter.client),
        (quarantine::Column::Channel, filter.channel),
    ];
    for (column, values) in given {
        if !values.is_empty() {
            select = select.filter(column.is_in(values));
        }
    }
    if let Some(before) = cursor {
        select = select.filter(quarantine::Column::Id.lt(before));
    }
    Ok(Page::cut(select.all(reader).await?, limit, |it| it.id))
}

/// One item.
pub(super) async fn one(reader: &Sessions, id: Id) -> Result<Option<QuarantineRow>, StoreError> {
    Ok(quarantine::Entity::find_by_id(id).one(reader).await?)
}

/// Settles one that is held; false where it is not.
pub(super) async fn settle(
    store: &Store,
    id: Id,
    status: &'static str,
) -> Result<bool, StoreError> {
    let tx = Tx::begin(store.connections(), "quarantine").await?;
    let changed = tx.run(&SETTLE_QUARANTINE, [id.into(), status.into()]).await?;
    tx.commit().await?;
    Ok(changed == 1)
}
