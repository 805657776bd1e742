//! Quarantine items.

use super::{RowKey, at};
use crate::{domain::Timestamp, store::ListedQuarantine};
use serde::Serialize;

/// An item of a list.
#[derive(Debug, Serialize)]
pub(in crate::http::api) struct QuarantineJson<'a> {
    id: RowKey,
    client_id: &'a str,
    channel: &'a str,
    event_type: Option<&'a str>,
    reason: &'a str,
    status: &'a str,
    count: i64,
    received_at: Option<Timestamp>,
    last_received_at: Option<Timestamp>,
    request_id: Option<&'a str>,
}

impl<'a> QuarantineJson<'a> {
    pub(in crate::http::api) fn of(row: &'a ListedQuarantine) -> Self {
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
#[derive(Debug, Serialize)]
pub(in crate::http::api) struct QuarantineDetailJson<'a> {
    #[serde(flatten)]
    item: QuarantineJson<'a>,
    payload: &'a str,
}

impl<'a> QuarantineDetailJson<'a> {
    pub(in crate::http::api) fn of(row: &'a ListedQuarantine, payload: &'a str) -> Self {
        Self { item: QuarantineJson::of(row), payload }
    }
}
