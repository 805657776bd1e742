//! The open connections of a server, so that it can be closed without cutting off a request.
//!
//! actix-web's own stop drops connections that were accepted and have not sent a request yet, and
//! closing a socket resets those that were not accepted. So a server is closed in this order: no
//! new connection comes in, every answer says that it is its connection's last, and the server is
//! stopped once nothing has moved for a while. Only kept connections are left then, over which
//! nothing has come for half a second. HTTP/1.1 has no word by which a server could end those: a
//! request that is sent over one at the very moment when it is closed gets no answer, as with any
//! server.

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
use tokio::{sync::Notify, time::Instant};

/// If nothing has moved for this long, no request is on its way any more.
const QUIET: Duration = Duration::from_millis(50);
/// How long a closing server keeps an idle connection open after its last answer: a peer that
/// reuses it then gets `Connection: close`.
const KEPT_MIN: Duration = Duration::from_millis(500);
/// How often a closing server checks whether anything has moved.
const CHECK_EVERY: Duration = Duration::from_millis(5);

/// The connections of one server. A clone stands for the same ones.
#[derive(Clone, Debug)]
pub(super) struct HttpConnections(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// When the server started: the zero of all times in milliseconds.
    started: Instant,
    deadlines: Deadlines,
    /// How many connections may be open at once.
    most: usize,
    metrics: ConnectionMetrics,
    table: Mutex<ConnectionTable>,
    /// When a refused connection was last logged.
    refusals: Mutex<Sparse>,
    /// The number of the next connection.
    next: AtomicU64,
    /// How many connections have not sent a request yet.
    fresh: AtomicUsize,
    /// How many requests are not answered yet.
    asking: AtomicUsize,
    /// Grows whenever a connection opens or ends, and a request comes or is answered.
    moves: AtomicU64,
    /// True from the moment when every answer is its connection's last.
    is_closing: AtomicBool,
}

/// A connection, shared by the answers to its requests and by the check of its deadlines.
#[derive(Debug)]
pub(super) struct OpenConnection {
    number: u64,
    /// The address that it is counted for; `None` for a trusted proxy.
    address: Option<Neighbours>,
    /// True if its bytes are encrypted.
    is_encrypted: bool,
    clock: Mutex<PhaseClock>,
    has_asked: AtomicBool,
    /// Set once it is told to end.
    ending: OnceLock<Ending>,
    /// Wakes its task then.
    waker: AtomicWaker,
    /// True once the peer sends nothing more, and tells those who wait for that.
    has_hung_up: AtomicBool,
    hang_up: Notify,
}

/// Registers a connection for as long as it is open.
#[derive(Debug)]
pub(super) struct ConnectionGuard {
    connections: HttpConnections,
    connection: Arc<OpenConnection>,
}

/// A request that is being answered.
struct Asking<'a>(&'a HttpConnections);

impl HttpConnections {
    /// The connections of a server: at most `most`, with these deadlines. Must be called inside an
    /// actix system, whose current arbiter checks the deadlines.
    pub(super) fn open(deadlines: Deadlines, most: usize, metrics: ConnectionMetrics) -> Self {
        let connections = Self(Arc::new(Inner {
            started: Instant::now(),
            deadlines,
            most,
            metrics,
            table: Mutex::default(),
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

    /// Counts a connection over which something else than HTTP came.
    pub(super) fn malformed(&self) {
        self.0.metrics.malformed();
    }

    /// The deadlines of its connections.
    pub(super) fn deadlines(&self) -> Deadlines {
        self.0.deadlines
    }

    /// Registers a connection from `peer`. It is counted for its address unless the peer
    /// `stands_for_many`. `None` if there is no room for it.
    pub(super) fn enter(
        &self,
        peer: IpAddr,
        stands_for_many: bool,
        is_encrypted: bool,
    ) -> Option<ConnectionGuard> {
        let inner = &self.0;
        let number = inner.next.fetch_add(1, Ordering::Relaxed);
        let address = (!stands_for_many).then(|| Neighbours::of(peer));
        let connection =
            Arc::new(OpenConnection::opened(number, address, is_encrypted, self.now_ms()));
        let entered = {
            let mut table = self.table();
            let entered = table.enter(&connection, inner.most, self.now_ms());
            inner.metrics.open(table.count());
            entered
        };
        if let Err(full) = entered {
            self.refused(peer, full);
            return None;
        }
        inner.fresh.fetch_add(1, Ordering::SeqCst);
        self.moved();
        Some(ConnectionGuard { connections: self.clone(), connection })
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

    fn table(&self) -> MutexGuard<'_, ConnectionTable> {
        lock(&self.0.table)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// True if some kept connection was used a moment ago.
    fn is_kept_warm(&self) -> bool {
        let since = self.now_ms().saturating_sub(u64::try_from(KEPT_MIN.as_millis()).unwrap_or(0));
        self.table()
            .all()
            .any(|connection| connection.clock().used_at().is_some_and(|at| at > since))
    }

    fn moved(&self) {
        self.0.moves.fetch_add(1, Ordering::SeqCst);
    }

    fn ask(&self) -> Asking<'_> {
        self.0.asking.fetch_add(1, Ordering::SeqCst);
        self.moved();
        Asking(self)
    }

    /// Waits until no request is being answered or on its way, at most until `limit`.
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
            tokio::time::sleep(CHECK_EVERY).await;
        }
    }
}

/// Nothing panics while it holds one of these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the connections that miss a deadline, until the server is gone.
async fn end_overdue(connections: Weak<Inner>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(connections) = connections.upgrade().map(HttpConnections) else { return };
        let now_ms = connections.now_ms();
        let (ended, open) = {
            let mut table = connections.table();
            let ended = table.end_overdue(now_ms, &connections.0.deadlines);
            (ended, table.count())
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
            clock: Mutex::new(PhaseClock::opened(now_ms)),
            has_asked: AtomicBool::new(false),
            ending: OnceLock::new(),
            waker: AtomicWaker::new(),
            has_hung_up: AtomicBool::new(false),
            hang_up: Notify::const_new(),
        }
    }

    /// Waits until the peer sends nothing more: nobody is there to read a stream. An answer that
    /// ends by itself need not ask.
    pub(super) async fn hung_up(&self) {
        // It is told even if the peer hangs up before it is polled.
        let told = self.hang_up.notified();
        if !self.has_hung_up.load(Ordering::SeqCst) {
            told.await;
        }
    }

    /// True if nobody on the way can read what it carries.
    pub(super) const fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    fn clock(&self) -> MutexGuard<'_, PhaseClock> {
        lock(&self.clock)
    }

    fn took(&self, bytes: usize) {
        self.clock().took(u64::try_from(bytes).unwrap_or(u64::MAX));
    }
}

impl ConnectionGuard {
    pub(super) const fn connection(&self) -> &Arc<OpenConnection> {
        &self.connection
    }

    fn agreed(&self) {
        *self.connection.clock() = PhaseClock::opened(self.connections.now_ms());
    }

    fn received(&self) {
        self.connection.clock().received(self.connections.now_ms());
    }

    fn hung_up(&self) {
        self.connection.has_hung_up.store(true, Ordering::SeqCst);
        self.connection.hang_up.notify_waiters();
    }

    fn blocked(&self) {
        self.connection.clock().blocked(self.connections.now_ms());
    }

    fn flushed(&self) {
        self.connection.clock().flushed(self.connections.now_ms());
    }
}

impl HttpConnections {
    fn has_asked(&self, connection: &OpenConnection) {
        if !connection.has_asked.swap(true, Ordering::SeqCst) {
            self.0.fresh.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.connections.moved();
        self.connections.has_asked(&self.connection);
        self.connections.table().leave(&self.connection);
    }
}

/// A request, from its head to the end of its answer's body.
struct Served {
    connections: HttpConnections,
    connection: Arc<OpenConnection>,
}

impl Served {
    fn new(connections: &HttpConnections, connection: &Arc<OpenConnection>) -> Self {
        connections.has_asked(connection);
        connection.clock().asks(connections.now_ms());
        Self { connections: connections.clone(), connection: connection.clone() }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.connection.clock().answered(self.connections.now_ms());
    }
}

/// The body of an answer. Its connection counts as asking until this is dropped.
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

/// Counts a request. If the server is closing, the answer is its connection's last.
pub(super) async fn pass(
    connections: HttpConnections,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<SentBody>, Error> {
    let asking = connections.ask();
    let served = request
        .conn_data::<Arc<OpenConnection>>()
        .map(|connection| Served::new(&connections, connection));
    let mut answered = next.call(request).await;
    if connections.0.is_closing.load(Ordering::SeqCst)
        && let Ok(response) = &mut answered
    {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    drop(asking);
    answered.map(|it| it.map_body(|_, body| SentBody { body, _served: served }))
}

/// A running server, which can be stopped without cutting off a request.
#[derive(Debug)]
pub struct ClosableServer {
    handle: ServerHandle,
    connections: HttpConnections,
    /// A second handle of the socket that it accepts from.
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

    /// Makes every answer its connection's last from now on. A peer that asks again opens another
    /// connection, and finds another server once this one is gone.
    pub fn say_goodbye(&self) {
        self.connections.0.is_closing.store(true, Ordering::SeqCst);
    }

    /// Refuses new connections, answers the requests inside, and closes; by `limit` in any case.
    pub async fn close(self, limit: Instant) {
        self.say_goodbye();
        if let Err(error) = refuse_new(&self.listener) {
            tracing::debug!(%error, "the system cannot hold new connections back");
        }
        // It is paused if `leave_socket` was broken off.
        self.handle.resume().await;
        self.connections.quiet(limit).await;
        let Self { handle, connections, listener } = self;
        // The server has its own handle. The socket is closed with the last one.
        drop(listener);
        end(&handle, &connections, limit).await;
    }

    /// Leaves the socket to another server, which accepts the connections that come meanwhile. If
    /// this is broken off, the server can still be closed.
    pub async fn leave_socket(&self, limit: Instant) {
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

/// Drops the packets that ask for a new connection. Their sender asks again a second later, and is
/// refused by then or finds the next daemon. Without this, a connection that was opened and not yet
/// accepted would be reset when the socket is closed, with the request in it.
#[cfg(target_os = "linux")]
fn refuse_new(listener: &TcpListener) -> std::io::Result<()> {
    use socket2::{SockFilter, SockRef};
    /// The place of the flags in a TCP header, and the flag that asks for a connection.
    const FLAGS_AT: u32 = 13;
    const SYN: u32 = 0x02;
    let load = SockFilter::new(0x30, 0, 0, FLAGS_AT);
    let skip_next_unless_set = SockFilter::new(0x45, 0, 1, SYN);
    let drop_it = SockFilter::new(0x06, 0, 0, 0);
    let keep_it = SockFilter::new(0x06, 0, 0, u32::MAX);
    SockRef::from(listener).attach_filter(&[load, skip_next_unless_set, drop_it, keep_it])
}

/// Other systems than Linux have no such filter.
#[cfg(not(target_os = "linux"))]
fn refuse_new(_: &TcpListener) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}
