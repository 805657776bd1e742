//! The commands, as somebody types them: what they print, and how they end.

mod asked;
mod completions;
mod conventions;
mod lists;
mod top;

use crate::{
    on_both_daemons,
    support::{
        daemon::{Daemon, Options, Until},
        eventually,
        leftovers::Leftover,
        postgres::Server,
        process::Scratch,
        web::{ask, sms, try_ask},
    },
};
use postroom::{config::DatabaseUrl, domain::ChannelName};
use reqwest::Method;
use serde_json::Value;
use sqlx::{postgres::PgConnectOptions, sqlite::SqliteConnectOptions};
use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Output},
    str::FromStr,
    time::Duration,
};

/// Runs the program to its end, in this directory and without any configuration of its own.
fn postroom(directory: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postroom"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().to_ascii_uppercase().starts_with("POSTROOM__") {
            command.env_remove(name);
        }
    }
    command.env("NO_PROXY", "127.0.0.1").current_dir(directory).args(args).output().unwrap()
}

#[track_caller]
fn ends_with(code: i32, output: &Output) -> (String, String) {
    let (out, err) = (&output.stdout, &output.stderr);
    let (out, err) = (String::from_utf8_lossy(out), String::from_utf8_lossy(err));
    assert_eq!(output.status.code(), Some(code), "stdout: {out}\nstderr: {err}");
    (out.into_owned(), err.into_owned())
}

#[track_caller]
fn document(output: &Output) -> Value {
    let (out, err) = ends_with(0, output);
    assert_eq!(err, "");
    serde_json::from_str(&out).unwrap_or_else(|it| panic!("not one document: {it}\n{out}"))
}

#[track_caller]
fn file(directory: &Path, text: &str) -> String {
    let path = directory.join("config.toml");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_configuration_is_checked_and_a_wrong_key_is_told_with_the_nearest() {
    let scratch = Scratch::new("cli");
    let directory = scratch.path();
    let (out, _) = ends_with(0, &postroom(directory, &["config", "check"]));
    assert!(out.starts_with("ok"), "{out}");
    let right = file(directory, "[ingest]\nbatch_max = 5\n");
    ends_with(0, &postroom(directory, &["config", "check", "--config", &right]));
    for (text, parts) in [
        ("[ingest]\nbatch_mx = 5\n", &["config.toml:2", "batch_mx", "batch_max"][..]),
        ("[ingst]\n", &["ingst", "ingest"]),
        ("[pools.SMS_INBOUND_POST_PROCES]\nsize = 1\n", &["SMS_INBOUND_POST_PROCESS"]),
        ("[supervisor]\nlease = \"1s\"\n", &["supervisor.lease", "supervisor.heartbeat"]),
        ("[ingest]\nbatch_max = \"many\"\n", &["config.toml:2", "ingest.batch_max"]),
        ("not toml", &["config.toml"]),
    ] {
        let wrong = file(directory, text);
        for command in
            [&["config", "check", "--config", &wrong][..], &["serve", "--config", &wrong]]
        {
            let (out, err) = ends_with(2, &postroom(directory, command));
            assert_eq!(out, "");
            for part in parts {
                assert!(err.contains(part), "`{part}` is not in: {err}");
            }
        }
    }
    ends_with(2, &postroom(directory, &["config", "check", "--config", "no-such.toml"]));
    ends_with(2, &postroom(directory, &["nonsense"]));
}

/// Checks that this configuration is refused, with each of `parts` in the message and none of
/// `secrets`.
#[track_caller]
fn is_refused(directory: &Path, text: &str, parts: &[&str], secrets: &[&str]) {
    let wrong = file(directory, text);
    for command in [&["config", "check", "--config", &wrong][..], &["serve", "--config", &wrong]] {
        let (out, err) = ends_with(2, &postroom(directory, command));
        for part in parts {
            assert!(err.contains(part), "`{part}` is not in: {err}");
        }
        for secret in secrets {
            assert!(!err.contains(secret) && !out.contains(secret), "`{secret}` is in: {err}");
        }
    }
}

#[test]
fn a_database_url_with_a_parameter_that_is_not_known_is_refused_by_name() {
    let scratch = Scratch::new("cli");
    let directory = scratch.path();
    for (url, parts) in [
        ("postgres://app@db/x?pasword=hunter2", &["`pasword`", "`password`"][..]),
        ("postgres://app@db/x?sslpassword=hunter2", &["`sslpassword`"]),
        ("postgres://app@db/x?sslmod=require&password=hunter2", &["`sslmod`", "`sslmode`"]),
        ("postgres://app:hunter2@db/x?sslmode=on", &["`sslmode`", "`require`", "`verify-full`"]),
        ("postgres://app:hunter2@db/x?sslmode=require?x=hunter2", &["`sslmode`"]),
        ("postgres://app:hunter2@db/x?connect_timeout=10", &["`connect_timeout`"]),
        ("postgres://app:hunter2@db/x?hunter2", &["without `=`"]),
        ("postgres://app:hunter2@db:99999/x", &["port"]),
        ("postgres://app@db/x?port=hunter2", &["`port`"]),
        ("postgres://app:hun/ter2@db/x", &["%2F"]),
        ("postgres://app:12#hunter2@db/x", &["%23"]),
        ("postgres://app:12/hunter2@db/x", &["%2F"]),
        ("postgres://app:12?hunter2@db/x", &["%3F"]),
        ("postgres:/app:hunter2@db/x", &["postgres://USER:PASSWORD@HOST/DATABASE"]),
        ("postgre://app:hunter2@db/x", &["postgres://USER:PASSWORD@HOST/DATABASE"]),
        ("sqlite://app:hunter2@db/x", &["postgres://"]),
        ("sqlite://x.db?pasword=hunter2", &["`pasword`"]),
        ("sqlite://x.db?cache=hunter2", &["`cache`", "`shared`"]),
        ("sqlite://x.db?mode=ro", &["`mode`", "read"]),
        ("sqlite://x.db?immutable=1", &["`immutable`", "read"]),
        ("sqlite://x.db?mode=memory", &["memory", "file"]),
        ("sqlite://:memory:", &["memory", "file"]),
        ("sqlite::memory:", &["memory", "file"]),
        ("sqlite://data/", &["directory"]),
    ] {
        let text = format!("[server]\nbind = \"127.0.0.1:0\"\n[database]\nurl = \"{url}\"\n");
        let parts = [parts, &["config.toml:4", "database.url"]].concat();
        is_refused(directory, &text, &parts, &["hunter2", "hun/", "ter2"]);
    }
    for url in [
        "postgres://app:p%40ss%2Fw%23@db:5432/x?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgresql://%2Fvar%2Frun/x?application_name=me&options=-c%20search_path%3Da",
        "postgres:///x?host=/var/run/postgresql&port=5433&user=app&password=p",
        "sqlite://a%20b/x.db?mode=rwc",
        "sqlite:///var/lib/x.db",
    ] {
        let right = file(directory, &format!("[database]\nurl = \"{url}\"\n"));
        ends_with(0, &postroom(directory, &["config", "check", "--config", &right]));
    }
}

/// The driver would log a parameter that it does not know, with its value.
#[test]
fn every_parameter_of_a_database_url_that_is_taken_means_something_to_the_driver() {
    let plain = PgConnectOptions::from_str("postgres://db/x").unwrap();
    for parameter in [
        "sslmode=verify-full",
        "ssl-mode=disable",
        "sslrootcert=a",
        "ssl-root-cert=a",
        "ssl-ca=a",
        "sslcert=a",
        "ssl-cert=a",
        "sslkey=a",
        "ssl-key=a",
        "host=a",
        "hostaddr=10.0.0.1",
        "port=7",
        "dbname=a",
        "user=a",
        "password=a",
        "application_name=a",
        "options=a",
        "options[a]=b",
        "statement-cache-capacity=7",
    ] {
        let url = format!("postgres://db/x?{parameter}");
        assert!(DatabaseUrl::parse(&url).is_ok(), "{url}");
        let options = PgConnectOptions::from_str(&url).unwrap();
        assert_ne!(format!("{options:?}"), format!("{plain:?}"), "{parameter}");
    }
    for parameter in
        ["mode=rw", "mode=rwc", "cache=shared", "cache=private", "immutable=0", "vfs=unix"]
    {
        let url = format!("sqlite://x.db?{parameter}");
        assert!(DatabaseUrl::parse(&url).is_ok(), "{url}");
        SqliteConnectOptions::from_str(&url).unwrap();
    }
}

#[test]
fn a_secret_that_nobody_can_send_is_refused_with_the_reason() {
    let scratch = Scratch::new("cli");
    let directory = scratch.path();
    let signed = |secret: &str| {
        format!(
            "[[clients]]\nid = \"a\"\nchannels.sms.signature = \
             {{ scheme = \"standard_webhooks\", secrets = [\"whsec_c2VjcmV0LW9uZS1vZi0xNg==\", {secret}] }}\n"
        )
    };
    for (secret, part) in [
        ("\"whsec_hunter2!\"", "base64"),
        ("\"whsec_\"", "empty"),
        ("\"v1,whsec_hunter2!\"", "base64"),
        ("\"v1,hunter2\"", "whsec_"),
        ("\"whpk_hunter2\"", "whpk_"),
        ("\"hunter2 \"", "blank"),
        ("\"hunter2\\n\"", "blank"),
        ("\"hunter2\\nhunter2\"", "U+000A"),
    ] {
        let parts = ["config.toml:3", "clients.a.channels.sms.signature.secrets[1]", part];
        is_refused(directory, &signed(secret), &parts, &["hunter2"]);
    }
    for (secret, part) in [
        ("\" hunter2\"", "blank"),
        ("\"hunter2\\u00a0\"", "blank"),
        ("\"hun\\u0007ter2\"", "U+0007"),
        ("\"\\ufeffhunter2\"", "U+FEFF"),
        ("\"hunter2\\u200b\"", "U+200B"),
    ] {
        let text = format!(
            "[[clients]]\nid = \"a\"\nchannels.sms.secret = [\"the-right-secret\", {secret}]\n"
        );
        is_refused(
            directory,
            &text,
            &["config.toml:3", "clients.a.channels.sms.secret[1]", part],
            &["hunter2"],
        );
        let text = format!("[admin]\ntoken = {secret}\n");
        is_refused(directory, &text, &["config.toml:2", "admin.token", part], &["hunter2"]);
    }
    let key = "[[clients]]\nid = \"a\"\nchannels.sms.signature = { scheme = \"ghl\", public_key = \"hunter2\" }\n";
    is_refused(
        directory,
        key,
        &["config.toml:3", "clients.a.channels.sms.signature.public_key"],
        &[],
    );
}

on_both_daemons! {
    async fn migrations_go_up_and_down_by_hand(place: Place) {
        let place = place.empty();
        let scratch = Scratch::new("cli");
        let directory = scratch.path();
        let in_file = format!("sqlite://{}", directory.join("by-hand.db").display());
        let url = place.database_url().unwrap_or(&in_file);
        let config = file(
            directory,
            &format!(
                "[database]\nurl = \"{url}\"\nauto_migrate = false\n[server]\nbind = \"127.0.0.1:0\"\n"
            ),
        );
        let migrate =
            |what: &str| postroom(directory, &["migrate", what, "--json", "--config", &config]);
        let applied = |output: &Output| {
            let items = document(output)["items"].as_array().unwrap().clone();
            items.iter().map(|it| it["applied"].as_bool().unwrap()).collect::<Vec<bool>>()
        };
        let before = applied(&migrate("status"));
        assert!(!before.is_empty() && before.iter().all(|it| !it), "{before:?}");
        let dry_run = ["migrate", "up", "--dry-run", "--sql", "--config", &config];
        let planned = document(&postroom(directory, &[&dry_run[..], &["--json"]].concat()));
        assert_eq!(planned["items"].as_array().unwrap().len(), before.len(), "{planned}");
        let (planned, _) = ends_with(0, &postroom(directory, &dry_run));
        assert!(planned.contains("_queue\ncreate table nodes ("), "{planned}");
        assert_eq!(applied(&migrate("status")), before, "nothing was applied");
        let (_, err) = ends_with(1, &postroom(directory, &["serve", "--config", &config]));
        assert!(err.contains("postroom migrate up"), "{err}");
        assert!(applied(&migrate("up")).iter().all(|it| *it));
        assert!(applied(&migrate("status")).iter().all(|it| *it));
        assert!(applied(&migrate("up")).iter().all(|it| *it), "again changes nothing");
        let after_down = applied(&migrate("down"));
        assert_eq!(after_down.iter().filter(|it| !**it).count(), 1, "{after_down:?}");
        assert_eq!(after_down.last(), Some(&false));
        let refused = postroom(directory, &["migrate", "fresh", "--config", &config]);
        let (_, err) = ends_with(2, &refused);
        assert!(err.contains("--yes"), "{err}");
        let fresh =
            postroom(directory, &["migrate", "fresh", "--yes", "--json", "--config", &config]);
        assert!(applied(&fresh).iter().all(|it| *it));
    }

    async fn what_is_sent_is_listed(place: Place) {
        let daemon = place.start("").await;
        let directory = daemon.directory().to_owned();
        let (harness, test) = ("harness.toml", "test.toml");
        let run = |args: &[&str]| {
            postroom(&directory, &[args, &["--config", harness, "--config", test]].concat())
        };
        let sent = document(&run(&["send", "sms", "--count", "3", "--json"]));
        let items = sent["items"].as_array().unwrap();
        assert_eq!(items.len(), 3, "{sent}");
        for item in items {
            assert_eq!(
                (&item["status"], &item["outcome"]),
                (&200.into(), &"accepted".into()),
                "{sent}"
            );
        }
        let (table, _) = ends_with(0, &run(&["send", "instantly"]));
        assert!(table.contains("accepted"), "{table}");
        let list = |more: &[&str]| {
            let listed = document(&run(&[&["jobs", "list", "--json"], more].concat()));
            listed["items"].as_array().unwrap().clone()
        };
        let inbound = list(&["--kind", "SMS_INBOUND_POST_PROCESS"]);
        let ids = |items: &[Value], pointer: &str| {
            let mut ids: Vec<String> = items
                .iter()
                .map(|it| it.pointer(pointer).unwrap().as_str().unwrap().to_owned())
                .collect();
            ids.sort();
            ids
        };
        assert_eq!(ids(&inbound, "/id"), ids(items, "/job_ids/0"));
        let shown = document(&run(&["jobs", "show", inbound[0]["id"].as_str().unwrap(), "--json"]));
        assert_eq!(shown["id"], inbound[0]["id"]);
        assert_eq!(shown["errors"], serde_json::json!([]));
        let (_, err) = ends_with(1, &run(&["jobs", "show", "999"]));
        assert!(err.contains("999"), "{err}");
        let (table, _) = ends_with(0, &run(&["pools", "list"]));
        assert!(table.contains("SMS_INBOUND_POST_PROCESS"), "{table}");
        let (_, err) = ends_with(1, &run(&["jobs", "list", "--token", "a-wrong-one"]));
        assert!(!err.is_empty());
        let (_, err) = ends_with(2, &run(&["send", "fax"]));
        assert!(err.contains("sms"), "{err}");
    }

    async fn a_pool_is_changed_by_command_and_the_change_is_listed(place: Place) {
        let daemon = place.start("").await;
        let directory = daemon.directory().to_owned();
        let run = |args: &[&str]| {
            postroom(&directory, &[args, &["--config", "harness.toml", "--config", "test.toml"]].concat())
        };
        let resized = document(&run(&[
            "pools", "resize", "SELF_CHECK", "12", "--for", "4h", "--note", "a flood", "--json",
        ]));
        assert_eq!((&resized["size"], &resized["override"]["note"]), (&12.into(), &"a flood".into()));
        let (shown, _) = ends_with(0, &run(&["pools", "pause", "SELF_CHECK"]));
        let line = shown.lines().find(|line| line.starts_with("override"));
        let keys: Vec<&str> = line.unwrap().split("; ").collect();
        assert!(keys[0].contains("size = 12 by ") && keys[0].ends_with(": a flood"), "{shown}");
        assert!(keys[1].starts_with("paused = true by ") && !keys[1].contains("until"), "{shown}");
        let resumed = document(&run(&["pools", "resume", "SELF_CHECK", "--json"]));
        assert_eq!((&resumed["paused"], &resumed["size"]), (&false.into(), &12.into()));
        let reset = document(&run(&["pools", "reset", "SELF_CHECK", "--json"]));
        assert_eq!((&reset["size"], &reset["override"]), (&8.into(), &Value::Null));
        let (_, err) = ends_with(1, &run(&["pools", "resize", "SELF_CHEK", "12"]));
        assert!(err.contains("did you mean `SELF_CHECK`?"), "{err}");
        let listed = document(&run(&["audit", "list", "--target", "SELF_CHECK", "--since", "1h", "--json"]));
        let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
        let rows: Vec<[String; 3]> = listed["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| ["action", "role", "via"].map(|name| text(row, name)))
            .collect();
        let row = |action: &'static str| [action, "operator", "command"];
        let override_ = row("pool.override");
        assert_eq!(rows, [row("pool.reset"), override_, override_, override_]);
        let id = listed["items"][1]["id"].as_str().unwrap();
        assert_eq!(document(&run(&["audit", "show", id, "--json"])), listed["items"][1]);
        ends_with(1, &run(&["audit", "show", "1"]));
        let (table, _) = ends_with(0, &run(&["audit", "--action", "pool.reset"]));
        assert!(table.contains("pool.reset") && !table.contains("pool.override"), "{table}");
        let columns = |at: usize| table.lines().nth(at).unwrap().split_whitespace().collect::<Vec<_>>();
        assert!(columns(0).contains(&"role") && columns(1).contains(&"operator"), "{table}");
        let (out, _) = ends_with(0, &run(&["audit", "list", "--all", "--jsonl", "--action", "pool.reset"]));
        let row: Value = serde_json::from_str(out.trim()).unwrap();
        assert_eq!((text(&row, "action"), text(&row, "role")), ("pool.reset".to_owned(), "operator".to_owned()));
        let nodes = document(&run(&["nodes", "list", "--json"]));
        let id = nodes["items"][0]["id"].as_str().unwrap();
        let (shown, _) = ends_with(0, &run(&["nodes", "show", id]));
        assert!(shown.contains(env!("CARGO_PKG_VERSION")), "{shown}");
    }

    #[ignore = "long: `just long`"]
    async fn every_event_of_every_channel_can_be_sent_and_none_comes_twice(place: Place) {
        let mut config = "[[clients]]\nid = \"strict\"\n".to_owned();
        let channels = postroom::registry::postroom().channels;
        for channel in &channels {
            let name = channel.name();
            config += &format!(
                "[clients.channels.{name}]\nsecret = \"the-secret-of-{name}\"\naccount = \"our-account\"\n"
            );
        }
        let daemon = place.start(&config).await;
        let directory = daemon.directory().to_owned();
        for channel in channels {
            for row in channel.table() {
                let ChannelName(name) = channel.name();
                let sent = document(&postroom(
                    &directory,
                    &[
                        "send", name, "--event", row.event, "--count", "4", "--json",
                        "--config", "harness.toml", "--config", "test.toml",
                    ],
                ));
                let items = sent["items"].as_array().unwrap();
                assert_eq!(items.len(), 4, "{name} {}: {sent}", row.event);
                let mut ids = BTreeSet::new();
                for item in items {
                    let (outcome, reason) = (item["outcome"].as_str().unwrap(), &item["reason"]);
                    // There is no lead or message yet.
                    let is_new = ["unknown_lead", "unknown_message"].contains(&reason.as_str().unwrap_or(""));
                    let told = row.outcome.split_once(' ').unwrap_or((row.outcome, "")).0;
                    assert!(outcome == told || is_new, "{name} {}: {item}", row.event);
                    for id in ["message_id", "lead_id"] {
                        if let Some(id) = item[id].as_str() {
                            assert!(ids.insert(id.to_owned()), "{name} {}: {sent}", row.event);
                        }
                    }
                }
                assert!(row.outcome.starts_with("accepted") <= (ids.len() == 8), "{sent}");
            }
        }
    }

    async fn a_port_that_is_taken_ends_the_start(place: Place) {
        let first = place.start("").await;
        let bind = first.url("").trim_start_matches("http://").to_owned();
        let scratch = Scratch::new("cli");
        let config = file(
            scratch.path(),
            &format!("[server]\nbind = \"{bind}\"\n[database]\nurl = \"sqlite://other.db\"\n"),
        );
        let (_, err) = ends_with(1, &postroom(scratch.path(), &["serve", "--config", &config]));
        assert!(err.contains(&bind) && err.contains("server.bind"), "{err}");
        assert!(first.is_running());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_daemon_on_one_file_ends_and_says_why() {
    let first = Daemon::start(Options::default()).await;
    let second = Options {
        database_url: Some(first.database_url()),
        until: Until::Started,
        ..Options::default()
    };
    let second = Daemon::start(second).await;
    assert_eq!(second.wait(Duration::from_secs(20)).await.code(), Some(1));
    let log = second.log();
    assert!(log.contains("postroom.db") && log.contains("held by another daemon"), "{log}");
    let answer = ask(first.webhook("sms", "demo").json(&sms(1, "Hello"))).await;
    assert_eq!(answer.outcome(), "accepted", "the first goes on: {answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_daemons_that_start_at_once_on_an_empty_database_both_become_ready() {
    let Some(place) = crate::support::both::Place::postgres() else { return };
    let (one, other) = tokio::join!(place.start(""), place.start(""));
    for daemon in [&one, &other] {
        let answer = ask(daemon.webhook("sms", "demo").json(&sms(1, "Hello"))).await;
        assert!(matches!(answer.outcome(), "accepted" | "duplicate"), "{answer:?}");
    }
    eventually(Duration::from_secs(20), async || {
        let overview = ask(one.api(Method::GET, "/overview")).await;
        (overview.body["nodes"].as_array()?.len() == 2).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_at_the_start_is_waited_for() {
    let Some(server) = Server::own(&[]) else { return };
    let url = server.url(&server.create_database("away"));
    server.stop();
    let options = Options { database_url: Some(url), until: Until::Alive, ..Options::default() };
    let daemon = Daemon::start(options).await;
    let ready = ask(daemon.get("/readyz")).await;
    assert_eq!((ready.status, ready.field("status")), (503, "not_ready"), "{ready:?}");
    assert_eq!(ready.body["checks"]["database"]["ok"], false);
    let post = || daemon.webhook("sms", "demo").json(&sms(1, "Hello"));
    ask(post()).await.is_problem(429, "database-away");
    server.start();
    let taken = eventually(Duration::from_secs(30), async || {
        // A connection may break while the daemon changes from waiting to working.
        let answer = try_ask(post()).await?;
        assert!(matches!(answer.status, 200 | 429), "{answer:?}");
        (answer.status == 200).then_some(answer)
    });
    let taken = taken.await;
    assert!(matches!(taken.outcome(), "accepted" | "duplicate"), "{taken:?}");
    assert_eq!(ask(daemon.get("/readyz")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_waits_for_its_database_does_not_log_its_password() {
    let url = "postgres://nobody:hunter2@127.0.0.1:1/nothing?sslmode=disable&password=hunter2&options=-c%20a.b%3Dhunter2";
    let options = Options {
        config: "[telemetry]\nlog = \"trace,hyper=info,h2=info,mio=info\"\n".to_owned(),
        database_url: Some(url.to_owned()),
        until: Until::Alive,
        ..Options::default()
    };
    let daemon = Daemon::start(options).await;
    daemon.may_leave(Leftover::Anything, "there is no database");
    let is_waiting = async || daemon.log().contains("waiting for the database").then_some(());
    eventually(Duration::from_secs(20), is_waiting).await;
    assert!(!daemon.log().contains("hunter2"), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_waits_for_its_database_stops_when_it_is_told_to() {
    let options = Options {
        database_url: Some("postgres://nobody@127.0.0.1:1/nothing".to_owned()),
        until: Until::Alive,
        ..Options::default()
    };
    let daemon = Daemon::start(options).await;
    daemon.may_leave(Leftover::Anything, "there is no database");
    daemon.terminate();
    assert_eq!(daemon.wait(Duration::from_secs(10)).await.code(), Some(0));
}
