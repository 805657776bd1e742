//! What strangers and providers write cannot be taken for what the daemon writes.

use crate::{
    on_both_daemons,
    support::{
        daemon::Daemon,
        web::{ask, mail, sms, try_ask},
    },
};
use serde_json::{Value, json};
use std::time::Duration;

/// A line of its own, colours, a C1 control, a turn of direction, and what cannot be seen.
const HOSTILE: &str = "x\n2026-11-27T00:00:00Z ERROR postroom::forged: a forged line\r\u{1b}[31m\u{9b}\u{202e}\u{2066}\u{200b}\u{feff}\u{2028}\u{7f}\t";

fn in_path(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn is_ours(char: char) -> bool {
    !char.is_control()
        && !matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Posts and asks with this in every place.
async fn attack(daemon: &Daemon, what: &str) {
    let id = in_path(what);
    for path in [
        format!("/webhooks/sms/{id}"),
        format!("/webhooks/{id}/acme"),
        format!("/api/v1/jobs/{id}"),
        format!("/api/v1/jobs?status={id}"),
        format!("/{id}"),
    ] {
        let url = daemon.url(&path);
        try_ask(daemon.http.post(&url).body("{}")).await;
        try_ask(daemon.http.get(&url).bearer_auth(daemon.admin_token())).await;
    }
    for channel in ["sms", "email", "linkedin", "smartlead", "instantly"] {
        for body in [
            json!({"type": what, "event": what, "event_type": what, "body": what, "message": what}),
            json!({"event": {"type": what}, "data": {}}),
            json!({what: what}),
            json!([what]),
        ] {
            let answer = ask(daemon.webhook(channel, "acme").json(&body)).await;
            assert!(answer.status < 500, "{answer:?}");
        }
    }
    let mut named = mail(1);
    for name in ["firstName", "companyName", "campaign_name", "reply_text", "email_id"] {
        named[name] = what.into();
    }
    ask(daemon.webhook("instantly", "acme").json(&named)).await;
    let mut other = sms(2, what);
    other["location"] = json!({"id": what, "name": what});
    ask(daemon.webhook("sms", "acme").json(&other)).await;
    let account = daemon
        .webhook("instantly", "acme")
        .json(&json!({"event_type": "account_error", "x": what}));
    ask(account).await;
}

async fn is_clean(daemon: &mut Daemon) {
    attack(daemon, HOSTILE).await;
    for char in HOSTILE.chars().filter(|it| !is_ours(*it)) {
        attack(daemon, &format!("a{char}postroom::forged")).await;
    }
    daemon.terminate();
    assert!(daemon.wait(Duration::from_secs(20)).await.success());
    let log = daemon.log();
    assert!(log.contains("webhook answered"), "{log}");
    assert!(log.contains("forged"), "what was posted is told: {log}");
    for line in log.split('\n') {
        assert_eq!(line.chars().find(|it| !is_ours(*it)), None, "{line:?}");
        assert!(!line.starts_with("2026-11-27T00:00:00Z"), "a forged line");
    }
}

on_both_daemons! {
    #[ignore = "long: `just long`"]
    async fn no_line_of_the_log_is_anybody_elses(place: Place) {
        let config = "[telemetry]\nlog = \"debug\"\n[[clients]]\nid = \"acme\"\nchannels = { sms = {}, email = {}, linkedin = {}, smartlead = {}, instantly = {} }\n";
        is_clean(&mut place.start(config).await).await;
    }

    #[ignore = "long: `just long`"]
    async fn no_line_of_a_log_in_json_is_anybody_elses(place: Place) {
        let config = "[telemetry]\nlog = \"debug\"\nformat = \"json\"\n[[clients]]\nid = \"acme\"\nchannels = { sms = {}, email = {}, linkedin = {}, smartlead = {}, instantly = {} }\n";
        let mut daemon = place.start(config).await;
        is_clean(&mut daemon).await;
        for line in daemon.log().lines() {
            assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
        }
    }
}
