//! The supervisor: one a process. It owns the pools, the ingest actors, the recorder and the
//! janitor.
//!
//! This file starts it and holds its timer. What it does stands in four others, each with the
//! messages that ask for it:
//!
//! - `claiming`: claims jobs and gives them to the pools, on nudges and ticks.
//! - `restarts`: starts actors again that went down.
//! - `fitting`: lets pools follow the configuration.
//! - `drain`: gives jobs back and stops.
//!
//! It holds no queue except what claims have brought. Its mailbox takes nudges; one that does not
//! fit is dropped, because the tick comes anyway. When it dies, the guardian starts another,
//! which takes over what it leaves in its [`Handover`].

use super::{
    claiming::Claiming,
    drain::Draining,
    fitting,
    hand_off::HandOffDesk,
    handover::{HandedOver, Handover},
    poll_policy::{PollInputs, PollPolicy},
    pool::{KindEntry, Pool, SlotSetup},
    pool_queue::PoolQueue,
    pool_slots::SuccessClock,
    restarts::{ActorDown, Child, Supervised},
    work::WorkRuntime,
};
use crate::{
    announcer::Announcer,
    config,
    domain::{Id, JobKind},
    handlers::Deps,
    ingest::Stored,
    recorder::{Recorded, Uncommitted},
    store::{Membership, Queue, StoreError, wall_clock},
    telemetry::{
        board::{ActorType, Board, Presence},
        metrics::Metrics,
    },
};
use actix::{ActorFutureExt, ArbiterHandle, AsyncContext, SpawnHandle, WrapFuture};
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How many messages the supervisor's mailbox takes.
const MAILBOX: usize = 256;
/// The most due jobs that one step moves. If a step moves this many, another follows at once.
const DUE_STEP: usize = 1_000;
/// The shortest sleep until the next due job.
const DUE_PAUSE_MIN: Duration = Duration::from_millis(5);

/// The parts from which supervisors are made.
pub struct SupervisorSetup {
    /// The kinds that this process works on; none if its role is `ingest`.
    pub kinds: Vec<KindEntry>,
    /// The parts that handlers get; `None` if the role is `ingest`.
    pub deps: Option<Deps>,
    /// The queue from which it claims jobs.
    pub queue: Queue,
    /// The id of this process as a node.
    pub node: Id,
    /// Receives the outcomes of jobs.
    pub uncommitted: Uncommitted,
    /// Recorder, ingest actors, listener and janitor.
    pub children: Vec<Child>,
    /// What one supervisor leaves to the next.
    pub handover: Arc<Handover>,
    /// Lends slots to jobs that are about to be stored.
    pub desk: HandOffDesk,
    /// Given the address of each supervisor, which hears of stored jobs.
    pub stored: Announcer<Stored>,
    /// Given the address of each supervisor, which hears of commits.
    pub recorded: Announcer<Recorded>,
    /// The threads on which slots run.
    pub arbiters: Arc<[ArbiterHandle]>,
    /// The threads of handlers, by kind.
    pub work: HashMap<JobKind, Arc<WorkRuntime>>,
    /// What heartbeats bring back.
    pub membership: Membership,
    /// Whether this process hears of jobs that other nodes store.
    pub is_heard: Arc<AtomicBool>,
    /// The configuration that applies now.
    pub config: config::Live,
    /// Where all actors post.
    pub board: Arc<Board>,
    /// The metrics in which all actors count.
    pub metrics: Metrics,
}

impl fmt::Debug for SupervisorSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SupervisorSetup").field("node", &self.node).finish_non_exhaustive()
    }
}

/// Claims jobs, gives them to slots, restarts actors.
pub struct Supervisor {
    pub(super) setup: Arc<SupervisorSetup>,
    /// One for each kind. `claiming` uses their queues, `restarts` their slots.
    pub(super) pools: Vec<Pool>,
    /// The kinds that this process works on, as the claim wants them.
    pub(super) kinds: Arc<[JobKind]>,
    /// Used by `claiming` alone.
    pub(super) claiming: Claiming,
    /// When a tick polls; `claiming` tells it of changes.
    pub(super) polling: PollPolicy,
    /// Used by `restarts` alone; indexed as `setup.children`.
    pub(super) supervised: Vec<Supervised>,
    /// Used by `drain` alone; `None` until the daemon stops.
    pub(super) draining: Option<Draining>,
    pub(super) presence: Presence,
    /// True while a step of [`Supervisor::make_due`] is under way.
    is_making_due: bool,
    /// The timer of the next tick, and the `supervisor.tick` that it was started with.
    timer: Option<(SpawnHandle, Duration)>,
}

/// Command: start what is down, and poll if that is due. Sent by the timer, and by tests.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Tick;

/// A message to oneself: the next job is due.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
struct DueNow;

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor").field("pools", &self.pools).finish_non_exhaustive()
    }
}

impl Supervisor {
    /// A supervisor by this setup. It takes over the pools and actors of the one before; the
    /// first supervisor starts them.
    pub fn new(setup: Arc<SupervisorSetup>) -> Self {
        let presence =
            setup.board.enter("supervisor", ActorType::Supervisor, "guardian", wall_clock());
        let kinds = setup.kinds.iter().map(|entry| entry.kind).collect();
        let claiming = Claiming::new(
            setup.handover.room.clone(),
            setup.handover.suspects.clone(),
            setup.board.is_draining(),
        );
        let HandedOver { pools, supervised } = setup.handover.take();
        Self {
            setup,
            pools,
            kinds,
            claiming,
            polling: PollPolicy::default(),
            supervised,
            draining: None,
            presence,
            is_making_due: false,
            timer: None,
        }
    }

    /// Makes a pool for each kind that has none yet. It has no slots until it is fitted.
    fn make_pools(&mut self) {
        let Some(deps) = self.setup.deps.clone() else { return };
        for entry in self.setup.kinds.clone() {
            if self.pools.iter().any(|pool| pool.kind() == entry.kind) {
                continue;
            }
            let Some(work) = self.setup.work.get(&entry.kind).cloned() else {
                tracing::error!(kind = %entry.kind, "no threads for the kind: its jobs wait");
                continue;
            };
            let setup = SlotSetup {
                kind: entry.kind,
                deps: deps.clone(),
                work,
                queue: self.setup.queue.clone(),
                uncommitted: self.setup.uncommitted.clone(),
                supervisor: self.setup.handover.address.clone(),
                config: self.setup.config.clone(),
                board: self.setup.board.clone(),
                post: self.setup.board.pool(entry.kind),
                metrics: self.setup.metrics.kind(entry.kind),
                node: self.setup.node,
                waiting: Arc::new(PoolQueue::new(self.setup.board.pool(entry.kind))),
                successes: Arc::new(SuccessClock::start()),
            };
            self.setup.desk.add(&setup);
            self.pools.push(Pool::new(entry, setup, self.setup.arbiters.clone()));
        }
    }

    /// Asks the database for jobs, unless it is sure that there are none.
    fn poll_if_due(&mut self, ctx: &mut actix::Context<Self>) {
        // See whether this tick polls.
        let (now, membership) = (self.setup.handover.started.elapsed(), &self.setup.membership);
        let seen = membership.last().filter(|last| last.1.has_jobs);
        let is_told = membership.is_alone() || self.setup.is_heard.load(Ordering::Relaxed);
        let config = self.setup.config.get();
        let inputs = PollInputs {
            now,
            tick: config.supervisor.tick,
            // A heartbeat that finds a job wakes the supervisor as soon as a tick would.
            is_woken: is_told || config.supervisor.heartbeat <= config.supervisor.tick,
            seen_at: seen.map(|last| last.0.saturating_duration_since(self.setup.handover.started)),
        };
        let is_due = self.polling.is_due(inputs);

        // Say for which kinds heartbeats look for jobs. While this process polls, there is no need.
        // But if nothing else would wake it before the next tick, heartbeats look all the same.
        // Jobs of a paused kind are nothing to wake it for.
        let heartbeats_look = !is_due || !is_told;
        let is_looked_for = |kind: &&JobKind| heartbeats_look && !config.pools.of(kind.0).paused;
        let kinds = self.kinds.iter().filter(is_looked_for);
        let wanted: Vec<_> = kinds.map(|kind| (kind.0, self.claiming.floor(*kind))).collect();
        membership.look_for_jobs(&wanted);

        if is_due {
            self.polling.polled(now);
            self.make_due(ctx);
            self.claiming.look_for_suspect();
            self.try_claim(ctx);
        }
    }

    /// Ticks at once if `supervisor.tick` has changed. The tick polls, because jobs that are due
    /// before the next tick are known by a poll alone.
    pub(super) fn follow_tick(&mut self, ctx: &mut actix::Context<Self>) {
        let tick = self.setup.config.get().supervisor.tick;
        if self.timer.is_some_and(|(_, started_with)| started_with != tick) {
            self.polling.note_change();
            ctx.notify(Tick);
        }
    }

    /// Moves jobs whose time has come into their lines. Wakes again when the next is due, if that
    /// is before the next tick.
    pub(super) fn make_due(&mut self, ctx: &mut actix::Context<Self>) {
        if self.is_making_due || self.pools.is_empty() || self.draining.is_some() {
            return;
        }
        self.is_making_due = true;
        let queue = self.setup.queue.clone();
        let step = async move {
            let next_ms = queue.next_due_ms().await?;
            if next_ms.is_none_or(|ms| ms > 0) {
                return Ok::<_, StoreError>((0, next_ms));
            }
            let moved = queue.make_due().await?;
            Ok((moved, queue.next_due_ms().await?))
        };
        ctx.spawn(step.into_actor(self).map(|result, actor, ctx| {
            actor.setup.board.faults().point("supervisor.due");
            actor.is_making_due = false;
            match result {
                Ok((moved, next_ms)) => actor.made_due(moved, next_ms, ctx),
                Err(error) => {
                    actor.polling.note_change();
                    tracing::warn!(%error, "making jobs due failed");
                }
            }
        }));
    }

    /// `moved` jobs were made due; the next is due in `next_ms` milliseconds.
    fn made_due(&mut self, moved: usize, next_ms: Option<i64>, ctx: &mut actix::Context<Self>) {
        if moved > 0 {
            self.try_claim(ctx);
        }
        let tick = self.setup.config.get().supervisor.tick;
        let next = next_ms.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or_default()));
        self.polling.next_due(self.setup.handover.started.elapsed(), next);
        match next {
            _ if moved >= DUE_STEP => ctx.notify(DueNow),
            Some(next) if next < tick => {
                ctx.notify_later(DueNow, next.max(DUE_PAUSE_MIN));
            }
            Some(_) | None => {}
        }
    }
}

impl actix::Actor for Supervisor {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Be found.
        ctx.set_mailbox_capacity(MAILBOX);
        let address = ctx.address();
        self.setup.stored.set(address.clone().recipient());
        self.setup.recorded.set(address.clone().recipient());
        self.setup.handover.address.set(address);
        self.setup.board.faults().point("supervisor.started");

        // Hear of changes of the configuration, before the pools are fitted to it.
        ctx.add_message_stream(Box::pin(fitting::changes(&self.setup.config)));

        // Start the children, or those that went down under the supervisor before.
        self.check_all(ctx);

        // Hear of actors that go down.
        let handover = self.setup.handover.clone();
        let downs = futures_util::stream::unfold(handover, |handover| async move {
            let down = handover.next_down().await?;
            Some((ActorDown { down, checks: 0 }, handover))
        });
        ctx.add_message_stream(Box::pin(downs));

        // Work. Slots are started here, or follow what has changed while no supervisor lived.
        self.make_pools();
        self.take_over_claim(ctx);
        self.fit_pools(ctx);
        ctx.notify(Tick);
    }
}

impl Drop for Supervisor {
    /// Must not panic: it runs while unwinding, too.
    fn drop(&mut self) {
        let pools = std::mem::take(&mut self.pools);
        let supervised = std::mem::take(&mut self.supervised);
        self.setup.handover.leave(HandedOver { pools, supervised });
    }
}

impl actix::Handler<Tick> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Tick, ctx: &mut Self::Context) {
        self.setup.board.ticked(wall_clock());
        self.setup.board.faults().point("supervisor.tick");
        self.presence.post().busy(0, wall_clock());
        self.check_all(ctx);
        self.fit_pools(ctx);
        self.give_back_stale();
        self.poll_if_due(ctx);
        self.presence.post().idle(wall_clock());
        let tick = self.setup.config.get().supervisor.tick;
        let timer = ctx.notify_later(Tick, tick);
        if let Some((earlier, _)) = self.timer.replace((timer, tick)) {
            ctx.cancel_future(earlier);
        }
    }
}

impl actix::Handler<DueNow> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: DueNow, ctx: &mut Self::Context) {
        // The due job may be a suspect, which gets no turn: only a claim finds it.
        self.claiming.look_for_suspect();
        self.try_claim(ctx);
        self.make_due(ctx);
    }
}
