//! What one node does for all: the one that leads.

use super::{JanitorPlan, Rounds, attempted};
use crate::{domain::Id, store::Pruning};
use std::time::Duration;
use tokio::time::Instant;

/// How long pruning may go on in one look. A batch of each table is pruned anyway.
const PRUNING_MAX: Duration = Duration::from_millis(200);

/// When each chore is due, and what is still to be pruned of this round.
#[derive(Clone, Debug, Default)]
pub(super) struct Rota {
    sweep: Rounds,
    caps: Rounds,
    clients: Rounds,
    forget: Rounds,
    fold: Rounds,
    prune: Rounds,
    checkpoint: Rounds,
    pruning: Pruning,
}

impl Rota {
    /// Does what is due. Each chore by itself: one that fails is tried again later, and the others
    /// go on. The nodes that are `dead` are forgotten once they have been for long.
    pub(super) async fn work(&mut self, plan: &JanitorPlan, dead: Vec<Id>) {
        let (now, chores) = (Instant::now(), &plan.chores);
        if self.sweep.is_due(now) {
            let swept = attempted("sweep", plan.queue.sweep().await);
            self.sweep.done(now, swept.is_some());
            if let Some(count) = swept.filter(|it| *it > 0) {
                tracing::warn!(count, "lines without a head were found: there should be none");
            }
        }
        if self.caps.is_due(now) {
            let corrected = attempted("recount of caps", chores.recount_caps().await);
            self.caps.done(now, corrected.is_some());
            if let Some(count) = corrected.filter(|it| *it > 0) {
                tracing::info!(count, "the counts of capped clients were corrected");
            }
        }
        if self.clients.is_due(now) {
            let rested = chores.rest_unknown_clients(dead.clone()).await;
            let rested = attempted("look for jobs of unknown clients", rested);
            self.clients.done(now, rested.is_some());
            for client_id in rested.unwrap_or_default() {
                tracing::warn!(
                    client.id = client_id,
                    "no node's configuration has this client: its jobs wait until one has"
                );
            }
        }
        if self.forget.is_due(now) {
            let forgotten = attempted("forget nodes", chores.forget_nodes(dead).await);
            self.forget.done(now, forgotten.is_some());
        }
        if self.fold.is_due(now) {
            let folded = attempted("fold counts", chores.fold_nodes().await);
            self.fold.done(now, folded.is_some());
        }
        if self.prune.is_due(now) {
            self.pruning = Pruning::begin();
            self.prune.done(now, true);
        }
        if !self.pruning.is_over() {
            self.prune(plan).await;
        }
        if self.checkpoint.is_due(now) {
            let log_bytes = attempted("checkpoint", chores.checkpoint().await);
            // Looking is cheap, and a log grows fast.
            if log_bytes.is_none() {
                self.checkpoint.done(now, false);
            }
            tracing::trace!(log_bytes, "looked after the database's log");
        }
    }

    async fn prune(&mut self, plan: &JanitorPlan) {
        let keep = plan.config.get().retention.clone();
        let pruned = plan.chores.prune(&mut self.pruning, &keep, PRUNING_MAX).await;
        if pruned.rows > 0 {
            tracing::debug!(count = pruned.rows, "what was kept for long enough was pruned");
        }
        for (what, error) in pruned.failures {
            tracing::warn!(what = what.as_str(), %error, "pruning failed: it goes on in the next round");
        }
    }
}
