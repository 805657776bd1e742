//! The guardian: starts the supervisor, and starts it again when it dies.
//!
//! It lives on the main thread and does nothing else, so there is little in it that can go wrong.
//! If supervisors die more often than restarts are allowed, another one would not help. A
//! supervisor that stands still, or an actor that keeps its thread, cannot be replaced. In both
//! cases the guardian gives up, and the process ends so that its service manager starts it again.

use super::{
    actor::{Supervisor, SupervisorSetup},
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

/// How often the guardian checks whether the supervisor is there and ticks.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// Checks beyond five ticks until a supervisor that does not tick counts as silent.
const SILENT_CHECKS_MARGIN: u32 = 1;
/// Consecutive checks with a silent supervisor, or a thread that gave no sign of life, until the
/// process is ended.
const STALLED_CHECKS_MAX: u32 = 15;

/// Watches the supervisor, and starts another when it dies.
#[derive(Debug)]
pub struct Guardian {
    setup: Arc<SupervisorSetup>,
    /// The thread on which supervisors run.
    arbiter: ArbiterHandle,
    /// Reports of supervisors that went down; taken when the guardian starts.
    downs: Option<mpsc::UnboundedReceiver<Down>>,
    /// The supervisor that was started last; `None` once the guardian has given up.
    supervisor: Option<actix::Addr<Supervisor>>,
    _presence: Presence,
    intensity: Intensity,
    /// The start of the clock of `intensity`.
    started: Instant,
    threads: ThreadWatch,
    ticks: TickWatch,
    /// The `supervisor.tick` under which `ticks` counts.
    watched_tick: Duration,
    /// How many supervisors were started.
    generation: u32,
}

/// Event: the board reports that a supervisor went down.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
struct SupervisorDown {
    /// Which one: the one that lived when the report came. `None` in the report itself.
    generation: Option<u32>,
    /// How often its address was found open all the same.
    checks: u32,
}

/// The board hears of a death before the supervisor's address closes, so it is checked again up
/// to this many times, after 1, 2, 4, … ms. That takes some seconds, because while the daemon
/// drains nothing else checks the supervisor.
const CHECKS_MAX: u32 = 14;

/// A message to oneself: check the supervisor and the threads.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
struct CheckNow;

impl Guardian {
    /// A guardian that starts supervisors by this setup on `arbiter`. It watches the threads on
    /// which actors live: `arbiter`, those of `setup`, and `others`, each with a name for the
    /// log.
    pub fn new(
        setup: Arc<SupervisorSetup>,
        arbiter: ArbiterHandle,
        others: Vec<(String, ArbiterHandle)>,
        downs: mpsc::UnboundedReceiver<Down>,
    ) -> Self {
        let presence = setup.board.enter("guardian", ActorType::Guardian, "", wall_clock());
        let slots = setup.arbiters.iter().enumerate();
        let slots = slots.map(|(number, arbiter)| (format!("slots/{number}"), arbiter.clone()));
        let control = ("control".to_owned(), arbiter.clone());
        let threads = ThreadWatch::of(slots.chain([control]).chain(others));
        Self {
            setup,
            arbiter,
            threads,
            downs: Some(downs),
            supervisor: None,
            _presence: presence,
            intensity: Intensity::default(),
            started: Instant::now(),
            ticks: TickWatch::default(),
            watched_tick: Duration::ZERO,
            generation: 0,
        }
    }

    fn start_supervisor(&mut self) {
        let setup = self.setup.clone();
        let address = Supervisor::start_in_arbiter(&self.arbiter, move |_| Supervisor::new(setup));
        self.supervisor = Some(address);
        self.generation += 1;
    }

    fn went_down(&mut self) {
        self.setup.metrics.actor_restarted(ActorType::Supervisor.as_str());
        self.setup.board.restarted("supervisor");
        let limit = Limit::from(&self.setup.config.get().restart);
        if self.intensity.went_down(self.started.elapsed(), None, &limit) {
            tracing::error!(
                restarts = limit.max_restarts,
                window = ?limit.window,
                "the supervisor keeps going down: the process gives up"
            );
            self.supervisor = None;
            self.setup.board.give_up(Fatal::Supervisor);
            return;
        }
        tracing::error!("the supervisor went down: another one takes over");
        self.start_supervisor();
    }

    fn check(&mut self) {
        self.setup.board.faults().point("guardian.check");
        if self.setup.board.is_draining() {
            return;
        }
        if self.supervisor.as_ref().is_some_and(|it| !it.connected()) {
            self.went_down();
            return;
        }
        if self.is_stalled() {
            self.setup.board.give_up(Fatal::Stalled);
        } else if self.threads.all_move() && self.ticks.checks < self.silent_checks() {
            self.setup.board.all_move();
        }
    }

    /// After this many checks without a tick, the supervisor counts as silent.
    fn silent_checks(&self) -> u32 {
        let ticks = (self.setup.config.get().supervisor.tick * 5).div_duration_f64(CHECK_EVERY);
        ticks.ceil() as u32 + SILENT_CHECKS_MARGIN
    }

    /// Whether a thread of actors, or the supervisor, has stood still for so long that the
    /// process ends.
    fn is_stalled(&mut self) -> bool {
        if let Some(thread) = self.threads.check(STALLED_CHECKS_MAX) {
            tracing::error!(thread, "an actor keeps its thread and never yields: the process ends");
            return true;
        }
        let tick = self.setup.config.get().supervisor.tick;
        if std::mem::replace(&mut self.watched_tick, tick) != tick {
            // Silence that was allowed under a longer tick does not count under a shorter one.
            self.ticks = TickWatch::default();
        }
        let limit = self.silent_checks();
        let checks = self.ticks.check(self.setup.board.ticked_at());
        if checks == limit {
            tracing::error!(checks, "the supervisor does not tick");
        }
        if checks >= limit + STALLED_CHECKS_MAX {
            tracing::error!(checks, "the supervisor stands still: the process ends");
            return true;
        }
        false
    }
}

/// For how many checks the supervisor has not ticked. Checks are counted and no clock is read, so
/// a machine that was suspended, or whose clock was set, makes nobody silent.
#[derive(Debug, Default)]
struct TickWatch {
    /// The last tick that was seen.
    ticked_at: Option<Timestamp>,
    /// Consecutive checks without a tick.
    checks: u32,
}

impl TickWatch {
    /// Returns the number of consecutive checks without a tick, this one included; 0 if the
    /// supervisor has ticked since the last.
    fn check(&mut self, ticked_at: Timestamp) -> u32 {
        let has_moved = self.ticked_at.replace(ticked_at) != Some(ticked_at);
        self.checks = if has_moved { 0 } else { self.checks + 1 };
        self.checks
    }
}

impl Actor for Guardian {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.start_supervisor();
        if let Some(downs) = self.downs.take() {
            let stream = futures_util::stream::unfold(downs, |mut downs| async move {
                downs.recv().await.map(|_| (SupervisorDown { generation: None, checks: 0 }, downs))
            });
            ctx.add_message_stream(Box::pin(stream));
        }
        ctx.notify_later(CheckNow, CHECK_EVERY);
    }
}

impl actix::Handler<SupervisorDown> for Guardian {
    type Result = ();

    fn handle(&mut self, down: SupervisorDown, ctx: &mut Self::Context) {
        let SupervisorDown { generation, checks } = down;
        let generation = generation.unwrap_or(self.generation);
        if generation != self.generation {
            return;
        }
        match &self.supervisor {
            Some(address) if address.connected() && checks < CHECKS_MAX => {
                let again = SupervisorDown { generation: Some(generation), checks: checks + 1 };
                ctx.notify_later(again, Duration::from_millis(1 << checks));
            }
            Some(address) if !address.connected() => self.went_down(),
            Some(_) | None => {}
        }
    }
}

impl actix::Handler<CheckNow> for Guardian {
    type Result = ();

    fn handle(&mut self, _: CheckNow, ctx: &mut Self::Context) {
        self.check();
        ctx.notify_later(CheckNow, CHECK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_checks_without_a_tick_between_them_count() {
        let mut watch = TickWatch::default();
        let checks =
            [0, 0, 7, 7, 7, 3_600_000, 3_600_000].map(|ms| watch.check(Timestamp::from_millis(ms)));
        assert_eq!(checks, [0, 1, 0, 1, 2, 0, 1]);
    }
}
