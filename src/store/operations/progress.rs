//! How far an operation is: what it has changed, and what it has left as it was.

use crate::domain::{Id, JobStatus};
use crate::store::desk::by_hand::{ChangedGroup, JobAction};
use std::collections::BTreeMap;

/// The reason for a job that has ended and cannot be cancelled any more.
const ENDED: &str = "already ended";
/// The reason for a job that runs, although the filter or the action asks for another status.
const RUNS: &str = "is running";
/// The reason for any other job that did not match any more.
pub(super) const CHANGED: &str = "changed meanwhile";

/// The counts of an operation, on jobs or on held webhooks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperationProgress {
    /// How many match, as far as is known; never less than those that were decided.
    pub(super) total: u64,
    /// How many it has changed.
    pub(super) done: u64,
    /// How many it has left as they were, by reason.
    pub(super) reasons: BTreeMap<String, u64>,
}

impl OperationProgress {
    /// Of an operation on `total` things that has not begun.
    pub const fn of(total: u64) -> Self {
        Self { total, done: 0, reasons: BTreeMap::new() }
    }

    /// How many were left as they were.
    pub fn skipped(&self) -> u64 {
        self.reasons.values().sum()
    }

    /// How many were decided, one way or the other.
    pub fn decided(&self) -> u64 {
        self.done + self.skipped()
    }

    /// The counts after `group`, which was to change `ids`.
    #[must_use]
    pub(super) fn after(&self, action: JobAction, ids: &[Id], group: &ChangedGroup) -> Self {
        let mut next = self.clone();
        for id in ids {
            if group.moved.contains_key(id) {
                next.done += 1;
            } else {
                next.skip(reason(action, group.others.get(id).copied()), 1);
            }
        }
        next.at_least_decided()
    }

    /// The counts after one more was changed.
    #[must_use]
    pub fn with_one_done(&self) -> Self {
        Self { done: self.done + 1, ..self.clone() }.at_least_decided()
    }

    /// The counts after `count` more were left as they were, for this reason.
    #[must_use]
    pub fn skipping(&self, reason: &str, count: u64) -> Self {
        let mut next = self.clone();
        next.skip(reason, count);
        next.at_least_decided()
    }

    /// The counts when `total` jobs were found.
    #[must_use]
    pub(super) fn of_total(&self, total: u64) -> Self {
        Self { total, ..self.clone() }.at_least_decided()
    }

    /// The counts at the end of all work: what matched at the start and was not found again was
    /// left as it was for this reason.
    #[must_use]
    pub fn complete(&self, reason: &str) -> Self {
        self.skipping(reason, self.total.saturating_sub(self.decided()))
    }

    fn skip(&mut self, reason: &str, count: u64) {
        if count > 0 {
            *self.reasons.entry(reason.to_owned()).or_default() += count;
        }
    }

    /// There may be more jobs than were counted at the start.
    fn at_least_decided(self) -> Self {
        Self { total: self.total.max(self.decided()), ..self }
    }
}

/// Why a job with this status was left as it was; `None` if it does not exist any more.
fn reason(action: JobAction, status: Option<JobStatus>) -> &'static str {
    use JobStatus::{Cancelled, Failed, Pending, Running, Succeeded};
    match (action, status) {
        (_, Some(Running)) => RUNS,
        (JobAction::Cancel, Some(Succeeded | Failed | Cancelled)) => ENDED,
        (JobAction::Retry, Some(Succeeded | Failed | Cancelled)) | (_, Some(Pending) | None) => {
            CHANGED
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reasons(progress: &OperationProgress) -> Vec<(&str, u64)> {
        progress.reasons.iter().map(|(reason, count)| (reason.as_str(), *count)).collect()
    }

    #[test]
    fn each_job_is_done_or_skipped_for_a_reason() {
        let group = ChangedGroup {
            moved: [(1, "SELF_CHECK".to_owned()), (2, "SELF_CHECK".to_owned())].into(),
            others: [(3, JobStatus::Running), (4, JobStatus::Failed), (5, JobStatus::Pending)]
                .into(),
            ..ChangedGroup::default()
        };
        let cancelled =
            OperationProgress::of(10).after(JobAction::Cancel, &[1, 2, 3, 4, 5, 6], &group);
        assert_eq!((cancelled.total, cancelled.done, cancelled.skipped()), (10, 2, 4));
        let expected = [("already ended", 1), ("changed meanwhile", 2), ("is running", 1)];
        assert_eq!(reasons(&cancelled), expected);
        let retried =
            OperationProgress::of(10).after(JobAction::Retry, &[1, 2, 3, 4, 5, 6], &group);
        assert_eq!(reasons(&retried), [("changed meanwhile", 3), ("is running", 1)]);
    }

    #[test]
    fn what_matched_at_the_start_is_accounted_for_at_the_end() {
        let group = ChangedGroup::default();
        let three = OperationProgress::of(10)
            .after(JobAction::Cancel, &[1, 2, 3], &group)
            .complete(CHANGED);
        assert_eq!((three.total, three.done, three.skipped()), (10, 0, 10));
        let more =
            OperationProgress::of(2).after(JobAction::Cancel, &[1, 2, 3], &group).complete(CHANGED);
        assert_eq!((more.total, more.skipped()), (3, 3));
        assert_eq!(OperationProgress::of(2).of_total(7).total, 7);
        assert_eq!(more.of_total(1).total, 3, "more were decided already");
        assert_eq!(OperationProgress::of(0).complete(CHANGED), OperationProgress::of(0));
        assert_eq!(
            reasons(&OperationProgress::of(1).skipping(CHANGED, 1)),
            [("changed meanwhile", 1)]
        );
    }

    #[test]
    fn what_is_decided_one_by_one_adds_up() {
        let some = OperationProgress::of(3).with_one_done().skipping("settled meanwhile", 1);
        assert_eq!((some.total, some.done, some.decided()), (3, 1, 2));
        let all = some.complete("settled meanwhile");
        assert_eq!((reasons(&all), all.decided()), (vec![("settled meanwhile", 2)], 3));
        let more = all.with_one_done();
        assert_eq!((more.total, more.decided()), (4, 4), "there were more than were counted");
    }

    proptest! {
        #[test]
        fn the_numbers_add_up_whatever_the_portions(
            total in 0_u64..50,
            portions in prop::collection::vec(prop::collection::vec((0..4_u8, 1..9_i64), 0..9), 0..9),
        ) {
            let mut progress = OperationProgress::of(total);
            let mut decided = 0;
            for portion in &portions {
                let ids: Vec<Id> = (0..).zip(portion).map(|(id, _)| id).collect();
                let mut group = ChangedGroup::default();
                for (id, (fate, _)) in (0..).zip(portion) {
                    match fate {
                        0 => drop(group.moved.insert(id, "K".to_owned())),
                        1 => drop(group.others.insert(id, JobStatus::Running)),
                        2 => drop(group.others.insert(id, JobStatus::Succeeded)),
                        _ => {}
                    }
                }
                progress = progress.after(JobAction::Cancel, &ids, &group);
                decided += ids.len() as u64;
                prop_assert_eq!(progress.decided(), decided);
                prop_assert!(progress.total >= decided);
            }
            let complete = progress.complete(CHANGED);
            prop_assert_eq!(complete.decided(), complete.total);
            prop_assert_eq!(complete.total, total.max(decided));
        }
    }
}
