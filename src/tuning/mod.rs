//! Live tuning: what runs follows its files, and what operators set beside them.
//!
//! One task owns what runs. Each change passes through it: of a file, by a signal, by the API, of
//! overrides. So changes come one after the other, and several wishes at a time become one load.
//!
//! `file_watch` and `steps` find out that a file may have changed, `debounce` says when to load,
//! `task` loads, checks and applies, `afterwards` does what needs the database, and `report` tells
//! what was done.

mod afterwards;
mod debounce;
mod file_watch;
mod report;
mod status;
mod steps;
mod task;

pub use self::{
    report::{ReloadBy, ReloadOutcome, ReloadReport},
    status::TuningStatus,
    task::{Prepare, Prepared, TunerSetup},
};

use self::{
    afterwards::Written,
    task::{Asked, TunerTask},
};
use crate::domain::PoolOverride;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// How many wishes for a reload may wait. More wait in front of it.
const ASKED_MAX: usize = 64;
/// How many reloads may wait to be written to the audit log.
const ROWS_WAITING_MAX: usize = 64;

/// Asks for changes of what runs, and tells its state. A clone asks the same task.
#[derive(Clone, Debug)]
pub struct Tuner {
    asked: mpsc::Sender<Asked>,
    overrides: Arc<watch::Sender<Vec<PoolOverride>>>,
    status: watch::Receiver<Arc<TuningStatus>>,
}

impl Tuner {
    /// Makes a tuner, and the work of its task, which the caller must run on a thread that may
    /// block. The work ends when the last clone of the tuner is dropped.
    pub fn new(setup: TunerSetup) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (asked, wishes) = mpsc::channel(ASKED_MAX);
        let (rows, told) = mpsc::channel(ROWS_WAITING_MAX);
        let (overrides, set) = watch::channel(Vec::new());
        let (store, live) = (setup.store.clone(), setup.live.clone());
        let written = Written::new(&setup.running.config);
        let task = TunerTask::new(setup, wishes, set, rows);
        let (status, shown) = (task.status(), task.status().subscribe());
        let work = async move {
            let writing = afterwards::run(store, live, written, told, status);
            tokio::join!(task.run(), writing);
        };
        (Self { asked, overrides: Arc::new(overrides), status: shown }, work)
    }

    /// Reads the files again, and applies what they say if all of it is right. `None` if the daemon
    /// is stopping.
    pub async fn reload(&self, by: ReloadBy) -> Option<Arc<ReloadReport>> {
        let (answer, answered) = oneshot::channel();
        self.asked.send(Asked { by, answer }).await.ok()?;
        answered.await.ok()
    }

    /// Puts `overrides` in the place of all overrides of pools.
    pub fn overrides_changed(&self, overrides: Vec<PoolOverride>) {
        self.overrides.send_if_modified(|current| {
            let is_other = *current != overrides;
            *current = overrides;
            is_other
        });
    }

    /// The state of the configuration.
    pub fn status(&self) -> Arc<TuningStatus> {
        self.status.borrow().clone()
    }
}
