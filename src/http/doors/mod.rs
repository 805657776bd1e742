//! Who is inside a server, so that it is closed when nobody is cut off.
//!
//! actix-web's own stop drops connections that were accepted and have not asked yet, and closing a socket resets
//! those that nobody has accepted. So the doors are shut first: no new connection comes in, every answer says that it
//! is the connection's last, and only when nothing has moved for a while is the server stopped. What is left then are
//! kept connections over which nothing has come for half a second. HTTP/1.1 has no word by which a server could
//! take leave of those: whoever asks over one at the very moment when it is closed gets no answer, as anywhere.

use actix_web::{
    Error,
    body::MessageBody,
    dev::{Extensions, ServerHandle, ServiceRequest, ServiceResponse},
    http::ConnectionType,
    middleware::Next,
};
use dashmap::DashMap;
use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Nobody is on the way any more when nothing has moved for so long.
const QUIET: Duration = Duration::from_millis(50);
/// So long a kept connection stays after its last answer: who is about to use it again has the time to do so, and
/// to be told that it is the last.
const KEPT_MIN: Duration = Duration::from_millis(500);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The doors of one server. A clone is the same doors.
#[derive(Clone, Debug)]
pub(super) struct Doors(Arc<Inner>);

impl Default for Doors {
    fn default() -> Self {
        Self(Arc::new(Inner {
            started: Instant::now(),
            open: DashMap::new(),
            next: AtomicU64::new(0),
            fresh: AtomicUsize::new(0),
            asking: AtomicUsize::new(0),
            moves: AtomicU64::new(0),
            is_closing: AtomicBool::new(false),
        }))
    }
}

#[derive(Debug)]
struct Inner {
    started: Instant,
    /// The connections that are open: when each was last used, in milliseconds after `started`.
    open: DashMap<u64, Arc<AtomicU64>>,
    next: AtomicU64,
    /// Connections over which nothing was asked yet.
    fresh: AtomicUsize,
    /// Requests that are not answered yet.
    asking: AtomicUsize,
    /// Grows whenever somebody comes, asks, is answered or leaves.
    moves: AtomicU64,
    /// Every answer is its connection's last.
    is_closing: AtomicBool,
}

/// A connection; kept in its data, and dropped with it.
#[derive(Debug)]
pub(super) struct Guest {
    doors: Doors,
    number: u64,
    used_at_ms: Arc<AtomicU64>,
    has_asked: AtomicBool,
}

/// A request that is being answered.
struct Asking<'a>(&'a Doors);

impl Doors {
    /// A connection has come.
    pub(super) fn enter(&self, data: &mut Extensions) {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let used_at_ms = Arc::new(AtomicU64::new(self.now_ms()));
        self.0.open.insert(number, used_at_ms.clone());
        self.0.fresh.fetch_add(1, Ordering::SeqCst);
        self.moved();
        let has_asked = AtomicBool::new(false);
        data.insert(Arc::new(Guest { doors: self.clone(), number, used_at_ms, has_asked }));
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether some kept connection was used a moment ago.
    fn is_kept_warm(&self) -> bool {
        let since = self.now_ms().saturating_sub(u64::try_from(KEPT_MIN.as_millis()).unwrap_or(0));
        self.0.open.iter().any(|it| it.load(Ordering::Relaxed) > since)
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

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.moved();
        self.0.0.asking.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Guest {
    fn asks(&self) {
        if !self.has_asked.swap(true, Ordering::SeqCst) {
            self.doors.0.fresh.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn answered(&self) {
        self.used_at_ms.store(self.doors.now_ms(), Ordering::Relaxed);
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.doors.moved();
        self.asks();
        self.doors.0.open.remove(&self.number);
    }
}

/// Counts a request, and closes its connection after the answer where the doors are closing.
pub(super) async fn pass<B: MessageBody>(
    doors: Doors,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let asking = doors.ask();
    let guest = request.conn_data::<Arc<Guest>>().cloned();
    if let Some(guest) = &guest {
        guest.asks();
    }
    let mut answered = next.call(request).await;
    if doors.0.is_closing.load(Ordering::SeqCst)
        && let Ok(response) = &mut answered
    {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    if let Some(guest) = guest {
        guest.answered();
    }
    drop(asking);
    answered
}

/// A running server: what stops it so that nobody is cut off.
#[derive(Debug)]
pub struct Server {
    handle: ServerHandle,
    doors: Doors,
    /// The socket that it accepts from, once more.
    listener: TcpListener,
}

impl Server {
    pub(super) const fn new(handle: ServerHandle, doors: Doors, listener: TcpListener) -> Self {
        Self { handle, doors, listener }
    }

    /// Every answer is its connection's last from now on: whoever asks again comes over a new one, and finds
    /// somebody else once this server is gone.
    pub fn say_goodbye(&self) {
        self.doors.0.is_closing.store(true, Ordering::SeqCst);
    }

    /// Lets nobody new in, answers those who are inside, and closes; by `limit` in any case.
    pub async fn close(self, limit: Instant) {
        self.say_goodbye();
        if let Err(error) = refuse_new(&self.listener) {
            tracing::debug!(%error, "the system cannot hold new connections back");
        }
        // Where a hand-over was broken off.
        self.handle.resume().await;
        self.doors.quiet(limit).await;
        let Self { handle, doors, listener } = self;
        // The server has its own; the socket is closed with the last.
        drop(listener);
        end(&handle, &doors, limit).await;
    }

    /// Leaves the socket to another server, which finds there whoever has come meanwhile. Where that is broken off, it
    /// can still be closed.
    pub async fn hand_over(&self, limit: Instant) {
        self.say_goodbye();
        self.handle.pause().await;
        self.doors.quiet(limit).await;
        end(&self.handle, &self.doors, limit).await;
    }
}

async fn end(handle: &ServerHandle, doors: &Doors, limit: Instant) {
    let inside = doors.0.asking.load(Ordering::SeqCst);
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
