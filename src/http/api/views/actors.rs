//! Pools and actors.

use super::RowKey;
use crate::{
    domain::Timestamp,
    telemetry::board::{ActorView, PoolPost},
};
use serde::Serialize;
use std::sync::atomic::Ordering::Relaxed;

#[derive(Debug, Serialize)]
pub(in crate::http::api) struct PoolJson {
    pub(in crate::http::api) kind: &'static str,
    size: usize,
    configured_size: usize,
    busy: usize,
    paused: bool,
    state: &'static str,
    backlog: Option<i64>,
    restarts: u64,
    resumes_at: Option<Timestamp>,
    max_attempts: u64,
    timeout_ms: u64,
}

impl PoolJson {
    pub(in crate::http::api) fn of(pool: &PoolPost, backlog: Option<i64>) -> Self {
        let size = pool.size.load(Relaxed);
        let paused = pool.paused.load(Relaxed);
        let state = if paused {
            "paused"
        } else if pool.is_backing_off() {
            "backing_off"
        } else {
            "running"
        };
        Self {
            kind: pool.kind.0,
            size,
            configured_size: pool.configured_size.load(Relaxed),
            busy: pool.busy.load(Relaxed),
            paused,
            state,
            backlog,
            restarts: pool.restarts.load(Relaxed),
            resumes_at: pool.is_backing_off().then(|| pool.resumes_at()),
            max_attempts: pool.max_attempts.load(Relaxed),
            timeout_ms: pool.timeout_ms.load(Relaxed),
        }
    }
}

#[derive(Debug, Serialize)]
pub(in crate::http::api) struct ActorJson {
    pub(in crate::http::api) name: String,
    r#type: &'static str,
    parent: Option<&'static str>,
    state: &'static str,
    since: Timestamp,
    restarts: u64,
    last_failure: Option<FailureJson>,
    mailbox_depth: usize,
    mailbox_capacity: usize,
    job_id: Option<RowKey>,
}

#[derive(Debug, Serialize)]
struct FailureJson {
    at: Timestamp,
    reason: String,
}

impl ActorJson {
    pub(in crate::http::api) fn of(it: ActorView) -> Self {
        Self {
            name: it.name,
            r#type: it.kind.as_str(),
            parent: Some(it.parent).filter(|it| !it.is_empty()),
            state: it.state.as_str(),
            since: it.since,
            restarts: it.restarts,
            last_failure: it.last_failure.map(|it| FailureJson { at: it.at, reason: it.reason }),
            mailbox_depth: it.mailbox_depth,
            mailbox_capacity: it.mailbox_capacity,
            job_id: it.job_id.map(RowKey),
        }
    }
}
