//! The hand-off: slots of this node are lent to jobs that are about to be stored, so that they are
//! born running and start right after their commit (docs/decisions/0044).
//!
//! What is lent counts as taken: claims leave it out, and a drain waits until it is back. It comes
//! back with the end of the group's commit, whatever that is.

use super::{
    attempt, claiming::SlotFree, handover::Handover, pool::SlotSetup, pool_queue::ClaimedJob,
    pool_queue::PoolQueue,
};
use crate::{
    config,
    domain::{Id, JobKind, hand_off::PoolStanding},
    recorder::{LentRoom, Uncommitted},
    store::{Claim, FreePlaces, LentSlots, Membership, SlotLender, UnstartedRuns},
    telemetry::{board::Board, metrics::KindMetrics},
};
use dashmap::DashMap;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::time::Instant;

/// Lends slots of this process. A clone lends the same slots. It outlives supervisors.
#[derive(Clone)]
pub struct HandOffDesk(Arc<SharedDesk>);

/// The parts from which a [`HandOffDesk`] is made.
#[derive(Debug)]
pub struct HandOffSetup {
    /// What outlives a supervisor: the runs in memory, and room in the recorder.
    pub handover: Arc<Handover>,
    /// Receives jobs that go back.
    pub uncommitted: Uncommitted,
    /// The id of this process as a node.
    pub node: Id,
    /// Knows how this node is seen by others.
    pub membership: Membership,
    /// The configuration that applies now.
    pub config: config::Live,
    /// Knows whether the daemon stops.
    pub board: Arc<Board>,
    /// The runs that were stored and not started.
    pub unstarted: UnstartedRuns,
}

struct SharedDesk {
    setup: HandOffSetup,
    /// The pools that have been made.
    pools: DashMap<JobKind, LendingPool>,
}

/// The part of a pool that lends.
#[derive(Clone)]
struct LendingPool {
    waiting: Arc<PoolQueue>,
    metrics: KindMetrics,
}

impl fmt::Debug for HandOffDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandOffDesk").field("pools", &self.0.pools.len()).finish_non_exhaustive()
    }
}

impl HandOffDesk {
    /// A desk that lends nothing until it knows a pool.
    pub fn new(setup: HandOffSetup) -> Self {
        Self(Arc::new(SharedDesk { setup, pools: DashMap::new() }))
    }

    /// From now on it lends slots of this pool.
    pub(super) fn add(&self, setup: &SlotSetup) {
        let pool = LendingPool { waiting: setup.waiting.clone(), metrics: setup.metrics.clone() };
        self.0.pools.insert(setup.kind, pool);
    }
}

impl SharedDesk {
    /// What is known of every pool, beside its slots.
    fn standing(&self) -> PoolStanding {
        let setup = &self.setup;
        let lease = setup.config.get().supervisor.lease;
        // Before the first heartbeat, the node has just registered.
        let last = setup.membership.last();
        PoolStanding {
            free: 0,
            recorder_room: setup.handover.room.free(),
            heads_wait: false,
            is_alive: last.is_none_or(|last| last.0.elapsed() < lease),
            is_draining: setup.board.is_draining() || setup.unstarted.is_full(),
        }
    }
}

impl SlotLender for HandOffDesk {
    fn lend(
        &self,
        wanted: &BTreeMap<JobKind, usize>,
        point: &'static str,
    ) -> Option<Arc<dyn LentSlots>> {
        if wanted.is_empty() || self.0.pools.is_empty() {
            return None;
        }
        let standing = self.0.standing();
        let mut lent = Vec::new();
        for (kind, wanted) in wanted {
            let Some(pool) = self.0.pools.get(kind).map(|it| it.value().clone()) else { continue };
            let (count, floor) = pool.waiting.lend(*wanted, standing);
            let mut of_kind = LentOfKind { kind: *kind, pool, floor, rooms: Vec::new() };
            for _ in 0..count {
                match self.0.setup.handover.room.take() {
                    Some(room) => of_kind.rooms.push(room),
                    None => of_kind.give_back(&self.0),
                }
            }
            if !of_kind.rooms.is_empty() {
                lent.push(of_kind);
            }
        }
        if lent.is_empty() {
            return None;
        }
        Some(Arc::new(LentGroup { desk: self.0.clone(), point, lent: Mutex::new((lent, 0)) }))
    }
}

/// Places that a pool has lent, with room in the recorder for each.
struct LentOfKind {
    kind: JobKind,
    pool: LendingPool,
    floor: i64,
    rooms: Vec<LentRoom>,
}

impl LentOfKind {
    /// Gives one place back to the slots, and wakes the supervisor if a claim has missed it.
    fn give_back(&self, desk: &SharedDesk) {
        if self.pool.waiting.give_place_back() {
            let supervisor = desk.setup.handover.address.get();
            if supervisor.is_none_or(|it| it.try_send(SlotFree).is_err()) {
                tracing::trace!("the supervisor is busy: it will look anyway");
            }
        }
    }
}

/// The places that are lent for one group.
struct LentGroup {
    desk: Arc<SharedDesk>,
    /// The fault point between the commit and the start.
    point: &'static str,
    /// The places that are left, and how many jobs were started.
    lent: Mutex<(Vec<LentOfKind>, usize)>,
}

impl fmt::Debug for LentGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LentGroup").field("started", &self.started()).finish_non_exhaustive()
    }
}

impl LentGroup {
    fn lent(&self) -> MutexGuard<'_, (Vec<LentOfKind>, usize)> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start_one(&self, claim: Claim) {
        let (setup, job_id) = (&self.desk.setup, claim.job.id);
        let mut lent = self.lent();
        let of_kind = lent.0.iter_mut().find(|it| it.kind == claim.job.kind);
        let Some((of_kind, room)) = of_kind.and_then(|it| it.rooms.pop().map(|room| (it, room)))
        else {
            tracing::error!(job.id = job_id, "a job was born without a place: it goes back");
            return;
        };
        let guard = setup.handover.in_flight.enter(job_id, claim.run, vec![room]);
        setup.unstarted.starts(job_id);
        let claimed = ClaimedJob { claim, guard, since: Instant::now(), is_suspect: false };
        for back in of_kind.pool.waiting.hand_over(claimed) {
            attempt::give_back(&setup.uncommitted, setup.node, back);
        }
        of_kind.pool.metrics.handed_off();
        // Only now: a drain waits for what is lent, and so for the job that may have gone back.
        of_kind.give_back(&self.desk);
        lent.1 += 1;
    }
}

impl LentSlots for LentGroup {
    fn places(&self) -> Vec<FreePlaces> {
        let place = |it: &LentOfKind| FreePlaces {
            kind: it.kind.0,
            floor: it.floor,
            count: it.rooms.len(),
        };
        self.lent().0.iter().filter(|it| !it.rooms.is_empty()).map(place).collect()
    }

    fn note(&self, job_ids: &[Id]) {
        self.desk.setup.unstarted.note(job_ids);
    }

    fn start(&self, claims: Vec<Claim>) {
        self.desk.setup.board.faults().point(self.point);
        claims.into_iter().for_each(|claim| self.start_one(claim));
    }

    fn started(&self) -> usize {
        self.lent().1
    }
}

impl Drop for LentGroup {
    fn drop(&mut self) {
        for mut of_kind in std::mem::take(&mut self.lent().0) {
            // First the room: a claim that is woken takes it.
            let left = std::mem::take(&mut of_kind.rooms).len();
            (0..left).for_each(|_| of_kind.give_back(&self.desk));
        }
    }
}
