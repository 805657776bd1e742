//! The webhook action of a workflow: the contact's fields, and a message if one started it.

use super::{
    keys::{self, Path},
    texts,
};
use crate::{
    channels::{
        Channel, Received, fields, ignored, phones,
        phones::Phone,
        text::{Cleaned, spoken},
        times, unknown,
    },
    domain::{
        CampaignRef, Event, Identity, IdentityKind, Interpreted, LeadProfile, NewMessage,
        NotUnderstood, Signal, Timestamp,
        event::{Address, Attachment, Direction, MessageKey},
        opt_out::opt_out_words,
    },
};
use serde_json::{Value, json};

/// The name for these bodies, which carry no name of an event.
pub(super) const EVENT: &str = "workflow";

/// A message's own date and time have no time zone. They are used if they differ from receipt by at
/// most this.
const BELIEVED_MS: i64 = 20 * 60_000;

pub(super) fn interpret(received: &Received<'_>) -> Result<Interpreted, NotUnderstood> {
    let body = received.body;
    let contact = fields::required(body, "contact_id").map_err(|it| it.of(EVENT))?;
    let location = fields::required(body, "location.id").map_err(|it| it.of(EVENT))?;
    let kind = fields::get(body, "message.type").or_else(|| {
        // If it is a list, the first message's type counts.
        let first =
            fields::get(body, "message").and_then(Value::as_array).and_then(|it| it.first());
        first.and_then(|it| fields::get(it, "type"))
    });
    if !is_sms(kind) {
        return Ok(ignored(EVENT, "other_channel"));
    }
    let text = texts::of_workflow(received).unwrap_or_default();
    let attachments = fields::attachments(body, "message.attachments");
    if text.trim().is_empty() && attachments.is_empty() {
        if texts::may_stand_elsewhere(body) {
            return Err(unknown(Some(EVENT), texts::UNKNOWN));
        }
        let is_named = texts::is_named(body);
        return Ok(ignored(EVENT, if is_named { "empty_message" } else { "no_message" }));
    }
    let lead = SmsContact::of(received, &contact);
    let direction = match fields::first_word(body, &["message.direction", "customData.direction"]) {
        Some(word) if word.eq_ignore_ascii_case("outbound") => Direction::Outbound,
        _ => Direction::Inbound,
    };
    let (also_known_as, stored_only) = keys::crossed(Path::Workflow, &contact, direction, &text);
    let said = match direction {
        Direction::Inbound => spoken(&text),
        Direction::Outbound => Cleaned::whole(text.trim()),
    };
    let (from, to) = match direction {
        Direction::Inbound => (lead.address(&contact), Vec::new()),
        Direction::Outbound => (Address::default(), vec![lead.address(&contact)]),
    };
    let message = NewMessage {
        direction,
        keys: vec![content_key(body, &contact, direction, &text, &attachments)],
        also_known_as,
        stored_only,
        provider_id: None,
        reply_handle: (direction == Direction::Inbound)
            .then(|| json!({"contact_id": contact, "location_id": location})),
        subject: None,
        opt_out: match direction {
            Direction::Inbound => opt_out_words(super::Sms::MEDIUM, None, said.new_text()),
            Direction::Outbound => None,
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
        event_type: EVENT.to_owned(),
        identities: lead.identities,
        lead_of_chat: None,
        profile: lead.profile,
        campaign: fields::word(body, "workflow.id").map(|provider_id| CampaignRef {
            provider_id,
            name: fields::word(body, "workflow.name"),
        }),
        at: sent_at(body, received.received_at),
        signal: Signal::Message(Box::new(message)),
    })))
}

/// True if the message type is that of text messages, or absent.
fn is_sms(kind: Option<&Value>) -> bool {
    match kind {
        None => true,
        Some(Value::Number(number)) => number.as_f64() == Some(2.0),
        Some(Value::String(text)) => {
            let text = text.trim().to_ascii_uppercase();
            matches!(text.as_str(), "2" | "SMS" | "TYPE_SMS")
        }
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => false,
    }
}

/// The key of a message. If it has no date and time of its own, the same text within 10 minutes is
/// a retry (docs/RULES.md P10).
fn content_key(
    body: &Value,
    contact: &str,
    direction: Direction,
    text: &str,
    files: &[Attachment],
) -> MessageKey {
    let part = |path| fields::word(body, path).unwrap_or_default();
    let (date, time) = (part("customData.Date"), part("customData.Time"));
    let timed = !date.is_empty() && !time.is_empty();
    let text = keys::told(text, files);
    let parts = [contact, &part("workflow.id"), &date, &time, &text];
    fields::content_key(keys::kind(direction), &parts, timed)
}

fn sent_at(body: &Value, received_at: Timestamp) -> Timestamp {
    let told = || {
        let date = fields::word(body, "customData.Date")?;
        times::from_words(&date, &fields::word(body, "customData.Time")?)
    };
    told().filter(|at| at.millis_since(received_at).abs() <= BELIEVED_MS).unwrap_or(received_at)
}

/// The contact, as the body describes it.
struct SmsContact {
    identities: Vec<Identity>,
    profile: LeadProfile,
    phone: Option<Phone>,
}

impl SmsContact {
    fn of(received: &Received<'_>, contact: &str) -> Self {
        let body = received.body;
        let country = fields::word(body, "country");
        let phone = fields::first_word(body, &["phone", "customData.Phone Number"])
            .and_then(|it| phones::read(&it, &[country.as_deref(), received.country]));
        let email = ["email", "customData.Email"]
            .iter()
            .find_map(|path| fields::email(body, path))
            .filter(|it| !fields::has_robots_name(it));
        let mut identities = vec![Identity::new(super::GHL_CONTACT, contact)];
        let known = phone.as_ref().and_then(|it| it.e164.clone());
        identities.extend(known.map(|it| Identity::new(IdentityKind::PHONE, it)));
        identities.extend(email.clone().map(|it| Identity::new(IdentityKind::MAIL_ADDRESS, it)));
        let full = fields::word(body, "full_name").unwrap_or_default();
        let (first, last) = fields::split_name(&full);
        let first_name = fields::first_word(body, &["first_name", "customData.First Name"]);
        let last_name = fields::first_word(body, &["last_name", "customData.Last Name"]);
        // If the first name is given, the full name is not used: its last name may belong to
        // another spelling.
        let (first, last) = if first_name.is_none() { (first, last) } else { (None, None) };
        let profile = LeadProfile {
            first_name: first_name.or(first),
            last_name: last_name.or(last),
            company_name: fields::word(body, "company_name"),
            title: None,
            email,
            phone: phone.as_ref().map(|it| it.shown.clone()),
            timezone: fields::timezone(body, "timezone"),
        };
        Self { identities, profile, phone }
    }

    fn address(&self, contact: &str) -> Address {
        let LeadProfile { first_name, last_name, .. } = &self.profile;
        let name = [first_name.as_deref(), last_name.as_deref()];
        let name = name.into_iter().flatten().collect::<Vec<_>>().join(" ");
        Address {
            address: Some(
                self.phone.as_ref().map_or_else(|| contact.to_owned(), |it| it.shown.clone()),
            ),
            name: (!name.is_empty()).then_some(name),
        }
    }
}
