//! Messages from the mails in `SmartLead`'s bodies.

use super::Contact;
use crate::{
    channels::{Channel, fields, text, times},
    domain::{
        NewMessage,
        event::{Address, Direction, KeyKind, MessageKey},
        opt_out::opt_out_words,
        text::beginning,
    },
};
use serde_json::{Value, json};

/// A reply to a mail of the campaign.
pub(super) fn reply(body: &Value, lead: &Contact, campaign: &str, stats: &str) -> NewMessage {
    let html = fields::first_text(body, &["reply_message.html", "reply_body"]);
    let plain = fields::text(body, "reply_message.text");
    let raw_text = match (&plain, &html) {
        // The preview may be cut short, so it is the last choice.
        (None, None) => fields::text(body, "preview_text"),
        _ => plain,
    };
    let told = raw_text.as_deref().or(html.as_deref()).unwrap_or_default();
    let base = NewMessage {
        keys: vec![reply_key(body, stats, told)],
        provider_id: message_id(body),
        subject: fields::text(body, "subject"),
        cc: fields::addresses(body, "cc_emails"),
        attachments: fields::attachments(body, "attachments"),
        ..blank()
    };
    if lead.is_ours() {
        return NewMessage {
            direction: Direction::Outbound,
            body: text::readable(raw_text.as_deref(), html.as_deref()),
            raw_text,
            raw_html: html,
            from: ours(lead),
            to: vec![theirs(lead)],
            ..base
        };
    }
    let cleaned = text::clean(raw_text.as_deref(), html.as_deref());
    let writer = lead.alternate().cloned();
    NewMessage {
        reply_handle: Some(reply_handle(body, campaign, stats)),
        opt_out: opt_out_words(
            super::Smartlead::MEDIUM,
            base.subject.as_deref(),
            cleaned.new_text(),
        ),
        body: cleaned.body,
        has_new_text: cleaned.has_new_text,
        raw_text,
        raw_html: html,
        // The name beside the lead's address is the lead's, even if somebody else wrote.
        from: writer.map_or_else(|| theirs(lead), |it| Address { address: Some(it), name: None }),
        to: vec![ours(lead)].into_iter().filter(|it| it.address.is_some()).collect(),
        ..base
    }
}

/// True if the text names an address to which a mail was not delivered.
pub(super) fn reads_like_a_report(body: &Value) -> bool {
    const READ_BYTES: usize = 20_000;
    let told =
        fields::first_text(body, &["reply_message.text", "reply_message.html", "preview_text"]);
    let told = told.unwrap_or_default();
    let shown = text::readable(Some(beginning(&told, READ_BYTES)), None);
    text::report::addresses(&shown).any(|it| !fields::has_robots_name(&it))
}

/// A mail of the campaign.
pub(super) fn sent(body: &Value, lead: &Contact, campaign: &str) -> NewMessage {
    let raw_text = fields::text(body, "sent_message.text");
    let html = fields::first_text(
        body,
        &["sent_message.html", "sent_message_body", "custom_email_message", "preview_text"],
    );
    NewMessage {
        direction: Direction::Outbound,
        keys: sent_keys(body, lead, campaign),
        provider_id: fields::first_word(body, &["stats_id", "message_id"]),
        subject: fields::first_text(body, &["subject", "custom_subject"]),
        body: text::readable(raw_text.as_deref(), html.as_deref()),
        raw_text,
        raw_html: html,
        from: ours(lead),
        to: vec![theirs(lead)],
        cc: fields::addresses(body, "cc_emails"),
        ..blank()
    }
}

const fn blank() -> NewMessage {
    NewMessage {
        direction: Direction::Inbound,
        keys: Vec::new(),
        also_known_as: Vec::new(),
        stored_only: Vec::new(),
        provider_id: None,
        reply_handle: None,
        subject: None,
        body: String::new(),
        has_new_text: true,
        raw_text: None,
        raw_html: None,
        from: Address { address: None, name: None },
        to: Vec::new(),
        cc: Vec::new(),
        attachments: Vec::new(),
        automated: false,
        hint: None,
        opt_out: None,
    }
}

fn theirs(lead: &Contact) -> Address {
    Address { address: Some(lead.email.clone()), name: lead.name.clone() }
}

fn ours(lead: &Contact) -> Address {
    Address { address: lead.ours.clone(), name: None }
}

/// The Message-ID of a reply.
fn message_id(body: &Value) -> Option<String> {
    fields::first_word(body, &["reply_message.message_id", "message_id"])
}

fn reply_key(body: &Value, stats: &str, text: &str) -> MessageKey {
    if let Some(id) = message_id(body) {
        return fields::id_key(KeyKind::Reply, &id);
    }
    let at = fields::get(body, "time_replied").and_then(times::read);
    match at {
        Some(at) => {
            fields::content_key(KeyKind::Reply, &[stats, &at.as_millis().to_string()], true)
        }
        None => fields::content_key(KeyKind::Reply, &[stats, "", &fields::normalised(text)], false),
    }
}

fn sent_keys(body: &Value, lead: &Contact, campaign: &str) -> Vec<MessageKey> {
    let message_id = fields::first_word(body, &["message_id", "sent_message.message_id"]);
    let ids = [fields::word(body, "stats_id"), message_id];
    let keys: Vec<MessageKey> =
        ids.into_iter().flatten().map(|it| fields::id_key(KeyKind::Sent, &it)).collect();
    if !keys.is_empty() {
        return keys;
    }
    let step = fields::word(body, "sequence_number").unwrap_or_default();
    vec![fields::content_key(KeyKind::Sent, &[campaign, &lead.email, &step], false)]
}

/// The ids that an answer must name: the campaign, its mail, and the reply with its time.
fn reply_handle(body: &Value, campaign: &str, stats: &str) -> Value {
    let mut handle = json!({"campaign_id": campaign, "email_stats_id": stats});
    let at = super::REPLY_TIMES.iter().find_map(|path| times::read(fields::get(body, path)?));
    if let Some(map) = handle.as_object_mut() {
        map.extend(message_id(body).map(|id| ("reply_message_id".to_owned(), Value::from(id))));
        map.extend(at.map(|at| ("reply_email_time".to_owned(), Value::from(at.to_string()))));
    }
    handle
}
