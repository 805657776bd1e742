//! The composition root: the only module that may name every other. From a configuration to a running
//! daemon, and back down in order.

use crate::{
    analyst::local::Local,
    config::{self, Config},
    domain::JobKind,
    handlers::Deps,
    http::{self, State},
    ingest::{self, Directory, Entrance, Gate, IngestActor},
    recorder::{self, Recorder},
    registry::{self, Registry},
    store::{self, Heartbeat, Store, StoreError, StoreRuntime},
    supervisor::{Child, Drain, Janitor, JanitorPlan, Supervisor, SupervisorPlan, rescue},
    telemetry::{
        board::{Board, Down},
        metrics::Metrics,
    },
};
use actix::{Actor, Arbiter, ArbiterHandle};
use std::{
    fs::{File, TryLockError},
    io::{self, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot},
    time::Instant,
};

/// How many outcomes and claimed jobs there may be together, at the least; more where pools are larger.
const RECORDER_CAPACITY_MIN: usize = 4_096;
/// Threads of the work runtime beside those of the cores: a handler that blocks costs one of them.
const WORK_THREADS_SPARE: usize = 6;
/// The pause between two tries to reach a database that is away at the start.
const AWAY_PAUSE: Duration = Duration::from_millis(500);
/// How long the recorder may take for its last commit.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);
/// Where the token of the admin API is kept where none is configured.
const TOKEN_FILE: &str = "data/admin.token";

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Role {
    /// Takes webhooks and works jobs off.
    #[default]
    All,
    /// Only takes webhooks.
    Ingest,
    /// Only works jobs off.
    Worker,
}

impl Role {
    /// As given on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Ingest => "ingest",
            Self::Worker => "worker",
        }
    }

    const fn takes_webhooks(self) -> bool {
        matches!(self, Self::All | Self::Ingest)
    }

    const fn works(self) -> bool {
        matches!(self, Self::All | Self::Worker)
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::All, Self::Ingest, Self::Worker]
            .into_iter()
            .find(|it| it.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no role: use `all`, `ingest` or `worker`"))
    }
}

/// How a daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It was told to, and everything was finished.
    Clean,
    /// A second signal ended it at once.
    Interrupted,
}

impl Exit {
    /// The exit code of the process.
    pub const fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Interrupted => 130,
        }
    }
}

/// Why a daemon did not start, or a migration did not run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The configuration names what is not there.
    #[error("{0}")]
    Config(#[from] config::ConfigErrors),
    /// The log cannot be set up.
    #[error("{0}")]
    Logging(#[from] crate::telemetry::logging::LoggingError),
    /// The port is taken, or the address is not of this machine.
    #[error("cannot listen on `{bind}` (server.bind): {source}")]
    Bind {
        /// The address.
        bind: String,
        /// Why.
        source: io::Error,
    },
    /// Another daemon holds the database file.
    #[error("the database file `{}` is held by another daemon: stop it, or name another file in `database.url`", .0.display())]
    Locked(PathBuf),
    /// A file or a directory cannot be made or read.
    #[error("`{}`: {source}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database refuses.
    #[error("the database `{url}`: {source}")]
    Database {
        /// Its URL, without the password.
        url: String,
        /// Why.
        source: StoreError,
    },
    /// The schema is older than this version, and may not be migrated by itself.
    #[error(
        "{0} migrations are pending and `database.auto_migrate` is off: run `postroom migrate up`"
    )]
    Pending(usize),
    /// A mistake in the registry.
    #[error("the kind `{0}` is registered twice")]
    KindTwice(JobKind),
    /// The system gives no threads or no signals.
    #[error("the system refused: {0}")]
    System(#[from] io::Error),
    /// A mistake in the declaration of metrics.
    #[error("the metrics cannot be declared: {0}")]
    Metrics(String),
}

impl AppError {
    /// True where the configuration is at fault: exit code 2.
    pub const fn is_config(&self) -> bool {
        matches!(self, Self::Config(_) | Self::Logging(_))
    }
}

/// Where the token of the admin API is kept: beside a database file, else under `data/`.
pub fn token_path(config: &Config) -> PathBuf {
    let beside = store::sqlite_path(config.database.url.expose())
        .and_then(|it| it.parent().map(Path::to_owned))
        .filter(|it| !it.as_os_str().is_empty());
    beside.map_or_else(|| PathBuf::from(TOKEN_FILE), |it| it.join("admin.token"))
}

/// What `postroom migrate` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Migrate {
    /// Applies what is pending.
    Up,
    /// Reverts the last one.
    Down,
    /// Only tells.
    Status,
    /// Drops everything and starts anew.
    Fresh,
}

/// Runs migrations by hand and tells what is applied afterwards.
///
/// # Errors
/// When the database is away, held by a daemon, or a migration fails.
pub fn migrate(config: &Config, what: Migrate) -> Result<store::Migrations, AppError> {
    let _lock = lock_database(config)?;
    let runtime = StoreRuntime::start()?;
    let database = config.database.clone();
    let work = async move {
        match what {
            Migrate::Up => store::migrate_up(&database).await?,
            Migrate::Down => store::migrate_down(&database).await?,
            Migrate::Fresh => store::migrate_fresh(&database).await?,
            Migrate::Status => {}
        }
        store::migrate_status(&database).await
    };
    let result = runtime.handle().block_on(work).map_err(|source| database_error(config, source));
    drop(runtime);
    result
}

fn database_error(config: &Config, source: StoreError) -> AppError {
    AppError::Database { url: config.database.url.to_string(), source }
}

/// On SQLite, the lock that keeps a second daemon off the file; held as long as the value lives.
fn lock_database(config: &Config) -> Result<Option<File>, AppError> {
    let Some(path) = store::sqlite_path(config.database.url.expose()) else { return Ok(None) };
    if let Some(parent) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(|source| file_error(parent, source))?;
    }
    let mut name = path.clone().into_os_string();
    name.push(".lock");
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name)
        .map_err(|source| file_error(Path::new(&name), source))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Err(AppError::Locked(path)),
        Err(TryLockError::Error(source)) => Err(file_error(Path::new(&name), source)),
    }
}

fn file_error(path: &Path, source: io::Error) -> AppError {
    AppError::File { path: path.to_owned(), source }
}

/// The configured token, or the one made at the first start and kept with mode 0600.
fn admin_token(config: &Config) -> Result<config::Secret, AppError> {
    use std::os::unix::fs::OpenOptionsExt;
    if let Some(token) = &config.admin.token {
        return Ok(token.clone());
    }
    let path = token_path(config);
    match std::fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => return Ok(config::Secret::new(text.trim())),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(file_error(&path, source)),
    }
    if let Some(parent) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(|source| file_error(parent, source))?;
    }
    let token = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| writeln!(file, "{token}"))
        .map_err(|source| file_error(&path, source))?;
    tracing::info!(path = %path.display(), "made a token for the admin API");
    Ok(config::Secret::new(token))
}

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// When it cannot start. A database that is away is waited for.
pub fn serve(config: Config, _sources: config::Sources, role: Role) -> Result<Exit, AppError> {
    crate::telemetry::logging::init(&config.telemetry)?;
    registry::check(&config)?;
    serve_with(config, registry::postroom(), role)
}

/// Runs a daemon with other channels and kinds than Postroom's own: tests bring theirs.
///
/// # Errors
/// As [`serve`].
pub fn serve_with(config: Config, registry: Registry, role: Role) -> Result<Exit, AppError> {
    if let Some(kind) = registry.twice() {
        return Err(AppError::KindTwice(kind));
    }
    let system = actix_rt::System::new();
    system.block_on(async move {
        let mut signals = Signals::listen()?;
        let listener = listen(&config)?;
        let starting = Daemon::start(config, registry, role, listener);
        let Some(daemon) = signals.unless_told(starting).await else { return Ok(Exit::Clean) };
        let daemon = daemon?;
        signals.recv().await;
        tracing::info!("stopping: finishing what has begun");
        Ok(signals.unless_told(daemon.stop()).await.map_or(Exit::Interrupted, |()| Exit::Clean))
    })
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// What `work` comes to, or `None` where a signal comes first.
    async fn unless_told<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            it = work => Some(it),
            () = self.recv() => None,
        }
    }
}

fn listen(config: &Config) -> Result<TcpListener, AppError> {
    let bind = config.server.bind;
    let failed = |source| AppError::Bind { bind: bind.to_string(), source };
    http::listen(bind).map_err(failed)
}

/// A running daemon: what has to be stopped, and in which order.
pub struct Daemon {
    board: Arc<Board>,
    entrance: Entrance,
    supervisor: actix::Addr<Supervisor>,
    recorder: recorder::Address,
    server: actix_web::dev::ServerHandle,
    heartbeat: Heartbeat,
    arbiters: Vec<Arbiter>,
    work: Runtime,
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
struct Arbiters {
    control: Arbiter,
    ingest: Arbiter,
    slots: Vec<Arbiter>,
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
        let lock = lock_database(&config)?;
        let token = admin_token(&config)?;
        let store_runtime = StoreRuntime::start()?;
        let waiting = http::waiting_room(listener.try_clone()?)?;
        let store = open_store(&config, &store_runtime, role).await?;
        waiting.stop(true).await;
        let heartbeat = Heartbeat::start(&store, &config.database, config.supervisor.heartbeat)?;
        let work = work_runtime()?;
        let metrics = Metrics::new().map_err(|error| AppError::Metrics(error.to_string()))?;
        let (board, downs) = Board::new();
        let live = config::Live::new(config);
        let parts =
            Parts { live: live.clone(), store: store.clone(), board: board.clone(), metrics, role };
        let arbiters = Arbiters::start();
        let entrance = parts.entrance();
        let (supervisor, recorder) =
            parts.start_actors(&registry, &entrance, &arbiters, work.handle(), downs).await?;
        let url = format!("http://{}", listener.local_addr()?);
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
        let server = http::serve(listener, state)?;
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
            supervisor,
            recorder,
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
    pub const fn supervisor(&self) -> &actix::Addr<Supervisor> {
        &self.supervisor
    }

    /// Stops it, so that nothing is lost: webhooks are refused, what is inside is committed and answered,
    /// claims stop, running jobs finish up to the time-out, unstarted ones go back, the recorder flushes;
    /// then HTTP, arbiters, the work runtime, and the store runtime last.
    pub async fn stop(self) {
        let limit = self.config.get().server.shutdown_timeout;
        let until = Instant::now() + limit;
        self.board.drain();
        let (done, drained) = oneshot::channel();
        if self.supervisor.try_send(Drain { within: limit, done }).is_err() {
            tracing::error!("the supervisor takes no command: its jobs are left to be rescued");
        }
        let empty = self.board.wait_until(|_| self.entrance.gate.inside() == 0);
        if tokio::time::timeout_at(until, empty).await.is_err() {
            tracing::error!("webhooks were still waiting for their commit");
        }
        if tokio::time::timeout_at(until + FLUSH_LIMIT, drained).await.is_err() {
            tracing::error!("the supervisor did not finish its drain");
        }
        if tokio::time::timeout(FLUSH_LIMIT, self.recorder.flush()).await.is_err() {
            tracing::error!(
                "the recorder could not commit everything: its jobs are left to be rescued"
            );
        }
        self.server.stop(true).await;
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
        self.work.shutdown_background();
        drop(self.heartbeat);
        drop(self.store_runtime);
        tracing::info!("stopped");
    }
}

/// The runtime on which handlers' futures run.
fn work_runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(core_count() + WORK_THREADS_SPARE)
        .thread_name("work")
        .enable_all()
        .build()
}

/// Migrates where that is allowed, and opens the store; waits for a database that is away.
async fn open_store(
    config: &Config,
    runtime: &StoreRuntime,
    role: Role,
) -> Result<Store, AppError> {
    loop {
        match try_open(config, runtime, role).await {
            Err(AppError::Database { url, source: StoreError::Away(why) }) => {
                tracing::warn!(url, why, "the database is away: waiting for it");
                tokio::time::sleep(AWAY_PAUSE).await;
            }
            other => return other,
        }
    }
}

async fn try_open(config: &Config, runtime: &StoreRuntime, role: Role) -> Result<Store, AppError> {
    let (database, handle) = (config.database.clone(), runtime.handle());
    let migrated = handle.spawn(async move {
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

/// What all actors are made from.
struct Parts {
    live: config::Live,
    store: Store,
    board: Arc<Board>,
    metrics: Metrics,
    role: Role,
}

impl Parts {
    fn entrance(&self) -> Entrance {
        let cfg = self.live.get();
        let bytes = usize::try_from(cfg.ingest.queue_bytes).unwrap_or(usize::MAX);
        Entrance { gate: Gate::new(cfg.ingest.queue, bytes), directory: Directory::default() }
    }

    /// Starts the supervisor, and with it recorder, ingest actors, pools and janitor.
    async fn start_actors(
        &self,
        registry: &Registry,
        entrance: &Entrance,
        arbiters: &Arbiters,
        work: &tokio::runtime::Handle,
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
            analyst: Arc::new(Local),
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
            work: work.clone(),
            config: self.live.clone(),
            board: self.board.clone(),
            metrics: self.metrics.clone(),
            downs: Some(downs),
        };
        let supervisor = Supervisor::start_in_arbiter(&control, move |ctx| {
            use actix::AsyncContext;
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
        channel: crate::domain::ChannelName,
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
