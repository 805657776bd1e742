//! Messages of chats, and their later changes.

use super::{DELETED, EDITED, profile::Member};
use crate::{
    channels::{
        Channel, Received, fields, ignored,
        text::{Cleaned, spoken},
        times,
    },
    domain::{
        Event, Interpreted, LeadProfile, NewMessage, NotUnderstood, Signal,
        event::{Address, Direction, KeyKind, MessageKey},
        opt_out::opt_out_words,
    },
};
use serde_json::Value;

/// True if the body is of another network that Unipile serves.
pub(super) fn is_of_another_network(body: &Value) -> bool {
    fields::first_word(body, &["account_type", "account_info.type"])
        .is_some_and(|it| !it.eq_ignore_ascii_case("LINKEDIN"))
}

/// The members of a message's chat, as far as the body names them.
struct Chat {
    id: Option<String>,
    sender: Member,
    /// The members except for the sender and us.
    others: Vec<Member>,
    is_ours: bool,
    is_group: bool,
}

impl Chat {
    fn of(body: &Value) -> Self {
        let sender = fields::get(body, "sender").map_or_else(|| old_sender(body), Member::of);
        let us = fields::word(body, "account_info.user_id");
        // The account's own id is more reliable than the flag, which is absent or 0/1 in some
        // bodies.
        let is_us = us.is_some() && sender.id == us;
        let others: Vec<Member> = match fields::get(body, "attendees") {
            Some(Value::Array(all)) => all.iter().map(Member::of).collect(),
            Some(one @ Value::Object(_)) => vec![Member::of(one)],
            Some(_) | None => Vec::new(),
        };
        let mut others: Vec<Member> = others
            .into_iter()
            .filter(|member| member.id.is_none() || (member.id != us && member.id != sender.id))
            .filter(|it| !it.identities().is_empty())
            .collect();
        others.dedup();
        let is_ours = is_us || fields::flag(body, "is_sender");
        // In a chat of two, nobody is left besides the sender and us.
        let has_third = others.len() > usize::from(is_ours || us.is_none());
        Self {
            id: fields::first_word(body, &["chat_id", "message.chat_id"]),
            is_ours,
            is_group: fields::flag(body, "is_group") || has_third,
            sender,
            others,
        }
    }

    /// The member to whom we wrote; `None` in a group.
    fn addressee(&self) -> Option<&Member> {
        self.others.first().filter(|_| !self.is_group)
    }
}

/// The sender as older bodies name it, which lack `sender`.
fn old_sender(body: &Value) -> Member {
    Member {
        id: fields::word(body, "message.sender_id"),
        name: fields::word(body, "message.sender_name"),
        pages: fields::word(body, "message.sender_linkedin_url").into_iter().collect(),
    }
}

/// The text. In older bodies it is a field of an object.
fn text(body: &Value) -> String {
    fields::first_text(body, &["message", "message.text"]).unwrap_or_default()
}

/// A message of the lead or of ours.
pub(super) fn received(event: &str, received: &Received<'_>) -> Result<Interpreted, NotUnderstood> {
    let body = received.body;
    if fields::flag(body, "is_event") {
        return Ok(ignored(event, "system_event"));
    }
    let id = match fields::first_word(body, &["message_id", "message.id", "provider_message_id"]) {
        Some(id) => id,
        None => fields::required(body, "message_id").map_err(|it| it.of(event))?,
    };
    let chat = Chat::of(body);
    if chat.sender.id.is_none() {
        const SENDER: &str = "sender.attendee_provider_id";
        fields::required(body, SENDER).map_err(|it| it.of(event))?;
    }
    let raw = text(body);
    let mut attachments = fields::attachments(body, "attachments");
    attachments.extend(fields::attachments(body, "message.attachments"));
    if !chat.is_ours && raw.trim().is_empty() && attachments.is_empty() {
        return Ok(ignored(event, "empty_message"));
    }
    let lead = if chat.is_ours { chat.addressee() } else { Some(&chat.sender) };
    let lead_of_chat = if lead.is_none() { chat.id.clone() } else { None };
    if lead.is_none() && lead_of_chat.is_none() {
        return Ok(ignored(event, "group_chat"));
    }
    let (identities, profile) = match lead {
        Some(it) => (it.identities(), it.profile()),
        None => (Vec::new(), LeadProfile::default()),
    };
    let message = NewMessage { attachments, ..message(body, &id, &chat, raw) };
    Ok(Interpreted::Event(Box::new(Event {
        event_type: event.to_owned(),
        identities,
        lead_of_chat,
        profile,
        campaign: None,
        at: times::first(body, &["timestamp", "message.timestamp"], received.received_at),
        signal: Signal::Message(Box::new(message)),
    })))
}

fn message(body: &Value, id: &str, chat: &Chat, raw: String) -> NewMessage {
    let (direction, kind) = if chat.is_ours {
        (Direction::Outbound, KeyKind::Sent)
    } else {
        (Direction::Inbound, KeyKind::Reply)
    };
    let subject = fields::text(body, "subject");
    let said = if chat.is_ours { Cleaned::whole(raw.trim()) } else { spoken(&raw) };
    let us = fields::word(body, "account_info.user_id");
    let us = us.map(|it| Address { address: Some(it), name: None });
    NewMessage {
        direction,
        keys: vec![fields::id_key(kind, id)],
        also_known_as: Vec::new(),
        stored_only: Vec::new(),
        provider_id: Some(id.to_owned()),
        reply_handle: reply_handle(body, chat),
        opt_out: if chat.is_ours { None } else { opt_out(subject.as_deref(), said.new_text()) },
        subject,
        has_new_text: said.has_new_text,
        body: said.body,
        raw_text: (!raw.is_empty()).then_some(raw),
        raw_html: None,
        from: chat.sender.address(),
        to: match chat.is_ours {
            true => chat.others.iter().map(Member::address).collect(),
            false => us.into_iter().collect(),
        },
        cc: Vec::new(),
        attachments: Vec::new(),
        automated: false,
        hint: None,
    }
}

fn opt_out(subject: Option<&str>, text: &str) -> Option<String> {
    opt_out_words(super::Linkedin::MEDIUM, subject, text)
}

/// The chat in which to answer. It also tells which lead's chat it is, for messages that we write
/// in a group. In a group all members read an answer, so no rule may send it.
fn reply_handle(body: &Value, chat: &Chat) -> Option<Value> {
    let id = chat.id.as_ref()?;
    let parts = [
        ("chat_id", Some(Value::from(id.as_str()))),
        ("account_id", fields::word(body, "account_id").map(Value::from)),
        ("is_group", chat.is_group.then(|| Value::from(true))),
    ];
    let parts = parts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Some(Value::Object(parts.collect()))
}

/// A change of a message that may be stored: edited, deleted or failed.
pub(super) fn changed(event: &str, received: &Received<'_>) -> Result<Interpreted, NotUnderstood> {
    let body = received.body;
    let id = fields::required(body, "message_id").map_err(|it| it.of(event))?;
    let key = |kind| fields::id_key(kind, &id);
    let either: Vec<MessageKey> = vec![key(KeyKind::Reply), key(KeyKind::Sent)];
    let signal = match event {
        EDITED => {
            let new_text = text(body).trim().to_owned();
            if new_text.is_empty() {
                return Ok(ignored(event, "empty_message"));
            }
            let opt_out = if Chat::of(body).is_ours {
                None
            } else {
                opt_out(None, spoken(&new_text).new_text())
            };
            Signal::Edited { keys: either, body: new_text, opt_out }
        }
        DELETED => Signal::Deleted { keys: either },
        _ => Signal::Failed { keys: vec![key(KeyKind::Sent)] },
    };
    Ok(Interpreted::Event(Box::new(Event {
        event_type: event.to_owned(),
        identities: Vec::new(),
        lead_of_chat: None,
        profile: LeadProfile::default(),
        campaign: None,
        at: times::first(body, &["timestamp"], received.received_at),
        signal,
    })))
}
