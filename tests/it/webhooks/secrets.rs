//! Which secrets let a sender post, and that no secret comes out again.

use crate::{
    on_both_daemons,
    support::{
        both::{Peek, Place},
        daemon::Daemon,
        eventually,
        web::{Answer, ask, mail, sms},
    },
};
use postroom::channels::{AnyChannel, smartlead::Smartlead};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use std::{fs, time::Duration};

const SECRET: &str = "right-5ecret-of-the-channel";
const OLD_SECRET: &str = "right-5ecret-of-last-year";
const WRONG: &str = "wrong-5ecret-of-somebody";
const CONFIG: &str = r#"
[telemetry]
log = "trace,hyper=info,h2=info,mio=info"
[[clients]]
id = "closed"
[clients.channels.sms]
secret = "right-5ecret-of-the-channel"
[clients.channels.instantly]
secret = ["right-5ecret-of-the-channel", "right-5ecret-of-last-year"]
"#;

/// Every place that may hold a secret.
const PLACES: [&str; 4] = ["bearer", "x-webhook-secret", "x-instantly-secret", "query"];

fn with(request: RequestBuilder, place: &str, secret: &str) -> RequestBuilder {
    match place {
        "bearer" => request.bearer_auth(secret),
        "query" => request.query(&[("secret", secret)]),
        header => request.header(header, secret),
    }
}

fn without_request_id(answer: &Answer) -> Value {
    let mut body = answer.body.clone();
    body.as_object_mut().unwrap().remove("request_id").unwrap();
    body
}

on_both_daemons! {
    async fn one_right_secret_in_any_place_is_enough(place: Place) {
        let daemon = place.start(CONFIG).await;
        let post = || daemon.webhook("instantly", "closed").json(&mail(1));
        for right in PLACES {
            for secret in [SECRET, OLD_SECRET] {
                let answer = ask(with(post(), right, secret)).await;
                assert_eq!(answer.status, 200, "{right}: {answer:?}");
            }
            for wrong in PLACES.into_iter().filter(|it| *it != right) {
                let answer = ask(with(with(post(), wrong, WRONG), right, SECRET)).await;
                assert_eq!(answer.status, 200, "{wrong} beside {right}: {answer:?}");
            }
            ask(with(post(), right, WRONG)).await.is_problem(401, "unauthenticated");
            ask(with(post(), right, "")).await.is_problem(401, "unauthenticated");
        }
        // Another channel's own header is none.
        let sms = daemon.webhook("sms", "closed").json(&sms(1, "Hello"));
        ask(with(sms, "x-instantly-secret", SECRET)).await.is_problem(401, "unauthenticated");
    }

    async fn a_secret_may_have_letters_outside_ascii(place: Place) {
        let secret = "grün-5ecret-ключ-鍵";
        let config = format!(
            "[[clients]]\nid = \"closed\"\n[clients.channels.instantly]\nsecret = \"{secret}\"\n\
             [clients.channels.smartlead]\nsecret = \"{secret}\"\n"
        );
        let daemon = place.start(&config).await;
        let mut body = mail(1);
        body["webhook_url"] =
            daemon.webhook("instantly", "closed").query(&[("secret", secret)]).build().unwrap().url().as_str().into();
        let post = || daemon.webhook("instantly", "closed").json(&body);
        for right in PLACES {
            for wrong in ["grün-5ecret-ключ-键", "gr?n-5ecret-????-?", "grun-5ecret-ключ-鍵"] {
                ask(with(post(), right, wrong)).await.is_problem(401, "unauthenticated");
            }
            let answer = ask(with(post(), right, secret)).await;
            assert_eq!(answer.status, 200, "{right}: {answer:?}");
        }
        for (secret, status) in [("grün", 401), (secret, 200)] {
            let mut body = AnyChannel::sample(&Smartlead, None, 1).unwrap();
            body["secret_key"] = secret.into();
            let answer = ask(daemon.webhook("smartlead", "closed").json(&body)).await;
            assert_eq!(answer.status, status, "{answer:?}");
        }
        let db = Peek::of(&daemon).await;
        let payloads = db.texts("select payload from messages").await;
        assert_eq!(payloads.len(), 2);
        for text in payloads.iter().chain([&daemon.log()]) {
            assert!(!text.contains("5ecret"), "{text}");
        }
    }

    async fn strangers_learn_nothing_about_who_is_a_client(place: Place) {
        let daemon = place.start(CONFIG).await;
        let mut answers = Vec::new();
        for (client, body) in [
            ("closed", &b"{}"[..]),
            ("nobody", b"{}"),
            ("closed", b"not json"),
            ("nobody", b"not json"),
            ("closed", b""),
            ("nobody", b""),
            ("CLOSED", b"{}"),
            ("closed%20", b"{}"),
        ] {
            for secret in [None, Some(WRONG)] {
                let post = daemon.webhook("sms", client).body(body);
                let answer = ask(match secret {
                    Some(secret) => post.bearer_auth(secret),
                    None => post,
                });
                let answer = answer.await;
                answer.is_problem(401, "unauthenticated");
                answers.push(answer);
            }
        }
        for answer in &answers {
            assert_eq!(without_request_id(answer), without_request_id(&answers[0]));
        }
        // A channel that the client does not use is none of its channels.
        let sms = daemon.webhook("instantly", "nobody").bearer_auth(SECRET).body("{}");
        assert_eq!(without_request_id(&ask(sms).await), without_request_id(&answers[0]));
    }

    #[ignore = "long: `just long`"]
    async fn no_secret_is_in_the_log_in_an_answer_or_in_the_database(place: Place) {
        let mut daemon = place.start(CONFIG).await;
        let mut answers = vec![ask(daemon.get("/nothing").query(&[("secret", SECRET)])).await.text];
        for (number, at) in PLACES.into_iter().enumerate() {
            for secret in [SECRET, WRONG] {
                let mut body = mail(number as u64);
                body["webhook_url"] = format!("https://x.example/webhooks?secret={SECRET}").into();
                let post = daemon.webhook("instantly", "closed").json(&body);
                answers.push(ask(with(post, at, secret)).await.text);
                let bad = daemon.webhook("instantly", "closed").body("{\"event_type\": cut");
                answers.push(ask(with(bad, at, secret)).await.text);
                let strange = daemon.webhook("instantly", "closed").body("[\"strange\"]");
                answers.push(ask(with(strange, at, secret)).await.text);
            }
        }
        let db = Peek::of(&daemon).await;
        eventually(Duration::from_secs(20), async || (db.unfinished().await == 0).then_some(()))
            .await;
        for path in ["/overview", "/jobs", "/leads", "/messages", "/drafts", "/pools", "/actors"] {
            let list = ask(daemon.api(Method::GET, path)).await;
            assert_eq!(list.status, 200, "{list:?}");
            answers.push(list.text.clone());
            for item in list.body["items"].as_array().into_iter().flatten() {
                if matches!(path, "/jobs" | "/leads" | "/messages") {
                    let path = format!("{path}/{}", item["id"].as_str().unwrap());
                    let one = ask(daemon.api(Method::GET, &path)).await;
                    assert_eq!(one.status, 200, "{one:?}");
                    answers.push(one.text);
                }
            }
        }
        for path in ["/metrics", "/readyz", "/healthz"] {
            answers.push(ask(daemon.get(path)).await.text);
        }
        daemon.terminate();
        assert!(daemon.wait(Duration::from_secs(20)).await.success());
        daemon.start_again().await;
        let places = [
            ("the answers", answers.join("\n")),
            ("the log", daemon.log()),
            ("the database", dump(&daemon, &db, &place).await),
        ];
        for (what, text) in places {
            for secret in ["5ecret", daemon.admin_token()] {
                let line = text.lines().find(|it| it.contains(secret));
                assert_eq!(line, None, "`{secret}` is in {what}");
            }
        }
    }
}

/// Everything in the database, as text.
async fn dump(daemon: &Daemon, db: &Peek, place: &Place) -> String {
    if place.is_sqlite() {
        let file = daemon.database_url().trim_start_matches("sqlite://").to_owned();
        let read = |name: String| fs::read(name).unwrap_or_default();
        let bytes = [read(file.clone()), read(format!("{file}-wal"))].concat();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(text.contains("reply_received"), "this is not the database");
        return text;
    }
    let tables =
        db.texts("select tablename::text from pg_tables where schemaname = 'public'").await;
    assert!(tables.len() > 10, "{tables:?}");
    let mut text = String::new();
    for table in tables {
        text += &db.texts(&format!("select t::text from \"{table}\" t")).await.join("\n");
    }
    assert!(text.contains("reply_received"), "this is not the database");
    text
}
