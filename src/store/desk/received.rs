//! What was received and left a row, for the admin API: messages of either direction and
//! quarantined webhooks, newest first. Ids of both tables grow with arrival, so one cursor serves
//! both.

use super::{
    Desk, ListedQuarantine, MessageFilter, Page, QuarantineFilter, quarantine, search,
    sought::{self, Needle},
    values::{self, CLIENTS_OF_LEADS},
    written,
};
use crate::domain::{ChannelDirectory, Id, IdentityKind, SearchTerms, Timestamp};
use crate::store::engine::{
    StoreError,
    sessions::Sessions,
    sql::sql,
    tx::{group, read},
};
use sea_orm::QueryResult;
use std::collections::{BTreeSet, HashMap};

sql! {
    /// What a list of received webhooks shows of messages. By primary key.
    static READ_RECEIVED_MESSAGES =
        "select m.id, m.client_id, m.lead_id, m.channel, m.direction, m.source, m.event_type, m.provider_id, m.request_id, \
           @ms(m.sent_at) as sent_at, @ms(m.created_at) as created_at from messages m where m.id @ids($1)";
}

/// How many quarantined webhooks are searched for a text, and the most bytes of their bodies.
pub const BODIES_SEARCHED: usize = 200;
const SEARCHED_BYTES_MAX: i64 = 4 << 20;
/// The most leads of which messages are listed: an address belongs to one lead of a client.
const LEADS_MAX: usize = 50;

/// In which tables a list of what was received looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReceivedTables {
    /// In both.
    #[default]
    Both,
    /// Among messages only.
    Messages,
    /// Among webhooks in quarantine only.
    Quarantined,
}

/// Selects what was received. The values of a field are alternatives; all fields must match; an
/// empty field matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceivedFilter {
    /// The clients.
    pub client: Vec<String>,
    /// The leads of messages. Those in quarantine have none: whoever names a lead asks for
    /// [`ReceivedTables::Messages`].
    pub lead: Vec<Id>,
    /// The channels.
    pub channel: Vec<String>,
    /// The directions of messages, `inbound` or `outbound`.
    pub direction: Vec<String>,
    /// An id of a request, of a provider or of ours, an address, or a phone number.
    pub sought: Option<String>,
    /// Where it looks.
    pub tables: ReceivedTables,
}

/// A message as a list of received webhooks shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// Its key.
    pub id: Id,
    /// The client that it belongs to.
    pub client_id: String,
    /// The lead who wrote it, or to whom it was written.
    pub lead_id: Id,
    /// The channel on which it came.
    pub channel: String,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// `provider` (told by a webhook) or `postroom` (sent by us).
    pub source: String,
    /// The provider's name of the event.
    pub event_type: Option<String>,
    /// The provider's id.
    pub provider_id: Option<String>,
    /// The id of the request that brought it.
    pub request_id: Option<String>,
    /// When it was sent, by the provider's time.
    pub sent_at: Timestamp,
    /// When it was stored.
    pub created_at: Timestamp,
}

/// What was received and left a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceivedRow {
    /// A message, also one that we sent.
    Message(Box<ReceivedMessage>),
    /// A webhook that was not understood.
    Quarantined(Box<ListedQuarantine>),
}

impl ReceivedRow {
    /// Its key.
    pub const fn id(&self) -> Id {
        match self {
            Self::Message(it) => it.id,
            Self::Quarantined(it) => it.id,
        }
    }

    fn belongs(&self) -> (&String, &String) {
        match self {
            Self::Message(it) => (&it.client_id, &it.channel),
            Self::Quarantined(it) => (&it.client_id, &it.channel),
        }
    }
}

impl Desk {
    /// What was received before `cursor`, newest first. With a text that is sought, a page may have
    /// fewer than `limit` rows and yet a next page.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn received(
        &self,
        filter: ReceivedFilter,
        limit: usize,
        cursor: Option<Id>,
    ) -> Result<Page<ReceivedRow>, StoreError> {
        self.db
            .call(|db| async move { page(db.api(), db.channels(), &filter, limit, cursor).await })
            .await
    }
}

/// The ids of both tables, newest first.
#[derive(Debug, Default)]
struct FoundIds {
    messages: BTreeSet<Id>,
    quarantined: BTreeSet<Id>,
}

impl FoundIds {
    /// Those of these tables.
    fn within(self, tables: ReceivedTables) -> Self {
        let none = BTreeSet::new;
        match tables {
            ReceivedTables::Both => self,
            ReceivedTables::Messages => Self { quarantined: none(), ..self },
            ReceivedTables::Quarantined => Self { messages: none(), ..self },
        }
    }
}

async fn page(
    reader: &Sessions,
    channels: &ChannelDirectory,
    filter: &ReceivedFilter,
    limit: usize,
    cursor: Option<Id>,
) -> Result<Page<ReceivedRow>, StoreError> {
    let before = cursor.unwrap_or(Id::MAX);
    // 1. Which rows.
    let found = match &filter.sought {
        Some(text) => find(reader, channels, filter, text, before, limit + 1).await?,
        None => newest(reader, filter, before, limit + 1).await?,
    };
    let found = found.within(filter.tables);
    let all: BTreeSet<Id> = found.messages.union(&found.quarantined).copied().collect();
    let all: Vec<Id> = all.into_iter().rev().filter(|id| *id < before).collect();
    let Page { items: ids, next } = Page::cut(all, limit, |id| *id);
    // 2. The rows.
    let of = |some: &BTreeSet<Id>| -> Vec<Id> {
        ids.iter().copied().filter(|id| some.contains(id)).collect()
    };
    let mut rows: HashMap<Id, ReceivedRow> = HashMap::new();
    for row in read(reader, &READ_RECEIVED_MESSAGES, [group(&of(&found.messages))?]).await? {
        let message = message(&row)?;
        rows.insert(message.id, ReceivedRow::Message(Box::new(message)));
    }
    for item in quarantine::listed(reader, of(&found.quarantined)).await? {
        rows.insert(item.id, ReceivedRow::Quarantined(Box::new(item)));
    }
    let is_asked_for =
        |values: &[String], value: &String| values.is_empty() || values.contains(value);
    let is_such_a_message = |row: &ReceivedRow| match row {
        ReceivedRow::Message(it) => {
            (filter.lead.is_empty() || filter.lead.contains(&it.lead_id))
                && is_asked_for(&filter.direction, &it.direction)
        }
        ReceivedRow::Quarantined(_) => true,
    };
    let matches = |row: &ReceivedRow| {
        let (client, channel) = row.belongs();
        is_asked_for(&filter.client, client)
            && is_asked_for(&filter.channel, channel)
            && is_such_a_message(row)
    };
    let items = ids.iter().filter_map(|id| rows.remove(id)).filter(matches).collect();
    Ok(Page { items, next })
}

async fn newest(
    reader: &Sessions,
    filter: &ReceivedFilter,
    before: Id,
    most: usize,
) -> Result<FoundIds, StoreError> {
    let messages = MessageFilter {
        client: filter.client.clone(),
        lead: filter.lead.clone(),
        channel: filter.channel.clone(),
        direction: filter.direction.clone(),
    };
    let mut found = FoundIds::default();
    if filter.tables != ReceivedTables::Quarantined {
        found.messages.extend(written::message_ids(reader, &messages, before, most).await?);
    }
    if filter.tables != ReceivedTables::Messages {
        let quarantined =
            quarantine::weighed(reader, in_quarantine(filter), most, Some(before)).await?;
        found.quarantined.extend(quarantined.items.iter().map(|it| it.id));
    }
    Ok(found)
}

fn in_quarantine(filter: &ReceivedFilter) -> QuarantineFilter {
    QuarantineFilter {
        client: filter.client.clone(),
        channel: filter.channel.clone(),
        ..QuarantineFilter::default()
    }
}

/// The rows that have `text` as the id of their request, as their own or their provider's id, or as
/// the address or phone number of their lead.
async fn find(
    reader: &Sessions,
    channels: &ChannelDirectory,
    filter: &ReceivedFilter,
    text: &str,
    before: Id,
    most: usize,
) -> Result<FoundIds, StoreError> {
    let (mut found, terms) = (FoundIds::default(), SearchTerms::of(text));
    let text = terms.text.as_str();
    // 1. By the id of the request.
    for hit in search::by_request(reader, text, before, most).await? {
        let of_kind = match hit.kind.as_str() {
            "message" => &mut found.messages,
            _ => &mut found.quarantined,
        };
        of_kind.insert(hit.id);
    }
    // 2. By our own id.
    let own = terms.id;
    found.messages.extend(own);
    found.quarantined.extend(own);
    // 3. By the provider's id. Each message has a lead.
    let clients = values::clients(reader, &CLIENTS_OF_LEADS, &filter.client).await?;
    let by_provider = search::by_provider(reader, text, &clients, &filter.channel).await?;
    found.messages.extend(by_provider.iter().map(|hit| hit.id));
    // 4. By the lead.
    let mut leads: BTreeSet<Id> = own.into_iter().collect();
    let identities = search::identities(channels, &terms);
    leads.extend(ids(&search::leads_with(reader, &clients, &identities, LEADS_MAX).await?)?);
    if !leads.is_empty() {
        let of_leads =
            MessageFilter { lead: leads.into_iter().collect(), ..MessageFilter::default() };
        found.messages.extend(written::message_ids(reader, &of_leads, before, most).await?);
    }
    // 5. What nobody has understood, by its text.
    if filter.tables != ReceivedTables::Messages
        && let Some(needle) = needle(&terms)
    {
        let newest =
            quarantine::weighed(reader, in_quarantine(filter), BODIES_SEARCHED, Some(before))
                .await?;
        let mut bytes = 0_i64;
        let bounded = newest.items.into_iter().take_while(|item| {
            bytes = bytes.saturating_add(item.weight);
            bytes <= SEARCHED_BYTES_MAX
        });
        let bounded: Vec<_> = bounded.collect();
        found.quarantined.extend(sought::among(reader, &bounded, &[needle]).await?);
    }
    Ok(found)
}

/// What is sought in bodies that nobody has understood.
fn needle(terms: &SearchTerms) -> Option<Needle> {
    match terms.phones().next() {
        Some(phone) => Needle::of(IdentityKind::PHONE.as_str(), phone),
        None => Needle::of("", &terms.text),
    }
}

fn ids(rows: &[QueryResult]) -> Result<Vec<Id>, StoreError> {
    rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
}

fn message(row: &QueryResult) -> Result<ReceivedMessage, StoreError> {
    let request_id: Option<String> = row.try_get("", "request_id")?;
    Ok(ReceivedMessage {
        id: row.try_get("", "id")?,
        client_id: row.try_get("", "client_id")?,
        lead_id: row.try_get("", "lead_id")?,
        channel: row.try_get("", "channel")?,
        direction: row.try_get("", "direction")?,
        source: row.try_get("", "source")?,
        event_type: row.try_get("", "event_type")?,
        provider_id: row.try_get("", "provider_id")?,
        request_id: request_id.filter(|it| !it.is_empty()),
        sent_at: Timestamp::from_millis(row.try_get("", "sent_at")?),
        created_at: Timestamp::from_millis(row.try_get("", "created_at")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_or_a_number_is_sought_as_people_write_it() {
        for (text, expected) in [
            (" Dana@Example.com ", Some(Needle::Address("dana@example.com".to_owned()))),
            ("+1 (212) 555-0123", Some(Needle::Digits("125550123".to_owned()))),
            ("00491701234567", Some(Needle::Digits("701234567".to_owned()))),
            ("555-01", Some(Needle::Word("555-01".to_owned()))),
            ("abc", None),
        ] {
            assert_eq!(needle(&SearchTerms::of(text)), expected, "{text}");
        }
    }
}
