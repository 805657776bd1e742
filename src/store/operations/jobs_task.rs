//! The work of an operation on jobs: find jobs, change them portion by portion, and write how far
//! it is.

use super::{
    matching,
    progress::{CHANGED, OperationProgress},
    rows,
    run::{OperationRun, WorkEnd},
};
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
use std::{collections::BTreeMap, sync::Arc};
use tokio::time::Instant;

/// The most jobs in one transaction.
const PORTION_MAX: usize = 500;
/// How many times in a row the database may be too busy for a portion before it is halved.
const BUSY_AS_WHOLE_MAX: u32 = 2;

/// The number of jobs, by kind.
pub type ByKind = BTreeMap<String, u64>;

/// The work of one operation on jobs.
pub(super) struct JobsTask {
    pub(super) run: OperationRun,
    pub(super) notices: Notices,
    pub(super) action: JobAction,
    /// The statuses that the filter allows.
    pub(super) statuses: Vec<JobStatus>,
    pub(super) search: Arc<Search>,
    /// All ids are below this one.
    pub(super) below: Id,
    pub(super) on_changed: Box<dyn Fn(&ByKind) + Send + Sync>,
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
        progress: OperationProgress,
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
            StoreError::Busy(_) if busy > OperationRun::BUSY_MAX => Self::GiveUp,
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

impl JobsTask {
    /// Changes all jobs. Cancels the newest first, so that a job behind a head goes before the
    /// head. Retries the oldest first, so that jobs of a lead enter its line in the order of
    /// arrival.
    pub(super) async fn work(mut self) -> Result<WorkEnd, StoreError> {
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
        let complete = self.run.progress.complete(CHANGED);
        Ok(self.run.write(complete).await?.unwrap_or(WorkEnd::Done))
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
            let found = self.run.progress.of_total(total.max(self.run.progress.total));
            if let Some(end) = self.run.write(found).await? {
                return Ok(Err(end));
            }
        }
        self.run.progress = self.run.progress.of_total(total);
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
                && let Some(end) = self.run.write(self.run.progress.clone()).await?
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
            if self.run.is_draining() {
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
                    tracing::debug!(operation.id = self.run.id, %error, "a portion of an operation failed");
                    match AfterFailure::of(&error, ids.len(), busy) {
                        AfterFailure::Halve => {
                            let (first, second) = ids.split_at(ids.len() / 2);
                            rest.extend([second.to_vec(), first.to_vec()]);
                            None
                        }
                        AfterFailure::Skip => {
                            self.run.write(self.run.progress.skipping(CHANGED, 1)).await?
                        }
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
            self.run.pause_after(began.elapsed()).await;
        }
        Ok(None)
    }

    /// Changes these jobs and writes the counts, in one transaction.
    async fn try_to_change(&self, ids: &[Id]) -> Result<PortionOutcome, StoreError> {
        let (ids, statuses, action, id) =
            (ids.to_vec(), self.statuses.clone(), self.action, self.run.id);
        let progress = self.run.progress.clone();
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
        self.run.db.call(change).await
    }

    /// Notes what a transaction has written. `Some`: the work is over.
    fn note(&mut self, written: PortionOutcome) -> Option<WorkEnd> {
        let PortionOutcome::Portion { progress, by_kind, is_stopping } = written else {
            return Some(WorkEnd::Disowned);
        };
        self.run.progress = progress;
        if !by_kind.is_empty() {
            (self.on_changed)(&by_kind);
            if self.action == JobAction::Retry {
                self.notices.announce();
            }
        }
        is_stopping.then_some(WorkEnd::Stopped)
    }

    /// The next jobs before `before`. Waits while the database is away. `Err`: the work is over.
    async fn find(&self, before: Id) -> Result<Result<Hits, WorkEnd>, StoreError> {
        let (db, search) = (&self.run.db, &self.search);
        self.run.read(|| matching::find(db, search, before)).await
    }

    /// Waits until the database answers. True if the portion was committed before the connection
    /// was lost: then its counts are in the row. `Err`: the work is over.
    async fn wait_for_database(&mut self) -> Result<Result<bool, WorkEnd>, StoreError> {
        loop {
            self.run.pause(AWAY_PAUSE).await;
            if self.run.is_draining() {
                return Ok(Err(WorkEnd::Drained));
            }
            let id = self.run.id;
            match self.run.db.call(|db| async move { rows::one(db.api(), id).await }).await {
                Ok(Some(row)) => {
                    let stored = rows::progress_of(&row);
                    let was_committed = stored.decided() > self.run.progress.decided();
                    if was_committed {
                        self.run.progress = stored;
                    }
                    return Ok(Ok(was_committed));
                }
                Ok(None) => return Ok(Err(WorkEnd::Disowned)),
                Err(error) if error.comes_back() => {}
                Err(error) => return Err(error),
            }
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
        assert_eq!(AfterFailure::of(&busy, 1, OperationRun::BUSY_MAX), AfterFailure::Wait);
        assert_eq!(AfterFailure::of(&busy, 500, OperationRun::BUSY_MAX + 1), AfterFailure::GiveUp);
    }
}
