//! The drain: the supervisor claims nothing more, gives back what was not started, and waits for
//! what runs, until a deadline.

use super::{actor::Supervisor, attempt};
use actix::{ActorContext, AsyncContext};
use std::time::Duration;
use tokio::{sync::oneshot, time::Instant};

/// How often the drain checks whether the last job has ended.
const CHECK_EVERY: Duration = Duration::from_millis(10);

/// Command: claim nothing more, give back what was not started, let the running jobs finish until
/// the deadline, and answer once all of it is with the recorder.
#[derive(actix::Message, Debug)]
#[rtype(result = "()")]
pub struct Drain {
    /// How long running jobs may take.
    pub within: Duration,
    /// Told when the drain is over.
    pub done: oneshot::Sender<()>,
}

/// A drain that is under way.
pub(super) struct Draining {
    until: Instant,
    /// Told when the drain is over; then `None`.
    done: Option<oneshot::Sender<()>>,
}

/// A message to oneself: check whether the drain is over.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
struct CheckDrain;

impl actix::Handler<Drain> for Supervisor {
    type Result = ();

    fn handle(&mut self, drain: Drain, ctx: &mut Self::Context) {
        self.claiming.close();
        for pool in &self.pools {
            self.give_back(pool.setup().waiting.close());
        }
        let until = Instant::now() + drain.within;
        self.draining = Some(Draining { until, done: Some(drain.done) });
        ctx.notify(CheckDrain);
    }
}

impl actix::Handler<CheckDrain> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: CheckDrain, ctx: &mut Self::Context) {
        self.setup.board.faults().point("supervisor.drain");
        let Some(draining) = &mut self.draining else { return };

        // Wait for running jobs until the deadline. A claim that is under way, and a commit that
        // has borrowed slots, are always waited for: they bring jobs that have to go back, and they
        // end in bounded time.
        let is_late = Instant::now() >= draining.until;
        let is_busy = self.pools.iter().any(|pool| pool.slots.busy() > 0) && !is_late;
        let has_lent = self.pools.iter().any(|pool| pool.setup().waiting.has_lent());
        if is_busy || has_lent || self.setup.handover.is_claim_under_way() {
            ctx.notify_later(CheckDrain, CHECK_EVERY);
            return;
        }

        // Cut off what still runs, and stop.
        let done = draining.done.take();
        for pool in &self.pools {
            for (slot, claimed) in pool.slots.take_all_current() {
                attempt::cut_off(pool.setup(), claimed, pool.setup().slot_name(slot));
            }
        }
        if done.is_some_and(|done| done.send(()).is_err()) {
            tracing::debug!("nobody waits for the drain any more");
        }
        self.presence.leave();
        ctx.stop();
    }
}
