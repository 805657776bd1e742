//! The actors of a daemon: what each is made from, and which actor notifies which.

use super::{
    AppError, Role,
    daemon::{Arbiters, Daemon},
    database_error,
};
use crate::{
    analyst::Analysts,
    announcer::Announcer,
    config,
    domain::{ChannelName, JobKind},
    handlers::Deps,
    ingest::{self, IngestActor, Intake, Stored},
    recorder::{self, Recorded, Recorder, ResizableBound, Uncommitted},
    registry::Registry,
    store::{Membership, SlotLender, Store, UnstartedRuns},
    supervisor::{
        self, Child, Guardian, HandOffDesk, HandOffSetup, Handover, Janitor, JanitorSetup,
        Listener, ListenerSetup, SupervisorSetup, rescue,
    },
    telemetry::{
        board::{ActorType, Board, Downs},
        metrics::Metrics,
        traces::TraceSending,
    },
    wire::Wire,
};
use actix::{Actor, Arbiter, ArbiterHandle};
use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

/// How long the start waits for the first actors.
const FIRST_ACTORS_WITHIN: Duration = Duration::from_secs(5);

/// How the daemon reaches its actors.
pub(super) struct Actors {
    /// The guardian lives as long as this address.
    pub(super) guardian: actix::Addr<Guardian>,
    pub(super) supervisor: supervisor::SupervisorAddress,
    pub(super) uncommitted: Uncommitted,
    pub(super) claims: supervisor::ClaimsHere,
    /// Lends slots to jobs that are about to be stored.
    pub(super) desk: HandOffDesk,
}

impl Daemon {
    /// Lends its slots to jobs that are about to be stored.
    pub const fn lender(&self) -> &HandOffDesk {
        &self.actors.desk
    }
}

/// The parts that the actors have in common.
pub(super) struct Parts {
    pub(super) live: config::Live,
    pub(super) store: Store,
    pub(super) board: Arc<Board>,
    pub(super) metrics: Metrics,
    pub(super) role: Role,
    pub(super) membership: Membership,
    /// Who classifies, scores, drafts and evaluates.
    pub(super) analysts: Analysts,
}

impl Parts {
    /// Starts to record spans, if the configuration names a collector. Must be called inside an
    /// actix system.
    ///
    /// # Errors
    /// If its URL cannot be used.
    pub(super) fn start_traces(&self) -> Result<TraceSending, AppError> {
        let (config, traces) = (self.live.get(), self.board.traces());
        traces.sample(config.telemetry.sample);
        let Some(endpoint) = &config.telemetry.otlp_endpoint else {
            return Ok(TraceSending::default());
        };
        let dropped = self.metrics.pages().spans_dropped();
        Ok(traces.start(endpoint.expose(), self.store.node(), dropped)?.spawn())
    }

    /// Starts the guardian, which starts the supervisor with its recorder, ingest actors, pools and
    /// janitor.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub(super) async fn start_actors(
        &self,
        registry: &Registry,
        intake: &Intake,
        arbiters: &Arbiters,
        work: &HashMap<JobKind, Arc<supervisor::WorkRuntime>>,
        downs: Downs,
    ) -> Result<Actors, AppError> {
        // Create what outlives the actors.
        let kinds: Vec<_> = if self.role.works() { registry.kinds.clone() } else { Vec::new() };
        let handover = Handover::new(downs.actors);
        let (stored, recorded) = (Announcer::default(), Announcer::default());
        let kinds_of_janitor = registry.kind_names().into();
        let unstarted = UnstartedRuns::default();
        let janitor = self.janitor_setup(kinds_of_janitor, &handover, &unstarted, stored.clone());
        if self.role.works() && self.store.database() == "sqlite" {
            // The file's lock proves that no other process runs, so every claimed job is orphaned.
            rescue(&janitor, Vec::new())
                .await
                .map_err(|source| database_error(&self.live.get(), source))?;
        }
        // Describe the supervisor's children, so that it can start and restart them.
        let uncommitted = Uncommitted::default();
        let desk = self.hand_off_desk(&handover, &uncommitted, unstarted);
        let control = arbiters.control.handle();
        let mut children =
            vec![self.recorder_child(&uncommitted, &desk, &recorded, &control, &handover.room)];
        if self.role.takes_webhooks() {
            for channel in &registry.channels {
                let ingest = arbiters.ingest.handle();
                let lender = Arc::new(desk.clone());
                children.push(self.ingest_child(channel.name(), intake, lender, &stored, &ingest));
            }
        }
        let is_heard = Arc::new(AtomicBool::new(false));
        children.extend(self.listener_child(&stored, &is_heard, &control));
        // Wake the supervisor when another node has stored jobs.
        let woken = stored.clone();
        self.store.notices().tell(move || woken.announce(Stored { jobs: 1 }));
        if self.role.works() {
            let make = move || Janitor::new(janitor.clone());
            children.push(Child::of("janitor", ActorType::Janitor, &control, make));
        }
        // Start the guardian.
        let deps = Deps {
            reader: self.store.reader(),
            analysts: self.analysts.clone(),
            config: self.live.clone(),
            send_marker: self.store.send_marker(),
            wire: Wire::default(),
            channels: registry.channels.clone().into(),
            board: self.board.clone(),
        };
        let (supervisor, claims) = (handover.address.clone(), handover.claims());
        let setup = SupervisorSetup {
            kinds,
            deps: self.role.works().then_some(deps),
            queue: self.store.queue(),
            node: self.store.node(),
            uncommitted: uncommitted.clone(),
            children,
            handover,
            desk: desk.clone(),
            stored,
            recorded,
            membership: self.membership.clone(),
            is_heard,
            arbiters: arbiters.slots.iter().map(Arbiter::handle).collect(),
            work: work.clone(),
            config: self.live.clone(),
            board: self.board.clone(),
            metrics: self.metrics.clone(),
        };
        let others = vec![
            ("ingest".to_owned(), arbiters.ingest.handle()),
            ("tuning".to_owned(), arbiters.tuning.handle()),
        ];
        let guardian = Guardian::new(Arc::new(setup), control, others, downs.supervisors).start();
        Ok(Actors { guardian, supervisor, uncommitted, claims, desk })
    }

    /// Waits until each channel has its ingest actor and each kind its pool. Webhooks and changes
    /// of pools that came earlier would be refused. After [`FIRST_ACTORS_WITHIN`] the daemon goes
    /// on without them: the supervisor still tries to start them.
    pub(super) async fn first_actors(&self, registry: &Registry, intake: &Intake) {
        let kinds = if self.role.works() { registry.kinds.len() } else { 0 };
        let takes = |channel| !self.role.takes_webhooks() || intake.directory.has(channel);
        let are_there = self.board.wait_until(|board| {
            board.pools().iter().filter(|pool| pool.size > 0).count() >= kinds
                && registry.channels.iter().all(|it| takes(it.name()))
        });
        if tokio::time::timeout(FIRST_ACTORS_WITHIN, are_there).await.is_err() {
            tracing::warn!(
                "some actors did not start yet: what needs them is refused until they do"
            );
        }
    }

    /// Lends slots to ingest and the recorder. It knows no pool until the supervisor has made one.
    fn hand_off_desk(
        &self,
        handover: &Arc<Handover>,
        uncommitted: &Uncommitted,
        unstarted: UnstartedRuns,
    ) -> HandOffDesk {
        HandOffDesk::new(HandOffSetup {
            handover: handover.clone(),
            uncommitted: uncommitted.clone(),
            node: self.store.node(),
            membership: self.membership.clone(),
            config: self.live.clone(),
            board: self.board.clone(),
            unstarted,
        })
    }

    fn janitor_setup(
        &self,
        kinds: Arc<[JobKind]>,
        handover: &Handover,
        unstarted: &UnstartedRuns,
        announcer: Announcer<Stored>,
    ) -> JanitorSetup {
        JanitorSetup {
            membership: self.membership.clone(),
            node: self.store.node(),
            queue: self.store.queue(),
            in_flight: handover.in_flight.clone(),
            unstarted: unstarted.clone(),
            enqueuer: self.store.enqueuer(),
            chores: self.store.chores(),
            ledger: self.store.ledger(),
            announcer,
            config: self.live.clone(),
            kinds,
            board: self.board.clone(),
            metrics: self.metrics.clone(),
        }
    }

    fn recorder_child(
        &self,
        uncommitted: &Uncommitted,
        desk: &HandOffDesk,
        announcer: &Announcer<Recorded>,
        arbiter: &ArbiterHandle,
        room: &ResizableBound,
    ) -> Child {
        let setup = recorder::RecorderSetup {
            uncommitted: uncommitted.clone(),
            ledger: self.store.ledger(),
            lender: Arc::new(desk.clone()),
            announcer: announcer.clone(),
            board: self.board.clone(),
            metrics: self.metrics.clone(),
            room: room.clone(),
        };
        let (make, uncommitted) = (move || Recorder::new(setup.clone()), uncommitted.clone());
        let started = move |address| uncommitted.set(address);
        Child::addressed("recorder", ActorType::Recorder, arbiter, make, started)
    }

    /// None on SQLite, behind a pooler, and in a process that runs no jobs.
    fn listener_child(
        &self,
        announcer: &Announcer<Stored>,
        is_heard: &Arc<AtomicBool>,
        arbiter: &ArbiterHandle,
    ) -> Option<Child> {
        let subscriber = self.store.subscriber(&self.live.get().database)?;
        if !self.role.works() {
            return None;
        }
        let (announcer, is_heard) = (announcer.clone(), is_heard.clone());
        let setup = ListenerSetup { subscriber, announcer, is_heard, board: self.board.clone() };
        let make = move || Listener::new(setup.clone());
        Some(Child::of("listener", ActorType::Listener, arbiter, make))
    }

    fn ingest_child(
        &self,
        channel: ChannelName,
        intake: &Intake,
        lender: Arc<dyn SlotLender>,
        announcer: &Announcer<Stored>,
        arbiter: &ArbiterHandle,
    ) -> Child {
        let setup = ingest::IngestSetup {
            channel,
            inbox: self.store.inbox(),
            config: self.live.clone(),
            lender,
            announcer: announcer.clone(),
            notices: self.store.notices(),
            board: self.board.clone(),
            metrics: self.metrics.webhook(channel),
        };
        let (make, directory) = (move || IngestActor::new(setup.clone()), intake.directory.clone());
        let started = move |address| directory.set(channel, address);
        let name = format!("ingest/{channel}");
        Child::addressed(name, ActorType::Ingest, arbiter, make, started)
    }
}
