//! Bodies as providers send them, made up: for `postroom send` and for the benchmark.

mod linkedin;
mod mail;

use crate::domain::ChannelName;
use serde_json::{Value, json};

/// A body of `event` (by default an inbound message); `None` if there is no such channel or event.
///
/// Two of different `unique` differ in ids, lead and text; the same `unique` gives the same body.
pub fn sample(channel: ChannelName, event: Option<&str>, unique: u64) -> Option<Value> {
    let who = Who::of(unique);
    match channel.0 {
        "sms" => sms(event.unwrap_or("workflow"), &who),
        "email" => mail::email(event.unwrap_or("LEAD_REPLIED"), &who),
        "smartlead" => mail::smartlead(event.unwrap_or("EMAIL_REPLY"), &who),
        "instantly" => mail::instantly(event.unwrap_or("reply_received"), &who),
        "linkedin" => linkedin::linkedin(event.unwrap_or("message_received"), &who),
        _ => None,
    }
}

/// `body` as one of the provider's account that a client's channel is configured with: of another it would be
/// ignored.
pub fn of_account(mut body: Value, account: &str) -> Value {
    const PLACES: [&str; 6] = [
        "/event/workspace_id",
        "/location/id",
        "/locationId",
        "/account_id",
        "/AccountStatus/account_id",
        "/workspace",
    ];
    for place in PLACES {
        if let Some(told) = body.pointer_mut(place) {
            *told = Value::from(account);
        }
    }
    body
}

const FIRST_NAMES: [&str; 8] = ["Rita", "Dana", "Luis", "Ines", "Tara", "Owen", "Mary", "Joel"];
const LAST_NAMES: [&str; 7] =
    ["Campos", "Whitfield", "Farrow", "Voss", "Banerjee", "Orlov", "Reyes"];
const TEXTS: [&str; 6] = [
    "Hey, yes I'm interested. What does it cost?",
    "Can you call me tomorrow after 3?",
    "Not now, please try again next month.",
    "Could you send me more info about how this works?",
    "Thursday at 10 works for me.",
    "We already have somebody for this, thanks.",
];

/// One made-up lead.
struct Who {
    unique: u64,
    first: &'static str,
    last: &'static str,
    phone: String,
    email: String,
    text: String,
}

impl Who {
    fn of(unique: u64) -> Self {
        let pick = |from: &[&'static str]| {
            let index = usize::try_from(unique % from.len().max(1) as u64).unwrap_or_default();
            from.get(index).copied().unwrap_or_default()
        };
        let (first, last) = (pick(&FIRST_NAMES), pick(&LAST_NAMES));
        Self {
            unique,
            first,
            last,
            phone: phone(unique),
            email: format!("{}.{unique}@sample.example", first.to_lowercase()),
            text: format!("{} ({unique})", pick(&TEXTS)),
        }
    }

    /// An id in the provider's looks.
    fn id(&self, prefix: &str) -> String {
        format!("{prefix}{:016x}", self.unique)
    }

    /// An id of those who count.
    const fn number(&self) -> u64 {
        self.unique.saturating_add(100_000)
    }

    fn uuid(&self, prefix: u32) -> String {
        let (high, low) = (self.unique >> 48, self.unique & 0xffff_ffff_ffff);
        format!("{prefix:08x}-{high:04x}-7000-8000-{low:012x}")
    }
}

/// `body` with the fields of `more`.
fn extended(mut body: Value, more: Value) -> Value {
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    body
}

/// A number that exists on paper; 8 million of them for each of some area codes.
fn phone(unique: u64) -> String {
    const AREAS: [u64; 8] = [312, 614, 212, 415, 305, 713, 206, 617];
    let area = usize::try_from(unique / 8_000_000 % 8).unwrap_or_default();
    let area = AREAS.get(area).copied().unwrap_or(312);
    format!("+1{area}{}", 2_000_000 + unique % 8_000_000)
}

fn sms(event: &str, who: &Who) -> Option<Value> {
    match event {
        "workflow" => Some(json!({
            "contact_id": who.id("smp"),
            "first_name": who.first,
            "last_name": who.last,
            "full_name": format!("{} {}", who.first, who.last),
            "email": who.email,
            "phone": who.phone,
            "tags": "",
            "country": "US",
            "full_address": "",
            "contact_type": "lead",
            "location": {"name": "Sample", "id": "sample-location"},
            "message": {"type": 2, "body": who.text, "direction": "inbound", "status": "delivered"},
            "workflow": {"id": "sample-workflow", "name": "Customer Replied -> Inbox"},
            "triggerData": {},
            "customData": {},
        })),
        "InboundMessage" => Some(marketplace(event, who, &who.phone, "+13125550100")),
        "OutboundMessage" => Some(marketplace(event, who, "+13125550100", &who.phone)),
        "ContactDndUpdate" => Some(json!({
            "type": event,
            "locationId": "sample-location",
            "id": who.id("smp"),
            "firstName": who.first,
            "lastName": who.last,
            "email": who.email,
            "phone": who.phone,
            "country": "US",
            "dnd": true,
            "dndSettings": {"SMS": {"status": "active", "message": "", "code": "101"}},
            "tags": [],
        })),
        "INSTALL" | "UNINSTALL" => Some(json!({
            "type": event, "appId": "sample-app", "companyId": who.id("cmp"),
        })),
        _ => None,
    }
}

fn marketplace(event: &str, who: &Who, from: &str, to: &str) -> Value {
    json!({
        "type": event,
        "locationId": "sample-location",
        "attachments": [],
        "body": who.text,
        "contactId": who.id("smp"),
        "contentType": "text/plain",
        "conversationId": who.id("cnv"),
        "direction": if event == "InboundMessage" { "inbound" } else { "outbound" },
        "messageType": "SMS",
        "status": "delivered",
        "from": from,
        "to": to,
        "messageTypeId": 2,
        "messageTypeString": "TYPE_SMS",
        "messageId": who.id("msg"),
        "webhookId": who.uuid(0x3f7c_0d82),
    })
}
