//! The rules of `ops/alerts.yaml`, the dashboard of `ops/grafana.json` and the page for operators
//! name metrics that a daemon exports from its start.

use super::promtool;
use crate::support::{both::Place, web::ask};
use postroom::telemetry::metrics::{JOB_OUTCOMES, WEBHOOK_OUTCOMES};
use std::{collections::BTreeSet, fs, path::Path};

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The words of a text that are names of metrics.
fn metrics(text: &str) -> BTreeSet<&str> {
    text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_')
        .filter(|word| word.starts_with("postroom_") || word.starts_with("process_"))
        .collect()
}

/// The names of a scrape: those of its series, and those of its families. The series of a histogram
/// have longer names than the histogram.
fn exported(text: &str) -> BTreeSet<&str> {
    text.lines()
        .filter_map(|line| match line.strip_prefix('#') {
            None => Some(line),
            Some(comment) => comment.strip_prefix(" TYPE "),
        })
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect()
}

#[test]
fn a_shortened_name_is_not_exported() {
    let text = "# TYPE postroom_page_seconds histogram\n\
        postroom_page_seconds_count{page=\"jobs\"} 1\npostroom_leader 1\n";
    let names = ["postroom_leader", "postroom_page_seconds", "postroom_page_seconds_count"];
    assert_eq!(exported(text), BTreeSet::from(names));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_that_is_named_is_exported() {
    let daemon = Place::sqlite().start("").await;
    let files = ["ops/alerts.yaml", "ops/grafana.json", "docs/OPERATIONS.md"].map(file);
    let named: BTreeSet<&str> = files.iter().flat_map(|text| metrics(text)).collect();
    assert!(named.len() > 50, "{named:?}");
    let text = ask(daemon.get("/metrics")).await.text;
    let exported = exported(&text);
    let missing: Vec<&&str> = named.difference(&exported).collect();
    assert!(missing.is_empty(), "not exported: {missing:?}\n{text}");
    // And the other way round: what is exported is drawn.
    let drawn = metrics(&files[1]);
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let of_us = names.filter(|name| name.starts_with("postroom_"));
    let hidden: Vec<&str> = of_us
        .filter(|name| {
            !drawn.iter().any(|it| it == name || it.strip_suffix("_bucket") == Some(name))
        })
        .collect();
    assert_eq!(hidden, NOT_DRAWN, "not in the dashboard");
}

/// What the dashboard leaves out.
const NOT_DRAWN: &[&str] = &["postroom_connections_ended_total", "postroom_http_malformed_total"];

#[test]
fn prometheus_takes_the_rules() {
    let Some(mut promtool) = promtool() else { return };
    let output = promtool.args(["check", "rules", "ops/alerts.yaml"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// What Prometheus makes of the rules: each fires when it should.
#[test]
#[ignore = "long: `just long`"]
fn each_rule_fires_on_what_it_is_for() {
    let Some(mut promtool) = promtool() else { return };
    let output =
        promtool.args(["test", "rules", "tests/it/system/alerts_fire.yaml"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Each rule is in it.
    let (rules, fired) = (file("ops/alerts.yaml"), file("tests/it/system/alerts_fire.yaml"));
    for rule in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(fired.contains(&format!("alertname=\"{rule}\"")), "{rule} is not tested");
    }
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
