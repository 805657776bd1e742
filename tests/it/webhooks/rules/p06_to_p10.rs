//! How fields are read, which events there are, whose they are, and by what messages are known
//! again.

use crate::{
    on_both_daemons,
    support::{
        shared::{Desk, body, told, with, without},
        web::ask,
    },
};
use serde_json::{Value, json};

/// Longer ago than a key that has expired still counts.
const LONG_AGO: i64 = -60_000;

/// Lets ten minutes pass for a client's content keys.
async fn ten_minutes_pass(desk: &Desk, client: &str) {
    let sql = format!(
        "update message_keys set expires_at = {} where client_id = $ and expires_at is not null",
        desk.instant(LONG_AGO)
    );
    desk.change(client, &sql).await;
}

on_both_daemons! {
    async fn p06_every_spelling_of_a_field_is_read(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        // Ids are numbers or texts, and kept trimmed.
        let reply = body("emailbison/lead_replied-1");
        assert_eq!(desk.tell("p06a", "email", &reply).await, "accepted");
        for id in [json!("238811"), json!(" 238811\n"), json!(238_811)] {
            let same = with(reply.clone(), json!({"data.reply.id": id, "data.lead.id": " 48213 "}));
            assert_eq!(desk.tell("p06a", "email", &same).await, "duplicate");
        }
        assert_eq!(desk.texts("p06a", "provider_id from messages where client_id = $").await, ["238811"]);
        let reply = body("smartlead/email_reply-1");
        assert_eq!(desk.tell("p06a", "smartlead", &reply).await, "accepted");
        let same = json!({
            "sl_email_lead_id": 4_207_718_835_i64, "campaign_id": "3700412", "stats_id": 5, "sequence_number": "1",
            "message_id": "<other@x.example>", "reply_message.message_id": "<other@x.example>",
            "sl_lead_email": "else@x.example", "to_email": "else@x.example", "leadCorrespondence": {},
        });
        assert_eq!(desk.tell("p06a", "smartlead", &with(reply, same)).await, "accepted");
        let of_marek = "count(distinct lead_id) from messages where client_id = $ and channel = 'smartlead'";
        assert_eq!(desk.number("p06a", of_marek).await, 1, "the same number of the lead");
        let campaigns = "provider_id from campaigns where client_id = $ and channel = 'smartlead'";
        assert_eq!(desk.texts("p06a", campaigns).await, ["3700412"]);

        // Flags: true/false, 0/1, or those as text; absent is false.
        let ours = without(body("unipile/message_received-1"), &["account_info"]);
        let flags = [
            (json!(true), true), (json!(1), true), (json!("1"), true), (json!("true"), true), (json!("True"), true),
            (json!(false), false), (json!(0), false), (json!("0"), false), (json!("false"), false), (Value::Null, false),
        ];
        for (n, (flag, is_set)) in flags.into_iter().enumerate() {
            let sent = with(ours.clone(), json!({"is_sender": flag, "message_id": format!("flag-{n}")}));
            let expected = if is_set { "recorded outbound" } else { "accepted" };
            let sent = if is_set { with(sent, json!({"sender.attendee_provider_id": "ACoAAus"})) } else { sent };
            assert_eq!(desk.tell("p06b", "linkedin", &sent).await, expected, "is_sender {flag}");
            let event = with(body("unipile/message_received-1"), json!({"is_event": flag, "message_id": format!("event-{n}")}));
            let expected = if is_set { "ignored system_event" } else { "accepted" };
            assert_eq!(desk.tell("p06b", "linkedin", &event).await, expected, "is_event {flag}");
            let auto = with(body("emailbison/lead_replied-1"), json!({"data.reply.automated_reply": flag, "data.reply.id": n}));
            let auto = desk.post("p06b", "email", &auto).await;
            let is_automated = format!("count(*) from messages where client_id = $ and automated and id = {}", auto.field("message_id"));
            assert_eq!(desk.number("p06b", &is_automated).await, i64::from(is_set), "automated_reply {flag}");
        }

        // Addresses are compared in small letters, on every channel of mail.
        for (channel, file, paths) in [
            ("email", "emailbison/lead_replied-1", &["data.lead.email", "data.reply.from_email_address"][..]),
            ("smartlead", "smartlead/email_reply-2", &["leadCorrespondence.targetLeadEmail"]),
            ("instantly", "instantly/reply_received-5", &["lead_email", "email"]),
        ] {
            let ids = json!({"data.lead.id": null, "sl_email_lead_id": null});
            let mut sent = with(body(file), ids);
            for path in paths {
                sent = with(sent, json!({*path: " MAREK@Novotny-Logistics.EXAMPLE "}));
            }
            assert_eq!(desk.tell("p06c", channel, &sent).await, "accepted", "{channel}");
        }
        assert_eq!(desk.stored("p06c").await, (3, 1, 3));
        let values = "value from lead_identities where client_id = $ and kind = 'email' order by value";
        assert_eq!(desk.texts("p06c", values).await, ["ines@other-firm.example", "marek@novotny-logistics.example"]);

        // A list of addresses has four spellings, and attachments two.
        let cc = [
            (json!(null), "[]"),
            (json!(["A@x.example"]), r#"[{"address":"a@x.example","name":null}]"#),
            (json!([{"name": "Al", "address": "A@x.example"}]), r#"[{"address":"a@x.example","name":"Al"}]"#),
            (json!("A@x.example"), r#"[{"address":"a@x.example","name":null}]"#),
        ];
        for (n, (list, stored)) in cc.into_iter().enumerate() {
            let sent = with(body("emailbison/lead_replied-1"), json!({"data.reply.cc": list, "data.reply.id": n}));
            let id = desk.post("p06d", "email", &sent).await.field("message_id").to_owned();
            let read = format!("cc from messages where client_id = $ and id = {id}");
            assert_eq!(desk.texts("p06d", &read).await, [stored], "{list}");
        }
        let file = json!({"file_name": "a.pdf", "download_url": "https://x.example/a.pdf"});
        for (n, (list, count)) in [(json!([file, file]), 2), (file.clone(), 1), (json!([]), 0), (json!(null), 0)].into_iter().enumerate() {
            let sent = with(body("emailbison/lead_replied-1"), json!({"data.reply.attachments": list, "data.reply.id": 10 + n}));
            let id = desk.post("p06d", "email", &sent).await.field("message_id").to_owned();
            let read = format!("attachments from messages where client_id = $ and id = {id}");
            let stored = desk.texts("p06d", &read).await.remove(0);
            assert_eq!(serde_json::from_str::<Vec<Value>>(&stored).unwrap().len(), count, "{list}");
        }
        assert_eq!(desk.tell("p06d", "linkedin", &body("unipile/message_received-4")).await, "accepted");
        let stored = desk.texts("p06d", "attachments from messages where client_id = $ and channel = 'linkedin'").await;
        assert!(stored[0].contains("att://bX3kPq9TSuW1mZr7LdYe0A/abc=="), "{stored:?}");

        // Of equal keys the last one counts, and U+0000 is in no text.
        let text = body("ghl/workflow_sms-2").to_string();
        let text = text.replacen('{', "{\"contact_id\":\"the-first\",", 1).replacen("Can you", "Can\\u0000 you", 1);
        let answer = ask(desk.request("p06e", "sms").body(text)).await;
        assert_eq!(told(&answer), "accepted");
        let contacts = "value from lead_identities where client_id = $ and kind = 'ghl_contact'";
        assert_eq!(desk.texts("p06e", contacts).await, ["hTkRc2vzQm8bWs5yLd9P"]);
        assert_eq!(desk.texts("p06e", "body from messages where client_id = $").await, ["Can you call me tomorrow after 3?"]);
    }

    async fn p07_known_events_that_need_nothing_and_unknown_ones(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        let mail = |event: &str| json!({"event": {"type": event}, "data": "junk"});
        let sms = |event: &str| json!({"type": event, "locationId": []});
        let chat = |event: &str| json!({"event": event, "message_id": []});
        let lead = |event: &str| json!({"event_type": event, "to_email": 3, "lead_email": 3});
        let rows = [
            ("email", mail("LEAD_FIRST_CONTACTED"), "ignored same_as_email_sent"),
            ("email", mail("CONTACT_FIRST_CONTACTED"), "ignored same_as_email_sent"),
            ("email", mail("EMAIL_OPENED"), "ignored opened"),
            ("email", json!({"event": "email_opened"}), "ignored opened"),
            ("email", mail("TAG_ATTACHED"), "ignored tag"),
            ("email", mail("TAG_REMOVED"), "ignored tag"),
            ("email", mail("EMAIL_SEND_FAILED"), "ignored send_failed"),
            ("email", mail("MANUAL_EMAIL_SEND_FAILED"), "ignored send_failed"),
            ("email", mail("LEAD_LAUGHED"), "quarantined unknown_event"),
            ("email", json!({"event": {"type": 3}, "data": {}}), "quarantined unknown_event"),
            ("email", json!({"data": {}}), "quarantined unknown_event"),
            ("sms", with(sms("InboundMessage"), json!({"messageType": "CALL"})), "ignored call"),
            ("sms", with(sms("OutboundMessage"), json!({"messageType": "CALL", "status": "voicemail"})), "ignored call"),
            ("sms", with(sms("InboundMessage"), json!({"messageType": "Email"})), "ignored other_channel"),
            ("sms", with(sms("InboundMessage"), json!({"messageType": "WhatsApp"})), "ignored other_channel"),
            ("sms", with(sms("InboundMessage"), json!({"messageType": "Live_Chat"})), "ignored other_channel"),
            ("sms", with(sms("OutboundMessage"), json!({"messageType": "IG"})), "ignored other_channel"),
            ("sms", sms("ContactCreate"), "ignored not_a_message"),
            ("sms", with(sms("ContactCreate"), json!({"message": "Hello"})), "quarantined unknown_event"),
            ("sms", with(sms("MessageArrived"), json!({"body": "Hello"})), "quarantined unknown_event"),
            ("sms", json!({"body": "Hello"}), "quarantined unknown_shape"),
            ("sms", json!({"type": 7, "body": "Hello"}), "quarantined unknown_shape"),
            ("sms", with(body("ghl/workflow_sms-1"), json!({"message.type": 1})), "ignored other_channel"),
            ("sms", with(body("ghl/workflow_sms-1"), json!({"message.type": "Email"})), "ignored other_channel"),
            ("linkedin", chat("message_reaction"), "ignored reaction"),
            ("linkedin", chat("message_read"), "ignored read"),
            ("linkedin", chat("message_delivered"), "ignored delivered"),
            ("linkedin", with(chat("message_received"), json!({"account_type": "WHATSAPP"})), "ignored other_channel"),
            ("linkedin", with(chat("message_edited"), json!({"account_info": {"type": "MAIL"}})), "ignored other_channel"),
            ("linkedin", with(chat("message_received"), json!({"is_event": 1})), "ignored system_event"),
            ("linkedin", chat("message_painted"), "quarantined unknown_event"),
            ("linkedin", json!({"message": "Hello"}), "quarantined unknown_event"),
            ("smartlead", lead("EMAIL_OPEN"), "ignored opened"),
            ("smartlead", lead("EMAIL_LINK_CLICK"), "ignored clicked"),
            ("smartlead", lead("CAMPAIGN_STATUS_CHANGED"), "ignored campaign"),
            ("smartlead", lead("MANUAL_STEP_REACHED"), "ignored campaign"),
            ("smartlead", lead("UNTRACKED_REPLIES"), "quarantined unknown_event"),
            ("smartlead", lead("EMAIL_REPLIED"), "quarantined unknown_event"),
            ("smartlead", json!({"event": "EMAIL_REPLY"}), "quarantined unknown_event"),
            ("smartlead", with(lead("EMAIL_BOUNCE"), json!({"is_sender_originated_bounce": true})), "ignored sender_bounce"),
            ("instantly", lead("email_opened"), "ignored opened"),
            ("instantly", lead("link_clicked"), "ignored clicked"),
            ("instantly", lead("campaign_completed"), "ignored campaign"),
            ("instantly", lead("supersearch_enrichment_completed"), "ignored campaign"),
            ("instantly", lead("lead_neutral"), "ignored status"),
            ("instantly", lead("lead_closed"), "ignored status"),
            ("instantly", lead("lead_meeting_completed"), "ignored status"),
            ("instantly", lead("lead_no_show"), "ignored status"),
            ("instantly", body("instantly/custom_label-1"), "ignored custom_label"),
            ("instantly", with(lead("Won 🎉"), json!({"reply_text": "Hello"})), "ignored custom_label"),
            ("instantly", with(lead("Won 🎉"), json!({"email_id": "x", "reply_text": "Hello"})), "quarantined unknown_event"),
            ("instantly", with(lead("Won 🎉"), json!({"email_id": "x", "reply_html": "Hello"})), "quarantined unknown_event"),
            ("instantly", json!({"lead_email": "a@x.example", "reply_text": "Hello"}), "quarantined unknown_event"),
        ];
        for (channel, sent, expected) in &rows {
            assert_eq!(desk.tell("p07a", channel, sent).await, *expected, "{channel}: {sent}");
        }
        assert_eq!(desk.stored("p07a").await, (0, 0, 0));
        let held = rows.iter().filter(|it| it.2.starts_with("quarantined")).count();
        assert_eq!(desk.number("p07a", "count(*) from quarantine where client_id = $").await, i64::try_from(held).unwrap());

        // The words of what is recorded: no other is told.
        let message = body("unipile/message_received-1");
        let ours = body("unipile/message_received-2");
        let rows = [
            ("email", body("emailbison/email_sent-1"), "recorded outbound"),
            ("email", body("emailbison/lead_interested-1"), "accepted"),
            ("email", body("emailbison/email_bounced-1"), "recorded bounce"),
            ("email", body("emailbison/lead_unsubscribed-1"), "recorded unsubscribe"),
            ("sms", body("ghl/outbound_message-1"), "recorded outbound"),
            ("sms", body("ghl/contact_dnd_update-1"), "recorded do_not_disturb"),
            ("linkedin", message.clone(), "accepted"),
            ("linkedin", ours.clone(), "recorded outbound"),
            ("linkedin", body("unipile/new_relation-1"), "recorded connected"),
            ("linkedin", with(message.clone(), json!({"event": "message_edited", "message": "another text"})), "recorded edited"),
            ("linkedin", with(message, json!({"event": "message_deleted"})), "recorded deleted"),
            ("linkedin", with(ours, json!({"event": "message_failed"})), "recorded failed"),
            ("smartlead", body("smartlead/email_sent-1"), "recorded outbound"),
            ("smartlead", body("smartlead/email_reply-1"), "accepted"),
            ("smartlead", body("smartlead/lead_category_updated-1"), "recorded category"),
            ("smartlead", body("smartlead/email_bounce-1"), "recorded bounce"),
            ("smartlead", body("smartlead/lead_unsubscribed-1"), "recorded unsubscribe"),
        ];
        for (channel, sent, expected) in &rows {
            assert_eq!(desk.tell("p07b", channel, sent).await, *expected, "{channel}: {sent}");
        }
        let reply = body("instantly/reply_received-5");
        for (event, expected) in [
            ("email_sent", "recorded outbound"),
            ("reply_received", "accepted"),
            ("lead_interested", "recorded interested"),
            ("email_bounced", "recorded bounce"),
            ("lead_unsubscribed", "recorded unsubscribe"),
        ] {
            let sent = with(reply.clone(), json!({"event_type": event}));
            assert_eq!(desk.tell("p07c", "instantly", &sent).await, expected, "{event}");
        }
        for (client, event) in [
            ("p07d", "lead_not_interested"),
            ("p07e", "lead_out_of_office"),
            ("p07f", "lead_meeting_booked"),
            ("p07g", "lead_wrong_person"),
        ] {
            assert_eq!(desk.tell(client, "instantly", &reply).await, "accepted");
            let hint = with(reply.clone(), json!({"event_type": event}));
            assert_eq!(desk.tell(client, "instantly", &hint).await, "recorded interested", "{event}");
        }
    }

    async fn p08_the_account_counts_where_both_name_one(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        let rows = [
            ("email", body("emailbison/lead_replied-1"), "event.workspace_id", json!(13)),
            ("email", with(body("emailbison/lead_replied-1"), json!({"event.workspace_id": " 12 ", "data.reply.id": 1})), "event.workspace_id", json!("120")),
            ("sms", body("ghl/workflow_sms-1"), "location.id", json!("LQ7m2XvB4tYh9RkZpWs1")),
            ("sms", body("ghl/inbound_message-2"), "locationId", json!("elsewhere")),
            ("linkedin", body("unipile/message_received-1"), "account_id", json!("another")),
            ("instantly", body("instantly/reply_received-1"), "workspace", json!("another")),
        ];
        for (n, (channel, own, path, other)) in rows.iter().enumerate() {
            let other = with(own.clone(), json!({*path: other}));
            assert_eq!(desk.tell("accounts08", channel, &other).await, "ignored other_account", "{path}");
            assert_eq!(desk.stored("accounts08").await.0, n as i64, "nothing of it is stored");
            assert_eq!(desk.tell("accounts08", channel, own).await, "accepted", "{path}");
            // A client whose channel names none takes all.
            assert_eq!(desk.tell("p08a", channel, &other).await, "accepted", "{path}");
        }
        // Account notices are of an account, too, and what is not understood.
        let status = json!({"AccountStatus": {"account_id": "another", "message": "ERROR", "account_type": "LINKEDIN"}});
        assert_eq!(desk.tell("accounts08", "linkedin", &status).await, "ignored other_account");
        assert_eq!(desk.tell("accounts08", "linkedin", &body("unipile/account_status-1")).await, "ignored account_notice");
        assert_eq!(desk.number("accounts08", "count(*) from quarantine where client_id = $").await, 0);
        // A body that names no account passes.
        for (channel, body) in [
            ("email", with(body("emailbison/lead_replied-1"), json!({"event.workspace_id": null, "data.reply.id": 2}))),
            ("email", with(body("emailbison/lead_replied-1"), json!({"event": "LEAD_REPLIED", "data.reply.id": 3}))),
            ("linkedin", with(without(body("unipile/message_received-1"), &["account_id"]), json!({"message_id": "m2"}))),
            ("instantly", with(body("instantly/reply_received-5"), json!({"workspace": "N/A"}))),
            // A customer within the account is no account.
            ("smartlead", with(body("smartlead/email_reply-1"), json!({"client_id": 77}))),
        ] {
            assert_eq!(desk.tell("accounts08", channel, &body).await, "accepted", "{channel}");
        }
        assert_eq!(desk.stored("accounts08").await.0, rows.len() as i64 + 5);
    }

    async fn p09_keys_are_of_a_client_a_channel_and_a_kind(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        // The same id as sent mail and as reply; and what else happened to the sent mail is no
        // duplicate of it.
        let pairs = [
            ("email", with(body("emailbison/email_sent-1"), json!({"data.scheduled_email.id": 5})),
                with(body("emailbison/lead_replied-1"), json!({"data.reply.id": 5, "data.scheduled_email.id": 5}))),
            ("linkedin", with(body("unipile/message_received-2"), json!({"message_id": "m5"})),
                with(body("unipile/message_received-1"), json!({"message_id": "m5"}))),
            ("smartlead", with(body("smartlead/email_sent-1"), json!({"stats_id": "s5", "message_id": "<m5>"})),
                with(body("smartlead/email_reply-1"), json!({"stats_id": "s5", "message_id": "<m5>", "reply_message.message_id": "<m5>"}))),
            ("instantly", with(body("instantly/email_sent-3"), json!({"email_id": "e5"})),
                with(body("instantly/reply_received-1"), json!({"email_id": "e5"}))),
            ("sms", with(body("ghl/outbound_message-1"), json!({"messageId": "m5", "webhookId": "w5"})),
                with(body("ghl/inbound_message-2"), json!({"messageId": "m5", "webhookId": "w5"}))),
        ];
        for (n, (channel, sent, reply)) in pairs.iter().enumerate() {
            // The same ids at another client are other messages.
            for client in ["p09a", "p09b"] {
                assert_eq!(desk.tell(client, channel, sent).await, "recorded outbound", "{channel}");
                assert_eq!(desk.tell(client, channel, reply).await, "accepted", "{channel}");
                assert_eq!(desk.tell(client, channel, sent).await, "duplicate", "{channel}");
                assert_eq!(desk.tell(client, channel, reply).await, "duplicate", "{channel}");
                assert_eq!(desk.stored(client).await.0, 2 * n as i64 + 2);
            }
        }
        for (channel, event, expected) in [
            ("smartlead", with(body("smartlead/email_open-1"), json!({"stats_id": "s5", "message_id": "<m5>"})), "ignored opened"),
            ("smartlead", with(body("smartlead/email_bounce-1"), json!({"stats_id": "s5", "message_id": "<m5>"})), "recorded bounce"),
            ("instantly", with(body("instantly/email_bounced-1"), json!({"email_id": "e5", "lead_email": "gone@x.example"})), "recorded bounce"),
            ("email", with(body("emailbison/email_bounced-1"), json!({"data.reply.id": 5, "data.scheduled_email.id": 5})), "recorded bounce"),
        ] {
            assert_eq!(desk.tell("p09a", channel, &event).await, expected, "{channel}");
        }

        // Where several ids are listed a match on any is a duplicate, and each is stored.
        let sms = body("ghl/inbound_message-2");
        assert_eq!(desk.tell("p09c", "sms", &sms).await, "accepted");
        for (change, expected) in [
            (json!({"webhookId": "another", "body": "other text"}), "duplicate"),
            (json!({"messageId": "another", "body": "other text"}), "duplicate"),
            (json!({"messageId": "another", "webhookId": null}), "duplicate"),
            (json!({"messageId": null, "webhookId": "another"}), "duplicate"),
            (json!({"messageId": "one-more", "webhookId": "one-more"}), "accepted"),
        ] {
            assert_eq!(desk.tell("p09c", "sms", &with(sms.clone(), change.clone())).await, expected, "{change}");
        }
        let sent = body("smartlead/email_sent-1");
        assert_eq!(desk.tell("p09c", "smartlead", &sent).await, "recorded outbound");
        for (change, expected) in [
            (json!({"stats_id": "another"}), "duplicate"),
            (json!({"message_id": "<another>"}), "duplicate"),
            (json!({"stats_id": "one-more", "message_id": "<one-more>"}), "recorded outbound"),
        ] {
            assert_eq!(desk.tell("p09c", "smartlead", &with(sent.clone(), change.clone())).await, expected, "{change}");
        }

        // Neither the other ids of a body nor its subject, its text and its times are keys.
        let mail = body("emailbison/lead_replied-1");
        assert_eq!(desk.tell("p09d", "email", &mail).await, "accepted");
        assert_eq!(desk.tell("p09d", "email", &with(mail, json!({"data.reply.id": 9}))).await, "accepted");
        let chat = body("unipile/message_received-1");
        assert_eq!(desk.tell("p09d", "linkedin", &chat).await, "accepted");
        // Copies share provider_message_id: it counts only if it is alone.
        assert_eq!(desk.tell("p09d", "linkedin", &with(chat.clone(), json!({"message_id": "m9"}))).await, "accepted");
        let alone = with(chat, json!({"message_id": null}));
        assert_eq!(desk.tell("p09d", "linkedin", &alone).await, "accepted");
        assert_eq!(desk.tell("p09d", "linkedin", &alone).await, "duplicate");
        let reply = body("smartlead/email_reply-1");
        assert_eq!(desk.tell("p09d", "smartlead", &reply).await, "accepted");
        let other = json!({"message_id": "<m9>", "reply_message.message_id": "<m9>"});
        assert_eq!(desk.tell("p09d", "smartlead", &with(reply.clone(), other)).await, "accepted", "the same stats_id");
        assert_eq!(desk.tell("p09d", "smartlead", &with(reply, json!({"stats_id": "another"}))).await, "duplicate");

        // The text counts, normalised, if the table says so.
        let mail = body("instantly/reply_received-5");
        assert_eq!(desk.tell("p09e", "instantly", &mail).await, "accepted");
        for (text, expected) in [
            (" could YOU send me  more\n info about how\tthis works? ", "duplicate"),
            ("Could you send me more info?", "accepted"),
        ] {
            let again = with(mail.clone(), json!({"reply_text": text, "timestamp": "2026-07-01T08:00:00Z"}));
            assert_eq!(desk.tell("p09e", "instantly", &again).await, expected, "{text:?}");
        }
        assert_eq!(desk.stored("p09e").await, (2, 1, 2));
    }

    async fn p10_without_an_id_the_content_is_the_key_for_ten_minutes(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        let untimed = [
            ("sms", body("ghl/workflow_sms-2"), "message.body"),
            ("sms", with(body("ghl/workflow_sms-1"), json!({"customData.Time": null, "contact_id": "c2"})), "message.body"),
            ("sms", without(body("ghl/inbound_message-1"), &["dateAdded"]), "body"),
            ("instantly", without(body("instantly/reply_received-1"), &["email_id", "timestamp", "reply_html"]), "reply_text"),
            ("smartlead", with(body("smartlead/email_reply-1"), json!({
                "message_id": null, "reply_message.message_id": null, "time_replied": null, "reply_message.html": null, "reply_body": null,
            })), "reply_message.text"),
        ];
        for (n, (channel, sent, text)) in untimed.iter().enumerate() {
            let client = ["p10a", "p10b", "p10c", "p10d", "p10e"][n];
            let first = desk.post(client, channel, sent).await;
            assert_eq!(told(&first), "accepted", "{sent}");
            let times = format!(
                "{} - {} from message_keys where client_id = $ and kind = 'reply'",
                desk.millis("expires_at"), desk.millis("first_seen")
            );
            assert_eq!(desk.number(client, &times).await, 600_000, "{channel}");
            let expires = format!("{} from message_keys where client_id = $ and kind = 'reply'", desk.millis("expires_at"));
            let before = desk.number(client, &expires).await;
            let words = text.split('.').fold(sent, |it, name| &it[name]).as_str().unwrap();
            let spelled = with(sent.clone(), json!({*text: format!("  {}\n", words.to_uppercase().replace(' ', "  "))}));
            for again in [sent, &spelled] {
                let again = desk.post(client, channel, again).await;
                assert_eq!((told(&again).as_str(), again.field("message_id")), ("duplicate", first.field("message_id")), "{channel}");
                assert_eq!(again.job_ids(), first.job_ids());
            }
            assert_eq!(desk.number(client, &expires).await, before, "from the first receipt");
            let other = with(sent.clone(), json!({*text: "Another text"}));
            assert_eq!(desk.tell(client, channel, &other).await, "accepted");
            ten_minutes_pass(&desk, client).await;
            let second = desk.post(client, channel, sent).await;
            assert_eq!(told(&second), "accepted", "{channel}");
            assert_ne!(second.field("message_id"), first.field("message_id"));
            let again = desk.post(client, channel, sent).await;
            assert_eq!(again.field("message_id"), second.field("message_id"), "it is the first of the next ten minutes");
            assert_eq!(desk.stored(client).await, (3, 1, 3), "{channel}");
        }
        // With a time of the message itself it never expires.
        let timed = [
            ("sms", body("ghl/workflow_sms-1"), "accepted", "customData.Time", json!("10:22 AM")),
            ("sms", with(body("ghl/inbound_message-1"), json!({"contactId": "c2"})), "accepted", "dateAdded", json!("2021-04-21T11:31:46.750Z")),
            ("instantly", without(body("instantly/reply_received-1"), &["email_id"]), "accepted", "timestamp", json!("2025-10-15T21:49:50.188Z")),
            ("instantly", without(body("instantly/email_sent-3"), &["email_id"]), "recorded outbound", "timestamp", json!("2026-05-03T08:00:00.000Z")),
            ("instantly", with(body("instantly/email_sent-3"), json!({"email_id": "", "step": 7})), "recorded outbound", "step", json!("8")),
            ("smartlead", with(body("smartlead/email_reply-1"), json!({"message_id": null, "reply_message.message_id": null})), "accepted",
                "time_replied", json!("2026-07-11T13:53:31+00:00")),
        ];
        for (channel, sent, expected, field, later) in &timed {
            assert_eq!(desk.tell("p10f", channel, sent).await, *expected, "{sent}");
            ten_minutes_pass(&desk, "p10f").await;
            assert_eq!(desk.tell("p10f", channel, sent).await, "duplicate", "{sent}");
            let other = with(sent.clone(), json!({*field: later}));
            assert_eq!(desk.tell("p10f", channel, &other).await, *expected, "another {field}");
        }
        // Campaign, address and step identify a sent mail of SmartLead without ids.
        let sent = with(body("smartlead/email_sent-1"), json!({"stats_id": null, "message_id": null, "sent_message": {}}));
        assert_eq!(desk.tell("p10g", "smartlead", &sent).await, "recorded outbound");
        assert_eq!(desk.tell("p10g", "smartlead", &sent).await, "duplicate");
        let next = with(sent, json!({"sequence_number": 2}));
        assert_eq!(desk.tell("p10g", "smartlead", &next).await, "recorded outbound");
    }
}
