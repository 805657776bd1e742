//! `postroom doctor`: what it finds, and that it changes nothing.

use super::{ended, postroom};
use crate::{
    on_both_daemons,
    support::{
        daemon::{Daemon, Options, Until},
        eventually,
        leftovers::Leftover,
        postgres::Server,
        process::{Scratch, free_port},
    },
};
use serde_json::Value;
use std::{
    collections::BTreeMap, fs, net::TcpListener, os::unix::fs::MetadataExt as _, path::Path,
    process::Output, time::Duration,
};

/// The arguments by which a command gets the configuration of a test's daemon.
const CONFIGS: [&str; 4] = ["--config", "harness.toml", "--config", "test.toml"];

fn doctor(directory: &Path) -> Output {
    let args = [&["doctor", "--json"], &CONFIGS[..]].concat();
    postroom(directory, &args).output().unwrap()
}

/// The findings about one thing: their grades and texts.
#[track_caller]
fn findings(code: i32, output: &Output, check: &str) -> Vec<(String, String)> {
    let (out, err) = ended(code, output);
    assert_eq!(err, "");
    let document: Value = serde_json::from_str(&out).unwrap();
    let items = document["items"].as_array().unwrap().iter();
    let text = |item: &Value, field: &str| item[field].as_str().unwrap_or_default().to_owned();
    items
        .filter(|item| item["check"] == check)
        .map(|item| (text(item, "grade"), text(item, "found")))
        .collect()
}

/// Checks that a finding about `check` has this grade and this text in it.
#[track_caller]
fn finds(code: i32, output: &Output, check: &str, grade: &str, part: &str) {
    let all = findings(code, output, check);
    let is_found = all.iter().any(|(found, text)| found == grade && text.contains(part));
    assert!(is_found, "{check}: no `{grade}` with `{part}`: {all:?}\n{output:?}");
}

/// Every file of a directory: its size, its mode, and when it was changed. Without SQLite's index
/// of its log, which each reader may renew.
fn files(directory: &Path) -> BTreeMap<String, (u64, u32, i64, i64)> {
    let entries = fs::read_dir(directory).unwrap().map(|it| it.unwrap());
    entries
        .filter(|entry| !entry.file_name().to_str().unwrap().ends_with("-shm"))
        .map(|entry| {
            let found = entry.metadata().unwrap();
            let about = (found.len(), found.mode(), found.mtime(), found.mtime_nsec());
            (entry.file_name().to_str().unwrap().to_owned(), about)
        })
        .collect()
}

on_both_daemons! {
    async fn a_daemon_is_examined_while_it_runs_and_while_it_does_not(place: Place) {
        let mut daemon = place.start("").await;
        let directory = daemon.directory().to_owned();
        // The tests' own PostgreSQL does not flush, to save time.
        let code = if place.is_sqlite() { 0 } else { 3 };
        let product = if place.is_sqlite() { "SQLite 3" } else { "PostgreSQL " };
        let found = doctor(&directory);
        finds(code, &found, "database", "ok", product);
        finds(code, &found, "migrations", "ok", "all are applied");
        finds(code, &found, "configuration", "ok", "valid");
        finds(code, &found, "daemon", "ok", "ready at");
        finds(code, &found, "version", "ok", env!("CARGO_PKG_VERSION"));
        finds(code, &found, "providers", "ok", "not asked");
        finds(code, &found, "sends", "ok", "no account is in trouble");
        assert!(!format!("{found:?}").contains(daemon.admin_token()));
        if !place.is_sqlite() {
            finds(code, &found, "durability", "bad", "fsync = off");
            finds(code, &found, "clock", "ok", "ms");
        }
        daemon.terminate();
        assert_eq!(daemon.wait(Duration::from_secs(40)).await.code(), Some(0));
        let before = files(&directory);
        let found = doctor(&directory);
        assert_eq!(files(&directory), before, "it changed files");
        finds(code, &found, "database", "ok", product);
        finds(code, &found, "port", "ok", "is free");
        // It held no lock at any time, and the database is as it was.
        daemon.start_again().await;
    }

    async fn pending_migrations_are_bad_if_no_start_applies_them(place: Place) {
        let mut daemon = place.start("").await;
        daemon.terminate();
        assert_eq!(daemon.wait(Duration::from_secs(40)).await.code(), Some(0));
        daemon.configure("[database]\nauto_migrate = false\n");
        let directory = daemon.directory().to_owned();
        let down = [&["migrate", "down"], &CONFIGS[..]].concat();
        ended(0, &postroom(&directory, &down).output().unwrap());
        finds(3, &doctor(&directory), "migrations", "bad", "1 pending");
        let up = [&["migrate", "up"], &CONFIGS[..]].concat();
        ended(0, &postroom(&directory, &up).output().unwrap());
        let code = if place.is_sqlite() { 0 } else { 3 };
        finds(code, &doctor(&directory), "migrations", "ok", "all are applied");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_daemon_leaves_a_database_that_can_be_examined() {
    let mut daemon = Daemon::start(Options::default()).await;
    daemon.kill_9();
    finds(0, &doctor(daemon.directory()), "migrations", "ok", "all are applied");
    daemon.start_again().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_flushes_is_durable_and_one_that_is_away_is_bad() {
    let on = [("fsync", "on"), ("synchronous_commit", "on")];
    let Some(server) = Server::own(&on) else { return };
    let url = server.url(&server.create_database("examined"));
    let options = Options { database_url: Some(url), ..Options::default() };
    let daemon = Daemon::start(options).await;
    daemon.may_leave(Leftover::Anything, "its database is stopped");
    finds(0, &doctor(daemon.directory()), "durability", "ok", "flushed");
    server.stop();
    let found = doctor(daemon.directory());
    finds(3, &found, "database", "bad", "cannot be reached");
    // The daemon keeps the result of its own check of the database for a moment.
    eventually(Duration::from_secs(20), async || {
        let text = String::from_utf8_lossy(&doctor(daemon.directory()).stdout).into_owned();
        text.contains("database: ").then_some(())
    })
    .await;
    finds(3, &doctor(daemon.directory()), "daemon", "bad", "database: ");
    let (out, _) = ended(3, &{
        let args = [&["doctor"], &CONFIGS[..]].concat();
        postroom(daemon.directory(), &args).output().unwrap()
    });
    assert!(out.lines().any(|it| it.starts_with("bad   database")), "{out}");
    daemon.kill_9();
}

#[test]
fn a_machine_on_which_nothing_was_started_yet_is_well() {
    let scratch = Scratch::new("doctor");
    let port = format!("POSTROOM__SERVER__BIND=127.0.0.1:{}", free_port());
    let (name, value) = port.split_once('=').unwrap();
    let run = || {
        let mut command = postroom(scratch.path(), &["doctor", "--json"]);
        command.env(name, value).output().unwrap()
    };
    let found = run();
    finds(0, &found, "database", "ok", "first start makes it");
    finds(0, &found, "secrets", "ok", "first start makes it");
    finds(0, &found, "port", "ok", "is free");
    assert!(files(scratch.path()).is_empty(), "it made files");
    let _other = TcpListener::bind(value).unwrap();
    // A program that takes connections and says nothing is no daemon.
    finds(3, &run(), "port", "bad", "another program");
}

#[test]
fn few_open_files_and_a_wrong_configuration_end_with_3() {
    let scratch = Scratch::new("doctor");
    let program = env!("CARGO_BIN_EXE_postroom");
    let mut command = std::process::Command::new("prlimit");
    command.args(["--nofile=64:64", program, "doctor", "--json"]).current_dir(scratch.path());
    finds(3, &command.output().unwrap(), "open files", "bad", "64");
    fs::write(scratch.path().join("harness.toml"), "[ingest]\nbatch_mx = 5\n").unwrap();
    fs::write(scratch.path().join("test.toml"), "").unwrap();
    let (out, _) = ended(3, &doctor(scratch.path()));
    assert!(out.contains("harness.toml:2") && out.contains("batch_max"), "{out}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_public_address_is_asked_as_a_provider_would() {
    let daemon = Daemon::start(Options::default()).await;
    let public = |url: &str| {
        let args = [&["doctor", "--json"], &CONFIGS[..]].concat();
        let mut command = postroom(daemon.directory(), &args);
        // Channels need a secret then.
        command.env("POSTROOM__SERVER__PUBLIC_URL", url).env("POSTROOM__CLIENTS", "[]");
        command.output().unwrap()
    };
    let found = public(&daemon.url(""));
    finds(0, &found, "public_url", "ok", "webhooks reach");
    finds(0, &found, "public_url", "warn", "/metrics");
    finds(3, &public(&daemon.url("/elsewhere")), "public_url", "bad", "not as a daemon does");
    let nobody = format!("http://127.0.0.1:{}", free_port());
    finds(3, &public(&nobody), "public_url", "bad", "no daemon answers");
}

/// The lock says that a daemon has the file, and nobody answers at the port that the files name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_holds_the_file_and_does_not_answer_is_bad() {
    let daemon = Daemon::start(Options { until: Until::Ready, ..Options::default() }).await;
    let args = [&["doctor", "--json"], &CONFIGS[..]].concat();
    let mut command = postroom(daemon.directory(), &args);
    command.env("POSTROOM__SERVER__BIND", format!("127.0.0.1:{}", free_port()));
    let found = command.output().unwrap();
    if cfg!(target_os = "linux") {
        let part = format!("process {} holds", daemon.pid());
        finds(3, &found, "daemon", "bad", &part);
    }
}
