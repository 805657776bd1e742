//! The list of the rows that a group writes, except leads and quarantined items.

use crate::{
    domain::{Id, job::NewJob},
    store::{
        inbox::arrival::{Arrival, ChatKey, Echo, Key},
        tables::{
            drafts::{DraftsOver, EndDrafts},
            lines::Entry,
            messages::{Filling, MessageInsert, WebhookOrigin},
        },
    },
};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};

/// The rows that the statements of a group write.
#[derive(Debug, Default)]
pub(crate) struct Writes<'a> {
    /// New messages, in the order of arrival.
    pub(crate) messages: Vec<MessageInsert<'a>>,
    /// By message id: the provider's id for a message that was stored without.
    pub(crate) names: BTreeMap<Id, String>,
    /// By message id: the text for a message that was stored without.
    pub(crate) fillings: BTreeMap<Id, Filling<'a>>,
    /// By message id: its changes.
    pub(crate) changes: BTreeMap<Id, MessageChange>,
    /// Deliveries whose echo came.
    pub(crate) deliveries: Vec<EchoedDelivery>,
    /// Keys of echoes, with the messages of their deliveries, which the keys are to name.
    pub(crate) echoed_keys: Vec<(Key<'a>, Id)>,
    /// By chat: its newest message.
    pub(crate) chats: BTreeMap<ChatKey<'a>, Id>,
    /// Orders to end pending drafts.
    pub(crate) ended_drafts: Vec<EndDrafts>,
    /// Jobs to enqueue, in the order of arrival.
    pub(crate) entries: Vec<Entry>,
    /// By message id: the jobs of messages that are to be judged again.
    pub(crate) judged_again: BTreeMap<Id, NewJob>,
    /// The leads that the group makes. They have no drafts and no jobs yet.
    pub(crate) made_leads: HashSet<Id>,
}

/// The changes of a message.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct MessageChange {
    pub(crate) id: Id,
    /// The new text, if it was edited.
    pub(crate) body: Option<String>,
    pub(crate) deleted: bool,
    pub(crate) failed: bool,
    /// True if it is to be judged again, as if it had not been.
    pub(crate) judged_again: bool,
    /// The time of the event that brought the text, in Unix milliseconds.
    pub(crate) edit_told_at: Option<i64>,
}

impl MessageChange {
    /// True if there is something to write.
    pub(crate) const fn is_any(&self) -> bool {
        self.body.is_some() || self.edit_told_at.is_some() || self.deleted || self.failed
    }
}

/// A delivery whose echo came, with the facts that the echo brings.
#[derive(Debug, Serialize)]
pub(crate) struct EchoedDelivery {
    pub(crate) id: Id,
    provider_id: Option<String>,
    message_id: Id,
    /// True if it had ended as sent or failed before.
    #[serde(skip)]
    pub(crate) is_settled: bool,
}

impl<'a> Writes<'a> {
    /// Adds a new message.
    pub(super) fn add_message(&mut self, arrival: &Arrival<'a>, lead_id: Id, is_echo: bool) {
        let (id, inbound) = (arrival.message_id, arrival.inbound);
        let Some((event, message)) = arrival.event().zip(arrival.message()) else { return };
        let origin = WebhookOrigin {
            client_id: &inbound.client_id,
            channel: inbound.channel,
            request_id: &inbound.request_id,
            payload: &inbound.payload,
        };
        let text = arrival.stored_text(message);
        let row =
            MessageInsert::new(id, lead_id, arrival.campaign_id, origin, event, (message, text));
        self.messages.push(if is_echo { row.sent_by_us() } else { row });
        self.chats.extend(arrival.chat_of_message().map(|chat| (chat, id)));
    }

    /// Notes that `message_id` is the message of a delivery. The keys of its echo are to name that
    /// message.
    pub(super) fn add_echo(&mut self, arrival: &Arrival<'a>, echo: Echo, message_id: Id) {
        let provider_id = arrival.keys.provider_id.map(str::to_owned);
        let Echo { delivery_id: id, is_settled, .. } = echo;
        self.deliveries.push(EchoedDelivery { id, provider_id, message_id, is_settled });
        let keys = arrival.keys.own.iter().map(|claim| (claim.key, message_id));
        self.echoed_keys.extend(keys);
    }

    /// Enqueues a job. Returns its id.
    pub(super) fn add_job(&mut self, id: Id, job: NewJob) -> Id {
        self.entries.push(Entry { id, job });
        id
    }

    /// Ends pending drafts. A lead that is new has none, and is left out.
    pub(super) fn end_drafts(&mut self, ends: impl IntoIterator<Item = EndDrafts>) {
        let ends = ends.into_iter().filter(|end| !self.made_leads.contains(&end.lead_id));
        self.ended_drafts.extend(ends);
    }

    /// Ends all pending drafts of a lead, because something newer has come.
    pub(super) fn supersede_drafts(&mut self, lead_id: Id, decided_by: &'static str) {
        let status = "superseded";
        let end = EndDrafts {
            lead_id,
            over: DraftsOver::AllChannels,
            status,
            decided_by,
            except_message_id: None,
        };
        self.end_drafts([end]);
    }
}
