//! What operators set for pools beside the files: it is in force when it is answered, is kept over
//! restarts with who and why, and ends by reset, expiry or a change of that very key in the file.

use crate::{
    on_both_daemons,
    support::{
        both::Place,
        daemon::Daemon,
        eventually,
        leftovers::Leftover,
        web::{Answer, ask, mail, sms},
    },
};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
/// How long a running daemon gets to end.
const STOP: Duration = Duration::from_secs(20);
pub const SMS: &str = "SMS_INBOUND_POST_PROCESS";
const CHECK: &str = "SELF_CHECK";

/// Changes a pool as `dana`.
pub async fn change(daemon: &Daemon, path: &str, body: &Value) -> Answer {
    let request = daemon.api(Method::PATCH, &format!("/pools/{path}")).json(body);
    ask(request.header("x-postroom-actor", "dana")).await
}

pub async fn reset(daemon: &Daemon, path: &str) -> Answer {
    ask(daemon.api(Method::DELETE, &format!("/pools/{path}"))).await
}

async fn get(daemon: &Daemon, path: &str) -> Answer {
    ask(daemon.api(Method::GET, path)).await
}

/// The pool of a kind, as it is listed.
pub async fn pool(daemon: &Daemon, kind: &str) -> Value {
    let pools = get(daemon, "/pools").await;
    let found = pools.items().iter().find(|pool| pool["kind"] == kind);
    found.unwrap_or_else(|| panic!("no pool {kind}: {pools:?}")).clone()
}

/// Waits until a pool is as `is_so` says.
pub async fn until(daemon: &Daemon, kind: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let found = async || Some(pool(daemon, kind).await).filter(|pool| is_so(pool));
    eventually(PATIENCE, found).await
}

/// The rows of the audit log about a kind, oldest first: action, actor, old, new, note.
pub async fn log_of(daemon: &Daemon, kind: &str) -> Vec<[String; 5]> {
    let rows = get(daemon, &format!("/audit?target={kind}")).await;
    let row = |row: &Value| {
        ["action", "actor", "old", "new", "note"]
            .map(|name| row[name].as_str().unwrap_or("-").to_owned())
    };
    rows.items().iter().rev().map(row).collect()
}

/// Posts a text message, and then a mail of another lead, whose job ends although that of the
/// message does not.
async fn post_both(daemon: &Daemon, lead: u64) -> String {
    let waits = ask(daemon.webhook("sms", "demo").json(&sms(lead, "Hello"))).await;
    let ends = ask(daemon.webhook("instantly", "demo").json(&mail(lead + 100))).await;
    ended(daemon, &ends.job_ids()[0]).await;
    let id = waits.job_ids()[0].clone();
    let job = get(daemon, &format!("/jobs/{id}")).await;
    assert_eq!((job.field("status"), &job.body["attempts"]), ("pending", &json!(0)), "{job:?}");
    id
}

async fn ended(daemon: &Daemon, job: &str) {
    eventually(PATIENCE, async || {
        let job = get(daemon, &format!("/jobs/{job}")).await;
        (job.field("status") == "succeeded").then_some(())
    })
    .await;
}

async fn reload(daemon: &Daemon) {
    let report = ask(daemon.api(Method::POST, "/config/reload")).await;
    assert_eq!(report.status, 200, "{report:?}");
}

async fn restart(daemon: &mut Daemon) {
    daemon.terminate();
    daemon.wait(STOP).await;
    daemon.start_again().await;
}

on_both_daemons! {
    #[ignore = "long: `just long`"]
    async fn a_pause_is_in_force_when_it_is_answered_and_survives_a_restart(place: Place) {
        let mut daemon = place.start("").await;
        let body = json!({"paused": true, "note": "the provider is down"});
        let paused = change(&daemon, SMS, &body).await;
        assert_eq!((paused.status, paused.field("state")), (200, "paused"), "{paused:?}");
        let set = &paused.body["override"];
        let expected = json!({
            "size": null, "paused": true, "by": "dana", "note": "the provider is down", "at": set["at"],
            "expires_at": null, "base_size": null, "base_paused": false, "node": null,
            "keys": [{
                "key": "paused", "value": true, "base": false, "by": "dana", "note": "the provider is down",
                "at": set["at"], "expires_at": null, "node": null,
            }],
        });
        assert_eq!(set, &expected);
        let job = post_both(&daemon, 1).await;
        restart(&mut daemon).await;
        assert_eq!(pool(&daemon, SMS).await["override"], expected);
        post_both(&daemon, 2).await;
        let ready = ask(daemon.get("/readyz")).await.body["checks"]["pools"].clone();
        let detail = format!("paused: {SMS} (by dana: the provider is down)");
        assert_eq!(ready, json!({"ok": false, "detail": detail}));
        assert!(daemon.log().contains("override paused = true is in force"), "{}", daemon.log());
        let metrics = ask(daemon.get("/metrics")).await.text;
        let gauge = format!("postroom_pool_override{{kind=\"{SMS}\"}} 1");
        assert!(metrics.contains(&gauge), "{metrics}");
        // A change of the size by somebody else says nothing of the pause.
        let resize = json!({"size": 4, "expires_in": "4h"});
        let request = daemon.api(Method::PATCH, &format!("/pools/{SMS}")).json(&resize);
        let both = ask(request.header("x-postroom-actor", "erin")).await;
        assert_eq!((&both.body["override"]["by"], both.field("state")), (&json!("erin"), "paused"));
        let said = |key: &Value| [key["key"].clone(), key["by"].clone(), key["note"].clone()];
        let keys = both.body["override"]["keys"].as_array().unwrap().clone();
        let found: Vec<_> = keys.iter().map(said).collect();
        let dana = json!("dana");
        let expected = [
            [json!("size"), json!("erin"), Value::Null],
            [json!("paused"), dana, json!("the provider is down")],
        ];
        assert_eq!(found, expected);
        assert!(keys[0]["expires_at"].is_string() && keys[1]["expires_at"].is_null(), "{keys:?}");
        let explained = get(&daemon, &format!("/jobs/{job}/explain")).await;
        assert!(explained.field("sentence").contains("dana"), "{explained:?}");
        assert!(!explained.field("sentence").contains("erin"), "{explained:?}");
        let until = keys[0]["expires_at"].as_str().unwrap();
        let sized = format!("size = 4 until {until}");
        let checks = ask(daemon.get("/readyz")).await.body["checks"].clone();
        let detail = format!("{detail}; overridden: {SMS} ({sized}, by erin)");
        assert_eq!(checks["pools"], json!({"ok": false, "detail": detail}));
        let detail = format!("overridden by operators: {SMS}");
        assert_eq!(checks["config"], json!({"ok": true, "detail": detail}));
        // Its end.
        let resumed = reset(&daemon, &format!("{SMS}/override")).await;
        assert_eq!((resumed.field("state"), &resumed.body["override"]), ("running", &Value::Null));
        ended(&daemon, &job).await;
        let row = |row: [&str; 5]| row.map(str::to_owned);
        let expected = [
            row(["pool.override", "dana", "-", "paused = true", "the provider is down"]),
            row(["pool.override", "erin", "paused = true", &format!("{sized}, paused = true"), "-"]),
            row(["pool.reset", "admin", &format!("{sized}, paused = true"), "-", "-"]),
        ];
        assert_eq!(log_of(&daemon, SMS).await, expected);
    }

    async fn an_override_ends_when_the_file_changes_that_key_and_no_other(place: Place) {
        let mut daemon = place.start("[pools.SELF_CHECK]\nsize = 3\n").await;
        let grown = change(&daemon, CHECK, &json!({"size": 5})).await;
        assert_eq!((&grown.body["size"], &grown.body["configured_size"]), (&json!(5), &json!(3)));
        let values = get(&daemon, "/config").await.body["values"].clone();
        let values = values.as_array().unwrap();
        let size = values.iter().find(|it| it["key"] == "pools.SELF_CHECK.size").unwrap();
        assert_eq!((&size["value"], &size["override"]), (&json!("3"), &json!("5")));
        assert_eq!(values.iter().filter(|it| !it["override"].is_null()).count(), 1);
        // Another key of the same pool.
        daemon.configure("[pools.SELF_CHECK]\nsize = 3\ntimeout = \"50s\"\n");
        reload(&daemon).await;
        let kept = until(&daemon, CHECK, |pool| pool["timeout_ms"] == 50_000).await;
        assert_eq!((&kept["size"], &kept["override"]["size"]), (&json!(5), &json!(5)));
        // That very key.
        daemon.configure("[pools.SELF_CHECK]\nsize = 4\ntimeout = \"50s\"\n");
        reload(&daemon).await;
        until(&daemon, CHECK, |pool| pool["size"] == 4 && pool["override"].is_null()).await;
        // The file takes over what was set.
        change(&daemon, CHECK, &json!({"size": 9})).await;
        daemon.configure("[pools.SELF_CHECK]\nsize = 9\ntimeout = \"50s\"\n");
        reload(&daemon).await;
        until(&daemon, CHECK, |pool| {
            pool["override"].is_null() && (&pool["size"], &pool["configured_size"]) == (&json!(9), &json!(9))
        })
        .await;
        // While the daemon does not run, too, and only the key that has changed.
        change(&daemon, CHECK, &json!({"size": 6, "paused": true})).await;
        daemon.terminate();
        daemon.wait(STOP).await;
        daemon.configure("[pools.SELF_CHECK]\nsize = 7\n");
        daemon.start_again().await;
        let left = until(&daemon, CHECK, |pool| pool["size"] == 7).await;
        assert_eq!((&left["override"]["paused"], &left["override"]["size"]), (&json!(true), &Value::Null));
        let rows = eventually(PATIENCE, async || {
            let rows = log_of(&daemon, CHECK).await;
            (rows.len() == 6).then_some(rows)
        })
        .await;
        let dropped: Vec<_> = rows.iter().filter(|row| row[0] == "pool.override_dropped").collect();
        assert_eq!(dropped.len(), 3, "{rows:?}");
        assert!(dropped[1][4].ends_with("test.toml:2 says the same"), "{rows:?}");
        for (row, old, new) in [(dropped[0], "5", "4"), (dropped[2], "6", "7")] {
            assert_eq!(row[1..4], ["file".to_owned(), format!("size = {old}"), format!("size = {new}")]);
            assert!(row[4].ends_with(&format!("test.toml:2 now says {new}")), "{row:?}");
        }
        let told = daemon.log();
        assert!(told.contains("override size = 5 dropped: ") && told.contains("override size = 6 dropped: "), "{told}");
        reset(&daemon, "SELF_CHECK/override").await;
    }

    async fn an_override_ends_by_itself_or_when_it_says_what_the_file_says(place: Place) {
        let daemon = place.start("").await;
        let set = change(&daemon, CHECK, &json!({"size": 5, "expires_in": "1s"})).await;
        assert_eq!(set.body["size"], 5);
        assert!(set.body["override"]["expires_at"].is_string(), "{set:?}");
        until(&daemon, CHECK, |pool| pool["size"] == 8 && pool["override"].is_null()).await;
        let rows = eventually(PATIENCE, async || {
            let rows = log_of(&daemon, CHECK).await;
            (rows.len() == 2).then_some(rows)
        })
        .await;
        let expected = ["pool.override_dropped", "postroom", "size = 5", "size = 8", "its time is over"];
        assert_eq!(rows[1], expected.map(str::to_owned));
        // A person set it, and no person ended it.
        let roles = get(&daemon, &format!("/audit?target={CHECK}")).await;
        let roles: Vec<Option<&Value>> = roles.items().iter().map(|row| row.get("role")).collect();
        assert_eq!(roles, [Some(&Value::Null), Some(&json!("operator"))]);
        change(&daemon, CHECK, &json!({"size": 5})).await;
        let same = change(&daemon, CHECK, &json!({"size": 8})).await;
        assert_eq!((&same.body["size"], &same.body["override"]), (&json!(8), &Value::Null));
    }

    #[ignore = "long: `just long`"]
    async fn a_daemon_that_ignores_overrides_keeps_them_for_the_next(place: Place) {
        let mut daemon = place.start("").await;
        change(&daemon, CHECK, &json!({"paused": true})).await;
        daemon.set_args(&["--ignore-overrides"]);
        restart(&mut daemon).await;
        let running = pool(&daemon, CHECK).await;
        assert_eq!((&running["state"], &running["override"]), (&json!("running"), &Value::Null));
        assert!(daemon.log().contains("override paused = true is ignored here"), "{}", daemon.log());
        assert_eq!(running["ignores_overrides"], true);
        let refused = change(&daemon, CHECK, &json!({"size": 5})).await;
        refused.is_problem(409, "conflict");
        let way_out = if place.is_sqlite() { "start it without that" } else { "ask another node" };
        assert!(refused.field("detail").contains(way_out), "{refused:?}");
        let check = ask(daemon.get("/readyz")).await.body["checks"]["config"].clone();
        let detail = "overrides of pools are ignored here (--ignore-overrides)";
        assert_eq!(check, json!({"ok": true, "detail": detail}));
        assert_eq!(get(&daemon, "/config").await.body["ignores_overrides"], true);
        // For this node only it can be changed.
        let node = get(&daemon, "/overview").await.field("node").to_owned();
        let here = change(&daemon, &format!("{CHECK}?node={node}"), &json!({"size": 5})).await;
        assert_eq!((&here.body["size"], &here.body["override"]["node"]), (&json!(5), &json!(node)));
        let gone = reset(&daemon, &format!("{CHECK}/override?node={node}")).await;
        assert_eq!(gone.body["size"], 8);
        change(&daemon, &format!("{CHECK}?node={node}"), &json!({"size": 5})).await;
        daemon.set_args(&[]);
        restart(&mut daemon).await;
        let paused = pool(&daemon, CHECK).await;
        assert_eq!((&paused["state"], &paused["size"]), (&json!("paused"), &json!(8)));
        // Also from there it can be ended.
        daemon.set_args(&["--ignore-overrides"]);
        restart(&mut daemon).await;
        assert_eq!(reset(&daemon, &format!("{CHECK}/override")).await.status, 200);
        daemon.set_args(&[]);
        restart(&mut daemon).await;
        assert_eq!(pool(&daemon, CHECK).await["state"], "running");
    }

    async fn a_wrong_change_is_refused_and_says_why(place: Place) {
        let daemon = place.start("").await;
        for (body, field) in [
            (json!({"size": 0}), "size"),
            (json!({"sise": 1}), "sise"),
            (json!({"expires_in": "4"}), "expires_in"),
        ] {
            let refused = change(&daemon, CHECK, &body).await;
            refused.is_problem(400, "bad-request");
            assert_eq!(refused.field("field"), field);
        }
        change(&daemon, CHECK, &json!([])).await.is_problem(400, "bad-request");
        change(&daemon, CHECK, &json!({"note": "why"})).await.is_problem(409, "conflict");
        let unknown = change(&daemon, "SELF_CHEK", &json!({"size": 5})).await;
        unknown.is_problem(404, "not-found");
        assert!(unknown.field("detail").ends_with("did you mean `SELF_CHECK`?"), "{unknown:?}");
        change(&daemon, "SELF_CHECK?node=999999", &json!({"size": 5})).await.is_problem(404, "not-found");
        change(&daemon, "SELF_CHECK?nodes=1", &json!({"size": 5})).await.is_problem(400, "bad-request");
        reset(&daemon, "SELF_CHECK").await.is_problem(405, "method-not-allowed");
        get(&daemon, "/audit?actor=x&who=y").await.is_problem(400, "bad-request");
        get(&daemon, "/audit?since=yesterday").await.is_problem(400, "bad-request");
        assert_eq!(get(&daemon, "/audit").await.items(), &[] as &[Value]);
    }

    async fn a_change_by_hand_is_in_the_audit_log(place: Place) {
        let daemon = place.start(&format!("[pools.{SMS}]\npaused = true\n")).await;
        let job = ask(daemon.webhook("sms", "demo").json(&sms(1, "Hello"))).await.job_ids()[0].clone();
        for action in ["cancel", "retry", "cancel"] {
            let done = ask(daemon.api(Method::POST, &format!("/jobs/{job}/{action}"))).await;
            assert_eq!(done.status, 200, "{done:?}");
        }
        let row = |action: &str| [action, "admin", "-", "-", "-"].map(str::to_owned);
        let expected = [row("job.cancel"), row("job.retry"), row("job.cancel")];
        assert_eq!(log_of(&daemon, &job).await, expected);
        let kept = ask(daemon.webhook("sms", "demo").json(&json!({"unknown": "x"}))).await;
        let id = kept.field("quarantine_id").to_owned();
        assert!(!id.is_empty(), "{kept:?}");
        let discarded = ask(daemon.api(Method::DELETE, &format!("/quarantine/{id}"))).await;
        assert_eq!(discarded.status, 200, "{discarded:?}");
        let expected = ["quarantine.discard", "admin", "held", "discarded", "-"].map(str::to_owned);
        assert_eq!(log_of(&daemon, &id).await, [expected]);
        let row = get(&daemon, "/audit?action=quarantine.discard&since=1h").await.items()[0].clone();
        let node = get(&daemon, "/overview").await.field("node").to_owned();
        assert_eq!((&row["via"], &row["node"]), (&json!("api"), &json!(node)));
        assert_eq!(row["role"], "operator");
        assert!(row["request_id"].is_string(), "{row}");
    }

    async fn a_node_says_how_it_is_configured(place: Place) {
        let daemon = place.start("").await;
        change(&daemon, CHECK, &json!({"size": 5})).await;
        let pool =
            json!({"kind": CHECK, "size": 5, "busy": 0, "paused": false, "override": "size = 5"});
        let (node, differs) = eventually(PATIENCE, async || {
            let nodes = get(&daemon, "/nodes").await;
            let node = nodes.items()[0].clone();
            let pools = node["status"]["pools"].as_array().cloned().unwrap_or_default();
            pools.contains(&pool).then(|| (node, nodes.body["config_differs"].clone()))
        })
        .await;
        assert_eq!(differs, json!(false));
        let overview = get(&daemon, "/overview").await;
        let hash = get(&daemon, "/config").await.field("hash").to_owned();
        for told in [&node, &overview.body["nodes"][0]] {
            assert_eq!((&told["version"], &told["config_hash"]), (&json!(env!("CARGO_PKG_VERSION")), &json!(hash)));
            assert!(told["host"].as_str().is_some_and(|it| !it.is_empty()), "{told}");
        }
        assert_eq!(node["status"]["draining"], false);
        // It is seen again and again, also on SQLite, where it has no heartbeats.
        eventually(PATIENCE, async || {
            let seen_at = get(&daemon, "/nodes").await.items()[0]["seen_at"].clone();
            (seen_at != node["seen_at"]).then_some(())
        })
        .await;
    }
}

/// A daemon that is asked while its database is away changes nothing, and what was set stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_the_last_known_overrides_stay_in_force() {
    use crate::support::proxy::Way;
    let Some(place) = Place::postgres() else { return };
    let config = "[supervisor]\nheartbeat = \"100ms\"\nlease = \"2s\"\n";
    let (mut daemon, proxy) = place.start_behind_proxy(config).await;
    change(&daemon, CHECK, &json!({"paused": true})).await;
    proxy.set(Way::Silent);
    eventually(PATIENCE, async || (ask(daemon.get("/readyz")).await.status == 503).then_some(()))
        .await;
    change(&daemon, CHECK, &json!({"paused": false})).await.is_problem(503, "database-away");
    // A reload, too, leaves it in force.
    daemon.configure(&format!("{config}[pools.SELF_CHECK]\ntimeout = \"50s\"\n"));
    reload(&daemon).await;
    let paused = until(&daemon, CHECK, |pool| pool["timeout_ms"] == 50_000).await;
    assert_eq!((&paused["state"], &paused["override"]["paused"]), (&json!("paused"), &json!(true)));
    proxy.set(Way::Open);
    eventually(PATIENCE, async || (ask(daemon.get("/readyz")).await.status == 200).then_some(()))
        .await;
    assert_eq!(pool(&daemon, CHECK).await["state"], "paused");
    eventually(PATIENCE, async || {
        let resumed = change(&daemon, CHECK, &json!({"paused": false})).await;
        (resumed.status == 200 && resumed.field("state") == "running").then_some(())
    })
    .await;
    daemon.may_leave(Leftover::Unfinished, "the canary's job may just have been stored");
}
