//! Changes of a lead without a message: verdicts, opt-outs, bounces; times, notices and old names.

use crate::{
    on_both_daemons,
    support::{
        eventually,
        shared::{Desk, body, told, with, without},
    },
};
use serde_json::{Value, json};
use std::time::Duration;

const DAY_MS: i64 = 24 * 3_600_000;

/// Verdict of each message / of its lead / status of the lead.
async fn verdicts(desk: &Desk, client: &str) -> Vec<String> {
    let all = "coalesce(m.sentiment, '-') || '/' || coalesce(l.sentiment, '-') || '/' || l.status \
        from messages m join leads l on l.id = m.lead_id where m.client_id = $ order by m.sent_at";
    desk.texts(client, all).await
}

async fn judge(desk: &Desk, client: &str, tag: &str) {
    desk.change(client, &format!("update messages set sentiment = {tag} where client_id = $"))
        .await;
}

fn hint(event: &str, at: &str) -> Value {
    with(body("instantly/lead_interested-1"), json!({"event_type": event, "timestamp": at}))
}

/// A pending draft on a channel for the client's newest message.
async fn draft(desk: &Desk, client: &str, channel: &str) {
    static NEXT: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(1);
    let id = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let now = desk.instant(0);
    desk.change(
        client,
        &format!(
            "insert into drafts (id, client_id, lead_id, message_id, channel, status, body, parts, created_at) \
             select {id}, client_id, lead_id, id, '{channel}', 'pending', 'Hi', '[]', {now} from messages \
             where id = (select max(id) from messages where client_id = $)"
        ),
    )
    .await;
}

async fn drafts(desk: &Desk, client: &str) -> Vec<String> {
    let all = "channel || ' ' || status || ' ' || coalesce(decided_by, '-') from drafts where client_id = $ order by channel";
    desk.texts(client, all).await
}

on_both_daemons! {
    async fn p16_a_providers_verdict_fills_in(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        let reply = |n: u32, day: u32| with(body("instantly/reply_received-5"), json!({
            "email_id": format!("e{n}"), "timestamp": format!("2026-07-{day:02}T10:00:00Z"),
        }));
        // No message, no verdict; and never a job.
        desk.tell("p16a", "instantly", &with(body("instantly/email_sent-3"), json!({"timestamp": "2026-06-30T08:00:00Z"}))).await;
        assert_eq!(desk.tell("p16a", "instantly", &hint("lead_interested", "2026-07-01T00:00:00Z")).await, "duplicate");
        for (n, day) in [(1, 2), (2, 4)] {
            assert_eq!(desk.tell("p16a", "instantly", &reply(n, day)).await, "accepted");
        }
        // It is about the newest that is not later than itself, and the lead's only if that is its
        // newest.
        assert_eq!(desk.tell("p16a", "instantly", &hint("lead_interested", "2026-07-01T00:00:00Z")).await, "duplicate");
        assert_eq!(desk.tell("p16a", "instantly", &hint("lead_interested", "2026-07-03T00:00:00Z")).await, "recorded interested");
        assert_eq!(verdicts(&desk, "p16a").await[1..], ["Interested/-/new", "-/-/new"]);
        assert_eq!(desk.tell("p16a", "instantly", &hint("lead_meeting_booked", "2026-07-05T00:00:00Z")).await, "recorded interested");
        assert_eq!(verdicts(&desk, "p16a").await[1..], ["Interested/Meeting Booked/meeting-booked", "Meeting Booked/Meeting Booked/meeting-booked"]);
        // Another verdict stands; the same one again, and one over Neutral.
        for event in ["lead_meeting_booked", "lead_not_interested"] {
            assert_eq!(desk.tell("p16a", "instantly", &hint(event, "2026-07-06T00:00:00Z")).await, "duplicate", "{event}");
        }
        judge(&desk, "p16a", "'Neutral'").await;
        assert_eq!(desk.tell("p16a", "instantly", &hint("lead_not_interested", "2026-07-06T00:00:00Z")).await, "recorded interested");
        assert_eq!(verdicts(&desk, "p16a").await[1..], ["Neutral/Not Interested/not-interested", "Not Interested/Not Interested/not-interested"]);
        assert_eq!(desk.stored("p16a").await, (3, 1, 2));

        // Each word has its tag.
        for (client, event, tag) in [
            ("p16b", "lead_interested", "Interested/Interested/qualified"),
            ("p16c", "lead_not_interested", "Not Interested/Not Interested/not-interested"),
            ("p16d", "lead_out_of_office", "Out of Office/Out of Office/new"),
            ("p16e", "lead_wrong_person", "Not Interested/Not Interested/not-interested"),
        ] {
            desk.tell(client, "instantly", &reply(1, 2)).await;
            assert_eq!(desk.tell(client, "instantly", &hint(event, "2026-07-03T00:00:00Z")).await, "recorded interested");
            assert_eq!(verdicts(&desk, client).await, [tag], "{event}");
        }
        let category = |name: &str| with(body("smartlead/lead_category_updated-1"), json!({
            "lead_category.new_name": name, "category": name, "event_timestamp": "2026-08-01T00:00:00Z",
        }));
        assert_eq!(desk.tell("p16f", "smartlead", &body("smartlead/email_reply-1")).await, "accepted");
        for (name, expected, tag) in [
            ("A list of ours", "recorded category", "-/-/new"),
            ("A list of ours", "duplicate", "-/-/new"),
            ("Meeting Request", "recorded category", "Meeting Requested/Meeting Requested/meeting-requested"),
            ("Interested", "recorded category", "Meeting Requested/Meeting Requested/meeting-requested"),
        ] {
            assert_eq!(desk.tell("p16f", "smartlead", &category(name)).await, expected, "{name}");
            assert_eq!(verdicts(&desk, "p16f").await, [tag], "{name}");
            assert_eq!(desk.texts("p16f", "category from leads where client_id = $").await, [name]);
        }
        for (name, tag) in [
            ("Interested", "Interested"), ("Not Interested", "Not Interested"), ("Out Of Office", "Out of Office"),
            ("Meeting Requested", "Meeting Requested"), ("Information Request", "Information Requested"), ("Information Requested", "Information Requested"),
        ] {
            judge(&desk, "p16f", "null").await;
            desk.tell("p16f", "smartlead", &category(name)).await;
            assert_eq!(desk.texts("p16f", "sentiment from messages where client_id = $").await, [tag]);
        }
        assert_eq!(desk.stored("p16f").await, (1, 1, 1), "the mails inside are none");

        // Opt-out and bounce win over any.
        desk.tell("p16g", "instantly", &reply(1, 2)).await;
        assert_eq!(desk.tell("p16g", "instantly", &with(body("instantly/email_bounced-1"), json!({"lead_email": "dana.whitfield@larkspur-freight.example"}))).await, "recorded bounce");
        desk.tell("p16g", "instantly", &hint("lead_interested", "2026-07-03T00:00:00Z")).await;
        assert_eq!(desk.texts("p16g", "status from leads where client_id = $").await, ["blacklisted"]);
        desk.tell("p16h", "instantly", &reply(1, 2)).await;
        assert_eq!(desk.tell("p16h", "instantly", &body("instantly/lead_unsubscribed-1")).await, "recorded unsubscribe");
        desk.tell("p16h", "instantly", &hint("lead_interested", "2026-07-03T00:00:00Z")).await;
        assert_eq!(desk.texts("p16h", "status || '/' || sentiment from leads where client_id = $").await, ["blacklisted/Blacklist"]);
    }

    async fn p17_an_opt_out_stands_in_the_commit_that_heard_it(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        let mail = |n: usize, words: &str| with(body("emailbison/lead_replied-1"), json!({
            "data.reply.text_body": words, "data.reply.html_body": null, "data.reply.id": n, "data.lead.id": n,
            "data.lead.email": format!("e{n}@x.example"), "data.reply.from_email_address": format!("e{n}@x.example"),
        }));
        let smart = |n: usize, words: &str| with(body("smartlead/email_reply-1"), json!({
            "reply_message": {"message_id": n, "text": words}, "reply_body": null, "sl_email_lead_id": n,
            "leadCorrespondence": {"targetLeadEmail": format!("s{n}@x.example")},
        }));
        let instantly = |n: usize, words: &str| with(body("instantly/reply_received-5"), json!({
            "reply_text": words, "email_id": n, "lead_email": format!("i{n}@x.example"),
        }));
        let sms = |n: usize, words: &str| with(body("ghl/workflow_sms-2"), json!({"message.body": words, "contact_id": format!("c{n}")}));
        let market = |n: usize, words: &str| with(body("ghl/inbound_message-2"), json!({
            "body": words, "contactId": format!("m{n}"), "from": null, "messageId": n, "webhookId": n,
        }));
        let chat = |n: usize, words: &str| with(body("unipile/message_received-4"), json!({
            "message": words, "message_id": n, "sender": {"attendee_provider_id": format!("ACoAA{n}")}, "attendees": [],
        }));
        let bodies = |n: usize, words: &str| [
            ("email", mail(n, words)), ("smartlead", smart(n, words)), ("instantly", instantly(n, words)),
            ("sms", sms(n, words)), ("sms", market(n, words)), ("linkedin", chat(n, words)),
        ];
        let anywhere = [
            "Please unsubscribe me.", "I want to opt out of this", "take us off your list", "stop emailing me", "do not contact me again",
            "Bitte abmelden", "Keine weiteren Mails bitte", "Je veux me désabonner", "Ne me contactez plus", "Quiero darme de baja",
            "Rimuovimi dalla lista", "Não me contate", "STOP", "unsubscribe", "Opt out",
        ];
        let mut count = 0;
        for (n, words) in anywhere.into_iter().enumerate() {
            for (channel, sent) in bodies(n, words) {
                let answer = desk.post("p17a", channel, &sent).await;
                assert_eq!(told(&answer), "accepted", "{channel}: {words}");
                let lead = answer.field("lead_id");
                let fact = format!(
                    "opted_out_channel || ' ' || status || ' ' || sentiment from leads where client_id = $ \
                     and id = {lead} and opted_out_message_id = {}", answer.field("message_id")
                );
                assert_eq!(desk.texts("p17a", &fact).await, [format!("{channel} blacklisted Blacklist")], "{channel}: {words}");
                count += 1;
            }
        }
        assert_eq!(desk.jobs("p17a").await, count, "each has its job");
        // SMS has more whole words; and none of these is one elsewhere.
        for (n, words) in ["END", "quit.", "Cancel", "revoke", "StopAll", "optout"].into_iter().enumerate() {
            let answer = desk.post("p17b", "sms", &sms(n, words)).await;
            let fact = format!("count(*) from leads where opted_out_at is not null and id = {}", answer.field("lead_id"));
            assert_eq!(desk.number("p17b", &fact).await, 1, "{words}");
        }
        for (n, words) in ["Stop by my office", "I never unsubscribed", "don't stop", "Reply STOP to opt out", "our customers unsubscribe a lot"].into_iter().enumerate() {
            for (channel, sent) in bodies(100 + n, words) {
                assert_eq!(desk.tell("p17c", channel, &sent).await, "accepted", "{channel}: {words}");
            }
        }
        for (channel, sent) in [("email", mail(200, "end")), ("linkedin", chat(200, "Cancel")), ("instantly", instantly(200, "quit"))] {
            assert_eq!(desk.tell("p17c", channel, &sent).await, "accepted");
        }
        assert_eq!(desk.number("p17c", "count(*) from leads where client_id = $ and opted_out_at is not null").await, 0);

        // On all channels, drafts included, and by event as by words; the second time nothing
        // changes.
        for (client, channel, out) in [
            ("p17d", "email", body("emailbison/lead_unsubscribed-1")),
            ("p17e", "smartlead", with(body("smartlead/lead_unsubscribed-1"), json!({"lead_email": "dana.whitfield@larkspur-freight.example"}))),
            ("p17f", "instantly", body("instantly/lead_unsubscribed-1")),
            ("p17g", "instantly", with(body("instantly/lead_unsubscribed-1"), json!({"event_type": "unsubscribed"}))),
            ("p17h", "smartlead", with(body("smartlead/lead_category_updated-1"), json!({
                "lead_email": "dana.whitfield@larkspur-freight.example", "lead_category.new_name": "Do Not Contact",
            }))),
        ] {
            desk.tell(client, "instantly", &body("instantly/reply_received-5")).await;
            for on in ["email", "sms", "linkedin"] {
                draft(&desk, client, on).await;
            }
            let answer = desk.post(client, channel, &out).await;
            assert!(["recorded unsubscribe", "recorded category"].contains(&told(&answer).as_str()), "{answer:?}");
            assert!(answer.body["message_id"].is_null(), "no message of it");
            assert_eq!(drafts(&desk, client).await, ["email", "linkedin", "sms"].map(|it| format!("{it} rejected opt_out")));
            let fact = "opted_out_channel || ' ' || status || ' ' || sentiment from leads where client_id = $";
            assert_eq!(desk.texts(client, fact).await, [format!("{channel} blacklisted Blacklist")]);
            assert_eq!(desk.tell(client, channel, &out).await, "duplicate");
            assert_eq!(desk.stored(client).await, (1, 1, 1), "{client}");
            // A later message of the lead is taken, and lifts nothing.
            let more = with(body("instantly/reply_received-6"), json!({"reply_text": "I am interested after all"}));
            assert_eq!(desk.tell(client, "instantly", &more).await, "accepted");
            assert_eq!(desk.texts(client, fact).await, [format!("{channel} blacklisted Blacklist")]);
        }
    }

    async fn p17_a_bounce_stops_mail_and_do_not_disturb_stops_sms(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        let dana = "dana.whitfield@larkspur-freight.example";
        let by_text = with(body("emailbison/untracked_reply_received-1"), json!({
            "data.reply.from_email_address": "postmaster@mx.example",
            "data.reply.text_body": format!("Delivery to the following recipient failed: <{dana}>"),
        }));
        for (client, channel, bounce) in [
            ("s19a", "email", body("emailbison/email_bounced-1")),
            ("s19b", "email", with(body("emailbison/lead_replied-1"), json!({"data.reply.folder": "Bounced"}))),
            ("s19c", "email", with(body("emailbison/lead_replied-1"), json!({"data.reply.from_email_address": "MAILER-DAEMON@mx.example", "data.reply.automated_reply": true}))),
            ("s19d", "email", by_text),
            ("s19e", "smartlead", with(body("smartlead/email_bounce-1"), json!({"to_email": dana}))),
            ("s19f", "instantly", with(body("instantly/email_bounced-1"), json!({"lead_email": dana}))),
        ] {
            desk.tell(client, "instantly", &body("instantly/reply_received-5")).await;
            for on in ["email", "instantly", "linkedin", "smartlead", "sms"] {
                draft(&desk, client, on).await;
            }
            let answer = desk.post(client, channel, &bounce).await;
            assert_eq!(told(&answer), "recorded bounce", "{client}");
            assert!(answer.body["message_id"].is_null(), "no message of it");
            let expected = ["email rejected bounce", "instantly rejected bounce", "linkedin pending -", "smartlead rejected bounce", "sms pending -"];
            assert_eq!(drafts(&desk, client).await, expected, "{client}");
            let fact = "bounced_address || ' ' || status from leads where client_id = $";
            assert_eq!(desk.texts(client, fact).await, [format!("{dana} blacklisted")]);
            assert_eq!(desk.number(client, "count(*) from leads where client_id = $ and opted_out_at is null").await, 1);
            let reasons = desk.number(client, "count(*) from leads where client_id = $ and bounced_reason is not null").await;
            assert_eq!(reasons, i64::from(channel != "instantly"), "{client}");
            assert_eq!(desk.tell(client, channel, &bounce).await, "duplicate", "{client}");
            assert_eq!(desk.stored(client).await, (1, 1, 1));
        }
        // A sender's own trouble is not the lead's.
        let own = with(body("smartlead/email_bounce-1"), json!({"is_sender_originated_bounce": "true"}));
        assert_eq!(desk.tell("s19g", "smartlead", &own).await, "ignored sender_bounce");
        assert_eq!(desk.stored("s19g").await, (0, 0, 0));
        // The lead that is named counts, whatever address stands in the text.
        let other = with(body("emailbison/email_bounced-1"), json!({"data.reply.text_body": "550 5.1.1 someone@else.example"}));
        assert_eq!(desk.tell("s19g", "email", &other).await, "recorded bounce");
        assert_eq!(desk.texts("s19g", "bounced_address from leads where client_id = $").await, [dana]);
        // A mail from that very address lifts it; one that was written before it does not.
        let reply = |id: u32, at: &str, from: &str| with(body("emailbison/lead_replied-1"), json!({
            "data.reply.id": id, "data.reply.date_received": at, "data.reply.from_email_address": from,
        }));
        let bounced = "count(*) from leads where client_id = $ and bounced_at is not null";
        for (id, at, from, left) in [
            (1, "2024-12-02T00:00:00Z", "somebody@larkspur-freight.example", 1),
            (2, "2024-11-01T00:00:00Z", dana, 1),
            (3, "2024-12-02T00:00:00Z", dana, 0),
        ] {
            assert_eq!(desk.tell("s19g", "email", &reply(id, at, from)).await, "accepted");
            assert_eq!(desk.number("s19g", bounced).await, left, "{at} {from}");
        }

        // Do-not-disturb: of SMS, on and off; its end lifts no opt-out.
        desk.tell("s19h", "sms", &body("ghl/workflow_sms-1")).await;
        let dnd = |settings: Value, dnd: bool| with(body("ghl/contact_dnd_update-1"), json!({"dndSettings": settings, "dnd": dnd}));
        let status = |status: &str| json!({"SMS": {"status": status}, "Email": {"status": "active"}});
        let is_on = "count(*) from leads where client_id = $ and sms_dnd";
        for (update, expected, on) in [
            (dnd(status("inactive"), true), "duplicate", 0),
            (dnd(status("active"), false), "recorded do_not_disturb", 1),
            (dnd(status("permanent"), false), "duplicate", 1),
            (dnd(status("inactive"), true), "recorded do_not_disturb", 0),
            (dnd(status("permanent"), false), "recorded do_not_disturb", 1),
            (dnd(Value::Null, false), "recorded do_not_disturb", 0),
            (dnd(json!({}), true), "recorded do_not_disturb", 1),
        ] {
            assert_eq!(desk.tell("s19h", "sms", &update).await, expected, "{update}");
            assert_eq!(desk.number("s19h", is_on).await, on, "{update}");
        }
        assert_eq!(desk.texts("s19h", "status from leads where client_id = $").await, ["new"]);
        assert_eq!(desk.tell("s19h", "sms", &body("ghl/workflow_sms-3")).await, "accepted");
        assert_eq!(desk.tell("s19h", "sms", &dnd(status("inactive"), false)).await, "recorded do_not_disturb");
        assert_eq!(desk.number("s19h", "count(*) from leads where client_id = $ and opted_out_at is not null").await, 1);
        // Connecting is a state, too.
        desk.tell("s19h", "linkedin", &body("unipile/message_received-1")).await;
        for expected in ["recorded connected", "duplicate"] {
            assert_eq!(desk.tell("s19h", "linkedin", &body("unipile/new_relation-1")).await, expected);
        }
    }

    async fn p18_when_a_message_was_written(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        let before = postroom::store::wall_clock().as_millis();
        let mail = |reply: Value| {
            let mut body = body("emailbison/lead_replied-1");
            for (name, value) in reply.as_object().unwrap() {
                body["data"]["reply"][name] = value.clone();
            }
            ("email", body)
        };
        let smart = |at: Value, more: Value| ("smartlead", with(with(body("smartlead/email_reply-1"), json!({
            "time_replied": at, "reply_message.message_id": null, "message_id": null, "preview_text": null,
        })), more));
        let instantly = |at: Value| ("instantly", with(body("instantly/reply_received-5"), json!({"timestamp": at})));
        let chat = |at: Value| ("linkedin", with(body("unipile/message_received-1"), json!({"timestamp": at})));
        let sms = |change: Value| ("sms", with(body("ghl/inbound_message-2"), change));
        let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let soon = jiff::Timestamp::from_millisecond(before + 23 * 3_600_000).unwrap();
        let late = jiff::Timestamp::from_millisecond(before + 25 * 3_600_000).unwrap();
        let receipt = -1;
        let rows = [
            (mail(json!({})), at("2024-12-01T03:43:15Z")),
            (mail(json!({"date_received": null, "received_at": "2024-12-01T05:00:00+02:00"})), at("2024-12-01T03:00:00Z")),
            (mail(json!({"date_received": "not a time"})), at("2024-12-01T03:44:02Z")),
            (mail(json!({"date_received": "2024-12-01 03:00:00"})), at("2024-12-01T03:00:00Z")),
            (mail(json!({"date_received": null, "created_at": {}})), receipt),
            (mail(json!({"date_received": soon.to_string()})), soon.as_millisecond()),
            (mail(json!({"date_received": late.to_string()})), receipt),
            (smart(json!("2026-07-11T12:51:48.2+00:00"), json!({})), at("2026-07-11T12:51:48.200Z")),
            (smart(json!(null), json!({"reply_message.time": "2026-07-11T13:53:31+00:00"})), at("2026-07-11T13:53:31Z")),
            (smart(json!(""), json!({"reply_message.time": null, "event_timestamp": "2026-07-11T14:46:19.940Z"})), at("2026-07-11T14:46:19.940Z")),
            (smart(json!(1_783_771_200), json!({})), 1_783_771_200_000),
            (instantly(json!(1_783_771_200_123_i64)), 1_783_771_200_123),
            (instantly(json!("1783771200")), 1_783_771_200_000),
            (instantly(json!("2026-06-30T21:37:10.851")), at("2026-06-30T21:37:10.851Z")),
            (instantly(json!("N/A")), receipt),
            (chat(json!("2026-07-06T09:43:27.002Z")), at("2026-07-06T09:43:27.002Z")),
            (chat(json!(null)), receipt),
            (sms(json!({})), at("2026-07-14T09:12:44.102Z")),
            (sms(json!({"dateAdded": null})), at("2026-07-14T09:12:45.953Z")),
            // The contact's creation, and a date of months ago in no zone that is told, are no time
            // of the message.
            (("sms", body("ghl/workflow_sms-1")), receipt),
            (("sms", body("ghl/workflow_sms-2")), receipt),
        ];
        for (n, ((channel, sent), expected)) in rows.into_iter().enumerate() {
            let ids = match channel {
                "email" => json!({"data.reply.id": n}),
                "linkedin" => json!({"message_id": n}),
                "smartlead" => json!({"stats_id": n}),
                "instantly" => json!({"email_id": n}),
                _ if sent["type"].is_string() => json!({"messageId": n, "webhookId": n, "body": n.to_string()}),
                _ => json!({"message.body": n.to_string()}),
            };
            let answer = desk.post("p18a", channel, &with(sent.clone(), ids)).await;
            assert_eq!(told(&answer), "accepted", "{sent}");
            let read = format!("{} from messages where client_id = $ and id = {}", desk.millis("sent_at"), answer.field("message_id"));
            let stored = desk.number("p18a", &read).await;
            if expected == receipt {
                let after = postroom::store::wall_clock().as_millis();
                assert!((before - 1_000..=after + 1_000).contains(&stored), "{stored}: {sent}");
            } else {
                assert_eq!(stored, expected, "{sent}");
            }
        }
        // The facts about a lead have their times, too; it is connected when that is told.
        let unsubscribed = desk.post("p18b", "smartlead", &body("smartlead/lead_unsubscribed-1")).await;
        assert_eq!(told(&unsubscribed), "recorded unsubscribe");
        let when = format!("{} from leads where client_id = $", desk.millis("opted_out_at"));
        assert_eq!(desk.number("p18b", &when).await, at("2026-07-11T14:46:19.940Z"));
        desk.tell("p18c", "linkedin", &body("unipile/message_received-1")).await;
        let relation = with(body("unipile/new_relation-1"), json!({"timestamp": "2020-01-01T00:00:00Z"}));
        assert_eq!(desk.tell("p18c", "linkedin", &relation).await, "recorded connected");
        let when = format!("{} from leads where client_id = $", desk.millis("connected_at"));
        let connected = desk.number("p18c", &when).await;
        assert!((before - 1_000..before + DAY_MS).contains(&connected), "{connected}");
    }

    async fn p19_notices_about_accounts_touch_no_lead(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        // The lead that they could mean is there.
        desk.tell("p19a", "email", &body("emailbison/lead_replied-1")).await;
        desk.tell("p19a", "linkedin", &body("unipile/message_received-1")).await;
        let picture = "status || '/' || coalesce(sentiment, '-') || '/' || coalesce(email, '-') from leads where client_id = $ order by id";
        let before = desk.texts("p19a", picture).await;
        let account = |event: &str| ("email", with(body("emailbison/lead_unsubscribed-1"), json!({"event.type": event})));
        let status = |word: &str| ("linkedin", with(body("unipile/account_status-1"), json!({"AccountStatus.message": word})));
        let hosted = |word: &str| ("linkedin", json!({"status": word, "account_id": "bX3kPq9TSuW1mZr7LdYe0A", "name": "p19"}));
        let rows = [
            (account("EMAIL_ACCOUNT_ADDED"), false),
            (account("EMAIL_ACCOUNT_RECONNECTED"), false),
            (account("EMAIL_ACCOUNT_REMOVED"), true),
            (account("EMAIL_ACCOUNT_DISCONNECTED"), true),
            (account("WARMUP_DISABLED_RECEIVING_BOUNCES"), true),
            (account("WARMUP_DISABLED_CAUSING_BOUNCES"), true),
            (("sms", json!({"type": "INSTALL", "appId": "a", "companyId": "c"})), false),
            (("sms", json!({"type": "UNINSTALL", "appId": "a", "companyId": "c"})), true),
            (status("OK"), false),
            (status("SYNC_SUCCESS"), false),
            (status("CREATION_SUCCESS"), false),
            (status("CREDENTIALS"), true),
            (status("ERROR"), true),
            (status("STOPPED"), true),
            (status("DELETED"), true),
            (hosted("CREATION_SUCCESS"), false),
            (hosted("RECONNECTED"), false),
            (("instantly", with(body("instantly/lead_unsubscribed-1"), json!({"event_type": "account_error"}))), true),
        ];
        let warnings = || desk.log().lines().filter(|it| it.contains("WARN") && it.contains("p19a")).count();
        for ((channel, notice), warns) in rows {
            let before = warnings();
            assert_eq!(desk.tell("p19a", channel, &notice).await, "ignored account_notice", "{notice}");
            if warns {
                eventually(Duration::from_secs(5), async || (warnings() > before).then_some(())).await;
            } else {
                assert_eq!(warnings(), before, "{notice}");
            }
        }
        for event in ["EMAIL_SEND_FAILED", "MANUAL_EMAIL_SEND_FAILED"] {
            let before = warnings();
            let (channel, failed) = account(event);
            assert_eq!(desk.tell("p19a", channel, &failed).await, "ignored send_failed");
            eventually(Duration::from_secs(5), async || (warnings() > before).then_some(())).await;
        }
        assert_eq!(desk.texts("p19a", picture).await, before);
        assert_eq!(desk.stored("p19a").await, (2, 2, 2));
    }

    async fn p20_old_names_stand_in(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        // Instantly.
        let old = json!({
            "type": "reply_received", "campaign_id": "c1", "contact_email": "Ana@x.example", "contact_name": "Ana de la Cruz",
            "email_id": "e1", "reply_text": "Hello", "timestamp": "2026-01-01T00:00:00Z",
        });
        assert_eq!(desk.tell("p20a", "instantly", &old).await, "accepted");
        let names = "email || ' ' || first_name || ' ' || last_name from leads where client_id = $";
        assert_eq!(desk.texts("p20a", names).await, ["ana@x.example Ana de la Cruz"]);
        let both = with(old, json!({"event_type": "email_opened", "lead_email": "b@x.example"}));
        assert_eq!(desk.tell("p20a", "instantly", &both).await, "ignored opened", "the real name wins");
        let real = with(both, json!({"event_type": "reply_received", "email_id": "e2"}));
        assert_eq!(desk.tell("p20a", "instantly", &real).await, "accepted");
        assert_eq!(desk.number("p20a", "count(*) from leads where client_id = $ and email = 'b@x.example'").await, 1);

        // SmartLead; and from_email is never the lead.
        let old = with(without(body("smartlead/email_reply-2"), &["leadCorrespondence", "sl_lead_email", "to_email"]), json!({
            "lead_correspondence": {"targetLeadEmail": "marek@novotny-logistics.example", "replyReceivedFrom": "ines@other-firm.example"},
        }));
        assert_eq!(desk.tell("p20b", "smartlead", &old).await, "accepted");
        let addresses = "value from lead_identities where client_id = $ and kind = 'email' order by value";
        assert_eq!(desk.texts("p20b", addresses).await, ["ines@other-firm.example", "marek@novotny-logistics.example"]);
        let nobody = without(old, &["lead_correspondence"]);
        assert_eq!(desk.tell("p20b", "smartlead", &nobody).await, "quarantined missing_field to_email");

        // Unipile.
        let old = json!({"event": "message.received", "account_id": "a", "message": {
            "id": "m1", "chat_id": "k1", "text": "Hello", "sender_id": "ACoAA7", "sender_name": "Bo Li",
            "sender_linkedin_url": "https://www.linkedin.com/in/Bo-Li/", "timestamp": "2026-01-01T00:00:00Z",
        }});
        let answer = desk.post("p20c", "linkedin", &old).await;
        assert_eq!(told(&answer), "accepted");
        let stored = format!("body || '|' || provider_id || '|' || direction || '|' || {} from messages where client_id = $",
            "reply_handle");
        assert_eq!(desk.texts("p20c", &stored).await, [r#"Hello|m1|inbound|{"account_id":"a","chat_id":"k1"}"#]);
        let values = "value from lead_identities where client_id = $ order by value";
        assert_eq!(desk.texts("p20c", values).await, ["ACoAA7", "https://linkedin.com/in/bo-li"]);
        let again = with(body("unipile/message_received-4"), json!({"message_id": "m1"}));
        assert_eq!(desk.tell("p20c", "linkedin", &again).await, "duplicate", "the same message under its real names");
        let accepted = json!({"event": "connection.accepted", "connection": {"id": "x", "linkedin_url": "https://linkedin.com/in/bo-li", "name": "Bo Li"}});
        assert_eq!(desk.tell("p20c", "linkedin", &accepted).await, "recorded connected");
        for (event, reason) in [("message.sent", "sent"), ("connection.received", "invitation"), ("profile.viewed", "profile_view")] {
            assert_eq!(desk.tell("p20c", "linkedin", &json!({"event": event})).await, format!("ignored {reason}"));
        }
        // EmailBison calls a lead a contact, and its event may be a text.
        for (n, (event, expected)) in [
            (json!("LEAD_REPLIED"), "accepted"),
            (json!({"type": "CONTACT_REPLIED"}), "accepted"),
            (json!({"type": "contact_replied"}), "accepted"),
            (json!({"type": "CONTACT_INTERESTED"}), "accepted"),
            (json!({"type": "CONTACT_UNSUBSCRIBED"}), "recorded unsubscribe"),
        ].into_iter().enumerate() {
            let sent = with(body("emailbison/lead_replied-1"), json!({"event": event, "data.reply.id": n}));
            assert_eq!(desk.tell("p20d", "email", &sent).await, expected, "{event}");
        }
        assert_eq!(desk.stored("p20d").await, (4, 1, 4));
    }
}
