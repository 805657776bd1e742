//! What handlers decided and nobody has committed yet.
//!
//! It outlives the recorder: a replacement goes on where the one that died stopped, and repeats the group
//! whose commit was under way. The fence of each outcome makes that safe: what stood already is refused.

use super::{Commit, Record, Recorder};
use crate::{
    domain::job::FailureReason,
    store::{Settlement, StoreError, Transition},
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::oneshot;

/// The most outcomes in one transaction.
const GROUP_MAX: usize = 1_000;
/// After so many recorders that died over it alone, an outcome is recorded without its effects.
const DEATHS_WITH_EFFECTS: u32 = 2;
/// After so many it is let go: its job is found as one that its node has lost track of.
const DEATHS_MAX: u32 = 4;

/// Where outcomes go. A clone is the same uncommitted.
#[derive(Clone, Debug, Default)]
pub struct Uncommitted(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    /// Today's recorder.
    recorder: arc_swap::ArcSwapOption<actix::Addr<Recorder>>,
}

#[derive(Debug)]
struct State {
    /// The most outcomes in the next group: fewer while the database is too busy for a large one.
    group_max: usize,
    waiting: VecDeque<Entry>,
    /// The group whose commit is under way.
    committing: Vec<Entry>,
    /// Whoever waits until all of it is committed.
    flushes: Vec<oneshot::Sender<()>>,
    /// The recorder has been told, and looks again before it rests.
    is_awake: bool,
}

impl Default for State {
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
struct Entry {
    record: Record,
    deaths: u32,
}

/// What became of one outcome of a group.
#[derive(Debug)]
pub(super) enum Fate {
    /// It is committed, or refused by its fence.
    Settled,
    /// It is to be tried again, as this.
    Again {
        settlement: Box<Settlement>,
        /// The database was too busy for it: smaller groups may pass.
        was_busy: bool,
    },
}

impl Fate {
    /// To be tried again, as `settlement`.
    pub(super) fn again(settlement: Settlement, error: &StoreError) -> Self {
        let was_busy = matches!(error, StoreError::Busy(_));
        Self::Again { settlement: Box::new(settlement), was_busy }
    }
}

/// A group to be committed.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Each with what to fall back to where its effects cannot be stored.
    pub(super) items: Vec<(Settlement, Transition)>,
    /// A recorder died over it: what stands already will be refused.
    pub(super) is_repeated: bool,
    /// How many wait behind it.
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

    /// Takes an outcome in. It came with room, so there is a place for it.
    pub fn record(&self, record: Record) {
        self.wake(|state| state.waiting.push_back(Entry { record, deaths: 0 }));
    }

    /// Waits until all that was given before is committed.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        self.wake(|state| state.flushes.push(done));
        if flushed.await.is_err() {
            tracing::error!("the uncommitted was closed before everything was committed");
        }
    }

    /// Takes something in and tells the recorder, at most once until it has looked. Where it has just died,
    /// its replacement looks anyway.
    fn wake(&self, take_in: impl FnOnce(&mut State)) {
        let was_awake = {
            let mut state = self.state();
            take_in(&mut state);
            std::mem::replace(&mut state.is_awake, true)
        };
        if !was_awake {
            let recorder = self.0.recorder.load();
            if recorder.as_ref().is_none_or(|it| it.try_send(Commit).is_err()) {
                tracing::debug!("no recorder was there to be woken: the next one looks");
            }
        }
    }

    /// A new recorder takes over: what its predecessor was committing comes first, in its order.
    pub(super) fn take_over(&self) -> usize {
        let mut state = self.state();
        state.is_awake = true;
        let left = std::mem::take(&mut state.committing);
        let count = left.len();
        for mut entry in left.into_iter().rev() {
            entry.deaths += 1;
            state.waiting.push_front(entry);
        }
        count
    }

    /// The next group; `None` where there is nothing to do, and everybody who waited for that is told.
    ///
    /// What a recorder died over is committed alone, so that it takes nobody along.
    pub(super) fn next_group(&self) -> Option<Group> {
        let mut state = self.state();
        while state.waiting.front().is_some_and(|it| it.deaths >= DEATHS_MAX) {
            let dropped = state.waiting.pop_front();
            let job_id = dropped.map(|it| it.record.settlement.job_id);
            tracing::error!(job.id = job_id, "recorders die of this outcome: it is let go");
        }
        let is_repeated = state.waiting.front().is_some_and(|it| it.deaths > 0);
        let most = if is_repeated { 1 } else { state.group_max };
        let fresh = state.waiting.iter().take_while(|it| is_repeated || it.deaths == 0);
        let count = fresh.take(most).count();
        if count == 0 {
            state.is_awake = false;
            for done in state.flushes.drain(..) {
                if done.send(()).is_err() {
                    tracing::debug!("nobody waits for the flush any more");
                }
            }
            return None;
        }
        let entries: Vec<Entry> = state.waiting.drain(..count).collect();
        let items = entries.iter().map(item).collect();
        state.committing = entries;
        Some(Group { items, is_repeated, behind: state.waiting.len() })
    }

    /// The group was committed, so far; what was not comes first again. Returns how many were settled.
    ///
    /// A group that the database is too busy for is halved, down to one outcome, which then lets the others go
    /// first; so none of them stands in the way for good.
    pub(super) fn settled(&self, fates: Vec<Fate>) -> usize {
        let mut state = self.state();
        let group = std::mem::take(&mut state.committing);
        let size = group.len();
        let (mut again, mut settled, mut is_too_large) = (Vec::new(), 0, false);
        for (mut entry, fate) in group.into_iter().zip(fates) {
            match fate {
                Fate::Settled => settled += 1,
                Fate::Again { settlement, was_busy } => {
                    is_too_large |= was_busy;
                    entry.record.settlement = *settlement;
                    again.push(entry);
                }
            }
        }
        state.group_max = match is_too_large {
            true => (size / 2).max(1),
            false if again.is_empty() => (state.group_max * 2).min(GROUP_MAX),
            false => state.group_max,
        };
        match is_too_large && size == 1 {
            true => state.waiting.extend(again),
            false => again.into_iter().rev().for_each(|it| state.waiting.push_front(it)),
        }
        settled
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn item(entry: &Entry) -> (Settlement, Transition) {
    let Record { settlement, on_refused, .. } = &entry.record;
    let mut settlement = settlement.clone();
    if entry.deaths >= DEATHS_WITH_EFFECTS {
        settlement.transition = without_effects(on_refused, "the recorder died over it");
    }
    (settlement, on_refused.clone())
}

/// What the attempt comes to where its effects cannot be recorded.
pub(super) fn without_effects(on_refused: &Transition, error: &str) -> Transition {
    let (reason, error) = (FailureReason::Error, error.to_owned());
    match on_refused {
        Transition::Retry { after, .. } => Transition::Retry { after: *after, reason, error },
        Transition::Release => Transition::Release,
        Transition::Succeed(_)
        | Transition::Fail { .. }
        | Transition::Snooze { .. }
        | Transition::Postpone { .. }
        | Transition::Cancel { .. } => Transition::Fail { reason, error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
            run: 1,
            spared: 0,
            node: Some(1),
            actor: None,
            duration: None,
            transition: Transition::Succeed(Vec::new()),
        };
        let on_refused = Transition::Retry { after, reason: FailureReason::Error, error };
        Record { settlement, on_refused, hold: None }
    }

    fn ids(group: &Group) -> Vec<i64> {
        group.items.iter().map(|it| it.0.job_id).collect()
    }

    fn all_settled(group: &Group) -> Vec<Fate> {
        group.items.iter().map(|_| Fate::Settled).collect()
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
                // Not so often that an outcome is let go: that is the next test.
                if dies.next().unwrap_or(false) && died_over < DEATHS_MAX - 2 {
                    died_over += 1;
                    uncommitted.take_over();
                } else {
                    died_over = 0;
                    settled.extend(ids(&group));
                    uncommitted.settled(all_settled(&group));
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
                let transition =
                    &group.items.iter().find(|it| it.0.job_id == 2).unwrap().0.transition;
                without += u32::from(matches!(transition, Transition::Retry { .. }));
                uncommitted.take_over();
            } else {
                settled.extend(ids(&group));
                uncommitted.settled(all_settled(&group));
            }
        }
        assert_eq!(settled, [1, 3]);
        assert_eq!(without, DEATHS_MAX - DEATHS_WITH_EFFECTS, "tried without its effects, too");
    }

    #[test]
    fn what_the_database_did_not_take_comes_first_again() {
        let uncommitted = Uncommitted::default();
        (1..=3).for_each(|it| uncommitted.record(record(it)));
        let group = uncommitted.next_group().unwrap();
        let again = |it: &(Settlement, Transition)| match it.0.job_id {
            2 => Fate::Settled,
            _ => Fate::again(it.0.clone(), &StoreError::Unreachable(String::new())),
        };
        assert_eq!(uncommitted.settled(group.items.iter().map(again).collect()), 1);
        uncommitted.record(record(4));
        assert_eq!(ids(&uncommitted.next_group().unwrap()), [1, 3, 4]);
    }

    #[test]
    fn a_group_that_is_too_large_for_a_busy_database_is_halved_and_one_outcome_stops_nobody() {
        let uncommitted = Uncommitted::default();
        (1..=8).for_each(|it| uncommitted.record(record(it)));
        let (mut settled, mut sizes) = (Vec::new(), Vec::new());
        // Too large are more than two, and the third outcome is whatever the size.
        for _ in 0..20 {
            let Some(group) = uncommitted.next_group() else { break };
            sizes.push(group.items.len());
            let is_busy = group.items.len() > 2 || ids(&group).contains(&3);
            if !is_busy {
                settled.extend(ids(&group));
            }
            let busy = StoreError::Busy("SQLSTATE 57014".to_owned());
            let fate = |it: &(Settlement, Transition)| match is_busy {
                true => Fate::again(it.0.clone(), &busy),
                false => Fate::Settled,
            };
            uncommitted.settled(group.items.iter().map(fate).collect());
        }
        settled.sort_unstable();
        assert_eq!(settled, [1, 2, 4, 5, 6, 7, 8], "{sizes:?}");
    }
}
