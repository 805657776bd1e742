//! A running daemon follows its configuration.

mod applied;
mod commands;
mod effects;
mod effects_of_jobs;
mod effects_of_sending;
mod files;
mod keys;
mod refused;
mod starts;

use crate::support::{
    daemon::Daemon,
    eventually,
    web::{Answer, ask},
};
use reqwest::Method;
use serde_json::Value;
use std::{path::Path, process::Output, time::Duration};

/// How long a change may take until it runs.
const SOON: Duration = Duration::from_secs(2);
/// How long other things may take.
const PROMPT: Duration = Duration::from_secs(20);

/// `GET /config`.
async fn config(daemon: &Daemon) -> Value {
    let answer = ask(daemon.api(Method::GET, "/config")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

/// The value of a key that runs, in TOML.
async fn value(daemon: &Daemon, key: &str) -> Option<String> {
    let config = config(daemon).await;
    let values = config["values"].as_array().unwrap();
    let value = values.iter().find(|value| value["key"] == key)?;
    Some(value["value"].as_str().unwrap().to_owned())
}

/// Waits until that value runs.
async fn runs_soon(daemon: &Daemon, key: &str, expected: &str) {
    let runs = async || (value(daemon, key).await.as_deref() == Some(expected)).then_some(());
    eventually(SOON, runs).await;
}

/// `POST /config/reload`.
async fn reload(daemon: &Daemon) -> Answer {
    ask(daemon.api(Method::POST, "/config/reload")).await
}

/// Makes the daemon read a file that was changed. It may have read it by itself by then.
async fn reads_the_change(daemon: &Daemon) {
    let report = reload(daemon).await;
    assert!(matches!(report.outcome(), "applied" | "unchanged"), "{report:?}");
}

/// A metric without its prefix.
async fn metric(daemon: &Daemon, name: &str) -> f64 {
    let text = ask(daemon.get("/metrics")).await.text;
    let start = format!("postroom_{name} ");
    let number = text.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok());
    number.unwrap_or_else(|| panic!("no `{name}` in {text}"))
}

/// How many reloads had that outcome.
async fn reloads(daemon: &Daemon, outcome: &str) -> u64 {
    metric(daemon, &format!("config_reloads_total{{outcome=\"{outcome}\"}}")).await as u64
}

/// The check `config` of `/readyz`, which has to be ready.
async fn config_check(daemon: &Daemon) -> Value {
    let answer = ask(daemon.get("/readyz")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["checks"]["config"].clone()
}

/// Runs `postroom reload` for this daemon.
fn reload_command(daemon: &Daemon, args: &[&str]) -> Output {
    let (url, token) = (daemon.url(""), daemon.admin_token());
    std::process::Command::new(Path::new(env!("CARGO_BIN_EXE_postroom")))
        .args(["reload", "--url", &url])
        .args(args)
        .env("POSTROOM_TOKEN", token)
        .env("NO_PROXY", "127.0.0.1")
        .current_dir(daemon.directory())
        .output()
        .unwrap()
}
