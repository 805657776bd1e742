//! The work of an operation on held items: one after the other, the oldest first, as a person would
//! replay or discard each of them.

use super::one::{ItemError, discard_by, replay_by, started};
use crate::{
    domain::{Id, backoff::AWAY_PAUSE},
    http::{State, api::ApiState, operator::Operator},
    ingest::{Answer, Refusal, ReplayError},
    store::{
        MatchingItems, OperationProgress, OperationRun, Page, QuarantineAction, StoreError, WorkEnd,
    },
    telemetry::traces::Traces,
};
use actix_web::web;
use tokio::{runtime::Handle, time::Instant};

/// How many items are decided between two writes of the counts. After each portion others get at
/// least as much time.
const PORTION_MAX: u64 = 10;

/// The reason for an item that is kept for a person again.
const NOT_UNDERSTOOD: &str = "still not understood";
/// The reason for one that somebody else has replayed or discarded.
const SETTLED: &str = "settled meanwhile";
/// The reason for one that was deleted.
const DELETED: &str = "deleted meanwhile";
/// The reason for one whose channel this version does not have.
const NO_CHANNEL: &str = "its channel is gone";
/// The reason for one whose client is not configured.
const NO_CLIENT: &str = "its client is gone";
/// The reason for one whose body is no JSON.
const UNREADABLE: &str = "cannot be read";
/// The reason for one that would have to be kept again, and for which there is no room.
const NO_ROOM: &str = "its client's quarantine is full";
/// The reason for one that ingest refuses for good.
const REFUSED: &str = "refused";
/// The reason for one whose data the database refuses.
const NOT_STORABLE: &str = "refused by the database";

/// What became of one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DecidedItem {
    /// It was replayed or discarded.
    Done,
    /// It is as it was, for this reason.
    Skipped(&'static str),
}

/// The reaction to an item that was not decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AfterError {
    /// Leave it as it is, for this reason.
    Skip(&'static str),
    /// Wait, and try it again.
    Wait,
    /// End the operation: the daemon is stopping.
    Drain,
    /// End the operation: it cannot go on.
    GiveUp,
}

impl DecidedItem {
    /// What the answer to a replay says.
    const fn of(answer: &Answer) -> Self {
        match answer {
            Answer::Quarantined { .. } | Answer::QuarantineFull => Self::Skipped(NOT_UNDERSTOOD),
            Answer::Accepted { .. }
            | Answer::Duplicate { .. }
            | Answer::Recorded { .. }
            | Answer::Ignored { .. } => Self::Done,
        }
    }

    /// The counts with this one.
    fn counted(self, progress: &OperationProgress) -> OperationProgress {
        match self {
            Self::Done => progress.with_one_done(),
            Self::Skipped(reason) => progress.skipping(reason, 1),
        }
    }
}

impl AfterError {
    /// `busy` is how many times in a row there was no room for the item, this time included.
    const fn of(error: &ItemError, busy: u32) -> Self {
        match error {
            ItemError::Gone(_) => Self::Skip(DELETED),
            ItemError::Settled(_) => Self::Skip(SETTLED),
            ItemError::NoChannel(_) => Self::Skip(NO_CHANNEL),
            ItemError::NoClient(_) => Self::Skip(NO_CLIENT),
            ItemError::NoTurn(_) => Self::of_busy(busy),
            ItemError::NotTaken(ReplayError::Unreadable(_)) => Self::Skip(UNREADABLE),
            ItemError::NotTaken(ReplayError::Refused(refusal)) => match refusal {
                Refusal::Full | Refusal::Slow => Self::of_busy(busy),
                Refusal::QuarantineFull => Self::Skip(NO_ROOM),
                Refusal::Untimely => Self::Skip(REFUSED),
                Refusal::Draining => Self::Drain,
                Refusal::Away(error) => Self::of_store(error, busy),
            },
            ItemError::NotTaken(ReplayError::NotSettled(error)) | ItemError::Store(error) => {
                Self::of_store(error, busy)
            }
        }
    }

    const fn of_store(error: &StoreError, busy: u32) -> Self {
        match error {
            StoreError::Conflict(_) | StoreError::Constraint(_) | StoreError::Data(_) => {
                Self::Skip(NOT_STORABLE)
            }
            StoreError::Busy(_) => Self::of_busy(busy),
            StoreError::Full(_)
            | StoreError::Disconnected(_)
            | StoreError::Unreachable(_)
            | StoreError::ReadOnly(_) => Self::Wait,
            StoreError::Unusable(_) | StoreError::Broken(_) => Self::GiveUp,
        }
    }

    const fn of_busy(busy: u32) -> Self {
        if busy > OperationRun::BUSY_MAX { Self::GiveUp } else { Self::Wait }
    }
}

/// True if the database is there, and there is only no room or no time for the item.
const fn is_busy(error: &ItemError) -> bool {
    matches!(
        error,
        ItemError::NoTurn(_)
            | ItemError::Store(StoreError::Busy(_))
            | ItemError::NotTaken(
                ReplayError::Refused(
                    Refusal::Full | Refusal::Slow | Refusal::Away(StoreError::Busy(_))
                ) | ReplayError::NotSettled(StoreError::Busy(_))
            )
    )
}

/// The work of one operation on held items.
pub(super) struct ItemsTask {
    pub(super) api: web::Data<ApiState>,
    pub(super) webhooks: State,
    pub(super) action: QuarantineAction,
    pub(super) matching: MatchingItems,
    /// Who has asked for it.
    pub(super) operator: Operator,
}

/// The work while it goes on.
struct ItemsRun {
    task: ItemsTask,
    run: OperationRun,
    /// The counts, with what was decided since they were written.
    progress: OperationProgress,
}

impl ItemsTask {
    /// Does the work on this runtime.
    ///
    /// # Errors
    /// If the database does not come back by itself.
    pub(super) async fn work_on(
        self,
        here: Handle,
        run: OperationRun,
    ) -> Result<WorkEnd, StoreError> {
        let progress = run.progress().clone();
        let work = ItemsRun { task: self, run, progress };
        match here.spawn(work.work()).await {
            Ok(end) => end,
            Err(error) if error.is_panic() => {
                Ok(WorkEnd::Failed("an item could not be handled".to_owned()))
            }
            // Its runtime ends before the store's.
            Err(_) => Ok(WorkEnd::Drained),
        }
    }
}

impl ItemsRun {
    /// Decides all items, and writes the counts, also those of a portion that has not ended.
    async fn work(mut self) -> Result<WorkEnd, StoreError> {
        let end = self.decide_all().await;
        let counts = match &end {
            Ok(WorkEnd::Done) => self.progress.complete(SETTLED),
            Ok(WorkEnd::Disowned) => return end,
            Ok(WorkEnd::Stopped | WorkEnd::Drained | WorkEnd::Failed(_)) | Err(_) => {
                self.progress.clone()
            }
        };
        match self.run.write(counts).await {
            Ok(Some(WorkEnd::Disowned)) => Ok(WorkEnd::Disowned),
            Err(error) if end == Ok(WorkEnd::Done) => Err(error),
            // It is done although somebody has asked for a stop, or the daemon is stopping.
            Ok(_) | Err(_) => end,
        }
    }

    /// Decides each item once. The oldest comes first, so that messages come in their order.
    async fn decide_all(&mut self) -> Result<WorkEnd, StoreError> {
        let (mut after, mut in_portion, mut began) = (0, 0, Instant::now());
        loop {
            let found = match self.find(after).await? {
                Ok(found) => found,
                Err(end) => return Ok(end),
            };
            for id in found.items {
                match self.decide(id).await? {
                    Ok(decided) => self.progress = decided.counted(&self.progress),
                    Err(end) => return Ok(end),
                }
                in_portion += 1;
                if in_portion == PORTION_MAX {
                    if let Some(end) = self.run.write(self.progress.clone()).await? {
                        return Ok(end);
                    }
                    self.run.pause_after(began.elapsed()).await;
                    (in_portion, began) = (0, Instant::now());
                }
            }
            match found.next {
                Some(next) => after = next,
                None => return Ok(WorkEnd::Done),
            }
        }
    }

    /// The next items behind `after`. Waits while the database is away. `Err`: the work is over.
    async fn find(&self, after: Id) -> Result<Result<Page<Id>, WorkEnd>, StoreError> {
        let (operations, matching) = (&self.task.api.operations, &self.task.matching);
        self.run.read(|| operations.items_behind(matching, after)).await
    }

    /// Replays or discards an item, and tries again while there is no room or the database is away.
    /// A stop is heard meanwhile. `Err`: the work is over.
    async fn decide(&mut self, id: Id) -> Result<Result<DecidedItem, WorkEnd>, StoreError> {
        let mut busy = 0;
        loop {
            if self.run.is_draining() {
                return Ok(Err(WorkEnd::Drained));
            }
            let error = match self.try_once(id).await {
                Ok(decided) => return Ok(Ok(decided)),
                Err(error) => error,
            };
            busy = if is_busy(&error) { busy + 1 } else { 0 };
            tracing::debug!(operation.id = self.run.id(), quarantine.id = id, %error, "an item was not decided");
            match AfterError::of(&error, busy) {
                AfterError::Skip(reason) => return Ok(Ok(DecidedItem::Skipped(reason))),
                AfterError::Drain => return Ok(Err(WorkEnd::Drained)),
                AfterError::GiveUp => return Ok(Err(WorkEnd::Failed(error.to_string()))),
                AfterError::Wait => {
                    drop(error);
                    self.run.pause(AWAY_PAUSE).await;
                    if let Some(end) = self.run.write(self.progress.clone()).await? {
                        return Ok(Err(end));
                    }
                }
            }
        }
    }

    async fn try_once(&self, id: Id) -> Result<DecidedItem, ItemError> {
        let ItemsTask { api, webhooks, action, operator, .. } = &self.task;
        match action {
            QuarantineAction::Replay => {
                // Spans of thousands would leave no room for others.
                let begin = |traces: &Traces| traces.sampled(started);
                Ok(DecidedItem::of(&replay_by(api, webhooks, id, operator, begin).await?))
            }
            QuarantineAction::Discard if discard_by(api, id, operator).await? => {
                Ok(DecidedItem::Done)
            }
            QuarantineAction::Discard => Ok(DecidedItem::Skipped(SETTLED)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::problem::Problem;

    const BUSY_MAX: u32 = OperationRun::BUSY_MAX;

    fn refused(refusal: Refusal) -> ItemError {
        ItemError::NotTaken(ReplayError::Refused(refusal))
    }

    #[test]
    fn an_item_that_was_not_decided_is_skipped_waits_or_ends_the_operation() {
        use AfterError::{Drain, GiveUp, Skip, Wait};
        let text = || "x".to_owned();
        let away = || StoreError::Unreachable(text());
        for (error, reaction) in [
            (ItemError::Gone(7), Skip("deleted meanwhile")),
            (ItemError::Settled("replayed".to_owned()), Skip("settled meanwhile")),
            (ItemError::NoChannel(text()), Skip("its channel is gone")),
            (ItemError::NoClient(text()), Skip("its client is gone")),
            (ItemError::NoTurn(Problem::conflict("x")), Wait),
            (refused(Refusal::Full), Wait),
            (refused(Refusal::Slow), Wait),
            (refused(Refusal::Away(away())), Wait),
            (refused(Refusal::Away(StoreError::Unusable(text()))), GiveUp),
            (refused(Refusal::QuarantineFull), Skip("its client's quarantine is full")),
            (refused(Refusal::Untimely), Skip("refused")),
            (refused(Refusal::Draining), Drain),
            (ItemError::NotTaken(ReplayError::NotSettled(away())), Wait),
            (ItemError::Store(away()), Wait),
            (ItemError::Store(StoreError::Full(text())), Wait),
            (ItemError::Store(StoreError::Data(text())), Skip("refused by the database")),
            (ItemError::Store(StoreError::Broken(text())), GiveUp),
        ] {
            assert_eq!(AfterError::of(&error, 1), reaction, "{error:?}");
        }
    }

    #[test]
    fn what_is_busy_for_too_long_ends_the_operation_and_an_outage_does_not() {
        let busy = || StoreError::Busy("x".to_owned());
        for error in [
            refused(Refusal::Full),
            refused(Refusal::Slow),
            refused(Refusal::Away(busy())),
            ItemError::Store(busy()),
            ItemError::NotTaken(ReplayError::NotSettled(busy())),
            ItemError::NoTurn(Problem::conflict("x")),
        ] {
            assert!(is_busy(&error), "{error:?}");
            assert_eq!(AfterError::of(&error, BUSY_MAX), AfterError::Wait, "{error:?}");
            assert_eq!(AfterError::of(&error, BUSY_MAX + 1), AfterError::GiveUp, "{error:?}");
        }
        let away = ItemError::Store(StoreError::Disconnected("x".to_owned()));
        assert!(!is_busy(&away));
        assert_eq!(AfterError::of(&away, 0), AfterError::Wait);
    }

    #[test]
    fn an_answer_says_whether_the_item_is_settled() {
        let held = Answer::Quarantined { quarantine_id: 7, reason: "unknown_event".to_owned() };
        let skipped = DecidedItem::Skipped("still not understood");
        let ignored = Answer::Ignored { reason: "other_account" };
        for (answer, decided) in [
            (held, skipped),
            (Answer::QuarantineFull, skipped),
            (ignored, DecidedItem::Done),
            (Answer::Accepted { message_id: 1, lead_id: 2, job_id: 3 }, DecidedItem::Done),
            (
                Answer::Duplicate { message_id: None, lead_id: None, job_id: None },
                DecidedItem::Done,
            ),
        ] {
            assert_eq!(DecidedItem::of(&answer), decided, "{answer:?}");
        }
        let counts = OperationProgress::of(3);
        let counts = DecidedItem::Done.counted(&skipped.counted(&counts));
        assert_eq!((counts.decided(), counts.skipped()), (2, 1));
    }
}
