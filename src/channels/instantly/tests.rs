use super::Instantly;
use crate::{
    channels::{
        AnyChannel as _, json,
        tests::{NOW, event, outcome, read_at, with},
    },
    domain::{
        Identity, IdentityKind, Interpreted, NewMessage, Sentiment, Signal,
        event::{Direction, KeyKind},
    },
};
use serde_json::{Value, json};

macro_rules! payload {
    ($name:literal) => {
        json::parse(include_bytes!(concat!("../../../tests/payloads/instantly/", $name, ".json")))
            .unwrap()
    };
}

const DANA: &str = "dana.whitfield@larkspur-freight.example";

fn message(body: &Value) -> NewMessage {
    crate::channels::tests::message(&Instantly, body)
}

#[test]
fn every_payload_has_its_outcome() {
    for (body, expected) in [
        (payload!("reply_received-1"), "accepted"),
        (payload!("reply_received-5"), "accepted"),
        (payload!("reply_received-6"), "accepted"),
        (payload!("reply_received-8"), "quarantined missing_field lead_email"),
        (payload!("auto_reply_received-1"), "accepted"),
        (payload!("email_sent-3"), "recorded outbound"),
        (payload!("email_bounced-1"), "recorded bounce"),
        (payload!("lead_unsubscribed-1"), "recorded unsubscribe"),
        (payload!("lead_interested-1"), "recorded interested"),
        (payload!("custom_label-1"), "ignored custom_label"),
    ] {
        assert_eq!(outcome(&Instantly, &body), expected, "{body}");
        assert_eq!(
            Instantly.account(&body).as_deref(),
            Some("7d3e90a4-1c58-4b6f-a2d7-5f0e9b8c4613")
        );
    }
    let raw = include_bytes!("../../../tests/payloads/instantly/malformed-1.raw");
    assert!(json::parse(raw).is_err());
}

#[test]
fn a_reply_is_its_new_text() {
    let body = payload!("reply_received-1");
    let it = event(&Instantly, &body);
    assert_eq!(it.identities, [Identity::new(IdentityKind::MAIL_ADDRESS, DANA)]);
    assert_eq!(it.at.to_string(), "2025-10-15T21:49:49.188Z");
    assert_eq!(it.profile.first_name.as_deref(), Some("Testy"));
    assert_eq!(it.profile.last_name.as_deref(), Some("McTesterson"));
    let campaign = it.campaign.unwrap();
    assert_eq!(campaign.provider_id, "c08b5f12-6a9e-4d37-8e41-2b7f3c9d0a55");
    assert_eq!(campaign.name.as_deref(), Some("TEST - Reply Handler"));
    let message = message(&body);
    assert_eq!(message.body, "Yes I'm interested! This sounds great. How do I get started?");
    assert!(message.has_new_text);
    assert_eq!(message.opt_out, None, "STOP stands in the quote alone");
    assert!(message.raw_text.unwrap().contains("STOP"));
    assert!(message.raw_html.unwrap().contains("blockquote"));
    assert_eq!(
        message.reply_handle,
        Some(json!({
            "reply_to_uuid": "0199c4b2-7e51-7a3c-b842-d1f0937ce50f",
            "eaccount": "o.hartley@get-northbeam.example",
        }))
    );
    assert_eq!(message.from.name.as_deref(), Some("Testy McTesterson"));
    assert_eq!(
        message.to.first().unwrap().address.as_deref(),
        Some("o.hartley@get-northbeam.example")
    );
    let key = message.keys.first().unwrap();
    assert!(key.key.starts_with("0199c4b2-7e51-7a3c-b842-d1f0937ce50f:"), "{key:?}");
    assert!(!key.expires && message.keys.len() == 1 && key.kind == KeyKind::Reply);
    let html_only = with(&body, "reply_text", json!("absent"));
    assert_eq!(super::tests::message(&html_only).body, message.body);
    let snippet = with(&html_only, "reply_html", json!("absent"));
    assert_eq!(super::tests::message(&snippet).body, message.body);
}

#[test]
fn variables_are_spelled_three_ways() {
    let it = event(&Instantly, &payload!("reply_received-5"));
    assert_eq!(it.profile.first_name.as_deref(), Some("Dana"));
    assert_eq!(it.profile.company_name.as_deref(), Some("Larkspur Freight"));
    for (name, value) in [("first_name", "Ana"), ("First_name", "Ana"), ("firstName", "Ana")] {
        let body = json!({"event_type": "reply_received", "email": "a@b.example", name: value});
        assert_eq!(event(&Instantly, &body).profile.first_name.as_deref(), Some("Ana"), "{name}");
    }
    for name in ["title", "jobTitle"] {
        let body = json!({"event_type": "reply_received", "email": "a@b.example", name: "Owner"});
        assert_eq!(event(&Instantly, &body).profile.title.as_deref(), Some("Owner"), "{name}");
    }
}

#[test]
fn addresses_are_compared_in_small_letters() {
    let it = event(&Instantly, &payload!("reply_received-6"));
    assert_eq!(it.identities, [Identity::new(IdentityKind::MAIL_ADDRESS, DANA)]);
}

#[test]
fn an_automatic_reply_shares_the_key_of_the_reply() {
    let body = payload!("auto_reply_received-1");
    let automatic = message(&body);
    assert!(automatic.automated);
    let reply = message(&with(&body, "event_type", json!("reply_received")));
    assert!(!reply.automated);
    assert_eq!(reply.keys, automatic.keys);
    let other = message(&with(&body, "reply_text", json!("Back now.")));
    assert_ne!(other.keys, automatic.keys);
}

#[test]
fn without_an_id_the_key_is_of_campaign_address_and_time() {
    let base = with(&payload!("reply_received-1"), "email_id", json!("absent"));
    let key = |body: &Value| message(body).keys.first().unwrap().clone();
    assert!(key(&base).key.starts_with("content:") && !key(&base).expires);
    assert_eq!(key(&with(&base, "reply_text", json!("x"))), key(&base));
    assert_eq!(key(&with(&base, "timestamp", json!(1_760_564_989_188_i64))), key(&base));
    assert_eq!(key(&with(&base, "lead_email", json!(DANA.to_uppercase()))), key(&base));
    assert_ne!(key(&with(&base, "timestamp", json!("2025-10-15T21:49:50Z"))), key(&base));
    let undated = with(&base, "timestamp", json!("absent"));
    assert!(key(&undated).expires);
    assert_ne!(key(&with(&undated, "reply_text", json!("x"))).key, key(&undated).key);
    assert_eq!(message(&base).reply_handle, None);
    let no_account = with(&payload!("reply_received-1"), "email_account", json!(""));
    assert_eq!(message(&no_account).reply_handle, None);
    assert_eq!(outcome(&Instantly, &no_account), "accepted");
}

#[test]
fn a_sent_mail_is_outbound() {
    let body = payload!("email_sent-3");
    let it = message(&body);
    assert_eq!(it.direction, Direction::Outbound);
    assert_eq!(it.body, "Hey Dana - you said you need minutes soon.");
    assert_eq!(it.from.address.as_deref(), Some("owen@get-northbeam.example"));
    assert_eq!(it.keys.first().unwrap().key, "0199b1a2-7f00-7c11-9d22-3e44ff55aa66");
    assert_eq!(it.keys.first().unwrap().kind, KeyKind::Sent);
    assert_eq!(event(&Instantly, &body).profile.phone.as_deref(), Some("+13125550142"));
    let bare = with(&body, "email_id", json!("absent"));
    assert!(message(&bare).keys.first().unwrap().key.starts_with("content:"));
    assert_ne!(message(&bare).keys, message(&with(&bare, "step", json!(2))).keys);
    let html = with(&body, "email_text", json!("absent"));
    assert!(message(&html).body.contains("Best,\nOwen Hartley"));
}

#[test]
fn state_events_say_what_they_change() {
    let base = payload!("lead_interested-1");
    for (name, expected) in [
        ("lead_interested", Sentiment::Interested),
        ("lead_not_interested", Sentiment::NotInterested),
        ("lead_out_of_office", Sentiment::OutOfOffice),
        ("lead_meeting_booked", Sentiment::MeetingBooked),
        ("lead_wrong_person", Sentiment::NotInterested),
    ] {
        let it = event(&Instantly, &with(&base, "event_type", json!(name)));
        assert_eq!(it.signal, Signal::Hint { sentiment: expected, word: "interested" }, "{name}");
        assert!(!it.signal.creates_lead());
    }
    let bounce = event(&Instantly, &payload!("email_bounced-1")).signal;
    assert_eq!(
        bounce,
        Signal::Bounce {
            address: "p.raman@closed-mill.example".to_owned(),
            reason: None,
            found_in_text: false,
        }
    );
    for name in ["lead_unsubscribed", "unsubscribed"] {
        let it = event(&Instantly, &with(&base, "event_type", json!(name)));
        assert_eq!(it.signal, Signal::OptOut { reason: name.to_owned() });
    }
}

#[test]
fn other_events_are_known_by_their_name() {
    let base = payload!("reply_received-5");
    for (name, expected) in [
        (json!("email_opened"), "ignored opened"),
        (json!("link_clicked"), "ignored clicked"),
        (json!("campaign_completed"), "ignored campaign"),
        (json!("supersearch_enrichment_completed"), "ignored campaign"),
        (json!("lead_neutral"), "ignored status"),
        (json!("lead_no_show"), "ignored status"),
        (json!("account_error"), "ignored account_notice"),
        (json!("Booked a demo 🎉"), "quarantined unknown_event"),
        (json!("Unsubscribed"), "quarantined unknown_event"),
        (json!("absent"), "quarantined unknown_event"),
        (json!(""), "quarantined unknown_event"),
        (json!(7), "quarantined unknown_event"),
    ] {
        assert_eq!(
            outcome(&Instantly, &with(&base, "event_type", name.clone())),
            expected,
            "{name}"
        );
    }
    let label = with(&base, "event_type", json!("Hot"));
    assert_eq!(outcome(&Instantly, &with(&label, "email_id", json!(null))), "ignored custom_label");
    assert_eq!(
        outcome(&Instantly, &with(&label, "reply_text", json!(" "))),
        "ignored custom_label"
    );
    let error = json!({"event_type": "account_error"});
    assert!(matches!(
        read_at(&Instantly, &error, NOW),
        Ok(Interpreted::Ignored { warn: true, .. })
    ));
    let wrapped = json!({"data": {"event_type": "reply_received"}});
    assert_eq!(outcome(&Instantly, &wrapped), "quarantined unknown_shape");
}

#[test]
fn p20_old_names_are_understood() {
    let body = json!({
        "type": "reply_received", "timestamp": 1_768_746_187, "contact_email": "H.Lindqvist@ledgerfox.test",
        "contact_name": "Hanna Lindqvist", "email_id": "01J-uuid-55", "email_account": "joel@outfield.test",
        "reply_text": "Please take me off your list.",
    });
    let it = event(&Instantly, &body);
    assert_eq!(it.identities.first().unwrap().value, "h.lindqvist@ledgerfox.test");
    assert_eq!(it.profile.last_name.as_deref(), Some("Lindqvist"));
    assert_eq!(it.at.to_string(), "2026-01-18T14:23:07.000Z");
    assert_eq!(message(&body).opt_out.as_deref(), Some("take me off"));
}

#[test]
fn p14_quoted_words_and_empty_replies_say_nothing() {
    let base = payload!("reply_received-5");
    let quoted = message(&with(&base, "reply_text", json!("> Reply STOP\n> unsubscribe")));
    assert!(!quoted.has_new_text && quoted.opt_out.is_none() && quoted.body.contains("STOP"));
    let empty = with(&with(&base, "reply_text", json!("\n")), "reply_text_snippet", json!("\n\n"));
    let empty = message(&empty);
    assert!(empty.body.is_empty() && empty.has_new_text);
    let by_subject = message(&with(&base, "reply_subject", json!("Unsubscribe")));
    assert_eq!(by_subject.opt_out.as_deref(), Some("unsubscribe"));
}

#[test]
fn p5_an_address_is_required_and_may_stand_in_either_field() {
    let base = payload!("reply_received-5");
    let no_text = with(&base, "lead_email", json!("N/A"));
    assert_eq!(event(&Instantly, &no_text).identities.first().unwrap().value, DANA);
    for (value, expected) in [
        (json!("Dana"), "quarantined missing_field lead_email"),
        (json!(["a@b.example"]), "quarantined bad_field lead_email"),
        (json!({}), "quarantined missing_field lead_email"),
    ] {
        let body = with(&with(&base, "email", json!("absent")), "lead_email", value);
        assert_eq!(outcome(&Instantly, &body), expected);
    }
}

#[test]
fn p13_neither_robots_nor_our_mailbox_become_leads() {
    let base = payload!("reply_received-5");
    let ours = with(&base, "lead_email", json!("O.Hartley@get-northbeam.example"));
    assert_eq!(outcome(&Instantly, &ours), "ignored unknown_lead");
    let report = with(&base, "reply_subject", json!("Delivery Status Notification (Failure)"));
    for (address, expected) in [
        ("mailer-daemon@mx.example", "ignored unknown_lead"),
        ("postmaster+3@mx.example", "ignored unknown_lead"),
        ("bounce.back.fitness@gym.example", "accepted"),
        ("dana@postmastergallery.example", "accepted"),
    ] {
        let reported = with(&report, "lead_email", json!(address));
        assert_eq!(outcome(&Instantly, &reported), expected, "{address}");
        let answered = with(&base, "lead_email", json!(address));
        assert_eq!(outcome(&Instantly, &answered), "accepted", "{address}: a lead who answers");
    }
}
