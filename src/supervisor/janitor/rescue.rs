//! Jobs that nobody works: of nodes that are dead, and those of which this one has lost track.

use super::JanitorPlan;
use crate::{
    domain::{Id, job::FailureReason},
    store::{Orphan, Settlement, StoreError},
    supervisor::attempt,
};
use std::{collections::HashSet, sync::Arc};
use tokio::time::Instant;

/// The runs that the database says this node holds and that it did not have in memory at the last look,
/// which was then.
#[derive(Clone, Debug, Default)]
pub(super) struct Astray {
    looked_at: Option<Instant>,
    runs: HashSet<(Id, i64)>,
}

/// Once a lease, compares what the database says this node holds with what it has in memory. A run that is
/// missing twice running is lost: a claim whose answer never came, or an outcome that nobody recorded. It is
/// a failed attempt, under its fence: where memory was wrong, nothing is run twice to effect.
pub(super) async fn find_astray(plan: &JanitorPlan, before: Astray) -> Result<Astray, StoreError> {
    let lease = plan.config.get().supervisor.lease;
    if before.looked_at.is_some_and(|it| it.elapsed() < lease) {
        return Ok(before);
    }
    let looked_at = Some(Instant::now());
    let mut held = plan.queue.held().await?;
    held.retain(|it| !plan.in_flight.has(it.settlement.job_id, it.settlement.run));
    let (lost, new): (Vec<Orphan>, Vec<Orphan>) = held
        .into_iter()
        .partition(|it| before.runs.contains(&(it.settlement.job_id, it.settlement.run)));
    if !lost.is_empty() {
        let lost: Vec<Settlement> =
            lost.into_iter().map(|it| settle(plan, it, "its node lost track of it")).collect();
        let count = settle_all(plan, lost).await?;
        // Where none was held any more, they had ended meanwhile.
        if count > 0 {
            tracing::error!(count, "this node had lost track of jobs: they are failed attempts");
        }
    }
    let runs = new.iter().map(|it| (it.settlement.job_id, it.settlement.run)).collect();
    Ok(Astray { looked_at, runs })
}

/// What a rescue came to. By default: nothing was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rescued {
    /// How many jobs.
    pub count: usize,
    /// Nothing was left. False where another node was faster with some of them: should it die, too,
    /// there may be more to do.
    pub is_over: bool,
}

/// Rescues all jobs that nodes without a row, or the dead ones named, hold: a failed attempt each, then
/// retry or end. The run stays used, the rescue adds none.
///
/// # Errors
/// When the database is away; what was rescued before stays rescued.
pub async fn rescue(plan: &JanitorPlan, dead: Vec<Id>) -> Result<Rescued, StoreError> {
    let mut rescued = Rescued::default();
    loop {
        // About kinds that this process does not know it decides nothing.
        let known = plan.queue.orphans(dead.clone(), &plan.kinds).await?;
        if known.is_empty() {
            return Ok(Rescued { is_over: true, ..rescued });
        }
        let settle = |it: Orphan| {
            let node = it.settlement.node.unwrap_or_default();
            settle(plan, it, &format!("its node {node} fell silent"))
        };
        let settlements: Vec<Settlement> = known.into_iter().map(settle).collect();
        let count = settle_all(plan, settlements).await?;
        rescued.count += count;
        if count == 0 {
            return Ok(rescued);
        }
    }
}

/// Settles them, and counts those that were still held; returns how many.
async fn settle_all(plan: &JanitorPlan, settlements: Vec<Settlement>) -> Result<usize, StoreError> {
    let settlements: Arc<[Settlement]> = settlements.into();
    let held = plan.ledger.settle(settlements.clone()).await?;
    let settled = settlements.iter().zip(held).filter(|(_, held)| *held);
    let mut count = 0;
    for (it, _) in settled {
        plan.metrics.attempt_ended(&it.kind, it.transition.word());
        count += 1;
    }
    plan.metrics.jobs_rescued(count);
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

fn settle(plan: &JanitorPlan, orphan: Orphan, error: &str) -> Settlement {
    let pool = plan.config.get().pools.of(&orphan.settlement.kind);
    let transition = attempt::failed(
        FailureReason::Rescued,
        error,
        orphan.attempt,
        orphan.max_attempts,
        pool,
        rand::random(),
    );
    Settlement { transition, ..orphan.settlement }
}
