//! Messages without text, and those of machines.

use crate::{
    on_both_daemons,
    support::shared::{Desk, body, told, with, without},
};
use serde_json::json;

/// Words that nobody may take for an opt-out where they are only quoted.
const QUOTED: &str = "> Unsubscribe me\r\n> and stop emailing me\r\n";

on_both_daemons! {
    async fn p14_what_has_no_text(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        let file = json!([{"id": "f1", "url": "https://files.example/f1.jpg"}]);
        let chat = body("unipile/message_received-1");
        let no_text = json!({"reply_message.text": "", "reply_message.html": null, "reply_body": "", "preview_text": "\n"});
        let rows = [
            ("email", body("emailbison/lead_replied-6"), "accepted"),
            ("email", body("emailbison/lead_interested-1"), "accepted"),
            ("smartlead", with(body("smartlead/email_reply-1"), no_text), "accepted"),
            ("instantly", without(body("instantly/reply_received-5"), &["reply_text", "reply_text_snippet"]), "accepted"),
            ("sms", body("ghl/workflow_empty-1"), "ignored empty_message"),
            ("sms", body("ghl/workflow_no_message-1"), "ignored no_message"),
            ("sms", with(body("ghl/inbound_message-2"), json!({"body": " \n"})), "ignored empty_message"),
            ("sms", without(body("ghl/inbound_message-2"), &["body"]), "ignored empty_message"),
            ("sms", with(body("ghl/inbound_message-2"), json!({"body": null, "attachments": ["https://files.example/f1.jpg"]})), "accepted"),
            ("sms", with(body("ghl/workflow_empty-1"), json!({"message.attachments": file})), "accepted"),
            ("linkedin", with(chat.clone(), json!({"message": null})), "ignored empty_message"),
            ("linkedin", with(chat.clone(), json!({"message": " \t", "attachments": {}})), "ignored empty_message"),
            ("linkedin", body("unipile/message_received-5"), "accepted"),
            // Ours are stored even so.
            ("email", with(body("emailbison/lead_replied-6"), json!({"event.type": "MANUAL_EMAIL_SENT", "data.reply.id": 1})), "recorded outbound"),
            ("email", with(body("emailbison/email_sent-1"), json!({"data.scheduled_email.email_body": null})), "recorded outbound"),
            ("sms", with(body("ghl/outbound_message-1"), json!({"body": null})), "recorded outbound"),
            ("linkedin", with(body("unipile/message_received-2"), json!({"message": null})), "recorded outbound"),
            ("smartlead", with(body("smartlead/email_sent-1"), json!({
                "sent_message": {}, "sent_message_body": "", "custom_email_message": null,
            })), "recorded outbound"),
            ("instantly", without(body("instantly/email_sent-3"), &["email_html", "email_text"]), "recorded outbound"),
        ];
        for (channel, sent, expected) in &rows {
            assert_eq!(desk.tell("p14a", channel, sent).await, *expected, "{channel}: {sent}");
        }
        let stored = rows.iter().filter(|it| !it.2.starts_with("ignored")).count();
        assert_eq!(desk.stored("p14a").await.0, stored as i64);
        assert_eq!(desk.number("p14a", "count(*) from messages where client_id = $ and body = ''").await, stored as i64);
        assert_eq!(desk.number("p14a", "count(*) from messages where client_id = $ and direction = 'inbound' and attachments <> '[]'").await, 3);
        // An ignored message leaves nothing: with a text it is heard.
        assert_eq!(desk.tell("p14a", "linkedin", &chat).await, "accepted");
    }

    async fn p14_nothing_is_judged_but_new_text(place: Place) {
        let desk = Desk::at(&place).await;
        let rows = [
            ("email", with(body("emailbison/lead_replied-1"), json!({"data.reply.text_body": QUOTED, "data.reply.html_body": null}))),
            ("smartlead", with(body("smartlead/email_reply-1"), json!({
                "reply_message.text": QUOTED, "reply_message.html": null, "reply_body": null,
            }))),
            ("instantly", with(body("instantly/reply_received-5"), json!({"reply_text": QUOTED}))),
            // Nothing at all.
            ("email", body("emailbison/lead_replied-6")),
            ("linkedin", body("unipile/message_received-5")),
        ];
        for (channel, sent) in &rows {
            assert_eq!(desk.tell("p14b", channel, sent).await, "accepted", "{channel}");
        }
        desk.all_done("p14b").await;
        assert_eq!(desk.texts("p14b", "distinct sentiment from messages where client_id = $").await, ["Neutral"]);
        assert_eq!(desk.number("p14b", "count(*) from leads where client_id = $ and opted_out_at is not null").await, 0);
        assert_eq!(desk.number("p14b", "count(*) from drafts where client_id = $").await, 0);
        let raw = "count(*) from messages where client_id = $ and body like '%nsubscribe me%' and not has_new_text";
        assert_eq!(desk.number("p14b", raw).await, 3, "the raw text is kept as body");
        // The same words above a quote are the lead's.
        let own = json!({"data.reply.id": 5, "data.reply.text_body": format!("Unsubscribe me\r\n{QUOTED}"), "data.reply.html_body": null});
        assert_eq!(desk.tell("p14b", "email", &with(body("emailbison/lead_replied-1"), own)).await, "accepted");
        assert_eq!(desk.number("p14b", "count(*) from leads where client_id = $ and opted_out_at is not null").await, 1);
    }

    async fn p15_what_machines_write_is_marked_and_never_answered(place: Place) {
        let desk = Desk::at(&place).await;
        let eager = "Yes, I am very interested! Please send me your prices and call me tomorrow.";
        let mail = body("emailbison/lead_replied-2");
        let told_interested = json!({"data.reply.interested": true, "data.reply.id": 3, "data.reply.text_body": eager, "data.reply.html_body": null,
            "data.lead.id": 3, "data.lead.email": "three@x.example", "data.reply.from_email_address": "three@x.example"});
        let rows = [
            ("email", mail.clone()),
            ("email", with(mail.clone(), json!({"data.reply.id": 2, "data.lead.id": 2, "data.lead.email": "two@x.example",
                "data.reply.from_email_address": "two@x.example", "data.reply.email_subject": "Re: hello",
                "data.reply.text_body": eager, "data.reply.html_body": null}))),
            ("email", with(mail.clone(), told_interested)),
            ("email", with(mail, json!({"event.type": "LEAD_INTERESTED", "data.reply.id": 4, "data.lead.id": 4, "data.lead.email": "four@x.example",
                "data.reply.from_email_address": "four@x.example"}))),
            ("instantly", with(body("instantly/auto_reply_received-1"), json!({"lead_email": "five@x.example"}))),
            ("instantly", with(body("instantly/auto_reply_received-1"), json!({"lead_email": "six@x.example", "email_id": "e6", "reply_text": eager}))),
        ];
        for (channel, sent) in &rows {
            let answer = desk.post("p15a", channel, sent).await;
            assert_eq!(told(&answer), "accepted", "{sent}");
        }
        desk.all_done("p15a").await;
        assert_eq!(desk.number("p15a", "count(*) from messages where client_id = $ and automated").await, 6);
        let others = "distinct sentiment from messages where client_id = $ and sentiment not in ('Automated Reply', 'Out of Office', 'Blacklist')";
        assert!(desk.texts("p15a", others).await.is_empty(), "{:?}", desk.texts("p15a", others).await);
        assert_eq!(desk.number("p15a", "count(*) from drafts where client_id = $").await, 0);
        // Whatever the provider thinks of it: nobody has said anything yet.
        assert_eq!(desk.texts("p15a", "distinct status from leads where client_id = $").await, ["new"]);
        let ours = "count(*) from messages where client_id = $ and sentiment = 'Out of Office'";
        assert!(desk.number("p15a", ours).await >= 2);
        // A hint that comes later is no other.
        let hint = with(body("instantly/lead_interested-1"), json!({"lead_email": "five@x.example", "timestamp": "2026-06-09T00:00:00Z"}));
        assert_eq!(desk.tell("p15a", "instantly", &hint).await, "duplicate");
        assert_eq!(desk.texts("p15a", "distinct status from leads where client_id = $").await, ["new"]);
    }

    /// The same if the hint is faster than the job.
    async fn p15_a_hint_on_an_automated_message_is_none(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        let mail = body("emailbison/lead_replied-2");
        assert_eq!(desk.tell("p15b", "email", &mail).await, "accepted");
        let interested = with(mail, json!({"event.type": "LEAD_INTERESTED"}));
        assert_eq!(desk.tell("p15b", "email", &interested).await, "duplicate");
        let auto = with(body("instantly/auto_reply_received-1"), json!({"lead_email": "b@x.example"}));
        assert_eq!(desk.tell("p15b", "instantly", &auto).await, "accepted");
        let hint = |event: &str| with(body("instantly/lead_interested-1"), json!({
            "event_type": event, "lead_email": "b@x.example", "timestamp": "2026-06-09T00:00:00Z",
        }));
        assert_eq!(desk.tell("p15b", "instantly", &hint("lead_interested")).await, "duplicate");
        assert_eq!(desk.texts("p15b", "coalesce(sentiment, '-') from messages where client_id = $").await, ["-", "-"]);
        assert_eq!(desk.tell("p15b", "instantly", &hint("lead_out_of_office")).await, "recorded interested");
        let told: Vec<String> = desk.texts("p15b", "coalesce(sentiment, '-') from messages where client_id = $ order by id").await;
        assert_eq!(told, ["-", "Out of Office"]);
        assert_eq!(desk.texts("p15b", "distinct status from leads where client_id = $").await, ["new"]);
    }
}
