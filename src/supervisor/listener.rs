//! The listener: hears that other nodes have stored jobs, and wakes the supervisor.
//!
//! PostgreSQL only. It holds a connection of its own. Without that connection, or if a pooler
//! keeps notices away, heartbeats find the jobs: a failure here delays jobs by a heartbeat and
//! does not end the actor.

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

/// The parts from which the listener is made.
#[derive(Clone, Debug)]
pub struct ListenerSetup {
    /// Subscribes to the notices of other nodes.
    pub subscriber: Subscriber,
    /// Tells the supervisor of jobs that other nodes stored.
    pub announcer: Announcer<Stored>,
    /// True while notices arrive. Otherwise heartbeats look for jobs.
    pub is_heard: Arc<AtomicBool>,
    /// The board on which it posts its state.
    pub board: Arc<Board>,
}

/// Listens for notices of other nodes.
#[derive(Debug)]
pub struct Listener {
    setup: ListenerSetup,
    presence: Presence,
    /// Attempts that failed in a row.
    failures: u32,
}

/// A message to oneself: subscribe, and hear notices until that fails.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
struct Listen;

impl Listener {
    /// A listener by this setup.
    pub fn new(setup: ListenerSetup) -> Self {
        let presence =
            setup.board.enter("listener", ActorType::Listener, "supervisor", wall_clock());
        Self { setup, presence, failures: 0 }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.setup.is_heard.store(false, Ordering::Relaxed);
    }
}

impl actix::Actor for Listener {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.setup.board.faults().point("listener.started");
        ctx.notify(Listen);
    }
}

impl actix::Handler<Listen> for Listener {
    type Result = ();

    fn handle(&mut self, _: Listen, ctx: &mut Self::Context) {
        self.setup.board.faults().point("listener.handle");
        self.presence.post().busy(0, wall_clock());
        let setup = self.setup.clone();
        let listening = async move {
            let error = listen(&setup).await;
            (setup.is_heard.swap(false, Ordering::Relaxed), error)
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

/// Listens until that fails, and returns why.
async fn listen(setup: &ListenerSetup) -> StoreError {
    let mut subscription = match setup.subscriber.listen().await {
        Ok(subscription) => subscription,
        Err(error) => return error,
    };
    setup.is_heard.store(true, Ordering::Relaxed);
    // Find the jobs that were stored before the subscription.
    wake(setup);
    loop {
        subscription = match subscription.next().await {
            Ok((subscription, notice)) => {
                setup.board.faults().point("listener.heard");
                if notice == Notice::Jobs {
                    wake(setup);
                }
                subscription
            }
            Err(error) => return error,
        };
    }
}

fn wake(setup: &ListenerSetup) {
    setup.announcer.announce(Stored { jobs: 1 });
}
