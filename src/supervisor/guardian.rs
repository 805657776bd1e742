//! The guardian: starts the supervisor, and starts it again when it dies.
//!
//! It lives on the main thread and does nothing else, so that there is little in it to go wrong. A
//! supervisor that dies more often than restarts are allowed cannot be helped by another one: the guardian
//! says so, and the process ends for its service manager to start it anew.

use super::actor::{Supervisor, SupervisorPlan};
use crate::{
    domain::intensity::{Intensity, Limit},
    store::wall_clock,
    telemetry::board::{ActorType, Down, Fatal, Presence},
};
use actix::{Actor, ArbiterHandle, AsyncContext};
use std::{sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::Instant};

/// How often the guardian looks whether the supervisor is there and moves.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A supervisor that has not ticked for so long, beyond five ticks, is stalled.
const STALL_MARGIN: Duration = Duration::from_secs(1);

/// Watches the supervisor.
#[derive(Debug)]
pub struct Guardian {
    plan: Arc<SupervisorPlan>,
    arbiter: ArbiterHandle,
    downs: Option<mpsc::UnboundedReceiver<Down>>,
    supervisor: Option<actix::Addr<Supervisor>>,
    _presence: Presence,
    intensity: Intensity,
    started: Instant,
    is_stalled: bool,
}

/// Event: a supervisor went down, says the board.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
struct WentDown;

/// A message to oneself.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
struct Look;

impl Guardian {
    /// A guardian that starts supervisors by this plan on `arbiter`.
    pub fn new(
        plan: Arc<SupervisorPlan>,
        arbiter: ArbiterHandle,
        downs: mpsc::UnboundedReceiver<Down>,
    ) -> Self {
        let presence = plan.board.enter("guardian", ActorType::Guardian, "", wall_clock());
        Self {
            plan,
            arbiter,
            downs: Some(downs),
            supervisor: None,
            _presence: presence,
            intensity: Intensity::default(),
            started: Instant::now(),
            is_stalled: false,
        }
    }

    fn start_supervisor(&mut self) {
        let plan = self.plan.clone();
        let address = Supervisor::start_in_arbiter(&self.arbiter, move |_| Supervisor::new(plan));
        self.supervisor = Some(address);
    }

    fn went_down(&mut self) {
        self.plan.metrics.actor_restarted(ActorType::Supervisor.as_str());
        self.plan.board.restarted("supervisor");
        let limit = Limit::from(&self.plan.config.get().restart);
        if self.intensity.went_down(self.started.elapsed(), None, &limit) {
            tracing::error!(
                restarts = limit.max_restarts,
                window = ?limit.window,
                "the supervisor goes down again and again: the process gives up"
            );
            self.supervisor = None;
            self.plan.board.give_up(Fatal::Supervisor);
            return;
        }
        tracing::error!("the supervisor went down: another one takes over");
        self.start_supervisor();
    }

    fn look(&mut self) {
        let board = self.plan.board.clone();
        if board.is_draining() {
            return;
        }
        if self.supervisor.as_ref().is_some_and(|it| !it.connected()) {
            self.went_down();
            return;
        }
        let silent_ms = wall_clock().millis_since(board.ticked_at());
        let limit = self.plan.config.get().supervisor.tick * 5 + STALL_MARGIN;
        let is_stalled = self.started.elapsed() > limit
            && Duration::from_millis(u64::try_from(silent_ms).unwrap_or_default()) > limit;
        if is_stalled && !self.is_stalled {
            tracing::error!(silent_ms, "the supervisor does not tick");
        }
        self.is_stalled = is_stalled;
    }
}

impl Actor for Guardian {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.start_supervisor();
        if let Some(downs) = self.downs.take() {
            let stream = futures_util::stream::unfold(downs, |mut downs| async move {
                downs.recv().await.map(|_| (WentDown, downs))
            });
            ctx.add_message_stream(Box::pin(stream));
        }
        ctx.notify_later(Look, LOOK_EVERY);
    }
}

impl actix::Handler<WentDown> for Guardian {
    type Result = ();

    fn handle(&mut self, _: WentDown, ctx: &mut Self::Context) {
        /// A supervisor says that it goes down before its address is closed.
        const SOON: Duration = Duration::from_millis(1);
        match &self.supervisor {
            Some(it) if it.connected() => {
                ctx.run_later(SOON, |actor, _| {
                    if actor.supervisor.as_ref().is_some_and(|it| !it.connected()) {
                        actor.went_down();
                    }
                });
            }
            Some(_) => self.went_down(),
            None => {}
        }
    }
}

impl actix::Handler<Look> for Guardian {
    type Result = ();

    fn handle(&mut self, _: Look, ctx: &mut Self::Context) {
        self.look();
        ctx.notify_later(Look, LOOK_EVERY);
    }
}
