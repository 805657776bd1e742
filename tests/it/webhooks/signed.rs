//! Webhooks that are signed: over the bytes as they came, within a window, and once.

use crate::{
    on_both_daemons,
    support::{
        both::Peek,
        daemon::Daemon,
        web::{Answer, ask, mail},
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::hmac;
use serde_json::{Value, json};

const CONFIG: &str = r#"
[[clients]]
id = "signed"
channels.instantly.signature = { scheme = "standard_webhooks", secrets = ["whsec_c2VjcmV0LW9uZQ==", "plain-secret-two"] }
channels.sms.signature = { scheme = "ghl" }
"#;

fn now() -> i64 {
    postroom::store::wall_clock().as_millis() / 1_000
}

async fn post(daemon: &Daemon, id: &str, timestamp: i64, secret: &[u8], body: &str) -> Answer {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let signature =
        STANDARD.encode(hmac::sign(&key, format!("{id}.{timestamp}.{body}").as_bytes()));
    let request = daemon
        .webhook("instantly", "signed")
        .header("webhook-id", id)
        .header("webhook-timestamp", timestamp.to_string())
        .header("webhook-signature", format!("v1,{signature}"))
        .body(body.to_owned());
    ask(request).await
}

/// A state signal of the lead of `mail(1)`.
fn state(event: &str) -> String {
    let mut body = mail(1);
    body["event_type"] = event.into();
    body["email_id"] = Value::Null;
    body.to_string()
}

on_both_daemons! {
    async fn a_signature_by_any_of_the_secrets_is_enough_and_nothing_else_is(place: Place) {
        let daemon = place.start(CONFIG).await;
        let (one, two) = (mail(1).to_string(), mail(2).to_string());
        assert_eq!(post(&daemon, "m1", now(), b"secret-one", &one).await.outcome(), "accepted");
        assert_eq!(post(&daemon, "m2", now(), b"plain-secret-two", &two).await.outcome(), "accepted");
        let unsigned = daemon.webhook("instantly", "signed").json(&mail(3));
        ask(unsigned).await.is_problem(401, "unauthenticated");
        post(&daemon, "m3", now(), b"stranger", &one).await.is_problem(401, "unauthenticated");
        post(&daemon, "m3", now() - 3_600, b"secret-one", &one).await.is_problem(401, "unauthenticated");
        let stranger = daemon
            .webhook("sms", "signed")
            .header("x-ghl-signature", "N/A")
            .json(&json!({"type": "InboundMessage"}));
        ask(stranger).await.is_problem(401, "unauthenticated");
    }

    async fn a_delivery_that_comes_again_within_its_window_changes_nothing(place: Place) {
        let daemon = place.start(CONFIG).await;
        let first = post(&daemon, "m1", now(), b"secret-one", &mail(1).to_string()).await;
        let again = post(&daemon, "m1", now(), b"secret-one", &mail(1).to_string()).await;
        assert_eq!((again.outcome(), again.job_ids()), ("duplicate", first.job_ids()));
        let bounced = state("email_bounced");
        assert_eq!(post(&daemon, "s1", now(), b"secret-one", &bounced).await.outcome(), "recorded");
        let peek = Peek::of(&daemon).await;
        let lift = "select count(*) from leads where bounced_at is not null";
        assert_eq!(peek.number(lift).await, 1);
        // The lead writes again from that address, which lifts the bounce; the captured bounce must not come back.
        let mut reply = mail(1);
        reply["email_id"] = "another-mail".into();
        reply["reply_text"] = "I am still here".into();
        let answer = post(&daemon, "m2", now(), b"secret-one", &reply.to_string()).await;
        assert_eq!(answer.outcome(), "accepted", "{answer:?}");
        assert_eq!(peek.number(lift).await, 0);
        assert_eq!(post(&daemon, "s1", now(), b"secret-one", &bounced).await.outcome(), "duplicate");
        assert_eq!(peek.number(lift).await, 0);
    }
}
