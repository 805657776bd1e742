//! Keys that need a process of their own, or a restart, for their effect to be seen.

use crate::support::{
    both::{Peek, Place},
    daemon::{Daemon, Options, Until},
    eventually, http_builder,
    inside::Inside,
    leftovers::Leftover,
    process::free_port,
    web::{Answer, ask, try_ask},
};
use futures_util::FutureExt;
use postroom::{
    domain::{Job, JobKind, Outcome},
    handlers::JobHandler,
    registry::Registry,
    telemetry::board::Fatal,
};
use reqwest::Method;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// Keys of this file that apply at once.
pub const LIVE: &[&str] = &[
    "server.shutdown_timeout",
    "server.tls.cert",
    "server.tls.key",
    "restart.max_lost_threads",
    "telemetry.log",
];

/// Keys that need a restart. Of most of them an effect is observed here; of `max_connections`,
/// `acquire_timeout`, `pooler`, `commit_lanes`, `lease` and `otlp_endpoint` that the value of the
/// next start is the new one, since on an idle SQLite they show no effect.
pub const RESTART: &[&str] = &[
    "server.bind",
    "server.workers",
    "database.url",
    "database.max_connections",
    "database.auto_migrate",
    "database.acquire_timeout",
    "database.pooler",
    "ingest.commit_lanes",
    "supervisor.heartbeat",
    "supervisor.lease",
    "telemetry.format",
    "telemetry.otlp_endpoint",
];

const PATIENCE: Duration = Duration::from_secs(30);
const CERT: &str = include_str!("../security/localhost.cert.pem");
const KEY: &str = include_str!("../security/localhost.key.pem");

/// Reloads the files, unless the daemon has seen by itself that they have changed.
async fn reload(daemon: &Daemon) -> Answer {
    ask(daemon.api(Method::POST, "/config/reload")).await
}

/// The keys in a list of changes.
fn keys(changes: &Value) -> BTreeSet<String> {
    let changes = changes.as_array().expect("a list");
    changes.iter().map(|it| it["key"].as_str().unwrap().to_owned()).collect()
}

/// The values of a daemon's configuration, by key.
fn values(config: &Value) -> BTreeMap<String, String> {
    let values = config["values"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    values.iter().map(|it| (text(&it["key"]), text(&it["value"]))).collect()
}

/// The number of threads of the process with this beginning of a name.
fn threads(daemon: &Daemon, name: &str) -> usize {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).expect("it runs");
    let comm =
        |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    tasks.flatten().map(comm).filter(|comm| comm.starts_with(name)).count()
}

/// How often the state of the janitor changes within a second: twice in each of its rounds, of
/// which there is one a heartbeat.
async fn rounds(daemon: &Daemon, port: u16) -> usize {
    let url = format!("http://127.0.0.1:{port}/api/v1/actors");
    let mut seen = HashSet::new();
    let counting = async {
        loop {
            let actors = ask(daemon.http.get(&url).bearer_auth(daemon.admin_token())).await;
            let janitor = actors.items().iter().find(|it| it["name"] == "janitor").cloned();
            seen.insert(janitor.expect("a janitor")["since"].to_string());
        }
    };
    tokio::time::timeout(Duration::from_secs(1), counting).await.expect_err("it never ends");
    seen.len()
}

/// The last line of the log.
fn last_line(daemon: &Daemon) -> String {
    daemon.log().lines().last().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_need_a_restart_are_pending_until_it() {
    const A: &str = "[server]\nworkers = 1\n[supervisor]\nheartbeat = \"50ms\"\nlease = \"1s\"\n";
    let mut daemon = Place::sqlite().start(A).await;
    let directory = daemon.directory().to_owned();
    let before = values(&ask(daemon.api(Method::GET, "/config")).await.body);
    let http_threads = threads(&daemon, "actix");

    // Change all of them at once.
    let port = free_port();
    let b = format!(
        "[server]\nbind = \"127.0.0.1:{port}\"\nworkers = 4\n\
         [database]\nurl = \"sqlite://other.db\"\nmax_connections = 3\nacquire_timeout = \"2s\"\n\
         pooler = \"none\"\n[ingest]\ncommit_lanes = 1\n\
         [supervisor]\nheartbeat = \"3s\"\nlease = \"10s\"\n[telemetry]\nformat = \"json\"\n\
         otlp_endpoint = \"http://127.0.0.1:9\"\n"
    );
    daemon.configure(&b);
    let report = reload(&daemon).await.body;
    // `auto_migrate` has an effect only on a database that is not migrated, so it stays.
    let pending: BTreeSet<String> = RESTART
        .iter()
        .filter(|it| **it != "database.auto_migrate")
        .map(|it| (*it).to_owned())
        .collect();
    assert_eq!(keys(&report["pending"]), pending, "{report}");
    assert_eq!(keys(&report["changed"]), BTreeSet::new(), "{report}");

    // The old values run on.
    let config = ask(daemon.api(Method::GET, "/config")).await.body;
    assert_eq!(values(&config), before);
    assert_eq!(keys(&config["pending"]), pending);
    assert!(try_ask(daemon.http.get(format!("http://127.0.0.1:{port}/healthz"))).await.is_none());
    assert_eq!(threads(&daemon, "actix"), http_threads);
    assert!(!directory.join("other.db").exists());
    assert!(!last_line(&daemon).starts_with('{'), "{}", last_line(&daemon));
    let many = rounds(&daemon, daemon.port()).await;
    assert!(many > 4, "{many} changes");

    // Back to A, nothing is pending; and again to B.
    daemon.configure(A);
    assert_eq!(keys(&reload(&daemon).await.body["pending"]), BTreeSet::new());
    daemon.configure(&b);
    assert_eq!(keys(&reload(&daemon).await.body["pending"]), pending);

    // After a restart the new values run.
    daemon.terminate();
    daemon.wait(PATIENCE).await;
    daemon.set_until(Until::Started);
    daemon.start_again().await;
    let url = format!("http://127.0.0.1:{port}/api/v1/config");
    let config = eventually(PATIENCE, async || {
        let answer = try_ask(daemon.http.get(&url).bearer_auth(daemon.admin_token())).await?;
        (answer.status == 200).then_some(answer.body)
    })
    .await;
    assert_eq!(keys(&config["pending"]), BTreeSet::new());
    let after = values(&config);
    for key in &pending {
        assert_ne!(after.get(key), before.get(key), "{key}");
    }
    assert!(try_ask(daemon.get("/healthz")).await.is_none(), "the old port");
    assert_eq!(threads(&daemon, "actix"), http_threads + 3);
    assert!(last_line(&daemon).starts_with('{'), "{}", last_line(&daemon));
    assert!(directory.join("other.db").exists());
    let few = rounds(&daemon, port).await;
    assert!(few <= 3, "{few} changes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrations_are_left_to_a_person_from_the_next_start_on() {
    let mut daemon = Place::sqlite().start("").await;
    daemon.configure("[database]\nauto_migrate = false\nurl = \"sqlite://other.db\"\n");
    let report = reload(&daemon).await.body;
    let both = ["database.auto_migrate", "database.url"].map(str::to_owned);
    assert_eq!(keys(&report["pending"]), BTreeSet::from(both), "{report}");
    daemon.terminate();
    daemon.wait(PATIENCE).await;
    daemon.set_until(Until::Started);
    daemon.start_again().await;
    let ended = daemon.ended_within(PATIENCE).await.expect("it does not start");
    assert_eq!(ended.code(), Some(1), "{}", daemon.log());
    assert!(daemon.log().contains("migrate up"), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_filter_applies_at_once() {
    const A: &str = "[telemetry]\nlog = \"warn\"\n";
    let mut daemon = Place::sqlite().start(A).await;
    for (config, is_logged) in [
        ("[telemetry]\nlog = \"info\"\n", true),
        (A, false),
        ("[telemetry]\nlog = \"info\"\n", true),
    ] {
        daemon.configure(config);
        assert_eq!(reload(&daemon).await.status, 200);
        let before = daemon.log().matches("configuration unchanged").count();
        assert_eq!(reload(&daemon).await.field("outcome"), "unchanged");
        let after = daemon.log().matches("configuration unchanged").count();
        assert_eq!(after > before, is_logged, "{config}: {}", daemon.log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_waits_as_long_as_the_configuration_says_then() {
    let with = |timeout: &str| {
        format!("[server]\nshutdown_timeout = \"{timeout}\"\n[[clients]]\nid = \"a\"\n")
    };
    let options = Options { has_own_kinds: true, ..Place::sqlite().options(&with("60s")) };
    let mut daemon = Daemon::start(options).await;
    let peek = Peek::of(&daemon).await;
    let runs = async |daemon: &Daemon, job: &str| {
        let look = async || {
            let actors = ask(daemon.api(Method::GET, "/actors")).await;
            actors.items().iter().any(|it| it["job_id"] == job).then_some(())
        };
        eventually(PATIENCE, look).await;
    };
    // It would wait for a minute, and does not.
    daemon.configure(&with("100ms"));
    assert_eq!(reload(&daemon).await.status, 200);
    peek.put_job(1, "LINGERS", "a", 3).await;
    runs(&daemon, "1").await;
    daemon.terminate();
    let ended = daemon.ended_within(Duration::from_secs(20)).await;
    assert_eq!(ended.expect("it does not wait").code(), Some(0));
    // It would not wait, and waits for a job of more than a second.
    daemon.start_again().await;
    daemon.configure(&with("60s"));
    assert_eq!(reload(&daemon).await.status, 200);
    peek.put_job(2, "BESIDE", "a", 1).await;
    runs(&daemon, "2").await;
    daemon.terminate();
    daemon.wait(PATIENCE).await;
    let outcomes = peek.texts("select outcome from job_attempts where job_id = 2").await;
    assert_eq!(outcomes, ["succeeded"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_begins_and_ends_at_once() {
    let mut daemon = Place::sqlite().start("").await;
    for (name, text) in [("cert.pem", CERT), ("key.pem", KEY)] {
        let path = daemon.directory().join(name);
        let file = fs::File::options().write(true).create_new(true).mode(0o600).open(path);
        file.and_then(|mut it| it.write_all(text.as_bytes())).unwrap();
    }
    let cert = reqwest::Certificate::from_pem(CERT.as_bytes()).unwrap();
    let builder = || http_builder().pool_max_idle_per_host(0);
    let clear = builder().build().unwrap();
    let https = builder().tls_certs_only([cert]).build().unwrap();
    let port = daemon.port();
    let is_alive = async |client: &reqwest::Client, scheme: &str| {
        let answer = try_ask(client.get(format!("{scheme}://127.0.0.1:{port}/healthz"))).await;
        answer.is_some_and(|it| it.status == 200)
    };
    let tls = "server.tls = { cert = \"cert.pem\", key = \"key.pem\" }\n";
    for (config, in_clear) in [(tls, false), ("# no TLS\n", true), (tls, false)] {
        daemon.configure(config);
        daemon.signal("HUP");
        eventually(PATIENCE, async || {
            let seen = (is_alive(&clear, "http").await, is_alive(&https, "https").await);
            (seen == (in_clear, !in_clear)).then_some(())
        })
        .await;
    }
}

/// Keeps its thread until the test ends.
struct Keeps;

static IS_OVER: AtomicBool = AtomicBool::new(false);

impl JobHandler for Keeps {
    const KIND: JobKind = JobKind("KEEPS");

    async fn handle(&self, _: &Job) -> Outcome {
        while !IS_OVER.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
        Outcome::Done(Vec::new())
    }
}

/// Starts a daemon that may lose `at_start` threads, changes that to `then`, and loses one thread.
async fn lose_a_thread(at_start: u32, then: u32) -> Inside {
    let base = "[supervisor]\ntick = \"50ms\"\nheartbeat = \"50ms\"\nlease = \"400ms\"\n\
        [pools.KEEPS]\nsize = 2\ntimeout = \"100ms\"\n[[clients]]\nid = \"a\"\n";
    let with = |most: u32| format!("restart.max_lost_threads = {most}\n");
    let registry = Registry::default().kind(|_| Keeps);
    let daemon =
        Inside::start(&Place::sqlite(), &format!("{}{base}", with(at_start)), registry).await;
    daemon.may_leave(Leftover::Stuck, "a handler keeps its thread");
    daemon.may_leave(Leftover::Panic, "its slot is replaced");
    daemon.may_leave(Leftover::Unfinished, "a daemon that has given up works nothing");
    daemon.reload(&with(then)).await;
    assert_eq!(daemon.config.get().restart.max_lost_threads, usize::try_from(then).unwrap());
    daemon.enqueue(Keeps::KIND, "a", 1).await;
    let lost = async || (daemon.board.lost_threads() == 1).then_some(());
    eventually(PATIENCE, lost).await;
    daemon
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_threads_that_may_be_lost_applies_at_once() {
    let strict = lose_a_thread(8, 1).await;
    let given_up = tokio::time::timeout(PATIENCE, strict.board.given_up()).await;
    assert_eq!(given_up.expect("it gives up"), Fatal::LostThreads);
    let lenient = lose_a_thread(1, 8).await;
    assert!(lenient.board.given_up().now_or_never().is_none(), "one of eight threads is lost");
    IS_OVER.store(true, Ordering::Relaxed);
}
