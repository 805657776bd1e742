//! Instantly v2 (docs/RULES.md INSTANTLY). Bodies are flat; a lead's variables are keys beside the
//! provider's own keys.

mod message;
mod sample;
mod send;
#[cfg(test)]
mod tests;

use super::{
    Channel, EventRow, Received, fields,
    fields::FieldError,
    ignored, notice, phones, row,
    samples::MadeUpLead,
    sending::{Call, CallAnswer, Letter, Unsendable, end_of, in_json},
    times, unknown,
};
use crate::domain::{
    CampaignRef, ChannelName, Event, Identity, IdentityKind, Interpreted, JobKind, LeadProfile,
    Medium, NotUnderstood, ProviderServer, SendFacts, Sentiment, Signal, mail_subject,
    sending::SendEnd,
};
use serde_json::Value;

/// The channel of Instantly.
#[derive(Clone, Copy, Debug, Default)]
pub struct Instantly;

const REPLY: &str = "reply_received";
const AUTO_REPLY: &str = "auto_reply_received";
const SENT: &str = "email_sent";

const HINTED: &str = "a hint on the newest reply; an unknown lead is ignored";

const TABLE: [EventRow; 19] = [
    row(REPLY, "accepted", ""),
    row(AUTO_REPLY, "accepted", "marked as automated; shares its key with the reply"),
    row(SENT, "recorded outbound", ""),
    row("email_bounced", "recorded bounce", "of the lead's address"),
    row("lead_unsubscribed", "recorded unsubscribe", "also as `unsubscribed`"),
    row("lead_interested", "recorded interested", HINTED),
    row("lead_not_interested", "recorded interested", HINTED),
    row("lead_out_of_office", "recorded interested", HINTED),
    row("lead_meeting_booked", "recorded interested", HINTED),
    row("lead_wrong_person", "recorded interested", HINTED),
    row("email_opened", "ignored opened", ""),
    row("link_clicked", "ignored clicked", ""),
    row("campaign_completed", "ignored campaign", ""),
    row("supersearch_enrichment_completed", "ignored campaign", ""),
    row("lead_neutral", "ignored status", ""),
    row("lead_closed", "ignored status", ""),
    row("lead_meeting_completed", "ignored status", ""),
    row("lead_no_show", "ignored status", ""),
    row("account_error", "ignored account_notice", "warning in the log"),
];

impl Channel for Instantly {
    const NAME: ChannelName = ChannelName("instantly");
    const MEDIUM: Medium = Medium::Mail;
    const POST_PROCESS: JobKind = JobKind("INSTANTLY_INBOUND_POST_PROCESS");
    const TABLE: &'static [EventRow] = &TABLE;
    const OTHERS: &'static str = "ignored `custom_label`; with `email_id` and a reply's text quarantined `unknown_event`; \
        no name at all: quarantined `unknown_event`";
    const SECRET_HEADER: Option<&'static str> = Some("X-Instantly-Secret");
    const ACCOUNT: &'static [&'static str] = &["workspace"];
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
        end_of(answer, |body| in_json(body, send::taken))
    }

    fn interpret(&self, received: &Received<'_>) -> Result<Interpreted, NotUnderstood> {
        let body = received.body;
        let Some(event) = event_type(body) else {
            let reason = if is_wrapped(body) { "unknown_shape" } else { "unknown_event" };
            return Err(unknown(None, reason));
        };
        if let Some(sentiment) = hint(event) {
            return apply(event, received, |_| Signal::Hint { sentiment, word: "interested" });
        }
        match event {
            REPLY | AUTO_REPLY => apply(event, received, |lead| {
                Signal::Message(Box::new(message::reply(body, lead, event == AUTO_REPLY)))
            }),
            SENT => {
                apply(event, received, |lead| Signal::Message(Box::new(message::sent(body, lead))))
            }
            "email_bounced" => apply(event, received, |lead| Signal::Bounce {
                address: lead.email.clone(),
                reason: None,
                found_in_text: false,
            }),
            "lead_unsubscribed" | "unsubscribed" => {
                apply(event, received, |_| Signal::OptOut { reason: event.to_owned() })
            }
            "email_opened" => Ok(ignored(event, "opened")),
            "link_clicked" | "email_link_clicked" => Ok(ignored(event, "clicked")),
            "campaign_completed" | "supersearch_enrichment_completed" => {
                Ok(ignored(event, "campaign"))
            }
            "lead_neutral" | "lead_closed" | "lead_meeting_completed" | "lead_no_show" => {
                Ok(ignored(event, "status"))
            }
            "account_error" => Ok(notice(event, "account_notice", true)),
            _ if may_be_a_reply(body) => Err(unknown(Some(event), "unknown_event")),
            _ => Ok(ignored(event, "custom_label")),
        }
    }
}

/// The event's name; older bodies have it in `type`. Labels that people made up come as they are
/// written, so nothing is folded.
fn event_type(body: &Value) -> Option<&str> {
    ["event_type", "type"].iter().find_map(|path| fields::get(body, path)?.as_str()).map(str::trim)
}

/// A body inside another.
fn is_wrapped(body: &Value) -> bool {
    ["data.event_type", "data.type", "data.event"]
        .iter()
        .any(|path| fields::get(body, path).is_some())
}

fn may_be_a_reply(body: &Value) -> bool {
    fields::word(body, "email_id").is_some()
        && fields::first_text(body, &["reply_text", "reply_html"]).is_some()
}

fn hint(event: &str) -> Option<Sentiment> {
    match event {
        "lead_interested" => Some(Sentiment::Interested),
        "lead_not_interested" | "lead_wrong_person" => Some(Sentiment::NotInterested),
        "lead_out_of_office" => Some(Sentiment::OutOfOffice),
        "lead_meeting_booked" => Some(Sentiment::MeetingBooked),
        _ => None,
    }
}

/// The event about the lead that the body names.
fn apply(
    event: &str,
    received: &Received<'_>,
    signal: impl FnOnce(&InstantlyLead) -> Signal,
) -> Result<Interpreted, NotUnderstood> {
    let body = received.body;
    let lead = InstantlyLead::of(received).map_err(|it| it.of(event))?;
    // A machine that returns mail, or our own mailbox, is nobody's lead (docs/RULES.md P13).
    if is_report(body, &lead.email)
        || fields::email(body, "email_account").as_ref() == Some(&lead.email)
    {
        return Ok(ignored(event, "unknown_lead"));
    }
    let campaign = fields::word(body, "campaign_id")
        .map(|provider_id| CampaignRef { provider_id, name: fields::word(body, "campaign_name") });
    Ok(Interpreted::Event(Box::new(Event {
        event_type: event.to_owned(),
        identities: vec![Identity::new(IdentityKind::MAIL_ADDRESS, lead.email.clone())],
        lead_of_chat: None,
        campaign,
        at: times::first(body, &["timestamp"], received.received_at),
        signal: signal(&lead),
        profile: lead.profile,
    })))
}

/// True if a robot returned mail: both its name and the subject say so. The campaign's own lead who
/// answers is a person, even if its name is a robot's.
fn is_report(body: &Value, address: &str) -> bool {
    let subject = fields::text(body, "reply_subject").unwrap_or_default();
    fields::has_robots_name(address) && mail_subject::is_delivery_report(&subject)
}

/// The lead, as the body describes it.
struct InstantlyLead {
    email: String,
    name: Option<String>,
    profile: LeadProfile,
}

impl InstantlyLead {
    fn of(received: &Received<'_>) -> Result<Self, FieldError> {
        const ADDRESSES: [&str; 3] = ["lead_email", "email", "contact_email"];
        let body = received.body;
        let email = ADDRESSES.iter().find_map(|path| fields::email(body, path));
        let email = email.ok_or_else(|| fields::no_address(body, "lead_email"))?;
        let first = fields::first_word(body, &["firstName", "First_name", "first_name"]);
        let last = fields::first_word(body, &["lastName", "Last_name", "last_name"]);
        let (first_name, last_name) = match (&first, fields::word(body, "contact_name")) {
            (None, Some(full)) if last.is_none() => fields::split_name(&full),
            _ => (first, last),
        };
        let name = [first_name.as_deref(), last_name.as_deref()];
        let name = name.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let country = fields::first_word(body, &["country", "Country"]);
        let phone = fields::first_word(body, &["phone", "Phone"])
            .and_then(|it| phones::read(&it, &[country.as_deref(), received.country]));
        let profile = LeadProfile {
            first_name,
            last_name,
            company_name: fields::first_word(
                body,
                &["companyName", "Company_name", "company_name"],
            ),
            title: fields::first_word(
                body,
                &["title", "Title", "jobTitle", "Job_title", "job_title"],
            ),
            email: Some(email.clone()),
            phone: phone.map(|it| it.shown),
            timezone: fields::timezone(body, "timezone"),
        };
        Ok(Self { email, name: (!name.is_empty()).then_some(name), profile })
    }
}
