//! Made-up bodies as `SmartLead` sends them.

use crate::channels::samples::{MAILBOX, MadeUpLead, extended};
use serde_json::{Value, json};

pub(super) fn sample(event: &str, who: &MadeUpLead) -> Value {
    let message = |prefix: &str, text: String| {
        json!({
            "message_id": format!("<{}@sample.example>", who.id(prefix)),
            "html": format!("<div>{text}</div>"),
            "text": text,
        })
    };
    let mut body = json!({
        "campaign_status": "ACTIVE",
        "client_id": null,
        "stats_id": who.uuid(0xd41e_7b05),
        "sl_email_lead_id": who.number().to_string(),
        "from_email": MAILBOX,
        "to_email": who.email,
        "to_name": format!("{} {}", who.first, who.last),
        "campaign_name": "Sample campaign",
        "campaign_id": 3_700_412,
        "sequence_number": 1,
        "subject": "a sample",
        "secret_key": "sample-secret",
        "webhook_id": 1,
        "event_type": event,
    });
    let sent = message("out", format!("Hi {}, a sample.", who.first));
    if let Some(map) = body.as_object_mut() {
        map.insert("message_id".to_owned(), sent.get("message_id").cloned().unwrap_or_default());
        map.insert("sent_message".to_owned(), sent);
    }
    let more = match event {
        "EMAIL_REPLY" => {
            let reply = message("rpl", who.text.clone());
            json!({
                "reply_source": "CAMPAIGN",
                "sl_lead_email": who.email,
                "cc_emails": [],
                "message_id": reply.get("message_id"),
                "reply_body": reply.get("html"),
                "preview_text": who.text,
                "reply_message": reply,
                "leadCorrespondence": {
                    "targetLeadEmail": who.email,
                    "replyReceivedFrom": who.email,
                    "repliedCompanyDomain": "SameCompany",
                },
            })
        }
        "EMAIL_BOUNCE" => json!({
            "is_bounced": true,
            "is_sender_originated_bounce": false,
            "bounce_message": message("bnc", "Address not found".to_owned()),
        }),
        "LEAD_CATEGORY_UPDATED" => json!({
            "lead_email": who.email,
            "lead_category": {"old_id": null, "old_name": null, "new_id": 1, "new_name": "Interested"},
            "category": "Interested",
        }),
        _ => json!({}),
    };
    extended(body, more)
}
