//! A circuit breaker before PostgreSQL, with one task that probes for all callers.
//!
//! A pool that finds its server gone lets each of its callers reconnect, at first every few
//! milliseconds. The breaker closes when the server is known to be gone. Callers wait then, and one
//! task probes, with pauses that differ from node to node. When the breaker closes and when it opens
//! again, all pools are replaced: a connection from before an outage may be silently dead, and a pool
//! that checks a returned connection waits for its answer without a limit.
//!
//! Open and closed are those of a door: while the breaker is open, calls pass.
//!
//! One lost connection does not close the breaker. It leads to one probe; meanwhile connections that
//! were idle when it was lost are checked before use. A call that only took too long, or got no
//! connection in time, proves nothing about the server. See docs/decisions/0013-outages.md and 0015-errors.md.

use super::error::{StoreError, from_sqlx};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, Row,
    postgres::PgConnectOptions,
};
use std::{
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{runtime::Handle, sync::watch, time::Instant};

/// The shortest pause between two probes of a server that is gone; up to as much again is added by chance.
const PAUSE: Duration = Duration::from_millis(250);
/// How long a call that has begun may go on after the breaker has closed. A call over a sound
/// connection ends well before that. Another connection may never answer.
const GRACE: Duration = Duration::from_secs(1);
/// The time-out of a probe. A server that is half gone accepts a connection and answers nothing.
const PROBE_LIMIT: Duration = Duration::from_secs(2);
/// The shortest time between two replacements of the pools while the breaker stays open.
const REPLACE_PAUSE: Duration = Duration::from_secs(10);

/// Whether a session can write: not on a standby, nor where something sets it read-only.
const READ_IS_READ_ONLY: &str =
    "select pg_is_in_recovery() or current_setting('transaction_read_only')::bool";

tokio::task_local! {
    /// The breaker that the running call has passed, and how many times it had closed before.
    static CALL: (Arc<CircuitBreaker>, u32);
}

/// A pool behind the breaker: how it is replaced by a new one.
pub(in crate::store) struct GuardedPool(Box<dyn Fn() + Send + Sync>);

impl GuardedPool {
    /// `replace` makes its users go on with a new pool.
    pub(in crate::store) fn new(replace: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Box::new(replace))
    }
}

impl std::fmt::Debug for GuardedPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuardedPool").finish_non_exhaustive()
    }
}

/// How a probe connects, and what it sends before it asks.
#[derive(Clone, Debug)]
pub(in crate::store) struct Probe {
    pub(in crate::store) options: PgConnectOptions,
    /// Behind a pooler: the text that begins a transaction with its settings.
    pub(in crate::store) opening: Option<String>,
}

impl Probe {
    /// One attempt to connect to a server that takes writes.
    pub(in crate::store) async fn attempt(&self) -> Result<(), StoreError> {
        let attempt = async {
            let mut session: PgConnection = self.options.connect().await?;
            // One message, so that a pooler does not take it apart.
            let text = match &self.opening {
                Some(opening) => format!("{opening}; {READ_IS_READ_ONLY}; rollback"),
                None => READ_IS_READ_ONLY.to_owned(),
            };
            let row = session.fetch_one(sqlx::raw_sql(AssertSqlSafe(text))).await;
            let is_read_only = row.and_then(|row| row.try_get::<bool, _>(0));
            drop(session.close().await);
            is_read_only
        };
        match tokio::time::timeout(PROBE_LIMIT, attempt).await {
            Ok(Ok(false)) => Ok(()),
            Ok(Ok(true)) => {
                Err(StoreError::ReadOnly("it is a standby, or set to be read-only".to_owned()))
            }
            Ok(Err(error)) => Err(from_sqlx(&error).while_connecting()),
            Err(_) => Err(StoreError::Unreachable("it does not answer".to_owned())),
        }
    }
}

/// The circuit breaker. Open: calls pass.
#[derive(Debug)]
pub(in crate::store) struct CircuitBreaker {
    probe: Probe,
    /// The runtime on which probes run.
    runtime: Handle,
    /// How long a call waits while the breaker is closed.
    limit: Duration,
    /// The shortest pause between two probes.
    pause: Duration,
    /// True while calls pass.
    is_open: watch::Sender<bool>,
    /// All pools behind the breaker, to be replaced together.
    pools: OnceLock<Vec<GuardedPool>>,
    /// Connections that were opened before the last replacement of the pools are not used again.
    replaced_at: RwLock<Option<Instant>>,
    /// Connections that were idle when another was lost are checked before use.
    lost_at: RwLock<Option<Instant>>,
    /// How many times it has closed.
    closings: AtomicU32,
    /// Probes that have failed since it closed.
    failed_probes: AtomicU32,
    /// True while a single probe of an open breaker is under way.
    is_doubting: AtomicBool,
}

fn read(at: &RwLock<Option<Instant>>) -> Option<Instant> {
    *at.read().unwrap_or_else(PoisonError::into_inner)
}

fn set_now(at: &RwLock<Option<Instant>>) {
    *at.write().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
}

impl CircuitBreaker {
    /// An open breaker. `limit` is how long a call waits while it is closed; `most` is how many probes there
    /// may be in a second.
    pub(in crate::store) fn new(probe: Probe, limit: Duration, most: u32) -> Arc<Self> {
        Arc::new(Self {
            probe,
            runtime: Handle::current(),
            limit,
            pause: PAUSE.max(Duration::from_secs(1) / most.max(1)),
            is_open: watch::Sender::new(true),
            pools: OnceLock::new(),
            replaced_at: RwLock::default(),
            lost_at: RwLock::default(),
            closings: AtomicU32::new(0),
            failed_probes: AtomicU32::new(0),
            is_doubting: AtomicBool::new(false),
        })
    }

    /// Names the pools behind the breaker. Set once.
    pub(in crate::store) fn guards(&self, pools: Vec<GuardedPool>) {
        if self.pools.set(pools).is_err() {
            tracing::debug!("the breaker has its pools already");
        }
    }

    /// True while calls pass.
    pub(in crate::store) fn is_open(&self) -> bool {
        *self.is_open.borrow()
    }

    /// How many times it has closed.
    pub(in crate::store) fn closings(&self) -> u32 {
        self.closings.load(Ordering::SeqCst)
    }

    /// Whether a connection of this age may be taken back into its pool.
    pub(in crate::store) fn trusts(&self, age: Duration) -> bool {
        read(&self.replaced_at).is_none_or(|it| it.elapsed() > age)
    }

    /// Whether a connection that has been idle for this long is to be checked before use: another was lost
    /// meanwhile.
    pub(in crate::store) fn doubts_idle(&self, idle_for: Duration) -> bool {
        read(&self.lost_at).is_some_and(|it| it.elapsed() <= idle_for)
    }

    /// Runs a call. Waits while the breaker is closed, gives the call up [`GRACE`] after it has
    /// closed, and notes what the call's error tells about the server.
    pub(in crate::store) async fn pass<T>(
        self: Arc<Self>,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.wait().await?;
        let closings = self.closings();
        let given_up = async {
            self.closed().await;
            tokio::time::sleep(GRACE).await;
        };
        let result = tokio::select! {
            biased;
            it = CALL.scope((self.clone(), closings), call) => it,
            () = given_up => {
                return Err(StoreError::Unreachable("no answer when others broke".to_owned()));
            }
        };
        if let Err(error) = &result {
            self.take_note(closings, error);
        }
        result
    }

    /// Runs work over a connection of its own, which tells nothing about those of the pools. Waits
    /// while the breaker is closed, and gives the work up when it closes.
    pub(in crate::store) async fn pass_apart<T>(
        self: Arc<Self>,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.wait().await?;
        tokio::select! {
            biased;
            it = work => it,
            () = self.closed() => Err(StoreError::Disconnected("others broke".to_owned())),
        }
    }

    async fn wait(&self) -> Result<(), StoreError> {
        let mut is_open = self.is_open.subscribe();
        let opened = tokio::time::timeout(self.limit, is_open.wait_for(|it| *it)).await;
        match opened {
            Ok(_) => Ok(()),
            Err(_) => Err(StoreError::Unreachable("it has not come back yet".to_owned())),
        }
    }

    /// Acts on what a call's error tells about the server. `closings` is how many times the breaker
    /// had closed when the call began: an error from before a later closing is ignored.
    fn take_note(self: &Arc<Self>, closings: u32, error: &StoreError) {
        match error {
            StoreError::Unreachable(why) | StoreError::ReadOnly(why)
                if self.closings() == closings =>
            {
                self.broke(why);
            }
            StoreError::Disconnected(_) => self.lost(),
            // A password or a privilege that has changed: new connections fail, old ones may go on.
            StoreError::Unusable(_) => self.doubt(),
            StoreError::Unreachable(_)
            | StoreError::ReadOnly(_)
            | StoreError::Conflict(_)
            | StoreError::Constraint(_)
            | StoreError::Data(_)
            | StoreError::Busy(_)
            | StoreError::Full(_)
            | StoreError::Broken(_) => {}
        }
    }

    async fn closed(&self) {
        drop(self.is_open.subscribe().wait_for(|it| !*it).await);
    }

    /// One connection was lost. Those that are idle now are checked before use, and a probe finds
    /// out whether the server is gone.
    pub(in crate::store) fn lost(self: &Arc<Self>) {
        set_now(&self.lost_at);
        self.doubt();
    }

    /// A connection answers nothing for longer than the server lets a statement run. Its place in the pool may
    /// never become free, so the pools are replaced; calls in flight go on.
    fn fell_silent(self: &Arc<Self>) {
        let is_due = read(&self.replaced_at).is_none_or(|it| it.elapsed() > REPLACE_PAUSE);
        if self.is_open() && is_due {
            tracing::warn!("a connection to the database answers nothing: going on with new ones");
            self.replace_pools();
        }
        self.lost();
    }

    /// The server is gone, or is not the one that takes writes: closes the breaker, and starts to probe.
    pub(in crate::store) fn broke(self: &Arc<Self>, why: &str) {
        let has_closed = self.is_open.send_if_modified(|it| std::mem::replace(it, false));
        if has_closed {
            self.closings.fetch_add(1, Ordering::SeqCst);
            tracing::warn!(why, "a connection to the database broke");
            let breaker = self.clone();
            drop(self.runtime.spawn(async move { breaker.probe_until_open().await }));
        }
    }

    /// Probes once, and closes the breaker where the server is gone. A server that is only slow or full loses
    /// no connection by that.
    pub(in crate::store) fn doubt(self: &Arc<Self>) {
        if !self.is_open() || self.is_doubting.swap(true, Ordering::Relaxed) {
            return;
        }
        let breaker = self.clone();
        drop(self.runtime.spawn(async move {
            let answer = breaker.probe.attempt().await;
            breaker.is_doubting.store(false, Ordering::Relaxed);
            match answer {
                Ok(()) => {}
                Err(StoreError::Busy(why)) => {
                    tracing::debug!(why, "the database has no connection left for a probe");
                }
                Err(error) => breaker.broke(&error.to_string()),
            }
        }));
    }

    /// Probes until the server answers and takes writes.
    async fn probe_until_open(&self) {
        let closed_at = Instant::now();
        self.replace_pools();
        while let Err(error) = self.probe.attempt().await {
            match self.failed_probes.fetch_add(1, Ordering::Relaxed) {
                0 => tracing::warn!(%error, "the database is away: looking until it is back"),
                _ => tracing::debug!(%error, "the database is still away"),
            }
            tokio::time::sleep(self.pause + self.pause.mul_f64(rand::random())).await;
        }
        self.replace_pools();
        if self.failed_probes.swap(0, Ordering::Relaxed) > 0 {
            tracing::info!(after = ?closed_at.elapsed(), "the database is back");
        }
        self.is_open.send_replace(true);
    }

    /// Goes on with new pools. Connections that are in use are dropped when they come back.
    fn replace_pools(&self) {
        set_now(&self.replaced_at);
        for pool in self.pools.get().into_iter().flatten() {
            (pool.0)();
        }
    }
}

/// Runs work that has not changed anything yet, and gives it up when the breaker closes. Otherwise a
/// pool would go on trying to connect for each caller that waits in it.
pub(in crate::store) async fn while_open<T>(
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let Ok(breaker) = CALL.try_with(|it| it.0.clone()) else { return work.await };
    tokio::select! {
        biased;
        it = work => it,
        () = breaker.closed() => Err(StoreError::Unreachable("its connections broke".to_owned())),
    }
}

/// Reports that a connection of the running call is lost. Outside a call (a migration, a heartbeat)
/// it does nothing.
pub(in crate::store) fn lost_in_call() {
    CALL.try_with(|(breaker, _)| breaker.lost()).ok();
}

/// Reports that a connection of the running call answers nothing, before the call drops it.
pub(in crate::store) fn fell_silent_in_call() {
    CALL.try_with(|(breaker, _)| breaker.fell_silent()).ok();
}
