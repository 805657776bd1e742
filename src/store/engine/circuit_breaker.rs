//! A circuit breaker before PostgreSQL, with one task that probes for all callers.
//!
//! A pool that finds its server gone lets each of its callers reconnect, at first every few
//! milliseconds. The breaker prevents that. It is *closed* while calls pass. It *trips* when the
//! server is known to be gone. While it is *open*, calls wait and one task probes, with pauses that
//! differ from node to node. The first successful probe *resets* the breaker: it is closed again.
//!
//! All pools are replaced when the breaker trips and before it is reset: a connection from before
//! an outage may be silently dead, and a pool that checks a returned connection waits for its
//! answer without a limit.
//!
//! One lost connection does not trip the breaker. It causes one probe, and connections that were
//! idle when it was lost are checked before use. A call that only took too long, or got no
//! connection in time, proves nothing about the server. See docs/decisions/0013-outages.md and
//! 0015-errors.md.

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

/// The shortest pause between two probes of a server that is gone. A random part of the same length
/// is added.
const PAUSE: Duration = Duration::from_millis(250);
/// How long a call that has begun may continue after the breaker has tripped. A call over a sound
/// connection ends well before that. A broken connection may never answer.
const GRACE: Duration = Duration::from_secs(1);
/// The time-out of a probe. A server that is half gone accepts a connection and answers nothing.
const PROBE_LIMIT: Duration = Duration::from_secs(2);
/// The shortest time between two replacements of the pools while the breaker stays closed.
const REPLACE_PAUSE: Duration = Duration::from_secs(10);

/// Whether a session cannot write: the server is a standby, or something sets the session
/// read-only.
const READ_IS_READ_ONLY: &str =
    "select pg_is_in_recovery() or current_setting('transaction_read_only')::bool";

tokio::task_local! {
    /// The breaker that the running call has passed, and how many times it had tripped before.
    static CALL: (Arc<CircuitBreaker>, u32);
}

/// A pool behind the breaker, as the function that replaces it by a new one.
pub(in crate::store) struct GuardedPool(Box<dyn Fn() + Send + Sync>);

impl GuardedPool {
    /// `replace` gives the pool's users a new pool.
    pub(in crate::store) fn new(replace: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Box::new(replace))
    }
}

impl std::fmt::Debug for GuardedPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuardedPool").finish_non_exhaustive()
    }
}

/// How a probe connects, and what it sends first.
#[derive(Clone, Debug)]
pub(in crate::store) struct Probe {
    /// How it connects.
    pub(in crate::store) options: PgConnectOptions,
    /// Behind a pooler: the text that begins a transaction with its settings.
    pub(in crate::store) opening: Option<String>,
}

impl Probe {
    /// Tries once to connect to a server that takes writes. Takes at most [`PROBE_LIMIT`].
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] if the server takes no writes, [`StoreError::Unreachable`] if it
    /// does not answer in time, otherwise that of the attempt to connect.
    pub(in crate::store) async fn attempt(&self) -> Result<(), StoreError> {
        let attempt = async {
            let mut session: PgConnection = self.options.connect().await?;
            // Sent as one message, so that a pooler does not split it.
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

/// The circuit breaker. While it is closed, calls pass.
#[derive(Debug)]
pub(in crate::store) struct CircuitBreaker {
    probe: Probe,
    /// The runtime on which probes run.
    runtime: Handle,
    /// How long a call waits while the breaker is open.
    limit: Duration,
    /// The shortest pause between two probes.
    pause: Duration,
    /// True while calls pass.
    is_closed: watch::Sender<bool>,
    /// All pools behind the breaker. They are replaced together.
    pools: OnceLock<Vec<GuardedPool>>,
    /// When the pools were last replaced. Connections that were opened earlier are not used again.
    replaced_at: RwLock<Option<Instant>>,
    /// When a connection was last lost. Connections that were idle then are checked before use.
    lost_at: RwLock<Option<Instant>>,
    /// How many times it has tripped.
    trips: AtomicU32,
    /// True while [`CircuitBreaker::probe_once`] probes.
    is_probing: AtomicBool,
}

fn read(at: &RwLock<Option<Instant>>) -> Option<Instant> {
    *at.read().unwrap_or_else(PoisonError::into_inner)
}

fn set_now(at: &RwLock<Option<Instant>>) {
    *at.write().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
}

impl CircuitBreaker {
    /// A closed breaker. `limit` is how long a call waits while the breaker is open; `most` is the
    /// greatest number of probes in a second.
    pub(in crate::store) fn new(probe: Probe, limit: Duration, most: u32) -> Arc<Self> {
        Arc::new(Self {
            probe,
            runtime: Handle::current(),
            limit,
            pause: PAUSE.max(Duration::from_secs(1) / most.max(1)),
            is_closed: watch::Sender::new(true),
            pools: OnceLock::new(),
            replaced_at: RwLock::default(),
            lost_at: RwLock::default(),
            trips: AtomicU32::new(0),
            is_probing: AtomicBool::new(false),
        })
    }

    /// Sets the pools behind the breaker, once.
    pub(in crate::store) fn set_pools(&self, pools: Vec<GuardedPool>) {
        if self.pools.set(pools).is_err() {
            tracing::debug!("the breaker has its pools already");
        }
    }

    /// True while calls pass.
    pub(in crate::store) fn is_closed(&self) -> bool {
        *self.is_closed.borrow()
    }

    /// How many times it has tripped.
    pub(in crate::store) fn trips(&self) -> u32 {
        self.trips.load(Ordering::SeqCst)
    }

    /// Whether a connection of this age may return to its pool: it was opened after the pools were
    /// last replaced.
    pub(in crate::store) fn may_return(&self, age: Duration) -> bool {
        read(&self.replaced_at).is_none_or(|replaced_at| replaced_at.elapsed() > age)
    }

    /// Whether a connection that has been idle for this long must be checked before use: another
    /// one was lost meanwhile.
    pub(in crate::store) fn must_check(&self, idle_for: Duration) -> bool {
        read(&self.lost_at).is_some_and(|lost_at| lost_at.elapsed() <= idle_for)
    }

    /// Runs a call. Waits while the breaker is open, gives the call up [`GRACE`] after the breaker
    /// has tripped, and notes what the call's error tells about the server.
    ///
    /// # Errors
    /// Those of `call`; [`StoreError::Unreachable`] if the breaker is not reset in time, or has
    /// given the call up.
    pub(in crate::store) async fn pass<T>(
        self: Arc<Self>,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.until_closed().await?;
        let trips = self.trips();
        let given_up = async {
            self.until_tripped().await;
            tokio::time::sleep(GRACE).await;
        };
        let result = tokio::select! {
            biased;
            result = CALL.scope((self.clone(), trips), call) => result,
            () = given_up => {
                return Err(StoreError::Unreachable("no answer when others broke".to_owned()));
            }
        };
        if let Err(error) = &result {
            self.note(trips, error);
        }
        result
    }

    /// Runs work over a connection of its own, which tells nothing about the connections of the
    /// pools. Waits while the breaker is open, and gives the work up when the breaker trips.
    ///
    /// # Errors
    /// Those of `work`; [`StoreError::Unreachable`] if the breaker is not reset in time;
    /// [`StoreError::Disconnected`] if it has given the work up.
    pub(in crate::store) async fn pass_apart<T>(
        self: Arc<Self>,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.until_closed().await?;
        tokio::select! {
            biased;
            result = work => result,
            () = self.until_tripped() => Err(StoreError::Disconnected("others broke".to_owned())),
        }
    }

    /// Waits until the breaker is closed, for at most `limit`.
    async fn until_closed(&self) -> Result<(), StoreError> {
        let mut is_closed = self.is_closed.subscribe();
        let closed = is_closed.wait_for(|is_closed| *is_closed);
        match tokio::time::timeout(self.limit, closed).await {
            Ok(_) => Ok(()),
            Err(_) => Err(StoreError::Unreachable("it has not come back yet".to_owned())),
        }
    }

    /// Acts on what a call's error tells about the server. `trips` is how many times the breaker
    /// had tripped when the call began: if it has tripped again since, the error is old and
    /// ignored.
    fn note(self: &Arc<Self>, trips: u32, error: &StoreError) {
        match error {
            StoreError::Unreachable(why) | StoreError::ReadOnly(why) if self.trips() == trips => {
                self.trip(why);
            }
            StoreError::Disconnected(_) => self.lost(),
            // A password or a privilege has changed: new connections fail, old ones may still work.
            StoreError::Unusable(_) => self.probe_once(),
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

    /// Waits until the breaker is open.
    async fn until_tripped(&self) {
        drop(self.is_closed.subscribe().wait_for(|is_closed| !*is_closed).await);
    }

    /// Notes that one connection was lost. Connections that are idle now will be checked before
    /// use, and a probe finds out whether the server is gone.
    pub(in crate::store) fn lost(self: &Arc<Self>) {
        set_now(&self.lost_at);
        self.probe_once();
    }

    /// Notes that a connection has not answered for longer than the server lets a statement run.
    /// Its place in the pool may never become free, so the pools are replaced. Calls in flight
    /// continue.
    fn fell_silent(self: &Arc<Self>) {
        self.replace_silent_pools();
        self.lost();
    }

    /// Replaces the pools, of which connections answer nothing. Does nothing while the breaker is
    /// open, or if they were replaced less than [`REPLACE_PAUSE`] ago.
    fn replace_silent_pools(&self) {
        let is_due = read(&self.replaced_at).is_none_or(|at| at.elapsed() > REPLACE_PAUSE);
        if self.is_closed() && is_due {
            tracing::warn!("a connection to the database answers nothing: going on with new ones");
            self.replace_pools();
        }
    }

    /// Trips the breaker and starts to probe: the server is gone, or takes no writes. Does nothing
    /// if the breaker is open.
    pub(in crate::store) fn trip(self: &Arc<Self>, why: &str) {
        let has_tripped =
            self.is_closed.send_if_modified(|is_closed| std::mem::replace(is_closed, false));
        if has_tripped {
            self.trips.fetch_add(1, Ordering::SeqCst);
            tracing::warn!(why, "a connection to the database broke");
            let breaker = self.clone();
            drop(self.runtime.spawn(async move { breaker.probe_until_reset().await }));
        }
    }

    /// Notes that nothing happens to the connections of a pool although a caller needs one. If a
    /// probe gets a connection, the pools are replaced: theirs are silent. If the server has none
    /// left for it, they are not, since no pool would get another one.
    fn stands_still(self: &Arc<Self>) {
        self.probe_and(Self::replace_silent_pools);
    }

    /// Starts one probe, which trips the breaker if the server is gone. Does nothing while the
    /// breaker is open, or while such a probe runs. A server that is only slow, or has no
    /// connection left, does not trip the breaker.
    pub(in crate::store) fn probe_once(self: &Arc<Self>) {
        self.probe_and(|_| ());
    }

    /// As [`CircuitBreaker::probe_once`]; calls `on_success` if the probe succeeds.
    fn probe_and(self: &Arc<Self>, on_success: fn(&Self)) {
        if !self.is_closed() || self.is_probing.swap(true, Ordering::Relaxed) {
            return;
        }
        let breaker = self.clone();
        drop(self.runtime.spawn(async move {
            let answer = breaker.probe.attempt().await;
            breaker.is_probing.store(false, Ordering::Relaxed);
            match answer {
                Ok(()) => on_success(&breaker),
                Err(StoreError::Busy(why)) => {
                    tracing::debug!(why, "the database has no connection left for a probe");
                }
                Err(error) => breaker.trip(&error.to_string()),
            }
        }));
    }

    /// Probes until the server answers and takes writes, then resets the breaker.
    async fn probe_until_reset(&self) {
        let tripped_at = Instant::now();
        self.replace_pools();
        // Probe, with pauses that differ from node to node.
        let mut told = None;
        while let Err(error) = self.probe.attempt().await {
            // A server that was gone may come back as a standby: another reason is told, too.
            if told.as_ref() == Some(&error) {
                tracing::debug!(%error, "the database is still away");
            } else {
                tracing::warn!(%error, "the database is away: probing until it is back");
            }
            told = Some(error);
            tokio::time::sleep(self.pause + self.pause.mul_f64(rand::random())).await;
        }
        // The server is back. Connections that were opened meanwhile may belong to the old one.
        self.replace_pools();
        if told.is_some() {
            tracing::info!(after = ?tripped_at.elapsed(), "the database is back");
        }
        self.is_closed.send_replace(true);
    }

    /// Replaces all pools by new ones. Connections that are in use are dropped when they return.
    fn replace_pools(&self) {
        set_now(&self.replaced_at);
        for pool in self.pools.get().into_iter().flatten() {
            (pool.0)();
        }
    }
}

/// Runs work that has not changed anything yet, and gives it up when the breaker of the running
/// call trips. Otherwise a pool would keep trying to connect for each caller that waits in it.
pub(in crate::store) async fn while_closed<T>(
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let Ok(breaker) = CALL.try_with(|(breaker, _)| breaker.clone()) else { return work.await };
    tokio::select! {
        biased;
        result = work => result,
        () = breaker.until_tripped() => Err(StoreError::Unreachable("its connections broke".to_owned())),
    }
}

/// Reports that a connection of the running call is lost. Does nothing outside a call (in a
/// migration, a heartbeat).
pub(in crate::store) fn lost_in_call() {
    CALL.try_with(|(breaker, _)| breaker.lost()).ok();
}

/// Reports that the running call found no connection in time in a pool in which nothing happens.
/// Does nothing outside a call.
pub(in crate::store) fn stands_still_in_call() {
    CALL.try_with(|(breaker, _)| breaker.stands_still()).ok();
}

/// Reports that a connection of the running call does not answer, before the call drops it. Does
/// nothing outside a call.
pub(in crate::store) fn fell_silent_in_call() {
    CALL.try_with(|(breaker, _)| breaker.fell_silent()).ok();
}
