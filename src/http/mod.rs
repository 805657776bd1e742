//! The HTTP side: webhooks, the admin API, health and metrics.
//!
//! It gives webhooks to ingest, and reads the store and the board. Its workers are threads of
//! actix-web, on which no database call is polled.

mod admin;
mod api;
mod authentication;
mod body;
mod body_budget;
mod browsers;
mod connections;
mod descriptors;
mod health;
mod limits;
mod listening;
mod live;
mod openapi;
mod operator;
mod problem;
mod request_id;
mod scope;
mod scrape;
pub mod signatures;
mod state;
mod tls;
mod tries;
mod ui;
mod untraced;
mod verdict;
mod webhook_answers;
mod webhooks;

pub(crate) use self::live::OF_OWNER_MAX as STREAMS_OF_USER;
pub use self::{
    admin::FallbackToken,
    connections::ClosableServer,
    descriptors::raise_limit,
    health::{DECIDING_CHECKS, Readiness, Trouble},
    openapi::Vocabulary,
    problem::{Cause, Problem},
    state::{HttpSetup, State},
    tls::{PreparedTls, Tls, TlsError},
    verdict::JudgedAlerts,
};

use self::{
    connections::{Deadlines, HttpConnections},
    listening::ListenSetup,
};
use crate::{
    config::Config,
    store::Store,
    telemetry::metrics::{MetricLabels, Metrics},
};
use actix_web::{App, middleware::from_fn, web};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

/// How many connections may wait to be accepted. Large, because a provider opens thousands at once.
const BACKLOG: i32 = 8_192;
/// A connection ends if its peer has not acknowledged for this long what was sent.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// A silent connection is probed after this long, and then at these intervals, because a router on
/// the way may have forgotten it.
const PROBE_AFTER: Duration = Duration::from_secs(60);
const PROBE_EVERY: Duration = Duration::from_secs(15);
/// How many seconds open connections may take to end once the server stops.
/// [`ClosableServer::close`] may end them sooner.
const STOP_LIMIT_SECONDS: u64 = 5;
/// The same while the daemon waits for its database: no answer takes long then.
const WAITING_STOP_LIMIT_SECONDS: u64 = 1;
/// Files that one connection to SQLite opens: the database, its write-ahead log and the log's
/// index.
const SQLITE_FILES: usize = 3;

/// All that can be asked over HTTP, the pages apart.
fn endpoints() -> Vec<openapi::ApiEndpoint> {
    let api = api::endpoints().into_iter().map(|it| it.under(api::PATH));
    api.chain(health::endpoints()).chain(webhooks::endpoints()).collect()
}

/// The OpenAPI document of all that can be asked, the pages apart.
pub fn openapi(vocabulary: &Vocabulary) -> serde_json::Value {
    openapi::document(&endpoints(), api::PATH, vocabulary)
}

/// Listens on `bind`.
///
/// # Errors
/// If the port is taken, or the address is not of this machine.
pub fn listen(bind: SocketAddr) -> io::Result<TcpListener> {
    let domain = socket2::Domain::for_address(bind);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    // The connections that a stopped daemon leaves behind must not keep the next one from the port.
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

/// How many HTTP connections may be open at once.
///
/// They leave descriptors for the database, beside those that are open now. Connections to the
/// database that are open already would count twice, so this is asked before the actors use it.
pub fn room(cfg: &Config, store: &Store) -> usize {
    let files = if store.database() == "sqlite" { SQLITE_FILES } else { 1 };
    let database = usize::try_from(cfg.database.max_connections).unwrap_or(usize::MAX);
    let threads = listening::threads(cfg.server.workers);
    let room = descriptors::connections_max(threads, database.saturating_mul(files));
    tracing::debug!(room, "HTTP connections at once");
    room
}

/// Serves until its handle is told to stop, over TLS while that is on. `room` is as [`room`] says.
/// Must be called inside an actix system.
///
/// # Errors
/// If the system gives no threads.
pub fn serve(
    listener: TcpListener,
    tls: Tls,
    state: State,
    room: usize,
) -> io::Result<ClosableServer> {
    let threads = listening::threads(state.config.get().server.workers);
    let deadlines = Deadlines::of(state.board.faults());
    let open_max = listening::open_max(room, threads);
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
    actix_web::rt::spawn(live::beat(state.clone()));
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
            .configure(ui::configure)
    };
    plan.listen(listener, app)
}

/// Answers for a daemon that waits for its database: alive, not ready, and webhooks are to be
/// posted again. Must be called inside an actix system.
///
/// # Errors
/// If the system gives no threads.
pub fn waiting_room(listener: TcpListener, tls: Tls) -> io::Result<ClosableServer> {
    // Nobody reads what is counted here.
    let metrics = Metrics::new(MetricLabels::default())
        .map_err(|error| io::Error::other(error.to_string()))?;
    let threads = 1;
    let room = descriptors::connections_max(threads, 0);
    let open_max = listening::open_max(room, threads);
    let connections =
        HttpConnections::open(Deadlines::USUAL, open_max, metrics.http().connections());
    let plan = ListenSetup {
        threads,
        room,
        // Once the database is there, a kept connection would be cut while a peer sends over it.
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
