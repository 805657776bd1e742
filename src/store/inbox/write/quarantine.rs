//! Stores webhooks that are held for a person in quarantine.

use crate::{
    config::QuarantineBound,
    domain::Id,
    store::{
        engine::{
            StoreError,
            sql::sql,
            tx::{Tx, group},
        },
        inbox::{
            arrival::Arrival,
            decide::quarantine::{ItemKey, without_room},
            inbound::{Answer, Content, SAME_ID_OTHER_BODY},
        },
        tables::quarantine_room::QuarantineRooms,
    },
};
use sea_orm::QueryResult;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

sql! {
    /// Stores items. The same bytes are the same item, whose count grows. Sorted. By the unique key
    /// of items (client, channel, hash).
    static PUT_QUARANTINE =
        "insert into quarantine (id, client_id, channel, body_hash, event_type, reason, status, count, payload, size, request_id, \
           received_at, last_received_at) \
         select g.id, g.client_id, g.channel, g.body_hash, g.event_type, g.reason, 'held', g.n, g.payload, g.size, g.request_id, \
           g.received_at, g.received_at \
         from @rows($1, id bigint, client_id text, channel text, body_hash text, event_type text, reason text, n bigint, \
           payload text, size bigint, request_id text, received_at instant) g \
         where true order by g.client_id, g.channel, g.body_hash \
         on conflict (client_id, channel, body_hash) do update set count = quarantine.count + excluded.count, \
           last_received_at = excluded.last_received_at, reason = excluded.reason \
         returning id, client_id, channel, body_hash";

    /// Finds the items that are stored already, of any status. By `quarantine_by_hash`: PostgreSQL
    /// uses no index for `is not distinct from`, so the planner cannot choose one that begins with
    /// the client.
    static READ_QUARANTINED =
        "select q.client_id, q.channel, q.body_hash from @rows($1, client_id text, channel text, body_hash text) g \
         join quarantine q on q.body_hash = g.body_hash and q.client_id is not distinct from g.client_id \
           and q.channel is not distinct from g.channel";
}

/// A webhook that is held for a person.
#[derive(Clone, Copy)]
struct HeldWebhook<'a> {
    key: ItemKey<'a>,
    event_type: Option<&'a str>,
    reason: &'a str,
    /// The size of its body, in bytes.
    size: i64,
}

impl<'a> HeldWebhook<'a> {
    /// `None` for an event that need not be held.
    fn of(arrival: &Arrival<'a>) -> Option<Self> {
        let inbound = arrival.inbound;
        let (event_type, reason, body_hash) = match &inbound.content {
            Content::Quarantine { event_type, reason, body_hash } => {
                (event_type.as_deref(), reason.as_str(), body_hash)
            }
            Content::Event { event, .. } if arrival.has_other_body => {
                let body_hash = &inbound.delivery.as_ref()?.body_hash;
                (Some(event.event_type.as_str()), SAME_ID_OTHER_BODY, body_hash)
            }
            Content::Event { .. } => return None,
        };
        let (client_id, channel) = (&*inbound.client_id, inbound.channel.0);
        let key = ItemKey { client_id, channel, body_hash };
        let size = i64::try_from(inbound.payload.len()).unwrap_or(i64::MAX);
        Some(Self { key, event_type, reason, size })
    }
}

#[derive(Serialize)]
struct HeldRow<'a> {
    id: Id,
    client_id: &'a str,
    channel: &'a str,
    body_hash: &'a str,
    event_type: Option<&'a str>,
    reason: &'a str,
    n: i64,
    payload: &'a str,
    size: i64,
    request_id: &'a str,
    received_at: i64,
}

impl<'a> HeldRow<'a> {
    fn new(arrival: &Arrival<'a>, held: &HeldWebhook<'a>) -> Self {
        let (inbound, ItemKey { client_id, channel, body_hash }) = (arrival.inbound, held.key);
        Self {
            id: arrival.message_id,
            client_id,
            channel,
            body_hash,
            event_type: held.event_type,
            reason: held.reason,
            n: 1,
            payload: &inbound.payload,
            size: held.size,
            request_id: &inbound.request_id,
            received_at: inbound.received_at.as_millis(),
        }
    }
}

/// Stores the webhooks that are held for a person, as far as their clients have room, and answers
/// them.
pub(super) async fn write_held(
    tx: &Tx,
    arrivals: &mut [Arrival<'_>],
    bound: QuarantineBound,
) -> Result<(), StoreError> {
    // 1. Gather the items: the same bytes are one item.
    let mut rows: BTreeMap<ItemKey<'_>, HeldRow<'_>> = BTreeMap::new();
    let mut items: Vec<(ItemKey<'_>, i64)> = Vec::new();
    for arrival in arrivals.iter() {
        let Some(held) = HeldWebhook::of(arrival) else { continue };
        if arrival.has_other_body {
            tracing::warn!(
                client.id = %arrival.inbound.client_id,
                request.id = %arrival.inbound.request_id,
                reason = held.reason,
                "quarantined"
            );
        }
        items.push((held.key, held.size));
        let row = rows.entry(held.key).and_modify(|row| row.n += 1);
        row.or_insert_with(|| HeldRow::new(arrival, &held));
    }
    if rows.is_empty() {
        return Ok(());
    }
    // 2. Lock the rooms of their clients, and decide which items fit.
    let clients: BTreeSet<&str> = rows.keys().map(|key| key.client_id).collect();
    let mut rooms = QuarantineRooms::lock(tx, &clients).await?;
    let known = read_known(tx, rows.keys().copied()).await?;
    let refused = without_room(items, &known, &mut rooms, bound);
    // 3. Store the items that fit.
    let rows: Vec<HeldRow<'_>> =
        rows.into_iter().filter(|(key, _)| !refused.contains(key)).map(|(_, row)| row).collect();
    let mut ids: HashMap<ItemKey<'_>, Id> = HashMap::new();
    if !rows.is_empty() {
        let asked = keyed(rows.iter().map(|row| {
            let HeldRow { client_id, channel, body_hash, .. } = *row;
            ItemKey { client_id, channel, body_hash }
        }));
        for row in tx.all(&PUT_QUARANTINE, [group(&rows)?]).await? {
            if let Some(key) = key_in(&row, &asked)? {
                ids.insert(key, row.try_get("", "id")?);
            }
        }
        rooms.write(tx).await?;
    }
    // 4. Answer the webhooks.
    for arrival in arrivals {
        let Some(held) = HeldWebhook::of(arrival) else { continue };
        arrival.answer = match ids.get(&held.key) {
            _ if refused.contains(&held.key) => Some(Answer::QuarantineFull),
            Some(id) => {
                let reason = held.reason.to_owned();
                Some(Answer::Quarantined { quarantine_id: *id, reason })
            }
            None => None,
        };
    }
    Ok(())
}

/// Those of these items that are stored already.
async fn read_known<'a>(
    tx: &Tx,
    items: impl Iterator<Item = ItemKey<'a>>,
) -> Result<HashSet<ItemKey<'a>>, StoreError> {
    let asked: Vec<ItemKey<'a>> = items.collect();
    let rows = tx.all(&READ_QUARANTINED, [group(&asked)?]).await?;
    let asked = keyed(asked.into_iter());
    let mut known = HashSet::new();
    for row in rows {
        known.extend(key_in(&row, &asked)?);
    }
    Ok(known)
}

fn keyed<'a>(items: impl Iterator<Item = ItemKey<'a>>) -> HashMap<ItemKey<'a>, ItemKey<'a>> {
    items.map(|item| (item, item)).collect()
}

/// The requested item that a returned row is about.
fn key_in<'a>(
    row: &QueryResult,
    asked: &HashMap<ItemKey<'a>, ItemKey<'a>>,
) -> Result<Option<ItemKey<'a>>, StoreError> {
    let text = |column: &str| row.try_get::<String>("", column);
    let (client_id, channel) = (text("client_id")?, text("channel")?);
    let body_hash = text("body_hash")?;
    let found = ItemKey { client_id: &client_id, channel: &channel, body_hash: &body_hash };
    Ok(asked.get(&found).copied())
}
