//! Which actors are started again, and when.
//!
//! An actor is down if its address is closed. A report of the board is only a hint to check at
//! once: the tick checks all actors anyway, and also finds slots that have been silent for longer
//! than their time-outs allow. The pauses before restarts are kept in the pools and in
//! [`Supervised`], so a new supervisor knows them, too.

use super::{actor::Supervisor, attempt, pool::Pool, pool_slots::SlotHealth, work};
use crate::{
    config,
    domain::intensity::{Intensity, Limit, Streak},
    store::wall_clock,
    telemetry::board::{ActorType, Down, Fatal},
};
use actix::{ArbiterHandle, AsyncContext};
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::Instant;

/// Whether an actor that was started lives.
type IsAlive = Box<dyn Fn() -> bool + Send + Sync>;

/// An actor that the supervisor owns, other than slots.
#[derive(Clone)]
pub struct Child {
    name: String,
    kind: ActorType,
    start: Arc<dyn Fn() -> IsAlive + Send + Sync>,
}

impl Child {
    /// A child of this name and type that lives on `arbiter`. `make` makes the actor and each
    /// replacement; `started` is given the address of each.
    pub fn addressed<A: actix::Actor<Context = actix::Context<A>>>(
        name: impl Into<String>,
        kind: ActorType,
        arbiter: &ArbiterHandle,
        make: impl Fn() -> A + Send + Sync + 'static,
        started: impl Fn(actix::Addr<A>) + Send + Sync + 'static,
    ) -> Self {
        let (arbiter, make) = (arbiter.clone(), Arc::new(make));
        let start = move || -> IsAlive {
            let make = make.clone();
            let address = A::start_in_arbiter(&arbiter, move |_| make());
            started(address.clone());
            Box::new(move || address.connected())
        };
        Self { name: name.into(), kind, start: Arc::new(start) }
    }

    /// A child to which nobody sends messages.
    pub fn of<A: actix::Actor<Context = actix::Context<A>>>(
        name: impl Into<String>,
        kind: ActorType,
        arbiter: &ArbiterHandle,
        make: impl Fn() -> A + Send + Sync + 'static,
    ) -> Self {
        Self::addressed(name, kind, arbiter, make, drop)
    }
}

/// What the supervisor remembers of a [`Child`].
#[derive(Default)]
pub(super) struct Supervised {
    /// `None` until it is started.
    is_alive: Option<IsAlive>,
    intensity: Intensity,
    streak: Streak,
    /// When it is started again; `None` unless it waits for that.
    restart_at: Option<Instant>,
}

impl fmt::Debug for Supervised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervised").field("restart_at", &self.restart_at).finish_non_exhaustive()
    }
}

/// Event: the board reports that an actor went down.
#[derive(actix::Message, Clone, Debug)]
#[rtype(result = "()")]
pub(super) struct ActorDown {
    pub(super) down: Down,
    /// How often its address was found open all the same.
    pub(super) checks: u32,
}

/// A message to oneself: start the actors whose pause is over, and check all.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
struct CheckAll;

/// The board hears of a death before the actor's address closes, so it is checked again up to
/// this many times, after 1, 2, 4, … ms. After that the tick finds it.
const CHECKS_MAX: u32 = 6;

impl From<&config::RestartConfig> for Limit {
    fn from(config: &config::RestartConfig) -> Self {
        Self { max_restarts: config.max_restarts, window: config.window, backoff: config.backoff }
    }
}

/// Checks actors, and starts those again that are down.
impl Supervisor {
    /// Starts all actors that are down, or whose pause is over. The first call starts all
    /// children.
    pub(super) fn check_all(&mut self, ctx: &mut actix::Context<Self>) {
        for child in 0..self.setup.children.len() {
            self.check_child(child, ctx);
        }
        for pool in 0..self.pools.len() {
            for slot in self.pools.get(pool).map_or_else(Vec::new, |it| it.slots.numbers()) {
                self.check_slot(pool, slot, ctx);
            }
        }
    }

    /// Checks the actor of that name. False: it seems to live.
    fn check(&mut self, down: &Down, ctx: &mut actix::Context<Self>) -> bool {
        if down.kind == ActorType::Guardian {
            tracing::error!("the guardian went down: nobody would start the supervisor again");
            self.setup.board.give_up(Fatal::Supervisor);
            return true;
        }
        if let Some(child) = self.setup.children.iter().position(|child| child.name == down.name) {
            return self.check_child(child, ctx);
        }
        // Any other is a slot: `<kind>/<number>`.
        let Some((kind, slot)) = down.name.rsplit_once('/') else { return true };
        let Ok(slot) = slot.parse() else { return true };
        let pool = self.pools.iter().position(|pool| pool.kind().0 == kind);
        pool.is_none_or(|pool| self.check_slot(pool, slot, ctx))
    }

    /// Checks the child with this index. False: it lives.
    fn check_child(&mut self, number: usize, ctx: &mut actix::Context<Self>) -> bool {
        if self.supervised.len() <= number {
            self.supervised.resize_with(number + 1, Supervised::default);
        }
        let (Some(child), Some(supervised)) =
            (self.setup.children.get(number), self.supervised.get_mut(number))
        else {
            return true;
        };
        if let Some(at) = supervised.restart_at {
            if at > Instant::now() {
                return true;
            }
        } else if let Some(is_alive) = &supervised.is_alive {
            if is_alive() {
                return false;
            }

            // It went down: it waits if that happens too often.
            self.setup.metrics.actor_restarted(child.kind.as_str());
            self.setup.board.restarted(&child.name);
            let now = self.setup.handover.started.elapsed();
            let limit = Limit::from(&self.setup.config.get().restart);
            if supervised.intensity.went_down(now, None, &limit) {
                let pause = supervised.streak.pause(now, None, &limit, rand::random());
                supervised.restart_at = Some(Instant::now() + pause);
                tracing::error!(
                    actor = child.name,
                    ?pause,
                    "an actor keeps going down: it waits before its restart"
                );
                let now = wall_clock();
                self.setup
                    .board
                    .post(&child.name, child.kind, "supervisor", now)
                    .backs_off(pause, now);
                ctx.notify_later(CheckAll, pause);
                return true;
            }
            tracing::error!(actor = child.name, "an actor went down and is started again");
        }
        supervised.restart_at = None;
        supervised.is_alive = Some((child.start)());
        true
    }

    /// Checks a slot of the pool with this index. False: it lives.
    fn check_slot(&mut self, pool: usize, number: usize, ctx: &mut actix::Context<Self>) -> bool {
        let Some(pool) = self.pools.get_mut(pool) else { return true };
        let is_leaving = pool.slots.is_leaving(number);
        let is_silent = match pool.slots.health(number) {
            None | Some(SlotHealth::Waiting { is_over: false }) => return true,
            Some(SlotHealth::Waiting { is_over: true } | SlotHealth::Left) => {
                // If it is wanted again, though it has left, another takes its place.
                pool.slots.restart(number);
                pool.wake_waiting();
                self.try_claim(ctx);
                return true;
            }
            Some(SlotHealth::Alive) => return false,
            Some(SlotHealth::Dead) => false,
            Some(SlotHealth::Silent) => true,
        };

        // It went down: its job is a failed attempt at once.
        let name = pool.setup().slot_name(number);
        tracing::error!(actor = name, is_silent, is_leaving, "a slot went down");
        if is_silent {
            lose_thread_of(pool, number);
        }
        if let Some(claimed) = pool.slots.take_current(number) {
            attempt::fail_without_slot(pool.setup(), claimed, name.clone(), is_silent);
        }

        // Start it again, after a pause if this happens too often; but not if it is leaving.
        let mut pause = None;
        if !is_leaving {
            self.setup.metrics.actor_restarted(ActorType::Handler.as_str());
            self.setup.board.restarted(&name);
            let limit = Limit::from(&self.setup.config.get().restart);
            pause = pool.slots.went_down(number, &limit, rand::random());
        }
        match pause {
            None => pool.slots.restart(number),
            Some(pause) => {
                ctx.notify_later(CheckAll, pause);
            }
        }

        // Its job counts no longer, so another slot may start one.
        pool.wake_waiting();
        self.try_claim(ctx);
        true
    }
}

/// A silent slot blocks the thread of its arbiter, and all actors that live there.
fn lose_thread_of(pool: &Pool, slot: usize) {
    let setup = pool.setup();
    setup.post.thread_is_lost();
    pool.slots.abandon(slot);
    work::give_up_if_too_many_are_lost(&setup.board, &setup.config);
}

impl actix::Handler<ActorDown> for Supervisor {
    type Result = ();

    fn handle(&mut self, ActorDown { down, checks }: ActorDown, ctx: &mut Self::Context) {
        self.setup.board.faults().point("supervisor.down");
        if !self.check(&down, ctx) && checks < CHECKS_MAX {
            let again = ActorDown { down, checks: checks + 1 };
            ctx.notify_later(again, Duration::from_millis(1 << checks));
        }
    }
}

impl actix::Handler<CheckAll> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: CheckAll, ctx: &mut Self::Context) {
        self.check_all(ctx);
    }
}
