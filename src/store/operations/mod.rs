//! Operations: one action on all jobs that match a filter.
//!
//! A request counts what matches and starts the operation; the work is done by a task of the daemon
//! that took it, in portions of 500 jobs. Each portion is a transaction of its own that also writes
//! the counts, so the counts are true whatever happens to the daemon. The row is the only link
//! between the task and those who watch it: any node shows it and can ask it to stop.

mod matching;
mod progress;
mod rows;
mod work;

pub(in crate::store) use self::rows::fail_abandoned;
pub use self::{
    matching::MatchingJobs,
    rows::{OperationFilter, OperationRow},
    work::ByKind,
};

use self::work::OperationTask;
use super::desk::{JobFilter, Page, by_hand::JobAction, jobs::Search};
use crate::{
    domain::Id,
    store::{
        engine::{Database, StoreError},
        fleet::notices::Notices,
    },
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The most operations that one node works on at the same time. Others would only wait for the same
/// locks.
const AT_ONCE_MAX: usize = 4;

/// What an operator reads about an operation whose start the database did not confirm.
const NOT_STARTED: &str = "the database went away while it was stored: start it again";

/// Why an operation was not started.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum OperationError {
    /// As many run on this node as may.
    #[error(
        "{AT_ONCE_MAX} operations run on this node already: wait until one has ended, or stop one \
         (`postroom operations list --status running`)"
    )]
    TooMany,
    /// The daemon is stopping.
    #[error("the daemon is stopping: ask again when it has started")]
    Draining,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The operations that this process works on.
#[derive(Debug, Default)]
pub(super) struct RunningOperations {
    tasks: TaskTracker,
    /// How many have a place among [`AT_ONCE_MAX`].
    count: AtomicUsize,
    /// Cancelled when the daemon stops: each task stops after its portion.
    stopping: CancellationToken,
}

/// The place of one operation among [`AT_ONCE_MAX`]. Free again when it is dropped.
#[derive(Debug)]
struct PlaceOfOperation(Arc<RunningOperations>);

impl PlaceOfOperation {
    fn take(running: &Arc<RunningOperations>) -> Result<Self, OperationError> {
        if running.stopping.is_cancelled() {
            return Err(OperationError::Draining);
        }
        if running.count.fetch_add(1, Ordering::AcqRel) >= AT_ONCE_MAX {
            running.count.fetch_sub(1, Ordering::AcqRel);
            return Err(OperationError::TooMany);
        }
        Ok(Self(running.clone()))
    }
}

impl Drop for PlaceOfOperation {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The handle for operations.
#[derive(Clone, Debug)]
pub struct Operations {
    pub(super) db: Database,
    pub(super) notices: Notices,
    pub(super) running: Arc<RunningOperations>,
}

/// An operation that was started.
#[derive(Debug)]
pub struct StartedOperation {
    /// Its id.
    pub id: Id,
    /// Ends with the operation. The operation goes on if this is dropped.
    pub task: JoinHandle<()>,
}

impl Operations {
    /// Counts the jobs that `action` would change, and shows the newest of them. The count takes at
    /// most some seconds; then it is a lower bound.
    ///
    /// # Errors
    /// If the database is unreachable or busy.
    pub async fn matching(
        &self,
        action: JobAction,
        filter: JobFilter,
    ) -> Result<MatchingJobs, StoreError> {
        let below = self.db.next_id();
        matching::count(&self.db, action, filter, below).await
    }

    /// Starts `action` on the jobs that were counted. Jobs that were stored after the count are not
    /// touched. `filter` is the filter as the operator gave it, and `by` names the operator.
    /// `on_changed` is told of the jobs of each portion that were changed.
    ///
    /// # Errors
    /// If too many operations run on this node, if the daemon is stopping, or if the database is
    /// unreachable.
    pub async fn start(
        &self,
        matching: &MatchingJobs,
        filter: String,
        by: String,
        on_changed: impl Fn(&ByKind) + Send + Sync + 'static,
    ) -> Result<StartedOperation, OperationError> {
        let place = PlaceOfOperation::take(&self.running)?;
        let Some(narrowed) = matching.filter.clone() else {
            return Err(StoreError::Broken("no job can match that filter".to_owned()).into());
        };
        let (db, notices, running) = (self.db.clone(), self.notices.clone(), self.running.clone());
        let (action, below, total) = (matching.action, matching.below, matching.count);
        // The row and its task are made together, even if the caller is dropped meanwhile.
        let started = self.db.on_runtime(async move {
            let statuses = narrowed.statuses();
            let search = db.call(|db| async move { Search::of(db.api(), narrowed).await }).await?;
            let id = db.next_id();
            let put =
                async move |db: Database| rows::put(&db, id, action, &filter, total, &by).await;
            if let Err(error) = db.call(put).await {
                if error.comes_back() {
                    // The row may be there all the same, and nobody works on it.
                    let stopping = running.stopping.clone();
                    running.tasks.spawn(async move {
                        let why = Some(NOT_STARTED.to_owned());
                        work::end(&db, id, "failed", why, &stopping).await;
                        drop(place);
                    });
                }
                return Err(error);
            }
            let task = OperationTask::new(
                db.clone(),
                notices,
                id,
                (action, statuses),
                (Arc::new(search), below),
                total,
                running.stopping.clone(),
                Box::new(on_changed),
            );
            let work = async move {
                task.run().await;
                drop(place);
            };
            Ok(StartedOperation { id, task: running.tasks.spawn(work) })
        });
        Ok(started.await?)
    }

    /// Asks an operation of any node to stop after its portion. False if it does not run.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn stop(&self, id: Id) -> Result<bool, StoreError> {
        self.db.call(|db| async move { rows::ask_to_stop(&db, id).await }).await
    }

    /// An operation.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn show(&self, id: Id) -> Result<Option<OperationRow>, StoreError> {
        self.db.call(|db| async move { rows::one(db.api(), id).await }).await
    }

    /// Operations before `cursor`, newest first.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn list(
        &self,
        filter: OperationFilter,
        limit: usize,
        cursor: Option<Id>,
    ) -> Result<Page<OperationRow>, StoreError> {
        self.db.call(|db| async move { rows::list(db.api(), filter, limit, cursor).await }).await
    }

    /// Starts no more operations here, lets those that run stop after their portions, and waits for
    /// them. For a daemon that stops.
    pub async fn drain(&self) {
        self.running.stopping.cancel();
        self.running.tasks.close();
        self.running.tasks.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_operation_has_ended() {
        let running = Arc::new(RunningOperations::default());
        let take = || PlaceOfOperation::take(&running);
        let mut places: Vec<_> = (0..AT_ONCE_MAX).map(|_| take().unwrap()).collect();
        assert_eq!(take().unwrap_err(), OperationError::TooMany);
        assert_eq!(take().unwrap_err(), OperationError::TooMany, "a refusal takes no place");
        places.pop();
        places.push(take().unwrap());
        places.clear();
        running.stopping.cancel();
        assert_eq!(take().unwrap_err(), OperationError::Draining);
    }
}
