//! Messages from the mails in Instantly's bodies.

use super::InstantlyLead;
use crate::{
    channels::{Channel, fields, text, times},
    domain::{
        NewMessage,
        event::{Address, Direction, KeyKind, MessageKey},
        opt_out::opt_out_words,
    },
};
use serde_json::{Value, json};

/// A mail of the lead, or of a machine in its name.
pub(super) fn reply(body: &Value, lead: &InstantlyLead, automated: bool) -> NewMessage {
    let (plain, html) = (fields::text(body, "reply_text"), fields::text(body, "reply_html"));
    let raw_text = match (&plain, &html) {
        (None, None) => fields::text(body, "reply_text_snippet"),
        _ => plain,
    };
    let subject = fields::text(body, "reply_subject");
    let cleaned = text::clean(raw_text.as_deref(), html.as_deref());
    let told = raw_text.as_deref().or(html.as_deref()).unwrap_or_default();
    NewMessage {
        direction: Direction::Inbound,
        keys: vec![reply_key(body, &lead.email, told)],
        also_known_as: Vec::new(),
        stored_only: Vec::new(),
        provider_id: fields::word(body, "email_id"),
        reply_handle: reply_handle(body),
        opt_out: opt_out_words(super::Instantly::MEDIUM, subject.as_deref(), cleaned.new_text()),
        subject,
        body: cleaned.body,
        has_new_text: cleaned.has_new_text,
        raw_text,
        raw_html: html,
        from: theirs(lead),
        to: vec![ours(body)].into_iter().filter(|it| it.address.is_some()).collect(),
        cc: Vec::new(),
        attachments: Vec::new(),
        automated,
        hint: None,
    }
}

/// A mail of the campaign.
pub(super) fn sent(body: &Value, lead: &InstantlyLead) -> NewMessage {
    let (raw_text, raw_html) = (fields::text(body, "email_text"), fields::text(body, "email_html"));
    NewMessage {
        direction: Direction::Outbound,
        keys: vec![sent_key(body, &lead.email)],
        also_known_as: Vec::new(),
        stored_only: Vec::new(),
        provider_id: fields::word(body, "email_id"),
        reply_handle: None,
        subject: fields::text(body, "email_subject"),
        body: text::readable(raw_text.as_deref(), raw_html.as_deref()),
        has_new_text: true,
        raw_text,
        raw_html,
        from: ours(body),
        to: vec![theirs(lead)],
        cc: Vec::new(),
        attachments: Vec::new(),
        automated: false,
        hint: None,
        opt_out: None,
    }
}

fn theirs(lead: &InstantlyLead) -> Address {
    Address { address: Some(lead.email.clone()), name: lead.name.clone() }
}

fn ours(body: &Value) -> Address {
    Address { address: fields::email(body, "email_account"), name: None }
}

/// An answer needs both ids. Without them a draft can be made but not sent.
fn reply_handle(body: &Value) -> Option<Value> {
    let id = fields::word(body, "email_id")?;
    let account = fields::word(body, "email_account")?;
    Some(json!({"reply_to_uuid": id, "eaccount": account}))
}

/// The key of a reply. An `email_id` that comes again with another text is another message.
fn reply_key(body: &Value, email: &str, text: &str) -> MessageKey {
    let text = fields::normalised(text);
    if let Some(id) = fields::word(body, "email_id") {
        return fields::id_key(KeyKind::Reply, &format!("{id}:{}", fields::hash(&[&text])));
    }
    let campaign = fields::word(body, "campaign_id").unwrap_or_default();
    match timestamp(body) {
        Some(at) => fields::content_key(KeyKind::Reply, &[&campaign, email, &at], true),
        None => fields::content_key(KeyKind::Reply, &[&campaign, email, "", &text], false),
    }
}

fn sent_key(body: &Value, email: &str) -> MessageKey {
    if let Some(id) = fields::word(body, "email_id") {
        return fields::id_key(KeyKind::Sent, &id);
    }
    let part = |path| fields::word(body, path).unwrap_or_default();
    let at = timestamp(body);
    let timed = at.is_some();
    let parts =
        [&part("campaign_id"), email, &part("step"), &part("variant"), &at.unwrap_or_default()];
    fields::content_key(KeyKind::Sent, &parts, timed)
}

/// The event's own time in milliseconds, so that its spelling does not matter.
fn timestamp(body: &Value) -> Option<String> {
    times::read(fields::get(body, "timestamp")?).map(|at| at.as_millis().to_string())
}
