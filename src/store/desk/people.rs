//! Leads for the admin API, with their messages, drafts and jobs.

use super::{
    Page,
    job_views::JobView,
    jobs::{self, JobFilter, count},
    values::{self, CLIENTS_OF_LEADS, each_with_each},
    written::{self, DraftView, Excerpt, ListedMessage},
};
use crate::domain::{Id, LeadStatus, Timestamp};
use crate::store::engine::{
    StoreError,
    sessions::Sessions,
    sql::sql,
    tx::{group, read},
};
use entity::{campaigns, leads};
use sea_orm::{ColumnTrait, EntityTrait, FromQueryResult, QueryFilter};
use serde::Serialize;
use std::collections::{HashMap, HashSet};

pub use entity::{lead_identities::Model as IdentityRow, leads::Model as LeadRow};

/// A time later than that of any message, which both databases can store.
const END_OF_TIME_MS: i64 = 8_000_000_000_000_000;

/// One part of a list of leads: those with a message, by their newest one, from a cursor (`$1`,
/// `$2`) on; or those without a message.
macro_rules! part {
    (with) => {
        "l.merged_into is null and l.last_message_at is not null and (l.last_message_at, l.id) < (@at($1), $2) \
         order by l.last_message_at desc nulls last, l.id desc limit $3"
    };
    (without) => {
        "l.merged_into is null and l.last_message_at is null and l.id < $1 \
         order by l.last_message_at desc nulls last, l.id desc limit $2"
    };
}

sql! {
    /// Leads by their newest message. By `leads_by_message`.
    static LIST_LEADS = concat!(
        "select l.id, @ms(l.last_message_at) as at from leads l where l.id > 0 and ",
        part!(with)
    );

    /// The same for some clients and statuses, a page of each. By `leads_listed`.
    static LIST_LEADS_BY = concat!(
        "select x.id, @ms(x.last_message_at) as at from @rows($4, client_id text, status text) g join leads x on x.id @each( \
           select l.id from leads l where l.client_id = g.client_id and l.status = g.status and ",
        part!(with),
        ") order by x.last_message_at desc nulls last, x.id desc limit $3"
    );

    /// Leads without a message, which come last. By `leads_by_message`.
    static LIST_SILENT_LEADS =
        concat!("select l.id from leads l where l.id > 0 and ", part!(without));

    /// The same for some clients and statuses, a page of each. By `leads_listed`.
    static LIST_SILENT_LEADS_BY = concat!(
        "select x.id from @rows($3, client_id text, status text) g join leads x on x.id @each( \
           select l.id from leads l where l.client_id = g.client_id and l.status = g.status and ",
        part!(without),
        ") order by x.id desc limit $2"
    );

    /// Those of these leads with a text in their name, company, address or phone number. By primary
    /// key.
    static MATCH_LEADS =
        "select l.id from leads l where l.id @ids($1) \
           and (lower(coalesce(l.first_name, '') || ' ' || coalesce(l.last_name, '')) like lower($2) escape '\\' \
             or lower(l.company_name) like lower($2) escape '\\' or lower(l.email) like lower($2) escape '\\' \
             or l.phone like $2 escape '\\')";

    /// What leads are called. By primary key.
    static READ_LEAD_NAMES =
        "select l.id, l.first_name, l.last_name, l.company_name, l.email, l.phone from leads l where l.id @ids($1)";

    /// The leads that were merged into a lead. By `leads_merged`.
    pub(super) static READ_MERGED = "select id from leads where merged_into = $1";

    /// The identities of leads, at most `$2` of each. By `lead_identities_of_lead`.
    static READ_LISTED_IDENTITIES =
        "select t.client_id, t.kind, t.value, t.lead_id from (select i.client_id, i.kind, i.value, i.lead_id, \
           row_number() over (partition by i.lead_id order by i.kind, i.value) as place \
           from lead_identities i where i.lead_id @ids($1)) t \
         where t.place <= $2 order by t.kind, t.value";
}

/// How many leads one search for a text reads.
const SOUGHT: usize = 5_000;
/// The most searches for one page. After that, a page that is not full has a cursor to continue
/// from.
const SEARCHES_MAX: usize = 10;
/// The most identities of a lead on a list, and of a single lead. Only a lead that was merged from
/// very many has more.
pub(super) const IDENTITIES_LISTED: usize = 100;
const IDENTITIES_MAX: usize = 1_000;
/// The most messages that are returned with a lead; fewer if their texts are large.
const THREAD_MAX: usize = 200;
/// The most drafts and jobs that are returned with a lead.
const DETAIL_MAX: usize = 200;

/// Selects leads. The values of a field are alternatives; all fields must match; an empty field
/// matches all leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeadFilter {
    /// Their clients.
    pub client: Vec<String>,
    /// Their statuses.
    pub status: Vec<LeadStatus>,
    /// A part of name, company, address or phone number.
    pub text: Option<String>,
}

/// What a lead is called.
#[derive(Clone, Debug, Default, PartialEq, Eq, FromQueryResult)]
pub struct LeadName {
    /// Its key.
    pub id: Id,
    /// The given name.
    pub first_name: Option<String>,
    /// The family name.
    pub last_name: Option<String>,
    /// The name of the company.
    pub company_name: Option<String>,
    /// The first address.
    pub email: Option<String>,
    /// The first phone number.
    pub phone: Option<String>,
}

impl LeadName {
    /// The name, else the address, else the phone number; `None` if nothing is known.
    pub fn shown(&self) -> Option<String> {
        let names = [&self.first_name, &self.last_name].into_iter().flatten();
        let name =
            names.map(|it| it.trim()).filter(|it| !it.is_empty()).collect::<Vec<_>>().join(" ");
        Some(name)
            .filter(|it| !it.is_empty())
            .or_else(|| self.email.clone())
            .or_else(|| self.phone.clone())
    }
}

/// What these leads are called.
pub(super) async fn names(reader: &Sessions, ids: &[Id]) -> Result<Vec<LeadName>, StoreError> {
    let rows = read(reader, &READ_LEAD_NAMES, [group(ids)?]).await?;
    rows.iter().map(|row| Ok(LeadName::from_query_result(row, "")?)).collect()
}

/// Where a page of leads begins: after the lead with this newest message and id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeadCursor {
    /// The time of its newest message.
    pub last_message_at: Option<Timestamp>,
    /// Its id.
    pub id: Id,
}

/// A lead on a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeadEntry {
    /// The lead.
    pub lead: LeadRow,
    /// Its identities.
    pub identities: Vec<IdentityRow>,
    /// Its campaign: id and name.
    pub campaign: Option<(Id, Option<String>)>,
}

/// A lead with its messages, drafts and jobs.
#[derive(Clone, Debug)]
pub struct LeadDetail {
    /// The lead.
    pub entry: LeadEntry,
    /// Its newest messages, oldest first.
    pub messages: Vec<Excerpt<ListedMessage>>,
    /// Its drafts, newest first.
    pub drafts: Vec<Excerpt<DraftView>>,
    /// The jobs about its messages and drafts, newest first.
    pub jobs: Vec<JobView>,
}

/// A page of leads. If a text is searched, it may have fewer than `limit` leads and yet a next
/// page.
pub(super) async fn leads(
    reader: &Sessions,
    filter: &LeadFilter,
    limit: usize,
    cursor: Option<LeadCursor>,
) -> Result<Page<LeadEntry, LeadCursor>, StoreError> {
    let pairs = pairs(reader, filter).await?;
    let pattern = filter.text.as_deref().map(containing);
    let (mut from, mut found) = (cursor, Vec::new());
    for _ in 0..SEARCHES_MAX {
        let step = if pattern.is_some() { SOUGHT } else { limit + 1 };
        let listed = listed(reader, pairs.as_ref(), step, from).await?;
        let is_last = listed.len() < step;
        from = listed.last().copied().or(from);
        found.extend(match &pattern {
            Some(pattern) => matching(reader, listed, pattern).await?,
            None => listed,
        });
        if found.len() > limit || is_last {
            let Page { items, next } = Page::cut(found, limit, |cursor| *cursor);
            return Ok(Page {
                items: entries(reader, &ids_of(&items), IDENTITIES_LISTED).await?,
                next,
            });
        }
    }
    Ok(Page { items: entries(reader, &ids_of(&found), IDENTITIES_LISTED).await?, next: from })
}

fn ids_of(listed: &[LeadCursor]) -> Vec<Id> {
    listed.iter().map(|it| it.id).collect()
}

/// The requested clients and statuses, as a group; `None` if all are requested.
async fn pairs(
    reader: &Sessions,
    filter: &LeadFilter,
) -> Result<Option<sea_orm::Value>, StoreError> {
    #[derive(Serialize)]
    struct Row<'a> {
        client_id: &'a str,
        status: &'a str,
    }
    if filter.client.is_empty() && filter.status.is_empty() {
        return Ok(None);
    }
    let clients = values::clients(reader, &CLIENTS_OF_LEADS, &filter.client).await?;
    let statuses = if filter.status.is_empty() { &LeadStatus::ALL[..] } else { &filter.status };
    let statuses: Vec<String> = statuses.iter().map(|status| status.as_str().to_owned()).collect();
    let pairs = each_with_each(&clients, &statuses);
    let rows: Vec<Row<'_>> =
        pairs.iter().map(|(client_id, status)| Row { client_id, status }).collect();
    Ok(Some(group(&rows)?))
}

/// The places of the next `most` leads on the list.
async fn listed(
    reader: &Sessions,
    pairs: Option<&sea_orm::Value>,
    most: usize,
    from: Option<LeadCursor>,
) -> Result<Vec<LeadCursor>, StoreError> {
    // 1. Those with a message come first, unless the cursor is behind them.
    let mut listed: Vec<LeadCursor> = Vec::new();
    let silent_from = match from {
        Some(LeadCursor { last_message_at: None, id }) => id,
        Some(LeadCursor { last_message_at: Some(_), .. }) | None => {
            let (at, id) = from.map_or((END_OF_TIME_MS, Id::MAX), |cursor| {
                (cursor.last_message_at.map_or(END_OF_TIME_MS, Timestamp::as_millis), cursor.id)
            });
            let (at, id, most) = (at.into(), id.into(), count(most));
            let rows = match pairs {
                Some(pairs) => read(reader, &LIST_LEADS_BY, [at, id, most, pairs.clone()]).await?,
                None => read(reader, &LIST_LEADS, [at, id, most]).await?,
            };
            for row in &rows {
                let at: i64 = row.try_get("", "at")?;
                let last_message_at = Some(Timestamp::from_millis(at));
                listed.push(LeadCursor { last_message_at, id: row.try_get("", "id")? });
            }
            Id::MAX
        }
    };
    // 2. Then those without one.
    let left = most - listed.len();
    if left > 0 {
        let (from, left) = (silent_from.into(), count(left));
        let rows = match pairs {
            Some(pairs) => read(reader, &LIST_SILENT_LEADS_BY, [from, left, pairs.clone()]).await?,
            None => read(reader, &LIST_SILENT_LEADS, [from, left]).await?,
        };
        for row in &rows {
            listed.push(LeadCursor { last_message_at: None, id: row.try_get("", "id")? });
        }
    }
    Ok(listed)
}

/// Those of `listed` that match `pattern`, in their order.
async fn matching(
    reader: &Sessions,
    mut listed: Vec<LeadCursor>,
    pattern: &str,
) -> Result<Vec<LeadCursor>, StoreError> {
    let values = [group(&ids_of(&listed))?, pattern.into()];
    let mut matching: HashSet<Id> = HashSet::new();
    for row in read(reader, &MATCH_LEADS, values).await? {
        matching.insert(row.try_get("", "id")?);
    }
    listed.retain(|lead| matching.contains(&lead.id));
    Ok(listed)
}

/// A pattern that finds `text` anywhere, with its special characters escaped.
pub(super) fn containing(text: &str) -> String {
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

/// Leads with a limited number of their identities, in the order of `ids`.
pub(super) async fn entries(
    reader: &Sessions,
    ids: &[Id],
    identities_max: usize,
) -> Result<Vec<LeadEntry>, StoreError> {
    let in_ids = || ids.iter().copied();
    let found = leads::Entity::find().filter(leads::Column::Id.is_in(in_ids())).all(reader).await?;
    let mut identities: HashMap<Id, Vec<IdentityRow>> = HashMap::new();
    for row in read(reader, &READ_LISTED_IDENTITIES, [group(ids)?, count(identities_max)]).await? {
        let identity = IdentityRow::from_query_result(&row, "")?;
        identities.entry(identity.lead_id).or_default().push(identity);
    }
    let campaign_ids = found.iter().filter_map(|it| it.campaign_id);
    let names: HashMap<Id, Option<String>> = campaigns::Entity::find()
        .filter(campaigns::Column::Id.is_in(campaign_ids))
        .all(reader)
        .await?
        .into_iter()
        .map(|campaign| (campaign.id, campaign.name))
        .collect();
    let mut by_id: HashMap<Id, LeadRow> = found.into_iter().map(|lead| (lead.id, lead)).collect();
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
    let Some(entry) = entries(reader, &[id], IDENTITIES_MAX).await?.pop() else { return Ok(None) };
    let mut thread = written::messages_of_lead(reader, id, THREAD_MAX).await?;
    thread.sort_by_key(|message| (message.row.sent_at, message.row.id));
    let drafts = written::drafts_of_lead(reader, id, DETAIL_MAX).await?;
    let about = JobFilter { lead: vec![id], ..JobFilter::default() };
    let jobs = jobs::page(reader, &about, DETAIL_MAX, None).await?.items;
    Ok(Some(LeadDetail { entry, messages: thread, drafts, jobs }))
}

/// The leads that were merged into a lead, each with what it had then.
pub(super) async fn merged(reader: &Sessions, id: Id) -> Result<Vec<LeadEntry>, StoreError> {
    let rows = read(reader, &READ_MERGED, [id.into()]).await?;
    let ids = rows.iter().map(|row| row.try_get("", "id")).collect::<Result<Vec<Id>, _>>()?;
    entries(reader, &ids, IDENTITIES_MAX).await
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
