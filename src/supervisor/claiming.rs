//! How many jobs of which kinds are claimed, and when.
//!
//! One claim is under way at a time, for all kinds at once; a nudge meanwhile causes one more. A
//! claim takes no more than the slots and their prefetch have room for, and no more than the
//! recorder can take: room in the recorder is taken before the claim and travels with the job.
//! The claim under way belongs to the handover: if the supervisor dies meanwhile, its replacement
//! gets the result.

use super::{
    actor::Supervisor,
    attempt,
    claim_pauses::{self, ClaimPauses},
    pool::Pool,
    pool_queue::ClaimedJob,
};
use crate::{
    domain::{
        JobKind,
        fairness::{self, Floor, Turn},
    },
    ingest::Stored,
    recorder::{LentRoom, Recorded, ResizableBound},
    store::{Claim, Queue, StoreError, Want, WriterToken},
};
use actix::{ActorFutureExt, AsyncContext, WrapFuture};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// Event: a slot is free, and its pool can take more jobs.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub(super) struct SlotFree;

/// A message to oneself: the pause after a claim that failed is over.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
struct RetryClaim;

/// A message to oneself: the pause after the last claim is over.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
struct PaceOver;

/// A claimed job that no slot has started after this long goes back into turn.
const PREFETCH_LIMIT: Duration = Duration::from_secs(1);

/// What the claims of this node need to remember. A new supervisor starts with none of it.
#[derive(Debug)]
pub(super) struct Claiming {
    /// Room in the recorder: one permit for each outcome that it may still take.
    room: ResizableBound,
    /// One permit: this node runs at most one job whose last attempt was rescued.
    suspects: ResizableBound,
    /// True if the next claim searches for a suspect: a tick has passed, or the last claim found
    /// one.
    looks_for_suspect: bool,
    /// The floors of claims, by the name of the kind.
    floors: HashMap<&'static str, Floor>,
    /// The start of the clock of floors and pauses.
    started: Instant,
    pauses: ClaimPauses,
    /// When the last claim was started.
    last_claim: Option<Duration>,
    /// Names of the kinds of which the last claim got all that it asked for: more jobs may wait.
    full: HashSet<&'static str>,
    /// A `PaceOver` is on its way.
    is_paced: bool,
    /// A claim is about to be planned: it waits for the writer.
    is_waiting: bool,
    /// Somebody has asked for a claim since the last one was planned.
    is_nudged: bool,
    /// The number of the pool that gets a remainder of room first; it grows by one with each claim.
    first: usize,
    /// True once the daemon drains: nothing is claimed.
    is_closed: bool,
}

/// A claim that is about to be made.
struct Planned {
    wants: Vec<Want>,
    /// Room in the recorder, one permit for each job wanted.
    permits: Vec<LentRoom>,
    /// The place for a suspect, if the claim searches for one.
    suspect_place: Option<LentRoom>,
    /// Some kind is claimed without a floor, and has to know V.
    reads_clock: bool,
    asked_at: Duration,
}

/// A claim that is finished.
#[derive(Debug)]
pub(super) struct ClaimResult {
    permits: Vec<LentRoom>,
    /// True if it searched for a suspect: the place for one was free.
    has_looked: bool,
    /// The suspect with its place, which stays taken until the suspect is settled.
    suspect: Option<(Claim, LentRoom)>,
    result: Result<Claimed, StoreError>,
}

/// What a claim brought.
#[derive(Debug)]
struct Claimed {
    wants: Vec<Want>,
    asked_at: Duration,
    /// V by the name of the kind; empty unless it was read.
    clock: HashMap<String, Turn>,
    claims: Vec<Claim>,
}

impl Claiming {
    pub(super) fn new(room: ResizableBound, suspects: ResizableBound, is_closed: bool) -> Self {
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
            is_waiting: false,
            is_nudged: false,
            first: 0,
            is_closed,
        }
    }

    /// From now on nothing is claimed.
    pub(super) const fn close(&mut self) {
        self.is_closed = true;
    }

    /// The least turn that a job of this kind can have.
    pub(super) fn floor(&self, kind: JobKind) -> Turn {
        self.floors.get(kind.0).map_or(0, Floor::least)
    }

    /// Lets the next claim search for a suspect: jobs may have been rescued meanwhile.
    pub(super) const fn look_for_suspect(&mut self) {
        self.looks_for_suspect = true;
    }

    /// Decides what to claim now. `None`: there is no room, or a claim failed and its pause is
    /// not over.
    fn plan(&mut self, pools: &mut [Pool]) -> Option<Planned> {
        let asked_at = self.started.elapsed();
        if self.is_closed || self.pauses.is_pausing(asked_at) {
            return None;
        }

        // Deal the room of the recorder to the pools.
        let wishes: Vec<usize> = pools.iter_mut().map(Pool::room).collect();
        let room = self.room.free();
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

        // Take that room.
        let total: usize = wants.iter().map(|want| want.slots).sum();
        let permits: Vec<LentRoom> = (0..total).map_while(|_| self.room.take()).collect();
        if permits.len() < total || total == 0 {
            return None;
        }
        self.is_nudged = false;
        let suspect_place = match self.looks_for_suspect {
            true => self.suspects.take(),
            false => None,
        };
        Some(Planned { wants, permits, suspect_place, reads_clock, asked_at })
    }

    /// Takes note of how a claim ended. Returns the pause before its retry if it failed.
    fn note(&mut self, result: &ClaimResult) -> Option<Duration> {
        match &result.result {
            Ok(claimed) => {
                self.pauses.succeeded();
                let may_be_more = self.note_claimed(claimed);
                self.is_nudged |= may_be_more;
                None
            }
            Err(error) => {
                // All nudges wait for this retry.
                self.is_nudged = false;
                let pause = self.pauses.failed(self.started.elapsed(), rand::random());
                tracing::warn!(%error, ?pause, "a claim failed");
                Some(pause)
            }
        }
    }

    /// Takes note of what a claim got. True: more jobs may be waiting.
    fn note_claimed(&mut self, claimed: &Claimed) -> bool {
        let mut may_be_more = false;
        for want in &claimed.wants {
            let of_kind = claimed.claims.iter().filter(|claim| claim.job.kind.0 == want.kind);
            let (got, greatest) =
                of_kind.fold((0, 0), |(got, greatest), claim| (got + 1, claim.turn.max(greatest)));
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

/// Makes a claim: first of one suspect if there is a place for it, then of the jobs with the
/// smallest turns.
async fn make(planned: Planned, queue: Queue, kinds: Arc<[JobKind]>) -> ClaimResult {
    let Planned { mut wants, permits, suspect_place, reads_clock, asked_at } = planned;
    let has_looked = suspect_place.is_some();
    let mut suspect = None;
    let claim = async {
        if let Some(place) = suspect_place {
            let wanted: Vec<&'static str> = wants.iter().map(|want| want.kind).collect();
            if let Some(claim) = queue.claim_suspect(&wanted, kinds.clone()).await? {
                tracing::info!(job.id = claim.job.id, job.kind = %claim.job.kind, "a suspect runs, as the only one of this node");
                // It takes one of the places that its kind has.
                let of_kind = wants.iter_mut().filter(|want| want.kind == claim.job.kind.0);
                of_kind.for_each(|want| want.slots -= 1);
                wants.retain(|want| want.slots > 0);
                suspect = Some((claim, place));
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
    ClaimResult { permits, has_looked, suspect, result }
}

/// Claims, and gives claimed jobs to the queues of the pools or back to the database.
impl Supervisor {
    /// Claims if there is room and no claim is under way.
    pub(super) fn try_claim(&mut self, ctx: &mut actix::Context<Self>) {
        if self.setup.handover.is_claim_under_way() || self.claiming.is_waiting {
            self.claiming.is_nudged = true;
            return;
        }
        let has_room =
            self.claiming.room.free() > 0 && self.pools.iter_mut().any(|it| it.room() > 0);
        if !has_room {
            return;
        }

        // Wait a moment after the last claim, so that this one takes more.
        let now = self.claiming.started.elapsed();
        let full = &self.claiming.full;
        let is_half_free =
            self.pools.iter_mut().any(|pool| full.contains(pool.kind().0) && pool.is_half_free());
        if let Some(rest) = claim_pauses::pace(self.claiming.last_claim, now, is_half_free) {
            if !std::mem::replace(&mut self.claiming.is_paced, true) {
                ctx.notify_later(PaceOver, rest);
            }
            return;
        }

        // Wait for the writer.
        self.claiming.is_waiting = true;
        let token = self.setup.queue.token().into_actor(self);
        ctx.spawn(token.map(|token, actor, ctx| {
            actor.claiming.is_waiting = false;
            actor.claim(token, ctx);
        }));
    }

    /// Claims if there still is room.
    fn claim(&mut self, token: WriterToken, ctx: &mut actix::Context<Self>) {
        // Start the claim.
        let Some(planned) = self.claiming.plan(&mut self.pools) else { return };
        for want in &planned.wants {
            let of_kind = self.pools.iter().filter(|pool| pool.kind().0 == want.kind);
            of_kind.for_each(|pool| pool.setup().waiting.claim_begins(want.slots));
        }
        self.claiming.last_claim = Some(planned.asked_at);
        let (queue, kinds) = (self.setup.queue.clone(), self.kinds.clone());
        self.setup.handover.start_claim(async move {
            let result = make(planned, queue, kinds).await;
            drop(token);
            result
        });

        // Take its result.
        let finished = self.setup.handover.claim_finished().into_actor(self);
        ctx.spawn(finished.map(|result, actor, ctx| {
            let Some(result) = result else {
                actor.claim_ends();
                return;
            };
            if let Some(pause) = actor.claiming.note(&result) {
                ctx.notify_later(RetryClaim, pause);
            }
            actor.claimed(result, ctx);
        }));
    }

    /// Takes the result of the claim that the supervisor before this one made, if one is under
    /// way.
    pub(super) fn take_over_claim(&mut self, ctx: &mut actix::Context<Self>) {
        if !self.setup.handover.is_claim_under_way() {
            self.claim_ends();
            return;
        }
        let finished = self.setup.handover.claim_finished().into_actor(self);
        ctx.spawn(finished.map(|result, actor, ctx| {
            // It says nothing of the floors of this supervisor.
            match result {
                Some(result) => {
                    actor.claiming.is_nudged = true;
                    actor.claimed(result, ctx);
                }
                None => actor.claim_ends(),
            }
        }));
    }

    fn claimed(&mut self, result: ClaimResult, ctx: &mut actix::Context<Self>) {
        let ClaimResult { permits, has_looked, suspect, result } = result;
        if has_looked && result.is_ok() {
            // If there was a suspect, search for the next as soon as its outcome is committed. A
            // claim that could not search, because the place was taken, says nothing.
            self.claiming.looks_for_suspect = suspect.is_some();
        }

        // Note each job as in memory, with its room in the recorder.
        let (since, in_flight) = (Instant::now(), &self.setup.handover.in_flight);
        let mut permits = permits.into_iter();
        let mut given: HashMap<JobKind, Vec<ClaimedJob>> = HashMap::new();
        let mut take = |claim: Claim, room, is_suspect| {
            let guard = in_flight.enter(claim.job.id, claim.run, room);
            let of_kind = given.entry(claim.job.kind).or_default();
            of_kind.push(ClaimedJob { claim, guard, since, is_suspect });
        };
        if let Some((claim, place)) = suspect {
            take(claim, permits.next().into_iter().chain([place]).collect(), true);
        }
        let claims = result.map(|it| it.claims).unwrap_or_default();
        for (claim, permit) in claims.into_iter().zip(permits) {
            take(claim, vec![permit], false);
        }
        if !given.is_empty() {
            self.setup.board.faults().point("supervisor.claimed");
        }

        // Give the jobs to the pools.
        if self.claiming.is_closed {
            self.give_back(given.into_values().flatten().collect());
            return;
        }
        for pool in &self.pools {
            if let Some(jobs) = given.remove(&pool.kind()) {
                self.give_back(pool.give(jobs));
            }
        }
        self.claim_ends();
        if self.claiming.is_nudged {
            self.try_claim(ctx);
        }
    }

    /// No claim is under way any more. Tells the pools what the last one has shown.
    fn claim_ends(&self) {
        for pool in &self.pools {
            let (kind, claiming) = (pool.kind(), &self.claiming);
            let heads_wait = claiming.full.contains(kind.0);
            pool.setup().waiting.claim_ends(claiming.floor(kind), heads_wait);
        }
    }

    /// Gives jobs back that no slot has started, without an attempt used.
    pub(super) fn give_back(&self, jobs: Vec<ClaimedJob>) {
        for claimed in jobs {
            attempt::give_back(&self.setup.uncommitted, self.setup.node, claimed);
        }
    }

    /// Gives back what slow slots have not started in time, so that no other job waits for it.
    pub(super) fn give_back_stale(&self) {
        for pool in &self.pools {
            let stale = pool.setup().waiting.take_stale(PREFETCH_LIMIT);
            if !stale.is_empty() {
                tracing::debug!(kind = %pool.kind(), count = stale.len(), "prefetched jobs go back");
                self.give_back(stale);
            }
        }
    }
}

impl actix::Handler<Stored> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Stored, ctx: &mut Self::Context) {
        // Some of the jobs may be due later.
        self.polling.note_change();
        self.try_claim(ctx);
    }
}

impl actix::Handler<SlotFree> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: SlotFree, ctx: &mut Self::Context) {
        self.try_claim(ctx);
    }
}

impl actix::Handler<RetryClaim> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: RetryClaim, ctx: &mut Self::Context) {
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
        // Jobs that are retried or snoozed are due later.
        self.polling.note_change();
        // A head that ended may have made the next job of its line ready.
        self.try_claim(ctx);
    }
}
