//! Reads the stored messages that events of the group change.

use super::keys::read_keys;
use crate::{
    domain::{Id, Timestamp, event::Direction},
    store::{
        engine::{
            StoreError,
            sql::sql,
            tx::{Tx, flag, group},
        },
        inbox::{
            arrival::{Arrival, First, Key},
            decide::{
                changes::{find_in_group, stored_ids},
                known::Changeable,
            },
        },
    },
};
use std::collections::{HashMap, HashSet};

sql! {
    /// The columns of messages that changes depend on. By primary key.
    static READ_CHANGEABLE =
        "select id, lead_id, direction, body, case when deleted_at is null then 0 else 1 end as is_deleted, \
           case when failed_at is null then 0 else 1 end as has_failed, @ms(edit_told_at) as edit_told_at from messages where id @ids($1)";
}

/// Fills in, for each event about a message, which message that is: one of the group, or a stored
/// one.
pub(super) async fn find_changed(tx: &Tx, arrivals: &mut [Arrival<'_>]) -> Result<(), StoreError> {
    let elsewhere = find_in_group(arrivals);
    let keys: Vec<Key<'_>> = elsewhere.iter().flat_map(|(_, keys)| keys.iter().copied()).collect();
    let named = read_keys(tx, &keys).await?;
    // A key that this group has just claimed names a message that comes after the event.
    let own: HashSet<Id> = arrivals.iter().map(|arrival| arrival.message_id).collect();
    for (at, keys) in elsewhere {
        let named = keys.iter().filter_map(|key| named.get(key));
        let stored = named.map(|named| named.id).find(|id| !own.contains(id));
        if let Some(arrival) = arrivals.get_mut(at) {
            arrival.about = stored.map(First::Stored);
        }
    }
    Ok(())
}

/// Reads the stored messages that events of the group are about into `changeable`, by message id.
/// Called twice: without locks to find their leads, and again after these are locked.
pub(super) async fn read_changeable(
    tx: &Tx,
    arrivals: &[Arrival<'_>],
    changeable: &mut HashMap<Id, Changeable>,
) -> Result<(), StoreError> {
    let ids: Vec<Id> = stored_ids(arrivals).into_iter().collect();
    if ids.is_empty() {
        return Ok(());
    }
    for row in tx.all(&READ_CHANGEABLE, [group(&ids)?]).await? {
        let direction: String = row.try_get("", "direction")?;
        let edit_told_at: Option<i64> = row.try_get("", "edit_told_at")?;
        let message = Changeable {
            lead_id: row.try_get("", "lead_id")?,
            is_inbound: direction == Direction::Inbound.as_str(),
            body: row.try_get("", "body")?,
            edit_told_at: edit_told_at.map(Timestamp::from_millis),
            is_deleted: flag(&row, "is_deleted")?,
            has_failed: flag(&row, "has_failed")?,
        };
        changeable.insert(row.try_get("", "id")?, message);
    }
    Ok(())
}
