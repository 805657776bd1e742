//! What happens in the day, in its order: what providers post, and what people decide.
//!
//! It begins at 20:00 UTC on 25 October 2025 and ends at 06:00. Midnight in Berlin is at 22:00 and
//! in New York at 04:00; in Berlin the clocks go back at 01:00, so that 02:00 to 03:00 comes twice.

use crate::support::{shared::with, web::channel};
use serde_json::{Value, json};

/// One thing that happens.
pub enum Step {
    /// A provider posts it this many times at once. One post gets this outcome, the others
    /// `duplicate`.
    Post { who: Who, channel: &'static str, body: Value, times: usize, told: &'static str },
    /// A provider tells back what it has sent for us to this lead, under its own id.
    Echo(Who, &'static str, Value),
    /// A person decides about the newest draft of a lead, or about its delivery.
    Person(Who, Decision),
    /// The provider fails so.
    Fail(&'static str),
    /// What a person approves is sent at once from now on; until then it can be taken back.
    NoUndo,
}

pub enum Decision {
    Approve,
    Undo,
    Reject(&'static str),
    Edit(&'static str),
    ResolveSent,
}

/// A person, by the client and by the number of the sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Who(pub &'static str, pub u64);

pub const COST: &str = "Hey, yes I'm interested. What does it cost?";
const CALL: &str = "Can you call me tomorrow after 3?";
const INFO: &str = "Could you send me more info about how this works?";
const LATER: &str = "Not now, please try again next month.";
/// [`LATER`] after its writer has edited it.
const IN_MAY: &str = "Not now, please try again in May.";
const NO: &str = "We already have somebody for this, thanks.";
const THANKS: &str = "Thanks!";
const AWAY: &str = "I am out of office until Monday.";
const TWO: &str = "What does it cost? And how long does it take?";
const GERMAN: &str = "Was kostet das denn?";

/// What each text means, for the model.
pub const MEANINGS: [(&str, &str); 10] = [
    (COST, "Information Requested"),
    (CALL, "Call Requested"),
    (INFO, "Information Requested"),
    (LATER, "Follow Up"),
    (IN_MAY, "Follow Up"),
    (NO, "Not Interested"),
    (THANKS, "Neutral"),
    (AWAY, "Out of Office"),
    (TWO, "Information Requested"),
    (GERMAN, "Information Requested"),
];

const CHANNELS: [&str; 5] = ["email", "sms", "linkedin", "smartlead", "instantly"];

pub fn sample(name: &str, event: Option<&str>, number: u64) -> Value {
    channel(name).sample(event, number).expect("a sample")
}

/// The given name of a lead.
pub fn first_name(number: u64) -> String {
    sample("sms", None, number)["first_name"].as_str().unwrap().to_owned()
}

/// The body of a message of that lead with that text, written at `at`. `number` is the message's.
fn says(name: &str, lead: u64, number: u64, text: &str, at: &str) -> Value {
    let at = format!("2025-10-{at}");
    match name {
        "email" => with(
            sample(name, Some("LEAD_REPLIED"), lead),
            json!({
                "data.reply.id": 500_000 + number, "data.reply.uuid": format!("u-{number}"),
                "data.reply.text_body": text, "data.reply.html_body": null,
                "data.reply.date_received": at,
            }),
        ),
        "sms" => with(
            sample(name, Some("InboundMessage"), lead),
            json!({
                "body": text, "messageId": format!("sms-{number}"), "webhookId": format!("hook-{number}"),
                "dateAdded": at,
            }),
        ),
        "linkedin" => with(
            sample(name, Some("message_received"), lead),
            json!({"message": text, "message_id": format!("chat-{number}"), "timestamp": at}),
        ),
        "smartlead" => with(
            sample(name, Some("EMAIL_REPLY"), lead),
            json!({
                "reply_message.text": text, "reply_message.html": null, "reply_body": null,
                "preview_text": text, "reply_message.message_id": format!("<{number}@mail.example>"),
                "message_id": format!("<{number}@mail.example>"), "time_replied": at,
            }),
        ),
        _ => with(
            sample(name, Some("reply_received"), lead),
            json!({
                "email_id": format!("mail-{number}"), "reply_text": text, "reply_html": null,
                "reply_text_snippet": text, "timestamp": at,
            }),
        ),
    }
}

/// A message that is posted for the first time.
fn message(who: Who, channel: &'static str, text: &str, at: &str) -> Step {
    again(who, channel, text, at, 1, "accepted")
}

/// The same, posted so many times at once.
fn again(
    who: Who,
    channel: &'static str,
    text: &str,
    at: &str,
    times: usize,
    told: &'static str,
) -> Step {
    // The same text of a lead at the same time is the same message.
    let number = text
        .bytes()
        .chain(at.bytes())
        .fold(who.1, |sum, byte| (sum * 31 + u64::from(byte)) % 1_000_003);
    Step::Post { who, channel, body: says(channel, who.1, number, text, at), times, told }
}

/// Another event.
fn event(
    who: Who,
    channel: &'static str,
    event: &str,
    changes: Value,
    times: usize,
    told: &'static str,
) -> Step {
    Step::Post {
        who,
        channel,
        body: with(sample(channel, Some(event), who.1), changes),
        times,
        told,
    }
}

/// When our first messages were sent, in a body that names the time at this path.
fn sent(path: &str) -> Value {
    json!({path: "2025-10-25T20:00:00Z"})
}

/// A text message that names the lead's mail address and zone, and no time: it is of now.
fn text_by_workflow(who: Who, text: &str, zone: Option<&str>) -> Step {
    let changes = json!({"message.body": text, "timezone": zone});
    event(who, "sms", "workflow", changes, 1, "accepted")
}

const fn now(number: u64) -> Who {
    Who("now", number)
}

const fn ask(number: u64) -> Who {
    Who("ask", number)
}

const fn hours(number: u64) -> Who {
    Who("hours", number)
}

const fn gate(number: u64) -> Who {
    Who("gate", number)
}

/// The parts of the day. All that one part sets off has ended before the next begins.
pub fn parts() -> Vec<Vec<Step>> {
    vec![
        campaign(),
        replies(),
        berlin_midnight(),
        clock_change(),
        clock_change_again(),
        gated(),
        asked(),
        decided_with_undo(),
        decided(),
        failing(),
        after_failing(),
        held(),
        held_then_changed(),
        merged(),
        merged_then(),
    ]
}

/// Evening: our own first messages, some told twice.
fn campaign() -> Vec<Step> {
    let mut steps = vec![
        event(
            now(1),
            "email",
            "EMAIL_SENT",
            sent("data.scheduled_email.sent_at"),
            2,
            "recorded outbound",
        ),
        event(now(2), "sms", "OutboundMessage", sent("dateAdded"), 1, "recorded outbound"),
        event(
            now(3),
            "linkedin",
            "message_received",
            json!({"sender.attendee_provider_id": "ACoAABown0001SamplE", "is_sender": true, "message": "Hello!", "message_id": "first-3", "timestamp": "2025-10-25T20:00:00Z"}),
            1,
            "recorded outbound",
        ),
        event(now(4), "smartlead", "EMAIL_SENT", sent("time_sent"), 1, "recorded outbound"),
        event(now(5), "instantly", "email_sent", sent("timestamp"), 2, "recorded outbound"),
        event(now(1), "email", "EMAIL_OPENED", json!({}), 1, "ignored opened"),
        event(
            now(6),
            "email",
            "EMAIL_SENT",
            sent("data.scheduled_email.sent_at"),
            1,
            "recorded outbound",
        ),
        event(now(6), "email", "EMAIL_BOUNCED", json!({}), 2, "recorded bounce"),
    ];
    // A machine answers at once.
    steps.push(event(
        now(7),
        "instantly",
        "auto_reply_received",
        json!({"reply_text": AWAY, "reply_text_snippet": AWAY, "reply_html": null}),
        1,
        "accepted",
    ));
    steps.push(event(
        now(8),
        "email",
        "LEAD_REPLIED",
        json!({"data.reply.automated_reply": true, "data.reply.text_body": COST, "data.reply.html_body": null}),
        1,
        "accepted",
    ));
    steps
}

/// Before midnight in Berlin: one answer on each channel, some posted several times at once.
fn replies() -> Vec<Step> {
    vec![
        again(now(1), "email", COST, "25T21:10:00Z", 3, "accepted"),
        again(now(2), "sms", CALL, "25T21:20:00Z", 2, "accepted"),
        again(now(3), "linkedin", INFO, "25T21:30:00Z", 2, "accepted"),
        message(now(4), "smartlead", LATER, "25T21:40:00Z"),
        message(now(5), "instantly", COST, "25T21:59:59Z"),
        // A mail to this address bounced, and text messages reach the lead.
        text_by_workflow(now(6), COST, None),
        // Opted out by words, and by the provider.
        message(now(9), "sms", "STOP", "25T21:50:00Z"),
        event(now(10), "smartlead", "LEAD_UNSUBSCRIBED", json!({}), 2, "recorded unsubscribe"),
        event(
            now(12),
            "instantly",
            "reply_received",
            json!({"event_type": "something_new"}),
            1,
            "quarantined unknown_event",
        ),
    ]
}

/// After midnight in Berlin. What was answered before is not answered again.
fn berlin_midnight() -> Vec<Step> {
    vec![
        // The provider tells our answer back, and tells an old event again.
        Step::Echo(
            now(3),
            "linkedin",
            with(
                sample("linkedin", Some("message_received"), 3),
                json!({
                    "sender.attendee_provider_id": "ACoAABown0001SamplE", "is_sender": true,
                    "message": format!("Hi {}, the price list is on its way.", first_name(3)),
                }),
            ),
        ),
        again(now(2), "sms", CALL, "25T21:20:00Z", 2, "duplicate"),
        message(now(1), "email", THANKS, "25T22:00:00Z"),
        message(now(4), "smartlead", NO, "25T22:00:01Z"),
        // Whoever has opted out stays so, whatever comes.
        message(now(9), "sms", COST, "25T22:30:00Z"),
        message(now(10), "smartlead", COST, "25T22:31:00Z"),
        // A demand in plain words ends what was begun.
        message(now(5), "instantly", "Bitte keine weiteren Mails.", "25T22:40:00Z"),
        event(now(2), "sms", "ContactDndUpdate", json!({}), 2, "recorded do_not_disturb"),
        event(now(3), "linkedin", "message_reaction", json!({}), 1, "ignored reaction"),
        event(now(3), "linkedin", "new_relation", json!({}), 1, "recorded connected"),
    ]
}

/// The hour that comes twice: 02:30 summer time is before 02:10 winter time.
fn clock_change() -> Vec<Step> {
    vec![
        message(now(20), "email", COST, "26T02:10:00+01:00"),
        message(now(21), "instantly", INFO, "26T02:30:00+02:00"),
        message(now(22), "sms", CALL, "26T02:10:00+01:00"),
        // Do-not-disturb stops text messages only.
        message(now(2), "sms", COST, "26T01:30:00Z"),
    ]
}

/// The other one of each, which comes too late or in time.
fn clock_change_again() -> Vec<Step> {
    vec![
        message(now(20), "email", CALL, "26T02:30:00+02:00"),
        // This one is newer. Our answer of today is newer still, so that no rule answers it.
        message(now(21), "instantly", CALL, "26T02:10:00+01:00"),
        message(now(22), "sms", COST, "26T02:30:00+02:00"),
        message(now(23), "linkedin", INFO, "26T03:59:59Z"),
        event(
            now(2),
            "sms",
            "ContactDndUpdate",
            json!({"dnd": false, "dndSettings.SMS.status": "inactive"}),
            1,
            "recorded do_not_disturb",
        ),
    ]
}

/// A client whose gate decides: its own template to one question passes.
fn gated() -> Vec<Step> {
    let mut steps = Vec::new();
    for (number, channel) in (30..).zip(CHANNELS) {
        steps.push(message(gate(number), channel, COST, "26T04:10:00Z"));
        steps.push(message(gate(number + 10), channel, TWO, "26T04:11:00Z"));
    }
    steps
}

/// A client whose people decide: one lead for each channel and text.
fn asked() -> Vec<Step> {
    let texts = [COST, CALL, LATER, NO, GERMAN];
    let mut steps = Vec::new();
    for (tens, channel) in (10..).zip(CHANNELS) {
        for (ones, text) in (0..).zip(texts) {
            steps.push(message(ask(10 * tens + ones), channel, text, "26T04:20:00Z"));
        }
    }
    steps
}

/// After midnight in New York: people decide, and can take it back.
fn decided_with_undo() -> Vec<Step> {
    use Decision::{Approve, Edit, Reject, Undo};
    vec![
        Step::Person(ask(100), Approve),
        Step::Person(ask(100), Undo),
        Step::Person(ask(110), Edit("Hi, it is 10 a month.")),
        Step::Person(ask(120), Reject("too pushy")),
        // A newer message, on any channel, supersedes.
        message(ask(130), "instantly", CALL, "26T04:30:00Z"),
        message(ask(101), "email", "Please unsubscribe me from this list.", "26T04:31:00Z"),
        event(ask(111), "sms", "ContactDndUpdate", json!({}), 1, "recorded do_not_disturb"),
        event(ask(132), "smartlead", "EMAIL_BOUNCE", json!({}), 2, "recorded bounce"),
        event(ask(141), "instantly", "lead_unsubscribed", json!({}), 1, "recorded unsubscribe"),
        event(
            ask(121),
            "linkedin",
            "message_deleted",
            json!({"message_id": chat(121, CALL)}),
            2,
            "recorded deleted",
        ),
        event(
            ask(122),
            "linkedin",
            "message_edited",
            json!({"message_id": chat(122, LATER), "message": IN_MAY}),
            1,
            "recorded edited",
        ),
        event(
            ask(123),
            "linkedin",
            "message_edited",
            json!({"message_id": "nobody-knows", "message": "Hm"}),
            1,
            "ignored unknown_message",
        ),
        event(ask(133), "smartlead", "LEAD_CATEGORY_UPDATED", json!({}), 1, "recorded category"),
        Step::NoUndo,
    ]
}

/// The id of a chat message of the client whose people decide.
fn chat(lead: u64, text: &str) -> String {
    let Step::Post { body, .. } = message(ask(lead), "linkedin", text, "26T04:20:00Z") else {
        unreachable!("it is a message")
    };
    body["message_id"].as_str().unwrap().to_owned()
}

fn decided() -> Vec<Step> {
    use Decision::Approve;
    vec![
        Step::Person(ask(100), Approve),
        Step::Person(ask(110), Approve),
        Step::Person(ask(122), Approve),
        Step::Person(ask(130), Approve),
        Step::Person(ask(140), Approve),
    ]
}

/// The providers fail, each in its way.
fn failing() -> Vec<Step> {
    vec![
        Step::Fail("smartlead/500*1"),
        Step::Fail("instantly/422*1"),
        Step::Fail("email/close*1"),
        Step::Fail("sms/429:1*1"),
        message(now(50), "smartlead", COST, "26T05:00:00Z"),
        message(now(51), "instantly", COST, "26T05:01:00Z"),
        message(now(52), "email", COST, "26T05:02:00Z"),
        message(now(53), "sms", COST, "26T05:03:00Z"),
    ]
}

/// A person looks into what nobody knows.
fn after_failing() -> Vec<Step> {
    vec![Step::Person(now(50), Decision::ResolveSent)]
}

/// A client that answers only in its hours, which begin at a midnight that is ahead.
fn held() -> Vec<Step> {
    let zoned =
        |number: u64, text: &str, zone: Option<&str>| text_by_workflow(hours(number), text, zone);
    vec![
        zoned(60, COST, Some("Europe/Berlin")),
        zoned(61, COST, Some("America/New_York")),
        zoned(62, COST, None),
        zoned(63, COST, Some("Europe/Berlin")),
        zoned(64, CALL, Some("America/New_York")),
        zoned(65, CALL, Some("America/New_York")),
    ]
}

/// While its answers wait for their hour, things change.
fn held_then_changed() -> Vec<Step> {
    vec![
        text_by_workflow(hours(63), CALL, None),
        text_by_workflow(hours(64), "STOP", None),
        // A person does not wait for the hours.
        Step::Person(hours(65), Decision::Approve),
    ]
}

/// One person under two names: by mail and by number.
fn merged() -> Vec<Step> {
    vec![
        message(ask(70), "instantly", COST, "26T05:30:00Z"),
        message(ask(70), "sms", CALL, "26T05:31:00Z"),
        message(ask(71), "email", COST, "26T05:32:00Z"),
        message(ask(71), "sms", "STOP", "26T05:33:00Z"),
    ]
}

/// A body that names both shows that they are one.
fn merged_then() -> Vec<Step> {
    vec![text_by_workflow(ask(70), INFO, None), text_by_workflow(ask(71), COST, None)]
}
