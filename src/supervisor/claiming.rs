//! How many jobs of which kinds are claimed, and when.
//!
//! One claim is in flight at a time, for all kinds at once; a nudge meanwhile causes one more. A claim
//! takes no more than the slots and their prefetch have room for, nor than the recorder can take: the
//! room in the recorder is taken before the claim and travels with the job. A claim under way belongs to the
//! handover: when the supervisor dies meanwhile, its replacement gets the answer.

use super::{
    actor::Supervisor,
    attempt,
    claim_pauses::{self, ClaimPauses},
    pool::{ClaimedJob, Pool},
};
use crate::{
    domain::{
        JobKind,
        fairness::{self, Floor, Turn},
    },
    ingest::Stored,
    recorder::{Record, Recorded},
    store::{Claim, Queue, StoreError, Transition, Want},
};
use actix::{ActorFutureExt, AsyncContext, WrapFuture};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// Event: a pool can take more jobs.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Wanting;

/// Command: the pause after the last claim is over.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub(super) struct PaceOver;

/// A claimed job that no slot has started after this long goes back into turn.
pub(super) const PREFETCH_LIMIT: Duration = Duration::from_secs(1);

/// What the claims of this node need to remember.
#[derive(Debug)]
pub(super) struct Claiming {
    /// Room in the recorder.
    room: Arc<Semaphore>,
    /// The one place for a job whose last attempt was rescued.
    suspects: Arc<Semaphore>,
    /// There may be such a job: a tick has passed, or the last look found one.
    looks_for_suspect: bool,
    floors: HashMap<&'static str, Floor>,
    started: Instant,
    pauses: ClaimPauses,
    last_claim: Option<Duration>,
    /// Kinds of which the last claim got all that it asked for: more may wait.
    full: HashSet<&'static str>,
    /// A `PaceOver` is on its way.
    is_paced: bool,
    is_nudged: bool,
    /// With which kind a remainder starts.
    first: usize,
    is_closed: bool,
}

/// A claim that is about to be made.
struct Planned {
    wants: Vec<Want>,
    permits: Vec<OwnedSemaphorePermit>,
    /// Where a suspect is looked for: its place.
    alone: Option<OwnedSemaphorePermit>,
    /// Some kind looks without a floor, and has to know V.
    reads_clock: bool,
    asked_at: Duration,
}

/// A claim that came back.
#[derive(Debug)]
pub(super) struct Arrival {
    permits: Vec<OwnedSemaphorePermit>,
    /// A suspect was looked for: its place was free.
    has_looked: bool,
    /// A suspect is settled before the next one is claimed.
    suspect: Option<(Claim, OwnedSemaphorePermit)>,
    result: Result<Claimed, StoreError>,
}

/// What a claim came to.
#[derive(Debug)]
struct Claimed {
    wants: Vec<Want>,
    asked_at: Duration,
    clock: HashMap<String, Turn>,
    claims: Vec<Claim>,
}

impl Claiming {
    pub(super) fn new(room: Arc<Semaphore>, suspects: Arc<Semaphore>, is_closed: bool) -> Self {
        Self {
            room,
            suspects,
            looks_for_suspect: true,
            floors: HashMap::new(),
            started: Instant::now(),
            pauses: ClaimPauses::default(),
            last_claim: None,
            full: HashSet::new(),
            is_paced: false,
            is_nudged: false,
            first: 0,
            is_closed,
        }
    }

    /// No claims any more.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    /// The least turn that a job of this kind can have.
    pub(super) fn floor(&self, kind: JobKind) -> Turn {
        self.floors.get(kind.0).map_or(0, Floor::least)
    }

    /// A while has passed: jobs may have been rescued.
    pub(super) fn look_for_suspect(&mut self) {
        self.looks_for_suspect = true;
    }

    /// Decides what to claim now; `None` where there is no room, and while the pause after a failed claim lasts.
    fn plan(&mut self, pools: &mut [Pool]) -> Option<Planned> {
        let asked_at = self.started.elapsed();
        if self.is_closed || self.pauses.is_pausing(asked_at) {
            return None;
        }
        let wishes: Vec<usize> = pools.iter_mut().map(Pool::room).collect();
        let room = self.room.available_permits();
        let dealt = fairness::deal(room, &wishes, self.first % wishes.len().max(1));
        self.first = self.first.wrapping_add(1);
        let mut reads_clock = false;
        let wants: Vec<Want> = pools
            .iter()
            .zip(&dealt)
            .filter(|(_, slots)| **slots > 0)
            .map(|(pool, slots)| {
                let kind = pool.kind().0;
                let floor = self.floors.entry(kind).or_default();
                reads_clock |= floor.is_full_due(asked_at);
                Want { kind, floor: floor.for_claim(asked_at), slots: *slots }
            })
            .collect();
        let total: usize = wants.iter().map(|it| it.slots).sum();
        let permits: Vec<OwnedSemaphorePermit> =
            (0..total).map_while(|_| self.room.clone().try_acquire_owned().ok()).collect();
        if permits.len() < total || total == 0 {
            return None;
        }
        self.is_nudged = false;
        let alone = match self.looks_for_suspect {
            true => self.suspects.clone().try_acquire_owned().ok(),
            false => None,
        };
        Some(Planned { wants, permits, alone, reads_clock, asked_at })
    }

    /// Takes note of what a claim got; true where more may be waiting.
    fn note(&mut self, claimed: &Claimed) -> bool {
        let mut may_be_more = false;
        for want in &claimed.wants {
            let of_kind = claimed.claims.iter().filter(|it| it.job.kind.0 == want.kind);
            let (got, greatest) =
                of_kind.fold((0, 0), |(got, greatest), it| (got + 1, it.turn.max(greatest)));
            let v = claimed.clock.get(want.kind).copied().unwrap_or_default();
            let floor = self.floors.entry(want.kind).or_default();
            floor.claimed(claimed.asked_at, want.slots, got, greatest, v);
            if got == want.slots {
                may_be_more = true;
                self.full.insert(want.kind);
            } else {
                self.full.remove(want.kind);
            }
        }
        may_be_more
    }
}

/// Makes a claim: of one suspect where that is asked for, and of what is in turn.
async fn make(planned: Planned, queue: Queue, kinds: Arc<[JobKind]>) -> Arrival {
    let Planned { mut wants, permits, alone, reads_clock, asked_at } = planned;
    let has_looked = alone.is_some();
    let mut suspect = None;
    let claim = async {
        if let Some(alone) = alone {
            let wanted: Vec<&'static str> = wants.iter().map(|it| it.kind).collect();
            if let Some(claim) = queue.claim_suspect(&wanted, kinds.clone()).await? {
                tracing::info!(job.id = claim.job.id, job.kind = %claim.job.kind, "runs as the only one of its node that was rescued");
                // It takes one of the places that its kind has.
                let of_kind = wants.iter_mut().filter(|it| it.kind == claim.job.kind.0);
                of_kind.for_each(|it| it.slots -= 1);
                wants.retain(|it| it.slots > 0);
                suspect = Some((claim, alone));
            }
        }
        let clock = if reads_clock { queue.clock().await? } else { HashMap::new() };
        let claims = match wants.is_empty() {
            true => Vec::new(),
            false => queue.claim(wants.clone(), kinds).await?,
        };
        Ok(Claimed { wants, asked_at, clock, claims })
    };
    let result = claim.await;
    Arrival { permits, has_looked, suspect, result }
}

impl Supervisor {
    /// Claims if there is room and no claim is in flight.
    pub(super) fn try_claim(&mut self, ctx: &mut actix::Context<Self>) {
        if self.plan.handover.is_flying() {
            self.claiming.is_nudged = true;
            return;
        }
        let now = self.claiming.started.elapsed();
        let full = &self.claiming.full;
        let is_half_free =
            self.pools.iter_mut().any(|it| full.contains(it.kind().0) && it.is_half_free());
        if let Some(rest) = claim_pauses::pace(self.claiming.last_claim, now, is_half_free) {
            if !std::mem::replace(&mut self.claiming.is_paced, true) {
                ctx.notify_later(PaceOver, rest);
            }
            return;
        }
        let Some(planned) = self.claiming.plan(&mut self.pools) else { return };
        self.claiming.last_claim = Some(now);
        let (queue, kinds) = (self.plan.queue.clone(), self.kinds.clone());
        self.plan.handover.take_off(make(planned, queue, kinds));
        let landing = self.plan.handover.landing().into_actor(self);
        ctx.spawn(landing.map(|arrival, actor, ctx| {
            let Some(arrival) = arrival else { return };
            match &arrival.result {
                Ok(claimed) => {
                    actor.claiming.pauses.succeeded();
                    let may_be_more = actor.claiming.note(claimed);
                    actor.claiming.is_nudged |= may_be_more;
                }
                Err(error) => {
                    // All who call for another one meanwhile wait for this retry.
                    actor.claiming.is_nudged = false;
                    let now = actor.claiming.started.elapsed();
                    let pause = actor.claiming.pauses.failed(now, rand::random());
                    tracing::warn!(%error, ?pause, "a claim failed");
                    ctx.notify_later(Wanting, pause);
                }
            }
            actor.claimed(arrival, ctx);
        }));
    }

    /// The answer of a claim that the supervisor before this one made.
    pub(super) fn take_over_claim(&mut self, ctx: &mut actix::Context<Self>) {
        if !self.plan.handover.is_flying() {
            return;
        }
        let landing = self.plan.handover.landing().into_actor(self);
        ctx.spawn(landing.map(|arrival, actor, ctx| {
            // Its floors were the other's.
            if let Some(arrival) = arrival {
                actor.claiming.is_nudged = true;
                actor.claimed(arrival, ctx);
            }
        }));
    }

    fn claimed(&mut self, arrival: Arrival, ctx: &mut actix::Context<Self>) {
        let Arrival { permits, has_looked, suspect, result } = arrival;
        let since = Instant::now();
        let in_flight = &self.plan.handover.in_flight;
        let mut given: HashMap<JobKind, Vec<ClaimedJob>> = HashMap::new();
        let mut permits = permits.into_iter();
        if has_looked && result.is_ok() {
            // The next one, as soon as this one's outcome is committed. A claim that could not look, because its
            // place was taken, says nothing.
            self.claiming.looks_for_suspect = suspect.is_some();
        }
        if let Some((claim, alone)) = suspect {
            let room = permits.next().into_iter().chain([alone]).collect();
            let hold = in_flight.hold(claim.job.id, claim.run, room);
            let held = ClaimedJob { claim, hold, since, is_suspect: true };
            given.entry(held.claim.job.kind).or_default().push(held);
        }
        let claims = result.map(|it| it.claims).unwrap_or_default();
        for (claim, permit) in claims.into_iter().zip(permits) {
            let hold = in_flight.hold(claim.job.id, claim.run, vec![permit]);
            let held = ClaimedJob { claim, hold, since, is_suspect: false };
            given.entry(held.claim.job.kind).or_default().push(held);
        }
        if !given.is_empty() {
            self.plan.board.faults().point("supervisor.claimed");
        }
        if self.claiming.is_closed {
            self.release(given.into_values().flatten().collect());
            return;
        }
        for pool in &mut self.pools {
            if let Some(jobs) = given.remove(&pool.kind()) {
                pool.give(jobs);
            }
        }
        if self.claiming.is_nudged {
            self.try_claim(ctx);
        }
    }

    /// Gives jobs back that no slot has started, without an attempt used.
    pub(super) fn release(&self, jobs: Vec<ClaimedJob>) {
        for held in jobs {
            // A suspect must not get a turn: it would be claimed together with others.
            let transition = match held.is_suspect {
                true => Transition::Postpone { after: Duration::ZERO },
                false => Transition::Release,
            };
            let on_refused = transition.clone();
            let settlement =
                attempt::settlement(&held.claim, self.plan.node, None, None, transition);
            let hold = Some(held.hold);
            self.plan.uncommitted.record(Record { settlement, on_refused, hold });
        }
    }

    /// Gives back what slow slots have not started in time: they hold nobody's turn.
    pub(super) fn release_stale(&self) {
        for pool in &self.pools {
            let stale = pool.take_back(PREFETCH_LIMIT);
            if !stale.is_empty() {
                tracing::debug!(kind = %pool.kind(), count = stale.len(), "prefetched jobs go back");
                self.release(stale);
            }
        }
    }
}

impl actix::Handler<Stored> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Stored, ctx: &mut Self::Context) {
        // Some may be due later.
        self.looking.stir();
        self.try_claim(ctx);
    }
}

impl actix::Handler<Wanting> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Wanting, ctx: &mut Self::Context) {
        self.try_claim(ctx);
    }
}

impl actix::Handler<PaceOver> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: PaceOver, ctx: &mut Self::Context) {
        self.claiming.is_paced = false;
        self.try_claim(ctx);
    }
}

impl actix::Handler<Recorded> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Recorded, ctx: &mut Self::Context) {
        // What was retried or snoozed is due sooner or later.
        self.looking.stir();
        // A head that ended may have made the next of its line ready.
        self.try_claim(ctx);
    }
}
