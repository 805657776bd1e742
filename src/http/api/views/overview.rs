//! The overview.

use super::RowKey;
use crate::{domain::Timestamp, store::Node};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(in crate::http::api) struct OverviewJson<'a> {
    pub(in crate::http::api) node: RowKey,
    pub(in crate::http::api) version: &'static str,
    pub(in crate::http::api) role: &'static str,
    pub(in crate::http::api) uptime_seconds: u64,
    pub(in crate::http::api) database: &'static str,
    pub(in crate::http::api) jobs: JobCounts,
    pub(in crate::http::api) by_kind: Vec<KindCount>,
    pub(in crate::http::api) by_client: Vec<ClientCount<'a>>,
    pub(in crate::http::api) webhooks_per_second: f64,
    pub(in crate::http::api) jobs_per_second: f64,
    pub(in crate::http::api) quarantined: i64,
    pub(in crate::http::api) drafts_pending: i64,
    pub(in crate::http::api) deliveries_uncertain: i64,
    pub(in crate::http::api) actors_restarted: u64,
    pub(in crate::http::api) nodes: Vec<NodeJson<'a>>,
}

#[derive(Debug, Serialize)]
pub(in crate::http::api) struct JobCounts {
    pub(in crate::http::api) pending: i64,
    pub(in crate::http::api) running: i64,
    pub(in crate::http::api) succeeded: i64,
    pub(in crate::http::api) failed: i64,
    pub(in crate::http::api) cancelled: i64,
}

#[derive(Debug, Serialize)]
pub(in crate::http) struct KindCount {
    pub(in crate::http) kind: String,
    pub(in crate::http) pending: i64,
    pub(in crate::http) running: i64,
    pub(in crate::http) oldest_pending_seconds: Option<i64>,
}

#[derive(Debug, Serialize)]
pub(in crate::http::api) struct ClientCount<'a> {
    pub(in crate::http::api) client_id: &'a str,
    pub(in crate::http::api) pending: i64,
    pub(in crate::http::api) running: i64,
}

#[derive(Debug, Serialize)]
pub(in crate::http::api) struct NodeJson<'a> {
    id: RowKey,
    role: &'a str,
    started_at: Timestamp,
    seen_at: Timestamp,
}

impl<'a> NodeJson<'a> {
    pub(in crate::http::api) fn of(it: &'a Node) -> Self {
        Self { id: RowKey(it.id), role: &it.role, started_at: it.started_at, seen_at: it.seen_at }
    }
}
