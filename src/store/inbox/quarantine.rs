//! What was not understood.

use super::{Answer, Content, Group, Inbound, SAME_ID_OTHER_BODY};
use crate::{
    domain::Id,
    store::{StoreError, sql::Sql, tx::group},
};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// Keeps what was not understood; the same bytes are the same item, counted. Sorted.
pub(in crate::store) static PUT_QUARANTINE: Sql = Sql::new(
    "insert into quarantine (id, client_id, channel, body_hash, event_type, reason, status, count, payload, request_id, \
       received_at, last_received_at) \
     select g.id, g.client_id, g.channel, g.body_hash, g.event_type, g.reason, 'held', g.n, g.payload, g.request_id, \
       g.received_at, g.received_at \
     from @rows($1, id bigint, client_id text, channel text, body_hash text, event_type text, reason text, n bigint, \
       payload text, request_id text, received_at instant) g \
     where true order by g.client_id, g.channel, g.body_hash \
     on conflict (client_id, channel, body_hash) do update set count = quarantine.count + excluded.count, \
       last_received_at = excluded.last_received_at, reason = excluded.reason \
     returning id, client_id, channel, body_hash",
);

impl Group<'_> {
    /// Stores what was not understood.
    pub(super) async fn quarantine(&mut self) -> Result<(), StoreError> {
        let mut rows: BTreeMap<(String, &'static str, String), QuarantineRow<'_>> = BTreeMap::new();
        let mut items: Vec<(usize, (String, &'static str, String), String)> = Vec::new();
        for (at, inbound) in self.inbound.iter().enumerate() {
            let Some(Held { event_type, reason, body_hash }) = self.held(at, inbound) else {
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
                request_id: &inbound.request_id,
                received_at: inbound.received_at.as_millis(),
            });
        }
        if rows.is_empty() {
            return Ok(());
        }
        let rows: Vec<QuarantineRow<'_>> = rows.into_values().collect();
        let mut ids: HashMap<(String, String, String), Id> = HashMap::new();
        for row in self.tx.all(&PUT_QUARANTINE, [group(&rows)?]).await? {
            let key = (
                row.try_get("", "client_id")?,
                row.try_get("", "channel")?,
                row.try_get("", "body_hash")?,
            );
            ids.insert(key, row.try_get("", "id")?);
        }
        for (at, key, reason) in items {
            let id = ids.get(&(key.0, key.1.to_owned(), key.2)).copied().unwrap_or_default();
            self.answer(at, Answer::Quarantined { quarantine_id: id, reason });
        }
        Ok(())
    }
}

/// Why a webhook is held for a person.
struct Held<'a> {
    event_type: Option<&'a str>,
    reason: &'a str,
    body_hash: &'a str,
}

impl Group<'_> {
    /// Why the one at that place of the group is held, if it is.
    fn held<'i>(&self, at: usize, inbound: &'i Inbound) -> Option<Held<'i>> {
        match &inbound.content {
            Content::Quarantine { event_type, reason, body_hash } => {
                Some(Held { event_type: event_type.as_deref(), reason, body_hash })
            }
            Content::Event { event, .. } if self.other_bodies.contains(&at) => {
                let (client, request) = (&inbound.client_id, &inbound.request_id);
                let (event_type, reason) = (Some(event.event_type.as_str()), SAME_ID_OTHER_BODY);
                tracing::warn!(client.id = %client, request.id = %request, reason, "quarantined");
                let body_hash = &inbound.delivery.as_ref()?.body_hash;
                Some(Held { event_type, reason, body_hash })
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
    request_id: &'a str,
    received_at: i64,
}
