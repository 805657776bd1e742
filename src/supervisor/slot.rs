//! A slot: one handler actor, which works on one job of its kind at a time.
//!
//! Its pool owns it. The job that it works on is kept outside of it, so that the supervisor finds
//! it. Its mailbox holds at most one wake-up. When it dies, the board reports that at once, its
//! job becomes a failed attempt, and a replacement is started. When its pool shrinks, it ends
//! between two jobs.

use super::{
    attempt, claiming::SlotFree, pool::SlotSetup, pool_slots::CurrentJob, slot_states::NextStep,
};
use crate::{
    handlers::JobHandler,
    store::wall_clock,
    telemetry::board::{ActorType, Post, Presence},
};
use actix::{ActorContext, ActorFutureExt, AsyncContext, AtomicResponse, WrapFuture};
use std::sync::Arc;

/// The owner of slots, by its name on the board.
pub(super) const PARENT: &str = "supervisor";

/// Command: take the next job, if there is one.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub(super) struct Wake;

/// What a slot works with. Its actor holds it, and so does the future that works off its jobs.
pub(super) struct SlotWork<H> {
    pub(super) handler: Arc<H>,
    pub(super) setup: SlotSetup,
    pub(super) number: usize,
    /// On the board and in the history of attempts.
    pub(super) name: String,
    pub(super) current: Arc<CurrentJob>,
    pub(super) post: Arc<Post>,
}

/// Why a slot ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlotEnd {
    /// Its handler panicked or is stuck: it is to be replaced.
    Broken,
    /// It was silent for too long, and another slot has taken its place.
    Abandoned,
    /// Its pool has shrunk: it is not wanted any more.
    Leaves,
}

/// One slot of the pool of `H`.
pub(super) struct HandlerActor<H> {
    work: Arc<SlotWork<H>>,
    presence: Presence,
}

impl<H: JobHandler> HandlerActor<H> {
    pub(super) fn new(
        handler: H,
        setup: SlotSetup,
        number: usize,
        current: Arc<CurrentJob>,
    ) -> Self {
        let name = setup.slot_name(number);
        let presence = setup.board.enter(&name, ActorType::Handler, PARENT, wall_clock());
        let (handler, post) = (Arc::new(handler), presence.post().clone());
        let work = SlotWork { handler, setup, number, name, current, post };
        Self { work: Arc::new(work), presence }
    }
}

impl<H: JobHandler> actix::Actor for HandlerActor<H> {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.work.setup.board.faults().point("slot.started");
        ctx.notify(Wake);
    }
}

impl<H: JobHandler> actix::Handler<Wake> for HandlerActor<H> {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: Wake, _: &mut Self::Context) -> Self::Result {
        self.work.setup.board.faults().point("slot.handle");
        let work = work_off(self.work.clone());
        AtomicResponse::new(Box::pin(work.into_actor(self).map(|end, actor, ctx| match end {
            None => actor.work.post.idle(wall_clock()),
            // The presence is dropped without leave: the supervisor starts a replacement, or
            // takes the slot out of its pool.
            Some(SlotEnd::Broken | SlotEnd::Leaves) => ctx.stop(),
            Some(SlotEnd::Abandoned) => {
                actor.presence.give_place();
                ctx.stop();
            }
        })))
    }
}

/// Works off what the pool has for this slot, job by job. `None`: there is no more.
async fn work_off<H: JobHandler>(slot: Arc<SlotWork<H>>) -> Option<SlotEnd> {
    let waiting = &slot.setup.waiting;
    loop {
        let claimed = match waiting.next(slot.number) {
            NextStep::Work(claimed) => claimed,
            NextStep::Wait => break,
            NextStep::Leave => return Some(SlotEnd::Leaves),
        };
        let end = attempt::run(&slot, claimed).await;
        if end == Some(SlotEnd::Abandoned) {
            return end;
        }
        if waiting.is_empty() {
            ask_for_more(&slot.setup);
        }
        if end.is_some() {
            return end;
        }
    }
    ask_for_more(&slot.setup);
    None
}

/// Tells the supervisor that a slot is free.
fn ask_for_more(setup: &SlotSetup) {
    let is_told = setup.supervisor.get().is_some_and(|it| it.try_send(SlotFree).is_ok());
    if !is_told {
        tracing::trace!(
            "the supervisor is busy, or another one is on its way: it will look anyway"
        );
    }
}
