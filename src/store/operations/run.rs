//! The work of one operation as its row knows it, whatever is changed: its counts, its stop and its
//! end.

use super::{action::OperationAction, progress::OperationProgress, rows};
use crate::{
    domain::{Id, backoff::AWAY_PAUSE},
    store::engine::{Database, StoreError},
};
use std::{future::Future, time::Duration};
use tokio_util::sync::CancellationToken;

/// The longest pause between two portions. A pause is as long as the portion before it took: so
/// others get at least half of the time, and the more they need, the longer a portion takes.
const PAUSE_MAX: Duration = Duration::from_millis(250);
/// What an operator reads about an operation that ended with its daemon.
const DAEMON_STOPPED: &str = "its daemon was stopped: start it again for the rest";

/// Why the work of an operation is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkEnd {
    /// All that matched is decided.
    Done,
    /// Somebody asked for it.
    Stopped,
    /// The daemon is stopping.
    Drained,
    /// The row does not belong to this run any more: other nodes took this one for dead.
    Disowned,
    /// It cannot go on, and why.
    Failed(String),
}

/// What the work of an operation holds of it.
#[derive(Debug)]
pub struct OperationRun {
    pub(super) db: Database,
    pub(super) id: Id,
    action: OperationAction,
    /// As it was written last.
    pub(super) progress: OperationProgress,
    /// Cancelled when the daemon stops.
    stopping: CancellationToken,
}

impl OperationRun {
    /// How many times in a row the database may be too busy for one step.
    pub const BUSY_MAX: u32 = 20;

    /// Of an operation on `total` things whose row was just stored.
    pub(super) const fn new(
        db: Database,
        id: Id,
        action: OperationAction,
        total: u64,
        stopping: CancellationToken,
    ) -> Self {
        Self { db, id, action, progress: OperationProgress::of(total), stopping }
    }

    /// The id of the operation.
    pub const fn id(&self) -> Id {
        self.id
    }

    /// The counts as they were written last.
    pub const fn progress(&self) -> &OperationProgress {
        &self.progress
    }

    /// True if the daemon is stopping: the work is to end.
    pub fn is_draining(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Waits, but not for a daemon that stops.
    pub async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.stopping.cancelled() => {}
        }
    }

    /// Leaves the time to others after a portion that took this long.
    pub async fn pause_after(&self, took: Duration) {
        self.pause(took.min(PAUSE_MAX)).await;
    }

    /// Reads what the work needs. Waits while the database is away. `Err`: the work is over.
    ///
    /// # Errors
    /// If the database does not come back by itself, or is too busy for too long.
    pub async fn read<T, F>(
        &self,
        read: impl Fn() -> F + Send + Sync,
    ) -> Result<Result<T, WorkEnd>, StoreError>
    where
        F: Future<Output = Result<T, StoreError>> + Send,
    {
        let mut busy = 0;
        loop {
            if self.is_draining() {
                return Ok(Err(WorkEnd::Drained));
            }
            let error = match read().await {
                Ok(found) => return Ok(Ok(found)),
                Err(error) => error,
            };
            self.wait_after(error, &mut busy).await?;
        }
    }

    /// Writes these counts. Waits while the database is away. `Some`: the work is over.
    ///
    /// # Errors
    /// If the database does not come back by itself, or is too busy for too long.
    pub async fn write(
        &mut self,
        progress: OperationProgress,
    ) -> Result<Option<WorkEnd>, StoreError> {
        let mut busy = 0;
        loop {
            let (id, next) = (self.id, progress.clone());
            let write = |db: Database| async move {
                db.write("by_hand", async |tx| {
                    let is_stopping = rows::write_progress(&tx, db.node(), id, &next).await?;
                    tx.commit(is_stopping).await
                })
                .await
            };
            let error = match self.db.call(write).await {
                Ok(Some(is_stopping)) => {
                    self.progress = progress;
                    return Ok(is_stopping.then_some(WorkEnd::Stopped));
                }
                Ok(None) => return Ok(Some(WorkEnd::Disowned)),
                Err(error) => error,
            };
            self.wait_after(error, &mut busy).await?;
            if self.is_draining() {
                return Ok(Some(WorkEnd::Drained));
            }
        }
    }

    /// Waits after a step that failed with `error`. `busy` is how many times in a row the database
    /// was too busy for it.
    ///
    /// # Errors
    /// The error, if the step is not to be tried again.
    async fn wait_after(&self, error: StoreError, busy: &mut u32) -> Result<(), StoreError> {
        *busy = if matches!(error, StoreError::Busy(_)) { *busy + 1 } else { 0 };
        if !error.comes_back() || *busy > Self::BUSY_MAX {
            return Err(error);
        }
        self.pause(AWAY_PAUSE).await;
        Ok(())
    }

    /// Lets `work` do the work, and ends the row. Must run on the store runtime.
    pub(super) async fn carry_out<W>(self, work: impl FnOnce(Self) -> W + Send + 'static)
    where
        W: Future<Output = Result<WorkEnd, StoreError>> + Send + 'static,
    {
        let (db, id, action, stopping) =
            (self.db.clone(), self.id, self.action.as_str(), self.stopping.clone());
        tracing::info!(operation.id = id, action, "an operation has started");
        // A panic ends the work, and must not leave a row that seems to run.
        let ended = db.on_runtime(async move { Box::pin(work(self)).await }).await;
        let (status, error) = match ended {
            Ok(WorkEnd::Done) => ("done", None),
            Ok(WorkEnd::Stopped) => ("stopped", None),
            Ok(WorkEnd::Drained) => ("stopped", Some(DAEMON_STOPPED.to_owned())),
            Ok(WorkEnd::Failed(why)) => ("failed", Some(why)),
            Ok(WorkEnd::Disowned) => {
                tracing::warn!(
                    operation.id = id,
                    "other nodes have ended an operation of this one"
                );
                return;
            }
            Err(error) => ("failed", Some(error.to_string())),
        };
        if let Some(error) = &error {
            tracing::warn!(
                operation.id = id,
                action,
                status,
                error,
                "an operation has ended early"
            );
        } else {
            tracing::info!(operation.id = id, action, status, "an operation has ended");
        }
        end(&db, id, status, error, &stopping).await;
    }
}

/// Ends the row of an operation, and tries again while the database is away. If the daemon stops
/// meanwhile, the row is ended as that of a node that went down.
pub(super) async fn end(
    db: &Database,
    id: Id,
    status: &'static str,
    error: Option<String>,
    stopping: &CancellationToken,
) {
    loop {
        let error = error.clone();
        let ended =
            db.call(|db| async move { rows::end(&db, id, status, error.as_deref()).await }).await;
        let Err(error) = ended else { return };
        if !error.comes_back() || stopping.is_cancelled() {
            tracing::error!(operation.id = id, %error, "the end of an operation could not be written");
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(AWAY_PAUSE) => {}
            () = stopping.cancelled() => {}
        }
    }
}
