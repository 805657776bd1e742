//! Finds what a text names as a whole: rows by their ids, leads by their identities, and what came
//! with a request. Names are not searched: the list of leads does that.

use super::{
    Desk,
    jobs::count,
    values::{self, CHANNELS_OF_MESSAGES, CLIENTS_OF_LEADS},
};
use crate::domain::{ChannelDirectory, Id, SearchTerms};
use crate::store::engine::{
    StoreError,
    sessions::Sessions,
    sql::sql,
    tx::{column, group, read},
};
use sea_orm::QueryResult;
use serde::Serialize;
use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashSet},
};

sql! {
    /// The rows with an id. By primary keys.
    static FIND_BY_ID =
        "select 'job' as type, x.id, x.client_id, x.lead_id from jobs x where x.id = $1 \
         union all select 'lead', x.id, x.client_id, x.id from leads x where x.id = $1 \
         union all select 'message', x.id, x.client_id, x.lead_id from messages x where x.id = $1 \
         union all select 'draft', x.id, x.client_id, x.lead_id from drafts x where x.id = $1 \
         union all select 'delivery', x.id, x.client_id, x.lead_id from deliveries x where x.id = $1 \
         union all select 'quarantine', x.id, x.client_id, null from quarantine x where x.id = $1 \
         union all select 'operation', x.id, null, null from operations x where x.id = $1 \
         union all select 'node', x.id, null, null from nodes x where x.id = $1";

    /// The messages that a key of either kind (`KeyKind`) names. By primary keys: each kind is
    /// joined, because PostgreSQL leaves a list of them (`in`) to be checked row by row.
    static FIND_BY_KEY =
        "select 'message' as type, m.id, m.client_id, m.lead_id \
         from @rows($1, client_id text, channel text) g cross join (select 'reply' as kind union all select 'sent') s \
         join messages m on m.id @each( \
           select k.message_id from message_keys k where k.client_id = g.client_id and k.channel = g.channel and k.kind = s.kind \
             and k.key = $2)";

    /// The messages with a key of either kind that begins with `$2`, at most `$4`. Such keys lie
    /// before `$3`. By primary keys.
    static FIND_BY_KEY_START =
        "select 'message' as type, m.id, m.client_id, m.lead_id \
         from @rows($1, client_id text, channel text) g cross join (select 'reply' as kind union all select 'sent') s \
         join messages m on m.id @each( \
           select k.message_id from message_keys k where k.client_id = g.client_id and k.channel = g.channel and k.kind = s.kind \
             and k.key >= $2 and k.key < $3 and substr(k.key, 1, length($2)) = $2 order by k.key limit $4) \
         order by m.id desc limit $4";

    /// The leads with one of these identities in one of these clients, newest first, at most `$3`.
    /// Each pair is looked up by primary key. A subquery does so, because a join of the three might
    /// read all identities of a client.
    static FIND_BY_IDENTITY =
        "select 'lead' as type, x.lead_id as id, x.client_id, x.lead_id, x.kind, x.value from ( \
           select c.client_id, g.kind, g.value, (select i.lead_id from lead_identities i \
             where i.client_id = c.client_id and i.kind = g.kind and i.value = g.value) as lead_id \
           from @rows($1, client_id text) c cross join @rows($2, kind text, value text) g) x \
         where x.lead_id is not null order by x.lead_id desc limit $3";

    /// What came with a request, before row `$2`: messages and webhooks in quarantine, newest
    /// first, at most `$3` of each. By `messages_by_request` and `quarantine_by_request`.
    static FIND_BY_REQUEST =
        "select * from (select 'message' as type, x.id, x.client_id, x.lead_id from messages x \
           where x.request_id = $1 and x.id < $2 order by x.id desc limit $3) m \
         union all select * from (select 'quarantine' as type, x.id, x.client_id, cast(null as bigint) as lead_id from quarantine x \
           where x.request_id = $1 and x.id < $2 order by x.id desc limit $3) q";
}

/// The most things of one kind that are found.
const FOUND_MAX: usize = 50;
/// The fewest characters of an id that is looked for as the beginning of a key.
const KEY_START_MIN: usize = 8;
/// The most look-ups of identities in one statement.
const LOOKED_UP_MAX: usize = 20_000;

/// Something that a text names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchHit {
    /// `job`, `lead`, `message`, `draft`, `delivery`, `quarantine`, `operation` or `node`.
    pub kind: String,
    /// The id of its row.
    pub id: Id,
    /// The client that it belongs to, if it belongs to one.
    pub client_id: Option<String>,
    /// The lead that it is about.
    pub lead_id: Option<Id>,
    /// By what it was found: `id`, `request_id`, `provider_id`, or the kind of the identity.
    pub found_by: String,
}

impl SearchHit {
    fn from_row(row: &QueryResult, found_by: Option<&str>) -> Result<Self, StoreError> {
        let found_by = match found_by {
            Some(found_by) => found_by.to_owned(),
            None => row.try_get("", "kind")?,
        };
        Ok(Self {
            kind: row.try_get("", "type")?,
            id: row.try_get("", "id")?,
            client_id: row.try_get("", "client_id")?,
            lead_id: row.try_get("", "lead_id")?,
            found_by,
        })
    }
}

impl Desk {
    /// What a text names as a whole, in all clients.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn search(&self, terms: SearchTerms) -> Result<Vec<SearchHit>, StoreError> {
        self.db.call(|db| async move { find(db.api(), db.channels(), &terms).await }).await
    }

    /// The row with this id, if there is one.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn with_id(&self, id: Id) -> Result<Vec<SearchHit>, StoreError> {
        self.db.call(|db| async move { by_id(db.api(), id).await }).await
    }
}

/// A row of a group of identities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct SoughtIdentity<'a> {
    kind: &'a str,
    value: &'a str,
}

/// The leads with one of these identities in one of these clients, newest first, at most `most`. A
/// lead with two of them comes twice.
pub(super) async fn leads_with(
    reader: &Sessions,
    clients: &BTreeSet<String>,
    identities: &[SoughtIdentity<'_>],
    most: usize,
) -> Result<Vec<QueryResult>, StoreError> {
    let clients: Vec<&String> = clients.iter().collect();
    let mut found: Vec<(Id, QueryResult)> = Vec::new();
    for portion in clients.chunks(clients_at_once(identities.len())) {
        let values = [column("client_id", portion)?, group(identities)?, count(most)];
        for row in read(reader, &FIND_BY_IDENTITY, values).await? {
            found.push((row.try_get("", "id")?, row));
        }
    }
    // Each portion comes with its own newest leads.
    found.sort_by_key(|(id, _)| Reverse(*id));
    Ok(found.into_iter().take(most).map(|(_, row)| row).collect())
}

/// In how many clients one statement looks up as many identities.
fn clients_at_once(identities: usize) -> usize {
    (LOOKED_UP_MAX / identities.max(1)).max(1)
}

/// What came with a request, before this row, newest first: at most `most` messages, and as many
/// webhooks in quarantine.
pub(super) async fn by_request(
    reader: &Sessions,
    request_id: &str,
    before: Id,
    most: usize,
) -> Result<Vec<SearchHit>, StoreError> {
    if request_id.is_empty() {
        return Ok(Vec::new());
    }
    let values = [request_id.into(), before.into(), count(most)];
    let rows = read(reader, &FIND_BY_REQUEST, values).await?;
    rows.iter().map(|row| SearchHit::from_row(row, Some("request_id"))).collect()
}

/// The messages to which a provider gave this id, in these clients, and on these channels or on all
/// if none are named. The id is a key, or the beginning of one: a channel whose provider uses an id
/// twice makes its keys of the id, a colon and a hash.
pub(super) async fn by_provider(
    reader: &Sessions,
    id: &str,
    clients: &BTreeSet<String>,
    channels: &[String],
) -> Result<Vec<SearchHit>, StoreError> {
    #[derive(Serialize)]
    struct KeyPlace<'a> {
        client_id: &'a str,
        channel: &'a str,
    }
    if !may_be_provider_id(id) {
        return Ok(Vec::new());
    }
    let pairs = values::pairs(reader, &CHANNELS_OF_MESSAGES, clients.clone(), channels).await?;
    let places: Vec<KeyPlace<'_>> =
        pairs.iter().map(|(client_id, channel)| KeyPlace { client_id, channel }).collect();
    let places = group(&places)?;
    let mut rows = read(reader, &FIND_BY_KEY, [places.clone(), id.into()]).await?;
    // A hash is of digits and small letters up to `f`, which come before `z` in every collation. A
    // short text would be the beginning of too many keys.
    if id.len() >= KEY_START_MIN && !id.contains(char::is_whitespace) {
        let (start, end) = (format!("{id}:"), format!("{id}:z"));
        let values = [places, start.into(), end.into(), count(FOUND_MAX)];
        rows.extend(read(reader, &FIND_BY_KEY_START, values).await?);
    }
    rows.iter().map(|row| SearchHit::from_row(row, Some("provider_id"))).collect()
}

/// False for nothing, and for a phone number with its plus sign: no provider's id is one.
fn may_be_provider_id(text: &str) -> bool {
    let digits = text.strip_prefix('+');
    !text.is_empty() && !digits.is_some_and(|it| it.bytes().all(|byte| byte.is_ascii_digit()))
}

async fn by_id(reader: &Sessions, id: Id) -> Result<Vec<SearchHit>, StoreError> {
    let rows = read(reader, &FIND_BY_ID, [id.into()]).await?;
    rows.iter().map(|row| SearchHit::from_row(row, Some("id"))).collect()
}

/// What a text names, in all clients. Each thing is named once.
async fn find(
    reader: &Sessions,
    channels: &ChannelDirectory,
    terms: &SearchTerms,
) -> Result<Vec<SearchHit>, StoreError> {
    let mut found = Vec::new();
    // 1. By id.
    if let Some(id) = terms.id {
        found = by_id(reader, id).await?;
    }
    // 2. By request.
    found.extend(by_request(reader, &terms.text, Id::MAX, FOUND_MAX).await?);
    // 3. By the id that a provider gave a message. Each message has a lead.
    let clients = values::clients(reader, &CLIENTS_OF_LEADS, &[]).await?;
    found.extend(by_provider(reader, &terms.text, &clients, &[]).await?);
    // 4. By identity.
    let sought = identities(channels, terms);
    for row in &leads_with(reader, &clients, &sought, FOUND_MAX).await? {
        found.push(SearchHit::from_row(row, None)?);
    }
    let mut seen = HashSet::new();
    found.retain(|hit| seen.insert((hit.kind.clone(), hit.id)));
    Ok(found)
}

/// Every identity that the text may be.
pub(super) fn identities<'a>(
    channels: &ChannelDirectory,
    terms: &'a SearchTerms,
) -> Vec<SoughtIdentity<'a>> {
    let mut all = Vec::new();
    for kind in channels.identities() {
        let possible = terms.identities.iter().filter(|it| kind.may_be(it));
        all.extend(possible.map(|value| SoughtIdentity { kind: kind.as_str(), value }));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ChannelFacts, ChannelName, IdentityKind, JobKind, Medium};

    const PIGEON_RING: IdentityKind = IdentityKind::given_out("pigeon_ring");

    #[test]
    fn a_phone_number_is_no_providers_id() {
        for text in ["", "+15551500000", "+"] {
            assert!(!may_be_provider_id(text), "{text}");
        }
        for text in ["15551500000", "+1a", "hTkRc2vzQm8bWs5yLd9P", "<a@mail.example>"] {
            assert!(may_be_provider_id(text), "{text}");
        }
    }

    #[test]
    fn a_text_is_sought_only_as_what_it_may_be() {
        let pigeon = ChannelFacts {
            name: ChannelName("pigeon"),
            medium: Medium::Text { parts: 1, chars: 9 },
            post_process: JobKind("READ_A_NOTE"),
            identities: &[PIGEON_RING],
            settings: &[],
            send: None,
        };
        let channels = ChannelDirectory::new([pigeon]);
        let sought = |text: &str| {
            let terms = SearchTerms::of(text);
            let all = identities(&channels, &terms);
            all.iter().map(|it| format!("{} {}", it.kind, it.value)).collect::<Vec<_>>()
        };
        assert_eq!(sought("+12125550123"), ["phone +12125550123", "pigeon_ring 12125550123"]);
        assert_eq!(sought("x@y.example"), ["email x@y.example", "pigeon_ring x@y.example"]);
    }

    #[test]
    fn a_statement_looks_up_a_bounded_number_of_pairs() {
        for (identities, clients) in
            [(0, LOOKED_UP_MAX), (1, LOOKED_UP_MAX), (6, 3_333), (LOOKED_UP_MAX * 2, 1)]
        {
            assert_eq!(clients_at_once(identities), clients, "{identities} identities");
        }
    }
}
