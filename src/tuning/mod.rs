//! Live tuning: what runs follows its files, and what operators set beside them.
//!
//! One task owns what runs. Each change passes through it: of a file, by a signal, by the API, of
//! overrides. So changes come one after the other, and several wishes at a time become one load.
//!
//! `file_watch` and `steps` find out that a file may have changed, `debounce` says when to load,
//! `task` loads, checks and applies, `afterwards` does what needs the database, `report` tells
//! what was done, and `loads` keeps that for a while.

mod afterwards;
mod debounce;
mod file_watch;
mod loads;
mod node_status;
mod overrides;
mod report;
mod status;
mod steps;
mod task;

pub use self::{
    loads::{KeptLoad, LoadHistory},
    node_status::{NodeStatus, NodeStatusSetup, PoolStatus, tell_status},
    overrides::{OverrideError, OverridesSetup, PoolOverrides},
    report::{ReloadBy, ReloadOutcome, ReloadReport},
    status::TuningStatus,
    task::{OnReload, Prepare, Prepared, TunerSetup},
};

use self::{
    afterwards::{AuditQueue, Written},
    overrides::{AskedOverride, OverridesKeeper},
    task::{Asked, TunerTask},
};
use crate::{
    domain::{JobKind, OverrideChange},
    store::{AuditEntry, StoreError},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// How many wishes for a reload may wait. More wait in front of it.
const ASKED_MAX: usize = 64;
/// How long somebody waits who changes a pool.
const CHANGED_WITHIN: Duration = Duration::from_secs(30);

/// Waits until this instant. Does not return if there is none.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Asks for changes of what runs, and tells its state. A clone asks the same task.
#[derive(Clone, Debug)]
pub struct Tuner {
    asked: mpsc::Sender<Asked>,
    overrides: mpsc::Sender<AskedOverride>,
    rows: AuditQueue,
    status: watch::Receiver<Arc<TuningStatus>>,
    /// Cancelled when nothing is to be changed any more.
    stopping: CancellationToken,
    /// Cancelled when no more rows of the audit log come.
    closing: CancellationToken,
    /// Cancelled when all is written.
    closed: CancellationToken,
    ignores_overrides: bool,
}

impl Tuner {
    /// Makes a tuner, and the work of its task, which the caller must run. The work ends after
    /// [`Tuner::close`].
    pub fn new(
        setup: TunerSetup,
        overrides: PoolOverrides,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (asked, wishes) = mpsc::channel(ASKED_MAX);
        let (rows, told) = AuditQueue::new();
        let (changes, asked_overrides) = mpsc::channel(ASKED_MAX);
        let (applying, set) = watch::channel(overrides.applying());
        let ignores_overrides = overrides.ignores_stored();
        let (store, live) = (setup.store.clone(), setup.live.clone());
        let written = Written::new(&setup.running.config);
        let task = TunerTask::new(setup, wishes, set, rows.clone());
        let (status, shown) = (task.status(), task.status().subscribe());
        let (stopping, closing, closed) =
            <(CancellationToken, CancellationToken, CancellationToken)>::default();
        let keeper = OverridesKeeper::new(overrides, applying, asked_overrides, rows.clone());
        let tuner = Self {
            asked,
            overrides: changes,
            rows,
            status: shown,
            stopping: stopping.clone(),
            closing: closing.clone(),
            closed: closed.clone(),
            ignores_overrides,
        };
        let work = async move {
            // Cancels it whatever ends the work.
            let _closed = closed.drop_guard();
            let changing = async { tokio::join!(task.run(), keeper.run()) };
            let changes = afterwards::write_changes(
                store.clone(),
                live,
                written,
                status.clone(),
                stopping.clone(),
            );
            let rows = afterwards::write_rows(store, told, status, closing);
            tokio::join!(stopping.run_until_cancelled(changing), changes, rows);
        };
        (tuner, work)
    }

    /// Reads the files again, and applies what they say if all of it is right. `None` if the daemon
    /// is stopping.
    pub async fn reload(&self, by: ReloadBy) -> Option<Arc<ReloadReport>> {
        let (answer, answered) = oneshot::channel();
        self.asked.send(Asked { by, answer }).await.ok()?;
        answered.await.ok()
    }

    /// Changes the override of a kind, or ends it if there is no `change`: on all nodes, or for as
    /// long as this process runs on this node only. Returns when it runs on this node. `entry` is
    /// the row of the audit log, to which the values are added.
    ///
    /// # Errors
    /// If the database could not keep it in time, or the daemon is stopping.
    pub async fn change_pool(
        &self,
        kind: JobKind,
        change: Option<OverrideChange>,
        is_for_this_node: bool,
        entry: AuditEntry,
    ) -> Result<(), OverrideError> {
        let (answer, answered) = oneshot::channel();
        let asked = AskedOverride { kind, change, is_for_this_node, entry, answer };
        let change = async {
            self.overrides.send(asked).await.map_err(|_| OverrideError::Stopping)?;
            answered.await.unwrap_or(Err(OverrideError::Stopping))
        };
        tokio::time::timeout(CHANGED_WITHIN, change).await.unwrap_or_else(|_| {
            let why = "the change of the pool takes too long, and may still be made";
            Err(StoreError::Busy(why.to_owned()).into())
        })
    }

    /// Has a row written to the audit log as soon as the database takes it. Changes that could not
    /// write theirs end here.
    pub fn record(&self, row: AuditEntry) {
        self.rows.record(vec![row]);
    }

    /// Changes nothing any more. What is asked from now on is refused.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// Ends the work when the rows that wait are in the audit log, and returns then.
    pub async fn close(&self) {
        self.stop();
        self.closing.cancel();
        self.closed.cancelled().await;
    }

    /// True once its work is over: nothing is reloaded any more, and no override changes.
    pub fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// True if this node was started without the overrides that are kept for all nodes.
    pub const fn ignores_overrides(&self) -> bool {
        self.ignores_overrides
    }

    /// The state of the configuration.
    pub fn status(&self) -> Arc<TuningStatus> {
        self.status.borrow().clone()
    }

    /// Tells of each change of the state of the configuration.
    pub(crate) fn statuses(&self) -> watch::Receiver<Arc<TuningStatus>> {
        self.status.clone()
    }
}
