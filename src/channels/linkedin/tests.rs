use super::Linkedin;
use crate::{
    channels::{
        AnyChannel as _, json,
        tests::{NOW, event, outcome, read_at, with},
    },
    domain::{
        Identity, Interpreted, NewMessage, Signal,
        event::{Direction, KeyKind},
    },
};
use serde_json::{Value, json};

macro_rules! payload {
    ($name:literal) => {
        json::parse(include_bytes!(concat!("../../../tests/payloads/unipile/", $name, ".json")))
            .unwrap()
    };
}

const ACCOUNT: &str = "bX3kPq9TSuW1mZr7LdYe0A";
const CHAT: &str = "K2mP7sXyQ0-ZtV4cBn8wRg";
const DANA: &str = "ACoAABpro0001QfLmZr_7tY2WK9hD4vXnB6sCeU";
const OWEN: &str = "ACoAABown0001KcQvXw_2pZ3YH5lJ8uTnR0sEoA";
const PAGE: &str = "https://linkedin.com/in/dana-whitfield-example";

fn message(body: &Value) -> NewMessage {
    crate::channels::tests::message(&Linkedin, body)
}

fn member(id: &str) -> Identity {
    Identity::new(super::MEMBER, id)
}

fn page(url: &str) -> Identity {
    Identity::new(super::PROFILE_URL, url)
}

#[test]
fn every_payload_has_its_outcome() {
    for (body, expected) in [
        (payload!("message_received-1"), "accepted"),
        (payload!("message_received-2"), "recorded outbound"),
        (payload!("message_received-4"), "accepted"),
        (payload!("message_received-5"), "accepted"),
        (payload!("message_reaction-1"), "ignored reaction"),
        (payload!("message_read-1"), "ignored read"),
        (payload!("new_relation-1"), "recorded connected"),
        (payload!("account_status-1"), "ignored account_notice"),
    ] {
        assert_eq!(outcome(&Linkedin, &body), expected, "{body}");
        assert_eq!(Linkedin.account(&body).as_deref(), Some(ACCOUNT));
    }
    let raw = include_bytes!("../../../tests/payloads/unipile/malformed-1.raw");
    assert!(json::parse(raw).is_err());
    assert_eq!(Linkedin.secret_header(), Some("Unipile-Auth"));
}

#[test]
fn a_message_is_its_senders() {
    let body = payload!("message_received-1");
    let it = event(&Linkedin, &body);
    assert_eq!(it.identities, [member(DANA)], "the profile's address holds the id once more");
    assert_eq!(it.at.to_string(), "2026-07-06T09:43:27.002Z");
    assert_eq!(it.profile.first_name.as_deref(), Some("Dana"));
    assert_eq!(it.profile.last_name.as_deref(), Some("Whitfield"));
    assert_eq!((it.campaign, it.lead_of_chat), (None, None));
    let message = message(&body);
    assert_eq!(message.body, "hi, thanks for connecting");
    assert_eq!(message.direction, Direction::Inbound);
    assert_eq!(message.from.address.as_deref(), Some(DANA));
    assert_eq!(message.from.name.as_deref(), Some("Dana Whitfield"));
    assert_eq!(message.to.first().unwrap().address.as_deref(), Some(OWEN));
    assert_eq!(message.reply_handle, Some(json!({"chat_id": CHAT, "account_id": ACCOUNT})));
    assert_eq!(message.provider_id.as_deref(), Some("mB2v9QkzUxKf0TnW5rLxPg"));
    assert_eq!(message.keys.len(), 1, "provider_message_id is shared by copies");
    let key = message.keys.first().unwrap();
    assert_eq!((key.key.as_str(), key.kind), ("mB2v9QkzUxKf0TnW5rLxPg", KeyKind::Reply));
    assert_eq!(message.raw_text.as_deref(), Some("hi, thanks for connecting"));
}

#[test]
fn files_are_messages_too() {
    let documented = message(&payload!("message_received-4"));
    assert_eq!(documented.attachments.len(), 1);
    let file = documented.attachments.first().unwrap();
    assert_eq!(file.r#type.as_deref(), Some("image/png"));
    assert_eq!(documented.body, "Hello World !");
    let voice = message(&payload!("message_received-5"));
    assert_eq!(voice.body, "");
    assert!(voice.has_new_text && voice.attachments.len() == 1);
    for value in [json!([]), json!(null), json!({}), json!("N/A"), json!([null, {}])] {
        let body = with(&payload!("message_received-5"), "attachments", value);
        assert_eq!(outcome(&Linkedin, &body), "ignored empty_message");
        let ours = with(&body, "is_sender", json!(1));
        assert_eq!(outcome(&Linkedin, &ours), "recorded outbound", "stored even if empty");
    }
}

#[test]
fn members_are_known_by_id_and_address() {
    let base = payload!("message_received-1");
    let body = with(&base, "sender.attendee_public_identifier", json!("Dana-Whitfield-Example"));
    assert_eq!(event(&Linkedin, &body).identities, [member(DANA), page(PAGE)]);
    let url = json!("https://www.linkedin.com/in/dana-whitfield-example/?miniProfileUrn=x");
    let body = with(&body, "sender.attendee_profile_url", url);
    assert_eq!(event(&Linkedin, &body).identities, [member(DANA), page(PAGE)]);
    assert_eq!(
        event(&Linkedin, &payload!("message_received-4")).identities,
        [member(DANA), page(PAGE)]
    );
    let company = json!("https://www.linkedin.com/company/larkspur");
    let body = with(&base, "sender.attendee_profile_url", company);
    assert_eq!(event(&Linkedin, &body).identities, [member(DANA)]);
    let lower = with(&base, "sender.attendee_provider_id", json!(DANA.to_lowercase()));
    let lower = with(&lower, "sender.attendee_profile_url", json!(null));
    assert_eq!(event(&Linkedin, &lower).identities, [member(&DANA.to_lowercase())], "case counts");
}

#[test]
fn whose_a_message_is() {
    let base = payload!("message_received-1");
    let own = payload!("message_received-2");
    for (body, path, value, expected) in [
        (&base, "is_sender", json!(true), "recorded outbound"),
        (&base, "is_sender", json!(1), "recorded outbound"),
        (&base, "is_sender", json!("true"), "recorded outbound"),
        (&base, "is_sender", json!("0"), "accepted"),
        (&base, "is_sender", json!(null), "accepted"),
        (&base, "account_info.user_id", json!(DANA.to_lowercase()), "accepted"),
        // The account says more than the flag.
        (&own, "is_sender", json!(false), "recorded outbound"),
        (&own, "is_sender", json!("absent"), "recorded outbound"),
        (&own, "account_info", json!(null), "recorded outbound"),
    ] {
        assert_eq!(
            outcome(&Linkedin, &with(body, path, value.clone())),
            expected,
            "{path} {value}"
        );
    }
    let unknown = with(&with(&own, "account_info", json!({})), "is_sender", json!("absent"));
    assert_eq!(outcome(&Linkedin, &unknown), "accepted", "neither known: theirs");
}

#[test]
fn what_we_wrote_is_of_the_one_attendee_that_is_not_us() {
    let base = payload!("message_received-2");
    let it = event(&Linkedin, &base);
    assert_eq!(it.identities, [member(DANA)]);
    assert_eq!(it.profile.first_name.as_deref(), Some("Dana"));
    let sent = message(&base);
    assert_eq!(sent.direction, Direction::Outbound);
    assert_eq!(sent.from.address.as_deref(), Some(OWEN));
    assert_eq!(sent.to.first().unwrap().address.as_deref(), Some(DANA));
    assert_eq!(sent.keys.first().unwrap().kind, KeyKind::Sent);
    let us = json!({"attendee_provider_id": OWEN, "attendee_name": "Owen Hartley"});
    let dana = json!({"attendee_provider_id": DANA});
    let ines = json!({"attendee_provider_id": "ACoAABine0001", "attendee_name": "Ines"});
    let listed = with(&base, "attendees", json!([us, dana, dana]));
    assert_eq!(event(&Linkedin, &listed).identities, [member(DANA)]);
    for (attendees, is_group) in [
        (json!([us, dana, ines]), json!(false)),
        (json!([dana]), json!(1)),
        (json!([us]), json!(false)),
        (json!([]), json!(null)),
        (json!(null), json!("true")),
        (json!([{}, null, 7]), json!(0)),
    ] {
        let body = with(&with(&base, "attendees", attendees), "is_group", is_group);
        let it = event(&Linkedin, &body);
        assert!(it.identities.is_empty(), "{it:?}");
        assert_eq!(it.lead_of_chat.as_deref(), Some(CHAT));
        assert_eq!((it.creates_lead(), it.not_found()), (false, "group_chat"));
        assert_eq!(outcome(&Linkedin, &body), "recorded outbound");
        let nowhere = with(&body, "chat_id", json!(""));
        assert_eq!(outcome(&Linkedin, &nowhere), "ignored group_chat");
    }
}

#[test]
fn in_a_group_a_message_of_theirs_is_the_senders() {
    let base = with(&payload!("message_received-1"), "is_group", json!(true));
    let more = json!([{"attendee_provider_id": OWEN}, {"attendee_provider_id": "ACoAABine0001"}]);
    let it = event(&Linkedin, &with(&base, "attendees", more));
    assert_eq!((it.identities, it.lead_of_chat), (vec![member(DANA)], None));
}

/// An answer in a group reaches all of its members.
#[test]
fn the_reply_handle_says_whether_the_chat_is_a_group() {
    let base = payload!("message_received-1");
    let member = |id: &str| json!({"attendee_provider_id": id});
    let (us, dana, ines) = (member(OWEN), member(DANA), member("ACoAABine0001"));
    for (attendees, flag, is_group) in [
        (json!([us, dana]), json!(null), false),
        (json!([dana]), json!(false), false),
        (json!(null), json!(0), false),
        (json!(null), json!(1), true),
        (json!([us, dana, ines]), json!(null), true),
        (json!([ines]), json!(false), true),
    ] {
        let body = with(&with(&base, "attendees", attendees), "is_group", flag);
        let handle = message(&body).reply_handle.unwrap();
        assert_eq!(handle.get("is_group") == Some(&json!(true)), is_group, "{body}");
    }
}

#[test]
fn messages_are_judged_by_their_fields() {
    let base = payload!("message_received-1");
    for (path, value, expected) in [
        ("account_type", json!("WHATSAPP"), "ignored other_channel"),
        ("account_type", json!("linkedin"), "accepted"),
        ("account_type", json!(null), "accepted"),
        ("is_event", json!(1), "ignored system_event"),
        ("is_event", json!(true), "ignored system_event"),
        ("is_event", json!("1"), "ignored system_event"),
        ("is_event", json!("0"), "accepted"),
        ("message_id", json!(77), "accepted"),
        ("message_id", json!("N/A"), "accepted"),
        ("message", json!(" \n"), "ignored empty_message"),
        ("message", json!({}), "ignored empty_message"),
        ("sender", json!(null), "quarantined missing_field sender.attendee_provider_id"),
        (
            "sender.attendee_provider_id",
            json!(""),
            "quarantined missing_field sender.attendee_provider_id",
        ),
        (
            "sender.attendee_provider_id",
            json!([1]),
            "quarantined bad_field sender.attendee_provider_id",
        ),
        ("sender.attendee_name", json!(null), "accepted"),
        ("chat_id", json!(null), "accepted"),
        ("timestamp", json!("soon"), "accepted"),
        ("folder", json!("INBOX"), "accepted"),
    ] {
        assert_eq!(
            outcome(&Linkedin, &with(&base, path, value.clone())),
            expected,
            "{path} {value}"
        );
    }
    let inner =
        with(&with(&base, "account_type", json!("")), "account_info.type", json!("WHATSAPP"));
    assert_eq!(outcome(&Linkedin, &inner), "ignored other_channel");
    let of_provider = with(&base, "message_id", json!(null));
    assert_eq!(message(&of_provider).keys.first().unwrap().key, "2-MTc4MzMzMDYwNzAwMmI4MzEw");
    let no_id = with(&of_provider, "provider_message_id", json!(""));
    assert_eq!(outcome(&Linkedin, &no_id), "quarantined missing_field message_id");
    let no_chat = message(&with(&base, "chat_id", json!(null)));
    assert_eq!(no_chat.reply_handle, None);
    let mail = with(&base, "subject", json!("An idea"));
    assert_eq!(message(&mail).subject.as_deref(), Some("An idea"));
    let out = message(&with(&base, "message", json!("Please remove me from your list")));
    assert_eq!(out.opt_out.as_deref(), Some("remove me"));
    let ours = with(&base, "is_sender", json!(true));
    let ours = message(&with(&ours, "message", json!("Tell me to stop and I unsubscribe you")));
    assert_eq!(ours.opt_out, None);
}

#[test]
fn messages_change_later() {
    let base = payload!("message_received-1");
    let named = |name: &str| with(&base, "event", json!(name));
    let edited =
        event(&Linkedin, &with(&named("message_edited"), "message", json!(" Stop messaging me ")));
    let Signal::Edited { keys, body, opt_out } = &edited.signal else { panic!("{edited:?}") };
    assert_eq!((body.as_str(), opt_out.as_deref()), ("Stop messaging me", Some("Stop messaging")));
    let kinds: Vec<KeyKind> = keys.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [KeyKind::Reply, KeyKind::Sent], "whoever wrote it");
    assert!(keys.iter().all(|it| it.key == "mB2v9QkzUxKf0TnW5rLxPg"));
    assert!(edited.identities.is_empty());
    assert_eq!((edited.creates_lead(), edited.not_found()), (false, "unknown_message"));
    let ours =
        with(&with(&named("message_edited"), "is_sender", json!(true)), "message", json!("stop"));
    assert!(matches!(event(&Linkedin, &ours).signal, Signal::Edited { opt_out: None, .. }));
    assert!(matches!(event(&Linkedin, &named("message_deleted")).signal, Signal::Deleted { .. }));
    let Signal::Failed { keys } = event(&Linkedin, &named("message_failed")).signal else {
        panic!()
    };
    assert_eq!(keys.iter().map(|it| it.kind).collect::<Vec<_>>(), [KeyKind::Sent]);
    for (name, expected) in [
        ("message_edited", "recorded edited"),
        ("message_deleted", "recorded deleted"),
        ("message_failed", "recorded failed"),
    ] {
        let body = named(name);
        assert_eq!(outcome(&Linkedin, &body), expected);
        assert_eq!(
            outcome(&Linkedin, &with(&body, "message_id", json!(null))),
            "quarantined missing_field message_id"
        );
        assert_eq!(
            outcome(&Linkedin, &with(&body, "account_type", json!("INSTAGRAM"))),
            "ignored other_channel"
        );
    }
    let emptied = with(&named("message_edited"), "message", json!(null));
    assert_eq!(outcome(&Linkedin, &emptied), "ignored empty_message");
}

#[test]
fn a_new_relation_connects() {
    let body = payload!("new_relation-1");
    let it = event(&Linkedin, &body);
    assert_eq!(it.identities, [member(DANA), page(PAGE)]);
    assert_eq!((it.signal.clone(), it.at), (Signal::Connected, NOW));
    assert_eq!((it.creates_lead(), it.not_found()), (false, "unknown_lead"));
    assert_eq!(it.profile.first_name.as_deref(), Some("Dana"));
    for (value, expected) in [
        (json!(null), "quarantined missing_field user_provider_id"),
        (json!({"x": 1}), "quarantined bad_field user_provider_id"),
    ] {
        let nobody = with(&body, "user_provider_id", value);
        assert_eq!(outcome(&Linkedin, &nobody), expected);
    }
}

#[test]
fn account_notices_touch_no_lead() {
    for (message, expected) in [
        ("OK", false),
        ("CREATION_SUCCESS", false),
        ("CONNECTING", false),
        ("CREDENTIALS", true),
        ("error", true),
        ("STOPPED", true),
        ("DELETED", true),
    ] {
        for body in [
            json!({"AccountStatus": {"account_id": ACCOUNT, "message": message}}),
            json!({"status": message, "account_id": ACCOUNT, "name": "tenant-42"}),
        ] {
            let read = read_at(&Linkedin, &body, NOW);
            let Ok(Interpreted::Ignored { reason: "account_notice", warn, .. }) = read else {
                panic!("{read:?}")
            };
            assert_eq!(warn, expected, "{body}");
            assert_eq!(Linkedin.account(&body).as_deref(), Some(ACCOUNT));
        }
    }
}

#[test]
fn other_events_are_known_by_their_name() {
    let base = payload!("message_received-1");
    for (name, expected) in [
        (json!("message_delivered"), "ignored delivered"),
        (json!("message.sent"), "ignored sent"),
        (json!("connection.received"), "ignored invitation"),
        (json!("profile.viewed"), "ignored profile_view"),
        (json!("message_sent_by_pigeon"), "quarantined unknown_event"),
        (json!("MESSAGE_RECEIVED"), "quarantined unknown_event"),
        (json!({"type": "message.new"}), "quarantined unknown_event"),
        (json!(7), "quarantined unknown_event"),
        (json!(null), "quarantined unknown_event"),
        (json!("absent"), "quarantined unknown_event"),
    ] {
        assert_eq!(outcome(&Linkedin, &with(&base, "event", name.clone())), expected, "{name}");
    }
    assert_eq!(outcome(&Linkedin, &json!({"data": base})), "quarantined unknown_shape");
}

#[test]
fn p5_a_sender_that_says_nothing_is_as_good_as_none() {
    let old = json!({
        "event": "message.received", "sender": null, "account_id": "acc_LI_77",
        "message": {"id": "m1", "chat_id": "c1", "text": "Hello", "sender_id": "ACoAA7"},
    });
    for sender in [json!(null), json!(""), json!({}), json!("N/A"), json!("absent")] {
        let it = event(&Linkedin, &with(&old, "sender", sender));
        assert_eq!(it.identities, [Identity::new(super::MEMBER, "ACoAA7")]);
    }
}

#[test]
fn p20_old_names_are_understood() {
    let body = json!({
        "event": "message.received", "account_id": "acc_LI_77",
        "message": {"id": "msg_5f0e21", "chat_id": "chat_901", "text": "Happy to chat.",
            "sender_id": "ACoAAB9xyz", "sender_name": "Priya Nandakumar",
            "sender_linkedin_url": "https://www.linkedin.com/in/Priya-Nandakumar/?trk=x",
            "timestamp": "2026-01-18T15:20:31.000Z", "attachments": []},
    });
    let priya = [member("ACoAAB9xyz"), page("https://linkedin.com/in/priya-nandakumar")];
    let it = event(&Linkedin, &body);
    assert_eq!(it.identities, priya);
    assert_eq!(it.at.to_string(), "2026-01-18T15:20:31.000Z");
    let old = message(&body);
    assert_eq!((old.body.as_str(), old.direction), ("Happy to chat.", Direction::Inbound));
    assert_eq!(old.keys.first().unwrap().key, "msg_5f0e21");
    assert_eq!(old.reply_handle, Some(json!({"chat_id": "chat_901", "account_id": "acc_LI_77"})));
    assert_eq!(
        outcome(&Linkedin, &with(&body, "message", json!(null))),
        "quarantined missing_field message_id"
    );
    let body = json!({
        "event": "connection.accepted", "account_id": "acc_LI_77",
        "connection": {"id": "ACoAAB9xyz", "linkedin_url": "https://linkedin.com/in/priya-nandakumar",
            "linkedin_member_id": "ACoAAB9xyz", "name": "Priya Nandakumar",
            "first_name": "Priya", "last_name": "Nandakumar"},
    });
    let it = event(&Linkedin, &body);
    assert_eq!((it.identities, it.signal), (priya.to_vec(), Signal::Connected));
    assert_eq!(it.profile.last_name.as_deref(), Some("Nandakumar"));
    let nobody = with(&body, "connection", json!({}));
    assert_eq!(outcome(&Linkedin, &nobody), "quarantined missing_field user_provider_id");
}
