//! Everything that runs jobs: claims them, gives them to slots, and restarts what went down.
//!
//! Unlike the supervisors of other systems, which only restart or only fetch, this one does both; the two
//! are kept apart: `claiming` never touches what `restarts` keeps, and the reverse. Above it is the
//! `guardian`, and what one supervisor leaves to the next is its `estate`.

mod actor;
mod attempt;
mod claim_pauses;
mod claiming;
mod estate;
mod guardian;
mod janitor;
mod listener;
mod looking;
mod pool;
mod restarts;
mod slot;
mod turns;
mod work;

pub use self::{
    actor::{Drain, Supervisor, SupervisorPlan, Tick},
    estate::{Address, Estate},
    guardian::Guardian,
    janitor::{Janitor, JanitorPlan, Stop as StopJanitor, rescue},
    listener::{Listener, ListenerPlan},
    pool::{KindEntry, Pool, SlotPlan},
    restarts::{Child, Pulse},
    work::Work,
};
