use super::Sms;
use crate::{
    channels::{
        AnyChannel as _, json,
        tests::{NOW, event, outcome, read_at, with},
    },
    domain::{
        Identity, IdentityKind, Interpreted, Signal, Timestamp,
        event::{Direction, KeyKind},
    },
};
use serde_json::{Value, json};

macro_rules! payload {
    ($name:literal) => {
        json::parse(include_bytes!(concat!("../../../tests/payloads/ghl/", $name, ".json")))
            .unwrap()
    };
}

const CONTACT: &str = "hTkRc2vzQm8bWs5yLd9P";
const LOCATION: &str = "lQ7m2XvB4tYh9RkZpWs1";

#[test]
fn every_payload_has_its_outcome() {
    for (body, expected) in [
        (payload!("workflow_sms-1"), "accepted"),
        (payload!("workflow_sms-2"), "accepted"),
        (payload!("workflow_sms-3"), "accepted"),
        (payload!("workflow_no_message-1"), "ignored no_message"),
        (payload!("workflow_empty-1"), "ignored empty_message"),
        (payload!("workflow_missing_contact-1"), "quarantined missing_field contact_id"),
        (payload!("inbound_message-1"), "accepted"),
        (payload!("inbound_message-2"), "accepted"),
        (payload!("outbound_message-1"), "recorded outbound"),
        (payload!("inbound_message_call-1"), "ignored call"),
        (payload!("contact_dnd_update-1"), "recorded do_not_disturb"),
    ] {
        assert_eq!(outcome(&Sms, &body), expected, "{body}");
        assert_eq!(Sms.account(&body).as_deref(), Some(LOCATION));
    }
}

#[test]
fn a_workflow_body_tells_lead_campaign_and_message() {
    let body = payload!("workflow_sms-1");
    let it = event(&Sms, &body);
    assert_eq!(it.event_type, "workflow");
    assert_eq!(
        it.identities,
        [
            Identity::new(super::GHL_CONTACT, CONTACT),
            Identity::new(IdentityKind::PHONE, "+13125550187"),
            Identity::new(IdentityKind::MAIL_ADDRESS, "rita.campos@example.com"),
        ]
    );
    assert_eq!(it.profile.first_name.as_deref(), Some("Rita"));
    assert_eq!(it.profile.last_name.as_deref(), Some("Campos"));
    let campaign = it.campaign.unwrap();
    assert_eq!(campaign.provider_id, "f77819e0-355b-48c7-a935-c31307bbd0aa");
    assert_eq!(campaign.name.as_deref(), Some("Customer Replied -> Inbox"));
    assert_eq!(it.at, NOW, "a date of months ago is not believed");
    let message = message(&body);
    assert_eq!(message.body, "Hey, yes I'm interested. What does it cost?");
    assert_eq!(message.from.address.as_deref(), Some("+13125550187"));
    assert_eq!(message.from.name.as_deref(), Some("Rita Campos"));
    assert_eq!(message.reply_handle, Some(json!({"contact_id": CONTACT, "location_id": LOCATION})));
    assert_eq!(message.opt_out, None);
    assert_eq!(message.keys.len(), 1);
    assert_eq!(message.keys.first().unwrap().kind, KeyKind::Reply);
    assert!(
        message.keys.first().unwrap().key.starts_with("content:")
            && message.keys.first().unwrap().key.len() == 40
    );
    assert!(!message.keys.first().unwrap().expires, "it holds the message's own date and time");
}

#[test]
fn a_lead_without_phone_is_known_by_the_contact() {
    let body = payload!("workflow_sms-2");
    assert_eq!(event(&Sms, &body).identities, [Identity::new(super::GHL_CONTACT, CONTACT)]);
    let message = message(&body);
    assert_eq!(message.from.address.as_deref(), Some(CONTACT));
    assert!(message.keys.first().unwrap().expires);
}

#[test]
fn custom_fields_and_the_bodys_country_stand_in() {
    let body = json!({
        "contact_id": 77, "location": {"id": LOCATION}, "country": "DE", "id": "nobody",
        "customData": {"Phone Number": "030 901820", "First Name": "Ana", "Email": "Ana@x.example",
            "Message": "N/A", "message": " Ja gern \u{0}", "body": "second"},
    });
    let it = event(&Sms, &body);
    assert_eq!(
        it.identities,
        [
            Identity::new(super::GHL_CONTACT, "77"),
            Identity::new(IdentityKind::PHONE, "+4930901820"),
            Identity::new(IdentityKind::MAIL_ADDRESS, "ana@x.example"),
        ]
    );
    assert_eq!(it.profile.first_name.as_deref(), Some("Ana"));
    assert_eq!(message(&body).body, "Ja gern");
    assert_eq!(it.campaign, None);
}

#[test]
fn p13_the_address_of_a_robot_is_no_contacts() {
    let contact = [Identity::new(super::GHL_CONTACT, CONTACT)];
    let robot = json!("MAILER-DAEMON@mx.example");
    for path in ["email", "customData"] {
        let value = if path == "email" { robot.clone() } else { json!({"Email": robot}) };
        let it = event(&Sms, &with(&payload!("workflow_sms-2"), path, value));
        assert_eq!((it.identities.as_slice(), it.profile.email), (contact.as_slice(), None));
    }
    let it = event(&Sms, &with(&payload!("contact_dnd_update-1"), "email", robot));
    assert!(it.identities.iter().all(|it| it.kind != IdentityKind::MAIL_ADDRESS), "{it:?}");
}

#[test]
fn a_stop_is_stored_and_opts_out() {
    assert_eq!(message(&payload!("workflow_sms-3")).opt_out.as_deref(), Some("stop"));
}

#[test]
fn workflow_bodies_are_judged_by_their_fields() {
    let base = payload!("workflow_sms-2");
    for (path, value, expected) in [
        ("location", json!({}), "quarantined missing_field location.id"),
        ("location.id", json!(["x"]), "quarantined bad_field location.id"),
        ("contact_id", json!(""), "quarantined missing_field contact_id"),
        ("contact_id", json!({"a": 1}), "quarantined bad_field contact_id"),
        ("message.type", json!("SMS"), "accepted"),
        ("message.type", json!("2"), "accepted"),
        ("message.type", json!(null), "accepted"),
        ("message.type", json!(1), "ignored other_channel"),
        ("message.type", json!("Email"), "ignored other_channel"),
        ("message.direction", json!("OUTBOUND"), "recorded outbound"),
        ("message.direction", json!("absent"), "accepted"),
        ("message.body", json!(null), "ignored empty_message"),
        ("message.body", json!(5), "accepted"),
        ("message", json!({}), "ignored no_message"),
        ("message", json!("absent"), "ignored no_message"),
        ("message.attachments", json!(["https://x.example/a.jpg"]), "accepted"),
        ("type", json!("InboundMessage"), "accepted"),
        ("id", json!(7), "accepted"),
        ("workflow", json!("absent"), "accepted"),
        ("customData", json!(null), "accepted"),
    ] {
        assert_eq!(outcome(&Sms, &with(&base, path, value.clone())), expected, "{path} {value}");
    }
    let picture =
        with(&with(&base, "message.body", json!("")), "message.attachments", json!(["u"]));
    assert_eq!(outcome(&Sms, &picture), "accepted");
    let custom = with(&with(&base, "message", json!("absent")), "customData", json!({"body": " "}));
    assert_eq!(outcome(&Sms, &custom), "ignored empty_message");
    let ours = json!({"direction": "outbound", "body": "Hi"});
    let ours = with(&with(&base, "message", json!("absent")), "customData", ours);
    assert_eq!(outcome(&Sms, &ours), "recorded outbound");
    let message = message(&ours);
    assert_eq!((message.keys.first().unwrap().kind, message.opt_out), (KeyKind::Sent, None));
    assert_eq!(message.to.first().unwrap().address.as_deref(), Some(CONTACT));
}

#[test]
fn p10_the_content_key_is_of_contact_workflow_date_time_and_text() {
    let base = payload!("workflow_sms-1");
    let key = |body: &Value| message(body).keys.first().unwrap().clone();
    let same =
        with(&base, "message.body", json!("  HEY, yes I'm interested.\nWhat does it cost? "));
    assert_eq!(key(&same), key(&base));
    assert_eq!(key(&with(&base, "date_created", json!("2020-01-01"))), key(&base));
    for (path, value) in [
        ("contact_id", json!("other")),
        ("workflow.id", json!("other")),
        ("customData.Time", json!("10:22 AM")),
        ("message.body", json!("yes")),
    ] {
        assert_ne!(key(&with(&base, path, value)).key, key(&base).key, "{path}");
    }
    assert!(key(&with(&base, "customData.Time", json!("absent"))).expires);
}

#[test]
fn times_of_a_workflow_body_are_believed_near_receipt_only() {
    let base = payload!("workflow_sms-1");
    let at = |date: &str, time: &str| {
        let body = with(&base, "customData.Date", json!(date));
        event(&Sms, &with(&body, "customData.Time", json!(time))).at
    };
    assert_eq!(at("Aug 4th, 2026", "2:45 PM").to_string(), "2026-08-04T14:45:00.000Z");
    assert_eq!(at("Aug 4th, 2026", "3:20 PM").to_string(), "2026-08-04T15:20:00.000Z");
    assert_eq!(at("Aug 4th, 2026", "10:45 AM"), NOW);
    assert_eq!(at("soon", "10:45 AM"), NOW);
    let near = with(&payload!("workflow_sms-2"), "date_created", json!("2026-08-04T14:59:00Z"));
    assert_eq!(event(&Sms, &near).at, NOW, "date_created is the contact's");
}

#[test]
fn a_marketplace_body_is_known_by_its_ids() {
    let body = payload!("inbound_message-2");
    let it = event(&Sms, &body);
    assert_eq!(it.at.to_string(), "2026-07-14T09:12:44.102Z");
    assert_eq!(
        it.identities,
        [
            Identity::new(super::GHL_CONTACT, CONTACT),
            Identity::new(IdentityKind::PHONE, "+13125550187"),
        ]
    );
    let message = message(&body);
    let keys: Vec<&str> = message.keys.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(keys, ["tyW42xCD0HQpb3hhfLcx", "3f7c0d82-6e41-4b9a-8c15-d290f64ea1c0"]);
    assert!(message.keys.iter().all(|it| !it.expires && it.kind == KeyKind::Reply));
    assert_eq!(message.provider_id.as_deref(), Some("tyW42xCD0HQpb3hhfLcx"));
    assert_eq!(message.body, "Yes 👍 what’s the price?");
    assert_eq!(message.to.first().unwrap().address.as_deref(), Some("+13125550100"));
    assert_eq!(
        message.reply_handle,
        Some(json!({
            "contact_id": CONTACT, "location_id": LOCATION, "conversation_id": "fcanlLgpbQgQhderivVs",
        }))
    );
    let bare = super::tests::message(&payload!("inbound_message-1"));
    assert!(
        bare.keys.first().unwrap().key.starts_with("content:")
            && !bare.keys.first().unwrap().expires
    );
    let undated = with(&payload!("inbound_message-1"), "dateAdded", json!("absent"));
    assert!(super::tests::message(&undated).keys.first().unwrap().expires);
}

fn message(body: &Value) -> crate::domain::NewMessage {
    crate::channels::tests::message(&Sms, body)
}

#[test]
fn what_we_sent_is_outbound_to_the_lead() {
    let body = with(&payload!("outbound_message-1"), "direction", json!("inbound"));
    let it = event(&Sms, &body);
    assert_eq!(*it.identities.get(1).unwrap(), Identity::new(IdentityKind::PHONE, "+13125550187"));
    let message = message(&body);
    assert_eq!(message.direction, Direction::Outbound);
    assert!(message.keys.iter().all(|it| it.kind == KeyKind::Sent));
    assert_eq!(message.to.first().unwrap().address.as_deref(), Some("+13125550187"));
    assert_eq!(outcome(&Sms, &with(&body, "body", json!(null))), "recorded outbound");
}

#[test]
fn marketplace_bodies_are_judged_by_their_type() {
    let base = payload!("inbound_message-2");
    for (path, value, expected) in [
        ("messageType", json!("CALL"), "ignored call"),
        ("messageType", json!("Email"), "ignored other_channel"),
        ("messageType", json!("WhatsApp"), "ignored other_channel"),
        ("messageType", json!("Live_Chat"), "ignored other_channel"),
        ("messageType", json!("RCS"), "accepted"),
        ("messageType", json!("Custom"), "accepted"),
        ("messageType", json!("absent"), "accepted"),
        ("from", json!({}), "accepted"),
        ("from", json!("Rita <rita@x.example>"), "accepted"),
        ("locationId", json!("absent"), "quarantined missing_field locationId"),
        ("contactId", json!("N/A"), "quarantined missing_field contactId"),
        ("contactId", json!(true), "quarantined bad_field contactId"),
        ("body", json!(" "), "ignored empty_message"),
        ("type", json!("INSTALL"), "ignored account_notice"),
        ("type", json!("ContactCreate"), "quarantined unknown_event"),
        ("type", json!(""), "quarantined unknown_shape"),
        ("type", json!(7), "quarantined unknown_shape"),
        ("type", json!("absent"), "quarantined unknown_shape"),
    ] {
        assert_eq!(outcome(&Sms, &with(&base, path, value.clone())), expected, "{path} {value}");
    }
    let other = json!({"type": "OpportunityCreate", "locationId": LOCATION, "body": "N/A"});
    assert_eq!(outcome(&Sms, &other), "ignored not_a_message");
    let wrapped = json!({"data": {"type": "InboundMessage"}});
    assert_eq!(outcome(&Sms, &wrapped), "quarantined unknown_shape");
    let picture =
        with(&with(&base, "body", json!("")), "attachments", json!(["https://x.example"]));
    assert_eq!(message(&picture).body, "");
    let away = json!({"type": "UNINSTALL", "appId": "x"});
    assert!(matches!(read_at(&Sms, &away, NOW), Ok(Interpreted::Ignored { warn: true, .. })));
}

#[test]
fn one_text_over_both_paths_is_found_by_the_other_alone() {
    let workflow =
        message(&with(&payload!("workflow_sms-1"), "message.body", json!("Yes  PLEASE ")));
    let marketplace = message(&with(&payload!("inbound_message-2"), "body", json!("yes please")));
    assert_eq!(workflow.also_known_as, marketplace.stored_only);
    assert_eq!(workflow.stored_only, marketplace.also_known_as);
    assert_ne!(workflow.stored_only, workflow.also_known_as);
    for key in workflow.stored_only.iter().chain(&marketplace.stored_only) {
        assert!(key.expires && key.key.starts_with("x:") && key.kind == KeyKind::Reply);
    }
    let again = with(&payload!("inbound_message-2"), "messageId", json!("another"));
    let again = message(&with(&with(&again, "webhookId", json!("w")), "body", json!("yes please")));
    assert!(again.keys.iter().all(|key| !marketplace.keys.contains(key)));
    assert!(again.also_known_as.iter().all(|key| !marketplace.stored_only.contains(key)));
    let ours = message(&with(&payload!("outbound_message-1"), "body", json!("yes please")));
    assert_ne!(ours.stored_only, marketplace.stored_only);
}

#[test]
fn do_not_disturb_is_of_text_messages() {
    let base = payload!("contact_dnd_update-1");
    let active = |body: &Value| event(&Sms, body).signal == Signal::DoNotDisturb { active: true };
    for (path, value, expected) in [
        ("dndSettings.SMS.status", json!("active"), true),
        ("dndSettings.SMS.status", json!("permanent"), true),
        ("dndSettings.SMS.status", json!("inactive"), false),
        ("dndSettings", json!("absent"), true),
        ("dndSettings", json!({}), true),
        ("dnd", json!(false), true),
    ] {
        assert_eq!(active(&with(&base, path, value.clone())), expected, "{path} {value}");
    }
    let off = with(&with(&base, "dndSettings", json!("absent")), "dnd", json!("false"));
    assert!(!active(&off));
    let it = event(&Sms, &base);
    assert_eq!(it.at, NOW, "dateAdded is the contact's");
    assert_eq!(it.identities.len(), 3);
    let missing = with(&base, "id", json!(null));
    assert_eq!(outcome(&Sms, &missing), "quarantined missing_field id");
}

#[test]
fn p18_a_time_in_the_future_is_receipt() {
    let body = with(&payload!("inbound_message-2"), "dateAdded", json!("2030-01-01T00:00:00Z"));
    let received_at = Timestamp::from_millis(1_784_000_000_000);
    match read_at(&Sms, &body, received_at) {
        Ok(Interpreted::Event(it)) => assert_eq!(it.at, received_at),
        other => panic!("{other:?}"),
    }
}
