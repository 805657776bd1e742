//! Made-up bodies as Unipile sends them.

use crate::channels::samples::{MadeUpLead, extended};
use serde_json::{Value, json};

const ACCOUNT: &str = "sample-account";
const OURS: &str = "ACoAABown0001SamplE";

pub(super) fn sample(event: &str, who: &MadeUpLead) -> Value {
    let member = who.id("ACoAABpro");
    let profile =
        format!("https://www.linkedin.com/in/{}-{}/", who.first.to_lowercase(), who.unique);
    let name = format!("{} {}", who.first, who.last);
    if event == "AccountStatus" {
        return json!({
            "AccountStatus": {"account_id": ACCOUNT, "message": "OK", "account_type": "LINKEDIN"},
            "sample": who.unique,
        });
    }
    let body = json!({
        "event": event, "account_id": ACCOUNT, "account_type": "LINKEDIN", "webhook_name": "sample",
    });
    if event == "new_relation" {
        return extended(
            body,
            json!({
                "user_full_name": name,
                "user_provider_id": member,
                "user_public_identifier": null,
                "user_profile_url": profile,
            }),
        );
    }
    let lead = json!({
        "attendee_id": who.id("att"),
        "attendee_provider_id": member,
        "attendee_name": name,
        "attendee_profile_url": profile,
        "attendee_public_identifier": null,
    });
    extended(
        body,
        json!({
            "account_info": {"type": "LINKEDIN", "feature": "classic", "user_id": OURS},
            "chat_id": who.id("cht"),
            "sender": lead.clone(),
            "attendees": [lead],
            "subject": null,
            "message": who.text,
            "message_id": who.id("msg"),
            "attachments": [],
            "is_sender": false,
            "is_event": 0,
            "is_group": false,
            "message_type": "MESSAGE",
        }),
    )
}
