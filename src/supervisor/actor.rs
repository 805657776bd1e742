//! The supervisor: one a process. Its timer and nudges make it claim; it owns the pools, the ingest
//! actors and the recorder, and starts again what the board says went down.
//!
//! It holds no queue but what claims have brought; its mailbox takes nudges, and one that does not fit is
//! ignored, because the tick comes anyway. When it dies, the guardian starts another.

use super::{
    attempt::{self, Ended},
    claiming::Claiming,
    pool::{KindEntry, Pool, Shared, SlotPlan},
};
use crate::{
    config,
    domain::{Id, JobKind, job::FailureReason},
    handlers::Deps,
    recorder::{self, Record},
    store::{Queue, StoreError, Transition, wall_clock},
    telemetry::{
        board::{ActorType, Board, Down, Presence},
        metrics::Metrics,
    },
};
use actix::{ActorContext, ActorFutureExt, ArbiterHandle, AsyncContext, WrapFuture};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

/// How many messages the supervisor's mailbox takes.
const MAILBOX: usize = 256;
/// How many due jobs one step moves at the most; where it moved as many, another step follows at once.
const DUE_STEP: usize = 1_000;
/// The shortest sleep until the next due job.
const DUE_PAUSE_MIN: Duration = Duration::from_millis(5);

/// An actor that the supervisor starts again, other than slots.
#[derive(Clone)]
pub struct Child {
    /// Its name on the board.
    pub name: String,
    /// Starts it.
    pub start: Arc<dyn Fn() + Send + Sync>,
}

/// What the supervisor is made of.
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
    pub recorder: recorder::Address,
    /// How many outcomes and claimed jobs there may be together.
    pub recorder_capacity: usize,
    /// Ingest actors and recorder.
    pub children: Vec<Child>,
    /// Where slots live.
    pub arbiters: Arc<[ArbiterHandle]>,
    /// The runtimes of handlers, one a kind.
    pub work: HashMap<JobKind, tokio::runtime::Handle>,
    /// The configuration that applies now.
    pub config: config::Live,
    /// Where everyone posts.
    pub board: Arc<Board>,
    /// What is counted.
    pub metrics: Metrics,
    /// Who went down.
    pub downs: Option<mpsc::UnboundedReceiver<Down>>,
}

/// Claims, gives out, restarts.
pub struct Supervisor {
    pub(super) plan: SupervisorPlan,
    pub(super) pools: Vec<Pool>,
    pub(super) kinds: Arc<[JobKind]>,
    pub(super) claiming: Claiming,
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
    /// A supervisor by this plan; pools and children start with it.
    pub fn new(plan: SupervisorPlan) -> Self {
        let presence =
            plan.board.enter("supervisor", ActorType::Supervisor, "guardian", wall_clock());
        let kinds = plan.kinds.iter().map(|it| it.kind).collect();
        let claiming = Claiming::new(plan.recorder_capacity);
        Self {
            plan,
            pools: Vec::new(),
            kinds,
            claiming,
            presence,
            is_making_due: false,
            draining: None,
        }
    }

    fn start_pools(&mut self, ctx: &actix::Context<Self>) {
        let Some(deps) = self.plan.deps.clone() else { return };
        for entry in self.plan.kinds.clone() {
            let Some(work) = self.plan.work.get(&entry.kind).cloned() else {
                tracing::error!(kind = %entry.kind, "no runtime for the kind: its jobs wait");
                continue;
            };
            let post = self.plan.board.pool(entry.kind);
            let slot_plan = SlotPlan {
                kind: entry.kind,
                deps: deps.clone(),
                work,
                recorder: self.plan.recorder.clone(),
                wanting: Some(ctx.address().recipient()),
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
            let moved = queue.make_due().await?;
            Ok::<_, StoreError>((moved, queue.next_due_ms().await?))
        };
        ctx.spawn(step.into_actor(self).map(|result, actor, ctx| {
            actor.is_making_due = false;
            match result {
                Ok((moved, next_ms)) => {
                    if moved > 0 {
                        actor.try_claim(ctx);
                    }
                    let tick = actor.plan.config.get().supervisor.tick;
                    let next = next_ms
                        .map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or_default()));
                    match next {
                        _ if moved >= DUE_STEP => ctx.notify(DueNow),
                        Some(next) if next < tick => {
                            ctx.notify_later(DueNow, next.max(DUE_PAUSE_MIN));
                        }
                        Some(_) | None => {}
                    }
                }
                Err(error) => tracing::warn!(%error, "making jobs due failed"),
            }
        }));
    }

    /// Starts again what went down, and fails the attempt that it had in hand.
    fn went_down(&mut self, down: &Down, ctx: &mut actix::Context<Self>) {
        tracing::error!(actor = down.name, panicked = down.panicked, "an actor went down");
        self.plan.metrics.actor_restarted(down.kind.as_str());
        self.plan.board.restarted(&down.name);
        if let Some(child) = self.plan.children.iter().find(|it| it.name == down.name) {
            (child.start)();
            return;
        }
        let Some((kind, number)) = down.name.rsplit_once('/') else { return };
        let Ok(number) = number.parse::<usize>() else { return };
        let kind = kind.to_owned();
        self.fail_in_hand(&kind, number);
        let restart = self.plan.config.get().restart.clone();
        let Some(pool) = self.pools.iter_mut().find(|it| it.kind().0 == kind) else { return };
        pool.plan().shared.post.restarts.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        pool.backing_off(number);
        let Some(slot) = pool.slot_mut(number) else { return };
        // Only failures within the window count together.
        if slot.failed_at.is_some_and(|it| it.elapsed() > restart.window) {
            slot.failures = 0;
        }
        slot.failed_at = Some(Instant::now());
        slot.failures = slot.failures.saturating_add(1);
        // The first replacement comes at once; only a slot that fails again and again waits.
        let pause = match slot.failures {
            1 => Duration::ZERO,
            more => restart.backoff.pause(more.min(20) - 1, 0),
        };
        ctx.run_later(pause, move |actor, _| {
            if let Some(pool) = actor.pools.iter_mut().find(|it| it.kind().0 == kind) {
                pool.restart(number);
            }
        });
    }

    /// The job that a slot had in hand when it died is a failed attempt at once.
    fn fail_in_hand(&mut self, kind: &str, number: usize) {
        let Some(pool) = self.pools.iter_mut().find(|it| it.kind().0 == kind) else { return };
        let name = pool.plan().slot_name(number);
        let cfg = self.plan.config.get().pools.of(kind);
        let Some(slot) = pool.slot_mut(number) else { return };
        let taken = slot.in_hand.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(held) = taken {
            let ended = Ended::by_panic_of_actor(&held.claim, cfg, held.since.elapsed(), name);
            self.plan.recorder.record(ended.into_record(held, self.plan.node));
        }
    }

    /// At the deadline of the drain: what still runs is a failed attempt, due at once.
    fn cut_off(&self) {
        for pool in &self.pools {
            for (number, held) in pool.take_in_hand() {
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
                let permit = Some(held.permit);
                self.plan.recorder.record(Record { settlement, on_refused: transition, permit });
            }
        }
    }
}

impl actix::Actor for Supervisor {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        for child in &self.plan.children {
            (child.start)();
        }
        self.start_pools(ctx);
        if let Some(downs) = self.plan.downs.take() {
            let stream = futures_util::stream::unfold(downs, |mut downs| async move {
                downs.recv().await.map(|down| (WentDown(down), downs))
            });
            ctx.add_message_stream(Box::pin(stream));
        }
        ctx.notify(Tick);
    }
}

/// Event: an actor went down.
#[derive(actix::Message, Clone, Debug)]
#[rtype(result = "()")]
struct WentDown(Down);

impl actix::Handler<WentDown> for Supervisor {
    type Result = ();

    fn handle(&mut self, WentDown(down): WentDown, ctx: &mut Self::Context) {
        self.went_down(&down, ctx);
    }
}

impl actix::Handler<Tick> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Tick, ctx: &mut Self::Context) {
        self.plan.board.ticked(wall_clock());
        self.presence.post().busy(0, wall_clock());
        self.release_stale();
        self.make_due(ctx);
        self.try_claim(ctx);
        self.presence.post().idle(wall_clock());
        ctx.notify_later(Tick, self.plan.config.get().supervisor.tick);
    }
}

impl actix::Handler<DueNow> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: DueNow, ctx: &mut Self::Context) {
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
        let Some(draining) = &mut self.draining else { return };
        let is_late = Instant::now() >= draining.until;
        // A claim that is under way brings jobs that have to go back: its answer is always waited for, and it
        // ends in bounded time. Running jobs are waited for until the deadline.
        let is_busy = self.pools.iter().any(|it| it.busy() > 0) && !is_late;
        if is_busy || self.claiming.is_in_flight() {
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
