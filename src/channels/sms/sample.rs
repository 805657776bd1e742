//! Made-up bodies as `GoHighLevel` sends them.

use crate::channels::samples::MadeUpLead;
use serde_json::{Value, json};

pub(super) fn sample(event: &str, who: &MadeUpLead) -> Value {
    match event {
        super::workflow::EVENT => json!({
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
        }),
        "InboundMessage" => marketplace(event, who, &who.phone, "+13125550100"),
        "OutboundMessage" => marketplace(event, who, "+13125550100", &who.phone),
        "ContactDndUpdate" => json!({
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
        }),
        _ => json!({
            "type": event, "appId": "sample-app", "companyId": who.id("cmp"),
        }),
    }
}

fn marketplace(event: &str, who: &MadeUpLead, from: &str, to: &str) -> Value {
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
