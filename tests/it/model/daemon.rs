//! A daemon whose analyst asks a model: what it stores, lists and shows of that.

use crate::{
    on_both_daemons,
    support::{
        daemon::Daemon,
        eventually,
        model_server::{Asked, ModelServer, Reply},
        web::{Answer, ask, sms},
    },
};
use futures_util::future::join_all;
use postroom::analyst::Local;
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    process::Command,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(60);
const KEY: &str = "sk-hunter2-hunter2";

fn config(url: &str, keys: &str, max_attempts: u32) -> String {
    format!(
        "[analyst]\nprovider = \"openai\"\nbase_url = \"{url}\"\nmodel = \"m-1\"\napi_key = \"{KEY}\"\n{keys}\n\
         [pools.default]\nmax_attempts = {max_attempts}\nbackoff = {{ base = \"10ms\", cap = \"20ms\" }}\n"
    )
}

/// Posts a text message of this lead. Returns its job and the webhook's answer.
async fn post(daemon: &Daemon, lead: u64, text: &str) -> (String, Answer) {
    let answer = ask(daemon.webhook("sms", "demo").json(&sms(lead, text))).await;
    let [job] = answer.job_ids().try_into().expect("one job");
    (job, answer)
}

/// The tag of the message of this webhook's answer.
async fn tag(daemon: &Daemon, answer: &Answer) -> Value {
    get(daemon, &format!("/messages/{}", answer.field("message_id"))).await.body["sentiment"].take()
}

/// The lead of this webhook's answer.
async fn lead(daemon: &Daemon, answer: &Answer) -> Value {
    get(daemon, &format!("/leads/{}", answer.field("lead_id"))).await.body
}

/// An answer of a model about a message.
fn classified(opts_out: bool, tag: &str, confidence: f32) -> Reply {
    let answer = json!({"opts_out": opts_out, "tag": tag, "tag_confidence": confidence});
    Reply::Text(answer.to_string())
}

/// Each way in which a model's server can fail at once, as it is noted and as it is told.
fn failures() -> [(Reply, &'static str, &'static str); 12] {
    let text = |text: &str| Reply::Text(text.to_owned());
    [
        (Reply::Status(422, "", "{}"), "refused", "status 422; see whether server and model"),
        (
            Reply::Status(500, "retry-after: 60\r\n", "{}"),
            "server_error",
            "status 500; its server has failed",
        ),
        (text("Interested"), "unusable", "the answer does not follow the schema; take a model"),
        (Reply::Never, "timeout", "no answer within "),
        (Reply::CutShort, "cut_short", "the answer was cut short; take a model"),
        (Reply::CutOff, "unreachable", "the connection was lost; see whether its server runs"),
        (
            classified(false, "Hot Lead", 1.0),
            "unusable",
            "the tag is not in the list; take a model",
        ),
        (
            classified(false, "Interested", 7.0),
            "unusable",
            "the confidence is not from 0 to 1; take a model",
        ),
        (Reply::Declined, "declined", "the model declined; a person must judge the message"),
        (Reply::Status(401, "", "{}"), "denied", "status 401; see `analyst.api_key`"),
        (Reply::Status(200, "", "{"), "unusable", "the answer is no completion; take a model"),
        (Reply::Status(400, "", "{}"), "refused", "status 400; see whether server and model"),
    ]
}

/// Waits until at least so many calls match.
async fn at_least(daemon: &Daemon, query: &str, count: usize) {
    eventually(PATIENCE, async || {
        let calls = get(daemon, &format!("/calls{query}")).await;
        (calls.items().len() >= count).then_some(())
    })
    .await;
}

/// True if the model was once not asked since it is known to be away.
async fn is_paused(daemon: &Daemon) -> bool {
    let metrics = ask(daemon.get("/metrics")).await.text;
    let start = "postroom_analyst_seconds_count{outcome=\"paused\",provider=\"openai\"} ";
    metrics.lines().any(|line| line.starts_with(start))
}

/// The number in the message that a model is asked about.
fn number_of(asked: &Asked) -> usize {
    let (_, after) = asked.data().split_once("number ").expect("a number");
    after.split([' ', '.']).next().unwrap().parse().unwrap()
}

async fn get(daemon: &Daemon, path: &str) -> Answer {
    let answer = ask(daemon.api(Method::GET, path)).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer
}

/// Waits until the job of this status has ended, and returns it.
async fn ended(daemon: &Daemon, id: &str) -> Value {
    eventually(PATIENCE, async || {
        let job = get(daemon, &format!("/jobs/{id}")).await.body;
        (job["finished_at"] != Value::Null).then_some(job)
    })
    .await
}

/// Waits until there are as many calls that match, and returns them.
async fn calls(daemon: &Daemon, query: &str, count: usize) -> Vec<Value> {
    eventually(PATIENCE, async || {
        let calls = get(daemon, &format!("/calls{query}")).await.items().to_vec();
        (calls.len() == count).then_some(calls)
    })
    .await
}

on_both_daemons! {
    async fn calls_are_kept_and_listed(place: Place) {
        let server = ModelServer::start(|asked| match asked.feature() {
            "classify" => classified(false, "Interested", 0.9),
            _ => Reply::Good,
        });
        let daemon = place.start(&config(&server.url("one"), "", 2)).await;
        let (job, answer) = post(&daemon, 1, "Hm, the secret plan").await;
        assert_eq!(ended(&daemon, &job).await["status"], "succeeded");
        let lead = answer.field("lead_id");
        let all = calls(&daemon, "", 3).await;
        let features: Vec<&str> = all.iter().map(|it| it["feature"].as_str().unwrap()).collect();
        assert_eq!(features, ["score", "draft", "classify"], "the newest first");
        let classify = &all[2];
        assert_eq!(classify["job_id"], job.as_str());
        assert_eq!((&classify["lead_id"], &classify["client_id"]), (&lead.into(), &"demo".into()));
        assert_eq!((&classify["status"], &classify["error"]), (&"ok".into(), &Value::Null));
        assert_eq!((&classify["prompt"], &classify["model"]), (&"classify.v1".into(), &"m-1".into()));
        assert_eq!((&classify["tokens_in"], &classify["tokens_out"]), (&700.into(), &20.into()));
        assert_eq!((&classify["retry"], &classify["kind"]), (&0.into(), &"SMS_INBOUND_POST_PROCESS".into()));
        for (query, count) in [
            (format!("?lead={lead}"), 3),
            (format!("?job={job}"), 2),
            ("?client=demo&feature=score,draft".to_owned(), 2),
            ("?status=ok&kind=LEAD_SCORING_POST_PROCESS".to_owned(), 1),
            ("?status=timeout".to_owned(), 0),
            ("?since=2020-01-01T00:00:00Z".to_owned(), 3),
        ] {
            calls(&daemon, &query, count).await;
        }
        let page = get(&daemon, "/calls?limit=2").await;
        let cursor = page.field("next_cursor").to_owned();
        assert_eq!(calls(&daemon, &format!("?limit=2&cursor={cursor}"), 1).await[0], all[2]);
        for wrong in ["?status=slow", "?feature=chat", "?lead=x", "?model=m"] {
            let answer = ask(daemon.api(Method::GET, &format!("/calls{wrong}"))).await;
            answer.is_problem(400, "bad-request");
        }
        let listed = Command::new(env!("CARGO_BIN_EXE_postroom"))
            .current_dir(daemon.directory())
            .args(["--config", "harness.toml", "--config", "test.toml"])
            .args(["calls", "list", "--feature", "score,draft", "--lead", lead, "--json"])
            .output()
            .unwrap();
        let listed: Value = serde_json::from_slice(&listed.stdout).expect("a document");
        assert_eq!(listed["items"].as_array(), Some(&all[..2].to_vec()));
        assert!(!Value::from(all).to_string().contains("secret"));
        // The row of a call may be there before the effects of its job.
        let thread = eventually(PATIENCE, async || {
            let thread = get(&daemon, &format!("/leads/{lead}")).await.body;
            (thread["score"] != Value::Null).then_some(thread)
        })
        .await;
        assert_eq!((&thread["sentiment"], &thread["score"]["fit"]), (&"Interested".into(), &4.into()));
        assert_eq!(thread["drafts"].as_array().unwrap().len(), 1);
        assert_eq!(thread["messages"][0]["judged_by"], "openai m-1 v1", "{thread}");
        let metrics = ask(daemon.get("/metrics")).await.text;
        let line = "postroom_model_calls_total{feature=\"classify\",status=\"ok\"} 1";
        assert!(metrics.lines().any(|it| it == line), "{metrics}");
    }

    async fn a_model_that_fails_is_a_failed_attempt_and_no_tag(place: Place) {
        let is_well = Arc::new(AtomicBool::new(false));
        let told = is_well.clone();
        let server = ModelServer::start(move |_| {
            if told.load(Ordering::Relaxed) { Reply::Good } else { Reply::Status(400, "", "{}") }
        });
        let daemon = place.start(&config(&server.url("one"), "", 2)).await;
        let (id, answer) = post(&daemon, 1, "Hm, the secret plan").await;
        let job = ended(&daemon, &id).await;
        assert_eq!((&job["status"], &job["attempts"]), (&"failed".into(), &2.into()));
        let errors = job["errors"].as_array().unwrap();
        assert_eq!(errors.len(), 2);
        for error in errors {
            let message = error["message"].as_str().unwrap();
            assert!(message.starts_with("the analyst is away (model `m-1`: status 400; see "), "{message}");
        }
        assert_eq!(tag(&daemon, &answer).await, Value::Null);
        for call in calls(&daemon, "?status=refused", 2).await {
            assert_eq!(call["error"], "status 400");
        }
        // An opt-out counts without the model.
        let (stop_id, stop) = post(&daemon, 2, "STOP").await;
        assert_eq!(ended(&daemon, &stop_id).await["status"], "succeeded");
        let stopped = lead(&daemon, &stop).await;
        assert_eq!(stopped["sentiment"], "Blacklist");
        assert_eq!(stopped["messages"][0]["judged_by"], Local::judged_by().as_str(), "{stopped}");
        // Once the model is back, a person lets it run.
        is_well.store(true, Ordering::Relaxed);
        ask(daemon.api(Method::POST, &format!("/jobs/{id}/retry"))).await;
        assert_eq!(ended(&daemon, &id).await["status"], "succeeded");
        assert_eq!(tag(&daemon, &answer).await, "Neutral");
    }

    #[ignore = "long: `just long`"]
    async fn each_failure_is_a_failed_attempt_that_names_the_model_and_what_to_do(place: Place) {
        let server = ModelServer::start(|asked| failures()[number_of(asked)].0.clone());
        let keys = config(&server.url("one"), "timeout = \"300ms\"", 1) + "timeout = \"2s\"\n";
        let daemon = place.start(&keys).await;
        let run = async |number: usize| {
            let (reply, status, told) = failures()[number].clone();
            let lead = u64::try_from(number).unwrap() + 1;
            let (id, answer) = post(&daemon, lead, &format!("I wonder about number {number} there")).await;
            let job = ended(&daemon, &id).await;
            assert_eq!((&job["status"], &job["attempts"]), (&"failed".into(), &1.into()), "{reply:?}");
            let error = job["errors"][0]["message"].as_str().unwrap();
            assert!(error.contains(&format!("(model `m-1`: {told}")), "{reply:?}: {error}");
            assert!(!error.contains("wonder") && !error.contains("hunter2"), "{error}");
            assert_eq!(tag(&daemon, &answer).await, Value::Null, "{reply:?}");
            at_least(&daemon, &format!("?job={id}&status={status}"), 1).await;
        };
        // A few at a time: too many failures in a row, and nobody is asked.
        for four in [0, 4, 8] {
            join_all((four..four + 4).map(run)).await;
        }
    }

    #[ignore = "long: `just long`"]
    async fn a_limit_of_the_model_costs_no_attempt(place: Place) {
        // The limit is longer than an attempt, which has time to compile the patterns.
        let limit = Duration::from_secs(10);
        let started = Arc::new(OnceLock::new());
        let first = started.clone();
        let server = ModelServer::start(move |_| {
            if first.get_or_init(Instant::now).elapsed() < limit {
                Reply::Status(429, "retry-after: 10\r\n", r#"{"error":{"code":"rate_limit_exceeded"}}"#)
            } else {
                Reply::Good
            }
        });
        let keys = config(&server.url("one"), "", 1) + "timeout = \"8s\"\n";
        let daemon = place.start(&keys).await;
        let all = join_all((1..=3).map(|lead| post(&daemon, lead, "Hm, the secret plan"))).await;
        for (id, answer) in &all {
            let job = ended(&daemon, id).await;
            assert_eq!((&job["status"], &job["errors"]), (&"succeeded".into(), &json!([])), "{job}");
            assert_eq!(tag(&daemon, answer).await, "Neutral");
        }
        // One request for each job that was being asked about, and none while the pause lasts.
        let limited = get(&daemon, "/calls?status=rate_limited").await;
        assert!((1..=3).contains(&limited.items().len()), "{limited:?}");
        assert_eq!(limited.items()[0]["error"], "status 429, rate_limit_exceeded");
    }

    #[ignore = "long: `just long`"]
    async fn a_model_that_is_away_stops_no_job_for_good(place: Place) {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = format!("http://{nobody}/v1");
        let daemon = place.start(&config(&url, "", 1)).await;
        let failed = "model `m-1`: no connection; see whether its server runs";
        // Four requests fail, then a fifth.
        let (first, _) = post(&daemon, 1, "Hm").await;
        let job = ended(&daemon, &first).await;
        assert!(job["errors"][0]["message"].as_str().unwrap().contains(failed), "{job}");
        let (second, _) = post(&daemon, 2, "Hm").await;
        ended(&daemon, &second).await;
        // Now nobody is asked, and that costs no attempt.
        let (third, answer) = post(&daemon, 3, "Hm").await;
        eventually(PATIENCE, async || is_paused(&daemon).await.then_some(())).await;
        let job = get(&daemon, &format!("/jobs/{third}")).await.body;
        assert_eq!((&job["finished_at"], &job["errors"]), (&Value::Null, &json!([])), "{job}");
        assert_eq!(tag(&daemon, &answer).await, Value::Null);
        calls(&daemon, "?status=unreachable", 5).await;
    }

    async fn a_new_text_that_a_model_does_not_write_is_no_fault_of_the_database(place: Place) {
        let is_well = Arc::new(AtomicBool::new(true));
        let told = is_well.clone();
        let server = ModelServer::start(move |asked| match asked.feature() {
            "classify" => classified(false, "Interested", 0.9),
            "draft" if !told.load(Ordering::Relaxed) => Reply::Status(429, "retry-after: 60\r\n", "{}"),
            _ => Reply::Good,
        });
        let daemon = place.start(&config(&server.url("one"), "", 1)).await;
        let (id, answer) = post(&daemon, 1, "Hm, why not").await;
        assert_eq!(ended(&daemon, &id).await["status"], "succeeded");
        let drafts = get(&daemon, &format!("/drafts?lead={}", answer.field("lead_id"))).await;
        let draft = drafts.items()[0]["id"].as_str().unwrap().to_owned();
        is_well.store(false, Ordering::Relaxed);
        for _ in 0..2 {
            let path = format!("/drafts/{draft}/regenerate");
            let again = ask(daemon.api(Method::POST, &path)).await;
            again.is_problem(503, "analyst-away");
            assert!(again.field("detail").contains("takes no more requests for now"), "{again:?}");
        }
        assert_eq!(get(&daemon, &format!("/drafts/{draft}")).await.body["body"], drafts.items()[0]["body"]);
    }

    async fn the_rules_answer_if_that_is_chosen(place: Place) {
        let server = ModelServer::start(|_| Reply::Status(401, "", "{}"));
        let daemon = place.start(&config(&server.url("one"), "fallback = \"local\"", 1)).await;
        for lead in 1..=4 {
            let (id, answer) = post(&daemon, lead, "What does it cost?").await;
            assert_eq!(ended(&daemon, &id).await["status"], "succeeded");
            assert_eq!(tag(&daemon, &answer).await, "Information Requested");
        }
        // After five of them nobody is asked for a while.
        at_least(&daemon, "?status=denied", 5).await;
        assert!(is_paused(&daemon).await);
    }

    async fn an_opt_out_that_only_a_model_understands_is_kept_if_it_is_sure(place: Place) {
        let server = ModelServer::start(|asked| match (asked.feature(), asked.data()) {
            ("classify", data) if data.contains("kiedykolwiek") => classified(true, "Blacklist", 0.95),
            ("classify", data) if data.contains("chyba") => classified(true, "Blacklist", 0.6),
            ("classify", _) => classified(true, "Interested", 0.95),
            _ => Reply::Good,
        });
        let daemon = place.start(&config(&server.url("one"), "", 1)).await;
        let rows = [
            ("Nie piszcie do mnie kiedykolwiek", true),
            ("To chyba nie dla mnie", false),
            ("Ciekawe", false),
        ];
        for (number, (text, is_kept)) in (1..).zip(rows) {
            let (id, answer) = post(&daemon, number, text).await;
            assert_eq!(ended(&daemon, &id).await["status"], "succeeded");
            assert_eq!(tag(&daemon, &answer).await, "Blacklist", "{text}");
            let lead = lead(&daemon, &answer).await;
            assert_eq!(lead["opted_out"].is_object(), is_kept, "{text}: {lead}");
            assert_eq!(lead["drafts"], json!([]), "{text}");
        }
    }

    async fn an_opt_out_that_comes_while_a_model_drafts_wins(place: Place) {
        let (begun, has_begun) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel();
        let may_go_on = std::sync::Mutex::new(may_go_on);
        let server = ModelServer::start(move |asked| match asked.feature() {
            "classify" => classified(false, "Interested", 0.9),
            "draft" => {
                begun.send(()).ok();
                may_go_on.lock().unwrap().recv_timeout(PATIENCE).ok();
                Reply::Good
            }
            _ => Reply::Good,
        });
        let daemon = place.start(&config(&server.url("one"), "", 1)).await;
        let (id, answer) = post(&daemon, 1, "Hm, why not").await;
        tokio::task::block_in_place(|| has_begun.recv_timeout(PATIENCE)).unwrap();
        post(&daemon, 1, "Please do not contact me again").await;
        go_on.send(()).unwrap();
        assert_eq!(ended(&daemon, &id).await["status"], "succeeded");
        let lead = lead(&daemon, &answer).await;
        assert!(lead["opted_out"].is_object(), "{lead}");
        assert_eq!((&lead["sentiment"], &lead["drafts"]), (&"Blacklist".into(), &json!([])));
    }
}
