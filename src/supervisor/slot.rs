//! A slot: one handler actor, which runs one job of its kind at a time.
//!
//! Owned by its pool. It holds the job it runs, where the supervisor can see it; its mailbox holds at most
//! a wake-up. When it dies, the board says so at once, its job is a failed attempt, and a replacement is
//! started.

use super::{
    attempt::{self, Ended},
    claiming::Wanting,
    pool::{Hand, InHand, SlotPlan},
};
use crate::{
    handlers::JobHandler,
    store::wall_clock,
    telemetry::board::{ActorType, PoolPost, Post, Presence},
};
use actix::{ActorContext, ActorFutureExt, AsyncContext, AtomicResponse, WrapFuture};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// What a slot may take beyond the time-outs of its attempt until it counts as silent.
const SILENCE_MARGIN: Duration = Duration::from_secs(2);
/// Who owns slots.
pub(super) const PARENT: &str = "supervisor";

/// Command: see whether there is a job for you.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub(super) struct Wake;

/// One slot of the pool of `H`.
pub(super) struct HandlerActor<H> {
    handler: Arc<H>,
    plan: SlotPlan,
    number: usize,
    in_hand: InHand,
    presence: Presence,
}

impl<H: JobHandler> HandlerActor<H> {
    pub(super) fn new(plan: SlotPlan, number: usize, in_hand: InHand) -> Self {
        let name = plan.slot_name(number);
        let presence = plan.board.enter(&name, ActorType::Handler, PARENT, wall_clock());
        Self { handler: Arc::new(H::default()), plan, number, in_hand, presence }
    }
}

impl<H: JobHandler> actix::Actor for HandlerActor<H> {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.plan.board.faults().point("slot.started");
        ctx.notify(Wake);
    }
}

/// Why a slot stops working off.
enum Pause {
    /// Nothing to do.
    Idle,
    /// The handler panicked or is stuck: the slot is to be replaced.
    Broken,
    /// The pool has shrunk.
    Surplus,
    /// It was silent for so long that another one has its place.
    Abandoned,
}

impl<H: JobHandler> actix::Handler<Wake> for HandlerActor<H> {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: Wake, _: &mut Self::Context) -> Self::Result {
        self.plan.board.faults().point("slot.handle");
        let (handler, plan) = (self.handler.clone(), self.plan.clone());
        let (number, in_hand) = (self.number, self.in_hand.clone());
        let post = self.presence.post().clone();
        let work = async move { work_off(handler, &plan, &post, number, &in_hand).await };
        AtomicResponse::new(Box::pin(work.into_actor(self).map(|pause, actor, ctx| match pause {
            Pause::Idle => actor.presence.post().idle(wall_clock()),
            // The presence is dropped without leave: the supervisor starts a replacement.
            Pause::Broken => ctx.stop(),
            Pause::Abandoned => {
                actor.presence.give_place();
                ctx.stop();
            }
            Pause::Surplus => {
                actor.presence.leave();
                actor.plan.board.remove(&actor.plan.slot_name(actor.number));
                ctx.stop();
            }
        })))
    }
}

/// Works off what the pool has for this slot, job by job.
async fn work_off<H: JobHandler>(
    handler: Arc<H>,
    plan: &SlotPlan,
    post: &Post,
    number: usize,
    in_hand: &Hand,
) -> Pause {
    let name = plan.slot_name(number);
    loop {
        let Some(held) = plan.shared.next(number) else {
            want_more(plan);
            let stops = plan.shared.is_surplus(number);
            return if stops { Pause::Surplus } else { Pause::Idle };
        };
        post.busy(held.claim.job.id, wall_clock());
        let claim = held.claim.clone();
        // Read once: a time-out that is changed meanwhile is the next attempt's.
        let cfg = plan.config.get().pools.of(plan.kind.0);
        in_hand.put(held, cfg.timeout + attempt::STUCK_AFTER + SILENCE_MARGIN);
        plan.board.faults().point("slot.work");
        let busy = Busy::new(&plan.shared.post);
        let ended = attempt::run(handler.clone(), plan, cfg, &claim, &name).await;
        drop(busy);
        if in_hand.is_abandoned() {
            // Its thread was counted as lost, and is back.
            plan.shared.post.lost_threads.fetch_sub(1, Ordering::Relaxed);
            return Pause::Abandoned;
        }
        if ended.is_success() {
            plan.shared.succeeded();
        }
        let broken = ended.broken();
        if let Some(reason) = broken {
            post.failed(wall_clock(), reason.as_str());
        }
        hand_over(plan, in_hand, ended);
        if plan.shared.queued() == 0 {
            want_more(plan);
        }
        if broken.is_some() {
            return Pause::Broken;
        }
    }
}

/// Counts a slot as busy while it lives; also where the slot dies meanwhile.
struct Busy<'a>(&'a PoolPost);

impl<'a> Busy<'a> {
    fn new(post: &'a PoolPost) -> Self {
        post.busy.fetch_add(1, Ordering::Relaxed);
        Self(post)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
        self.0.finished.fetch_add(1, Ordering::Relaxed);
    }
}

/// Gives the outcome to the recorder. The slot does not wait for the commit: the room that was taken
/// before the claim says that there is a place. Nothing in hand: the supervisor has taken the job away.
fn hand_over(plan: &SlotPlan, in_hand: &Hand, ended: Ended) {
    if let Some(held) = in_hand.take() {
        plan.uncommitted.record(ended.into_record(held, plan.node));
    }
}

/// Tells the supervisor that this pool can take more, at most once until it has looked.
fn want_more(plan: &SlotPlan) {
    let is_told = plan.supervisor.get().is_some_and(|it| it.try_send(Wanting).is_ok());
    if !is_told {
        tracing::trace!(
            "the supervisor is busy, or another one is on its way: it will look anyway"
        );
    }
}
