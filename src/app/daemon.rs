//! A running daemon: how it comes up, and how it goes down so that nothing is lost.

use super::{
    AppError, Role,
    actors::{Actors, Parts},
    database_error,
    files::lock_database,
    token::admin_token,
};
use crate::{
    config::{self, Config},
    domain::{JobKind, backoff::AWAY_PAUSE},
    http::{self, State},
    ingest::Entrance,
    registry::Registry,
    store::{self, Heartbeat, Store, StoreError, StoreRuntime},
    supervisor::{self, Drain},
    telemetry::{
        board::{Board, Fatal},
        metrics::Metrics,
    },
};
use actix::Arbiter;
use std::{collections::HashMap, fs::File, io, net::TcpListener, sync::Arc, time::Duration};
use tokio::{sync::oneshot, time::Instant};

/// How long the database may take before whoever asks the daemon is told that it waits.
const PROMPT: Duration = Duration::from_secs(1);
/// How long the outcomes of what was cut off at `server.shutdown_timeout` may take to be committed.
const FLUSH_LIMIT: Duration = Duration::from_millis(500);
/// How long HTTP may take to close, and how long at the least when all else has taken its time. With
/// [`FLUSH_LIMIT`] it leaves a little of the second that a stop may take beyond its time-out.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);
const CLOSE_LEAST: Duration = Duration::from_millis(300);
/// How long a stop may take to say that this node is gone, at the least.
const LEAVE_LEAST: Duration = Duration::from_millis(150);
/// How long the one that waits for the database may take to answer who is inside.
const WAITING_ROOM_LIMIT: Duration = Duration::from_millis(800);

/// A running daemon: what has to be stopped, and in which order.
pub struct Daemon {
    board: Arc<Board>,
    entrance: Entrance,
    actors: Actors,
    server: http::ClosableServer,
    heartbeat: Heartbeat,
    arbiters: Vec<Arbiter>,
    work: HashMap<JobKind, Arc<supervisor::Work>>,
    store_runtime: StoreRuntime,
    store: Store,
    config: config::Live,
    url: String,
    _lock: Option<File>,
}

impl std::fmt::Debug for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Daemon").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Live arbiters by what lives on them.
pub(super) struct Arbiters {
    pub(super) control: Arbiter,
    pub(super) ingest: Arbiter,
    pub(super) slots: Vec<Arbiter>,
}

impl Arbiters {
    fn start() -> Self {
        let slots = (0..core_count()).map(|_| Arbiter::new()).collect();
        Self { control: Arbiter::new(), ingest: Arbiter::new(), slots }
    }
}

fn core_count() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get)
}

impl Daemon {
    /// Starts a daemon on `listener`. Must be called inside an actix system.
    ///
    /// # Errors
    /// When it cannot start. A database that is away is waited for, with `/readyz` at 503.
    pub async fn start(
        config: Config,
        registry: Registry,
        role: Role,
        listener: TcpListener,
    ) -> Result<Self, AppError> {
        let mut waiting_room = WaitingRoom::default();
        Self::start_behind(&mut waiting_room, config, registry, role, listener).await
    }

    /// As [`Daemon::start`]; who comes while it waits is received in this room. Where the start is broken off, the
    /// room is to be closed.
    ///
    /// # Errors
    /// As there.
    pub(super) async fn start_behind(
        waiting_room: &mut WaitingRoom,
        config: Config,
        registry: Registry,
        role: Role,
        listener: TcpListener,
    ) -> Result<Self, AppError> {
        http::raise_limit();
        let tls = config.server.tls.as_ref().map(http::Tls::load).transpose()?;
        waiting_room.tls.clone_from(&tls);
        let lock = lock_database(&config)?;
        let token = admin_token(&config).await?;
        let store_runtime = StoreRuntime::start()?;
        let store = open_store(&config, &store_runtime, role, waiting_room, &listener).await?;
        warn_if_undurable(&store).await;
        // A node that only takes webhooks runs no handlers.
        let kinds = if role.works() { registry.kind_names() } else { Vec::new() };
        let work = start_work(&kinds, &config)?;
        let metrics = Metrics::new().map_err(|error| AppError::Metrics(error.to_string()))?;
        let (board, downs) = Board::new();
        let told = board.clone();
        let forgotten = move || told.give_up(Fatal::Forgotten);
        let heartbeat = Heartbeat::start(&store, &config, role.works(), forgotten)?;
        let live = config::Live::new(config);
        let parts = Parts {
            live: live.clone(),
            store: store.clone(),
            board: board.clone(),
            metrics,
            role,
            membership: heartbeat.membership(),
        };
        let arbiters = Arbiters::start();
        let entrance = parts.entrance();
        let actors = parts.start_actors(&registry, &entrance, &arbiters, &work, downs).await?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr()?);
        let state = State::new(
            &live,
            &registry.channels,
            &entrance,
            &store,
            &board,
            parts.metrics.clone(),
            token,
            role.as_str(),
        );
        waiting_room.hand_over().await;
        let server = http::serve(listener, tls, state)?;
        tracing::info!(
            url,
            role = role.as_str(),
            database = store.database(),
            node.id = store.node(),
            "ready"
        );
        let Arbiters { control, ingest, mut slots } = arbiters;
        slots.extend([control, ingest]);
        Ok(Self {
            board,
            entrance,
            actors,
            server,
            heartbeat,
            arbiters: slots,
            work,
            store_runtime,
            store,
            config: live,
            url,
            _lock: lock,
        })
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The board.
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// The store.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The configuration that applies now.
    pub const fn config(&self) -> &config::Live {
        &self.config
    }

    /// The way in for webhooks.
    pub const fn entrance(&self) -> &Entrance {
        &self.entrance
    }

    /// The supervisor.
    pub const fn supervisor(&self) -> &supervisor::SupervisorAddress {
        &self.actors.supervisor
    }

    /// Waits until the daemon cannot go on, and says why. It is to be stopped then.
    pub async fn given_up(&self) -> Fatal {
        self.board.given_up().await
    }

    /// Stops it, so that nothing is lost: webhooks are refused, what is inside is committed and answered,
    /// claims stop, running jobs finish up to the time-out, unstarted ones go back, the recorder flushes;
    /// then HTTP, arbiters, the work runtime, and the store runtime last. Takes `server.shutdown_timeout` and a
    /// second at the most, also where the database is away: what could not be committed by then is left to be
    /// rescued, or posted again.
    pub async fn stop(self) {
        let until = Instant::now() + self.config.get().server.shutdown_timeout;
        self.board.drain();
        self.server.say_goodbye();
        let drain = self.drain_supervisor(until);
        let emptying = async {
            let empty = self.board.wait_until(|_| self.entrance.gate.inside() == 0);
            if tokio::time::timeout_at(until, empty).await.is_err() {
                tracing::error!(
                    "webhooks were still waiting for their commit: they are to be posted again"
                );
            }
            self.entrance.gate.close();
        };
        let limit = until + FLUSH_LIMIT;
        let (drained, ()) = tokio::join!(tokio::time::timeout_at(limit, drain), emptying);
        if drained != Ok(true) {
            tracing::error!(
                "the supervisor did not finish its drain: its jobs are left to be rescued"
            );
        }
        let is_flushed = tokio::select! {
            () = self.actors.uncommitted.flush() => true,
            // The supervisor has gone: nobody starts another.
            () = self.board.wait_until(|_| !self.actors.uncommitted.has_recorder()) => false,
            () = tokio::time::sleep_until(limit) => false,
        };
        if !is_flushed {
            tracing::error!(
                "the recorder could not commit everything: its jobs are left to be rescued"
            );
        }
        let now = Instant::now();
        self.server.close((now + CLOSE_LIMIT).min(until.max(now) + CLOSE_LEAST)).await;
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
        self.work.values().for_each(|it| it.stop());
        // A heartbeat would miss the row.
        drop(self.heartbeat);
        if drained == Ok(true) && is_flushed {
            leave(&self.store, until).await;
        }
        drop(self.store_runtime);
        drop(self.actors.guardian);
        tracing::info!("stopped");
    }
}

impl Daemon {
    /// Has the supervisor drain, and waits for it; false where there is none. One that dies meanwhile is followed by
    /// another, which is told again.
    async fn drain_supervisor(&self, until: Instant) -> bool {
        /// How often it is looked for a supervisor, while there is none.
        const LOOK_EVERY: Duration = Duration::from_millis(5);
        loop {
            let (done, drained) = oneshot::channel();
            let within = until.saturating_duration_since(Instant::now());
            let supervisor = self.actors.supervisor.get();
            let is_told = supervisor.is_some_and(|it| it.try_send(Drain { within, done }).is_ok());
            if is_told && drained.await.is_ok() {
                return true;
            }
            if self.board.has_given_up() {
                return false;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Takes this node's row away, so that others need not find out that it is gone, and its place is
/// free.
async fn leave(store: &Store, until: Instant) {
    let limit = until.max(Instant::now() + LEAVE_LEAST);
    match tokio::time::timeout_at(limit, store.leave()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(%error, "this node could not say that it is gone: it is forgotten in an hour");
        }
        Err(_) => tracing::warn!("no time was left to say that this node is gone"),
    }
}

/// Says so where the server may lose what it has acknowledged.
async fn warn_if_undurable(store: &Store) {
    match store.undurable().await {
        Ok(off) if off.is_empty() => {}
        Ok(off) => tracing::warn!(
            settings = off.join(", "),
            "the database server may lose what it has committed, and with it acknowledged webhooks"
        ),
        Err(error) => tracing::warn!(%error, "the durability of the database is not known"),
    }
}

/// The threads on which handlers run: those of each kind are its own, so that handlers of one kind that
/// never yield take no thread from another's.
fn start_work(
    kinds: &[JobKind],
    config: &Config,
) -> io::Result<HashMap<JobKind, Arc<supervisor::Work>>> {
    let start =
        |kind: &JobKind| Ok((*kind, supervisor::Work::start(*kind, config.pools.of(kind.0).size)?));
    kinds.iter().map(start).collect()
}

/// Where those are received who come while the database is waited for; open once it is needed.
#[derive(Debug, Default)]
pub(super) struct WaitingRoom {
    server: Option<http::ClosableServer>,
    tls: Option<http::Tls>,
}

impl WaitingRoom {
    /// Opens it where it is not open yet; true where it was not.
    fn open(&mut self, listener: &TcpListener) -> io::Result<bool> {
        if self.server.is_some() {
            return Ok(false);
        }
        let server = http::waiting_room(listener.try_clone()?, self.tls.clone())?;
        self.server = Some(server);
        Ok(true)
    }

    /// Leaves whoever comes from now on to the one that answers for the daemon.
    async fn hand_over(&mut self) {
        if let Some(server) = &self.server {
            server.hand_over(Instant::now() + WAITING_ROOM_LIMIT).await;
        }
        self.server = None;
    }

    /// Answers who is inside or has come to `listener` meanwhile, and lets nobody in any more.
    pub(super) async fn close(mut self, listener: TcpListener) -> io::Result<()> {
        self.open(&listener)?;
        drop(listener);
        if let Some(server) = self.server {
            server.close(Instant::now() + WAITING_ROOM_LIMIT).await;
        }
        Ok(())
    }
}

/// Migrates where that is allowed, and opens the store. A database that is away is waited for, and whoever
/// asks meanwhile is told so. What only a person can mend (a wrong password) ends the start.
async fn open_store(
    config: &Config,
    runtime: &StoreRuntime,
    role: Role,
    waiting_room: &mut WaitingRoom,
    listener: &TcpListener,
) -> Result<Store, AppError> {
    let mut registered = None;
    loop {
        let mut opening = std::pin::pin!(try_open(config, runtime, role, &mut registered));
        let opened = match tokio::time::timeout(PROMPT, &mut opening).await {
            Ok(opened) => opened,
            Err(_) => {
                if waiting_room.open(listener)? {
                    tracing::info!("the database does not answer yet: waiting for it");
                }
                opening.await
            }
        };
        if let Err(AppError::Database { url, source }) = &opened
            && source.comes_back()
        {
            tracing::warn!(url, %source, "waiting for the database");
            waiting_room.open(listener)?;
            // Nodes that start at the same time do not try in step.
            tokio::time::sleep(AWAY_PAUSE + AWAY_PAUSE.mul_f64(rand::random())).await;
            continue;
        }
        return opened;
    }
}

/// One try. The store of an earlier one that came as far goes on in this one: a node registers
/// once.
async fn try_open(
    config: &Config,
    runtime: &StoreRuntime,
    role: Role,
    registered: &mut Option<Store>,
) -> Result<Store, AppError> {
    let store = match registered {
        Some(store) => store.clone(),
        None => registered.insert(register(config, runtime, role).await?).clone(),
    };
    store.set_caps(config.caps()).await.map_err(|source| database_error(config, source))?;
    let clients = config.clients.iter().map(|it| it.id.clone()).collect();
    store.set_clients(clients).await.map_err(|source| database_error(config, source))?;
    Ok(store)
}

async fn register(config: &Config, runtime: &StoreRuntime, role: Role) -> Result<Store, AppError> {
    let (database, handle) = (config.database.clone(), runtime.handle());
    let migrated = handle.spawn(async move {
        store::reach(&database).await?;
        if database.auto_migrate {
            store::migrate_up(&database).await?;
        }
        store::migrate_status(&database).await
    });
    let migrations = migrated
        .await
        .map_err(|error| StoreError::Broken(error.to_string()))
        .and_then(|it| it)
        .map_err(|source| database_error(config, source))?;
    if migrations.pending() > 0 {
        return Err(AppError::Pending(migrations.pending()));
    }
    Store::open(runtime.handle(), &config.database, role.as_str())
        .await
        .map_err(|source| database_error(config, source))
}
