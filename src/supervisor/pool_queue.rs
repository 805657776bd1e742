//! The jobs of one kind that wait in this process for a slot, and the slots that wait for a job.

use super::{
    slot::Wake,
    slot_states::{NextStep, SlotStates},
};
use crate::{
    domain::{fairness::Turn, hand_off::PoolStanding},
    recorder::InFlightGuard,
    store::Claim,
    telemetry::pool_post::PoolPost,
};
use actix::Recipient;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// A claimed job in memory.
#[derive(Debug)]
pub(super) struct ClaimedJob {
    pub(super) claim: Claim,
    /// Lists the run as in flight and keeps its permit of the recorder.
    pub(super) guard: InFlightGuard,
    /// When it began to wait for a slot; once it runs, when the run began.
    pub(super) since: Instant,
    /// True for a suspect: this node runs no other one meanwhile.
    pub(super) is_suspect: bool,
}

/// Shared by the slots of a pool and the supervisor. Starts empty, open, and without slots.
#[derive(Debug)]
pub(super) struct PoolQueue {
    state: Mutex<QueueState>,
    /// Where it posts how many jobs wait.
    post: Arc<PoolPost>,
}

#[derive(Debug, Default)]
struct QueueState {
    /// Claimed and not started, in the order of turns.
    jobs: VecDeque<ClaimedJob>,
    slots: SlotStates,
    /// How the slots are woken, by slot number.
    wakes: BTreeMap<usize, Recipient<Wake>>,
    /// Places that are lent to jobs which are about to be stored.
    lent: usize,
    /// The claim under way may bring so many jobs.
    claiming: usize,
    /// The least turn that a head can have which waits in the database.
    floor: Turn,
    /// The last claim got all that it asked for: more heads may wait.
    heads_wait: bool,
    /// A claim has left out places because they were lent.
    is_short: bool,
}

/// What follows from a change of the queue.
#[derive(Debug, Default)]
pub(super) struct QueueChange {
    /// The slots to wake; they count as idle no longer.
    pub(super) wake: Vec<usize>,
    /// The jobs that go back, because the pool is paused.
    pub(super) back: Vec<ClaimedJob>,
}

impl PoolQueue {
    pub(super) fn new(post: Arc<PoolPost>) -> Self {
        Self { state: Mutex::default(), post }
    }

    /// From now on so many slots are wanted, and none of them gets a job if `is_paused`.
    pub(super) fn fit(&self, size: usize, is_paused: bool) -> QueueChange {
        self.change(|state| state.slots.fit(size, is_paused, state.jobs.len()))
    }

    /// The next step of a slot that has no job, or no job any more. If it has to wait, it is noted
    /// as idle and will be woken.
    pub(super) fn next(&self, slot: usize) -> NextStep<ClaimedJob> {
        let mut state = self.state();
        let QueueState { jobs, slots, .. } = &mut *state;
        let next = slots.next(slot, jobs);
        self.post.jobs_wait(jobs.len());
        next
    }

    /// Adds jobs, and sorts all by turn.
    pub(super) fn add(&self, added: Vec<ClaimedJob>) -> QueueChange {
        self.change(|state| state.add(added))
    }

    /// Adds a job that was born running, and wakes a slot for it. Returns the jobs that go back:
    /// the pool was paused or closed meanwhile.
    pub(super) fn hand_over(&self, job: ClaimedJob) -> Vec<ClaimedJob> {
        let mut wakes: Vec<Recipient<Wake>> = Vec::new();
        let QueueChange { back, .. } = self.change(|state| {
            let numbers = state.add(vec![job]);
            wakes = numbers.iter().filter_map(|it| state.wakes.get(it).cloned()).collect();
            numbers
        });
        for wake in wakes {
            if wake.try_send(Wake).is_err() {
                tracing::debug!("a slot that was to be woken is gone");
            }
        }
        back
    }

    /// Lends places for at most `wanted` jobs that are about to be stored. `standing` is what is
    /// known outside of this queue. Returns how many, and the floor of the kind.
    pub(super) fn lend(&self, wanted: usize, standing: PoolStanding) -> (usize, Turn) {
        let mut state = self.state();
        let meant = state.jobs.len() + state.lent + state.claiming;
        let free = state.slots.room(0, meant);
        let lent = PoolStanding { free, heads_wait: state.heads_wait, ..standing }.lends(wanted);
        state.lent += lent;
        (lent, state.floor)
    }

    /// A place that was lent goes back. Returns true if a claim has left it out meanwhile.
    pub(super) fn give_place_back(&self) -> bool {
        let mut state = self.state();
        state.lent = state.lent.saturating_sub(1);
        std::mem::take(&mut state.is_short)
    }

    /// Whether places are lent.
    pub(super) fn has_lent(&self) -> bool {
        self.state().lent > 0
    }

    /// A claim begins that may bring so many jobs.
    pub(super) fn claim_begins(&self, wanted: usize) {
        self.state().claiming = wanted;
    }

    /// The claim is over, and its jobs are here. `floor`: the least turn that a head can have which
    /// waits in the database. `heads_wait`: it got all that it asked for.
    pub(super) fn claim_ends(&self, floor: Turn, heads_wait: bool) {
        let mut state = self.state();
        (state.claiming, state.floor, state.heads_wait) = (0, floor, heads_wait);
    }

    /// How this slot is woken, from now on. Its actor runs already: a job that was handed over
    /// before this may have chosen it, and could not wake it.
    pub(super) fn attach(&self, slot: usize, wake: Recipient<Wake>) {
        let mut state = self.state();
        if state.slots.is_woken(slot) && wake.try_send(Wake).is_err() {
            tracing::debug!(slot, "a slot is gone as soon as it started");
        }
        state.wakes.insert(slot, wake);
    }

    /// The slots to wake for the jobs that wait; they count as idle no longer.
    pub(super) fn wake(&self) -> Vec<usize> {
        let mut state = self.state();
        let waiting = state.jobs.len();
        state.slots.wake(waiting)
    }

    /// Takes out the jobs that have waited for a slot longer than `limit`.
    pub(super) fn take_stale(&self, limit: Duration) -> Vec<ClaimedJob> {
        let mut state = self.state();
        let (stale, kept) =
            state.jobs.drain(..).partition::<VecDeque<_>, _>(|job| job.since.elapsed() > limit);
        state.jobs = kept;
        self.post.jobs_wait(state.jobs.len());
        stale.into()
    }

    /// Gives out nothing any more, and takes out all jobs.
    pub(super) fn close(&self) -> Vec<ClaimedJob> {
        let mut state = self.state();
        state.slots.close();
        self.post.jobs_wait(0);
        state.jobs.drain(..).collect()
    }

    /// The actor of this slot is new, down or gone: it has no job and does not wait for one.
    pub(super) fn forget(&self, slot: usize) {
        let mut state = self.state();
        state.slots.forget(slot);
        state.wakes.remove(&slot);
    }

    /// Whether this slot was told to leave.
    pub(super) fn has_left(&self, slot: usize) -> bool {
        self.state().slots.has_left(slot)
    }

    /// Whether no job waits for a slot.
    pub(super) fn is_empty(&self) -> bool {
        self.state().jobs.is_empty()
    }

    /// How many jobs fit in: one for each slot that can start one soon, and `prefetch` more; none
    /// while it is paused. Places that are lent are taken.
    pub(super) fn room(&self, prefetch: usize) -> usize {
        let mut state = self.state();
        state.is_short |= state.lent > 0;
        state.slots.room(prefetch, state.jobs.len() + state.lent)
    }

    /// Changes the state. `change` returns the slots to wake. The jobs of a paused pool are taken
    /// out.
    fn change(&self, change: impl FnOnce(&mut QueueState) -> Vec<usize>) -> QueueChange {
        let mut state = self.state();
        let wake = change(&mut state);
        let back = match state.slots.is_paused() || state.slots.is_closed() {
            true => state.jobs.drain(..).collect(),
            false => Vec::new(),
        };
        self.post.jobs_wait(state.jobs.len());
        QueueChange { wake, back }
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueState {
    /// Adds jobs, and sorts all by turn. Returns the slots to wake.
    fn add(&mut self, added: Vec<ClaimedJob>) -> Vec<usize> {
        self.jobs.extend(added);
        self.jobs.make_contiguous().sort_by(|a, b| {
            let key = |job: &ClaimedJob| (job.claim.turn, job.claim.line);
            (key(a), &a.claim.job.client_id).cmp(&(key(b), &b.claim.job.client_id))
        });
        self.slots.wake(self.jobs.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::job::{Job, SELF_CHECK, SYSTEM_CLIENT},
        recorder::InFlight,
        telemetry::board::Board,
    };
    use actix::Actor;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn queue(slots: usize) -> PoolQueue {
        let (board, _) = Board::new();
        let queue = PoolQueue::new(board.pool(SELF_CHECK));
        queue.fit(slots, false);
        queue
    }

    fn claimed(id: i64) -> ClaimedJob {
        let job = Job {
            id,
            kind: SELF_CHECK,
            client_id: SYSTEM_CLIENT.to_owned(),
            lead_id: None,
            message_id: None,
            draft_id: None,
            run: 1,
            attempt: 1,
            max_attempts: 1,
            request_id: None,
            channel: None,
            trace: None,
        };
        let claim = Claim { job, line: -id, turn: 0, run: 1, spared: 0, waited_ms: 0 };
        let guard = InFlight::default().enter(id, 1, Vec::new());
        ClaimedJob { claim, guard, since: Instant::now(), is_suspect: false }
    }

    const ANY: PoolStanding = PoolStanding {
        free: 0,
        recorder_room: 100,
        heads_wait: false,
        is_alive: true,
        is_draining: false,
    };

    #[test]
    fn a_place_is_lent_once_and_claims_leave_it_out_until_it_is_back() {
        let queue = queue(3);
        (0..3).for_each(|slot| assert!(matches!(queue.next(slot), NextStep::Wait)));
        assert_eq!(queue.lend(2, ANY), (2, 0));
        assert_eq!(queue.room(0), 1);
        queue.claim_begins(1);
        assert_eq!(queue.lend(5, ANY), (0, 0), "the claim under way may bring a job for it");
        queue.claim_ends(7, false);
        assert_eq!(queue.lend(5, ANY), (1, 7));
        assert!(queue.hand_over(claimed(1)).is_empty());
        assert!(queue.give_place_back(), "a claim has missed it");
        assert!(!queue.give_place_back() && queue.has_lent());
        assert!(!queue.give_place_back() && !queue.has_lent());
        assert_eq!(queue.room(0), 2, "one is for the job that was handed over");
        queue.claim_ends(7, true);
        assert_eq!(queue.lend(5, ANY), (0, 7), "heads wait");
        queue.claim_ends(7, false);
        queue.close();
        assert_eq!(queue.lend(5, ANY), (0, 7));
        assert_eq!(queue.hand_over(claimed(2)).len(), 1, "it goes back");
    }

    #[derive(Default)]
    struct Sleeper(Arc<AtomicUsize>);

    impl Actor for Sleeper {
        type Context = actix::Context<Self>;
    }

    impl actix::Handler<Wake> for Sleeper {
        type Result = ();

        fn handle(&mut self, _: Wake, _: &mut Self::Context) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_slot_that_was_chosen_before_it_could_be_woken_is_woken_as_soon_as_it_can_be() {
        actix_rt::System::new().block_on(async {
            let (queue, sleeper) = (queue(1), Sleeper::default());
            let woken = sleeper.0.clone();
            // The actor runs as soon as it is started, and its address comes later.
            assert!(matches!(queue.next(0), NextStep::Wait));
            assert!(queue.hand_over(claimed(1)).is_empty());
            queue.attach(0, sleeper.start().recipient());
            let is_woken = async {
                while woken.load(Ordering::Relaxed) == 0 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(30), is_woken).await.unwrap();
            assert!(matches!(queue.next(0), NextStep::Work(job) if job.claim.job.id == 1));
        });
    }
}
