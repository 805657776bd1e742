//! The janitor: rescues the jobs of dead nodes and those that this node has lost track of, sends
//! the canary, and on the leader does the chores.
//!
//! The supervisor owns it. The heartbeats say which nodes are dead, so a janitor that replaces
//! another decides as that one did. Each part of a round has its own memory and its own result: a
//! part that fails changes nothing that another part remembers, and keeps no other part from its
//! work.

mod canary;
mod chore_timer;
mod chores;
mod lost_runs;
mod rescue;

pub use self::rescue::{Rescued, rescue};
use self::{
    canary::Canary,
    chore_timer::{CHORE_EVERY, ChoreTimer},
    chores::LeaderChores,
    lost_runs::LostRuns,
    rescue::Rescuer,
};
use crate::{
    announcer::Announcer,
    config,
    domain::{Id, JobKind},
    ingest::Stored,
    recorder::InFlight,
    store::{Chores, Enqueuer, Ledger, Membership, Queue, StoreError, UnstartedRuns, wall_clock},
    telemetry::{
        board::{ActorType, Board, Presence},
        metrics::Metrics,
    },
};
use actix::{ActorFutureExt, AsyncContext, WrapFuture};
use std::sync::Arc;

/// The parts from which the janitor is made.
#[derive(Clone, Debug)]
pub struct JanitorSetup {
    /// Knows which nodes are alive.
    pub membership: Membership,
    /// This process. It is alive, whatever its heartbeat says.
    pub node: Id,
    /// The queue in which it finds the jobs of dead nodes.
    pub queue: Queue,
    /// The runs that this process has in memory.
    pub in_flight: InFlight,
    /// The runs that were stored as this process's own, and never started.
    pub unstarted: UnstartedRuns,
    /// Enqueues the canary.
    pub enqueuer: Enqueuer,
    /// Records the rescues.
    pub ledger: Ledger,
    /// Tells the supervisor of rescued jobs: they are due soon.
    pub announcer: Announcer<Stored>,
    /// The chores of the leader.
    pub chores: Chores,
    /// The configuration that applies now.
    pub config: config::Live,
    /// The kinds that this process knows: it decides nothing about others.
    pub kinds: Arc<[JobKind]>,
    /// The board on which it posts its state.
    pub board: Arc<Board>,
    /// The metrics in which it counts.
    pub metrics: Metrics,
}

/// Rescues jobs and tidies up.
#[derive(Debug)]
pub struct Janitor {
    setup: JanitorSetup,
    presence: Presence,
    memory: Memory,
}

/// What the parts of a round remember until the next, each for itself.
#[derive(Clone, Debug, Default)]
struct Memory {
    rescuer: Rescuer,
    lost_runs: LostRuns,
    canary: Canary,
    chores: LeaderChores,
}

/// A message to oneself: do a round.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
struct DoRound;

impl Janitor {
    /// A janitor by this setup.
    pub fn new(setup: JanitorSetup) -> Self {
        let presence = setup.board.enter("janitor", ActorType::Janitor, "supervisor", wall_clock());
        Self { setup, presence, memory: Memory::default() }
    }

    /// The nodes that are dead now, by the last heartbeat. None if that is older than a lease:
    /// this node cannot tell then.
    fn dead(&self) -> Vec<Id> {
        let Some(last) = self.setup.membership.last() else { return Vec::new() };
        let (at, report) = &*last;
        if at.elapsed() > self.setup.config.get().supervisor.lease {
            return Vec::new();
        }
        let mut dead = report.dead.clone();
        dead.retain(|node| *node != self.setup.node);
        dead
    }
}

impl actix::Actor for Janitor {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.setup.board.faults().point("janitor.started");
        ctx.notify(DoRound);
    }
}

impl actix::Handler<DoRound> for Janitor {
    type Result = ();

    fn handle(&mut self, _: DoRound, ctx: &mut Self::Context) {
        self.presence.post().busy(0, wall_clock());
        self.setup.board.faults().point("janitor.handle");
        let round = do_round(self.setup.clone(), self.dead(), self.memory.clone());
        ctx.spawn(round.into_actor(self).map(|memory, actor, ctx| {
            actor.memory = memory;
            actor.presence.post().idle(wall_clock());
            ctx.notify_later(DoRound, actor.setup.config.get().supervisor.heartbeat);
        }));
    }
}

async fn do_round(setup: JanitorSetup, dead: Vec<Id>, mut memory: Memory) -> Memory {
    setup.board.faults().point("janitor.look");

    // On each node.
    memory.rescuer.rescue_if_due(&setup, &dead).await;
    memory.lost_runs.settle_if_due(&setup).await;
    memory.canary.send_if_due(&setup).await;
    let config = setup.config.get();
    setup.queue.take_up(|client_id| config.client(client_id).is_some());

    // On the leader.
    if setup.membership.leads(config.supervisor.lease) {
        memory.chores.do_due(&setup, &dead).await;
    }
    memory
}

/// The result of one part of a round. `None`: it failed, which is logged here.
fn attempted<T>(what: &'static str, result: Result<T, StoreError>) -> Option<T> {
    result
        .inspect_err(
            |error| tracing::warn!(what, %error, "the janitor could not do a part of its work"),
        )
        .ok()
}
