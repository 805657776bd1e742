//! The webhooks of a marketplace app: flat bodies with a `type`.

use super::{
    keys::{self, Path},
    texts,
};
use crate::{
    channels::{
        Channel, Received, fields, ignored, notice, phones,
        phones::Phone,
        text::{Cleaned, spoken},
        times, unknown,
    },
    domain::{
        Event, Identity, IdentityKind, Interpreted, LeadProfile, NewMessage, NotUnderstood, Signal,
        event::{Address, Direction, MessageKey},
        opt_out::opt_out_words,
    },
};
use serde_json::{Value, json};

pub(super) fn interpret(
    event: &str,
    received: &Received<'_>,
) -> Result<Interpreted, NotUnderstood> {
    match event {
        "InboundMessage" => message(event, Direction::Inbound, received),
        // `direction` is not read: samples of the provider contradict themselves.
        "OutboundMessage" => message(event, Direction::Outbound, received),
        "ContactDndUpdate" => do_not_disturb(event, received),
        "INSTALL" | "UNINSTALL" => Ok(notice(event, "account_notice", event == "UNINSTALL")),
        _ if texts::has_text(received.body) => Err(unknown(Some(event), "unknown_event")),
        _ => Ok(ignored(event, "not_a_message")),
    }
}

/// Why a message of this type is ignored; `None` if it is a text message.
fn other_type(body: &Value) -> Option<&'static str> {
    let kind = fields::word(body, "messageType")?.to_ascii_uppercase();
    match kind.strip_prefix("TYPE_").unwrap_or(&kind) {
        "SMS" | "RCS" | "CUSTOM" => None,
        "CALL" | "VOICEMAIL" => Some("call"),
        _ => Some("other_channel"),
    }
}

fn message(
    event: &str,
    direction: Direction,
    received: &Received<'_>,
) -> Result<Interpreted, NotUnderstood> {
    let body = received.body;
    if let Some(reason) = other_type(body) {
        return Ok(ignored(event, reason));
    }
    let location = fields::required(body, "locationId").map_err(|it| it.of(event))?;
    let contact = fields::required(body, "contactId").map_err(|it| it.of(event))?;
    let text = texts::of_marketplace(received).unwrap_or_default();
    let attachments = fields::attachments(body, "attachments");
    let inbound = direction == Direction::Inbound;
    if inbound && text.trim().is_empty() && attachments.is_empty() {
        if texts::may_stand_elsewhere(body) {
            return Err(unknown(Some(event), texts::UNKNOWN));
        }
        return Ok(ignored(event, "empty_message"));
    }
    let number = |path| phones::read(&fields::word(body, path)?, &[received.country]);
    let (theirs, ours) =
        if inbound { (number("from"), number("to")) } else { (number("to"), number("from")) };
    let lead = Address {
        address: Some(theirs.as_ref().map_or_else(|| contact.clone(), |it| it.shown.clone())),
        name: None,
    };
    let us = ours.map(|it| Address { address: Some(it.shown), name: None });
    let (from, to) = if inbound {
        (lead, us.into_iter().collect())
    } else {
        (us.unwrap_or_default(), vec![lead])
    };
    let (also_known_as, stored_only) = keys::crossed(Path::Marketplace, &contact, direction, &text);
    let said = if inbound { spoken(&text) } else { Cleaned::whole(text.trim()) };
    let message = NewMessage {
        direction,
        keys: own_keys(body, &contact, direction, &keys::told(&text, &attachments)),
        also_known_as,
        stored_only,
        provider_id: fields::word(body, "messageId"),
        reply_handle: inbound.then(|| reply_handle(body, &contact, &location)),
        subject: None,
        opt_out: if inbound {
            opt_out_words(super::Sms::MEDIUM, None, said.new_text())
        } else {
            None
        },
        has_new_text: said.has_new_text,
        body: said.body,
        raw_text: (!text.is_empty()).then_some(text),
        raw_html: None,
        from,
        to,
        cc: Vec::new(),
        attachments,
        automated: false,
        hint: None,
    };
    Ok(Interpreted::Event(Box::new(Event {
        event_type: event.to_owned(),
        identities: identities(contact, None, theirs.as_ref()),
        lead_of_chat: None,
        profile: LeadProfile { phone: theirs.map(|it| it.shown), ..LeadProfile::default() },
        campaign: None,
        at: times::first(body, &["dateAdded", "timestamp"], received.received_at),
        signal: Signal::Message(Box::new(message)),
    })))
}

fn own_keys(body: &Value, contact: &str, direction: Direction, told: &str) -> Vec<MessageKey> {
    let kind = keys::kind(direction);
    let ids = ["messageId", "webhookId"].iter().filter_map(|path| fields::word(body, path));
    let keys: Vec<MessageKey> = ids.map(|id| fields::id_key(kind, &id)).collect();
    if !keys.is_empty() {
        return keys;
    }
    let part = |path| fields::word(body, path).unwrap_or_default();
    let (conversation, added) = (part("conversationId"), part("dateAdded"));
    let parts = [conversation.as_str(), contact, &added, told];
    vec![fields::content_key(kind, &parts, !added.is_empty())]
}

fn reply_handle(body: &Value, contact: &str, location: &str) -> Value {
    match fields::word(body, "conversationId") {
        Some(conversation) => json!({
            "contact_id": contact, "location_id": location, "conversation_id": conversation,
        }),
        None => json!({"contact_id": contact, "location_id": location}),
    }
}

fn identities(contact: String, email: Option<String>, phone: Option<&Phone>) -> Vec<Identity> {
    let mut identities = vec![Identity::new(super::GHL_CONTACT, contact)];
    let known = phone.and_then(|it| it.e164.clone());
    identities.extend(known.map(|it| Identity::new(IdentityKind::PHONE, it)));
    identities.extend(email.map(|it| Identity::new(IdentityKind::MAIL_ADDRESS, it)));
    identities
}

fn do_not_disturb(event: &str, received: &Received<'_>) -> Result<Interpreted, NotUnderstood> {
    let body = received.body;
    let contact = fields::required(body, "id").map_err(|it| it.of(event))?;
    let country = fields::word(body, "country");
    let phone = fields::word(body, "phone")
        .and_then(|it| phones::read(&it, &[country.as_deref(), received.country]));
    let email = fields::email(body, "email").filter(|it| !fields::has_robots_name(it));
    let status = fields::word(body, "dndSettings.SMS.status").map(|it| it.to_ascii_lowercase());
    let active = match status.as_deref() {
        Some("active" | "permanent") => true,
        Some("inactive") => false,
        _ => fields::flag(body, "dnd"),
    };
    let (first, last) = fields::split_name(&fields::word(body, "name").unwrap_or_default());
    let profile = LeadProfile {
        first_name: fields::word(body, "firstName").or(first),
        last_name: fields::word(body, "lastName").or(last),
        company_name: fields::word(body, "companyName"),
        title: None,
        email: email.clone(),
        phone: phone.as_ref().map(|it| it.shown.clone()),
        timezone: fields::timezone(body, "timezone"),
    };
    Ok(Interpreted::Event(Box::new(Event {
        event_type: event.to_owned(),
        identities: identities(contact, email, phone.as_ref()),
        lead_of_chat: None,
        profile,
        campaign: None,
        // `dateAdded` is the time of the contact, not of this event.
        at: times::first(body, &["timestamp"], received.received_at),
        signal: Signal::DoNotDisturb { active },
    })))
}
