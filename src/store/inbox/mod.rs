//! For ingest: stores a group of webhooks in one transaction, whatever is in it.
//!
//! The number of statements does not grow with the group. Between them everything is decided in memory,
//! in the order of arrival. The order of locks is that of every transaction: keys and identities sorted,
//! leads by id, messages, turns, heads.

mod apply;

pub(super) use self::apply::PUT_QUARANTINE;

use super::{
    Store, StoreError,
    leads::{END_DRAFTS, EndDrafts, Lead, Leads},
    lines::Entry,
    messages::{self, MessageRow},
    sql::Sql,
    tx::{Tx, group, in_group},
};
use crate::domain::{
    ChannelName, Event, Id, Identity, JobKind, Sentiment, Signal, Timestamp,
    event::{MessageKey, NewMessage},
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

/// Claims keys: what comes back is new, or an expired key taken over, or a key of the other path that now
/// names the newer message. Sorted, so that two groups with the same keys wait and never deadlock.
pub(super) static PUT_KEYS: Sql = Sql::new(
    "insert into message_keys (client_id, channel, kind, key, message_id, first_seen, expires_at) \
     select g.client_id, g.channel, g.kind, g.key, g.message_id, @now, \
       case when g.ttl is null then null else @in_ms(g.ttl) end \
     from @rows($1, client_id text, channel text, kind text, key text, message_id bigint, ttl bigint) g \
     where true order by g.client_id, g.channel, g.kind, g.key \
     on conflict (client_id, channel, kind, key) do update set message_id = excluded.message_id, \
       first_seen = excluded.first_seen, expires_at = excluded.expires_at \
       where message_keys.expires_at <= @now or message_keys.kind = 'path' \
     returning client_id, channel, kind, key",
);

/// Which messages keys name. By primary key.
pub(super) static READ_KEYS: Sql = Sql::new(
    "select k.client_id, k.channel, k.kind, k.key, k.message_id \
     from @rows($1, client_id text, channel text, kind text, key text) g \
     join message_keys k on k.client_id = g.client_id and k.channel = g.channel and k.kind = g.kind and k.key = g.key \
     where k.expires_at is null or k.expires_at > @now",
);

/// Lets keys that this transaction has claimed name the first message.
pub(super) static REPOINT_KEYS: Sql = Sql::new(
    "update message_keys set message_id = g.message_id \
     from @rows($1, client_id text, channel text, kind text, key text, message_id bigint) g \
     where message_keys.client_id = g.client_id and message_keys.channel = g.channel and message_keys.kind = g.kind \
       and message_keys.key = g.key",
);

/// Whose identities are known. By primary key.
pub(super) static READ_IDENTITIES: Sql = Sql::new(
    "select i.client_id, i.kind, i.value, i.lead_id from @rows($1, client_id text, kind text, value text) g \
     join lead_identities i on i.client_id = g.client_id and i.kind = g.kind and i.value = g.value",
);

/// Claims identities for leads; one that another transaction has claimed meanwhile comes short.
pub(super) static PUT_IDENTITIES: Sql = Sql::new(
    "insert into lead_identities (client_id, kind, value, lead_id) \
     select g.client_id, g.kind, g.value, g.lead_id \
     from @rows($1, client_id text, kind text, value text, lead_id bigint) g \
     where true order by g.client_id, g.kind, g.value on conflict (client_id, kind, value) do nothing",
);

/// Campaigns by their providers' ids.
pub(super) static READ_CAMPAIGNS: Sql = Sql::new(
    "select c.id, c.client_id, c.channel, c.provider_id, c.name \
     from @rows($1, client_id text, channel text, provider_id text) g \
     join campaigns c on c.client_id = g.client_id and c.channel = g.channel and c.provider_id = g.provider_id",
);

/// Makes campaigns; one that another transaction has made meanwhile comes short.
pub(super) static PUT_CAMPAIGNS: Sql = Sql::new(
    "insert into campaigns (id, client_id, channel, provider_id, name) \
     select g.id, g.client_id, g.channel, g.provider_id, g.name \
     from @rows($1, id bigint, client_id text, channel text, provider_id text, name text) g \
     where true order by g.client_id, g.channel, g.provider_id on conflict (client_id, channel, provider_id) do nothing",
);

/// Refreshes the names of campaigns that were renamed.
pub(super) static RENAME_CAMPAIGNS: Sql = Sql::new(
    "update campaigns set name = g.name from @rows($1, id bigint, name text) g where campaigns.id = g.id",
);

/// How long a content key without a time of the message counts: 10 minutes, by the database's clock.
const CONTENT_KEY_TTL_MS: i64 = 600_000;

/// One webhook to store.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// Whose it is.
    pub client_id: Arc<str>,
    /// The channel it came over.
    pub channel: ChannelName,
    /// The request it came with.
    pub request_id: String,
    /// When it came.
    pub received_at: Timestamp,
    /// The body as received, secrets masked.
    pub payload: String,
    /// What it is.
    pub content: Content,
}

/// What a webhook is.
#[derive(Clone, Debug)]
pub enum Content {
    /// Understood.
    Event {
        /// What it means.
        event: Box<Event>,
        /// The kind of job that works an inbound message through.
        kind: JobKind,
        /// How many attempts that job may have.
        max_attempts: u32,
    },
    /// Not understood: kept for a person.
    Quarantine {
        /// The provider's name of the event.
        event_type: Option<String>,
        /// Why.
        reason: String,
        /// Hash of the body as received; the same bytes are the same item.
        body_hash: String,
    },
}

/// What became of a webhook, with the ids that its answer names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Stored, with its job.
    Accepted {
        /// The message.
        message_id: Id,
        /// Its lead.
        lead_id: Id,
        /// Its job.
        job_id: Id,
    },
    /// Known already: the ids of the first.
    Duplicate {
        /// The first message; `None` for a state signal that changes nothing.
        message_id: Option<Id>,
        /// Its lead.
        lead_id: Option<Id>,
        /// The first's inbound job.
        job_id: Option<Id>,
    },
    /// Stored or applied without a job.
    Recorded {
        /// The stored message, if any.
        message_id: Option<Id>,
        /// The lead.
        lead_id: Id,
        /// What was changed.
        reason: &'static str,
    },
    /// Needs nothing.
    Ignored {
        /// Why.
        reason: &'static str,
    },
    /// Kept for a person.
    Quarantined {
        /// The item.
        quarantine_id: Id,
        /// Why.
        reason: String,
    },
}

/// The ingest actors' handle.
#[derive(Clone, Debug)]
pub struct Inbox(pub(super) Store);

impl Inbox {
    /// Stores `group` in one transaction; the answers are in its order. When it returns, all is committed.
    ///
    /// # Errors
    /// Of the whole group, and then nothing of it is stored: [`StoreError::Data`] when something in it
    /// cannot be stored, else the database is away.
    pub async fn put(&self, inbound: Arc<[Inbound]>) -> Result<Vec<Answer>, StoreError> {
        let store = self.0.clone();
        self.0
            .spawn(async move {
                in_group(|| {
                    let (store, inbound) = (store.clone(), inbound.clone());
                    async move {
                        let tx = Tx::begin(store.connections()).await?;
                        let answers = put(&store, &tx, &inbound).await?;
                        tx.commit().await?;
                        Ok(answers)
                    }
                })
                .await
            })
            .await
    }
}

/// A group that is being stored.
struct Group<'a> {
    store: &'a Store,
    tx: &'a Tx,
    inbound: &'a [Inbound],
    /// The ids that messages of the group get if they are new.
    message_ids: Vec<Id>,
    answers: Vec<Option<Answer>>,
}

async fn put(store: &Store, tx: &Tx, inbound: &[Inbound]) -> Result<Vec<Answer>, StoreError> {
    let mut group = Group {
        store,
        tx,
        inbound,
        message_ids: inbound.iter().map(|_| store.next_id()).collect(),
        answers: vec![None; inbound.len()],
    };
    let firsts = group.known_messages().await?;
    let lead_of = group.find_leads(&firsts).await?;
    let campaigns = group.find_campaigns(&lead_of).await?;
    let known = messages::read_firsts(tx, &firsts, inbound).await?;
    let mut leads = group.lock_leads(&lead_of, &known).await?;
    let mut work = Work::default();
    group.apply_events(&firsts, &known, &lead_of, &campaigns, &mut leads, &mut work);
    messages::put(tx, &work.messages).await?;
    group.apply_hints(&mut work, &mut leads).await?;
    if !work.ended_drafts.is_empty() {
        tx.run(&END_DRAFTS, [self::group(&work.ended_drafts)?]).await?;
    }
    leads.write(tx).await?;
    group.quarantine().await?;
    group.enqueue(work).await?;
    Ok(group.answers.into_iter().flatten().collect())
}

/// What the statements of a group are to write.
#[derive(Default)]
struct Work {
    messages: Vec<MessageRow>,
    hints: Vec<Hint>,
    ended_drafts: Vec<EndDrafts>,
    entries: Vec<Entry>,
    fresh_leads: HashSet<Id>,
}

/// A provider's verdict to be applied once the group's messages are stored (docs/RULES.md P16).
struct Hint {
    at: usize,
    lead_id: Id,
    /// The message it is about; `None` is the lead's newest that is not later than the event.
    message_id: Option<Id>,
    not_after: Timestamp,
    sentiment: Sentiment,
    word: &'static str,
    otherwise: Answer,
}

/// The first message of a webhook that is a duplicate: stored before, or earlier in the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    Stored(Id),
    InGroup(usize),
}

#[derive(Serialize, Clone, Copy)]
struct KeyRow<'a> {
    client_id: &'a str,
    channel: &'static str,
    kind: &'static str,
    key: &'a str,
    message_id: Id,
    ttl: Option<i64>,
}

type KeyOf<'a> = (&'a str, &'static str, &'static str, &'a str);

impl<'a> Group<'a> {
    fn message(&self, at: usize) -> Option<(&'a Inbound, &'a Event, &'a NewMessage)> {
        let inbound = self.inbound.get(at)?;
        match &inbound.content {
            Content::Event { event, .. } => match &event.signal {
                Signal::Message(message) => Some((inbound, event, message)),
                Signal::OptOut { .. }
                | Signal::Bounce { .. }
                | Signal::DoNotDisturb { .. }
                | Signal::Hint { .. } => None,
            },
            Content::Quarantine { .. } => None,
        }
    }

    fn event(&self, at: usize) -> Option<(&'a Inbound, &'a Event)> {
        let inbound = self.inbound.get(at)?;
        match &inbound.content {
            Content::Event { event, .. } => Some((inbound, event)),
            Content::Quarantine { .. } => None,
        }
    }

    fn message_id(&self, at: usize) -> Id {
        self.message_ids.get(at).copied().unwrap_or_default()
    }

    fn answer(&mut self, at: usize, answer: Answer) {
        if let Some(slot) = self.answers.get_mut(at) {
            *slot = Some(answer);
        }
    }

    /// Claims the keys of all messages and says which of them were known before.
    async fn known_messages(&self) -> Result<HashMap<usize, First>, StoreError> {
        let mut firsts: HashMap<usize, First> = HashMap::new();
        let mut owner: HashMap<KeyOf<'a>, usize> = HashMap::new();
        let mut paths: HashMap<KeyOf<'a>, usize> = HashMap::new();
        let mut asked: BTreeMap<KeyOf<'a>, KeyRow<'a>> = BTreeMap::new();
        let mut looked_up: Vec<(usize, KeyRow<'a>)> = Vec::new();
        for at in 0..self.inbound.len() {
            let Some((inbound, _, message)) = self.message(at) else { continue };
            let own =
                |key: &'a MessageKey| key_row(inbound, key.kind.as_str(), key, self.message_id(at));
            let path = |key: &'a MessageKey| key_row(inbound, PATH, key, self.message_id(at));
            let by_key = message.keys.iter().find_map(|key| owner.get(&key_of(&own(key))));
            let by_path = message.also_known_as.iter().find_map(|it| paths.get(&key_of(&path(it))));
            let root = by_key.or(by_path).copied().map(|it| root_of(&firsts, it));
            if let Some(root) = root {
                firsts.insert(at, First::InGroup(root));
            }
            let names = self.message_id(root.unwrap_or(at));
            for key in &message.keys {
                let row = KeyRow { message_id: names, ..own(key) };
                owner.entry(key_of(&row)).or_insert(root.unwrap_or(at));
                asked.entry(key_of(&row)).or_insert(row);
            }
            for key in &message.stored_only {
                let row = KeyRow { message_id: names, ..path(key) };
                paths.insert(key_of(&row), root.unwrap_or(at));
                asked.insert(key_of(&row), row);
            }
            looked_up.extend(message.also_known_as.iter().map(|key| (at, path(key))));
        }
        if !asked.is_empty() {
            self.claim_keys(asked, &looked_up, &mut firsts).await?;
        }
        Ok(firsts)
    }

    async fn claim_keys(
        &self,
        asked: BTreeMap<KeyOf<'a>, KeyRow<'a>>,
        looked_up: &[(usize, KeyRow<'a>)],
        firsts: &mut HashMap<usize, First>,
    ) -> Result<(), StoreError> {
        let rows: Vec<KeyRow<'a>> = asked.into_values().collect();
        let claimed = self.tx.all(&PUT_KEYS, [group(&rows)?]).await?.len();
        if claimed == rows.len() && looked_up.is_empty() {
            return Ok(());
        }
        let read: Vec<KeyRow<'a>> =
            rows.iter().copied().chain(looked_up.iter().map(|it| it.1)).collect();
        let mut named: HashMap<(String, String, String, String), Id> = HashMap::new();
        for row in self.tx.all(&READ_KEYS, [group(&read)?]).await? {
            let text = |column: &str| row.try_get::<String>("", column);
            let key = (text("client_id")?, text("channel")?, text("kind")?, text("key")?);
            named.insert(key, row.try_get("", "message_id")?);
        }
        let names = |row: &KeyRow<'_>| {
            let key = (
                row.client_id.to_owned(),
                row.channel.to_owned(),
                row.kind.to_owned(),
                row.key.to_owned(),
            );
            named.get(&key).copied()
        };
        let in_group: HashSet<Id> = self.message_ids.iter().copied().collect();
        for at in 0..self.inbound.len() {
            let Some((inbound, _, message)) = self.message(at) else { continue };
            let own = message.keys.iter().map(|it| key_row(inbound, it.kind.as_str(), it, 0));
            let others = looked_up.iter().filter(|it| it.0 == at).map(|it| it.1);
            let stored =
                own.chain(others).filter_map(|it| names(&it)).find(|id| !in_group.contains(id));
            if let Some(id) = stored {
                let root = root_of(firsts, at);
                firsts.insert(root, First::Stored(id));
                firsts.insert(at, First::Stored(id));
            }
        }
        self.repoint(&rows, firsts, &named).await
    }

    /// Keys that were claimed for what turned out to be a duplicate name the first message.
    async fn repoint(
        &self,
        rows: &[KeyRow<'a>],
        firsts: &HashMap<usize, First>,
        named: &HashMap<(String, String, String, String), Id>,
    ) -> Result<(), StoreError> {
        let mut stored: HashMap<Id, Id> = HashMap::new();
        for at in 0..self.inbound.len() {
            if let First::Stored(id) = resolve(firsts, at) {
                stored.insert(self.message_id(at), id);
            }
        }
        let wrong: Vec<KeyRow<'a>> = rows
            .iter()
            .filter_map(|row| {
                let key = (
                    row.client_id.to_owned(),
                    row.channel.to_owned(),
                    row.kind.to_owned(),
                    row.key.to_owned(),
                );
                let first = stored.get(named.get(&key)?)?;
                Some(KeyRow { message_id: *first, ..*row })
            })
            .collect();
        if !wrong.is_empty() {
            self.tx.run(&REPOINT_KEYS, [group(&wrong)?]).await?;
        }
        Ok(())
    }

    /// Finds or makes the lead of every event that is no duplicate; `None` is unknown.
    async fn find_leads(
        &self,
        firsts: &HashMap<usize, First>,
    ) -> Result<HashMap<usize, Found>, StoreError> {
        #[derive(Serialize)]
        struct Row<'a> {
            client_id: &'a str,
            kind: &'static str,
            value: &'a str,
            lead_id: Id,
        }
        let row = |client_id: &'a str, it: &'a Identity, lead_id: Id| Row {
            client_id,
            kind: it.kind.as_str(),
            value: &it.value,
            lead_id,
        };
        let events = || {
            (0..self.inbound.len())
                .filter(|at| !firsts.contains_key(at))
                .filter_map(|at| self.event(at).map(|(inbound, event)| (at, inbound, event)))
        };
        let asked: Vec<Row<'_>> = events()
            .flat_map(|(_, inbound, event)| {
                event.identities.iter().map(move |it| row(&inbound.client_id, it, 0))
            })
            .collect();
        if asked.is_empty() {
            return Ok(HashMap::new());
        }
        let mut known: HashMap<(String, String, String), Id> = HashMap::new();
        for it in self.tx.all(&READ_IDENTITIES, [group(&asked)?]).await? {
            let key =
                (it.try_get("", "client_id")?, it.try_get("", "kind")?, it.try_get("", "value")?);
            known.insert(key, it.try_get("", "lead_id")?);
        }
        let mut found = HashMap::new();
        let mut new: BTreeMap<(String, String, String), Row<'_>> = BTreeMap::new();
        for (at, inbound, event) in events() {
            let key = |it: &Identity| {
                (inbound.client_id.to_string(), it.kind.as_str().to_owned(), it.value.clone())
            };
            let mut owners: Vec<Id> =
                event.identities.iter().filter_map(|it| known.get(&key(it)).copied()).collect();
            let first = owners.first().copied();
            owners.dedup();
            if owners.len() > 1 {
                tracing::warn!(client.id = %inbound.client_id, lead.ids = ?owners, "identities of two leads meet");
            }
            let lead = match first {
                Some(id) => Found { lead_id: id, is_new: false },
                None if event.signal.creates_lead() => {
                    Found { lead_id: self.store.next_id(), is_new: true }
                }
                None => continue,
            };
            for it in &event.identities {
                known.entry(key(it)).or_insert_with(|| {
                    new.insert(key(it), row(&inbound.client_id, it, lead.lead_id));
                    lead.lead_id
                });
            }
            found.insert(at, lead);
        }
        let new: Vec<Row<'_>> = new.into_values().collect();
        if !new.is_empty() {
            let claimed = self.tx.run(&PUT_IDENTITIES, [group(&new)?]).await?;
            if claimed != new.len() as u64 {
                return Err(StoreError::Conflict("an identity was claimed meanwhile".to_owned()));
            }
        }
        Ok(found)
    }

    /// Finds, makes and renames the campaigns that events name.
    async fn find_campaigns(
        &self,
        lead_of: &HashMap<usize, Found>,
    ) -> Result<HashMap<CampaignKey, Id>, StoreError> {
        let mut named: BTreeMap<CampaignKey, Option<&'a str>> = BTreeMap::new();
        for at in 0..self.inbound.len() {
            if let (Some((inbound, event)), true) = (self.event(at), lead_of.contains_key(&at))
                && let Some(campaign) = &event.campaign
            {
                let name = named.entry(campaign_key(inbound, &campaign.provider_id)).or_default();
                *name = campaign.name.as_deref().or(*name);
            }
        }
        if named.is_empty() {
            return Ok(HashMap::new());
        }
        let rows: Vec<CampaignRow<'_>> = named
            .iter()
            .map(|(key, name)| CampaignRow {
                id: 0,
                client_id: &key.0,
                channel: key.1,
                provider_id: &key.2,
                name: *name,
            })
            .collect();
        let mut ids = HashMap::new();
        let mut renamed: Vec<CampaignRow<'_>> = Vec::new();
        for row in self.tx.all(&READ_CAMPAIGNS, [group(&rows)?]).await? {
            let id: Id = row.try_get("", "id")?;
            let text = |column: &str| row.try_get::<String>("", column);
            let (client_id, channel, provider_id) =
                (text("client_id")?, text("channel")?, text("provider_id")?);
            let before: Option<String> = row.try_get("", "name")?;
            let Some(asked) = rows.iter().find(|it| {
                it.client_id == client_id && it.channel == channel && it.provider_id == provider_id
            }) else {
                continue;
            };
            if asked.name.is_some() && asked.name != before.as_deref() {
                renamed.push(CampaignRow { id, ..*asked });
            }
            ids.insert((client_id, asked.channel, provider_id), id);
        }
        let new: Vec<CampaignRow<'_>> = rows
            .iter()
            .filter(|it| {
                !ids.contains_key(&(it.client_id.to_owned(), it.channel, it.provider_id.to_owned()))
            })
            .map(|it| CampaignRow { id: self.store.next_id(), ..*it })
            .collect();
        if !new.is_empty() {
            let made = self.tx.run(&PUT_CAMPAIGNS, [group(&new)?]).await?;
            if made != new.len() as u64 {
                return Err(StoreError::Conflict("a campaign was made meanwhile".to_owned()));
            }
        }
        if !renamed.is_empty() {
            renamed.sort_unstable_by_key(|it| it.id);
            self.tx.run(&RENAME_CAMPAIGNS, [group(&renamed)?]).await?;
        }
        for it in new {
            ids.insert((it.client_id.to_owned(), it.channel, it.provider_id.to_owned()), it.id);
        }
        Ok(ids)
    }

    /// Locks the leads of events and of duplicates, and adds those that are to be made.
    async fn lock_leads(
        &self,
        lead_of: &HashMap<usize, Found>,
        known: &HashMap<Id, messages::Known>,
    ) -> Result<Leads, StoreError> {
        let made: HashSet<Id> =
            lead_of.values().filter(|it| it.is_new).map(|it| it.lead_id).collect();
        let ids: BTreeSet<Id> = lead_of
            .values()
            .map(|it| it.lead_id)
            .chain(known.values().filter(|it| it.needs_lock()).map(|it| it.lead_id))
            .filter(|id| !made.contains(id))
            .collect();
        let mut leads = Leads::lock(self.tx, &ids).await?;
        for (at, found) in lead_of.iter().filter(|it| it.1.is_new) {
            if let Some(inbound) = self.inbound.get(*at) {
                leads.add(Lead::new(found.lead_id, &inbound.client_id));
            }
        }
        Ok(leads)
    }
}

/// The lead of an event.
#[derive(Clone, Copy, Debug)]
struct Found {
    lead_id: Id,
    is_new: bool,
}

type CampaignKey = (String, &'static str, String);

#[derive(Serialize, Clone, Copy)]
struct CampaignRow<'a> {
    id: Id,
    client_id: &'a str,
    channel: &'static str,
    provider_id: &'a str,
    name: Option<&'a str>,
}

fn campaign_key(inbound: &Inbound, provider_id: &str) -> CampaignKey {
    (inbound.client_id.to_string(), inbound.channel.0, provider_id.to_owned())
}

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
    }
}

const fn key_of<'a>(row: &KeyRow<'a>) -> KeyOf<'a> {
    (row.client_id, row.channel, row.kind, row.key)
}

/// The first of its group that `at` repeats, or itself.
fn root_of(firsts: &HashMap<usize, First>, at: usize) -> usize {
    match firsts.get(&at) {
        Some(First::InGroup(root)) => *root,
        Some(First::Stored(_)) | None => at,
    }
}

/// Where the first of `at` is, followed through the group.
fn resolve(firsts: &HashMap<usize, First>, at: usize) -> First {
    match firsts.get(&at) {
        Some(First::Stored(id)) => First::Stored(*id),
        Some(First::InGroup(root)) => match firsts.get(root) {
            Some(First::Stored(id)) => First::Stored(*id),
            Some(First::InGroup(_)) | None => First::InGroup(*root),
        },
        None => First::InGroup(at),
    }
}
