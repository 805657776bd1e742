//! The facts that *read* has found out for *decide* and that belong to no single webhook.

use crate::{
    domain::{Id, Timestamp, event::NewMessage},
    store::tables::{leads::Leads, merge::Merge, messages::RepeatedMessage, opt_outs::Suppression},
};
use std::collections::{BTreeMap, HashMap};

/// The facts about a group, read under its locks.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// By message id: the stored messages that webhooks of the group repeat. A message that was
    /// pruned before its key is missing.
    pub(crate) repeated: HashMap<Id, Repeated>,
    /// By message id: the messages that events of the group are about.
    pub(crate) changeable: HashMap<Id, Changeable>,
    /// The leads of the group: stored ones, which are locked, and new ones.
    pub(crate) leads: Leads,
    /// By lead: the opt-out of the erased person whose identity the group has claimed for it.
    pub(crate) suppressed: BTreeMap<Id, Suppression>,
    /// The merges of stored leads in this group. The jobs in their lines have still to be moved.
    pub(crate) merges: Vec<Merge>,
}

/// A stored message that webhooks of the group repeat, and the facts that these bring for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeated {
    pub(crate) message: RepeatedMessage,
    pub(crate) brings: Brings,
}

/// Which facts the webhooks that repeat a message bring for it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Brings {
    /// True if one of them has a provider's verdict.
    pub(crate) hint: bool,
    /// True if one of them has a text that is not empty.
    pub(crate) text: bool,
    /// True if one of them has the provider's id of the message.
    pub(crate) name: bool,
}

impl Brings {
    /// With the facts of one more webhook.
    pub(crate) fn with(self, message: &NewMessage) -> Self {
        Self {
            hint: self.hint || message.hint.is_some(),
            text: self.text || !message.body.is_empty(),
            name: self.name || message.provider_id.is_some(),
        }
    }
}

impl Repeated {
    /// True if its job must be made. A message that was handled needs no job: its job was pruned.
    pub(crate) const fn misses_its_job(&self) -> bool {
        let message = &self.message;
        message.is_inbound && !message.is_handled && message.job_id.is_none()
    }

    /// True if it came without a text, and takes over a text that comes later.
    pub(crate) const fn lacks_text(&self) -> bool {
        self.message.is_empty && self.message.is_inbound
    }

    /// True if the group may change it or its lead, so that its lead must be locked.
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
    /// The time of the event that brought its text, if it was edited.
    pub(crate) edit_told_at: Option<Timestamp>,
    pub(crate) is_deleted: bool,
    pub(crate) has_failed: bool,
}
