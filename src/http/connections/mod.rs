//! Who is inside a server, so that it is closed when nobody is cut off.
//!
//! actix-web's own stop drops connections that were accepted and have not asked yet, and closing a socket resets
//! those that nobody has accepted. So the connections are shut first: no new connection comes in, every answer says that it
//! is the connection's last, and only when nothing has moved for a while is the server stopped. What is left then are
//! kept connections over which nothing has come for half a second. HTTP/1.1 has no word by which a server could
//! take leave of those: whoever asks over one at the very moment when it is closed gets no answer, as anywhere.

mod deadlines;
mod stream;
mod table;

pub(super) use self::{deadlines::Deadlines, stream::Watched};

use self::{
    deadlines::PhaseClock,
    table::{ConnectionTable, Ending, Full},
};
use super::limits::Neighbours;
use crate::telemetry::{http_metrics::ConnectionMetrics, sparse::Sparse};
use actix_web::{
    Error,
    body::{BodySize, BoxBody, MessageBody},
    dev::{ServerHandle, ServiceRequest, ServiceResponse},
    http::ConnectionType,
    middleware::Next,
    web::Bytes,
};
use futures_util::task::AtomicWaker;
use std::{
    net::{IpAddr, TcpListener},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;

/// Nobody is on the way any more when nothing has moved for this long.
const QUIET: Duration = Duration::from_millis(50);
/// A kept connection stays for this long after its last answer: its peer may be about to use it again, and is then
/// told that it is the last time.
const KEPT_MIN: Duration = Duration::from_millis(500);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The connections of one server. A clone is the same connections.
#[derive(Clone, Debug)]
pub(super) struct HttpConnections(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    started: Instant,
    deadlines: Deadlines,
    /// HttpConnections at once at the most.
    most: usize,
    metrics: ConnectionMetrics,
    room: Mutex<ConnectionTable>,
    /// Refusals are logged once a minute.
    refusals: Mutex<Sparse>,
    next: AtomicU64,
    /// HttpConnections over which nothing was asked yet.
    fresh: AtomicUsize,
    /// Requests that are not answered yet.
    asking: AtomicUsize,
    /// Grows whenever somebody comes, asks, is answered or leaves.
    moves: AtomicU64,
    /// Every answer is its connection's last.
    is_closing: AtomicBool,
}

/// A connection, as those know it who answer its requests, and those who judge how long it may stay.
#[derive(Debug)]
pub(super) struct OpenConnection {
    number: u64,
    /// What it is counted for; `None` for a trusted proxy.
    address: Option<Neighbours>,
    /// True where its bytes are encrypted.
    is_encrypted: bool,
    stay: Mutex<PhaseClock>,
    has_asked: AtomicBool,
    ending: OnceLock<Ending>,
    waker: AtomicWaker,
}

/// A guest, for as long as its connection is open.
#[derive(Debug)]
pub(super) struct ConnectionGuard {
    connections: HttpConnections,
    guest: Arc<OpenConnection>,
}

/// A request that is being answered.
struct Asking<'a>(&'a HttpConnections);

impl HttpConnections {
    /// HttpConnections for at most `most` connections with these deadlines. Must be called inside an actix system, whose current
    /// arbiter checks the deadlines.
    pub(super) fn open(deadlines: Deadlines, most: usize, metrics: ConnectionMetrics) -> Self {
        let connections = Self(Arc::new(Inner {
            started: Instant::now(),
            deadlines,
            most,
            metrics,
            room: Mutex::default(),
            refusals: Mutex::default(),
            next: AtomicU64::new(0),
            fresh: AtomicUsize::new(0),
            asking: AtomicUsize::new(0),
            moves: AtomicU64::new(0),
            is_closing: AtomicBool::new(false),
        }));
        actix_web::rt::spawn(end_overdue(Arc::downgrade(&connections.0), deadlines.check_every()));
        connections
    }

    /// What came over a connection is no HTTP.
    pub(super) fn malformed(&self) {
        self.0.metrics.malformed();
    }

    /// How long its connections may stay.
    pub(super) fn deadlines(&self) -> Deadlines {
        self.0.deadlines
    }

    /// A connection has come from `peer`, which is counted for its address unless it `stands_for_many`. `None` where
    /// there is no room for it.
    pub(super) fn enter(
        &self,
        peer: IpAddr,
        stands_for_many: bool,
        is_encrypted: bool,
    ) -> Option<ConnectionGuard> {
        let inner = &self.0;
        let number = inner.next.fetch_add(1, Ordering::Relaxed);
        let address = (!stands_for_many).then(|| Neighbours::of(peer));
        let guest = Arc::new(OpenConnection::opened(number, address, is_encrypted, self.now_ms()));
        let entered = {
            let mut room = self.room();
            let entered = room.enter(&guest, inner.most, self.now_ms());
            inner.metrics.open(room.count());
            entered
        };
        if let Err(full) = entered {
            self.refused(peer, full);
            return None;
        }
        inner.fresh.fetch_add(1, Ordering::SeqCst);
        self.moved();
        Some(ConnectionGuard { connections: self.clone(), guest })
    }

    fn refused(&self, peer: IpAddr, full: Full) {
        self.0.metrics.refused(full.word());
        let told = lock(&self.0.refusals).count(Instant::now());
        if let Some(count) = told {
            tracing::warn!(
                address = %peer,
                count,
                reason = full.word(),
                "connections are refused: as many are open as may be"
            );
        }
    }

    fn room(&self) -> MutexGuard<'_, ConnectionTable> {
        lock(&self.0.room)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether some kept connection was used a moment ago.
    fn is_kept_warm(&self) -> bool {
        let since = self.now_ms().saturating_sub(u64::try_from(KEPT_MIN.as_millis()).unwrap_or(0));
        self.room().all().any(|it| it.stay().used_at().is_some_and(|at| at > since))
    }

    fn moved(&self) {
        self.0.moves.fetch_add(1, Ordering::SeqCst);
    }

    fn ask(&self) -> Asking<'_> {
        self.0.asking.fetch_add(1, Ordering::SeqCst);
        self.moved();
        Asking(self)
    }

    /// Waits until nobody is inside or on the way, at most until `limit`.
    async fn quiet(&self, limit: Instant) {
        let inner = &self.0;
        let (mut moves, mut since) = (inner.moves.load(Ordering::SeqCst), Instant::now());
        while Instant::now() < limit {
            let is_empty =
                inner.fresh.load(Ordering::SeqCst) == 0 && inner.asking.load(Ordering::SeqCst) == 0;
            let now = inner.moves.load(Ordering::SeqCst);
            if !is_empty || now != moves {
                (moves, since) = (now, Instant::now());
            } else if since.elapsed() >= QUIET && !self.is_kept_warm() {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Nothing panics while it holds one of these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the connections that miss a deadline, for as long as there are connections.
async fn end_overdue(connections: Weak<Inner>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(connections) = connections.upgrade().map(HttpConnections) else { return };
        let now_ms = connections.now_ms();
        let (ended, open) = {
            let mut room = connections.room();
            let ended = room.end_overdue(now_ms, &connections.0.deadlines);
            (ended, room.count())
        };
        connections.0.metrics.open(open);
        for why in ended {
            connections.0.metrics.ended(why.word());
        }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.moved();
        self.0.0.asking.fetch_sub(1, Ordering::SeqCst);
    }
}

impl OpenConnection {
    const fn opened(
        number: u64,
        address: Option<Neighbours>,
        is_encrypted: bool,
        now_ms: u64,
    ) -> Self {
        Self {
            number,
            address,
            is_encrypted,
            stay: Mutex::new(PhaseClock::opened(now_ms)),
            has_asked: AtomicBool::new(false),
            ending: OnceLock::new(),
            waker: AtomicWaker::new(),
        }
    }

    /// True where what it sends cannot be read on the way.
    pub(super) const fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    fn stay(&self) -> MutexGuard<'_, PhaseClock> {
        lock(&self.stay)
    }

    fn took(&self, bytes: usize) {
        self.stay().took(u64::try_from(bytes).unwrap_or(u64::MAX));
    }
}

impl ConnectionGuard {
    pub(super) const fn guest(&self) -> &Arc<OpenConnection> {
        &self.guest
    }

    fn agreed(&self) {
        *self.guest.stay() = PhaseClock::opened(self.connections.now_ms());
    }

    fn received(&self) {
        self.guest.stay().received(self.connections.now_ms());
    }

    fn blocked(&self) {
        self.guest.stay().blocked(self.connections.now_ms());
    }

    fn flushed(&self) {
        self.guest.stay().flushed(self.connections.now_ms());
    }
}

impl HttpConnections {
    fn has_asked(&self, guest: &OpenConnection) {
        if !guest.has_asked.swap(true, Ordering::SeqCst) {
            self.0.fresh.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.connections.moved();
        self.connections.has_asked(&self.guest);
        self.connections.room().leave(&self.guest);
    }
}

/// The request of a guest, from its head to the end of its answer's body.
struct Served {
    connections: HttpConnections,
    guest: Arc<OpenConnection>,
}

impl Served {
    fn new(connections: &HttpConnections, guest: &Arc<OpenConnection>) -> Self {
        connections.has_asked(guest);
        guest.stay().asks(connections.now_ms());
        Self { connections: connections.clone(), guest: guest.clone() }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.guest.stay().answered(self.connections.now_ms());
    }
}

/// The body of an answer; while it is being made, its connection counts as asking.
pub(super) struct SentBody {
    body: BoxBody,
    _served: Option<Served>,
}

impl MessageBody for SentBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_next(cx)
    }
}

/// Counts a request, and closes its connection after the answer where the connections are closing.
pub(super) async fn pass(
    connections: HttpConnections,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<SentBody>, Error> {
    let asking = connections.ask();
    let served =
        request.conn_data::<Arc<OpenConnection>>().map(|guest| Served::new(&connections, guest));
    let mut answered = next.call(request).await;
    if connections.0.is_closing.load(Ordering::SeqCst)
        && let Ok(response) = &mut answered
    {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    drop(asking);
    answered.map(|it| it.map_body(|_, body| SentBody { body, _served: served }))
}

/// A running server: what stops it so that nobody is cut off.
#[derive(Debug)]
pub struct ClosableServer {
    handle: ServerHandle,
    connections: HttpConnections,
    /// The socket that it accepts from, once more.
    listener: TcpListener,
}

impl ClosableServer {
    pub(super) const fn new(
        handle: ServerHandle,
        connections: HttpConnections,
        listener: TcpListener,
    ) -> Self {
        Self { handle, connections, listener }
    }

    /// Every answer is its connection's last from now on: whoever asks again comes over a new one, and finds
    /// somebody else once this server is gone.
    pub fn say_goodbye(&self) {
        self.connections.0.is_closing.store(true, Ordering::SeqCst);
    }

    /// Lets nobody new in, answers those who are inside, and closes; by `limit` in any case.
    pub async fn close(self, limit: Instant) {
        self.say_goodbye();
        if let Err(error) = refuse_new(&self.listener) {
            tracing::debug!(%error, "the system cannot hold new connections back");
        }
        // Where a hand-over was broken off.
        self.handle.resume().await;
        self.connections.quiet(limit).await;
        let Self { handle, connections, listener } = self;
        // The server has its own; the socket is closed with the last.
        drop(listener);
        end(&handle, &connections, limit).await;
    }

    /// Leaves the socket to another server, which finds there whoever has come meanwhile. Where that is broken off, it
    /// can still be closed.
    pub async fn hand_over(&self, limit: Instant) {
        self.say_goodbye();
        self.handle.pause().await;
        self.connections.quiet(limit).await;
        end(&self.handle, &self.connections, limit).await;
    }
}

async fn end(handle: &ServerHandle, connections: &HttpConnections, limit: Instant) {
    let inside = connections.0.asking.load(Ordering::SeqCst);
    if tokio::time::timeout_at(limit, handle.stop(true)).await.is_err() {
        tracing::warn!(inside, "connections were still open when the server had to close");
    }
}

/// Drops what asks for a new connection: its system asks again a second later, and is refused by then or finds
/// the next daemon. A connection that was opened and that nobody had accepted would be reset instead, with the
/// request in it, when the socket is closed.
#[cfg(target_os = "linux")]
fn refuse_new(listener: &TcpListener) -> std::io::Result<()> {
    use socket2::{SockFilter, SockRef};
    /// Where the flags are in a TCP header, and which of them asks for a connection.
    const FLAGS_AT: u32 = 13;
    const SYN: u32 = 0x02;
    let load = SockFilter::new(0x30, 0, 0, FLAGS_AT);
    let skip_next_unless_set = SockFilter::new(0x45, 0, 1, SYN);
    let drop_it = SockFilter::new(0x06, 0, 0, 0);
    let keep_it = SockFilter::new(0x06, 0, 0, u32::MAX);
    SockRef::from(listener).attach_filter(&[load, skip_next_unless_set, drop_it, keep_it])
}

/// Other systems have no such filter.
#[cfg(not(target_os = "linux"))]
fn refuse_new(_: &TcpListener) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}
