//! `SmartLead` (docs/RULES.md SMARTLEAD). Bodies are flat; `from_email` is our mailbox in every
//! event, in replies too.

mod lead;
mod message;
mod sample;
mod send;
#[cfg(test)]
mod tests;

use self::lead::Contact;
use super::{
    Channel, EventRow, Received, fields, ignored, row,
    samples::MadeUpLead,
    sending::{Call, CallAnswer, Letter, Unsendable, end_of},
    text, times, unknown,
};
use crate::domain::{
    CampaignRef, ChannelName, Event, IdentityKind, Interpreted, JobKind, Medium, NotUnderstood,
    ProviderServer, SendFacts, Sentiment, Signal, sending::SendEnd,
};
use serde_json::Value;

/// The channel of `SmartLead`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Smartlead;

/// The id that `SmartLead` gives a lead.
pub const SMARTLEAD_LEAD: IdentityKind = IdentityKind::given_out("smartlead_lead");

const REPLY: &str = "EMAIL_REPLY";
const SENT: &str = "EMAIL_SENT";
const FIRST_SENT: &str = "FIRST_EMAIL_SENT";
const BOUNCE: &str = "EMAIL_BOUNCE";
const UNSUBSCRIBED: &str = "LEAD_UNSUBSCRIBED";
const CATEGORY: &str = "LEAD_CATEGORY_UPDATED";

/// How many characters of a report of returned mail are kept.
const REASON_CHARS: usize = 1_000;

const TABLE: [EventRow; 10] = [
    row(
        REPLY,
        "accepted",
        "outbound where our own mailbox wrote it; a bounce where a robot returned it",
    ),
    row(SENT, "recorded outbound", ""),
    row(FIRST_SENT, "recorded outbound", "shares its key with EMAIL_SENT"),
    row(BOUNCE, "recorded bounce", "ignored `sender_bounce` where our mailbox is at fault"),
    row(UNSUBSCRIBED, "recorded unsubscribe", ""),
    row(
        CATEGORY,
        "recorded category",
        "a hint on the newest reply; `Do Not Contact` is an opt-out; else an unknown lead is ignored",
    ),
    row("EMAIL_OPEN", "ignored opened", ""),
    row("EMAIL_LINK_CLICK", "ignored clicked", ""),
    row("CAMPAIGN_STATUS_CHANGED", "ignored campaign", ""),
    row("MANUAL_STEP_REACHED", "ignored campaign", ""),
];

impl Channel for Smartlead {
    const NAME: ChannelName = ChannelName("smartlead");
    const MEDIUM: Medium = Medium::Mail;
    const POST_PROCESS: JobKind = JobKind("SMARTLEAD_INBOUND_POST_PROCESS");
    const TABLE: &'static [EventRow] = &TABLE;
    const OTHERS: &'static str = "quarantined `unknown_event`, UNTRACKED_REPLIES too; a body inside another quarantined \
        `unknown_shape`";
    const SECRET_HEADER: Option<&'static str> = None;
    const SECRET_FIELD: Option<&'static str> = Some("secret_key");
    // Bodies name no account: `client_id` is a customer within the account.
    const ACCOUNT: &'static [&'static str] = &[];
    const IDENTITIES: &'static [IdentityKind] = &[SMARTLEAD_LEAD];
    const SEND: Option<SendFacts> =
        Some(SendFacts { server: ProviderServer::Shared(send::SERVER), by_rule: true });
    const MESSAGE_EVENT: &'static str = REPLY;

    fn sample(&self, event: &str, lead: &MadeUpLead) -> Value {
        sample::sample(event, lead)
    }

    fn reply_call(&self, letter: &Letter<'_>) -> Result<Call, Unsendable> {
        send::call(letter)
    }

    fn reply_answer(&self, answer: &CallAnswer) -> SendEnd {
        end_of(answer, send::taken)
    }

    fn interpret(&self, received: &Received<'_>) -> Result<Interpreted, NotUnderstood> {
        let body = received.body;
        let Some(event) = fields::get(body, "event_type").and_then(Value::as_str) else {
            let wrapped = fields::raw(body, "data.event_type").is_some();
            return Err(unknown(None, if wrapped { "unknown_shape" } else { "unknown_event" }));
        };
        let event = event.trim();
        match event {
            REPLY => reply(event, received),
            SENT | FIRST_SENT => sent(event, received),
            BOUNCE if fields::flag(body, "is_sender_originated_bounce") => {
                Ok(ignored(event, "sender_bounce"))
            }
            BOUNCE => apply(event, received, BOUNCE_TIMES, |lead| bounce(body, lead)),
            UNSUBSCRIBED => apply(event, received, &["event_timestamp"], |_| Signal::OptOut {
                reason: event.to_owned(),
            }),
            CATEGORY => apply(event, received, &["event_timestamp"], |_| category(body)),
            "EMAIL_OPEN" => Ok(ignored(event, "opened")),
            "EMAIL_LINK_CLICK" => Ok(ignored(event, "clicked")),
            "CAMPAIGN_STATUS_CHANGED" | "MANUAL_STEP_REACHED" => Ok(ignored(event, "campaign")),
            _ => Err(unknown(Some(event), "unknown_event")),
        }
    }
}

const REPLY_TIMES: &[&str] = &["time_replied", "reply_message.time", "event_timestamp"];
const BOUNCE_TIMES: &[&str] = &["bounce_message.time", "event_timestamp", "time_sent"];

fn required(event: &str, body: &Value, path: &'static str) -> Result<String, NotUnderstood> {
    fields::required(body, path).map_err(|it| it.of(event))
}

/// A reply to a mail of a campaign: from the lead, from us, or from a robot.
fn reply(event: &str, received: &Received<'_>) -> Result<Interpreted, NotUnderstood> {
    let body = received.body;
    let campaign = required(event, body, "campaign_id")?;
    let stats = required(event, body, "stats_id")?;
    apply(event, received, REPLY_TIMES, |lead| {
        if lead.is_by_robot(body) {
            return bounce(body, lead);
        }
        Signal::Message(Box::new(message::reply(body, lead, &campaign, &stats)))
    })
}

fn sent(event: &str, received: &Received<'_>) -> Result<Interpreted, NotUnderstood> {
    let body = received.body;
    let campaign = required(event, body, "campaign_id")?;
    apply(event, received, &["time_sent", "event_timestamp"], |lead| {
        Signal::Message(Box::new(message::sent(body, lead, &campaign)))
    })
}

fn bounce(body: &Value, lead: &Contact) -> Signal {
    const TEXTS: [&str; 6] = [
        "bounce_message.text",
        "bounce_message.html",
        "bounce_reply_email",
        "bounce_reply_email_preview",
        "reply_message.text",
        "preview_text",
    ];
    let told = fields::first_text(body, &TEXTS).map(|it| text::readable(Some(&it), None));
    Signal::Bounce {
        address: lead.email.clone(),
        reason: told.and_then(|it| text::shortened(&it, REASON_CHARS)),
        found_in_text: false,
    }
}

fn category(body: &Value) -> Signal {
    let name = fields::first_word(
        body,
        &["lead_category.new_name", "category", "lead_data.category.name"],
    );
    let folded = name.as_deref().map(fields::normalised).unwrap_or_default();
    let hint = match folded.as_str() {
        "interested" => Some(Sentiment::Interested),
        "not interested" => Some(Sentiment::NotInterested),
        "out of office" => Some(Sentiment::OutOfOffice),
        "meeting request" | "meeting requested" => Some(Sentiment::MeetingRequested),
        "information request" | "information requested" => Some(Sentiment::InformationRequested),
        _ => None,
    };
    Signal::Category { name, hint, opt_out: folded == "do not contact" }
}

/// The event about the lead that the body names.
fn apply(
    event: &str,
    received: &Received<'_>,
    times: &[&str],
    signal: impl FnOnce(&Contact) -> Signal,
) -> Result<Interpreted, NotUnderstood> {
    let body = received.body;
    let lead = Contact::of(received).map_err(|it| it.of(event))?;
    if lead.is_nobody() {
        return Ok(ignored(event, "unknown_lead"));
    }
    let campaign = fields::word(body, "campaign_id")
        .map(|provider_id| CampaignRef { provider_id, name: fields::word(body, "campaign_name") });
    let signal = signal(&lead);
    Ok(Interpreted::Event(Box::new(Event {
        event_type: event.to_owned(),
        identities: lead.identities(matches!(signal, Signal::Message(_))),
        lead_of_chat: None,
        campaign,
        at: times::first(body, times, received.received_at),
        signal,
        profile: lead.profile,
    })))
}
