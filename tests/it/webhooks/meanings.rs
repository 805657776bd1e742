//! What texts mean, as people and their programs write them: each through real HTTP, judged by the
//! daemon's own jobs.

use crate::{
    on_both_daemons,
    support::{
        both::Peek,
        daemon::Daemon,
        eventually, payloads,
        shared::{body, with},
        web::{Answer, ask},
    },
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// The state of a lead once its message is judged.
#[derive(Clone, Copy, Debug)]
enum Is {
    /// Opted out, and so blacklisted.
    OptedOut,
    /// One of these tags, without a draft.
    Quiet(&'static [&'static str]),
    /// One of these tags; a draft may be there.
    Heard(&'static [&'static str]),
}

use Is::{Heard, OptedOut, Quiet};

const NEUTRAL: Is = Quiet(&["Neutral"]);
const BLACKLIST: Is = Quiet(&["Blacklist"]);
/// Anything but what a quote of our own would say.
const HEARD: Is = Heard(&[
    "Interested",
    "Neutral",
    "Information Requested",
    "Call Requested",
    "Meeting Requested",
]);

/// What is posted for one client, in order; the last is judged.
struct Case {
    name: String,
    posts: Vec<(&'static str, Value)>,
    is: Is,
    /// The body that is stored of it, where that matters.
    body: Option<&'static str>,
}

fn case(name: &str, channel: &'static str, body: Value, is: Is) -> Case {
    Case { name: name.to_owned(), posts: vec![(channel, body)], is, body: None }
}

fn sms(text: &str) -> Value {
    with(body("ghl/workflow_sms-2"), json!({"message.body": text}))
}

fn mail(subject: &str, text: &str) -> Value {
    with(
        body("emailbison/lead_replied-1"),
        json!({"data.reply.email_subject": subject, "data.reply.text_body": text, "data.reply.html_body": null}),
    )
}

fn automated(subject: &str, text: &str) -> Value {
    with(mail(subject, text), json!({"data.reply.automated_reply": true}))
}

fn linkedin(text: &str) -> Value {
    with(body("unipile/message_received-1"), json!({"message": text}))
}

/// The files of `tests/payloads/cases`, each with what is to become of it.
fn files() -> Vec<Case> {
    let rows = [
        ("1-danish-outlook-header", HEARD, Some("Ja tak, send mig gerne prisen.")),
        (
            "14-own-line-starts-with-gt",
            Heard(&["Information Requested"]),
            Some(">100 seats, what would that cost per month?"),
        ),
        ("140-polish-outlook", HEARD, Some("Tak, proszę.")),
        ("144-html-outlook-web-divRply-danish", HEARD, Some("Ja tak, ring til mig.")),
        ("160-ext-tag-ooo-with-number", Quiet(&["Out of Office"]), None),
        ("170-robot-bouncer", Heard(&["Call Requested"]), None),
        ("174-robot-jane.postmaster", Heard(&["Call Requested"]), None),
        ("181-robot-inst-bounce.back.fitness", Heard(&["Call Requested"]), None),
        (
            "209-ghl-message-is-a-string",
            Heard(&["Information Requested"]),
            Some("Yes please, what does it cost?"),
        ),
        ("23-english-someone-wrote-on", HEARD, Some("Happy to hear more.")),
        ("30-polish-napisal", HEARD, Some("Tak, proszę o więcej informacji.")),
        ("48-sms-arret", OptedOut, None),
        ("55-sms-fullwidth", OptedOut, None),
        ("56-sms-tapback-liked-optout", NEUTRAL, None),
        ("57-sms-tapback-loved-meeting", NEUTRAL, None),
        ("58-sms-tapback-disliked", Quiet(&["Neutral", "Not Interested"]), None),
        ("61-sms-stop-number", OptedOut, None),
        ("71-no-longer-using-this-address", BLACKLIST, None),
    ];
    let case = |(name, is, body): (&str, Is, Option<&'static str>)| {
        let told: Value =
            serde_json::from_slice(&payloads::read(&format!("cases/{name}.json"))).unwrap();
        let channel = match told["post_to"].as_str().unwrap() {
            "/webhooks/email/acme" => "email",
            "/webhooks/sms/acme" => "sms",
            "/webhooks/instantly/acme" => "instantly",
            other => panic!("{other}"),
        };
        let sent = if told["bodies"].is_array() {
            told["bodies"][0].clone()
        } else {
            told["body"].clone()
        };
        Case { name: name.to_owned(), posts: vec![(channel, sent)], is, body }
    };
    rows.into_iter().map(case).collect()
}

/// Keywords and near misses, reactions and instructions.
fn texts() -> Vec<Case> {
    let mut cases = Vec::new();
    for text in [
        "STOPP",
        "Stpo",
        "stopppp",
        "BAJA",
        "SAIR",
        "СТОП",
        "退订",
        "STOP\n\nSent from my iPhone",
        "STOP\nОтправлено с iPhone",
    ] {
        cases.push(case(text, "sms", sms(text), OptedOut));
    }
    for text in ["Shop", "Step", "top", "Stopp mal, ich habe eine Frage", "don't stop"] {
        cases.push(case(text, "sms", sms(text), Quiet(&["Neutral"])));
    }
    for text in [
        "Hi Rita. Reply STOP to opt out",
        "👍 to “Want a demo on Tuesday at 3pm? Reply STOP to opt out”",
        "Questioned “Are you interested in a quick call?”",
        "Removed a like from “Can we talk on Tuesday at 3pm?”",
        "A aimé « On se parle mardi à 15h ? Répondez STOP pour vous désabonner »",
        "Gefällt „Wann passt es? Zum Abmelden STOP antworten“",
    ] {
        cases.push(case(text, "sms", sms(text), NEUTRAL));
        cases.push(case(text, "linkedin", linkedin(text), NEUTRAL));
    }
    let reported = "Your text said reply STOP to opt out but I'd like a demo";
    cases.push(case(reported, "sms", sms(reported), HEARD));
    cases.push(case(reported, "linkedin", linkedin(reported), HEARD));
    cases.push(case(reported, "email", mail("Re: hello", reported), HEARD));
    cases
}

/// Absence notices behind marks, and mailboxes that are given up.
fn by_machines() -> Vec<Case> {
    let mut cases = Vec::new();
    for (subject, text, is) in [
        (
            "[EXTERNAL] Automatic reply: hello",
            "I am travelling, call me on +1 312 555 0142.",
            Quiet(&["Out of Office"]),
        ),
        (
            "EXT: Re: *SPAM* Automatische Antwort: hello",
            "Danke, call me on +1 312 555 0142.",
            Quiet(&["Out of Office"]),
        ),
        (
            "WG: Out of office",
            "Back on Monday. Call me on +1 312 555 0142.",
            Quiet(&["Out of Office"]),
        ),
        ("自動返信: hello", "お世話になっております。", Quiet(&["Out of Office"])),
        ("Automatic reply: hello", "This mailbox is no longer monitored.", BLACKLIST),
        (
            "[EXT] Automatische Antwort: hello",
            "Frau Lund ist nicht mehr im Unternehmen.",
            BLACKLIST,
        ),
        ("[EXTERNAL] Unsubscribe", "Thanks", OptedOut),
    ] {
        cases.push(case(subject, "email", mail(subject, text), is));
    }
    for text in [
        "I have retired and am no longer using this address.",
        "Cette adresse n'est plus utilisée.",
        "Ya no trabajo en la empresa.",
        "Den här adressen används inte längre.",
        "このメールアドレスは現在使用しておりません。",
    ] {
        cases.push(case(text, "email", automated("hello", text), BLACKLIST));
    }
    cases.push(case(
        "absent",
        "email",
        automated("hello", "I am on leave until 5 May."),
        Quiet(&["Out of Office"]),
    ));
    cases
}

const OURS: &str = "Hi Dana,\n\nWe help freight firms find more capacity in less time, every single week.\n\
    If this is not for you, just reply unsubscribe and I will stop emailing you.\n\nBest,\nOwen";

/// Answers below which our own mail stands, introduced in words that nobody has listed.
fn answers() -> Vec<Case> {
    let sent = with(
        body("emailbison/email_sent-1"),
        json!({
            "data.lead": body("emailbison/lead_replied-1")["data"]["lead"],
            "data.scheduled_email.email_body": OURS.replace('\n', "<br>"),
        }),
    );
    let answered = |introduction: &str, quote: &str, is: Is| Case {
        name: introduction.to_owned(),
        posts: vec![
            ("email", sent.clone()),
            ("email", mail("Re: hello", &format!("Sounds good!\n\n{introduction}\n\n{quote}"))),
        ],
        is,
        body: Some("Sounds good!"),
    };
    let mut cases = vec![
        answered("Owen kirjutas eile:", OURS, Heard(&["Interested"])),
        answered("Owen Hartley 01/17 sgrifennodd:", OURS, Heard(&["Interested"])),
        answered("", OURS, Heard(&["Interested"])),
    ];
    let text = "Hi Rita, want a demo on Tuesday at 3pm? Reply STOP to opt out";
    let out = with(body("ghl/outbound_message-1"), json!({"body": text}));
    let contact = out["contactId"].clone();
    let reaction = with(sms(&format!("Rakastin tätä “{text}”")), json!({"contact_id": contact}));
    cases.push(Case {
        name: "a reaction in a language that is not listed".to_owned(),
        posts: vec![("sms", out), ("sms", reaction)],
        is: NEUTRAL,
        body: Some("Rakastin tätä"),
    });
    cases
}

async fn post(daemon: &Daemon, client: &str, channel: &str, sent: &Value) -> Answer {
    ask(daemon.webhook(channel, client).json(sent)).await
}

fn config(clients: usize) -> String {
    let channels: String = ["email", "sms", "linkedin", "smartlead", "instantly"]
        .iter()
        .map(|it| format!("[clients.channels.{it}]\n"))
        .collect();
    (0..clients).map(|it| format!("[[clients]]\nid = \"m{it}\"\n{channels}")).collect()
}

/// The client's texts, one a row.
async fn told(db: &Peek, client: &str, select: &str) -> Vec<String> {
    db.texts(&format!("select {select} where client_id = '{client}'")).await
}

on_both_daemons! {
    #[ignore = "long: `just long`"]
    async fn every_text_means_what_its_writer_said(place: Place) {
        let cases: Vec<Case> = files().into_iter().chain(texts()).chain(by_machines()).chain(answers()).collect();
        let daemon = place.start(&config(cases.len())).await;
        let db = Peek::of(&daemon).await;
        let mut messages: BTreeMap<usize, String> = BTreeMap::new();
        for (number, case) in cases.iter().enumerate() {
            for (channel, sent) in &case.posts {
                let answer = post(&daemon, &format!("m{number}"), channel, sent).await;
                assert!(["accepted", "recorded"].contains(&answer.outcome()), "{}: {answer:?}", case.name);
                messages.insert(number, answer.field("message_id").to_owned());
            }
        }
        eventually(Duration::from_secs(60), async || (db.unfinished().await == 0).then_some(())).await;
        let mut wrong = Vec::new();
        for (number, case) in cases.iter().enumerate() {
            let (client, name) = (format!("m{number}"), &case.name);
            let tags = told(&db, &client, "coalesce(sentiment, '-') from messages").await;
            let tag = tags.iter().find(|it| *it != "-").map_or("-", String::as_str);
            let count = |what: &str| format!("select count(*) from {what} and client_id = '{client}'");
            let out = db.number(&count("leads where opted_out_at is not null")).await;
            let drafts = db.number(&count("drafts where true")).await;
            let is_right = match case.is {
                OptedOut => out == 1 && tag == "Blacklist" && drafts == 0,
                Quiet(tags) => out == 0 && drafts == 0 && tags.contains(&tag),
                Heard(tags) => out == 0 && tags.contains(&tag),
            };
            let id = &messages[&number];
            let bodies = db.texts(&format!("select body from messages where id = {id}")).await;
            let is_cut = case.body.is_none_or(|it| bodies == [it]);
            if !is_right || !is_cut {
                wrong.push(format!("{name:?}: {tag}, {out} opted out, {drafts} drafts, {bodies:?}, not {:?}", case.is));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    async fn a_text_message_is_taken_in_every_shape_or_held(place: Place) {
        let own = "[[clients]]\nid = \"own\"\n[clients.channels.sms]\ntext_field = \"customData.what they said\"\n";
        let daemon = place.start(&format!("{}{own}", config(1))).await;
        let db = Peek::of(&daemon).await;
        let bare = |contact: &str, changes: Value| {
            let base = with(body("ghl/workflow_no_message-1"), json!({"contact_id": contact}));
            with(base, changes)
        };
        for (number, changes) in [
            json!({"message": "Yes please"}),
            json!({"message": ["Yes please"]}),
            json!({"message": [{"type": 2, "body": "Yes please"}]}),
            json!({"message": {"type": 2, "text": "Yes please"}}),
            json!({"message": {"type": 2, "body": {"text": "Yes please"}}}),
            json!({"Message": "Yes please"}),
            json!({"body": "Yes please"}),
            json!({"customData": {"text": "Yes please"}}),
            json!({"customData": "{\"Message\": \"Yes please\", \"Client\": \"Northbeam\"}"}),
        ]
        .into_iter()
        .enumerate()
        {
            let sent = bare(&format!("shape{number}"), changes);
            let answer = post(&daemon, "m0", "sms", &sent).await;
            assert_eq!(answer.outcome(), "accepted", "{sent}: {answer:?}");
            let id = answer.field("message_id");
            assert_eq!(db.texts(&format!("select body from messages where id = {id}")).await, ["Yes please"]);
        }
        let unknown = bare("unknown", json!({"customData": {"what they said": "Yes please"}}));
        for sent in [
            unknown.clone(),
            bare("unknown2", json!({"message": {"type": 2, "payload": "Yes please"}})),
            bare("unknown3", json!({"customData": "{\"what they said\": \"Yes please\"}"})),
            bare("unknown4", json!({"Customer Reply": "Yes please"})),
        ] {
            let answer = post(&daemon, "m0", "sms", &sent).await;
            assert_eq!((answer.outcome(), answer.field("reason")), ("quarantined", "unknown_text_field"), "{sent}");
        }
        // A client that names its field is understood.
        let answer = post(&daemon, "own", "sms", &unknown).await;
        assert_eq!(answer.outcome(), "accepted", "{answer:?}");
        let answer = post(&daemon, "m0", "sms", &bare("none", json!({}))).await;
        assert_eq!((answer.outcome(), answer.field("reason")), ("ignored", "no_message"), "{answer:?}");
    }
}
