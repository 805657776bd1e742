//! `/received`: what came in and what went out, newest first, also what left no row.
//!
//! What is stored is known for good. What left no row is known since the start of this node, and of
//! this node only (`http/untraced.rs`).

use super::{
    ApiResult, ApiState,
    messages::DIRECTIONS,
    objects::{self, RowKey},
    query::Query,
};
use crate::{
    domain::{
        Id, Timestamp,
        received::{RECEIVED_OUTCOMES, STORED_OUTCOMES},
    },
    http::{
        openapi::{
            ApiEndpoint, ApiParameter, CHANNEL, CLIENT, CURSOR, DirectionWord, LEAD, LIMIT, Q,
            QuarantineStatusWord, ReceivedOutcomeWord, Takes, get,
        },
        problem::Problem,
        untraced::{UntracedFilter, UntracedWebhook},
    },
    store::{Page, ReceivedFilter, ReceivedRow, ReceivedTables},
};
use actix_web::{HttpRequest, web};
use schemars::JsonSchema;
use serde::Serialize;

/// The parameters of the list.
const PARAMETERS: [ApiParameter; 8] = [
    CLIENT,
    LEAD,
    CHANNEL,
    ApiParameter::new("direction", Takes::Words(|| DIRECTIONS.to_vec())),
    ApiParameter::new("outcome", Takes::Words(|| RECEIVED_OUTCOMES.to_vec())),
    Q,
    LIMIT,
    CURSOR,
];

/// How many rows are read at once behind a page on which too few were of the outcomes that are
/// asked for, and how often for one page. A list that ends there has a cursor that goes on.
const LOOKED_AT_ONCE: usize = 250;
const LOOKS_MAX: usize = 8;

/// What came in and went out.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        get("/received", list)
            .says("What was received and sent, newest first, also what left no row")
            .takes(&PARAMETERS)
            .answers::<ReceivedPage<'_>>(),
    ]
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub(in crate::http) struct ReceivedQuery {
    pub(in crate::http) client: Vec<String>,
    /// Leads of messages, and of duplicates of messages. Nothing else has a lead.
    pub(in crate::http) lead: Vec<Id>,
    pub(in crate::http) channel: Vec<String>,
    /// Of [`DIRECTIONS`]; all if it is empty. All but messages is inbound.
    pub(in crate::http) direction: Vec<String>,
    /// Of [`RECEIVED_OUTCOMES`]; all if it is empty.
    pub(in crate::http) outcome: Vec<String>,
    pub(in crate::http) sought: Option<String>,
}

impl ReceivedQuery {
    fn wants(&self, outcomes: &[&str]) -> bool {
        self.outcome.is_empty() || self.outcome.iter().any(|it| outcomes.contains(&it.as_str()))
    }

    fn wants_inbound(&self) -> bool {
        self.direction.is_empty() || self.direction.iter().any(|it| it == "inbound")
    }

    /// True if webhooks in quarantine are among what is asked for.
    pub(in crate::http) fn looks_in_quarantine(&self) -> bool {
        matches!(self.tables(), Some(ReceivedTables::Both | ReceivedTables::Quarantined))
    }

    /// The tables with what is asked for; `None` if nothing that is stored is.
    fn tables(&self) -> Option<ReceivedTables> {
        let [stored, sent, quarantined] = STORED_OUTCOMES;
        let may_be_quarantined = self.lead.is_empty() && self.wants_inbound();
        match (self.wants(&[stored, sent]), may_be_quarantined && self.wants(&[quarantined])) {
            (true, true) => Some(ReceivedTables::Both),
            (true, false) => Some(ReceivedTables::Messages),
            (false, true) => Some(ReceivedTables::Quarantined),
            (false, false) => None,
        }
    }
}

/// What became of a message from this source, of [`RECEIVED_OUTCOMES`].
pub(in crate::http) fn outcome_of(source: &str) -> &'static str {
    let [stored, sent, _] = STORED_OUTCOMES;
    if source == "postroom" { sent } else { stored }
}

/// One thing of the list.
#[derive(Clone, Debug)]
pub(in crate::http) enum ReceivedItem {
    Stored(Box<ReceivedRow>),
    Untraced(Box<UntracedWebhook>),
}

impl ReceivedItem {
    pub(in crate::http) const fn key(&self) -> Id {
        match self {
            Self::Stored(row) => row.id(),
            Self::Untraced(webhook) => webhook.key,
        }
    }

    /// What became of it, of [`RECEIVED_OUTCOMES`].
    pub(in crate::http) fn outcome(&self) -> &str {
        match self {
            Self::Stored(row) => match &**row {
                ReceivedRow::Message(it) => outcome_of(&it.source),
                ReceivedRow::Quarantined(_) => "quarantined",
            },
            Self::Untraced(it) => it.outcome,
        }
    }
}

impl ApiState {
    /// The values of a query that select what was received.
    ///
    /// # Errors
    /// 400 for an unknown channel, direction or outcome, a lead that is no id, or a text that is
    /// too long.
    pub(in crate::http) fn received_query(&self, query: &Query) -> Result<ReceivedQuery, Problem> {
        Ok(ReceivedQuery {
            client: query.values("client"),
            lead: query.ids("lead")?,
            channel: self.channels_in(query)?,
            direction: query.one_of("direction", &DIRECTIONS)?,
            outcome: query.one_of("outcome", &RECEIVED_OUTCOMES)?,
            sought: query.text("q")?.map(str::to_owned),
        })
    }

    /// What was received before `cursor`, newest first. The database is only asked if what is
    /// stored is asked for. A page may have fewer items than `limit` and yet a next one: only so
    /// many rows are read for it.
    ///
    /// # Errors
    /// If the database is away.
    pub(in crate::http) async fn received(
        &self,
        asked: ReceivedQuery,
        limit: usize,
        cursor: Option<Id>,
    ) -> Result<Page<ReceivedItem>, Problem> {
        let mut page = self.received_at(&asked, limit, cursor).await?;
        for _ in 0..LOOKS_MAX {
            let Some(next) = page.next.filter(|_| page.items.len() < limit) else { break };
            let behind = self.received_at(&asked, limit.max(LOOKED_AT_ONCE), Some(next)).await?;
            page.items.extend(behind.items);
            page.next = behind.next;
        }
        if page.items.len() > limit {
            page.items.truncate(limit);
            page.next = page.items.last().map(ReceivedItem::key);
        }
        Ok(page)
    }

    /// Of the `limit` things before `cursor`, those that are asked for.
    async fn received_at(
        &self,
        asked: &ReceivedQuery,
        limit: usize,
        cursor: Option<Id>,
    ) -> Result<Page<ReceivedItem>, Problem> {
        // 1. What left no row. All of it came in.
        let filter = UntracedFilter {
            clients: &asked.client,
            leads: &asked.lead,
            channels: &asked.channel,
            outcomes: &asked.outcome,
            sought: asked.sought.as_deref(),
            before: cursor,
        };
        let untraced =
            if asked.wants_inbound() { self.untraced.list(&filter, limit + 1) } else { Vec::new() };
        // 2. What is stored.
        let stored = if let Some(tables) = asked.tables() {
            let filter = ReceivedFilter {
                client: asked.client.clone(),
                lead: asked.lead.clone(),
                channel: asked.channel.clone(),
                direction: asked.direction.clone(),
                sought: asked.sought.clone(),
                tables,
            };
            let _permit = self.heavy_reads.permit().await?;
            self.desk.received(filter, limit, cursor).await?
        } else {
            Page { items: Vec::new(), next: None }
        };
        // 3. Both, down to where what is stored ends on this page.
        let end = stored.next.unwrap_or_default();
        let untraced = untraced
            .into_iter()
            .filter(|it| it.key > end)
            .map(|it| ReceivedItem::Untraced(Box::new(it)));
        let mut items: Vec<ReceivedItem> = stored
            .items
            .into_iter()
            .map(|it| ReceivedItem::Stored(Box::new(it)))
            .chain(untraced)
            .collect();
        items.sort_unstable_by_key(|item| std::cmp::Reverse(item.key()));
        let has_more = items.len() > limit || stored.next.is_some();
        items.truncate(limit);
        let last = items.last().map(ReceivedItem::key);
        let next = if items.len() < limit { stored.next } else { last.filter(|_| has_more) };
        items.retain(|item| asked.wants(&[item.outcome()]));
        Ok(Page { items, next })
    }
}

/// `GET /received`.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let query = Query::parse(&request, &PARAMETERS)?;
    let asked = state.received_query(&query)?;
    let page = state.received(asked, query.limit()?, query.cursor()?).await?;
    objects::object(ReceivedPage {
        items: page.items.iter().map(ReceivedJson::of).collect(),
        next_cursor: page.next.map(RowKey),
        node: RowKey(state.desk.node()),
        untraced_since: state.untraced.since(),
    })
}

#[derive(Debug, JsonSchema, Serialize)]
struct ReceivedPage<'a> {
    items: Vec<ReceivedJson<'a>>,
    next_cursor: Option<RowKey>,
    /// The node whose webhooks without a row are listed, and since when.
    node: RowKey,
    untraced_since: Timestamp,
}

/// One thing that was received or sent.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct ReceivedJson<'a> {
    id: RowKey,
    /// When it was received or, if it is ours, stored; of several alike, the last.
    pub(in crate::http) at: Timestamp,
    /// Of several alike, the first.
    first_at: Timestamp,
    #[schemars(with = "ReceivedOutcomeWord")]
    pub(in crate::http) outcome: &'a str,
    pub(in crate::http) reason: Option<&'a str>,
    /// The name in the path of the webhook; `configured` says whether it is one of a client.
    pub(in crate::http) client_id: &'a str,
    pub(in crate::http) configured: bool,
    pub(in crate::http) channel: &'a str,
    #[schemars(with = "Option<DirectionWord>")]
    pub(in crate::http) direction: Option<&'a str>,
    pub(in crate::http) event_type: Option<&'a str>,
    message_id: Option<RowKey>,
    lead_id: Option<RowKey>,
    quarantine_id: Option<RowKey>,
    /// Of a quarantined webhook: `held`, `replayed` or `discarded`.
    #[schemars(with = "Option<QuarantineStatusWord>")]
    pub(in crate::http) status: Option<&'a str>,
    pub(in crate::http) provider_id: Option<&'a str>,
    pub(in crate::http) request_id: Option<&'a str>,
    /// The address of a sender that proved nothing; of IPv6, its network.
    pub(in crate::http) address: Option<&'a str>,
    /// How many were alike.
    pub(in crate::http) count: i64,
}

impl<'a> ReceivedJson<'a> {
    pub(in crate::http) fn of(item: &'a ReceivedItem) -> Self {
        let outcome = item.outcome();
        match item {
            ReceivedItem::Stored(row) => match &**row {
                ReceivedRow::Message(it) => Self {
                    at: it.created_at,
                    first_at: it.created_at,
                    reason: None,
                    direction: Some(&it.direction),
                    event_type: it.event_type.as_deref(),
                    message_id: Some(RowKey(it.id)),
                    lead_id: Some(RowKey(it.lead_id)),
                    provider_id: it.provider_id.as_deref(),
                    request_id: it.request_id.as_deref(),
                    ..Self::empty(it.id, outcome, &it.client_id, &it.channel)
                },
                ReceivedRow::Quarantined(it) => Self {
                    at: Timestamp::from_millis(it.last_received_at.0),
                    first_at: Timestamp::from_millis(it.received_at.0),
                    reason: Some(&it.reason),
                    direction: Some("inbound"),
                    event_type: it.event_type.as_deref(),
                    quarantine_id: Some(RowKey(it.id)),
                    status: Some(&it.status),
                    request_id: it.request_id.as_deref(),
                    count: it.count,
                    ..Self::empty(it.id, outcome, &it.client_id, &it.channel)
                },
            },
            ReceivedItem::Untraced(it) => Self {
                at: it.at,
                first_at: it.first_at,
                reason: Some(it.reason.as_str()).filter(|it| !it.is_empty()),
                configured: it.is_configured,
                direction: Some("inbound"),
                event_type: it.event_type.as_deref(),
                message_id: it.message_id.map(RowKey),
                lead_id: it.lead_id.map(RowKey),
                request_id: Some(&it.request_id),
                address: it.address.as_deref(),
                count: i64::try_from(it.alike).unwrap_or(i64::MAX),
                ..Self::empty(it.key, outcome, &it.client, it.channel)
            },
        }
    }

    /// The lead, if there is one.
    pub(in crate::http) fn lead(&self) -> Option<Id> {
        self.lead_id.map(|it| it.0)
    }

    /// The message; for a duplicate, the one that it repeats.
    pub(in crate::http) fn message(&self) -> Option<Id> {
        self.message_id.map(|it| it.0)
    }

    /// The quarantined webhook, if it is one.
    pub(in crate::http) fn quarantine(&self) -> Option<Id> {
        self.quarantine_id.map(|it| it.0)
    }

    const fn empty(id: Id, outcome: &'a str, client_id: &'a str, channel: &'a str) -> Self {
        Self {
            id: RowKey(id),
            at: Timestamp::from_millis(0),
            first_at: Timestamp::from_millis(0),
            outcome,
            reason: None,
            client_id,
            configured: true,
            channel,
            direction: None,
            event_type: None,
            message_id: None,
            lead_id: None,
            quarantine_id: None,
            status: None,
            provider_id: None,
            request_id: None,
            address: None,
            count: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quarantine_is_read_only_if_something_there_can_match() {
        use ReceivedTables::{Both, Messages, Quarantined};
        let texts = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        for (lead, direction, outcome, tables) in [
            (&[][..], &[][..], &[][..], Some(Both)),
            (&[], &["inbound"], &[], Some(Both)),
            (&[], &["outbound"], &[], Some(Messages)),
            (&[], &["outbound", "inbound"], &["quarantined"], Some(Quarantined)),
            (&[], &["outbound"], &["quarantined"], None),
            (&[7], &[], &[], Some(Messages)),
            (&[7], &[], &["quarantined", "duplicate"], None),
            (&[7], &["inbound"], &["quarantined", "sent"], Some(Messages)),
        ] {
            let asked = ReceivedQuery {
                lead: lead.to_vec(),
                direction: texts(direction),
                outcome: texts(outcome),
                ..ReceivedQuery::default()
            };
            assert_eq!(asked.tables(), tables, "{asked:?}");
            assert_eq!(asked.looks_in_quarantine(), tables.is_some_and(|it| it != Messages));
        }
    }
}
