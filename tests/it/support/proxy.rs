//! A stand-in for the network between a daemon and PostgreSQL, which can do what networks do.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::Instant,
};
use tokio_util::task::TaskTracker;

/// How the proxy treats bytes and connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Bytes arrive.
    Open,
    /// Bytes are taken, and nobody ever answers: the other side has gone without a word.
    Silent,
    /// A new connection is told that the server is starting up.
    Refused,
}

#[derive(Debug)]
struct Shared {
    server: Mutex<SocketAddr>,
    way: watch::Sender<Way>,
    /// Connections of an earlier one stay silent for good.
    generation: AtomicUsize,
    attempts: Mutex<Vec<Instant>>,
    bytes: AtomicU64,
    /// The next connection that is checked falls silent.
    silences_next_check: AtomicBool,
}

/// What a driver sends to ask whether a connection is sound: PostgreSQL's `Sync` by itself.
const CHECK: [u8; 5] = [b'S', 0, 0, 0, 4];

/// Forwards connections to PostgreSQL. Dropping it cuts them all.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Stands before the server of a `database.url`.
    pub async fn before(database_url: &str) -> Self {
        let shared = Arc::new(Shared {
            server: Mutex::new(address(database_url)),
            way: watch::Sender::new(Way::Open),
            generation: AtomicUsize::new(0),
            attempts: Mutex::default(),
            bytes: AtomicU64::new(0),
            silences_next_check: AtomicBool::new(false),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let of_task = shared.clone();
        let tasks = TaskTracker::new();
        let served = tasks.clone();
        let task = tasks.spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else { continue };
                of_task.attempts.lock().expect("no panic before").push(Instant::now());
                served.spawn(serve(client, of_task.clone()));
            }
        });
        Self { shared, port, task }
    }

    /// Leads new connections to the server of this `database.url`. Those that are open stay where
    /// they are.
    pub fn lead_to(&self, database_url: &str) {
        *self.shared.server.lock().expect("no panic before") = address(database_url);
    }

    /// The database's URL through here.
    pub fn url(&self, database_url: &str) -> String {
        let mut url = url::Url::parse(database_url).expect("a URL");
        url.set_port(Some(self.port)).expect("a URL with a host");
        url.set_host(Some("127.0.0.1")).expect("a URL with a host");
        url.into()
    }

    /// Changes how connections are treated. Those that were silent stay so, even if the way is open
    /// for new ones.
    pub fn set(&self, way: Way) {
        if way != Way::Open {
            self.shared.generation.fetch_add(1, Ordering::SeqCst);
        }
        self.shared.way.send_replace(way);
    }

    /// Lets the next connection fall silent whose driver asks whether it is sound. Others go on.
    pub fn silence_next_check(&self) {
        self.shared.silences_next_check.store(true, Ordering::SeqCst);
    }

    /// Whether such a connection has fallen silent.
    pub fn has_silenced_check(&self) -> bool {
        !self.shared.silences_next_check.load(Ordering::SeqCst)
    }

    /// The instants of new connections since this one.
    pub fn attempts_since(&self, since: Instant) -> Vec<Instant> {
        let attempts = self.shared.attempts.lock().expect("no panic before");
        attempts.iter().filter(|it| **it >= since).copied().collect()
    }
}

fn address(database_url: &str) -> SocketAddr {
    let url = url::Url::parse(database_url).expect("a URL");
    let server = format!("127.0.0.1:{}", url.port().unwrap_or(5432));
    server.parse().expect("an address")
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        // Those that are open end with their tasks, which see that nobody changes the way any more.
        self.shared.generation.fetch_add(1, Ordering::SeqCst);
    }
}

async fn serve(mut client: TcpStream, shared: Arc<Shared>) {
    let way = *shared.way.borrow();
    match way {
        Way::Open => {
            let server = *shared.server.lock().expect("no panic before");
            let Ok(server) = TcpStream::connect(server).await else { return };
            let generation = shared.generation.load(Ordering::SeqCst);
            let (client_reads, client_writes) = client.into_split();
            let (server_reads, server_writes) = server.into_split();
            tokio::join!(
                pump(client_reads, server_writes, &shared, generation),
                pump(server_reads, client_writes, &shared, generation),
            );
        }
        Way::Silent => hold(&mut client).await,
        Way::Refused => drop(refuse(client).await),
    }
}

/// Copies until one side ends, or falls silent with its generation.
async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut into: tokio::net::tcp::OwnedWriteHalf,
    shared: &Shared,
    generation: usize,
) {
    let mut buffer = vec![0; 16 * 1024];
    let mut is_silent = false;
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        is_silent |=
            buffer[..count] == CHECK && shared.silences_next_check.swap(false, Ordering::SeqCst);
        if is_silent {
            continue;
        }
        if shared.generation.load(Ordering::SeqCst) != generation {
            if *shared.way.borrow() == Way::Refused {
                return;
            }
            // Taken, as a network takes it that does not deliver.
            continue;
        }
        shared.bytes.fetch_add(count as u64, Ordering::Relaxed);
        if into.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

async fn hold(client: &mut TcpStream) {
    let mut buffer = [0; 1024];
    while let Ok(1..) = client.read(&mut buffer).await {}
}

/// Answers as a server that cannot take connections now.
async fn refuse(mut client: TcpStream) -> std::io::Result<()> {
    let mut head = [0; 8];
    client.read_exact(&mut head).await?;
    // A request for TLS comes first: no.
    if head[4..] == 80_877_103_u32.to_be_bytes() {
        client.write_all(b"N").await?;
        client.read_exact(&mut head).await?;
    }
    let fields = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0";
    let length = u32::try_from(fields.len() + 4).expect("a short text");
    client.write_all(b"E").await?;
    client.write_all(&length.to_be_bytes()).await?;
    client.write_all(fields).await?;
    client.shutdown().await
}
