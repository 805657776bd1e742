//! Claims the keys of a group, and finds the messages that they name.

use crate::{
    domain::Id,
    store::{
        engine::{
            StoreError,
            sql::sql,
            tx::{Tx, group},
        },
        inbox::{
            arrival::{Arrival, First, Key, KeyClaim},
            decide::recognise::{
                FirstBodies, NamedMessage, by_own_keys, claims, is_one, recognise, wrongly_named,
            },
        },
        tables::message_keys,
    },
};
use sea_orm::QueryResult;
use serde::Serialize;
use std::collections::{HashMap, HashSet};

sql! {
    /// Claims keys. Returns those that it has claimed: new keys, expired ones that it takes over,
    /// and keys of the other path, which name the newer message from now on. Sorted, so that two
    /// groups with the same keys wait for each other and never deadlock. By primary key.
    static PUT_KEYS =
        "insert into message_keys (client_id, channel, kind, key, message_id, first_seen, expires_at, body_hash) \
         select g.client_id, g.channel, g.kind, g.key, g.message_id, @now, \
           case when g.ttl is null then null else @in_ms(g.ttl) end, g.body_hash \
         from @rows($1, client_id text, channel text, kind text, key text, message_id bigint, ttl bigint, \
           body_hash text) g \
         where true order by g.client_id, g.channel, g.kind, g.key \
         on conflict (client_id, channel, kind, key) do update set message_id = excluded.message_id, \
           first_seen = excluded.first_seen, expires_at = excluded.expires_at, body_hash = excluded.body_hash \
           where message_keys.expires_at <= @now or message_keys.kind = 'path' \
         returning client_id, channel, kind, key";

    /// The messages that keys name, the providers' ids of these, and the hashes of deliveries'
    /// bodies. By primary keys. A key that expires while this transaction runs still counts as
    /// known, because [`PUT_KEYS`] did not take it over.
    static READ_KEYS =
        "select k.client_id, k.channel, k.kind, k.key, k.message_id, k.body_hash, m.provider_id \
         from @rows($1, client_id text, channel text, kind text, key text) g \
         join message_keys k on k.client_id = g.client_id and k.channel = g.channel and k.kind = g.kind and k.key = g.key \
         left join messages m on m.id = k.message_id \
         where k.expires_at is null or k.expires_at > @in_ms(-10000)";
}

/// Marks the deliveries that have another body than the first one with their id, which was stored
/// or came earlier in the group.
pub(super) async fn find_other_bodies(
    tx: &Tx,
    arrivals: &mut [Arrival<'_>],
) -> Result<(), StoreError> {
    let deliveries = arrivals.iter().filter_map(|arrival| arrival.delivery_key());
    let ids: Vec<Key<'_>> = deliveries.map(|delivery| delivery.key).collect();
    let mut bodies = FirstBodies::new(read_keys(tx, &ids).await?);
    for arrival in arrivals {
        let delivery = arrival.delivery_key();
        arrival.has_other_body = delivery.is_some_and(|delivery| bodies.differs(&delivery));
    }
    Ok(())
}

/// Claims the keys of the group, and fills in the message that each webhook repeats.
///
/// # Errors
/// A conflict if a delivery of the group was stored meanwhile with another body: the repetition
/// of the transaction finds it.
pub(super) async fn claim_keys(tx: &Tx, arrivals: &mut [Arrival<'_>]) -> Result<(), StoreError> {
    // 1. Gather the keys of the group, each with the message that it is to name.
    for arrival in &mut *arrivals {
        arrival.keys = arrival.all_keys();
    }
    let keys: Vec<_> = arrivals.iter().map(|arrival| &arrival.keys).collect();
    let ids: Vec<Id> = arrivals.iter().map(|arrival| arrival.message_id).collect();
    let claims = claims(&keys, &ids);
    if claims.is_empty() {
        return Ok(());
    }
    let other_paths: Vec<Key<'_>> =
        keys.iter().flat_map(|keys| keys.of_other_path.iter().copied()).collect();
    // 2. If both paths of a text are in the group, the claim overwrites its stored key. So that key
    // is read before.
    let both = other_paths.iter().copied().filter(|key| claims.contains_key(key));
    let mut stored = read_keys(tx, &both.collect::<Vec<_>>()).await?;
    // 3. Claim them. This waits for other transactions with the same keys.
    let rows: Vec<KeyRow<'_>> =
        claims.values().map(|(claim, message_id)| KeyRow::new(claim, *message_id)).collect();
    let claimed = tx.all(&PUT_KEYS, [group(&rows)?]).await?;
    let firsts = if claimed.len() == rows.len() && other_paths.is_empty() {
        by_own_keys(&keys)
    } else {
        // 4. Read the messages that the others name. Claimed keys name the group's own messages.
        let claimed = claimed_of(&rows, &claimed)?;
        let known = claims.keys().copied().filter(|key| !claimed.contains(key));
        let asked: Vec<Key<'_>> = known.chain(other_paths).collect();
        let named = read_keys(tx, &asked).await?;
        stored.extend(named.into_iter().filter(|(key, _)| !claimed.contains(key)));
        check_bodies(arrivals, &stored)?;
        let firsts = recognise(&keys, &stored);
        // 5. Let the claimed keys of duplicates name the first message.
        let of_group = claims.iter().filter(|(key, _)| claimed.contains(key));
        let of_group = of_group.map(|(key, (_, message_id))| (*key, *message_id)).collect();
        message_keys::repoint(tx, &wrongly_named(&keys, &ids, &firsts, &of_group)).await?;
        firsts
    };
    for (at, arrival) in arrivals.iter_mut().enumerate() {
        arrival.first = firsts.repeated(at);
    }
    Ok(())
}

/// Checks the bodies of deliveries again after the claim of the keys: the claim may have waited for
/// a transaction with another body.
fn check_bodies(
    arrivals: &[Arrival<'_>],
    stored: &HashMap<Key<'_>, NamedMessage>,
) -> Result<(), StoreError> {
    let differs = |delivery: KeyClaim<'_>| {
        let first = stored.get(&delivery.key).and_then(|named| named.body_hash.as_deref());
        first.is_some() && first != delivery.body_hash
    };
    if arrivals.iter().filter_map(Arrival::delivery_key).any(differs) {
        return Err(StoreError::Conflict("a delivery came with another body".to_owned()));
    }
    Ok(())
}

/// Checks again, under the leads' locks, whether new messages have come over their other paths.
///
/// If two nodes store the same text at once, one from each path, their keys do not collide. Only
/// the lead's lock makes one wait for the other. (If the lead is new, its identities conflict.)
///
/// # Errors
/// A conflict if the other path was faster. The repetition of the transaction finds its message.
pub(super) async fn check_other_paths(tx: &Tx, arrivals: &[Arrival<'_>]) -> Result<(), StoreError> {
    let of_known_leads = arrivals
        .iter()
        .filter(|arrival| arrival.first.is_none() && arrival.lead.is_some_and(|lead| !lead.is_new));
    let asked: Vec<(Option<&str>, Key<'_>)> = of_known_leads
        .flat_map(|arrival| {
            let called = arrival.keys.provider_id;
            arrival.keys.of_other_path.iter().map(move |key| (called, *key))
        })
        .collect();
    let keys: Vec<Key<'_>> = asked.iter().map(|(_, key)| *key).collect();
    let named = read_keys(tx, &keys).await?;
    // These are no news: the messages of the group, and the stored ones that it repeats.
    let seen: HashSet<Id> = arrivals
        .iter()
        .flat_map(|arrival| {
            let stored = match arrival.first {
                Some(First::Stored(id)) => Some(id),
                Some(First::InGroup(_)) | None => None,
            };
            [Some(arrival.message_id), stored].into_iter().flatten()
        })
        .collect();
    let is_news = |(called, key): &(Option<&str>, Key<'_>)| {
        let other = named.get(key).filter(|other| !seen.contains(&other.id));
        other.is_some_and(|other| is_one(other.provider_id.as_deref(), *called))
    };
    if asked.iter().any(is_news) {
        return Err(StoreError::Conflict("a text came over its other path".to_owned()));
    }
    Ok(())
}

/// The messages that these keys name. Keys that are not stored are missing.
pub(super) async fn read_keys<'a>(
    tx: &Tx,
    keys: &[Key<'a>],
) -> Result<HashMap<Key<'a>, NamedMessage>, StoreError> {
    let mut named = HashMap::new();
    if keys.is_empty() {
        return Ok(named);
    }
    let asked: HashMap<Key<'a>, Key<'a>> = keys.iter().map(|key| (*key, *key)).collect();
    for row in tx.all(&READ_KEYS, [group(keys)?]).await? {
        if let Some(key) = key_in(&row, &asked)? {
            let message = NamedMessage {
                id: row.try_get("", "message_id")?,
                provider_id: row.try_get("", "provider_id")?,
                body_hash: row.try_get("", "body_hash")?,
            };
            named.insert(key, message);
        }
    }
    Ok(named)
}

/// The keys of `rows` that were claimed: they name this group's messages now.
fn claimed_of<'a>(
    rows: &[KeyRow<'a>],
    claimed: &[QueryResult],
) -> Result<HashSet<Key<'a>>, StoreError> {
    let asked: HashMap<Key<'a>, Key<'a>> = rows.iter().map(|row| (row.key(), row.key())).collect();
    let mut keys = HashSet::new();
    for row in claimed {
        keys.extend(key_in(row, &asked)?);
    }
    Ok(keys)
}

/// A row of `message_keys`.
#[derive(Serialize, Clone, Copy)]
struct KeyRow<'a> {
    client_id: &'a str,
    channel: &'a str,
    kind: &'a str,
    key: &'a str,
    message_id: Id,
    ttl: Option<i64>,
    body_hash: Option<&'a str>,
}

impl<'a> KeyRow<'a> {
    const fn new(claim: &KeyClaim<'a>, message_id: Id) -> Self {
        let KeyClaim { key: Key { client_id, channel, kind, key }, ttl, body_hash } = *claim;
        Self { client_id, channel, kind, key, message_id, ttl, body_hash }
    }

    const fn key(&self) -> Key<'a> {
        Key { client_id: self.client_id, channel: self.channel, kind: self.kind, key: self.key }
    }
}

/// The requested key that a returned row is about.
fn key_in<'a>(
    row: &QueryResult,
    asked: &HashMap<Key<'a>, Key<'a>>,
) -> Result<Option<Key<'a>>, StoreError> {
    let text = |column: &str| row.try_get::<String>("", column);
    let (client_id, channel) = (text("client_id")?, text("channel")?);
    let (kind, key) = (text("kind")?, text("key")?);
    let found = Key { client_id: &client_id, channel: &channel, kind: &kind, key: &key };
    Ok(asked.get(&found).copied())
}
