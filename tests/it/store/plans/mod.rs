//! What the statements of the store cost on large tables: a bounded number of pages (PostgreSQL) or steps (SQLite) for
//! each row of a group or a page, whatever the database knows of its tables.

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

/// What is wrong with what was measured, if anything; all of it on stdout, for whoever sets limits.
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
    // A plan that was made for short tables is kept until they are analysed again, and a flood meets it.
    fill(&db, 1, FIRST_ROWS).await;
    db.execute("analyze").await;
    // (Connections for scans and of the admin API are idle most of the time: they are replaced after a minute, and plan again.)
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
