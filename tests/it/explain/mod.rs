//! Why jobs do not run and leads are not answered: each reason, as a running daemon gives it.

mod commands;
mod here;
mod leads;
mod stored;

use crate::support::{eventually, inside::Inside};
use postroom::{
    domain::{Id, Job, JobKind, Outcome},
    handlers::JobHandler,
    registry::Registry,
};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

const PATIENCE: Duration = Duration::from_secs(60);

/// Does what the name of its client says.
struct Acts;

const ACTS: JobKind = JobKind("ACTS");

impl JobHandler for Acts {
    const KIND: JobKind = ACTS;

    async fn handle(&self, job: &Job) -> Outcome {
        match job.client_id.as_str() {
            "fails" => Outcome::Retry("no route to the analyst".to_owned()),
            "snoozes" => Outcome::Snooze(Duration::from_secs(3_600)),
            "postpones" => Outcome::Postpone(Duration::from_secs(3_600)),
            "panics" => panic!("as ever"),
            _ => Outcome::Done(Vec::new()),
        }
    }
}

/// Ends when the test lets it.
struct Waits(Arc<Semaphore>);

const WAITS: JobKind = JobKind("WAITS");

impl JobHandler for Waits {
    const KIND: JobKind = WAITS;

    async fn handle(&self, _: &Job) -> Outcome {
        if let Ok(permit) = self.0.acquire().await {
            permit.forget();
        }
        Outcome::Done(Vec::new())
    }
}

/// Both kinds, and what lets jobs of [`WAITS`] end.
fn kinds() -> (Registry, Arc<Semaphore>) {
    let release = Arc::new(Semaphore::new(0));
    let waits = release.clone();
    (Registry::default().kind(|_| Acts).kind(move |_| Waits(waits.clone())), release)
}

/// Clients of these names, with a channel.
fn clients(names: &[&str]) -> String {
    let client = |name: &&str| format!("[[clients]]\nid = \"{name}\"\n[clients.channels.sms]\n");
    names.iter().map(client).collect()
}

async fn explained(daemon: &Inside, id: Id) -> Value {
    let answer = daemon.api(&format!("/jobs/{id}/explain")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

/// Waits until a job is explained by `reason`, and returns the explanation.
#[track_caller]
fn explained_as(daemon: &Inside, id: Id, reason: &'static str) -> impl Future<Output = Value> {
    eventually(PATIENCE, async move || {
        let explanation = explained(daemon, id).await;
        (explanation["reason"] == reason).then_some(explanation)
    })
}

/// Checks that a sentence has these parts.
#[track_caller]
fn says(explanation: &Value, parts: &[&str]) {
    let sentence = explanation["sentence"].as_str().expect("a sentence");
    for part in parts {
        assert!(sentence.contains(part), "`{part}` is not in: {sentence}");
    }
}

/// The value of a fact; `Null` if there is no such fact.
fn fact(explanation: &Value, name: &str) -> Value {
    let facts = explanation["facts"].as_array().expect("facts");
    let found = facts.iter().find(|fact| fact["name"] == name);
    found.map(|fact| fact["value"].clone()).unwrap_or_default()
}

/// The ids of the links of a type.
fn links(explanation: &Value, of_type: &str) -> Vec<String> {
    let links = explanation["links"].as_array().expect("links");
    let found = links.iter().filter(|link| link["type"] == of_type);
    found.map(|link| link["id"].as_str().expect("an id").to_owned()).collect()
}
