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
    ui::checked,
};
use postroom::registry;
use serde_json::Value;

const SECRET: &str = "hunter2-hunter2-hunter2";
const CONFIG: &str = "[supervisor]\ntick = \"200ms\"\n[pools.LEAD_SCORING_POST_PROCESS]\npaused = true\n\
    [[clients]]\nid = \"acme\"\nauto_reply = \"gate\"\n[clients.channels.sms]\nsecret = \"hunter2-hunter2-hunter2\"\n";

/// What is approved waits for minutes.
const UNDO_CONFIG: &str = "[sending]\nundo = \"10m\"\n";

/// Behind the last line of `CONFIG`: what is approved can be sent.
const SEND: &str = "send = { api_key = \"k-1\" }\n";

/// The only draft of a lead.
async fn drafts_of(daemon: &Inside, lead: &str) -> String {
    let answer = daemon.api(&format!("/drafts?lead={lead}")).await;
    let items = answer.body["items"].as_array().unwrap();
    let [draft] = items.as_slice() else { panic!("{items:?}") };
    draft["id"].as_str().unwrap().to_owned()
}

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

/// Checks that the newest message of a lead stands at this step, and that the page of the lead says
/// so by the step's name there.
async fn stands_at(daemon: &Inside, lead: &str, step: &str, name: &str) {
    let explanation = explained(daemon, lead).await;
    assert_eq!(steps(&explanation).last().unwrap().0, step, "{explanation}");
    let request = daemon.prepare(&format!("/leads/{lead}")).header("accept", "text/html");
    let page = checked(request.send().await.unwrap()).await;
    let (_, here) = page.html.split_once("aria-current=\"step\"").expect("a step");
    let (here, _) = here.split_once("</li>").unwrap();
    assert!(here.contains(&format!("<b>{name}</b>")), "{name} is not in {here}");
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
        says(&waits, &["1 message of the lead is not answered. Draft ", " waits for a person since ", "`clients.acme.auto_reply` (", "test.toml:7) is gate. The gate decided "]);
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

    async fn a_draft_is_explained_on_its_way_to_the_lead(place: Place) {
        let config = format!("{UNDO_CONFIG}{CONFIG}{SEND}");
        let daemon = Inside::start(&place, &config, registry::postroom()).await;
        daemon.may_leave(Leftover::Anything, "rows are changed by hand");
        let peek = Peek::open(&daemon.database_url).await;
        let (lead, _) = post(&daemon, 1, "Could you call me tomorrow at 3?").await;
        explained_as(&daemon, &lead, "waits_for_person").await;
        let draft = drafts_of(&daemon, &lead).await;
        let call = async |path: String| {
            let answer = ask(daemon.request(reqwest::Method::POST, &path)).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        };

        // Approved: it can be taken back, then it is due.
        call(format!("/drafts/{draft}/approve")).await;
        let scheduled = explained_as(&daemon, &lead, "scheduled").await;
        says(&scheduled, &[&format!("Draft {draft} was approved by "), " It is sent at ", " and can be taken back until then."]);
        assert_eq!(scheduled["messages"][0]["job"]["reason"], "later", "{scheduled}");
        stands_at(&daemon, &lead, "due", "Due").await;
        peek.execute(&format!("update drafts set send_at = created_at where id = {draft}")).await;
        let approved = explained_as(&daemon, &lead, "approved").await;
        says(&approved, &[" was stored for later: it is due at "]);

        // Its account is paused.
        let hour = if peek.is_sqlite() { "created_at + 3600000" } else { "created_at + interval '1 hour'" };
        peek.execute(&format!(
            "insert into send_accounts (client_id, channel, state, paused_until, reason, since) \
             select client_id, channel, 'disconnected', {hour}, '401 of the provider', created_at from drafts where id = {draft}"
        ))
        .await;
        let paused = explained_as(&daemon, &lead, "account_paused").await;
        says(&paused, &["the account of sms is not accepted by its provider (401 of the provider): nothing is sent through it until "]);
        let job = paused["messages"][0]["job"]["links"][0]["id"].clone();
        assert!(job.is_string(), "{paused}");
        assert_eq!(steps(&paused), of(&[("due", "account_paused")]));
        peek.execute("delete from send_accounts").await;

        // Its job is cancelled while it waits: the draft says so.
        let job = peek.number("select id from jobs where kind = 'DELIVER_REPLY'").await;
        call(format!("/jobs/{job}/cancel")).await;
        let cancelled = explained_as(&daemon, &lead, "delivery_failed").await;
        says(&cancelled, &[&format!("Draft {draft} was approved, and was not sent: Job {job} was cancelled at "), "cancelled by hand."]);

        // Nobody knows whether it was sent.
        let delivery = "insert into deliveries (id, client_id, lead_id, draft_id, channel, status, text_key, attempts, created_at, job_id, marked_run, error)";
        peek.execute(&format!(
            "{delivery} select 81, client_id, lead_id, id, channel, 'uncertain', 'k', 1, created_at, {job}, 1, 'cut off' from drafts where id = {draft}"
        ))
        .await;
        peek.execute(&format!("update drafts set status = 'sending' where id = {draft}")).await;
        let uncertain = explained_as(&daemon, &lead, "uncertain").await;
        says(&uncertain, &[&format!("Nobody knows whether draft {draft} was sent. The last that is known: cut off.")]);
        assert!(uncertain["what_to_do"].as_str().unwrap().contains("`postroom deliveries resolve 81 --not-sent`"), "{uncertain}");
        stands_at(&daemon, &lead, "sent", "Sent").await;
        peek.execute("update deliveries set status = 'sending'").await;
        assert_eq!(steps(&explained_as(&daemon, &lead, "sending").await), of(&[("sent", "sending")]));
        peek.execute("update deliveries set status = 'failed', error = '422 no such chat'").await;
        peek.execute(&format!("update drafts set status = 'approved', blocked_by = 'delivery_failed' where id = {draft}")).await;
        says(&explained_as(&daemon, &lead, "delivery_failed").await, &["was not sent: 422 no such chat."]);

        // A person, and the lead.
        peek.execute(&format!("update drafts set status = 'rejected', note = 'too pushy' where id = {draft}")).await;
        says(&explained_as(&daemon, &lead, "rejected").await, &["The reason: too pushy."]);
        stands_at(&daemon, &lead, "gate", "Gate and person").await;
        for (by, reason) in [("opt_out", "opted_out"), ("bounce", "bounced")] {
            peek.execute(&format!("update drafts set decided_by = '{by}' where id = {draft}")).await;
            assert_eq!(explained(&daemon, &lead).await["reason"], reason);
        }
        peek.execute(&format!("update drafts set status = 'superseded' where id = {draft}")).await;
        assert_eq!(explained(&daemon, &lead).await["reason"], "superseded");
        stands_at(&daemon, &lead, "draft", "Draft").await;
    }

    async fn sending_that_is_switched_off_and_a_job_that_waits_for_it_are_told(place: Place) {
        let config = format!("[sending]\nenabled = false\nundo = \"0s\"\n{CONFIG}{SEND}");
        let daemon = Inside::start(&place, &config, registry::postroom()).await;
        daemon.may_leave(Leftover::Anything, "nothing is sent");
        let peek = Peek::open(&daemon.database_url).await;
        let (lead, _) = post(&daemon, 1, "Could you call me tomorrow at 3?").await;
        explained_as(&daemon, &lead, "waits_for_person").await;
        let draft = drafts_of(&daemon, &lead).await;
        let approve = daemon.request(reqwest::Method::POST, &format!("/drafts/{draft}/approve"));
        assert_eq!(ask(approve).await.status, 200);
        let off = explained_as(&daemon, &lead, "switched_off").await;
        says(&off, &[&format!("Draft {draft} waits, because sending is switched off: `sending.enabled` ("), "test.toml:2) is false."]);
        let job = peek.number("select id from jobs where kind = 'DELIVER_REPLY'").await;
        let waits = crate::explain::explained_as(&daemon, job, "switched_off").await;
        says(&waits, &[&format!("Job {job} sends nothing, because sending is switched off: "), "It is judged again at "]);
        assert_eq!(links(&waits, "config"), ["sending.enabled"]);
    }

    /// A job that has run once, and is judged again: each reason as the page of the job tells it.
    async fn a_job_that_sends_says_what_else_it_waits_for(place: Place) {
        // Nobody is there, should it be sent after all.
        const NOWHERE: &str = "send = { api_key = \"k-1\", base_url = \"http://127.0.0.1:9\", \
            allow_private = true }\n";
        let config = |enabled: bool, send: &str| {
            format!("[sending]\nenabled = {enabled}\nundo = \"0s\"\n{CONFIG}{send}")
        };
        let daemon = Inside::start(&place, &config(false, NOWHERE), registry::postroom()).await;
        daemon.may_leave(Leftover::Anything, "rows are changed by hand");
        let peek = Peek::open(&daemon.database_url).await;
        let (lead, _) = post(&daemon, 1, "Could you call me tomorrow at 3?").await;
        explained_as(&daemon, &lead, "waits_for_person").await;
        let draft = drafts_of(&daemon, &lead).await;
        let approve = daemon.request(reqwest::Method::POST, &format!("/drafts/{draft}/approve"));
        assert_eq!(ask(approve).await.status, 200);
        let job = peek.number("select id from jobs where kind = 'DELIVER_REPLY'").await;
        let explained_as = async |reason: &'static str| crate::explain::explained_as(&daemon, job, reason).await;
        explained_as("switched_off").await;

        // The settings for sending are gone.
        daemon.set_config(&config(true, ""));
        let no_settings = explained_as("no_settings").await;
        says(&no_settings, &[&format!("Job {job} sends nothing, because the client acme has no settings for sending: `channels.sms.send` is not set."), "It is judged again at "]);

        // They are back, and its account is paused.
        let hour = if peek.is_sqlite() { "created_at + 3600000" } else { "created_at + interval '1 hour'" };
        peek.execute(&format!(
            "insert into send_accounts (client_id, channel, state, paused_until, reason, since) \
             select client_id, channel, 'rate_limited', {hour}, '429 of the provider', created_at from drafts where id = {draft}"
        ))
        .await;
        daemon.set_config(&config(true, NOWHERE));
        let paused = explained_as("account_paused").await;
        says(&paused, &["sends nothing, because the account of sms has sent too much (429 of the provider): nothing is sent through it until "]);
        assert_eq!((fact(&paused, "account"), fact(&paused, "account_state")), ("sms".into(), "rate_limited".into()));

        // The pause is over, and its lead is snoozed. What a person approved does not wait for it.
        peek.execute(&format!("update leads set snoozed_until = (select {hour} from drafts where id = {draft}) where id = {lead}")).await;
        peek.execute("delete from send_accounts").await;
        let free = explained_as("later").await;
        says(&free, &[&format!("Job {job} was postponed, because what it needs was away.")]);
        // What a rule approved does.
        peek.execute(&format!("update drafts set decided_by = 'automatic_reply' where id = {draft}")).await;
        let snoozed = explained_as("lead_snoozed").await;
        says(&snoozed, &["sends nothing, because its lead is snoozed until ", "It is judged again at "]);
        assert!(snoozed["until"].is_string(), "{snoozed}");
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
        stands_at(&daemon, &lead, "judged", "Judged").await;
    }
}
