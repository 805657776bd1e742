//! Notices between the nodes of one PostgreSQL: somebody has stored jobs.
//!
//! They are hints. They go over connections of their own and outside the transactions that they are about,
//! because a commit with a NOTIFY in it waits for all others that have one; a flood of commits makes one notice
//! every few milliseconds. One that is lost costs a heartbeat. Behind a pooler that shares sessions none arrives:
//! each listener tries whether it hears itself, and says so.

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

/// The channel of PostgreSQL that notices go over.
const CHANNEL: &str = "postroom_jobs";
/// The least time between two notices of a node.
const APART: Duration = Duration::from_millis(5);
/// How long a listener waits for its own notice until it says that none arrive.
const ECHO_LIMIT: Duration = Duration::from_secs(2);
/// After this long without a notice of anybody, a listener tries again whether it hears itself: its connection
/// may be half open, or a pooler may have come between.
const QUIET_MAX: Duration = Duration::from_secs(30);

/// Who wants to know of jobs, and what is on its way.
#[derive(Default)]
pub(in crate::store) struct NoticeState {
    own: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// Other nodes work jobs.
    has_peers: AtomicBool,
    is_wanted: AtomicBool,
    is_at_work: AtomicBool,
}

impl std::fmt::Debug for NoticeState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NoticeState").field("has_peers", &self.has_peers).finish_non_exhaustive()
    }
}

impl NoticeState {
    /// Notes whether there are others to tell.
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

/// The handle of those who store jobs.
#[derive(Clone, Debug)]
pub struct Notices {
    pub(in crate::store) db: Database,
    pub(in crate::store) state: Arc<NoticeState>,
}

impl Notices {
    /// Who is told within this process of jobs that came from no webhook. Set once.
    pub fn tell(&self, own: impl Fn() + Send + Sync + 'static) {
        if self.state.own.set(Box::new(own)).is_err() {
            tracing::debug!("somebody is told already");
        }
    }

    /// Tells this process and the others that there are jobs. Never waits.
    pub fn announce(&self) {
        self.state.tell_own();
        self.announce_to_others();
    }

    /// Tells the other nodes that there are jobs, soon; never waits. Where there are none, nothing is sent.
    pub fn announce_to_others(&self) {
        let (db, state) = (self.db.clone(), self.state.clone());
        let is_reachable = db.connections().breaker.as_ref().is_some_and(|it| it.is_closed());
        if !is_reachable || !state.has_peers.load(Ordering::Relaxed) {
            return;
        }
        state.is_wanted.store(true, Ordering::SeqCst);
        if state.is_at_work.swap(true, Ordering::SeqCst) {
            return;
        }
        self.db.spawn_detached(async move {
            loop {
                while state.is_wanted.swap(false, Ordering::SeqCst) {
                    if let Err(error) = send(&db).await {
                        tracing::debug!(%error, "a notice was not sent: heartbeats will do");
                    }
                    tokio::time::sleep(APART).await;
                }
                state.is_at_work.store(false, Ordering::SeqCst);
                // Wanted again between the two: whoever wanted it has seen somebody at work.
                let is_wanted = state.is_wanted.load(Ordering::SeqCst);
                if !is_wanted || state.is_at_work.swap(true, Ordering::SeqCst) {
                    return;
                }
            }
        });
    }
}

/// Sends a notice as any other call is run: its time is limited, and an error tells the breaker.
async fn send(db: &Database) -> Result<(), StoreError> {
    db.call(|db| async move { notify(&db, &db.node().to_string()).await }).await
}

async fn notify(db: &Database, text: &str) -> Result<(), StoreError> {
    // One message without parameters, so that no pooler takes it apart. The text is our own.
    let notice = format!("notify {CHANNEL}, '{text}'");
    db.reader().execute_unprepared(&notice).await?;
    Ok(())
}

/// The handle of whoever listens.
#[derive(Clone, Debug)]
pub struct Subscriber {
    db: Database,
    cfg: config::DatabaseConfig,
}

/// A listener: a connection of its own.
#[derive(Debug)]
pub struct Subscription {
    /// Taken in the drop, and not before.
    listener: Option<PgListener>,
    db: Database,
    echoes: u64,
}

/// What a listener has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Another node has stored jobs.
    Jobs,
    /// No news of others: an own notice was heard, or one that was sent because nothing came for a while.
    Quiet,
}

impl Subscriber {
    pub(in crate::store) const fn new(db: Database, cfg: config::DatabaseConfig) -> Self {
        Self { db, cfg }
    }

    /// Listens, and makes sure that notices arrive.
    ///
    /// # Errors
    /// When the database is away, or notices do not arrive.
    pub async fn listen(&self) -> Result<Subscription, StoreError> {
        let (db, cfg) = (self.db.clone(), self.cfg.clone());
        let limit = cfg.acquire_timeout + ECHO_LIMIT;
        let listen = async move {
            let pool = connect::listener_pool(&cfg).await?;
            let mut listener = PgListener::connect_with(&pool).await?;
            // It is opened anew by whoever listens anew, once the database is there.
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
    /// Waits for the next notice, or until it is sure that none was missed. This wait is meant to be long, and
    /// ends at the latest after `QUIET_MAX` and `ECHO_LIMIT`. It has a connection of its own, so what goes
    /// wrong here says nothing about those of the pools.
    ///
    /// # Errors
    /// When the connection is lost, or notices do not arrive any more: listen anew.
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
                self.hear_oneself().await?;
                Ok((self, Notice::Quiet))
            }
        }
    }

    /// The next notice; `None` if the connection was lost.
    async fn receive(&mut self) -> Result<Option<PgNotification>, StoreError> {
        match &mut self.listener {
            Some(listener) => Ok(listener.try_recv().await?),
            None => Ok(None),
        }
    }

    /// Sends a notice over another connection and waits until it arrives. Those that come before it are of
    /// no interest: whoever listens anew looks for jobs anyway.
    async fn hear_oneself(&mut self) -> Result<(), StoreError> {
        self.echoes += 1;
        let text = format!("{} echo {}", self.db.node(), self.echoes);
        let echo = async {
            notify(&self.db, &text).await?;
            loop {
                match self.receive().await? {
                    Some(notice) if notice.payload() == text => return Ok::<_, StoreError>(()),
                    Some(_) => {}
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
    /// sqlx ends a listener by a task that it spawns, and panics outside a runtime: an actor may be
    /// dropped there, with its thread.
    fn drop(&mut self) {
        let _runtime = self.db.runtime().enter();
        drop(self.listener.take());
    }
}

/// Whether a notice is the node's own.
fn is_of(payload: &str, own: &str) -> bool {
    payload.split(' ').next() == Some(own)
}
