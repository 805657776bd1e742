//! What was received, by lead and by direction.

use super::page;
use crate::{
    on_both_daemons,
    support::{
        both::Peek,
        daemon::Daemon,
        leftovers::Leftover,
        web::{Answer, ask, sms},
    },
};
use reqwest::Method;
use serde_json::{Value, json};

const CONFIG: &str = "[pools.SMS_INBOUND_POST_PROCESS]\npaused = true\n";

/// Posts a webhook, and checks what became of it.
async fn post(daemon: &Daemon, body: &Value, outcome: &str) -> Answer {
    let answer = ask(daemon.webhook("sms", "demo").json(body)).await;
    assert_eq!(answer.outcome(), outcome, "{answer:?}");
    answer
}

/// The ids of the list with these filters, newest first, and the outcomes.
async fn listed(daemon: &Daemon, query: &str) -> Vec<(String, String)> {
    let answer = ask(daemon.api(Method::GET, &format!("/received?{query}"))).await;
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    let text = |it: &Value, name: &str| it[name].as_str().unwrap_or_default().to_owned();
    answer.items().iter().map(|it| (text(it, "message_id"), text(it, "outcome"))).collect()
}

on_both_daemons! {
    async fn what_was_received_is_filtered_by_lead_and_by_direction(place: Place) {
        let daemon = place.start(CONFIG).await;
        daemon.may_leave(Leftover::Anything, "a message is changed by hand, and a pool is paused");
        let first = post(&daemon, &sms(1, "Hello"), "accepted").await;
        let second = post(&daemon, &sms(1, "Hello again"), "accepted").await;
        let other = post(&daemon, &sms(2, "Hello from another"), "accepted").await;
        post(&daemon, &sms(1, "Hello"), "duplicate").await;
        post(&daemon, &json!({"type": "Nope", "body": "Hello"}), "quarantined").await;
        let peek = Peek::of(&daemon).await;
        let answered = second.field("message_id");
        peek.execute(&format!("update messages set direction = 'outbound' where id = {answered}")).await;
        let (lead, other_lead) = (first.field("lead_id"), other.field("lead_id"));
        let row = |answer: &Answer, outcome: &str| (answer.field("message_id").to_owned(), outcome.to_owned());
        let [one, two, three, again] =
            [row(&first, "stored"), row(&second, "stored"), row(&other, "stored"), row(&first, "duplicate")];
        let held = (String::new(), "quarantined".to_owned());
        let request = other.field("request_id");
        for (query, expected) in [
            (format!("lead={lead}"), vec![&again, &two, &one]),
            (format!("lead={lead},{other_lead}"), vec![&again, &three, &two, &one]),
            (format!("lead={lead}&outcome=stored"), vec![&two, &one]),
            (format!("lead={lead}&outcome=quarantined"), vec![]),
            (format!("lead={lead}&direction=inbound"), vec![&again, &one]),
            (format!("lead={lead}&direction=outbound"), vec![&two]),
            (format!("lead={lead}&channel=email"), vec![]),
            (format!("lead={lead}&q={request}"), vec![]),
            (format!("lead={other_lead}&q={request}"), vec![&three]),
            ("lead=7".to_owned(), vec![]),
            ("direction=outbound".to_owned(), vec![&two]),
            ("direction=inbound".to_owned(), vec![&held, &again, &three, &one]),
            ("direction=inbound,outbound&client=demo".to_owned(), vec![&held, &again, &three, &two, &one]),
            ("direction=outbound&outcome=quarantined,duplicate".to_owned(), vec![]),
        ] {
            let found = listed(&daemon, &query).await;
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query}");
        }
        for query in ["lead=x", "direction=sideways"] {
            ask(daemon.api(Method::GET, &format!("/received?{query}"))).await.is_problem(400, "bad-request");
            assert_eq!(page(&daemon, &format!("/received?{query}")).await.status, 400);
        }
        // In pages, each once.
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let answer = ask(daemon.api(Method::GET, &format!("/received?lead={lead}&limit=1{cursor}"))).await;
            found.extend(answer.items().iter().map(|it| it["outcome"].as_str().unwrap().to_owned()));
            let Some(next) = answer.body["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(found, ["duplicate", "stored", "stored"]);

        // The page takes the same, and says what has no lead.
        let key = |answer: &Answer| format!("data-row=\"{}\"", answer.field("message_id"));
        let of_lead = page(&daemon, &format!("/received?lead={lead}")).await;
        of_lead.has(&key(&first)).has(&key(&second)).lacks(&key(&other)).lacks("/quarantine/");
        of_lead.has(&format!("name=\"lead\" value=\"{lead}\"")).has("a message and its duplicates have a lead").lacks("Webhooks of a day");
        let outbound = page(&daemon, &format!("/received?lead={lead}&direction=outbound")).await;
        outbound.has(&key(&second)).lacks(&key(&first)).has("<option value=\"outbound\" selected>");
        outbound.has(&format!("data-copy=\"postroom received list --lead {lead} --direction outbound\""));
        page(&daemon, "/received?lead=7").await.has("Nothing of this lead matches.");
        page(&daemon, "/received?q=nothing&direction=outbound").await.has("Nothing was received").lacks("webhooks in quarantine were searched");
        assert_eq!(page(&daemon, &format!("/received?tab=quarantine&lead={lead}")).await.status, 400);
    }
}
