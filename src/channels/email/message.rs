//! Messages from the mails in `EmailBison`'s bodies.

use super::people::{self, People};
use crate::{
    channels::{Channel, fields, text},
    domain::{
        NewMessage, Sentiment,
        event::{Address, Direction, KeyKind},
        opt_out::opt_out_words,
    },
};
use serde_json::{Value, json};

/// The path of the address of a reply's writer.
pub(super) const WRITER: &str = "data.reply.from_email_address";

/// A reply to us.
pub(super) fn inbound(
    body: &Value,
    id: &str,
    writer: &str,
    people: &People,
    interested: bool,
) -> NewMessage {
    let base = reply(body, id);
    let cleaned = text::clean(base.raw_text.as_deref(), base.raw_html.as_deref());
    let interested = interested || fields::flag(body, "data.reply.interested");
    NewMessage {
        reply_handle: Some(reply_handle(body, id)),
        opt_out: opt_out_words(super::Email::MEDIUM, base.subject.as_deref(), cleaned.new_text()),
        has_new_text: cleaned.has_new_text,
        body: cleaned.body,
        from: Address { address: Some(writer.to_owned()), name: people.name_of_writer(writer) },
        automated: fields::flag(body, "data.reply.automated_reply"),
        hint: interested.then_some(Sentiment::Interested),
        ..base
    }
}

/// A reply of ours, by hand or through Postroom. Its id is from the same sequence as the ids of the
/// lead's replies.
pub(super) fn outbound(body: &Value, id: &str, to: &Address) -> NewMessage {
    let base = reply(body, id);
    let shown = text::readable(base.raw_text.as_deref(), base.raw_html.as_deref());
    let from = Address {
        address: fields::email(body, WRITER),
        name: fields::word(body, "data.reply.from_name"),
    };
    NewMessage {
        direction: Direction::Outbound,
        body: shown,
        from: if from.address.is_some() { from } else { people::ours(body) },
        to: if base.to.is_empty() && to.address.is_some() { vec![to.clone()] } else { base.to },
        ..base
    }
}

/// A mail of the campaign.
pub(super) fn sent(body: &Value, id: &str, address: &str, people: &People) -> NewMessage {
    let html = fields::text(body, "data.scheduled_email.email_body");
    NewMessage {
        keys: vec![fields::id_key(KeyKind::Sent, id)],
        direction: Direction::Outbound,
        subject: fields::text(body, "data.scheduled_email.email_subject"),
        body: text::readable(html.as_deref(), None),
        raw_text: None,
        raw_html: html,
        from: people::ours(body),
        to: vec![Address { address: Some(address.to_owned()), name: people.name() }],
        cc: Vec::new(),
        attachments: Vec::new(),
        ..reply(body, id)
    }
}

/// The content of a reply, in either direction, without its text as people read it.
fn reply(body: &Value, id: &str) -> NewMessage {
    let raw_text = fields::text(body, "data.reply.text_body");
    let raw_html = fields::text(body, "data.reply.html_body");
    let to = fields::addresses(body, "data.reply.to");
    let primary = fields::email(body, "data.reply.primary_to_email_address")
        .map(|it| Address { address: Some(it), name: None });
    NewMessage {
        direction: Direction::Inbound,
        keys: vec![fields::id_key(KeyKind::Reply, id)],
        also_known_as: Vec::new(),
        stored_only: Vec::new(),
        provider_id: Some(id.to_owned()),
        reply_handle: None,
        subject: fields::text(body, "data.reply.email_subject"),
        body: String::new(),
        has_new_text: true,
        raw_text,
        raw_html,
        from: Address::default(),
        to: if to.is_empty() { primary.into_iter().collect() } else { to },
        cc: fields::addresses(body, "data.reply.cc"),
        attachments: fields::attachments(body, "data.reply.attachments"),
        automated: false,
        hint: None,
        opt_out: None,
    }
}

/// The reply that an answer belongs to, and the mailbox that it came to.
fn reply_handle(body: &Value, id: &str) -> Value {
    match fields::word(body, "data.sender_email.id") {
        Some(mailbox) => json!({"reply_id": id, "sender_email_id": mailbox}),
        None => json!({"reply_id": id}),
    }
}
