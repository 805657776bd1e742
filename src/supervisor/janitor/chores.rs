//! The chores that one node does for all: the leader.

use super::{CHORE_EVERY, ChoreTimer, JanitorSetup, attempted};
use crate::{
    domain::Id,
    store::{Pruning, wall_clock},
};
use std::time::Duration;
use tokio::time::Instant;

/// How long pruning may go on in one round. A batch of each table is pruned in any case.
const PRUNING_MAX: Duration = Duration::from_millis(200);

/// When each chore is due, and what is still to be pruned.
#[derive(Clone, Debug, Default)]
pub(super) struct LeaderChores {
    sweep: ChoreTimer,
    caps: ChoreTimer,
    clients: ChoreTimer,
    operations: ChoreTimer,
    /// The dead nodes whose operations were ended.
    ended_for: Vec<Id>,
    forget: ChoreTimer,
    fold: ChoreTimer,
    prune: ChoreTimer,
    /// Pruning left over from the last round.
    pruning: Pruning,
    checkpoint: ChoreTimer,
}

impl LeaderChores {
    /// Does the chores that are due. If one fails, the others go on, and it is tried again later.
    pub(super) async fn do_due(&mut self, setup: &JanitorSetup, dead: &[Id]) {
        let chores = &setup.chores;

        // Give a head to lines without one.
        let swept = self.sweep.run("sweep", setup.queue.sweep()).await;
        if let Some(count) = swept.filter(|count| *count > 0) {
            tracing::warn!(count, "lines without a head were found: there should be none");
        }

        // Correct the counts of capped clients.
        let corrected = self.caps.run("recount of caps", chores.recount_caps()).await;
        if let Some(count) = corrected.filter(|count| *count > 0) {
            tracing::info!(count, "the counts of capped clients were corrected");
        }

        // Hold the jobs of clients that no node knows.
        let hold = chores.hold_unknown_clients(dead.to_vec());
        let held = self.clients.run("look for jobs of unknown clients", hold).await;
        for client_id in held.unwrap_or_default() {
            tracing::warn!(
                client.id = client_id,
                "no node's configuration has this client: its jobs wait until one has"
            );
        }

        // End the operations of nodes that are gone: at once when another node is dead.
        if self.ended_for != dead {
            self.operations = ChoreTimer::default();
        }
        let fail = chores.fail_abandoned_operations(dead.to_vec());
        if let Some(failed) = self.operations.run("end operations of dead nodes", fail).await {
            self.ended_for = dead.to_vec();
            for id in failed {
                tracing::warn!(operation.id = id, "the node of an operation went down");
            }
        }

        // Remove nodes that have been dead for long, and merge their counts.
        self.forget.run("forget nodes", chores.forget_nodes(dead.to_vec())).await;
        self.fold.run("fold counts", chores.fold_nodes()).await;

        // Prune, over several rounds if there is much.
        let now = Instant::now();
        if self.prune.is_due(now) {
            self.pruning = Pruning::begin();
            self.prune.done(now, true);
            setup.board.prunes_at(wall_clock().plus(CHORE_EVERY));
        }
        if !self.pruning.is_over() {
            self.prune(setup).await;
        }

        self.checkpoint(setup).await;
    }

    async fn prune(&mut self, setup: &JanitorSetup) {
        let keep = setup.config.get().retention.clone();
        let pruned = setup.chores.prune(&mut self.pruning, &keep, PRUNING_MAX).await;
        if pruned.rows > 0 {
            tracing::debug!(count = pruned.rows, "what was kept for long enough was pruned");
        }
        for (what, error) in pruned.failures {
            tracing::warn!(what = what.as_str(), %error, "pruning failed: it goes on in the next round");
        }
    }

    /// Bounds the database's log. A check is cheap and the log grows fast, so it is done in each
    /// round; only a failure makes it pause.
    async fn checkpoint(&mut self, setup: &JanitorSetup) {
        let now = Instant::now();
        if !self.checkpoint.is_due(now) {
            return;
        }
        let log_bytes = attempted("checkpoint", setup.chores.checkpoint().await);
        if log_bytes.is_none() {
            self.checkpoint.done(now, false);
        }
        tracing::trace!(log_bytes, "looked after the database's log");
    }
}
