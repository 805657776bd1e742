//! Duplicates, echoes of our own messages, and whose message it is.

use crate::{
    on_both_daemons, on_both_databases,
    support::{
        fixture::webhook,
        shared::{Desk, body, told, with, without},
    },
};
use postroom::{
    channels::{email::Email, instantly::Instantly, linkedin::Linkedin},
    store::{Answer, Inbound},
};
use serde_json::{Value, json};
use std::sync::Arc;

fn email(body: &Value) -> Inbound {
    webhook(&Email, "email", body)
}

fn linkedin(body: &Value) -> Inbound {
    webhook(&Linkedin, "linkedin", body)
}

/// The two events of a reply that the provider finds interesting.
fn replied_and_interested() -> (Value, Value) {
    let replied = body("emailbison/lead_replied-1");
    (replied, with(body("emailbison/lead_interested-1"), json!({"data.reply.id": 238_811})))
}

async fn sentiments(desk: &Desk, client: &str) -> Vec<String> {
    let both = "coalesce(m.sentiment, '-') || '/' || coalesce(l.sentiment, '-') || '/' || l.status \
        from messages m join leads l on l.id = m.lead_id where m.client_id = $ order by m.id";
    desk.texts(client, both).await
}

on_both_daemons! {
    async fn p11_a_second_event_for_one_reply_brings_only_its_hint(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        let (replied, interested) = replied_and_interested();
        let first = desk.post("p11a", "email", &replied).await;
        assert_eq!(told(&first), "accepted");
        let second = desk.post("p11a", "email", &interested).await;
        assert_eq!(told(&second), "recorded interested");
        for id in ["message_id", "lead_id"] {
            assert_eq!(second.field(id), first.field(id));
        }
        let third = desk.post("p11a", "email", &interested).await;
        assert_eq!((told(&third).as_str(), third.job_ids()), ("duplicate", first.job_ids()));
        assert_eq!(desk.stored("p11a").await, (1, 1, 1));
        assert_eq!(sentiments(&desk, "p11a").await, ["Interested/Interested/qualified"]);

        // The other way round: the hint came with the first, and the second has none, or the same.
        let first = desk.post("p11b", "email", &interested).await;
        assert_eq!(told(&first), "accepted");
        for again in [&replied, &with(replied.clone(), json!({"data.reply.interested": true}))] {
            let again = desk.post("p11b", "email", again).await;
            assert_eq!((told(&again).as_str(), again.field("message_id")), ("duplicate", first.field("message_id")));
            assert_eq!(again.job_ids(), first.job_ids());
        }
        assert_eq!(desk.stored("p11b").await, (1, 1, 1));
        assert_eq!(sentiments(&desk, "p11b").await, ["Interested/Interested/qualified"]);

        // Reply and auto-reply share their key, whichever comes first, and the second changes
        // nothing.
        for (client, events, automated) in [
            ("p11c", ["reply_received", "auto_reply_received"], 0),
            ("p11d", ["auto_reply_received", "reply_received"], 1),
        ] {
            let reply = body("instantly/auto_reply_received-1");
            for (event, expected) in events.into_iter().zip(["accepted", "duplicate"]) {
                let reply = with(reply.clone(), json!({"event_type": event}));
                assert_eq!(desk.tell(client, "instantly", &reply).await, expected, "{event}");
            }
            assert_eq!(desk.stored(client).await, (1, 1, 1));
            let flagged = "count(*) from messages where client_id = $ and automated";
            assert_eq!(desk.number(client, flagged).await, automated);
        }

        // A duplicate makes the job that is missing, once.
        for (channel, reply) in [
            ("email", body("emailbison/lead_replied-1")),
            ("sms", body("ghl/workflow_sms-1")),
            ("linkedin", body("unipile/message_received-1")),
            ("smartlead", body("smartlead/email_reply-1")),
            ("instantly", body("instantly/reply_received-1")),
        ] {
            let first = desk.post("p11e", channel, &reply).await;
            assert_eq!(told(&first), "accepted", "{channel}");
            for table in ["job_ready", "job_blocked", "jobs"] {
                desk.change("p11e", &format!("delete from {table} where client_id = $")).await;
            }
            let again = desk.post("p11e", channel, &reply).await;
            assert_eq!((told(&again).as_str(), again.field("message_id")), ("duplicate", first.field("message_id")));
            assert_ne!(again.job_ids(), first.job_ids(), "{channel}");
            assert_eq!(again.job_ids().len(), 1, "{channel}");
            assert_eq!(desk.post("p11e", channel, &reply).await.job_ids(), again.job_ids());
            assert_eq!(desk.jobs("p11e").await, 1);
        }
    }

    async fn p12_what_we_wrote_is_outbound_whatever_it_is_called(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        let reply = body("emailbison/lead_replied-1");
        let chat = body("unipile/message_received-1");
        let us = "ACoAABown0001KcQvXw_2pZ3YH5lJ8uTnR0sEoA";
        let bodies = [
            ("email", with(reply.clone(), json!({"event.type": "MANUAL_EMAIL_SENT", "data.reply.id": 1}))),
            ("email", with(reply.clone(), json!({"data.reply.type": "Outgoing Email", "data.reply.id": 2}))),
            ("email", with(reply.clone(), json!({"data.reply.folder": "Sent", "data.reply.id": 3}))),
            ("email", with(reply.clone(), json!({"data.reply.from_email_address": "OWEN@try-northbeam.example", "data.reply.id": 4}))),
            ("email", with(reply.clone(), json!({"event.type": "LEAD_INTERESTED", "data.reply.folder": "Sent", "data.reply.id": 5}))),
            ("email", with(body("emailbison/untracked_reply_received-1"), json!({
                "data.reply.type": "Outgoing Email", "data.reply.from_email_address": "owen@try-northbeam.example",
                "data.reply.primary_to_email_address": "dana.whitfield@larkspur-freight.example",
            }))),
            ("email", with(body("emailbison/untracked_reply_received-1"), json!({
                "data.reply.folder": "Sent", "data.reply.id": 6, "data.reply.primary_to_email_address": null,
                "data.reply.to": [{"name": "Owen", "address": "owen@try-northbeam.example"}, {"name": null, "address": "dana.whitfield@larkspur-freight.example"}],
            }))),
            ("sms", with(body("ghl/workflow_sms-1"), json!({"message.direction": "outbound", "message.body": "one"}))),
            ("sms", with(body("ghl/workflow_sms-1"), json!({"customData.direction": "Outbound", "message.body": "two"}))),
            ("sms", with(body("ghl/outbound_message-1"), json!({"direction": "inbound"}))),
            ("linkedin", with(body("unipile/message_received-2"), json!({"is_sender": false}))),
            ("linkedin", with(without(body("unipile/message_received-2"), &["account_info"]), json!({"message_id": "m2"}))),
            ("linkedin", with(chat.clone(), json!({"is_sender": 1, "message_id": "m3", "sender.attendee_provider_id": us}))),
            ("smartlead", with(body("smartlead/email_reply-1"), json!({"leadCorrespondence.replyReceivedFrom": "Owen@try-northbeam.example"}))),
            ("smartlead", body("smartlead/email_sent-1")),
            ("instantly", body("instantly/email_sent-3")),
        ];
        for (n, (channel, sent)) in bodies.iter().enumerate() {
            let answer = desk.post("p12a", channel, sent).await;
            assert_eq!(told(&answer), "recorded outbound", "{channel}: {sent}");
            assert!(answer.body["message_id"].is_string(), "{answer:?}");
            assert_eq!(desk.tell("p12a", channel, sent).await, "duplicate", "{channel}");
            assert_eq!(desk.number("p12a", "count(*) from messages where client_id = $ and direction = 'outbound'").await, n as i64 + 1);
        }
        assert_eq!(desk.jobs("p12a").await, 0);
        // We ourselves are nobody's lead.
        let names = "value from lead_identities where client_id = $ and (value like '%northbeam%' or value like 'ACoAABown%')";
        assert!(desk.texts("p12a", names).await.is_empty());
        // The workflow's word for the direction wins over the custom field's, and the sender's id
        // over the flag.
        let inbound = with(body("ghl/workflow_sms-1"), json!({"message.direction": "inbound", "customData.direction": "outbound"}));
        assert_eq!(desk.tell("p12b", "sms", &inbound).await, "accepted");
        assert_eq!(desk.tell("p12b", "linkedin", &without(chat, &["account_info", "is_sender"])).await, "accepted", "neither is known: theirs");
        // An outbound message leaves a lead's verdict and drafts alone.
        assert_eq!(desk.texts("p12a", "distinct status from leads where client_id = $").await, ["new"]);
    }

    async fn p12_an_echo_of_our_own_send_is_no_second_message(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        let echoes = [
            ("p12c", "email", with(body("emailbison/lead_replied-1"), json!({
                "event.type": "MANUAL_EMAIL_SENT", "data.reply.text_body": "See you  on\r\nFriday", "data.reply.html_body": null,
            })), "238811"),
            ("p12d", "sms", with(body("ghl/outbound_message-1"), json!({"body": "See you on Friday"})), "tyW42xCD0HQpb3hhfLd1"),
            ("p12e", "linkedin", with(body("unipile/message_received-2"), json!({"message": "see you on friday"})), "mB2v9QkzUxKf0TnW5rLxPh"),
            ("p12f", "smartlead", with(body("smartlead/email_reply-1"), json!({
                "leadCorrespondence.replyReceivedFrom": "owen@try-northbeam.example",
                "reply_message.text": "See you on Friday", "reply_message.html": null, "reply_body": null,
            })), "<CAMZrTKjWQVdLF4bnsHgcEI=X2upRGFk5+Ph@mail.novotny-logistics.example>"),
        ];
        let outbound = "count(*) from messages where client_id = $ and direction = 'outbound'";
        for (client, channel, echo, id) in &echoes {
            // An earlier message makes the lead; what comes now is new.
            let earlier = match *channel {
                "email" => body("emailbison/email_sent-1"),
                "sms" => body("ghl/workflow_sms-2"),
                "linkedin" => body("unipile/message_received-1"),
                _ => with(body("smartlead/email_sent-1"), json!({"sl_email_lead_id": "4207718835"})),
            };
            desk.post(client, channel, &earlier).await;
            let before = desk.number(client, outbound).await;
            let day = 24 * 3_600_000;
            for (text, status, ms_ago) in [
                ("See you on Friday", "failed", 1_000),
                ("See you on Friday", "sent", day + 60_000),
                ("See you on Monday", "sent", 1_000),
            ] {
                desk.deliver(client, channel, text, status, ms_ago).await;
            }
            let other = if *channel == "instantly" { "sms" } else { "instantly" };
            desk.deliver(client, other, "See you on Friday", "sent", 1_000).await;
            desk.deliver(client, channel, "  See YOU on  Friday", "uncertain", day - 60_000).await;
            let answer = desk.post(client, channel, echo).await;
            assert_eq!(told(&answer), "duplicate", "{channel}");
            assert!(answer.job_ids().is_empty() && answer.body["message_id"].is_string(), "{answer:?}");
            let settled = "status || ' ' || provider_id from deliveries where client_id = $ and provider_id is not null";
            assert_eq!(desk.texts(client, settled).await, [format!("sent {id}")], "{channel}");
            let of_it = format!("count(*) from deliveries where client_id = $ and message_id = {}", answer.field("message_id"));
            assert_eq!(desk.number(client, &of_it).await, 1);
            let again = desk.post(client, channel, echo).await;
            assert_eq!((told(&again).as_str(), again.field("message_id")), ("duplicate", answer.field("message_id")));
            // It is the message that the delivery has become.
            let sources = "distinct source from messages where client_id = $ and source = 'postroom'";
            assert_eq!(desk.texts(client, sources).await, ["postroom"]);
            assert_eq!(desk.number(client, outbound).await, before + 1);
        }
    }

    /// The provider answered our send with an id: the echo is recognised by that id, even if its
    /// text has changed.
    async fn p12_an_echo_is_known_by_the_providers_id_first(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        desk.post("p12g", "linkedin", &body("unipile/message_received-1")).await;
        desk.deliver("p12g", "linkedin", "What we had written", "sent", 1_000).await;
        desk.change("p12g", "update deliveries set provider_id = 'sent-1' where client_id = $").await;
        desk.deliver("p12g", "linkedin", "As LinkedIn shows it", "sent", 1_000).await;
        let echo = with(body("unipile/message_received-2"), json!({"message_id": "sent-1", "message": "As LinkedIn shows it"}));
        let answer = desk.post("p12g", "linkedin", &echo).await;
        assert_eq!(told(&answer), "duplicate");
        let named = "provider_id from deliveries where client_id = $ and message_id is not null";
        assert_eq!(desk.texts("p12g", named).await, ["sent-1"], "not the one with the same text");
        assert_eq!(desk.tell("p12g", "linkedin", &echo).await, "duplicate");
        // Another one with that text is the other's echo.
        let other = with(echo, json!({"message_id": "sent-2"}));
        assert_eq!(desk.tell("p12g", "linkedin", &other).await, "duplicate");
        let ids = "provider_id from deliveries where client_id = $ order by provider_id";
        assert_eq!(desk.texts("p12g", ids).await, ["sent-1", "sent-2"]);
    }

    async fn p13_who_becomes_a_lead_and_who_does_not(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        let makes = [
            ("email", body("emailbison/lead_replied-1"), "accepted"),
            ("email", body("emailbison/untracked_reply_received-1"), "accepted"),
            ("email", with(body("emailbison/email_sent-1"), json!({"data.lead.id": 2, "data.lead.email": "b@x.example"})), "recorded outbound"),
            ("email", with(body("emailbison/email_bounced-1"), json!({"data.lead.id": 3, "data.lead.email": "c@x.example"})), "recorded bounce"),
            ("email", with(body("emailbison/lead_unsubscribed-1"), json!({"data.lead.id": 4, "data.lead.email": "d@x.example"})), "recorded unsubscribe"),
            ("sms", body("ghl/workflow_sms-2"), "accepted"),
            ("sms", with(body("ghl/outbound_message-1"), json!({"contactId": "c2", "to": "+13125550188"})), "recorded outbound"),
            ("linkedin", body("unipile/message_received-4"), "accepted"),
            ("linkedin", with(body("unipile/message_received-2"), json!({"attendees": [{"attendee_provider_id": "ACoAA2"}]})), "recorded outbound"),
            ("smartlead", body("smartlead/email_reply-1"), "accepted"),
            ("smartlead", body("smartlead/email_bounce-1"), "recorded bounce"),
            ("smartlead", with(body("smartlead/lead_unsubscribed-1"), json!({"lead_email": "e@x.example"})), "recorded unsubscribe"),
            ("smartlead", with(body("smartlead/lead_category_updated-1"), json!({"lead_email": "f@x.example", "lead_category.new_name": "Do Not Contact"})), "recorded category"),
            ("instantly", with(body("instantly/reply_received-5"), json!({"lead_email": "g@x.example"})), "accepted"),
            ("instantly", with(body("instantly/email_sent-3"), json!({"lead_email": "h@x.example"})), "recorded outbound"),
            ("instantly", with(body("instantly/email_bounced-1"), json!({"lead_email": "i@x.example"})), "recorded bounce"),
            ("instantly", with(body("instantly/lead_unsubscribed-1"), json!({"lead_email": "j@x.example"})), "recorded unsubscribe"),
        ];
        for (n, (channel, sent, expected)) in makes.iter().enumerate() {
            assert_eq!(desk.tell("p13a", channel, sent).await, *expected, "{sent}");
            assert_eq!(desk.stored("p13a").await.1, n as i64 + 1, "{channel}: {expected}");
        }

        let robot = "mailer-daemon@googlemail.com";
        let reply = body("emailbison/lead_replied-1");
        let report = with(body("emailbison/untracked_reply_received-1"), json!({
            "data.reply.from_email_address": robot, "data.reply.text_body": "Your message wasn't delivered to gone@x.example because",
        }));
        let ours = "owen@try-northbeam.example";
        let none = [
            ("email", report.clone(), "unknown_lead"),
            ("email", with(report.clone(), json!({"data.reply.text_body": "Something went wrong", "data.reply.html_body": null, "data.reply.automated_reply": true})), "unknown_lead"),
            ("email", with(body("emailbison/email_bounced-1"), json!({"data.lead.email": ours})), "unknown_lead"),
            ("email", with(reply.clone(), json!({
                "event.type": "MANUAL_EMAIL_SENT", "data.lead": null, "data.reply.primary_to_email_address": ours, "data.reply.to": [{"address": ours}],
            })), "unknown_lead"),
            ("sms", body("ghl/contact_dnd_update-1"), "unknown_lead"),
            ("linkedin", body("unipile/new_relation-1"), "unknown_lead"),
            ("linkedin", with(body("unipile/message_received-2"), json!({"is_group": true})), "group_chat"),
            ("linkedin", with(body("unipile/message_received-1"), json!({"event": "message_edited"})), "unknown_message"),
            ("linkedin", with(body("unipile/message_received-1"), json!({"event": "message_deleted"})), "unknown_message"),
            ("linkedin", with(body("unipile/message_received-2"), json!({"event": "message_failed"})), "unknown_message"),
            ("smartlead", body("smartlead/lead_category_updated-1"), "unknown_lead"),
            ("smartlead", with(body("smartlead/email_sent-1"), json!({"to_email": ours})), "unknown_lead"),
            ("instantly", body("instantly/lead_interested-1"), "unknown_lead"),
            ("instantly", with(body("instantly/reply_received-1"), json!({"lead_email": robot, "reply_subject": "Undeliverable: hello"})), "unknown_lead"),
            ("instantly", with(body("instantly/email_sent-3"), json!({"lead_email": "owen@get-northbeam.example"})), "unknown_lead"),
        ];
        for (channel, sent, reason) in &none {
            assert_eq!(desk.tell("p13b", channel, sent).await, format!("ignored {reason}"), "{sent}");
        }
        assert_eq!(desk.stored("p13b").await, (0, 0, 0));
        for table in ["lead_identities", "message_keys", "leads"] {
            assert_eq!(desk.number("p13b", &format!("count(*) from {table} where client_id = $")).await, 0, "{table}");
        }

        // A robot's report is a bounce of the lead that the event names, or else of the one in its
        // text.
        assert_eq!(desk.tell("p13c", "email", &with(reply.clone(), json!({"data.reply.from_email_address": robot, "data.reply.automated_reply": true}))).await, "recorded bounce");
        let by_robot = with(body("smartlead/email_reply-1"), json!({"leadCorrespondence.replyReceivedFrom": robot, "subject": "Mail delivery failed: A quick idea"}));
        assert_eq!(desk.tell("p13c", "smartlead", &by_robot).await, "recorded bounce");
        let gone = with(body("instantly/reply_received-5"), json!({"lead_email": "gone@x.example"}));
        assert_eq!(desk.tell("p13c", "instantly", &gone).await, "accepted");
        assert_eq!(desk.tell("p13c", "email", &report).await, "recorded bounce");
        let bounced = "bounced_address from leads where client_id = $ order by bounced_address";
        let expected = ["dana.whitfield@larkspur-freight.example", "gone@x.example", "marek@novotny-logistics.example"];
        assert_eq!(desk.texts("p13c", bounced).await, expected);
        // Somebody else who answers is an alternate address of the lead, not another lead.
        let other = with(reply, json!({"data.reply.from_email_address": "pa@larkspur-freight.example", "data.reply.from_name": "Pat"}));
        assert_eq!(desk.tell("p13d", "email", &other).await, "accepted");
        assert_eq!(desk.tell("p13d", "smartlead", &body("smartlead/email_reply-2")).await, "accepted");
        let addresses = "value from lead_identities where client_id = $ and kind = 'email' order by value";
        let expected = ["dana.whitfield@larkspur-freight.example", "ines@other-firm.example", "marek@novotny-logistics.example", "pa@larkspur-freight.example"];
        assert_eq!(desk.texts("p13d", addresses).await, expected);
        assert_eq!(desk.texts("p13d", "first_name from leads where client_id = $ order by first_name").await, ["Dana", "Marek"]);
        let senders = desk.texts("p13d", "sender from messages where client_id = $ and channel = 'email'").await;
        assert_eq!(senders, [r#"{"address":"pa@larkspur-freight.example","name":"Pat"}"#]);
    }

    /// Where two leads meet that a provider knows as two people, the first identity of the table
    /// wins.
    async fn p13_identities_are_tried_in_order(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        // The second contact's number and the third's address, in the body of a fourth.
        let sms = body("ghl/workflow_sms-1");
        let own = |contact: &str, phone: &str, mail: &str| with(sms.clone(), json!({
            "contact_id": contact, "phone": phone, "email": mail, "customData": {}, "message.body": contact,
        }));
        let lead = async |channel: &str, body: Value| {
            let answer = desk.post("p13e", channel, &body).await;
            assert_eq!(told(&answer), "accepted", "{body}");
            answer.field("lead_id").to_owned()
        };
        let one = lead("sms", own("c1", "+13125550101", "one@x.example")).await;
        let two = lead("sms", own("c2", "+13125550102", "two@x.example")).await;
        let three = lead("sms", own("c3", "+13125550103", "three@x.example")).await;
        assert_eq!(lead("sms", with(own("c1", "+13125550102", "three@x.example"), json!({"message.body": "x"}))).await, one, "contact");
        assert_eq!(lead("sms", own("c4", "+13125550102", "three@x.example")).await, two, "phone before e-mail");
        assert_eq!(lead("sms", own("c5", "", "three@x.example")).await, three);
        let by_custom = with(own("c6", "", ""), json!({"customData.Email": "three@x.example"}));
        assert_eq!(lead("sms", by_custom).await, three, "else the custom field");
        let nobody = with(own("c7", "", ""), json!({"id": "c1", "message.body": "seven"}));
        assert!(![&one, &two, &three].contains(&&lead("sms", nobody).await), "the top-level id is nobody");

        let mail = body("emailbison/lead_replied-1");
        let own = |n: i64, id: i64, address: &str, writer: &str| with(mail.clone(), json!({
            "data.reply.id": n, "data.lead.id": id, "data.lead.email": address, "data.reply.from_email_address": writer,
        }));
        let four = lead("email", own(1, 4, "four@x.example", "four@x.example")).await;
        let five = lead("email", own(2, 5, "five@x.example", "five@x.example")).await;
        assert_eq!(lead("email", own(3, 4, "five@x.example", "five@x.example")).await, four, "lead.id");
        assert_eq!(lead("email", own(4, 6, "five@x.example", "four@x.example")).await, five, "lead.email before the writer");

        let reply = body("smartlead/email_reply-1");
        let own = |n: &str, id: &str, address: &str, writer: &str| with(reply.clone(), json!({
            "reply_message.message_id": n, "sl_email_lead_id": id, "leadCorrespondence.targetLeadEmail": address,
            "leadCorrespondence.replyReceivedFrom": writer,
        }));
        let six = lead("smartlead", own("1", "6", "six@x.example", "six@x.example")).await;
        let seven = lead("smartlead", own("2", "7", "seven@x.example", "seven@x.example")).await;
        assert_ne!(six, seven);
        assert_eq!(lead("smartlead", own("3", "6", "seven@x.example", "six@x.example")).await, seven, "the address before the number");

        let chat = body("unipile/message_received-4");
        let own = |n: &str, id: &str, name: Value, url: &str| with(chat.clone(), json!({
            "message_id": n, "sender.attendee_provider_id": id, "sender.attendee_public_identifier": name,
            "sender.attendee_profile_url": url, "attendees": [],
        }));
        let eight = lead("linkedin", own("1", "ACoAA8", Value::Null, "https://www.linkedin.com/in/eight/")).await;
        let nine = lead("linkedin", own("2", "ACoAA9", json!("Nine"), "")).await;
        assert_eq!(lead("linkedin", own("3", "ACoAA8", json!("nine"), "")).await, eight, "the member id");
        assert_eq!(lead("linkedin", own("4", "ACoAA0", json!("nine"), "https://linkedin.com/in/Eight?x=1")).await, nine, "the name before the URL");
        // Ids are case-sensitive, profile names are not.
        assert_ne!(lead("linkedin", own("5", "ACoAa8", Value::Null, "")).await, eight);
        let merged = "count(*) from leads where client_id = $ and merged_into is not null";
        assert_eq!(desk.number("p13e", merged).await, 0);
        assert!(desk.log().contains("knows as two people"), "somebody is told");
    }

    async fn p13_leads_that_are_shown_to_be_one_are_merged(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        let sms = without(body("ghl/workflow_sms-1"), &["email", "customData"]);
        let older = desk.post("p13f", "sms", &sms).await;
        let mail = with(body("instantly/reply_received-5"), json!({"lead_email": "rita.campos@example.com"}));
        let younger = desk.post("p13f", "instantly", &mail).await;
        assert_ne!(older.field("lead_id"), younger.field("lead_id"));
        assert_eq!(desk.stored("p13f").await, (2, 2, 2));
        // A state signal, or an outbound message, tells it as well as a reply.
        let dnd = with(body("ghl/contact_dnd_update-1"), json!({"email": "Rita.Campos@example.com"}));
        let answer = desk.post("p13f", "sms", &dnd).await;
        assert_eq!(told(&answer), "recorded do_not_disturb");
        assert_eq!(answer.field("lead_id"), older.field("lead_id"), "the younger is merged into the older");
        assert_eq!(desk.stored("p13f").await, (2, 1, 2));
        for table in ["messages", "lead_identities"] {
            let others = format!("count(*) from {table} where client_id = $ and lead_id <> {}", older.field("lead_id"));
            assert_eq!(desk.number("p13f", &others).await, 0, "{table}");
        }
        let again = desk.post("p13f", "instantly", &mail).await;
        assert_eq!((told(&again).as_str(), again.field("lead_id")), ("duplicate", older.field("lead_id")));
        assert_eq!(again.job_ids(), younger.job_ids());
        assert_eq!(desk.texts("p13f", "first_name || ' ' || company_name from leads where client_id = $ and merged_into is null").await, ["Rita Larkspur Freight"]);
        // Nothing is lost of the lines: one head, and one job behind it.
        let lines = "count(*) from job_ready where client_id = $";
        assert_eq!(desk.number("p13f", lines).await, 1);
        assert_eq!(desk.number("p13f", "count(*) from job_blocked where client_id = $").await, 1);
    }
}

on_both_databases! {
    /// The same as apart, when both come so fast that they are stored together.
    async fn p11_two_events_for_one_reply_in_one_group(db: Fixture) {
        let (replied, interested) = replied_and_interested();
        for (n, pair) in [[&replied, &interested], [&interested, &replied]].into_iter().enumerate() {
            let id = 1_000 + n;
            let group: Vec<Inbound> = pair.iter().map(|it| email(&with((*it).clone(), json!({"data.reply.id": id})))).collect();
            let answers = db.store.inbox().put(Arc::from(group)).await.unwrap();
            let Answer::Accepted { message_id, job_id, .. } = &answers[0] else { panic!("{answers:?}") };
            match &answers[1] {
                Answer::Recorded { message_id: same, reason: "interested", .. } => assert!(n == 0 && *same == Some(*message_id)),
                Answer::Duplicate { message_id: same, job_id: job, .. } => assert!(n == 1 && *same == Some(*message_id) && *job == Some(*job_id)),
                other => panic!("{other:?}"),
            }
            let read = format!("select sentiment from messages where provider_id = '{id}'");
            assert_eq!(db.texts(&read).await, ["Interested"]);
        }
        assert_eq!(db.number("select count(*) from messages").await, 2);
        assert_eq!(db.number("select count(*) from jobs").await, 2);
        let auto = body("instantly/auto_reply_received-1");
        let reply = with(auto.clone(), json!({"event_type": "reply_received"}));
        let group = [&auto, &reply, &auto].map(|it| webhook(&Instantly, "instantly", it));
        let answers = db.store.inbox().put(Arc::from(group.to_vec())).await.unwrap();
        assert!(matches!(answers[0], Answer::Accepted { .. }), "{answers:?}");
        assert!(answers[1..].iter().all(|it| matches!(it, Answer::Duplicate { .. })), "{answers:?}");
        assert_eq!(db.number("select count(*) from jobs").await, 3);
    }

    /// An echo and the news that it did not arrive, in one group.
    async fn p12_an_echo_that_fails_in_the_same_group(db: Fixture) {
        db.store.inbox().put(Arc::from(vec![linkedin(&body("unipile/message_received-1"))])).await.unwrap();
        let ours = body("unipile/message_received-2");
        for (n, has_message) in [(1, false), (2, true)] {
            let text = format!("text {n}");
            let key = postroom::domain::text::key(&text);
            let message = if has_message {
                let stored = with(ours.clone(), json!({"message_id": "stored", "message": "x"}));
                db.store.inbox().put(Arc::from(vec![linkedin(&stored)])).await.unwrap();
                "(select max(id) from messages)"
            } else {
                "null"
            };
            let now = if db.is_sqlite() { "cast(unixepoch('subsec') * 1000 as integer)" } else { "now()" };
            db.execute(&format!(
                "insert into deliveries (id, client_id, lead_id, message_id, channel, status, text_key, attempts, created_at) \
                 select {n}, 'a', id, {message}, 'linkedin', 'sent', '{key}', 1, {now} from leads"
            ))
            .await;
            let echo = with(ours.clone(), json!({"message_id": format!("m{n}"), "message": text}));
            let failed = with(echo.clone(), json!({"event": "message_failed"}));
            let answers = db.store.inbox().put(Arc::from(vec![linkedin(&echo), linkedin(&failed)])).await.unwrap();
            assert!(matches!(answers[0], Answer::Duplicate { .. }), "{answers:?}");
            assert!(matches!(answers[1], Answer::Recorded { reason: "failed", .. }), "{answers:?}");
            let status = format!("select status from deliveries where id = {n}");
            assert_eq!(db.texts(&status).await, ["failed"]);
        }
    }
}
