//! `GoHighLevel`: text messages (docs/RULES.md SMS). Two paths lead here: the webhook action of a
//! workflow, with a body of the contact's fields, and the webhooks of a marketplace app.

mod keys;
mod marketplace;
#[cfg(test)]
mod tests;
mod workflow;

use super::{AnyChannel, Channel, Received, fields, unknown};
use crate::domain::{Account, ChannelName, Interpreted, JobKind, NotUnderstood};
use serde_json::Value;

/// The channel of text messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sms;

impl Channel for Sms {
    const NAME: ChannelName = ChannelName("sms");
    const POST_PROCESS: JobKind = JobKind("SMS_INBOUND_POST_PROCESS");
    const EVENTS: &'static [&'static str] = &[
        workflow::EVENT,
        "InboundMessage",
        "OutboundMessage",
        "ContactDndUpdate",
        "INSTALL",
        "UNINSTALL",
    ];
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
