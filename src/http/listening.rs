//! How connections become requests: accepted, counted, watched, and handed to actix-http.
//!
//! It does what `actix_web::HttpServer` does, but over a stream of our own, whose bytes tell
//! [`super::connections`] what a connection is doing. It accepts no more than there is room for.

use super::{
    BACKLOG,
    connections::{ClosableServer, HttpConnections, Watched},
    limits::is_trusted,
    tls::{Stream, Tls},
};
use crate::config;
use actix_http::{HttpService, KeepAlive, Request, error::DispatchError};
use actix_service::{
    IntoServiceFactory, ServiceFactory, ServiceFactoryExt as _, fn_service, map_config,
};
use actix_web::{
    Error,
    body::MessageBody,
    dev::{AppConfig, Extensions, Response, ServerHandle},
    rt::net::TcpStream,
};
use std::{
    fmt::Debug,
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};
use tokio_rustls::TlsAcceptor;

/// How long a connection may take to close after its last answer.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The share (1/n) of the room for connections that is kept for those that are closing: a new one
/// is accepted before the one that ends for it has closed.
const CLOSING_SHARE: usize = 8;
/// The most connections that one thread can count.
const OF_THREAD_MAX: usize = 1 << 20;

/// How a server listens and serves.
pub(super) struct ListenSetup {
    pub(super) threads: usize,
    /// How many connections there are descriptors for.
    pub(super) room: usize,
    /// True if a connection stays open after an answer.
    pub(super) keeps_alive: bool,
    /// How many seconds open connections may take to end once the server stops.
    pub(super) stop_limit_seconds: u64,
    /// Tells which peers stand for many senders. Without it, all do.
    pub(super) config: Option<config::Live>,
    /// Encrypts connections while it is on.
    pub(super) tls: Tls,
    pub(super) connections: HttpConnections,
}

/// How many threads serve HTTP if `configured` are asked for; 0 means one a core.
pub(super) fn threads(configured: usize) -> usize {
    match configured {
        0 => std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
        some => some,
    }
}

/// How many connections may be open if there is `room` for that many. The others are still closing.
///
/// It is fewer than `threads` accept in all, which may be fewer than there is room for: else all
/// that are accepted would be open, and nothing would close one of them for a new one.
pub(super) fn open_max(room: usize, threads: usize) -> usize {
    let accepted = of_thread(room, threads).saturating_mul(threads.max(1)).min(room);
    accepted.saturating_sub((accepted / CLOSING_SHARE).max(1))
}

/// How many connections each of `threads` may have accepted if there is `room` for that many.
fn of_thread(room: usize, threads: usize) -> usize {
    (room / threads.max(1)).clamp(1, OF_THREAD_MAX)
}

impl ListenSetup {
    /// Serves `app` on threads of its own, to all connections that `listener` accepts.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub(super) fn listen<F, I, S, B>(
        self,
        listener: TcpListener,
        app: F,
    ) -> io::Result<ClosableServer>
    where
        F: Fn() -> I + Send + Clone + 'static,
        I: IntoServiceFactory<S, Request>,
        S: ServiceFactory<Request, Config = AppConfig> + 'static,
        S::Error: Into<Error>,
        S::InitError: Debug,
        S::Response: Into<Response<B>>,
        B: MessageBody + 'static,
    {
        let Self { threads, room, keeps_alive, stop_limit_seconds, config, tls, connections } =
            self;
        let deadlines = connections.deadlines();
        let builder = actix_web::dev::Server::build()
            .workers(threads)
            .backlog(u32::try_from(BACKLOG).unwrap_or(u32::MAX))
            .max_concurrent_connections(of_thread(room, threads))
            .shutdown_timeout(stop_limit_seconds)
            .disable_signals();
        let (again, stops) = (listener.try_clone()?, builder.graceful_shutdown_signal());
        let connections_of_server = connections.clone();
        let builder = builder.listen("http", listener, move || {
            let (connections, config, stops) = (connections.clone(), config.clone(), stops.clone());
            let tls = tls.clone();
            let connections_of_errors = connections.clone();
            let app = app().into_factory().map_err(|error| error.into().error_response());
            let keep_alive =
                if keeps_alive { KeepAlive::Timeout(deadlines.idle) } else { KeepAlive::Disabled };
            let http = HttpService::build()
                .graceful_shutdown_signal(move || {
                    let stops = stops.clone();
                    async move { stops.notified().await }
                })
                .keep_alive(keep_alive)
                .client_request_timeout(deadlines.head)
                .client_disconnect_timeout(CLOSE_TIMEOUT)
                .on_connect_ext(|stream: &Stream, data: &mut Extensions| {
                    data.insert(stream.watched().connection().clone());
                })
                .h1(map_config(app, |()| AppConfig::default()))
                .map_err(move |error| {
                    if matches!(error, DispatchError::Parse(_)) {
                        connections_of_errors.malformed();
                    }
                });
            fn_service(move |stream: TcpStream| {
                let acceptor = tls.acceptor();
                let is_encrypted = acceptor.is_some();
                let entered = receive(stream, &connections, config.as_ref(), is_encrypted);
                let connections = connections.clone();
                async move {
                    let (watched, peer) = entered.ok_or(())?;
                    let stream = match acceptor {
                        None => Stream::Plain(watched),
                        Some(acceptor) => {
                            encrypted(watched, &acceptor, &connections).await.ok_or(())?
                        }
                    };
                    Ok((stream, peer))
                }
            })
            .and_then(http)
        })?;
        Ok(ClosableServer::new(run(builder.run()), connections_of_server, again))
    }
}

/// Registers a connection that was accepted. It is dropped if there is no room for it.
fn receive(
    stream: TcpStream,
    connections: &HttpConnections,
    config: Option<&config::Live>,
    is_encrypted: bool,
) -> Option<(Watched, Option<SocketAddr>)> {
    // If it is gone already, there is nobody to answer.
    let peer = stream.peer_addr().ok()?;
    let stands_for_many = config.is_none_or(|live| is_trusted(&live.get().server, peer.ip()));
    let guard = connections.enter(peer.ip(), stands_for_many, is_encrypted)?;
    Some((Watched::new(stream, guard), Some(peer)))
}

/// The same connection once both sides have agreed on keys, which may take as long as a head.
/// `None` if they do not.
async fn encrypted(
    watched: Watched,
    acceptor: &TlsAcceptor,
    connections: &HttpConnections,
) -> Option<Stream> {
    let limit = connections.deadlines().head;
    let agreed = tokio::time::timeout(limit, acceptor.accept(watched)).await;
    let Ok(Ok(stream)) = agreed else {
        connections.malformed();
        return None;
    };
    let stream = Stream::Encrypted(Box::new(stream));
    stream.watched().agreed();
    Some(stream)
}

/// Runs a server on the current arbiter. Its handle stops it.
fn run(server: actix_web::dev::Server) -> ServerHandle {
    let handle = server.handle();
    actix_web::rt::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the HTTP server ended");
        }
    });
    handle
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_and_what_is_closing_fits_into_the_room() {
        let rooms = (8..1_100).chain([838_860]);
        for (room, threads) in rooms.flat_map(|room| (1..=64).map(move |threads| (room, threads))) {
            let (open, accepted) = (open_max(room, threads), of_thread(room, threads) * threads);
            assert!(open < accepted && open < room, "{room} {threads}");
            assert!(open >= room / 3, "{room} {threads}");
            assert!(accepted <= room.max(threads), "{room} {threads}");
        }
    }
}
