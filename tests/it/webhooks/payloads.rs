//! Bodies as providers send them, each for a client that has nothing yet.

use crate::{
    on_both_daemons,
    support::{both::Peek, daemon::Daemon, web::ask},
};
use std::{fs, path::Path};

/// `(channel, file, what becomes of it)`. `refused` is not JSON, or quarantined.
const OUTCOMES: &[(&str, &str, &str)] = &[
    ("sms", "ghl/workflow_sms-1.json", "accepted"),
    ("sms", "ghl/workflow_sms-2.json", "accepted"),
    ("sms", "ghl/workflow_sms-3.json", "accepted"),
    ("sms", "ghl/workflow_no_message-1.json", "ignored"),
    ("sms", "ghl/workflow_empty-1.json", "ignored"),
    ("sms", "ghl/workflow_missing_contact-1.json", "refused"),
    ("sms", "ghl/inbound_message-1.json", "accepted"),
    ("sms", "ghl/inbound_message-2.json", "accepted"),
    ("sms", "ghl/outbound_message-1.json", "recorded"),
    ("sms", "ghl/inbound_message_call-1.json", "ignored"),
    ("sms", "ghl/contact_dnd_update-1.json", "ignored"),
    ("instantly", "instantly/reply_received-1.json", "accepted"),
    ("instantly", "instantly/reply_received-6.json", "accepted"),
    ("instantly", "instantly/reply_received-5.json", "accepted"),
    ("instantly", "instantly/reply_received-8.json", "refused"),
    ("instantly", "instantly/auto_reply_received-1.json", "accepted"),
    ("instantly", "instantly/email_sent-3.json", "recorded"),
    ("instantly", "instantly/email_bounced-1.json", "recorded"),
    ("instantly", "instantly/lead_unsubscribed-1.json", "recorded"),
    ("instantly", "instantly/lead_interested-1.json", "ignored"),
    ("instantly", "instantly/custom_label-1.json", "ignored"),
    ("instantly", "instantly/malformed-1.raw", "refused"),
];

fn config() -> String {
    let client = |number| {
        format!(
            "[[clients]]\nid = \"c{number}\"\n\
             [clients.channels.sms]\naccount = \"lQ7m2XvB4tYh9RkZpWs1\"\n\
             [clients.channels.instantly]\naccount = \"7d3e90a4-1c58-4b6f-a2d7-5f0e9b8c4613\"\n"
        )
    };
    (0..OUTCOMES.len()).map(client).collect()
}

fn body(file: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/payloads").join(file);
    fs::read(&path).unwrap_or_else(|it| panic!("{}: {it}", path.display()))
}

/// Posts a file, checks what becomes of it, and what is stored because of it.
async fn becomes(daemon: &Daemon, db: &Peek, client: &str, row: (&str, &str, &str)) {
    let (channel, file, expected) = row;
    let answer = ask(daemon.webhook(channel, client).body(body(file))).await;
    let outcome = match (answer.status, answer.outcome()) {
        (400, _) | (200, "quarantined") => "refused",
        (200, outcome) => outcome,
        _ => "not answered",
    };
    assert_eq!(outcome, expected, "{file}: {answer:?}");
    let count = async |what: &str| {
        db.number(&format!("select count(*) from {what} where client_id = '{client}'")).await
    };
    // Scoring follows by itself.
    let inbound = "(select client_id from jobs where kind like '%_INBOUND_POST_PROCESS') j";
    let (messages, jobs) = (count("messages").await, count(inbound).await);
    let (most_messages, most_jobs) = match expected {
        "accepted" => (1, 1),
        "recorded" => (i64::from(answer.body["message_id"].is_string()), 0),
        _ => (0, 0),
    };
    assert_eq!((messages, jobs), (most_messages, most_jobs), "{file}: {answer:?}");
    let again = ask(daemon.webhook(channel, client).body(body(file))).await;
    if expected == "accepted" {
        assert_eq!(again.outcome(), "duplicate", "{file}: {again:?}");
        assert_eq!(again.field("message_id"), answer.field("message_id"));
        assert_eq!(again.job_ids(), answer.job_ids());
    } else {
        assert_eq!(again.status, answer.status, "{file}: {again:?}");
    }
    assert_eq!(count("messages").await, messages, "{file}");
}

on_both_daemons! {
    async fn every_known_payload_becomes_what_the_rules_say(place: Place) {
        let daemon = place.start(&config()).await;
        let db = Peek::of(&daemon).await;
        for (number, row) in OUTCOMES.iter().enumerate() {
            becomes(&daemon, &db, &format!("c{number}"), *row).await;
        }
    }
}

#[test]
fn no_payload_of_these_channels_is_left_out() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/payloads");
    for channel in ["ghl", "instantly"] {
        for entry in fs::read_dir(folder.join(channel)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let file = format!("{channel}/{name}");
            assert!(OUTCOMES.iter().any(|it| it.1 == file), "{file} is not posted");
        }
    }
}
