//! All SQL, on three layers. Each file at the top is a handle that one part of the program gets,
//! over the same connections.
//!
//! - `engine`: how statements reach the database. It knows no table.
//! - `tables`: what rows mean, and how they change together.
//! - `fleet`: the nodes of one database, their heartbeats, and the notices between them.
//! - The handles: [`Inbox`], [`Queue`], [`Ledger`], [`Enqueuer`], [`Reader`], [`Desk`], [`Chores`],
//!   [`Audit`], [`Overrides`], [`Operations`], [`ModelCalls`], [`UserSessions`], [`AlertsTold`].
//!
//! A layer uses those named before it, never one after it (`tests/tidy.rs`).

mod alerts_told;
mod audit;
mod chores;
mod desk;
mod engine;
mod enqueuer;
mod fleet;
mod hand_off;
mod inbox;
mod ledger;
mod model_calls;
mod operations;
mod overrides;
mod prune;
mod queue;
mod reader;
mod send_marker;
mod sending_facts;
mod statements;
mod tables;
mod user_sessions;

pub use self::{
    alerts_told::AlertsTold,
    audit::{AUDIT_ACTIONS, Audit, AuditEntry, Via},
    chores::Chores,
    desk::{
        AuditFilter, AuditRow, BODIES_SEARCHED, Backlog, COUNTED_MAX, ClientNumbers, DECISIONS_MAX,
        DRAFT_STATUSES, DatabaseState, DecisionError, DecisionOfPerson, DeliveryFilter,
        DeliveryRow, Desk, DraftDecision, DraftFilter, DraftRow, DraftView, Erased, ErrorGroup,
        ErrorGroups, ExampleRow, Excerpt, FailedAttempt, IdentityRow, InboxEntry, JobAction,
        JobActionError, JobCase, JobDetail, JobFilter, JobView, LeadCase, LeadCursor, LeadDetail,
        LeadEntry, LeadFilter, LeadMark, LeadName, LeadRow, LedgerBalance, Lifting, ListedMessage,
        ListedQuarantine, MessageFilter, MessageRow, ModelCallFilter, ModelCallRow, OptOutRow,
        Page, QuarantineFilter, QuarantineRow, ReceivedFilter, ReceivedMessage, ReceivedRow,
        ReceivedTables, Rewriting, SearchHit, SeenDraft, StoredNode, Totals, TroubledAccount,
        WaitingFilter, WaitingFor,
    },
    engine::{
        backup::{back_up_sqlite, check_copy},
        connect::{create_database, drop_database, reach, sqlite_path},
        disk::{disk_room, disk_trouble},
        error::StoreError,
        examine::{DatabaseFacts, examine},
        ids::{first_at as first_id_at, given_out_at, wall_clock},
        isolate::commit_isolating,
        migrate::{Migrations, migrate_down, migrate_fresh, migrate_status, migrate_up},
        news::OnSendNews,
        runtime::StoreRuntime,
        writer_token::WriterToken,
    },
    enqueuer::Enqueuer,
    fleet::{
        heartbeat::{Heartbeat, Membership},
        nodes::{HeartbeatReport, Node, Nodes},
        notices::{Notice, Notices, Subscriber, Subscription},
    },
    hand_off::{FreePlaces, LentSlots, SlotLender, UnstartedRuns},
    inbox::{Answer, Content, Delivery, Inbound, Inbox, SAME_ID_OTHER_BODY},
    ledger::{Ledger, Settlement, Transition},
    model_calls::ModelCalls,
    operations::{
        ByKind, MatchingItems, MatchingJobs, NewOperation, OperationAction, OperationError,
        OperationFilter, OperationProgress, OperationRow, OperationRun, Operations,
        QuarantineAction, StartedOperation, WorkEnd,
    },
    overrides::{Overrides, StoredOverrides},
    prune::{Prunable, Pruned, Pruning},
    queue::{Claim, Orphan, Queue, Want},
    reader::Reader,
    send_marker::{MarkedSend, Marking, SendMarker, SendRules},
    sending_facts::{DraftToSend, SendingContext},
    statements::statements,
    user_sessions::{NewSession, SessionRow, SessionStart, UserSessions},
};

use self::{
    engine::{Database, connect, disk::Disk, ids::Ids},
    fleet::{nodes, notices::NoticeState},
    operations::RunningOperations,
    reader::ConversationQueue,
    tables::{
        caps, installation,
        unknown_clients::{self, UnknownClientsLeft},
    },
};
use crate::{
    config::{self, Secret},
    domain::{ChannelDirectory, Id},
    telemetry::database_metrics::DatabaseMetrics,
};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::runtime::Handle;

/// The key by which equal bodies are known as equal: the first 32 hex digits of their SHA-256.
pub fn body_hash(body: &[u8]) -> String {
    let mut hex = format!("{:x}", Sha256::digest(body));
    hex.truncate(32);
    hex
}

/// The open database, on which this process is registered as a node. Hands out the handles. A clone
/// shares everything.
#[derive(Clone, Debug)]
pub struct Store {
    db: Database,
    /// Where notices of new jobs go: within this process, and to other nodes.
    notices: Arc<NoticeState>,
    /// Conversations that handlers have asked for and that are not read yet.
    conversations: Arc<ConversationQueue>,
    /// The clients whose jobs this process does not claim, because its configuration does not know
    /// them.
    left: Arc<UnknownClientsLeft>,
    /// The operations that this process works on.
    running_operations: Arc<RunningOperations>,
    /// The disk of the SQLite file.
    disk: Arc<Disk>,
    /// The key that signs the cookies of people who have signed in.
    session_key: Secret,
}

impl Store {
    /// Opens the configured database and registers this process, with these channels, as a node.
    /// The schema must exist.
    ///
    /// # Errors
    /// If the database is unreachable, or its schema is not that of this version.
    pub async fn open(
        runtime: Handle,
        config: &config::Live,
        role: &'static str,
        channels: ChannelDirectory,
    ) -> Result<Self, StoreError> {
        let cfg = config.get().database.clone();
        let disk = Disk::of(cfg.url.expose());
        // Connect and register on the store runtime, to which the connections will belong.
        let opened = runtime.spawn(async move {
            let connections = connect::open(&cfg).await?;
            if connections.writer.is_lent() {
                tracing::info!(
                    "a pooler lends a session for each transaction: heartbeats find what other nodes store"
                );
            }
            let registered = nodes::register(&connections, role).await?;
            let key = async |name| installation::key(&connections.reader, name).await;
            let suppression_key = key(installation::SUPPRESSION_KEY).await?;
            let session_key = key(installation::SESSION_KEY).await?;
            Ok::<_, StoreError>((connections, registered, suppression_key, session_key))
        });
        let (connections, registered, suppression_key, session_key) =
            opened.await.map_err(|error| StoreError::Broken(error.to_string()))??;
        connections.set_has_caps(registered.has_caps);
        let ids = Ids::new(registered.slot, registered.floor);
        let config = config.clone();
        Ok(Self {
            db: Database::new(
                runtime,
                connections,
                registered.node,
                ids,
                config,
                channels,
                &suppression_key,
            ),
            notices: Arc::default(),
            conversations: Arc::default(),
            left: Arc::default(),
            running_operations: Arc::default(),
            disk: Arc::new(disk),
            session_key,
        })
    }

    /// The id of this process in the database.
    pub fn node(&self) -> Id {
        self.db.node()
    }

    /// Deletes this process's row, at the end of a stop that has left nothing undone. Its slot is
    /// free at once then, and no other node has to find out that it is gone. The process must not
    /// write any more.
    ///
    /// # Errors
    /// If the database is unreachable. The row is deleted later, like that of a dead node.
    pub async fn leave(&self) -> Result<(), StoreError> {
        self.db.call(|db| async move { nodes::leave(db.connections(), db.node()).await }).await
    }

    /// The settings of the database's server under which an acknowledged webhook can be lost; empty
    /// is good.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn undurable(&self) -> Result<Vec<String>, StoreError> {
        self.db.call(|db| async move { connect::undurable(&db.connections().reader).await }).await
    }

    /// Why no new webhooks may be stored in a SQLite file: its disk has less room than must be kept
    /// free. `None` if there is enough, and on PostgreSQL.
    pub fn disk_trouble(&self) -> Option<String> {
        self.disk.trouble()
    }

    /// How much room the disk of a SQLite file has, in words. `None` if it is unknown, and on
    /// PostgreSQL.
    pub fn disk_room(&self) -> Option<String> {
        self.disk.room()
    }

    /// Checks that the database answers and, after a failed write, that it takes writes again.
    ///
    /// # Errors
    /// If it does not.
    pub async fn answers(&self) -> Result<(), StoreError> {
        self.db
            .call(|db| async move {
                let connections = db.connections();
                if connections.last_failed_write.error().is_none() {
                    return nodes::is_there(connections).await;
                }
                nodes::stay(connections, db.node()).await?;
                connections.last_failed_write.error().map_or(Ok(()), Err)
            })
            .await
    }

    /// The kind of database: `sqlite` or `postgres`.
    pub fn database(&self) -> &'static str {
        self.db.kind()
    }

    /// True while a pooler lends a session for one transaction at a time.
    pub fn is_pooled(&self) -> bool {
        self.db.is_pooled()
    }

    /// How many times the circuit breaker before PostgreSQL has tripped: the outages that this
    /// process has seen.
    pub fn outages(&self) -> u32 {
        self.db.connections().breaker.as_ref().map_or(0, |it| it.trips())
    }

    /// Caps how many jobs of these clients run at once, on all nodes together; every other client
    /// has no cap. All nodes keep what the last one has set. To be called at the start, and when
    /// the configuration has changed.
    ///
    /// # Errors
    /// If the database is unreachable. The caps are unchanged then.
    pub async fn set_caps(&self, caps: BTreeMap<String, u32>) -> Result<(), StoreError> {
        let connections = self.db.connections();
        // Before the caps are written, so that each transaction that moves a head from then on
        // counts it.
        if !caps.is_empty() {
            connections.set_has_caps(true);
        }
        let has_caps = self.db.call(|db| async move { caps::set(&db, &caps).await }).await?;
        connections.set_has_caps(has_caps);
        Ok(())
    }

    /// Sets which clients this process knows, and lets in their jobs that were held while no node
    /// knew them. To be called at the start, and when the configuration has changed.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn set_clients(&self, clients: BTreeSet<String>) -> Result<(), StoreError> {
        self.db.call(|db| async move { unknown_clients::set_known(&db, &clients).await }).await
    }

    /// Tells `listener` what becomes of sends, after each commit of this process. It is set once.
    pub fn tell_of_sends(&self, listener: OnSendNews) {
        self.db.connections().news.set(listener);
    }

    /// Notes the time of transactions and reads in `metrics`, from now on. It is set once.
    pub fn is_timed_by(&self, metrics: DatabaseMetrics) {
        self.db.connections().timings.set(metrics);
    }

    /// How many connections of this process are in use, and how many are open and wait to be used.
    pub fn connections(&self) -> (usize, usize) {
        self.db.connections().in_use()
    }

    /// For ingest. The quarantine is unbounded until [`Inbox::bounded`] sets its bound.
    pub fn inbox(&self) -> Inbox {
        let bound = config::QuarantineBound { items: u64::MAX, bytes: u64::MAX };
        Inbox { db: self.db.clone(), bound }
    }

    /// For the supervisor.
    pub fn queue(&self) -> Queue {
        Queue { db: self.db.clone(), left: self.left.clone() }
    }

    /// For the recorder.
    pub fn ledger(&self) -> Ledger {
        Ledger { db: self.db.clone() }
    }

    /// For jobs that come from no webhook.
    pub fn enqueuer(&self) -> Enqueuer {
        Enqueuer { db: self.db.clone(), notices: self.notices() }
    }

    /// For handlers.
    pub fn reader(&self) -> Reader {
        Reader { db: self.db.clone(), queue: self.conversations.clone() }
    }

    /// For the handler that sends answers.
    pub fn send_marker(&self) -> SendMarker {
        SendMarker { db: self.db.clone() }
    }

    /// For heartbeats, and for reading which nodes there are.
    pub fn nodes(&self) -> Nodes {
        Nodes { db: self.db.clone(), notices: self.notices.clone() }
    }

    /// For parts that store jobs that other nodes may work.
    pub fn notices(&self) -> Notices {
        Notices { db: self.db.clone(), state: self.notices.clone() }
    }

    /// For the listener to other nodes. `None` on SQLite, which has no other nodes, and behind a
    /// pooler: a listener would hear nothing there, and leave each lent session listening.
    pub fn subscriber(&self, cfg: &config::DatabaseConfig) -> Option<Subscriber> {
        let can_hear = !self.db.is_sqlite() && !self.db.is_pooled();
        can_hear.then(|| Subscriber::new(self.db.clone(), cfg.clone()))
    }

    /// For the janitor of the node that leads.
    pub fn chores(&self) -> Chores {
        Chores { db: self.db.clone() }
    }

    /// For the part that tells of alerts.
    pub fn alerts_told(&self) -> AlertsTold {
        AlertsTold { db: self.db.clone() }
    }

    /// For parts that change what an operator can see.
    pub fn audit(&self) -> Audit {
        Audit { db: self.db.clone() }
    }

    /// For the part that keeps the calls of models.
    pub fn model_calls(&self) -> ModelCalls {
        ModelCalls { db: self.db.clone() }
    }

    /// For people who sign in.
    pub fn user_sessions(&self) -> UserSessions {
        UserSessions { db: self.db.clone(), key: self.session_key.clone() }
    }

    /// For the part that tunes pools.
    pub fn overrides(&self) -> Overrides {
        Overrides { db: self.db.clone() }
    }

    /// For actions on all jobs, or all held webhooks, that match a filter.
    pub fn operations(&self) -> Operations {
        let running = self.running_operations.clone();
        Operations { db: self.db.clone(), notices: self.notices(), running }
    }

    /// For the admin API.
    pub fn desk(&self) -> Desk {
        Desk { db: self.db.clone(), notices: self.notices() }
    }
}
