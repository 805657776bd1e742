//! Webhooks that belong together, in the orders in which they come: again, late, twice, at once.

use crate::{
    on_both_daemons, on_both_databases,
    support::{
        fixture::webhook,
        shared::{Desk, body, channels, told, with},
        web::Answer,
    },
};
use futures_util::future::join_all;
use postroom::{
    channels::sms::Sms,
    store::{self, Inbound},
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};

/// A body of a lead, by channel.
fn inbound(channel: &str) -> Value {
    body(match channel {
        "email" => "emailbison/lead_replied-1",
        "sms" => "ghl/workflow_sms-1",
        "linkedin" => "unipile/message_received-1",
        "smartlead" => "smartlead/email_reply-1",
        _ => "instantly/reply_received-1",
    })
}

/// Posts all of them at once.
async fn at_once(desk: &Desk, client: &str, bodies: &[(&str, &Value)]) -> Vec<Answer> {
    join_all(bodies.iter().map(|(channel, body)| desk.post(client, channel, body))).await
}

fn count(answers: &[Answer], outcome: &str) -> usize {
    answers.iter().filter(|it| told(it) == outcome).count()
}

fn values<'a>(answers: &'a [Answer], field: &str) -> BTreeSet<&'a str> {
    answers.iter().map(|it| it.field(field)).collect()
}

/// Checks that every inbound message has one job, which has ended well, and that no message has two
/// drafts.
async fn each_is_done_once(desk: &Desk, client: &str) {
    desk.all_done(client).await;
    let (messages, _, jobs) = desk.stored(client).await;
    let outbound = "count(*) from messages where client_id = $ and direction = 'outbound'";
    assert_eq!(messages - desk.number(client, outbound).await, jobs, "{client}");
    let ended = "count(*) from job_attempts a join jobs j on j.id = a.job_id where j.client_id = $ and a.ended \
        and a.outcome = 'succeeded' and j.kind like '%_INBOUND_POST_PROCESS'";
    assert_eq!(desk.number(client, ended).await, jobs, "{client}");
    for twice in ["message_id", "lead_id, channel, case when status = 'pending' then 0 else id end"]
    {
        let twice = format!(
            "count(*) from (select 1 from drafts where client_id = $ group by {twice} having count(*) > 1) as twice"
        );
        assert_eq!(desk.number(client, &twice).await, 0, "{client}");
    }
}

async fn drafts(desk: &Desk, client: &str) -> (i64, i64) {
    let all = "count(*) from drafts where client_id = $";
    (
        desk.number(client, &format!("{all} and status = 'pending'")).await,
        desk.number(client, all).await,
    )
}

on_both_daemons! {
    async fn the_same_body_again_and_again(place: Place) {
        let desk = Desk::at(&place).await;
        for (n, channel) in channels().into_iter().enumerate() {
            let sent = inbound(channel);
            let answers = at_once(&desk, "s01a", &[(channel, &sent); 12]).await;
            assert_eq!((count(&answers, "accepted"), count(&answers, "duplicate")), (1, 11), "{channel}: {answers:?}");
            desk.all_done("s01a").await;
            let later = desk.post("s01a", channel, &sent).await;
            assert_eq!(told(&later), "duplicate");
            for field in ["message_id", "lead_id"] {
                assert_eq!(values(&answers, field), BTreeSet::from([later.field(field)]), "{channel}");
            }
            for answer in &answers {
                assert_eq!(answer.job_ids(), later.job_ids(), "{channel}: also when the job has ended");
            }
            assert_eq!(later.job_ids().len(), 1);
            assert_eq!(desk.stored("s01a").await.0, n as i64 + 1, "{channel}");
            // What we wrote, and what changes a lead, are no other.
            let (sent, again) = match channel {
                "email" => (body("emailbison/email_sent-1"), body("emailbison/lead_unsubscribed-1")),
                "sms" => (body("ghl/outbound_message-1"), body("ghl/contact_dnd_update-1")),
                "linkedin" => (body("unipile/message_received-2"), body("unipile/new_relation-1")),
                "smartlead" => (body("smartlead/email_sent-1"), body("smartlead/email_bounce-1")),
                _ => (body("instantly/email_sent-3"), body("instantly/email_bounced-1")),
            };
            let client = ["s01b", "s01c", "s01d", "s01e", "s01f"][n];
            desk.post(client, channel, &inbound(channel)).await;
            let answers = at_once(&desk, client, &[(channel, &sent); 6]).await;
            assert_eq!((count(&answers, "recorded outbound"), count(&answers, "duplicate")), (1, 5), "{channel}");
            assert_eq!(values(&answers, "message_id").len(), 1);
            let answers = at_once(&desk, client, &[(channel, &again); 6]).await;
            assert_eq!(count(&answers, "duplicate"), 5, "{channel}: {answers:?}");
            each_is_done_once(&desk, client).await;
        }
        each_is_done_once(&desk, "s01a").await;
    }

    async fn an_echo_and_what_becomes_of_it(place: Place) {
        let desk = Desk::at(&place).await;
        desk.post("s02a", "linkedin", &inbound("linkedin")).await;
        desk.all_done("s02a").await;
        desk.deliver("s02a", "linkedin", "great to connect — quick question for you", "sending", 2_000).await;
        let echo = body("unipile/message_received-2");
        // The provider tells it back several times at once.
        let answers = at_once(&desk, "s02a", &[("linkedin", &echo); 6]).await;
        assert_eq!(count(&answers, "duplicate"), 6, "{answers:?}");
        assert_eq!(values(&answers, "message_id").len(), 1);
        assert_eq!(desk.texts("s02a", "status from deliveries where client_id = $").await, ["sent"]);
        let failed = with(echo.clone(), json!({"event": "message_failed"}));
        assert_eq!(desk.tell("s02a", "linkedin", &failed).await, "recorded failed");
        assert_eq!(desk.tell("s02a", "linkedin", &failed).await, "duplicate");
        assert_eq!(desk.tell("s02a", "linkedin", &echo).await, "duplicate");
        assert_eq!(desk.texts("s02a", "status from deliveries where client_id = $").await, ["failed"]);
        assert_eq!(desk.number("s02a", "count(*) from messages where client_id = $ and failed_at is not null").await, 1);
        // A second message with the same text is another one: there is no delivery left for it.
        let second = with(echo, json!({"message_id": "m2"}));
        assert_eq!(desk.tell("s02a", "linkedin", &second).await, "recorded outbound");
        assert_eq!(desk.stored("s02a").await, (3, 1, 1));
        each_is_done_once(&desk, "s02a").await;
    }

    /// One mail of a campaign: sent, opened, clicked, bounced, with the same ids throughout.
    async fn sent_opened_bounced(place: Place) {
        let desk = Desk::at(&place).await;
        let same = |file: &str| with(body(file), json!({"stats_id": "s1", "message_id": "<m1@x.example>", "to_email": "p.raman@closed-mill.example"}));
        let instantly = |event: &str| with(body("instantly/email_bounced-1"), json!({"event_type": event, "email_id": "e1", "email_text": "Hi"}));
        let mail = |file: &str| with(body(file), json!({"data.scheduled_email.id": 90_417, "data.reply.id": 90_417}));
        for (client, channel, steps) in [
            ("s03a", "email", vec![
                (mail("emailbison/email_sent-1"), "recorded outbound"),
                (with(mail("emailbison/email_sent-1"), json!({"event.type": "LEAD_FIRST_CONTACTED"})), "ignored same_as_email_sent"),
                (mail("emailbison/email_opened-1"), "ignored opened"),
                (mail("emailbison/email_bounced-1"), "recorded bounce"),
                (mail("emailbison/email_sent-1"), "duplicate"),
            ]),
            ("s03b", "smartlead", vec![
                (same("smartlead/first_email_sent-1"), "recorded outbound"),
                (same("smartlead/email_sent-1"), "duplicate"),
                (same("smartlead/email_open-1"), "ignored opened"),
                (with(same("smartlead/email_open-1"), json!({"event_type": "EMAIL_LINK_CLICK"})), "ignored clicked"),
                (same("smartlead/email_bounce-1"), "recorded bounce"),
                (same("smartlead/email_sent-1"), "duplicate"),
            ]),
            ("s03c", "instantly", vec![
                (instantly("email_sent"), "recorded outbound"),
                (instantly("email_opened"), "ignored opened"),
                (instantly("link_clicked"), "ignored clicked"),
                (instantly("email_bounced"), "recorded bounce"),
                (instantly("email_sent"), "duplicate"),
            ]),
            // The bounce first.
            ("s03d", "smartlead", vec![
                (same("smartlead/email_bounce-1"), "recorded bounce"),
                (same("smartlead/email_sent-1"), "recorded outbound"),
            ]),
        ] {
            for (n, (sent, expected)) in steps.iter().enumerate() {
                assert_eq!(desk.tell(client, channel, sent).await, *expected, "{client}, step {n}");
            }
            assert_eq!(desk.stored(client).await, (1, 1, 0), "{client}");
            assert_eq!(desk.texts(client, "status from leads where client_id = $").await, ["blacklisted"], "{client}");
        }
    }

    /// One reply as two events, each way, while the job runs.
    async fn replied_then_interested(place: Place) {
        let desk = Desk::at(&place).await;
        let replied = body("emailbison/lead_replied-1");
        let interested = with(replied.clone(), json!({"event.type": "LEAD_INTERESTED", "data.reply.interested": true}));
        for (client, first, second) in [("s04a", &replied, &interested), ("s04b", &interested, &replied)] {
            let first = desk.post(client, "email", first).await;
            assert_eq!(told(&first), "accepted");
            let second = desk.post(client, "email", second).await;
            assert!(["duplicate", "recorded interested"].contains(&told(&second).as_str()), "{second:?}");
            assert_eq!(second.field("message_id"), first.field("message_id"));
        }
        let both = at_once(&desk, "s04c", &[("email", &replied), ("email", &interested)]).await;
        assert_eq!(count(&both, "accepted"), 1, "{both:?}");
        for client in ["s04a", "s04b", "s04c"] {
            each_is_done_once(&desk, client).await;
            assert_eq!(desk.stored(client).await, (1, 1, 1));
            assert_eq!(drafts(&desk, client).await, (1, 1), "{client}");
            // The verdict is that of the text, "Send me a couple of times", or the provider's,
            // depending on which came first.
            let tags = desk.texts(client, "distinct m.sentiment || '/' || l.sentiment from messages m join leads l on l.id = m.lead_id where m.client_id = $").await;
            assert!(["Meeting Requested/Meeting Requested", "Interested/Interested"].contains(&tags[0].as_str()), "{tags:?}");
            assert_eq!(desk.tell(client, "email", &interested).await, "duplicate", "a verdict stands");
        }
    }

    /// The verdict came first and without the text: what the lead wrote counts all the same.
    async fn interested_without_its_text_then_replied(place: Place) {
        let desk = Desk::at(&place).await;
        let replied = with(body("emailbison/lead_replied-1"), json!({"data.reply.text_body": "Please unsubscribe me", "data.reply.html_body": null}));
        let interested = with(replied.clone(), json!({"event.type": "LEAD_INTERESTED", "data.reply.interested": true, "data.reply.text_body": null}));
        let first = desk.post("s04e", "email", &interested).await;
        assert_eq!(told(&first), "accepted");
        let second = desk.post("s04e", "email", &replied).await;
        assert_eq!(told(&second), "duplicate");
        assert_eq!((second.field("message_id"), second.job_ids()), (first.field("message_id"), first.job_ids()));
        each_is_done_once(&desk, "s04e").await;
        assert_eq!(desk.texts("s04e", "body from messages where client_id = $").await, ["Please unsubscribe me"]);
        let fact = format!("count(*) from leads where client_id = $ and opted_out_message_id = {}", first.field("message_id"));
        assert_eq!(desk.number("s04e", &fact).await, 1);
        assert_eq!(drafts(&desk, "s04e").await.0, 0);
    }

    async fn edited_then_deleted(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        let first = desk.post("s05a", "linkedin", &inbound("linkedin")).await;
        let change = |event: &str, text: &str| with(inbound("linkedin"), json!({"event": event, "message": text}));
        let edited = change("message_edited", "hi, what does it cost?");
        for expected in ["recorded edited", "duplicate"] {
            let answer = desk.post("s05a", "linkedin", &edited).await;
            assert_eq!(told(&answer), expected);
            assert_eq!(answer.field("message_id"), first.field("message_id"));
        }
        let texts = "body || '|' || raw_text from messages where client_id = $ and edited_at is not null and deleted_at is null";
        assert_eq!(desk.texts("s05a", texts).await, ["hi, what does it cost?|hi, thanks for connecting"]);
        for expected in ["recorded deleted", "duplicate"] {
            assert_eq!(desk.tell("s05a", "linkedin", &change("message_deleted", "")).await, expected);
        }
        assert_eq!(desk.number("s05a", "count(*) from messages where client_id = $ and deleted_at is not null").await, 1, "kept");
        // The edits of a deleted one are heard all the same: an opt-out counts.
        assert_eq!(desk.tell("s05a", "linkedin", &change("message_edited", "Please do not contact me")).await, "recorded edited");
        let fact = format!("count(*) from leads where client_id = $ and opted_out_message_id = {}", first.field("message_id"));
        assert_eq!(desk.number("s05a", &fact).await, 1);
        assert_eq!(desk.tell("s05a", "linkedin", &inbound("linkedin")).await, "duplicate", "and it stays the same message");
        assert_eq!(desk.stored("s05a").await, (1, 1, 1));
    }

    /// GoHighLevel tells one message by two webhooks, each with an id of its own.
    async fn two_webhook_ids_for_one_message(place: Place) {
        let desk = Desk::at(&place).await;
        let one = body("ghl/inbound_message-2");
        let two = with(one.clone(), json!({"webhookId": "another", "timestamp": "2026-07-14T09:12:46.000Z"}));
        let answers = at_once(&desk, "s06a", &[("sms", &one), ("sms", &two), ("sms", &one), ("sms", &two)]).await;
        assert_eq!((count(&answers, "accepted"), count(&answers, "duplicate")), (1, 3), "{answers:?}");
        // By then the second webhook's id is known, too.
        let alone = with(two, json!({"messageId": null, "body": "something else"}));
        assert_eq!(desk.tell("s06a", "sms", &alone).await, "duplicate");
        each_is_done_once(&desk, "s06a").await;
        assert_eq!(desk.stored("s06a").await, (1, 1, 1));
    }

    async fn one_text_over_both_paths(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        let workflow = |text: &str| with(body("ghl/workflow_sms-2"), json!({"message.body": text}));
        let market = |id: &str, text: &str| with(body("ghl/inbound_message-2"), json!({"messageId": id, "webhookId": id, "body": text}));
        let ids = "coalesce(provider_id, '-') from messages where client_id = $ order by id";
        // Either first; case and blanks do not matter; the message gets the messageId.
        let first = desk.post("s07a", "sms", &workflow("Yes please")).await;
        let other = desk.post("s07a", "sms", &market("m1", " yes  PLEASE\n")).await;
        assert_eq!((told(&other).as_str(), other.field("message_id")), ("duplicate", first.field("message_id")));
        assert_eq!(desk.texts("s07a", ids).await, ["m1"]);
        let first = desk.post("s07b", "sms", &market("m1", "Yes please")).await;
        let other = desk.post("s07b", "sms", &workflow("Yes please")).await;
        assert_eq!((told(&other).as_str(), other.field("message_id")), ("duplicate", first.field("message_id")));
        // Another contact, direction or text is another message.
        assert_eq!(desk.tell("s07b", "sms", &with(workflow("Yes please"), json!({"contact_id": "c2"}))).await, "accepted");
        assert_eq!(desk.tell("s07b", "sms", &with(workflow("Yes please"), json!({"message.direction": "outbound"}))).await, "recorded outbound");
        assert_eq!(desk.tell("s07b", "sms", &workflow("Yes, please")).await, "accepted");
        // Both at once are one.
        let (one, two) = (workflow("Hello"), market("m1", "hello"));
        let answers = at_once(&desk, "s07c", &[("sms", &one), ("sms", &two), ("sms", &one), ("sms", &two)]).await;
        assert_eq!((count(&answers, "accepted"), count(&answers, "duplicate")), (1, 3), "{answers:?}");
        assert_eq!(desk.texts("s07c", ids).await, ["m1"]);
        // After ten minutes it is another.
        desk.change("s07c", &format!("update message_keys set expires_at = {} where client_id = $ and expires_at is not null", desk.instant(-60_000))).await;
        assert_eq!(desk.tell("s07c", "sms", &workflow("Hello")).await, "accepted");
        assert_eq!(desk.tell("s07c", "sms", &market("m1", "Hello")).await, "duplicate", "its id counts for ever");
    }

    /// An older message comes after a newer one: it is heard, and changes nothing that is newer.
    async fn a_late_message(place: Place) {
        let desk = Desk::at(&place).await;
        let mail = |id: &str, at: &str, text: &str| with(body("instantly/reply_received-5"), json!({"email_id": id, "timestamp": at, "reply_text": text}));
        let newer = mail("e2", "2026-07-02T00:00:00Z", "Could you send me more info about how this works?");
        let older = mail("e1", "2026-07-01T00:00:00Z", "Not interested, thanks.");
        for sent in [&newer, &older] {
            assert_eq!(desk.tell("s09a", "instantly", sent).await, "accepted");
            desk.all_done("s09a").await;
        }
        assert_eq!(desk.texts("s09a", "sentiment from messages where client_id = $ order by sent_at").await, ["Not Interested", "Information Requested"]);
        assert_eq!(desk.texts("s09a", "status || '/' || sentiment from leads where client_id = $").await, ["qualified/Information Requested"]);
        assert_eq!(drafts(&desk, "s09a").await, (1, 1), "the draft for the newer one stays, the older gets none");
        // A late opt-out counts for all that.
        let out = mail("e0", "2026-06-01T00:00:00Z", "Unsubscribe");
        assert_eq!(desk.tell("s09a", "instantly", &out).await, "accepted");
        assert_eq!(desk.texts("s09a", "status from leads where client_id = $").await, ["blacklisted"]);
        assert_eq!(drafts(&desk, "s09a").await.0, 0);
        each_is_done_once(&desk, "s09a").await;
    }

    async fn a_change_before_its_message(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        for event in ["message_edited", "message_deleted", "message_failed"] {
            let change = with(body("unipile/message_received-2"), json!({"event": event}));
            assert_eq!(desk.tell("s10a", "linkedin", &change).await, "ignored unknown_message", "{event}");
        }
        for table in ["message_keys", "messages", "leads", "quarantine"] {
            assert_eq!(desk.number("s10a", &format!("count(*) from {table} where client_id = $")).await, 0, "{table}");
        }
        // It leaves nothing behind: the message is stored as ever, and the change may come again.
        assert_eq!(desk.tell("s10a", "linkedin", &body("unipile/message_received-2")).await, "recorded outbound");
        let untouched = "count(*) from messages where client_id = $ and edited_at is null and deleted_at is null and failed_at is null";
        assert_eq!(desk.number("s10a", untouched).await, 1);
        for (event, word) in [("message_edited", "edited"), ("message_deleted", "deleted"), ("message_failed", "failed")] {
            let change = with(body("unipile/message_received-2"), json!({"event": event, "message": "else"}));
            assert_eq!(desk.tell("s10a", "linkedin", &change).await, format!("recorded {word}"));
        }
    }

    async fn state_events_about_somebody_unknown(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        let signals = [
            ("sms", body("ghl/contact_dnd_update-1")),
            ("linkedin", body("unipile/new_relation-1")),
            ("smartlead", body("smartlead/lead_category_updated-1")),
            ("instantly", body("instantly/lead_interested-1")),
        ];
        for (channel, signal) in &signals {
            assert_eq!(desk.tell("s11a", channel, signal).await, "ignored unknown_lead", "{channel}");
        }
        assert_eq!(desk.number("s11a", "count(*) from leads where client_id = $").await, 0);
        assert_eq!(desk.number("s11a", "count(*) from campaigns where client_id = $").await, 0);
        // Known, they count.
        for channel in ["sms", "linkedin", "smartlead", "instantly"] {
            let sent = with(inbound(channel), json!({"timestamp": "2025-06-01T00:00:00Z", "time_replied": "2026-07-11T13:53:30+00:00"}));
            assert_eq!(desk.tell("s11a", channel, &sent).await, "accepted");
        }
        for ((channel, signal), word) in signals.iter().zip(["do_not_disturb", "connected", "category", "interested"]) {
            assert_eq!(desk.tell("s11a", channel, signal).await, format!("recorded {word}"));
        }
        // An opt-out that comes first is not lost: the first message finds it.
        assert_eq!(desk.tell("s11b", "instantly", &body("instantly/lead_unsubscribed-1")).await, "recorded unsubscribe");
        let reply = desk.post("s11b", "email", &body("emailbison/lead_replied-1")).await;
        assert_eq!(told(&reply), "accepted");
        assert_eq!(desk.texts("s11b", "status from leads where client_id = $").await, ["blacklisted"]);
        assert_eq!(desk.stored("s11b").await, (1, 1, 1));
    }

    async fn one_id_at_two_clients(place: Place) {
        let desk = Desk::at(&place).await;
        for channel in channels() {
            let sent = inbound(channel);
            let (a, b) = tokio::join!(desk.post("s12a", channel, &sent), desk.post("s12b", channel, &sent));
            assert_eq!((told(&a).as_str(), told(&b).as_str()), ("accepted", "accepted"), "{channel}");
            for field in ["message_id", "lead_id"] {
                assert_ne!(a.field(field), b.field(field));
            }
            let again = desk.post("s12b", channel, &sent).await;
            assert_eq!(again.field("message_id"), b.field("message_id"));
        }
        // An event of one client's lead does not change the other's.
        assert_eq!(desk.tell("s12a", "instantly", &body("instantly/lead_unsubscribed-1")).await, "recorded unsubscribe");
        let deleted = with(inbound("linkedin"), json!({"event": "message_deleted"}));
        assert_eq!(desk.tell("s12a", "linkedin", &deleted).await, "recorded deleted");
        for what in ["leads where opted_out_at is not null and", "messages where deleted_at is not null and"] {
            assert_eq!(desk.number("s12b", &format!("count(*) from {what} client_id = $")).await, 0);
        }
        for client in ["s12a", "s12b"] {
            each_is_done_once(&desk, client).await;
            assert_eq!(desk.stored(client).await.0, 5);
        }
        // A quarantined body is each client's own, too.
        let strange = json!({"event_type": "EMAIL_STRANGE"});
        let (a, b) = (desk.post("s12a", "smartlead", &strange).await, desk.post("s12b", "smartlead", &strange).await);
        assert_ne!(a.field("quarantine_id"), b.field("quarantine_id"));
    }

    /// R3: several channels report one new person at once; that it is one person shows later, while
    /// jobs run. Nobody is answered twice.
    async fn r3_two_channels_at_once_and_a_merge_later(place: Place) {
        let desk = Desk::at(&place).await;
        let people = 12;
        let client = "s13a";
        let text = "Could you send me more info about how this works?";
        let mail = |n: u32| with(body("instantly/reply_received-5"), json!({"lead_email": format!("r{n}@x.example"), "email_id": n, "reply_text": text}));
        let bison = |n: u32| with(body("emailbison/lead_replied-1"), json!({
            "data.reply.id": n, "data.lead.id": n, "data.lead.email": format!("R{n}@x.example"),
            "data.reply.from_email_address": format!("r{n}@x.example"), "data.reply.text_body": text,
        }));
        let phone = |n: u32| format!("+131255501{n:02}");
        let sms = |n: u32, contact: String, more: Value| with(with(body("ghl/workflow_sms-2"), json!({
            "contact_id": contact, "phone": phone(n), "message.body": text,
        })), more);
        for n in 0..people {
            let (one, two, three) = (mail(n), bison(n), sms(n, format!("c{n}"), json!({})));
            let answers = at_once(&desk, client, &[("instantly", &one), ("email", &two), ("sms", &three), ("instantly", &one)]).await;
            assert_eq!((count(&answers, "accepted"), count(&answers, "duplicate")), (3, 1), "{answers:?}");
            // By mail it is one person at once, whichever channel was first.
            assert_eq!(answers[0].field("lead_id"), answers[1].field("lead_id"));
        }
        assert_eq!(desk.stored(client).await, (3 * i64::from(people), 2 * i64::from(people), 3 * i64::from(people)));
        // Then comes who that is: by half of them while their jobs may still run.
        let mut merged = Vec::new();
        for n in 0..people {
            if n == people / 2 {
                desk.all_done(client).await;
            }
            let both = sms(n, format!("c{n}"), json!({"email": format!("r{n}@x.example"), "message.body": "Hello again, is there any news?"}));
            let again = mail(n);
            merged.extend(at_once(&desk, client, &[("sms", &both), ("instantly", &again), ("sms", &both)]).await);
        }
        assert_eq!((count(&merged, "accepted"), count(&merged, "duplicate")), (people as usize, 2 * people as usize));
        each_is_done_once(&desk, client).await;
        assert_eq!(desk.stored(client).await, (4 * i64::from(people), i64::from(people), 4 * i64::from(people)));
        for table in ["messages", "drafts", "lead_identities"] {
            let left = format!("count(*) from {table} t join leads l on l.id = t.lead_id where t.client_id = $ and l.merged_into is not null");
            assert_eq!(desk.number(client, &left).await, 0, "{table}");
        }
        assert_eq!(desk.number(client, "count(*) from lead_identities where client_id = $").await, 4 * i64::from(people));
        // Only what answers the newest message of a person may wait: nobody is answered twice for
        // one thing.
        let twice = "count(*) from (select lead_id from drafts where client_id = $ and status = 'pending' group by lead_id having count(*) > 1) as twice";
        assert_eq!(desk.number(client, twice).await, 0);
        let stale = "count(*) from drafts d join leads l on l.id = d.lead_id where d.client_id = $ and d.status = 'pending' and d.message_id <> l.newest_inbound_id";
        assert_eq!(desk.number(client, stale).await, 0);
        let lines = "count(*) from leads l where l.client_id = $ and l.merged_into is null and l.newest_inbound_id is null";
        assert_eq!(desk.number(client, lines).await, 0);
    }
}

/// Twice the same words over both paths, soon after one another; small letters are the first text.
fn equal_text(step: char, contact: &str) -> Value {
    let (file, change) = match step {
        'w' | 'W' => {
            let time = if step == 'w' { "10:21 AM" } else { "10:22 AM" };
            let change = json!({
                "contact_id": contact, "message.body": "Yes", "customData.Time": time,
                "email": null, "phone": null, "customData.Email": null, "customData.Phone Number": null,
            });
            ("ghl/workflow_sms-1", change)
        }
        _ => {
            let id = format!("{contact}/{}", if step == 'm' { 1 } else { 2 });
            (
                "ghl/inbound_message-2",
                json!({"contactId": contact, "messageId": id, "webhookId": id, "body": "Yes", "from": null}),
            )
        }
    };
    with(body(file), change)
}

/// The orders in which they may come; each path keeps its own order.
const ORDERS: [&str; 4] = ["wmWM", "mwMW", "mMwW", "wmMW"];

on_both_daemons! {
    /// Two texts of the same words, each told over both paths: none is lost, and none is stored
    /// twice.
    async fn two_equal_texts_over_both_paths(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        for order in ORDERS {
            for step in order.chars() {
                let sent = equal_text(step, order);
                assert_eq!(desk.post("s08a", "sms", &sent).await.status, 200);
                for again in 0..2 {
                    assert_eq!(desk.tell("s08a", "sms", &sent).await, "duplicate", "{order} {step} {again}");
                }
            }
            let ids = format!("coalesce(provider_id, '-') from messages where client_id = $ and reply_handle like '%{order}%' order by provider_id");
            assert_eq!(desk.texts("s08a", &ids).await, [format!("{order}/1"), format!("{order}/2")]);
        }
    }
}

on_both_databases! {
    /// The same, in whatever groups they are stored.
    async fn two_equal_texts_in_groups(db: Fixture) {
        for order in ORDERS {
            for cuts in 0..8 {
                let contact = format!("{order}{cuts}");
                let mut groups: Vec<Vec<Inbound>> = vec![Vec::new()];
                for (n, step) in order.chars().enumerate() {
                    groups.last_mut().unwrap().push(webhook(&Sms, "sms", &equal_text(step, &contact)));
                    if cuts >> n & 1 == 1 {
                        groups.push(Vec::new());
                    }
                }
                for group in groups.iter().filter(|it| !it.is_empty()) {
                    db.store.inbox().put(Arc::from(group.clone())).await.unwrap();
                }
                let ids = format!("select coalesce(provider_id, '-') from messages where reply_handle like '%{contact}%' order by provider_id");
                assert_eq!(db.texts(&ids).await, [format!("{contact}/1"), format!("{contact}/2")], "{order}, cut at {cuts:b}");
                // All of it again changes nothing.
                let answers = db.store.inbox().put(Arc::from(groups.concat())).await.unwrap();
                assert!(answers.iter().all(|it| matches!(it, store::Answer::Duplicate { .. })), "{order}: {answers:?}");
            }
        }
        assert_eq!(db.number("select count(*) from messages").await, db.number("select count(*) from jobs").await);
    }

    /// Both paths of one text come to two nodes at the same time: the second finds the first.
    async fn both_paths_on_two_nodes_at_once(db: Fixture) {
        let other = if db.is_sqlite() { db.store.clone() } else { db.another_node().await };
        let people: i64 = 40;
        for n in 0..people {
            let contact = format!("both{n}");
            let earlier = with(equal_text('w', &contact), json!({"message.body": "Hello"}));
            db.store.inbox().put(Arc::from(vec![webhook(&Sms, "sms", &earlier)])).await.unwrap();
            let put = async |store: &store::Store, step| {
                let inbound = webhook(&Sms, "sms", &equal_text(step, &contact));
                store.inbox().put(Arc::from(vec![inbound])).await.unwrap()
            };
            let (one, two) = tokio::join!(put(&db.store, 'w'), put(&other, 'm'));
            let duplicates = [&one[0], &two[0]].into_iter().filter(|it| matches!(it, store::Answer::Duplicate { .. }));
            assert_eq!(duplicates.count(), 1, "{n}: {one:?} {two:?}");
        }
        assert_eq!(db.number("select count(*) from messages").await, 2 * people);
        assert_eq!(db.number("select count(*) from messages where provider_id is not null").await, people);
    }
}
