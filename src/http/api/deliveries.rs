//! `/deliveries`: answers that are sent through a provider.

use super::{
    ApiResult, ApiState, no_such,
    objects::{self, List, RowKey, at},
    only_id,
    query::Query,
};
use crate::{
    domain::{Id, Timestamp},
    http::{
        openapi::{
            ApiEndpoint, ApiParameter, CHANNEL, CLIENT, CURSOR, DeliveryStatusWord, LEAD, LIMIT,
            Takes, get,
        },
        problem::Problem,
    },
    store::{
        DeliveryFilter, DeliveryRow, DraftView, Excerpt, LeadName, ListedMessage, MessageFilter,
        Page,
    },
};
use actix_web::{HttpRequest, web};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};

/// The parameters of the list.
const PARAMETERS: [ApiParameter; 6] = [
    ApiParameter::new("status", Takes::Words(|| DELIVERY_STATUSES.to_vec())),
    CLIENT,
    LEAD,
    CHANNEL,
    LIMIT,
    CURSOR,
];

/// Deliveries.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        get("/deliveries", list)
            .says("Deliveries, newest first")
            .takes(&PARAMETERS)
            .answers::<List<DeliveryJson<'_>>>(),
        get("/deliveries/{id}", show).says("A delivery").answers::<DeliveryJson<'_>>(),
    ]
}

/// The states of a delivery.
pub(in crate::http) const DELIVERY_STATUSES: [&str; 4] = ["sending", "sent", "failed", "uncertain"];

/// `GET /deliveries`.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let query = Query::parse(&request, &PARAMETERS)?;
    let filter = state.delivery_filter(&query)?;
    let page = state.deliveries(filter, query.limit()?, query.cursor()?).await?;
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
    objects::object(DeliveryJson::of(&state.delivery(id).await?))
}

impl ApiState {
    /// The values of a query that select deliveries.
    ///
    /// # Errors
    /// 400 for an unknown status or channel, or what is no id.
    pub(in crate::http) fn delivery_filter(
        &self,
        query: &Query,
    ) -> Result<DeliveryFilter, Problem> {
        Ok(DeliveryFilter {
            status: query.one_of("status", &DELIVERY_STATUSES)?,
            client: query.values("client"),
            lead: query.ids("lead")?,
            channel: self.channels_in(query)?,
        })
    }

    /// Deliveries before `cursor`, newest first.
    ///
    /// # Errors
    /// If the database is away.
    pub(in crate::http) async fn deliveries(
        &self,
        filter: DeliveryFilter,
        limit: usize,
        cursor: Option<Id>,
    ) -> Result<Page<DeliveryRow>, Problem> {
        Ok(self.desk.deliveries(filter, limit, cursor).await?)
    }

    /// A delivery.
    ///
    /// # Errors
    /// 404 if there is none with this id; if the database is away.
    pub(in crate::http) async fn delivery(&self, id: Id) -> Result<DeliveryRow, Problem> {
        self.desk.delivery(id).await?.ok_or_else(|| no_such("delivery", id))
    }

    /// What these deliveries send: the drafts, with the beginnings of their texts.
    ///
    /// # Errors
    /// If the database is away.
    pub(in crate::http) async fn drafts_of(
        &self,
        deliveries: &[DeliveryRow],
    ) -> Result<Vec<Excerpt<DraftView>>, Problem> {
        let ids: Vec<Id> = deliveries.iter().filter_map(|it| it.draft_id).collect();
        Ok(self.desk.drafts_of_ids(ids).await?)
    }

    /// What leads are called, by their ids.
    ///
    /// # Errors
    /// If the database is away.
    pub(in crate::http) async fn lead_names(
        &self,
        leads: impl IntoIterator<Item = Id>,
    ) -> Result<HashMap<Id, LeadName>, Problem> {
        let ids: BTreeSet<Id> = leads.into_iter().collect();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let names = self.desk.lead_names(ids.into_iter().collect()).await?;
        Ok(names.into_iter().map(|name| (name.id, name)).collect())
    }

    /// The newest messages of a lead, newest first, with the beginnings of their texts.
    ///
    /// # Errors
    /// If the database is away.
    pub(in crate::http) async fn newest_messages(
        &self,
        lead: Id,
        limit: usize,
    ) -> Result<Vec<Excerpt<ListedMessage>>, Problem> {
        let filter = MessageFilter { lead: vec![lead], ..MessageFilter::default() };
        let _permit = self.heavy_reads.permit().await?;
        Ok(self.desk.messages(filter, limit, None).await?.items)
    }
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct DeliveryJson<'a> {
    pub(in crate::http) id: RowKey,
    pub(in crate::http) draft_id: Option<RowKey>,
    pub(in crate::http) client_id: &'a str,
    pub(in crate::http) lead_id: RowKey,
    pub(in crate::http) message_id: Option<RowKey>,
    pub(in crate::http) channel: &'a str,
    #[schemars(with = "DeliveryStatusWord")]
    pub(in crate::http) status: &'a str,
    pub(in crate::http) provider_id: Option<&'a str>,
    pub(in crate::http) attempts: i32,
    pub(in crate::http) error: Option<&'a str>,
    pub(in crate::http) created_at: Timestamp,
    pub(in crate::http) settled_at: Option<Timestamp>,
}

impl<'a> DeliveryJson<'a> {
    pub(in crate::http) fn of(delivery: &'a DeliveryRow) -> Self {
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
