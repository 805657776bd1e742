//! What the statements of the store cost on large tables: a bounded number of pages (PostgreSQL) or
//! steps (SQLite) for each row of a group or a page, whatever the database knows of its tables.

pub(super) mod filled;
mod measured;
mod rows;

use self::{
    filled::{FIRST_ROWS, ROWS, SMALL, fill},
    measured::{Counting, Measured, Prepared, texts},
    rows::{Row, Session, rows},
};
use super::tools::{Left, claim_of, enqueue};
use crate::support::fixture::Fixture;
use postroom::domain::job::SELF_CHECK;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// A statement of the store: its name, and the file that it is in.
fn statics(directory: &Path, found: &mut Vec<(String, PathBuf)>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            statics(&path, found);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let Some((_, rest)) = line.split_once("static ") else { continue };
            let name = rest.split([' ', ':']).next().unwrap();
            // In `sql! { … }` a statement has no type; outside of it none should be made.
            let is_name = name.bytes().all(|byte| byte == b'_' || byte.is_ascii_uppercase());
            if is_name && (rest.contains(": Sql") || rest[name.len()..].starts_with(" =")) {
                found.push((name.to_owned(), path.clone()));
            }
        }
    }
}

#[test]
fn every_statement_of_the_store_is_listed_and_has_a_row_here() {
    let mut wrong = Vec::new();
    let listed: BTreeSet<&str> =
        [true, false].into_iter().flat_map(postroom::store::statements).map(|it| it.0).collect();
    let mut found = Vec::new();
    statics(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store"), &mut found);
    assert!(found.len() > 100, "only {} statements were found", found.len());
    for (name, path) in found {
        // It is listed as the claim of both databases.
        let name = if name == "CLAIM_POSTGRES" { "CLAIM" } else { &name };
        if !listed.contains(name) {
            wrong.push(format!("{name} of {} is not in store::statements", path.display()));
        }
    }
    let with_rows: BTreeSet<&str> = rows().iter().map(|it| it.name).collect();
    wrong.extend(
        listed.difference(&with_rows).map(|it| format!("{it} has no row in plans/rows.rs")),
    );
    wrong.extend(with_rows.difference(&listed).map(|it| format!("there is no statement {it}")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// SQL that `sql!` does not declare: `(file of the store, how the text begins, why)`.
const NOT_DECLARED: [(&str, &str, &str); 23] = [
    ("engine/backup.rs", "vacuum into ?", "copies the whole file"),
    ("engine/backup.rs", "pragma integrity_check(1)", "reads the whole copy"),
    ("chores.rs", "pragma busy_timeout", "a pragma has no plan"),
    ("engine/sessions.rs", "begin isolation level", "begins a transaction"),
    ("engine/sessions.rs", "select coalesce(current_setting(", "reads a setting of the session"),
    ("engine/snapshot.rs", "set transaction isolation level", "begins a transaction"),
    ("engine/circuit_breaker.rs", "select pg_is_in_recovery()", "reads what the server is"),
    ("engine/connect.rs", "create database", "for tests and benchmarks: makes a database"),
    ("engine/connect.rs", "drop database", "for tests and benchmarks: drops a database"),
    ("engine/migrate.rs", "select pg_advisory_xact_lock(", "takes a lock, once a migration"),
    ("engine/migrate.rs", "do $$ declare", "frees the names of a session's statements"),
    ("engine/suitable.rs", "select current_setting(", "reads a setting of the server"),
    ("engine/suitable.rs", "select version from {APPLIED}", "the migrator's table, at a migration"),
    ("engine/suitable.rs", "select c.relname", "the catalogue, at a migration"),
    ("engine/suitable.rs", "select name from sqlite_master", "the catalogue, at a migration"),
    ("fleet/notices.rs", "notify ", "sends a notice"),
    ("queue/claim.rs", "update job_ready set node", "the claim on SQLite: `CLAIM` measures it"),
    ("desk/deliveries.rs", "select d.id, ", "a macro's part of declared statements"),
    ("desk/found_by.rs", "select ", "a macro's part of declared statements"),
    ("desk/values.rs", "with recursive c (client_id) ", "a macro's part of declared statements"),
    (
        "desk/values.rs",
        "with recursive c (client_id, value) ",
        "a macro's part of declared statements",
    ),
    ("desk/written.rs", "select m.id, ", "a macro's part of declared statements"),
    ("desk/written.rs", "select d.id, ", "a macro's part of declared statements"),
];

/// How texts that go to a database begin.
const SQL_BEGINS: [&str; 18] = [
    "select ",
    "insert into ",
    "update ",
    "delete from ",
    "with ",
    "begin ",
    "set ",
    "pragma ",
    "notify ",
    "listen ",
    "create ",
    "drop ",
    "alter ",
    "truncate ",
    "do $$",
    "deallocate ",
    "vacuum",
    "analyze",
];

/// The text literals of a file's own code that look like SQL, without its comments, its unit tests
/// and what `sql!` declares.
fn not_declared(text: &str) -> Vec<&str> {
    let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap();
    let (mut found, mut is_declared) = (Vec::new(), false);
    for line in code.lines() {
        // Only the end of `sql!` stands at the beginning of a line.
        is_declared = (is_declared || line == "sql! {") && line != "}";
        if is_declared || line.trim_start().starts_with("//") {
            continue;
        }
        for (at, _) in line.match_indices('"') {
            let is_escaped = line[..at].ends_with('\\');
            let literal = &line[at + 1..];
            let text = literal.trim_start().to_ascii_lowercase();
            if !is_escaped && SQL_BEGINS.iter().any(|begin| text.starts_with(begin)) {
                found.push(literal);
            }
        }
    }
    found
}

#[test]
fn sql_that_is_not_declared_is_listed_with_a_reason() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    let mut folders = vec![directory.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let file = path.strip_prefix(&directory).unwrap().to_str().unwrap();
            for literal in not_declared(&std::fs::read_to_string(&path).unwrap()) {
                let known = NOT_DECLARED
                    .iter()
                    .position(|(of, begin, _)| *of == file && literal.starts_with(begin));
                match known {
                    Some(at) => drop(used.insert(at)),
                    None => wrong.push(format!(
                        "{file}: declare it by `sql!`, or give a reason here: {literal}"
                    )),
                }
            }
        }
    }
    let unused = (0..NOT_DECLARED.len()).filter(|at| !used.contains(at));
    wrong.extend(unused.map(|at| format!("no file has it: {:?}", NOT_DECLARED[at])));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every table that is not named as small has as many rows as the others.
async fn assert_all_are_large(db: &Fixture) {
    let tables = match db.is_sqlite() {
        true => "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'",
        false => "select tablename::text from pg_tables where schemaname = 'public'",
    };
    for table in db.texts(tables).await {
        if SMALL.iter().any(|(small, _)| *small == table) {
            continue;
        }
        let count = db.number(&format!("select count(*) from {table}")).await;
        assert!(
            count >= ROWS,
            "`{table}` grows, and has {count} rows here: fill it, or say why it is small"
        );
    }
}

/// Rows that go through a plan for each page that it may touch.
const HANDLED_A_PAGE: u64 = 4;

/// The errors in the measurements, if any. All measurements go to stdout, so that a person can set
/// limits.
#[expect(clippy::print_stdout, reason = "shown with `--nocapture` to whoever sets limits")]
fn judge(row: &Row, state: &str, it: &Measured, limit: u64) -> Option<String> {
    let what = format!("{} {state}", row.label());
    println!(
        "{:6} of {limit:6} for {:3} rows, {:6} handled, found {:4}: {what}",
        it.cost, row.count, it.handled, it.found
    );
    let mut wrong = Vec::new();
    if it.cost > limit {
        wrong.push(format!("cost {} of at most {limit}", it.cost));
    }
    if it.handled > limit * HANDLED_A_PAGE && row.whole.is_empty() {
        wrong.push(format!("rows handled {} of at most {}", it.handled, limit * HANDLED_A_PAGE));
    }
    if row.finds.is_some_and(|finds| finds != it.found) {
        wrong.push(format!("found {} instead of {:?}", it.found, row.finds));
    }
    let whole: Vec<&String> =
        it.whole.iter().filter(|table| !row.whole.contains(&table.as_str())).collect();
    if !whole.is_empty() {
        wrong.push(format!("read {whole:?} whole"));
    }
    (!wrong.is_empty()).then(|| format!("{what}: {}\n  {}", wrong.join(", "), it.plan))
}

/// Measures all rows in sessions whose statements were prepared before.
async fn judge_all(
    sessions: &mut [(Session, Prepared)],
    rows: &[Row],
    state: &str,
    wrong: &mut Vec<String>,
) {
    for (session, prepared) in sessions {
        for (at, row) in rows.iter().enumerate().filter(|(_, it)| it.session == *session) {
            let measured = prepared.measure(at, row).await;
            wrong.extend(judge(row, state, &measured, row.pages));
        }
    }
}

async fn sessions(db: &Fixture, rows: &[Row], mode: &str) -> Vec<(Session, Prepared)> {
    let mut sessions = Vec::new();
    for session in [Session::Writer, Session::Reader, Session::Scan, Session::Api] {
        sessions.push((session, Prepared::new(db, rows, session, mode).await));
    }
    sessions
}

async fn close(sessions: Vec<(Session, Prepared)>) {
    for (_, prepared) in sessions {
        prepared.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn postgres_touches_few_pages_a_row_whatever_it_knows_of_its_tables() {
    let Some(db) = Fixture::postgres().await else { return };
    let rows: Vec<Row> = rows().into_iter().filter(Row::is_for_postgres).collect();
    let mut wrong = Vec::new();
    for table in db.texts("select tablename::text from pg_tables where schemaname = 'public'").await
    {
        db.execute(&format!(
            "alter table {table} set (autovacuum_enabled = off); alter table {table} set unlogged"
        ))
        .await;
    }
    // A plan that was made for short tables is kept until they are analysed again, so a flood may
    // meet it.
    fill(&db, 1, FIRST_ROWS).await;
    db.execute("analyze").await;
    // (Connections for scans and of the admin API are idle most of the time: they are replaced
    // after a minute, and plan again.)
    let mut kept = Vec::new();
    for session in [Session::Writer, Session::Reader] {
        kept.push((session, Prepared::new(&db, &rows, session, "force_generic_plan").await));
    }
    judge_all(&mut kept, &rows, "on short tables", &mut Vec::new()).await;
    fill(&db, FIRST_ROWS + 1, ROWS).await;
    assert_all_are_large(&db).await;
    judge_all(&mut kept, &rows, "by the plan for short tables", &mut wrong).await;
    close(kept).await;
    db.execute("delete from pg_statistic; update pg_class set reltuples = -1, relpages = 0 where relkind in ('r', 'i')").await;
    for is_analysed in [false, true] {
        if is_analysed {
            db.execute("analyze").await;
        }
        for mode in ["force_custom_plan", "force_generic_plan"] {
            let state = format!("{mode}{}", if is_analysed { "" } else { ", never analysed" });
            let mut all = sessions(&db, &rows, mode).await;
            judge_all(&mut all, &rows, &state, &mut wrong).await;
            close(all).await;
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), 5 * rows.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn sqlite_takes_few_steps_a_row_whatever_it_knows_of_its_tables() {
    let db = Fixture::sqlite().await;
    fill(&db, 1, ROWS).await;
    assert_all_are_large(&db).await;
    let rows: Vec<Row> = rows().into_iter().filter(Row::is_for_sqlite).collect();
    let (texts, mut wrong) = (texts(&db), Vec::new());
    let mut counting = Counting::new(&db).await;
    for state in ["never analysed", "analysed"] {
        for row in &rows {
            let measured = counting.measure(&texts[row.name], row).await;
            wrong.extend(judge(row, state, &measured, row.steps));
        }
        counting.analyze().await;
    }
    counting.close().await;
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), 2 * rows.len(), wrong.join("\n"));
}

/// Where a table has grown since it was analyzed last, or never was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_on_postgres_walks_its_index_whatever_the_statistics_say() {
    const WAITING: usize = 5_000;
    let Some(db) = Fixture::postgres().await else { return };
    enqueue(&db.store, "a", SELF_CHECK, WAITING).await;
    for _ in 0..10 {
        assert_eq!(claim_of(&db.store, &[(SELF_CHECK, 10)]).await.len(), 10);
    }
    let left = Left::of(db, Vec::new()).await;
    let read =
        "select idx_tup_read from pg_stat_user_indexes where indexrelname = 'job_ready_turn'";
    let read = left.number(read).await;
    assert!((100..WAITING as i64).contains(&read), "{read} entries were read for 100 jobs");
}
