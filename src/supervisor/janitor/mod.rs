//! The janitor: rescues the jobs of dead nodes and those that this one has lost track of, sends the canary
//! round, and on the node that leads does the chores.
//!
//! Owned by the supervisor. Who is dead is said by the heartbeats, so that one that dies and is started again
//! decides as the one before it.

mod canary;
mod chores;
mod rescue;
mod rounds;

pub use self::rescue::{Rescued, rescue};
use self::{canary::Canary, chores::Rota, rescue::Astray, rounds::Rounds};
use crate::{
    announcer::Announcer,
    config,
    domain::Id,
    ingest::Stored,
    recorder::InFlight,
    store::{Chores, Enqueuer, Ledger, Membership, Queue, StoreError, wall_clock},
    telemetry::{
        board::{ActorType, Board, Presence},
        metrics::Metrics,
    },
};
use actix::{ActorFutureExt, AsyncContext, WrapFuture};
use std::{collections::HashSet, sync::Arc};
use tokio::time::Instant;

/// What the janitor is made of.
#[derive(Clone, Debug)]
pub struct JanitorPlan {
    /// Who lives.
    pub membership: Membership,
    /// This process. It lives, whatever its heartbeat says.
    pub node: Id,
    /// What dead nodes hold.
    pub queue: Queue,
    /// What this process has in memory.
    pub in_flight: InFlight,
    /// Where the canary is enqueued.
    pub enqueuer: Enqueuer,
    /// Where rescues are recorded.
    pub ledger: Ledger,
    /// Who is told of them: they are due soon.
    pub announcer: Announcer<Stored>,
    /// What the node that leads has to do.
    pub chores: Chores,
    /// The configuration that applies now.
    pub config: config::Live,
    /// The kinds that this process knows: about others it decides nothing.
    pub kinds: Arc<[crate::domain::JobKind]>,
    /// Where it posts.
    pub board: Arc<Board>,
    /// What it counts.
    pub metrics: Metrics,
}

/// Rescues and tidies up.
#[derive(Debug)]
pub struct Janitor {
    plan: JanitorPlan,
    presence: Presence,
    memory: Memory,
}

/// What it remembers from one look to the next, each part by itself: one that fails changes no
/// other's memory.
#[derive(Clone, Debug, Default)]
struct Memory {
    /// When it is to be looked for jobs of nodes that no heartbeat has named.
    rescue: Rounds,
    /// The dead nodes whose jobs are all rescued.
    buried: HashSet<Id>,
    astray: Astray,
    canary: Canary,
    rota: Rota,
}

#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
struct Look;

impl Janitor {
    /// A janitor by this plan.
    pub fn new(plan: JanitorPlan) -> Self {
        let presence = plan.board.enter("janitor", ActorType::Janitor, "supervisor", wall_clock());
        Self { plan, presence, memory: Memory::default() }
    }

    /// The nodes that are dead by now, as the heartbeats have seen them. Who has not seen anything for a lease
    /// knows nothing.
    fn dead(&self) -> Vec<Id> {
        let Some(beat) = self.plan.membership.last() else { return Vec::new() };
        if beat.0.elapsed() > self.plan.config.get().supervisor.lease {
            return Vec::new();
        }
        let mut dead = beat.1.dead.clone();
        dead.retain(|it| *it != self.plan.node);
        dead
    }
}

impl actix::Actor for Janitor {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.plan.board.faults().point("janitor.started");
        ctx.notify(Look);
    }
}

impl actix::Handler<Look> for Janitor {
    type Result = ();

    fn handle(&mut self, _: Look, ctx: &mut Self::Context) {
        self.presence.post().busy(0, wall_clock());
        self.plan.board.faults().point("janitor.handle");
        let look = look(self.plan.clone(), self.dead(), self.memory.clone());
        ctx.spawn(look.into_actor(self).map(|memory, actor, ctx| {
            actor.memory = memory;
            actor.presence.post().idle(wall_clock());
            ctx.notify_later(Look, actor.plan.config.get().supervisor.heartbeat);
        }));
    }
}

/// What a part of a look came to; `None` where it failed, which is said in the log.
fn attempted<T>(what: &'static str, result: Result<T, StoreError>) -> Option<T> {
    result
        .inspect_err(
            |error| tracing::warn!(what, %error, "the janitor could not do a part of its work"),
        )
        .ok()
}

async fn look(plan: JanitorPlan, dead: Vec<Id>, mut memory: Memory) -> Memory {
    plan.board.faults().point("janitor.look");
    memory.rescue(&plan, &dead).await;
    let astray = rescue::find_astray(&plan, memory.astray.clone()).await;
    if let Some(astray) = attempted("look for jobs that this node has lost track of", astray) {
        memory.astray = astray;
    }
    memory.canary.fly(&plan).await;
    let cfg = plan.config.get();
    plan.queue.take_up(|client_id| cfg.client(client_id).is_some());
    if plan.membership.leads(cfg.supervisor.lease) {
        memory.rota.work(&plan, dead).await;
    }
    memory
}

impl Memory {
    /// Rescues what dead nodes hold, as soon as they are, and once a round what nodes without a row
    /// do.
    async fn rescue(&mut self, plan: &JanitorPlan, dead: &[Id]) {
        // Who lives again may die again.
        self.buried.retain(|it| dead.contains(it));
        let is_news = dead.iter().any(|it| !self.buried.contains(it));
        let now = Instant::now();
        let is_due = self.rescue.is_due(now) && !plan.membership.is_alone();
        if !is_news && !is_due {
            return;
        }
        let rescued = attempted("rescue jobs", rescue(plan, dead.to_vec()).await);
        let Rescued { count, is_over } = rescued.unwrap_or_default();
        self.rescue.done(now, is_over);
        if is_over {
            self.buried.extend(dead.iter().copied());
        }
        if count > 0 {
            tracing::warn!(count, "jobs of dead nodes were rescued");
            plan.announcer.announce(Stored { jobs: count });
        }
    }
}
