//! Heartbeats. They have a thread and a connection of their own, so that neither a busy handler nor
//! a flood of webhooks can make a live node look dead.

use super::{
    nodes::{HeartbeatReport, NodeWatch, Nodes, beat_once},
    notices::NoticeState,
};
use crate::store::engine::{
    StoreError, circuit_breaker::CircuitBreaker, connect, connections::Connections,
    last_failed_write::LastFailedWrite,
};
use crate::{
    config,
    domain::{Id, fairness::Turn},
};
use arc_swap::ArcSwapOption;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};

/// The thread that sends heartbeats. It stops when this is dropped.
#[derive(Debug)]
pub struct Heartbeat {
    /// Stops the thread when it is dropped. `None` on SQLite.
    stop: Option<oneshot::Sender<()>>,
    /// `None` on SQLite.
    thread: Option<JoinHandle<()>>,
    membership: Membership,
}

/// The report of the last heartbeat, for all parts that need to know which nodes live. A clone
/// shares it.
#[derive(Clone, Debug)]
pub struct Membership {
    /// When the last successful heartbeat was begun, and its report.
    last: Arc<ArcSwapOption<(Instant, HeartbeatReport)>>,
    /// The kinds of jobs that heartbeats also look for, and the floors of their claims, as JSON.
    /// `None` while they look for none.
    wanted: Arc<ArcSwapOption<String>>,
    /// The version of the overrides of pools, as the last heartbeat read it.
    overrides: Arc<watch::Sender<i64>>,
    /// True on SQLite.
    is_alone: bool,
}

impl Membership {
    /// When the last successful heartbeat was begun, and its report. `None` before the first, and
    /// always on SQLite.
    pub fn last(&self) -> Option<Arc<(Instant, HeartbeatReport)>> {
        self.last.load_full()
    }

    /// True while this node leads: it does the chores that only one node does. On SQLite it is the
    /// only node.
    pub fn leads(&self, lease: Duration) -> bool {
        // After a lease without a heartbeat, another node may lead.
        self.is_alone || self.last().is_some_and(|last| last.1.leads && last.0.elapsed() < lease)
    }

    /// Makes heartbeats look for jobs of these kinds at or above these floors, and wake this
    /// process if there are any. Applies until the next call.
    pub fn look_for_jobs(&self, wanted: &[(&str, Turn)]) {
        let wanted: Vec<_> = wanted
            .iter()
            .map(|(kind, floor)| serde_json::json!({"kind": kind, "floor": floor}))
            .collect();
        let text =
            (!wanted.is_empty()).then(|| Arc::new(serde_json::Value::from(wanted).to_string()));
        self.wanted.store(text);
    }

    /// Tells when another version of the overrides of pools is read. On SQLite nobody else changes
    /// them, and it tells nothing.
    pub fn overrides(&self) -> watch::Receiver<i64> {
        self.overrides.subscribe()
    }

    /// True on SQLite, where there can be no other node: the lock of the file is the lease.
    pub const fn is_alone(&self) -> bool {
        self.is_alone
    }
}

/// What the heartbeat thread needs.
struct HeartbeatSetup {
    /// The database, with the pooler that was detected.
    cfg: config::DatabaseConfig,
    /// The id of this process.
    node: Id,
    /// The pause between two heartbeats.
    every: Duration,
    /// How long a node may be silent before it counts as dead.
    lease: Duration,
    /// Whether this node may lead.
    may_lead: bool,
    /// Where the reports go.
    membership: Membership,
    /// Keeps whether other nodes work jobs, and wakes this process if there are jobs.
    notices: Arc<NoticeState>,
    /// Whether some client is capped; shared with [`Connections::has_caps`] of this process's
    /// pools.
    has_caps: Arc<AtomicBool>,
    /// The circuit breaker of this process. While it is open, there are no heartbeats: its task
    /// probes the database.
    breaker: Option<Arc<CircuitBreaker>>,
    /// The last failed write of this process. On a full disk the heartbeats of one node may pass,
    /// and those of another one not.
    last_failed_write: LastFailedWrite,
    /// Called when this node's row is gone.
    on_forgotten: Box<dyn Fn() + Send>,
}

impl Heartbeat {
    /// Starts the heartbeats of this process. `may_lead` says whether it may do the chores that
    /// only one node does. Does nothing on SQLite: the lock of the file is the lease.
    ///
    /// `on_forgotten` is called when the node's row is gone: it was silent until another node
    /// deleted it. A new node may have its slot and assign the same ids, so this process must end.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub fn start(
        nodes: &Nodes,
        cfg: &config::Config,
        may_lead: bool,
        on_forgotten: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let membership = Membership {
            last: Arc::default(),
            wanted: Arc::default(),
            overrides: Arc::new(watch::Sender::new(0)),
            is_alone: nodes.db.is_sqlite(),
        };
        if membership.is_alone {
            return Ok(Self { stop: None, thread: None, membership });
        }
        let (stop, stopped) = oneshot::channel::<()>();
        let setup = HeartbeatSetup {
            cfg: nodes.db.connections().as_found(&cfg.database),
            node: nodes.db.node(),
            every: cfg.supervisor.heartbeat,
            lease: cfg.supervisor.lease,
            may_lead,
            membership: membership.clone(),
            notices: nodes.notices.clone(),
            has_caps: nodes.db.connections().has_caps.clone(),
            breaker: nodes.db.connections().breaker.clone(),
            last_failed_write: nodes.db.connections().last_failed_write.clone(),
            on_forgotten: Box::new(on_forgotten),
        };
        let thread = std::thread::Builder::new().name("heartbeat".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                // A stop interrupts a heartbeat that the database does not answer.
                Ok(runtime) => {
                    runtime.block_on(async {
                        tokio::select! {
                            _ = stopped => {}
                            () = setup.beat() => {}
                        }
                    });
                    // A stop does not wait for the resolution of the server's name either.
                    runtime.shutdown_background();
                }
                Err(error) => tracing::error!(%error, "no runtime for heartbeats"),
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread), membership })
    }

    /// The reports of the heartbeats.
    pub fn membership(&self) -> Membership {
        self.membership.clone()
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

impl HeartbeatSetup {
    /// Sends heartbeats until it is dropped. After a lost connection, the next heartbeat opens a
    /// new one.
    async fn beat(&self) {
        let (started, mut node_watch) = (Instant::now(), NodeWatch::default());
        let mut connections: Option<Connections> = None;
        let mut pause = Duration::ZERO;
        loop {
            tokio::time::sleep(pause).await;
            pause = self.every;
            if self.breaker.as_ref().is_some_and(|breaker| !breaker.is_closed()) {
                // The server of this connection may be gone, too.
                connections = None;
                node_watch.was_blind();
                continue;
            }
            // Read before the database's clock is: so the lead ends in the database no sooner than
            // a lease after this.
            let asked_at = Instant::now();
            match self.one_beat(&mut connections).await {
                // Pass the report to all that wait for it.
                Ok(mut beat) => {
                    if self.last_failed_write.had_no_room() {
                        node_watch.was_blind();
                    }
                    beat.dead = node_watch.dead(&beat.nodes, self.lease, started.elapsed());
                    if !beat.is_known {
                        tracing::error!(
                            node.id = self.node,
                            "this node was silent until its row was deleted: the process must start again"
                        );
                        (self.on_forgotten)();
                    }
                    self.notices.set_peers(beat.has_working_peers(self.node, self.lease));
                    self.note_caps(beat.has_caps);
                    let has_jobs = beat.has_jobs;
                    self.membership.overrides.send_if_modified(|version| {
                        std::mem::replace(version, beat.overrides) != beat.overrides
                    });
                    self.membership.last.store(Some(Arc::new((asked_at, beat))));
                    if has_jobs {
                        self.notices.tell_own();
                    }
                }
                // The server may be gone: let the breaker probe.
                Err(error) => {
                    connections = None;
                    node_watch.was_blind();
                    tracing::warn!(%error, "heartbeat failed");
                    if let Some(breaker) = &self.breaker {
                        breaker.probe_once();
                    }
                }
            }
        }
    }

    /// Notes whether some client is capped: another node may have set caps, or removed the last
    /// one. Only two successive heartbeats without caps mean that there are none: the first may
    /// have begun before this node set its own.
    fn note_caps(&self, has_caps: bool) {
        let had_caps = self.membership.last().is_some_and(|last| last.1.has_caps);
        self.has_caps.store(has_caps || had_caps, Ordering::Relaxed);
    }

    /// Sends one heartbeat, over the open connection if there is one. If that is lost, sends it
    /// over a new connection at once: so a node whose connections are cut again and again does not
    /// count as dead.
    async fn one_beat(
        &self,
        connections: &mut Option<Connections>,
    ) -> Result<HeartbeatReport, StoreError> {
        let limit = self.every.max(Duration::from_secs(1));
        // Over the open connection. If it is slow, a new one is tried at the same time.
        if let Some(open) = connections.take() {
            let beat = {
                let mut beating = std::pin::pin!(self.beat_over(&open));
                match tokio::time::timeout(limit, &mut beating).await {
                    Ok(beat) => beat,
                    Err(_) => tokio::select! {
                        biased;
                        beat = &mut beating => beat,
                        fresh = self.connect_and_beat(limit) => {
                            let (open, beat) = fresh?;
                            *connections = Some(open);
                            // The new connection was faster: the pools' connections may be silent,
                            // too.
                            if let Some(breaker) = &self.breaker {
                                breaker.trip("the heartbeat's connection fell silent");
                            }
                            return Ok(beat);
                        }
                    },
                }
            };
            match beat {
                Ok(beat) => {
                    *connections = Some(open);
                    return Ok(beat);
                }
                Err(error) => tracing::debug!(%error, "the heartbeat's connection was lost"),
            }
        }
        // Over a new connection.
        let (open, beat) = self.connect_and_beat(limit).await?;
        *connections = Some(open);
        Ok(beat)
    }

    async fn connect_and_beat(
        &self,
        limit: Duration,
    ) -> Result<(Connections, HeartbeatReport), StoreError> {
        let work = async {
            let open = connect::open_one(&self.cfg).await?;
            let beat = self.beat_over(&open).await?;
            Ok((open, beat))
        };
        tokio::time::timeout(limit, work)
            .await
            .unwrap_or_else(|_| Err(StoreError::Busy("the heartbeat took too long".to_owned())))
    }

    async fn beat_over(&self, open: &Connections) -> Result<HeartbeatReport, StoreError> {
        let wanted = self.membership.wanted.load();
        let wanted = wanted.as_ref().map(|it| it.as_str());
        beat_once(open, self.node, self.lease, self.may_lead, wanted).await
    }
}
