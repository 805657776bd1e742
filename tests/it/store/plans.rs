//! How the databases go about the statements, with tables that are filled unevenly: by an index, never
//! through a whole table.

use super::tools::{
    Left, analyze, claim_of, drain, enqueue, instant, numbers, phones, put, rows, settle_all,
    text_of,
};
use crate::support::fixture::{Fixture, SMS};
use postroom::{
    domain::job::{FailureReason, SELF_CHECK},
    store::Transition,
};
use sqlx::Connection;
use std::time::Duration;

/// The tables of which no statement but the ones named may read all.
const LARGE: [&str; 9] = [
    "jobs",
    "job_ready",
    "job_blocked",
    "job_later",
    "job_attempts",
    "messages",
    "message_keys",
    "leads",
    "lead_identities",
];

/// The statements with parameters for them, as literals, and the large tables that they may read whole.
const STATEMENTS: &[(&str, &[&str], &[&str])] = &[
    ("LOCK_HEADS", &["[-2000001,-2000002,7]"], &[]),
    ("DELETE_HEADS", &["[-2000001,-2000002,7]"], &[]),
    ("RELEASE_HEADS", &["[-2000001,-2000002,7]"], &[]),
    ("RETRY_HEADS", &[r#"[{"line":-2000001,"delay":5}]"#], &[]),
    ("READ_FOLLOWERS", &[r#"[{"line":1},{"line":7}]"#], &[]),
    ("DELETE_FOLLOWERS", &["[3000001,3000002]"], &[]),
    ("READ_LINES", &[r#"[{"line":1},{"line":7}]"#], &[]),
    ("READ_DUE_RETRIES", &[], &[]),
    ("LOCK_DUE_RETRIES", &["[-1050001,-1050002]"], &[]),
    ("TURN_HEADS", &[r#"[{"line":-1050001,"turn":5}]"#], &[]),
    ("READ_SUSPECTS", &[r#"[{"kind":"SELF_CHECK"}]"#, r#"[{"client_id":"c1"}]"#], &[]),
    ("CLAIM_SUSPECT", &["5", "[-1050001,-1050002]"], &[]),
    ("READ_DUE_LATER", &[], &[]),
    ("TAKE_DUE_LATER", &["[1030001,1030002]"], &[]),
    ("READ_NEXT_DUE", &[], &[]),
    (
        "PUT_KEYS",
        &[
            r#"[{"client_id":"c1","channel":"sms","kind":"reply","key":"k1","message_id":1,"ttl":null}]"#,
        ],
        &[],
    ),
    ("READ_KEYS", &[r#"[{"client_id":"c1","channel":"sms","kind":"reply","key":"k1"}]"#], &[]),
    (
        "REPOINT_KEYS",
        &[r#"[{"client_id":"c1","channel":"sms","kind":"reply","key":"k1","message_id":1}]"#],
        &[],
    ),
    ("READ_IDENTITIES", &[r#"[{"client_id":"c1","kind":"phone","value":"1"}]"#], &[]),
    ("LOCK_LEADS", &["[1,2]"], &[]),
    ("UPDATE_LEADS", &[r#"[{"id":1,"status":"new"}]"#], &[]),
    ("UPDATE_MESSAGES", &[r#"[{"id":1,"sentiment":null,"handled":true}]"#], &[]),
    ("SET_SENTIMENT", &[r#"[{"id":1,"sentiment":"Neutral"}]"#], &[]),
    ("READ_SENTIMENTS", &["[1,2]"], &[]),
    ("READ_HANDLES", &["[1,2]"], &[]),
    ("READ_FIRSTS", &[r#"[{"id":1,"kind":"SMS_INBOUND_POST_PROCESS"}]"#], &[]),
    ("READ_HINTED", &[r#"[{"n":1,"lead_id":1,"not_after":1764000000000}]"#], &[]),
    ("READ_ID_FLOOR", &[], &[]),
    ("READ_CHATS", &[r#"[{"client_id":"c1","channel":"sms","chat":"k1"}]"#], &[]),
    ("PUT_CHATS", &[r#"[{"client_id":"c1","channel":"sms","chat":"k1","message_id":1}]"#], &[]),
    (
        "FILL_MESSAGES",
        &[
            r#"[{"id":1,"subject":null,"body":"x","has_new_text":true,"raw_text":"x","raw_html":null}]"#,
        ],
        &[],
    ),
    ("READ_CHANGEABLE", &["[1,2]"], &[]),
    ("CHANGE_MESSAGES", &[r#"[{"id":1,"body":"x","deleted":false,"failed":false}]"#], &[]),
    ("NAME_MESSAGES", &[r#"[{"id":1,"provider_id":"x"}]"#], &[]),
    ("READ_IDENTITIES_OF", &["[1,2]"], &[]),
    ("MOVE_IDENTITIES", &[r#"[{"from_id":2,"into_id":1}]"#], &[]),
    ("MOVE_MESSAGES", &[r#"[{"from_id":2,"into_id":1}]"#], &[]),
    ("SET_MERGED", &[r#"[{"from_id":2,"into_id":1}]"#], &[]),
    ("SET_MERGED_BEFORE", &[r#"[{"from_id":2,"into_id":1}]"#], &[]),
    ("READ_HEADS", &["[1,7]"], &[]),
    ("READ_BLOCKED", &["[1,7]"], &[]),
    ("READ_HELD_HEADS", &["c1", "5"], &[]),
    ("ADMIT_HEADS", &["[1,7]"], &[]),
    ("READ_ECHOED", &[r#"[{"n":1,"lead_id":1,"channel":"sms","text_key":"x"}]"#], &[]),
    // Rescue and sweep are rare, and look for what should not be there.
    ("READ_ORPHANS", &["[5]", r#"[{"kind":"SELF_CHECK"}]"#], &["job_ready"]),
    ("READ_HELD_RUNS", &["5"], &["job_ready"]),
    ("READ_HEADLESS", &[], &["job_blocked", "job_ready"]),
];

/// History, jobs of the future, a paused kind, a client with a long backlog, a lead with a long line.
async fn fill_unevenly(db: &Fixture) {
    // PostgreSQL reads a small table whole, and rightly so.
    let times = if db.is_sqlite() { 1 } else { 6 };
    let (ended, leads, paused, behind) =
        (20_000 * times, 10_000 * times, 10_000 * times, 4_000 * times);
    let now = instant(db, 0);
    let (past, future) = (instant(db, -60_000), instant(db, 3_600_000));
    let (yes, no) = if db.is_sqlite() { ("1", "0") } else { ("true", "false") };
    let inbound = "SMS_INBOUND_POST_PROCESS";
    let job = async |first: usize, count: usize, kind: &str, client: &str, lead: &str| {
        let numbers = numbers(db, count);
        db.execute(&format!(
            "insert into jobs (id, kind, client_id, lead_id, subject_id, message_id, max_attempts, run_at, created_at) \
             select {first} + n, '{kind}', {client}, {lead}, {first} + n, {first} + n, 5, {now}, {now} from {numbers}"
        ))
        .await;
    };
    let ready = async |first: usize, count: usize, kind: &str, client: &str, rest: &str| {
        let numbers = numbers(db, count);
        db.execute(&format!(
            "insert into job_ready (line, job_id, kind, client_id, turn, run_at) \
             select -({first} + n), {first} + n, '{kind}', {client}, {rest} from {numbers}"
        ))
        .await;
    };
    let of_many = "'c' || (n % 50)";
    job(0, ended, inbound, of_many, &format!("n % {leads} + 1")).await;
    db.execute(&format!(
        "insert into job_attempts (job_id, run, spared, outcome, ended, finished_at) \
         select n, 1, 0, 'succeeded', {yes}, {now} from {}",
        numbers(db, ended)
    ))
    .await;
    db.execute(&format!(
        "insert into messages (id, client_id, lead_id, channel, direction, source, body, has_new_text, sender, recipients, cc, \
           attachments, automated, sent_at, created_at) \
         select n, {of_many}, n % {leads} + 1, 'sms', 'inbound', 'provider', 'hello', {yes}, '{{}}', '[]', '[]', '[]', {no}, {now}, {now} \
         from {}",
        numbers(db, ended)
    ))
    .await;
    db.execute(&format!(
        "insert into leads (id, client_id, status, created_at, merged_into) \
         select n, {of_many}, 'new', {now}, case when n % 20 = 0 then n - 1 end from {}",
        numbers(db, leads)
    ))
    .await;
    db.execute(&format!(
        "insert into lead_identities (client_id, kind, value, lead_id) select {of_many}, 'phone', '+1555' || n, n from {}",
        numbers(db, leads)
    ))
    .await;
    db.execute(&format!(
        "insert into message_keys (client_id, channel, kind, key, message_id, first_seen) \
         select {of_many}, 'sms', 'reply', 'key of a message ' || n, n, {now} from {}",
        numbers(db, ended)
    ))
    .await;
    job(1_030_000, 5_000, "SELF_CHECK", of_many, "null").await;
    db.execute(&format!(
        "insert into job_later (job_id, run_at, line, kind, client_id, run, spared) \
         select 1030000 + n, case when n <= 20 then {past} else {future} end, -1030000 - n, 'SELF_CHECK', {of_many}, 0, 0 from {}",
        numbers(db, 5_000)
    ))
    .await;
    job(2_000_000, paused, "PAUSED", of_many, "null").await;
    ready(2_000_000, paused, "PAUSED", of_many, "n / 50, null").await;
    job(1_050_000, 5_000, "SELF_CHECK", "'large'", "null").await;
    ready(1_050_000, 5_000, "SELF_CHECK", "'large'", &format!("case when n > 500 then n end, case when n <= 20 then {past} when n <= 500 then {future} end")).await;
    job(3_000_000, behind + 1, inbound, "'c1'", "1").await;
    db.execute(&format!(
        "insert into job_ready (line, job_id, kind, client_id, turn) values (1, {},  '{inbound}', 'c1', 1)",
        3_000_001 + behind
    ))
    .await;
    db.execute(&format!(
        "insert into job_blocked (line, pos, job_id, kind, client_id, run, spared) \
         select 1, n, 3000000 + n, '{inbound}', 'c1', 0, 0 from {}",
        numbers(db, behind)
    ))
    .await;
    job(1_070_000, 2_000, "SELF_CHECK", of_many, "null").await;
    ready(1_070_000, 2_000, "SELF_CHECK", of_many, "n / 50, null").await;
}

fn literal(value: &str) -> String {
    format!("'{value}'")
}

/// The lines of a plan that read a large table whole.
fn whole_reads<'a>(plan: &'a [String], allowed: &[&str]) -> Vec<&'a str> {
    plan.iter()
        .map(String::as_str)
        .filter(|line| line.contains("Seq Scan on"))
        .filter(|line| {
            let after = line.split("Seq Scan on ").nth(1).unwrap_or_default();
            let table = after.split([' ', '(']).next().unwrap_or_default();
            LARGE.contains(&table) && !allowed.contains(&table)
        })
        .collect()
}

/// As the planner would do it for these values, and as it would once the statement stays prepared.
async fn plans_of_postgres(db: &Fixture, text: &str, values: &[String]) -> Vec<Vec<String>> {
    let url = db.config.database.url.expose();
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    let mut plans = Vec::new();
    for mode in ["force_custom_plan", "force_generic_plan"] {
        let prepare = format!("set plan_cache_mode = {mode}; deallocate all; prepare it as {text}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(prepare)).execute(&mut connection).await.unwrap();
        let arguments =
            if values.is_empty() { String::new() } else { format!("({})", values.join(", ")) };
        let explain = format!("explain execute it{arguments}");
        let lines =
            sqlx::raw_sql(sqlx::AssertSqlSafe(explain)).fetch_all(&mut connection).await.unwrap();
        plans.push(lines.iter().map(|it| sqlx::Row::get::<String, _>(it, 0)).collect());
    }
    connection.close().await.unwrap();
    plans
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_reads_no_large_table_whole() {
    let Some(db) = Fixture::postgres().await else { return };
    fill_unevenly(&db).await;
    analyze(&db).await;
    let mut wrong = Vec::new();
    let claim = [
        "5".to_owned(),
        literal(
            r#"[{"kind":"SELF_CHECK","floor":0,"slots":50},{"kind":"SMS_INBOUND_POST_PROCESS","floor":1,"slots":50}]"#,
        ),
    ];
    for plan in plans_of_postgres(&db, &text_of(&db, "CLAIM"), &claim).await {
        let by_turn = plan.iter().any(|it| it.contains("job_ready_turn"));
        let whole = whole_reads(&plan, &[]);
        if !by_turn || !whole.is_empty() {
            wrong.push(format!("CLAIM\n{}", plan.join("\n")));
        }
    }
    for (name, values, allowed) in STATEMENTS {
        let values: Vec<String> = values.iter().map(|it| literal(it)).collect();
        for plan in plans_of_postgres(&db, &text_of(&db, name), &values).await {
            if !whole_reads(&plan, allowed).is_empty() {
                wrong.push(format!("{name}\n{}", plan.join("\n")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_reads_no_large_table_whole() {
    let db = Fixture::sqlite().await;
    fill_unevenly(&db).await;
    analyze(&db).await;
    let mut wrong = Vec::new();
    let claim: (&str, &[&str], &[&str]) = ("CLAIM", &[], &[]);
    for (name, _, allowed) in STATEMENTS.iter().chain([&claim]) {
        let text = text_of(&db, name);
        let explain = format!("explain query plan {text}");
        let parameters = (1..=9).filter(|n| text.contains(&format!("${n}"))).count();
        let values = vec![sea_orm::Value::String(None); parameters];
        for row in rows(&db, &explain, values).await {
            let detail: String = row.try_get("", "detail").unwrap();
            // Groups, derived tables and constants are scanned; names of tables and their short names must not be.
            let Some(scanned) = detail.strip_prefix("SCAN ") else { continue };
            let scanned = scanned.split(' ').next().unwrap_or_default();
            let is_group = scanned.contains("json")
                || scanned.starts_with('(')
                || ["g", "x", "CONSTANT", "nearest"].contains(&scanned);
            let is_allowed = allowed.iter().any(|table| {
                table.split('_').next_back().is_some_and(|it| it.starts_with(scanned))
            });
            let is_harmless = is_group || is_allowed;
            if !is_harmless {
                wrong.push(format!("{name}: {detail}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Rounds of everything: more than it takes until a statement keeps the plan it has.
async fn rounds_of_everything(db: &Fixture, name: &str) {
    let phones = phones(20);
    for round in 0..8 {
        put(&db.store, "a", &phones, format!("{name} {round}")).await;
        put(&db.store, "a", &phones, format!("{name} {round} again")).await;
        let claims = claim_of(&db.store, &[(SMS, 20)]).await;
        let (some, others) = claims.split_at(10);
        let retry = Transition::Retry {
            after: Duration::ZERO,
            reason: FailureReason::Error,
            error: "no".to_owned(),
        };
        settle_all(&db.store, some, &retry).await;
        settle_all(&db.store, others, &Transition::Release).await;
        db.store.queue().make_due().await.unwrap();
        drain(&db.store, 100).await;
    }
}

/// PostgreSQL keeps a plan until its tables are analyzed anew, and until then a flood meets the plans of
/// a quiet hour.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_that_postgres_made_for_small_tables_read_no_large_one_whole() {
    let Some(db) = Fixture::postgres().await else { return };
    rounds_of_everything(&db, "first").await;
    analyze(&db).await;
    rounds_of_everything(&db, "second").await;
    fill_unevenly(&db).await;
    // The head of the long line runs meanwhile, or else that would be drained one by one.
    assert_eq!(claim_of(&db.store, &[(SMS, 20)]).await.len(), 1);
    rounds_of_everything(&db, "third").await;
    let left = Left::of(db, Vec::new()).await;
    let read_whole =
        "select coalesce(sum(seq_tup_read), 0)::bigint from pg_stat_user_tables where relname = ";
    for table in LARGE {
        assert_eq!(
            left.number(&format!("{read_whole}'{table}'")).await,
            0,
            "rows of {table} that were read by the way"
        );
    }
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
