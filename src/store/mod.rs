//! All SQL. Cut by who asks: each asker gets a handle of its own over the same connections.
//!
//! Every database call runs on the store runtime, which is stopped last: a sqlx connection belongs to
//! the runtime that opened it, so a busy arbiter or HTTP worker must never be that one.

mod chores;
mod desk;
mod engine;
mod enqueuer;
mod fleet;
mod inbox;
mod ledger;
mod prune;
mod queue;
mod reader;
mod statements;
mod tables;

pub use self::{
    chores::Chores,
    desk::{
        Backlog, ByKind, Desk, DraftRow, Excerpt, FailedAttempt, IdentityRow, JobActionError,
        JobDetail, JobFilter, JobView, LeadCursor, LeadDetail, LeadEntry, LeadFilter, LeadRow,
        ListedMessage, ListedQuarantine, MessageFilter, MessageRow, Page, QuarantineFilter,
        QuarantineRow, Totals,
    },
    engine::connect::{create_database, drop_database, reach, sqlite_path},
    engine::error::StoreError,
    engine::ids::{given_out_at, wall_clock},
    engine::isolate::commit_isolating,
    engine::migrate::{Migrations, migrate_down, migrate_fresh, migrate_status, migrate_up},
    enqueuer::Enqueuer,
    fleet::heartbeat::{Heartbeat, Membership},
    fleet::nodes::{HeartbeatReport, Node, Nodes},
    fleet::notices::{Notice, Notices, Subscriber, Subscription},
    inbox::{Answer, Content, Delivery, Inbound, Inbox, SAME_ID_OTHER_BODY},
    ledger::{Ledger, Settlement, Transition},
    prune::{Prunable, Pruned, Pruning},
    queue::{Claim, Orphan, Queue, Want},
    reader::Reader,
    statements::statements,
};

use self::{
    engine::{
        circuit_breaker, connect, connect::Connections, disk, error, ids, ids::Ids,
        last_failed_write, sessions, sql, suitable, tx,
    },
    fleet::{nodes, notices},
    tables::{
        caps, drafts, leads, lines, merge, messages, quarantine_room, suspects, unknown_clients,
    },
};
use crate::{config, domain::Id};
use sea_orm::DatabaseBackend;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    future::Future,
    io,
    sync::{Arc, atomic::Ordering},
};
use tokio::runtime::{Builder, Handle, Runtime};

/// What the same bytes have in common: the key of a quarantined body, 32 hex digits of its SHA-256.
pub fn body_hash(body: &[u8]) -> String {
    let mut hex = format!("{:x}", Sha256::digest(body));
    hex.truncate(32);
    hex
}

/// Threads of the store runtime. They only wait for databases.
const STORE_THREADS: usize = 2;

/// The runtime on which every database call runs. Dropped last: what still runs on it then is dropped, too.
#[derive(Debug)]
pub struct StoreRuntime {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl StoreRuntime {
    /// Starts it.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn start() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(STORE_THREADS).thread_name("store").enable_all();
        let runtime = builder.build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// A handle by which others run on it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for StoreRuntime {
    /// Does not wait, because it may be dropped inside of another runtime, which must not block.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The open database, registered as a node.
#[derive(Clone, Debug)]
pub struct Store(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    runtime: Handle,
    connections: Connections,
    node: Id,
    ids: Ids,
    notices: Arc<notices::NoticeState>,
    conversations: reader::Conversations,
    left: unknown_clients::UnknownClientsLeft,
    disk: disk::Disk,
}

impl Store {
    /// Opens the configured database and registers this process as a node. The schema must be there.
    ///
    /// # Errors
    /// When the database is away, or its schema is not the one of this version.
    pub async fn open(
        runtime: Handle,
        cfg: &config::DatabaseConfig,
        role: &'static str,
    ) -> Result<Self, StoreError> {
        let (cfg, disk) = (cfg.clone(), disk::Disk::of(cfg.url.expose()));
        let opened = runtime.spawn(async move {
            let connections = connect::open(&cfg).await?;
            if connections.writer.is_lent() {
                tracing::info!(
                    "a pooler lends a session for each transaction: what other nodes store is found by heartbeats"
                );
            }
            let registered = nodes::register(&connections, role).await?;
            Ok::<_, StoreError>((connections, registered))
        });
        let (connections, registered) =
            opened.await.map_err(|error| StoreError::Broken(error.to_string()))??;
        connections.has_caps.store(registered.has_caps, Ordering::Relaxed);
        let ids = Ids::new(registered.slot, registered.floor);
        Ok(Self(Arc::new(Shared {
            runtime,
            connections,
            node: registered.node,
            ids,
            notices: Arc::default(),
            conversations: reader::Conversations::default(),
            left: unknown_clients::UnknownClientsLeft::default(),
            disk,
        })))
    }

    /// This process, as the database knows it.
    pub fn node(&self) -> Id {
        self.0.node
    }

    /// Takes this process's row away, at the end of a stop that has left nothing undone: its place
    /// is free then, and no other node has to find out that it is gone. It must not write any more.
    ///
    /// # Errors
    /// When the database is away: the row is forgotten later, as that of a node that died.
    pub async fn leave(&self) -> Result<(), StoreError> {
        let store = self.clone();
        self.spawn(async move { nodes::leave(store.connections(), store.node()).await }).await
    }

    /// The settings of the database's server under which an acknowledged webhook can be lost; empty is good.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn undurable(&self) -> Result<Vec<String>, StoreError> {
        let store = self.clone();
        self.spawn(async move { connect::undurable(store.connections()).await }).await
    }

    /// What is wrong with the disk of a SQLite file: it has less room left than new webhooks may use. `None` where
    /// all is well, and on PostgreSQL.
    pub fn disk_trouble(&self) -> Option<String> {
        self.0.disk.trouble()
    }

    /// Whether the database answers, and takes writes again where the last one failed.
    ///
    /// # Errors
    /// When it does not.
    pub async fn answers(&self) -> Result<(), StoreError> {
        let store = self.clone();
        self.spawn(async move {
            let connections = store.connections();
            if connections.last_failed_write.error().is_none() {
                return nodes::is_there(connections).await;
            }
            nodes::stay(connections, store.node()).await?;
            connections.last_failed_write.error().map_or(Ok(()), Err)
        })
        .await
    }

    /// `sqlite` or `postgres`.
    pub fn database(&self) -> &'static str {
        if self.is_sqlite() { "sqlite" } else { "postgres" }
    }

    /// For ingest.
    pub fn inbox(&self) -> Inbox {
        Inbox(self.clone(), config::QuarantineBound { items: u64::MAX, bytes: u64::MAX })
    }

    /// For the supervisor.
    pub fn queue(&self) -> Queue {
        Queue(self.clone())
    }

    /// For the recorder.
    pub fn ledger(&self) -> Ledger {
        Ledger(self.clone())
    }

    /// For jobs that come from no webhook.
    pub fn enqueuer(&self) -> Enqueuer {
        Enqueuer(self.clone())
    }

    /// For handlers.
    pub fn reader(&self) -> Reader {
        Reader(self.clone())
    }

    /// For judging who lives.
    pub fn nodes(&self) -> Nodes {
        Nodes(self.clone())
    }

    /// For those who store jobs that other nodes may work.
    pub fn notices(&self) -> Notices {
        Notices(self.clone())
    }

    /// For whoever listens to the other nodes; `None` on SQLite, where there are none, and behind a pooler, where
    /// a listener would hear nothing and leave every session that it was lent listening.
    pub fn subscriber(&self, cfg: &config::DatabaseConfig) -> Option<Subscriber> {
        let can_hear = !self.is_sqlite() && !self.is_pooled();
        can_hear.then(|| Subscriber::new(self.clone(), cfg.clone()))
    }

    /// For the janitor of the node that leads.
    pub fn chores(&self) -> Chores {
        Chores(self.clone())
    }

    /// For the admin API.
    pub fn desk(&self) -> Desk {
        Desk(self.clone())
    }

    /// Caps how many jobs of these clients run at once, on all nodes together; every other client
    /// has no cap. What the last node has set is kept by all. To be called at the start, and when
    /// the configuration has changed.
    ///
    /// # Errors
    /// When the database is away: the caps are as before then.
    pub async fn set_caps(&self, caps: BTreeMap<String, u32>) -> Result<(), StoreError> {
        let store = self.clone();
        // Said before, so that whoever moves a head from now on counts it.
        if !caps.is_empty() {
            self.note_caps();
        }
        let has_caps = self.spawn(async move { caps::set(&store, &caps).await }).await?;
        self.0.connections.has_caps.store(has_caps, Ordering::Relaxed);
        Ok(())
    }

    /// Some client is capped: from now on heads are counted.
    fn note_caps(&self) {
        self.0.connections.has_caps.store(true, Ordering::Relaxed);
    }

    /// The clients whose jobs this process leaves to others.
    fn left(&self) -> &unknown_clients::UnknownClientsLeft {
        &self.0.left
    }

    /// True where a pooler lends sessions for a transaction at a time.
    pub fn is_pooled(&self) -> bool {
        self.0.connections.writer.is_lent()
    }

    /// How often the circuit breaker before PostgreSQL has closed: outages, as far as this process has seen them.
    pub fn outages(&self) -> u32 {
        self.0.connections.breaker.as_ref().map_or(0, |it| it.closings())
    }

    fn is_sqlite(&self) -> bool {
        self.0.connections.backend == DatabaseBackend::Sqlite
    }

    fn connections(&self) -> &Connections {
        &self.0.connections
    }

    /// The next id: it grows with arrival.
    fn next_id(&self) -> Id {
        self.0.ids.next()
    }

    /// Runs `work` on the store runtime, once the database is there. It goes on there when the caller is dropped:
    /// a commit that was begun is not broken off by an actor that died.
    ///
    /// There is no limit for the whole of it, because every statement has one. Long work is better cut into
    /// several calls: one that is under way when the database goes away ends a second later.
    fn spawn<T, W>(&self, work: W) -> impl Future<Output = Result<T, StoreError>> + use<T, W>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        // Boxed, because each layer around it would hold it anew.
        let (breaker, work) = (self.0.connections.breaker.clone(), Box::pin(work));
        self.run(async move {
            match breaker {
                Some(breaker) => breaker.pass(work).await,
                None => work.await,
            }
        })
    }

    /// As [`Self::spawn`], for work over a connection of its own: it is given up as soon as the database goes
    /// away, and its errors say nothing about the pools.
    fn spawn_apart<T, W>(&self, work: W) -> impl Future<Output = Result<T, StoreError>> + use<T, W>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let (breaker, work) = (self.0.connections.breaker.clone(), Box::pin(work));
        self.run(async move {
            match breaker {
                Some(breaker) => breaker.pass_apart(work).await,
                None => work.await,
            }
        })
    }

    fn run<T, W>(&self, work: W) -> impl Future<Output = Result<T, StoreError>> + use<T, W>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let runtime = self.0.runtime.clone();
        async move {
            match runtime.spawn(work).await {
                Ok(result) => result,
                Err(error) if error.is_panic() => {
                    Err(StoreError::Broken("a database call panicked".to_owned()))
                }
                Err(_) => Err(StoreError::Unreachable("the store is stopped".to_owned())),
            }
        }
    }
}
