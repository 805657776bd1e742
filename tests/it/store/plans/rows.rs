//! Each statement of the store with the parameters that it is measured with.
//!
//! A statement of a hot path gets a group of 300, or looks for 300. Limits are for the whole
//! statement, and are given by the row: [`Row::a_row`] if the default does not fit.

use super::filled::{
    BLOCKED, HEAD, HELD, LATER, NODE, NOT_DUE_COUNT, OF_MANY_KEYS, READY, ROWS, RUNNING,
};
use serde_json::{Value as Json, json};
use sqlx::{Sqlite, query::Query, sqlite::SqliteArguments};

/// A group.
const GROUP: i64 = 300;
/// Pages that a row of a group may touch: some six indexes of three levels each, and their rows.
const PAGES: u64 = 26;
/// Steps that a row of a group may take on SQLite.
const STEPS: u64 = 200;
/// And what a statement costs beside its rows.
const PAGES_FIXED: u64 = 60;
const STEPS_FIXED: u64 = 1_000;

/// A parameter.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Number(i64),
    /// What the store hands over as an `i32`.
    Small(i32),
    Text(String),
    /// A text that is missing.
    NoText,
    /// A number that is missing.
    NoNumber,
    Flag(bool),
}

impl Value {
    pub(super) const fn postgres_type(&self) -> &'static str {
        match self {
            Self::Number(_) | Self::NoNumber => "bigint",
            Self::Small(_) => "integer",
            Self::Text(_) | Self::NoText => "text",
            Self::Flag(_) => "boolean",
        }
    }

    pub(super) fn literal(&self) -> String {
        match self {
            Self::Number(it) => it.to_string(),
            Self::Small(it) => it.to_string(),
            Self::Text(it) => format!("'{}'", it.replace('\'', "''")),
            Self::NoText | Self::NoNumber => "null".to_owned(),
            Self::Flag(it) => it.to_string(),
        }
    }

    pub(super) fn bind<'q>(
        &self,
        query: Query<'q, Sqlite, SqliteArguments>,
    ) -> Query<'q, Sqlite, SqliteArguments> {
        match self {
            Self::Number(it) => query.bind(*it),
            Self::Small(it) => query.bind(*it),
            Self::Text(it) => query.bind(it.clone()),
            Self::NoText => query.bind(None::<String>),
            Self::NoNumber => query.bind(None::<i64>),
            Self::Flag(it) => query.bind(*it),
        }
    }
}

/// Over which connections a statement goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Session {
    Writer,
    Reader,
    Scan,
    Api,
}

/// A statement, its parameters, and what it may cost.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// Tells rows of one statement apart.
    note: &'static str,
    pub(super) values: Vec<Value>,
    pub(super) session: Session,
    /// Only on SQLite, or only on PostgreSQL.
    only_sqlite: Option<bool>,
    /// Rows of its group, or that it looks for.
    pub(super) count: u64,
    pub(super) pages: u64,
    pub(super) steps: u64,
    /// Tables that grow and that it may read whole.
    pub(super) whole: Vec<&'static str>,
    /// How many rows it must find or write.
    pub(super) finds: Option<u64>,
}

impl Row {
    fn new(session: Session, name: &'static str, values: Vec<Value>) -> Self {
        let row = Self {
            name,
            note: "",
            values,
            session,
            only_sqlite: None,
            count: GROUP.unsigned_abs(),
            pages: 0,
            steps: 0,
            whole: Vec::new(),
            finds: None,
        };
        row.a_row(PAGES, STEPS)
    }

    /// The limit for each row, in pages and in steps.
    fn a_row(mut self, pages: u64, steps: u64) -> Self {
        self.pages = PAGES_FIXED + self.count * pages;
        self.steps = STEPS_FIXED + self.count * steps;
        self
    }

    /// It looks for this many rows.
    fn of(mut self, count: u64) -> Self {
        self.count = count;
        self.a_row(PAGES, STEPS)
    }

    /// It must find or write as many.
    fn finds(mut self, count: u64) -> Self {
        self.finds = Some(count);
        self
    }

    /// It reads these tables from end to end, for this reason, in at most as many pages and steps.
    fn whole(mut self, tables: &[&'static str], _reason: &str, pages: u64, steps: u64) -> Self {
        self.whole = tables.to_vec();
        (self.pages, self.steps) = (pages, steps);
        self
    }

    /// It may read these tables from end to end, within its limits, for this reason.
    fn may_read(mut self, tables: &[&'static str], _reason: &str) -> Self {
        self.whole = tables.to_vec();
        self
    }

    fn note(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }

    fn only_on_sqlite(mut self) -> Self {
        self.only_sqlite = Some(true);
        self
    }

    fn only_on_postgres(mut self) -> Self {
        self.only_sqlite = Some(false);
        self
    }

    pub(super) fn is_for_sqlite(&self) -> bool {
        self.only_sqlite != Some(false)
    }

    pub(super) fn is_for_postgres(&self) -> bool {
        self.only_sqlite != Some(true)
    }

    /// For messages.
    pub(super) fn label(&self) -> String {
        match self.note {
            "" => self.name.to_owned(),
            note => format!("{} ({note})", self.name),
        }
    }
}

fn writer<const N: usize>(name: &'static str, values: [Value; N]) -> Row {
    Row::new(Session::Writer, name, values.to_vec())
}

fn reader<const N: usize>(name: &'static str, values: [Value; N]) -> Row {
    Row::new(Session::Reader, name, values.to_vec())
}

fn scan<const N: usize>(name: &'static str, values: [Value; N]) -> Row {
    Row::new(Session::Scan, name, values.to_vec())
}

fn api<const N: usize>(name: &'static str, values: [Value; N]) -> Row {
    Row::new(Session::Api, name, values.to_vec())
}

fn number(it: i64) -> Value {
    Value::Number(it)
}

fn text(it: &str) -> Value {
    Value::Text(it.to_owned())
}

/// A group of 300 objects, of numbers 0 to 299.
fn group(row: impl Fn(i64) -> Json) -> Value {
    Value::Text(Json::Array((0..GROUP).map(row).collect()).to_string())
}

/// One group with all of these objects.
fn these(rows: Json) -> Value {
    Value::Text(rows.to_string())
}

/// 300 ids.
fn ids(id: impl Fn(i64) -> i64) -> Value {
    group(|n| json!(id(n)))
}

/// Every 333rd row of a table of 100,000.
fn spread(n: i64) -> i64 {
    1 + n * (ROWS / GROUP)
}

/// The client of row `n`.
fn client(n: i64) -> String {
    if n == 1 { "rare".to_owned() } else { format!("c{}", n % 50) }
}

const INBOUND: &str = "SMS_INBOUND_POST_PROCESS";
/// Why a window may be read from end to end.
const WINDOW: &str = "its rows are a large part of the table, and bounded";
/// Before everything on a list.
const NEWEST: Value = Value::Number(i64::MAX);
const PAGE: Value = Value::Number(51);
/// Before all rows of a table of the queue.
const START: Value = Value::Number(-i64::MAX);

/// Every statement, most of them once.
pub(super) fn rows() -> Vec<Row> {
    [
        ingest(),
        settle(),
        queue(),
        nodes_and_caps(),
        chores(),
        by_hand(),
        of_people(),
        explained(),
        lists(),
    ]
    .concat()
}

fn ingest() -> Vec<Row> {
    let of_lead = |n: i64| json!({"from_id": spread(n), "into_id": spread(n) + 1});
    let key = |n: i64, kind: &str| {
        let n = spread(n) / 10 * 10 + i64::from(kind == "reply");
        json!({"client_id": OF_MANY_KEYS, "channel": "sms", "kind": kind, "key": format!("key of a message {n}"),
            "chat": format!("key of a message {n}"), "message_id": n, "ttl": null})
    };
    let new = |n: i64| 2_000_000 + n;
    let message = |n: i64| {
        json!({"id": new(n), "client_id": client(n), "lead_id": spread(n), "channel": "sms", "direction": "inbound",
            "source": "provider", "body": "hello", "has_new_text": true, "payload": "{}", "sender": "{}", "recipients": "[]",
            "cc": "[]", "attachments": "[]", "automated": false, "request_id": "r", "sent_at": 1_764_000_000_000_i64})
    };
    let lead = |id: i64| json!({"id": id, "client_id": "c1", "status": "new", "sms_dnd": false, "last_message_at": 1_764_000_000_000_i64});
    let campaign = |n: i64| json!({"id": spread(n), "client_id": client(spread(n)), "channel": "sms", "provider_id": format!("p{}", spread(n)), "name": "Two"});
    vec![
        writer("PUT_KEYS", [group(|n| json!({"client_id": client(n), "channel": "sms", "kind": "reply", "key": format!("new {n}"), "message_id": new(n), "ttl": null}))]).finds(300),
        writer("READ_KEYS", [group(|n| key(n, "reply"))]),
        writer("REPOINT_KEYS", [group(|n| key(n, "reply"))]).finds(300),
        writer("READ_CHATS", [group(|n| key(n, "chat"))]),
        writer("PUT_CHATS", [group(|n| json!({"client_id": "c1", "channel": "sms", "chat": format!("new {n}"), "message_id": 1}))]).finds(300),
        writer("READ_IDENTITIES", [group(|n| json!({"client_id": client(spread(n)), "kind": "phone", "value": format!("+1555{}", spread(n))}))]).finds(300),
        writer("PUT_IDENTITIES", [group(|n| json!({"client_id": "c1", "kind": "phone", "value": format!("new {n}"), "lead_id": spread(n)}))]).finds(300),
        writer("READ_IDENTITIES_OF", [ids(spread)]).finds(300),
        writer("READ_OWNERS", [group(|n| json!({"client_id": client(spread(n)), "kind": "phone", "value": format!("+1555{}", spread(n))}))]).finds(300),
        writer("READ_CAMPAIGNS", [group(campaign)]).finds(300),
        writer("PUT_CAMPAIGNS", [group(|n| json!({"id": new(n), "client_id": "c1", "channel": "sms", "provider_id": format!("new {n}"), "name": "Two"}))]).finds(300),
        writer("RENAME_CAMPAIGNS", [group(campaign)]).finds(300),
        writer("LOCK_LEADS", [ids(spread)]).finds(300),
        writer("PUT_LEADS", [group(|n| lead(new(n)))]).finds(300),
        writer("UPDATE_LEADS", [group(|n| lead(spread(n)))]).finds(300),
        writer("PUT_MESSAGES", [group(message)]).finds(300),
        writer(
            "PUT_LARGE_MESSAGE",
            [
                number(new(0)), text("c1"), number(1), text("sms"), text("inbound"), text("provider"), Value::NoText, Value::NoText,
                text("x"), number(1), Value::NoText, text("hello"), Value::Flag(true), Value::NoText, Value::NoText, text("{}"),
                text("{}"), text("[]"), text("[]"), text("[]"), Value::NoText, Value::Flag(false), text("r"),
                number(1_764_000_000_000),
            ],
        )
        .of(1)
        .finds(1),
        writer("READ_FIRSTS", [group(|n| json!({"id": spread(n), "kind": INBOUND}))]).finds(300),
        // At most three of the last 60 messages of each lead.
        writer("READ_OURS", [group(|n| json!({"n": n, "lead_id": spread(n), "channel": "sms"})), Value::Small(10_000)]).a_row(60, 600),
        writer("READ_HINTED", [group(|n| json!({"n": n, "lead_id": spread(n), "not_after": 4_000_000_000_000_i64}))]).finds(300),
        writer("READ_SENTIMENTS", [ids(spread)]).finds(300),
        writer("SET_SENTIMENT", [group(|n| json!({"id": spread(n), "sentiment": "Neutral"}))]).finds(300),
        writer("NAME_MESSAGES", [group(|n| json!({"id": spread(n), "provider_id": "x"}))]).finds(300),
        writer("FILL_MESSAGES", [group(|n| json!({"id": spread(n), "body": "x", "has_new_text": true}))]),
        writer("READ_CHANGEABLE", [ids(spread)]).finds(300),
        writer("CHANGE_MESSAGES", [group(|n| json!({"id": spread(n), "body": "x", "deleted": false, "failed": false}))]).finds(300),
        writer("END_EDITED_DRAFTS", [ids(spread)]).note("with and without approved ones"),
        writer("FAIL_DELIVERIES", [ids(spread), text("x")]).finds(300),
        writer("FAIL_DRAFTS", [ids(spread)]).finds(300),
        writer("READ_ANSWERS_NAMED", [group(|n| json!({"n": n, "client_id": client(spread(n)), "channel": "sms", "provider_id": format!("p{}", spread(n))}))]).finds(300),
        writer("READ_ENDS", [group(|n| json!({"subject_id": spread(n), "kind": "SMS_INBOUND_POST_PROCESS"}))]).finds(300),
        writer("READ_ECHOED", [group(|n| json!({"n": n, "lead_id": spread(n), "channel": "sms", "provider_id": format!("p{}", spread(n)), "text_key": "k"}))]).finds(300),
        writer("SETTLE_ECHOED", [group(|n| json!({"id": spread(n), "provider_id": "p", "message_id": 1}))]).finds(300),
        writer("PUT_QUARANTINE", [group(|n| json!({"id": new(n), "client_id": "c1", "channel": "sms", "body_hash": format!("new {n}"), "reason": "x", "n": 1, "payload": "p", "size": 1, "received_at": 1_764_000_000_000_i64}))]).finds(300),
        writer("READ_QUARANTINED", [group(|n| json!({"client_id": client(spread(n)), "channel": "sms", "body_hash": format!("h{}", spread(n))}))]).finds(300),
        writer("LOCK_ROOMS", [group(|n| json!({"client_id": format!("x{}", n + 100)}))]).finds(300),
        writer("WRITE_ROOMS", [group(|n| json!({"client_id": format!("room {}", n + 1), "items": 1, "bytes": 1}))]).finds(300),
        writer("LOCK_PENDING_DRAFTS", [ids(|n| 5 * n + 101)]).finds(300),
        writer("LOCK_PENDING_DRAFTS", [ids(|n| spread(n) / 5 * 5 + 2)]).note("of leads without one").finds(0),
        writer("END_DRAFTS", [group(|n| json!({"id": 5 * n + 101, "status": "superseded", "decided_by": "newer_message"}))]).finds(300),
        writer("READ_SENDS", [ids(spread)]).finds(300),
        writer("SETTLE_DELIVERIES", [group(|n| json!({"id": spread(n), "status": "sent", "provider_id": "p", "message_id": n, "is_over": true}))]).finds(300),
        writer("SETTLE_DRAFTS", [group(|n| json!({"id": spread(n), "status": "sent"}))]).finds(300),
        writer("READ_PROPOSED", [ids(|n| 5 * n + 101), text("DELIVER_REPLY")]).finds(300),
        writer("APPROVE_DRAFTS", [ids(|n| 5 * n + 101), text("automatic_reply")]).finds(300),
        writer("PAUSE_ACCOUNTS", [group(|n| json!({"client_id": format!("x{n}"), "channel": "sms", "state": "rate_limited", "pause": 1000, "reason": "429"}))]).finds(300),
        writer("RESUME_ACCOUNTS", [group(|n| json!({"client_id": format!("c{n}"), "channel": "sms"}))]).finds(0),
        writer("END_ECHOED_DRAFTS", [ids(spread)]).finds(300),
        writer("READ_MARKED_DRAFTS", [ids(spread)]).finds(0),
        writer("READ_SEND", [Value::Number(500)]).finds(1),
        writer("MARK_SEND", [Value::Number(new(1)), text("k"), Value::Number(1), Value::Number(1), Value::Number(500)]).finds(1),
        writer("SET_DRAFT_STATUS", [Value::Number(500), text("sending"), Value::NoText]).finds(1),
        writer("END_UNSENT", [Value::Number(500), text("opted_out"), Value::Number(1), Value::Number(1)]).finds(0),
        writer("PUT_JOBS", [group(|n| json!({"id": new(n), "kind": INBOUND, "client_id": client(n), "lead_id": spread(n), "subject_id": new(n), "max_attempts": 5, "channel": "sms", "delay": 0, "trace": "7-9-none"}))]).finds(300),
        writer("READ_LINES", [group(|n| json!({"line": spread(n)}))]).finds(300),
        writer("TAKE_TURNS", [group(|n| json!({"client_id": format!("x{}", n + 100), "kind": INBOUND, "n": 3}))]).finds(300),
        writer("PUT_READY", [group(|n| json!({"line": 5_000 + n, "job_id": new(n), "kind": INBOUND, "client_id": client(n), "turn": 5_000 + n, "run": 0, "spared": 0}))]).finds(300),
        writer("PUT_BORN", [group(|n| json!({"line": 5_000 + n, "job_id": new(n), "kind": INBOUND, "client_id": client(n)})), number(NODE), these(json!([{"kind": INBOUND, "floor": 10_000_000}]))]).finds(300),
        writer("READ_CALM_KINDS", [these(json!([{"kind": INBOUND, "floor": 10_000_000}]))]).finds(1),
        writer("PUT_BLOCKED", [group(|n| json!({"line": 1 + n, "pos": 900_000, "job_id": new(n), "kind": INBOUND, "client_id": client(n), "run": 0, "spared": 0}))]).finds(300),
        writer("PUT_LATER", [group(|n| json!({"job_id": new(n), "delay": 60_000, "line": -new(n), "kind": INBOUND, "client_id": client(n), "run": 0, "spared": 0}))]).finds(300),
        writer("ADD_COUNTS", [group(|n| json!({"node": 1 + n, "kind": "SELF_CHECK", "state": "succeeded", "n": 1}))]).finds(300),
        writer("MOVE_IDENTITIES", [group(of_lead)]).finds(300),
        writer("MOVE_MESSAGES", [group(of_lead)]).finds(300),
        writer("MOVE_DRAFTS", [group(|n| json!({"from_id": spread(n) / 5 * 5 + 2, "into_id": 3}))]).finds(300),
        writer("MOVE_DELIVERIES", [group(of_lead)]).finds(300),
        writer("MOVE_OPT_OUTS", [group(of_lead)]).finds(300),
        writer("MOVE_EXAMPLES", [group(of_lead)]).finds(300),
        writer("SET_MERGED", [group(of_lead)]).finds(300),
        writer("SET_MERGED_BEFORE", [group(|n| json!({"from_id": 50 * n + 48, "into_id": 1}))]).finds(300),
        writer("READ_HEADS", [ids(|n| 1 + n)]).finds(300),
        writer("READ_BLOCKED", [these(json!([2, 3, 7]))]).finds(300),
    ]
}

/// Opt-outs, suppression and erasure.
fn of_people() -> Vec<Row> {
    let hash = |n: i64| json!({"client_id": client(spread(n)), "identity_hash": format!("hash {}", spread(n)), "lead_id": n});
    let new =
        |n: i64| json!({"client_id": "c1", "identity_hash": format!("new {n}"), "opt_out_id": 1});
    let fact = |n: i64| json!({"id": 2_000_000 + n, "client_id": "c1", "lead_id": spread(n), "opted_out_at": 1_764_000_000_000_i64, "reason": "x", "source": "words"});
    let one = |name: &'static str| writer(name, [number(100)]).of(1).finds(1);
    let batch = |name: &'static str| writer(name, [number(100), number(200)]).of(1).finds(1);
    vec![
        reader("READ_INSTALLATION", [text("suppression_key")]).of(1).finds(1),
        writer("PUT_OPT_OUTS", [group(fact)]).finds(300),
        writer("READ_SUPPRESSED", [group(hash)]).finds(300),
        writer("PUT_SUPPRESSED", [group(new)]).finds(300),
        writer("REPOINT_SUPPRESSED", [ids(spread), number(1)]).finds(300),
        writer("DELETE_SUPPRESSED", [ids(spread)]).finds(300),
        writer("READ_VERDICTS", [number(100), number(200)]).of(1),
        writer("LIFT_OPT_OUTS", [number(100), text("dana"), text("x")]).of(1).finds(1),
        writer("LIFT_SUPPRESSING", [ids(spread), text("dana")]).finds(300),
        api("READ_OPT_OUTS", [number(100)]).of(1).finds(1),
        writer("READ_ON_WIRE", [number(100)]).of(1),
        batch("DELETE_MESSAGES"),
        batch("DELETE_DRAFTS"),
        batch("DELETE_DELIVERIES"),
        batch("DELETE_EXAMPLES"),
        api("LIST_EXAMPLES_OF_LEAD", [number(0), NEWEST, PAGE, these(json!([{"value": 100}]))])
            .of(1)
            .finds(1),
        batch("DELETE_CALLS"),
        writer("DELETE_CALLS_OF", [ids(spread)]),
        writer("READ_JOBS_ABOUT", [ids(spread)]).finds(300),
        writer("ERASE_ERRORS", [ids(spread)]),
        writer("ERASE_AUDIT", [group(|n| json!({"value": format!("target {}", spread(n))}))])
            .finds(300),
        writer("READ_MERGED", [number(48)]).of(1).finds(1),
        writer("DELETE_IDENTITIES", [ids(spread)]).finds(300),
        writer("DELETE_LEADS", [ids(spread)]).finds(300),
        one("READ_OLDEST_OPT_OUT"),
        writer("DELETE_OPT_OUTS", [number(100), number(1)]).of(1).finds(1),
        one("UNLINK_OPT_OUT"),
        api("READ_BODIES", [ids(spread)]).finds(300),
        writer("ERASE_QUARANTINED", [ids(spread)]).finds(300),
    ]
}

fn settle() -> Vec<Row> {
    let running = |n: i64| -(RUNNING + 1 + n);
    vec![
        writer("LOCK_HEADS", [ids(running)]).finds(300),
        writer("READ_FOLLOWERS", [group(|n| json!({"line": 1 + n}))]).finds(300),
        writer("DELETE_HEADS", [ids(running)]).finds(300),
        writer("DELETE_FOLLOWERS", [ids(|n| BLOCKED + spread(n))]).finds(300),
        writer("PUT_ATTEMPTS", [group(|n| json!({"job_id": RUNNING + 1 + n, "run": 1, "spared": 0, "outcome": "succeeded", "ended": true, "node": NODE, "actor": "a", "duration": 5}))]).finds(300),
        writer("RETRY_HEADS", [group(|n| json!({"line": running(n), "delay": 5}))]).finds(300),
        writer("POSTPONE_HEADS", [group(|n| json!({"line": running(n), "delay": 5}))]).finds(300),
        writer("RELEASE_HEADS", [ids(running)]).finds(300),
        // Its table has more indexes than most.
        writer("UPDATE_MESSAGES", [group(|n| json!({"id": spread(n), "sentiment": "Neutral", "judged_by": "local 01234567", "handled": true}))]).finds(300).a_row(PAGES + 3, STEPS),
        writer("READ_HANDLES", [ids(spread)]).finds(300),
        writer("PUT_DRAFTS", [group(|n| json!({"id": 2_000_000 + n, "client_id": client(n), "lead_id": spread(n) / 5 * 5 + 2, "message_id": 2_000_000 + n, "channel": "sms", "body": "x", "parts": "[]", "from_template": false}))]).finds(300),
    ]
}

fn queue() -> Vec<Row> {
    let two_kinds = json!([{"kind": "SELF_CHECK", "floor": 0, "slots": 150}, {"kind": INBOUND, "floor": 1, "slots": 150}]);
    let kinds = || these(json!([{"kind": "SELF_CHECK"}, {"kind": INBOUND}]));
    let later = |n: i64| LATER + spread(n);
    vec![
        writer("CLAIM", [number(NODE), these(two_kinds)]).only_on_postgres().finds(300),
        writer(
            "CLAIM",
            [
                number(NODE),
                text("SELF_CHECK"),
                number(0),
                number(150),
                text(INBOUND),
                number(1),
                number(150),
                these(json!(["unknown to this node"])),
            ],
        )
        .only_on_sqlite()
        .finds(300),
        writer("READ_FACTS", [ids(spread)]).finds(300),
        writer("RAISE_CLOCK", [these(json!([{"kind": "SELF_CHECK", "turn": 7}])), number(NODE)])
            .of(1)
            .only_on_sqlite(),
        reader("READ_CLOCK", []).of(3).finds(3),
        // At most 1,000 at once.
        writer("READ_DUE_RETRIES", []).of(1_000).finds(1_000),
        writer(
            "TAKE_DUE_TURNS",
            [group(|n| json!({"client_id": format!("x{}", n + 100), "kind": INBOUND, "n": 3}))],
        )
        .finds(300),
        writer("LOCK_DUE_RETRIES", [ids(|n| -(READY + NOT_DUE_COUNT + 1 + n))]).finds(300),
        writer(
            "TURN_HEADS",
            [group(|n| json!({"line": -(READY + NOT_DUE_COUNT + 1 + n), "turn": 5}))],
        )
        .finds(300),
        writer("READ_DUE_LATER", []).of(1_000).finds(1_000),
        writer("TAKE_DUE_LATER", [ids(later)]).finds(300),
        reader("READ_NEXT_DUE", []).of(1).finds(1),
        reader("READ_SUSPECTS", [kinds(), these(json!([{"client_id": "c1"}]))])
            .of(1_000)
            .finds(0)
            .note("none among all that is due"),
        writer("CLAIM_SUSPECT", [number(NODE), ids(|n| -(READY + NOT_DUE_COUNT + 1 + n))])
            .finds(0),
        writer("READ_ARE_SUSPECTS", [group(|n| json!({"job_id": spread(n)}))]).finds(0),
        writer(
            "PUT_SUSPECTS",
            [group(|n| json!({"line": 5_000 + n, "job_id": 2_000_000 + n, "kind": INBOUND, "client_id": client(n), "run": 1, "spared": 0}))],
        )
        .finds(300),
        scan("READ_ORPHANS", [these(json!([NODE])), kinds()])
            .whole(
                &["job_ready"],
                "rare, and an index on the node would cost each claim",
                12_000,
                4_000_000,
            )
            .finds(400),
        reader("READ_CLAIMED_RUNS", [number(NODE)]).of(400).finds(400),
        scan("READ_HEADLESS", []).whole(
            &["job_blocked", "job_ready"],
            "each minute, and looks for what should not be there",
            10_000,
            4_000_000,
        ),
        reader("READ_CONVERSATIONS", [ids(spread)]).finds(300),
        reader("READ_SENDING_FACTS", [number(500)]).of(1).finds(1),
        reader("READ_DRAFT_TO_SEND", [number(500), text("DELIVER_REPLY")]).of(1).finds(1),
        reader(
            "READ_TRANSCRIPTS_POSTGRES",
            [group(|n| json!({"lead_id": spread(n)})), number(20), Value::Small(500)],
        )
        .only_on_postgres()
        .finds(300),
        reader(
            "READ_TRANSCRIPTS_SQLITE",
            [group(|n| json!({"lead_id": spread(n)})), number(20), Value::Small(500)],
        )
        .only_on_sqlite()
        .finds(300),
        reader("READ_END", [number(5)]).of(1).finds(1),
        reader("READ_SUCCEEDED", [kinds()]).of(1_000),
    ]
}

fn nodes_and_caps() -> Vec<Row> {
    let capped =
        |n: i64| json!({"client_id": format!("x{}", 1 + n), "cap": 5, "admitted": 1, "held": 0});
    let looks_for = json!([{"kind": "SELF_CHECK", "floor": 1}, {"kind": INBOUND, "floor": 1}]);
    vec![
        writer("NEXT_NODE", []).of(1),
        writer("READ_SLOTS", []).of(5),
        writer("PUT_NODE", [number(5_000), Value::Small(77), text("all")]).of(1),
        writer("TOUCH_NODE", [number(NODE)]).of(1).finds(1),
        writer("DELETE_NODES", [these(json!([NODE]))]).of(1).finds(1),
        writer("BEAT", [number(NODE), number(5_000), Value::Flag(true), these(looks_for)])
            // Some pages more, for entries of what was rolled back here.
            .of(20)
            .only_on_postgres(),
        writer("PUT_STATUS", [number(NODE), text("{}")]).of(1).finds(1),
        reader("READ_NODES", []).of(5),
        reader("READ_DURABILITY", []).of(1).only_on_postgres(),
        reader("READ_SERVER", []).of(1).only_on_postgres(),
        reader("READ_SQLITE_VERSION", []).of(1).only_on_sqlite(),
        writer("READ_ID_FLOOR", []).of(20),
        writer("PUT_AUDIT", [group(|n| json!({"id": 900_000_000 + n, "waited_ms": 7, "actor": "dana", "role": "operator", "via": "command", "action": "pool.override", "target": "t", "old_value": null, "new_value": "8", "note": null, "node": 1, "request_id": null}))]).finds(300),
        writer("PUT_MODEL_CALLS", [group(|n| json!({"id": 900_000_000 + n, "kind": "SELF_CHECK", "feature": "classify", "prompt": "classify.v1", "model": "m", "status": "ok", "error": null, "tokens_in": 700, "tokens_out": 20, "latency_ms": 900, "retry": 0, "client_id": "c1", "lead_id": n, "job_id": n, "node": 1}))]).finds(300),
        writer("COUNT_SESSIONS", [text("user 7"), number(100)]).of(100).finds(1),
        writer("PUT_SESSION", [number(900_000_001), text("a new hash"), text("mark"), text("dana"), text("dana"), text("Firefox"), number(7)]).of(1).finds(1),
        writer("TOUCH_SESSION", [text("hash 5"), number(-60_000)]).of(1).finds(1),
        api("READ_REVOKED", []).of(1).finds(1),
        api("READ_SESSION", [number(5)]).of(1).finds(1),
        api("LIST_SESSIONS", [NEWEST, PAGE]).of(51).finds(51),
        api("LIST_SESSIONS_OF", [NEWEST, PAGE, text("user 7")]).of(51).finds(51),
        writer("REVOKE_SESSION", [number(5)]).of(1).finds(1),
        writer("RAISE_OVERRIDES", []).of(1),
        reader("READ_OVERRIDES", []).of(5),
        writer("PUT_OVERRIDES", [group(|n| json!({"kind": format!("KIND_{n}"), "name": "size", "value": "16", "base": "8", "changed_by": "dana", "note": null, "changed_at": 1_764_000_000_000_i64, "expires_at": null}))]).finds(300),
        writer("DELETE_OVERRIDE", [text("SELF_CHECK")]).of(1),
        writer("LOCK_CAPS", [group(capped)]).finds(300),
        writer("WRITE_CAPS", [group(capped)]).finds(300),
        writer("READ_HELD_HEADS", [text("capped"), number(300)]).finds(300),
        writer("ADMIT_HEADS", [ids(|n| -(HELD + 1 + n))]).finds(300),
        writer("PUT_CAPS", [group(capped)]).finds(300),
        writer("DELETE_CAPS", [group(capped)]).of(1_001),
        reader("READ_CAPS", []).of(1_001).finds(1_001),
        reader("HAS_CAPS", []).of(1).finds(1),
        scan("READ_UNCAPPED_CLIENTS", []).whole(
            &["job_ready"],
            "looks for held heads of clients without a cap, each minute on one node, without locks",
            500_000,
            4_000_000,
        ),
        scan("READ_WRONG_CAPS", []).whole(
            &["job_ready"],
            "counts it, each minute on one node, without locks",
            500_000,
            4_000_000,
        ),
        writer("COUNT_HEADS", [these(json!([{"client_id": "capped"}, {"client_id": "c7"}]))])
            .whole(&["job_ready"], "counts it, where counts were found wrong", 500_000, 4_000_000),
        writer("COUNT_DUE_SUSPECTS", [group(capped)]).of(1_000),
        writer("DELETE_CAPS_OF_NOTHING", [group(capped)]).of(1_001),
        writer("PUT_CLIENTS", [number(NODE), text(r#"["c1"]"#)]).of(1).finds(1),
        reader("READ_CLIENTS", []).of(5),
        reader("READ_CLIENTS_WITH_JOBS", [text("SELF_CHECK"), text("_system")]).of(1_100),
        scan("READ_CLIENTS_IN_TURN", [these(json!([{"client_id": "unknown"}]))]).whole(
            &["job_ready"],
            "each minute on one node, where some client is unknown to all",
            12_000,
            4_000_000,
        ),
        writer("HOLD_HEADS", [text("unknown"), number(i64::MIN), number(300)]).whole(
            &["job_ready"],
            "walks on from where it was, for a client that is unknown to all nodes",
            500_000,
            4_000_000,
        ),
    ]
}

fn chores() -> Vec<Row> {
    let (first, all) = (number(0), number(i64::MAX));
    let tomorrow = number(4_000_000_000_000);
    vec![
        reader("READ_OLD_JOBS", [first.clone(), all.clone(), number(300)]).finds(300),
        writer("LOCK_ENDED", [ids(spread), number(0), number(0)]).finds(300),
        writer("DELETE_ATTEMPTS", [ids(spread)]).finds(300),
        writer("DELETE_JOBS", [ids(spread)]).finds(300),
        reader("READ_OLD_MESSAGES", [first.clone(), all.clone(), number(300)])
            .may_read(&["messages"], "through a bitmap of its key, until it is analysed"),
        writer("DROP_PAYLOADS", [number(0), number(300)]),
        reader("READ_PROGRESS", [text("payloads_pruned_to")]).of(1),
        writer("PUT_PROGRESS", [text("payloads_pruned_to"), number(5)]).of(1),
        reader("READ_TOLD", []).of(1),
        writer("PUT_TOLD", [text("alert/Down"), number(5)]).of(1),
        writer("DELETE_TOLD", [text("alert/Down")]).of(1),
        reader("READ_OLD_QUARANTINED", [all, tomorrow.clone(), number(300)]).finds(300),
        writer("DELETE_QUARANTINED", [ids(spread), tomorrow]).finds(300),
        writer("DELETE_EXPIRED_KEYS", [number(300)]).finds(300),
        writer("DELETE_OLD_AUDIT", [NEWEST, number(300)]).finds(300),
        writer("DELETE_OLD_OPERATIONS", [NEWEST, number(300)]).finds(300),
        writer("DELETE_OLD_MODEL_CALLS", [NEWEST, number(300)]).finds(300),
        writer("DELETE_OLD_SESSIONS", [NEWEST, number(300)]).finds(300),
        writer("TAKE_FOLDED_COUNTS", [number(NODE)]).of(1_000),
        writer("TAKE_FOLDED_CLOCK", [number(NODE)]).of(3),
        writer("FOLD_CLOCK", [these(json!([{"kind": "SELF_CHECK", "turn": 7}]))]).of(1).finds(1),
        writer("FAIL_OPERATIONS", [these(json!([1])), text("why")]).of(1).finds(1),
        writer("FORGET_NODES", [these(json!([NODE])), number(1)]).of(1),
    ]
}

fn explained() -> Vec<Row> {
    vec![
        api("READ_NOW", []).of(1).finds(1),
        api("READ_HEAD", [number(-(READY + 1))]).of(1).finds(1),
        api("READ_LAST_RUN", [number(8)]).of(1).finds(1),
        // A hundred jobs wait in the line.
        api("READ_PLACE_IN_LINE", [number(BLOCKED + 99_000), number(1_001)]).of(200).finds(1),
        api("READ_CAP", [text("capped")]).of(1).finds(1),
        api("READ_ADMITTED", [text("c1"), number(1_000)]).of(3_000),
        api("READ_RUNNING_SUSPECTS", []).of(400).finds(0).note("none among all that run"),
        // Those that run come first, and then as many as are counted.
        api(
            "COUNT_TURNS_BEFORE",
            [text("SELF_CHECK"), number(1_000_000), text("c1"), number(1_001)],
        )
        .of(1_401)
        .finds(1),
        api("READ_NODES_EXPLAINED", []).of(2).finds(2),
        api("READ_LEAD_STATE", [number(5)]).of(1).finds(1),
        api("READ_UNANSWERED", [number(5), number(500), number(11)]).of(1).finds(1),
        api("READ_DRAFT_STATES", [number(5), number(500)]).of(1).finds(1),
        api("READ_SEND_OBSTACLES", [number(5)]).of(1).finds(1),
        api("READ_JOBS_OF_MESSAGES", [ids(spread)]).finds(300),
    ]
}

fn by_hand() -> Vec<Row> {
    let turns = |n: i64| json!({"client_id": format!("x{}", n + 100), "kind": INBOUND, "n": 3});
    let all_clients = || {
        let client = |n: i64| if n == 50 { "rare".to_owned() } else { format!("c{n}") };
        these((0..=50).map(|n| json!({"client_id": client(n)})).collect())
    };
    let phone = |n: i64| json!({"kind": "phone", "value": format!("+1555{n}")});
    let phones = |of: &[i64]| these(of.iter().map(|n| phone(*n)).collect());
    vec![
        // It looks into six tables.
        api("READ_JOBS", [ids(spread)]).a_row(60, 400).finds(300),
        api("READ_LEAD_MARKS", [ids(spread)]).finds(300),
        writer("READ_JOBS", [ids(|n| HEAD + 1 + n)])
            .note("before and after they move")
            .a_row(60, 400)
            .finds(300),
        api("READ_FAILURES", [number(8), number(200)]).of(1).finds(1),
        api("READ_ERRORS", [ids(spread)]).finds(300),
        // It looks into eight tables.
        api("FIND_BY_ID", [number(5)]).of(8),
        api(
            "FIND_BY_IDENTITY",
            [group(|n| json!({"client_id": format!("c{n}")})), phones(&[5]), number(50)],
        )
        .finds(1),
        api("FIND_BY_IDENTITY", [all_clients(), phones(&[5, 7, 11, 13, 17, 19]), number(50)])
            .note("of several identities")
            .of(306)
            .finds(6),
        api("FIND_BY_IDENTITY", [all_clients(), group(|n| phone(spread(n))), number(50)])
            .note("of many identities")
            .of(51 * 300)
            .finds(50),
        api("FIND_BY_REQUEST", [text("r777"), NEWEST, number(50)]).of(2).finds(2),
        writer("READ_DECIDED", [number(5)]).of(1).finds(1),
        api("READ_TRACES", [number(5)]).of(3).finds(1),
        writer("ADD_TRACE", [number(5), text("x")]).of(1).finds(1),
        writer("REPLACE_TRACE", [number(5), text("x")]).of(1).finds(1),
        writer("READ_JOBS_OF_DRAFT", [number(5), text("AUTO_SEND_DELAYED"), text("DELIVER_REPLY")])
            .of(1)
            .finds(0),
        writer("READ_LATER_INBOUND", [number(3), number(0)]).of(1).finds(1),
        writer("EDIT_DRAFT", [number(5), Value::NoText, text("x"), text("[]"), text("x")])
            .of(1)
            .finds(1),
        writer(
            "REWRITE_DRAFT",
            [
                number(5),
                Value::NoText,
                text("x"),
                text("[]"),
                text("x"),
                text("Interested"),
                Value::NoText,
            ],
        )
        .of(1)
        .finds(1),
        writer("APPROVE_DRAFT", [number(5), text("dana"), number(10_000)]).of(1).finds(1),
        writer("SNOOZE_DRAFT", [number(5), number(1)]).of(1).finds(1),
        writer("TAKE_BACK_DRAFT", [number(5), text("superseded"), Value::NoText]).of(1).finds(1),
        writer("REJECT_DRAFT", [number(5), text("dana"), Value::NoText]).of(1).finds(1),
        writer("END_WAITING_SEND", [number(5), text("x")]).of(1).finds(0),
        writer("READ_DELIVERY", [number(7)]).of(1).finds(1),
        writer("RESOLVE_DELIVERY", [number(7), text("sent"), Value::NoNumber]).of(1).finds(1),
        writer("RESOLVE_DRAFT", [number(5), text("sent"), Value::NoText]).of(1).finds(0),
        writer("READ_TAGGED", [number(5)]).of(1).finds(1),
        writer("TAG_MESSAGE", [number(5), text("Interested")]).of(1).finds(1),
        writer(
            "PUT_EXAMPLE",
            [
                number(9_000_000_000_000),
                Value::NoNumber,
                text("tag"),
                Value::NoText,
                Value::Flag(true),
                Value::NoText,
                Value::NoText,
                Value::NoText,
                text("dana"),
                Value::Small(10_000),
                number(5),
            ],
        )
        .of(1)
        .finds(1),
        writer("REOPEN_ATTEMPTS", [group(|n| json!({"job": spread(n), "last_run": 1}))]).finds(300),
        writer("LOCK_TURNS", [group(turns)]),
        writer("LOWER_TURNS", [group(turns)]),
        // A hundred jobs wait in each line.
        writer("READ_BLOCKED_KINDS", [ids(|n| 1 + n)]).of(30_000).a_row(2, 20),
        writer(
            "PUT_OPERATION",
            [
                number(900_000_000),
                text("cancel"),
                text("{}"),
                number(3_000),
                text("dana"),
                number(NODE),
            ],
        )
        .of(1)
        .finds(1),
        writer(
            "WRITE_PROGRESS",
            [number(8), number(1), number(3_000), number(500), number(3), text("{}")],
        )
        .of(1)
        .finds(1),
        writer("STOP_OPERATION", [number(8)]).of(1).finds(1),
        writer("END_OPERATION", [number(8), number(1), text("failed"), text("why")]).of(1).finds(1),
        writer("READ_QUARANTINED_OF", [number(100)]).of(1).finds(1),
        writer("SETTLE_QUARANTINE", [number(100), text("discarded")]).of(1).finds(1),
    ]
}

fn lists() -> Vec<Row> {
    let none = || these(json!([]));
    let rare_client = || these(json!([{"client_id": "rare"}]));
    // The whole history of job lists: cursor, kinds, clients, limit.
    let jobs = |kinds: Option<&str>, clients: Option<&str>| {
        let kind = kinds.map_or(json!([]), |it| json!([{"kind": it}]));
        let client = clients.map_or(json!([]), |it| json!([{"client_id": it}]));
        let count = |it: Option<&str>| number(i64::from(it.is_some()));
        [NEWEST, count(kinds), these(kind), count(clients), these(client), PAGE]
    };
    let with = |common: [Value; 6], floor: i64, first: i64, second: i64| {
        let [a, b, c, d, e, f] = common;
        [a, b, c, d, e, f, number(floor), number(first), number(second)]
    };
    let unfinished = |common: [Value; 6], floor: i64, states: &[&str]| {
        let [a, b, c, d, e, f] = common;
        let rows = states.iter().map(|state| json!({"state": state})).collect();
        [a, b, c, d, e, f, number(floor), these(Json::Array(rows))]
    };
    let latest = || number(8_000_000_000_000_000);
    let statuses = |client_id: &str| {
        these(json!(
            ["new", "blacklisted"].map(|status| json!({"client_id": client_id, "status": status}))
        ))
    };
    let in_all = |field: &str, value: &str| {
        let client = |n: i64| if n == 50 { "rare".to_owned() } else { format!("c{n}") };
        let row = |n: i64| json!({"client_id": client(n), field: value});
        these(Json::Array((0..=50).map(row).collect()))
    };
    let messages_of = |clients: &[String], channel: &str, direction: &str| {
        let row = |client_id: &String| json!({"client_id": client_id, "channel": channel, "direction": direction});
        these(Json::Array(clients.iter().map(row).collect()))
    };
    let everybody: Vec<String> = (0..50).map(|n| client(n + 50)).collect();
    let places = || {
        let place = |client: &String| json!({"client_id": client, "channel": "sms"});
        these(everybody.iter().map(place).collect())
    };
    let of_many_keys = || these(json!([{"client_id": OF_MANY_KEYS, "channel": "sms"}]));
    let audit_of = |values: &[&str]| {
        let rows: Vec<Json> = values.iter().map(|value| json!({"value": value})).collect();
        [number(0), NEWEST, PAGE, these(rows.into())]
    };
    let calls_of = |values: &[i64]| {
        let rows: Vec<Json> = values.iter().map(|value| json!({"value": value})).collect();
        [number(0), NEWEST, PAGE, these(rows.into())]
    };
    let quarantine_of = |clients: &[String], status: &str| {
        let row = |client_id: &String| json!({"client_id": client_id, "channel": "sms", "status": status});
        these(Json::Array(clients.iter().map(row).collect()))
    };
    let any = number(0);
    let of_leads = |count: i64, rows: Value| {
        [
            NEWEST,
            PAGE,
            these(json!([{"lead_id": 3}, {"lead_id": 4}])),
            any.clone(),
            none(),
            number(count),
            rows,
            any.clone(),
            none(),
        ]
    };
    let mut lists = vec![
        api("LIST_JOBS", [NEWEST, PAGE]).of(51).finds(51),
        api("LIST_JOBS_BY", [NEWEST, PAGE, these(json!([{"client_id": "rare", "kind": INBOUND}]))])
            .note("a rare client")
            .of(51)
            .finds(2),
        api("LIST_JOBS_BY", [NEWEST, PAGE, in_all("kind", "RARE")])
            .note("a rare kind")
            .of(51)
            .finds(1),
        api(
            "LIST_JOBS_BY",
            [NEWEST, PAGE, these(json!([{"client_id": "c7", "kind": "SELF_CHECK"}]))],
        )
        .of(51)
        .finds(51),
        api(
            "LIST_JOBS_OF_LEADS",
            [NEWEST, any.clone(), none(), any.clone(), none(), PAGE, these(json!([1, 2, 3]))],
        )
        .of(51)
        .a_row(40, 400),
        api("LIST_UNSUCCESSFUL", with(jobs(None, None), 0, 1, 0))
            .note("failed, among what was cancelled, in a window")
            .of(10_000)
            .finds(1),
        api("LIST_UNSUCCESSFUL", with(jobs(None, Some("c20")), 50_000, 1, 1))
            .note("of a client, in a window")
            .of(10_000)
            .finds(51),
        api("UNSUCCESSFUL_BOUND", [NEWEST, PAGE]).of(51).finds(1),
        api(
            "LIST_UNFINISHED",
            unfinished(
                jobs(None, None),
                HEAD - 50,
                &["due", "retrying", "later", "behind", "held"],
            ),
        )
        .note("the newest")
        .of(3_500)
        .may_read(&["job_later"], WINDOW)
        .finds(51),
        api(
            "LIST_UNFINISHED",
            unfinished(
                jobs(None, Some("rare")),
                BLOCKED - 20_000,
                &["running", "due", "retrying", "later", "behind", "held"],
            ),
        )
        .note("a rare client, in a window")
        .of(120_000)
        .a_row(3, 40)
        .may_read(&["job_ready", "job_blocked", "job_later"], WINDOW),
        api("LIST_UNFINISHED", unfinished(jobs(None, None), BLOCKED - 20_000, &["held"]))
            .note("a rare state, in a window")
            .of(120_000)
            .a_row(3, 40)
            .may_read(&["job_ready", "job_blocked", "job_later"], WINDOW)
            .finds(51),
        api("UNFINISHED_BOUND", [NEWEST, PAGE]).of(204).finds(1),
        api("UNFINISHED_BOUND", [NEWEST, number(20_000)])
            .note("of a window")
            .of(80_000)
            .a_row(2, 20)
            .may_read(&["job_ready", "job_blocked", "job_later"], WINDOW)
            .finds(1),
        api("CLIENTS_OF_JOBS", []).of(60).finds(52),
        api("CLIENTS_OF_MESSAGES", []).of(60).finds(51),
        api("CLIENTS_OF_LEADS", []).of(60).finds(50),
        api("CLIENTS_OF_DRAFTS", []).of(60).finds(51),
        api("CLIENTS_OF_QUARANTINE", []).of(60).finds(51),
        api("KINDS_OF_JOBS", [rare_client()]).of(5).finds(3),
        api("CHANNELS_OF_MESSAGES", [rare_client()]).of(5).finds(1),
        api("CHANNELS_OF_DRAFTS", [rare_client()]).of(5).finds(1),
        api("CHANNELS_OF_QUARANTINE", [rare_client()]).of(5).finds(1),
        api("LIST_LEADS", [latest(), NEWEST, PAGE])
            .of(51)
            .a_row(50, 400)
            .may_read(&["leads"], "through a bitmap of `leads_by_message`, until it is analysed")
            .finds(51),
        api("LIST_LEADS_BY", [latest(), NEWEST, PAGE, statuses("rare")])
            .note("a rare client")
            .of(51)
            .finds(1),
        api("LIST_LEADS_BY", [latest(), NEWEST, PAGE, in_all("status", "blacklisted")])
            .note("a rare status")
            .of(51)
            .finds(1),
        api("LIST_LEADS_BY", [latest(), NEWEST, PAGE, statuses("c7")]).of(51).finds(51),
        api("LIST_SILENT_LEADS", [NEWEST, PAGE]).of(51).finds(51),
        api("LIST_SILENT_LEADS_BY", [NEWEST, PAGE, statuses("c20")]).of(51).finds(51),
        api("MATCH_LEADS", [ids(spread), text("%first2%")]),
        api("LIST_MESSAGES", [NEWEST, PAGE]).of(51).finds(51),
        api(
            "LIST_MESSAGES_BY",
            [NEWEST, PAGE, messages_of(&["rare".to_owned()], "email", "inbound")],
        )
        .note("a rare client")
        .of(51)
        .finds(1),
        api("LIST_MESSAGES_BY", [NEWEST, PAGE, messages_of(&everybody, "linkedin", "inbound")])
            .note("a rare channel")
            .of(51)
            .finds(1),
        api("LIST_MESSAGES_BY", [NEWEST, PAGE, messages_of(&everybody, "sms", "outbound")])
            .note("a rare direction")
            .of(51)
            .finds(1),
        api("LIST_MESSAGES_OF_LEADS", of_leads(0, none())).of(51).finds(2),
        api("LIST_MESSAGES_OF_LEADS", of_leads(1, these(json!([{"value": "linkedin"}]))))
            .note("on a channel")
            .of(51)
            .finds(1),
        api("READ_RECEIVED_MESSAGES", [ids(spread)]).finds(300),
        api("FIND_BY_KEY", [places(), text("key of a message 5")]).of(51).finds(1),
        api("FIND_BY_KEY", [of_many_keys(), text("key of a message 5")])
            .note("of a client with many keys")
            .of(1)
            .finds(1),
        api(
            "FIND_BY_KEY_START",
            [places(), text("key of a message 5:"), text("key of a message 5:z"), number(50)],
        )
        .of(51)
        .finds(0),
        api(
            "FIND_BY_KEY_START",
            [of_many_keys(), text("key of a message 5:"), text("key of a message 5:z"), number(50)],
        )
        .note("of a client with many keys")
        .of(1)
        .finds(0),
        api("READ_LEAD_NAMES", [ids(spread)]).finds(300),
        api("READ_LAST_RECEIVED", [in_all("channel", "sms"), number(20)])
            .of(51)
            .a_row(60, 800)
            .finds(51),
        api("COUNT_RECEIVED_OF", [in_all("channel", "sms"), number(0), number(100)])
            .of(51)
            .a_row(120, 1_500)
            .finds(51),
        api("READ_ANSWER_TIMES", [in_all("channel", "sms"), number(10)]).of(510).finds(0),
        api("COUNT_UNDECIDED_OF", [in_all("channel", "sms"), number(100)])
            .of(51)
            .a_row(120, 1_500)
            .finds(51),
        api("READ_LISTED_IDENTITIES", [ids(spread), number(100)]).finds(300),
        api("READ_LISTED_MESSAGES", [ids(spread), Value::Small(2_000)]).finds(300),
        api("READ_LISTED_DRAFTS", [ids(spread), Value::Small(2_000), Value::Small(8_000)])
            .finds(300),
        api("WEIGH_MESSAGES", [ids(spread)]).finds(300),
        api(
            "MATCH_DRAFTS",
            [
                ids(spread),
                number(1),
                these(json!([{"value": "Interested"}])),
                number(1),
                these(json!([{"value": 1}])),
                number(1),
                text("%first2%"),
                number(1),
                these(json!([{"value": "sms"}])),
            ],
        ),
        api("LIST_DRAFTS", [NEWEST, PAGE]).of(51).finds(51),
        api("READ_DELIVERY_OF_DRAFT", [number(5)]).of(1).finds(1),
        api("LIST_EXAMPLES", [number(0), NEWEST, PAGE]).of(51).finds(51),
        api("LIST_EXAMPLES_BY", audit_of(&["rare", "nobody"])).of(51).finds(1),
        api("LIST_QUARANTINE", [NEWEST, PAGE]).of(51).finds(51),
        api("LIST_AUDIT", [number(0), NEWEST, PAGE]).of(51).finds(51),
        api("LIST_AUDIT_BY_ACTION", audit_of(&["rare", "config.reload"])).of(51).finds(1),
        api("LIST_AUDIT_BY_ACTOR", audit_of(&["rare", "dana"])).of(102).finds(51),
        api("LIST_AUDIT_BY_TARGET", audit_of(&["target 5", "nothing"])).of(51).finds(1),
        api("LIST_MODEL_CALLS", [number(0), NEWEST, PAGE]).of(51).finds(51),
        api("LIST_MODEL_CALLS_BY_JOB", calls_of(&[5, 0])).of(51).finds(1),
        api("LIST_MODEL_CALLS_BY_LEAD", calls_of(&[5, 0])).of(51).finds(1),
        api("LIST_MODEL_CALLS_BY_CLIENT", audit_of(&["rare", "nobody"])).of(51).finds(1),
        api("LIST_MODEL_CALLS_BY_STATUS", audit_of(&["timeout", "denied"])).of(51).finds(1),
        api("LIST_MODEL_CALLS_BY_FEATURE", audit_of(&["draft", "classify"])).of(102).finds(51),
        api("LIST_QUARANTINE_BY", [NEWEST, PAGE, quarantine_of(&["rare".to_owned()], "discarded")])
            .note("a rare client")
            .of(51)
            .finds(1),
        api("LIST_QUARANTINE_BY", [NEWEST, PAGE, quarantine_of(&everybody, "replayed")])
            .note("a rare status")
            .of(51)
            .finds(1),
        api(
            "LIST_OLDEST_QUARANTINE_BY",
            [number(0), NEWEST, PAGE, quarantine_of(&["rare".to_owned()], "discarded")],
        )
        .note("a rare client")
        .of(51)
        .finds(1),
        api(
            "LIST_OLDEST_QUARANTINE_BY",
            [number(0), NEWEST, PAGE, quarantine_of(&everybody, "replayed")],
        )
        .note("a rare status")
        .of(51)
        .finds(1),
        api("READ_QUARANTINE_OF_IDS", [ids(spread)]).finds(300),
    ];
    let on_sms = |clients: &[String], status: &str| {
        let row = |client_id: &String| json!({"client_id": client_id, "channel": "sms", "status": status});
        these(Json::Array(clients.iter().map(row).collect()))
    };
    let of_two_leads = |count: i64, statuses: Value| {
        [
            NEWEST,
            PAGE,
            these(json!([{"lead_id": 3}, {"lead_id": 4}])),
            number(0),
            none(),
            number(0),
            none(),
            number(count),
            statuses,
        ]
    };
    lists.extend([
        api("LIST_DRAFTS_BY", [NEWEST, PAGE, on_sms(&["rare".to_owned()], "superseded")])
            .note("a rare client")
            .of(51)
            .finds(1),
        api("LIST_DRAFTS_BY", [NEWEST, PAGE, on_sms(&everybody, "sent")])
            .note("a rare status")
            .of(51)
            .finds(1),
        api("LIST_OLDEST_DRAFTS_BY", [number(0), PAGE, on_sms(&["rare".to_owned()], "superseded")])
            .note("a rare client")
            .of(51)
            .finds(1),
        api("LIST_OLDEST_DRAFTS_BY", [number(0), PAGE, on_sms(&everybody, "sent")])
            .note("a rare status")
            .of(51)
            .finds(1),
        api("READ_DRAFTS_MADE", [ids(spread)]).finds(300),
        api(
            "LIST_DECIDED_DRAFTS",
            [on_sms(&["rare".to_owned(), "c7".to_owned()], "superseded"), number(200)],
        )
        .of(201)
        .finds(201),
        api("LIST_SNOOZED_DRAFTS", [number(0), PAGE, these(json!([{"client_id": "rare"}]))])
            .of(51)
            .finds(0),
        api("LIST_BLOCKED_DRAFTS", [number(0), PAGE, these(json!([{"client_id": "rare"}]))])
            .of(51)
            .finds(0),
        api("LIST_DRAFTS_OF_LEADS", of_two_leads(0, none())).of(51).finds(2),
        api("LIST_DRAFTS_OF_LEADS", of_two_leads(1, these(json!([{"value": "superseded"}]))))
            .note("in a state")
            .of(51)
            .finds(2),
        api("LIST_DELIVERIES", [NEWEST, PAGE]).of(51).finds(51),
        api("LIST_DELIVERIES_BY", [NEWEST, PAGE, on_sms(&["rare".to_owned()], "sent")])
            .note("a rare client")
            .of(51)
            .finds(1),
        api("LIST_DELIVERIES_BY", [NEWEST, PAGE, on_sms(&everybody, "uncertain")])
            .note("a rare status")
            .of(51)
            .finds(1),
        api("LIST_DELIVERIES_OF_LEADS", of_two_leads(0, none())).of(51).finds(2),
        api("LIST_DELIVERIES_OF_LEADS", of_two_leads(1, these(json!([{"value": "sent"}]))))
            .note("that were sent")
            .of(51)
            .finds(2),
        api("CLIENTS_OF_DELIVERIES", []).of(60).finds(51),
        api("CHANNELS_OF_DELIVERIES", [rare_client()]).of(5).finds(1),
        api("LIST_OPERATIONS", [NEWEST, PAGE]).of(51).finds(51),
        api("READ_BACKLOG", [START, START, START, START, number(20_000)])
            .note("the first portion")
            .of(60_000)
            .a_row(3, 100),
        // Jobs of 50 clients in each table, the last follower, and the jobs that have ended.
        api(
            "READ_BACKLOG",
            [
                number(-(READY + 50_000)),
                number(500),
                number(0),
                number(LATER + 50_000),
                number(10_000),
            ],
        )
        .note("a portion in the middle")
        .of(30_000)
        .a_row(3, 100)
        .finds(152),
        api("READ_BACKLOG", [NEWEST, NEWEST, NEWEST, NEWEST, number(20_000)])
            .note("behind all rows, with 1,000 counts of nodes")
            .of(1_000)
            .a_row(1, 40)
            .finds(1),
        // It looks at each session of the server.
        api("READ_STATE_POSTGRES", []).of(20).only_on_postgres().finds(1),
        api("READ_STATE_SQLITE", []).of(1).only_on_sqlite().finds(1),
        // As many as wait for a person.
        api("READ_ACCOUNTS", []).of(1).finds(0),
        api("READ_UNDECIDED", []).of(30_000).a_row(2, 20).finds(1),
    ]);
    lists
}
