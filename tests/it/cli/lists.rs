//! The lists: every form of every one, all pages, and changes as they come.

use super::{document, ends_with, postroom};
use crate::{
    on_both_daemons,
    support::{
        daemon::Daemon,
        eventually,
        process::{Scratch, send_signal},
        web::{ask, mail, sms},
    },
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read as _, Write as _},
    net::TcpListener,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    time::Duration,
};

/// All lists, with the field that names an object.
const LISTS: [(&str, &str); 14] = [
    ("jobs", "id"),
    ("leads", "id"),
    ("messages", "id"),
    ("drafts", "id"),
    ("deliveries", "id"),
    ("quarantine", "id"),
    ("received", "id"),
    ("operations", "id"),
    ("pools", "kind"),
    ("actors", "name"),
    ("clients", "id"),
    ("nodes", "id"),
    ("audit", "id"),
    ("calls", "id"),
];
/// What else prints a document with `--json`, in an order in which all of it succeeds, with its
/// arguments. Capitals stand for an id.
const OTHERS: [(&str, &str); 20] = [
    ("jobs stats", ""),
    ("jobs explain", "JOB"),
    ("leads explain", "LEAD"),
    ("examples list", ""),
    ("quarantine replay", "--all --dry-run"),
    ("quarantine discard", "--all --dry-run"),
    ("config check", ""),
    ("config show", ""),
    ("config explain", "ingest.batch_max"),
    ("config history", ""),
    ("login-link", ""),
    ("reload", ""),
    ("pools pause", "SMS_INBOUND_POST_PROCESS"),
    ("send", "sms"),
    ("jobs cancel", "--kind SMS_INBOUND_POST_PROCESS --yes"),
    ("operations show", "OPERATION"),
    ("jobs retry", "--status cancelled --yes"),
    ("pools resize", "SMS_INBOUND_POST_PROCESS 3"),
    ("pools resume", "SMS_INBOUND_POST_PROCESS"),
    ("backup", "copy-of-all.db"),
];
/// Commands whose documents other tests read: of `decisions`, `tuning`, `operations`,
/// `system::doctor`, `model`, and others of `cli`.
const ELSEWHERE: [&str; 22] = [
    "analyst evaluate",
    "bench",
    "config diff",
    "deliveries resolve",
    "doctor",
    "drafts approve",
    "drafts edit",
    "drafts regenerate",
    "drafts reject",
    "drafts snooze",
    "drafts undo",
    "leads erase",
    "leads export",
    "leads lift-opt-out",
    "leads opt-out",
    "messages retag",
    "migrate down",
    "migrate fresh",
    "migrate status",
    "migrate up",
    "operations stop",
    "pools reset",
];
/// Commands that have the option, and whose document no test reads.
const UNREAD: [(&str, &str); 3] = [
    ("events", "it prints lines"),
    ("examples export", "it prints lines"),
    ("top", "it has none, and says so"),
];
const CONFIGS: [&str; 4] = ["--config", "harness.toml", "--config", "test.toml"];
/// More messages than a page of `--all` has.
const MANY: usize = 520;

pub(super) fn command(daemon: &Daemon, args: &[&str]) -> Output {
    postroom(daemon.directory(), &[args, &CONFIGS].concat())
}

/// Waits until no job is pending or running.
pub(super) async fn all_done(daemon: &Daemon) {
    eventually(Duration::from_secs(60), async || {
        let jobs = ask(daemon.api(Method::GET, "/overview")).await.body["jobs"].clone();
        (jobs["pending"] == 0 && jobs["running"] == 0).then_some(())
    })
    .await;
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a document a line")).collect()
}

fn ids(items: &[Value], id: &str) -> Vec<String> {
    items.iter().map(|item| item[id].as_str().expect("an id").to_owned()).collect()
}

/// Runs each of [`OTHERS`]: each prints one object.
async fn others_print_documents(daemon: &Daemon) {
    let first = async |path: &str| {
        let listed = ask(daemon.api(Method::GET, path)).await;
        listed.items()[0]["id"].as_str().expect("an id").to_owned()
    };
    for (name, rest) in OTHERS {
        let mut args: Vec<String> = name.split(' ').map(str::to_owned).collect();
        for word in rest.split_whitespace() {
            args.push(match word {
                "JOB" => first("/jobs").await,
                "LEAD" => first("/leads").await,
                "OPERATION" => first("/operations").await,
                word => word.to_owned(),
            });
        }
        args.push("--json".to_owned());
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let (out, _) = ends_with(0, &command(daemon, &args));
        let printed: Result<Value, _> = serde_json::from_str(&out);
        assert!(printed.is_ok_and(|it| it.is_object()), "{args:?}: {out}");
    }
    all_done(daemon).await;
}

/// The commands that have the option `--json`, by the page that is made of their definitions.
fn commands_with_json() -> BTreeSet<String> {
    let page = include_str!("../../../docs/COMMANDS.md");
    let (mut names, mut name) = (BTreeSet::new(), None);
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("### `postroom ") {
            let words = heading.trim_end_matches('`').split(' ');
            let words: Vec<&str> = words.take_while(|it| !it.starts_with(['<', '['])).collect();
            name = Some(words.join(" "));
        } else if line.starts_with('#') {
            name = None;
        }
        names.extend(name.clone().filter(|_| line.contains("`--json`")));
    }
    names
}

#[test]
fn the_document_of_each_command_is_read_by_a_test() {
    let names = commands_with_json();
    assert!(names.len() > 50, "{names:?}");
    let lists =
        LISTS.iter().flat_map(|(path, _)| ["list", "show"].map(|it| format!("{path} {it}")));
    let others = OTHERS.iter().map(|it| it.0).chain(ELSEWHERE).chain(UNREAD.map(|it| it.0));
    let listed: BTreeSet<String> = lists.chain(others.map(str::to_owned)).collect();
    let missing: Vec<&String> = names.difference(&listed).collect();
    assert!(missing.is_empty(), "no test reads what these print with `--json`: {missing:?}");
    let others = OTHERS.iter().map(|it| it.0).chain(ELSEWHERE).chain(UNREAD.map(|it| it.0));
    let gone: Vec<&str> = others.filter(|it| !names.contains(*it)).collect();
    assert!(gone.is_empty(), "there are no such commands: {gone:?}");
}

#[test]
fn measurements_are_printed_as_documents() {
    let scratch = Scratch::new("bench");
    let url = format!("sqlite:{}", scratch.path().join("any.db").display());
    // A measurement for each number of connections, and one without any.
    for (bench, connections) in [("ingest", "1,2"), ("drain", "0")] {
        let args = ["bench", bench, "--jobs", "20", "--connections", connections, "--json"];
        let args = [&args[..], &["--database", &url]].concat();
        let (out, err) = ends_with(0, &postroom(scratch.path(), &args));
        let printed = lines(&out);
        assert_eq!((printed.len(), err.as_str()), (connections.split(',').count(), ""), "{out}");
        for (measured, connections) in printed.iter().zip(connections.split(',')) {
            let told =
                ["bench", "database", "connections", "jobs", "refused"].map(|it| &measured[it]);
            let connections: u64 = connections.parse().unwrap();
            assert_eq!(json!(told), json!([bench, "sqlite", connections, 20, 0]), "{measured}");
            for name in ["seconds", "per_second", "rss_mib"] {
                assert!(measured[name].as_f64().is_some_and(|it| it > 0.0), "{name}: {measured}");
            }
        }
    }
    // Webhooks while their jobs run.
    let args = ["bench", "ingest", "--role", "all", "--jobs", "30", "--json", "--database", &url];
    let (out, err) = ends_with(0, &postroom(scratch.path(), &args));
    let measured = &lines(&out)[0];
    assert_eq!((&measured["role"], err.as_str()), (&json!("all"), ""), "{out}");
    assert!(measured["jobs_per_second"].is_number(), "{measured}");
    for third in ["first_third_per_second", "last_third_per_second"] {
        assert!(measured[third].as_f64().is_some_and(|it| it > 0.0), "{third}: {measured}");
    }
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "a database is left");
}

on_both_daemons! {
    #[ignore = "long: `just long`"]
    async fn every_list_is_printed_in_every_form(place: Place) {
        let daemon = place.start("").await;
        for number in 1..=3 {
            ask(daemon.webhook("sms", "demo").json(&sms(number, "Tell me more"))).await;
        }
        let mut unknown = mail(9);
        unknown["event_type"] = "not_heard_of".into();
        let quarantined = ask(daemon.webhook("instantly", "demo").json(&unknown)).await;
        assert_eq!(quarantined.outcome(), "quarantined", "{quarantined:?}");
        all_done(&daemon).await;
        for (path, id) in LISTS {
            let in_api = ask(daemon.api(Method::GET, &format!("/{path}"))).await;
            if in_api.status == 404 {
                let (_, err) = ends_with(1, &command(&daemon, &[path, "list"]));
                assert!(err.contains("older than this command"), "{err}");
                continue;
            }
            let whole = document(&command(&daemon, &[path, "list", "--json"]));
            let items = whole["items"].as_array().expect("items").clone();
            assert_eq!(ids(&items, id), ids(in_api.items(), id), "{path}: as the API");
            let may_be_empty = ["drafts", "deliveries", "operations", "audit", "calls"].contains(&path);
            assert!(may_be_empty || !items.is_empty(), "{path}: {whole}");
            let all = document(&command(&daemon, &[path, "list", "--json", "--all"]));
            assert_eq!(ids(all["items"].as_array().expect("items"), id), ids(&items, id), "{path}");
            assert_eq!(all["next_cursor"], Value::Null);
            for args in [&[path, "list", "--jsonl"][..], &[path, "list", "--jsonl", "--all"]] {
                let (out, err) = ends_with(0, &command(&daemon, args));
                assert_eq!((ids(&lines(&out), id), err.as_str()), (ids(&items, id), ""), "{args:?}");
            }
            let (out, _) = ends_with(0, &command(&daemon, &[path, "list", "--columns", id]));
            let expected = [&[id.to_owned()][..], &ids(&items, id)].concat().join("\n");
            assert_eq!(out.trim_end(), expected, "{path}");
            let (out, _) = ends_with(0, &command(&daemon, &[path, "list", "--all"]));
            assert_eq!(out.lines().count(), items.len() + 1, "{path}: {out}");
            let (_, err) = ends_with(2, &command(&daemon, &[path, "list", "--columns", &format!("{id}x")]));
            assert!(err.contains(&format!("did you mean `{id}`?")), "{err}");
            let Some(first) = ids(&items, id).first().cloned() else { continue };
            let shown = document(&command(&daemon, &[path, "show", &first, "--json"]));
            assert_eq!(shown[id], first.as_str(), "{path}");
            let (out, _) = ends_with(0, &command(&daemon, &[path, "show", &first]));
            assert!(out.starts_with(id) && out.contains(&first), "{path}: {out}");
        }
        // The commands are the same on both databases.
        if place.is_sqlite() {
            others_print_documents(&daemon).await;
        }
        // All items are changed only once that is confirmed.
        let discard = |option: &[&str]| command(&daemon, &[&["quarantine", "discard", "--all"], option].concat());
        let (out, err) = ends_with(2, &discard(&[]));
        assert!(out.is_empty() && err.starts_with("1 item matches") && err.contains("--yes"), "{err}");
        let (out, _) = ends_with(0, &discard(&["--dry-run"]));
        assert!(out.starts_with("1 item matches, the newest of them:\nid "), "{out}");
        assert_eq!(document(&discard(&["--dry-run", "--json"]))["count"], 1);
        let (out, _) = ends_with(0, &discard(&["--yes"]));
        assert_eq!(out, "done 1 of 1\n");
        let (out, _) = ends_with(0, &discard(&["--yes"]));
        assert_eq!(out, "no item matches\n");
        let (out, _) = ends_with(0, &command(&daemon, &["jobs", "list", "--utc", "--columns", "run_at"]));
        assert!(out.lines().skip(1).all(|line| line.ends_with(" UTC")), "{out}");
        let (out, _) = ends_with(0, &command(&daemon, &["leads", "list", "--relative", "--columns", "created_at"]));
        assert!(out.lines().skip(1).all(|line| line.ends_with("ago") || line == "now"), "{out}");
    }

    #[ignore = "long: `just long`"]
    async fn all_pages_are_printed_and_a_reader_may_leave_early(place: Place) {
        let daemon = place.start("").await;
        let (_, _) = ends_with(0, &command(&daemon, &["send", "sms", "--count", &MANY.to_string()]));
        all_done(&daemon).await;
        let (out, err) = ends_with(0, &command(&daemon, &["messages", "list", "--all", "--jsonl"]));
        let printed: BTreeSet<String> = ids(&lines(&out), "id").into_iter().collect();
        assert_eq!((printed.len(), err.as_str()), (MANY, ""));
        let all = document(&command(&daemon, &["messages", "list", "--all", "--json"]));
        assert_eq!(all["items"].as_array().expect("items").len(), MANY);
        let (out, _) = ends_with(0, &command(&daemon, &["messages", "list", "--all"]));
        assert_eq!(out.lines().count(), MANY + 1, "one header");
        let (out, err) = ends_with(0, &command(&daemon, &["messages", "list", "--jsonl", "--limit", "2"]));
        assert_eq!(out.lines().count(), 2);
        let cursor = err.trim().rsplit_once("--cursor ").expect("a cursor").1;
        let next = command(&daemon, &["messages", "list", "--jsonl", "--limit", "1", "--cursor", cursor]);
        let (next, _) = ends_with(0, &next);
        assert!(!out.contains(&ids(&lines(&next), "id")[0]), "{out} {next}");
        // Each job is some hundred bytes, and the pipe holds fewer.
        for form in [&["--jsonl"][..], &[]] {
            let mut child = spawn(&daemon, &[&["jobs", "list", "--all"], form].concat());
            let mut out = BufReader::new(child.stdout.take().expect("piped"));
            let mut line = String::new();
            out.read_line(&mut line).expect("a line");
            assert!(line.starts_with(if form.is_empty() { "id" } else { "{" }), "{line}");
            drop(out);
            let mut err = String::new();
            child.stderr.take().expect("piped").read_to_string(&mut err).expect("text");
            let status = child.wait().expect("it ends");
            assert_eq!((status.code(), err.as_str()), (Some(0), ""), "{form:?}");
        }
    }

    #[ignore = "long: `just long`"]
    async fn a_watched_list_tells_each_change_until_ctrl_c(place: Place) {
        let mut daemon = place.start("").await;
        ask(daemon.webhook("sms", "demo").json(&sms(1, "Hello"))).await;
        let mut child = spawn(&daemon, &["leads", "list", "--watch=200ms"]);
        let printed = lines_of(child.stdout.take().expect("piped"));
        let told = lines_of(child.stderr.take().expect("piped"));
        let next = |lines: &mpsc::Receiver<String>| {
            lines.recv_timeout(Duration::from_secs(20)).expect("a line in time")
        };
        let first: Value = serde_json::from_str(&next(&printed)).expect("a document");
        ask(daemon.webhook("sms", "demo").json(&sms(2, "Hello"))).await;
        let other = loop {
            let item: Value = serde_json::from_str(&next(&printed)).expect("a document");
            // The first lead may still change: its message is judged.
            if item["id"] != first["id"] {
                break item;
            }
        };
        assert!(other["last_message_at"].is_string(), "{other}");
        // A daemon that goes away is asked again.
        daemon.kill_9();
        assert!(next(&told).contains("it is asked again"), "told");
        daemon.start_again().await;
        // At first it may say that it waits for its database.
        while next(&told) != "the daemon answers again" {}
        ask(daemon.webhook("sms", "demo").json(&sms(3, "Hello"))).await;
        loop {
            let item: Value = serde_json::from_str(&next(&printed)).expect("a document");
            if item["id"] != first["id"] && item["id"] != other["id"] {
                break;
            }
        }
        send_signal("INT", child.id());
        assert_eq!(child.wait().expect("it ends").code(), Some(0));
    }

    async fn what_was_meant_is_told(place: Place) {
        let daemon = place.start("").await;
        let answer = ask(daemon.webhook("sms", "demo").json(&sms(1, "Hello"))).await;
        let lead = answer.field("lead_id").to_owned();
        let message = answer.field("message_id").to_owned();
        for (path, id, kind) in [("jobs", &lead, "lead"), ("leads", &message, "message")] {
            let (_, err) = ends_with(1, &command(&daemon, &[path, "show", id]));
            let told = format!("{id} is a {kind}: postroom {kind}s show {id}");
            assert!(err.contains(&told), "{err}");
        }
        let (_, err) = ends_with(1, &command(&daemon, &["jobs", "retry", &lead]));
        assert!(err.contains("is a lead"), "{err}");
        let (_, err) = ends_with(1, &command(&daemon, &["jobs", "retry", "123"]));
        assert_eq!(err.trim(), "error: Not found: there is no job 123");
        let (_, err) = ends_with(0, &command(&daemon, &["jobs", "list", "--lead", &message]));
        let told = format!("note: the daemon knows no lead `{message}`; {message} is a message");
        assert!(err.starts_with(&told), "{err}");
        let (_, err) = ends_with(0, &command(&daemon, &["audit", "--action", "pool.overide"]));
        assert!(err.contains("did you mean `pool.override`?"), "{err}");
        let (_, err) = ends_with(2, &command(&daemon, &["jobs", "list", "--kind", "SMS_INBOUND_POST_PROCES"]));
        assert!(err.contains("did you mean `SMS_INBOUND_POST_PROCESS`?"), "{err}");
        let (out, err) = ends_with(0, &command(&daemon, &["jobs", "list", "--client", "demoo", "--jsonl"]));
        assert!(out.is_empty() && err.contains("the daemon knows no client `demoo`"), "{err}");
        let (_, err) = ends_with(1, &command(&daemon, &["pools", "show", "SELF_CHEK"]));
        assert!(err.contains("did you mean `SELF_CHECK`?"), "{err}");
        let (_, err) = ends_with(2, &command(&daemon, &["jobs", "lst"]));
        assert!(err.contains("'list'"), "{err}");
        let (_, err) = ends_with(2, &command(&daemon, &["jobs", "list", "--status", "faild"]));
        assert!(err.contains("'failed'"), "{err}");
    }
}

fn spawn(daemon: &Daemon, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_postroom"))
        .args([args, &CONFIGS].concat())
        .env("NO_PROXY", "127.0.0.1")
        .current_dir(daemon.directory())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

/// The lines of an output as they come.
fn lines_of(out: impl std::io::Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// A daemon without the path of a list answers as it does for any path that it does not know.
#[test]
fn a_list_that_the_daemon_does_not_have_makes_it_an_older_one() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let read = stream.read(&mut [0; 4096]).expect("a request");
        assert!(read > 0);
        let body = "{\"title\":\"Not found\",\"detail\":\"there is no such path\",\"field\":null}";
        let head = "HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length";
        write!(stream, "{head}: {}\r\n\r\n{body}", body.len()).expect("an answer");
    });
    let scratch = Scratch::new("cli");
    let args = ["clients", "list", "--url", &url, "--token", "t"];
    let (_, err) = ends_with(1, &postroom(scratch.path(), &args));
    server.join().expect("it ends");
    assert_eq!(
        err.trim(),
        "error: this daemon has no list of clients: it is older than this command"
    );
}
