//! `postroom backup`: a copy of a running daemon's database is whole, and a daemon goes on from it.

use super::{ended, postroom};
use crate::{
    g01_acknowledged_means_durable::{CONFIG, Load},
    support::{
        both::{Peek, Place},
        daemon::{Daemon, Options},
        eventually, http, postgres,
        process::Scratch,
        web::{ask, sms},
    },
};
use std::{
    collections::HashSet,
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(60);
/// Backups that are made one after the other while messages come in.
const BACKUPS: u64 = 5;

fn back_up(directory: &Path, to: &Path) -> Output {
    let args =
        ["backup", to.to_str().unwrap(), "--config", "harness.toml", "--config", "test.toml"];
    postroom(directory, &args).output().unwrap()
}

/// Restores a backup as the page for operators says: a daemon starts on the file.
async fn restored(file: &Path) -> Daemon {
    let url = format!("sqlite://{}", file.display());
    let options =
        Options { database_url: Some(url), config: CONFIG.to_owned(), ..Options::default() };
    let daemon = Daemon::start(options).await;
    let db = Peek::of(&daemon).await;
    eventually(PATIENCE, async || (db.unfinished().await == 0).then_some(())).await;
    daemon
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn a_backup_under_load_is_of_one_moment_and_a_daemon_goes_on_from_it() {
    let daemon = Place::sqlite().start(CONFIG).await;
    let (load, client, scratch) = (Load::default(), http(), Scratch::new("backup"));
    let (url, directory) = (daemon.url("/webhooks/sms/demo"), daemon.directory().to_owned());
    let last = scratch.path().join("last.db");
    let mut before = HashSet::new();
    let backing_up = async {
        for number in 0..BACKUPS {
            load.has_reached(100 * (number + 1)).await;
            before =
                load.acknowledged().iter().map(|it| it.field("message_id").to_owned()).collect();
            let (file, from) = (scratch.path().join(format!("{number}.db")), directory.clone());
            let to = if number + 1 == BACKUPS { last.clone() } else { file };
            let made = {
                let to = to.clone();
                tokio::task::spawn_blocking(move || back_up(&from, &to)).await.unwrap()
            };
            let (out, _) = ended(0, &made);
            assert!(out.contains("checked"), "{out}");
            let found = fs::metadata(&to).unwrap();
            assert_eq!(found.mode() & 0o7777, 0o600);
            // A message is stored with its job or not at all.
            let db = Peek::open(&format!("sqlite://{}", to.display())).await;
            let messages = db.number("select count(*) from messages").await;
            let jobs = "select count(*) from jobs where kind = 'SMS_INBOUND_POST_PROCESS'";
            assert_eq!(db.number(jobs).await, messages);
            assert!(messages >= i64::try_from(before.len()).unwrap(), "{messages}");
            db.close().await;
        }
        load.stop();
    };
    tokio::join!(load.post_over(&client, &url, 6), backing_up);
    let after: HashSet<String> =
        load.acknowledged().iter().map(|it| it.field("message_id").to_owned()).collect();
    // When a daemon that was restored is dropped, its database is checked as any other.
    let restored = restored(&last).await;
    let db = Peek::of(&restored).await;
    let ids = db.texts("select cast(id as varchar(20)) from messages").await;
    let ids: HashSet<String> = ids.into_iter().collect();
    assert!(before.is_subset(&ids), "what was acknowledged before the backup is in it");
    assert!(ids.is_subset(&after), "nothing else is in it");
    assert_eq!(db.number("select count(*) from messages where handled_at is null").await, 0);
    let answer = ask(restored.webhook("sms", "demo").json(&sms(1, "Hello"))).await;
    assert_eq!(answer.outcome(), "accepted", "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_overwrites_nothing_and_needs_no_daemon() {
    let daemon = Place::sqlite().start("").await;
    let answer = ask(daemon.webhook("sms", "demo").json(&sms(1, "Hello"))).await;
    assert_eq!(answer.outcome(), "accepted", "{answer:?}");
    daemon.terminate();
    assert_eq!(daemon.wait(Duration::from_secs(40)).await.code(), Some(0));
    let scratch = Scratch::new("backup");
    let to = scratch.path().join("a copy.db");
    ended(0, &back_up(daemon.directory(), &to));
    let whole = fs::read(&to).unwrap();
    let (out, err) = ended(1, &back_up(daemon.directory(), &to));
    assert!(out.is_empty() && err.contains("overwrites nothing"), "{err}");
    assert_eq!(fs::read(&to).unwrap(), whole);
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1, "nothing else is left");
    // One that was broken off is told, and is not taken for a backup.
    let part = scratch.path().join("b.db.part");
    fs::write(&part, "half").unwrap();
    let (_, err) = ended(1, &back_up(daemon.directory(), &scratch.path().join("b.db")));
    assert!(err.contains("b.db.part") && err.contains("remove it"), "{err}");
    let (_, err) = ended(1, &back_up(daemon.directory(), &scratch.path().join("no/such/c.db")));
    assert!(err.contains("No such file"), "{err}");
    let restored = restored(&to).await;
    let db = Peek::of(&restored).await;
    assert_eq!(db.number("select count(*) from messages").await, 1);
}

/// As the page for operators says it: the daemon is stopped, the files of the database are moved
/// away, and the backup takes their place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_takes_the_place_of_what_came_after_it() {
    let mut daemon = Place::sqlite().start("").await;
    let post = async |daemon: &Daemon, number: u64| {
        let answer = ask(daemon.webhook("sms", "demo").json(&sms(number, "Hello"))).await;
        assert_eq!(answer.outcome(), "accepted", "{answer:?}");
    };
    post(&daemon, 1).await;
    let scratch = Scratch::new("backup");
    let backup = scratch.path().join("b.db");
    ended(0, &back_up(daemon.directory(), &backup));
    post(&daemon, 2).await;
    daemon.terminate();
    assert_eq!(daemon.wait(Duration::from_secs(40)).await.code(), Some(0));
    let script = "mkdir before && mv postroom.db* before/ && \
                  install -m 600 \"$0\" postroom.db";
    let mut moved = Command::new("sh");
    moved.args(["-ec", script]).arg(&backup);
    assert!(moved.current_dir(daemon.directory()).status().unwrap().success());
    daemon.start_again().await;
    let db = Peek::of(&daemon).await;
    assert_eq!(db.number("select count(*) from messages").await, 1);
    post(&daemon, 3).await;
}

/// On PostgreSQL the command names the one that does it, and that one does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn on_postgresql_the_command_that_is_named_makes_a_backup() {
    let Some(server) = postgres::server() else { return };
    let place = Place::on(server);
    let daemon = place.start("").await;
    let answer = ask(daemon.webhook("sms", "demo").json(&sms(1, "Hello"))).await;
    assert_eq!(answer.outcome(), "accepted", "{answer:?}");
    let scratch = Scratch::new("backup");
    let file = scratch.path().join("post.dump");
    let (out, err) = ended(2, &back_up(daemon.directory(), &file));
    assert_eq!(out, "");
    let command = err.lines().find(|it| it.contains("pg_dump --")).unwrap();
    assert!(!command.contains("password"), "{command}");
    server.run_tools(command);
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
    let other = server.create_database("restored");
    let url = server.url(&other);
    server.run_tools(&format!("pg_restore --no-owner --dbname='{url}' {}", file.display()));
    let options = Options { database_url: Some(url), ..Options::default() };
    let restored = Daemon::start(options).await;
    let db = Peek::of(&restored).await;
    assert_eq!(db.number("select count(*) from messages").await, 1);
    eventually(PATIENCE, async || (db.unfinished().await == 0).then_some(())).await;
}
