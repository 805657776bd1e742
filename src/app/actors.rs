//! The actors of a daemon: what each is made from, and who tells whom.

use super::{
    AppError, Role,
    daemon::{Arbiters, WorkRuntimes},
    database_error,
};
use crate::{
    analyst::{Local, Metered},
    config,
    domain::{ChannelName, JobKind},
    handlers::Deps,
    ingest::{self, Directory, Entrance, Gate, IngestActor},
    recorder::{self, Recorder},
    registry::Registry,
    store::Store,
    supervisor::{Child, Janitor, JanitorPlan, Supervisor, SupervisorPlan, rescue},
    telemetry::{
        board::{Board, Down},
        metrics::Metrics,
    },
};
use actix::{Actor, Arbiter, ArbiterHandle, AsyncContext};
use std::sync::{Arc, OnceLock};
use tokio::sync::mpsc;

/// How many outcomes and claimed jobs there may be together, at the least; more where pools are larger.
const RECORDER_CAPACITY_MIN: usize = 4_096;

/// What all actors are made from.
pub(super) struct Parts {
    pub(super) live: config::Live,
    pub(super) store: Store,
    pub(super) board: Arc<Board>,
    pub(super) metrics: Metrics,
    pub(super) role: Role,
}

impl Parts {
    pub(super) fn entrance(&self) -> Entrance {
        let cfg = self.live.get();
        let bytes = usize::try_from(cfg.ingest.queue_bytes).unwrap_or(usize::MAX);
        Entrance { gate: Gate::new(cfg.ingest.queue, bytes), directory: Directory::default() }
    }

    /// Starts the supervisor, and with it recorder, ingest actors, pools and janitor.
    pub(super) async fn start_actors(
        &self,
        registry: &Registry,
        entrance: &Entrance,
        arbiters: &Arbiters,
        work: &WorkRuntimes,
        downs: mpsc::UnboundedReceiver<Down>,
    ) -> Result<(actix::Addr<Supervisor>, recorder::Address), AppError> {
        let kinds: Vec<_> = if self.role.works() { registry.kinds.clone() } else { Vec::new() };
        let janitor = self.janitor_plan(registry.kind_names().into());
        if self.role.works() && self.store.database() == "sqlite" {
            // The lock of the file says that no other process lives: what is held is orphaned.
            rescue(&janitor, Vec::new())
                .await
                .map_err(|source| database_error(&self.live.get(), source))?;
        }
        let capacity = self.recorder_capacity(&registry.kind_names());
        let recorder = recorder::Address::default();
        let cell: Arc<OnceLock<actix::Addr<Supervisor>>> = Arc::default();
        let control = arbiters.control.handle();
        let mut children = vec![self.recorder_child(&recorder, &cell, &control, capacity)];
        if self.role.takes_webhooks() {
            for channel in &registry.channels {
                let ingest = arbiters.ingest.handle();
                children.push(self.ingest_child(channel.name(), entrance, &cell, &ingest));
            }
        }
        if self.role.works() {
            children.push(janitor_child(janitor, &control));
        }
        let deps = Deps {
            reader: self.store.reader(),
            analyst: Arc::new(Metered::new(Local, "local", self.metrics.clone())),
            config: self.live.clone(),
        };
        let plan = SupervisorPlan {
            kinds,
            deps: self.role.works().then_some(deps),
            queue: self.store.queue(),
            node: self.store.node(),
            recorder: recorder.clone(),
            recorder_capacity: capacity,
            children,
            arbiters: arbiters.slots.iter().map(Arbiter::handle).collect(),
            work: registry
                .kinds
                .iter()
                .filter_map(|it| Some((it.kind, work.handle(it.kind)?)))
                .collect(),
            config: self.live.clone(),
            board: self.board.clone(),
            metrics: self.metrics.clone(),
            downs: Some(downs),
        };
        let supervisor = Supervisor::start_in_arbiter(&control, move |ctx| {
            // Set once: the cell is this supervisor's own.
            let _first = cell.set(ctx.address());
            Supervisor::new(plan)
        });
        Ok((supervisor, recorder))
    }

    /// Twice what all pools can hold, so that outcomes of one round never keep the next from its claim.
    fn recorder_capacity(&self, kinds: &[JobKind]) -> usize {
        let cfg = self.live.get();
        let held: usize =
            kinds.iter().map(|it| cfg.pools.of(it.0)).map(|it| it.size + it.prefetch).sum();
        (held * 2).max(RECORDER_CAPACITY_MIN)
    }

    fn janitor_plan(&self, kinds: Arc<[JobKind]>) -> JanitorPlan {
        JanitorPlan {
            nodes: self.store.nodes(),
            node: self.store.node(),
            queue: self.store.queue(),
            feed: self.store.feed(),
            ledger: self.store.ledger(),
            config: self.live.clone(),
            kinds,
            board: self.board.clone(),
            metrics: self.metrics.clone(),
        }
    }

    fn recorder_child(
        &self,
        address: &recorder::Address,
        supervisor: &Arc<OnceLock<actix::Addr<Supervisor>>>,
        arbiter: &ArbiterHandle,
        capacity: usize,
    ) -> Child {
        let (ledger, board) = (self.store.ledger(), self.board.clone());
        let (address, supervisor, arbiter) = (address.clone(), supervisor.clone(), arbiter.clone());
        let start = move || {
            let plan = recorder::Plan {
                ledger: ledger.clone(),
                announce: supervisor.get().map(|it| it.clone().recipient()),
                board: board.clone(),
                capacity,
            };
            address.set(Recorder::start_in_arbiter(&arbiter, |_| Recorder::new(plan)));
        };
        Child { name: "recorder".to_owned(), start: Arc::new(start) }
    }

    fn ingest_child(
        &self,
        channel: ChannelName,
        entrance: &Entrance,
        supervisor: &Arc<OnceLock<actix::Addr<Supervisor>>>,
        arbiter: &ArbiterHandle,
    ) -> Child {
        let (inbox, config, board) = (self.store.inbox(), self.live.clone(), self.board.clone());
        let metrics = self.metrics.webhook(channel);
        let (directory, supervisor, arbiter) =
            (entrance.directory.clone(), supervisor.clone(), arbiter.clone());
        let start = move || {
            let plan = ingest::Plan {
                channel,
                inbox: inbox.clone(),
                config: config.clone(),
                announce: supervisor.get().map(|it| it.clone().recipient()),
                board: board.clone(),
                metrics: metrics.clone(),
            };
            directory
                .set(channel, IngestActor::start_in_arbiter(&arbiter, |_| IngestActor::new(plan)));
        };
        Child { name: format!("ingest/{channel}"), start: Arc::new(start) }
    }
}

fn janitor_child(plan: JanitorPlan, arbiter: &ArbiterHandle) -> Child {
    let arbiter = arbiter.clone();
    let start = move || {
        let plan = plan.clone();
        // Nobody commands the janitor: its address is not kept.
        drop(Janitor::start_in_arbiter(&arbiter, |_| Janitor::new(plan)));
    };
    Child { name: "janitor".to_owned(), start: Arc::new(start) }
}
