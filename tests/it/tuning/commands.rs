//! `postroom config` beside a running daemon.

use super::reload;
use crate::support::{both::Place, daemon::Daemon};
use serde_json::Value;
use std::process::{Command, Output};

const A: &str = "[pools.default]\nsize = 4\n";
const B: &str = "[pools.default]\nsize = 6\n[server]\nworkers = 3\n";

/// Runs `postroom config` with the files of this daemon.
fn config(daemon: &Daemon, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postroom"));
    command.args(["--config", "harness.toml", "--config", "test.toml", "config"]).args(args);
    command.env("NO_PROXY", "127.0.0.1").current_dir(daemon.directory()).output().unwrap()
}

#[track_caller]
fn ends_with(code: i32, output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    let (out, err) = (String::from_utf8_lossy(out), String::from_utf8_lossy(err));
    assert_eq!(output.status.code(), Some(code), "stdout: {out}\nstderr: {err}");
    out.into_owned()
}

#[track_caller]
fn document(code: i32, output: &Output) -> Value {
    let out = ends_with(code, output);
    serde_json::from_str(&out).unwrap_or_else(|it| panic!("not one document: {it}\n{out}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_compared_with_what_runs() {
    let mut daemon = Place::sqlite().start(A).await;
    let same = ends_with(0, &config(&daemon, &["diff", "--running"]));
    assert!(same.starts_with("no difference"), "{same}");

    // What a reload would do.
    std::fs::write(daemon.directory().join("next.toml"), B).unwrap();
    let next = ends_with(0, &config(&daemon, &["check", "--running", "--config", "next.toml"]));
    let counts = "a reload of these files would change 1 values; 1 more would wait for a restart";
    assert!(next.contains(counts), "{next}");
    daemon.configure(B);
    assert_eq!(reload(&daemon).await.status, 200);

    // The history of loads has both.
    let history = ends_with(0, &config(&daemon, &["history", "--utc"]));
    assert!(history.starts_with("loads since ") && history.contains("  applied  by "), "{history}");
    for line in ["  pools.default.size: 4 → 6 (live, ", "  server.workers: 0 → 3 (restart, "] {
        assert!(history.contains(line), "`{line}` is not in: {history}");
    }
    let history = document(0, &config(&daemon, &["history", "--json"]));
    assert_eq!(history["items"].as_array().map(Vec::len), Some(1), "{history}");

    // A value that waits for a restart is a difference.
    let diff = document(3, &config(&daemon, &["diff", "--running", "--json"]));
    let items = diff["items"].as_array().unwrap();
    let workers = items.iter().find(|it| it["key"] == "server.workers").expect("a difference");
    assert_eq!((&workers["running"], &workers["here"]), (&"0".into(), &"3".into()), "{diff}");
    assert_eq!(workers["applies"], "restart");
    assert_eq!(items.len(), 1, "{diff}");
    assert_eq!(diff["same_secrets"], Value::Null, "not known while another value differs");
    let text = ends_with(3, &config(&daemon, &["diff", "--running"]));
    assert!(text.contains("server.workers") && text.contains("secrets are not compared"), "{text}");

    // A key is explained with what runs and what waits.
    let workers = document(0, &config(&daemon, &["explain", "server.workers", "--json"]));
    assert_eq!((&workers["running"]["value"], &workers["value"]), (&"0".into(), &"3".into()));
    assert_eq!(workers["running"]["pending"]["value"], "3");
    let text = ends_with(0, &config(&daemon, &["explain", "pools.SELF_CHECK.size"]));
    for part in ["Slots: jobs of the kind", "whole number, 1 to 10000", "test.toml:2), wins"] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    assert!(text.contains("running  6 ("), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_secret_is_told_without_its_value() {
    let with = |secret: &str| {
        format!("[[clients]]\nid = \"a\"\n[clients.channels.sms]\nsecret = \"{secret}\"\n")
    };
    let daemon = Place::sqlite().start(&with("a-secret-of-the-daemon")).await;
    let other = daemon.directory().join("other.toml");
    std::fs::write(&other, with("a-secret-of-the-file-here")).unwrap();
    let diff =
        document(3, &config(&daemon, &["diff", "--running", "--json", "--config", "other.toml"]));
    assert_eq!(diff["items"], Value::Array(Vec::new()), "{diff}");
    assert_eq!(diff["same_secrets"], false);
    let text = ends_with(3, &config(&daemon, &["diff", "--running", "--config", "other.toml"]));
    assert!(text.starts_with("a secret") && !text.contains("a-secret-of"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_daemon_a_key_is_explained_all_the_same() {
    let daemon = Place::sqlite().start(A).await;
    daemon.terminate();
    daemon.wait(std::time::Duration::from_secs(20)).await;
    let text = ends_with(0, &config(&daemon, &["explain", "pools.default.size"]));
    assert!(text.contains("not known: no daemon answers"), "{text}");
    let json = document(0, &config(&daemon, &["explain", "pools.default.size", "--json"]));
    assert_eq!((&json["running"], &json["value"]), (&Value::Null, &"4".into()));
    ends_with(2, &config(&daemon, &["explain", "pools.default.siz"]));
    let changed = document(3, &config(&daemon, &["diff", "--json"]));
    let keys: Vec<&str> =
        changed["items"].as_array().unwrap().iter().filter_map(|it| it["key"].as_str()).collect();
    assert_eq!(keys, ["server.bind", "database.url", "pools.default.size", "admin.token"]);
    ends_with(1, &config(&daemon, &["diff", "--running"]));
    let shown = ends_with(0, &config(&daemon, &["show", "pools", "--changed"]));
    assert_eq!(shown.lines().count(), 2, "{shown}");
}
