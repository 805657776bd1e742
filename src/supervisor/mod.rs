//! Everything that runs jobs: claims them, gives them to slots, and restarts what went down.
//!
//! Unlike the supervisors of other systems, which only restart or only fetch, this one does both: `claiming`
//! decides which jobs are taken, `restarts` which actors are started again. Both go through a kind's `pool`,
//! which keeps its queue, its slots and how often they went down. Above it is the `guardian`, and what one
//! supervisor leaves to the next is its `handover`.

mod actor;
mod attempt;
mod claim_pauses;
mod claiming;
mod guardian;
mod handover;
mod janitor;
mod listener;
mod poll_policy;
mod pool;
mod restarts;
mod slot;
mod thread_watch;
mod work;

pub use self::{
    actor::{Drain, Supervisor, SupervisorPlan, Tick},
    guardian::Guardian,
    handover::{Handover, SupervisorAddress},
    janitor::{Janitor, JanitorPlan, Rescued, rescue},
    listener::{Listener, ListenerPlan},
    pool::{KindEntry, Pool, SlotPlan},
    restarts::{Child, Pulse},
    work::Work,
};
