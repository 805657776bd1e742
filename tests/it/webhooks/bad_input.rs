//! What is wrong with a request decides its answer, in a fixed order; and nothing that is posted
//! breaks the daemon or hurts what is posted beside it.

use crate::{
    on_both_daemons,
    support::{
        both::Peek,
        daemon::Daemon,
        eventually,
        web::{Answer, ask, mail, sms},
    },
};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const CONFIG: &str = r#"
[server]
body_limit = "64KiB"
[[clients]]
id = "open"
[clients.channels.sms]
[clients.channels.instantly]
account = "our-workspace"
ignore_events = ["brand_new_event"]
[[clients]]
id = "closed"
[clients.channels.sms]
secret = "the-right-secret"
[[clients]]
id = "slow"
rate_limit = "3/h"
[clients.channels.sms]
"#;

async fn post(daemon: &Daemon, client: &str, body: impl Into<reqwest::Body>) -> Answer {
    ask(daemon.webhook("sms", client).body(body)).await
}

/// Sends bytes as they are, and returns the answer, which ends with its JSON.
async fn raw(daemon: &Daemon, request: &[u8]) -> String {
    let url = daemon.url("");
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    // The daemon may answer and hang up before it has read everything.
    stream.write_all(request).await.ok();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") && stream.read_buf(&mut answer).await.is_ok_and(|it| it > 0) {}
    String::from_utf8_lossy(&answer).into_owned()
}

fn nested(levels: usize) -> String {
    let text = json!("Hello").to_string();
    // One level is that of the body itself.
    format!("{{\"deep\":{}{},\"text\":{text}}}", "[".repeat(levels - 1), "]".repeat(levels - 1))
}

on_both_daemons! {
    async fn the_first_thing_that_is_wrong_decides(place: Place) {
        let daemon = place.start(CONFIG).await;
        let too_large = vec![b' '; 65 * 1024];
        // No such channel, before everything else.
        for method in [Method::POST, Method::GET, Method::PUT] {
            let url = daemon.url("/webhooks/fax/open");
            ask(daemon.http.request(method, url).body(too_large.clone()))
                .await
                .is_problem(404, "not-found");
        }
        // The method, before size and secret.
        for method in [Method::PUT, Method::DELETE, Method::PATCH] {
            let url = daemon.url("/webhooks/sms/closed");
            let answer = ask(daemon.http.request(method, url).body(too_large.clone())).await;
            answer.is_problem(405, "method-not-allowed");
            for allowed in ["GET", "POST"] {
                assert!(answer.header("allow").contains(allowed), "{answer:?}");
            }
        }
        // The size, before the secret.
        for client in ["closed", "open", "nobody"] {
            post(&daemon, client, too_large.clone()).await.is_problem(413, "too-large");
        }
        // The secret, before what is in the body.
        post(&daemon, "closed", "not json").await.is_problem(401, "unauthenticated");
        // What is in the body, before the client's rate.
        for _ in 0..5 {
            post(&daemon, "slow", "not json").await.is_problem(400, "not-json");
        }
        for number in 0..3 {
            let answer = post(&daemon, "slow", sms(number, "Hello").to_string()).await;
            assert_eq!(answer.outcome(), "accepted", "{answer:?}");
        }
        post(&daemon, "slow", sms(3, "Hello").to_string()).await.is_problem(429, "rate-limited");
        post(&daemon, "slow", "not json").await.is_problem(400, "not-json");
        let answer = post(&daemon, "open", sms(4, "Hello").to_string()).await;
        assert_eq!(answer.outcome(), "accepted", "another client's rate is its own: {answer:?}");
        let db = Peek::of(&daemon).await;
        assert_eq!(db.number("select count(*) from messages").await, 4);
    }

    async fn a_body_of_unknown_length_is_cut_off_at_the_limit(place: Place) {
        let daemon = place.start(CONFIG).await;
        let head = "POST /webhooks/sms/open HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
        let chunk = format!("4000\r\n{}\r\n", " ".repeat(0x4000));
        let endless = format!("{head}{}", chunk.repeat(5));
        let answer = raw(&daemon, endless.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.contains("urn:postroom:too-large"), "{answer}");
        let body = sms(1, "Hello").to_string();
        let fitting = format!("{head}{}{:x}\r\n{body}\r\n0\r\n\r\n", chunk.repeat(3), body.len());
        let answer = raw(&daemon, fitting.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"accepted\""), "{answer}");
    }

    async fn what_is_not_json_is_told_so(place: Place) {
        let daemon = place.start(CONFIG).await;
        let raw_control = b"{\"contact_id\":\"a\nb\"}".to_vec();
        let cut = sms(1, "Hello").to_string();
        let cut = cut.split_at(cut.len() / 2).0.as_bytes().to_vec();
        for body in [
            Vec::new(),
            b"   ".to_vec(),
            cut,
            b"{\"a\":\"\xff\xfe\"}".to_vec(),
            raw_control,
            nested(128).into_bytes(),
            b"[".repeat(60_000),
            b"{\"a\":".repeat(10_000),
            b"a=1&b=2".to_vec(),
            b"{}{}".to_vec(),
            b"\xef\xbb\xbf{}x".to_vec(),
        ] {
            let answer = post(&daemon, "open", body).await;
            answer.is_problem(400, "not-json");
        }
        let deep = post(&daemon, "open", nested(127)).await;
        assert_eq!((deep.status, deep.outcome()), (200, "quarantined"), "{deep:?}");
        // Whatever its content type says, a body is JSON.
        let form = daemon
            .webhook("sms", "open")
            .header("content-type", "application/x-www-form-urlencoded");
        let answer = ask(form.body(sms(2, "Hello").to_string())).await;
        assert_eq!(answer.outcome(), "accepted", "{answer:?}");
    }

    async fn one_address_may_not_post_more_than_it_may(place: Place) {
        let daemon = place.start("[server]\naddress_rate_limit = \"4/h\"\n").await;
        for number in 0..3 {
            let answer = post(&daemon, "demo", sms(number, "Hello").to_string()).await;
            assert_eq!(answer.outcome(), "accepted", "{answer:?}");
        }
        post(&daemon, "nobody", "{}").await.is_problem(401, "unauthenticated");
        for (client, body) in [("demo", "{}"), ("nobody", "{}"), ("demo", "not json")] {
            post(&daemon, client, body).await.is_problem(429, "rate-limited");
        }
        assert_eq!(ask(daemon.get("/healthz")).await.status, 200);
    }

    async fn what_is_not_understood_is_kept_once_and_counted(place: Place) {
        let daemon = place.start(CONFIG).await;
        let db = Peek::of(&daemon).await;
        let mut ids = Vec::new();
        for (body, reason) in [
            (json!({"type": "BrandNewMessage", "body": "Hello"}), "unknown_event"),
            (
                json!({"workflow": {"id": "w"}, "message": {"body": "Hello"}}),
                "missing_field contact_id",
            ),
            (json!(["a list"]), "not_an_object"),
            (json!({"hello": "world"}), "unknown_shape"),
        ] {
            let mut same = Vec::new();
            for _ in 0..3 {
                let answer = post(&daemon, "open", body.to_string()).await;
                assert_eq!(
                    (answer.status, answer.outcome(), answer.field("reason")),
                    (200, "quarantined", reason),
                    "{answer:?}"
                );
                same.push(answer.field("quarantine_id").to_owned());
            }
            same.dedup();
            assert_eq!(same.len(), 1, "{same:?}");
            ids.append(&mut same);
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 4);
        assert_eq!(db.number("select count(*) from quarantine where count = 3").await, 4);
        assert_eq!(db.number("select count(*) from messages").await, 0);
        let odd_name = json!({"type": "Brand\u{0}New\u{0}", "body": "Hello"}).to_string();
        assert_eq!(post(&daemon, "open", odd_name).await.outcome(), "quarantined");
        let at_once = json!({"type": "AnotherNewMessage", "body": "Hello"}).to_string();
        let answers = join_all((0..20).map(|_| post(&daemon, "open", at_once.clone()))).await;
        for answer in &answers {
            assert_eq!(answer.outcome(), "quarantined", "{answer:?}");
            assert_eq!(answer.field("quarantine_id"), answers[0].field("quarantine_id"));
        }
        assert_eq!(db.number("select count(*) from quarantine where count = 20").await, 1);
        let payloads = db.texts("select payload from quarantine order by id").await;
        assert!(payloads[2].contains("a list"), "{payloads:?}");
    }

    async fn what_is_not_for_this_client_or_not_wanted_is_ignored(place: Place) {
        let daemon = place.start(CONFIG).await;
        let db = Peek::of(&daemon).await;
        let mut body = mail(1);
        for (change, reason) in [
            (json!({"workspace": "their-workspace"}), "other_account"),
            (
                json!({"workspace": "our-workspace", "event_type": "brand_new_event"}),
                "ignored_event",
            ),
        ] {
            body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let answer = ask(daemon.webhook("instantly", "open").json(&body)).await;
            assert_eq!(
                (answer.outcome(), answer.field("reason")),
                ("ignored", reason),
                "{answer:?}"
            );
            assert!(answer.body["message_id"].is_null() && answer.job_ids().is_empty());
        }
        for table in ["messages", "leads", "quarantine"] {
            assert_eq!(db.number(&format!("select count(*) from {table}")).await, 0, "{table}");
        }
        body["event_type"] = "reply_received".into();
        let answer = ask(daemon.webhook("instantly", "open").json(&body)).await;
        assert_eq!(answer.outcome(), "accepted", "{answer:?}");
    }

    async fn a_probe_learns_the_events_and_nothing_about_the_client(place: Place) {
        let daemon = place.start(CONFIG).await;
        for (channel, event) in [("sms", "InboundMessage"), ("instantly", "reply_received")] {
            let probe =
                async |client| ask(daemon.get(&format!("/webhooks/{channel}/{client}"))).await;
            let (known, closed, unknown) =
                (probe("open").await, probe("closed").await, probe("nobody").await);
            assert_eq!(known.status, 200, "{known:?}");
            assert_eq!(known.field("channel"), channel);
            let events = known.body["events"].as_array().unwrap();
            assert!(events.contains(&event.into()), "{known:?}");
            assert_eq!((&known.text, known.status), (&closed.text, closed.status));
            assert_eq!((&known.text, known.status), (&unknown.text, unknown.status));
        }
    }

    #[ignore = "long: `just long`"]
    async fn odd_values_break_nothing_and_hurt_no_neighbour(place: Place) {
        // Megabytes come slowly on a machine that has other things to do.
        let daemon = place.start("[server]\nrequest_timeout = \"2m\"\n").await;
        let odd_values = [
            Value::Null,
            json!(true),
            json!(-7),
            json!(1e300),
            json!([]),
            json!({}),
            json!([[{}, null, "x"]]),
            json!(""),
            json!("N/A"),
            json!("\u{0}"),
            json!("a\u{0}b"),
            json!("\u{feff}\u{202e}\u{fffd}"),
            json!("'; drop table messages; --"),
            json!("9".repeat(400)),
            json!("é".repeat(5_000)),
        ];
        let mut odd = Vec::new();
        for (channel, sample) in [("sms", sms(1_000_000, "Hello")), ("instantly", mail(1_000_000))]
        {
            for name in sample.as_object().unwrap().keys() {
                for value in &odd_values {
                    let mut body = sample.clone();
                    body[name] = value.clone();
                    odd.push((channel, body.to_string()));
                }
            }
            let text = sample.to_string();
            let with = |more: String| format!("{},{more}}}", text.strip_suffix('}').unwrap());
            let digits = "9".repeat(400);
            for more in [
                format!("\"x\":{digits}"),
                format!("\"contact_id\":{digits},\"lead_email\":{digits}"),
                "\"contact_id\":1e999".to_owned(),
                "\"contact_id\":\"one\",\"contact_id\":\"two\"".to_owned(),
                "\"phone\":\"\\ud800\",\"last_name\":\"\\udfff x\"".to_owned(),
                "\"first_name\":\"\\u0000\",\"firstName\":\"\\u0000\"".to_owned(),
                "\"\\u0000\":\"\\ud800\"".to_owned(),
                format!("\"x\":{}{}", "[".repeat(126), "]".repeat(126)),
                format!("\"first_name\":\"{}\"", "x".repeat(1_900_000)),
                format!("\"reply_text\":\"{}\",\"email_id\":\"b\"", "x ".repeat(950_000)),
                format!(
                    "\"contact_id\":\"{0}\",\"lead_email\":\"{0}@x.example\"",
                    "y".repeat(1_000_000)
                ),
            ] {
                odd.push((channel, with(more)));
            }
        }
        let mut huge = sms(1_000_001, "");
        huge["message"]["body"] = "Hello ".repeat(316_000).into();
        odd.push(("sms", huge.to_string()));
        for (round, part) in odd.chunks(24).enumerate() {
            let odd =
                join_all(part.iter().map(|(channel, body)| {
                    ask(daemon.webhook(channel, "demo").body(body.clone()))
                }));
            let neighbours = join_all((0..6).map(|it| {
                let number = round as u64 * 6 + it;
                ask(daemon
                    .webhook("sms", "demo")
                    .json(&sms(number, &format!("Hello there {number}"))))
            }));
            let (odd, neighbours) = tokio::join!(odd, neighbours);
            for (answer, (channel, body)) in odd.iter().zip(part) {
                let shown: String = body.chars().take(2_000).collect();
                assert_eq!(answer.status, 200, "{channel}: {answer:?}\n{shown}");
            }
            for answer in &neighbours {
                assert_eq!((answer.status, answer.outcome()), (200, "accepted"), "{answer:?}");
            }
        }
        let db = Peek::of(&daemon).await;
        eventually(Duration::from_secs(60), async || (db.unfinished().await == 0).then_some(()))
            .await;
        let failed = "select count(*) from job_attempts where outcome not in ('succeeded', 'cancelled', 'released')";
        assert_eq!(db.number(failed).await, 0, "jobs failed on odd messages");
        // Everything can be shown.
        for list in ["/messages?limit=500", "/leads?limit=500", "/jobs?limit=500"] {
            let answer = ask(daemon.api(Method::GET, list)).await;
            assert!(
                answer.status == 200 && !answer.items().is_empty(),
                "{list}: {}",
                answer.status
            );
        }
    }
}
