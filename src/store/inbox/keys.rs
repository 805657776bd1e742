//! By which keys messages are known again, and which of a group were known before.

use super::{Group, Inbound, find::Found};
use crate::{
    domain::{Id, event::MessageKey},
    store::{StoreError, sql::Sql, tx::group},
};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Claims keys: what comes back is new, or an expired key taken over, or a key of the other path that now
/// names the newer message. Sorted, so that two groups with the same keys wait and never deadlock.
pub(in crate::store) static PUT_KEYS: Sql = Sql::new(
    "insert into message_keys (client_id, channel, kind, key, message_id, first_seen, expires_at, body_hash) \
     select g.client_id, g.channel, g.kind, g.key, g.message_id, @now, \
       case when g.ttl is null then null else @in_ms(g.ttl) end, g.body_hash \
     from @rows($1, client_id text, channel text, kind text, key text, message_id bigint, ttl bigint, \
       body_hash text) g \
     where true order by g.client_id, g.channel, g.kind, g.key \
     on conflict (client_id, channel, kind, key) do update set message_id = excluded.message_id, \
       first_seen = excluded.first_seen, expires_at = excluded.expires_at, body_hash = excluded.body_hash \
       where message_keys.expires_at <= @now or message_keys.kind = 'path' \
     returning client_id, channel, kind, key",
);

/// Which messages keys name, the providers' ids of those, and the bodies of deliveries. By primary keys. A key
/// that expires while this transaction runs still counts as known, because [`PUT_KEYS`] did not take it over.
pub(in crate::store) static READ_KEYS: Sql = Sql::new(
    "select k.client_id, k.channel, k.kind, k.key, k.message_id, k.body_hash, m.provider_id \
     from @rows($1, client_id text, channel text, kind text, key text) g \
     join message_keys k on k.client_id = g.client_id and k.channel = g.channel and k.kind = g.kind and k.key = g.key \
     left join messages m on m.id = k.message_id \
     where k.expires_at is null or k.expires_at > @in_ms(-10000)",
);

/// Lets keys that this transaction has claimed name the first message.
pub(in crate::store) static REPOINT_KEYS: Sql = Sql::new(
    "update message_keys set message_id = g.message_id \
     from @rows($1, client_id text, channel text, kind text, key text, message_id bigint) g \
     where message_keys.client_id = g.client_id and message_keys.channel = g.channel and message_keys.kind = g.kind \
       and message_keys.key = g.key",
);

/// How long a content key without a time of the message counts: 10 minutes, by the database's clock.
const CONTENT_KEY_TTL_MS: i64 = 600_000;

/// The first message of a webhook that is a duplicate: stored before, or earlier in the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::store) enum First {
    Stored(Id),
    InGroup(usize),
}

/// A row of `message_keys`.
#[derive(Serialize, Clone, Copy)]
pub(super) struct KeyRow<'a> {
    pub(super) client_id: &'a str,
    pub(super) channel: &'static str,
    pub(super) kind: &'static str,
    pub(super) key: &'a str,
    pub(super) message_id: Id,
    /// For how many milliseconds it counts; `None` is for good.
    pub(super) ttl: Option<i64>,
    /// Of a delivery, the hash of its body.
    pub(super) body_hash: Option<&'a str>,
}

type KeyOf<'a> = (&'a str, &'static str, &'static str, &'a str);

impl<'a> Group<'a> {
    /// Claims the keys of all messages and says which of them were known before.
    pub(super) async fn known_messages(&self) -> Result<HashMap<usize, First>, StoreError> {
        let mut firsts: HashMap<usize, First> = HashMap::new();
        let mut owner: HashMap<KeyOf<'a>, usize> = HashMap::new();
        let mut asked: BTreeMap<KeyOf<'a>, KeyRow<'a>> = BTreeMap::new();
        let mut looked_up: Vec<(usize, KeyRow<'a>)> = Vec::new();
        for at in 0..self.inbound.len() {
            let Some((inbound, _)) = self.event(at) else { continue };
            let own = self.own_keys(at);
            let path = |key: &'a MessageKey| key_row(inbound, PATH, key, self.message_id(at));
            let message = self.message(at).filter(|_| !self.chats.is_nobodys(at));
            let others = message.map_or(&[][..], |it| it.2.also_known_as.as_slice());
            let root = own.iter().find_map(|row| owner.get(&key_of(row))).copied();
            let root = root.map(|it| root_of(&firsts, it));
            if let Some(root) = root {
                firsts.insert(at, First::InGroup(root));
            }
            let names = self.message_id(root.unwrap_or(at));
            for row in own {
                let row = KeyRow { message_id: names, ..row };
                owner.entry(key_of(&row)).or_insert(root.unwrap_or(at));
                asked.entry(key_of(&row)).or_insert(row);
            }
            for row in self.path_keys(at) {
                asked.insert(key_of(&row), row);
            }
            looked_up.extend(others.iter().map(|key| (at, path(key))));
        }
        if !asked.is_empty() {
            self.claim_keys(asked, &looked_up, &mut firsts).await?;
        }
        Ok(firsts)
    }

    /// By what a webhook is known again: its message's keys, and the signed id of its delivery.
    fn own_keys(&self, at: usize) -> Vec<KeyRow<'a>> {
        let Some((inbound, _)) = self.event(at) else { return Vec::new() };
        let message_id = self.message_id(at);
        let message = self.message(at).filter(|_| !self.chats.is_nobodys(at));
        let keys = message.map_or(&[][..], |it| it.2.keys.as_slice());
        let rows = keys.iter().map(|it| key_row(inbound, it.kind.as_str(), it, message_id));
        self.delivery_key(at).into_iter().chain(rows).collect()
    }

    async fn claim_keys(
        &self,
        asked: BTreeMap<KeyOf<'a>, KeyRow<'a>>,
        looked_up: &[(usize, KeyRow<'a>)],
        firsts: &mut HashMap<usize, First>,
    ) -> Result<(), StoreError> {
        // Where both paths of one text are in the group, what the table knew of it is overwritten below.
        let both = looked_up.iter().map(|it| it.1).filter(|row| asked.contains_key(&key_of(row)));
        let before = self.read_keys(&both.collect::<Vec<_>>()).await?;
        let rows: Vec<KeyRow<'a>> = asked.into_values().collect();
        let claimed = self.tx.all(&PUT_KEYS, [group(&rows)?]).await?;
        if claimed.len() == rows.len() && looked_up.is_empty() {
            return Ok(());
        }
        let claimed = claimed.iter().map(key_in).collect::<Result<HashSet<OwnedKey>, _>>()?;
        // What was claimed names the group's own messages, so only the others are asked for.
        let (claimed, others): (Vec<KeyRow<'a>>, Vec<KeyRow<'a>>) =
            rows.into_iter().partition(|row| claimed.contains(&owned_key(row)));
        let read: Vec<KeyRow<'a>> =
            others.into_iter().chain(looked_up.iter().map(|it| it.1)).collect();
        let mut named = self.read_keys(&read).await?;
        named.extend(claimed.iter().map(|row| (owned_key(row), Named::claimed(row))));
        self.look_at_bodies_again(&named)?;
        *firsts = self.decide(&named, &before, looked_up);
        self.repoint(firsts, &named).await
    }

    pub(super) async fn read_keys(
        &self,
        rows: &[KeyRow<'a>],
    ) -> Result<HashMap<OwnedKey, Named>, StoreError> {
        let mut named = HashMap::new();
        if rows.is_empty() {
            return Ok(named);
        }
        for row in self.tx.all(&READ_KEYS, [group(rows)?]).await? {
            let key = key_in(&row)?;
            let id = row.try_get("", "message_id")?;
            let (provider_id, body_hash) =
                (row.try_get("", "provider_id")?, row.try_get("", "body_hash")?);
            named.insert(key, Named { id, provider_id, body_hash });
        }
        Ok(named)
    }

    /// Two groups of two nodes that hold one text over either path do not wait for each other's keys, but for
    /// their lead: whoever is second looks again then. (Where the lead is new, its identities conflict.)
    ///
    /// # Errors
    /// A conflict where the other path was faster: the repetition of the transaction finds it at once.
    pub(super) async fn look_at_paths_again(
        &self,
        firsts: &HashMap<usize, First>,
        lead_of: &HashMap<usize, Found>,
    ) -> Result<(), StoreError> {
        if self.store.database() == "sqlite" {
            return Ok(());
        }
        let mut asked: Vec<(Option<&str>, KeyRow<'a>)> = Vec::new();
        for at in (0..self.inbound.len()).filter(|at| !firsts.contains_key(at)) {
            let is_known = lead_of.get(&at).is_some_and(|it| !it.is_new);
            if let Some((inbound, _, message)) = self.message(at).filter(|_| is_known) {
                let told = message.provider_id.as_deref();
                let row = |key| (told, key_row(inbound, PATH, key, self.message_id(at)));
                asked.extend(message.also_known_as.iter().map(row));
            }
        }
        let rows: Vec<KeyRow<'a>> = asked.iter().map(|it| it.1).collect();
        let named = self.read_keys(&rows).await?;
        let in_group: HashSet<Id> = self.message_ids.iter().copied().collect();
        // What the group has found to be known gets its provider's id from it.
        let found: HashSet<First> = firsts.values().copied().collect();
        let is_new = |(told, row): &(Option<&str>, KeyRow<'a>)| {
            named.get(&owned_key(row)).is_some_and(|it| {
                let is_seen = in_group.contains(&it.id) || found.contains(&First::Stored(it.id));
                !is_seen && is_one(it.provider_id.as_deref(), *told)
            })
        };
        if asked.iter().any(is_new) {
            return Err(StoreError::Conflict("a text came over its other path".to_owned()));
        }
        Ok(())
    }

    /// Which of the group are duplicates, once it is known which message each key names.
    fn decide(
        &self,
        named: &HashMap<OwnedKey, Named>,
        before: &HashMap<OwnedKey, Named>,
        looked_up: &[(usize, KeyRow<'a>)],
    ) -> HashMap<usize, First> {
        let in_group: HashSet<Id> = self.message_ids.iter().copied().collect();
        let stored = |row: &KeyRow<'_>| {
            let key = owned_key(row);
            named.get(&key).filter(|it| !in_group.contains(&it.id)).or_else(|| before.get(&key))
        };
        let mut firsts: HashMap<usize, First> = HashMap::new();
        let mut owner: HashMap<KeyOf<'a>, usize> = HashMap::new();
        let mut paths: HashMap<KeyOf<'a>, usize> = HashMap::new();
        // The providers' ids of messages, as far as they are known.
        let mut called: HashMap<First, &str> = HashMap::new();
        for at in 0..self.inbound.len() {
            let own = self.own_keys(at);
            let (from, to) = (
                looked_up.partition_point(|it| it.0 < at),
                looked_up.partition_point(|it| it.0 <= at),
            );
            let others = looked_up.get(from..to).unwrap_or_default().iter().map(|it| &it.1);
            let told = self.message(at).and_then(|it| it.2.provider_id.as_deref());
            for it in own.iter().chain(others.clone()).filter_map(stored) {
                if let Some(provider_id) = &it.provider_id {
                    called.entry(First::Stored(it.id)).or_insert(provider_id);
                }
            }
            let by_stored = own.iter().find_map(stored).map(|it| First::Stored(it.id));
            let root = own.iter().find_map(|row| owner.get(&key_of(row))).copied();
            let root = root.map(|it| root_of(&firsts, it));
            if let (Some(first), Some(root)) = (by_stored, root) {
                firsts.entry(root).or_insert(first);
            }
            let by_key = by_stored.or_else(|| root.map(|it| resolve(&firsts, it)));
            let fits = |first: &First| is_one(called.get(first).copied(), told);
            let by_path = others.clone().find_map(|row| {
                let in_group = paths.get(&key_of(row)).map(|it| resolve(&firsts, *it));
                let before = stored(row).map(|it| First::Stored(it.id));
                in_group.into_iter().chain(before).find(fits)
            });
            let first = by_key.or(by_path);
            // What came over the other path just before is then known, too.
            let before = others.clone().find_map(|row| paths.get(&key_of(row))).copied();
            if let (Some(known @ First::Stored(_)), Some(before)) = (first, before)
                && let root @ First::InGroup(new) = resolve(&firsts, before)
            {
                let told = called.get(&root).copied();
                if is_one(told, called.get(&known).copied()) {
                    firsts.insert(new, known);
                    called.extend(told.map(|it| (known, it)));
                }
            }
            if let Some(told) = told {
                called.entry(first.unwrap_or(First::InGroup(at))).or_insert(told);
            }
            if let Some(first) = first {
                firsts.insert(at, first);
            }
            for row in &own {
                owner.entry(key_of(row)).or_insert(at);
            }
            for row in self.path_keys(at) {
                paths.insert(key_of(&row), at);
            }
        }
        firsts
    }

    /// Keys that were claimed for what turned out to be another message name that one.
    async fn repoint(
        &self,
        firsts: &HashMap<usize, First>,
        named: &HashMap<OwnedKey, Named>,
    ) -> Result<(), StoreError> {
        let in_group: HashSet<Id> = self.message_ids.iter().copied().collect();
        let mut right: BTreeMap<KeyOf<'a>, KeyRow<'a>> = BTreeMap::new();
        for at in 0..self.inbound.len() {
            let message_id = match resolve(firsts, at) {
                First::Stored(id) => id,
                First::InGroup(root) => self.message_id(root),
            };
            for row in self.own_keys(at) {
                right.entry(key_of(&row)).or_insert(KeyRow { message_id, ..row });
            }
            for row in self.path_keys(at) {
                right.insert(key_of(&row), KeyRow { message_id, ..row });
            }
        }
        let is_wrong = |row: &KeyRow<'_>| {
            let names = named.get(&owned_key(row)).map(|it| it.id);
            names.is_some_and(|id| in_group.contains(&id) && id != row.message_id)
        };
        let wrong: Vec<KeyRow<'a>> = right.into_values().filter(is_wrong).collect();
        if !wrong.is_empty() {
            self.tx.run(&REPOINT_KEYS, [group(&wrong)?]).await?;
        }
        Ok(())
    }

    /// By what a message is known over its other path.
    fn path_keys(&self, at: usize) -> Vec<KeyRow<'a>> {
        let message = self.message(at).filter(|_| !self.chats.is_nobodys(at));
        let keys = message.map_or(&[][..], |it| it.2.stored_only.as_slice());
        let Some((inbound, _)) = self.event(at) else { return Vec::new() };
        keys.iter().map(|key| key_row(inbound, PATH, key, self.message_id(at))).collect()
    }
}

/// True where two messages over two paths can be one: unless both have ids of the provider's, and others.
fn is_one(one: Option<&str>, other: Option<&str>) -> bool {
    one.zip(other).is_none_or(|(one, other)| one == other)
}

/// What a stored key names.
pub(super) struct Named {
    /// The message.
    pub(super) id: Id,
    /// The provider's id of that message.
    pub(super) provider_id: Option<String>,
    /// The hash of the body of a delivery; `None` of one that was stored before hashes were kept.
    pub(super) body_hash: Option<String>,
}

impl Named {
    /// What a key names that this transaction has claimed: a message that is not stored yet.
    fn claimed(row: &KeyRow<'_>) -> Self {
        let body_hash = row.body_hash.map(str::to_owned);
        Self { id: row.message_id, provider_id: None, body_hash }
    }
}

impl Group<'_> {
    /// Lets the keys of echoes name the messages that their deliveries have become.
    pub(super) async fn repoint_echoed(&self, echoed: &[(usize, Id)]) -> Result<(), StoreError> {
        let rows = |(at, message_id): &(usize, Id)| {
            let message_id = *message_id;
            self.own_keys(*at).into_iter().map(move |row| KeyRow { message_id, ..row })
        };
        let mut rows: Vec<KeyRow<'_>> = echoed.iter().flat_map(rows).collect();
        if !rows.is_empty() {
            rows.sort_unstable_by_key(key_of);
            self.tx.run(&REPOINT_KEYS, [group(&rows)?]).await?;
        }
        Ok(())
    }
}

/// The kind of keys by which a signed delivery is known again.
pub(super) const DELIVERY: &str = "delivery";
/// The kind of keys by which a message is known over its other path.
const PATH: &str = "path";

fn key_row<'a>(
    inbound: &'a Inbound,
    kind: &'static str,
    key: &'a MessageKey,
    message_id: Id,
) -> KeyRow<'a> {
    KeyRow {
        client_id: &inbound.client_id,
        channel: inbound.channel.0,
        kind,
        key: &key.key,
        message_id,
        ttl: key.expires.then_some(CONTENT_KEY_TTL_MS),
        body_hash: None,
    }
}

const fn key_of<'a>(row: &KeyRow<'a>) -> KeyOf<'a> {
    (row.client_id, row.channel, row.kind, row.key)
}

/// The same as it comes back from the database.
pub(super) type OwnedKey = (String, String, String, String);

pub(super) fn owned_key(row: &KeyRow<'_>) -> OwnedKey {
    (row.client_id.to_owned(), row.channel.to_owned(), row.kind.to_owned(), row.key.to_owned())
}

/// The key in a row of the database.
fn key_in(row: &sea_orm::QueryResult) -> Result<OwnedKey, sea_orm::DbErr> {
    let text = |column: &str| row.try_get::<String>("", column);
    Ok((text("client_id")?, text("channel")?, text("kind")?, text("key")?))
}

/// The first of its group that `at` repeats, or itself.
fn root_of(firsts: &HashMap<usize, First>, at: usize) -> usize {
    match firsts.get(&at) {
        Some(First::InGroup(root)) => *root,
        Some(First::Stored(_)) | None => at,
    }
}

/// Where the first of `at` is, followed through the group.
pub(super) fn resolve(firsts: &HashMap<usize, First>, at: usize) -> First {
    match firsts.get(&at) {
        Some(First::Stored(id)) => First::Stored(*id),
        Some(First::InGroup(root)) => match firsts.get(root) {
            Some(First::Stored(id)) => First::Stored(*id),
            Some(First::InGroup(_)) | None => First::InGroup(*root),
        },
        None => First::InGroup(at),
    }
}
