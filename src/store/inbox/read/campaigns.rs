//! The campaigns that events name, by their providers' ids.

use crate::{
    domain::Id,
    store::{
        engine::{
            StoreError,
            sql::sql,
            tx::{Tx, group},
        },
        inbox::arrival::Arrival,
    },
};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

sql! {
    /// Campaigns by their providers' ids. By their unique key (client, channel, provider's id).
    static READ_CAMPAIGNS =
        "select c.id, c.client_id, c.channel, c.provider_id, c.name \
         from @rows($1, client_id text, channel text, provider_id text) g \
         join campaigns c on c.client_id = g.client_id and c.channel = g.channel and c.provider_id = g.provider_id";

    /// Makes campaigns, sorted. It makes fewer if another transaction has made one of them
    /// meanwhile.
    static PUT_CAMPAIGNS =
        "insert into campaigns (id, client_id, channel, provider_id, name) \
         select g.id, g.client_id, g.channel, g.provider_id, g.name \
         from @rows($1, id bigint, client_id text, channel text, provider_id text, name text) g \
         where true order by g.client_id, g.channel, g.provider_id on conflict (client_id, channel, provider_id) do nothing";

    /// Stores the new names of campaigns, sorted. By primary key.
    static RENAME_CAMPAIGNS =
        "update campaigns set name = g.name from @rows($1, id bigint, name text) g where campaigns.id = g.id";
}

/// A campaign by its provider's id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct CampaignKey<'a> {
    client_id: &'a str,
    channel: &'a str,
    provider_id: &'a str,
}

#[derive(Serialize, Clone, Copy)]
struct CampaignRow<'a> {
    id: Id,
    client_id: &'a str,
    channel: &'a str,
    provider_id: &'a str,
    name: Option<&'a str>,
}

impl<'a> CampaignRow<'a> {
    const fn new(id: Id, key: CampaignKey<'a>, name: Option<&'a str>) -> Self {
        let CampaignKey { client_id, channel, provider_id } = key;
        Self { id, client_id, channel, provider_id, name }
    }
}

/// The campaign that an event with a lead names, and the campaign's name.
fn campaign_of<'a>(arrival: &Arrival<'a>) -> Option<(CampaignKey<'a>, Option<&'a str>)> {
    let campaign = arrival.event()?.campaign.as_ref().filter(|_| arrival.lead.is_some())?;
    let (client_id, channel) = (&*arrival.inbound.client_id, arrival.inbound.channel.0);
    let key = CampaignKey { client_id, channel, provider_id: &campaign.provider_id };
    Some((key, campaign.name.as_deref()))
}

/// Finds, makes and renames the campaigns of the events that have a lead.
///
/// # Errors
/// A conflict if another transaction has made one of them meanwhile.
pub(super) async fn find_campaigns(
    tx: &Tx,
    arrivals: &mut [Arrival<'_>],
    next_id: &(dyn Fn() -> Id + Sync),
) -> Result<(), StoreError> {
    // 1. Gather them. If one has several names, the last one counts.
    let mut named: BTreeMap<CampaignKey<'_>, Option<&str>> = BTreeMap::new();
    for (key, told) in arrivals.iter().filter_map(campaign_of) {
        let name = named.entry(key).or_default();
        *name = told.or(*name);
    }
    if named.is_empty() {
        return Ok(());
    }
    // 2. Find those that are stored, and those of them that have a new name.
    let rows: Vec<CampaignRow<'_>> =
        named.iter().map(|(key, name)| CampaignRow::new(0, *key, *name)).collect();
    let asked: HashMap<CampaignKey<'_>, (CampaignKey<'_>, Option<&str>)> =
        named.iter().map(|(key, name)| (*key, (*key, *name))).collect();
    let mut ids: HashMap<CampaignKey<'_>, Id> = HashMap::new();
    let mut renamed: Vec<CampaignRow<'_>> = Vec::new();
    for row in tx.all(&READ_CAMPAIGNS, [group(&rows)?]).await? {
        let id: Id = row.try_get("", "id")?;
        let text = |column: &str| row.try_get::<String>("", column);
        let (client_id, channel) = (text("client_id")?, text("channel")?);
        let provider_id = text("provider_id")?;
        let found =
            CampaignKey { client_id: &client_id, channel: &channel, provider_id: &provider_id };
        let before: Option<String> = row.try_get("", "name")?;
        let Some((key, name)) = asked.get(&found).copied() else { continue };
        if name.is_some() && name != before.as_deref() {
            renamed.push(CampaignRow::new(id, key, name));
        }
        ids.insert(key, id);
    }
    // 3. Make the others, and rename.
    let new: Vec<CampaignRow<'_>> = named
        .iter()
        .filter(|(key, _)| !ids.contains_key(key))
        .map(|(key, name)| CampaignRow::new(next_id(), *key, *name))
        .collect();
    if !new.is_empty() {
        let made = tx.run(&PUT_CAMPAIGNS, [group(&new)?]).await?;
        if made != new.len() as u64 {
            return Err(StoreError::Conflict("a campaign was made meanwhile".to_owned()));
        }
    }
    if !renamed.is_empty() {
        renamed.sort_unstable_by_key(|row| row.id);
        tx.run(&RENAME_CAMPAIGNS, [group(&renamed)?]).await?;
    }
    // 4. Note them in the webhooks.
    ids.extend(new.iter().map(|row| {
        let CampaignRow { client_id, channel, provider_id, .. } = *row;
        (CampaignKey { client_id, channel, provider_id }, row.id)
    }));
    for arrival in arrivals {
        arrival.campaign_id = campaign_of(arrival).and_then(|(key, _)| ids.get(&key).copied());
    }
    Ok(())
}
