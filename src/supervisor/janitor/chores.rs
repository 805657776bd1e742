//! What one node does for all: the one that leads.

use super::JanitorPlan;
use crate::{
    domain::Id,
    store::{JobsPass, StoreError},
};

/// What is still to be done of this round.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rota {
    jobs: Option<JobsPass>,
    payloads: bool,
    others: bool,
}

/// Begins a round, or goes on with one: a batch of each chore, so that nobody waits long behind them. The nodes
/// that are `dead` are forgotten once they have been for long.
pub(super) async fn work(
    plan: &JanitorPlan,
    mut rota: Rota,
    begins_round: bool,
    dead: Vec<Id>,
) -> Result<Rota, StoreError> {
    let cfg = plan.config.get();
    if begins_round {
        rota = Rota { jobs: Some(JobsPass::default()), payloads: true, others: true };
        let swept = plan.queue.sweep().await?;
        if swept > 0 {
            tracing::warn!(count = swept, "lines without a head were found: there should be none");
        }
        plan.chores.recount_caps(cfg.caps()).await?;
        plan.chores.forget_nodes(dead).await?;
        plan.chores.fold_nodes().await?;
    }
    if let Some(mut pass) = rota.jobs {
        let pruned = plan.chores.prune_jobs(&mut pass, &cfg.retention).await?;
        if pruned > 0 {
            tracing::debug!(count = pruned, "jobs that ended long ago were pruned");
        }
        rota.jobs = Some(pass).filter(|it| !it.is_over);
    }
    if rota.payloads {
        rota.payloads = plan.chores.prune_payloads(cfg.retention.payloads).await?;
    }
    if rota.others {
        rota.others = plan.chores.prune_others(&cfg.retention).await?;
    }
    let log_bytes = plan.chores.checkpoint().await?;
    tracing::trace!(log_bytes, "looked after the database's log");
    Ok(rota)
}
