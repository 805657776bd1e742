//! A person is exported and erased by API, and an erasure that was killed is done again.

use crate::{
    on_both_daemons,
    support::{
        both::Peek,
        daemon::{Daemon, Options},
        eventually,
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
        let shown = call(&daemon, Method::GET, &path, None).await;
        let fact = &shown.body["opt_outs"][0];
        assert_eq!((&fact["source"], &fact["noted_by"]), (&json!("person"), &json!("dana")), "{shown:?}");
        let message = &export.body["messages"][0];
        assert_eq!(message["body"], json!("What does it cost?"));
        assert!(message["payload"].is_string(), "{message}");
        assert!(!export.body["jobs"].as_array().unwrap().is_empty());
        let actions: Vec<&str> = export.body["audit"].as_array().unwrap().iter().filter_map(|it| it["action"].as_str()).collect();
        assert_eq!(actions, ["lead.export", "lead.opt_out"]);
        let audit = &export.body["audit"];
        assert_eq!((&audit[0]["role"], &audit[1]["role"]), (&json!("operator"), &json!("operator")), "{audit}");
        // A lift needs a note, and the name of each opt-out that is not shown.
        let lift = async |body| call(&daemon, Method::DELETE, &opt_out, Some(body)).await;
        lift(json!({})).await.is_problem(400, "bad-request");
        let again = call(&daemon, Method::POST, &opt_out, Some(json!({"note": "by letter"}))).await;
        assert_eq!((again.status, again.body["opted_out"]["reason"].as_str()), (200, Some("by phone")), "{again:?}");
        let other = call(&daemon, Method::GET, &path, None).await.body["opt_outs"][1]["id"].clone();
        let refused = lift(json!({"note": "asked us to write again"})).await;
        let names_it = refused.field("detail").contains(other.as_str().unwrap());
        assert!(refused.status == 409 && names_it, "{refused:?}");
        lift(json!({"note": "x", "opt_outs": [5]})).await.is_problem(400, "bad-request");
        lift(json!({"note": "x", "all": "yes"})).await.is_problem(400, "bad-request");
        let lifted = lift(json!({"note": "asked us to write again", "opt_outs": [other]})).await;
        assert_eq!((lifted.status, &lifted.body["opted_out"]), (200, &Value::Null), "{lifted:?}");
        lift(json!({"note": "again"})).await.is_problem(409, "conflict");
        // So does an erasure.
        let erase = async |body| call(&daemon, Method::DELETE, &path, Some(body)).await;
        erase(json!({"suppress": true})).await.is_problem(400, "bad-request");
        let erased = erase(json!({"note": "request 12", "suppress": true})).await;
        assert_eq!(erased.status, 200, "{erased:?}");
        assert_eq!(erased.body["erased"]["messages"], json!(1));
        assert!(erased.body["erased"]["suppressed"].as_u64() > Some(0), "{erased:?}");
        assert_eq!(erased.body["remains"].as_array().unwrap().len(), 5);
        for path in [path.clone(), format!("{path}/export")] {
            call(&daemon, Method::GET, &path, None).await.is_problem(404, "not-found");
        }
        // Its number is opted out before its next message is answered.
        let again = ask(daemon.webhook("sms", "demo").json(&sms(1, "Hello again"))).await;
        let lead = call(&daemon, Method::GET, &format!("/leads/{}", again.field("lead_id")), None).await;
        assert_eq!(lead.field("status"), "blacklisted", "{lead:?}");
    }

    /// What was stored before two leads were found to be one names the younger.
    async fn an_export_has_what_belonged_to_a_lead_that_was_merged(place: Place) {
        let daemon = place.start("").await;
        let posted = ask(daemon.webhook("sms", "demo").json(&sms(1, "What does it cost?"))).await;
        let other = ask(daemon.webhook("sms", "demo").json(&sms(2, "Hello"))).await;
        let (lead, merged) = (posted.field("lead_id"), other.field("lead_id"));
        let db = Peek::of(&daemon).await;
        eventually(Duration::from_secs(60), async || (db.unfinished().await == 0).then_some(())).await;
        let now = if db.is_sqlite() { "0" } else { "now()" };
        for statement in [
            format!("update leads set merged_into = {lead} where id = {merged}"),
            format!("update messages set lead_id = {lead} where lead_id = {merged}"),
            format!(
                "insert into model_calls (id, kind, feature, prompt, model, status, latency_ms, retry, client_id, lead_id, job_id, node, created_at) \
                 values (7, 'SELF_CHECK', 'classify', 'classify.v1', 'm', 'ok', 9, 0, 'demo', {merged}, 1, 1, {now})"
            ),
            format!(
                "insert into audit (id, happened_at, actor, via, action, target, note) \
                 values (7, {now}, 'dana', 'api', 'lead.opt_out', '{merged}', 'by phone')"
            ),
            format!(
                "insert into quarantine (id, client_id, channel, body_hash, reason, status, count, payload, size, received_at, last_received_at) \
                 select 8, client_id, 'sms', 'h', 'unknown_event', 'held', 1, value, 20, {now}, {now} from lead_identities \
                 where lead_id = {lead} and kind = 'phone'"
            ),
        ] {
            db.execute(&statement).await;
        }
        let export = call(&daemon, Method::GET, &format!("/leads/{lead}/export"), None).await;
        assert_eq!(export.body["merged"][0]["id"], json!(merged), "{export:?}");
        assert_eq!(export.body["calls"][0]["id"], json!("7"));
        assert_eq!(export.body["quarantine"][0]["id"], json!("8"));
        assert!(export.body["quarantine"][0]["payload"].is_string());
        let notes: Vec<&str> = export.body["audit"].as_array().unwrap().iter().filter_map(|it| it["note"].as_str()).collect();
        assert_eq!(notes, ["by phone"]);
        assert_eq!(export.body["messages"].as_array().unwrap().len(), 2);
        // The merged one has nothing any more, and does not pretend to be empty.
        call(&daemon, Method::GET, &format!("/leads/{merged}/export"), None).await.is_problem(409, "conflict");
    }

    #[ignore = "long: `just long`"]
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
