//! A person is exported and erased by API, and an erasure that was killed is done again.

use crate::{
    on_both_daemons,
    support::{
        both::Peek,
        daemon::{Daemon, Options},
        web::{Answer, ask, sms, try_ask},
    },
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

async fn call(daemon: &Daemon, method: Method, path: &str, body: Option<Value>) -> Answer {
    let request = daemon.api(method, path).header("x-postroom-actor", "dana");
    ask(match body {
        Some(body) => request.json(&body),
        None => request,
    })
    .await
}

on_both_daemons! {
    async fn a_person_is_exported_opted_out_lifted_and_erased(place: Place) {
        let daemon = place.start("").await;
        let posted = ask(daemon.webhook("sms", "demo").json(&sms(1, "What does it cost?"))).await;
        let lead = posted.field("lead_id").to_owned();
        let path = format!("/leads/{lead}");
        let opt_out = format!("{path}/opt-out");
        let out = call(&daemon, Method::POST, &opt_out, Some(json!({"note": "by phone"}))).await;
        assert_eq!((out.status, out.body["opted_out"]["reason"].as_str()), (200, Some("by phone")), "{out:?}");
        // All of it, as one document.
        let export = call(&daemon, Method::GET, &format!("{path}/export"), None).await;
        assert_eq!(export.status, 200, "{export:?}");
        assert_eq!(export.body["lead"]["id"], json!(lead));
        assert_eq!(export.body["opt_outs"][0]["noted_by"], json!("dana"));
        let message = &export.body["messages"][0];
        assert_eq!(message["body"], json!("What does it cost?"));
        assert!(message["payload"].is_string(), "{message}");
        assert!(!export.body["jobs"].as_array().unwrap().is_empty());
        let actions: Vec<&str> = export.body["audit"].as_array().unwrap().iter().filter_map(|it| it["action"].as_str()).collect();
        assert_eq!(actions, ["lead.export", "lead.opt_out"]);
        // A lift needs a note.
        let lift = async |body| call(&daemon, Method::DELETE, &opt_out, Some(body)).await;
        lift(json!({})).await.is_problem(400, "bad-request");
        let lifted = lift(json!({"note": "asked us to write again"})).await;
        assert_eq!((lifted.status, &lifted.body["opted_out"]), (200, &Value::Null), "{lifted:?}");
        lift(json!({"note": "again"})).await.is_problem(409, "conflict");
        // So does an erasure.
        let erase = async |body| call(&daemon, Method::DELETE, &path, Some(body)).await;
        erase(json!({"suppress": true})).await.is_problem(400, "bad-request");
        let erased = erase(json!({"note": "request 12", "suppress": true})).await;
        assert_eq!(erased.status, 200, "{erased:?}");
        assert_eq!(erased.body["erased"]["messages"], json!(1));
        assert!(erased.body["erased"]["suppressed"].as_u64() > Some(0), "{erased:?}");
        assert_eq!(erased.body["remains"].as_array().unwrap().len(), 4);
        for path in [path.clone(), format!("{path}/export")] {
            call(&daemon, Method::GET, &path, None).await.is_problem(404, "not-found");
        }
        // Its number is opted out before its next message is answered.
        let again = ask(daemon.webhook("sms", "demo").json(&sms(1, "Hello again"))).await;
        let lead = call(&daemon, Method::GET, &format!("/leads/{}", again.field("lead_id")), None).await;
        assert_eq!(lead.field("status"), "blacklisted", "{lead:?}");
    }

    async fn an_erasure_that_is_killed_at_any_commit_is_done_again(place: Place) {
        const MESSAGES: u32 = 420;
        let point = |name: &str, at: u32| vec![("POSTROOM_FAULTS".to_owned(), format!("store.erase.{name}=kill@{at}"))];
        let mut daemon = Daemon::start(Options { env: point("committed", 1), ..place.options("") }).await;
        let mut lead = String::new();
        for n in 0..MESSAGES {
            let posted = ask(daemon.webhook("sms", "demo").json(&sms(1, &format!("message {n}, unsubscribe me")))).await;
            posted.field("lead_id").clone_into(&mut lead);
        }
        let db = Peek::of(&daemon).await;
        let erase = async |daemon: &Daemon| {
            try_ask(daemon.api(Method::DELETE, &format!("/leads/{lead}")).json(&json!({"note": "request 12"}))).await
        };
        for fault in [point("before_commit", 2), point("before_commit", 1), Vec::new()] {
            let answer = erase(&daemon).await;
            assert!(answer.is_none(), "it was not killed: {answer:?}");
            daemon.wait(Duration::from_secs(20)).await;
            daemon.set_env(fault);
            daemon.start_again().await;
        }
        let answer = erase(&daemon).await.expect("an answer");
        assert_eq!(answer.status, StatusCode::OK.as_u16(), "{answer:?}");
        for table in ["messages", "drafts", "lead_identities", "leads"] {
            assert_eq!(db.number(&format!("select count(*) from {table}")).await, 0, "{table}");
        }
        assert!(db.number("select count(*) from suppressed").await > 0);
        assert_eq!(db.number("select count(*) from audit where action = 'lead.erase'").await, 1);
    }
}
