//! `/deliveries`: answers that are sent through a provider.

use super::{
    ApiResult, ApiState, no_such,
    objects::{self, RowKey, at},
    only_id,
    query::Query,
};
use crate::{
    domain::Timestamp,
    store::{DeliveryFilter, DeliveryRow},
};
use actix_web::{HttpRequest, web};
use serde::Serialize;

/// The states of a delivery.
const STATUSES: [&str; 4] = ["sending", "sent", "failed", "uncertain"];

/// `GET /deliveries`.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let known = ["status", "client", "lead", "channel", "limit", "cursor"];
    let query = Query::parse(&request, &known)?;
    let filter = DeliveryFilter {
        status: query.one_of("status", &STATUSES)?,
        client: query.values("client"),
        lead: query.ids("lead")?,
        channel: state.channels_in(&query)?,
    };
    let page = state.desk.deliveries(filter, query.limit()?, query.cursor()?).await?;
    let items = page.items.iter().map(DeliveryJson::of).collect();
    objects::page(items, page.next)
}

/// `GET /deliveries/{id}`.
pub(super) async fn show(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> ApiResult {
    let id = only_id(&request, &path, "delivery")?;
    let delivery = state.desk.delivery(id).await?.ok_or_else(|| no_such("delivery", id))?;
    objects::object(DeliveryJson::of(&delivery))
}

#[derive(Debug, Serialize)]
pub(super) struct DeliveryJson<'a> {
    id: RowKey,
    draft_id: Option<RowKey>,
    client_id: &'a str,
    lead_id: RowKey,
    message_id: Option<RowKey>,
    channel: &'a str,
    status: &'a str,
    provider_id: Option<&'a str>,
    attempts: i32,
    error: Option<&'a str>,
    created_at: Timestamp,
    settled_at: Option<Timestamp>,
}

impl<'a> DeliveryJson<'a> {
    pub(super) fn of(delivery: &'a DeliveryRow) -> Self {
        Self {
            id: RowKey(delivery.id),
            draft_id: delivery.draft_id.map(RowKey),
            client_id: &delivery.client_id,
            lead_id: RowKey(delivery.lead_id),
            message_id: delivery.message_id.map(RowKey),
            channel: &delivery.channel,
            status: &delivery.status,
            provider_id: delivery.provider_id.as_deref(),
            attempts: delivery.attempts,
            error: delivery.error.as_deref(),
            created_at: Timestamp::from_millis(delivery.created_at.0),
            settled_at: at!(delivery.settled_at),
        }
    }
}
