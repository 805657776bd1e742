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

/// A client whose e-mails and texts are signed.
pub(crate) const CONFIG: &str = r#"
[[clients]]
id = "signed"
channels.instantly.signature = { scheme = "standard_webhooks", secrets = ["whsec_c2VjcmV0LW9uZS1vZi0xNg==", "plain-secret-two"] }
channels.sms = { account = "418", signature = { scheme = "ghl" } }
"#;

/// The id of the item that is quarantined because its delivery's id came before with another body.
#[track_caller]
pub(crate) fn held(answer: &Answer) -> String {
    let told = (answer.status, answer.outcome(), answer.field("reason"));
    assert_eq!(told, (200, "quarantined", "same_id_other_body"), "{answer:?}");
    answer.field("quarantine_id").to_owned()
}

fn now() -> i64 {
    postroom::store::wall_clock().as_millis() / 1_000
}

/// Posts an e-mail of that client, signed with one of its secrets.
pub(crate) async fn post_signed(daemon: &Daemon, id: &str, body: &Value) -> Answer {
    post(daemon, id, now(), b"secret-one-of-16", &body.to_string()).await
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
        assert_eq!(post(&daemon, "m1", now(), b"secret-one-of-16", &one).await.outcome(), "accepted");
        assert_eq!(post(&daemon, "m2", now(), b"plain-secret-two", &two).await.outcome(), "accepted");
        let unsigned = daemon.webhook("instantly", "signed").json(&mail(3));
        ask(unsigned).await.is_problem(401, "unauthenticated");
        post(&daemon, "m3", now(), b"stranger", &one).await.is_problem(401, "unauthenticated");
        post(&daemon, "m3", now() - 3_600, b"secret-one-of-16", &one).await.is_problem(401, "unauthenticated");
        let stranger = daemon
            .webhook("sms", "signed")
            .header("x-ghl-signature", "N/A")
            .json(&json!({"type": "InboundMessage"}));
        ask(stranger).await.is_problem(401, "unauthenticated");
    }

    async fn a_delivery_that_comes_again_within_its_window_changes_nothing(place: Place) {
        let daemon = place.start(CONFIG).await;
        let first = post(&daemon, "m1", now(), b"secret-one-of-16", &mail(1).to_string()).await;
        let again = post(&daemon, "m1", now(), b"secret-one-of-16", &mail(1).to_string()).await;
        assert_eq!((again.outcome(), again.job_ids()), ("duplicate", first.job_ids()));
        let bounced = state("email_bounced");
        assert_eq!(post(&daemon, "s1", now(), b"secret-one-of-16", &bounced).await.outcome(), "recorded");
        let peek = Peek::of(&daemon).await;
        let lift = "select count(*) from leads where bounced_at is not null";
        assert_eq!(peek.number(lift).await, 1);
        // The lead writes again from that address, which lifts the bounce; the captured bounce must
        // not come back.
        let mut reply = mail(1);
        reply["email_id"] = "another-mail".into();
        reply["reply_text"] = "I am still here".into();
        let answer = post(&daemon, "m2", now(), b"secret-one-of-16", &reply.to_string()).await;
        assert_eq!(answer.outcome(), "accepted", "{answer:?}");
        assert_eq!(peek.number(lift).await, 0);
        assert_eq!(post(&daemon, "s1", now(), b"secret-one-of-16", &bounced).await.outcome(), "duplicate");
        assert_eq!(peek.number(lift).await, 0);
    }

    async fn an_earlier_delivery_id_with_another_body_is_kept_for_a_person(place: Place) {
        let daemon = place.start(CONFIG).await;
        let put = async |id: &str, body: &Value| post_signed(&daemon, id, body).await;
        let first = put("m1", &mail(1)).await;
        assert_eq!(first.outcome(), "accepted", "{first:?}");
        let id = held(&put("m1", &mail(2)).await);
        assert_eq!(held(&put("m1", &mail(2)).await), id, "the same bytes are the same item");
        let again = put("m1", &mail(1)).await;
        assert_eq!((again.outcome(), again.job_ids()), ("duplicate", first.job_ids()));
        // The same reply in another body: what else it says is not known.
        let mut more = mail(1);
        more["campaign_name"] = "Another campaign".into();
        assert_ne!(held(&put("m1", &more).await), id);
        // A signal that is no message, too.
        assert_eq!(put("s1", &serde_json::from_str(&state("email_bounced")).unwrap()).await.outcome(), "recorded");
        held(&put("s1", &mail(3)).await);
        let peek = Peek::of(&daemon).await;
        assert_eq!(peek.number("select count(*) from messages").await, 1);
        assert_eq!(peek.number("select count(*) from quarantine").await, 3);
        // By hand it is read as what it is, and under its own id another body is another delivery.
        let replay = ask(daemon.api(reqwest::Method::POST, &format!("/quarantine/{id}/replay"))).await;
        assert_eq!(replay.outcome(), "accepted", "{replay:?}");
        assert_eq!(put("m2", &mail(2)).await.job_ids(), replay.job_ids());
        let bodies = [mail(4), mail(5), mail(4), mail(5)];
        let mut told = Vec::new();
        for answer in futures_util::future::join_all(bodies.iter().map(|it| put("m3", it))).await {
            told.push(format!("{} {}", answer.outcome(), answer.field("reason")));
        }
        told.sort();
        let expected =
            ["accepted ", "duplicate ", "quarantined same_id_other_body", "quarantined same_id_other_body"];
        assert_eq!(told, expected);
    }

    async fn a_delivery_that_was_stored_without_its_bodys_hash_is_known_by_its_id_alone(place: Place) {
        let daemon = place.start(CONFIG).await;
        let put = async |id: &str, body: &Value| post_signed(&daemon, id, body).await;
        assert_eq!(put("m1", &mail(1)).await.outcome(), "accepted");
        let peek = Peek::of(&daemon).await;
        peek.execute("update message_keys set body_hash = null").await;
        for number in 1..3 {
            assert_eq!(put("m1", &mail(number)).await.outcome(), "duplicate");
        }
    }

    async fn a_signing_secret_is_read_as_dashboards_show_it(place: Place) {
        let mut config = String::new();
        let key = b"secret-one-of-16";
        for (client, secret) in [
            ("whole", "v1,whsec_c2VjcmV0LW9uZS1vZi0xNg=="),
            ("prefixed", "whsec_c2VjcmV0LW9uZS1vZi0xNg=="),
            ("unpadded", "whsec_c2VjcmV0LW9uZS1vZi0xNg"),
            ("bare", "c2VjcmV0LW9uZS1vZi0xNg=="),
            ("text", "secret-one-of-16"),
        ] {
            config += &format!(
                "[[clients]]\nid = \"{client}\"\nchannels.instantly.signature = \
                 {{ scheme = \"standard_webhooks\", secrets = [\"{secret}\"] }}\n"
            );
        }
        let daemon = place.start(&config).await;
        for client in ["whole", "prefixed", "unpadded", "bare", "text"] {
            let (body, at) = (mail(1).to_string(), now());
            let sign = |key: &[u8]| {
                let key = hmac::Key::new(hmac::HMAC_SHA256, key);
                STANDARD.encode(hmac::sign(&key, format!("m1.{at}.{body}").as_bytes()))
            };
            let post = async |key: &[u8]| {
                let request = daemon
                    .webhook("instantly", client)
                    .header("webhook-id", "m1")
                    .header("webhook-timestamp", at.to_string())
                    .header("webhook-signature", format!("v1,{}", sign(key)))
                    .body(body.clone());
                ask(request).await
            };
            post(b"another").await.is_problem(401, "unauthenticated");
            let answer = post(key).await;
            assert_eq!(answer.outcome(), "accepted", "{client}: {answer:?}");
        }
    }
}
