//! What a daemon does with the values of its configuration, seen from outside: which answers are
//! sent, when, and in which words of the provider's API.

use super::effects::{OPEN, PATIENCE, World};
use crate::support::{
    eventually,
    web::{Answer, ask, channel},
};
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use postroom::fake_provider::FakeProvider;
use reqwest::Method;
use serde_json::{Value, json};
use std::{fmt::Write as _, sync::LazyLock};

/// The campaign of mails that are samples.
pub const CAMPAIGN: &str = "c08b5f12-6a9e-4d37-8e41-2b7f3c9d0a55";

/// Two providers, each with its URL.
pub static PROVIDERS: LazyLock<[(FakeProvider, String); 2]> = LazyLock::new(|| {
    [(); 2].map(|()| {
        let fake = FakeProvider::default();
        let (told, url) = std::sync::mpsc::channel();
        let serving = fake.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let bind = "127.0.0.1:0".parse().unwrap();
                let (address, serving) = serving.listen(bind).await.unwrap();
                told.send(format!("http://{address}")).unwrap();
                serving.await.unwrap();
            });
        });
        (fake, url.recv().unwrap())
    })
});

/// Client `a` with these keys, whose answers on all channels go to the first provider; `more` are
/// keys of `send` of that channel.
pub fn sending(keys: &str, of: &str, more: &str) -> String {
    let url = &PROVIDERS[0].1;
    let mut config = format!(
        "[[clients]]\nid = \"a\"\n{keys}\n\
         templates = {{ \"Information Requested\" = \"Hi {{first_name}}, it costs 10 a month.\" }}\n"
    );
    for name in ["email", "sms", "linkedin", "instantly"] {
        let base = format!("base_url = \"{url}\", allow_private = true");
        let send = match name == of {
            true if more.contains("base_url") => format!("{more}, allow_private = true"),
            true => format!("{base}, {more}"),
            false => base,
        };
        let key = if send.contains("api_key") { "" } else { "api_key = \"k-0\", " };
        let send = format!("{key}{send}");
        let send = send.trim_end_matches([',', ' ']);
        writeln!(config, "[clients.channels.{name}]\n{OPEN}\nsend = {{ {send} }}").unwrap();
    }
    config + "[[clients]]\nid = \"quick\"\n[[clients]]\nid = \"other\"\n"
}

/// The keys of a client that answers at once, with these of `auto_send` in place of the defaults.
pub fn automatic(mode: &str, auto_send: &str) -> String {
    let auto_send = match auto_send {
        "" => "delay_min = \"0s\", delay_max = \"0s\"".to_owned(),
        delays if delays.contains("delay_") => delays.to_owned(),
        more => format!("delay_min = \"0s\", delay_max = \"0s\", {more}"),
    };
    format!("auto_reply = \"{mode}\"\nauto_send = {{ {auto_send} }}")
}

/// Hours that are all of every day but yesterday, today and tomorrow, in any zone.
pub fn closed_hours() -> String {
    let today = Timestamp::from_millisecond(postroom::store::wall_clock().as_millis())
        .unwrap()
        .to_zoned_datetime(TimeZone::UTC)
        .date();
    let (first, last) = (today.saturating_sub(1.day()), today.saturating_add(1.day()));
    format!("{}, closed = [\"{first}..{last}\"]", open_hours())
}

/// Hours that are all of every day.
pub fn open_hours() -> String {
    let days = r#"["mon", "tue", "wed", "thu", "fri", "sat", "sun"]"#;
    format!("days = {days}, start = \"00:00\", end = \"24:00\"")
}

impl World {
    /// Posts a question on that channel, and returns the newest state of its draft that `look`
    /// wants.
    async fn answered<T>(&self, name: &str, look: impl Fn(&Value) -> Option<T>) -> T {
        let number = self.unique();
        let text = format!("Hey, yes I'm interested. What does it cost? ({number})");
        let mut body = channel(name).sample(None, number).expect("a sample");
        match name {
            "email" => {
                body["data"]["reply"]["text_body"] = text.into();
                body["data"]["sender_email"] = json!({"name": "Sam"});
            }
            "sms" => body["message"]["body"] = text.into(),
            "linkedin" => body["message"] = text.into(),
            _ => body["reply_text"] = text.into(),
        }
        let answer: Answer = ask(self.daemon.webhook(name, "a").json(&body)).await;
        let message = answer.field("message_id").to_owned();
        eventually(PATIENCE, async || {
            let drafts = self.daemon.api("/drafts").await;
            let draft = drafts.items().iter().find(|it| it["message_id"] == message)?;
            look(draft)
        })
        .await
    }

    async fn fate_on(&self, name: &str) -> String {
        self.answered(name, |draft| {
            match (draft["status"].as_str()?, draft["gate"]["decision"].as_str()?) {
                ("sent", _) => Some("sent".to_owned()),
                (_, "skip") => Some("skipped".to_owned()),
                (_, "needs_review") => Some("reviewed".to_owned()),
                (_, "send_later") => Some("later".to_owned()),
                _ => None,
            }
        })
        .await
    }

    /// What becomes of an answer to a mail of a campaign.
    pub async fn fate(&self) -> String {
        self.fate_on("instantly").await
    }

    pub async fn fate_in_a_chat(&self) -> String {
        self.fate_on("linkedin").await
    }

    /// How long an answer waits.
    pub async fn wait(&self) -> String {
        let at =
            self.answered("instantly", |draft| Some(draft["send_at"].as_str()?.to_owned())).await;
        let wait = at.parse::<Timestamp>().unwrap().as_second()
            - Timestamp::from_millisecond(postroom::store::wall_clock().as_millis())
                .unwrap()
                .as_second();
        match wait {
            ..3_500 => "less",
            3_500..3_700 => "an hour",
            _ => "more",
        }
        .to_owned()
    }

    /// In which zone it is midnight when an answer is sent.
    pub async fn zone(&self) -> String {
        let at =
            self.answered("instantly", |draft| Some(draft["send_at"].as_str()?.to_owned())).await;
        let at: Timestamp = at.parse().unwrap();
        let is_midnight = |zone: &str| {
            let local = at.to_zoned_datetime(TimeZone::get(zone).unwrap());
            (local.hour(), local.minute()) == (0, 0)
        };
        let zones = ["Europe/Berlin", "America/New_York"];
        zones.into_iter().find(|zone| is_midnight(zone)).unwrap_or("none").to_owned()
    }

    /// What becomes of an answer once a person has approved it.
    pub async fn approved(&self) -> String {
        let draft =
            self.answered("instantly", |draft| Some(draft["id"].as_str()?.to_owned())).await;
        let path = format!("/drafts/{draft}");
        ask(self.daemon.request(Method::POST, &format!("{path}/approve"))).await;
        eventually(PATIENCE, async || {
            let draft = self.daemon.api(&path).await.body;
            let at: Timestamp = draft["send_at"].as_str()?.parse().ok()?;
            let is_far = at.as_second()
                > Timestamp::from_millisecond(postroom::store::wall_clock().as_millis())
                    .unwrap()
                    .as_second()
                    + 60;
            match draft["status"].as_str()? {
                "sent" => Some("sent".to_owned()),
                "approved" if is_far => Some("may be taken back".to_owned()),
                _ => None,
            }
        })
        .await
    }

    /// The request by which an answer was sent on that channel, and the number of its provider.
    async fn request_on(&self, name: &str) -> (usize, String) {
        let sent = |draft: &Value| {
            let id = draft["delivery_id"].as_str()?.to_owned();
            (draft["status"] == "sent").then_some(id)
        };
        let id = self.answered(name, sent).await;
        let found = PROVIDERS.iter().enumerate().find_map(|(number, (fake, _))| {
            let sent = fake.sent().into_iter().find(|it| it.delivery_id == id)?;
            Some((number, sent.request))
        });
        found.expect("a provider has it")
    }

    pub async fn key_of_provider(&self) -> String {
        let (_, request) = self.request_on("instantly").await;
        if request.contains("Bearer k-2") { "second" } else { "first" }.to_owned()
    }

    pub async fn provider(&self) -> String {
        ["first", "second"][self.request_on("instantly").await.0].to_owned()
    }

    pub async fn mailbox(&self) -> String {
        let (_, request) = self.request_on("email").await;
        let named = ["317", "318"]
            .into_iter()
            .find(|it| request.contains(&format!("\"sender_email_id\":{it}")));
        named.unwrap_or("none").to_owned()
    }

    pub async fn number_of_sender(&self) -> String {
        let (_, request) = self.request_on("sms").await;
        if request.contains("\"fromNumber\":\"+13125550100\"") { "named" } else { "none" }
            .to_owned()
    }

    pub async fn version_of_provider(&self) -> String {
        let (_, request) = self.request_on("sms").await;
        if request.contains("version: 2030-01-01") { "2030" } else { "usual" }.to_owned()
    }
}
