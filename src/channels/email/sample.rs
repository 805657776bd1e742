//! Made-up bodies as `EmailBison` sends them.

use crate::channels::samples::{MAILBOX, MadeUpLead, extended, quoted};
use serde_json::{Value, json};

pub(super) fn sample(event: &str, who: &MadeUpLead) -> Value {
    let common = json!({
        "campaign": {"id": 2, "name": "Sample campaign"},
        "sender_email": {"id": 317, "name": "Sam", "email": MAILBOX, "daily_limit": who.unique % 100},
    });
    json!({
        "event": {
            "type": event,
            "name": "Sample",
            "instance_url": "https://send.postroom.example",
            "workspace_id": 12,
            "workspace_name": "Sample",
        },
        "data": extended(common, data(event, who)),
    })
}

fn lead(who: &MadeUpLead) -> Value {
    json!({
        "id": who.number(),
        "uuid": who.uuid(0x9d2b_6c14),
        "email": who.email,
        "first_name": who.first,
        "last_name": who.last,
        "status": "unverified",
        "title": null,
        "company": format!("Sample {}", who.unique),
        "custom_variables": [{"name": "phone number", "value": who.phone}],
    })
}

fn reply(who: &MadeUpLead, kind: &str, folder: &str, from: &str, to: &str, text: String) -> Value {
    json!({
        "id": who.number(),
        "uuid": who.uuid(0x9f7a_2718),
        "email_subject": "Re: a sample",
        "interested": false,
        "automated_reply": false,
        "html_body": format!("<div>{}</div>", who.text),
        "text_body": text,
        "type": kind,
        "folder": folder,
        "from_email_address": from,
        "from_name": null,
        "primary_to_email_address": to,
        "to": [{"name": null, "address": to}],
        "cc": null,
        "bcc": null,
        "attachments": [],
    })
}

/// The part of the body about the lead and the mail.
fn data(event: &str, who: &MadeUpLead) -> Value {
    match event {
        "LEAD_REPLIED" | "LEAD_INTERESTED" => json!({
            "reply": reply(who, "Tracked Reply", "Inbox", &who.email, MAILBOX, quoted(who)), "lead": lead(who),
        }),
        "UNTRACKED_REPLY_RECEIVED" => json!({
            "reply": reply(who, "Untracked Reply", "Inbox", &who.email, MAILBOX, who.text.clone()),
            "campaign": null,
        }),
        "MANUAL_EMAIL_SENT" => json!({
            "reply": reply(who, "Outgoing Email", "Sent", MAILBOX, &who.email, who.text.clone()),
            "lead": lead(who),
        }),
        "EMAIL_BOUNCED" => json!({
            "reply": reply(
                who,
                "Bounced", "Bounced", "mailer-daemon@mx.example", MAILBOX,
                format!("550 5.1.1 <{}> user unknown", who.email),
            ),
            "lead": lead(who),
        }),
        "TAG_ATTACHED" | "TAG_REMOVED" => json!({
            "tag_id": 1, "tag_name": "Sample", "taggable_id": who.number(), "taggable_type": "Lead",
        }),
        _ if event.contains("ACCOUNT") || event.starts_with("WARMUP") => json!({"lead": null}),
        _ => json!({
            "scheduled_email": {
                "id": who.number(),
                "lead_id": who.number(),
                "email_subject": "a sample",
                "email_body": format!("<p>Hi {}, a sample.</p>", who.first),
                "status": "sent",
            },
            "lead": lead(who),
        }),
    }
}
