//! Daemons that many tests share, each test with clients of its own: they start once a process and
//! database.

use super::{
    both::{Peek, Place},
    daemon::{Daemon, Options},
    eventually, http,
    web::{Answer, ask},
};
use postroom::registry;
use serde_json::{Value, json};
use std::{fs, path::Path, time::Duration};
use tokio::sync::OnceCell;

/// The account that the bodies in `tests/payloads` name, by channel; bodies of SmartLead name none.
pub const ACCOUNTS: [(&str, &str); 4] = [
    ("email", "12"),
    ("sms", "lQ7m2XvB4tYh9RkZpWs1"),
    ("linkedin", "bX3kPq9TSuW1mZr7LdYe0A"),
    ("instantly", "7d3e90a4-1c58-4b6f-a2d7-5f0e9b8c4613"),
];
/// The secret of the channels of the clients `closed…`.
pub const SECRET: &str = "the-right-secret-of-closed-clients";
/// The largest body that the shared daemons take.
pub const BODY_LIMIT: usize = 64 * 1024;

/// The clients of each rule and each sequence.
const CLIENTS: std::ops::RangeInclusive<char> = 'a'..='h';

/// On each database one daemon that works jobs, and one that only takes webhooks.
static DAEMONS: [OnceCell<Daemon>; 4] = [const { OnceCell::const_new() }; 4];

/// The names of Postroom's channels.
pub fn channels() -> Vec<&'static str> {
    registry::postroom().channels.iter().map(|channel| channel.name().0).collect()
}

/// A shared daemon as one test sees it.
#[derive(Debug)]
pub struct Desk {
    daemon: &'static Daemon,
    http: reqwest::Client,
    db: Peek,
    is_sqlite: bool,
}

impl Desk {
    /// The daemon on that kind of database that works jobs.
    pub async fn at(place: &Place) -> Self {
        Self::of(place, 0, &[]).await
    }

    /// The daemon that only takes webhooks: no message is judged there, and no draft made.
    pub async fn without_jobs(place: &Place) -> Self {
        Self::of(place, 1, &["--role", "ingest"]).await
    }

    async fn of(place: &Place, number: usize, args: &[&str]) -> Self {
        let is_sqlite = place.is_sqlite();
        let cell = &DAEMONS[if is_sqlite { number } else { 2 + number }];
        let options = Options {
            args: args.iter().map(|it| (*it).to_owned()).collect(),
            ..place.options(&config())
        };
        let daemon = cell.get_or_init(|| Daemon::start(options)).await;
        Self { daemon, http: http(), db: Peek::of(daemon).await, is_sqlite }
    }

    /// Prepares a provider's `POST`.
    pub fn request(&self, client: &str, channel: &str) -> reqwest::RequestBuilder {
        self.http.post(self.daemon.url(&format!("/webhooks/{channel}/{client}")))
    }

    /// Posts a body.
    pub async fn post(&self, client: &str, channel: &str, body: &Value) -> Answer {
        ask(self.request(client, channel).json(body)).await
    }

    /// Posts a body and says what became of it; see [`told`].
    pub async fn tell(&self, client: &str, channel: &str, body: &Value) -> String {
        told(&self.post(client, channel, body).await)
    }

    /// A number from the database; `$` in the statement is the client, quoted.
    pub async fn number(&self, client: &str, select: &str) -> i64 {
        self.db.number(&of_client(client, select)).await
    }

    /// Texts from the database; `$` in the statement is the client, quoted.
    pub async fn texts(&self, client: &str, select: &str) -> Vec<String> {
        self.db.texts(&of_client(client, select)).await
    }

    /// Changes the database; `$` in the statement is the client, quoted.
    pub async fn change(&self, client: &str, sql: &str) {
        self.db.execute(&sql.replace('$', &format!("'{client}'"))).await;
    }

    /// The database's clock, moved by `ms` milliseconds, as it stores times.
    pub fn instant(&self, ms: i64) -> String {
        if self.is_sqlite {
            format!("(cast(unixepoch('subsec') * 1000 as integer) + {ms})")
        } else {
            format!("(now() + {ms} * interval '1 millisecond')")
        }
    }

    /// How a column with a time is read as milliseconds.
    pub fn millis(&self, column: &str) -> String {
        if self.is_sqlite {
            column.to_owned()
        } else {
            format!("cast(extract(epoch from {column}) * 1000 as bigint)")
        }
    }

    /// How many messages, leads and inbound jobs a client has.
    pub async fn stored(&self, client: &str) -> (i64, i64, i64) {
        let messages = self.number(client, "count(*) from messages where client_id = $").await;
        let leads = "count(*) from leads where client_id = $ and merged_into is null";
        (messages, self.number(client, leads).await, self.jobs(client).await)
    }

    /// How many inbound jobs a client has had.
    pub async fn jobs(&self, client: &str) -> i64 {
        let jobs = "count(*) from jobs where client_id = $ and kind like '%_INBOUND_POST_PROCESS'";
        self.number(client, jobs).await
    }

    /// Waits until all jobs of a client have ended.
    pub async fn all_done(&self, client: &str) {
        let waiting = "(select count(*) from job_ready where client_id = $) \
            + (select count(*) from job_blocked where client_id = $) \
            + (select count(*) from job_later where client_id = $)";
        eventually(Duration::from_secs(30), async || {
            (self.number(client, waiting).await == 0).then_some(())
        })
        .await;
    }

    /// Makes a delivery to the client's only lead, as if Postroom had begun it `ms_ago`
    /// milliseconds ago.
    pub async fn deliver(
        &self,
        client: &str,
        channel: &str,
        text: &str,
        status: &str,
        ms_ago: i64,
    ) {
        static NEXT: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(1);
        let id = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (key, at) = (postroom::domain::text::key(text), self.instant(-ms_ago));
        self.change(
            client,
            &format!(
                "insert into deliveries (id, client_id, lead_id, channel, status, text_key, attempts, created_at) \
                 select {id}, client_id, id, '{channel}', '{status}', '{key}', 1, {at} \
                 from leads where client_id = $"
            ),
        )
        .await;
    }

    /// The daemon's log so far.
    pub fn log(&self) -> String {
        self.daemon.log()
    }
}

fn of_client(client: &str, select: &str) -> String {
    format!("select {}", select.replace('$', &format!("'{client}'")))
}

/// Clients `p01a` … `p20h` and `s01a` … `s20h`, open; some `closed…` with a secret, and
/// `accounts…` with their accounts.
fn config() -> String {
    use std::fmt::Write as _;
    let mut config = format!("[server]\nbody_limit = \"{BODY_LIMIT}B\"\n");
    for kind in ['p', 's'] {
        for number in 1..=20 {
            for letter in CLIENTS {
                write!(config, "[[clients]]\nid = \"{kind}{number:02}{letter}\"\n").unwrap();
                for channel in channels() {
                    writeln!(config, "[clients.channels.{channel}]").unwrap();
                }
            }
        }
    }
    for number in ["01", "02"] {
        write!(config, "[[clients]]\nid = \"closed{number}\"\n").unwrap();
        for channel in channels() {
            writeln!(config, "[clients.channels.{channel}]\nsecret = \"{SECRET}\"").unwrap();
        }
    }
    for number in ["01", "08"] {
        write!(config, "[[clients]]\nid = \"accounts{number}\"\n").unwrap();
        config += "[clients.channels.smartlead]\n";
        for (channel, account) in ACCOUNTS {
            writeln!(config, "[clients.channels.{channel}]\naccount = \"{account}\"").unwrap();
        }
    }
    config
}

/// The outcome and reason of a webhook, or the status of a refusal. Checks that the
/// ids fit the outcome.
#[track_caller]
pub fn told(answer: &Answer) -> String {
    if answer.status != 200 {
        return answer.status.to_string();
    }
    let has = |name: &str| answer.body[name].is_string();
    let (ids, jobs) = ((has("message_id"), has("lead_id")), answer.job_ids().len());
    let (reason, held) = (has("reason"), has("quarantine_id"));
    let fits = match answer.outcome() {
        "accepted" => ids == (true, true) && jobs == 1 && !reason && !held,
        "duplicate" => jobs <= 1 && !reason && !held,
        "recorded" => ids.1 && jobs == 0 && reason && !held,
        "ignored" => ids == (false, false) && jobs == 0 && reason && !held,
        "quarantined" => ids == (false, false) && jobs == 0 && reason && held,
        _ => false,
    };
    assert!(fits, "{answer:?}");
    format!("{} {}", answer.outcome(), answer.field("reason")).trim_end().to_owned()
}

/// A body as a provider sends it: a file in `tests/payloads`, without the ending `.json`.
#[track_caller]
pub fn body(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/payloads/{file}.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|it| panic!("{}: {it}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// A body with other values at some paths: `{"data.reply.id": 3}`.
#[track_caller]
pub fn with(mut body: Value, changes: Value) -> Value {
    for (path, value) in changes.as_object().unwrap() {
        let mut at = &mut body;
        for name in path.split('.') {
            if !at.is_object() {
                *at = json!({});
            }
            at = at.as_object_mut().unwrap().entry(name).or_insert(Value::Null);
        }
        *at = value.clone();
    }
    body
}

/// A body without the fields at some paths, which must be there.
#[track_caller]
pub fn without(mut body: Value, paths: &[&str]) -> Value {
    for path in paths {
        let (object, name) = path.rsplit_once('.').unwrap_or(("", path));
        let object = object.split('.').filter(|it| !it.is_empty());
        let object = object.fold(&mut body, |it, name| &mut it[name]).as_object_mut().unwrap();
        assert!(object.remove(name).is_some(), "there is no {path}");
    }
    body
}
