//! What *read* has found out for *decide*, beside the records of the webhooks themselves.

use crate::{
    domain::{Id, Timestamp, event::NewMessage},
    store::tables::{leads::Leads, merge::Merge, messages::RepeatedMessage},
};
use std::collections::HashMap;

/// What is known to a group under its locks.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// By id: the stored messages that webhooks of the group repeat. One that was pruned while its
    /// key was not is missing.
    pub(crate) repeated: HashMap<Id, Repeated>,
    /// By id: the messages that events of the group are about.
    pub(crate) changeable: HashMap<Id, Changeable>,
    /// The leads of the group, locked, with those that it makes.
    pub(crate) leads: Leads,
    /// The stored leads that the group has merged into others; their lines are still to be moved.
    pub(crate) merges: Vec<Merge>,
}

/// A stored message that webhooks of the group repeat, and what these bring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeated {
    pub(crate) message: RepeatedMessage,
    pub(crate) brings: Brings,
}

/// What the webhooks that repeat a message bring for it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Brings {
    /// A provider's verdict.
    pub(crate) hint: bool,
    /// A text that is not empty.
    pub(crate) text: bool,
    /// The provider's id of it.
    pub(crate) name: bool,
}

impl Brings {
    /// With what one more webhook brings.
    pub(crate) fn with(self, message: &NewMessage) -> Self {
        Self {
            hint: self.hint || message.hint.is_some(),
            text: self.text || !message.body.is_empty(),
            name: self.name || message.provider_id.is_some(),
        }
    }
}

impl Repeated {
    /// True where its job must be made. A message that was handled needs none: its job was pruned.
    pub(crate) const fn misses_its_job(&self) -> bool {
        let message = &self.message;
        message.is_inbound && !message.is_handled && message.job_id.is_none()
    }

    /// True where it came without a text and would take one.
    pub(crate) const fn lacks_text(&self) -> bool {
        self.message.is_empty && self.message.is_inbound
    }

    /// True where the group may change it or its lead, which is locked before it.
    pub(crate) const fn needs_lock(&self) -> bool {
        let Brings { hint, text, name } = self.brings;
        self.misses_its_job()
            || hint
            || (name && !self.message.is_named)
            || (text && self.message.is_empty)
    }
}

/// A message that an event is about: that it was edited or deleted, or did not arrive.
#[derive(Clone, Debug)]
pub(crate) struct Changeable {
    pub(crate) lead_id: Id,
    pub(crate) is_inbound: bool,
    pub(crate) body: String,
    /// The time of the event that told the body, where it was edited.
    pub(crate) edit_told_at: Option<Timestamp>,
    pub(crate) is_deleted: bool,
    pub(crate) has_failed: bool,
}
