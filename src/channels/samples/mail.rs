//! Bodies of the providers of mail.

use super::{Who, extended};
use crate::channels::{Channel, email::Email, instantly::Instantly, smartlead::Smartlead};
use serde_json::{Value, json};

const MAILBOX: &str = "sender@postroom.example";

/// A reply with our mail below it.
fn quoted(who: &Who) -> String {
    format!(
        "{}\n\nOn Wed, Jun 11, 2025, 11:34 AM Sam <\n{MAILBOX}> wrote:\n\n> Hi {}\n",
        who.text, who.first
    )
}

pub(super) fn instantly(event: &str, who: &Who) -> Option<Value> {
    if !Instantly::EVENTS.contains(&event) {
        return None;
    }
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
    Some(extended(body, more))
}

pub(super) fn email(event: &str, who: &Who) -> Option<Value> {
    if !Email::EVENTS.contains(&event) {
        return None;
    }
    let common = json!({
        "campaign": {"id": 2, "name": "Sample campaign"},
        "sender_email": {"id": 317, "name": "Sam", "email": MAILBOX, "daily_limit": who.unique % 100},
    });
    Some(json!({
        "event": {
            "type": event,
            "name": "Sample",
            "instance_url": "https://send.postroom.example",
            "workspace_id": 12,
            "workspace_name": "Sample",
        },
        "data": extended(common, email_data(event, who)),
    }))
}

fn email_lead(who: &Who) -> Value {
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

fn email_reply(who: &Who, kind: &str, folder: &str, from: &str, to: &str, text: String) -> Value {
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

/// What an event tells about lead and mail.
fn email_data(event: &str, who: &Who) -> Value {
    match event {
        "LEAD_REPLIED" | "LEAD_INTERESTED" => json!({
            "reply": email_reply(who, "Tracked Reply", "Inbox", &who.email, MAILBOX, quoted(who)), "lead": email_lead(who),
        }),
        "UNTRACKED_REPLY_RECEIVED" => json!({
            "reply": email_reply(who, "Untracked Reply", "Inbox", &who.email, MAILBOX, who.text.clone()),
            "campaign": null,
        }),
        "MANUAL_EMAIL_SENT" => json!({
            "reply": email_reply(who, "Outgoing Email", "Sent", MAILBOX, &who.email, who.text.clone()),
            "lead": email_lead(who),
        }),
        "EMAIL_BOUNCED" => json!({
            "reply": email_reply(
                who,
                "Bounced", "Bounced", "mailer-daemon@mx.example", MAILBOX,
                format!("550 5.1.1 <{}> user unknown", who.email),
            ),
            "lead": email_lead(who),
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
            "lead": email_lead(who),
        }),
    }
}

pub(super) fn smartlead(event: &str, who: &Who) -> Option<Value> {
    if !Smartlead::EVENTS.contains(&event) {
        return None;
    }
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
    Some(extended(body, more))
}
