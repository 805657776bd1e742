//! A database that no waiting will mend: the start ends soon, with the cause and the way out.

use crate::{
    on_both_daemons,
    support::{
        both::Peek,
        daemon::{Daemon, Options, Until},
        leftovers::Leftover,
        postgres,
        process::{Scratch, Tmpfs},
        skipped::skip,
        web::{ask, sms},
    },
};
use std::{fs, path::Path, process::Command, time::Duration};

/// Far less than anybody would wait for a database, and far more than a start takes.
const SOON: Duration = Duration::from_secs(30);

/// Starts a daemon on this database and waits for its end, which is exit code 1. Its log then.
async fn ended(url: &str, config: &str) -> String {
    let options = Options {
        config: config.to_owned(),
        database_url: Some(url.to_owned()),
        until: Until::Started,
        ..Options::default()
    };
    let daemon = Daemon::start(options).await;
    daemon.may_leave(Leftover::Anything, "the database is one that cannot be used");
    let status = daemon.wait(SOON).await;
    assert_eq!(status.code(), Some(1), "{}", daemon.log());
    daemon.log()
}

#[track_caller]
fn tells(log: &str, parts: &[&str]) {
    for part in parts {
        assert!(log.contains(part), "`{part}` is not in: {log}");
    }
    assert!(!log.contains("waiting for the database"), "{log}");
}

fn url_of(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_can_be_no_sqlite_database_ends_the_start() {
    let scratch = Scratch::new("unusable");
    let text = scratch.path().join("notes.txt");
    fs::write(&text, "These are notes, and no database.\n".repeat(200)).unwrap();
    let log = ended(&url_of(&text), "").await;
    tells(&log, &["notes.txt", "no SQLite database", "`database.url`"]);
    assert!(fs::read_to_string(&text).unwrap().starts_with("These are notes"), "left alone");

    let directory = scratch.path().join("directory");
    fs::create_dir(&directory).unwrap();
    tells(
        &ended(&url_of(&directory), "").await,
        &["directory", "is a directory", "`database.url`"],
    );

    let below_a_file = text.join("post.db");
    tells(
        &ended(&url_of(&below_a_file), "").await,
        &["notes.txt", "cannot be made", "`database.url`"],
    );

    let damaged = scratch.path().join("damaged.db");
    let head = [b"SQLite format 3\0".as_slice(), &[0xff; 8_000]].concat();
    fs::write(&damaged, head).unwrap();
    tells(&ended(&url_of(&damaged), "").await, &["damaged.db", "no SQLite database"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_takes_no_writes_ends_the_start() {
    let Some(disk) = Tmpfs::mount("8m") else {
        return skip("a small disk can be mounted by root only");
    };
    let (old, new) = (disk.path().join("old.db"), disk.path().join("new.db"));
    // A file that is still open for writing keeps the disk writable.
    Peek::open(&format!("{}?mode=rwc", url_of(&old))).await.close().await;
    fs::write(disk.path().join("old.db.lock"), "").unwrap();
    let remounted =
        Command::new("mount").args(["-o", "remount,ro"]).arg(disk.path()).status().unwrap();
    assert!(remounted.success());
    for file in [old, new] {
        let log = ended(&url_of(&file), "").await;
        tells(&log, &[file.file_name().unwrap().to_str().unwrap(), "right", "`database.url`"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_database_that_holds_no_utf8_ends_the_start() {
    let Some(server) = postgres::server() else { return };
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = format!("encoded_{}", uuid::Uuid::new_v4().simple());
        server.execute(
            "postgres",
            &format!("create database {name} encoding '{encoding}' template template0 locale 'C'"),
        );
        for config in ["", "[database]\nauto_migrate = false\n"] {
            let log = ended(&server.url(&name), config).await;
            tells(&log, &[&name, encoding, "encoding 'UTF8'", "`database.url`"]);
        }
        let tables =
            server.execute(&name, "select count(*) from pg_tables where schemaname = 'public'");
        assert_eq!(tables, "0", "nothing was made in it");
        server.drop_database(&name);
    }
}

/// As somebody may have it who puts Postroom beside another program.
const THEIRS: [&str; 3] = [
    "create table leads (id integer primary key, name text)",
    "create table jobs (id integer primary key, title text)",
    "insert into leads (id, name) values (1, 'theirs')",
];

on_both_daemons! {
    async fn a_database_with_tables_of_another_program_ends_the_start(place: Place) {
        let place = place.empty();
        let scratch = Scratch::new("unusable");
        let file = format!("{}?mode=rwc", url_of(&scratch.path().join("theirs.db")));
        let url = place.database_url().unwrap_or(&file);
        let peek = Peek::open(url).await;
        for statement in THEIRS {
            peek.execute(statement).await;
        }
        let way_out = if place.is_sqlite() { "another file" } else { "schema of its own" };
        let log = ended(url, "").await;
        tells(&log, &["`jobs`, `leads`", "another program", way_out]);
        // Another program's migrations, by the same migrator.
        peek.execute("create table seaql_migrations (version varchar primary key, applied_at bigint)").await;
        peek.execute("insert into seaql_migrations values ('m20220101_000001_theirs', 1)").await;
        tells(&ended(url, "").await, &["`jobs`, `leads`, `seaql_migrations`", "another program"]);
        assert_eq!(peek.texts("select name from leads").await, ["theirs"]);
        let tables = if place.is_sqlite() {
            "select count(*) from sqlite_master where type = 'table'"
        } else {
            "select count(*) from pg_tables where schemaname = 'public'"
        };
        assert_eq!(peek.number(tables).await, 3, "nothing was made beside them");
        if place.is_sqlite() {
            return;
        }
        // The way out is one.
        peek.execute("create schema postroom").await;
        let own_schema = format!("{url}?options=-c%20search_path%3Dpostroom");
        let options = Options { database_url: Some(own_schema), ..place.options("") };
        let daemon = Daemon::start(options).await;
        let answer = ask(daemon.webhook("sms", "demo").json(&sms(1, "Hello"))).await;
        assert_eq!(answer.outcome(), "accepted", "{answer:?}");
        assert_eq!(peek.number("select count(*) from postroom.messages").await, 1);
        assert_eq!(peek.texts("select name from public.leads").await, ["theirs"]);
    }
}
