//! The canary: a `SELF_CHECK` job that goes the whole way once a round.

use super::{JanitorPlan, Rounds, attempted};
use crate::{
    domain::{
        Id,
        job::{NewJob, SELF_CHECK, SYSTEM_CLIENT},
    },
    store::wall_clock,
};
use tokio::time::Instant;

/// The job that is out, and when the next is due.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Canary {
    /// The one that has not come back yet.
    out: Option<Id>,
    rounds: Rounds,
}

impl Canary {
    /// Looks whether the canary has come back; when it is time, sends the next one.
    pub(super) async fn fly(&mut self, plan: &JanitorPlan) {
        if let Some(id) = self.out {
            let outcome = attempted("look for the canary", plan.enqueuer.outcome(id).await);
            if let Some((_, took)) = outcome.flatten() {
                plan.metrics.canary(took);
                plan.board.canary_returned(wall_clock(), took);
                self.out = None;
            }
        }
        let now = Instant::now();
        if self.rounds.is_due(now) && self.out.is_none() && plan.kinds.contains(&SELF_CHECK) {
            let job = NewJob {
                kind: SELF_CHECK,
                client_id: SYSTEM_CLIENT.to_owned(),
                lead_id: None,
                subject_id: plan.enqueuer.next_id(),
                message_id: None,
                draft_id: None,
                max_attempts: 1,
                in_lead_line: false,
                delay_ms: 0,
            };
            let sent = attempted("send the canary", plan.enqueuer.enqueue(vec![job]).await);
            // Where the answer was lost, one may be out of which nothing is known: the next comes
            // after a pause.
            self.rounds.done(now, sent.is_some());
            self.out = sent.into_iter().flatten().flatten().next();
        }
    }
}
