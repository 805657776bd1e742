//! `GoHighLevel`: text messages (docs/RULES.md SMS). Two paths lead here: the webhook action of a
//! workflow, with a body of the contact's fields, and the webhooks of a marketplace app.

mod keys;
mod marketplace;
#[cfg(test)]
mod tests;
mod texts;
mod workflow;

use super::{AnyChannel, Channel, EventRow, Received, fields, names, row, unknown};
use crate::domain::{Account, ChannelName, Interpreted, JobKind, NotUnderstood};
use serde_json::Value;

/// The channel of text messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sms;

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
    const POST_PROCESS: JobKind = JobKind("SMS_INBOUND_POST_PROCESS");
    const TABLE: &'static [EventRow] = &TABLE;
    const EVENTS: &'static [&'static str] = &names(&TABLE);
    const OTHERS: &'static str = "ignored `not_a_message`; with a text in `body` or `message` quarantined \
        `unknown_event`; a body of neither path quarantined `unknown_shape`";
    const SECRET_HEADER: Option<&'static str> = None;

    fn account(&self, body: &Value) -> Account {
        fields::first_word(body, &["location.id", "locationId"])
    }

    fn interpret(&self, received: &Received<'_>) -> Result<Interpreted, NotUnderstood> {
        // Fields of a contact may be called `type` too: the workflow's own fields decide.
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

/// The name of this channel, as the opt-out rules want it.
fn name() -> &'static str {
    Sms.name().0
}
