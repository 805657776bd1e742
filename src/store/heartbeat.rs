//! Heartbeats from a thread and a connection of their own: neither a busy handler nor a flood of webhooks
//! can make a live node look dead.

use super::{Store, StoreError, connect, connect::Connections, nodes::beat_once};
use crate::config;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread::JoinHandle,
    time::Duration,
};

/// The thread that beats. Dropped, it stops.
#[derive(Debug)]
pub struct Heartbeat {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    beats: Arc<AtomicU64>,
}

impl Heartbeat {
    /// Starts beating for the node of `store`. On SQLite there is nothing to do: the lock of the file is
    /// the lease.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(store: &Store, cfg: &config::Database, every: Duration) -> io::Result<Self> {
        let beats = Arc::new(AtomicU64::new(0));
        if store.is_sqlite() {
            return Ok(Self { stop: None, thread: None, beats });
        }
        let (stop, stopped) = mpsc::channel();
        let (node, cfg, counter) = (store.node(), cfg.clone(), beats.clone());
        let thread = std::thread::Builder::new().name("heartbeat".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => {
                    runtime.block_on(beat(&cfg, node, every, &stopped, &counter));
                }
                Err(error) => tracing::error!(%error, "no runtime for heartbeats"),
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread), beats })
    }

    /// How often the database has taken a heartbeat.
    pub fn count(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the heartbeat thread panicked");
        }
    }
}

/// Beats until the sender is dropped. A lost connection is opened anew at the next beat.
async fn beat(
    cfg: &config::Database,
    node: i64,
    every: Duration,
    stopped: &mpsc::Receiver<()>,
    beats: &AtomicU64,
) {
    let mut connections: Option<Connections> = None;
    while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
        match one_beat(cfg, node, &mut connections, every).await {
            Ok(true) => {
                beats.fetch_add(1, Ordering::Relaxed);
            }
            Ok(false) => {
                tracing::error!(node.id = node, "this node's row is gone: it was taken for dead")
            }
            Err(error) => {
                connections = None;
                tracing::warn!(%error, "heartbeat failed");
            }
        }
    }
}

async fn one_beat(
    cfg: &config::Database,
    node: i64,
    connections: &mut Option<Connections>,
    limit: Duration,
) -> Result<bool, StoreError> {
    let work = async {
        let open = match connections.take() {
            Some(it) => it,
            None => connect::open_one(cfg).await?,
        };
        let alive = beat_once(&open, node).await?;
        *connections = Some(open);
        Ok(alive)
    };
    tokio::time::timeout(limit.max(Duration::from_secs(1)), work)
        .await
        .unwrap_or_else(|_| Err(StoreError::Away("the heartbeat took too long".to_owned())))
}
