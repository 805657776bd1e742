//! Reads the stored messages that events of the group change.

use super::keys::read_keys;
use crate::{
    domain::{
        Id, Timestamp,
        event::{Direction, KeyKind},
    },
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
use serde::Serialize;
use std::collections::{HashMap, HashSet};

sql! {
    /// The columns of messages that changes depend on. By primary key.
    static READ_CHANGEABLE =
        "select id, lead_id, direction, body, case when deleted_at is null then 0 else 1 end as is_deleted, \
           case when failed_at is null then 0 else 1 end as has_failed, @ms(edit_told_at) as edit_told_at from messages where id @ids($1)";

    /// The messages of our own answers that have these ids of their providers. By
    /// `deliveries_by_provider_id`.
    static READ_ANSWERS_NAMED =
        "select g.n, d.message_id from @rows($1, n bigint, client_id text, channel text, provider_id text) g \
         join deliveries d on d.client_id = g.client_id and d.channel = g.channel and d.provider_id = g.provider_id \
         where d.message_id is not null order by d.id";
}

/// Fills in, for each event about a message, which message that is: one of the group, or a stored
/// one.
pub(super) async fn find_changed(tx: &Tx, arrivals: &mut [Arrival<'_>]) -> Result<(), StoreError> {
    let elsewhere = find_in_group(arrivals);
    let keys: Vec<Key<'_>> = elsewhere.iter().flat_map(|(_, keys)| keys.iter().copied()).collect();
    let named = read_keys(tx, &keys).await?;
    // A key that this group has just claimed names a message that comes after the event.
    let own: HashSet<Id> = arrivals.iter().map(|arrival| arrival.message_id).collect();
    let mut unnamed: Vec<(usize, Key<'_>)> = Vec::new();
    for (at, keys) in elsewhere {
        let named = keys.iter().filter_map(|key| named.get(key));
        let stored = named.map(|named| named.id).find(|id| !own.contains(id));
        if let Some(arrival) = arrivals.get_mut(at) {
            arrival.about = stored.map(First::Stored);
        }
        if stored.is_none() {
            let sent = keys.into_iter().filter(|key| key.kind == KeyKind::Sent.as_str());
            unnamed.extend(sent.map(|key| (at, key)));
        }
    }
    find_answers(tx, arrivals, &unnamed).await
}

/// Fills in the messages of our own answers that events are about. No key names such a message
/// until its provider tells it back, which not every provider does.
async fn find_answers(
    tx: &Tx,
    arrivals: &mut [Arrival<'_>],
    unnamed: &[(usize, Key<'_>)],
) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Row<'a> {
        /// The webhook's index in the group.
        n: usize,
        client_id: &'a str,
        channel: &'a str,
        provider_id: &'a str,
    }
    if unnamed.is_empty() {
        return Ok(());
    }
    let mut rows: Vec<Row<'_>> = Vec::new();
    for (n, key) in unnamed {
        let Key { client_id, channel, key: provider_id, .. } = *key;
        rows.push(Row { n: *n, client_id, channel, provider_id });
    }
    for row in tx.all(&READ_ANSWERS_NAMED, [group(&rows)?]).await? {
        let n: i64 = row.try_get("", "n")?;
        let at = usize::try_from(n).unwrap_or(usize::MAX);
        if let Some(arrival) = arrivals.get_mut(at) {
            arrival.about = Some(First::Stored(row.try_get("", "message_id")?));
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
