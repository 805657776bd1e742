//! Made-up bodies as Instantly sends them.

use crate::channels::samples::{MAILBOX, MadeUpLead, extended, quoted};
use serde_json::{Value, json};

pub(super) fn sample(event: &str, who: &MadeUpLead) -> Value {
    let body = json!({
        "event_type": event,
        "campaign_id": "c08b5f12-6a9e-4d37-8e41-2b7f3c9d0a55",
        "campaign_name": "Sample campaign",
        "unibox_url": null,
        "email_account": MAILBOX,
        "lead_email": who.email,
        "email": who.email,
        "firstName": who.first,
        "lastName": who.last,
        "companyName": format!("Sample {}", who.unique),
        "step": 1,
        "variant": 1,
    });
    let more = match event {
        "reply_received" | "auto_reply_received" => json!({
            "email_id": who.uuid(0x0199_c4b2),
            "is_first": true,
            "reply_subject": "Re: a sample",
            "reply_text_snippet": who.text,
            "reply_text": quoted(who),
            "reply_html": format!("<div>{}</div>", who.text),
        }),
        "email_sent" => json!({
            "email_id": who.uuid(0x0199_b1a2),
            "is_first": true,
            "email_subject": "a sample",
            "email_html": format!("<div>Hi {}, a sample.</div>", who.first),
            "email_text": format!("Hi {}, a sample.", who.first),
        }),
        _ => json!({}),
    };
    extended(body, more)
}
