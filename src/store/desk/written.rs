//! Messages and drafts for the admin API.
//!
//! A text may have megabytes, and a page may have hundreds of texts. Therefore a list has only the
//! beginnings of long texts, and is read in two steps: first ids with sizes, then the rows, a few
//! megabytes at a time.

use super::{
    Page,
    jobs::count,
    portions::{Heavy, portions},
    values::{
        self, CHANNELS_OF_DRAFTS, CHANNELS_OF_MESSAGES, CLIENTS_OF_DRAFTS, CLIENTS_OF_MESSAGES,
        each_with_each, page_of_leads, page_of_statuses,
    },
};
use crate::domain::{Id, draft_text};
use crate::store::engine::{
    Sql, StoreError,
    sessions::Sessions,
    sql::sql,
    tx::{column, group, read},
};
use entity::{drafts, messages};
use sea_orm::{EntityTrait, FromQueryResult, QueryResult, Value};
use serde::Serialize;

pub use entity::{
    drafts::Model as DraftRow,
    messages::{Listed as ListedMessage, Model as MessageRow},
};

/// The most bytes of the beginning of a text on a list: four for each of [`TEXT_CHARS_MAX`].
macro_rules! beginning {
    ($text:literal) => {
        concat!(
            "case when octet_length(",
            $text,
            ") > 8000 then 8000 else coalesce(octet_length(",
            $text,
            "), 0) end"
        )
    };
}

/// The columns of a listed message: the bytes that a list has of it, and the bytes that are read
/// for that.
macro_rules! message {
    () => {
        concat!(
            "select m.id, ",
            beginning!("m.body"),
            " + ",
            beginning!("m.subject"),
            " + octet_length(m.sender) + octet_length(m.recipients) + octet_length(m.cc) + octet_length(m.attachments) as size, \
             cast(octet_length(m.body) as bigint) + coalesce(octet_length(m.subject), 0) + coalesce(octet_length(m.raw_text), 0) \
               + coalesce(octet_length(m.raw_html), 0) + coalesce(octet_length(m.payload), 0) as weight from "
        )
    };
}

/// The same for a draft.
macro_rules! draft {
    () => {
        concat!(
            "select d.id, ",
            beginning!("d.body"),
            " + ",
            beginning!("d.subject"),
            " + ",
            beginning!("d.parts"),
            " as size, cast(octet_length(d.body) as bigint) + coalesce(octet_length(d.subject), 0) + octet_length(d.parts) as weight \
             from "
        )
    };
}

sql! {
    /// Messages, newest first. By primary key.
    static LIST_MESSAGES =
        concat!(message!(), "messages m where m.id < $1 order by m.id desc limit $2");

    /// The same for some clients, channels and directions, a page of each. By `messages_listed`.
    static LIST_MESSAGES_BY = concat!(
        message!(),
        "@rows($3, client_id text, channel text, direction text) g join messages m on m.id @each( \
           select x.id from messages x where x.client_id = g.client_id and x.channel = g.channel and x.direction = g.direction \
             and x.id < $1 order by x.id desc limit $2) order by m.id desc limit $2"
    );

    /// The same for some leads, a page of each. Each other filter is off if its number is 0. By
    /// `messages_of_lead`.
    static LIST_MESSAGES_OF_LEADS =
        concat!(message!(), page_of_leads!("messages", "m", "direction"));

    /// Drafts, newest first. By primary key.
    static LIST_DRAFTS =
        concat!(draft!(), "drafts d where d.id < $1 order by d.id desc limit $2");

    /// The same for some clients, channels and statuses, a page of each. By `drafts_listed`, which
    /// is over `id + 0`.
    static LIST_DRAFTS_BY = concat!(draft!(), page_of_statuses!("drafts", "d"));

    /// The same for some leads, a page of each. Each other filter is off if its number is 0. By
    /// `drafts_of_lead`.
    static LIST_DRAFTS_OF_LEADS =
        concat!(draft!(), page_of_leads!("drafts", "d", "status"));

    /// These messages, newest first, with the first `$2` characters of long texts. By primary key.
    static READ_LISTED_MESSAGES =
        "select m.id, m.client_id, m.lead_id, m.channel, m.direction, m.source, m.provider_id, \
           substr(m.subject, 1, $2) as subject, substr(m.body, 1, $2) as body, m.sender, m.recipients, m.cc, m.attachments, \
           m.sentiment, m.judged_by, m.automated, m.sent_at, m.created_at, m.edited_at, m.deleted_at, m.failed_at, \
           octet_length(m.body) + coalesce(octet_length(m.subject), 0) as bytes \
         from messages m where m.id @ids($1) order by m.id desc";

    /// The same for drafts. Parts of more than `$3` bytes are left out. By primary key.
    static READ_LISTED_DRAFTS =
        "select d.id, d.client_id, d.lead_id, d.message_id, d.channel, d.status, substr(d.subject, 1, $2) as subject, \
           substr(d.body, 1, $2) as body, case when octet_length(d.parts) > $3 then '[]' else d.parts end as parts, d.edited, \
           d.blocked_by, d.created_at, d.decided_at, d.decided_by, d.tag, d.from_template, d.gate_decision, d.gate_confidence, \
           d.gate_threshold, d.gate_reason, d.send_at, d.note, d.snoozed_until, (select x.id from deliveries x where x.draft_id = d.id) as delivery_id, \
           octet_length(d.body) + coalesce(octet_length(d.subject), 0) + octet_length(d.parts) as bytes \
         from drafts d where d.id @ids($1) order by d.id desc";

    /// These messages with their sizes, newest first. By primary key.
    static WEIGH_MESSAGES = concat!(message!(), "messages m where m.id @ids($1) order by m.id desc");

    /// Drafts with their sizes, oldest first, of some clients, channels and statuses, a page of
    /// each. Those that are put off are left out, unless their lead has written again. By
    /// `drafts_listed`, which is over `id + 0`.
    static LIST_OLDEST_DRAFTS_BY = concat!(
        draft!(),
        "@rows($3, client_id text, channel text, status text) g join drafts d on d.id @each( \
           select x.id from drafts x where x.client_id = g.client_id and x.channel = g.channel and x.status = g.status \
             and x.id + 0 > $1 and (x.snoozed_until is null or x.snoozed_until <= @now \
               or exists (select 1 from leads l where l.id = x.lead_id and l.newest_inbound_id > x.message_id)) \
             order by x.id + 0 limit $2) order by d.id limit $2"
    );

    /// Pending drafts with their sizes that are put off, oldest first, of some clients, a page of
    /// each. By `drafts_snoozed`, which is over `id + 0`.
    static LIST_SNOOZED_DRAFTS = concat!(
        draft!(),
        "@rows($3, client_id text) g join drafts d on d.id @each( \
           select x.id from drafts x where x.client_id = g.client_id and x.status = 'pending' and x.snoozed_until > @now \
             and x.id + 0 > $1 and not exists (select 1 from leads l where l.id = x.lead_id and l.newest_inbound_id > x.message_id) \
             order by x.id + 0 limit $2) order by d.id limit $2"
    );

    /// Drafts with their sizes that are not sent because something blocks them, oldest first, of
    /// some clients, a page of each. By `drafts_blocked`, which is over `id + 0`.
    static LIST_BLOCKED_DRAFTS = concat!(
        draft!(),
        "@rows($3, client_id text) g join drafts d on d.id @each( \
           select x.id from drafts x where x.client_id = g.client_id and x.blocked_by is not null \
             and x.status in ('pending', 'approved') and x.id + 0 > $1 order by x.id + 0 limit $2) order by d.id limit $2"
    );

    /// The delivery of a draft. By `deliveries_of_draft`.
    static READ_DELIVERY_OF_DRAFT = "select x.id from deliveries x where x.draft_id = $1";
}

/// The most bytes of texts on one page, unless the first item alone has more.
const PAGE_BYTES_MAX: i64 = 8 << 20;
/// The most characters of a text on a list.
const TEXT_CHARS_MAX: i32 = 2_000;
/// The most bytes of the parts of a draft on a list.
const PARTS_BYTES_MAX: i32 = 8_000;

/// The statuses of drafts.
pub const DRAFT_STATUSES: [&str; 6] =
    ["pending", "approved", "sending", "sent", "rejected", "superseded"];

/// Who wrote a message.
const DIRECTIONS: [&str; 2] = ["inbound", "outbound"];

/// Selects messages. The values of a field are alternatives; all fields must match; an empty field
/// matches all messages.
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

/// Selects drafts. The values of a field are alternatives; all fields must match; an empty field
/// matches all drafts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DraftFilter {
    /// Of [`DRAFT_STATUSES`].
    pub status: Vec<String>,
    /// Their clients.
    pub client: Vec<String>,
    /// The leads that they answer.
    pub lead: Vec<Id>,
    /// Their channels.
    pub channel: Vec<String>,
}

/// A draft as the API shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct DraftView {
    /// The draft.
    pub draft: DraftRow,
    /// Its delivery, once its sending has begun.
    pub delivery_id: Option<Id>,
}

impl DraftView {
    /// The version of its text: a text that was changed has another one.
    pub fn version(&self) -> String {
        draft_text::version(self.draft.subject.as_deref(), &self.draft.body)
    }
}

/// A row of a list, with the beginnings of its long texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt<T> {
    /// The row.
    pub row: T,
    /// True if one of its texts was cut.
    pub is_cut: bool,
}

/// Those of `rows` (id, size and weight) that fit on a page of at most `limit` items.
fn page_of(rows: &[QueryResult], limit: usize) -> Result<Page<Heavy>, StoreError> {
    let mut found: Vec<(Heavy, i64)> = Vec::with_capacity(rows.len());
    for row in rows {
        found.push((heavy(row)?, i64::from(row.try_get::<i32>("", "size")?)));
    }
    let Page { items, next } = Page::cut(found, limit, |(heavy, _)| heavy.id);
    let fit = fitting(&items);
    let next = if fit < items.len() { items.get(fit - 1).map(|(heavy, _)| heavy.id) } else { next };
    Ok(Page { items: items.into_iter().take(fit).map(|(heavy, _)| heavy).collect(), next })
}

/// How many of the first `items` (with their sizes) fit on a page. At least one, however large it
/// is.
fn fitting<T>(items: &[(T, i64)]) -> usize {
    let mut bytes = 0_i64;
    let fit = items.iter().take_while(|(_, size)| {
        bytes = bytes.saturating_add(*size);
        bytes <= PAGE_BYTES_MAX
    });
    fit.count().max(items.len().min(1))
}

/// A page of messages. It has fewer than `limit` if their texts are large.
pub(super) async fn messages(
    reader: &Sessions,
    filter: &MessageFilter,
    limit: usize,
    cursor: Option<Id>,
) -> Result<Page<Excerpt<ListedMessage>>, StoreError> {
    let from = [cursor.unwrap_or(Id::MAX).into(), count(limit + 1)];
    let rows = find_messages(reader, filter, from).await?;
    let Page { items, next } = page_of(&rows, limit)?;
    Ok(Page { items: listed(reader, items).await?, next })
}

/// The ids of messages before one, newest first.
pub(super) async fn message_ids(
    reader: &Sessions,
    filter: &MessageFilter,
    before: Id,
    most: usize,
) -> Result<Vec<Id>, StoreError> {
    let rows = find_messages(reader, filter, [before.into(), count(most)]).await?;
    rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
}

async fn find_messages(
    reader: &Sessions,
    filter: &MessageFilter,
    from: [Value; 2],
) -> Result<Vec<QueryResult>, StoreError> {
    #[derive(Serialize)]
    struct Row<'a> {
        client_id: &'a str,
        channel: &'a str,
        direction: &'a str,
    }
    let is_filtered = [&filter.client, &filter.channel, &filter.direction]
        .into_iter()
        .any(|values| !values.is_empty());
    if !filter.lead.is_empty() {
        return of_leads(reader, filter, from).await;
    }
    if !is_filtered {
        return read(reader, &LIST_MESSAGES, from).await;
    }
    let clients = values::clients(reader, &CLIENTS_OF_MESSAGES, &filter.client).await?;
    let pairs = values::pairs(reader, &CHANNELS_OF_MESSAGES, clients, &filter.channel).await?;
    let directions = match filter.direction.as_slice() {
        [] => DIRECTIONS.map(str::to_owned).to_vec(),
        given => given.to_vec(),
    };
    let all = each_with_each(&pairs, &directions);
    let rows: Vec<Row<'_>> = all
        .iter()
        .map(|((client_id, channel), direction)| Row { client_id, channel, direction })
        .collect();
    let [before, most] = from;
    read(reader, &LIST_MESSAGES_BY, [before, most, group(&rows)?]).await
}

async fn of_leads(
    reader: &Sessions,
    filter: &MessageFilter,
    from: [Value; 2],
) -> Result<Vec<QueryResult>, StoreError> {
    let MessageFilter { client, lead, channel, direction } = filter;
    let values = values::of_leads(from, lead, [client, channel, direction])?;
    read(reader, &LIST_MESSAGES_OF_LEADS, values).await
}

/// These messages, in their order, which is newest first.
async fn listed(
    reader: &Sessions,
    found: Vec<Heavy>,
) -> Result<Vec<Excerpt<ListedMessage>>, StoreError> {
    let mut listed = Vec::with_capacity(found.len());
    for ids in portions(&found) {
        let values = [group(&ids)?, TEXT_CHARS_MAX.into()];
        for row in read(reader, &READ_LISTED_MESSAGES, values).await? {
            let message = ListedMessage::from_query_result(&row, "")?;
            let shown = message.body.len() + message.subject.as_ref().map_or(0, String::len);
            listed.push(Excerpt { is_cut: is_less(shown, &row)?, row: message });
        }
    }
    Ok(listed)
}

/// True if a row has more bytes of text than a list shows of it.
fn is_less(shown: usize, row: &QueryResult) -> Result<bool, StoreError> {
    let bytes: i32 = row.try_get("", "bytes")?;
    Ok(usize::try_from(bytes).is_ok_and(|bytes| shown < bytes))
}

/// The newest messages of a lead, newest first: at most `limit`, and at most as many as fit on a
/// page.
pub(super) async fn messages_of_lead(
    reader: &Sessions,
    id: Id,
    limit: usize,
) -> Result<Vec<Excerpt<ListedMessage>>, StoreError> {
    let filter = MessageFilter { lead: vec![id], ..MessageFilter::default() };
    let rows = of_leads(reader, &filter, [Id::MAX.into(), count(limit)]).await?;
    listed(reader, page_of(&rows, limit)?.items).await
}

/// A message with its body as received.
pub(super) async fn message(reader: &Sessions, id: Id) -> Result<Option<MessageRow>, StoreError> {
    Ok(messages::Entity::find_by_id(id).one(reader).await?)
}

/// A page of drafts. It has fewer than `limit` if their texts are large.
pub(super) async fn drafts(
    reader: &Sessions,
    filter: &DraftFilter,
    limit: usize,
    cursor: Option<Id>,
) -> Result<Page<Excerpt<DraftView>>, StoreError> {
    let from = [cursor.unwrap_or(Id::MAX).into(), count(limit + 1)];
    let rows = find_drafts(reader, filter, from).await?;
    let Page { items, next } = page_of(&rows, limit)?;
    Ok(Page { items: read_drafts(reader, items).await?, next })
}

async fn find_drafts(
    reader: &Sessions,
    filter: &DraftFilter,
    from: [Value; 2],
) -> Result<Vec<QueryResult>, StoreError> {
    let DraftFilter { status, client, lead, channel } = filter;
    if !lead.is_empty() {
        let values = values::of_leads(from, lead, [client, channel, status])?;
        return read(reader, &LIST_DRAFTS_OF_LEADS, values).await;
    }
    if [status, client, channel].into_iter().all(Vec::is_empty) {
        return read(reader, &LIST_DRAFTS, from).await;
    }
    let statuses = match status.as_slice() {
        [] => DRAFT_STATUSES.map(str::to_owned).to_vec(),
        given => given.to_vec(),
    };
    let [before, most] = from;
    let groups = groups_of_drafts(reader, client, channel, &statuses).await?;
    read(reader, &LIST_DRAFTS_BY, [before, most, groups]).await
}

/// Each of the clients (of all if none is given) with each of the channels and the statuses.
async fn groups_of_drafts(
    reader: &Sessions,
    clients: &[String],
    channels: &[String],
    statuses: &[String],
) -> Result<Value, StoreError> {
    #[derive(Serialize)]
    struct Row<'a> {
        client_id: &'a str,
        channel: &'a str,
        status: &'a str,
    }
    let clients = values::clients(reader, &CLIENTS_OF_DRAFTS, clients).await?;
    let pairs = values::pairs(reader, &CHANNELS_OF_DRAFTS, clients, channels).await?;
    let all = each_with_each(&pairs, statuses);
    let rows: Vec<Row<'_>> = all
        .iter()
        .map(|((client_id, channel), status)| Row { client_id, channel, status })
        .collect();
    group(&rows)
}

/// What a draft waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WaitingFor {
    /// A person who decides about it.
    #[default]
    Decision,
    /// The time until which a person has put it off.
    Time,
    /// A person who does away with what blocks it.
    Help,
}

/// Drafts that wait for something, in some clients and channels.
pub(super) struct WaitingDrafts {
    statement: &'static Sql,
    /// As the statement takes them.
    groups: Value,
}

impl WaitingDrafts {
    /// Those of these clients and channels; of all if none are given. Only drafts that are to be
    /// decided now are selected by channel here.
    pub(super) async fn of(
        reader: &Sessions,
        why: WaitingFor,
        clients: &[String],
        channels: &[String],
    ) -> Result<Self, StoreError> {
        let statement = match why {
            WaitingFor::Decision => {
                let pending = ["pending".to_owned()];
                let groups = groups_of_drafts(reader, clients, channels, &pending).await?;
                return Ok(Self { statement: &LIST_OLDEST_DRAFTS_BY, groups });
            }
            WaitingFor::Time => &LIST_SNOOZED_DRAFTS,
            WaitingFor::Help => &LIST_BLOCKED_DRAFTS,
        };
        let clients = values::clients(reader, &CLIENTS_OF_DRAFTS, clients).await?;
        Ok(Self { statement, groups: column("client_id", clients)? })
    }

    /// The next `most` of them after an id, oldest first.
    pub(super) async fn after(
        &self,
        reader: &Sessions,
        id: Id,
        most: usize,
    ) -> Result<Vec<Heavy>, StoreError> {
        let values = [id.into(), count(most), self.groups.clone()];
        let rows = read(reader, self.statement, values).await?;
        rows.iter().map(heavy).collect()
    }
}

fn heavy(row: &QueryResult) -> Result<Heavy, StoreError> {
    Ok(Heavy { id: row.try_get("", "id")?, weight: row.try_get("", "weight")? })
}

/// Those of these messages that are stored, with the beginnings of their texts.
pub(super) async fn messages_with(
    reader: &Sessions,
    ids: &[Id],
) -> Result<Vec<Excerpt<ListedMessage>>, StoreError> {
    let rows = read(reader, &WEIGH_MESSAGES, [group(ids)?]).await?;
    listed(reader, rows.iter().map(heavy).collect::<Result<_, _>>()?).await
}

/// The newest drafts of a lead, newest first: at most `limit`, and at most as many as fit on a
/// page.
pub(super) async fn drafts_of_lead(
    reader: &Sessions,
    id: Id,
    limit: usize,
) -> Result<Vec<Excerpt<DraftView>>, StoreError> {
    let filter = DraftFilter { lead: vec![id], ..DraftFilter::default() };
    let rows = find_drafts(reader, &filter, [Id::MAX.into(), count(limit)]).await?;
    read_drafts(reader, page_of(&rows, limit)?.items).await
}

/// A draft with its whole text.
pub(super) async fn draft(reader: &Sessions, id: Id) -> Result<Option<DraftView>, StoreError> {
    let Some(draft) = drafts::Entity::find_by_id(id).one(reader).await? else { return Ok(None) };
    let delivery = read(reader, &READ_DELIVERY_OF_DRAFT, [id.into()]).await?;
    let delivery_id = delivery.first().map(|found| found.try_get("", "id")).transpose()?;
    Ok(Some(DraftView { draft, delivery_id }))
}

/// These drafts, newest first, with the beginnings of their texts.
pub(super) async fn drafts_of_ids(
    reader: &Sessions,
    ids: &[Id],
) -> Result<Vec<Excerpt<DraftView>>, StoreError> {
    // A person and an analyst write less than this.
    const WEIGHT: i64 = 1 << 20;
    let found = ids.iter().map(|id| Heavy { id: *id, weight: WEIGHT }).collect();
    read_drafts(reader, found).await
}

/// These drafts, in their order, which is newest first.
pub(super) async fn read_drafts(
    reader: &Sessions,
    found: Vec<Heavy>,
) -> Result<Vec<Excerpt<DraftView>>, StoreError> {
    let mut listed = Vec::with_capacity(found.len());
    for ids in portions(&found) {
        let values = [group(&ids)?, TEXT_CHARS_MAX.into(), PARTS_BYTES_MAX.into()];
        for row in read(reader, &READ_LISTED_DRAFTS, values).await? {
            let draft = DraftRow::from_query_result(&row, "")?;
            let subject = draft.subject.as_ref().map_or(0, String::len);
            let shown = draft.body.len() + subject + draft.parts.len();
            let view = DraftView { draft, delivery_id: row.try_get("", "delivery_id")? };
            listed.push(Excerpt { is_cut: is_less(shown, &row)?, row: view });
        }
    }
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_so_many_bytes_and_at_least_one_item() {
        let of = |sizes: &[i64]| -> Vec<(Id, i64)> { (1..).zip(sizes.iter().copied()).collect() };
        let half = PAGE_BYTES_MAX / 2;
        for (sizes, fit) in [
            (&[][..], 0),
            (&[1, 1, 1], 3),
            (&[half, half], 2),
            (&[half, half, 1], 2),
            (&[half, PAGE_BYTES_MAX, 1], 1),
            (&[PAGE_BYTES_MAX + 1, 1], 1),
        ] {
            assert_eq!(fitting(&of(sizes)), fit, "{sizes:?}");
        }
    }
}
