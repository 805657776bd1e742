//! Whose an event is: leads by their identities, and campaigns by their providers' ids.

use super::{Group, Inbound, changes::Changes, keys::First, merges::Meeting};
use crate::{
    domain::{Event, Id, Identity, Signal},
    store::{
        StoreError,
        leads::{Lead, Leads},
        messages,
        sql::Sql,
        tx::group,
    },
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Whose identities are known. By primary key.
pub(in crate::store) static READ_IDENTITIES: Sql = Sql::new(
    "select i.client_id, i.kind, i.value, i.lead_id from @rows($1, client_id text, kind text, value text) g \
     join lead_identities i on i.client_id = g.client_id and i.kind = g.kind and i.value = g.value",
);

/// Claims identities for leads; one that another transaction has claimed meanwhile comes short.
pub(in crate::store) static PUT_IDENTITIES: Sql = Sql::new(
    "insert into lead_identities (client_id, kind, value, lead_id) \
     select g.client_id, g.kind, g.value, g.lead_id \
     from @rows($1, client_id text, kind text, value text, lead_id bigint) g \
     where true order by g.client_id, g.kind, g.value on conflict (client_id, kind, value) do nothing",
);

/// Campaigns by their providers' ids.
pub(in crate::store) static READ_CAMPAIGNS: Sql = Sql::new(
    "select c.id, c.client_id, c.channel, c.provider_id, c.name \
     from @rows($1, client_id text, channel text, provider_id text) g \
     join campaigns c on c.client_id = g.client_id and c.channel = g.channel and c.provider_id = g.provider_id",
);

/// Makes campaigns; one that another transaction has made meanwhile comes short.
pub(in crate::store) static PUT_CAMPAIGNS: Sql = Sql::new(
    "insert into campaigns (id, client_id, channel, provider_id, name) \
     select g.id, g.client_id, g.channel, g.provider_id, g.name \
     from @rows($1, id bigint, client_id text, channel text, provider_id text, name text) g \
     where true order by g.client_id, g.channel, g.provider_id on conflict (client_id, channel, provider_id) do nothing",
);

/// Refreshes the names of campaigns that were renamed.
pub(in crate::store) static RENAME_CAMPAIGNS: Sql = Sql::new(
    "update campaigns set name = g.name from @rows($1, id bigint, name text) g where campaigns.id = g.id",
);

impl<'a> Group<'a> {
    /// Finds or makes the lead of every event that is no duplicate, and says which leads meet; an event that is
    /// not in the answer is about somebody unknown.
    pub(super) async fn find_leads(
        &mut self,
        firsts: &HashMap<usize, First>,
    ) -> Result<(HashMap<usize, Found>, Vec<Meeting>), StoreError> {
        let events: Vec<(usize, &'a Inbound, &'a Event)> = (0..self.inbound.len())
            .filter(|at| !firsts.contains_key(at) && !self.chats.is_nobodys(*at))
            .filter_map(|at| self.event(at).map(|(inbound, event)| (at, inbound, event)))
            .collect();
        let mut known = self.known_identities(&events).await?;
        let mut found = HashMap::new();
        let mut meetings = Vec::new();
        let mut new: BTreeMap<IdentityKey, IdentityRow<'_>> = BTreeMap::new();
        for (at, inbound, event) in events {
            let key = |it: &Identity| {
                (inbound.client_id.to_string(), it.kind.as_str().to_owned(), it.value.clone())
            };
            let mut owners: Vec<Id> = Vec::new();
            for id in event.identities.iter().filter_map(|it| known.get(&key(it)).copied()) {
                if !owners.contains(&id) {
                    owners.push(id);
                }
            }
            let of_chat =
                event.lead_of_chat.as_ref().and_then(|chat| self.chats.lead(inbound, chat));
            let lead = match owners.first().copied().or(of_chat) {
                Some(id) => Found { lead_id: id, is_new: false },
                None if event.creates_lead() => {
                    Found { lead_id: self.store.next_id(), is_new: true }
                }
                None => continue,
            };
            for it in &event.identities {
                known.entry(key(it)).or_insert_with(|| {
                    new.insert(key(it), IdentityRow::of(inbound, it, lead.lead_id));
                    lead.lead_id
                });
            }
            if owners.len() > 1 {
                meetings.push(Meeting { at, owners });
            }
            if let Signal::Message(message) = &event.signal
                && let Some(chat) = message.chat()
            {
                self.chats.is_of(inbound, chat, lead.lead_id);
            }
            found.insert(at, lead);
        }
        let new: Vec<IdentityRow<'_>> = new.into_values().collect();
        if !new.is_empty() {
            let claimed = self.tx.run(&PUT_IDENTITIES, [group(&new)?]).await?;
            if claimed != new.len() as u64 {
                return Err(StoreError::Conflict("an identity was claimed meanwhile".to_owned()));
            }
        }
        Ok((found, meetings))
    }

    /// Whose the identities of events are, as stored.
    async fn known_identities(
        &self,
        events: &[(usize, &'a Inbound, &'a Event)],
    ) -> Result<HashMap<IdentityKey, Id>, StoreError> {
        let asked: Vec<IdentityRow<'_>> = events
            .iter()
            .flat_map(|(_, inbound, event)| {
                event.identities.iter().map(|it| IdentityRow::of(inbound, it, 0))
            })
            .collect();
        let mut known = HashMap::new();
        if asked.is_empty() {
            return Ok(known);
        }
        for it in self.tx.all(&READ_IDENTITIES, [group(&asked)?]).await? {
            let key =
                (it.try_get("", "client_id")?, it.try_get("", "kind")?, it.try_get("", "value")?);
            known.insert(key, it.try_get("", "lead_id")?);
        }
        Ok(known)
    }

    /// Finds, makes and renames the campaigns that events name.
    pub(super) async fn find_campaigns(
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

    /// Locks the leads of events, of duplicates and of changed messages, and adds those that are to be made.
    ///
    /// # Errors
    /// A conflict where one of them was merged into another since it was found.
    pub(super) async fn lock_leads(
        &self,
        lead_of: &HashMap<usize, Found>,
        meetings: &[Meeting],
        repeated: &HashMap<Id, messages::KnownMessage>,
        changes: &Changes,
    ) -> Result<Leads, StoreError> {
        let made: HashSet<Id> =
            lead_of.values().filter(|it| it.is_new).map(|it| it.lead_id).collect();
        let ids: BTreeSet<Id> = lead_of
            .values()
            .map(|it| it.lead_id)
            .chain(meetings.iter().flat_map(|it| it.owners.iter().copied()))
            .chain(repeated.values().filter(|it| it.needs_lock()).map(|it| it.lead_id))
            .chain(changes.leads())
            .filter(|id| !made.contains(id))
            .collect();
        let mut leads = Leads::lock(self.tx, &ids).await?;
        if leads.has_merged() {
            return Err(StoreError::Conflict("a lead was merged meanwhile".to_owned()));
        }
        for (at, found) in lead_of.iter().filter(|it| it.1.is_new) {
            if let Some(inbound) = self.inbound.get(*at) {
                leads.add(Lead::new(found.lead_id, &inbound.client_id));
            }
        }
        Ok(leads)
    }
}

/// An identity as it comes back from the database: client, kind, value.
type IdentityKey = (String, String, String);

#[derive(Serialize)]
struct IdentityRow<'a> {
    client_id: &'a str,
    kind: &'static str,
    value: &'a str,
    lead_id: Id,
}

impl<'a> IdentityRow<'a> {
    fn of(inbound: &'a Inbound, it: &'a Identity, lead_id: Id) -> Self {
        Self { client_id: &inbound.client_id, kind: it.kind.as_str(), value: &it.value, lead_id }
    }
}

/// The lead of an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) lead_id: Id,
    pub(super) is_new: bool,
}

pub(super) type CampaignKey = (String, &'static str, String);

#[derive(Serialize, Clone, Copy)]
struct CampaignRow<'a> {
    id: Id,
    client_id: &'a str,
    channel: &'static str,
    provider_id: &'a str,
    name: Option<&'a str>,
}

pub(super) fn campaign_key(inbound: &Inbound, provider_id: &str) -> CampaignKey {
    (inbound.client_id.to_string(), inbound.channel.0, provider_id.to_owned())
}
