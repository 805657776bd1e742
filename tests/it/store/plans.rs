//! How the databases go about the statements, with tables that are filled unevenly: by an index, never
//! through a whole table.

use super::tools::{analyze, instant, numbers, rows, text_of};
use crate::support::fixture::Fixture;
use sqlx::Connection;

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

/// The statements with parameters for them, as literals, and the one large table that they may read whole.
const STATEMENTS: &[(&str, &[&str], Option<&str>)] = &[
    ("LOCK_HEADS", &["[-40001,-40002,7]"], None),
    ("DELETE_HEADS", &["[-40001,-40002,7]"], None),
    ("RELEASE_HEADS", &["[-40001,-40002,7]"], None),
    ("RETRY_HEADS", &[r#"[{"line":-40001,"delay":5}]"#], None),
    ("READ_FOLLOWERS", &[r#"[{"line":1},{"line":7}]"#], None),
    ("DELETE_FOLLOWERS", &["[60001,60002]"], None),
    ("READ_LINES", &[r#"[{"line":1},{"line":7}]"#], None),
    ("READ_DUE_RETRIES", &[], None),
    ("LOCK_DUE_RETRIES", &["[-50001,-50002]"], None),
    ("TURN_HEADS", &[r#"[{"line":-50001,"turn":5}]"#], None),
    ("READ_DUE_LATER", &[], None),
    ("TAKE_DUE_LATER", &["[30001,30002]"], None),
    ("READ_NEXT_DUE", &[], None),
    (
        "PUT_KEYS",
        &[
            r#"[{"client_id":"c1","channel":"sms","kind":"reply","key":"k1","message_id":1,"ttl":null}]"#,
        ],
        None,
    ),
    ("READ_KEYS", &[r#"[{"client_id":"c1","channel":"sms","kind":"reply","key":"k1"}]"#], None),
    (
        "REPOINT_KEYS",
        &[r#"[{"client_id":"c1","channel":"sms","kind":"reply","key":"k1","message_id":1}]"#],
        None,
    ),
    ("READ_IDENTITIES", &[r#"[{"client_id":"c1","kind":"phone","value":"1"}]"#], None),
    ("LOCK_LEADS", &["[1,2]"], None),
    ("UPDATE_LEADS", &[r#"[{"id":1,"status":"new"}]"#], None),
    ("UPDATE_MESSAGES", &[r#"[{"id":1,"sentiment":null,"handled":true}]"#], None),
    ("SET_SENTIMENT", &[r#"[{"id":1,"sentiment":"Neutral"}]"#], None),
    ("READ_SENTIMENTS", &["[1,2]"], None),
    ("READ_HANDLES", &["[1,2]"], None),
    ("READ_FIRSTS", &[r#"[{"id":1,"kind":"SMS_INBOUND_POST_PROCESS"}]"#], None),
    ("READ_HINTED", &[r#"[{"n":1,"lead_id":1,"not_after":1764000000000}]"#], None),
    ("READ_ID_FLOOR", &[], None),
    // Rescue and sweep are rare, and look for what should not be there.
    ("READ_ORPHANS", &["[5]"], Some("job_ready")),
    ("READ_HEADLESS", &[], Some("job_blocked")),
];

/// History, jobs of the future, a paused kind, a client with a long backlog, a lead with a long line.
async fn fill_unevenly(db: &Fixture) {
    const ENDED: usize = 20_000;
    const LEADS: usize = 10_000;
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
    job(0, ENDED, inbound, of_many, &format!("n % {LEADS} + 1")).await;
    db.execute(&format!(
        "insert into job_attempts (job_id, run, spared, outcome, ended, finished_at) \
         select n, 1, 0, 'succeeded', {yes}, {now} from {}",
        numbers(db, ENDED)
    ))
    .await;
    db.execute(&format!(
        "insert into messages (id, client_id, lead_id, channel, direction, source, body, has_new_text, sender, recipients, cc, \
           attachments, automated, sent_at, created_at) \
         select n, {of_many}, n % {LEADS} + 1, 'sms', 'inbound', 'provider', 'hello', {yes}, '{{}}', '[]', '[]', '[]', {no}, {now}, {now} \
         from {}",
        numbers(db, ENDED)
    ))
    .await;
    db.execute(&format!(
        "insert into leads (id, client_id, status, created_at) select n, {of_many}, 'new', {now} from {}",
        numbers(db, LEADS)
    ))
    .await;
    db.execute(&format!(
        "insert into lead_identities (client_id, kind, value, lead_id) select {of_many}, 'phone', '+1555' || n, n from {}",
        numbers(db, LEADS)
    ))
    .await;
    db.execute(&format!(
        "insert into message_keys (client_id, channel, kind, key, message_id, first_seen) \
         select {of_many}, 'sms', 'reply', 'key of a message ' || n, n, {now} from {}",
        numbers(db, ENDED)
    ))
    .await;
    job(30_000, 5_000, "SELF_CHECK", of_many, "null").await;
    db.execute(&format!(
        "insert into job_later (job_id, run_at, line, kind, client_id, run, spared) \
         select 30000 + n, case when n <= 20 then {past} else {future} end, -30000 - n, 'SELF_CHECK', {of_many}, 0, 0 from {}",
        numbers(db, 5_000)
    ))
    .await;
    job(40_000, 5_000, "PAUSED", of_many, "null").await;
    ready(40_000, 5_000, "PAUSED", of_many, "n / 50, null").await;
    job(50_000, 5_000, "SELF_CHECK", "'large'", "null").await;
    ready(50_000, 5_000, "SELF_CHECK", "'large'", &format!("case when n > 500 then n end, case when n <= 20 then {past} when n <= 500 then {future} end")).await;
    job(60_000, 2_001, inbound, "'c1'", "1").await;
    db.execute(&format!(
        "insert into job_ready (line, job_id, kind, client_id, turn) values (1, 62001, '{inbound}', 'c1', 1)"
    ))
    .await;
    db.execute(&format!(
        "insert into job_blocked (line, pos, job_id, kind, client_id, run, spared) \
         select 1, n, 60000 + n, '{inbound}', 'c1', 0, 0 from {}",
        numbers(db, 2_000)
    ))
    .await;
    job(70_000, 2_000, "SELF_CHECK", of_many, "null").await;
    ready(70_000, 2_000, "SELF_CHECK", of_many, "n / 50, null").await;
    analyze(db).await;
}

fn literal(value: &str) -> String {
    format!("'{value}'")
}

/// The lines of a plan that read a large table whole.
fn whole_reads<'a>(plan: &'a [String], allowed: Option<&str>) -> Vec<&'a str> {
    plan.iter()
        .map(String::as_str)
        .filter(|line| line.contains("Seq Scan on"))
        .filter(|line| {
            let after = line.split("Seq Scan on ").nth(1).unwrap_or_default();
            let table = after.split([' ', '(']).next().unwrap_or_default();
            LARGE.contains(&table) && allowed != Some(table)
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
    let mut wrong = Vec::new();
    let claim = [
        "5".to_owned(),
        literal(
            r#"[{"kind":"SELF_CHECK","floor":0,"slots":50},{"kind":"SMS_INBOUND_POST_PROCESS","floor":1,"slots":50}]"#,
        ),
    ];
    for plan in plans_of_postgres(&db, &text_of(&db, "CLAIM"), &claim).await {
        let by_turn = plan.iter().any(|it| it.contains("job_ready_turn"));
        let whole = whole_reads(&plan, None);
        if !by_turn || !whole.is_empty() {
            wrong.push(format!("CLAIM\n{}", plan.join("\n")));
        }
    }
    for (name, values, allowed) in STATEMENTS {
        let values: Vec<String> = values.iter().map(|it| literal(it)).collect();
        for plan in plans_of_postgres(&db, &text_of(&db, name), &values).await {
            if !whole_reads(&plan, *allowed).is_empty() {
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
    let mut wrong = Vec::new();
    let claim = ("CLAIM", &[] as &[&str], None);
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
            let is_harmless = matches!(
                scanned,
                "json_each"
                    | "g"
                    | "x"
                    | "CONSTANT"
                    | "(subquery"
                    | "c"
                    | "v"
                    | "nearest"
                    | "both_tables"
            ) || scanned.starts_with('(')
                || allowed.is_some_and(|it| {
                    it.split('_').next_back().is_some_and(|word| word.starts_with(scanned))
                });
            if !is_harmless {
                wrong.push(format!("{name}: {detail}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
