//! The admin API: the objects as they are spelled, pages, and what a person may do to jobs.

use crate::{
    on_both_daemons,
    support::{
        both::{Peek, Place},
        daemon::{Daemon, Options},
        eventually, http,
        leftovers::Leftover,
        web::{Answer, ask, mail, sms},
    },
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{os::unix::fs::PermissionsExt, time::Duration};

/// Jobs of text messages are never worked, those of mails are.
const CONFIG: &str = "[pools.SMS_INBOUND_POST_PROCESS]\npaused = true\n";

const JOB: &str = "id kind status state client_id lead_id message_id draft_id delivery_id dedupe_key attempts max_attempts run_at \
    created_at started_at finished_at locked_by last_error trace_id";
const LEAD: &str = "id client_id status sentiment first_name last_name company_name email phone timezone opted_out bounced \
    sms_dnd connected_at snoozed_until score identities campaign last_message_at last_inbound_at last_outbound_at created_at";
const MESSAGE: &str = "id client_id lead_id channel direction source provider_id subject body truncated sentiment automated from to cc \
    attachments sent_at created_at edited_at deleted_at";
const DRAFT: &str = "id client_id lead_id message_id channel status subject body truncated parts created_at decided_at decided_by edited \
    send_at blocked_by delivery_id gate";
const POOL: &str = "kind size configured_size busy leaving claimed paused state override backlog restarts resumes_at max_attempts timeout_ms ended_per_minute failed_per_minute \
    due_since held_by";
const ACTOR: &str =
    "name type parent state since restarts last_failure mailbox_depth mailbox_capacity job_id";
const OVERVIEW: &str = "verdict node version uptime_seconds database jobs by_kind by_client webhooks_per_second jobs_per_second quarantined \
    drafts_pending deliveries_uncertain sending_enabled accounts actors_restarted nodes";
const READY_CHECKS: [&str; 8] =
    ["database", "migrations", "supervisor", "ingest", "pools", "canary", "config", "accounts"];

async fn start(place: &Place) -> Daemon {
    let daemon = place.start(CONFIG).await;
    daemon.may_leave(Leftover::Unfinished, "the pool of text messages is paused");
    daemon
}

async fn get(daemon: &Daemon, path: &str) -> Answer {
    ask(daemon.api(Method::GET, path)).await
}

async fn act(daemon: &Daemon, path: &str) -> Answer {
    ask(daemon.api(Method::POST, path)).await
}

/// Posts a message and returns the answer.
async fn post(daemon: &Daemon, channel: &str, body: &Value) -> Answer {
    let answer = ask(daemon.webhook(channel, "demo").json(body)).await;
    assert_eq!(answer.outcome(), "accepted", "{answer:?}");
    answer
}

/// Checks that every key is there, that ids are texts, and that times are in UTC with milliseconds.
#[track_caller]
fn is_spelled(object: &Value, keys: &str) {
    for key in keys.split_whitespace() {
        assert!(object.get(key).is_some(), "no `{key}` in {object}");
    }
    spelled(object);
}

#[track_caller]
fn spelled(value: &Value) {
    match value {
        Value::Array(items) => items.iter().for_each(spelled),
        Value::Object(fields) => {
            for (name, value) in fields {
                let text = value.as_str();
                if name == "id" || name.ends_with("_id") {
                    assert!(
                        value.is_null() || text.is_some_and(|it| !it.is_empty()),
                        "{name}: {value}"
                    );
                }
                if name == "at" || name.ends_with("_at") || name == "since" {
                    let is_time = |it: &str| {
                        it.len() == 24
                            && it.ends_with('Z')
                            && it.get(19..20) == Some(".")
                            && it.get(10..11) == Some("T")
                    };
                    assert!(value.is_null() || text.is_some_and(is_time), "{name}: {value}");
                }
                if name.ends_with("_ms") || name.ends_with("_seconds") {
                    assert!(value.is_null() || value.is_number(), "{name}: {value}");
                }
                spelled(value);
            }
        }
        _ => {}
    }
}

/// A message whose job waits, and one whose job has run and has made a draft.
async fn filled(daemon: &Daemon) -> (Answer, Answer) {
    let waiting = post(daemon, "sms", &sms(1, "Hello")).await;
    let worked_off = post(daemon, "instantly", &mail(0)).await;
    eventually(Duration::from_secs(20), async || {
        let drafts = get(daemon, "/drafts").await;
        let lead = get(daemon, &format!("/leads/{}", worked_off.field("lead_id"))).await;
        (!drafts.items().is_empty() && lead.body["score"].is_object()).then_some(())
    })
    .await;
    (waiting, worked_off)
}

on_both_daemons! {
    async fn every_object_has_every_key(place: Place) {
        let daemon = start(&place).await;
        let (waiting, worked_off) = filled(&daemon).await;
        for (list, keys) in [
            ("/jobs", JOB),
            ("/leads", LEAD),
            ("/messages", MESSAGE),
            ("/drafts", DRAFT),
            ("/pools", POOL),
            ("/actors", ACTOR),
        ] {
            let answer = get(&daemon, list).await;
            assert_eq!(
                (answer.status, answer.header("cache-control")),
                (200, "no-store"),
                "{answer:?}"
            );
            assert!(answer.body.get("next_cursor").is_some(), "{answer:?}");
            assert!(!answer.items().is_empty(), "{list}");
            for item in answer.items() {
                is_spelled(item, keys);
            }
        }
        let job = get(&daemon, &format!("/jobs/{}", worked_off.job_ids()[0])).await.body;
        is_spelled(&job, &format!("{JOB} errors"));
        let kind = "INSTANTLY_INBOUND_POST_PROCESS";
        assert_eq!(
            (&job["kind"], &job["status"], &job["attempts"]),
            (&kind.into(), &"succeeded".into(), &1.into()),
            "{job}"
        );
        assert_eq!(job["dedupe_key"], format!("demo:{}:{kind}", worked_off.field("message_id")));
        assert!(
            job["started_at"].is_string()
                && job["finished_at"].is_string()
                && job["locked_by"].is_null(),
            "{job}"
        );
        let lead = get(&daemon, &format!("/leads/{}", worked_off.field("lead_id"))).await.body;
        is_spelled(&lead, &format!("{LEAD} messages drafts deliveries jobs"));
        is_spelled(&lead["score"], "fit intent overall reason scored_at");
        is_spelled(&lead["campaign"], "id name");
        is_spelled(&lead["identities"][0], "kind value");
        is_spelled(&lead["messages"][0], MESSAGE);
        is_spelled(&lead["drafts"][0], DRAFT);
        is_spelled(&lead["jobs"][0], JOB);
        let message =
            get(&daemon, &format!("/messages/{}", worked_off.field("message_id"))).await.body;
        is_spelled(&message, &format!("{MESSAGE} raw_text raw_html payload"));
        is_spelled(&message["from"], "address name");
        assert!(message["payload"].as_str().unwrap().contains("reply_received"), "{message}");
        let overview = get(&daemon, "/overview").await.body;
        is_spelled(&overview, OVERVIEW);
        is_spelled(&overview["jobs"], "pending running succeeded failed cancelled");
        is_spelled(&overview["nodes"][0], "id role started_at seen_at");
        let kinds = overview["by_kind"].as_array().unwrap();
        let sms = kinds.iter().find(|it| it["kind"] == "SMS_INBOUND_POST_PROCESS").unwrap();
        is_spelled(sms, "kind pending running oldest_pending_seconds");
        assert_eq!((&sms["pending"], &sms["running"]), (&1.into(), &0.into()), "{overview}");
        is_spelled(&overview["by_client"][0], "client_id pending running");
        assert_eq!(overview["database"], if place.is_sqlite() { "sqlite" } else { "postgres" });
        let pools = get(&daemon, "/pools").await;
        let paused =
            pools.items().iter().find(|it| it["kind"] == "SMS_INBOUND_POST_PROCESS").unwrap();
        assert_eq!(
            (&paused["paused"], &paused["state"], &paused["backlog"]),
            (&true.into(), &"paused".into(), &1.into()),
            "{paused}"
        );
        let actors = get(&daemon, "/actors").await;
        for name in
            ["supervisor", "recorder", "janitor", "ingest/sms", "ingest/instantly", "SELF_CHECK/0"]
        {
            assert!(
                actors.items().iter().any(|it| it["name"] == name),
                "no `{name}`: {}",
                actors.text
            );
        }
        let of_lead = get(&daemon, &format!("/messages?lead={}", waiting.field("lead_id"))).await;
        assert_eq!(of_lead.items().len(), 1);
        assert_eq!(of_lead.items()[0]["id"], waiting.field("message_id"));
    }

    async fn nobody_gets_in_without_the_token(place: Place) {
        let daemon = start(&place).await;
        for path in [
            "/overview",
            "/jobs",
            "/jobs/1",
            "/leads",
            "/messages",
            "/drafts",
            "/pools",
            "/actors",
            "/nothing",
        ] {
            let url = format!("/api/v1{path}");
            ask(daemon.get(&url)).await.is_problem(401, "unauthenticated");
            ask(daemon.get(&url).bearer_auth("wrong")).await.is_problem(401, "unauthenticated");
        }
        ask(daemon.http.post(daemon.url("/api/v1/jobs/1/cancel")))
            .await
            .is_problem(401, "unauthenticated");
        for path in ["/healthz", "/readyz", "/metrics"] {
            assert_eq!(ask(daemon.get(path)).await.status, 200, "{path}");
        }
    }

    async fn what_is_asked_wrongly_is_told_so(place: Place) {
        let daemon = start(&place).await;
        for path in [
            "/overview?x=1",
            "/jobs?stauts=failed",
            "/jobs?status=finished",
            "/jobs?kind=NO_SUCH_KIND",
            "/jobs?lead=x",
            "/jobs?limit=0",
            "/jobs?limit=501",
            "/jobs?cursor=x",
            "/leads?status=happy",
            "/leads?cursor=7",
            "/messages?channel=fax",
            "/messages?direction=up",
            "/drafts?status=lost",
            "/drafts?channel=fax",
            "/drafts?lead=x",
            "/pools?x=1",
            "/actors?x=1",
            "/jobs/1?x=1",
        ] {
            get(&daemon, path).await.is_problem(400, "bad-request");
        }
        assert_eq!(get(&daemon, "/jobs?stauts=failed").await.field("field"), "stauts");
        for path in ["/nothing", "/jobs/1", "/jobs/x", "/leads/1", "/messages/0"] {
            get(&daemon, path).await.is_problem(404, "not-found");
        }
        for path in ["/jobs/1/retry", "/jobs/1/cancel"] {
            act(&daemon, path).await.is_problem(404, "not-found");
        }
        let answer = ask(daemon.api(Method::DELETE, "/jobs")).await;
        answer.is_problem(405, "method-not-allowed");
        assert_eq!(answer.header("allow"), "GET");
        for body in [json!({}), json!({"status": []}), json!({"stauts": "failed"}), json!([])] {
            ask(daemon.api(Method::POST, "/jobs/cancel").json(&body))
                .await
                .is_problem(400, "bad-request");
        }
        ask(daemon.api(Method::POST, "/jobs/retry").body("not json"))
            .await
            .is_problem(400, "not-json");
    }

    async fn pages_show_everything_once_while_rows_are_added(place: Place) {
        let daemon = start(&place).await;
        for number in 0..7 {
            post(&daemon, "sms", &sms(number, &format!("Hello {number}"))).await;
        }
        for (number, list) in
            ["/jobs?kind=SMS_INBOUND_POST_PROCESS", "/leads?client=demo", "/messages?channel=sms"]
                .iter()
                .enumerate()
        {
            let first = get(&daemon, list).await;
            let expected: Vec<&Value> = first.items().iter().map(|it| &it["id"]).collect();
            assert_eq!(expected.len(), 7 + number);
            let (mut seen, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = get(&daemon, &format!("{list}&limit=3{cursor}")).await;
                assert!(page.items().len() <= 3);
                seen.extend(page.items().iter().map(|it| it["id"].clone()));
                if cursor.is_empty() {
                    let number = 100 + number as u64;
                    post(&daemon, "sms", &sms(number, "Meanwhile")).await;
                }
                match page.body["next_cursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            assert_eq!(seen.iter().collect::<Vec<_>>(), expected, "{list}");
        }
        let ids: Vec<u64> = get(&daemon, "/jobs")
            .await
            .items()
            .iter()
            .map(|it| it["id"].as_str().unwrap().parse().unwrap())
            .collect();
        assert!(ids.is_sorted_by(|a, b| a > b), "not newest first: {ids:?}");
    }

    async fn a_person_cancels_and_retries_jobs_and_is_told_where_that_makes_no_sense(place: Place) {
        let daemon = start(&place).await;
        let (waiting, worked_off) = filled(&daemon).await;
        let (waiting, done) = (waiting.job_ids().remove(0), worked_off.job_ids().remove(0));
        let status = |answer: &Answer| {
            is_spelled(&answer.body, JOB);
            (answer.status, answer.field("id").to_owned(), answer.field("status").to_owned())
        };
        act(&daemon, &format!("/jobs/{waiting}/retry")).await.is_problem(409, "conflict");
        let cancelled = act(&daemon, &format!("/jobs/{waiting}/cancel")).await;
        assert_eq!(status(&cancelled), (200, waiting.clone(), "cancelled".to_owned()));
        act(&daemon, &format!("/jobs/{waiting}/cancel")).await.is_problem(409, "conflict");
        let retried = act(&daemon, &format!("/jobs/{waiting}/retry")).await;
        assert_eq!(status(&retried), (200, waiting.clone(), "pending".to_owned()));
        act(&daemon, &format!("/jobs/{waiting}/retry")).await.is_problem(409, "conflict");
        for action in ["retry", "cancel"] {
            act(&daemon, &format!("/jobs/{done}/{action}")).await.is_problem(409, "conflict");
        }
        for number in 10..13 {
            post(&daemon, "sms", &sms(number, "Hello")).await;
        }
        let filter =
            json!({"status": "pending", "kind": "SMS_INBOUND_POST_PROCESS", "client": "demo"});
        let many = async |action: &str, filter: &Value| {
            ask(daemon.api(Method::POST, &format!("/jobs/{action}")).json(filter)).await.body["count"].clone()
        };
        assert_eq!(many("cancel", &filter).await, 4);
        assert_eq!(many("cancel", &filter).await, 0);
        assert_eq!(many("retry", &json!({"status": ["cancelled", "failed"]})).await, 4);
        let pending = get(&daemon, "/jobs?status=pending&kind=SMS_INBOUND_POST_PROCESS").await;
        assert_eq!(pending.items().len(), 4);
        let db = Peek::of(&daemon).await;
        assert_eq!(db.unfinished().await, 4);
    }

    async fn health_is_told_to_everybody(place: Place) {
        let daemon = start(&place).await;
        filled(&daemon).await;
        let alive = ask(daemon.get("/healthz")).await;
        assert_eq!((alive.status, alive.body), (200, json!({"status": "ok"})));
        let ready = ask(daemon.get("/readyz")).await;
        assert_eq!((ready.status, ready.field("status")), (200, "ready"));
        for check in READY_CHECKS {
            let it = &ready.body["checks"][check];
            assert!(it["ok"].is_boolean() && it.get("detail").is_some(), "{check}: {ready:?}");
            assert_eq!(it["ok"], check != "pools", "{check}: {ready:?}");
        }
        assert!(
            ready.body["checks"]["pools"]["detail"].as_str().unwrap().contains("SMS_INBOUND"),
            "{ready:?}"
        );
    }

    async fn metrics_are_there_under_their_names(place: Place) {
        let daemon = start(&place).await;
        filled(&daemon).await;
        let metrics = ask(daemon.get("/metrics")).await;
        assert!(metrics.header("content-type").starts_with("text/plain"), "{metrics:?}");
        for line in [
            "postroom_webhooks_total{channel=\"sms\",outcome=\"accepted\"} 1",
            "postroom_webhook_seconds_count{channel=\"instantly\"} 1",
            "postroom_ingest_batch_size_sum{channel=\"sms\"} 1",
            "postroom_ingest_queue_depth{channel=\"sms\"} 0",
            "postroom_jobs_total{kind=\"INSTANTLY_INBOUND_POST_PROCESS\",outcome=\"succeeded\"} 1",
            "postroom_job_wait_seconds_count{kind=\"INSTANTLY_INBOUND_POST_PROCESS\"} 1",
            "postroom_job_run_seconds_count{kind=\"INSTANTLY_INBOUND_POST_PROCESS\"} 1",
            "postroom_jobs_pending{kind=\"SMS_INBOUND_POST_PROCESS\"} 1",
            "postroom_jobs_running{kind=\"SMS_INBOUND_POST_PROCESS\"} 0",
            "postroom_oldest_pending_seconds{kind=\"SELF_CHECK\"} 0",
            "postroom_pool_size{kind=\"SMS_INBOUND_POST_PROCESS\"} 8",
            "postroom_pool_busy{kind=\"SMS_INBOUND_POST_PROCESS\"} 0",
            "postroom_rescued_jobs_total 0",
            "postroom_quarantined_total{channel=\"sms\"} 0",
        ] {
            assert!(
                metrics.text.lines().any(|it| it == line),
                "`{line}` is not in\n{}",
                metrics.text
            );
        }
        for name in ["analyst_seconds", "canary_seconds"] {
            assert!(
                metrics.text.contains(&format!("# TYPE postroom_{name} ")),
                "no `{name}` in\n{}",
                metrics.text
            );
        }
        assert!(metrics.text.contains("\nprocess_"), "{}", metrics.text);
        assert!(!metrics.text.contains("demo"), "client ids are no labels\n{}", metrics.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_nobody_set_is_made_and_kept_from_others() {
    let options = Options { config: "[admin]\ntoken = \"\"\n".to_owned(), ..Options::default() };
    let mut daemon = Daemon::start(options).await;
    let file = daemon.directory().join("data/admin.token");
    let token = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    assert!(token.len() >= 32);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!daemon.log().contains(&token));
    let url = daemon.url("/api/v1/overview");
    assert_eq!(ask(http().get(&url).bearer_auth(&token)).await.status, 200);
    ask(http().get(&url).bearer_auth(daemon.admin_token()))
        .await
        .is_problem(401, "unauthenticated");
    daemon.kill_9();
    daemon.start_again().await;
    assert_eq!(
        ask(http().get(&url).bearer_auth(&token)).await.status,
        200,
        "another token after a restart"
    );
}
