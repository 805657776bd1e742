//! What is looked at first, and what is refused or kept for a person.

use crate::{
    on_both_daemons,
    support::{
        shared::{BODY_LIMIT, Desk, SECRET, body, channels, told, with, without},
        web::ask,
    },
};
use serde_json::{Value, json};

/// A body of a lead, by channel.
const INBOUND: [(&str, &str); 5] = [
    ("email", "emailbison/lead_replied-1"),
    ("sms", "ghl/workflow_sms-2"),
    ("linkedin", "unipile/message_received-1"),
    ("smartlead", "smartlead/email_reply-1"),
    ("instantly", "instantly/reply_received-1"),
];

/// Where a body of that channel names its event, and its account if it does.
fn event_and_account(channel: &str) -> (&'static str, &'static str) {
    match channel {
        "email" => ("event.type", "event.workspace_id"),
        "linkedin" => ("event", "account_id"),
        "instantly" => ("event_type", "workspace"),
        _ => ("type", "locationId"),
    }
}

on_both_daemons! {
    /// Size, secret, JSON, account, event, required fields, dedupe: of a body that violates several
    /// the first decides.
    async fn p01_the_first_thing_that_is_wrong_decides(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        for channel in channels() {
            let too_large = vec![b'{'; BODY_LIMIT + 1];
            let request = desk.request("closed01", channel).bearer_auth("wrong").body(too_large);
            assert_eq!(told(&ask(request).await), "413", "{channel}: size before secret");
            for wrong in ["", "{", "[1,2", "\"a\nb\"", "not json"] {
                let request = desk.request("closed01", channel).body(wrong);
                assert_eq!(told(&ask(request).await), "401", "{channel}: secret before JSON");
                let request = desk.request("closed01", channel).bearer_auth(SECRET).body(wrong);
                assert_eq!(told(&ask(request).await), "400", "{channel}");
            }
        }
        for (channel, _) in crate::support::shared::ACCOUNTS {
            let (event, account) = event_and_account(channel);
            // Nothing is required of the body of another account, whatever its event is called.
            let other = with(json!({}), json!({event: "SomethingNew", account: "other"}));
            assert_eq!(desk.tell("accounts01", channel, &other).await, "ignored other_account", "{channel}");
            let other = json!({account: "other"});
            let other = if channel == "email" { json!({"event": {"workspace_id": "x"}}) } else { other };
            assert_eq!(desk.tell("accounts01", channel, &other).await, "ignored other_account", "{channel}");
            // Of our own account the event decides before its fields.
            let unknown = with(json!({"body": "x", "email_id": "x", "reply_text": "x"}), json!({event: "SomethingNew"}));
            assert_eq!(desk.tell("accounts01", channel, &unknown).await, "quarantined unknown_event", "{channel}");
        }
        assert_eq!(desk.stored("closed01").await, (0, 0, 0));
        assert_eq!(desk.stored("accounts01").await, (0, 0, 0));
        assert_eq!(desk.number("closed01", "count(*) from quarantine where client_id = $").await, 0);

        // Of a known event its fields decide before it is a duplicate, and a duplicate has no
        // effect.
        let reply = body("emailbison/lead_replied-1");
        assert_eq!(desk.tell("p01a", "email", &reply).await, "accepted");
        let no_writer = with(reply.clone(), json!({"data.reply.from_email_address": null, "data.lead.email": null}));
        assert_eq!(desk.tell("p01a", "email", &no_writer).await, "quarantined missing_field data.reply.from_email_address");
        let opts_out = with(reply, json!({"data.reply.text_body": "Unsubscribe me"}));
        assert_eq!(desk.tell("p01a", "email", &opts_out).await, "duplicate");
        assert_eq!(desk.texts("p01a", "status from leads where client_id = $").await, ["new"]);
        // An event that needs no field is not checked.
        assert_eq!(desk.tell("p01a", "email", &json!({"event": "EMAIL_OPENED", "data": 3})).await, "ignored opened");
    }

    async fn p02_one_right_secret_in_any_place_is_enough(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        for (number, (channel, file)) in INBOUND.into_iter().enumerate() {
            // A body that needs nothing, so that only the secret decides.
            let quiet = match channel {
                "email" => json!({"event": {"type": "EMAIL_OPENED"}}),
                "sms" => json!({"type": "INSTALL"}),
                "linkedin" => json!({"event": "message_read"}),
                "smartlead" => body("smartlead/email_open-1"),
                _ => json!({"event_type": "email_opened"}),
            };
            let own = match channel {
                "linkedin" => Some("Unipile-Auth"),
                "instantly" => Some("X-Instantly-Secret"),
                _ => None,
            };
            let mut places = vec!["bearer", "query", "X-Webhook-Secret"];
            places.extend(own);
            places.extend((channel == "smartlead").then_some("body"));
            let at = |values: &[(&str, &str)]| {
                let mut request = desk.request("closed02", channel);
                let mut sent = quiet.clone();
                for (place, secret) in values {
                    match *place {
                        "bearer" => request = request.bearer_auth(secret),
                        "query" => request = request.query(&[("secret", secret)]),
                        "body" => sent["secret_key"] = (*secret).into(),
                        header => request = request.header(header, *secret),
                    }
                }
                ask(request.json(&sent))
            };
            for right in &places {
                assert!(told(&at(&[(right, SECRET)]).await).starts_with("ignored"), "{channel}: {right}");
                for wrong in places.iter().filter(|it| *it != right) {
                    let answer = at(&[(wrong, "wrong"), (right, SECRET)]).await;
                    assert!(told(&answer).starts_with("ignored"), "{channel}: {right} beside a wrong {wrong}");
                }
                for wrong in ["", "wrong", &SECRET[1..], &SECRET.to_uppercase(), &format!("{SECRET}x")] {
                    at(&[(right, wrong)]).await.is_problem(401, "unauthenticated");
                }
            }
            at(&[]).await.is_problem(401, "unauthenticated");
            let all_wrong: Vec<(&str, &str)> = places.iter().map(|it| (*it, "wrong")).collect();
            at(&all_wrong).await.is_problem(401, "unauthenticated");
            // The header of another provider, and the field of another's body, are no place.
            let strange: &str = if channel == "instantly" { "Unipile-Auth" } else { "X-Instantly-Secret" };
            at(&[(strange, SECRET)]).await.is_problem(401, "unauthenticated");
            if channel != "smartlead" {
                at(&[("body", SECRET)]).await.is_problem(401, "unauthenticated");
            }
            // An unknown client is no other than a wrong secret.
            let request = desk.request("nobody", channel).bearer_auth(SECRET).json(&quiet);
            ask(request).await.is_problem(401, "unauthenticated");
            // And with the right secret it is taken.
            let request = desk.request("closed02", channel).bearer_auth(SECRET).json(&body(file));
            assert_eq!(told(&ask(request).await), "accepted", "{channel}");
            assert_eq!(desk.stored("closed02").await.0, number as i64 + 1, "{channel}");
        }
        let payloads = desk.texts("closed02", "payload from messages where client_id = $ and channel = 'smartlead'").await;
        assert!(payloads[0].contains("\"***\"") && !payloads[0].contains("7c1f5b0e-2d4a"), "{payloads:?}");
    }

    async fn p03_only_what_is_not_json_is_refused(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        let mut held = 0;
        for (channel, file) in INBOUND {
            let text = body(file).to_string();
            let cut = text.split_at(text.len() / 2).0.as_bytes().to_vec();
            let nested = |levels: usize| format!("{{\"x\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
            for not_json in [
                Vec::new(),
                b" \n".to_vec(),
                cut,
                b"{\"a\":\"one\ntwo\"}".to_vec(),
                b"{\"a\":\"\x00\"}".to_vec(),
                b"{\"a\":\"\xff\"}".to_vec(),
                nested(128).into_bytes(),
                format!("{text}}}").into_bytes(),
            ] {
                ask(desk.request("p03a", channel).body(not_json)).await.is_problem(400, "not-json");
            }
            for json in [
                nested(127),
                "{}".to_owned(),
                "[]".to_owned(),
                "null".to_owned(),
                "{\"\\ud800\":\"\\udfff\"}".to_owned(),
                format!("{{\"x\":{}}}", "9".repeat(400)),
                "\u{feff}{}".to_owned(),
            ] {
                let answer = ask(desk.request("p03a", channel).body(json.clone())).await;
                assert!(told(&answer).starts_with("quarantined"), "{channel}: {json}: {answer:?}");
                held += 1;
            }
        }
        assert_eq!(desk.stored("p03a").await, (0, 0, 0));
        assert_eq!(desk.number("p03a", "count(*) from quarantine where client_id = $").await, held);
        // Whatever its content type says, it is read as JSON.
        let form = desk.request("p03b", "linkedin").header("content-type", "application/x-www-form-urlencoded");
        let answer = ask(form.body(body("unipile/message_received-1").to_string())).await;
        assert_eq!(told(&answer), "accepted");
    }

    async fn p04_a_body_that_is_no_event_is_kept(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        for (channel, file) in INBOUND {
            let one = body(file);
            for value in [json!([one]), json!([]), json!("text"), json!(7), json!(true), Value::Null] {
                let answer = desk.tell("p04a", channel, &value).await;
                assert_eq!(answer, "quarantined not_an_object", "{channel}: {value}");
            }
            // One more wrapping is not taken off.
            for wrapped in [json!({"data": one}), json!({"data": [one]})] {
                let answer = desk.tell("p04a", channel, &wrapped).await;
                let expected = if wrapped["data"].is_array() && channel != "sms" { "unknown_event" } else { "unknown_shape" };
                let expected = format!("quarantined {expected}");
                assert_eq!(answer, expected, "{channel}: {wrapped}");
            }
        }
        assert_eq!(desk.stored("p04a").await, (0, 0, 0));
    }

    async fn p05_what_an_event_cannot_do_without(place: Place) {
        let desk = Desk::without_jobs(&place).await;
        // `(channel, body, field, what else has to be gone, what is missed)`.
        let rows: &[(&str, &str, &str, &[&str], &str)] = &[
            ("email", "emailbison/lead_replied-1", "data", &[], "data"),
            ("email", "emailbison/lead_replied-1", "data.reply.id", &[], "data.reply.id"),
            ("email", "emailbison/lead_replied-1", "data.reply.from_email_address", &["data.lead"], "data.reply.from_email_address"),
            ("email", "emailbison/untracked_reply_received-1", "data.reply.id", &[], "data.reply.id"),
            ("email", "emailbison/untracked_reply_received-1", "data.reply.from_email_address", &[], "data.reply.from_email_address"),
            ("email", "emailbison/email_bounced-1", "data.lead.email", &[], "data.lead.email"),
            ("email", "emailbison/email_sent-1", "data.scheduled_email.id", &[], "data.scheduled_email.id"),
            ("email", "emailbison/email_sent-1", "data.lead.email", &[], "data.lead.email"),
            ("email", "emailbison/lead_unsubscribed-1", "data.lead.email", &[], "data.lead.email"),
            ("sms", "ghl/workflow_sms-1", "contact_id", &[], "contact_id"),
            ("sms", "ghl/workflow_sms-1", "location.id", &[], "location.id"),
            ("sms", "ghl/workflow_empty-1", "contact_id", &[], "contact_id"),
            ("sms", "ghl/inbound_message-2", "contactId", &[], "contactId"),
            ("sms", "ghl/inbound_message-2", "locationId", &[], "locationId"),
            ("sms", "ghl/outbound_message-1", "contactId", &[], "contactId"),
            ("sms", "ghl/contact_dnd_update-1", "id", &[], "id"),
            ("linkedin", "unipile/message_received-1", "message_id", &["provider_message_id"], "message_id"),
            ("linkedin", "unipile/message_received-1", "sender.attendee_provider_id", &[], "sender.attendee_provider_id"),
            ("linkedin", "unipile/new_relation-1", "user_provider_id", &[], "user_provider_id"),
            ("smartlead", "smartlead/email_reply-1", "campaign_id", &[], "campaign_id"),
            ("smartlead", "smartlead/email_reply-1", "stats_id", &[], "stats_id"),
            ("smartlead", "smartlead/email_sent-1", "campaign_id", &[], "campaign_id"),
            ("smartlead", "smartlead/email_sent-1", "to_email", &[], "to_email"),
            ("smartlead", "smartlead/email_bounce-1", "to_email", &[], "to_email"),
            ("instantly", "instantly/reply_received-1", "lead_email", &["email"], "lead_email"),
            ("instantly", "instantly/email_sent-3", "lead_email", &["email"], "lead_email"),
            ("instantly", "instantly/email_bounced-1", "lead_email", &["email"], "lead_email"),
            ("instantly", "instantly/lead_unsubscribed-1", "lead_email", &["email"], "lead_email"),
            ("instantly", "instantly/lead_interested-1", "lead_email", &["email"], "lead_email"),
        ];
        for (channel, file, field, others, missed) in rows {
            let is_address = field.contains("email") && !field.ends_with("id");
            // A body without contact_id has to be a workflow's by something else.
            let base = without(body(file), others);
            let missing = format!("quarantined missing_field {missed}");
            assert_eq!(desk.tell("p05a", channel, &without(base.clone(), &[field])).await, missing, "{file}: no {field}");
            let mut nothing = vec![json!(null), json!(""), json!(" \t"), json!({}), json!("N/A"), json!("\u{0}")];
            if is_address {
                nothing.extend(["nobody", "@x.example", "x@", "a@b@c.example", "a b@c.example"].map(Value::from));
            }
            for value in nothing {
                let sent = with(base.clone(), json!({*field: value}));
                assert_eq!(desk.tell("p05a", channel, &sent).await, missing, "{file}: {field} = {value}");
            }
            for value in [json!([]), json!(["x"]), json!({"x": 1}), json!(true)] {
                if *field == "data" && value.is_object() {
                    continue;
                }
                let sent = with(base.clone(), json!({*field: value}));
                let bad = format!("quarantined bad_field {missed}");
                assert_eq!(desk.tell("p05a", channel, &sent).await, bad, "{file}: {field} = {value}");
            }
        }
        // The three that change a message, too.
        for event in ["message_edited", "message_deleted", "message_failed"] {
            let change = with(body("unipile/message_received-1"), json!({"event": event, "message_id": null}));
            assert_eq!(desk.tell("p05a", "linkedin", &change).await, "quarantined missing_field message_id", "{event}");
        }
        assert_eq!(desk.stored("p05a").await, (0, 0, 0));
        let held = "count(*) from quarantine where client_id = $";
        assert!(desk.number("p05a", held).await > 200);

        // The same bytes are the same item, whatever came between them.
        let broken = without(body("emailbison/lead_replied-1"), &["data.reply.id"]);
        let first = desk.post("p05b", "email", &broken).await;
        desk.post("p05b", "email", &json!([])).await;
        let again = desk.post("p05b", "email", &broken).await;
        assert_eq!(first.field("quarantine_id"), again.field("quarantine_id"));
        assert_eq!(desk.number("p05b", held).await, 2);

        // What is not required never causes a refusal.
        for (number, (channel, file)) in INBOUND.into_iter().enumerate() {
            let needed: &[&str] = match channel {
                "email" => &["event", "data"],
                "sms" => &["contact_id", "location", "message"],
                "linkedin" => &["event", "message", "message_id", "sender"],
                "smartlead" => &["event_type", "campaign_id", "stats_id", "to_email"],
                _ => &["event_type", "lead_email"],
            };
            let mut odd = body(file);
            for (n, (name, value)) in odd.as_object_mut().unwrap().iter_mut().enumerate() {
                if !needed.contains(&name.as_str()) {
                    *value = [json!([[{}]]), json!({"x": 1}), json!(-1), json!(true), Value::Null][n % 5].clone();
                }
            }
            if channel == "email" {
                let data = odd["data"].as_object_mut().unwrap();
                for (n, (name, value)) in data.iter_mut().enumerate() {
                    if name != "reply" {
                        *value = [json!([1]), json!("x"), json!(-1), json!(true)][n % 4].clone();
                    }
                }
            }
            if channel == "linkedin" {
                // An account of another network would be none of ours, and this one is no flag.
                odd["account_type"] = Value::Null;
                odd["is_event"] = json!([]);
                odd["is_sender"] = json!({});
            }
            assert_eq!(desk.tell("p05c", channel, &odd).await, "accepted", "{odd}");
            assert_eq!(desk.stored("p05c").await.0, number as i64 + 1);
        }
    }
}
