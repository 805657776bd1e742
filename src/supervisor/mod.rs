//! Everything that runs jobs: claims them, gives them to slots, and restarts actors that went
//! down.
//!
//! Other systems call a supervisor what only restarts, or only fetches; this one does both.
//! `claiming` decides which jobs are taken, `restarts` which actors are started again, `fitting`
//! how pools follow the configuration, `drain` how it ends; all four are parts of the `actor`. A
//! kind's `pool` stands between them: claiming fills its queue (`pool_queue`), restarts replaces
//! its slots (`pool_slots`), and fitting says how many slots there are. Neither touches another's
//! part; the pool joins them: jobs wake slots, and a slot that is down or leaving gets no job
//! (`slot_states`). A `slot` takes jobs from the queue, and `attempt` is what happens to a job from
//! there to the recorder. Above the supervisor is the `guardian`, and what one supervisor leaves
//! to the next is its `handover`.

mod actor;
mod attempt;
mod claim_pauses;
mod claiming;
mod drain;
mod fitting;
mod guardian;
mod hand_off;
mod handover;
mod janitor;
mod listener;
mod poll_policy;
mod pool;
mod pool_queue;
mod pool_slots;
mod restarts;
mod slot;
mod slot_states;
mod thread_watch;
mod work;

pub use self::{
    actor::{Supervisor, SupervisorSetup, Tick},
    drain::Drain,
    guardian::Guardian,
    hand_off::{HandOffDesk, HandOffSetup},
    handover::{ClaimsHere, Handover, SupervisorAddress},
    janitor::{Janitor, JanitorSetup, Rescued, rescue},
    listener::{Listener, ListenerSetup},
    pool::KindEntry,
    restarts::Child,
    work::WorkRuntime,
};
