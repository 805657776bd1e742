//! What is made wrong: the built-in sample of every event, and every file in `tests/payloads`.

use crate::support::payloads;
use postroom::channels::{
    AnyChannel, email::Email, instantly::Instantly, json, linkedin::Linkedin, samples::sample,
    smartlead::Smartlead, sms::Sms,
};
use serde_json::Value;

/// A body that is right, and where it is from.
pub struct Base {
    pub channel: &'static dyn AnyChannel,
    pub name: String,
    pub body: Value,
}

pub const CHANNELS: [&dyn AnyChannel; 5] = [&Email, &Sms, &Linkedin, &Smartlead, &Instantly];

/// All of them, in an order that is always the same.
pub fn all() -> Vec<Base> {
    let mut bases = Vec::new();
    for channel in CHANNELS {
        let word = channel.name().0;
        for event in channel.events() {
            let body = sample(channel.name(), Some(event), 7).expect("a sample of every event");
            bases.push(Base { channel, name: format!("{word} {event}"), body });
        }
        for file in payloads::files(word) {
            // What is not JSON has no fields.
            if let Ok(body) = json::parse(&payloads::read(&file)) {
                bases.push(Base { channel, name: file, body });
            }
        }
    }
    bases
}
