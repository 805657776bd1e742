//! Deliveries for the admin API: answers that are sent through a provider.

use super::{
    Page,
    jobs::count,
    values::{
        self, CHANNELS_OF_DELIVERIES, CLIENTS_OF_DELIVERIES, each_with_each, page_of_leads,
        page_of_statuses,
    },
};
use crate::domain::Id;
use crate::store::engine::{
    StoreError,
    sessions::Sessions,
    sql::sql,
    tx::{group, read},
};
use entity::deliveries;
use sea_orm::{EntityTrait, FromQueryResult, QueryResult};
use serde::Serialize;

pub use entity::deliveries::Model as DeliveryRow;

/// All columns, which are short.
macro_rules! delivery {
    () => {
        "select d.id, d.client_id, d.lead_id, d.draft_id, d.message_id, d.channel, d.status, d.text_key, d.provider_id, \
           d.attempts, d.error, d.created_at, d.settled_at, d.job_id, d.marked_run from "
    };
}

sql! {
    /// Deliveries, newest first. By primary key.
    static LIST_DELIVERIES =
        concat!(delivery!(), "deliveries d where d.id < $1 order by d.id desc limit $2");

    /// The same for some clients, channels and statuses, a page of each. By `deliveries_listed`,
    /// which is over `id + 0`.
    static LIST_DELIVERIES_BY = concat!(delivery!(), page_of_statuses!("deliveries", "d"));

    /// The same for some leads, a page of each. Each other filter is off if its number is 0. By
    /// `deliveries_of_lead`.
    static LIST_DELIVERIES_OF_LEADS =
        concat!(delivery!(), page_of_leads!("deliveries", "d", "status"));
}

/// The statuses of deliveries.
const STATUSES: [&str; 4] = ["sending", "sent", "failed", "uncertain"];

/// Selects deliveries. The values of a field are alternatives; all fields must match; an empty
/// field matches all deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// `sending`, `sent`, `failed` or `uncertain`.
    pub status: Vec<String>,
    /// Their clients.
    pub client: Vec<String>,
    /// The leads that they go to.
    pub lead: Vec<Id>,
    /// Their channels.
    pub channel: Vec<String>,
}

/// A page of deliveries.
pub(super) async fn list(
    reader: &Sessions,
    filter: &DeliveryFilter,
    limit: usize,
    cursor: Option<Id>,
) -> Result<Page<DeliveryRow>, StoreError> {
    let before = cursor.unwrap_or(Id::MAX);
    let rows = find(reader, filter, before, limit + 1).await?;
    let items = rows.iter().map(|row| Ok(DeliveryRow::from_query_result(row, "")?));
    let items = items.collect::<Result<Vec<_>, StoreError>>()?;
    Ok(Page::cut(items, limit, |it| it.id))
}

async fn find(
    reader: &Sessions,
    filter: &DeliveryFilter,
    before: Id,
    most: usize,
) -> Result<Vec<QueryResult>, StoreError> {
    #[derive(Serialize)]
    struct Row<'a> {
        client_id: &'a str,
        channel: &'a str,
        status: &'a str,
    }
    let DeliveryFilter { status, client, lead, channel } = filter;
    let (before, most) = (before.into(), count(most));
    if !lead.is_empty() {
        let values = values::of_leads([before, most], lead, [client, channel, status])?;
        return read(reader, &LIST_DELIVERIES_OF_LEADS, values).await;
    }
    if [status, client, channel].into_iter().all(Vec::is_empty) {
        return read(reader, &LIST_DELIVERIES, [before, most]).await;
    }
    let clients = values::clients(reader, &CLIENTS_OF_DELIVERIES, client).await?;
    let pairs = values::pairs(reader, &CHANNELS_OF_DELIVERIES, clients, channel).await?;
    let statuses =
        if status.is_empty() { STATUSES.map(str::to_owned).to_vec() } else { status.clone() };
    let all = each_with_each(&pairs, &statuses);
    let rows: Vec<Row<'_>> = all
        .iter()
        .map(|((client_id, channel), status)| Row { client_id, channel, status })
        .collect();
    read(reader, &LIST_DELIVERIES_BY, [before, most, group(&rows)?]).await
}

/// One delivery.
pub(super) async fn one(reader: &Sessions, id: Id) -> Result<Option<DeliveryRow>, StoreError> {
    Ok(deliveries::Entity::find_by_id(id).one(reader).await?)
}
