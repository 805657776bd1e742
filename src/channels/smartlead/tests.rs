use super::Smartlead;
use crate::{
    channels::{
        AnyChannel as _, json,
        tests::{event, outcome, with},
    },
    domain::{
        Identity, IdentityKind, NewMessage, Sentiment, Signal,
        event::{Direction, KeyKind},
    },
};
use serde_json::{Value, json};

macro_rules! payload {
    ($name:literal) => {
        json::parse(include_bytes!(concat!("../../../tests/payloads/smartlead/", $name, ".json")))
            .unwrap()
    };
}

const MAREK: &str = "marek@novotny-logistics.example";
const OWEN: &str = "owen@try-northbeam.example";
const REPLY_ID: &str = "<CAMZrTKjWQVdLF4bnsHgcEI=X2upRGFk5+Ph@mail.novotny-logistics.example>";

fn message(body: &Value) -> NewMessage {
    crate::channels::tests::message(&Smartlead, body)
}

fn lead(id: &str) -> Identity {
    Identity::new(super::SMARTLEAD_LEAD, id)
}

fn mail(address: &str) -> Identity {
    Identity::new(IdentityKind::MAIL_ADDRESS, address)
}

#[test]
fn every_payload_has_its_outcome() {
    for (body, expected) in [
        (payload!("email_reply-1"), "accepted"),
        (payload!("email_reply-2"), "accepted"),
        // Its secret is wrong, of which a channel knows nothing.
        (payload!("email_reply-7"), "accepted"),
        (payload!("email_reply-8"), "quarantined missing_field campaign_id"),
        (payload!("email_sent-1"), "recorded outbound"),
        (payload!("first_email_sent-1"), "recorded outbound"),
        (payload!("email_bounce-1"), "recorded bounce"),
        (payload!("lead_unsubscribed-1"), "recorded unsubscribe"),
        (payload!("email_open-1"), "ignored opened"),
        (payload!("lead_category_updated-1"), "recorded category"),
    ] {
        assert_eq!(outcome(&Smartlead, &body), expected, "{body}");
        assert_eq!(Smartlead.account(&body), None);
    }
    assert_eq!(Smartlead.secret_header(), None);
    assert_eq!(Smartlead.secret_field(), Some("secret_key"));
}

#[test]
fn a_reply_is_its_new_text() {
    let body = payload!("email_reply-1");
    let it = event(&Smartlead, &body);
    assert_eq!(it.identities, [mail(MAREK), lead("4207718835")]);
    assert_eq!(it.at.to_string(), "2026-07-11T13:53:30.000Z");
    assert_eq!(it.profile.first_name.as_deref(), Some("Marek"));
    assert_eq!(it.profile.last_name.as_deref(), Some("Novotný"));
    assert_eq!(it.profile.email.as_deref(), Some(MAREK));
    let campaign = it.campaign.unwrap();
    assert_eq!(
        (campaign.provider_id.as_str(), campaign.name.as_deref()),
        ("3700412", Some("Warehouse EU"))
    );
    let reply = message(&body);
    assert_eq!(reply.body, "Sure, Thursday works");
    assert_eq!(reply.subject.as_deref(), Some("A quick idea for Novotny"));
    assert_eq!(reply.from.address.as_deref(), Some(MAREK));
    assert_eq!(reply.from.name.as_deref(), Some("Marek Novotný"));
    assert_eq!(reply.to.first().unwrap().address.as_deref(), Some(OWEN));
    assert!(reply.raw_html.unwrap().contains("blockquote"));
    let key = reply.keys.first().unwrap();
    assert_eq!((key.key.as_str(), key.kind, key.expires), (REPLY_ID, KeyKind::Reply, false));
    assert_eq!(reply.keys.len(), 1);
    assert_eq!(reply.provider_id.as_deref(), Some(REPLY_ID));
    assert_eq!(
        reply.reply_handle,
        Some(json!({
            "campaign_id": "3700412",
            "email_stats_id": "d41e7b05-9c26-4a83-b17d-6f20c8e5a302",
            "reply_message_id": REPLY_ID,
            "reply_email_time": "2026-07-11T13:53:30.000Z",
        }))
    );
}

#[test]
fn the_text_stands_in_one_of_four_places() {
    let base = payload!("email_reply-1");
    let text = with(&base, "reply_message.text", json!("Yes\u{202f}please &amp; thanks\n"));
    assert_eq!(message(&text).body, "Yes\u{202f}please & thanks");
    let html = with(&base, "reply_message.text", json!(""));
    assert_eq!(message(&html).body, "Sure, Thursday works");
    let body = with(&html, "reply_message", json!(null));
    assert_eq!(message(&body).body, "Sure, Thursday works");
    let preview = with(&body, "reply_body", json!("absent"));
    let preview = with(&preview, "preview_text", json!("It&#39;s a cut te"));
    assert_eq!(message(&preview).body, "It's a cut te");
    let none = message(&with(&preview, "preview_text", json!(null)));
    assert!(none.body.is_empty() && none.has_new_text);
    let out = message(&with(&base, "reply_message.text", json!("Please don&#39;t contact me")));
    assert_eq!(out.opt_out.as_deref(), Some("don't contact me"));
}

#[test]
fn another_writer_is_an_alternate_of_the_lead() {
    let body = payload!("email_reply-2");
    let it = event(&Smartlead, &body);
    assert_eq!(it.identities, [mail(MAREK), lead("1482956"), mail("ines@other-firm.example")]);
    assert_eq!(it.profile.email.as_deref(), Some(MAREK));
    let reply = message(&body);
    assert_eq!(reply.body, "webhook reply");
    assert_eq!(reply.from.address.as_deref(), Some("ines@other-firm.example"));
    assert_eq!(reply.from.name, None, "Marek's name is not hers");
    let same = with(&body, "leadCorrespondence.replyReceivedFrom", json!(MAREK.to_uppercase()));
    assert_eq!(event(&Smartlead, &same).identities, [mail(MAREK), lead("1482956")]);
}

#[test]
fn whose_a_reply_is() {
    let base = payload!("email_reply-1");
    for (writer, expected) in [
        (json!("Owen@try-northbeam.example"), "recorded outbound"),
        (json!("someone@try-northbeam.example"), "accepted"),
        (json!(null), "accepted"),
        (json!("N/A"), "accepted"),
        (json!("mailer-daemon@mx.example"), "accepted"),
        (json!("bouncer@club.example"), "accepted"),
    ] {
        let body = with(&base, "leadCorrespondence.replyReceivedFrom", writer.clone());
        assert_eq!(outcome(&Smartlead, &body), expected, "{writer}");
    }
    let ours = with(&base, "leadCorrespondence.replyReceivedFrom", json!(OWEN));
    assert_eq!(event(&Smartlead, &ours).identities, [mail(MAREK), lead("4207718835")]);
    let sent = message(&ours);
    assert_eq!(sent.direction, Direction::Outbound);
    assert_eq!(sent.from.address.as_deref(), Some(OWEN));
    assert_eq!(sent.to.first().unwrap().address.as_deref(), Some(MAREK));
    assert_eq!(sent.keys.first().unwrap().kind, KeyKind::Reply);
    assert_eq!((sent.opt_out, sent.reply_handle), (None, None));
    // Where our mailbox is told to be the lead's address, it is the lead that wrote.
    let own = with(&ours, "leadCorrespondence.targetLeadEmail", json!(OWEN));
    assert_eq!(outcome(&Smartlead, &own), "accepted");
    let robot = with(&base, "leadCorrespondence.replyReceivedFrom", json!("postmaster@mx.example"));
    let it = event(&Smartlead, &robot);
    assert_eq!(it.identities, [mail(MAREK), lead("4207718835")], "an address that many share");
    let report = "Your message wasn't delivered to gone@x.example";
    let by_text = with(&robot, "reply_message.text", json!(report));
    assert_eq!(outcome(&Smartlead, &by_text), "recorded bounce");
    let robot = with(&robot, "subject", json!("Undeliverable: A quick idea"));
    let it = event(&Smartlead, &robot);
    assert_eq!(it.identities, [mail(MAREK), lead("4207718835")], "never the robot");
    assert!(matches!(it.signal, Signal::Bounce { ref address, .. } if address == MAREK));
}

#[test]
fn the_leads_address_stands_in_one_of_four_places_and_is_never_ours() {
    let base = json!({
        "event_type": "EMAIL_REPLY", "campaign_id": 1, "stats_id": "s", "from_email": OWEN,
        "leadCorrespondence": {"targetLeadEmail": "a@x.example"}, "sl_lead_email": "B@x.example",
        "lead_email": "c@x.example", "to_email": " d@x.example ", "sl_email_lead_id": 77,
    });
    let mut body = base.clone();
    for (path, expected) in [
        ("leadCorrespondence", "a@x.example"),
        ("sl_lead_email", "b@x.example"),
        ("lead_email", "c@x.example"),
        ("to_email", "d@x.example"),
    ] {
        assert_eq!(event(&Smartlead, &body).identities, [mail(expected), lead("77")]);
        body = with(&body, path, json!("N/A"));
    }
    assert_eq!(
        outcome(&Smartlead, &body),
        "quarantined missing_field to_email",
        "though there is an id"
    );
    assert_eq!(
        outcome(&Smartlead, &with(&body, "to_email", json!([1]))),
        "quarantined bad_field to_email"
    );
    assert_eq!(outcome(&Smartlead, &with(&body, "to_email", json!(OWEN))), "ignored unknown_lead");
    let person = with(&base, "leadCorrespondence.targetLeadEmail", json!("Postmaster@x.example"));
    assert_eq!(outcome(&Smartlead, &person), "accepted", "a campaign's own lead is a person");
}

#[test]
fn replies_are_judged_by_their_fields() {
    let base = payload!("email_reply-1");
    for (path, value, expected) in [
        ("campaign_id", json!("3700412"), "accepted"),
        ("campaign_id", json!(null), "quarantined missing_field campaign_id"),
        ("campaign_id", json!([]), "quarantined bad_field campaign_id"),
        ("stats_id", json!(""), "quarantined missing_field stats_id"),
        ("stats_id", json!(7), "accepted"),
        ("stats_id", json!({"a": 1}), "quarantined bad_field stats_id"),
        ("sl_email_lead_id", json!(4_207_718_835_u64), "accepted"),
        ("sl_email_lead_id", json!(null), "accepted"),
        ("client_id", json!(7), "accepted"),
        ("cc_emails", json!("a@b.example"), "accepted"),
        ("to_name", json!({}), "accepted"),
        ("time_replied", json!("soon"), "accepted"),
        ("leadCorrespondence", json!("x"), "accepted"),
        ("reply_message", json!([]), "accepted"),
    ] {
        assert_eq!(
            outcome(&Smartlead, &with(&base, path, value.clone())),
            expected,
            "{path} {value}"
        );
    }
    for (value, expected) in [
        (json!("2026-07-11T12:01:58.023+00:00"), "2026-07-11T12:01:58.023Z"),
        (json!("2026-07-11T12:01:48.2+00:00"), "2026-07-11T12:01:48.200Z"),
        (json!("2026-07-11T14:46:19.940Z"), "2026-07-11T14:46:19.940Z"),
        (json!(1_768_746_187), "2026-01-18T14:23:07.000Z"),
        (json!("N/A"), "2026-07-11T13:53:30.000Z"),
    ] {
        let it = event(&Smartlead, &with(&base, "time_replied", value.clone()));
        assert_eq!(it.at.to_string(), expected, "{value}");
    }
    for value in [
        json!(["a@b.example", "c@d.example"]),
        json!([{"email": "a@b.example"}, {"address": "c@d.example", "name": "C"}]),
        json!("a@b.example;c@d.example"),
    ] {
        assert_eq!(message(&with(&base, "cc_emails", value)).cc.len(), 2);
    }
}

#[test]
fn a_reply_without_message_id_is_known_by_its_mail_and_time() {
    let key = |body: &Value| message(body).keys.first().unwrap().clone();
    let base = payload!("email_reply-1");
    let outer = with(&base, "reply_message.message_id", json!(null));
    assert_eq!(key(&outer).key, REPLY_ID, "the body's own id");
    let bare = with(&outer, "message_id", json!(""));
    assert!(key(&bare).key.starts_with("content:") && !key(&bare).expires);
    assert_eq!(key(&with(&bare, "reply_message.text", json!("x"))), key(&bare));
    assert_eq!(key(&with(&bare, "time_replied", json!("2026-07-11T13:53:30Z"))), key(&bare));
    assert_ne!(key(&with(&bare, "time_replied", json!("2026-07-11T13:53:31Z"))), key(&bare));
    let undated = with(&bare, "time_replied", json!(null));
    assert!(key(&undated).expires);
    assert_ne!(key(&with(&undated, "reply_message.text", json!("x"))).key, key(&undated).key);
}

#[test]
fn a_sent_mail_is_outbound() {
    let body = payload!("email_sent-1");
    let it = event(&Smartlead, &body);
    assert_eq!(it.identities, [mail(MAREK), lead("4207716609")]);
    assert_eq!(it.at.to_string(), "2026-07-11T12:01:58.023Z");
    let sent = message(&body);
    assert_eq!(sent.direction, Direction::Outbound);
    assert_eq!(sent.body, "Variant A body");
    assert_eq!(sent.subject.as_deref(), Some("A quick idea for Novotny"));
    assert_eq!(sent.from.address.as_deref(), Some(OWEN));
    assert!(sent.keys.iter().all(|it| it.kind == KeyKind::Sent && !it.expires));
    let keys: Vec<&str> = sent.keys.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "85c2f6d1-30be-47a9-9e54-a1b7d3c0f268",
            "<85c2f6d1-30be-47a9-9e54-a1b7d3c0f268@try-northbeam.example>",
        ]
    );
    assert_eq!(message(&payload!("first_email_sent-1")).keys, sent.keys);
    let bare = with(&with(&body, "stats_id", json!(null)), "message_id", json!(null));
    let bare = with(&bare, "sent_message", json!({}));
    let key = message(&bare).keys.first().unwrap().clone();
    assert!(key.key.starts_with("content:") && key.expires);
    assert_ne!(message(&with(&bare, "sequence_number", json!("2"))).keys, vec![key]);
    assert_eq!(message(&bare).body, "Variant A body", "the older field");
    let no_campaign = with(&body, "campaign_id", json!("N/A"));
    assert_eq!(outcome(&Smartlead, &no_campaign), "quarantined missing_field campaign_id");
    let nobody = with(&body, "to_email", json!("Marek"));
    assert_eq!(outcome(&Smartlead, &nobody), "quarantined missing_field to_email");
}

#[test]
fn a_bounce_is_of_the_lead_unless_our_mailbox_is_at_fault() {
    let body = payload!("email_bounce-1");
    let it = event(&Smartlead, &body);
    assert_eq!(it.identities, [mail("p.raman@closed-mill.example"), lead("4207716609")]);
    assert_eq!(it.at.to_string(), "2026-07-11T12:01:59.000Z");
    let Signal::Bounce { address, reason, found_in_text: false } = it.signal else { panic!() };
    assert_eq!(address, "p.raman@closed-mill.example");
    assert!(
        reason.unwrap().starts_with("Address not found Your message wasn't delivered to p.raman")
    );
    for (value, expected) in [
        (json!(true), "ignored sender_bounce"),
        (json!("true"), "ignored sender_bounce"),
        (json!(1), "ignored sender_bounce"),
        (json!("false"), "recorded bounce"),
        (json!(null), "recorded bounce"),
    ] {
        let body = with(&body, "is_sender_originated_bounce", value.clone());
        assert_eq!(outcome(&Smartlead, &body), expected, "{value}");
    }
    let silent = json!({"event_type": "EMAIL_BOUNCE", "to_email": "a@b.example"});
    assert!(matches!(event(&Smartlead, &silent).signal, Signal::Bounce { reason: None, .. }));
    assert_eq!(
        outcome(&Smartlead, &json!({"event_type": "EMAIL_BOUNCE"})),
        "quarantined missing_field to_email"
    );
}

#[test]
fn an_unsubscribe_opts_out() {
    let it = event(&Smartlead, &payload!("lead_unsubscribed-1"));
    assert_eq!(it.identities, [mail(MAREK)]);
    assert_eq!(it.at.to_string(), "2026-07-11T14:46:19.940Z");
    assert_eq!(it.signal, Signal::OptOut { reason: "LEAD_UNSUBSCRIBED".to_owned() });
    assert_eq!(it.profile.last_name.as_deref(), Some("Novotný"));
}

#[test]
fn a_category_is_kept_and_may_be_a_hint_or_an_opt_out() {
    let body = payload!("lead_category_updated-1");
    let it = event(&Smartlead, &body);
    assert_eq!(it.identities, [mail(MAREK)]);
    assert_eq!(it.at.to_string(), "2026-07-11T14:01:00.000Z");
    assert_eq!(it.profile.company_name.as_deref(), Some("Novotny Logistics"));
    for (name, hint, opt_out) in [
        (json!("Interested"), Some(Sentiment::Interested), false),
        (json!("not interested"), Some(Sentiment::NotInterested), false),
        (json!("Out Of Office"), Some(Sentiment::OutOfOffice), false),
        (json!("Meeting Request"), Some(Sentiment::MeetingRequested), false),
        (json!("Meeting  Requested "), Some(Sentiment::MeetingRequested), false),
        (json!("Information Request"), Some(Sentiment::InformationRequested), false),
        (json!("Information Requested"), Some(Sentiment::InformationRequested), false),
        (json!("Do Not Contact"), None, true),
        (json!("Wrong Person"), None, false),
        (json!(7), None, false),
    ] {
        let it = event(&Smartlead, &with(&body, "lead_category.new_name", name.clone()));
        let Signal::Category { name: kept, hint: found, opt_out: out } = it.signal.clone() else {
            panic!("{it:?}")
        };
        assert_eq!((found, out), (hint, opt_out), "{name}");
        assert!(kept.is_some());
        assert_eq!(it.creates_lead(), opt_out, "{name}");
        assert_eq!(it.signal.reason(), "category");
    }
    let older = with(&body, "lead_category", json!(null));
    assert_eq!(event(&Smartlead, &older).signal, it.signal);
    let gone = with(&with(&older, "category", json!(null)), "lead_data", json!(null));
    assert_eq!(
        event(&Smartlead, &gone).signal,
        Signal::Category { name: None, hint: None, opt_out: false }
    );
}

#[test]
fn other_events_are_known_by_their_name() {
    let base = payload!("email_reply-1");
    for (name, expected) in [
        (json!("EMAIL_OPEN"), "ignored opened"),
        (json!("EMAIL_LINK_CLICK"), "ignored clicked"),
        (json!("CAMPAIGN_STATUS_CHANGED"), "ignored campaign"),
        (json!("MANUAL_STEP_REACHED"), "ignored campaign"),
        (json!("UNTRACKED_REPLIES"), "quarantined unknown_event"),
        (json!("EMAIL_REPLIED"), "quarantined unknown_event"),
        (json!("email_reply"), "quarantined unknown_event"),
        (json!(" EMAIL_REPLY "), "accepted"),
        (json!(7), "quarantined unknown_event"),
        (json!(""), "quarantined unknown_event"),
        (json!("absent"), "quarantined unknown_event"),
    ] {
        assert_eq!(
            outcome(&Smartlead, &with(&base, "event_type", name.clone())),
            expected,
            "{name}"
        );
    }
    let named = json!({"event": "EMAIL_REPLY", "lead": {"email": MAREK}});
    assert_eq!(outcome(&Smartlead, &named), "quarantined unknown_event");
    assert_eq!(outcome(&Smartlead, &json!({"data": base})), "quarantined unknown_shape");
}

#[test]
fn p20_old_names_are_understood() {
    let body = json!({
        "event_type": "EMAIL_REPLY", "secret_key": "x", "campaign_id": 45120,
        "campaign_name": "Dentists NE", "sl_lead_email": "m.okafor@smileworks.test",
        "sl_lead_name": "Mary Okafor", "stats_id": "st_9f31",
        "message_id": "<CAK-77@mail.smileworks.test>", "from_email": "m.okafor@smileworks.test",
        "to_email": "kate@reachlane.test", "subject": "Re: hygienist staffing",
        "preview_text": "Not now, maybe next quarter.", "cc_emails": ["front@smileworks.test"],
        "event_timestamp": 1_768_746_187,
        "lead_correspondence": {"targetLeadEmail": "m.okafor@smileworks.test",
            "replyReceivedFrom": "mary@okafor-home.test"},
    });
    let it = event(&Smartlead, &body);
    assert_eq!(it.identities, [mail("m.okafor@smileworks.test"), mail("mary@okafor-home.test")]);
    assert_eq!(it.at.to_string(), "2026-01-18T14:23:07.000Z");
    assert_eq!(it.profile.first_name.as_deref(), Some("Mary"));
    let reply = message(&body);
    assert_eq!(reply.body, "Not now, maybe next quarter.");
    assert_eq!(reply.direction, Direction::Inbound);
    assert_eq!(reply.cc.len(), 1);
}
