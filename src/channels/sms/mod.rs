//! `GoHighLevel`: text messages (docs/RULES.md SMS). Messages come over two paths: the webhook
//! action of a workflow, whose body holds the contact's fields, and the webhooks of a marketplace
//! app.

mod keys;
mod marketplace;
mod sample;
mod send;
#[cfg(test)]
mod tests;
mod texts;
mod workflow;

use super::{
    Channel, EventRow, Received, fields, row,
    samples::MadeUpLead,
    sending::{Call, CallAnswer, Letter, Unsendable, end_of, in_json},
    unknown,
};
use crate::domain::{
    ChannelName, IdentityKind, Interpreted, JobKind, Medium, NotUnderstood, ProviderServer,
    SendFacts, sending::SendEnd,
};
use serde_json::Value;

/// The channel of text messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sms;

/// The id that `GoHighLevel` gives a contact.
pub const GHL_CONTACT: IdentityKind = IdentityKind::given_out("ghl_contact");

const TABLE: [EventRow; 6] = [
    row(
        workflow::EVENT,
        "accepted",
        "outbound where it says so; ignored `no_message`, `empty_message`, `other_channel`; with something like a \
         text under an unknown key quarantined `unknown_text_field`",
    ),
    row("InboundMessage", "accepted", "ignored `call`, `other_channel`, `empty_message`"),
    row("OutboundMessage", "recorded outbound", "ignored `call`, `other_channel`"),
    row(
        "ContactDndUpdate",
        "recorded do_not_disturb",
        "of SMS, on or off; an unknown lead is ignored",
    ),
    row("INSTALL", "ignored account_notice", ""),
    row("UNINSTALL", "ignored account_notice", "warning in the log"),
];

impl Channel for Sms {
    const NAME: ChannelName = ChannelName("sms");
    const MEDIUM: Medium = Medium::Text { parts: 3, chars: 160 };
    const POST_PROCESS: JobKind = JobKind("SMS_INBOUND_POST_PROCESS");
    const TABLE: &'static [EventRow] = &TABLE;
    const OTHERS: &'static str = "ignored `not_a_message`; with a text in `body` or `message` quarantined \
        `unknown_event`; a body of neither path quarantined `unknown_shape`";
    const SECRET_HEADER: Option<&'static str> = None;
    const ACCOUNT: &'static [&'static str] = &["location.id", "locationId"];
    const IDENTITIES: &'static [IdentityKind] = &[GHL_CONTACT];
    const SETTINGS: &'static [&'static str] = &["text_field", "send.from_number", "send.version"];
    const SEND: Option<SendFacts> =
        Some(SendFacts { server: ProviderServer::Shared(send::SERVER), by_rule: true });
    const MESSAGE_EVENT: &'static str = workflow::EVENT;

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
        // A contact may have a field `type`, too, so the workflow's own fields decide.
        let has = |name| fields::raw(received.body, name).is_some();
        if has("workflow") || has("contact_id") {
            return workflow::interpret(received);
        }
        match fields::get(received.body, "type") {
            Some(Value::String(event)) => marketplace::interpret(event.trim(), received),
            _ => Err(unknown(None, "unknown_shape")),
        }
    }
}
