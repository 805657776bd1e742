//! All metrics are there from the first scrape on, under their names, and in a bounded number of
//! series.

use super::promtool;
use crate::{
    on_both_daemons,
    support::{
        both::{Peek, Place},
        eventually,
        leftovers::Leftover,
        proxy::Way,
        web::{ask, sms},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::Stdio,
    time::Duration,
};

/// `(name without its prefix, its type, its labels, series of the name itself on a new daemon)`.
const METRICS: &[(&str, &str, &str, usize)] = &[
    ("webhooks_total", "counter", "channel outcome", 5 * 14),
    ("webhook_seconds", "histogram", "channel", 5),
    ("ingest_batch_size", "histogram", "channel", 5),
    ("ingest_queue_depth", "gauge", "channel", 5),
    ("ingest_queue_bytes", "gauge", "", 1),
    ("jobs_total", "counter", "kind outcome", 9 * 11),
    ("jobs_handed_off_total", "counter", "kind", 9),
    ("job_wait_seconds", "histogram", "kind", 9),
    ("job_run_seconds", "histogram", "kind", 9),
    ("jobs_pending", "gauge", "kind", 9),
    ("jobs_running", "gauge", "kind", 9),
    ("oldest_pending_seconds", "gauge", "kind", 9),
    ("pool_size", "gauge", "kind", 9),
    ("pool_busy", "gauge", "kind", 9),
    ("pool_backing_off", "gauge", "kind", 9),
    ("lost_threads", "gauge", "kind", 9),
    ("pool_paused", "gauge", "kind", 9),
    ("pool_override", "gauge", "kind", 9),
    ("actor_restarts_total", "counter", "actor", 7),
    ("rescued_jobs_total", "counter", "", 1),
    ("quarantined_total", "counter", "channel", 5),
    ("quarantine_refused_total", "counter", "channel", 5),
    ("quarantine_held", "gauge", "", 1),
    ("drafts_pending", "gauge", "", 1),
    ("draft_oldest_pending_seconds", "gauge", "", 1),
    ("drafts_total", "counter", "channel status", 5 * 4),
    ("deliveries_total", "counter", "channel outcome", 5 * 3),
    ("deliveries_uncertain", "gauge", "", 1),
    ("accounts_paused", "gauge", "channel", 5),
    ("accounts_disconnected", "gauge", "", 1),
    ("analyst_seconds", "histogram", "provider outcome", 2 * 4),
    ("analyst_tokens_total", "counter", "provider direction", 2),
    ("model_calls_total", "counter", "feature status", 4 * 11),
    ("model_call_seconds", "histogram", "feature", 4),
    ("model_calls_not_kept_total", "counter", "", 1),
    ("canary_seconds", "gauge", "", 1),
    ("canary_last_success_timestamp_seconds", "gauge", "", 1),
    ("ledger_imbalance_jobs", "gauge", "", 1),
    ("config_last_reload_successful", "gauge", "", 1),
    ("config_last_reload_success_timestamp_seconds", "gauge", "", 1),
    ("config_reloads_total", "counter", "outcome", 3),
    ("config_pending_restart_keys", "gauge", "", 1),
    ("database_seconds", "histogram", "purpose outcome", 19 * 2),
    ("database_connections", "gauge", "state", 2),
    ("page_seconds", "histogram", "page", 19),
    ("event_streams", "gauge", "", 1),
    ("trace_spans_dropped_total", "counter", "", 1),
    ("build_info", "gauge", "version commit database", 1),
    ("nodes", "gauge", "role", 3),
    ("leader", "gauge", "", 1),
    ("ready", "gauge", "", 1),
    ("connections", "gauge", "", 1),
    ("connections_refused_total", "counter", "reason", 2),
    ("connections_ended_total", "counter", "reason", 3),
    ("http_malformed_total", "counter", "", 1),
    ("admin_refused_total", "counter", "reason", 6),
];

/// The gauges that each node exports of all nodes.
const OF_ALL_NODES: &[&str] = &[
    "jobs_pending",
    "jobs_running",
    "oldest_pending_seconds",
    "quarantine_held",
    "drafts_pending",
    "draft_oldest_pending_seconds",
    "deliveries_uncertain",
    "accounts_paused",
    "accounts_disconnected",
    "ledger_imbalance_jobs",
    "nodes",
];

/// Fewer than this, so that a fleet of nodes is cheap to keep.
const SERIES_MAX: usize = 2_000;

/// The lines of a scrape that are series: name, labels and value.
fn series(text: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        (name, labels.trim_end_matches('}'), value)
    })
}

/// The names of labels, without the bounds of buckets.
fn label_names(labels: &str) -> BTreeSet<&str> {
    let names = labels.split("\",").filter_map(|label| label.split_once('=')).map(|it| it.0);
    names.filter(|name| *name != "le").collect()
}

on_both_daemons! {
    async fn every_metric_is_there_from_the_first_scrape_on(place: Place) {
        let daemon = place.start("").await;
        let text = ask(daemon.get("/metrics")).await.text;
        let all: Vec<_> = series(&text).collect();
        assert!(all.len() < SERIES_MAX, "{} series", all.len());
        eprintln!("{} series", all.len());
        let headers = |what: &str| -> BTreeMap<&str, &str> {
            text.lines().filter_map(|line| line.strip_prefix(what)?.split_once(' ')).collect()
        };
        let (helps, types) = (headers("# HELP "), headers("# TYPE "));
        for (name, kind, labels, count) in METRICS {
            let name = format!("postroom_{name}");
            assert_eq!(types.get(name.as_str()), Some(kind), "{name}");
            assert!(helps.get(name.as_str()).is_some_and(|help| help.len() > 3), "{name}");
            let sample = match *kind {
                "histogram" => format!("{name}_count"),
                _ => name.clone(),
            };
            let found: Vec<_> = all.iter().filter(|(known, ..)| *known == sample).collect();
            assert_eq!(found.len(), *count, "series of {name}: {found:?}");
            let wanted: BTreeSet<&str> = labels.split_whitespace().collect();
            assert!(found.iter().all(|(_, labels, _)| label_names(labels) == wanted), "{found:?}");
        }
        let known: BTreeSet<String> = METRICS.iter().map(|(name, ..)| format!("postroom_{name}")).collect();
        let others: Vec<&&str> =
            types.keys().filter(|it| it.starts_with("postroom_") && !known.contains(**it)).collect();
        assert!(others.is_empty(), "this test does not know {others:?}");
        for (name, labels, value) in &all {
            for word in ["client", "lead", "address", "path", "model"] {
                assert!(!label_names(labels).contains(word), "{name}");
            }
            // Nothing has happened yet; a canary may have been on its way.
            if name.ends_with("_total") && !labels.contains("SELF_CHECK") && !name.starts_with("process_") {
                assert_eq!(*value, "0", "{name}{{{labels}}}");
            }
        }
        // Each gauge says of what it is, and those of all nodes how they are joined.
        for (name, ..) in METRICS.iter().filter(|(_, kind, ..)| *kind == "gauge") {
            let help = helps[format!("postroom_{name}").as_str()];
            let is_shared = OF_ALL_NODES.contains(name);
            assert_eq!(help.ends_with(": use max, never sum"), is_shared, "{name}: {help}");
            assert_eq!(help.contains("this node"), !is_shared, "{name}: {help}");
        }
    }

    /// A job that is due later, waits for its retry, or waits behind another is pending and not
    /// late.
    async fn the_oldest_job_is_the_one_that_has_been_due_longest(place: Place) {
        let config = "[pools.SMS_INBOUND_POST_PROCESS]\npaused = true\n";
        let daemon = place.start(config).await;
        daemon.may_leave(Leftover::Unfinished, "the pool of text messages is paused");
        for text in ["First.", "Second.", "Third."] {
            let answer = ask(daemon.webhook("sms", "demo").json(&sms(1, text))).await;
            assert_eq!(answer.outcome(), "accepted", "{answer:?}");
        }
        let peek = Peek::of(&daemon).await;
        let since = async |seconds: &str, sql: &str| {
            peek.execute(sql).await;
            let line = |name: &str, value: &str| {
                format!("postroom_{name}{{kind=\"SMS_INBOUND_POST_PROCESS\"}} {value}")
            };
            eventually(Duration::from_secs(20), async || {
                let text = ask(daemon.get("/metrics")).await.text;
                let has = |line: &str| text.lines().any(|it| it.starts_with(line));
                (has(&line("jobs_pending", "3")) && has(&line("oldest_pending_seconds", seconds)))
                    .then_some(())
            })
            .await;
        };
        let ago = |ms: i64| match peek.is_sqlite() {
            true => format!("(cast(unixepoch('subsec') * 1000 as integer) - {ms})"),
            false => format!("(now() - {ms} * interval '1 millisecond')"),
        };
        // In turn for two hours.
        since("72", &format!("update job_ready set due_at = {}", ago(7_200_000))).await;
        // Waits for its retry, which is due in an hour; those behind it are not due.
        let retry = format!("update job_ready set turn = null, due_at = null, run_at = {}", ago(-3_600_000));
        since("0", &retry).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_finds_nothing_to_lint() {
    let Some(mut promtool) = promtool() else { return };
    let daemon = Place::sqlite().start("").await;
    let text = ask(daemon.get("/metrics")).await.text;
    let mut checked = promtool
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    checked.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = checked.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_of_all_nodes_is_missing_while_the_database_is_away() {
    let Some(place) = Place::postgres() else { return };
    let (daemon, proxy) = place.start_behind_proxy("").await;
    let names = ["jobs_pending{", "oldest_pending_seconds{", "drafts_pending ", "nodes{"];
    let are_there = async |wanted: bool| {
        eventually(Duration::from_secs(60), async || {
            let answer = ask(daemon.get("/metrics")).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let has = |name: &str| {
                answer.text.lines().any(|line| line.starts_with(&format!("postroom_{name}")))
            };
            assert!(has("pool_size{") && has("webhooks_total{"), "{}", answer.text);
            // That alone tells Prometheus of it while no webhook comes in.
            let is_ready = has(if wanted { "ready 1" } else { "ready 0" });
            (is_ready && names.iter().all(|name| has(name) == wanted)).then_some(())
        })
        .await;
    };
    are_there(true).await;
    proxy.set(Way::Refused);
    are_there(false).await;
    proxy.set(Way::Open);
    are_there(true).await;
}
