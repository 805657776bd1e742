//! The HTTP side: webhooks in, the admin API, health and metrics.
//!
//! It asks ingest to store, reads the store, and looks at the board. Its workers are actix-web's own
//! threads; no database call is polled on them.

pub mod admin;
pub mod api;
mod authentication;
mod body;
mod browsers;
mod doors;
mod health;
mod limits;
mod problem;
mod request_id;
mod room;
pub mod signatures;
mod webhooks;

pub use self::{
    doors::Server,
    problem::{Cause, Problem},
};

use self::{api::ApiState, browsers::Sparingly, doors::Doors, limits::Limits, room::Rooms};
use crate::{
    channels::AnyChannel,
    config,
    ingest::Entrance,
    store::Store,
    telemetry::{
        board::Board,
        metrics::{Metrics, WebhookMetrics},
    },
};
use actix_web::{App, HttpServer, dev::ServerHandle, http::KeepAlive, middleware::from_fn, web};
use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// Connections that wait to be accepted. Large: thousands of a provider's connections come at once.
const BACKLOG: i32 = 8_192;
/// Connections that one HTTP thread serves at once.
const CONNECTIONS_MAX: usize = 25_000;
/// How long an idle connection is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a client may take for its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long open connections may take once the server stops; [`Server::close`] says when at the latest.
const STOP_LIMIT_SECONDS: u64 = 5;
/// The same while the daemon waits for its database: nothing there takes long.
const WAITING_STOP_LIMIT_SECONDS: u64 = 1;

/// What handlers of requests share.
#[derive(Clone)]
pub struct State {
    config: config::Live,
    channels: Arc<HashMap<&'static str, ChannelState>>,
    entrance: Entrance,
    /// Room for the bodies that are being read.
    rooms: Rooms,
    /// How often it is logged that a webhook without a secret was not taken.
    objections: Arc<Sparingly>,
    store: Store,
    board: Arc<Board>,
    metrics: Metrics,
    limits: Arc<Limits>,
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
            rooms: Rooms::default(),
            objections: Arc::default(),
            store: store.clone(),
            board: board.clone(),
            metrics,
            limits: Arc::default(),
            started,
            api: web::Data::new(api),
            takes_webhooks: role != "worker",
            works: role != "ingest",
        }
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
    socket.bind(&bind.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Serves until its handle is told to stop.
///
/// # Errors
/// When the system gives no threads.
pub fn serve(listener: TcpListener, state: State) -> io::Result<Server> {
    let workers = state.config.get().server.workers;
    let (doors, doors_of_app, doors_of_guests) = same_doors();
    let factory = move || {
        let doors = doors_of_app.clone();
        App::new()
            .wrap(from_fn(browsers::only_own_hosts))
            .wrap(from_fn(request_id::carry))
            .wrap(from_fn(browsers::harden))
            .wrap(from_fn(move |request, next| doors::pass(doors.clone(), request, next)))
            .app_data(web::Data::new(state.clone()))
            .app_data(state.api.clone())
            .configure(webhooks::configure)
            .configure(health::configure)
            .configure(api::configure)
            .default_service(web::to(not_found))
    };
    let mut server = HttpServer::new(factory)
        .backlog(u32::try_from(BACKLOG).unwrap_or(u32::MAX))
        .max_connections(CONNECTIONS_MAX)
        .keep_alive(KEEP_ALIVE)
        .on_connect(move |_, data| doors_of_guests.enter(data))
        .client_request_timeout(HEAD_TIMEOUT)
        .shutdown_timeout(STOP_LIMIT_SECONDS)
        .disable_signals();
    if workers > 0 {
        server = server.workers(workers);
    }
    let again = listener.try_clone()?;
    Ok(Server::new(run(server.listen(listener)?.run()), doors, again))
}

fn same_doors() -> (Doors, Doors, Doors) {
    let doors = Doors::default();
    (doors.clone(), doors.clone(), doors)
}

/// Answers for a daemon that waits for its database: alive, not ready, and webhooks are to come again.
///
/// # Errors
/// When the system gives no threads.
pub fn waiting_room(listener: TcpListener) -> io::Result<Server> {
    let (doors, doors_of_app, doors_of_guests) = same_doors();
    let factory = move || {
        let doors = doors_of_app.clone();
        App::new()
            .wrap(from_fn(request_id::carry))
            .wrap(from_fn(browsers::harden))
            .wrap(from_fn(move |request, next| doors::pass(doors.clone(), request, next)))
            .route("/healthz", web::get().to(health::alive))
            .route("/readyz", web::get().to(health::waiting))
            .default_service(web::to(async || {
                Err::<&str, _>(Problem::new(
                    Cause::DatabaseAway,
                    "the daemon waits for its database",
                ))
            }))
    };
    // Kept connections would be cut while somebody sends over them, once the database is there.
    let server = HttpServer::new(factory)
        .workers(1)
        .keep_alive(KeepAlive::Disabled)
        .on_connect(move |_, data| doors_of_guests.enter(data))
        .shutdown_timeout(WAITING_STOP_LIMIT_SECONDS)
        .disable_signals();
    let again = listener.try_clone()?;
    Ok(Server::new(run(server.listen(listener)?.run()), doors, again))
}

/// Lets a server run on the current arbiter; its handle stops it.
fn run(server: actix_web::dev::Server) -> ServerHandle {
    let handle = server.handle();
    actix_web::rt::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the HTTP server ended");
        }
    });
    handle
}

async fn not_found() -> Result<&'static str, Problem> {
    Err(Problem::new(Cause::NotFound, "there is nothing at this path"))
}
