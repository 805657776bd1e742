//! The canary: a `SELF_CHECK` job that goes the whole way from time to time, to see that jobs
//! run.

use super::{ChoreTimer, JanitorSetup, attempted};
use crate::{
    domain::{
        Id,
        job::{NewJob, SELF_CHECK, SYSTEM_CLIENT},
    },
    store::wall_clock,
};
use tokio::time::Instant;

/// The canary that is under way, and when the next is due.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Canary {
    /// The job that has not ended yet.
    under_way: Option<Id>,
    timer: ChoreTimer,
}

impl Canary {
    /// Checks whether the canary has ended, and sends the next one if it is due.
    pub(super) async fn send_if_due(&mut self, setup: &JanitorSetup) {
        // See whether the last one has ended.
        if let Some(id) = self.under_way {
            let outcome = attempted("look for the canary", setup.enqueuer.outcome(id).await);
            if let Some((_, took)) = outcome.flatten() {
                let now = wall_clock();
                setup.metrics.canary(now, took);
                setup.board.canary_returned(now, took);
                self.under_way = None;
            }
        }

        // Send the next one.
        let now = Instant::now();
        if self.timer.is_due(now) && self.under_way.is_none() && setup.kinds.contains(&SELF_CHECK) {
            let job = NewJob {
                kind: SELF_CHECK,
                client_id: SYSTEM_CLIENT.to_owned(),
                lead_id: None,
                subject_id: setup.enqueuer.next_id(),
                message_id: None,
                draft_id: None,
                max_attempts: 1,
                in_lead_line: false,
                channel: None,
                delay_ms: 0,
                trace: None,
            };
            let sent = attempted("send the canary", setup.enqueuer.enqueue(vec![job]).await);
            // If the answer was lost, a canary may be under way that is unknown here: the next
            // one comes after a pause.
            self.timer.done(now, sent.is_some());
            self.under_way = sent.into_iter().flatten().flatten().next();
        }
    }
}
