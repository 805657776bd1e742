//! The states of a pool's slots, and the rule by which a slot may start a job.
//!
//! No clock and no actor is needed for this, so a test can try thousands of orders of events. The
//! pool's queue asks it under its lock. So a job starts either before a change of the size, or by
//! the new size.

use std::collections::{BTreeSet, VecDeque};

/// The states of a pool's slots, by slot number. A slot in none of these sets starts, or is down.
#[derive(Debug, Default)]
pub(super) struct SlotStates {
    /// How many slots are wanted. Slots with this number or a greater one are leaving.
    size: usize,
    /// No slot gets a job for now.
    is_paused: bool,
    /// No slot gets a job any more, and none leaves.
    is_closed: bool,
    /// The slots that wait for a job.
    idle: Vec<usize>,
    /// The slots that were woken and have not asked for a job yet.
    woken: BTreeSet<usize>,
    /// The slots that have a job.
    busy: BTreeSet<usize>,
    /// The slots that were told to leave. Their actors end.
    left: BTreeSet<usize>,
}

/// What a slot does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextStep<J> {
    /// It works on this job.
    Work(J),
    /// There is no job for it. It will be woken.
    Wait,
    /// It is not wanted any more: it ends.
    Leave,
}

impl SlotStates {
    /// From now on so many slots are wanted. Returns the slots to wake, because they have to leave
    /// or because some of `waiting` jobs can start; they count as idle no longer.
    pub(super) fn fit(&mut self, size: usize, is_paused: bool, waiting: usize) -> Vec<usize> {
        (self.size, self.is_paused) = (size, is_paused);
        let is_leaving = |slot: &mut usize| *slot >= size;
        let mut woken: Vec<usize> = self.idle.extract_if(.., is_leaving).collect();
        self.woken.retain(|slot| *slot < size);
        woken.extend(self.wake(waiting));
        woken
    }

    /// From now on no slot gets a job, and none leaves.
    pub(super) const fn close(&mut self) {
        self.is_closed = true;
    }

    /// Whether no slot gets a job any more.
    pub(super) const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Whether no slot gets a job for now.
    pub(super) const fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Whether this slot was woken and has not asked for a job yet.
    pub(super) fn is_woken(&self, slot: usize) -> bool {
        self.woken.contains(&slot)
    }

    /// Whether this slot was told to leave.
    pub(super) fn has_left(&self, slot: usize) -> bool {
        self.left.contains(&slot)
    }

    /// The slot has nothing to do: it started, was woken, or its job is over. Takes the next job
    /// for it out of `jobs`, if it may start one.
    pub(super) fn next<J>(&mut self, slot: usize, jobs: &mut VecDeque<J>) -> NextStep<J> {
        self.busy.remove(&slot);
        self.woken.remove(&slot);
        if self.is_closed {
            return NextStep::Wait;
        }
        if slot >= self.size {
            self.left.insert(slot);
            return NextStep::Leave;
        }
        let may_start = self.startable() > 0;
        if let Some(job) = may_start.then(|| jobs.pop_front()).flatten() {
            self.busy.insert(slot);
            return NextStep::Work(job);
        }
        if !self.idle.contains(&slot) {
            self.idle.push(slot);
        }
        NextStep::Wait
    }

    /// The slots to wake for `waiting` jobs; they count as idle no longer. It may wake more than
    /// are needed, because one that was woken before may never ask.
    pub(super) fn wake(&mut self, waiting: usize) -> Vec<usize> {
        let count = waiting.min(self.idle.len()).min(self.startable());
        let woken: Vec<usize> = self.idle.drain(..count).collect();
        self.woken.extend(&woken);
        woken
    }

    /// How many jobs there is room for beside `waiting`: one for each slot that can start one soon,
    /// and `prefetch` more.
    pub(super) fn room(&self, prefetch: usize, waiting: usize) -> usize {
        if self.is_paused || self.is_closed {
            return 0;
        }
        let soon = (self.idle.len() + self.woken.len()).min(self.startable());
        (soon + prefetch).saturating_sub(waiting)
    }

    /// The actor of this slot is new, down or gone: nothing holds of what is known of it.
    pub(super) fn forget(&mut self, slot: usize) {
        self.idle.retain(|idle| *idle != slot);
        self.woken.remove(&slot);
        self.busy.remove(&slot);
        self.left.remove(&slot);
    }

    /// How many jobs may start now. Jobs of leaving slots count, so that the jobs which run are
    /// never more than the size in force when the last of them began.
    fn startable(&self) -> usize {
        match self.is_paused || self.is_closed {
            true => 0,
            false => self.size.saturating_sub(self.busy.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// The state of a slot's actor.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Actor {
        /// It was started or woken and will ask for a job.
        Asks,
        Waits,
        Works(Work),
        /// It is gone, and the supervisor does not know it yet.
        Gone,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Work {
        job: u32,
        /// The greatest size that was in force since it began.
        most: usize,
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Resize(usize),
        Pause(bool),
        Add(u32),
        /// The claim under way brings its jobs.
        Claimed,
        /// The slot with this number, counted round among those that can, asks for a job.
        Ask(usize),
        /// Such a slot ends its job.
        Finish(usize),
        /// Such a slot dies.
        Die(usize),
        /// The supervisor finds that such a slot is gone.
        Check(usize),
        /// The supervisor ticks: it checks all slots.
        Tick,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            2 => (1..9_usize).prop_map(Step::Resize),
            1 => any::<bool>().prop_map(Step::Pause),
            3 => (1..6_u32).prop_map(Step::Add),
            3 => Just(Step::Claimed),
            6 => any::<usize>().prop_map(Step::Ask),
            4 => any::<usize>().prop_map(Step::Finish),
            1 => any::<usize>().prop_map(Step::Die),
            3 => any::<usize>().prop_map(Step::Check),
            1 => Just(Step::Tick),
        ];
        prop::collection::vec(step, 0..400)
    }

    /// A pool with its supervisor: the same calls in the same order, without actors.
    #[derive(Debug, Default)]
    struct World {
        states: SlotStates,
        /// The jobs in the database.
        pending: VecDeque<u32>,
        /// How many jobs the claim under way asks for; 0: none is.
        claim: usize,
        /// One more claim is to be made after that.
        is_nudged: bool,
        /// The jobs in the pool's queue.
        jobs: VecDeque<u32>,
        /// The actors of slots, by slot number.
        actors: BTreeMap<usize, Actor>,
        size: usize,
        is_paused: bool,
        added: u32,
        ended: BTreeSet<u32>,
    }

    impl World {
        fn fit(&mut self, size: usize, is_paused: bool) {
            (self.size, self.is_paused) = (size, is_paused);
            for actor in self.actors.values_mut() {
                if let Actor::Works(work) = actor {
                    work.most = work.most.max(size);
                }
            }
            let woken = self.states.fit(size, is_paused, self.jobs.len());
            self.give_back_if_paused();
            for number in 0..size {
                if !self.actors.contains_key(&number) {
                    self.start(number);
                }
            }
            self.wake(woken);
            self.try_claim();
        }

        fn give_back_if_paused(&mut self) {
            if self.is_paused {
                self.pending.extend(self.jobs.drain(..));
            }
        }

        fn try_claim(&mut self) {
            if self.claim > 0 {
                self.is_nudged = true;
                return;
            }
            self.is_nudged = false;
            self.claim = self.states.room(0, self.jobs.len());
        }

        fn claimed(&mut self) {
            let asked = std::mem::take(&mut self.claim);
            let got = asked.min(self.pending.len());
            self.jobs.extend(self.pending.drain(..got));
            let woken = self.states.wake(self.jobs.len());
            self.give_back_if_paused();
            self.wake(woken);
            if self.is_nudged || (got > 0 && got == asked) {
                self.try_claim();
            }
        }

        fn start(&mut self, number: usize) {
            self.states.forget(number);
            self.actors.insert(number, Actor::Asks);
        }

        /// As [`Recipient::try_send`]: who is gone does not hear it.
        fn wake(&mut self, numbers: Vec<usize>) {
            for number in numbers {
                if let Some(actor @ Actor::Waits) = self.actors.get_mut(&number) {
                    *actor = Actor::Asks;
                }
            }
        }

        fn add(&mut self, count: u32) {
            self.pending.extend(self.added..self.added + count);
            self.added += count;
            self.try_claim();
        }

        fn ask(&mut self, number: usize) {
            let next = match self.states.next(number, &mut self.jobs) {
                NextStep::Work(job) => {
                    assert!(!self.is_paused, "no job starts in a paused pool");
                    assert!(number < self.size, "no job starts on a slot that leaves");
                    Actor::Works(Work { job, most: self.size })
                }
                NextStep::Wait => Actor::Waits,
                NextStep::Leave => Actor::Gone,
            };
            self.actors.insert(number, next);
            if next == Actor::Waits {
                // It says that it is free.
                self.try_claim();
            }
        }

        fn finish(&mut self, number: usize) {
            if let Some(Actor::Works(work)) = self.actors.get(&number) {
                assert!(self.ended.insert(work.job), "no job runs twice");
                self.ask(number);
            }
        }

        fn die(&mut self, number: usize) {
            if let Some(Actor::Works(work)) = self.actors.insert(number, Actor::Gone) {
                self.pending.push_back(work.job);
            }
        }

        fn check(&mut self, number: usize) {
            if self.actors.get(&number) != Some(&Actor::Gone) {
                return;
            }
            if number < self.size {
                self.start(number);
            } else {
                self.actors.remove(&number);
                self.states.forget(number);
            }
            let woken = self.states.wake(self.jobs.len());
            self.wake(woken);
            self.try_claim();
        }

        fn tick(&mut self) {
            let numbers: Vec<usize> = self.actors.keys().copied().collect();
            numbers.into_iter().for_each(|number| self.check(number));
        }

        /// The number of the slot to which a step applies.
        fn pick(&self, choice: usize, can: impl Fn(&Actor) -> bool) -> Option<usize> {
            let able =
                self.actors.iter().filter(|(_, actor)| can(actor)).map(|(number, _)| *number);
            let able: Vec<usize> = able.collect();
            able.get(choice % able.len().max(1)).copied()
        }

        fn step(&mut self, step: Step) {
            let asks = |actor: &Actor| *actor == Actor::Asks;
            let works = |actor: &Actor| matches!(actor, Actor::Works(_));
            let is_gone = |actor: &Actor| *actor == Actor::Gone;
            match step {
                Step::Resize(size) => self.fit(size, self.is_paused),
                Step::Pause(is_paused) => self.fit(self.size, is_paused),
                Step::Add(count) => self.add(count),
                Step::Claimed => self.claimed(),
                Step::Tick => self.tick(),
                Step::Ask(it) => self.pick(it, asks).into_iter().for_each(|it| self.ask(it)),
                Step::Finish(it) => self.pick(it, works).into_iter().for_each(|it| self.finish(it)),
                Step::Die(it) => {
                    self.pick(it, |actor| !is_gone(actor)).into_iter().for_each(|it| self.die(it));
                }
                Step::Check(it) => self.pick(it, is_gone).into_iter().for_each(|it| self.check(it)),
            }
        }

        fn works(&self) -> Vec<Work> {
            let work = |actor: &Actor| match actor {
                Actor::Works(work) => Some(*work),
                Actor::Asks | Actor::Waits | Actor::Gone => None,
            };
            self.actors.values().filter_map(work).collect()
        }

        /// What must hold at any time.
        fn check_all(&self) -> Result<(), TestCaseError> {
            let works = self.works();
            for work in &works {
                prop_assert!(works.len() <= work.most, "{work:?} of {works:?}");
            }
            let mut all: Vec<u32> =
                self.jobs.iter().chain(&self.ended).chain(&self.pending).copied().collect();
            all.extend(works.iter().map(|it| it.job));
            all.sort_unstable();
            prop_assert_eq!(all, (0..self.added).collect::<Vec<_>>(), "each job is in one place");
            prop_assert!((0..self.size).all(|it| self.actors.contains_key(&it)), "no slot is lost");
            Ok(())
        }

        /// Does what is still to be done, without a change from outside.
        fn settle(&mut self) {
            for _ in 0..10_000 {
                let numbers: Vec<usize> = self.actors.keys().copied().collect();
                let before = (self.actors.clone(), self.claim, self.pending.len());
                self.claimed();
                for number in numbers {
                    match self.actors.get(&number) {
                        Some(Actor::Asks) => self.ask(number),
                        Some(Actor::Works(_)) => self.finish(number),
                        Some(Actor::Gone) => self.check(number),
                        Some(Actor::Waits) | None => {}
                    }
                }
                if before == (self.actors.clone(), self.claim, self.pending.len()) {
                    return;
                }
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_happens_no_more_jobs_run_than_allowed_and_no_job_or_slot_is_lost_or_doubled(
            steps in steps(), size in 1..9_usize,
        ) {
            let mut world = World::default();
            world.fit(4, false);
            for step in steps {
                world.step(step);
                world.check_all()?;
            }
            // At last all is well, without anybody's tick.
            world.fit(size, false);
            world.settle();
            world.check_all()?;
            prop_assert!(world.jobs.is_empty(), "{:?} wait for ever", world.jobs);
            prop_assert!(world.pending.is_empty(), "{:?} are not claimed", world.pending);
            prop_assert!(world.actors.values().all(|it| *it == Actor::Waits));
            prop_assert_eq!(world.actors.len(), size);
            prop_assert_eq!(world.states.room(0, 0), size);
            prop_assert!(world.states.busy.is_empty() && world.states.left.is_empty());
        }
    }

    #[test]
    fn a_pool_that_has_shrunk_starts_a_job_once_fewer_run_than_it_has_slots() {
        let (mut states, mut jobs) = (SlotStates::default(), VecDeque::from([1, 2, 3, 4, 5]));
        states.fit(3, false, jobs.len());
        for slot in 0..3 {
            assert!(matches!(states.next(slot, &mut jobs), NextStep::Work(_)));
        }
        assert!(states.fit(1, false, jobs.len()).is_empty());
        assert_eq!(states.next(0, &mut jobs), NextStep::Wait, "two others run");
        assert_eq!(states.next(1, &mut jobs), NextStep::Leave);
        assert!(states.wake(jobs.len()).is_empty(), "another one runs");
        assert_eq!(states.next(2, &mut jobs), NextStep::Leave);
        assert_eq!(states.wake(jobs.len()), [0]);
        assert_eq!(states.next(0, &mut jobs), NextStep::Work(4));
    }

    #[test]
    fn a_busy_slot_that_was_leaving_is_taken_back_and_one_that_has_left_is_not() {
        let (mut states, mut jobs) = (SlotStates::default(), VecDeque::from([1, 2, 3]));
        states.fit(2, false, 0);
        assert_eq!(states.next(1, &mut jobs), NextStep::Work(1));
        states.fit(1, false, jobs.len());
        states.fit(2, false, jobs.len());
        assert_eq!(states.next(1, &mut jobs), NextStep::Work(2));
        states.fit(1, false, jobs.len());
        assert_eq!(states.next(1, &mut jobs), NextStep::Leave);
        states.fit(2, false, jobs.len());
        assert!(states.has_left(1), "its actor ends, and the supervisor starts another");
        states.forget(1);
        assert_eq!(states.next(1, &mut jobs), NextStep::Work(3));
    }

    #[test]
    fn there_is_room_for_slots_that_were_woken_and_have_not_asked_yet() {
        let (mut states, mut jobs) = (SlotStates::default(), VecDeque::new());
        states.fit(3, false, 0);
        assert_eq!(states.room(2, 0), 2, "no slot has started yet");
        for slot in 0..3 {
            states.next(slot, &mut jobs);
        }
        assert_eq!(states.room(2, 0), 5);
        jobs.extend([1, 2]);
        assert_eq!(states.wake(jobs.len()), [0, 1]);
        assert_eq!(states.room(2, jobs.len()), 3, "a third slot waits");
        states.next(0, &mut jobs);
        assert_eq!(states.room(2, jobs.len()), 3);
        states.forget(1);
        assert_eq!(states.room(2, jobs.len()), 2, "the other one is down");
    }

    #[test]
    fn nobody_starts_or_leaves_once_it_is_closed() {
        let (mut states, mut jobs) = (SlotStates::default(), VecDeque::from([1]));
        states.fit(2, false, 0);
        states.close();
        assert_eq!(states.next(0, &mut jobs), NextStep::Wait);
        assert_eq!(states.next(7, &mut jobs), NextStep::Wait);
        assert_eq!(states.room(5, 0), 0);
    }
}
