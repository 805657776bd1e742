//! The canary: a `SELF_CHECK` job that goes the whole way once a round.

use super::JanitorPlan;
use crate::{
    domain::{
        Id,
        job::{NewJob, SELF_CHECK, SYSTEM_CLIENT},
    },
    store::{StoreError, wall_clock},
};

/// The job that is out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Canary {
    /// The one that has not come back yet.
    out: Option<Id>,
}

/// Looks whether the canary has come back; when it is time, sends the next one.
pub(super) async fn fly(
    plan: &JanitorPlan,
    mut canary: Canary,
    is_due: bool,
) -> Result<Canary, StoreError> {
    if let Some(id) = canary.out
        && let Some((_, took)) = plan.feed.outcome(id).await?
    {
        plan.metrics.canary(took);
        plan.board.canary_returned(wall_clock(), took);
        canary.out = None;
    }
    if is_due && canary.out.is_none() && plan.kinds.contains(&SELF_CHECK) {
        let subject_id = plan.feed.next_id();
        let job = NewJob {
            kind: SELF_CHECK,
            client_id: SYSTEM_CLIENT.to_owned(),
            lead_id: None,
            subject_id,
            message_id: None,
            draft_id: None,
            max_attempts: 1,
            in_lead_line: false,
            delay_ms: 0,
        };
        canary.out = plan.feed.enqueue(vec![job]).await?.into_iter().flatten().next();
    }
    Ok(canary)
}
