//! The sound bodies that the tests damage: the built-in sample of every event, and every file in
//! `tests/payloads`.

use crate::support::payloads;
use postroom::{
    channels::{AnyChannel, json},
    registry,
};
use serde_json::Value;
use std::sync::{Arc, LazyLock};

/// A body that is right, and where it is from.
pub struct Base {
    pub channel: &'static dyn AnyChannel,
    pub name: String,
    pub body: Value,
    /// False for the sample of an event.
    pub is_file: bool,
}

static CHANNELS: LazyLock<Vec<Arc<dyn AnyChannel>>> =
    LazyLock::new(|| registry::postroom().channels);

/// Postroom's channels.
pub fn channels() -> impl Iterator<Item = &'static dyn AnyChannel> {
    CHANNELS.iter().map(AsRef::as_ref)
}

/// All sound bodies, in an order that is always the same.
pub fn all() -> Vec<Base> {
    let mut bases = Vec::new();
    for channel in channels() {
        let word = channel.name().0;
        for event in channel.events() {
            let body = channel.sample(Some(event), 7).expect("a sample of every event");
            bases.push(Base { channel, name: format!("{word} {event}"), body, is_file: false });
        }
        for file in payloads::files(word) {
            // What is not JSON has no fields.
            if let Ok(body) = json::parse(&payloads::read(&file)) {
                bases.push(Base { channel, name: file, body, is_file: true });
            }
        }
    }
    bases
}
