//! The list of what a group writes, beside its leads and what it holds for a person.

use crate::{
    domain::{Id, event::NewMessage, job::NewJob},
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
    pub(crate) messages: Vec<MessageInsert>,
    /// By message: the provider's id of one that was stored without.
    pub(crate) names: BTreeMap<Id, String>,
    /// By message: the text of one that was stored without.
    pub(crate) fillings: BTreeMap<Id, Filling>,
    /// By message: what has happened to it.
    pub(crate) changes: BTreeMap<Id, MessageChange>,
    /// Deliveries that were told back.
    pub(crate) deliveries: Vec<EchoedDelivery>,
    /// Keys of echoes, with the messages that their deliveries have become.
    pub(crate) echoed_keys: Vec<(Key<'a>, Id)>,
    /// By chat: its newest message.
    pub(crate) chats: BTreeMap<ChatKey<'a>, Id>,
    /// What ends pending drafts.
    pub(crate) ended_drafts: Vec<EndDrafts>,
    /// Jobs to enqueue, in the order of arrival.
    pub(crate) entries: Vec<Entry>,
    /// The leads that the group makes: they have no drafts and no line yet.
    pub(crate) made_leads: HashSet<Id>,
}

/// What is to be written of a message that something has happened to.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct MessageChange {
    pub(crate) id: Id,
    /// The new text, where it was edited.
    pub(crate) body: Option<String>,
    pub(crate) deleted: bool,
    pub(crate) failed: bool,
    /// The time of the event that told the text, in Unix milliseconds.
    pub(crate) edit_told_at: Option<i64>,
}

impl MessageChange {
    /// True where there is something to write.
    pub(crate) const fn is_any(&self) -> bool {
        self.body.is_some() || self.edit_told_at.is_some() || self.deleted || self.failed
    }
}

/// What is to be written of a delivery that was told back.
#[derive(Debug, Serialize)]
pub(crate) struct EchoedDelivery {
    id: Id,
    provider_id: Option<String>,
    message_id: Id,
}

impl<'a> Writes<'a> {
    /// Adds a new message.
    pub(super) fn add_message(
        &mut self,
        arrival: &Arrival<'a>,
        message: &NewMessage,
        lead_id: Id,
        is_echo: bool,
    ) {
        let (id, inbound) = (arrival.message_id, arrival.inbound);
        let Some(event) = arrival.event() else { return };
        let origin = WebhookOrigin {
            client_id: &inbound.client_id,
            channel: inbound.channel,
            request_id: &inbound.request_id,
            payload: &inbound.payload,
        };
        let row = MessageInsert::new(id, lead_id, arrival.campaign_id, origin, event, message);
        self.messages.push(if is_echo { row.sent_by_us() } else { row });
        self.chats.extend(arrival.chat_of_message().map(|chat| (chat, id)));
    }

    /// Notes that a delivery has become the message `message_id`, which the webhook's keys name
    /// from now on.
    pub(super) fn add_echo(&mut self, arrival: &Arrival<'a>, echo: Echo, message_id: Id) {
        let provider_id = arrival.keys.provider_id.map(str::to_owned);
        self.deliveries.push(EchoedDelivery { id: echo.delivery_id, provider_id, message_id });
        let keys = arrival.keys.own.iter().map(|claim| (claim.key, message_id));
        self.echoed_keys.extend(keys);
    }

    /// Enqueues a job; returns its id.
    pub(super) fn add_job(&mut self, id: Id, job: NewJob) -> Id {
        self.entries.push(Entry { id, job });
        id
    }

    /// Ends pending drafts, unless their lead is new: then it has none.
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
