//! A day of five clients' providers and people, from end to end: what is posted, judged, drafted,
//! decided and sent, and the state in which it all ends.
//!
//! The end is one page, `end_state.md`. It is the same on both databases, and the same whether
//! rules judge or a model that says the same and fails now and then. `POSTROOM_WRITE_PAGES=1`
//! writes what was found; read each change of it as a change of behaviour.

mod end;
mod script;

use crate::{
    on_both_daemons,
    support::{
        both::Peek,
        daemon::Daemon,
        eventually,
        leftovers::Leftover,
        model_server::{Asked, ModelServer, Reply},
        shared::told,
        web::{Answer, ask},
    },
};
use futures_util::future::join_all;
use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use postroom::fake_provider::FakeProvider;
use reqwest::Method;
use script::{Decision, Step, Who};
use serde_json::{Value, json};
use std::{fmt::Write as _, time::Duration};

const PATIENCE: Duration = Duration::from_secs(60);
const CHANNELS: [&str; 5] = ["email", "sms", "linkedin", "smartlead", "instantly"];

/// A day that goes on.
struct Day {
    daemon: Daemon,
    peek: Peek,
    fake: FakeProvider,
    provider: String,
    analyst: String,
    /// The first day on which the client `hours` answers.
    opens: Date,
    /// The ids of leads, in the order of their appearance.
    leads: Vec<(Who, String)>,
    events: usize,
    /// What was answered otherwise than expected.
    wrong: Vec<String>,
}

/// The configuration: who answers by itself, and when.
fn config(analyst: &str, provider: &str, opens: Date, undo: &str) -> String {
    let mut config = format!(
        "[sending]\nundo = \"{undo}\"\n[pools.default]\nmax_attempts = 20\n\
         backoff = {{ base = \"10ms\", cap = \"20ms\" }}\n{analyst}\n"
    );
    // Closed from the day before today to the day after it, in every zone.
    let closed = format!("{}..{}", opens.saturating_sub(3.days()), opens.saturating_sub(1.day()));
    let hours = format!(
        "auto_reply = \"auto\"\ntimezone = \"Pacific/Auckland\"\n\
         business_hours = {{ days = [\"mon\", \"tue\", \"wed\", \"thu\", \"fri\", \"sat\", \"sun\"], \
         start = \"00:00\", end = \"24:00\", closed = [\"{closed}\"] }}\n"
    );
    let clients = [
        ("now", "auto_reply = \"auto\"\n", "\"always\""),
        ("ask", "auto_reply = \"off\"\n", "\"always\""),
        ("gate", "auto_reply = \"gate\"\n", "\"always\""),
        ("hours", hours.as_str(), "\"business_hours\""),
    ];
    for (id, keys, schedule) in clients {
        write!(
            config,
            "[[clients]]\nid = \"{id}\"\n{keys}[clients.auto_send]\ndelay_min = \"0s\"\ndelay_max = \"0s\"\n\
             schedule = {schedule}\n[clients.templates]\n"
        )
        .unwrap();
        let templates = [
            ("Information Requested", "the price list is on its way."),
            ("Call Requested", "we will call you."),
            ("Meeting Requested", "that works for us."),
            ("Interested", "glad to hear that."),
            ("Follow Up", "we will write again then."),
        ];
        for (tag, text) in templates {
            writeln!(config, "\"{tag}\" = \"Hi {{first_name}}, {text}\"").unwrap();
        }
        for channel in CHANNELS {
            let automatic = if channel == "linkedin" { ", automatic = true" } else { "" };
            writeln!(
                config,
                "[clients.channels.{channel}]\nsend = {{ api_key = \"k-1\", base_url = \"{provider}\", \
                 allow_private = true{automatic} }}"
            )
            .unwrap();
        }
    }
    config
}

impl Day {
    fn config(&self, undo: &str) -> String {
        config(&self.analyst, &self.provider, self.opens, undo)
    }

    async fn get(&self, path: &str) -> Value {
        let answer = ask(self.daemon.api(Method::GET, path)).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.body
    }

    fn lead(&self, who: Who) -> &str {
        let found = self.leads.iter().find(|it| it.0 == who);
        &found.unwrap_or_else(|| panic!("{who:?} has not appeared")).1
    }

    async fn post(&mut self, who: Who, channel: &str, body: &Value, times: usize, expected: &str) {
        let posts = (0..times).map(|_| ask(self.daemon.webhook(channel, who.0).json(body)));
        let answers: Vec<Answer> = join_all(posts).await;
        self.events += times;
        let mut found: Vec<String> = answers.iter().map(told).collect();
        found.sort_by_key(|it| it != expected);
        let mut all = vec![expected.to_owned()];
        all.resize(times, "duplicate".to_owned());
        if found != all {
            self.wrong.push(format!("{who:?} {channel}: {found:?}, not {all:?}, to {body}"));
        }
        let lead = answers[0].field("lead_id");
        if !lead.is_empty() && !self.leads.iter().any(|it| it.0 == who && it.1 == lead) {
            self.leads.push((who, lead.to_owned()));
        }
    }

    async fn decide(&mut self, who: Who, decision: &Decision) {
        let lead = self.lead(who);
        let drafts = self.get(&format!("/drafts?lead={lead}")).await;
        let draft =
            drafts["items"][0]["id"].as_str().unwrap_or_else(|| panic!("{who:?}: no draft"));
        let (method, path, body) = match decision {
            Decision::Approve => (Method::POST, format!("/drafts/{draft}/approve"), json!({})),
            Decision::Undo => (Method::POST, format!("/drafts/{draft}/undo"), json!({})),
            Decision::Reject(note) => {
                (Method::POST, format!("/drafts/{draft}/reject"), json!({"note": note}))
            }
            Decision::Edit(text) => {
                (Method::PATCH, format!("/drafts/{draft}"), json!({"body": text}))
            }
            Decision::ResolveSent => {
                let all = self.get(&format!("/deliveries?lead={lead}&status=uncertain")).await;
                let id = all["items"][0]["id"].as_str().unwrap_or_default();
                let body = json!({"sent": true, "note": "it is in the outbox"});
                (Method::POST, format!("/deliveries/{id}/resolve"), body)
            }
        };
        let request = self.daemon.api(method, &path);
        // Only requests that say something have a body.
        let request = if body == json!({}) { request } else { request.json(&body) };
        let answer = ask(request).await;
        if answer.status != 200 {
            self.wrong.push(format!("{who:?} {path}: {answer:?}"));
        }
    }

    /// Waits until nothing runs and nothing is due within a minute.
    async fn rests(&self) {
        let soon = if self.peek.is_sqlite() {
            "(cast(unixepoch('subsec') * 1000 as integer) + 60000)"
        } else {
            "(now() + interval '1 minute')"
        };
        let waiting = format!(
            "select (select count(*) from job_ready) + (select count(*) from job_blocked) \
             + (select count(*) from job_later where run_at < {soon} and client_id <> '_system')"
        );
        eventually(PATIENCE, async || (self.peek.number(&waiting).await == 0).then_some(())).await;
    }

    async fn goes_on(&mut self) {
        for part in script::parts() {
            for step in part {
                match step {
                    Step::Post { who, channel, body, times, told } => {
                        self.post(who, channel, &body, times, told).await;
                    }
                    Step::Echo(who, channel, mut body) => {
                        let all = self.get(&format!("/deliveries?lead={}", self.lead(who))).await;
                        body["message_id"] = all["items"][0]["provider_id"].clone();
                        self.post(who, channel, &body, 2, "duplicate").await;
                    }
                    Step::Person(who, decision) => self.decide(who, &decision).await,
                    Step::Fail(rule) => self.fake.fail(rule.parse().unwrap()),
                    Step::NoUndo => {
                        let config = self.config("0s");
                        self.daemon.configure(&config);
                        let answer = ask(self.daemon.api(Method::POST, "/config/reload")).await;
                        assert_eq!(answer.status, 200, "{answer:?}");
                    }
                }
            }
            self.rests().await;
        }
    }
}

/// A whole day with this analyst, and its end.
async fn day(place: &crate::support::both::Place, analyst: String) {
    let fake = FakeProvider::default();
    let (address, serving) = fake.clone().listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let provider = format!("http://{address}");
    let mut tasks = tokio::task::JoinSet::new();
    let serving = tasks.spawn(serving);
    let today = Timestamp::from_millisecond(postroom::store::wall_clock().as_millis())
        .unwrap()
        .to_zoned_datetime(TimeZone::UTC)
        .date();
    let opens = today.saturating_add(2.days());
    let daemon = place.start(&config(&analyst, &provider, opens, "10m")).await;
    daemon.may_leave(Leftover::Unfinished, "answers wait for their hour");
    let peek = Peek::of(&daemon).await;
    let mut day = Day {
        daemon,
        peek,
        fake,
        provider,
        analyst,
        opens,
        leads: Vec::new(),
        events: 0,
        wrong: Vec::new(),
    };
    day.goes_on().await;
    assert!(day.events >= 80, "{}", day.events);
    end::is_as_written(&day).await;
    assert!(day.wrong.is_empty(), "{:#?}", day.wrong);
    serving.abort();
}

/// A model that says what the rules say, and fails now and then.
fn model(asked: &Asked) -> Reply {
    // What may pass, and what costs an attempt. An evaluation that failed would need a person.
    if asked.feature() != "evaluate" {
        match asked.number % 15 {
            1 => return Reply::Status(429, "retry-after: 0\r\n", "{}"),
            6 => return Reply::Status(500, "retry-after: 0\r\n", "{}"),
            11 => return Reply::Text("{\"tag\": 3}".to_owned()),
            _ => {}
        }
    }
    let answer = match asked.feature() {
        "classify" => {
            let (_, message) = asked.data().rsplit_once("<message>").expect("a message");
            let found = script::MEANINGS.iter().find(|(text, _)| message.contains(text));
            let tag = found.map_or("Neutral", |it| it.1);
            // What a machine wrote may only get a tag of machines.
            let allowed = asked.schema()["properties"]["tag"]["enum"].as_array().expect("tags");
            let is_allowed = allowed.iter().any(|it| it == tag);
            let tag = if is_allowed { tag } else { "Automated Reply" };
            json!({"opts_out": false, "tag": tag, "tag_confidence": 0.9})
        }
        "evaluate" => {
            let is_one = asked.data().rsplit_once("<message>").expect("a message").1;
            let verdict = if is_one.contains("? And") { "needs_human" } else { "safe" };
            json!({"reason": "as the rules", "verdict": verdict, "verdict_confidence": 0.95})
        }
        _ => return Reply::Good,
    };
    Reply::Text(answer.to_string())
}

on_both_daemons! {
    async fn a_day_with_the_rules_ends_as_written(place: Place) {
        day(&place, String::new()).await;
    }

    #[ignore = "long: `just long`"]
    async fn a_day_with_a_model_that_fails_ends_the_same(place: Place) {
        let server = ModelServer::start(model);
        let url = server.url("day");
        let keys = format!("provider = \"openai\"\nbase_url = \"{url}\"\nmodel = \"m-1\"\napi_key = \"k\"");
        day(&place, format!("[analyst]\n{keys}\n")).await;
        assert!(server.asked().len() > 80, "{}", server.asked().len());
    }
}
