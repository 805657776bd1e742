//! The guardian: starts the supervisor, and starts it again when it dies.
//!
//! It lives on the main thread and does nothing else, so that there is little in it to go wrong. A
//! supervisor that dies more often than restarts are allowed cannot be helped by another one, and one that
//! stands still, or an actor that keeps its thread, cannot be replaced: the guardian says so, and the process ends
//! for its service manager to start it anew.

use super::{
    actor::{Supervisor, SupervisorPlan},
    thread_watch::ThreadWatch,
};
use crate::{
    domain::{
        Timestamp,
        intensity::{Intensity, Limit},
    },
    store::wall_clock,
    telemetry::board::{ActorType, Down, Fatal, Presence},
};
use actix::{Actor, ArbiterHandle, AsyncContext};
use std::{sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::Instant};

/// How often the guardian looks whether the supervisor is there and moves.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A supervisor that has not ticked for five ticks and so many looks more is silent.
const SILENT_LOOKS_MARGIN: u32 = 1;
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
    turns: ThreadWatch,
    silence: TickWatch,
    /// How many supervisors were started.
    generation: u32,
}

/// Event: a supervisor went down, says the board.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
struct WentDown {
    /// Which one, once that is known: the one that lived when it was heard of.
    generation: Option<u32>,
    /// How often its address was found open all the same.
    looks: u32,
}

/// A supervisor says that it goes down before its address is closed: it is looked at so often, after 1, 2, 4, …
/// milliseconds. That takes some seconds, because nobody else looks while the daemon drains.
const LOOKS_MAX: u32 = 14;

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
        let turns = ThreadWatch::of(slots.chain([control]).chain(others));
        Self {
            plan,
            arbiter,
            turns,
            downs: Some(downs),
            supervisor: None,
            _presence: presence,
            intensity: Intensity::default(),
            started: Instant::now(),
            silence: TickWatch::default(),
            generation: 0,
        }
    }

    fn start_supervisor(&mut self) {
        let plan = self.plan.clone();
        let address = Supervisor::start_in_arbiter(&self.arbiter, move |_| Supervisor::new(plan));
        self.supervisor = Some(address);
        self.generation += 1;
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
        if self.plan.board.is_draining() {
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
        let ticks = (self.plan.config.get().supervisor.tick * 5).div_duration_f64(LOOK_EVERY);
        let limit = ticks.ceil() as u32 + SILENT_LOOKS_MARGIN;
        let looks = self.silence.look(self.plan.board.ticked_at());
        if looks == limit {
            tracing::error!(looks, "the supervisor does not tick");
        }
        if looks >= limit + STALLED_LOOKS_MAX {
            tracing::error!(looks, "the supervisor stands still: the process ends");
            return true;
        }
        false
    }
}

/// For how many looks the supervisor has not ticked. They are counted, and no clock is read: after the machine was
/// suspended, or its clock set, nobody is silent yet.
#[derive(Debug, Default)]
struct TickWatch {
    ticked_at: Option<Timestamp>,
    looks: u32,
}

impl TickWatch {
    /// One look more; 0 where it has ticked since the last.
    fn look(&mut self, ticked_at: Timestamp) -> u32 {
        let has_moved = self.ticked_at.replace(ticked_at) != Some(ticked_at);
        self.looks = if has_moved { 0 } else { self.looks + 1 };
        self.looks
    }
}

impl Actor for Guardian {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.start_supervisor();
        if let Some(downs) = self.downs.take() {
            let stream = futures_util::stream::unfold(downs, |mut downs| async move {
                downs.recv().await.map(|_| (WentDown { generation: None, looks: 0 }, downs))
            });
            ctx.add_message_stream(Box::pin(stream));
        }
        ctx.notify_later(Look, LOOK_EVERY);
    }
}

impl actix::Handler<WentDown> for Guardian {
    type Result = ();

    fn handle(&mut self, WentDown { generation, looks }: WentDown, ctx: &mut Self::Context) {
        let generation = generation.unwrap_or(self.generation);
        if generation != self.generation {
            return;
        }
        match &self.supervisor {
            Some(it) if it.connected() && looks < LOOKS_MAX => {
                let again = WentDown { generation: Some(generation), looks: looks + 1 };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_looks_without_a_tick_between_them_count() {
        let mut silence = TickWatch::default();
        let looks = [0, 0, 7, 7, 7, 3_600_000, 3_600_000]
            .map(|ms| silence.look(Timestamp::from_millis(ms)));
        assert_eq!(looks, [0, 1, 0, 1, 2, 0, 1]);
    }
}
