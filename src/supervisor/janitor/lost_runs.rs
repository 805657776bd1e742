//! Jobs that this node has claimed according to the database, and that it has lost track of.

use super::{JanitorSetup, attempted, rescue};
use crate::{
    domain::Id,
    store::{Orphan, Settlement, StoreError},
};
use std::collections::HashSet;
use tokio::time::Instant;

/// What the last check found.
#[derive(Clone, Debug, Default)]
pub(super) struct LostRuns {
    checked_at: Option<Instant>,
    /// The runs, as (job id, run), that this node had claimed according to the database, and did
    /// not have in memory.
    missing: HashSet<(Id, i64)>,
}

impl LostRuns {
    /// Once a lease, compares the runs that this node has claimed with those it has in memory.
    /// A run that is missing at two checks in a row is lost: the answer of its claim never came,
    /// or nobody recorded its outcome. It becomes a failed attempt, under its fence: if memory
    /// was wrong, nothing takes effect twice. A job that was born running and never started goes
    /// back without an attempt used: the answer of its commit was lost.
    pub(super) async fn settle_if_due(&mut self, setup: &JanitorSetup) {
        let lease = setup.config.get().supervisor.lease;
        if self.checked_at.is_some_and(|at| at.elapsed() < lease) {
            return;
        }
        let checked = self.settle(setup).await;
        if let Some(checked) = attempted("look for jobs that this node has lost track of", checked)
        {
            *self = checked;
        }
    }

    async fn settle(&self, setup: &JanitorSetup) -> Result<Self, StoreError> {
        // Find what is missing in memory.
        let checked_at = Some(Instant::now());
        let mut claimed = setup.queue.claimed_runs().await?;
        let key = |orphan: &Orphan| (orphan.settlement.job_id, orphan.settlement.run);
        // A job that starts now enters memory first, and is struck off this list then. So what is
        // neither here nor in memory has been started.
        let unstarted: HashSet<(Id, i64)> =
            claimed.iter().map(key).filter(|(id, run)| setup.unstarted.has(*id, *run)).collect();
        claimed.retain(|run| !setup.in_flight.has(run.settlement.job_id, run.settlement.run));
        setup.unstarted.checked(claimed.iter().map(|run| run.settlement.job_id));
        let (lost, new): (Vec<Orphan>, Vec<Orphan>) =
            claimed.into_iter().partition(|it| self.missing.contains(&key(it)));
        let (unstarted, lost): (Vec<Orphan>, Vec<Orphan>) =
            lost.into_iter().partition(|it| unstarted.contains(&key(it)));

        // Settle what was missing at the last check, too.
        if !unstarted.is_empty() {
            let count = rescue::release(setup, unstarted).await?;
            tracing::warn!(count, "jobs go back whose commit was not answered: they never started");
        }
        if !lost.is_empty() {
            let why = "its node lost track of it";
            let lost: Vec<Settlement> =
                lost.into_iter().map(|it| rescue::settlement(setup, it, why)).collect();
            let count = rescue::settle(setup, lost).await?;
            // If none was applied, all of them had ended meanwhile.
            if count > 0 {
                tracing::error!(
                    count,
                    "this node had lost track of jobs: they are failed attempts"
                );
            }
        }
        Ok(Self { checked_at, missing: new.iter().map(key).collect() })
    }
}
