//! A file that is wrong changes nothing, and everybody can see why.

use super::{
    PROMPT, SOON, config, config_check, metric, reload, reload_command, reloads, runs_soon, value,
};
use crate::support::{
    both::Place,
    daemon::{Daemon, Options},
    eventually,
    inside::Inside,
    leftovers::Leftover,
    web::{ask, sms},
};
use postroom::{registry, telemetry::board::Fatal};
use serde_json::Value;
use std::{fs, time::Duration};
use tokio::time::Instant;

const GOOD: &str = "[ingest]\nqueue = 100\n";
const WRONG: &str = "# one\n[ingest]\nqueue = 0\n";

/// The text of an answer or a log that says where the fault is.
fn names_the_fault(text: &str) -> bool {
    ["test.toml:3", "ingest.queue", "1 to 1000000"].iter().all(|part| text.contains(part))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_file_is_refused_once_and_shows_everywhere_until_it_is_mended() {
    let mut daemon = Daemon::start(Options { config: GOOD.to_owned(), ..Options::default() }).await;
    assert_eq!(config_check(&daemon).await["ok"], true);
    let loaded = metric(&daemon, "config_last_reload_success_timestamp_seconds").await;
    let written = Instant::now();
    daemon.configure(WRONG);
    let refused = async || (reloads(&daemon, "refused").await == 1).then(|| written.elapsed());
    let after = eventually(SOON + Duration::from_secs(1), refused).await;
    assert!(after >= Duration::from_secs(1), "half a file might look the same: {after:?}");
    // The old one runs, and the new one shows.
    assert_eq!(value(&daemon, "ingest.queue").await.as_deref(), Some("100"));
    let check = config_check(&daemon).await;
    let detail = check["detail"].as_str().unwrap();
    assert!(check["ok"] == false && detail.starts_with("refused at "), "{check}");
    assert!(detail.contains("running with that of "), "{check}");
    assert!(metric(&daemon, "config_last_reload_successful").await.abs() < 0.1);
    let still = metric(&daemon, "config_last_reload_success_timestamp_seconds").await;
    assert!((still - loaded).abs() < 0.001);
    assert!(names_the_fault(&daemon.log()), "{}", daemon.log());
    let last = config(&daemon).await["last_reload"].clone();
    assert_eq!(last["outcome"], "refused");
    let error = &last["errors"][0];
    assert!(error["file"].as_str().unwrap().ends_with("test.toml"), "{error}");
    assert_eq!((&error["line"], &error["key"]), (&3.into(), &"ingest.queue".into()), "{error}");
    // Asking tells it, too: as a problem, and as a command that fails.
    let answer = reload(&daemon).await;
    answer.is_problem(422, "config-refused");
    assert!(names_the_fault(answer.field("detail")), "{answer:?}");
    assert_eq!(answer.body["field"], "ingest.queue");
    assert_eq!(answer.body["report"]["errors"][0]["line"], 3, "{answer:?}");
    let output = reload_command(&daemon, &[]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(names_the_fault(&told) && output.stdout.is_empty(), "{told}");
    let output = reload_command(&daemon, &["--json"]);
    assert_eq!(output.status.code(), Some(2));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["outcome"], "refused", "{report}");
    // Mended to what runs: all is well again, and nothing was applied.
    daemon.configure(GOOD);
    let is_well = async || (config_check(&daemon).await["ok"] == true).then_some(());
    eventually(SOON, is_well).await;
    assert!(metric(&daemon, "config_last_reload_successful").await > 0.9);
    assert_eq!(reloads(&daemon, "applied").await, 0);
    // The next right file applies.
    daemon.configure("[ingest]\nqueue = 200\n");
    runs_soon(&daemon, "ingest.queue", "200").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_emptied_is_refused_and_what_it_said_runs_on() {
    let daemon = Daemon::start(Options { config: GOOD.to_owned(), ..Options::default() }).await;
    fs::write(daemon.directory().join("test.toml"), "").unwrap();
    eventually(PROMPT, async || (reloads(&daemon, "refused").await == 1).then_some(())).await;
    assert_eq!(value(&daemon, "ingest.queue").await.as_deref(), Some("100"));
    assert!(daemon.log().contains("test.toml: is empty"), "{}", daemon.log());
    fs::write(daemon.directory().join("test.toml"), "# nothing\n").unwrap();
    runs_soon(&daemon, "ingest.queue", "4096").await;
}

/// Without the tuner, no reload, override or expiry would come any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tuner_that_panics_ends_the_process() {
    let daemon = Inside::start(&Place::sqlite(), GOOD, registry::postroom()).await;
    daemon.may_leave(Leftover::Panic, "the tuner");
    daemon.board.faults().arm("tuner.reload", 1);
    let answer = ask(daemon.request(reqwest::Method::POST, "/config/reload")).await;
    answer.is_problem(429, "draining");
    let given_up = tokio::time::timeout(SOON, daemon.board.given_up()).await;
    assert_eq!(given_up.expect("it gives up"), Fatal::Tuner);
    let ready = daemon.get("/readyz").await;
    assert_eq!(ready.body["checks"]["config"]["ok"], false, "{ready:?}");
}

/// The log filter is no rule of the configuration, and can refuse it all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_prepared_is_refused_with_its_place() {
    let mut daemon = Daemon::start(Options { config: GOOD.to_owned(), ..Options::default() }).await;
    daemon.configure("[ingest]\nqueue = 7\n[telemetry]\nlog = \"info,x=loud\"\n");
    let answer = reload(&daemon).await;
    answer.is_problem(422, "config-refused");
    assert!(answer.field("detail").contains("test.toml:4"), "{answer:?}");
    assert_eq!(value(&daemon, "ingest.queue").await.as_deref(), Some("100"));
}

/// A daemon that others can reach keeps its address until a restart, whatever the file says. So the
/// file must not open channels as if only this machine could reach it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loopback_address_in_a_changed_file_opens_no_channel() {
    let config = |bind: &str, channel: &str| {
        format!(
            "[server]\nbind = \"{bind}\"\n[[clients]]\nid = \"acme\"\nchannels.sms = {channel}\n"
        )
    };
    // Only its configuration says so: it listens on loopback, as all daemons of the tests.
    let closed = config("0.0.0.0:8080", "{ secret = \"the-secret-of-acme\" }");
    let daemon = Inside::start(&Place::sqlite(), &closed, registry::postroom()).await;
    daemon.configure(&config("127.0.0.1:8080", "{}"));
    let answer = ask(daemon.request(reqwest::Method::POST, "/config/reload")).await;
    answer.is_problem(422, "config-refused");
    let detail = answer.field("detail");
    assert!(detail.contains("clients.acme.channels.sms"), "{detail}");
    assert!(detail.contains("keeps `server.bind` until it is restarted"), "{detail}");
    let post = ask(daemon.webhook("sms", "acme").json(&sms(1, "What does it cost?"))).await;
    assert_eq!(post.status, 401, "{post:?}");
    // With its secret, the rest applies, and the address waits.
    daemon.configure(&config("127.0.0.1:8080", "{ secret = \"another-secret-of-acme\" }"));
    let answer = ask(daemon.request(reqwest::Method::POST, "/config/reload")).await;
    assert_eq!(answer.outcome(), "applied", "{answer:?}");
    assert_eq!(answer.body["pending"][0]["key"], "server.bind", "{answer:?}");
}
