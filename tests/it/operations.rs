//! Operations on many jobs, as daemons do them: nothing else waits for them, they can be stopped,
//! and a daemon that goes away leaves none that seems to run.

use crate::{
    on_both_daemons,
    support::{
        both::{Peek, Place},
        daemon::Daemon,
        eventually,
        leftovers::Leftover,
        web::{Answer, ask, mail, sms},
    },
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    process::{Command, Output, Stdio},
    time::Duration,
};

/// The kind whose jobs wait, so that they can be cancelled.
const WAITING: &str = "SMS_INBOUND_POST_PROCESS";
const CONFIG: &str = "[pools.SMS_INBOUND_POST_PROCESS]\npaused = true\n\
    [supervisor]\nheartbeat = \"200ms\"\nlease = \"1s\"\n";
const MANY: i64 = 10_000;
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon on whose database jobs of the client `many` wait.
async fn start(place: &Place, count: i64) -> (Daemon, Peek) {
    let daemon = place.start(CONFIG).await;
    daemon.may_leave(Leftover::Unfinished, "the pool of text messages is paused");
    let db = Peek::of(&daemon).await;
    db.put_jobs(0, count, WAITING, "many").await;
    (daemon, db)
}

pub async fn get(daemon: &Daemon, path: &str) -> Answer {
    let answer = ask(daemon.api(Method::GET, path)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

/// What a `POST` for many jobs is answered.
pub async fn change(daemon: &Daemon, path: &str, filter: &Value) -> Value {
    let answer = ask(daemon.api(Method::POST, path).json(filter)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

fn many() -> Value {
    json!({"kind": WAITING, "client": "many"})
}

pub async fn operation(daemon: &Daemon, id: &str) -> Value {
    get(daemon, &format!("/operations/{id}")).await.body
}

/// The operation, once it is as far as `is`.
pub async fn operation_that(daemon: &Daemon, id: &str, is: impl Fn(&Value) -> bool) -> Value {
    eventually(PATIENCE, async || {
        let operation = operation(daemon, id).await;
        is(&operation).then_some(operation)
    })
    .await
}

pub fn number(object: &Value, name: &str) -> i64 {
    object[name].as_i64().unwrap_or_else(|| panic!("no number `{name}` in {object}"))
}

/// A command that talks to this daemon.
fn command(daemon: &Daemon, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postroom"));
    command.args(args).args(["--url", daemon.url("").as_str()]);
    command.env("POSTROOM_TOKEN", daemon.admin_token()).env("NO_PROXY", "127.0.0.1");
    command.current_dir(daemon.directory()).stdin(Stdio::null());
    command
}

pub fn postroom(daemon: &Daemon, args: &[&str]) -> Output {
    command(daemon, args).output().unwrap()
}

/// What a command printed to stdout and to stderr.
#[track_caller]
pub fn ends_with(code: i32, output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "stdout: {out}\nstderr: {err}");
    (out, err)
}

const CANCELLED: &str = "select count(*) from job_attempts a join jobs j on j.id = a.job_id where a.outcome = 'cancelled' and j.client_id = 'many'";

on_both_daemons! {
    #[ignore = "long: `just long`"]
    async fn ten_thousand_jobs_are_cancelled_half_and_nothing_else_waits(place: Place) {
        let (daemon, db) = start(&place, MANY).await;
        // Count first.
        let counted = change(&daemon, "/jobs/cancel?dry_run=true", &many()).await;
        assert_eq!((number(&counted, "count"), &counted["exact"]), (MANY, &true.into()), "{counted}");
        assert_eq!((&counted["operation_id"], &counted["status"]), (&Value::Null, &Value::Null));
        let examples: Vec<&Value> = counted["examples"].as_array().unwrap().iter().map(|it| &it["id"]).collect();
        assert_eq!(examples, ["10000", "9999", "9998"]);
        assert_eq!(db.number(CANCELLED).await, 0, "a dry run changes nothing");
        // Start.
        let started = ask(daemon.api(Method::POST, "/jobs/cancel").header("X-Postroom-Actor", "dana").json(&many())).await;
        assert_eq!((number(&started.body, "count"), started.field("status")), (MANY, "running"), "{started:?}");
        let id = started.field("operation_id").to_owned();
        // Meanwhile webhooks are taken and their jobs are worked.
        let mut last = 0;
        for lead in 0.. {
            let answer = ask(daemon.webhook("instantly", "demo").json(&mail(lead))).await;
            assert_eq!((answer.status, answer.outcome()), (200, "accepted"), "{answer:?}");
            let job = answer.job_ids().remove(0);
            eventually(PATIENCE, async || {
                let job = get(&daemon, &format!("/jobs/{job}")).await;
                (job.field("status") == "succeeded").then_some(())
            })
            .await;
            let seen = operation(&daemon, &id).await;
            assert!(number(&seen, "done") >= last, "{seen}");
            last = number(&seen, "done");
            if last >= 1_000 {
                break;
            }
            assert_eq!(seen["status"], "running", "{seen}");
        }
        // Stop.
        let asked = ask(daemon.api(Method::POST, &format!("/operations/{id}/cancel")).header("X-Postroom-Actor", "erin")).await;
        assert_eq!((asked.status, &asked.body["stopping"]), (200, &true.into()), "{asked:?}");
        let stopped = operation_that(&daemon, &id, |it| it["status"] != "running").await;
        assert_eq!((&stopped["status"], &stopped["error"]), (&"stopped".into(), &Value::Null), "{stopped}");
        let done = number(&stopped, "done");
        assert!((1_000..MANY).contains(&done), "{stopped}");
        assert_eq!((number(&stopped, "total"), number(&stopped, "skipped")), (MANY, 0), "{stopped}");
        assert_eq!(db.number(CANCELLED).await, done);
        assert_eq!((&stopped["action"], &stopped["by"]), (&"cancel".into(), &"dana".into()), "{stopped}");
        assert_eq!(stopped["filter"], json!({"kind": [WAITING], "client": ["many"]}));
        assert!(stopped["finished_at"].is_string(), "{stopped}");
        ask(daemon.api(Method::POST, &format!("/operations/{id}/cancel"))).await.is_problem(409, "conflict");
        // The audit log names who did it.
        let audit = "select actor || ' ' || role || ' ' || action || ' ' || target from audit where action like 'operation.%' order by id";
        assert_eq!(db.texts(audit).await, [format!("dana operator operation.start {id}"), format!("erin operator operation.stop {id}")]);
        let values = db.texts("select new_value from audit where action = 'operation.start'").await;
        assert!(values[0].starts_with(&format!("cancel {MANY} jobs: {{")), "{values:?}");
        // The rest is another operation.
        let rest = change(&daemon, "/jobs/cancel", &many()).await;
        assert_eq!(number(&rest, "count"), MANY - done);
        let rest = operation_that(&daemon, rest["operation_id"].as_str().unwrap(), |it| it["status"] != "running").await;
        assert_eq!((&rest["status"], number(&rest, "done")), (&"done".into(), MANY - done), "{rest}");
        assert_eq!(db.number(CANCELLED).await, MANY);
        let listed = get(&daemon, "/operations?status=stopped,failed&action=cancel").await;
        assert_eq!((listed.items().len(), &listed.items()[0]["id"]), (1, &id.as_str().into()));
        let metrics = ask(daemon.get("/metrics")).await.text;
        let cancelled = format!("postroom_jobs_total{{kind=\"{WAITING}\",outcome=\"cancelled\"}} {MANY}");
        assert!(metrics.contains(&cancelled), "no {cancelled}");
    }

    async fn a_small_set_is_done_when_it_is_answered(place: Place) {
        let (daemon, db) = start(&place, 500).await;
        let cancelled = change(&daemon, "/jobs/cancel", &many()).await;
        assert_eq!((number(&cancelled, "count"), &cancelled["status"]), (500, &"done".into()), "{cancelled}");
        assert_eq!(db.number(CANCELLED).await, 500);
        let nothing = change(&daemon, "/jobs/cancel", &many()).await;
        let expected = json!({"count": 0, "exact": true, "operation_id": null, "status": null, "examples": []});
        assert_eq!(nothing, expected);
        let retried = change(&daemon, "/jobs/retry", &json!({"status": ["cancelled"], "client": "many"})).await;
        assert_eq!((number(&retried, "count"), &retried["status"]), (500, &"done".into()), "{retried}");
        assert_eq!(db.unfinished().await, 500);
        assert_eq!(get(&daemon, "/operations?limit=1").await.items()[0]["action"], "retry");
    }

    #[ignore = "long: `just long`"]
    async fn an_operation_of_a_killed_daemon_is_failed_and_can_be_started_again(place: Place) {
        let (mut daemon, db) = start(&place, MANY).await;
        let started = change(&daemon, "/jobs/cancel", &many()).await;
        let id = started["operation_id"].as_str().unwrap().to_owned();
        operation_that(&daemon, &id, |it| number(it, "done") > 0).await;
        daemon.kill_9();
        daemon.start_again().await;
        let failed = operation_that(&daemon, &id, |it| it["status"] != "running").await;
        assert_eq!(failed["status"], "failed", "{failed}");
        assert_eq!(failed["error"], "the node went down: start it again", "{failed}");
        let done = number(&failed, "done");
        assert_eq!(db.number(CANCELLED).await, done, "a portion and its counts are one transaction");
        let again = change(&daemon, "/jobs/cancel", &many()).await;
        assert_eq!(number(&again, "count"), MANY - done, "{again}");
        let again = operation_that(&daemon, again["operation_id"].as_str().unwrap(), |it| it["status"] != "running").await;
        assert_eq!((&again["status"], number(&again, "done")), (&"done".into(), MANY - done), "{again}");
    }

    #[ignore = "long: `just long`"]
    async fn a_daemon_that_is_told_to_stop_ends_its_operations(place: Place) {
        let (mut daemon, db) = start(&place, MANY).await;
        let started = change(&daemon, "/jobs/cancel", &many()).await;
        let id = started["operation_id"].as_str().unwrap().to_owned();
        operation_that(&daemon, &id, |it| number(it, "done") > 0).await;
        daemon.terminate();
        assert!(daemon.wait(Duration::from_secs(20)).await.success());
        let row = db.texts(&format!("select status || ': ' || error from operations where id = {id}")).await;
        assert_eq!(row, ["stopped: its daemon was stopped: start it again for the rest"]);
        assert_eq!(db.number(CANCELLED).await, db.number(&format!("select done from operations where id = {id}")).await);
        daemon.start_again().await;
        assert_eq!(operation(&daemon, &id).await["status"], "stopped");
    }

    #[ignore = "long: `just long`"]
    async fn a_command_counts_asks_and_follows(place: Place) {
        let (daemon, db) = start(&place, 700).await;
        let cancel = |more: &[&str]| postroom(&daemon, &[&["jobs", "cancel", "--client", "many"], more].concat());
        let (out, err) = ends_with(2, &cancel(&[]));
        assert_eq!(out, "");
        for part in ["700 jobs match, the newest of them:", "\n700  ", "\n698  ", "--yes", "--dry-run"] {
            assert!(err.contains(part), "no `{part}` in {err}");
        }
        let (out, err) = ends_with(0, &cancel(&["--dry-run"]));
        assert!(out.starts_with("700 jobs match, the newest of them:\n") && err.is_empty(), "{out}{err}");
        assert_eq!(db.number("select count(*) from operations").await, 0, "nothing was changed");
        let (out, _) = ends_with(0, &cancel(&["--yes"]));
        assert_eq!(out, "done 700 of 700\n");
        let (out, _) = ends_with(0, &cancel(&["--yes"]));
        assert_eq!(out, "no job matches\n");
        let retry = ["jobs", "retry", "--client", "many", "--status", "cancelled", "--yes"];
        let (out, _) = ends_with(0, &postroom(&daemon, &[&retry[..], &["--no-wait"]].concat()));
        let id = out.trim_end();
        operation_that(&daemon, id, |it| it["status"] == "done").await;
        let (out, _) = ends_with(0, &postroom(&daemon, &["operations", "list", "--action", "retry", "--json"]));
        let listed: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((&listed["items"][0]["id"], &listed["items"][0]["done"]), (&id.into(), &700.into()), "{listed}");
        let (out, _) = ends_with(0, &postroom(&daemon, &["operations", "show", id]));
        assert!(out.contains("retry") && out.contains("700"), "{out}");
        let (_, err) = ends_with(1, &postroom(&daemon, &["operations", "stop", id]));
        assert!(err.contains("does not run: it is done"), "{err}");
        // Counts are as of a moment ago.
        eventually(PATIENCE, async || {
            let (out, _) = ends_with(0, &postroom(&daemon, &["clients", "list"]));
            out.lines().any(|it| it.starts_with("many ") && it.contains("700")).then_some(())
        })
        .await;
        // Those jobs were put into the tables by hand.
        let (out, _) = ends_with(3, &postroom(&daemon, &["jobs", "stats", "--verify"]));
        assert!(out.contains("700 were never accepted"), "{out}");
        db.execute("insert into job_counts (node, kind, state, count) values (0, 'x', 'enqueued', 700)").await;
        eventually(PATIENCE, async || {
            let verified = postroom(&daemon, &["jobs", "stats", "--verify", "--json"]);
            (verified.status.code() == Some(0)).then_some(())
        })
        .await;
    }

    async fn ctrl_c_stops_the_operation_and_says_how_far_it_came(place: Place) {
        let (daemon, db) = start(&place, MANY).await;
        let mut command = command(&daemon, &["jobs", "cancel", "--client", "many", "--yes"]);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        eventually(PATIENCE, async || {
            let running = get(&daemon, "/operations?status=running").await;
            running.items().iter().any(|it| number(it, "done") > 0).then_some(())
        })
        .await;
        let told = Command::new("kill").args(["-INT", &command.id().to_string()]).status().unwrap();
        assert!(told.success());
        let output = tokio::task::spawn_blocking(|| command.wait_with_output().unwrap()).await.unwrap();
        let (out, _) = ends_with(130, &output);
        let done = db.number(CANCELLED).await;
        assert!((1..MANY).contains(&done), "{done}");
        assert_eq!(out, format!("done {done} of {MANY}, stopped\n"));
    }

    async fn a_command_stops_an_operation_and_prints_its_document(place: Place) {
        let (daemon, db) = start(&place, MANY).await;
        let started = change(&daemon, "/jobs/cancel", &many()).await;
        let id = started["operation_id"].as_str().unwrap();
        let (out, err) = ends_with(0, &postroom(&daemon, &["operations", "stop", id, "--json"]));
        let printed: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((&printed["id"], &printed["stopping"], err.as_str()), (&id.into(), &true.into(), ""), "{printed}");
        let stopped = operation_that(&daemon, id, |it| it["status"] != "running").await;
        assert_eq!((&stopped["status"], number(&stopped, "total")), (&"stopped".into(), MANY), "{stopped}");
        let done = number(&stopped, "done");
        assert!(done < MANY, "{stopped}");
        assert_eq!(db.number(CANCELLED).await, done);
    }

    async fn what_is_asked_wrongly_is_told_so(place: Place) {
        let daemon = place.start("").await;
        for path in [
            "/operations?status=paused",
            "/operations?action=delete",
            "/operations?x=1",
            "/operations/1?x=1",
            "/deliveries?status=lost",
            "/deliveries?channel=fax",
            "/deliveries?lead=x",
            "/clients?client=demo",
            "/ledger?x=1",
        ] {
            ask(daemon.api(Method::GET, path)).await.is_problem(400, "bad-request");
        }
        for path in ["/operations/1", "/operations/x", "/deliveries/1", "/clients/nobody"] {
            ask(daemon.api(Method::GET, path)).await.is_problem(404, "not-found");
        }
        ask(daemon.api(Method::POST, "/operations/1/cancel")).await.is_problem(404, "not-found");
        for (query, filter) in [
            ("?dry_run=maybe", many()),
            ("?dryrun=true", many()),
            ("", json!({"status": "finished"})),
            ("", json!({"kind": "NO_SUCH_KIND"})),
            ("", json!({"lead": "x"})),
            ("?dry_run=true", json!({})),
        ] {
            let answer = ask(daemon.api(Method::POST, &format!("/jobs/retry{query}")).json(&filter)).await;
            answer.is_problem(400, "bad-request");
        }
        assert_eq!(get(&daemon, "/operations").await.items().len(), 0);
    }

    async fn the_ledger_says_whether_each_accepted_job_is_there(place: Place) {
        let daemon = place.start(CONFIG).await;
        daemon.may_leave(Leftover::Unfinished, "the pool of text messages is paused");
        let stored = ask(daemon.webhook("sms", "demo").json(&sms(1, "Hello"))).await;
        assert_eq!(stored.outcome(), "accepted", "{stored:?}");
        let balanced = get(&daemon, "/ledger").await.body;
        assert_eq!((&balanced["balanced"], number(&balanced, "imbalance")), (&true.into(), 0), "{balanced}");
        assert!(number(&balanced, "pending") >= 1 && number(&balanced, "accepted") >= 1, "{balanced}");
        // Three jobs that nobody has accepted.
        let db = Peek::of(&daemon).await;
        db.put_jobs(0, 3, WAITING, "many").await;
        let broken = eventually(PATIENCE, async || {
            let body = get(&daemon, "/ledger").await.body;
            (body["balanced"] == false).then_some(body)
        })
        .await;
        assert_eq!(number(&broken, "imbalance"), -3, "{broken}");
        let line = "postroom_ledger_imbalance_jobs -3";
        eventually(PATIENCE, async || {
            ask(daemon.get("/metrics")).await.text.lines().any(|it| it == line).then_some(())
        })
        .await;
    }

    async fn clients_and_deliveries_are_listed(place: Place) {
        const CLIENTS: &str = "[[clients]]\nid = \"acme\"\nname = \"Acme\"\ntimezone = \"Europe/Berlin\"\nrate_limit = \"50/s\"\nmax_running = 7\n\
            auto_reply = \"gate\"\n[clients.channels.sms]\nsecret = \"a-secret-of-acme-that-is-long\"\naccount = \"lQ7m2XvB4tYh9RkZpWs1\"\n\
            [clients.channels.email]\nallow_unauthenticated = true\n";
        let daemon = place.start(&format!("{CONFIG}{CLIENTS}")).await;
        daemon.may_leave(Leftover::Unfinished, "the pool of text messages is paused");
        let db = Peek::of(&daemon).await;
        db.put_jobs(0, 2, WAITING, "gone").await;
        db.put_jobs(10, 1, WAITING, "acme").await;
        let list = eventually(PATIENCE, async || {
            let list = get(&daemon, "/clients").await;
            list.items().iter().any(|it| it["id"] == "gone").then_some(list)
        })
        .await;
        let ids: Vec<&str> = list.items().iter().map(|it| it["id"].as_str().unwrap()).collect();
        assert!(ids.is_sorted() && !ids.contains(&"_system"), "{ids:?}");
        let acme = get(&daemon, "/clients/acme").await.body;
        assert_eq!(
            acme,
            json!({
                "id": "acme", "name": "Acme", "configured": true, "health": "well", "timezone": "Europe/Berlin",
                "channels": [
                    {
                        "channel": "email", "has_secret": false, "account": null, "trouble": null,
                        "last_inbound_at": null, "silent": false,
                    },
                    {
                        "channel": "sms", "has_secret": true, "account": "lQ7m2XvB4tYh9RkZpWs1", "trouble": null,
                        "last_inbound_at": null, "silent": false,
                    },
                ],
                "auto_reply": "gate", "rate_limit": "50/s", "max_running": 7, "pending": 1, "running": 0,
                "drafts_pending": 0, "quarantined": 0, "uncertain": 0, "received_in_hour": 0, "answer_ms": null,
                "decisions": {"decided": 0, "rejected": 0, "reasons": {}},
            })
        );
        let gone = get(&daemon, "/clients/gone").await.body;
        assert_eq!((&gone["configured"], number(&gone, "pending")), (&false.into(), 2), "{gone}");
        assert!(!list.text.contains("a-secret-of-acme"), "{}", list.text);
        let now = if db.is_sqlite() { "1764000000000" } else { "'2025-11-24T16:00:00Z'" };
        db.execute(&format!(
            "insert into deliveries (id, client_id, lead_id, channel, status, text_key, attempts, error, created_at) \
             values (77, 'acme', 5, 'sms', 'uncertain', 'k', 2, 'no answer in 20 s', {now})"
        ))
        .await;
        let delivery = json!({
            "id": "77", "draft_id": null, "client_id": "acme", "lead_id": "5", "message_id": null, "channel": "sms",
            "status": "uncertain", "provider_id": null, "attempts": 2, "error": "no answer in 20 s",
            "created_at": "2025-11-24T16:00:00.000Z", "settled_at": null,
        });
        assert_eq!(get(&daemon, "/deliveries/77").await.body, delivery);
        let found = get(&daemon, "/deliveries?status=uncertain&client=acme&channel=sms&lead=5").await;
        assert_eq!(found.items(), [delivery]);
        assert_eq!(get(&daemon, "/deliveries?status=sent").await.items().len(), 0);
    }
}
