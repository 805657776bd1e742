//! Keeps the calls of models in the database, in groups, beside the jobs that made them.

use crate::{
    domain::ModelCall,
    store::{ModelCalls, StoreError},
    telemetry::metrics::Metrics,
};
use std::time::Duration;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::Instant,
};

/// The most rows of one statement.
const GROUP_MAX: usize = 200;
/// How often a group is tried, and the pause between two tries. Then its rows are given up: new
/// calls wait for their place meanwhile, and no job waits for any of them.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);

/// The task that keeps calls.
pub(super) struct ModelCallKeeper {
    task: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

impl ModelCallKeeper {
    /// Keeps all that comes from `noted`. Must be called inside an actix system.
    pub(super) fn start(
        store: ModelCalls,
        noted: mpsc::Receiver<ModelCall>,
        metrics: Metrics,
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        Self { task: actix_rt::spawn(keep(store, noted, stopped, metrics)), stop }
    }

    /// Keeps what was noted so far, until `limit` at the latest, and ends. To be called when no
    /// more jobs run.
    pub(super) async fn finish(self, limit: Instant) {
        let Self { mut task, stop } = self;
        // The task has ended already if nobody can note anything.
        stop.send(()).ok();
        if tokio::time::timeout_at(limit, &mut task).await.is_err() {
            tracing::warn!("some calls of the model could not be kept in time");
            task.abort();
        }
    }
}

async fn keep(
    store: ModelCalls,
    mut noted: mpsc::Receiver<ModelCall>,
    mut stopped: oneshot::Receiver<()>,
    metrics: Metrics,
) {
    let (mut group, mut is_stopping) = (Vec::new(), false);
    loop {
        let count = tokio::select! {
            biased;
            count = noted.recv_many(&mut group, GROUP_MAX) => count,
            _ = &mut stopped, if !is_stopping => {
                is_stopping = true;
                noted.close();
                continue;
            }
        };
        if count == 0 {
            return;
        }
        if let Err(error) = put(&store, &group).await {
            tracing::warn!(%error, count, "calls of the model are not kept");
            metrics.model().not_kept(count);
        }
        group.clear();
    }
}

/// Stores a group. Tries again while the database is away.
async fn put(store: &ModelCalls, group: &[ModelCall]) -> Result<(), StoreError> {
    let mut tries = 1;
    loop {
        match store.record(group).await {
            Err(error) if error.is_away() && tries < TRIES => {
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            result => return result,
        }
    }
}
