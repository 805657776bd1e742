//! A running daemon: its start, and its stop without a loss.

use super::{
    AppError, Role,
    actors::{Actors, Parts},
    alert_webhook::AlertWebhook,
    call_keeper::ModelCallKeeper,
    database_error,
    files::lock_database,
    fleet::{Telling, leave, open_overrides, warn_if_undurable},
    followers, send_log,
    service_manager::ServiceManager,
    token::ensure_token,
    waiting_room::WaitingRoom,
};
use crate::{
    analyst::{Analysts, ModelCallLog},
    config::{self, Config, Loaded},
    domain::{ChannelDirectory, JobKind, backoff::AWAY_PAUSE},
    http::{self, FallbackToken, HttpSetup, State},
    ingest::Intake,
    registry::Registry,
    store::{self, Heartbeat, Store, StoreError, StoreRuntime},
    supervisor::{self, Drain},
    telemetry::{
        board::{Board, Fatal},
        metrics::{MetricLabels, Metrics},
        traces::TraceSending,
    },
    tuning::{PoolOverrides, Prepare, ReloadReport, Tuner, TunerSetup},
};
use actix::{Arbiter, ArbiterHandle};
use futures_util::FutureExt as _;
use std::{
    collections::HashMap, fs::File, io, net::TcpListener, panic::AssertUnwindSafe, sync::Arc,
    time::Duration,
};
use tokio::{sync::oneshot, time::Instant};

/// How long the database may take to answer at the start before the waiting room opens.
const PROMPT: Duration = Duration::from_secs(1);
/// How long after `server.shutdown_timeout` the outcomes of jobs that were cut off may take to be
/// committed.
const FLUSH_LIMIT: Duration = Duration::from_millis(500);
/// The longest time that HTTP gets to close.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);
/// The time that HTTP gets to close after the stop's deadline has passed. [`FLUSH_LIMIT`] and this
/// stay below the one second that a stop may overrun.
const CLOSE_LEAST: Duration = Duration::from_millis(300);
/// The time to write the last rows of the audit log, and then to delete this node's row, after the
/// stop's deadline has passed.
const LEAVE_LEAST: Duration = Duration::from_millis(150);

/// A running daemon: what has to be stopped, and in which order.
pub struct Daemon {
    board: Arc<Board>,
    intake: Intake,
    pub(super) actors: Actors,
    server: http::ClosableServer,
    heartbeat: Heartbeat,
    tuner: Tuner,
    /// Stores what this node says of itself.
    telling: Telling,
    /// Stores the calls of models.
    call_keeper: ModelCallKeeper,
    traces: TraceSending,
    alert_webhook: AlertWebhook,
    arbiters: Vec<Arbiter>,
    /// The threads on which handlers run, by job kind.
    work: HashMap<JobKind, Arc<supervisor::WorkRuntime>>,
    store_runtime: StoreRuntime,
    store: Store,
    config: config::Live,
    /// What the HTTP side shares, for the service manager.
    http: State,
    /// Where it listens, with the port that it got.
    url: String,
    /// On SQLite, keeps other daemons off the database file.
    _lock: Option<File>,
}

impl std::fmt::Debug for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Daemon").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The threads of the actors.
pub(super) struct Arbiters {
    /// The thread of the supervisor, recorder, listener and janitor.
    pub(super) control: Arbiter,
    /// The thread of the ingest actors.
    pub(super) ingest: Arbiter,
    /// The threads of the slots, one per core.
    pub(super) slots: Vec<Arbiter>,
    /// The thread of the tuner.
    pub(super) tuning: Arbiter,
}

/// Logs that requests are answered now.
fn log_ready(url: &str, role: Role, store: &Store) {
    let (database, node) = (store.database(), store.node());
    tracing::info!(url, role = role.as_str(), database, node.id = node, "ready");
}

/// Logs the link by which the owner of a new token signs in. `base` is the address for others.
fn log_sign_in(state: &State, base: &str) {
    if let Some(code) = state.admin_code() {
        tracing::info!(
            "sign in to the pages by this link, once and within 10 minutes: {base}/login#{code}"
        );
    }
}

impl Arbiters {
    fn start() -> Self {
        let slots = (0..core_count()).map(|_| Arbiter::new()).collect();
        Self { control: Arbiter::new(), ingest: Arbiter::new(), slots, tuning: Arbiter::new() }
    }
}

fn core_count() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get)
}

/// How a daemon is started, beside its configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct StartOptions {
    pub(super) role: Role,
    /// True if overrides of pools for all nodes do not apply on this one.
    pub(super) ignores_overrides: bool,
}

impl Daemon {
    /// Starts a daemon on `listener`. It follows the files from which `loaded` was read. Must be
    /// called inside an actix system.
    ///
    /// # Errors
    /// If it cannot start. While the database is unreachable it waits, with `/readyz` at 503.
    pub async fn start(
        loaded: Loaded,
        registry: Registry,
        role: Role,
        listener: TcpListener,
    ) -> Result<Self, AppError> {
        let mut waiting_room = WaitingRoom::default();
        let options = StartOptions { role, ignores_overrides: false };
        Self::start_behind(&mut waiting_room, loaded, registry, options, listener).await
    }

    /// As [`Daemon::start`]. While it waits for the database, `waiting_room` answers requests. If
    /// the start fails, the caller must close the room.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub(super) async fn start_behind(
        waiting_room: &mut WaitingRoom,
        loaded: Loaded,
        registry: Registry,
        options: StartOptions,
        listener: TcpListener,
    ) -> Result<Self, AppError> {
        let role = options.role;
        // Check what belongs to the process: descriptors, TLS, the lock, the token.
        http::raise_limit();
        let live = config::Live::new(loaded.config.clone());
        let config = live.get();
        let tls = http::Tls::default();
        tls.set(http::PreparedTls::load(config.server.tls.as_ref())?);
        waiting_room.tls.clone_from(&tls);
        let lock = lock_database(&config)?;
        let fallback_token = FallbackToken::default();
        let has_new_token = ensure_token(&config, &fallback_token).await?;
        // Open the store.
        let store_runtime = StoreRuntime::start()?;
        let opening = Opening {
            config: &live,
            runtime: &store_runtime,
            role,
            channels: registry.channel_directory(),
        };
        let store = open_store(&opening, waiting_room, &listener).await?;
        warn_if_undurable(&store).await;
        // Start threads for handlers. A node that only takes webhooks runs none.
        let kinds = if role.works() { registry.kind_names() } else { Vec::new() };
        let work = start_work(&kinds, &config)?;
        let (board, downs) = Board::new();
        let (parts, heartbeat, call_keeper) = start_parts(&live, &store, &board, &registry, role)?;
        let traces = parts.start_traces()?;
        // Put overrides of pools in force.
        let overrides = open_overrides(&parts, &registry, options.ignores_overrides).await;
        // Start the actors.
        let arbiters = Arbiters::start();
        let room = http::room(&config, &store);
        let intake = Intake::default();
        let actors = parts.start_actors(&registry, &intake, &arbiters, &work, downs).await?;
        parts.first_actors(&registry, &intake).await;
        let prepare = followers::prepare(&registry, &fallback_token, &tls, board.traces());
        let manager = waiting_room.manager.clone();
        let tuner =
            follow_files(&parts, loaded, prepare, overrides, manager, &arbiters.tuning.handle());
        let telling = Telling::start(&parts, &registry, &tuner, config.supervisor.heartbeat);
        // Take requests.
        let scheme = if tls.is_on() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr()?);
        let setup = http_setup(&parts, &registry, &intake, &actors, fallback_token, tuner.clone());
        let state = State::new(setup);
        waiting_room.leave_socket().await;
        let server = http::serve(listener, tls, state.clone(), room)?;
        log_ready(&url, role, &store);
        if has_new_token {
            log_sign_in(&state, config.server.public_url.as_deref().unwrap_or(&url));
        }
        let alert_webhook = AlertWebhook::start(&state, &parts);
        let Arbiters { control, ingest, mut slots, tuning } = arbiters;
        slots.extend([control, ingest, tuning]);
        Ok(Self {
            board,
            intake,
            actors,
            server,
            heartbeat,
            tuner,
            telling,
            call_keeper,
            traces,
            alert_webhook,
            arbiters: slots,
            work,
            store_runtime,
            store,
            config: live,
            http: state,
            url,
            _lock: lock,
        })
    }

    /// The URL at which it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The board on which its actors show their state.
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// The daemon's store.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Has the service manager told how this daemon is, from now on.
    pub(super) fn is_told_to(&self, manager: &ServiceManager) {
        manager.runs(self.http.clone(), self.board.clone());
    }

    /// The configuration that applies now.
    pub const fn config(&self) -> &config::Live {
        &self.config
    }

    /// Reloads the configuration, and tells which one runs.
    pub const fn tuner(&self) -> &Tuner {
        &self.tuner
    }

    /// The way in for webhooks.
    pub const fn intake(&self) -> &Intake {
        &self.intake
    }

    /// The address of its supervisor.
    pub const fn supervisor(&self) -> &supervisor::SupervisorAddress {
        &self.actors.supervisor
    }

    /// Waits until the daemon cannot go on, and returns the reason. The caller should then stop it.
    pub async fn given_up(&self) -> Fatal {
        self.board.given_up().await
    }

    /// Stops the daemon without a loss. It takes at most `server.shutdown_timeout` and a second,
    /// even if the database is unreachable. What could not be committed by then is rescued later,
    /// or posted again by the provider.
    ///
    /// In order: webhooks are refused, and those inside are committed and answered. Operations stop
    /// after their portions. Claims stop, running jobs finish until the time-out, and jobs that
    /// have not started are released. The recorder commits its outcomes. Then HTTP ends, and rows
    /// of the audit log that wait are written. The arbiters, the handlers' threads and the
    /// heartbeat end, the node's row is deleted, and the store's runtime ends last.
    pub async fn stop(self) {
        // Change nothing any more, and refuse new work.
        self.tuner.stop();
        let until = Instant::now() + self.config.get().server.shutdown_timeout;
        self.board.drain();
        self.http.end_streams();
        self.alert_webhook.stop();
        self.telling.drains();
        self.server.say_goodbye();
        // Finish running jobs, and commit and answer the webhooks that are inside.
        let drain = self.drain_supervisor(until);
        let emptying = async {
            let empty = self.board.wait_until(|_| self.intake.gate.inside() == 0);
            if tokio::time::timeout_at(until, empty).await.is_err() {
                tracing::error!(
                    "webhooks were still waiting for their commit: they are to be posted again"
                );
            }
            self.intake.gate.close();
        };
        let limit = until + FLUSH_LIMIT;
        let operations = self.store.operations();
        let (drained, (), stopped) = tokio::join!(
            tokio::time::timeout_at(limit, drain),
            emptying,
            tokio::time::timeout_at(limit, operations.drain())
        );
        if stopped.is_err() {
            tracing::warn!("an operation did not stop in time: another node ends it");
        }
        if drained != Ok(true) {
            tracing::error!(
                "the supervisor did not finish its drain: its jobs are left to be rescued"
            );
        }
        // Commit the outcomes.
        let is_flushed = tokio::select! {
            () = self.actors.uncommitted.flush() => true,
            // Without a supervisor, no other recorder is started.
            () = self.board.wait_until(|_| !self.actors.uncommitted.has_recorder()) => false,
            () = tokio::time::sleep_until(limit) => false,
        };
        if !is_flushed {
            tracing::error!(
                "the recorder could not commit everything: its jobs are left to be rescued"
            );
        }
        // Keep the calls of models.
        self.call_keeper.finish(limit.max(Instant::now() + LEAVE_LEAST)).await;
        // Close HTTP, then end the threads.
        let now = Instant::now();
        self.server.close((now + CLOSE_LIMIT).min(until.max(now) + CLOSE_LEAST)).await;
        // Write the rows that wait, and delete this node's row. The two share a limit.
        let last = until.max(Instant::now() + LEAVE_LEAST);
        let (closed, (), ()) = tokio::join!(
            tokio::time::timeout_at(last, self.tuner.close()),
            self.traces.finish(last),
            self.alert_webhook.finish(last)
        );
        if closed.is_err() {
            tracing::error!("the database is away: changes are missing from the audit log");
        }
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
        self.work.values().for_each(|work| work.stop());
        // The heartbeat ends before the node's row is deleted: it would report the row as missing.
        drop(self.heartbeat);
        drop(self.telling);
        if drained == Ok(true) && is_flushed {
            leave(&self.store, last).await;
        }
        drop(self.store_runtime);
        drop(self.actors.guardian);
        tracing::info!("stopped");
    }
}

impl Daemon {
    /// Tells the supervisor to drain, and waits until it has. If it dies meanwhile, its successor
    /// is told again. False if there will be none.
    async fn drain_supervisor(&self, until: Instant) -> bool {
        /// The pause between two checks for a supervisor while there is none.
        const CHECK_EVERY: Duration = Duration::from_millis(5);
        loop {
            let (done, drained) = oneshot::channel();
            let within = until.saturating_duration_since(Instant::now());
            let supervisor = self.actors.supervisor.get();
            let is_told =
                supervisor.is_some_and(|address| address.try_send(Drain { within, done }).is_ok());
            if is_told && drained.await.is_ok() {
                return true;
            }
            if self.board.has_given_up() {
                return false;
            }
            tokio::time::sleep(CHECK_EVERY).await;
        }
    }
}

/// Makes the parts that the actors have in common, and starts the heartbeats and the keeper of
/// calls. Must be called inside an actix system.
///
/// # Errors
/// If the system gives no thread, or the metrics are declared wrongly.
fn start_parts(
    live: &config::Live,
    store: &Store,
    board: &Arc<Board>,
    registry: &Registry,
    role: Role,
) -> Result<(Parts, Heartbeat, ModelCallKeeper), AppError> {
    let labels = MetricLabels {
        channels: registry.channel_names(),
        kinds: registry.kind_names(),
        database: store.database(),
    };
    let metrics = Metrics::new(labels).map_err(|error| AppError::Metrics(error.to_string()))?;
    store.is_timed_by(metrics.database().clone());
    store.tell_of_sends(send_log::listener(metrics.clone()));
    let told = board.clone();
    let forgotten = move || told.give_up(Fatal::Forgotten);
    let heartbeat = Heartbeat::start(&store.nodes(), &live.get(), role.works(), forgotten)?;
    let (calls, noted) = ModelCallLog::new(metrics.clone());
    let call_keeper = ModelCallKeeper::start(store.model_calls(), noted, metrics.clone());
    let parts = Parts {
        live: live.clone(),
        store: store.clone(),
        board: board.clone(),
        analysts: Analysts::new(live.clone(), metrics.clone(), calls),
        metrics,
        role,
        membership: heartbeat.membership(),
    };
    Ok((parts, heartbeat, call_keeper))
}

/// Starts the threads on which handlers run. Each kind has its own, so that handlers of one kind
/// that never yield take no threads from another kind.
fn start_work(
    kinds: &[JobKind],
    config: &Config,
) -> io::Result<HashMap<JobKind, Arc<supervisor::WorkRuntime>>> {
    let start = |kind: &JobKind| {
        Ok((*kind, supervisor::WorkRuntime::start(*kind, config.pools.of(kind.0).size)?))
    };
    kinds.iter().map(start).collect()
}

/// The settings with which the store is opened.
struct Opening<'a> {
    config: &'a config::Live,
    runtime: &'a StoreRuntime,
    role: Role,
    channels: ChannelDirectory,
}

/// The parts that the HTTP server shares with the actors, and those of its own.
fn http_setup(
    parts: &Parts,
    registry: &Registry,
    intake: &Intake,
    actors: &Actors,
    fallback_token: FallbackToken,
    tuner: Tuner,
) -> HttpSetup {
    HttpSetup {
        config: parts.live.clone(),
        channels: registry.channels.clone(),
        intake: intake.clone(),
        store: parts.store.clone(),
        board: parts.board.clone(),
        metrics: parts.metrics.clone(),
        fallback_token,
        tuner,
        role: parts.role,
        claims: actors.claims.clone(),
        analysts: parts.analysts.clone(),
        membership: parts.membership.clone(),
        kinds: registry.kind_names(),
    }
}

/// Makes what runs follow the files of the configuration from now on, on `thread`. If that work
/// ends by a panic, the daemon gives up: no reload, override or expiry would come any more.
fn follow_files(
    parts: &Parts,
    loaded: Loaded,
    prepare: Prepare,
    overrides: PoolOverrides,
    manager: Option<ServiceManager>,
    thread: &ArbiterHandle,
) -> Tuner {
    let board = parts.board.clone();
    let on_reload = move |report: Option<&ReloadReport>| {
        board.faults().point("tuner.reload");
        let Some(manager) = &manager else { return };
        match report {
            None => manager.reload_begins(),
            Some(report) => manager.reload_ends(report.applied_at()),
        }
    };
    let setup = TunerSetup {
        running: loaded,
        live: parts.live.clone(),
        store: parts.store.clone(),
        metrics: parts.metrics.config().clone(),
        prepare,
        on_reload: Box::new(on_reload),
    };
    let (tuner, following) = Tuner::new(setup, overrides);
    let board = parts.board.clone();
    thread.spawn(async move {
        if AssertUnwindSafe(Box::pin(following)).catch_unwind().await.is_err() {
            tracing::error!("the tuner has panicked: the process ends");
            board.give_up(Fatal::Tuner);
        }
    });
    tuner
}

/// Migrates, if that is allowed, and opens the store. While the database is unreachable it waits,
/// and `waiting_room` answers requests.
///
/// # Errors
/// If a retry cannot help, for example with a wrong password.
async fn open_store(
    opening: &Opening<'_>,
    waiting_room: &mut WaitingRoom,
    listener: &TcpListener,
) -> Result<Store, AppError> {
    let mut registered = None;
    loop {
        let mut opening = std::pin::pin!(try_open(opening, &mut registered));
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
            // The random part keeps nodes that start together from retrying together.
            tokio::time::sleep(AWAY_PAUSE + AWAY_PAUSE.mul_f64(rand::random())).await;
            continue;
        }
        return opened;
    }
}

/// Tries once to open the store. `registered` keeps the store from an earlier try, since a node
/// registers once.
async fn try_open(
    opening: &Opening<'_>,
    registered: &mut Option<Store>,
) -> Result<Store, AppError> {
    let config = opening.config.get();
    let store = match registered {
        Some(store) => store.clone(),
        None => registered.insert(register(opening).await?).clone(),
    };
    store.set_caps(config.caps()).await.map_err(|source| database_error(&config, source))?;
    let clients = config.clients.iter().map(|client| client.id.clone()).collect();
    store.set_clients(clients).await.map_err(|source| database_error(&config, source))?;
    Ok(store)
}

/// Connects, migrates if that is allowed, and registers this node.
async fn register(opening: &Opening<'_>) -> Result<Store, AppError> {
    let config = opening.config.get();
    let (database, handle) = (config.database.clone(), opening.runtime.handle());
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
        .and_then(|migrations| migrations)
        .map_err(|source| database_error(&config, source))?;
    if migrations.pending() > 0 {
        return Err(AppError::Pending(migrations.pending()));
    }
    let (role, channels) = (opening.role.as_str(), opening.channels.clone());
    Store::open(opening.runtime.handle(), opening.config, role, channels)
        .await
        .map_err(|source| database_error(&config, source))
}
