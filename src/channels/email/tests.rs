use super::Email;
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
        json::parse(include_bytes!(concat!("../../../tests/payloads/emailbison/", $name, ".json")))
            .unwrap()
    };
}

const DANA: &str = "dana.whitfield@larkspur-freight.example";
const OWEN: &str = "owen@try-northbeam.example";

fn message(body: &Value) -> NewMessage {
    crate::channels::tests::message(&Email, body)
}

fn dana() -> [Identity; 2] {
    [
        Identity::new(super::EMAILBISON_LEAD, "48213"),
        Identity::new(IdentityKind::MAIL_ADDRESS, DANA),
    ]
}

fn mail(address: &str) -> Identity {
    Identity::new(IdentityKind::MAIL_ADDRESS, address)
}

#[test]
fn a_report_with_an_empty_list_for_a_lead_names_none() {
    let base = payload!("untracked_reply_received-1");
    let report = with(&base, "data.reply.folder", json!("Bounced"));
    let text = "550 5.1.1 <dana@larkspur.example> user unknown";
    let report = with(&report, "data.reply.text_body", json!(text));
    for lead in [json!([]), json!(null), json!({}), json!("none"), json!(7)] {
        assert_eq!(outcome(&Email, &with(&report, "data.lead", lead)), "recorded bounce");
    }
    let named = with(&report, "data.lead", json!({"id": 7}));
    assert_eq!(outcome(&Email, &named), "quarantined missing_field data.lead.email");
}

#[test]
fn every_payload_has_its_outcome() {
    for (body, expected) in [
        (payload!("email_sent-1"), "recorded outbound"),
        (payload!("lead_replied-1"), "accepted"),
        (payload!("lead_replied-2"), "accepted"),
        (payload!("lead_replied-6"), "accepted"),
        (payload!("lead_replied-8"), "quarantined missing_field data.reply.id"),
        (payload!("untracked_reply_received-1"), "accepted"),
        (payload!("email_opened-1"), "ignored opened"),
        (payload!("lead_unsubscribed-1"), "recorded unsubscribe"),
        (payload!("email_bounced-1"), "recorded bounce"),
        (payload!("tag_attached-1"), "ignored tag"),
        (payload!("lead_interested-1"), "accepted"),
    ] {
        assert_eq!(outcome(&Email, &body), expected, "{body}");
        assert_eq!(Email.account(&body).as_deref(), Some("12"));
    }
    let raw = include_bytes!("../../../tests/payloads/emailbison/malformed-1.raw");
    assert!(json::parse(raw).is_err());
    assert_eq!(Email.secret_header(), None);
    assert_eq!(Email.secret_field(), None);
}

#[test]
fn a_reply_is_its_new_text() {
    let body = payload!("lead_replied-1");
    let it = event(&Email, &body);
    assert_eq!(it.event_type, "LEAD_REPLIED");
    assert_eq!(it.identities, dana());
    assert_eq!(it.at.to_string(), "2024-12-01T03:43:15.000Z");
    assert_eq!(it.profile.first_name.as_deref(), Some("Dana"));
    assert_eq!(it.profile.last_name.as_deref(), Some("Whitfield"));
    assert_eq!(it.profile.company_name.as_deref(), Some("Larkspur Freight"));
    assert_eq!(it.profile.title.as_deref(), Some("VP Operations"));
    assert_eq!(it.profile.email.as_deref(), Some(DANA));
    assert_eq!(it.profile.phone.as_deref(), Some("13125550142"));
    let campaign = it.campaign.unwrap();
    assert_eq!(
        (campaign.provider_id.as_str(), campaign.name.as_deref()),
        ("2", Some("Freight ops - Q3"))
    );
    let message = message(&body);
    assert_eq!(message.body, "Sure, send me a couple of times next week.");
    assert_eq!(message.subject.as_deref(), Some("Re: freight invoices at Larkspur"));
    assert_eq!(message.direction, Direction::Inbound);
    assert_eq!(message.from.address.as_deref(), Some(DANA));
    assert_eq!(message.from.name.as_deref(), Some("Dana Whitfield"));
    let to = message.to.first().unwrap();
    assert_eq!((to.address.as_deref(), to.name.as_deref()), (Some(OWEN), Some("Owen Hartley")));
    assert_eq!(message.provider_id.as_deref(), Some("238811"));
    assert_eq!(message.reply_handle, Some(json!({"reply_id": "238811", "sender_email_id": "317"})));
    assert!(message.raw_text.unwrap().contains("> Hi Dana"));
    assert!(message.raw_html.unwrap().contains("blockquote"));
    let key = message.keys.first().unwrap();
    assert_eq!((key.key.as_str(), key.kind, key.expires), ("238811", KeyKind::Reply, false));
    assert_eq!(message.keys.len(), 1, "neither uuid nor raw_message_id is a key");
    assert!(!message.automated && message.hint.is_none() && message.opt_out.is_none());
}

#[test]
fn odd_replies_are_replies() {
    let automatic = message(&payload!("lead_replied-2"));
    assert!(automatic.automated && automatic.has_new_text);
    let blank = message(&payload!("lead_replied-6"));
    assert!(blank.body.is_empty() && blank.has_new_text && blank.subject.is_none());
    assert_eq!(blank.from.name.as_deref(), Some("Dana Whitfield"), "the lead itself wrote");
    assert_eq!(blank.to.first().unwrap().address.as_deref(), Some(OWEN));
    let bare = payload!("lead_interested-1");
    assert_eq!(message(&bare).hint, Some(Sentiment::Interested));
    assert_eq!(message(&bare).body, "");
    assert_eq!(event(&Email, &bare).profile.phone.as_deref(), Some("3125550142"));
    let replied = with(&bare, "event.type", json!("LEAD_REPLIED"));
    assert_eq!(message(&replied).keys, message(&bare).keys, "rule P11: one reply, one key");
    assert_eq!(message(&replied).hint, None);
}

#[test]
fn an_untracked_reply_is_of_its_writer_alone() {
    let body = payload!("untracked_reply_received-1");
    let it = event(&Email, &body);
    assert_eq!(it.identities, [mail("ines.aldana@larkspur-freight.example")]);
    assert_eq!(it.campaign, None);
    assert_eq!(it.profile.first_name.as_deref(), Some("Ines"));
    assert_eq!(it.profile.last_name.as_deref(), Some("Aldana"));
    assert_eq!(it.profile.email.as_deref(), Some("ines.aldana@larkspur-freight.example"));
    let lead = payload!("lead_replied-1").pointer("/data/lead").unwrap().clone();
    let named = event(&Email, &with(&body, "data.lead", lead));
    assert_eq!(named.identities, [mail("ines.aldana@larkspur-freight.example")]);
    assert_eq!((named.profile.title, named.profile.phone), (None, None));
    let nobody = with(&body, "data.reply.from_email_address", json!("N/A"));
    assert_eq!(outcome(&Email, &nobody), "quarantined missing_field data.reply.from_email_address");
}

#[test]
fn another_writer_is_an_alternate_of_the_lead() {
    let base = payload!("lead_replied-1");
    let body = with(&base, "data.reply.from_email_address", json!(" Tara@Home.example "));
    let body = with(&body, "data.reply.from_name", json!("Tara Banerjee"));
    let it = event(&Email, &body);
    assert_eq!(it.identities, [&dana()[..], &[mail("tara@home.example")]].concat());
    assert_eq!(it.profile.first_name.as_deref(), Some("Dana"), "an alternate's name is its own");
    assert_eq!(it.profile.email.as_deref(), Some(DANA));
    let from = message(&body).from;
    assert_eq!(from.address.as_deref(), Some("tara@home.example"));
    assert_eq!(from.name.as_deref(), Some("Tara Banerjee"));
    let unnamed = with(&body, "data.reply.from_name", json!(null));
    assert_eq!(message(&unnamed).from.name, None, "not the lead's name");
    let nameless =
        with(&with(&body, "data.lead.first_name", json!("")), "data.lead.last_name", json!(null));
    assert_eq!(event(&Email, &nameless).profile.first_name, None);
    let own = with(&base, "data.lead.first_name", json!("absent"));
    let own = with(&own, "data.lead.last_name", json!("absent"));
    assert_eq!(event(&Email, &own).profile.last_name.as_deref(), Some("Whitfield"));
    let silent = with(&base, "data.reply.from_email_address", json!("absent"));
    assert_eq!(message(&silent).from.address.as_deref(), Some(DANA), "the lead stands in");
}

#[test]
fn a_lead_may_be_named_in_part_or_not_at_all() {
    let base = payload!("lead_replied-1");
    for (value, expected) in [
        (json!(null), vec![mail(DANA)]),
        (json!({}), vec![mail(DANA)]),
        (json!("x"), vec![mail(DANA)]),
        (json!({"id": 7}), vec![Identity::new(super::EMAILBISON_LEAD, "7"), mail(DANA)]),
        (
            json!({"id": " 7 ", "email": "A@b.example"}),
            vec![Identity::new(super::EMAILBISON_LEAD, "7"), mail("a@b.example"), mail(DANA)],
        ),
        // Nobody's: our own mailbox.
        (json!({"id": 7, "email": OWEN}), vec![mail(DANA)]),
        (
            json!({"email": "postmaster@kiln.example"}),
            vec![mail("postmaster@kiln.example"), mail(DANA)],
        ),
    ] {
        let body = with(&base, "data.lead", value);
        assert_eq!(event(&Email, &body).identities, expected, "{body}");
        assert!(event(&Email, &body).profile.email.is_some());
    }
}

#[test]
fn what_a_reply_is_does_not_depend_on_its_event() {
    let base = payload!("lead_replied-1");
    for (path, value, expected) in [
        ("event.type", json!("MANUAL_EMAIL_SENT"), "recorded outbound"),
        ("data.reply.type", json!("Outgoing Email"), "recorded outbound"),
        ("data.reply.folder", json!("Sent"), "recorded outbound"),
        ("data.reply.folder", json!("sent "), "recorded outbound"),
        ("data.reply.from_email_address", json!("OWEN@try-northbeam.example"), "recorded outbound"),
        ("event.type", json!("EMAIL_BOUNCED"), "recorded bounce"),
        ("data.reply.type", json!("Bounced"), "recorded bounce"),
        ("data.reply.folder", json!("Bounced"), "recorded bounce"),
        ("data.reply.from_email_address", json!("Postmaster@mx.example"), "accepted"),
        ("data.reply.from_email_address", json!("bouncer@club.example"), "accepted"),
        ("data.reply.type", json!("Untracked Reply"), "accepted"),
        ("data.reply.type", json!(null), "accepted"),
        ("data.reply.folder", json!(7), "accepted"),
        ("data.sender_email", json!(null), "accepted"),
    ] {
        for name in ["LEAD_REPLIED", "LEAD_INTERESTED", "UNTRACKED_REPLY_RECEIVED"] {
            let body = with(&with(&base, "event.type", json!(name)), path, value.clone());
            assert_eq!(outcome(&Email, &body), expected, "{name} {path} {value}");
        }
    }
}

#[test]
fn p13_a_robot_is_known_by_its_whole_name_and_by_what_it_sends() {
    let base = with(&payload!("lead_replied-1"), "event.type", json!("UNTRACKED_REPLY_RECEIVED"));
    let evidence = [
        ("data.reply.automated_reply", json!(true)),
        ("data.reply.email_subject", json!("[EXT] Undeliverable: freight invoices")),
        ("data.reply.headers", json!({"Return-Path": "<>"})),
        ("data.reply.headers", json!([{"name": "Auto-Submitted", "value": "auto-replied"}])),
        ("data.reply.text_body", json!("Your message wasn't delivered to gone@x.example because")),
    ];
    for name in ["mailer-daemon", "Postmaster", "bounce", "bounces+7", "bounce-dana=x.example"] {
        let robot = json!(format!("{name}@mx.example"));
        let robots = with(&base, "data.reply.from_email_address", robot);
        assert_eq!(outcome(&Email, &robots), "accepted", "{name}: it has a robot's name only");
        for (path, value) in &evidence {
            assert_eq!(
                outcome(&Email, &with(&robots, path, value.clone())),
                "recorded bounce",
                "{name} {path}"
            );
        }
    }
    for person in [
        "bouncer@club.example",
        "jane.postmaster@kiln.example",
        "dana@postmastergallery.example",
        "no-reply@google.com",
    ] {
        let persons = with(&base, "data.reply.from_email_address", json!(person));
        for (path, value) in &evidence {
            assert_eq!(
                outcome(&Email, &with(&persons, path, value.clone())),
                "accepted",
                "{person} {path}"
            );
        }
    }
    // The campaign's own lead who answers is a person, whatever it is called.
    let own =
        with(&payload!("lead_replied-1"), "data.lead.email", json!("postmaster@kiln.example"));
    let own = with(&own, "data.reply.from_email_address", json!("postmaster@kiln.example"));
    for (path, value) in &evidence {
        let expected = if path.ends_with("subject") { "ignored unknown_lead" } else { "accepted" };
        assert_eq!(outcome(&Email, &with(&own, path, value.clone())), expected, "{path}");
    }
    // An address that many share is nobody's other address.
    let other = with(
        &payload!("lead_replied-1"),
        "data.reply.from_email_address",
        json!("postmaster@x.example"),
    );
    assert_eq!(event(&Email, &other).identities, dana());
}

#[test]
fn what_our_mailbox_wrote_is_outbound() {
    let base = with(&payload!("lead_replied-1"), "event.type", json!("MANUAL_EMAIL_SENT"));
    let base = with(&base, "data.reply.from_email_address", json!(OWEN));
    let base = with(&base, "data.reply.primary_to_email_address", json!(DANA.to_uppercase()));
    let base = with(&base, "data.reply.to", json!(["First@x.example"]));
    let it = event(&Email, &base);
    assert_eq!(it.identities, dana(), "the lead that is named, not whom it went to");
    let sent = message(&base);
    assert_eq!(sent.direction, Direction::Outbound);
    assert_eq!(sent.from.address.as_deref(), Some(OWEN));
    assert_eq!(sent.to.first().unwrap().address.as_deref(), Some("first@x.example"));
    let key = sent.keys.first().unwrap();
    assert_eq!((key.key.as_str(), key.kind), ("238811", KeyKind::Reply));
    assert!(sent.body.contains("wrote:"), "our own mail is kept whole");
    assert!(sent.opt_out.is_none() && sent.reply_handle.is_none());

    let unnamed = with(&base, "data.lead", json!(null));
    assert_eq!(event(&Email, &unnamed).identities, [mail(DANA)]);
    let listed = with(&unnamed, "data.reply.primary_to_email_address", json!("N/A"));
    assert_eq!(event(&Email, &listed).identities, [mail("first@x.example")]);
    let ours = with(&listed, "data.reply.to", json!([{"address": OWEN}, {"address": null}]));
    assert_eq!(outcome(&Email, &ours), "ignored unknown_lead");
    let by_id = with(&ours, "data.lead", json!({"id": 7}));
    assert_eq!(event(&Email, &by_id).identities, [Identity::new(super::EMAILBISON_LEAD, "7")]);
    let no_id = with(&base, "data.reply.id", json!(""));
    assert_eq!(outcome(&Email, &no_id), "quarantined missing_field data.reply.id");
}

#[test]
fn a_bounce_is_of_the_lead_that_is_named() {
    let base = payload!("email_bounced-1");
    let it = event(&Email, &base);
    assert_eq!(it.identities, dana());
    assert_eq!(
        it.signal,
        Signal::Bounce {
            address: DANA.to_owned(),
            reason: Some("** Address not found **".to_owned()),
            found_in_text: false,
        }
    );
    assert!(it.creates_lead());
    assert_eq!(it.at.to_string(), "2024-12-01T03:43:15.000Z");
    assert_eq!(it.profile.first_name.as_deref(), Some("Dana"), "not the robot's name");
    for path in ["data.reply.id", "data.reply"] {
        assert_eq!(outcome(&Email, &with(&base, path, json!("absent"))), "recorded bounce");
    }
    let silent =
        with(&with(&base, "data.reply.text_body", json!("")), "data.reply.html_body", json!(null));
    let Signal::Bounce { reason, .. } = event(&Email, &silent).signal else { panic!() };
    assert_eq!(reason.as_deref(), Some("Delivery Status Notification (Failure)"));
    for (path, value, expected) in [
        ("data.lead", json!(null), "quarantined missing_field data.lead.email"),
        ("data.lead.email", json!("Dana"), "quarantined missing_field data.lead.email"),
        ("data.lead.email", json!(["a@b.example"]), "quarantined bad_field data.lead.email"),
        ("data.lead.email", json!(OWEN), "ignored unknown_lead"),
        ("data", json!(null), "quarantined missing_field data"),
        ("data", json!([1]), "quarantined bad_field data"),
    ] {
        assert_eq!(outcome(&Email, &with(&base, path, value)), expected);
    }
}

#[test]
fn a_bounce_that_names_no_lead_is_of_the_address_in_its_text() {
    let base = with(&payload!("email_bounced-1"), "event.type", json!("UNTRACKED_REPLY_RECEIVED"));
    let base = with(&base, "data.lead", json!("absent"));
    let gone = "old.owner@closedshop.test";
    for text in [
        "Your message couldn't be delivered to old.owner@closedshop.test\n550 5.1.1 <old.owner@closedshop.test> user unknown",
        "Address not found Your message wasn&#39;t delivered to OLD.owner@closedshop.test because the address",
        "Your message was not delivered to <old.owner@closedshop.test>.",
        "Delivery to the following recipient failed permanently: old.owner@closedshop.test",
        "550 5.1.1 <old.owner@closedshop.test>: Recipient address rejected",
        "550-5.1.1 The email account: old.owner@closedshop.test",
        "Failed recipient: old.owner@closedshop.test",
        "Final-Recipient: rfc822; old.owner@closedshop.test",
        "Delivery has failed to these recipients or groups:\n\nold.owner@closedshop.test (mailto:x)",
        "We could not reach old.owner@closedshop.test",
        "A message that you sent could not be delivered. The following address(es) failed:\n\n  old.owner@closedshop.test",
        "Undeliverable: quick question <old.owner@closedshop.test>",
        "This is the mail system. <postmaster@mx.example> rejected: <old.owner@closedshop.test>",
        "Delivery to old.owner@closedshop.test failed",
    ] {
        let it = event(&Email, &with(&base, "data.reply.text_body", json!(text)));
        assert_eq!(it.identities, [mail(gone)], "{text}");
        let Signal::Bounce { address, found_in_text: true, reason: Some(_) } = &it.signal else {
            panic!("{it:?}")
        };
        assert_eq!(address, gone);
        assert!(!it.creates_lead() && it.campaign.is_none() && it.profile.email.is_none());
    }
    for text in [
        "** Address not found **",
        "Your message wasn't delivered to mailer-daemon@mx.example",
        "Your message wasn't delivered to owen@try-northbeam.example",
        "I am away. Write to desk@closedshop.test",
    ] {
        let body = with(&base, "data.reply.text_body", json!(text));
        assert_eq!(outcome(&Email, &body), "ignored unknown_lead", "{text}");
    }
    let html = with(&base, "data.reply.text_body", json!(null));
    let html = with(
        &html,
        "data.reply.html_body",
        json!("<p>could not be delivered to <b>a@b.example</b></p>"),
    );
    assert_eq!(event(&Email, &html).identities, [mail("a@b.example")]);
    let bare = with(&base, "data.reply.folder", json!("Bounced"));
    assert_eq!(
        outcome(&Email, &with(&bare, "data.reply", json!(7))),
        "quarantined missing_field data.reply.id"
    );
}

#[test]
fn a_sent_mail_is_outbound() {
    let body = payload!("email_sent-1");
    let it = event(&Email, &body);
    assert_eq!(it.identities, dana());
    assert_eq!(it.at.to_string(), "2024-08-02T06:08:38.000Z");
    let sent = message(&body);
    assert_eq!(sent.direction, Direction::Outbound);
    assert_eq!(sent.subject.as_deref(), Some("freight invoices at Larkspur"));
    assert_eq!(sent.body, "Hi Dana,\n\nWorth a quick look?");
    assert_eq!(sent.from.address.as_deref(), Some(OWEN));
    assert_eq!(sent.to.first().unwrap().name.as_deref(), Some("Dana Whitfield"));
    let key = sent.keys.first().unwrap();
    assert_eq!((key.key.as_str(), key.kind), ("90417", KeyKind::Sent));
    let later = with(&body, "data.scheduled_email.sent_at", json!("soon"));
    assert_eq!(event(&Email, &later).at.to_string(), "2024-08-02T06:09:35.000Z");
    for (path, value, expected) in [
        (
            "data.scheduled_email.id",
            json!(null),
            "quarantined missing_field data.scheduled_email.id",
        ),
        ("data.scheduled_email.id", json!([1]), "quarantined bad_field data.scheduled_email.id"),
        ("data.scheduled_email", json!("x"), "quarantined missing_field data.scheduled_email.id"),
        ("data.lead.email", json!("absent"), "quarantined missing_field data.lead.email"),
        ("data.scheduled_email.email_body", json!(null), "recorded outbound"),
        ("data.campaign", json!(null), "recorded outbound"),
        ("data.sender_email", json!("N/A"), "recorded outbound"),
    ] {
        assert_eq!(outcome(&Email, &with(&body, path, value)), expected, "{path}");
    }
}

#[test]
fn an_unsubscribe_opts_out() {
    let body = payload!("lead_unsubscribed-1");
    let it = event(&Email, &body);
    assert_eq!(it.identities, dana());
    assert_eq!(it.at.to_string(), "2024-08-02T06:09:35.000Z");
    assert_eq!(it.signal, Signal::OptOut { reason: "LEAD_UNSUBSCRIBED".to_owned() });
    assert!(it.creates_lead());
    let nobody = with(&body, "data.lead.email", json!("N/A"));
    assert_eq!(outcome(&Email, &nobody), "quarantined missing_field data.lead.email");
}

#[test]
fn events_are_known_by_their_name_in_either_spelling() {
    let base = payload!("lead_replied-1");
    for (name, expected) in [
        (json!("LEAD_REPLIED"), "accepted"),
        (json!(" lead_replied "), "accepted"),
        (json!("CONTACT_REPLIED"), "accepted"),
        (json!("CONTACT_INTERESTED"), "accepted"),
        (json!("CONTACT_UNSUBSCRIBED"), "recorded unsubscribe"),
        (json!("CONTACT_FIRST_CONTACTED"), "ignored same_as_email_sent"),
        (json!("LEAD_FIRST_CONTACTED"), "ignored same_as_email_sent"),
        (json!("EMAIL_OPENED"), "ignored opened"),
        (json!("TAG_REMOVED"), "ignored tag"),
        (json!("EMAIL_ACCOUNT_RECONNECTED"), "ignored account_notice"),
        (json!("EMAIL_ACCOUNT_DISCONNECTED"), "ignored account_notice"),
        (json!("EMAIL_ACCOUNT_PAUSED"), "ignored account_notice"),
        (json!("WARMUP_DISABLED_CAUSING_BOUNCES"), "ignored account_notice"),
        (json!("EMAIL_SEND_FAILED"), "ignored send_failed"),
        (json!("MANUAL_EMAIL_SEND_FAILED"), "ignored send_failed"),
        (json!("LEAD_DANCED"), "quarantined unknown_event"),
        (json!(""), "quarantined unknown_event"),
        (json!(null), "quarantined unknown_event"),
        (json!(7), "quarantined unknown_event"),
        (json!("absent"), "quarantined unknown_event"),
    ] {
        let body = with(&base, "event.type", name.clone());
        assert_eq!(outcome(&Email, &body), expected, "{name}");
        if let Some(name) = name.as_str() {
            let bare = with(&base, "event", json!(name));
            assert_eq!(outcome(&Email, &bare), expected, "{name}");
            assert_eq!(Email.account(&bare), None);
        }
    }
    assert_eq!(
        event(&Email, &with(&base, "event.type", json!("CONTACT_REPLIED"))).event_type,
        "CONTACT_REPLIED"
    );
    for (name, expected) in [
        ("EMAIL_ACCOUNT_DISCONNECTED", true),
        ("EMAIL_ACCOUNT_ADDED", false),
        ("WARMUP_DISABLED_RECEIVING_BOUNCES", true),
        ("EMAIL_SEND_FAILED", true),
        ("EMAIL_OPENED", false),
    ] {
        let read = read_at(&Email, &json!({"event": {"type": name}}), NOW);
        let Ok(Interpreted::Ignored { warn, .. }) = read else { panic!("{read:?}") };
        assert_eq!(warn, expected, "{name}");
    }
    let wrapped = json!({"data": base});
    assert_eq!(outcome(&Email, &wrapped), "quarantined unknown_shape");
    assert_eq!(outcome(&Email, &json!({"hello": 1})), "quarantined unknown_event");
}

#[test]
fn fields_have_odd_forms() {
    let base = payload!("lead_replied-1");
    for (path, value) in [
        ("data.reply.id", json!("238811")),
        ("data.reply.id", json!(" 238811\n")),
        ("data.reply.cc", json!(["a@b.example", "Ops <ops@x.example>"])),
        (
            "data.reply.cc",
            json!([{"address": "a@b.example", "name": null}, {"email": "ops@x.example"}]),
        ),
        ("data.reply.cc", json!("a@b.example, ops@x.example")),
        (
            "data.reply.attachments",
            json!({"id": 1, "file_name": "a.pdf", "download_url": "https://x.example/a"}),
        ),
        ("data.reply.attachments", json!([{"file_name": "a.pdf"}, null, ""])),
        ("data.campaign", json!("N/A")),
        ("data.campaign", json!({"id": null, "name": "x"})),
        ("data.scheduled_email", json!(null)),
        ("data.lead.custom_variables", json!({"a": 1})),
        ("data.reply.headers", json!({"a": [1, 2]})),
    ] {
        let body = with(&base, path, value);
        assert_eq!(outcome(&Email, &body), "accepted", "{path}");
        let it = message(&body);
        assert_eq!(it.keys.first().unwrap().key, "238811");
        assert!(!path.ends_with("cc") || it.cc.len() == 2, "{:?}", it.cc);
        assert!(
            !path.ends_with("attachments") || it.attachments.len() == 1,
            "{:?}",
            it.attachments
        );
        assert_eq!(event(&Email, &body).campaign.is_none(), path == "data.campaign");
    }
    for (value, expected) in [
        (json!(true), true),
        (json!(1), true),
        (json!("1"), true),
        (json!("true"), true),
        (json!(0), false),
        (json!("false"), false),
        (json!(null), false),
        (json!("N/A"), false),
        (json!({}), false),
    ] {
        let it = message(&with(&base, "data.reply.interested", value.clone()));
        assert_eq!(it.hint.is_some(), expected, "{value}");
        let it = message(&with(&base, "data.reply.automated_reply", value.clone()));
        assert_eq!(it.automated, expected, "{value}");
    }
    for (value, expected) in [
        (json!("2024-12-01T03:43:15.000000Z"), "2024-12-01T03:43:15.000Z"),
        (json!("2024-12-01 03:43:15"), "2024-12-01T03:43:15.000Z"),
        (json!(1_733_024_595), "2024-12-01T03:43:15.000Z"),
        (json!("1733024595000"), "2024-12-01T03:43:15.000Z"),
        (json!("2024-12-01T04:43:15+01:00"), "2024-12-01T03:43:15.000Z"),
        (json!("soon"), "2024-12-01T03:44:02.000Z"),
        (json!(null), "2024-12-01T03:44:02.000Z"),
    ] {
        let body = with(&base, "data.reply.date_received", value.clone());
        assert_eq!(event(&Email, &body).at.to_string(), expected, "{value}");
    }
    let older = with(&base, "data.reply.date_received", json!("absent"));
    let older = with(&older, "data.reply.received_at", json!("2024-12-01T03:40:00Z"));
    assert_eq!(event(&Email, &older).at.to_string(), "2024-12-01T03:40:00.000Z");
}

#[test]
fn the_text_is_preferred_and_quotes_never_opt_out() {
    let base = payload!("lead_replied-1");
    let text = |text: &str| message(&with(&base, "data.reply.text_body", json!(text)));
    assert_eq!(text("").body, "Sure, send me a couple of times next week.", "HTML stands in");
    assert_eq!(text("I&#39;m in &amp; keen\u{202f}!\r\n").body, "I'm in & keen\u{202f}!");
    assert_eq!(text("Please don&#39;t email me again.").opt_out.as_deref(), Some("don't email me"));
    let out = text(
        "Thanks\r\n\r\nOn Fri, Aug 2, 2024 at 2:08\u{202f}AM Owen <o@x.example> wrote:\r\n> unsubscribe",
    );
    assert_eq!((out.body.as_str(), out.opt_out), ("Thanks", None));
    let quoted = with(&base, "data.reply.html_body", json!(null));
    let quoted = message(&with(&quoted, "data.reply.text_body", json!("> Hi\n> unsubscribe")));
    assert!(!quoted.has_new_text && quoted.opt_out.is_none());
    let subject = message(&with(&base, "data.reply.email_subject", json!("Unsubscribe")));
    assert_eq!(subject.opt_out.as_deref(), Some("unsubscribe"));
}
