//! Live updates: what pages and programs are told while they look, as a stream of server-sent
//! events (docs/decisions/0038-live-updates.md).
//!
//! `topic` is what a stream can tell about, `values` what is told, `hub` who is told, `queue` what
//! waits for a reader, and `pulse` the timer that reads it.

mod hub;
mod pulse;
mod queue;
mod topic;
pub(in crate::http) mod values;

pub(crate) use self::hub::OF_OWNER_MAX;
pub(in crate::http) use self::{
    hub::{Hub, STREAMS_MAX, StreamRefusal, UpdateStream},
    pulse::{beat, series},
    topic::Topic,
};
