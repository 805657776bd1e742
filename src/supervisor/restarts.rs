//! Who is started again, and when.
//!
//! An actor is down when its address is closed. That the board says so is only a hint to look at once; the
//! tick looks at all of them anyway, and also for slots that have been silent for longer than their
//! time-outs allow. Pauses are kept as instants with the pools, so that a new supervisor knows them, too.

use super::{actor::Supervisor, attempt::Ended, pool::Pool, work};
use crate::{
    config,
    domain::{
        Id,
        intensity::{Intensity, Limit, Streak},
    },
    store::wall_clock,
    telemetry::board::{ActorState, ActorType, Down, Fatal},
};
use actix::AsyncContext;
use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::Instant;

/// Whether an actor lives.
pub type Pulse = Arc<dyn Fn() -> bool + Send + Sync>;

/// An actor that the supervisor owns, other than slots.
#[derive(Clone)]
pub struct Child {
    /// Its name on the board.
    pub name: String,
    /// What it is.
    pub kind: ActorType,
    /// Starts it, and says how to feel its pulse.
    pub start: Arc<dyn Fn() -> Pulse + Send + Sync>,
}

/// A [`Child`] that was started.
#[derive(Default)]
pub(super) struct Supervised {
    pulse: Option<Pulse>,
    intensity: Intensity,
    streak: Streak,
    restart_at: Option<Instant>,
}

impl fmt::Debug for Supervised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervised").field("restart_at", &self.restart_at).finish_non_exhaustive()
    }
}

/// Event: an actor went down, says the board.
#[derive(actix::Message, Clone, Debug)]
#[rtype(result = "()")]
pub(super) struct WentDown {
    pub(super) down: Down,
    /// How often its address was found open all the same.
    pub(super) looks: u32,
}

/// A message to oneself: start what has waited long enough, and see who is down.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub(super) struct Sweep;

/// An actor says that it goes down before its address is closed: it is looked at so often, after 1, 2, 4, …
/// milliseconds. Later the tick finds it.
const LOOKS_MAX: u32 = 6;

impl From<&config::RestartConfig> for Limit {
    fn from(it: &config::RestartConfig) -> Self {
        Self { max_restarts: it.max_restarts, window: it.window, backoff: it.backoff }
    }
}

impl Supervisor {
    /// Starts what has waited long enough, and whoever is down.
    pub(super) fn sweep(&mut self, ctx: &mut actix::Context<Self>) {
        for number in 0..self.plan.children.len() {
            self.look_at_child(number, ctx);
        }
        for pool in 0..self.pools.len() {
            for number in 0..self.pools.get(pool).map_or(0, Pool::slot_count) {
                self.look_at_slot(pool, number, ctx);
            }
        }
    }

    /// Looks at the actor of that name. False: it seems to live.
    fn look_at(&mut self, down: &Down, ctx: &mut actix::Context<Self>) -> bool {
        if down.kind == ActorType::Guardian {
            tracing::error!("the guardian went down: nobody would start the supervisor again");
            self.plan.board.give_up(Fatal::Supervisor);
            return true;
        }
        if let Some(number) = self.plan.children.iter().position(|it| it.name == down.name) {
            return self.look_at_child(number, ctx);
        }
        let Some((kind, number)) = down.name.rsplit_once('/') else { return true };
        let Ok(number) = number.parse() else { return true };
        let pool = self.pools.iter().position(|it| it.kind().0 == kind);
        pool.is_none_or(|pool| self.look_at_slot(pool, number, ctx))
    }

    fn look_at_child(&mut self, number: usize, ctx: &mut actix::Context<Self>) -> bool {
        if self.supervised.len() <= number {
            self.supervised.resize_with(number + 1, Supervised::default);
        }
        let (Some(child), Some(watched)) =
            (self.plan.children.get(number), self.supervised.get_mut(number))
        else {
            return true;
        };
        if let Some(at) = watched.restart_at {
            if at > Instant::now() {
                return true;
            }
        } else if watched.pulse.as_ref().is_some_and(|it| it()) {
            return false;
        } else if watched.pulse.is_some() {
            self.plan.metrics.actor_restarted(child.kind.as_str());
            self.plan.board.restarted(&child.name);
            let now = self.plan.handover.started.elapsed();
            let limit = Limit::from(&self.plan.config.get().restart);
            if watched.intensity.went_down(now, None, &limit) {
                let pause = watched.streak.pause(now, None, &limit, rand::random());
                watched.restart_at = Some(Instant::now() + pause);
                tracing::error!(actor = child.name, ?pause, "an actor goes down again and again");
                let now = wall_clock();
                self.plan
                    .board
                    .post(&child.name, child.kind, "supervisor", now)
                    .set(ActorState::BackingOff, now);
                ctx.notify_later(Sweep, pause);
                return true;
            }
            tracing::error!(actor = child.name, "an actor went down and is started again");
        }
        watched.restart_at = None;
        watched.pulse = Some((child.start)());
        true
    }

    fn look_at_slot(&mut self, pool: usize, number: usize, ctx: &mut actix::Context<Self>) -> bool {
        let config = self.plan.config.get();
        let node = self.plan.node;
        let Some(pool) = self.pools.get_mut(pool) else { return true };
        let Some(slot) = pool.slot(number) else { return true };
        if let Some(at) = slot.restart_at {
            if at <= Instant::now() {
                pool.restart(number);
            }
            return true;
        }
        let is_silent = slot.is_silent();
        if slot.is_alive() && !is_silent {
            return false;
        }
        let name = pool.plan().slot_name(number);
        tracing::error!(actor = name, is_silent, "a slot went down");
        self.plan.metrics.actor_restarted(ActorType::Handler.as_str());
        self.plan.board.restarted(&name);
        fail_in_hand(pool, number, node, is_silent);
        let limit = Limit::from(&config.restart);
        match pool.went_down(number, &limit, rand::random()) {
            None => pool.restart(number),
            Some(pause) => {
                ctx.notify_later(Sweep, pause);
            }
        }
        true
    }
}

/// The job that a slot had in hand when it went down is a failed attempt at once.
fn fail_in_hand(pool: &Pool, number: usize, node: Id, is_silent: bool) {
    let name = pool.plan().slot_name(number);
    let cfg = pool.plan().config.get().pools.of(pool.kind().0);
    if is_silent {
        // Its thread is one of the arbiters': whoever lives there is silent, too.
        pool.plan().shared.post.lost_threads.fetch_add(1, Ordering::Relaxed);
        pool.abandon(number);
        work::give_up_if_too_many_are_lost(&pool.plan().board, &pool.plan().config);
    }
    let Some(held) = pool.take_in_hand(number) else { return };
    let took = held.since.elapsed();
    let ended = Ended::without_actor(&held.claim, cfg, took, name, is_silent);
    pool.plan().uncommitted.record(ended.into_record(held, node));
}

impl actix::Handler<WentDown> for Supervisor {
    type Result = ();

    fn handle(&mut self, WentDown { down, looks }: WentDown, ctx: &mut Self::Context) {
        self.plan.board.faults().point("supervisor.down");
        if !self.look_at(&down, ctx) && looks < LOOKS_MAX {
            let again = WentDown { down, looks: looks + 1 };
            ctx.notify_later(again, Duration::from_millis(1 << looks));
        }
    }
}

impl actix::Handler<Sweep> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Sweep, ctx: &mut Self::Context) {
        self.sweep(ctx);
    }
}
