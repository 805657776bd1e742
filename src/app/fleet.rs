//! What a daemon takes from the other nodes of its database, and what it tells them.

use super::actors::Parts;
use crate::{
    registry::Registry,
    store::Store,
    tuning::{NodeStatusSetup, OverridesSetup, PoolOverrides, Tuner, tell_status},
};
use std::time::Duration;
use tokio::{sync::watch, task::JoinHandle, time::Instant};

/// Reads the overrides of pools, and puts those in force that apply, before any actor starts.
pub(super) async fn open_overrides(
    parts: &Parts,
    registry: &Registry,
    ignores_stored: bool,
) -> PoolOverrides {
    let setup = OverridesSetup {
        stored: parts.store.overrides(),
        node: parts.store.node(),
        kinds: registry.kind_names(),
        version: parts.membership.overrides(),
        joins_others: joins_others(parts).await,
        ignores_stored,
        is_alone: parts.membership.is_alone(),
    };
    PoolOverrides::open(setup, &parts.live).await
}

/// True if another node has given a sign of life lately.
async fn joins_others(parts: &Parts) -> bool {
    let lately = parts.live.get().supervisor.heartbeat.saturating_mul(2);
    match parts.store.nodes().list().await {
        Ok(nodes) => {
            nodes.iter().any(|node| node.id != parts.store.node() && node.silent <= lately)
        }
        // Overrides cannot be read either, and are read later.
        Err(_) => false,
    }
}

/// What this node says of itself to the others. Dropping it ends that.
pub(super) struct Telling {
    task: JoinHandle<()>,
    is_draining: watch::Sender<bool>,
}

impl Telling {
    /// Stores it whenever it changes, at most once in `every`. Must be called inside an actix
    /// system.
    pub(super) fn start(
        parts: &Parts,
        registry: &Registry,
        tuner: &Tuner,
        every: Duration,
    ) -> Self {
        let (is_draining, drains) = watch::channel(false);
        let works = parts.role.works();
        let setup = NodeStatusSetup {
            nodes: parts.store.nodes(),
            live: parts.live.clone(),
            tuner: tuner.clone(),
            board: parts.board.clone(),
            is_draining: drains,
            role: parts.role,
            kinds: if works { registry.kind_names() } else { Vec::new() },
            every,
        };
        Self { task: actix_rt::spawn(tell_status(setup)), is_draining }
    }

    /// The daemon takes no more work.
    pub(super) fn drains(&self) {
        self.is_draining.send_replace(true);
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Deletes this node's row, so that other nodes know at once that it is gone and may reuse its id
/// slot.
pub(super) async fn leave(store: &Store, until: Instant) {
    match tokio::time::timeout_at(until, store.leave()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(%error, "this node could not say that it is gone: it is forgotten in an hour");
        }
        Err(_) => tracing::warn!("no time was left to say that this node is gone"),
    }
}

/// Warns if the database server may lose what it has committed.
pub(super) async fn warn_if_undurable(store: &Store) {
    match store.undurable().await {
        Ok(off) if off.is_empty() => {}
        Ok(off) => tracing::warn!(
            settings = off.join(", "),
            "the database server may lose what it has committed, and with it acknowledged webhooks"
        ),
        Err(error) => tracing::warn!(%error, "the durability of the database is not known"),
    }
}
