//! `/metrics`.

use super::{
    State,
    api::{KindCount, by_kind},
};
use crate::{
    store::{Totals, wall_clock},
    telemetry::{
        metrics::CONTENT_TYPE,
        shared_metrics::{KindCounts, SharedCounts},
    },
};
use actix_web::{HttpResponse, web};
use std::collections::BTreeMap;

/// All metrics, in the text format of Prometheus. Gauges are set now: those of this node from its
/// memory, those of all nodes from a read of the database that requests share.
pub(super) async fn show(state: web::Data<State>) -> HttpResponse {
    set_own(&state);
    let (totals, readiness) = tokio::join!(state.api.totals(), state.readiness());
    state.metrics.ready(readiness.is_ready);
    match totals {
        Ok(totals) => state.metrics.shared().set(&counts(&totals, &state)),
        Err(error) => {
            state.metrics.shared().clear();
            tracing::warn!(%error, "the counts of all nodes are missing from the metrics");
        }
    }
    match state.metrics.render() {
        Ok(text) => HttpResponse::Ok().content_type(CONTENT_TYPE).body(text),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be rendered");
            HttpResponse::InternalServerError().finish()
        }
    }
}

/// Sets the gauges of this node.
fn set_own(state: &State) {
    let config = state.config.get();
    for pool in state.board.pools() {
        let metrics = state.metrics.kind(pool.kind);
        metrics.pool_busy.set(gauge(pool.busy));
        metrics.pool_size.set(gauge(pool.size));
        metrics.pool_paused.set(i64::from(pool.paused));
        let is_overridden = config.pools.override_of(pool.kind.0).is_some();
        metrics.pool_override.set(i64::from(is_overridden));
        metrics.pool_backing_off.set(gauge(pool.backing_off));
        metrics.lost_threads.set(gauge(pool.lost_threads));
    }
    state.metrics.ingest_bytes(state.intake.gate.bytes_inside());
    let (busy, idle) = state.store.connections();
    state.metrics.database().connections(busy, idle);
    let may_lead = state.role.works();
    state.metrics.leads(may_lead && state.membership.leads(config.supervisor.lease));
}

/// What the metrics tell of all nodes.
fn counts(totals: &Totals, state: &State) -> SharedCounts {
    let now = wall_clock();
    let lease = state.config.get().supervisor.lease;
    let kind = |count: KindCount| KindCounts {
        kind: count.kind,
        pending: count.pending,
        running: count.running,
        oldest_seconds: count.oldest_pending_seconds.unwrap_or_default(),
    };
    let of_channel = totals.accounts.iter().filter(|it| it.paused_until > now);
    let living = totals.nodes.iter().filter(|node| node.silent <= lease);
    SharedCounts {
        kinds: by_kind(&state.api, &totals.backlog).into_iter().map(kind).collect(),
        ledger_imbalance: totals.balance().imbalance(),
        quarantine_held: totals.quarantined,
        drafts_pending: totals.drafts_pending,
        oldest_draft_seconds: totals
            .oldest_draft_at
            .map_or(0, |at| now.millis_since(at).max(0) / 1_000),
        deliveries_uncertain: totals.deliveries_uncertain,
        accounts_disconnected: gauge(
            totals.accounts.iter().filter(|it| it.is_disconnected()).count(),
        ),
        accounts_paused: counted(of_channel.map(|account| account.channel.as_str())),
        nodes: counted(living.map(|node| node.role.as_str())),
    }
}

/// How often each name occurs.
fn counted<'a>(names: impl Iterator<Item = &'a str>) -> Vec<(String, i64)> {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    names.for_each(|name| *counts.entry(name).or_default() += 1);
    counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
