//! How long pages take on a database that has grown: `just pages` prints the table that
//! `docs/PERFORMANCE.md` keeps. It measures, and asserts only that all pages answer.

use super::browse;
use crate::{
    store::tools::{instant, numbers_from},
    support::{
        daemon::{Daemon, Options},
        fixture::Fixture,
        leftovers::Leftover,
    },
};
use std::{
    fmt::Write,
    path::Path,
    process::{Command, Stdio},
};
use tokio::time::Instant;

const CLIENTS: i64 = 1_000;
/// `FIGURES_ROWS` changes it: leads, messages, and jobs that ended. A tenth as many drafts wait.
const ROWS: i64 = 1_000_000;
/// Rows a statement.
const STEP: i64 = 100_000;
const LOADS: usize = 200;

fn rows() -> i64 {
    std::env::var("FIGURES_ROWS").map_or(ROWS, |it| it.parse().expect("a number of rows"))
}

/// Fills the tables of leads, messages and ended jobs with so many rows each, and others with a
/// part of that.
async fn fill(db: &Fixture, rows: i64) {
    let (yes, no) = if db.is_sqlite() { ("1", "0") } else { ("true", "false") };
    let at = format!("{} + n * 60", instant(db, 0));
    let at = if db.is_sqlite() {
        format!("({at} - {rows} * 60)")
    } else {
        format!("({} - ({rows} - n) * interval '60 milliseconds')", instant(db, 0))
    };
    let client = format!("'c' || (n % {CLIENTS})");
    let kind = "case when n % 1000 = 7 then 'LINKEDIN_INBOUND_POST_PROCESS' else 'SMS_INBOUND_POST_PROCESS' end";
    let tables = [
        (
            "leads (id, client_id, status, first_name, last_name, email, created_at, last_message_at)",
            format!("n, {client}, 'new', 'First' || n, 'Last' || n, n || '@x.example', {at}, {at}"),
            1,
        ),
        (
            "lead_identities (client_id, kind, value, lead_id)",
            format!("{client}, 'phone', '+1555' || (1000000 + n), n"),
            1,
        ),
        (
            "messages (id, client_id, lead_id, channel, direction, source, body, has_new_text, sender, recipients, cc, \
               attachments, automated, request_id, sent_at, created_at)",
            format!(
                "n, {client}, n, 'sms', 'inbound', 'provider', 'Yes, what does it cost? ' || n, {yes}, \
                 '{{\"value\":\"+1555' || n || '\"}}', '[]', '[]', '[]', {no}, 'r' || n, {at}, {at}"
            ),
            1,
        ),
        (
            "message_keys (client_id, channel, kind, key, message_id, first_seen)",
            format!("{client}, 'sms', 'reply', 'key ' || n, n, {at}"),
            1,
        ),
        (
            "jobs (id, kind, client_id, lead_id, subject_id, message_id, max_attempts, run_at, created_at)",
            format!("n, {kind}, {client}, n, n, n, 5, {at}, {at}"),
            1,
        ),
        (
            "job_attempts (job_id, run, spared, outcome, ended, finished_at, error)",
            format!(
                "n, 1, 0, case when n % 20 = 3 then 'failed' else 'succeeded' end, {yes}, {at}, \
                 case when n % 20 = 3 then 'the provider answered ' || (500 + n % 4) end"
            ),
            1,
        ),
        (
            "drafts (id, client_id, lead_id, message_id, channel, status, body, parts, created_at)",
            format!(
                "n, {client}, n, n, 'sms', 'pending', 'Thank you. It costs 20 a month.', '[]', {at}"
            ),
            10,
        ),
        (
            "deliveries (id, client_id, lead_id, draft_id, message_id, channel, status, text_key, provider_id, created_at, job_id)",
            format!(
                "n, {client}, n, n, n, 'sms', case when n % 1000 = 0 then 'uncertain' else 'sent' end, 'k' || n, 'p' || n, {at}, n"
            ),
            10,
        ),
        (
            "quarantine (id, client_id, channel, body_hash, reason, status, count, payload, request_id, received_at, last_received_at)",
            format!(
                "n, {client}, 'sms', 'h' || n, 'unknown_event', 'held', 1, '{{}}', 'q' || n, {at}, {at}"
            ),
            100,
        ),
        (
            "audit (id, happened_at, actor, via, action, target)",
            format!("n, {at}, 'dana', 'command', 'pool.override', 'target ' || n"),
            10,
        ),
    ];
    for first in (1..=rows).step_by(usize::try_from(STEP).unwrap()) {
        let numbers = numbers_from(db, first, (first + STEP - 1).min(rows));
        for (table, values, every) in &tables {
            db.execute(&format!(
                "insert into {table} select {values} from {numbers} where n % {every} = 0"
            ))
            .await;
        }
    }
    // Jobs of a tenth wait in turn.
    let first = rows + 1;
    let numbers = numbers_from(db, first, first + rows / 10);
    let waits = format!("n, 'SMS_INBOUND_POST_PROCESS', {client}, 1, n, 1, 5, {at}, {at}");
    db.execute(&format!(
        "insert into jobs (id, kind, client_id, lead_id, subject_id, message_id, max_attempts, run_at, created_at) \
         select {waits} from {numbers}"
    ))
    .await;
    db.execute(&format!(
        "insert into job_ready (line, job_id, kind, client_id, turn) select -n, n, 'SMS_INBOUND_POST_PROCESS', {client}, n from {numbers}"
    ))
    .await;
    let counts = [("succeeded", rows - rows / 20), ("failed", rows / 20), ("pending", rows / 10)];
    for (state, count) in counts {
        db.execute(&format!(
            "insert into job_counts (node, kind, state, count) values (0, 'SMS_INBOUND_POST_PROCESS', '{state}', {count})"
        ))
        .await;
    }
}

/// The pages, and those of one thing in the middle of the `rows`.
pub fn pages(rows: i64) -> Vec<String> {
    let some = rows / 2;
    let fixed = [
        "/",
        "/inbox",
        "/inbox?view=all",
        "/inbox?view=attention",
        "/inbox?view=snoozed",
        "/inbox?client=c7",
        "/jobs",
        "/jobs?status=failed",
        "/jobs?status=failed&group=error",
        "/jobs?kind=LINKEDIN_INBOUND_POST_PROCESS&client=c7",
        "/pools",
        "/actors",
        "/received",
        "/received?client=c7",
        "/received?tab=quarantine",
        "/deliveries",
        "/deliveries?status=uncertain",
        "/clients",
        "/clients/c7",
        "/config",
        "/system",
        "/audit",
    ];
    let mut pages: Vec<String> = fixed.map(str::to_owned).to_vec();
    pages.extend([
        format!("/leads/{some}"),
        format!("/jobs/{some}"),
        format!("/deliveries/{some}"),
        format!("/quarantine/{some}"),
        format!("/messages/{some}"),
        format!("/received?lead={some}"),
        format!("/received?q=%2B1555{}", 1_000_000 + some),
        format!("/search?q=%2B1555{}", 1_000_000 + some),
    ]);
    pages
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "fills a million rows and measures; run by `just pages`"]
async fn by_hand_pages_of_a_database_that_has_grown_sqlite() {
    measure(Fixture::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "fills a million rows and measures; run by `just pages`"]
async fn by_hand_pages_of_a_database_that_has_grown_postgres() {
    if let Some(db) = Fixture::postgres().await {
        measure(db).await;
    }
}

/// A daemon that runs no jobs, on a database that is filled with so many rows.
pub async fn start(db: &Fixture, rows: i64) -> Daemon {
    db.may_leave(Leftover::Anything, "each table is filled by itself");
    fill(db, rows).await;
    let clients: String = (0..CLIENTS)
        .map(|it| format!("[[clients]]\nid = \"c{it}\"\n[clients.channels.sms]\n"))
        .collect();
    let options = Options {
        config: clients,
        database_url: Some(db.config.database.url.to_string()),
        args: vec!["--role".to_owned(), "ingest".to_owned()],
        ..Options::default()
    };
    let daemon = Daemon::start(options).await;
    daemon.may_leave(Leftover::Anything, "its jobs are rows of this test");
    daemon
}

async fn measure(db: Fixture) {
    let daemon = start(&db, rows()).await;
    let mut table = String::from("| page | p50 | p95 | bytes |\n|---|---|---|---|\n");
    for path in pages(rows()) {
        let (mut times, mut bytes) = (Vec::new(), 0);
        for _ in 0..LOADS {
            let started = Instant::now();
            let answer = browse(&daemon, &path).send().await.unwrap();
            let status = answer.status();
            bytes = answer.bytes().await.unwrap().len();
            assert!(status.is_success(), "{path}: {status}");
            times.push(started.elapsed());
        }
        times.sort_unstable();
        let at = |share: usize| times[LOADS * share / 100];
        writeln!(table, "| `{path}` | {:.1?} | {:.1?} | {bytes} |", at(50), at(95)).unwrap();
    }
    eprintln!(
        "{} rows on {}\n{table}",
        rows(),
        if db.is_sqlite() { "SQLite" } else { "PostgreSQL" }
    );
    paint(&daemon);
}

/// Prints when a browser first shows something of each page, where there is one.
fn paint(daemon: &Daemon) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    if !folder.join("node_modules").exists() {
        eprintln!("first paint was not measured: `npm ci` was not run in tests/browser");
        return;
    }
    let status = Command::new("node")
        .args(["paint.mjs", &daemon.url("")])
        .arg(daemon.admin_token())
        .args(pages(rows()))
        // What the browser tests share starts daemons with it.
        .env("POSTROOM", env!("CARGO_BIN_EXE_postroom"))
        .current_dir(folder)
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}
