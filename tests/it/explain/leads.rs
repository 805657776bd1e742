//! Why a lead is not answered, with real messages.

use super::{PATIENCE, fact, links, says};
use crate::{
    on_both_daemons,
    support::{
        both::Peek,
        eventually,
        inside::Inside,
        leftovers::Leftover,
        web::{ask, sms},
    },
};
use postroom::registry;
use serde_json::Value;

const SECRET: &str = "hunter2-hunter2-hunter2";
const CONFIG: &str = "[supervisor]\ntick = \"200ms\"\n[pools.LEAD_SCORING_POST_PROCESS]\npaused = true\n\
    [[clients]]\nid = \"acme\"\nauto_reply = \"gate\"\n[clients.channels.sms]\nsecret = \"hunter2-hunter2-hunter2\"\n";

/// Posts a message of a lead, and returns the ids of lead and message.
async fn post(daemon: &Inside, lead: u64, text: &str) -> (String, String) {
    let webhook = daemon.webhook("sms", "acme").bearer_auth(SECRET).json(&sms(lead, text));
    let answer = ask(webhook).await;
    assert_eq!(answer.outcome(), "accepted", "{answer:?}");
    (answer.field("lead_id").to_owned(), answer.field("message_id").to_owned())
}

async fn explained(daemon: &Inside, lead: &str) -> Value {
    let answer = daemon.api(&format!("/leads/{lead}/explain")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    for text in [SECRET, "Could you", "admin-token"] {
        assert!(!answer.text.contains(text), "`{text}` is in {}", answer.text);
    }
    answer.body
}

#[track_caller]
fn explained_as(daemon: &Inside, lead: &str, reason: &'static str) -> impl Future<Output = Value> {
    eventually(PATIENCE, async move || {
        let explanation = explained(daemon, lead).await;
        (explanation["reason"] == reason).then_some(explanation)
    })
}

/// The step at which each message stands, with its reason.
fn steps(explanation: &Value) -> Vec<(String, String)> {
    let messages = explanation["messages"].as_array().unwrap();
    let step = |message: &Value| {
        let chain = message["chain"].as_array().unwrap();
        assert_eq!(chain.len(), 7, "{message}");
        let here = chain.iter().find(|link| link["state"] == "here").unwrap();
        assert_eq!(here["sentence"], message["sentence"]);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&here["link"]), text(&message["reason"]))
    };
    messages.iter().map(step).collect()
}

fn of(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(step, reason)| ((*step).to_owned(), (*reason).to_owned())).collect()
}

on_both_daemons! {
    async fn a_lead_is_stopped_at_each_step_that_this_version_has(place: Place) {
        let daemon = Inside::start(&place, CONFIG, registry::postroom()).await;
        daemon.may_leave(Leftover::Unfinished, "the pool of scores is paused");
        let peek = Peek::open(&daemon.database_url).await;

        // A draft that waits for a person.
        let (asks, message) = post(&daemon, 1, "Could you call me tomorrow at 3?").await;
        let waits = explained_as(&daemon, &asks, "waits_for_person").await;
        assert_eq!(steps(&waits), of(&[("gate", "waits_for_person")]));
        says(&waits, &["1 message of the lead is not answered. Draft ", " waits for a person since ", "`clients.acme.auto_reply` (", "test.toml:7) is gate, and this version sends nothing by itself."]);
        assert_eq!((fact(&waits, "message"), fact(&waits, "auto_reply")), (message.into(), "gate".into()));
        assert_eq!((links(&waits, "config"), links(&waits, "lead")), (vec!["clients.acme.auto_reply".to_owned()], vec![asks.clone()]));

        // The lead writes again.
        post(&daemon, 1, "Could you please call me at 4?").await;
        eventually(PATIENCE, async || {
            let it = explained(&daemon, &asks).await;
            (steps(&it) == of(&[("draft", "superseded"), ("gate", "waits_for_person")])).then_some(())
        })
        .await;

        // A tag that gets no draft, and an opt-out.
        let (declines, _) = post(&daemon, 2, "No thanks, not interested").await;
        let declined = explained_as(&daemon, &declines, "tag_without_draft").await;
        says(&declined, &["was judged Not Interested, and this tag gets no draft."]);
        let (stops, _) = post(&daemon, 3, "STOP").await;
        let stopped = explained_as(&daemon, &stops, "tag_without_draft").await;
        says(&stopped, &["was judged Blacklist, and this tag gets no draft."]);
        peek.execute(&format!("update messages set sentiment = 'Interested' where lead_id = {stops}")).await;
        says(&explained(&daemon, &stops).await, &["has opted out: it gets no message on any channel."]);

        // Barriers, and messages without a draft.
        let (lead, _) = post(&daemon, 4, "Could you call me?").await;
        explained_as(&daemon, &lead, "waits_for_person").await;
        let drafts = format!("delete from drafts where lead_id = {lead}");
        for (changes, reason) in [
            (vec![drafts], "no_draft"),
            (vec![format!("update leads set sms_dnd = (1 = 1) where id = {lead}")], "do_not_disturb"),
            (vec![format!("update messages set body = ' ' where lead_id = {lead}")], "no_text"),
            (vec![format!("update messages set automated = (1 = 1) where lead_id = {lead}")], "automated"),
            (vec![format!("update messages set deleted_at = created_at where lead_id = {lead}")], "deleted"),
            (vec![format!("update leads set last_outbound_at = created_at where id = {lead}"), format!("update messages set sent_at = (select created_at from leads where id = {lead}) where lead_id = {lead}")], "nothing_unanswered"),
            (vec![format!("update leads set merged_into = {asks} where id = {lead}")], "merged"),
        ] {
            for change in &changes {
                peek.execute(change).await;
            }
            let it = explained(&daemon, &lead).await;
            assert_eq!(it["reason"], reason, "{it}");
        }
    }

    async fn a_message_whose_job_stands_still_is_explained_by_the_job(place: Place) {
        let config = format!("[pools.SMS_INBOUND_POST_PROCESS]\npaused = true\n{CONFIG}");
        let daemon = Inside::start(&place, &config, registry::postroom()).await;
        daemon.may_leave(Leftover::Unfinished, "the pools are paused");
        let (lead, _) = post(&daemon, 1, "Could you call me tomorrow at 3?").await;
        post(&daemon, 1, "Could you call me at 4?").await;
        let waits = explained(&daemon, &lead).await;
        assert_eq!(steps(&waits), of(&[("judged", "job"), ("judged", "job")]));
        let jobs: Vec<&Value> = waits["messages"].as_array().unwrap().iter().map(|it| &it["job"]["reason"]).collect();
        assert_eq!(jobs, ["paused", "behind"]);
        says(&waits, &["2 messages of the lead are not answered. The newest: Job ", " waits behind job "]);
        // A job that is gone, and the webhook of which nothing is known.
        let peek = Peek::open(&daemon.database_url).await;
        daemon.may_leave(Leftover::Anything, "rows are removed by hand");
        for table in ["job_blocked", "job_ready", "jobs"] {
            peek.execute(&format!("delete from {table}")).await;
        }
        assert_eq!(explained(&daemon, &lead).await["reason"], "no_job");
    }
}
