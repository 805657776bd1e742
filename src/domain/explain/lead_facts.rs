//! The facts from which it follows why a lead's messages are not answered. No text of a message is
//! among them.

use super::{ConfigKey, Explanation};
use crate::domain::{
    Id, Medium, Sentiment, Timestamp,
    lead::Barriers,
    sending::{BY_RULE, DeliveryStatus},
};

/// What is known of a lead and of its messages that are not answered.
#[derive(Clone, Debug)]
pub struct LeadFacts {
    /// The time of the snapshot, by the database's clock.
    pub now: Timestamp,
    /// The lead.
    pub id: Id,
    /// The lead that it was merged into, if it was.
    pub merged_into: Option<Id>,
    /// What keeps messages from it.
    pub barriers: Barriers,
    /// When its newest message came in; `None` if none ever did.
    pub last_inbound_at: Option<Timestamp>,
    /// When its newest message went out; `None` if none ever did.
    pub last_outbound_at: Option<Timestamp>,
    /// The client's `auto_reply` with its key; `None` if the configuration does not have the
    /// client.
    pub auto_reply: Option<(&'static str, ConfigKey)>,
    /// The key that switches sending off, while it does.
    pub switched_off: Option<ConfigKey>,
    /// The inbound messages after the newest outbound one, oldest first.
    pub messages: Vec<MessageFacts>,
    /// True if there are older ones that are not listed.
    pub has_more: bool,
}

/// An inbound message that is not answered. `J` is what is known of its job: stored facts, or the
/// explanation that follows from them.
#[derive(Clone, Debug)]
pub struct MessageFacts<J = Explanation> {
    /// Its id.
    pub id: Id,
    /// Its medium; `None` if this version does not know its channel.
    pub medium: Option<Medium>,
    /// When it was written, by the provider's clock.
    pub sent_at: Timestamp,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When its job was done with it; `None` until then.
    pub handled_at: Option<Timestamp>,
    /// What it was judged to mean.
    pub tag: Option<Sentiment>,
    /// True if a machine wrote it.
    pub is_automated: bool,
    /// True if it has new text, which is not blank.
    pub has_text: bool,
    /// True if it was deleted at its provider.
    pub is_deleted: bool,
    /// True if it is the newest inbound message of its lead.
    pub is_newest: bool,
    /// Its newest draft.
    pub draft: Option<ExplainedDraft>,
    /// What is known of its inbound job; `None` if it has no job any more.
    pub job: Option<J>,
    /// What is known of the newest job that is to send its draft; `None` if there is none.
    pub send_job: Option<J>,
}

impl<J> MessageFacts<J> {
    /// The same message with what `explain` makes of its job.
    pub fn map_job<K>(self, explain: impl Fn(J) -> K) -> MessageFacts<K> {
        MessageFacts {
            id: self.id,
            medium: self.medium,
            sent_at: self.sent_at,
            created_at: self.created_at,
            handled_at: self.handled_at,
            tag: self.tag,
            is_automated: self.is_automated,
            has_text: self.has_text,
            is_deleted: self.is_deleted,
            is_newest: self.is_newest,
            draft: self.draft,
            job: self.job.map(&explain),
            send_job: self.send_job.map(explain),
        }
    }
}

/// A draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedDraft {
    /// Its id.
    pub id: Id,
    /// Its status, as stored.
    pub status: String,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it left `pending`.
    pub decided_at: Option<Timestamp>,
    /// Who or what decided.
    pub decided_by: Option<String>,
    /// What the gate decided, and why, as stored.
    pub gate: Option<(String, String)>,
    /// When it is to be sent.
    pub send_at: Option<Timestamp>,
    /// Why it was not sent, in a word.
    pub blocked_by: Option<String>,
    /// Why a person rejected it.
    pub note: Option<String>,
    /// Its delivery, if a send of it was ever marked.
    pub delivery: Option<DeliveryFacts>,
    /// The pause of the account that sends it.
    pub pause: Option<AccountPause>,
}

impl ExplainedDraft {
    /// True if a rule approved it.
    pub(super) fn is_by_rule(&self) -> bool {
        self.decided_by.as_deref() == Some(BY_RULE)
    }
}

/// The delivery of a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryFacts {
    /// Its id.
    pub id: Id,
    /// Its status.
    pub status: DeliveryStatus,
    /// Why it is not sent, or not known to be.
    pub error: Option<String>,
}

/// A pause of an account: nothing is sent through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountPause {
    /// The channel whose account it is.
    pub channel: String,
    /// The kind of trouble, as stored.
    pub state: String,
    /// What the provider answered.
    pub reason: String,
    /// When the sends that wait try the account again.
    pub until: Timestamp,
}
