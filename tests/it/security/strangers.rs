//! A request without a secret takes no room, time or memory from those that have one, and does not
//! learn who is a client.

use crate::{
    on_both_daemons,
    support::{
        both::{Peek, Place},
        daemon::Daemon,
        eventually,
        web::{Answer, ask, mail, sms},
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{StreamExt, future::join_all, stream::FuturesUnordered};
use postroom::channels::{AnyChannel, smartlead::Smartlead};
use reqwest::Method;
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const SECRET: &str = "the-secret-of-acme-7f3a";
const WRONG: &str = "another-secret-altogether";
const CONFIG: &str = r#"
[[clients]]
id = "acme"
channels.sms.secret = "the-secret-of-acme-7f3a"
channels.smartlead.secret = "the-secret-of-acme-7f3a"
channels.instantly.signature = { scheme = "standard_webhooks", secrets = ["whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"] }
"#;
const SIGNING_KEY: &[u8] = b"0123456789abcdef01234567";
const BODY_LIMIT: usize = 2 * 1_024 * 1_024;
const STRANGERS: usize = 40;

/// Sends a head, and as much of a body as is given, and leaves the connection open.
async fn begin(daemon: &Daemon, path: &str, headers: &str, body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", daemon.port())).await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{headers}\r\n");
    // The daemon may answer and hang up before it has read everything.
    stream.write_all(&[head.as_bytes(), body].concat()).await.ok();
    stream
}

/// Waits for the answer: head and body.
async fn answer(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") && stream.read_buf(&mut answer).await.is_ok_and(|it| it > 0) {}
    String::from_utf8_lossy(&answer).into_owned()
}

#[track_caller]
fn assert_is(answer: &str, status: u16, kind: &str) {
    let is_it = answer.starts_with(&format!("HTTP/1.1 {status} "));
    assert!(is_it && answer.contains(&format!("urn:postroom:{kind}")), "not {status}: {answer}");
}

/// Strangers who each send a body up to its last byte, and then wait.
async fn hold(daemon: &Daemon, path: &str, headers: &str) -> Vec<TcpStream> {
    let headers = format!("content-length: {BODY_LIMIT}\r\n{headers}");
    let body = vec![b' '; BODY_LIMIT - 1];
    join_all((0..STRANGERS).map(|_| begin(daemon, path, &headers, &body))).await
}

fn smartlead(lead: u64) -> Value {
    AnyChannel::sample(&Smartlead, None, lead).unwrap()
}

/// Posts to `acme` as its providers do: a secret in the head, one in the body, a signature.
async fn post_as_provider(daemon: &Daemon, number: u64) -> Answer {
    match number % 3 {
        0 => {
            let body = sms(number, &format!("Hello number {number}"));
            ask(daemon.webhook("sms", "acme").bearer_auth(SECRET).json(&body)).await
        }
        1 => {
            let mut body = smartlead(number);
            body["secret_key"] = SECRET.into();
            ask(daemon.webhook("smartlead", "acme").json(&body)).await
        }
        _ => {
            let at = postroom::store::wall_clock().as_millis() / 1_000;
            let (id, body) = (format!("msg_{number}"), mail(number).to_string());
            let key = hmac::Key::new(hmac::HMAC_SHA256, SIGNING_KEY);
            let tag = hmac::sign(&key, format!("{id}.{at}.{body}").as_bytes());
            let request = daemon
                .webhook("instantly", "acme")
                .header("webhook-id", id)
                .header("webhook-timestamp", at.to_string())
                .header("webhook-signature", format!("v1,{}", STANDARD.encode(tag)));
            ask(request.body(body)).await
        }
    }
}

async fn all_are_taken(daemon: &Daemon, first: u64) {
    for number in first..first + 100 {
        let answer = post_as_provider(daemon, number).await;
        assert_eq!((answer.status, answer.outcome()), (200, "accepted"), "{answer:?}");
    }
}

/// The memory of a daemon that has done everything once, and does nothing.
async fn idle_mib(daemon: &Daemon) -> u64 {
    for number in 0..3 {
        assert_eq!(post_as_provider(daemon, number).await.outcome(), "accepted");
    }
    let db = Peek::of(daemon).await;
    eventually(Duration::from_secs(60), async || (db.unfinished().await == 0).then_some(())).await;
    daemon.peak_mib()
}

/// A body of the largest size that is nothing but numbers: as a tree it takes sixty times as much.
fn numbers(extra: &str) -> String {
    let count = (1_800_000 - extra.len()) / 2;
    format!("{{{extra}\"x\":[{}1]}}", "1,".repeat(count))
}

/// Signs as GoHighLevel does, with a key of our own; and that key for the configuration.
fn ghl() -> (Ed25519KeyPair, String) {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let mut spki = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    spki.extend_from_slice(pair.public_key().as_ref());
    (pair, STANDARD.encode(spki))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn large_bodies_of_strangers_keep_no_customer_out() {
    let daemon = Place::sqlite().start(CONFIG).await;
    let wrong = format!("authorization: Bearer {WRONG}\r\n");
    // Nothing that such a request could still send would help it, so it is answered at once.
    for (path, headers) in [
        ("/webhooks/sms/nobody", ""),
        ("/webhooks/sms/acme", ""),
        ("/webhooks/sms/acme", wrong.as_str()),
        ("/webhooks/instantly/acme?secret=x", ""),
    ] {
        for stream in hold(&daemon, path, headers).await {
            assert_is(&answer(stream).await, 401, "unauthenticated");
        }
    }
    // A secret that may be in the body is waited for: four bodies of an address are, and there is
    // room beside them.
    let signed = "webhook-id: a\r\nwebhook-timestamp: 1\r\nwebhook-signature: v1,AAAA\r\n";
    let mut first = 0;
    for (path, headers) in [
        ("/webhooks/smartlead/acme", ""),
        ("/webhooks/smartlead/nobody", wrong.as_str()),
        ("/webhooks/instantly/acme", signed),
        ("/webhooks/sms/nobody", "x-wh-signature: AAAA\r\n"),
    ] {
        let held = hold(&daemon, path, headers).await;
        let mut answers: FuturesUnordered<_> = held.into_iter().map(answer).collect();
        for _ in 0..STRANGERS - 4 {
            assert_is(&answers.next().await.unwrap(), 429, "queue-full");
        }
        assert_eq!(answers.len(), 4);
        all_are_taken(&daemon, first).await;
        // They waited all the time, and are told so at last.
        for answer in answers.collect::<Vec<_>>().await {
            assert_is(&answer, 429, "queue-full");
        }
        first += 100;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_is_told_that_it_posts_too_much_before_it_has_sent_its_body() {
    let config = format!("[server]\naddress_rate_limit = \"2/h\"\n{CONFIG}");
    for path in ["/webhooks/sms/nobody", "/webhooks/sms/acme", "/webhooks/smartlead/acme"] {
        let daemon = Place::sqlite().start(&config).await;
        for _ in 0..2 {
            let whole = begin(&daemon, path, "content-length: 2\r\n", b"{}").await;
            assert_is(&answer(whole).await, 401, "unauthenticated");
        }
        let length = "content-length: 100000\r\n";
        for headers in [length, "transfer-encoding: chunked\r\n"] {
            let third = answer(begin(&daemon, path, headers, b"").await).await;
            assert_is(&third, 429, "rate-limited");
            assert!(third.contains("\r\nconnection: close\r\n"), "{third}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_get_in_is_told_so_before_he_has_sent_his_body() {
    let daemon = Place::sqlite().start(CONFIG).await;
    let mut answers = Vec::new();
    for client in ["acme", "nobody"] {
        for headers in ["content-length: 100000\r\n", "transfer-encoding: chunked\r\n"] {
            let path = format!("/webhooks/sms/{client}");
            let answer = answer(begin(&daemon, &path, headers, b"").await).await;
            assert_is(&answer, 401, "unauthenticated");
            assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            let mut body: Value = serde_json::from_str(body).unwrap();
            body.as_object_mut().unwrap().remove("request_id");
            answers.push(body);
        }
    }
    assert!(answers.iter().all(|it| *it == answers[0]), "{answers:?}");
    // Where all of the body is there, the connection is kept.
    let whole = begin(&daemon, "/webhooks/sms/acme", "content-length: 2\r\n", b"{}").await;
    assert!(!answer(whole).await.contains("connection: close"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_tree_is_built_of_what_strangers_send() {
    let daemon = Place::sqlite().start(CONFIG).await;
    let idle = idle_mib(&daemon).await;
    let objects = format!("[{}1]", "{\"\":0},".repeat(250_000));
    for body in [numbers(""), numbers("\"secret_key\":\"wrong\","), objects, "[".repeat(1_800_000)]
    {
        for client in ["acme", "nobody"] {
            let answer = ask(daemon.webhook("smartlead", client).body(body.clone())).await;
            answer.is_problem(401, "unauthenticated");
        }
    }
    let peak = daemon.peak_mib();
    eprintln!("{idle} MiB, at most {peak} MiB");
    assert!(peak < idle + 40, "{peak} MiB after {idle} MiB");
}

on_both_daemons! {
    #[ignore = "long: `just long`"]
    async fn a_body_of_too_many_values_is_kept_as_it_is_and_costs_little(place: Place) {
        let daemon = place.start(CONFIG).await;
        let idle = idle_mib(&daemon).await;
        let extra = format!("\"event_type\":\"EMAIL_REPLY\",\"secret_key\":\"{SECRET}\", \"u\":\"?s={SECRET}\",");
        let body = numbers(&extra);
        let post = || ask(daemon.webhook("smartlead", "acme").body(body.clone()));
        let first = post().await;
        let told = (first.status, first.outcome(), first.field("reason"));
        assert_eq!(told, (200, "quarantined", "too_many_values"), "{first:?}");
        let peak = daemon.peak_mib();
        eprintln!("{idle} MiB, at most {peak} MiB");
        assert!(peak < idle + 80, "{peak} MiB after {idle} MiB");
        let id = first.field("quarantine_id").to_owned();
        assert_eq!(post().await.field("quarantine_id"), id, "the same bytes are the same item");
        let db = Peek::of(&daemon).await;
        let kept = db.texts("select payload from quarantine").await;
        assert_eq!(kept, [body.replace(SECRET, "***")]);
        // Neither is it understood later.
        let again = ask(daemon.api(Method::POST, &format!("/quarantine/{id}/replay"))).await;
        assert_eq!((again.outcome(), again.field("reason")), ("quarantined", "too_many_values"));
        // A stranger learns nothing of that.
        let wrong = body.replace(SECRET, WRONG);
        let answer = ask(daemon.webhook("smartlead", "acme").body(wrong)).await;
        answer.is_problem(401, "unauthenticated");
        // It is JSON, or it is not.
        let cut = body.trim_end_matches('}').to_owned();
        let answer = ask(daemon.webhook("smartlead", "acme").bearer_auth(SECRET).body(cut)).await;
        answer.is_problem(400, "not-json");
    }

    #[ignore = "long: `just long`"]
    async fn what_the_provider_signs_for_another_customer_is_not_taken(place: Place) {
        let (pair, key) = ghl();
        let daemon = place
            .start(&format!(
                "[[clients]]\nid = \"acme\"\n[clients.channels.sms]\naccount = \"LOC-MINE\"\n\
                 secret = \"{SECRET}\"\nsignature = {{ scheme = \"ghl\", public_key = \"{key}\" }}\n"
            ))
            .await;
        let event = |location: Value| {
            let now = postroom::store::wall_clock().as_millis();
            let now = jiff::Timestamp::from_millisecond(now).unwrap().to_string();
            json!({
                "type": "InboundMessage", "locationId": location, "contactId": "c1", "messageId": "m1",
                "webhookId": "w1", "messageType": "SMS", "direction": "inbound", "body": "Yes, please",
                "from": "+13125550187", "timestamp": now,
                "dateAdded": now,
            })
        };
        let mut none = event(Value::Null);
        none.as_object_mut().unwrap().remove("locationId");
        let post = async |body: &Value| {
            let body = body.to_string();
            let signature = STANDARD.encode(pair.sign(body.as_bytes()));
            let request = daemon.webhook("sms", "acme").header("x-ghl-signature", signature);
            ask(request.body(body)).await
        };
        for body in [
            event("LOC-OTHER".into()),
            event("loc-mine".into()),
            event(json!(["LOC-MINE"])),
            event(json!({"id": "LOC-MINE"})),
            event(Value::Null),
            event("".into()),
            none.clone(),
            json!([event("LOC-MINE".into())]),
            json!({"data": event("LOC-MINE".into())}),
            json!("LOC-MINE"),
            json!({"type": "ContactDndUpdate", "id": "c1", "dnd": false}),
            json!({"type": "SomethingNew"}),
            serde_json::from_str(&numbers("\"type\":\"InboundMessage\",")).unwrap(),
        ] {
            let answer = post(&body).await;
            let told = (answer.status, answer.outcome(), answer.field("reason"));
            assert_eq!(told, (200, "ignored", "other_account"), "{answer:?}");
        }
        let db = Peek::of(&daemon).await;
        let stored = "select (select count(*) from messages) + (select count(*) from quarantine) \
                      + (select count(*) from leads)";
        assert_eq!(db.number(stored).await, 0);
        // A request with the client's own secret is the client's, whatever the body names.
        let held = ask(daemon.webhook("sms", "acme").bearer_auth(SECRET).json(&none)).await;
        assert_eq!(held.outcome(), "quarantined", "{held:?}");
        let answer = post(&event("LOC-MINE".into())).await;
        assert_eq!(answer.outcome(), "accepted", "{answer:?}");
    }

    async fn a_right_secret_counts_wherever_it_stands_among_wrong_ones(place: Place) {
        let daemon = place.start(CONFIG).await;
        let post = |query: &str, headers: &[(&'static str, String)]| {
            let url = daemon.url(&format!("/webhooks/sms/acme{query}"));
            let request = daemon.http.post(url).json(&sms(1, "Hello"));
            ask(headers.iter().fold(request, |it, (name, value)| it.header(*name, value)))
        };
        let bearer = |secret: &str| ("authorization", format!("Bearer {secret}"));
        let header = |secret: &str| ("x-webhook-secret", secret.to_owned());
        let (right, wrong) = (SECRET, WRONG);
        for (query, headers) in [
            (format!("?secret={wrong}&secret={right}"), vec![]),
            (format!("?secret={right}&secret={wrong}&secret="), vec![]),
            (String::new(), vec![bearer(wrong), bearer(right)]),
            (String::new(), vec![bearer(right), bearer(wrong)]),
            (String::new(), vec![header(wrong), header(""), header(right)]),
            (format!("?secret={right}"), vec![header(wrong), bearer(wrong)]),
        ] {
            let answer = post(&query, &headers).await;
            assert_eq!(answer.status, 200, "{query} {headers:?}: {answer:?}");
        }
        // Their number is bounded.
        let many = format!("?{}secret={right}", "secret=x&".repeat(2_000));
        post(&many, &[]).await.is_problem(401, "unauthenticated");
        let several = format!("?{}secret={right}", "secret=x&".repeat(20));
        assert_eq!(post(&several, &[]).await.status, 200);
        let lists = [("x-webhook-secret", format!("{wrong}, {right}"))];
        post("", &lists).await.is_problem(401, "unauthenticated");
    }
}
