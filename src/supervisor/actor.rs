//! The supervisor: one a process. Its timer and nudges make it claim; it owns the pools, the ingest
//! actors and the recorder, and starts again what went down.
//!
//! It holds no queue but what claims have brought; its mailbox takes nudges, and one that does not fit is
//! ignored, because the tick comes anyway. When it dies, the guardian starts another, which takes over what
//! it leaves in its [`Handover`].

use super::{
    attempt,
    claiming::Claiming,
    handover::{HandedOver, Handover},
    poll_policy::{PollInputs, PollPolicy},
    pool::{KindEntry, Pool, Shared, SlotPlan},
    restarts::{Child, Supervised, WentDown},
    work::Work,
};
use crate::{
    announcer::Announcer,
    config,
    domain::{Id, JobKind, job::FailureReason},
    handlers::Deps,
    ingest::Stored,
    recorder::{Record, Recorded, Uncommitted},
    store::{Membership, Queue, StoreError, Transition, wall_clock},
    telemetry::{
        board::{ActorType, Board, Presence},
        metrics::Metrics,
    },
};
use actix::{ActorContext, ActorFutureExt, ArbiterHandle, AsyncContext, WrapFuture};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{sync::oneshot, time::Instant};

/// How many messages the supervisor's mailbox takes.
const MAILBOX: usize = 256;
/// How many due jobs one step moves at the most; where it moved as many, another step follows at once.
const DUE_STEP: usize = 1_000;
/// The shortest sleep until the next due job.
const DUE_PAUSE_MIN: Duration = Duration::from_millis(5);

/// What supervisors are made of.
pub struct SupervisorPlan {
    /// The kinds that this process works off; none where its role is `ingest`.
    pub kinds: Vec<KindEntry>,
    /// What handlers are given.
    pub deps: Option<Deps>,
    /// Where it claims.
    pub queue: Queue,
    /// This process.
    pub node: Id,
    /// Where outcomes go.
    pub uncommitted: Uncommitted,
    /// Ingest actors, recorder and janitor.
    pub children: Vec<Child>,
    /// What one supervisor leaves to the next.
    pub handover: Arc<Handover>,
    /// By whom ingest actors are heard.
    pub stored: Announcer<Stored>,
    /// By whom the recorder is heard.
    pub recorded: Announcer<Recorded>,
    /// Where slots live.
    pub arbiters: Arc<[ArbiterHandle]>,
    /// The threads of handlers, by kind.
    pub work: HashMap<JobKind, Arc<Work>>,
    /// What heartbeats bring back.
    pub membership: Membership,
    /// Whether other nodes are heard when they store jobs.
    pub is_heard: Arc<AtomicBool>,
    /// The configuration that applies now.
    pub config: config::Live,
    /// Where everyone posts.
    pub board: Arc<Board>,
    /// What is counted.
    pub metrics: Metrics,
}

impl std::fmt::Debug for SupervisorPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SupervisorPlan").field("node", &self.node).finish_non_exhaustive()
    }
}

/// Claims, gives out, restarts.
pub struct Supervisor {
    pub(super) plan: Arc<SupervisorPlan>,
    pub(super) pools: Vec<Pool>,
    pub(super) supervised: Vec<Supervised>,
    pub(super) kinds: Arc<[JobKind]>,
    pub(super) claiming: Claiming,
    pub(super) looking: PollPolicy,
    presence: Presence,
    is_making_due: bool,
    draining: Option<Draining>,
}

/// Command: look around; by the timer, and whenever a test wants it.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Tick;

/// Event: the next due time has come.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
struct DueNow;

/// Command: claim nothing more, give back what was not started, let the running jobs finish until the
/// deadline, and answer once all of it is with the recorder.
#[derive(actix::Message, Debug)]
#[rtype(result = "()")]
pub struct Drain {
    /// How long running jobs may take.
    pub within: Duration,
    /// Whom to answer.
    pub done: oneshot::Sender<()>,
}

struct Draining {
    until: Instant,
    done: Option<oneshot::Sender<()>>,
}

/// A message to oneself: see whether the drain is over.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
struct DrainStep;

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervisor").field("pools", &self.pools).finish_non_exhaustive()
    }
}

impl Supervisor {
    /// A supervisor by this plan. It takes over the pools and actors of the one before; the first starts them.
    pub fn new(plan: Arc<SupervisorPlan>) -> Self {
        let presence =
            plan.board.enter("supervisor", ActorType::Supervisor, "guardian", wall_clock());
        let kinds = plan.kinds.iter().map(|it| it.kind).collect();
        let claiming = Claiming::new(
            plan.handover.room.clone(),
            plan.handover.suspects.clone(),
            plan.board.is_draining(),
        );
        let HandedOver { pools, supervised } = plan.handover.take();
        Self {
            plan,
            pools,
            supervised,
            kinds,
            claiming,
            looking: PollPolicy::default(),
            presence,
            is_making_due: false,
            draining: None,
        }
    }

    fn start_pools(&mut self) {
        let Some(deps) = self.plan.deps.clone() else { return };
        for entry in self.plan.kinds.clone() {
            if self.pools.iter().any(|it| it.kind() == entry.kind) {
                continue;
            }
            let Some(work) = self.plan.work.get(&entry.kind).cloned() else {
                tracing::error!(kind = %entry.kind, "no threads for the kind: its jobs wait");
                continue;
            };
            let post = self.plan.board.pool(entry.kind);
            let slot_plan = SlotPlan {
                kind: entry.kind,
                deps: deps.clone(),
                work,
                queue: self.plan.queue.clone(),
                uncommitted: self.plan.uncommitted.clone(),
                supervisor: self.plan.handover.address.clone(),
                config: self.plan.config.clone(),
                board: self.plan.board.clone(),
                metrics: self.plan.metrics.kind(entry.kind),
                node: self.plan.node,
                shared: Arc::new(Shared::new(post)),
            };
            let mut pool = Pool::new(entry, slot_plan, self.plan.arbiters.clone());
            pool.resize();
            self.pools.push(pool);
        }
    }

    /// Moves what is due into line; sleeps until the next is due, at most for a tick.
    fn make_due(&mut self, ctx: &mut actix::Context<Self>) {
        if self.is_making_due || self.pools.is_empty() || self.draining.is_some() {
            return;
        }
        self.is_making_due = true;
        let queue = self.plan.queue.clone();
        let step = async move {
            let next_ms = queue.next_due_ms().await?;
            if next_ms.is_none_or(|it| it > 0) {
                return Ok::<_, StoreError>((0, next_ms));
            }
            let moved = queue.make_due().await?;
            Ok((moved, queue.next_due_ms().await?))
        };
        ctx.spawn(step.into_actor(self).map(|result, actor, ctx| {
            actor.plan.board.faults().point("supervisor.due");
            actor.is_making_due = false;
            match result {
                Ok((moved, next_ms)) => {
                    if moved > 0 {
                        actor.try_claim(ctx);
                    }
                    let tick = actor.plan.config.get().supervisor.tick;
                    let next = next_ms
                        .map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or_default()));
                    actor.looking.next_due(actor.plan.handover.started.elapsed(), next);
                    match next {
                        _ if moved >= DUE_STEP => ctx.notify(DueNow),
                        Some(next) if next < tick => {
                            ctx.notify_later(DueNow, next.max(DUE_PAUSE_MIN));
                        }
                        Some(_) | None => {}
                    }
                }
                Err(error) => {
                    actor.looking.stir();
                    tracing::warn!(%error, "making jobs due failed");
                }
            }
        }));
    }

    /// Asks the database for jobs, unless it is sure that there are none.
    fn look(&mut self, ctx: &mut actix::Context<Self>) {
        let (now, membership) = (self.plan.handover.started.elapsed(), &self.plan.membership);
        let seen = membership.last().filter(|it| it.1.has_jobs);
        let is_told = membership.is_alone() || self.plan.is_heard.load(Ordering::Relaxed);
        let cfg = self.plan.config.get();
        let tidings = PollInputs {
            now,
            tick: cfg.supervisor.tick,
            // A heartbeat that finds a job wakes it as soon as a tick would.
            is_woken: is_told || cfg.supervisor.heartbeat <= cfg.supervisor.tick,
            seen_at: seen.map(|it| it.0.saturating_duration_since(self.plan.handover.started)),
        };
        let is_due = self.looking.is_due(tidings);
        // While it asks itself, heartbeats need not, unless nobody else would wake it the moment after.
        let looks = !is_due || !is_told;
        let kinds = self.kinds.iter().filter(|_| looks);
        let wanted: Vec<_> = kinds.map(|it| (it.0, self.claiming.floor(*it))).collect();
        membership.look_for_jobs(&wanted);
        if is_due {
            self.looking.looked(now);
            self.make_due(ctx);
            self.claiming.look_for_suspect();
            self.try_claim(ctx);
        }
    }

    /// At the deadline of the drain: what still runs is a failed attempt, due at once.
    fn cut_off(&self) {
        for pool in &self.pools {
            for (number, held) in pool.take_all_in_hand() {
                let job = &held.claim.job;
                tracing::warn!(job.id = job.id, job.kind = %job.kind, "cut off by the shutdown");
                let reason = FailureReason::Shutdown;
                let error = "still running at the shutdown's deadline".to_owned();
                let transition = if job.attempt >= job.max_attempts {
                    Transition::Fail { reason, error }
                } else {
                    Transition::Retry { after: Duration::ZERO, reason, error }
                };
                let (actor, took) = (pool.plan().slot_name(number), held.since.elapsed());
                let settlement = attempt::settlement(
                    &held.claim,
                    self.plan.node,
                    Some(actor),
                    Some(took),
                    transition.clone(),
                );
                let hold = Some(held.hold);
                self.plan.uncommitted.record(Record { settlement, on_refused: transition, hold });
            }
        }
    }
}

impl actix::Actor for Supervisor {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        let address = ctx.address();
        self.plan.stored.set(address.clone().recipient());
        self.plan.recorded.set(address.clone().recipient());
        self.plan.handover.address.set(address);
        self.plan.board.faults().point("supervisor.started");
        // Starts the children; of those that another supervisor left, the ones that are down.
        self.sweep(ctx);
        self.start_pools();
        let handover = self.plan.handover.clone();
        let downs = futures_util::stream::unfold(handover, |handover| async move {
            let down = handover.next_down().await?;
            Some((WentDown { down, looks: 0 }, handover))
        });
        ctx.add_message_stream(Box::pin(downs));
        self.take_over_claim(ctx);
        ctx.notify(Tick);
    }
}

impl Drop for Supervisor {
    /// Runs while unwinding, too.
    fn drop(&mut self) {
        let (pools, supervised) =
            (std::mem::take(&mut self.pools), std::mem::take(&mut self.supervised));
        self.plan.handover.leave(HandedOver { pools, supervised });
    }
}

impl actix::Handler<Tick> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Tick, ctx: &mut Self::Context) {
        self.plan.board.ticked(wall_clock());
        self.plan.board.faults().point("supervisor.tick");
        self.presence.post().busy(0, wall_clock());
        self.sweep(ctx);
        self.release_stale();
        self.look(ctx);
        self.presence.post().idle(wall_clock());
        ctx.notify_later(Tick, self.plan.config.get().supervisor.tick);
    }
}

impl actix::Handler<DueNow> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: DueNow, ctx: &mut Self::Context) {
        // What is due may be a suspect, which gets no turn: only a claim finds it.
        self.claiming.look_for_suspect();
        self.try_claim(ctx);
        self.make_due(ctx);
    }
}

impl actix::Handler<Drain> for Supervisor {
    type Result = ();

    fn handle(&mut self, drain: Drain, ctx: &mut Self::Context) {
        self.claiming.close();
        for pool in &self.pools {
            self.release(pool.close());
        }
        let until = Instant::now() + drain.within;
        self.draining = Some(Draining { until, done: Some(drain.done) });
        ctx.notify(DrainStep);
    }
}

impl actix::Handler<DrainStep> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: DrainStep, ctx: &mut Self::Context) {
        /// How often the drain looks whether the last job has ended.
        const LOOK_EVERY: Duration = Duration::from_millis(10);
        self.plan.board.faults().point("supervisor.drain");
        let Some(draining) = &mut self.draining else { return };
        let is_late = Instant::now() >= draining.until;
        // A claim that is under way brings jobs that have to go back: its answer is always waited for, and it
        // ends in bounded time. Running jobs are waited for until the deadline.
        let is_busy = self.pools.iter().any(|it| it.busy() > 0) && !is_late;
        if is_busy || self.plan.handover.is_flying() {
            ctx.notify_later(DrainStep, LOOK_EVERY);
            return;
        }
        let done = draining.done.take();
        self.cut_off();
        if done.is_some_and(|it| it.send(()).is_err()) {
            tracing::debug!("nobody waits for the drain any more");
        }
        self.presence.leave();
        ctx.stop();
    }
}
