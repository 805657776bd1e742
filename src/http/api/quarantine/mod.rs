//! `/quarantine`: webhooks that were authentic and not understood, and are kept for a person.

mod many;
mod one;
mod task;

pub(in crate::http) use self::{
    many::{held_filter, matching_items, start_on_items},
    one::{discard_item, replay_item, try_replay},
};

use self::{
    many::{HELD_FILTERS, discard_many, replay_many},
    one::{ReplayAnswer, discard, replay},
};
use super::{
    ApiResult, ApiState, id_in,
    objects::{self, List, RowKey, at},
    operations::BulkJson,
    query::Query,
};
use crate::{
    domain::{Id, Timestamp},
    http::{
        openapi::{
            ApiEndpoint, ApiParameter, CHANNEL, CLIENT, CURSOR, DRY_RUN, LIMIT,
            QuarantineStatusWord, Takes, VALUE_CHARS_MAX, delete, get, post,
        },
        problem::Problem,
    },
    store::{ListedQuarantine, Page, QuarantineFilter, QuarantineRow},
};
use actix_web::{HttpRequest, web};
use schemars::JsonSchema;
use serde::Serialize;

/// The provider's name of an event.
const EVENT_TYPE: ApiParameter = ApiParameter::new("event_type", Takes::Texts(VALUE_CHARS_MAX));
/// Why an item was not understood.
const REASON: ApiParameter = ApiParameter::new("reason", Takes::Texts(VALUE_CHARS_MAX));

/// The parameters of the list.
const PARAMETERS: [ApiParameter; 7] = [
    ApiParameter::new("status", Takes::Words(|| QUARANTINE_STATUSES.to_vec())),
    CLIENT,
    CHANNEL,
    EVENT_TYPE,
    REASON,
    LIMIT,
    CURSOR,
];

/// Quarantined webhooks.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        get("/quarantine", list)
            .says("Webhooks that were authentic and not understood, newest first")
            .takes(&PARAMETERS)
            .answers::<List<QuarantineJson<'_>>>(),
        post("/quarantine/replay", replay_many)
            .says("Interprets all held items that match again, the oldest first")
            .takes(&[DRY_RUN])
            .reads(&HELD_FILTERS)
            .may_conflict()
            .answers::<BulkJson<QuarantineJson<'_>>>(),
        post("/quarantine/discard", discard_many)
            .says("Discards all held items that match")
            .takes(&[DRY_RUN])
            .reads(&HELD_FILTERS)
            .may_conflict()
            .answers::<BulkJson<QuarantineJson<'_>>>(),
        get("/quarantine/{id}", show)
            .says("A quarantined webhook with its body")
            .answers::<QuarantineDetailJson<'_>>(),
        delete("/quarantine/{id}", discard)
            .says("Discards a held item, which stays as discarded")
            .may_conflict()
            .answers::<QuarantineJson<'_>>(),
        post("/quarantine/{id}/replay", replay)
            .says("Interprets a held item again, and answers as a webhook does")
            .takes(&[DRY_RUN])
            .may_conflict()
            .answers::<ReplayAnswer>(),
    ]
}

/// The states of an item.
pub(in crate::http) const QUARANTINE_STATUSES: [&str; 3] = ["held", "replayed", "discarded"];

/// `GET /quarantine`.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let query = Query::parse(&request, &PARAMETERS)?;
    let filter = state.quarantine_filter(&query)?;
    let page = state.quarantined(filter, query.limit()?, query.cursor()?).await?;
    let items = page.items.iter().map(QuarantineJson::of).collect();
    objects::page(items, page.next)
}

/// `GET /quarantine/{id}`.
pub(super) async fn show(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> ApiResult {
    Query::none(&request)?;
    let _permit = state.heavy_reads.permit().await?;
    let (item, payload) = found(&state, &path).await?.split();
    objects::object(QuarantineDetailJson::of(&item, &payload))
}

impl ApiState {
    /// The values of a query that select quarantined webhooks.
    ///
    /// # Errors
    /// 400 for an unknown status or channel.
    pub(in crate::http) fn quarantine_filter(
        &self,
        query: &Query,
    ) -> Result<QuarantineFilter, Problem> {
        Ok(QuarantineFilter {
            status: query.one_of("status", &QUARANTINE_STATUSES)?,
            client: query.values("client"),
            channel: self.channels_in(query)?,
            ..alike(query)?
        })
    }

    /// Quarantined webhooks before `cursor`, newest first.
    ///
    /// # Errors
    /// If the database is away.
    pub(in crate::http) async fn quarantined(
        &self,
        filter: QuarantineFilter,
        limit: usize,
        cursor: Option<Id>,
    ) -> Result<Page<ListedQuarantine>, Problem> {
        let _permit = self.heavy_reads.permit().await?;
        Ok(self.desk.quarantine(filter, limit, cursor).await?)
    }

    /// A quarantined webhook with its body.
    ///
    /// # Errors
    /// 404 if there is none with this id; if the database is away.
    pub(in crate::http) async fn quarantined_item(
        &self,
        path: &str,
    ) -> Result<QuarantineRow, Problem> {
        let _permit = self.heavy_reads.permit().await?;
        found(self, path).await
    }
}

/// The id in a path.
///
/// # Errors
/// 404 if it is no id.
fn id_of(path: &str) -> Result<Id, Problem> {
    id_in(path, "quarantine item")
}

/// The events and reasons that a query selects. Commas do not part them.
///
/// # Errors
/// 400 for one that is too long.
fn alike(query: &Query) -> Result<QuarantineFilter, Problem> {
    let mut reason = query.whole(REASON.name)?;
    reason.retain(|it| !it.is_empty());
    let event_type = query.whole(EVENT_TYPE.name)?;
    Ok(QuarantineFilter { event_type, reason, ..QuarantineFilter::default() })
}

async fn found(state: &ApiState, path: &str) -> Result<QuarantineRow, Problem> {
    let id = id_of(path)?;
    let item = state.desk.quarantine_item(id).await?;
    item.ok_or_else(|| Problem::not_found(format!("there is no quarantine item `{id}`")))
}

/// An item of a list.
#[derive(Debug, JsonSchema, Serialize)]
struct QuarantineJson<'a> {
    id: RowKey,
    client_id: &'a str,
    channel: &'a str,
    event_type: Option<&'a str>,
    reason: &'a str,
    #[schemars(with = "QuarantineStatusWord")]
    status: &'a str,
    count: i64,
    received_at: Option<Timestamp>,
    last_received_at: Option<Timestamp>,
    request_id: Option<&'a str>,
}

impl<'a> QuarantineJson<'a> {
    fn of(row: &'a ListedQuarantine) -> Self {
        Self {
            id: RowKey(row.id),
            client_id: &row.client_id,
            channel: &row.channel,
            event_type: row.event_type.as_deref(),
            reason: &row.reason,
            status: &row.status,
            count: row.count,
            received_at: at!(Some(row.received_at)),
            last_received_at: at!(Some(row.last_received_at)),
            request_id: row.request_id.as_deref(),
        }
    }
}

/// An item with what was received.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct QuarantineDetailJson<'a> {
    #[serde(flatten)]
    item: QuarantineJson<'a>,
    payload: &'a str,
}

impl<'a> QuarantineDetailJson<'a> {
    pub(super) fn of(row: &'a ListedQuarantine, payload: &'a str) -> Self {
        Self { item: QuarantineJson::of(row), payload }
    }
}
