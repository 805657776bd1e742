//! What handlers decided and nobody has committed yet.
//!
//! It outlives the recorder: a replacement goes on where the dead recorder stopped, and repeats
//! the group whose commit was under way. The fence of each outcome makes that safe: it refuses
//! what is committed already.

use super::{CommitNext, Record, Recorder};
use crate::{
    domain::job::FailureReason,
    store::{Settlement, StoreError, Transition},
    telemetry::traces::TraceSpan,
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::oneshot;

/// The most outcomes in one transaction.
const GROUP_MAX: usize = 1_000;
/// After this many recorders died while they committed an outcome, it is committed without its
/// effects.
const DEATHS_WITH_EFFECTS: u32 = 2;
/// After this many it is dropped, and the janitor finds its job as a lost run.
const DEATHS_MAX: u32 = 4;

/// The outcomes that wait for their commit. A clone shares them.
#[derive(Clone, Debug, Default)]
pub struct Uncommitted(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    outcomes: Mutex<Outcomes>,
    /// The recorder that lives now.
    recorder: arc_swap::ArcSwapOption<actix::Addr<Recorder>>,
}

#[derive(Debug)]
struct Outcomes {
    /// The most outcomes in the next group: fewer while the database is too busy for a large one.
    group_max: usize,
    /// In the order in which they are committed.
    waiting: VecDeque<UncommittedOutcome>,
    /// The group whose commit is under way, in its order.
    committing: Vec<UncommittedOutcome>,
    /// Each is told once everything is committed.
    flushes: Vec<oneshot::Sender<()>>,
    /// True from a wake-up of the recorder until it has found nothing to commit.
    is_awake: bool,
}

impl Default for Outcomes {
    fn default() -> Self {
        Self {
            group_max: GROUP_MAX,
            waiting: VecDeque::new(),
            committing: Vec::new(),
            flushes: Vec::new(),
            is_awake: false,
        }
    }
}

/// An outcome, and how many recorders died while they committed it.
#[derive(Debug)]
struct UncommittedOutcome {
    record: Record,
    deaths: u32,
}

impl UncommittedOutcome {
    /// From now on the outcome is a failed attempt, or the release that it was. Says why in
    /// `error`.
    fn drop_effects(&mut self, error: &str) {
        let (reason, error) = (FailureReason::Error, error.to_owned());
        self.record.settlement.transition = match &self.record.on_refused {
            Transition::Retry { after, .. } => Transition::Retry { after: *after, reason, error },
            Transition::Release => Transition::Release,
            Transition::Succeed(_)
            | Transition::Fail { .. }
            | Transition::Snooze { .. }
            | Transition::Postpone { .. }
            | Transition::Cancel { .. } => Transition::Fail { reason, error },
        };
        // What it says of a send cannot be stored either: a person must look at the delivery.
        self.record.settlement.send = None;
    }
}

/// A group to be committed.
#[derive(Debug)]
pub(super) struct CommitGroup {
    pub(super) settlements: Arc<[Settlement]>,
    /// The spans of those runs that are traced.
    pub(super) spans: Vec<TraceSpan>,
    /// A recorder died while it committed this: the fence may refuse what is committed already.
    pub(super) is_repeated: bool,
    /// How many outcomes wait behind it.
    pub(super) behind: usize,
}

impl Uncommitted {
    /// Notes the recorder that lives now.
    pub fn set(&self, recorder: actix::Addr<Recorder>) {
        self.0.recorder.store(Some(Arc::new(recorder)));
    }

    /// Whether a recorder lives.
    pub fn has_recorder(&self) -> bool {
        self.0.recorder.load().as_ref().is_some_and(|it| it.connected())
    }

    /// Takes an outcome in. Room for it was taken before its job was claimed.
    pub fn record(&self, record: Record) {
        if let Some(guard) = &record.guard {
            guard.has_ended();
        }
        self.wake(|outcomes| outcomes.waiting.push_back(UncommittedOutcome { record, deaths: 0 }));
    }

    /// Waits until everything that was taken in before is committed.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        self.wake(|outcomes| outcomes.flushes.push(done));
        if flushed.await.is_err() {
            tracing::error!("the outcomes were dropped before they were committed");
        }
    }

    /// Takes something in, and wakes the recorder unless it is awake. If the recorder has just
    /// died, its replacement checks anyway.
    fn wake(&self, take_in: impl FnOnce(&mut Outcomes)) {
        let was_awake = {
            let mut outcomes = self.outcomes();
            take_in(&mut outcomes);
            std::mem::replace(&mut outcomes.is_awake, true)
        };
        if !was_awake {
            let recorder = self.0.recorder.load();
            if recorder.as_ref().is_none_or(|it| it.try_send(CommitNext).is_err()) {
                tracing::debug!("no recorder was there to be woken: the next one checks");
            }
        }
    }

    /// A new recorder takes over: what the dead one was committing comes first, in its order.
    /// Returns how many outcomes that are.
    pub(super) fn take_over(&self) -> usize {
        let mut outcomes = self.outcomes();
        outcomes.is_awake = true;
        let left = std::mem::take(&mut outcomes.committing);
        let count = left.len();
        for mut entry in left.into_iter().rev() {
            entry.deaths += 1;
            if entry.deaths >= DEATHS_WITH_EFFECTS {
                entry.drop_effects("the recorder died over it");
            }
            outcomes.waiting.push_front(entry);
        }
        count
    }

    /// The next group. `None`: a commit is under way, after which it is asked for again; or
    /// everything is committed, and each flush is told so.
    ///
    /// An outcome over which a recorder died is committed alone: if it kills the next one, too,
    /// no other outcome is held up.
    pub(super) fn next_group(&self) -> Option<CommitGroup> {
        let mut outcomes = self.outcomes();
        if !outcomes.committing.is_empty() {
            return None;
        }

        // Drop what has killed too many recorders.
        while outcomes.waiting.front().is_some_and(|entry| entry.deaths >= DEATHS_MAX) {
            let dropped = outcomes.waiting.pop_front();
            let settlement = dropped.map(|entry| entry.record.settlement);
            tracing::error!(
                job.id = settlement.as_ref().map(|it| it.job_id),
                trace_id = settlement.as_ref().and_then(Settlement::trace_id),
                "recorders die of this outcome: it is dropped"
            );
        }

        // Count what goes into the group.
        let is_repeated = outcomes.waiting.front().is_some_and(|entry| entry.deaths > 0);
        let most = if is_repeated { 1 } else { outcomes.group_max };
        let fresh = outcomes.waiting.iter().take_while(|entry| is_repeated || entry.deaths == 0);
        let count = fresh.take(most).count();
        if count == 0 {
            outcomes.is_awake = false;
            for done in outcomes.flushes.drain(..) {
                if done.send(()).is_err() {
                    tracing::debug!("nobody waits for the flush any more");
                }
            }
            return None;
        }

        // Keep the group until its commit is over.
        outcomes.committing = outcomes.waiting.drain(..count).collect();
        let settlements =
            outcomes.committing.iter().map(|entry| entry.record.settlement.clone()).collect();
        let spans = outcomes.committing.iter().map(|entry| &entry.record.span);
        let spans = spans.filter(|span| span.at().is_some()).cloned().collect();
        Some(CommitGroup { settlements, spans, is_repeated, behind: outcomes.waiting.len() })
    }

    /// The effects of outcome `number` of the group cannot be stored. Returns what to commit
    /// instead, now and whenever it is tried again; `None` if there is no such outcome.
    pub(super) fn drop_effects(&self, number: usize, error: &str) -> Option<Settlement> {
        let mut outcomes = self.outcomes();
        let entry = outcomes.committing.get_mut(number)?;
        entry.drop_effects(error);
        Some(entry.record.settlement.clone())
    }

    /// The commit of the group is over: `results` are in its order. Outcomes that were not
    /// committed come first again. Returns how many were.
    ///
    /// If the database was too busy for the group, the next is half as large. If a single outcome
    /// was too much for it, that outcome lets the others go first, so it cannot hold them up.
    pub(super) fn committed(&self, results: &[Result<(), StoreError>]) -> usize {
        let mut outcomes = self.outcomes();
        let group = std::mem::take(&mut outcomes.committing);
        let (size, mut again) = (group.len(), Vec::new());
        for (entry, result) in group.into_iter().zip(results) {
            if result.is_err() {
                again.push(entry);
            }
        }
        let committed = results.len() - again.len();
        let is_too_large = results.iter().any(|it| matches!(it, Err(StoreError::Busy(_))));
        outcomes.group_max = match is_too_large {
            true => (size / 2).max(1),
            false if again.is_empty() => (outcomes.group_max * 2).min(GROUP_MAX),
            false => outcomes.group_max,
        };
        match is_too_large && size == 1 {
            true => outcomes.waiting.extend(again),
            false => again.into_iter().rev().for_each(|entry| outcomes.waiting.push_front(entry)),
        }
        committed
    }

    fn outcomes(&self) -> MutexGuard<'_, Outcomes> {
        self.0.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::sending::SendEnd;
    use proptest::prelude::*;

    fn record(job_id: i64) -> Record {
        let after = std::time::Duration::ZERO;
        let error = String::new();
        let settlement = Settlement {
            job_id,
            line: -job_id,
            kind: "SELF_CHECK".to_owned(),
            client_id: "_system".to_owned(),
            lead_id: None,
            message_id: None,
            draft_id: None,
            channel: None,
            request_id: None,
            run: 1,
            spared: 0,
            node: Some(1),
            actor: None,
            duration: None,
            transition: Transition::Succeed(Vec::new()),
            send: Some(SendEnd::Sent { provider_id: None }),
            trace: None,
        };
        let on_refused = Transition::Retry { after, reason: FailureReason::Error, error };
        Record { settlement, on_refused, guard: None, span: TraceSpan::default() }
    }

    fn ids(group: &CommitGroup) -> Vec<i64> {
        group.settlements.iter().map(|it| it.job_id).collect()
    }

    fn all_committed(group: &CommitGroup) -> Vec<Result<(), StoreError>> {
        group.settlements.iter().map(|_| Ok(())).collect()
    }

    proptest! {
        #[test]
        fn whenever_recorders_die_every_outcome_is_settled_in_order_and_none_is_lost(
            count in 1..50_i64, dies in prop::collection::vec(prop::bool::weighted(0.3), 200),
        ) {
            let uncommitted = Uncommitted::default();
            (1..=count).for_each(|it| uncommitted.record(record(it)));
            let (mut settled, mut died_over) = (Vec::new(), 0);
            let mut dies = dies.into_iter();
            while let Some(group) = uncommitted.next_group() {
                // Few enough deaths that no outcome is dropped: the next test covers that.
                if dies.next().unwrap_or(false) && died_over < DEATHS_MAX - 2 {
                    died_over += 1;
                    uncommitted.take_over();
                } else {
                    died_over = 0;
                    settled.extend(ids(&group));
                    uncommitted.committed(&all_committed(&group));
                }
            }
            prop_assert_eq!(settled, (1..=count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_outcome_that_kills_recorders_takes_nobody_along() {
        let uncommitted = Uncommitted::default();
        (1..=3).for_each(|it| uncommitted.record(record(it)));
        let (mut settled, mut without) = (Vec::new(), 0);
        while let Some(group) = uncommitted.next_group() {
            if ids(&group).contains(&2) {
                let it = group.settlements.iter().find(|it| it.job_id == 2).unwrap();
                let is_without = matches!(it.transition, Transition::Retry { .. });
                assert_eq!(it.send.is_none(), is_without, "a send's word goes with the effects");
                without += u32::from(is_without);
                uncommitted.take_over();
            } else {
                settled.extend(ids(&group));
                uncommitted.committed(&all_committed(&group));
            }
        }
        assert_eq!(settled, [1, 3]);
        assert_eq!(without, DEATHS_MAX - DEATHS_WITH_EFFECTS, "tried without its effects, too");
    }

    #[test]
    fn a_group_whose_commit_is_under_way_is_not_replaced() {
        let uncommitted = Uncommitted::default();
        uncommitted.record(record(1));
        let group = uncommitted.next_group().unwrap();
        uncommitted.record(record(2));
        // A recorder that was woken twice asks twice.
        assert!(uncommitted.next_group().is_none());
        assert_eq!(uncommitted.committed(&all_committed(&group)), 1);
        assert_eq!(ids(&uncommitted.next_group().unwrap()), [2]);
    }

    #[test]
    fn what_the_database_did_not_take_comes_first_again() {
        let uncommitted = Uncommitted::default();
        (1..=3).for_each(|it| uncommitted.record(record(it)));
        let group = uncommitted.next_group().unwrap();
        let result = |it: &Settlement| match it.job_id {
            2 => Ok(()),
            _ => Err(StoreError::Unreachable(String::new())),
        };
        let results: Vec<_> = group.settlements.iter().map(result).collect();
        assert_eq!(uncommitted.committed(&results), 1);
        uncommitted.record(record(4));
        assert_eq!(ids(&uncommitted.next_group().unwrap()), [1, 3, 4]);
    }

    #[test]
    fn a_group_that_is_too_large_for_a_busy_database_is_halved_and_one_outcome_stops_nobody() {
        let uncommitted = Uncommitted::default();
        (1..=8).for_each(|it| uncommitted.record(record(it)));
        let (mut settled, mut sizes) = (Vec::new(), Vec::new());
        // A group is too large if it has more than two outcomes, or the third outcome.
        for _ in 0..20 {
            let Some(group) = uncommitted.next_group() else { break };
            sizes.push(group.settlements.len());
            let is_busy = group.settlements.len() > 2 || ids(&group).contains(&3);
            if !is_busy {
                settled.extend(ids(&group));
            }
            let result = |_: &Settlement| match is_busy {
                true => Err(StoreError::Busy("SQLSTATE 57014".to_owned())),
                false => Ok(()),
            };
            let results: Vec<_> = group.settlements.iter().map(result).collect();
            uncommitted.committed(&results);
        }
        settled.sort_unstable();
        assert_eq!(settled, [1, 2, 4, 5, 6, 7, 8], "{sizes:?}");
    }
}
