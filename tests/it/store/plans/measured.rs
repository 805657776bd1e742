//! What a statement costs: pages on PostgreSQL, steps of the virtual machine on SQLite.

use super::{
    filled::SMALL,
    rows::{Row, Session, Value},
};
use crate::support::fixture::Fixture;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// What it came to.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// Pages, or steps.
    pub(super) cost: u64,
    /// Rows that went through the plan's nodes, those that were thrown away included (PostgreSQL):
    /// a join that compares everything with everything touches few pages and takes seconds.
    pub(super) handled: u64,
    /// Rows that it gave, or that it wrote if it gives none.
    pub(super) found: u64,
    /// Tables that grow and were read whole.
    pub(super) whole: Vec<String>,
    /// The plan, for a person.
    pub(super) plan: String,
}

/// Texts of all statements by name.
pub(super) fn texts(db: &Fixture) -> HashMap<&'static str, String> {
    postroom::store::statements(db.is_sqlite()).into_iter().collect()
}

/// Whether the table grows with what is stored.
fn is_large(table: &str) -> bool {
    SMALL.iter().all(|(small, _)| *small != table)
}

/// The settings by which plans find rows by key, as the store makes them.
fn plans_by_key() -> Vec<(String, String)> {
    let source = include_str!("../../../../src/store/engine/connect.rs");
    let after = source.split_once("POSTGRES_PLANS_BY_KEY: ").unwrap().1;
    let list = after.split_once("= [").unwrap().1.split_once("];").unwrap().0;
    let texts: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
    assert!(texts.len() >= 8 && texts.len().is_multiple_of(2), "not understood: {list}");
    texts.chunks(2).map(|it| (it[0].to_owned(), it[1].to_owned())).collect()
}

/// A session of PostgreSQL with all statements prepared, as the store has one.
pub(super) struct Prepared {
    connection: PgConnection,
}

impl Prepared {
    /// Prepares the statements of `rows` for `session`. Their plans are made for each value
    /// (`force_custom_plan`), or once (`force_generic_plan`), at their first execution.
    pub(super) async fn new(db: &Fixture, rows: &[Row], session: Session, mode: &str) -> Self {
        let url = db.config.database.url.expose();
        let mut connection = PgConnection::connect(url).await.unwrap();
        let settings = match session {
            Session::Writer | Session::Reader | Session::Api => plans_by_key(),
            Session::Scan => Vec::new(),
        };
        for (name, value) in settings {
            run(&mut connection, &format!("set {name} = '{value}'")).await;
        }
        run(&mut connection, &format!("set plan_cache_mode = {mode}")).await;
        let texts = texts(db);
        for (at, row) in rows.iter().enumerate().filter(|(_, it)| it.session == session) {
            let types: Vec<&str> = row.values.iter().map(Value::postgres_type).collect();
            let types =
                if types.is_empty() { String::new() } else { format!("({})", types.join(", ")) };
            let text = &texts[row.name];
            run(&mut connection, &format!("prepare it_{at}{types} as {text}")).await;
        }
        Self { connection }
    }

    /// Executes a row in a transaction that is rolled back.
    pub(super) async fn measure(&mut self, at: usize, row: &Row) -> Measured {
        let values: Vec<String> = row.values.iter().map(Value::literal).collect();
        let arguments =
            if values.is_empty() { String::new() } else { format!("({})", values.join(", ")) };
        let explain = format!(
            "explain (analyze, buffers, timing off, format json) execute it_{at}{arguments}"
        );
        run(&mut self.connection, "begin").await;
        let told = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_one(&mut self.connection).await;
        let told = told.unwrap_or_else(|error| panic!("{}: {error}", row.name));
        let told: String = sqlx::Row::try_get_unchecked(&told, 0).unwrap();
        run(&mut self.connection, "rollback").await;
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        let plan = &told[0]["Plan"];
        let number = |key: &str| plan[key].as_u64().unwrap_or_default();
        let mut whole = Vec::new();
        read_whole(plan, &mut whole);
        Measured {
            cost: number("Shared Hit Blocks") + number("Shared Read Blocks"),
            handled: handled(plan),
            found: written_or_given(plan),
            whole,
            plan: outline(plan, 1),
        }
    }

    pub(super) async fn close(self) {
        self.connection.close().await.unwrap();
    }
}

async fn run(connection: &mut PgConnection, sql: &str) {
    let done = connection.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await;
    done.unwrap_or_else(|error| panic!("{error}: {sql}"));
}

/// The rows that a plan gives; the rows that it writes if it gives none.
fn written_or_given(plan: &serde_json::Value) -> u64 {
    let rows = |plan: &serde_json::Value| plan["Actual Rows"].as_f64().unwrap_or_default() as u64;
    let is_write = plan["Node Type"] == "ModifyTable" && rows(plan) == 0;
    match plan["Plans"].as_array().and_then(|it| it.first()) {
        Some(source) if is_write => rows(source),
        _ => rows(plan),
    }
}

/// Rows that went through the nodes of a plan, kept or not.
fn handled(plan: &serde_json::Value) -> u64 {
    let number = |key: &str| plan[key].as_f64().unwrap_or_default();
    let removed = ["Filter", "Join Filter", "Index Recheck"]
        .map(|by| number(&format!("Rows Removed by {by}")))
        .iter()
        .sum::<f64>();
    let here = (number("Actual Rows") + removed) * number("Actual Loops");
    let below = plan["Plans"].as_array().into_iter().flatten().map(handled);
    here as u64 + below.sum::<u64>()
}

/// The tables that grow and that a plan reads from end to end.
fn read_whole(plan: &serde_json::Value, whole: &mut Vec<String>) {
    let is_scan = plan["Node Type"] == "Seq Scan";
    if let Some(table) = plan["Relation Name"].as_str().filter(|it| is_scan && is_large(it)) {
        whole.push(table.to_owned());
    }
    for part in plan["Plans"].as_array().into_iter().flatten() {
        read_whole(part, whole);
    }
}

/// A line a node: what it does, how often, for how many rows and pages.
fn outline(plan: &serde_json::Value, depth: usize) -> String {
    let text = |key: &str| plan[key].as_str().unwrap_or_default().to_owned();
    let number = |key: &str| plan[key].as_u64().unwrap_or_default();
    let mut lines = format!(
        "{}{} {} {} {} rows={} loops={} pages={}\n",
        "  ".repeat(depth),
        text("Node Type"),
        text("Relation Name"),
        text("Index Name"),
        text("Index Cond"),
        plan["Actual Rows"],
        number("Actual Loops"),
        number("Shared Hit Blocks") + number("Shared Read Blocks"),
    );
    for part in plan["Plans"].as_array().into_iter().flatten() {
        lines += &outline(part, depth + 1);
    }
    lines
}

/// A connection to SQLite that counts its steps.
pub(super) struct Counting {
    connection: SqliteConnection,
    steps: Arc<AtomicU64>,
}

/// After how many steps they are counted.
const STEPS: i32 = 10;

impl Counting {
    pub(super) async fn new(db: &Fixture) -> Self {
        let url = db.config.database.url.expose();
        let mut connection = SqliteConnection::connect(url).await.unwrap();
        let steps = Arc::new(AtomicU64::new(0));
        let counted = steps.clone();
        let mut handle = connection.lock_handle().await.unwrap();
        handle.set_progress_handler(STEPS, move || {
            counted.fetch_add(u64::from(STEPS.unsigned_abs()), Ordering::Relaxed);
            true
        });
        drop(handle);
        Self { connection, steps }
    }

    /// Executes a row in a transaction that is rolled back.
    pub(super) async fn measure(&mut self, text: &str, row: &Row) -> Measured {
        let explain = AssertSqlSafe(format!("explain query plan {text}"));
        let mut query = sqlx::query(explain);
        for value in &row.values {
            query = value.bind(query);
        }
        let told = query.fetch_all(&mut self.connection).await;
        let told = told.unwrap_or_else(|error| panic!("{}: {error}", row.name));
        let details: Vec<String> = told.iter().map(|it| sqlx::Row::get(it, "detail")).collect();
        sqlx::raw_sql("begin immediate").execute(&mut self.connection).await.unwrap();
        let mut query = sqlx::query(AssertSqlSafe(text.to_owned()));
        for value in &row.values {
            query = value.bind(query);
        }
        self.steps.store(0, Ordering::Relaxed);
        let given = query.fetch_all(&mut self.connection).await;
        let given = given.unwrap_or_else(|error| panic!("{}: {error}", row.name));
        let cost = self.steps.load(Ordering::Relaxed);
        let changes = "select changes()";
        let written: i64 =
            sqlx::query_scalar(changes).fetch_one(&mut self.connection).await.unwrap();
        sqlx::raw_sql("rollback").execute(&mut self.connection).await.unwrap();
        let is_write = !text.trim_start().starts_with("select") && !text.starts_with("with");
        let found = if given.is_empty() && is_write { written as u64 } else { given.len() as u64 };
        Measured { cost, handled: 0, found, whole: Vec::new(), plan: details.join("\n  ") }
    }

    pub(super) async fn analyze(&mut self) {
        sqlx::raw_sql("analyze").execute(&mut self.connection).await.unwrap();
    }

    pub(super) async fn close(self) {
        self.connection.close().await.unwrap();
    }
}
