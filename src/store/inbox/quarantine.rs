//! What was not understood.

use super::{Answer, Content, Group, Inbound, SAME_ID_OTHER_BODY};
use crate::{
    domain::Id,
    store::{StoreError, quarantine_room::QuarantineRooms, sql::Sql, tx::group},
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Keeps what was not understood; the same bytes are the same item, counted. Sorted.
pub(in crate::store) static PUT_QUARANTINE: Sql = Sql::new(
    "insert into quarantine (id, client_id, channel, body_hash, event_type, reason, status, count, payload, size, request_id, \
       received_at, last_received_at) \
     select g.id, g.client_id, g.channel, g.body_hash, g.event_type, g.reason, 'held', g.n, g.payload, g.size, g.request_id, \
       g.received_at, g.received_at \
     from @rows($1, id bigint, client_id text, channel text, body_hash text, event_type text, reason text, n bigint, \
       payload text, size bigint, request_id text, received_at instant) g \
     where true order by g.client_id, g.channel, g.body_hash \
     on conflict (client_id, channel, body_hash) do update set count = quarantine.count + excluded.count, \
       last_received_at = excluded.last_received_at, reason = excluded.reason \
     returning id, client_id, channel, body_hash",
);

/// Which of these items are there already, whatever became of them. By `quarantine_by_hash`: PostgreSQL uses no
/// index for `is not distinct from`, so it cannot take one that knows the client alone.
pub(in crate::store) static READ_QUARANTINED: Sql = Sql::new(
    "select q.client_id, q.channel, q.body_hash from @rows($1, client_id text, channel text, body_hash text) g \
     join quarantine q on q.body_hash = g.body_hash and q.client_id is not distinct from g.client_id \
       and q.channel is not distinct from g.channel",
);

/// An item's client, channel and hash.
type Key = (String, &'static str, String);

impl Group<'_> {
    /// Stores what was not understood, as far as its client has room for it.
    pub(super) async fn quarantine(&mut self) -> Result<(), StoreError> {
        let mut rows: BTreeMap<Key, QuarantineRow<'_>> = BTreeMap::new();
        let mut items: Vec<(usize, Key, String)> = Vec::new();
        for (at, inbound) in self.inbound.iter().enumerate() {
            let Some(RoomUsed { event_type, reason, body_hash }) = self.held(at, inbound) else {
                continue;
            };
            let key = (inbound.client_id.to_string(), inbound.channel.0, body_hash.to_owned());
            items.push((at, key.clone(), reason.to_owned()));
            rows.entry(key).and_modify(|it| it.n += 1).or_insert_with(|| QuarantineRow {
                id: self.message_id(at),
                client_id: &inbound.client_id,
                channel: inbound.channel.0,
                body_hash,
                event_type,
                reason,
                n: 1,
                payload: &inbound.payload,
                size: i64::try_from(inbound.payload.len()).unwrap_or(i64::MAX),
                request_id: &inbound.request_id,
                received_at: inbound.received_at.as_millis(),
            });
        }
        if rows.is_empty() {
            return Ok(());
        }
        let clients: BTreeSet<&str> = rows.values().map(|it| it.client_id).collect();
        let mut rooms = QuarantineRooms::lock(self.tx, &clients).await?;
        let refused = self.without_room(&rows, &items, &mut rooms).await?;
        rows.retain(|key, _| !refused.contains(key));
        let rows: Vec<QuarantineRow<'_>> = rows.into_values().collect();
        let mut ids: HashMap<(String, String, String), Id> = HashMap::new();
        if !rows.is_empty() {
            for row in self.tx.all(&PUT_QUARANTINE, [group(&rows)?]).await? {
                ids.insert(key_in(&row)?, row.try_get("", "id")?);
            }
            rooms.write(self.tx).await?;
        }
        for (at, key, reason) in items {
            let answer = if refused.contains(&key) {
                Answer::QuarantineFull
            } else {
                let id = ids.get(&(key.0, key.1.to_owned(), key.2)).copied().unwrap_or_default();
                Answer::Quarantined { quarantine_id: id, reason }
            };
            self.answer(at, answer);
        }
        Ok(())
    }

    /// Which items are new and find no room, in the order of arrival; the others are counted in `rooms`.
    async fn without_room(
        &self,
        rows: &BTreeMap<Key, QuarantineRow<'_>>,
        items: &[(usize, Key, String)],
        rooms: &mut QuarantineRooms,
    ) -> Result<HashSet<Key>, StoreError> {
        let asked: Vec<Asked<'_>> = rows.values().map(Asked::of).collect();
        let mut known: HashSet<(String, String, String)> = HashSet::new();
        for row in self.tx.all(&READ_QUARANTINED, [group(&asked)?]).await? {
            known.insert(key_in(&row)?);
        }
        let (mut refused, mut seen) = (HashSet::new(), HashSet::new());
        for (_, key, _) in items {
            let is_known = known.contains(&(key.0.clone(), key.1.to_owned(), key.2.clone()));
            if is_known || !seen.insert(key) {
                continue;
            }
            let held = rooms.of(&key.0).with(rows.get(key).map_or(0, |it| it.size));
            if held.is_within(self.bound) {
                rooms.set(&key.0, held);
            } else {
                refused.insert(key.clone());
            }
        }
        Ok(refused)
    }
}

fn key_in(row: &sea_orm::QueryResult) -> Result<(String, String, String), StoreError> {
    let text = |column: &str| row.try_get::<String>("", column);
    Ok((text("client_id")?, text("channel")?, text("body_hash")?))
}

#[derive(Serialize)]
struct Asked<'a> {
    client_id: &'a str,
    channel: &'static str,
    body_hash: &'a str,
}

impl<'a> Asked<'a> {
    const fn of(row: &QuarantineRow<'a>) -> Self {
        let QuarantineRow { client_id, channel, body_hash, .. } = *row;
        Self { client_id, channel, body_hash }
    }
}

/// Why a webhook is held for a person.
struct RoomUsed<'a> {
    event_type: Option<&'a str>,
    reason: &'a str,
    body_hash: &'a str,
}

impl Group<'_> {
    /// Why the one at that place of the group is held, if it is.
    fn held<'i>(&self, at: usize, inbound: &'i Inbound) -> Option<RoomUsed<'i>> {
        match &inbound.content {
            Content::Quarantine { event_type, reason, body_hash } => {
                Some(RoomUsed { event_type: event_type.as_deref(), reason, body_hash })
            }
            Content::Event { event, .. } if self.other_bodies.contains(&at) => {
                let (client, request) = (&inbound.client_id, &inbound.request_id);
                let (event_type, reason) = (Some(event.event_type.as_str()), SAME_ID_OTHER_BODY);
                tracing::warn!(client.id = %client, request.id = %request, reason, "quarantined");
                let body_hash = &inbound.delivery.as_ref()?.body_hash;
                Some(RoomUsed { event_type, reason, body_hash })
            }
            Content::Event { .. } => None,
        }
    }
}

#[derive(Serialize)]
struct QuarantineRow<'a> {
    id: Id,
    client_id: &'a str,
    channel: &'static str,
    body_hash: &'a str,
    event_type: Option<&'a str>,
    reason: &'a str,
    n: i64,
    payload: &'a str,
    size: i64,
    request_id: &'a str,
    received_at: i64,
}
