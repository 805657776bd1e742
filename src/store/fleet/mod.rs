//! The fleet layer: the nodes of one database, their heartbeats, and the notices between them.

pub(super) mod heartbeat;
pub(super) mod nodes;
pub(super) mod notices;
