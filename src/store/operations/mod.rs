//! Operations: one action on all jobs, or on all held webhooks, that match a filter.
//!
//! A request counts what matches and starts the operation; the work is done by a task of the daemon
//! that took it, in portions. The row is the only link between the task and those who watch it: any
//! node shows it and can ask it to stop.
//!
//! - `rows`: the table.
//! - `places`: how many run in this process, and how they stop with it.
//! - `run`: what the work of each operation has in common: its counts, its stop and its end.
//! - `matching`: what is counted before.
//! - `jobs_task`: the work on jobs, in portions of 500. Each portion is a transaction of its own
//!   that also writes the counts, so the counts are true whatever happens to the daemon.
//!
//! The work on held webhooks is not the store's: it needs what interprets them
//! ([`Operations::start_work`]).

mod action;
mod jobs_task;
mod matching;
mod places;
mod progress;
mod rows;
mod run;

pub use self::{
    action::{OperationAction, QuarantineAction},
    jobs_task::ByKind,
    matching::{MatchingItems, MatchingJobs},
    progress::OperationProgress,
    rows::{OperationFilter, OperationRow},
    run::{OperationRun, WorkEnd},
};
pub(in crate::store) use self::{places::RunningOperations, rows::fail_abandoned};

use self::{
    jobs_task::JobsTask,
    places::{AT_ONCE_MAX, PlaceOfOperation},
};
use super::desk::{JobFilter, Page, QuarantineFilter, by_hand::JobAction, jobs::Search};
use crate::{
    domain::Id,
    store::{
        engine::{Database, StoreError},
        fleet::notices::Notices,
    },
};
use std::{future::Future, sync::Arc};
use thiserror::Error;
use tokio::task::JoinHandle;

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

/// The handle for operations.
#[derive(Clone, Debug)]
pub struct Operations {
    pub(super) db: Database,
    pub(super) notices: Notices,
    pub(super) running: Arc<RunningOperations>,
}

/// An operation that is to be started.
#[derive(Clone, Debug)]
pub struct NewOperation {
    /// What it does.
    pub action: OperationAction,
    /// How many things were counted.
    pub total: u64,
    /// The filter as the operator gave it, as JSON.
    pub filter: String,
    /// The name of the operator.
    pub by: String,
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
        let Some(narrowed) = matching.filter.clone() else {
            return Err(StoreError::Broken("no job can match that filter".to_owned()).into());
        };
        let place = PlaceOfOperation::take(&self.running)?;
        let (action, below, total) = (matching.action, matching.below, matching.count);
        let statuses = narrowed.statuses();
        let search = self.db.call(|db| async move { Search::of(db.api(), narrowed).await }).await?;
        let (search, notices) = (Arc::new(search), self.notices.clone());
        let plan = NewOperation { action: OperationAction::Jobs(action), total, filter, by };
        let work = move |run| {
            let on_changed = Box::new(on_changed);
            JobsTask { run, notices, action, statuses, search, below, on_changed }.work()
        };
        Ok(self.start_in(place, plan, work).await?)
    }

    /// Counts the held items that match, whatever status the filter names, and shows the newest of
    /// them. The count takes at most some seconds; then it is a lower bound.
    ///
    /// # Errors
    /// If the database is unreachable or busy.
    pub async fn matching_items(
        &self,
        filter: QuarantineFilter,
    ) -> Result<MatchingItems, StoreError> {
        let below = self.db.next_id();
        MatchingItems::count(&self.db, filter, below).await
    }

    /// The next items behind the id `after` that were counted and are held, the oldest first. Items
    /// that were stored after the count are not found.
    ///
    /// # Errors
    /// If the database is unreachable or busy.
    pub async fn items_behind(
        &self,
        matching: &MatchingItems,
        after: Id,
    ) -> Result<Page<Id>, StoreError> {
        matching.behind(&self.db, after).await
    }

    /// Starts an operation whose work is done by `work`. It runs on the store runtime, and its row
    /// is ended when `work` has.
    ///
    /// # Errors
    /// If too many operations run on this node, if the daemon is stopping, or if the database is
    /// unreachable.
    pub async fn start_work<W>(
        &self,
        plan: NewOperation,
        work: impl FnOnce(OperationRun) -> W + Send + 'static,
    ) -> Result<StartedOperation, OperationError>
    where
        W: Future<Output = Result<WorkEnd, StoreError>> + Send + 'static,
    {
        let place = PlaceOfOperation::take(&self.running)?;
        Ok(self.start_in(place, plan, work).await?)
    }

    /// Stores the row of an operation that has a place, and starts its work.
    async fn start_in<W>(
        &self,
        place: PlaceOfOperation,
        plan: NewOperation,
        work: impl FnOnce(OperationRun) -> W + Send + 'static,
    ) -> Result<StartedOperation, StoreError>
    where
        W: Future<Output = Result<WorkEnd, StoreError>> + Send + 'static,
    {
        let (db, running) = (self.db.clone(), self.running.clone());
        // The row and its task are made together, even if the caller is dropped meanwhile.
        let started = self.db.on_runtime(async move {
            let NewOperation { action, total, filter, by } = plan;
            let (id, stopping) = (db.next_id(), running.stopping.clone());
            let put =
                async move |db: Database| rows::put(&db, id, action, &filter, total, &by).await;
            if let Err(error) = db.call(put).await {
                if error.comes_back() {
                    // The row may be there all the same, and nobody works on it.
                    running.tasks.spawn(async move {
                        let why = Some(NOT_STARTED.to_owned());
                        run::end(&db, id, "failed", why, &stopping).await;
                        drop(place);
                    });
                }
                return Err(error);
            }
            let run = OperationRun::new(db, id, action, total, stopping);
            let task = async move {
                run.carry_out(work).await;
                drop(place);
            };
            Ok(StartedOperation { id, task: running.tasks.spawn(task) })
        });
        started.await
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
