//! Bodies as providers send them: every file in `tests/payloads`, of every channel that is served.

use crate::{
    on_both_daemons,
    support::{
        both::Peek,
        daemon::Daemon,
        payloads::{self, FOLDERS, Row},
        web::{Answer, ask},
    },
};
use postroom::registry;
use std::collections::BTreeSet;

/// For each channel, the account that the bodies name, or the secret that is in them.
const SETTINGS: [(&str, &str); 5] = [
    ("email", "account = \"12\""),
    ("sms", "account = \"lQ7m2XvB4tYh9RkZpWs1\""),
    ("linkedin", "account = \"bX3kPq9TSuW1mZr7LdYe0A\""),
    ("instantly", "account = \"7d3e90a4-1c58-4b6f-a2d7-5f0e9b8c4613\""),
    ("smartlead", "secret = \"7c1f5b0e-2d4a-4e8b-9f6c-0a1b2c3d4e5f\""),
];

fn is_served(channel: &str) -> bool {
    registry::postroom().channels.iter().any(|it| it.name().0 == channel)
}

/// The rows of the channels that are served.
fn rows() -> Vec<Row> {
    payloads::outcomes().into_iter().filter(|row| is_served(row.channel())).collect()
}

/// A client for each row.
fn config(rows: &[Row]) -> String {
    let channels: String = SETTINGS
        .into_iter()
        .filter(|(channel, _)| is_served(channel))
        .map(|(channel, setting)| format!("[clients.channels.{channel}]\n{setting}\n"))
        .collect();
    (0..rows.len()).map(|it| format!("[[clients]]\nid = \"c{it}\"\n{channels}")).collect()
}

/// One row, its client, and a look at what is stored for that.
struct Case<'a> {
    daemon: &'a Daemon,
    db: &'a Peek,
    client: String,
    row: &'a Row,
}

impl Case<'_> {
    async fn post(&self, file: &str) -> Answer {
        let request = self.daemon.webhook(self.row.channel(), &self.client);
        ask(request.body(payloads::read(file))).await
    }

    async fn count(&self, what: &str) -> i64 {
        let sql = format!("select count(*) from {what} where client_id = '{}'", self.client);
        self.db.number(&sql).await
    }

    /// Everything that a webhook may store, and that none but these may.
    async fn stored(&self) -> Vec<i64> {
        let mut counts = Vec::new();
        for table in ["messages", "jobs", "leads", "campaigns", "quarantine"] {
            counts.push(self.count(table).await);
        }
        counts
    }

    #[track_caller]
    fn is_as_told(&self, answer: &Answer) {
        let Row { file, outcome, reason, .. } = self.row;
        let word = match answer.status {
            200 => answer.outcome().to_owned(),
            status => status.to_string(),
        };
        assert_eq!(&word, outcome, "{file}: {answer:?}");
        let told = answer.field("reason");
        assert_eq!(if told.is_empty() { "-" } else { told }, reason, "{file}: {answer:?}");
    }

    /// Posts the file, and once more.
    async fn alone(&self) {
        let Row { file, outcome, messages, .. } = self.row;
        let answer = self.post(file).await;
        self.is_as_told(&answer);
        let directions =
            format!("select direction from messages where client_id = '{}'", self.client);
        let directions = self.db.texts(&directions).await;
        assert_eq!(directions.first().map_or("-", String::as_str), messages, "{file}");
        let [message, jobs, leads, _, held] = self.stored().await[..] else { panic!("five") };
        let is_accepted = i64::from(outcome == "accepted");
        assert_eq!(message, i64::from(messages != "-"), "{file}");
        assert_eq!(jobs, is_accepted, "{file}: only what is accepted makes a job");
        assert_eq!(answer.job_ids().len() as i64, jobs, "{file}: {answer:?}");
        assert_eq!(
            leads,
            i64::from(["accepted", "recorded"].contains(&outcome.as_str())),
            "{file}"
        );
        assert_eq!(held, i64::from(outcome == "quarantined"), "{file}");
        assert_eq!(answer.body["message_id"].is_string(), message == 1, "{file}: {answer:?}");

        let before = self.stored().await;
        let again = self.post(file).await;
        match outcome.as_str() {
            "accepted" | "recorded" => {
                assert_eq!(
                    (again.status, again.outcome()),
                    (200, "duplicate"),
                    "{file}: {again:?}"
                );
                assert_eq!(again.field("message_id"), answer.field("message_id"), "{file}");
                assert_eq!(again.field("lead_id"), answer.field("lead_id"), "{file}");
                assert_eq!(again.job_ids(), answer.job_ids(), "{file}");
            }
            _ => {
                self.is_as_told(&again);
                assert_eq!(again.field("quarantine_id"), answer.field("quarantine_id"), "{file}");
            }
        }
        assert_eq!(self.stored().await, before, "{file} a second time");
    }

    /// Posts the file after another.
    async fn after(&self, first: &str) {
        let one = self.post(first).await;
        assert!(["accepted", "recorded"].contains(&one.outcome()), "{first}: {one:?}");
        let answer = self.post(&self.row.file).await;
        self.is_as_told(&answer);
        let shown = format!("{first}, then {}", self.row.file);
        assert_eq!(self.count("messages").await.to_string(), self.row.messages, "{shown}");
        assert_eq!(self.count("leads").await, 1, "{shown}: it is one lead");
        let word = answer.outcome();
        if ["accepted", "recorded", "duplicate"].contains(&word) {
            assert_eq!(answer.field("lead_id"), one.field("lead_id"), "{shown}");
        }
    }
}

on_both_daemons! {
    /// The node only takes webhooks: nothing is judged meanwhile.
    async fn every_known_payload_becomes_what_the_rules_say(place: Place) {
        let rows = rows();
        let mut options = place.options(&config(&rows));
        options.args = vec!["--role".to_owned(), "ingest".to_owned()];
        let daemon = Daemon::start(options).await;
        let db = Peek::of(&daemon).await;
        for (number, row) in rows.iter().enumerate() {
            let case = Case { daemon: &daemon, db: &db, client: format!("c{number}"), row };
            match &row.first {
                None => case.alone().await,
                Some(first) => case.after(first).await,
            }
        }
    }
}

#[test]
fn every_payload_has_its_row() {
    let told = |row: Row| row.first.is_none().then_some(row.file);
    let rows: Vec<String> = payloads::outcomes().into_iter().filter_map(told).collect();
    let told: BTreeSet<&String> = rows.iter().collect();
    assert_eq!(told.len(), rows.len(), "a file stands there twice");
    let files: Vec<String> = FOLDERS.iter().flat_map(|it| payloads::files(it.0)).collect();
    assert_eq!(told, files.iter().collect::<BTreeSet<_>>());
}

#[test]
fn every_channel_has_its_settings() {
    for channel in registry::postroom().channels {
        let name = channel.name().0;
        assert!(SETTINGS.iter().any(|it| it.0 == name), "{name} has no settings here");
        assert!(FOLDERS.iter().any(|it| it.0 == name), "{name} has no payloads");
    }
}
