//! Jobs of dead nodes.

use super::{ChoreTimer, JanitorSetup, attempted};
use crate::{
    domain::{Id, job::FailureReason},
    ingest::Stored,
    store::{Orphan, Settlement, StoreError, Transition},
    supervisor::attempt,
};
use std::{collections::HashSet, sync::Arc};
use tokio::time::Instant;

/// Whose jobs are rescued already, and when jobs of unknown nodes are looked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Rescuer {
    /// For jobs of nodes without a row, which no heartbeat reports.
    timer: ChoreTimer,
    /// The dead nodes whose jobs are all rescued.
    rescued: HashSet<Id>,
}

impl Rescuer {
    /// Rescues the jobs of dead nodes as soon as the heartbeats report one, and those of nodes
    /// without a row once a minute.
    pub(super) async fn rescue_if_due(&mut self, setup: &JanitorSetup, dead: &[Id]) {
        // See whether there is something to do. A node that is alive again may die again.
        self.rescued.retain(|node| dead.contains(node));
        let is_news = dead.iter().any(|node| !self.rescued.contains(node));
        let now = Instant::now();
        let is_due = self.timer.is_due(now) && !setup.membership.is_alone();
        if !is_news && !is_due {
            return;
        }

        // Rescue.
        let rescued = attempted("rescue jobs", rescue(setup, dead.to_vec()).await);
        let Rescued { count, is_over } = rescued.unwrap_or_default();
        self.timer.done(now, is_over);
        if is_over {
            self.rescued.extend(dead.iter().copied());
        }
        if count == 0 {
            return;
        }

        // Wake the supervisor.
        tracing::warn!(count, "jobs of dead nodes were rescued");
        setup.announcer.announce(Stored { jobs: count });
    }
}

/// The result of a rescue. By default: nothing was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rescued {
    /// How many jobs were rescued.
    pub count: usize,
    /// Nothing was left. False if another node was faster with some jobs: if that node dies, too,
    /// there may be more to do.
    pub is_over: bool,
}

/// Rescues all jobs claimed by the `dead` nodes, and by nodes without a row. Each rescue is a
/// failed attempt: the job is retried or ends. The run stays used, and the rescue adds none.
///
/// # Errors
/// When the database is away; what was rescued before stays rescued.
pub async fn rescue(setup: &JanitorSetup, dead: Vec<Id>) -> Result<Rescued, StoreError> {
    let mut rescued = Rescued::default();
    loop {
        let orphans = setup.queue.orphans(dead.clone(), &setup.kinds).await?;
        if orphans.is_empty() {
            return Ok(Rescued { is_over: true, ..rescued });
        }
        let of = |orphan: Orphan| {
            let node = orphan.settlement.node.unwrap_or_default();
            settlement(setup, orphan, &format!("its node {node} fell silent"))
        };
        let count = settle(setup, orphans.into_iter().map(of).collect()).await?;
        rescued.count += count;
        if count == 0 {
            return Ok(rescued);
        }
    }
}

/// Releases them: they never started, so no attempt is used. Returns how many were still claimed.
pub(super) async fn release(
    setup: &JanitorSetup,
    orphans: Vec<Orphan>,
) -> Result<usize, StoreError> {
    let release = |it: Orphan| Settlement { transition: Transition::Release, ..it.settlement };
    let settlements: Vec<Settlement> = orphans.into_iter().map(release).collect();
    let applied = setup.ledger.settle(settlements.into()).await?;
    let count = applied.iter().filter(|is_applied| **is_applied).count();
    // They are due at once.
    setup.announcer.announce(Stored { jobs: count });
    Ok(count)
}

/// Settles them. Returns how many were still claimed; the others have ended meanwhile.
pub(super) async fn settle(
    setup: &JanitorSetup,
    settlements: Vec<Settlement>,
) -> Result<usize, StoreError> {
    let settlements: Arc<[Settlement]> = settlements.into();
    let applied = setup.ledger.settle(settlements.clone()).await?;
    let mut count = 0;
    for (settlement, _) in settlements.iter().zip(applied).filter(|(_, is_applied)| *is_applied) {
        setup.metrics.attempt_ended(&settlement.kind, settlement.transition.word());
        count += 1;
    }
    setup.metrics.jobs_rescued(count);
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// The job of a node that does not work on it any more: a failed attempt.
pub(super) fn settlement(setup: &JanitorSetup, orphan: Orphan, error: &str) -> Settlement {
    let config = setup.config.get().pools.of(&orphan.settlement.kind);
    let transition = attempt::failed(
        FailureReason::Rescued,
        error,
        orphan.attempt,
        orphan.max_attempts,
        config,
        rand::random(),
    );
    Settlement { transition, ..orphan.settlement }
}
