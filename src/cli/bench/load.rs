//! A load generator: each of its keep-alive connections posts the next webhook as soon as the last
//! one is answered.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, StatusCode,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::Instant,
};

/// Connections per source address. A daemon accepts at most 256 from one address.
const OF_SOURCE: usize = 200;

/// The result of a load.
pub(super) struct Load {
    /// From the first post to the last answer.
    pub(super) took: Duration,
    /// For each webhook that was answered 200, the time from its post to its answer.
    pub(super) accepted: Vec<Duration>,
    /// For each of them, the time from the first post to its answer.
    pub(super) answered_at: Vec<Duration>,
    /// The number of webhooks that were answered 429.
    pub(super) refused: usize,
}

/// Posts `bodies` to `url` over `connections` connections, on a thread of its own.
///
/// # Errors
/// If a connection fails, or an answer is neither 200 nor 429.
pub(super) async fn post(
    url: &str,
    path: Arc<str>,
    connections: usize,
    bodies: Vec<Bytes>,
) -> anyhow::Result<Load> {
    let address = url.trim_start_matches("http://").to_owned();
    let (done, result) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("load".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let load = runtime
            .map_err(anyhow::Error::from)
            .and_then(|runtime| runtime.block_on(run(&address, path, connections, bodies.into())));
        done.send(load).is_ok()
    })?;
    let load = result.await?;
    if thread.join().is_err() {
        anyhow::bail!("the load generator panicked");
    }
    load
}

async fn run(
    address: &str,
    path: Arc<str>,
    connections: usize,
    bodies: Arc<[Bytes]>,
) -> anyhow::Result<Load> {
    let mut senders = Vec::with_capacity(connections);
    let mut drivers = JoinSet::new();
    let to: SocketAddr = address.parse()?;
    for number in 0..connections.max(1) {
        let stream = connect(to, number).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        drivers.spawn(connection);
        senders.push(sender);
    }
    let (next, host): (Arc<AtomicUsize>, Arc<str>) = (Arc::default(), Arc::from(address));
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for sender in senders {
        tasks.spawn(one_connection(
            sender,
            host.clone(),
            path.clone(),
            bodies.clone(),
            next.clone(),
        ));
    }
    let mut load = Load {
        took: Duration::ZERO,
        accepted: Vec::with_capacity(bodies.len()),
        answered_at: Vec::with_capacity(bodies.len()),
        refused: 0,
    };
    while let Some(part) = tasks.join_next().await {
        let (accepted, refused) = part??;
        for (answered, took) in accepted {
            load.accepted.push(took);
            load.answered_at.push(answered.saturating_duration_since(started));
        }
        load.refused += refused;
    }
    load.took = started.elapsed();
    Ok(load)
}

/// Connects from one of this machine's loopback addresses, since a daemon accepts a limited number
/// of connections from each.
async fn connect(to: SocketAddr, number: usize) -> anyhow::Result<TcpStream> {
    let source = Ipv4Addr::LOCALHOST.to_bits() + u32::try_from(number / OF_SOURCE)?;
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::from_bits(source), 0)))?;
    Ok(socket.connect(to).await?)
}

/// Posts until no body is left. `next` is the index of the next body, shared by all connections.
/// Returns, for each accepted webhook, when it was answered and how long that took; and how many
/// were refused.
async fn one_connection(
    mut sender: SendRequest<Full<Bytes>>,
    host: Arc<str>,
    path: Arc<str>,
    bodies: Arc<[Bytes]>,
    next: Arc<AtomicUsize>,
) -> anyhow::Result<(Vec<(Instant, Duration)>, usize)> {
    let (mut accepted, mut refused) = (Vec::new(), 0);
    while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
        let request = Request::post(&*path)
            .header("host", &*host)
            .header("content-type", "application/json")
            .body(Full::new(body.clone()))?;
        let posted = Instant::now();
        let response = sender.send_request(request).await?;
        let status = response.status();
        response.into_body().collect().await?;
        match status {
            StatusCode::OK => {
                let answered = Instant::now();
                accepted.push((answered, answered - posted));
            }
            StatusCode::TOO_MANY_REQUESTS => refused += 1,
            other => anyhow::bail!("a webhook was answered {other}"),
        }
    }
    Ok((accepted, refused))
}
