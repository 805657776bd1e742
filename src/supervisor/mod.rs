//! Everything that runs jobs: claims them, gives them to slots, and restarts what went down.
//!
//! Unlike the supervisors of other systems, which only restart or only fetch, this one does both; the two
//! are kept apart: `claiming` never touches what `restarts` keeps, and the reverse.

mod actor;
mod attempt;
mod claiming;
mod janitor;
mod pool;
mod slot;

pub use self::{
    actor::{Child, Drain, Supervisor, SupervisorPlan, Tick},
    janitor::{Janitor, JanitorPlan, Stop as StopJanitor, rescue},
    pool::{KindEntry, Pool, SlotPlan},
};
