//! The work of an operation: find jobs, change them portion by portion, and write how far it is.

use super::{matching, progress::Progress, rows};
use crate::{
    domain::{Id, JobStatus, backoff::AWAY_PAUSE},
    store::{
        desk::{
            by_hand::{self, JobAction},
            jobs::{Hits, Search},
        },
        engine::{Database, StoreError},
        fleet::notices::Notices,
    },
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The most jobs in one transaction.
const PORTION_MAX: usize = 500;
/// The longest pause between two portions. A pause is as long as the portion before it took: so
/// others get at least half of the time, and the more they need, the longer a portion takes.
const PAUSE_MAX: Duration = Duration::from_millis(250);
/// How many times in a row the database may be too busy for one step.
const BUSY_MAX: u32 = 20;
/// How many times in a row the database may be too busy for a portion before it is halved.
const BUSY_AS_WHOLE_MAX: u32 = 2;
/// What an operator reads about an operation that ended with its daemon.
const DAEMON_STOPPED: &str = "its daemon was stopped: start it again for the rest";

/// The number of jobs, by kind.
pub type ByKind = BTreeMap<String, u64>;

/// The work of one operation.
pub(super) struct OperationTask {
    db: Database,
    notices: Notices,
    id: Id,
    action: JobAction,
    /// The statuses that the filter allows.
    statuses: Vec<JobStatus>,
    search: Arc<Search>,
    /// All ids are below this one.
    below: Id,
    /// As it was written last.
    progress: Progress,
    /// Cancelled when the daemon stops.
    stopping: CancellationToken,
    on_changed: Box<dyn Fn(&ByKind) + Send + Sync>,
}

/// Why the work of an operation is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WorkEnd {
    /// All jobs are decided.
    Done,
    /// Somebody asked for it.
    Stopped,
    /// The daemon is stopping.
    Drained,
    /// The row does not belong to this task any more: other nodes took this one for dead.
    Disowned,
}

/// A span of ids in which jobs were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct IdSpan {
    /// The smallest id.
    from: Id,
    /// The ids are below this one.
    before: Id,
}

/// What a portion's transaction wrote.
enum PortionOutcome {
    Portion {
        progress: Progress,
        by_kind: ByKind,
        is_stopping: bool,
    },
    /// Nothing: the row does not belong to this task any more.
    Nothing,
}

/// The reaction to a step that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AfterFailure {
    /// Try each half of the portion.
    Halve,
    /// Leave the only job of the portion as it is.
    Skip,
    /// Wait, and try again.
    Wait,
    /// End the operation.
    GiveUp,
}

impl AfterFailure {
    /// `count` is the number of jobs in the portion; `busy` is how many times in a row the database
    /// was too busy, this time included.
    const fn of(error: &StoreError, count: usize, busy: u32) -> Self {
        match error {
            StoreError::Conflict(_) | StoreError::Constraint(_) | StoreError::Data(_) => {
                if count > 1 { Self::Halve } else { Self::Skip }
            }
            StoreError::Busy(_) if busy > BUSY_MAX => Self::GiveUp,
            StoreError::Busy(_) if busy > BUSY_AS_WHOLE_MAX && count > 1 => Self::Halve,
            StoreError::Busy(_)
            | StoreError::Full(_)
            | StoreError::Disconnected(_)
            | StoreError::Unreachable(_)
            | StoreError::ReadOnly(_) => Self::Wait,
            StoreError::Unusable(_) | StoreError::Broken(_) => Self::GiveUp,
        }
    }
}

impl OperationTask {
    #[expect(clippy::too_many_arguments, reason = "each part of the task is given once")]
    pub(super) fn new(
        db: Database,
        notices: Notices,
        id: Id,
        (action, statuses): (JobAction, Vec<JobStatus>),
        (search, below): (Arc<Search>, Id),
        total: u64,
        stopping: CancellationToken,
        on_changed: Box<dyn Fn(&ByKind) + Send + Sync>,
    ) -> Self {
        let progress = Progress::of(total);
        Self { db, notices, id, action, statuses, search, below, progress, stopping, on_changed }
    }

    /// Does the work, and ends the row. Must run on the store runtime.
    pub(super) async fn run(self) {
        let (db, id, action, stopping) =
            (self.db.clone(), self.id, self.action.as_str(), self.stopping.clone());
        tracing::info!(operation.id = id, action, "an operation has started");
        // A panic ends the work, and must not leave a row that seems to run.
        let ended = db.on_runtime(async move { Box::pin(self.work()).await }).await;
        let (status, error) = match ended {
            Ok(WorkEnd::Done) => ("done", None),
            Ok(WorkEnd::Stopped) => ("stopped", None),
            Ok(WorkEnd::Drained) => ("stopped", Some(DAEMON_STOPPED.to_owned())),
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

    /// Changes all jobs. Cancels the newest first, so that a job behind a head goes before the
    /// head. Retries the oldest first, so that jobs of a lead enter its line in the order of
    /// arrival.
    async fn work(mut self) -> Result<WorkEnd, StoreError> {
        let spans = match self.action {
            JobAction::Cancel => vec![IdSpan { from: 0, before: self.below }],
            JobAction::Retry => match self.spans().await? {
                Ok(spans) => spans,
                Err(end) => return Ok(end),
            },
        };
        for span in spans {
            if let Some(end) = self.change_span(span).await? {
                return Ok(end);
            }
        }
        let complete = self.progress.complete();
        Ok(self.write(complete).await?.unwrap_or(WorkEnd::Done))
    }

    /// The spans of ids in which there are jobs, the oldest first: one for each read, so that the
    /// ids themselves need not be kept. Notes the number of the jobs.
    async fn spans(&mut self) -> Result<Result<Vec<IdSpan>, WorkEnd>, StoreError> {
        let (mut spans, mut total, mut before) = (Vec::new(), 0_u64, self.below);
        loop {
            let hits = match self.find(before).await? {
                Ok(hits) => hits,
                Err(end) => return Ok(Err(end)),
            };
            total += u64::try_from(hits.ids.len()).unwrap_or(u64::MAX);
            if !hits.ids.is_empty() {
                spans.push(IdSpan { from: hits.next.unwrap_or(0), before });
            }
            let Some(next) = hits.next else { break };
            before = next;
            let found = self.progress.of_total(total.max(self.progress.total));
            if let Some(end) = self.write(found).await? {
                return Ok(Err(end));
            }
        }
        self.progress = self.progress.of_total(total);
        spans.reverse();
        Ok(Ok(spans))
    }

    /// Changes the jobs of a span. `Some`: the work is over.
    async fn change_span(&mut self, span: IdSpan) -> Result<Option<WorkEnd>, StoreError> {
        let mut before = span.before;
        loop {
            let mut hits = match self.find(before).await? {
                Ok(hits) => hits,
                Err(end) => return Ok(Some(end)),
            };
            hits.ids.retain(|id| *id >= span.from);
            if self.action == JobAction::Retry {
                hits.ids.reverse();
            }
            if hits.ids.is_empty()
                && let Some(end) = self.write(self.progress.clone()).await?
            {
                return Ok(Some(end));
            }
            for ids in hits.ids.chunks(PORTION_MAX) {
                if let Some(end) = self.change(ids).await? {
                    return Ok(Some(end));
                }
            }
            match hits.next {
                Some(next) if next > span.from => before = next,
                Some(_) | None => return Ok(None),
            }
        }
    }

    /// Changes the jobs of a portion, if need be by halves. `Some`: the work is over.
    async fn change(&mut self, ids: &[Id]) -> Result<Option<WorkEnd>, StoreError> {
        let (mut rest, mut busy) = (vec![ids.to_vec()], 0);
        while let Some(ids) = rest.pop() {
            if self.stopping.is_cancelled() {
                return Ok(Some(WorkEnd::Drained));
            }
            let began = Instant::now();
            let end = match self.try_to_change(&ids).await {
                Ok(written) => {
                    busy = 0;
                    self.note(written)
                }
                Err(error) => {
                    busy = if matches!(error, StoreError::Busy(_)) { busy + 1 } else { 0 };
                    tracing::debug!(operation.id = self.id, %error, "a portion of an operation failed");
                    match AfterFailure::of(&error, ids.len(), busy) {
                        AfterFailure::Halve => {
                            let (first, second) = ids.split_at(ids.len() / 2);
                            rest.extend([second.to_vec(), first.to_vec()]);
                            None
                        }
                        AfterFailure::Skip => self.write(self.progress.without_one()).await?,
                        AfterFailure::Wait => match self.wait_for_database().await? {
                            Ok(true) => None,
                            Ok(false) => {
                                rest.push(ids);
                                None
                            }
                            Err(end) => Some(end),
                        },
                        AfterFailure::GiveUp => return Err(error),
                    }
                }
            };
            if end.is_some() {
                return Ok(end);
            }
            self.pause(began.elapsed().min(PAUSE_MAX)).await;
        }
        Ok(None)
    }

    /// Changes these jobs and writes the counts, in one transaction.
    async fn try_to_change(&self, ids: &[Id]) -> Result<PortionOutcome, StoreError> {
        let (ids, statuses, action, id) =
            (ids.to_vec(), self.statuses.clone(), self.action, self.id);
        let progress = self.progress.clone();
        let change = |db: Database| async move {
            db.write("by_hand", async |tx| {
                let group = by_hand::change_group(&db, &tx, action, &ids, &statuses).await?;
                let progress = progress.after(action, &ids, &group);
                let Some(is_stopping) = rows::write_progress(&tx, db.node(), id, &progress).await?
                else {
                    return Ok(tx.roll_back(PortionOutcome::Nothing));
                };
                // The counts of the overview are written last: all transactions need their rows.
                group.counts.write(&tx, db.node()).await?;
                let mut by_kind = ByKind::new();
                for kind in group.moved.into_values() {
                    *by_kind.entry(kind).or_default() += 1;
                }
                tx.commit(PortionOutcome::Portion { progress, by_kind, is_stopping }).await
            })
            .await
        };
        self.db.call(change).await
    }

    /// Notes what a transaction has written. `Some`: the work is over.
    fn note(&mut self, written: PortionOutcome) -> Option<WorkEnd> {
        let PortionOutcome::Portion { progress, by_kind, is_stopping } = written else {
            return Some(WorkEnd::Disowned);
        };
        self.progress = progress;
        if !by_kind.is_empty() {
            (self.on_changed)(&by_kind);
            if self.action == JobAction::Retry {
                self.notices.announce();
            }
        }
        is_stopping.then_some(WorkEnd::Stopped)
    }

    /// The next jobs before `before`. Waits while the database is away. `Err`: the work is over.
    async fn find(&mut self, before: Id) -> Result<Result<Hits, WorkEnd>, StoreError> {
        let mut busy = 0;
        loop {
            if self.stopping.is_cancelled() {
                return Ok(Err(WorkEnd::Drained));
            }
            let error = match matching::find(&self.db, &self.search, before).await {
                Ok(hits) => return Ok(Ok(hits)),
                Err(error) => error,
            };
            busy = if matches!(error, StoreError::Busy(_)) { busy + 1 } else { 0 };
            if !error.comes_back() || busy > BUSY_MAX {
                return Err(error);
            }
            self.pause(AWAY_PAUSE).await;
        }
    }

    /// Writes these counts. Waits while the database is away. `Some`: the work is over.
    async fn write(&mut self, progress: Progress) -> Result<Option<WorkEnd>, StoreError> {
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
            busy = if matches!(error, StoreError::Busy(_)) { busy + 1 } else { 0 };
            if !error.comes_back() || busy > BUSY_MAX {
                return Err(error);
            }
            if self.stopping.is_cancelled() {
                return Ok(Some(WorkEnd::Drained));
            }
            self.pause(AWAY_PAUSE).await;
        }
    }

    /// Waits until the database answers. True if the portion was committed before the connection
    /// was lost: then its counts are in the row. `Err`: the work is over.
    async fn wait_for_database(&mut self) -> Result<Result<bool, WorkEnd>, StoreError> {
        loop {
            self.pause(AWAY_PAUSE).await;
            if self.stopping.is_cancelled() {
                return Ok(Err(WorkEnd::Drained));
            }
            let id = self.id;
            match self.db.call(|db| async move { rows::one(db.api(), id).await }).await {
                Ok(Some(row)) => {
                    let stored = rows::progress_of(&row);
                    let was_committed = stored.decided() > self.progress.decided();
                    if was_committed {
                        self.progress = stored;
                    }
                    return Ok(Ok(was_committed));
                }
                Ok(None) => return Ok(Err(WorkEnd::Disowned)),
                Err(error) if error.comes_back() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits, but not for a daemon that stops.
    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.stopping.cancelled() => {}
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portion_that_fails_is_halved_or_waits_and_a_single_job_is_skipped() {
        let text = || "x".to_owned();
        for (error, of_many, of_one) in [
            (StoreError::Conflict(text()), AfterFailure::Halve, AfterFailure::Skip),
            (StoreError::Constraint(text()), AfterFailure::Halve, AfterFailure::Skip),
            (StoreError::Data(text()), AfterFailure::Halve, AfterFailure::Skip),
            (StoreError::Busy(text()), AfterFailure::Wait, AfterFailure::Wait),
            (StoreError::Full(text()), AfterFailure::Wait, AfterFailure::Wait),
            (StoreError::Disconnected(text()), AfterFailure::Wait, AfterFailure::Wait),
            (StoreError::Unreachable(text()), AfterFailure::Wait, AfterFailure::Wait),
            (StoreError::ReadOnly(text()), AfterFailure::Wait, AfterFailure::Wait),
            (StoreError::Unusable(text()), AfterFailure::GiveUp, AfterFailure::GiveUp),
            (StoreError::Broken(text()), AfterFailure::GiveUp, AfterFailure::GiveUp),
        ] {
            assert_eq!(AfterFailure::of(&error, 2, 1), of_many, "{error:?}");
            assert_eq!(AfterFailure::of(&error, 1, 1), of_one, "{error:?}");
        }
        let busy = StoreError::Busy(text());
        assert_eq!(AfterFailure::of(&busy, 500, BUSY_AS_WHOLE_MAX + 1), AfterFailure::Halve);
        assert_eq!(AfterFailure::of(&busy, 1, BUSY_MAX), AfterFailure::Wait);
        assert_eq!(AfterFailure::of(&busy, 500, BUSY_MAX + 1), AfterFailure::GiveUp);
    }
}
