//! Heartbeats from a thread and a connection of their own: neither a busy handler nor a flood of webhooks
//! can make a live node look dead.

use super::{
    nodes::{HeartbeatReport, NodeWatch, Nodes, beat_once},
    notices::NoticeState,
};
use crate::store::engine::{
    StoreError, circuit_breaker::CircuitBreaker, connect, connections::Connections,
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
use tokio::{sync::oneshot, time::Instant};

/// The thread that beats. Dropped, it stops.
#[derive(Debug)]
pub struct Heartbeat {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    membership: Membership,
}

/// What the last heartbeats have brought back; to be looked at by whoever wants to know who lives.
#[derive(Clone, Debug)]
pub struct Membership {
    last: Arc<ArcSwapOption<(Instant, HeartbeatReport)>>,
    /// Heartbeats are to look for jobs of these kinds, too, from these floors.
    wanted: Arc<ArcSwapOption<String>>,
    is_alone: bool,
}

impl Membership {
    /// The last heartbeat and when it was begun; `None` before the first. On SQLite there are none.
    pub fn last(&self) -> Option<Arc<(Instant, HeartbeatReport)>> {
        self.last.load_full()
    }

    /// True while this node does the chores that one node is to do. On SQLite it is the only one.
    pub fn leads(&self, lease: Duration) -> bool {
        // Another takes over when the lease has passed without a heartbeat.
        self.is_alone || self.last().is_some_and(|it| it.1.leads && it.0.elapsed() < lease)
    }

    /// Has heartbeats look for jobs of these kinds from these floors on, and wake this process where there are some, until
    /// it is told otherwise.
    pub fn look_for_jobs(&self, wanted: &[(&str, Turn)]) {
        let wanted: Vec<_> = wanted
            .iter()
            .map(|(kind, floor)| serde_json::json!({"kind": kind, "floor": floor}))
            .collect();
        let text =
            (!wanted.is_empty()).then(|| Arc::new(serde_json::Value::from(wanted).to_string()));
        self.wanted.store(text);
    }

    /// True where there can be no other node: the lock of the file is the lease.
    pub const fn is_alone(&self) -> bool {
        self.is_alone
    }
}

/// What the thread needs.
struct Plan {
    cfg: config::DatabaseConfig,
    node: Id,
    every: Duration,
    lease: Duration,
    may_lead: bool,
    membership: Membership,
    notices: Arc<NoticeState>,
    /// Whether some client is capped, for all who move jobs.
    has_caps: Arc<AtomicBool>,
    /// The circuit breaker of this process. While it is open, its own task probes the database.
    breaker: Option<Arc<CircuitBreaker>>,
    on_forgotten: Box<dyn Fn() + Send>,
}

impl Heartbeat {
    /// Starts beating for this process. `may_lead` says whether it may do the chores that one node is
    /// to do. On SQLite there is nothing to do: the lock of the file is the lease.
    ///
    /// `on_forgotten` is called when the node's row is gone: it was silent for so long that another may give
    /// out ids in its place, so it must not go on.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        nodes: &Nodes,
        cfg: &config::Config,
        may_lead: bool,
        on_forgotten: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let membership = Membership {
            last: Arc::default(),
            wanted: Arc::default(),
            is_alone: nodes.db.is_sqlite(),
        };
        if membership.is_alone {
            return Ok(Self { stop: None, thread: None, membership });
        }
        let (stop, stopped) = oneshot::channel::<()>();
        let plan = Plan {
            cfg: nodes.db.connections().as_found(&cfg.database),
            node: nodes.db.node(),
            every: cfg.supervisor.heartbeat,
            lease: cfg.supervisor.lease,
            may_lead,
            membership: membership.clone(),
            notices: nodes.notices.clone(),
            has_caps: nodes.db.connections().has_caps.clone(),
            breaker: nodes.db.connections().breaker.clone(),
            on_forgotten: Box::new(on_forgotten),
        };
        let thread = std::thread::Builder::new().name("heartbeat".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                // A beat that the database does not answer is broken off: nobody who stops has to wait for it.
                Ok(runtime) => {
                    runtime.block_on(async {
                        tokio::select! {
                            _ = stopped => {}
                            () = plan.beat() => {}
                        }
                    });
                    // Nor for the name of a server that nobody resolves.
                    runtime.shutdown_background();
                }
                Err(error) => tracing::error!(%error, "no runtime for heartbeats"),
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread), membership })
    }

    /// What heartbeats bring back.
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

impl Plan {
    /// Beats for good. A lost connection is opened anew at the next beat.
    async fn beat(&self) {
        let (started, mut silence) = (Instant::now(), NodeWatch::default());
        let mut connections: Option<Connections> = None;
        let mut pause = Duration::ZERO;
        loop {
            tokio::time::sleep(pause).await;
            pause = self.every;
            if self.breaker.as_ref().is_some_and(|breaker| !breaker.is_closed()) {
                // Its other side may be gone, as those of the pools.
                connections = None;
                silence.was_blind();
                continue;
            }
            // Before the database's clock is read: a lead that is kept from here on ends there no sooner.
            let asked_at = Instant::now();
            match self.one_beat(&mut connections).await {
                Ok(mut beat) => {
                    beat.dead = silence.dead(&beat.nodes, self.lease, started.elapsed());
                    if !beat.is_known {
                        tracing::error!(
                            node.id = self.node,
                            "this node was silent for so long that it was forgotten: it must start anew"
                        );
                        (self.on_forgotten)();
                    }
                    self.notices.set_peers(beat.has_working_peers(self.node, self.lease));
                    self.note_caps(beat.has_caps);
                    let has_jobs = beat.has_jobs;
                    self.membership.last.store(Some(Arc::new((asked_at, beat))));
                    if has_jobs {
                        self.notices.tell_own();
                    }
                }
                Err(error) => {
                    connections = None;
                    silence.was_blind();
                    tracing::warn!(%error, "heartbeat failed");
                    if let Some(breaker) = &self.breaker {
                        breaker.probe_once();
                    }
                }
            }
        }
    }

    /// Another node may have set caps, or taken the last one away. That there are none is believed
    /// when two beats running say so: one that was under way while this node set its own knew
    /// nothing of them.
    fn note_caps(&self, has_caps: bool) {
        let had_caps = self.membership.last().is_some_and(|it| it.1.has_caps);
        self.has_caps.store(has_caps || had_caps, Ordering::Relaxed);
    }

    /// A connection that was lost since the last beat is opened anew at once: a live node whose connections are
    /// cut again and again stays alive.
    async fn one_beat(
        &self,
        connections: &mut Option<Connections>,
    ) -> Result<HeartbeatReport, StoreError> {
        let limit = self.every.max(Duration::from_secs(1));
        if let Some(open) = connections.take() {
            let beat = {
                let mut beating = std::pin::pin!(self.beat_over(&open));
                match tokio::time::timeout(limit, &mut beating).await {
                    Ok(beat) => beat,
                    Err(_) => tokio::select! {
                        biased;
                        beat = &mut beating => beat,
                        anew = self.beat_anew(limit) => {
                            let (open, beat) = anew?;
                            *connections = Some(open);
                            // A new connection has overtaken it: those of the pools may be silent, too.
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
        let (open, beat) = self.beat_anew(limit).await?;
        *connections = Some(open);
        Ok(beat)
    }

    async fn beat_anew(
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
