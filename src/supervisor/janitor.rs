//! The janitor: rescues the jobs of dead nodes, and those of which this one has lost track, and sends the
//! canary round.
//!
//! Owned by the supervisor. It holds how long each node has been silent by its own monotonic clock; when
//! it dies, it is started again and watches for another lease before it decides.

use super::attempt;
use crate::{
    config,
    domain::{
        Id,
        job::{FailureReason, NewJob, SELF_CHECK, SYSTEM_CLIENT},
    },
    recorder::Holds,
    store::{Feed, Ledger, Nodes, Orphan, Queue, Settlement, Silence, StoreError, wall_clock},
    telemetry::{
        board::{ActorType, Board, Presence},
        metrics::Metrics,
    },
};
use actix::{ActorContext, ActorFutureExt, AsyncContext, WrapFuture};
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::time::Instant;

/// How often the canary is sent round.
const CANARY_EVERY: Duration = Duration::from_secs(60);

/// What the janitor is made of.
#[derive(Clone, Debug)]
pub struct JanitorPlan {
    /// Who lives.
    pub nodes: Nodes,
    /// This process. It lives, whatever its heartbeat says: on SQLite it sends none.
    pub node: Id,
    /// What nodes hold.
    pub queue: Queue,
    /// What this one has in memory.
    pub holds: Holds,
    /// Where the canary is enqueued.
    pub feed: Feed,
    /// Where rescues are recorded.
    pub ledger: Ledger,
    /// The configuration that applies now.
    pub config: config::Live,
    /// The kinds that this process knows: about others it decides nothing.
    pub kinds: Arc<[crate::domain::JobKind]>,
    /// Where it posts.
    pub board: Arc<Board>,
    /// What it counts.
    pub metrics: Metrics,
}

/// Rescues.
#[derive(Debug)]
pub struct Janitor {
    plan: JanitorPlan,
    presence: Presence,
    silence: Arc<std::sync::Mutex<Silence>>,
    started: Instant,
    canary: Canary,
    astray: Astray,
}

/// The runs that the database says this node holds and that it did not have in memory at the last look,
/// which was then.
#[derive(Clone, Debug, Default)]
struct Astray {
    looked_at: Option<Instant>,
    runs: HashSet<(Id, i64)>,
}

/// The `SELF_CHECK` job that goes the whole way a minute.
#[derive(Clone, Copy, Debug, Default)]
struct Canary {
    sent_at: Option<Instant>,
    /// The one that has not come back yet.
    out: Option<Id>,
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
        Self {
            plan,
            presence,
            silence: Arc::default(),
            started: Instant::now(),
            canary: Canary::default(),
            astray: Astray::default(),
        }
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
        let (plan, silence) = (self.plan.clone(), self.silence.clone());
        self.plan.board.faults().point("janitor.handle");
        let (now, canary, astray) = (self.started.elapsed(), self.canary, self.astray.clone());
        let look = async move {
            plan.board.faults().point("janitor.look");
            let lease = plan.config.get().supervisor.lease;
            let nodes = plan.nodes.list().await?;
            let mut dead = silence
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .dead(&nodes, lease, now);
            dead.retain(|it| *it != plan.node);
            let rescued = rescue(&plan, dead).await?;
            let astray = find_astray(&plan, astray, lease).await?;
            Ok::<_, StoreError>((rescued, astray, fly(&plan, canary).await?))
        };
        ctx.spawn(look.into_actor(self).map(|result, actor, ctx| {
            match result {
                Ok((rescued, astray, canary)) => {
                    (actor.canary, actor.astray) = (canary, astray);
                    if rescued > 0 {
                        tracing::warn!(count = rescued, "jobs of dead nodes were rescued");
                    }
                }
                Err(error) => tracing::warn!(%error, "the janitor could not look"),
            }
            actor.presence.post().idle(wall_clock());
            ctx.notify_later(Look, actor.plan.config.get().supervisor.heartbeat);
        }));
    }
}

/// Looks whether the canary has come back; when it is time, sends the next one and sweeps.
async fn fly(plan: &JanitorPlan, mut canary: Canary) -> Result<Canary, StoreError> {
    if let Some(id) = canary.out
        && let Some((_, took)) = plan.feed.outcome(id).await?
    {
        plan.metrics.canary(took);
        plan.board.canary_returned(wall_clock(), took);
        canary.out = None;
    }
    let is_due = canary.sent_at.is_none_or(|it| it.elapsed() >= CANARY_EVERY);
    let is_known = plan.kinds.contains(&SELF_CHECK);
    if is_due {
        canary.sent_at = Some(Instant::now());
    }
    if is_due {
        let swept = plan.queue.sweep().await?;
        if swept > 0 {
            tracing::warn!(count = swept, "lines without a head were found: there should be none");
        }
    }
    if is_due && canary.out.is_none() && is_known {
        let subject_id = plan.feed.next_id();
        let job = NewJob {
            kind: SELF_CHECK,
            client_id: SYSTEM_CLIENT.to_owned(),
            lead_id: None,
            subject_id,
            message_id: None,
            draft_id: None,
            max_attempts: 1,
            in_lead_line: false,
            delay_ms: 0,
        };
        canary.out = plan.feed.enqueue(vec![job]).await?.into_iter().flatten().next();
    }
    Ok(canary)
}

/// Once a lease, compares what the database says this node holds with what it has in memory. A run that is
/// missing twice running is lost: a claim whose answer never came, or an outcome that nobody recorded. It is
/// a failed attempt, under its fence: where memory was wrong, nothing is run twice to effect.
async fn find_astray(
    plan: &JanitorPlan,
    before: Astray,
    lease: Duration,
) -> Result<Astray, StoreError> {
    if before.looked_at.is_some_and(|it| it.elapsed() < lease) {
        return Ok(before);
    }
    let looked_at = Some(Instant::now());
    let mut held = plan.queue.held().await?;
    held.retain(|it| !plan.holds.has(it.settlement.job_id, it.settlement.run));
    let (lost, new): (Vec<Orphan>, Vec<Orphan>) = held
        .into_iter()
        .partition(|it| before.runs.contains(&(it.settlement.job_id, it.settlement.run)));
    if !lost.is_empty() {
        let lost: Vec<Settlement> =
            lost.into_iter().map(|it| settle(plan, it, "its node lost track of it")).collect();
        let held = plan.ledger.settle(lost.into()).await?;
        let count = held.iter().filter(|it| **it).count();
        plan.metrics.jobs_rescued(count as u64);
        tracing::error!(count, "this node had lost track of jobs: they are failed attempts");
    }
    let runs = new.iter().map(|it| (it.settlement.job_id, it.settlement.run)).collect();
    Ok(Astray { looked_at, runs })
}

/// Rescues all jobs that nodes without a row, or the dead ones named, hold: a failed attempt each, then
/// retry or end. The run stays used, the rescue adds none.
///
/// # Errors
/// When the database is away; what was rescued before stays rescued.
pub async fn rescue(plan: &JanitorPlan, dead: Vec<Id>) -> Result<usize, StoreError> {
    let mut rescued = 0;
    loop {
        // About kinds that this process does not know it decides nothing.
        let known = plan.queue.orphans(dead.clone(), &plan.kinds).await?;
        if known.is_empty() {
            return Ok(rescued);
        }
        let settle = |it: Orphan| {
            let node = it.settlement.node.unwrap_or_default();
            settle(plan, it, &format!("its node {node} fell silent"))
        };
        let settlements: Vec<Settlement> = known.into_iter().map(settle).collect();
        let held = plan.ledger.settle(settlements.into()).await?;
        let count = held.iter().filter(|it| **it).count();
        plan.metrics.jobs_rescued(count as u64);
        rescued += count;
        if count == 0 {
            return Ok(rescued);
        }
    }
}

fn settle(plan: &JanitorPlan, orphan: Orphan, error: &str) -> Settlement {
    let pool = plan.config.get().pools.of(&orphan.settlement.kind);
    let transition = attempt::failed(
        FailureReason::Rescued,
        error,
        orphan.attempt,
        orphan.max_attempts,
        pool,
        rand::random(),
    );
    Settlement { transition, ..orphan.settlement }
}
