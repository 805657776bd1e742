//! Notices between the nodes of one PostgreSQL database. A notice means that a node has stored
//! jobs.
//!
//! Notices are hints. If one is lost, its jobs wait until the next heartbeat. A notice is sent
//! outside the transaction that stores the jobs, because a commit with a NOTIFY waits for all other
//! such commits. Many commits make one notice every few milliseconds. Behind a pooler that shares
//! sessions, no notice arrives: each listener tests whether it hears its own, and reports an error
//! if not.

use crate::config;
use crate::store::engine::{Database, StoreError, connect};
use sea_orm::ConnectionTrait;
use sqlx::postgres::{PgListener, PgNotification};
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// PostgreSQL's channel for notices.
const CHANNEL: &str = "postroom_jobs";
/// The shortest time between two notices of a node.
const APART: Duration = Duration::from_millis(5);
/// How long a listener waits for its own notice before it reports that none arrive.
const ECHO_LIMIT: Duration = Duration::from_secs(2);
/// After this long without any notice, a listener tests again whether it hears its own: its
/// connection may be half open, or a pooler may have been put in between.
const QUIET_MAX: Duration = Duration::from_secs(30);

/// Where notices go, and whether one is being sent.
#[derive(Default)]
pub(in crate::store) struct NoticeState {
    /// Wakes this process. Set by [`Notices::tell`].
    own: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// True while other nodes work jobs. Set by heartbeats.
    has_peers: AtomicBool,
    /// True if a notice is to be sent.
    is_wanted: AtomicBool,
    /// True while a task sends notices.
    is_at_work: AtomicBool,
}

impl std::fmt::Debug for NoticeState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NoticeState").field("has_peers", &self.has_peers).finish_non_exhaustive()
    }
}

impl NoticeState {
    /// Notes whether other nodes work jobs.
    pub(in crate::store) fn set_peers(&self, has_peers: bool) {
        self.has_peers.store(has_peers, Ordering::Relaxed);
    }

    /// Tells this process that there are jobs.
    pub(in crate::store) fn tell_own(&self) {
        if let Some(own) = self.own.get() {
            own();
        }
    }
}

/// Handle for parts that store jobs.
#[derive(Clone, Debug)]
pub struct Notices {
    pub(in crate::store) db: Database,
    pub(in crate::store) state: Arc<NoticeState>,
}

impl Notices {
    /// Sets the function that tells this process of jobs that come from no webhook, once.
    pub fn tell(&self, own: impl Fn() + Send + Sync + 'static) {
        if self.state.own.set(Box::new(own)).is_err() {
            tracing::debug!("the receiver of notices is set already");
        }
    }

    /// Tells this process and the other nodes that there are jobs. Does not wait.
    pub fn announce(&self) {
        self.state.tell_own();
        self.announce_to_others();
    }

    /// Tells the other nodes soon that there are jobs. Does not wait. Sends nothing if there are no
    /// other nodes.
    pub fn announce_to_others(&self) {
        // Is there anyone to tell, and can they be told?
        let (db, state) = (self.db.clone(), self.state.clone());
        let is_reachable =
            db.connections().breaker.as_ref().is_some_and(|breaker| breaker.is_closed());
        if !is_reachable || !state.has_peers.load(Ordering::Relaxed) {
            return;
        }
        // A task that sends already will send this notice, too.
        state.is_wanted.store(true, Ordering::SeqCst);
        if state.is_at_work.swap(true, Ordering::SeqCst) {
            return;
        }
        // Send until no notice is wanted.
        self.db.spawn_detached(async move {
            loop {
                while state.is_wanted.swap(false, Ordering::SeqCst) {
                    if let Err(error) = send(&db).await {
                        tracing::debug!(%error, "a notice was not sent: heartbeats find the jobs");
                    }
                    tokio::time::sleep(APART).await;
                }
                state.is_at_work.store(false, Ordering::SeqCst);
                // If a notice was wanted just before this store, its caller saw a task at work and
                // left: this task must send it.
                let is_wanted = state.is_wanted.load(Ordering::SeqCst);
                if !is_wanted || state.is_at_work.swap(true, Ordering::SeqCst) {
                    return;
                }
            }
        });
    }
}

/// Sends a notice as a call: with limits, and the breaker notes an error.
async fn send(db: &Database) -> Result<(), StoreError> {
    db.call(|db| async move { notify(&db, &db.node().to_string()).await }).await
}

async fn notify(db: &Database, text: &str) -> Result<(), StoreError> {
    // One message without parameters, so that a pooler does not split it. The text is our own.
    let notice = format!("notify {CHANNEL}, '{text}'");
    db.reader().execute_unprepared(&notice).await?;
    Ok(())
}

/// Handle for listening to the notices of other nodes.
#[derive(Clone, Debug)]
pub struct Subscriber {
    db: Database,
    /// How a listener connects.
    cfg: config::DatabaseConfig,
}

/// An open connection that listens.
#[derive(Debug)]
pub struct Subscription {
    /// `None` only in the drop.
    listener: Option<PgListener>,
    db: Database,
    /// The own notices sent so far: each has a number.
    echoes: u64,
}

/// What a listener has received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Another node has stored jobs.
    Jobs,
    /// Nothing from other nodes: this node's own notice arrived, perhaps one that was sent to test
    /// a quiet connection.
    Quiet,
}

impl Subscriber {
    pub(in crate::store) const fn new(db: Database, cfg: config::DatabaseConfig) -> Self {
        Self { db, cfg }
    }

    /// Opens a connection that listens, and tests that notices arrive.
    ///
    /// # Errors
    /// If the database is unreachable, or notices do not arrive.
    pub async fn listen(&self) -> Result<Subscription, StoreError> {
        let (db, cfg) = (self.db.clone(), self.cfg.clone());
        let limit = cfg.acquire_timeout + ECHO_LIMIT;
        let listen = async move {
            let pool = connect::listener_pool(&cfg).await?;
            let mut listener = PgListener::connect_with(&pool).await?;
            // A lost connection ends the subscription: the caller listens again.
            listener.eager_reconnect(false);
            listener.listen(CHANNEL).await?;
            let mut subscription = Subscription { listener: Some(listener), db, echoes: 0 };
            subscription.hear_oneself().await?;
            Ok(subscription)
        };
        let in_time = async move {
            let listened = tokio::time::timeout(limit, Box::pin(listen)).await;
            listened.unwrap_or_else(|_| Err(StoreError::Disconnected("no answer".to_owned())))
        };
        self.db.call_apart(in_time).await
    }
}

impl Subscription {
    /// Waits for the next notice, or until it is sure that none was missed. Takes at most
    /// `QUIET_MAX` and `ECHO_LIMIT` together. The connection is its own, so an error here tells
    /// nothing about the pools.
    ///
    /// # Errors
    /// If the connection is lost, or notices do not arrive any more. Listen again then.
    pub async fn next(self) -> Result<(Self, Notice), StoreError> {
        let db = self.db.clone();
        db.call_apart(self.hear()).await
    }

    async fn hear(mut self) -> Result<(Self, Notice), StoreError> {
        let own = self.db.node().to_string();
        let quiet_max = self.db.connections().faults.limit("quiet", QUIET_MAX);
        match tokio::time::timeout(quiet_max, self.receive()).await {
            Ok(Ok(Some(notice))) if is_of(notice.payload(), &own) => Ok((self, Notice::Quiet)),
            Ok(Ok(Some(_))) => Ok((self, Notice::Jobs)),
            Ok(Ok(None)) => {
                Err(StoreError::Disconnected("the listener's connection was lost".to_owned()))
            }
            Ok(Err(error)) => Err(error),
            Err(_) => {
                let notice = self.hear_oneself().await?;
                Ok((self, notice))
            }
        }
    }

    /// Waits for the next notice. `None` if the connection was lost.
    async fn receive(&mut self) -> Result<Option<PgNotification>, StoreError> {
        match &mut self.listener {
            Some(listener) => Ok(listener.try_recv().await?),
            None => Ok(None),
        }
    }

    /// Sends a notice over another connection and waits until it arrives. Returns
    /// [`Notice::Jobs`] if a notice of another node has arrived before it.
    async fn hear_oneself(&mut self) -> Result<Notice, StoreError> {
        let own = self.db.node().to_string();
        self.echoes += 1;
        let text = format!("{} echo {}", self.db.node(), self.echoes);
        let echo = async {
            notify(&self.db, &text).await?;
            let mut heard = Notice::Quiet;
            loop {
                match self.receive().await? {
                    Some(notice) if notice.payload() == text => return Ok::<_, StoreError>(heard),
                    Some(notice) if is_of(notice.payload(), &own) => {}
                    Some(_) => heard = Notice::Jobs,
                    None => {
                        return Err(StoreError::Disconnected(
                            "the listener's connection was lost".to_owned(),
                        ));
                    }
                }
            }
        };
        match tokio::time::timeout(ECHO_LIMIT, echo).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::Disconnected("notices do not arrive".to_owned())),
        }
    }
}

impl Drop for Subscription {
    /// sqlx ends a listener by a task that it spawns, and panics outside a runtime. An actor may be
    /// dropped outside a runtime, together with its thread.
    fn drop(&mut self) {
        let _runtime = self.db.runtime().enter();
        drop(self.listener.take());
    }
}

/// Whether the node `own` has sent this notice.
fn is_of(payload: &str, own: &str) -> bool {
    payload.split(' ').next() == Some(own)
}
