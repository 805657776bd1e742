//! The janitor: rescues the jobs of dead nodes and those that this one has lost track of, sends the canary
//! round, and on the node that leads does the chores.
//!
//! Owned by the supervisor. Who is dead is said by the heartbeats, so that one that dies and is started again
//! decides as the one before it.

mod canary;
mod chores;
mod rescue;

pub use self::rescue::rescue;
use self::{canary::Canary, chores::Rota, rescue::Astray};
use crate::{
    config,
    domain::Id,
    ingest::{self, Stored},
    recorder::Holds,
    store::{Census, Chores, Feed, Ledger, Queue, StoreError, wall_clock},
    telemetry::{
        board::{ActorType, Board, Presence},
        metrics::Metrics,
    },
};
use actix::{ActorContext, ActorFutureExt, AsyncContext, WrapFuture};
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::time::Instant;

/// How often what should never be there is looked for, and what only grows is cut back.
const ROUND_EVERY: Duration = Duration::from_secs(60);

/// What the janitor is made of.
#[derive(Clone, Debug)]
pub struct JanitorPlan {
    /// Who lives.
    pub census: Census,
    /// This process. It lives, whatever its heartbeat says.
    pub node: Id,
    /// What dead nodes hold.
    pub queue: Queue,
    /// What this process has in memory.
    pub holds: Holds,
    /// Where the canary is enqueued.
    pub feed: Feed,
    /// Where rescues are recorded.
    pub ledger: Ledger,
    /// Who is told of them: they are due soon.
    pub announce: ingest::Listener,
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

/// What it remembers from one look to the next. A look that fails leaves it as it was.
#[derive(Clone, Debug, Default)]
struct Memory {
    /// When the last round began.
    round_at: Option<Instant>,
    /// The dead nodes whose jobs are all rescued.
    buried: HashSet<Id>,
    astray: Astray,
    canary: Canary,
    rota: Rota,
}

/// Command: stop.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Stop;

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
        let Some(beat) = self.plan.census.last() else { return Vec::new() };
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

impl actix::Handler<Stop> for Janitor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        self.presence.leave();
        ctx.stop();
    }
}

impl actix::Handler<Look> for Janitor {
    type Result = ();

    fn handle(&mut self, _: Look, ctx: &mut Self::Context) {
        self.presence.post().busy(0, wall_clock());
        self.plan.board.faults().point("janitor.handle");
        let look = look(self.plan.clone(), self.dead(), self.memory.clone());
        ctx.spawn(look.into_actor(self).map(|result, actor, ctx| {
            match result {
                Ok(memory) => actor.memory = memory,
                Err(error) => tracing::warn!(%error, "the janitor could not look"),
            }
            actor.presence.post().idle(wall_clock());
            ctx.notify_later(Look, actor.plan.config.get().supervisor.heartbeat);
        }));
    }
}

async fn look(plan: JanitorPlan, dead: Vec<Id>, mut memory: Memory) -> Result<Memory, StoreError> {
    plan.board.faults().point("janitor.look");
    let begins_round = memory.round_at.is_none_or(|it| it.elapsed() >= ROUND_EVERY);
    if begins_round {
        memory.round_at = Some(Instant::now());
    }
    // Who lives again may die again.
    memory.buried.retain(|it| dead.contains(it));
    let is_news = dead.iter().any(|it| !memory.buried.contains(it));
    // Nodes without a row are in no census: what they hold is found by the rounds.
    if is_news || (begins_round && !plan.census.is_alone()) {
        let rescued = rescue(&plan, dead.clone()).await?;
        if rescued > 0 {
            tracing::warn!(count = rescued, "jobs of dead nodes were rescued");
            if let Some(supervisor) = plan.announce.load_full()
                && supervisor.try_send(Stored { jobs: rescued }).is_err()
            {
                tracing::trace!("the supervisor is busy: its tick will find them");
            }
        }
        memory.buried.extend(dead.iter().copied());
    }
    memory.astray = rescue::find_astray(&plan, memory.astray).await?;
    memory.canary = canary::fly(&plan, memory.canary, begins_round).await?;
    if plan.census.leads(plan.config.get().supervisor.lease) {
        memory.rota = chores::work(&plan, memory.rota, begins_round, dead).await?;
    }
    Ok(memory)
}
