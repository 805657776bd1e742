//! The tables: what their rows mean, and the rules by which they change together.

pub(super) mod answers;
pub(super) mod born;
pub(super) mod caps;
pub(super) mod drafts;
pub(super) mod heads;
pub(super) mod identities;
pub(super) mod installation;
pub(super) mod leads;
pub(super) mod lines;
pub(super) mod merge;
pub(super) mod message_keys;
pub(super) mod messages;
pub(super) mod opt_outs;
pub(super) mod quarantine_room;
pub(super) mod reopened;
pub(super) mod suspects;
pub(super) mod turns;
pub(super) mod unknown_clients;
