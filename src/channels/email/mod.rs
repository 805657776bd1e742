//! `EmailBison` (docs/RULES.md EMAIL). Bodies are `{event, data}`. Several events bring replies;
//! the reply itself, and not the event, tells whether it is the lead's, ours, or returned mail.

mod bounce;
mod message;
mod people;
mod sample;
mod send;
#[cfg(test)]
mod tests;

use self::people::People;
use super::{
    Channel, EventRow, Received, fields, ignored, notice, row,
    samples::MadeUpLead,
    sending::{Call, CallAnswer, Letter, Unsendable, end_of, in_json},
    times, unknown,
};
use crate::domain::{
    CampaignRef, ChannelName, Event, Identity, IdentityKind, Interpreted, JobKind, LeadProfile,
    Medium, NotUnderstood, ProviderServer, SendFacts, Signal, sending::SendEnd,
};
use serde_json::Value;

/// The channel of `EmailBison`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Email;

/// The id that `EmailBison` gives a lead.
pub const EMAILBISON_LEAD: IdentityKind = IdentityKind::given_out("emailbison_lead");

const REPLIED: &str = "LEAD_REPLIED";
const INTERESTED: &str = "LEAD_INTERESTED";
const UNTRACKED: &str = "UNTRACKED_REPLY_RECEIVED";
const MANUAL: &str = "MANUAL_EMAIL_SENT";
const BOUNCED: &str = "EMAIL_BOUNCED";
const SENT: &str = "EMAIL_SENT";
const UNSUBSCRIBED: &str = "LEAD_UNSUBSCRIBED";

const REPLY_NOTE: &str =
    "outbound where our own mailbox wrote it; a bounce where a robot returned it";
const WARNED: &str = "warning in the log";

const TABLE: [EventRow; 19] = [
    row(REPLIED, "accepted", REPLY_NOTE),
    row(INTERESTED, "accepted", "if it is stored already only its hint is applied"),
    row(UNTRACKED, "accepted", REPLY_NOTE),
    row(MANUAL, "recorded outbound", ""),
    row(BOUNCED, "recorded bounce", "of the lead's address"),
    row(SENT, "recorded outbound", ""),
    row("LEAD_FIRST_CONTACTED", "ignored same_as_email_sent", ""),
    row(UNSUBSCRIBED, "recorded unsubscribe", ""),
    row("EMAIL_OPENED", "ignored opened", ""),
    row("TAG_ATTACHED", "ignored tag", ""),
    row("TAG_REMOVED", "ignored tag", ""),
    row("EMAIL_ACCOUNT_ADDED", "ignored account_notice", ""),
    row("EMAIL_ACCOUNT_REMOVED", "ignored account_notice", WARNED),
    row("EMAIL_ACCOUNT_DISCONNECTED", "ignored account_notice", WARNED),
    row("EMAIL_ACCOUNT_RECONNECTED", "ignored account_notice", ""),
    row("WARMUP_DISABLED_RECEIVING_BOUNCES", "ignored account_notice", WARNED),
    row("WARMUP_DISABLED_CAUSING_BOUNCES", "ignored account_notice", WARNED),
    row("EMAIL_SEND_FAILED", "ignored send_failed", WARNED),
    row("MANUAL_EMAIL_SEND_FAILED", "ignored send_failed", WARNED),
];

impl Channel for Email {
    const NAME: ChannelName = ChannelName("email");
    const MEDIUM: Medium = Medium::Mail;
    const POST_PROCESS: JobKind = JobKind("EMAIL_INBOUND_POST_PROCESS");
    const TABLE: &'static [EventRow] = &TABLE;
    const OTHERS: &'static str = "quarantined `unknown_event`; a body inside another quarantined `unknown_shape`. \
        `CONTACT_…` is read as `LEAD_…`";
    const SECRET_HEADER: Option<&'static str> = None;
    const ACCOUNT: &'static [&'static str] = &["event.workspace_id"];
    const IDENTITIES: &'static [IdentityKind] = &[EMAILBISON_LEAD];
    const SETTINGS: &'static [&'static str] = &["send.sender_email_id"];
    const SEND: Option<SendFacts> = Some(SendFacts {
        server: ProviderServer::OfCustomer("https://dedi.emailbison.com"),
        by_rule: true,
    });
    const MESSAGE_EVENT: &'static str = REPLIED;

    fn sample(&self, event: &str, lead: &MadeUpLead) -> Value {
        sample::sample(event, lead)
    }

    fn reply_call(&self, letter: &Letter<'_>) -> Result<Call, Unsendable> {
        send::call(letter)
    }

    fn reply_answer(&self, answer: &CallAnswer) -> SendEnd {
        end_of(answer, |body| in_json(body, send::taken))
    }

    fn interpret(&self, received: &Received<'_>) -> Result<Interpreted, NotUnderstood> {
        let body = received.body;
        let Some(told) = event_type(body) else {
            let wrapped = fields::raw(body, "data.event").is_some();
            return Err(unknown(None, if wrapped { "unknown_shape" } else { "unknown_event" }));
        };
        // Subscriptions use small letters and deliveries use capitals; newer instances say
        // "contact".
        let name = told.to_ascii_uppercase();
        let name = name.strip_prefix("CONTACT_").map_or(name.clone(), |it| format!("LEAD_{it}"));
        let one = One { event: told, received };
        match name.as_str() {
            REPLIED | INTERESTED | UNTRACKED | MANUAL | BOUNCED => one.reply(&name),
            SENT => one.sent(),
            UNSUBSCRIBED => one.unsubscribed(),
            "LEAD_FIRST_CONTACTED" => Ok(ignored(told, "same_as_email_sent")),
            "EMAIL_OPENED" => Ok(ignored(told, "opened")),
            "TAG_ATTACHED" | "TAG_REMOVED" => Ok(ignored(told, "tag")),
            "EMAIL_SEND_FAILED" | "MANUAL_EMAIL_SEND_FAILED" => {
                Ok(notice(told, "send_failed", true))
            }
            "EMAIL_ACCOUNT_ADDED" | "EMAIL_ACCOUNT_RECONNECTED" => {
                Ok(notice(told, "account_notice", false))
            }
            _ if ["EMAIL_ACCOUNT_", "WARMUP_DISABLED_"].iter().any(|it| name.starts_with(it)) => {
                Ok(notice(told, "account_notice", true))
            }
            _ => Err(unknown(Some(told), "unknown_event")),
        }
    }
}

/// The event's name. In some bodies `event` is the name itself.
fn event_type(body: &Value) -> Option<&str> {
    let named = fields::get(body, "event.type").or_else(|| fields::get(body, "event"))?;
    named.as_str().map(str::trim)
}

/// The kinds of replies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ReplyKind {
    Inbound,
    Outbound,
    Bounce,
}

/// One event about a lead.
struct One<'a> {
    event: &'a str,
    received: &'a Received<'a>,
}

impl One<'_> {
    fn reply(&self, name: &str) -> Result<Interpreted, NotUnderstood> {
        let body = self.received.body;
        self.object("data")?;
        match kind(name, body) {
            ReplyKind::Inbound => self.inbound(name),
            ReplyKind::Outbound => {
                let id = self.required("data.reply.id")?;
                let people = People::of(body);
                let Some(to) = people.addressee(body) else {
                    return Ok(ignored(self.event, "unknown_lead"));
                };
                let signal = Signal::Message(Box::new(message::outbound(body, &id, &to)));
                let identities = people.identities(to.address);
                Ok(self.made(identities, people.profile(self.received, None), REPLY_TIMES, signal))
            }
            ReplyKind::Bounce => self.bounced(name),
        }
    }

    fn inbound(&self, name: &str) -> Result<Interpreted, NotUnderstood> {
        let body = self.received.body;
        let id = self.required("data.reply.id")?;
        // A reply to no campaign names no lead except its writer.
        let people = if name == UNTRACKED { People::none(body) } else { People::of(body) };
        let written = fields::email(body, message::WRITER);
        let lead = people.email.clone().filter(|_| name != UNTRACKED);
        let Some(writer) = written.or(lead) else {
            return Err(self.lacks(message::WRITER));
        };
        let identities = people.identities(Some(writer.clone()));
        let profile = people.profile(self.received, Some(&writer));
        let hinted = name == INTERESTED;
        let message = message::inbound(body, &id, &writer, &people, hinted);
        let mut event =
            self.event_of(identities, profile, REPLY_TIMES, Signal::Message(Box::new(message)));
        if name == UNTRACKED {
            event.campaign = None;
        }
        Ok(Interpreted::Event(Box::new(event)))
    }

    fn bounced(&self, name: &str) -> Result<Interpreted, NotUnderstood> {
        let body = self.received.body;
        // Only an object is a lead: PHP writes an empty one as `[]`.
        let is_named =
            name == BOUNCED || fields::get(body, "data.lead").is_some_and(Value::is_object);
        if !is_named {
            return self.bounced_by_text();
        }
        let (people, address) = self.lead()?;
        let Some(address) = address else { return Ok(ignored(self.event, "unknown_lead")) };
        let signal = Signal::Bounce {
            address: address.clone(),
            reason: bounce::reason(body),
            found_in_text: false,
        };
        let profile = people.profile(self.received, None);
        Ok(self.made(people.identities(Some(address)), profile, REPLY_TIMES, signal))
    }

    /// Reads a report that names no lead. It is about the address in its text.
    fn bounced_by_text(&self) -> Result<Interpreted, NotUnderstood> {
        let body = self.received.body;
        self.object("data.reply")?;
        let Some(address) = bounce::address(body) else {
            return Ok(ignored(self.event, "unknown_lead"));
        };
        let signal = Signal::Bounce {
            address: address.clone(),
            reason: bounce::reason(body),
            found_in_text: true,
        };
        let identities = vec![Identity::new(IdentityKind::MAIL_ADDRESS, address)];
        let mut event = self.event_of(identities, LeadProfile::default(), REPLY_TIMES, signal);
        event.campaign = None;
        Ok(Interpreted::Event(Box::new(event)))
    }

    fn sent(&self) -> Result<Interpreted, NotUnderstood> {
        let body = self.received.body;
        self.object("data")?;
        let id = self.required("data.scheduled_email.id")?;
        let (people, address) = self.lead()?;
        let Some(address) = address else { return Ok(ignored(self.event, "unknown_lead")) };
        let message = message::sent(body, &id, &address, &people);
        let times = &["data.scheduled_email.sent_at", "data.campaign_event.created_at"];
        let profile = people.profile(self.received, None);
        let signal = Signal::Message(Box::new(message));
        Ok(self.made(people.identities(Some(address)), profile, times, signal))
    }

    fn unsubscribed(&self) -> Result<Interpreted, NotUnderstood> {
        self.object("data")?;
        let (people, address) = self.lead()?;
        let Some(address) = address else { return Ok(ignored(self.event, "unknown_lead")) };
        let profile = people.profile(self.received, None);
        let signal = Signal::OptOut { reason: self.event.to_owned() };
        Ok(self.made(
            people.identities(Some(address)),
            profile,
            &["data.campaign_event.created_at"],
            signal,
        ))
    }

    /// The lead that the event must name, and its address; no address if that is a robot's or our
    /// own.
    fn lead(&self) -> Result<(People, Option<String>), NotUnderstood> {
        let body = self.received.body;
        if fields::email(body, "data.lead.email").is_none() {
            return Err(self.lacks("data.lead.email"));
        }
        let people = People::of(body);
        let address = people.email.clone();
        Ok((people, address))
    }

    fn required(&self, path: &'static str) -> Result<String, NotUnderstood> {
        fields::required(self.received.body, path).map_err(|it| it.of(self.event))
    }

    fn object(&self, path: &'static str) -> Result<(), NotUnderstood> {
        fields::required_object(self.received.body, path).map_err(|it| it.of(self.event))
    }

    /// The error for an address that is absent or no address.
    fn lacks(&self, path: &'static str) -> NotUnderstood {
        fields::no_address(self.received.body, path).of(self.event)
    }

    fn made(
        &self,
        identities: Vec<Identity>,
        profile: LeadProfile,
        times: &[&str],
        signal: Signal,
    ) -> Interpreted {
        Interpreted::Event(Box::new(self.event_of(identities, profile, times, signal)))
    }

    fn event_of(
        &self,
        identities: Vec<Identity>,
        profile: LeadProfile,
        times: &[&str],
        signal: Signal,
    ) -> Event {
        let body = self.received.body;
        let campaign = fields::word(body, "data.campaign.id").map(|provider_id| CampaignRef {
            provider_id,
            name: fields::word(body, "data.campaign.name"),
        });
        Event {
            event_type: self.event.to_owned(),
            identities,
            lead_of_chat: None,
            profile,
            campaign,
            at: times::first(body, times, self.received.received_at),
            signal,
        }
    }
}

const REPLY_TIMES: &[&str] =
    &["data.reply.date_received", "data.reply.received_at", "data.reply.created_at"];

/// Whether a reply is the lead's, ours or returned mail. Only some events decide that by their
/// name.
fn kind(name: &str, body: &Value) -> ReplyKind {
    let is = |path, word| {
        fields::word(body, path).is_some_and(|it: String| it.eq_ignore_ascii_case(word))
    };
    let writer = fields::email(body, message::WRITER);
    let ours = writer.as_deref().is_some_and(|it| people::is_ours(body, it));
    if name == BOUNCED {
        ReplyKind::Bounce
    } else if name == MANUAL
        || is("data.reply.type", "Outgoing Email")
        || is("data.reply.folder", "Sent")
        || ours
    {
        ReplyKind::Outbound
    } else if is("data.reply.type", "Bounced")
        || is("data.reply.folder", "Bounced")
        || writer.as_deref().is_some_and(|it| people::is_robot(body, it))
    {
        ReplyKind::Bounce
    } else {
        ReplyKind::Inbound
    }
}
