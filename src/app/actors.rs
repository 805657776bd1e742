//! The actors of a daemon: what each is made from, and who tells whom.

use super::{AppError, Role, daemon::Arbiters, database_error};
use crate::{
    analyst::{Local, Metered},
    config,
    domain::{ChannelName, JobKind},
    handlers::Deps,
    ingest::{self, Directory, Entrance, Gate, IngestActor},
    recorder::{self, Holds, Outbox, Recorder},
    registry::Registry,
    store::{Census, Store},
    supervisor::{
        self, Child, Estate, Guardian, Janitor, JanitorPlan, Listener, ListenerPlan, Pulse,
        SupervisorPlan, rescue,
    },
    telemetry::{
        board::{ActorType, Board, Downs},
        metrics::Metrics,
    },
};
use actix::{Actor, Arbiter, ArbiterHandle};
use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicBool},
};

/// How many outcomes and claimed jobs there may be together, at the least; more where pools are larger.
const RECORDER_CAPACITY_MIN: usize = 4_096;

/// How the daemon reaches its actors.
pub(super) struct Actors {
    /// Lives while it is held here.
    pub(super) guardian: actix::Addr<Guardian>,
    pub(super) supervisor: supervisor::Address,
    pub(super) outbox: Outbox,
}

/// What all actors are made from.
pub(super) struct Parts {
    pub(super) live: config::Live,
    pub(super) store: Store,
    pub(super) board: Arc<Board>,
    pub(super) metrics: Metrics,
    pub(super) role: Role,
    pub(super) census: Census,
}

impl Parts {
    pub(super) fn entrance(&self) -> Entrance {
        let cfg = self.live.get();
        let bytes = usize::try_from(cfg.ingest.queue_bytes).unwrap_or(usize::MAX);
        Entrance { gate: Gate::new(cfg.ingest.queue, bytes), directory: Directory::default() }
    }

    /// Starts the guardian, and with it supervisor, recorder, ingest actors, pools and janitor.
    pub(super) async fn start_actors(
        &self,
        registry: &Registry,
        entrance: &Entrance,
        arbiters: &Arbiters,
        work: &HashMap<JobKind, Arc<supervisor::Work>>,
        downs: Downs,
    ) -> Result<Actors, AppError> {
        let kinds: Vec<_> = if self.role.works() { registry.kinds.clone() } else { Vec::new() };
        let capacity = self.recorder_capacity(&registry.kind_names());
        let estate = Estate::new(capacity, downs.actors);
        let (stored, recorded) = (ingest::Listener::default(), recorder::Listener::default());
        let kinds_of_janitor = registry.kind_names().into();
        let janitor = self.janitor_plan(kinds_of_janitor, estate.holds.clone(), stored.clone());
        if self.role.works() && self.store.database() == "sqlite" {
            // The lock of the file says that no other process lives: what is held is orphaned.
            rescue(&janitor, Vec::new())
                .await
                .map_err(|source| database_error(&self.live.get(), source))?;
        }
        let outbox = Outbox::default();
        let control = arbiters.control.handle();
        let mut children = vec![self.recorder_child(&outbox, &recorded, &control, capacity)];
        if self.role.takes_webhooks() {
            for channel in &registry.channels {
                let ingest = arbiters.ingest.handle();
                children.push(self.ingest_child(channel.name(), entrance, &stored, &ingest));
            }
        }
        let is_heard = Arc::new(AtomicBool::new(false));
        if let Some(ears) = self.store.ears(&self.live.get().database).filter(|_| self.role.works())
        {
            let (announce, is_heard) = (stored.clone(), is_heard.clone());
            let plan = ListenerPlan { ears, announce, is_heard, board: self.board.clone() };
            children.push(listener_child(plan, &control));
        }
        let woken = stored.clone();
        self.store.notices().tell(move || {
            if let Some(supervisor) = woken.load_full()
                && supervisor.try_send(ingest::Stored { jobs: 1 }).is_err()
            {
                tracing::trace!("the supervisor is busy: its tick will find the jobs");
            }
        });
        if self.role.works() {
            children.push(janitor_child(janitor, &control));
        }
        let deps = Deps {
            reader: self.store.reader(),
            analyst: Arc::new(Metered::new(Local, "local", self.metrics.clone())),
            config: self.live.clone(),
        };
        let supervisor = estate.address.clone();
        let plan = SupervisorPlan {
            kinds,
            deps: self.role.works().then_some(deps),
            queue: self.store.queue(),
            node: self.store.node(),
            outbox: outbox.clone(),
            children,
            estate,
            stored,
            recorded,
            census: self.census.clone(),
            is_heard,
            arbiters: arbiters.slots.iter().map(Arbiter::handle).collect(),
            work: work.clone(),
            config: self.live.clone(),
            board: self.board.clone(),
            metrics: self.metrics.clone(),
        };
        let ingest = vec![("ingest".to_owned(), arbiters.ingest.handle())];
        let guardian = Guardian::new(Arc::new(plan), control, ingest, downs.supervisors).start();
        Ok(Actors { guardian, supervisor, outbox })
    }

    /// Twice what all pools can hold, so that outcomes of one round never keep the next from its claim.
    fn recorder_capacity(&self, kinds: &[JobKind]) -> usize {
        let cfg = self.live.get();
        let held: usize =
            kinds.iter().map(|it| cfg.pools.of(it.0)).map(|it| it.size + it.prefetch).sum();
        (held * 2).max(RECORDER_CAPACITY_MIN)
    }

    fn janitor_plan(
        &self,
        kinds: Arc<[JobKind]>,
        holds: Holds,
        announce: ingest::Listener,
    ) -> JanitorPlan {
        JanitorPlan {
            census: self.census.clone(),
            node: self.store.node(),
            queue: self.store.queue(),
            holds,
            feed: self.store.feed(),
            chores: self.store.chores(),
            ledger: self.store.ledger(),
            announce,
            config: self.live.clone(),
            kinds,
            board: self.board.clone(),
            metrics: self.metrics.clone(),
        }
    }

    fn recorder_child(
        &self,
        outbox: &Outbox,
        announce: &recorder::Listener,
        arbiter: &ArbiterHandle,
        capacity: usize,
    ) -> Child {
        let plan = recorder::Plan {
            outbox: outbox.clone(),
            ledger: self.store.ledger(),
            announce: announce.clone(),
            board: self.board.clone(),
            metrics: self.metrics.clone(),
            capacity,
        };
        let (outbox, arbiter) = (outbox.clone(), arbiter.clone());
        let start = move || {
            let plan = plan.clone();
            let address = Recorder::start_in_arbiter(&arbiter, |_| Recorder::new(plan));
            outbox.set(address.clone());
            pulse_of(address)
        };
        let (name, kind) = ("recorder".to_owned(), ActorType::Recorder);
        Child { name, kind, start: Arc::new(start) }
    }

    fn ingest_child(
        &self,
        channel: ChannelName,
        entrance: &Entrance,
        announce: &ingest::Listener,
        arbiter: &ArbiterHandle,
    ) -> Child {
        let plan = ingest::Plan {
            channel,
            inbox: self.store.inbox(),
            config: self.live.clone(),
            announce: announce.clone(),
            notices: self.store.notices(),
            board: self.board.clone(),
            metrics: self.metrics.webhook(channel),
        };
        let (directory, arbiter) = (entrance.directory.clone(), arbiter.clone());
        let start = move || {
            let plan = plan.clone();
            let address = IngestActor::start_in_arbiter(&arbiter, |_| IngestActor::new(plan));
            directory.set(channel, address.clone());
            pulse_of(address)
        };
        let (name, kind) = (format!("ingest/{channel}"), ActorType::Ingest);
        Child { name, kind, start: Arc::new(start) }
    }
}

fn janitor_child(plan: JanitorPlan, arbiter: &ArbiterHandle) -> Child {
    let arbiter = arbiter.clone();
    let start = move || {
        let plan = plan.clone();
        pulse_of(Janitor::start_in_arbiter(&arbiter, |_| Janitor::new(plan)))
    };
    Child { name: "janitor".to_owned(), kind: ActorType::Janitor, start: Arc::new(start) }
}

fn listener_child(plan: ListenerPlan, arbiter: &ArbiterHandle) -> Child {
    let arbiter = arbiter.clone();
    let start = move || {
        let plan = plan.clone();
        pulse_of(Listener::start_in_arbiter(&arbiter, |_| Listener::new(plan)))
    };
    Child { name: "listener".to_owned(), kind: ActorType::Listener, start: Arc::new(start) }
}

fn pulse_of<A: Actor<Context = actix::Context<A>>>(address: actix::Addr<A>) -> Pulse {
    Arc::new(move || address.connected())
}
