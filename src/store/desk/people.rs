//! Leads, what was written, and what is to be answered.

use super::{
    Page,
    job_views::JobView,
    jobs::{self, JobFilter, count},
};
use crate::{
    domain::{Id, LeadStatus, Timestamp},
    store::{
        StoreError,
        sessions::Sessions,
        sql::Sql,
        tx::{group, read},
    },
};
use entity::{campaigns, drafts, lead_identities, leads, messages};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};
use serde::Serialize;
use std::collections::HashMap;

pub use entity::{
    drafts::Model as DraftRow,
    lead_identities::Model as IdentityRow,
    leads::Model as LeadRow,
    messages::{Listed as ListedMessage, Model as MessageRow},
};

/// Leads by their newest message. `$1` to `$5` filter and are off where their number is 0 or their text
/// is empty; `$6` says whether there is a cursor (1), and whether it lies among the leads without a
/// message (2), which come last.
pub(in crate::store) static LIST_LEADS: Sql = Sql::new(
    "select l.id from leads l where l.merged_into is null \
       and ($1 = 0 or l.client_id in (select g.client_id from @rows($2, client_id text) g)) \
       and ($3 = 0 or l.status in (select g.status from @rows($4, status text) g)) \
       and ($5 = '' or lower(coalesce(l.first_name, '') || ' ' || coalesce(l.last_name, '')) like lower($5) escape '\\' \
         or lower(l.company_name) like lower($5) escape '\\' or lower(l.email) like lower($5) escape '\\' \
         or l.phone like $5 escape '\\') \
       and ($6 = 0 or ($6 = 1 and (l.last_message_at < @at($7) or l.last_message_at is null \
           or (l.last_message_at = @at($7) and l.id < $8))) \
         or ($6 = 2 and l.last_message_at is null and l.id < $8)) \
     order by l.last_message_at desc nulls last, l.id desc limit $9",
);

/// Messages that come with a lead.
const THREAD_MAX: u64 = 200;
/// Drafts and jobs that come with a lead.
const DETAIL_MAX: usize = 200;

/// Which leads. Values of one field are alternatives, fields must all match; an empty one matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeadFilter {
    /// Their clients.
    pub client: Vec<String>,
    /// Where they stand.
    pub status: Vec<LeadStatus>,
    /// A part of name, company, address or phone number.
    pub text: Option<String>,
}

/// Where a page of leads begins: behind the lead of this newest message and id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeadCursor {
    /// Its newest message.
    pub last_message_at: Option<Timestamp>,
    /// Its id.
    pub id: Id,
}

/// A lead on a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeadEntry {
    /// The lead.
    pub lead: LeadRow,
    /// What it is known by.
    pub identities: Vec<IdentityRow>,
    /// Its campaign: id and name.
    pub campaign: Option<(Id, Option<String>)>,
}

/// A lead with what belongs to it.
#[derive(Clone, Debug)]
pub struct LeadDetail {
    /// The lead.
    pub entry: LeadEntry,
    /// Its newest messages, oldest first.
    pub messages: Vec<ListedMessage>,
    /// Its drafts, newest first.
    pub drafts: Vec<DraftRow>,
    /// The jobs about its messages and drafts, newest first.
    pub jobs: Vec<JobView>,
}

/// Which messages. Values of one field are alternatives, fields must all match; an empty one matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageFilter {
    /// Their clients.
    pub client: Vec<String>,
    /// Their leads.
    pub lead: Vec<Id>,
    /// Their channels.
    pub channel: Vec<String>,
    /// `inbound` or `outbound`.
    pub direction: Vec<String>,
}

/// A page of leads.
pub(super) async fn leads(
    reader: &Sessions,
    filter: &LeadFilter,
    limit: usize,
    cursor: Option<LeadCursor>,
) -> Result<Page<LeadEntry, LeadCursor>, StoreError> {
    #[derive(Serialize)]
    struct Client<'a> {
        client_id: &'a str,
    }
    #[derive(Serialize)]
    struct Status {
        status: &'static str,
    }
    let clients: Vec<Client<'_>> =
        filter.client.iter().map(|client_id| Client { client_id }).collect();
    let statuses: Vec<Status> =
        filter.status.iter().map(|it| Status { status: it.as_str() }).collect();
    let (mode, at, id) = match cursor {
        None => (0_i64, 0, 0),
        Some(LeadCursor { last_message_at: Some(at), id }) => (1, at.as_millis(), id),
        Some(LeadCursor { last_message_at: None, id }) => (2, 0, id),
    };
    let values = [
        count(clients.len()),
        group(&clients)?,
        count(statuses.len()),
        group(&statuses)?,
        filter.text.as_deref().map(containing).unwrap_or_default().into(),
        mode.into(),
        at.into(),
        id.into(),
        count(limit + 1),
    ];
    let mut ids: Vec<Id> = Vec::new();
    for row in read(reader, &LIST_LEADS, values).await? {
        ids.push(row.try_get("", "id")?);
    }
    let items = entries(reader, &ids).await?;
    Ok(Page::cut(items, limit, |it| LeadCursor {
        last_message_at: it.lead.last_message_at.map(|it| Timestamp::from_millis(it.0)),
        id: it.lead.id,
    }))
}

/// A pattern that finds `text` anywhere, whatever is in it.
fn containing(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// Leads with what they are known by, in the order of `ids`.
async fn entries(reader: &Sessions, ids: &[Id]) -> Result<Vec<LeadEntry>, StoreError> {
    let in_ids = || ids.iter().copied();
    let found = leads::Entity::find().filter(leads::Column::Id.is_in(in_ids())).all(reader).await?;
    let mut identities: HashMap<Id, Vec<IdentityRow>> = HashMap::new();
    let known = lead_identities::Entity::find()
        .filter(lead_identities::Column::LeadId.is_in(in_ids()))
        .order_by_asc(lead_identities::Column::Kind)
        .order_by_asc(lead_identities::Column::Value);
    for it in known.all(reader).await? {
        identities.entry(it.lead_id).or_default().push(it);
    }
    let campaign_ids = found.iter().filter_map(|it| it.campaign_id);
    let names: HashMap<Id, Option<String>> = campaigns::Entity::find()
        .filter(campaigns::Column::Id.is_in(campaign_ids))
        .all(reader)
        .await?
        .into_iter()
        .map(|it| (it.id, it.name))
        .collect();
    let mut by_id: HashMap<Id, LeadRow> = found.into_iter().map(|it| (it.id, it)).collect();
    let mut entries = Vec::with_capacity(ids.len());
    for id in ids {
        let Some(lead) = by_id.remove(id) else { continue };
        let campaign = lead.campaign_id.map(|id| (id, names.get(&id).cloned().flatten()));
        let identities = identities.remove(id).unwrap_or_default();
        entries.push(LeadEntry { lead, identities, campaign });
    }
    Ok(entries)
}

/// A lead with its thread.
pub(super) async fn lead(reader: &Sessions, id: Id) -> Result<Option<LeadDetail>, StoreError> {
    let Some(entry) = entries(reader, &[id]).await?.pop() else { return Ok(None) };
    let mut thread: Vec<ListedMessage> = messages::Entity::find()
        .filter(messages::Column::LeadId.eq(id))
        .order_by_desc(messages::Column::Id)
        .limit(THREAD_MAX)
        .into_partial_model()
        .all(reader)
        .await?;
    thread.sort_by_key(|it| (it.sent_at, it.id));
    let drafts = newest(drafts::Entity::find(), drafts::Column::Id, DETAIL_MAX)
        .filter(drafts::Column::LeadId.eq(id))
        .all(reader)
        .await?;
    let about = JobFilter { lead: vec![id], ..JobFilter::default() };
    let jobs = jobs::page(reader, &about, DETAIL_MAX, None).await?.items;
    Ok(Some(LeadDetail { entry, messages: thread, drafts, jobs }))
}

/// A page of messages.
pub(super) async fn messages(
    reader: &Sessions,
    filter: &MessageFilter,
    limit: usize,
    cursor: Option<Id>,
) -> Result<Page<ListedMessage>, StoreError> {
    use messages::Column;
    let mut select = newest(messages::Entity::find(), Column::Id, limit + 1);
    for (column, values) in [
        (Column::ClientId, &filter.client),
        (Column::Channel, &filter.channel),
        (Column::Direction, &filter.direction),
    ] {
        if !values.is_empty() {
            select = select.filter(column.is_in(values));
        }
    }
    if !filter.lead.is_empty() {
        select = select.filter(Column::LeadId.is_in(filter.lead.iter().copied()));
    }
    if let Some(before) = cursor {
        select = select.filter(Column::Id.lt(before));
    }
    let items = select.into_partial_model().all(reader).await?;
    Ok(Page::cut(items, limit, |it: &ListedMessage| it.id))
}

/// A message with what was received.
pub(super) async fn message(reader: &Sessions, id: Id) -> Result<Option<MessageRow>, StoreError> {
    Ok(messages::Entity::find_by_id(id).one(reader).await?)
}

/// A page of drafts.
pub(super) async fn drafts(
    reader: &Sessions,
    status: Vec<String>,
    limit: usize,
    cursor: Option<Id>,
) -> Result<Page<DraftRow>, StoreError> {
    let mut select = newest(drafts::Entity::find(), drafts::Column::Id, limit + 1);
    if !status.is_empty() {
        select = select.filter(drafts::Column::Status.is_in(status));
    }
    if let Some(before) = cursor {
        select = select.filter(drafts::Column::Id.lt(before));
    }
    Ok(Page::cut(select.all(reader).await?, limit, |it| it.id))
}

/// The newest of a table, back from the end of its primary key.
fn newest<E: EntityTrait>(select: Select<E>, id: E::Column, limit: usize) -> Select<E> {
    select.order_by_desc(id).limit(u64::try_from(limit).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_for_is_no_pattern() {
        assert_eq!(containing("a"), "%a%");
        assert_eq!(containing(r"50%_\"), r"%50\%\_\\%");
    }
}
