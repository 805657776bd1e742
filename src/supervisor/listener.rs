//! The listener: hears that other nodes have stored jobs, and wakes the supervisor.
//!
//! PostgreSQL only. It holds a connection of its own; without it, or where a pooler keeps notices away, heartbeats find
//! the jobs, so that what goes wrong here costs a heartbeat and is no fault of the actor.

use crate::{
    announcer::Announcer,
    domain::backoff::Backoff,
    ingest::Stored,
    store::{Notice, StoreError, Subscriber, wall_clock},
    telemetry::board::{ActorType, Board, Presence},
};
use actix::{ActorFutureExt, AsyncContext, WrapFuture};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// The pauses between attempts to listen.
const PAUSES: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(60) };

/// What the listener is made of.
#[derive(Clone, Debug)]
pub struct ListenerPlan {
    /// How to listen.
    pub subscriber: Subscriber,
    /// Who is woken.
    pub announcer: Announcer<Stored>,
    /// Whether notices arrive: else heartbeats look for jobs all the time.
    pub is_heard: Arc<AtomicBool>,
    /// Where it posts.
    pub board: Arc<Board>,
}

/// Listens.
#[derive(Debug)]
pub struct Listener {
    plan: ListenerPlan,
    presence: Presence,
    /// Attempts that failed in a row.
    failures: u32,
}

#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
struct Listen;

impl Listener {
    /// A listener by this plan.
    pub fn new(plan: ListenerPlan) -> Self {
        let presence =
            plan.board.enter("listener", ActorType::Listener, "supervisor", wall_clock());
        Self { plan, presence, failures: 0 }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.plan.is_heard.store(false, Ordering::Relaxed);
    }
}

impl actix::Actor for Listener {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.plan.board.faults().point("listener.started");
        ctx.notify(Listen);
    }
}

impl actix::Handler<Listen> for Listener {
    type Result = ();

    fn handle(&mut self, _: Listen, ctx: &mut Self::Context) {
        self.plan.board.faults().point("listener.handle");
        self.presence.post().busy(0, wall_clock());
        let plan = self.plan.clone();
        let listening = async move {
            let was_heard = plan.is_heard.clone();
            let error = listen(&plan).await;
            (was_heard.swap(false, Ordering::Relaxed), error)
        };
        ctx.spawn(listening.into_actor(self).map(|(was_heard, error), actor, ctx| {
            actor.failures = if was_heard { 0 } else { actor.failures.saturating_add(1) };
            match actor.failures {
                0 | 1 => tracing::warn!(%error, "no notices from other nodes: heartbeats look for jobs instead"),
                _ => tracing::debug!(%error, "still no notices from other nodes"),
            }
            actor.presence.post().idle(wall_clock());
            ctx.notify_later(Listen, PAUSES.pause(actor.failures.min(10), rand::random()));
        }));
    }
}

/// Listens until that fails.
async fn listen(plan: &ListenerPlan) -> StoreError {
    let mut listening = match plan.subscriber.listen().await {
        Ok(listening) => listening,
        Err(error) => return error,
    };
    plan.is_heard.store(true, Ordering::Relaxed);
    // What came before anybody listened is found now.
    wake(plan);
    loop {
        listening = match listening.next().await {
            Ok((listening, heard)) => {
                plan.board.faults().point("listener.heard");
                if heard == Notice::Jobs {
                    wake(plan);
                }
                listening
            }
            Err(error) => return error,
        };
    }
}

fn wake(plan: &ListenerPlan) {
    plan.announcer.announce(Stored { jobs: 1 });
}
