//! The guardian: starts the supervisor, and starts it again when it dies.
//!
//! It lives on the main thread and does nothing else, so that there is little in it to go wrong. A
//! supervisor that dies more often than restarts are allowed cannot be helped by another one, and one that
//! stands still, or an actor that keeps its thread, cannot be replaced: the guardian says so, and the process ends
//! for its service manager to start it anew.

use super::{
    actor::{Supervisor, SupervisorPlan},
    turns::Turns,
};
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
/// After so many looks in a row at which it was, or at which a thread had not turned, nothing is hoped for any more.
const STALLED_LOOKS_MAX: u32 = 15;

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
    turns: Turns,
    /// The looks in a row at which the supervisor was stalled.
    stalled_looks: u32,
}

/// Event: a supervisor went down, says the board.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
struct WentDown {
    /// How often its address was found open all the same.
    looks: u32,
}

/// A supervisor says that it goes down before its address is closed: it is looked at so often, after 1, 2, 4, …
/// milliseconds. That takes some seconds, because nobody else looks while the daemon drains.
const LOOKS_MAX: u32 = 12;

/// A message to oneself.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
struct Look;

impl Guardian {
    /// A guardian that starts supervisors by this plan on `arbiter`, and watches the threads on which other actors
    /// live besides: those of `plan`, and these, by name.
    pub fn new(
        plan: Arc<SupervisorPlan>,
        arbiter: ArbiterHandle,
        others: Vec<(String, ArbiterHandle)>,
        downs: mpsc::UnboundedReceiver<Down>,
    ) -> Self {
        let presence = plan.board.enter("guardian", ActorType::Guardian, "", wall_clock());
        let slots = plan.arbiters.iter().enumerate();
        let slots = slots.map(|(number, it)| (format!("slots/{number}"), it.clone()));
        let control = ("control".to_owned(), arbiter.clone());
        let turns = Turns::of(slots.chain([control]).chain(others));
        Self {
            plan,
            arbiter,
            turns,
            downs: Some(downs),
            supervisor: None,
            _presence: presence,
            intensity: Intensity::default(),
            started: Instant::now(),
            stalled_looks: 0,
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
        if self.is_stalled() {
            self.plan.board.give_up(Fatal::Stalled);
        }
    }

    /// Whether a thread of actors, or the supervisor, stands still and cannot be expected to go on.
    fn is_stalled(&mut self) -> bool {
        if let Some(thread) = self.turns.look(STALLED_LOOKS_MAX) {
            tracing::error!(thread, "an actor keeps its thread and never yields: the process ends");
            return true;
        }
        let silent_ms = wall_clock().millis_since(self.plan.board.ticked_at());
        let limit = self.plan.config.get().supervisor.tick * 5 + STALL_MARGIN;
        let is_silent = self.started.elapsed() > limit
            && Duration::from_millis(u64::try_from(silent_ms).unwrap_or_default()) > limit;
        self.stalled_looks = if is_silent { self.stalled_looks + 1 } else { 0 };
        if self.stalled_looks == 1 {
            tracing::error!(silent_ms, "the supervisor does not tick");
        }
        if self.stalled_looks >= STALLED_LOOKS_MAX {
            tracing::error!(silent_ms, "the supervisor stands still: the process ends");
            return true;
        }
        false
    }
}

impl Actor for Guardian {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.start_supervisor();
        if let Some(downs) = self.downs.take() {
            let stream = futures_util::stream::unfold(downs, |mut downs| async move {
                downs.recv().await.map(|_| (WentDown { looks: 0 }, downs))
            });
            ctx.add_message_stream(Box::pin(stream));
        }
        ctx.notify_later(Look, LOOK_EVERY);
    }
}

impl actix::Handler<WentDown> for Guardian {
    type Result = ();

    fn handle(&mut self, WentDown { looks }: WentDown, ctx: &mut Self::Context) {
        match &self.supervisor {
            Some(it) if it.connected() && looks < LOOKS_MAX => {
                let again = WentDown { looks: looks + 1 };
                ctx.notify_later(again, Duration::from_millis(1 << looks));
            }
            Some(it) if !it.connected() => self.went_down(),
            Some(_) | None => {}
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
