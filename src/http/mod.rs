//! The HTTP side: webhooks in, the admin API, health and metrics.
//!
//! It asks ingest to store, reads the store, and looks at the board. Its workers are actix-web's own
//! threads; no database call is polled on them.

pub mod admin;
pub mod api;
mod authentication;
mod body;
mod body_budget;
mod browsers;
mod connections;
mod descriptors;
mod health;
mod limits;
mod listening;
mod meaning;
mod problem;
mod request_id;
pub mod signatures;
mod tls;
mod tries;
mod webhooks;

pub use self::{
    connections::ClosableServer,
    descriptors::raise_limit,
    problem::{Cause, Problem},
    tls::{Tls, TlsError},
};

use self::{
    api::ApiState,
    body_budget::BodyBudget,
    connections::{Deadlines, HttpConnections},
    limits::Limits,
    listening::ListenSetup,
};
use crate::{
    channels::AnyChannel,
    config,
    ingest::Entrance,
    store::Store,
    telemetry::{
        board::Board,
        metrics::{Metrics, WebhookMetrics},
        sparse::Sparse,
    },
};
use actix_web::{App, middleware::from_fn, web};
use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// HttpConnections that wait to be accepted. Large: thousands of a provider's connections come at once.
const BACKLOG: i32 = 8_192;
/// A connection ends when its peer has not acknowledged what was sent for this long.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// A silent connection is probed after this long, and then in these intervals: a router between may have forgotten it.
const PROBE_AFTER: Duration = Duration::from_secs(60);
const PROBE_EVERY: Duration = Duration::from_secs(15);
/// How long open connections may take once the server stops; [`Server::close`] says when at the latest.
const STOP_LIMIT_SECONDS: u64 = 5;
/// The same while the daemon waits for its database: nothing there takes long.
const WAITING_STOP_LIMIT_SECONDS: u64 = 1;
/// Files that one connection to SQLite opens: the database, its write-ahead log and the index of that.
const SQLITE_FILES: usize = 3;

/// What handlers of requests share.
#[derive(Clone)]
pub struct State {
    config: config::Live,
    channels: Arc<HashMap<&'static str, ChannelState>>,
    entrance: Entrance,
    /// BodyLoan for the bodies that are being read.
    rooms: BodyBudget,
    /// How often it is logged that a webhook without a secret was not taken.
    objections: Arc<Mutex<Sparse>>,
    store: Store,
    board: Arc<Board>,
    metrics: Metrics,
    limits: Arc<Limits>,
    door: Arc<admin::TokenTries>,
    last_check: Arc<health::LastCheck>,
    started: Instant,
    api: web::Data<ApiState>,
    takes_webhooks: bool,
    works: bool,
}

/// A channel with what it counts.
struct ChannelState {
    channel: Arc<dyn AnyChannel>,
    metrics: WebhookMetrics,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

impl State {
    /// The state of a daemon.
    #[expect(
        clippy::too_many_arguments,
        reason = "what the composition root hands over, each once"
    )]
    pub fn new(
        config: &config::Live,
        channels: &[Arc<dyn AnyChannel>],
        entrance: &Entrance,
        store: &Store,
        board: &Arc<Board>,
        metrics: Metrics,
        token: config::Secret,
        role: &'static str,
    ) -> Self {
        let by_name = channels
            .iter()
            .map(|it| {
                let state =
                    ChannelState { channel: it.clone(), metrics: metrics.webhook(it.name()) };
                (it.name().0, state)
            })
            .collect();
        let started = Instant::now();
        let names = channels.iter().map(|it| it.name()).collect();
        let api = ApiState::new(
            store.desk(),
            board.clone(),
            metrics.clone(),
            token,
            started,
            role,
            names,
        );
        Self {
            config: config.clone(),
            channels: Arc::new(by_name),
            entrance: entrance.clone(),
            rooms: BodyBudget::default(),
            objections: Arc::default(),
            store: store.clone(),
            board: board.clone(),
            metrics,
            limits: Arc::default(),
            door: Arc::default(),
            last_check: Arc::default(),
            started,
            api: web::Data::new(api),
            takes_webhooks: role != "worker",
            works: role != "ingest",
        }
    }
}

impl State {
    /// True once a minute: whether the next webhook without a secret that is not taken is logged.
    fn logs_an_objection(&self) -> bool {
        let mut objections = self.objections.lock().unwrap_or_else(PoisonError::into_inner);
        objections.count(Instant::now()).is_some()
    }
}

/// Listens on `bind`.
///
/// # Errors
/// When the port is taken or the address is not of this machine.
pub fn listen(bind: SocketAddr) -> io::Result<TcpListener> {
    let domain = socket2::Domain::for_address(bind);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    // A daemon that was just stopped leaves connections behind that must not keep the next from the port.
    socket.set_reuse_address(true)?;
    // Accepted connections inherit these.
    let probes = socket2::TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY);
    socket.set_tcp_keepalive(&probes)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    socket.bind(&bind.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Serves until its handle is told to stop, over TLS where that is given. Must be called inside an actix system.
///
/// # Errors
/// When the system gives no threads.
pub fn serve(listener: TcpListener, tls: Option<Tls>, state: State) -> io::Result<ClosableServer> {
    let cfg = state.config.get();
    let threads = listening::threads(cfg.server.workers);
    let files = if state.store.database() == "sqlite" { SQLITE_FILES } else { 1 };
    let database = usize::try_from(cfg.database.max_connections).unwrap_or(usize::MAX);
    let room = descriptors::connections_max(threads, database.saturating_mul(files));
    tracing::debug!(room, "HTTP connections at once");
    let deadlines = Deadlines::of(state.board.faults());
    let open_max = listening::open_max(room);
    let connections =
        HttpConnections::open(deadlines, open_max, state.metrics.http().connections());
    let plan = ListenSetup {
        threads,
        room,
        keeps_alive: true,
        stop_limit_seconds: STOP_LIMIT_SECONDS,
        config: Some(state.config.clone()),
        tls,
        connections: connections.clone(),
    };
    let app = move || {
        let connections = connections.clone();
        App::new()
            .wrap(from_fn(limits::by_address))
            .wrap(from_fn(browsers::only_own_hosts))
            .wrap(from_fn(request_id::carry))
            .wrap(from_fn(browsers::harden))
            .wrap(from_fn(move |request, next| {
                connections::pass(connections.clone(), request, next)
            }))
            .app_data(web::Data::new(state.clone()))
            .app_data(state.api.clone())
            .configure(webhooks::configure)
            .configure(health::configure)
            .configure(api::configure)
            .default_service(web::to(not_found))
    };
    plan.listen(listener, app)
}

/// Answers for a daemon that waits for its database: alive, not ready, and webhooks are to come again. Must be called
/// inside an actix system.
///
/// # Errors
/// When the system gives no threads.
pub fn waiting_room(listener: TcpListener, tls: Option<Tls>) -> io::Result<ClosableServer> {
    // Nobody reads what is counted here.
    let metrics = Metrics::new().map_err(|error| io::Error::other(error.to_string()))?;
    let room = descriptors::connections_max(1, 0);
    let open_max = listening::open_max(room);
    let connections =
        HttpConnections::open(Deadlines::USUAL, open_max, metrics.http().connections());
    let plan = ListenSetup {
        threads: 1,
        room,
        // Kept connections would be cut while somebody sends over them, once the database is there.
        keeps_alive: false,
        stop_limit_seconds: WAITING_STOP_LIMIT_SECONDS,
        config: None,
        tls,
        connections: connections.clone(),
    };
    let app = move || {
        let connections = connections.clone();
        App::new()
            .wrap(from_fn(request_id::carry))
            .wrap(from_fn(browsers::harden))
            .wrap(from_fn(move |request, next| {
                connections::pass(connections.clone(), request, next)
            }))
            .route("/healthz", web::get().to(health::alive))
            .route("/readyz", web::get().to(health::waiting))
            .default_service(web::to(async || {
                Err::<&str, _>(Problem::new(
                    Cause::DatabaseAway,
                    "the daemon waits for its database",
                ))
            }))
    };
    plan.listen(listener, app)
}

async fn not_found() -> Result<&'static str, Problem> {
    Err(Problem::new(Cause::NotFound, "there is nothing at this path"))
}
