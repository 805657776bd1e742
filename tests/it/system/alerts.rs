//! The rules of `ops/alerts.yaml` and the page for operators name metrics that a daemon exports.

use crate::support::{both::Place, eventually, web::ask};
use postroom::telemetry::metrics::{JOB_OUTCOMES, WEBHOOK_OUTCOMES};
use std::{collections::BTreeSet, fs, path::Path, time::Duration};

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The words of a text that are names of metrics.
fn metrics(text: &str) -> BTreeSet<&str> {
    text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_')
        .filter(|word| word.starts_with("postroom_") || word.starts_with("process_"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_that_is_named_is_exported() {
    let daemon = Place::sqlite().start("").await;
    let (alerts, page) = (file("ops/alerts.yaml"), file("docs/OPERATIONS.md"));
    let named: BTreeSet<&str> = metrics(&alerts).union(&metrics(&page)).copied().collect();
    assert!(named.len() > 8, "{named:?}");
    // Pools start right after the daemon is ready.
    eventually(Duration::from_secs(10), async || {
        let text = ask(daemon.get("/metrics")).await.text;
        let missing = |name: &&&str| {
            let is_there = |line: &str| {
                line.strip_prefix(**name).is_some_and(|rest| rest.starts_with(['{', ' ', '_']))
            };
            !text.lines().any(is_there)
        };
        let missing: Vec<&&str> = named.iter().filter(missing).collect();
        missing.is_empty().then_some(()).or_else(|| {
            eprintln!("not exported: {missing:?}");
            None
        })
    })
    .await;
}

/// GitHub's anchor of a heading.
fn anchor(heading: &str) -> String {
    heading.trim().to_lowercase().replace(' ', "-")
}

#[test]
fn every_alert_has_a_section_of_the_page() {
    let (alerts, page) = (file("ops/alerts.yaml"), file("docs/OPERATIONS.md"));
    let headings = page.lines().filter_map(|line| line.strip_prefix("### "));
    let anchors: BTreeSet<String> = headings.map(anchor).collect();
    for wanted in [
        "down",
        "refusing-webhooks",
        "jobs-late",
        "canary-stale",
        "ledger-broken",
        "jobs-failing",
        "sends-uncertain",
        "drafts-wait",
        "not-understood",
        "config-refused",
    ] {
        assert!(anchors.contains(wanted), "no section `{wanted}`: {anchors:?}");
    }
    let rules = alerts.lines().filter(|line| line.trim_start().starts_with("- alert:")).count();
    let links: Vec<&str> = alerts
        .lines()
        .filter_map(|line| line.split_once("OPERATIONS.md#"))
        .map(|it| it.1)
        .collect();
    assert_eq!(links.len(), rules, "each rule has its page");
    let outcomes = alerts.split("outcome=").skip(1).filter_map(|rest| rest.split('"').nth(1));
    for outcome in outcomes.flat_map(|it| it.split('|')) {
        let is_known = [&JOB_OUTCOMES[..], &WEBHOOK_OUTCOMES[..]].concat().contains(&outcome);
        assert!(is_known, "nothing is counted as `{outcome}`");
    }
    for link in links {
        assert!(anchors.contains(link), "no section `{link}`");
    }
}
