//! The inbox: leads with what waits for a person, and with the message that it is about.

use super::{
    Page,
    jobs::count,
    people::{self, IDENTITIES_LISTED, LeadCursor, LeadEntry, LeadFilter, containing},
    portions::Heavy,
    written::{self, DraftView, Excerpt, ListedMessage, WaitingDrafts, WaitingFor},
};
use crate::domain::Id;
use crate::store::engine::{
    StoreError,
    sessions::Sessions,
    sql::sql,
    tx::{column, group, read},
};
use std::collections::{HashMap, HashSet};

sql! {
    /// Those of these drafts with a tag, of a campaign, on a channel and with a text in the name,
    /// company, address or phone number of the lead. Each filter is off if its number is 0. By
    /// primary keys.
    static MATCH_DRAFTS =
        "select d.id from drafts d join leads l on l.id = d.lead_id where d.id @ids($1) \
           and ($2 = 0 or d.tag in (select f.value from @rows($3, value text) f)) \
           and ($4 = 0 or l.campaign_id in (select f.value from @rows($5, value bigint) f)) \
           and ($6 = 0 or lower(coalesce(l.first_name, '') || ' ' || coalesce(l.last_name, '')) like lower($7) escape '\\' \
             or lower(l.company_name) like lower($7) escape '\\' or lower(l.email) like lower($7) escape '\\' \
             or l.phone like $7 escape '\\') \
           and ($8 = 0 or d.channel in (select f.value from @rows($9, value text) f))";
}

/// How many drafts one search reads.
const SOUGHT: usize = 1_000;
/// The most searches for one page. After that, a page that is not full has a cursor to continue
/// from.
const SEARCHES_MAX: usize = 10;

/// Selects drafts that wait. The values of a field are alternatives; all fields must match; an
/// empty field matches all drafts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WaitingFilter {
    /// What they wait for.
    pub why: WaitingFor,
    /// Their clients.
    pub client: Vec<String>,
    /// Their channels.
    pub channel: Vec<String>,
    /// The tags of the messages that they answer.
    pub tag: Vec<String>,
    /// The campaigns of their leads.
    pub campaign: Vec<Id>,
    /// A part of name, company, address or phone number of their leads.
    pub text: Option<String>,
}

impl WaitingFilter {
    /// True if drafts are read and then selected among.
    fn is_sought(&self) -> bool {
        !self.tag.is_empty()
            || !self.campaign.is_empty()
            || self.text.is_some()
            || !self.sought_channels().is_empty()
    }

    /// The channels that no index selects by.
    fn sought_channels(&self) -> &[String] {
        match self.why {
            WaitingFor::Decision => &[],
            WaitingFor::Help | WaitingFor::Time => &self.channel,
        }
    }
}

/// A row of the inbox.
#[derive(Clone, Debug)]
pub struct InboxEntry {
    /// The lead.
    pub lead: LeadEntry,
    /// Its draft, in the list of drafts.
    pub draft: Option<Excerpt<DraftView>>,
    /// The message that the draft answers; without a draft, its newest inbound message.
    pub message: Option<Excerpt<ListedMessage>>,
}

/// A page of drafts that wait, oldest first. If it is selected by more than clients and channels,
/// it may have fewer than `limit` and yet a next page.
pub(super) async fn drafts(
    reader: &Sessions,
    filter: &WaitingFilter,
    limit: usize,
    cursor: Option<Id>,
) -> Result<Page<InboxEntry>, StoreError> {
    // 1. Which.
    let waiting = WaitingDrafts::of(reader, filter.why, &filter.client, &filter.channel).await?;
    let step = if filter.is_sought() { SOUGHT.max(limit + 1) } else { limit + 1 };
    let (mut after, mut found) = (cursor.unwrap_or(0), Vec::new());
    let mut is_last = false;
    for _ in 0..SEARCHES_MAX {
        let listed = waiting.after(reader, after, step).await?;
        is_last = listed.len() < step;
        after = listed.last().map_or(after, |draft| draft.id);
        found.extend(matching(reader, filter, listed).await?);
        if found.len() > limit || is_last {
            break;
        }
    }
    let has_more = found.len() > limit;
    let Page { items, next } = Page::cut(found, limit, |draft| draft.id);
    let next = if has_more || is_last { next } else { Some(after) };
    // 2. What belongs to them.
    let mut drafts = written::read_drafts(reader, items).await?;
    drafts.sort_by_key(|excerpt| excerpt.row.draft.id);
    let rows = drafts.into_iter().map(|excerpt| {
        let (lead_id, message_id) = (excerpt.row.draft.lead_id, excerpt.row.draft.message_id);
        (lead_id, Some(message_id), Some(excerpt))
    });
    Ok(Page { items: joined(reader, rows.collect()).await?, next })
}

/// Those of `listed` that match the filter.
async fn matching(
    reader: &Sessions,
    filter: &WaitingFilter,
    mut listed: Vec<Heavy>,
) -> Result<Vec<Heavy>, StoreError> {
    if !filter.is_sought() || listed.is_empty() {
        return Ok(listed);
    }
    let ids: Vec<Id> = listed.iter().map(|draft| draft.id).collect();
    let text = filter.text.as_deref().map(containing);
    let values = [
        group(&ids)?,
        count(filter.tag.len()),
        column("value", filter.tag.iter())?,
        count(filter.campaign.len()),
        column("value", filter.campaign.iter())?,
        count(usize::from(text.is_some())),
        text.unwrap_or_default().into(),
        count(filter.sought_channels().len()),
        column("value", filter.sought_channels())?,
    ];
    let mut matching: HashSet<Id> = HashSet::new();
    for row in read(reader, &MATCH_DRAFTS, values).await? {
        matching.insert(row.try_get("", "id")?);
    }
    listed.retain(|draft| matching.contains(&draft.id));
    Ok(listed)
}

/// A page of leads, each with its newest inbound message.
pub(super) async fn leads(
    reader: &Sessions,
    filter: &LeadFilter,
    limit: usize,
    cursor: Option<LeadCursor>,
) -> Result<Page<InboxEntry, LeadCursor>, StoreError> {
    let Page { items, next } = people::leads(reader, filter, limit, cursor).await?;
    let ids: Vec<Id> = items.iter().filter_map(|entry| entry.lead.newest_inbound_id).collect();
    let mut messages = by_id(written::messages_with(reader, &ids).await?);
    let row = |lead: LeadEntry| InboxEntry {
        message: lead.lead.newest_inbound_id.and_then(|id| messages.remove(&id)),
        draft: None,
        lead,
    };
    Ok(Page { items: items.into_iter().map(row).collect(), next })
}

fn by_id(messages: Vec<Excerpt<ListedMessage>>) -> HashMap<Id, Excerpt<ListedMessage>> {
    messages.into_iter().map(|message| (message.row.id, message)).collect()
}

/// Drafts with their leads and messages. A draft whose lead was erased meanwhile is left out.
async fn joined(
    reader: &Sessions,
    rows: Vec<(Id, Option<Id>, Option<Excerpt<DraftView>>)>,
) -> Result<Vec<InboxEntry>, StoreError> {
    let mut lead_ids: Vec<Id> = rows.iter().map(|row| row.0).collect();
    lead_ids.sort_unstable();
    lead_ids.dedup();
    let message_ids: Vec<Id> = rows.iter().filter_map(|row| row.1).collect();
    let leads = people::entries(reader, &lead_ids, IDENTITIES_LISTED).await?;
    let leads: HashMap<Id, LeadEntry> = leads.into_iter().map(|it| (it.lead.id, it)).collect();
    let mut messages = by_id(written::messages_with(reader, &message_ids).await?);
    let joined = rows.into_iter().filter_map(|(lead_id, message_id, draft)| {
        let message = message_id.and_then(|id| messages.remove(&id));
        Some(InboxEntry { lead: leads.get(&lead_id)?.clone(), draft, message })
    });
    Ok(joined.collect())
}
