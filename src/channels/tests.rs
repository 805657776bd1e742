//! Shared by the tests of the channels. The tests of all channels together are in
//! `tests/it/channels.rs`.

use super::{AnyChannel, Received, interpret};
use crate::domain::{
    Interpreted, NotUnderstood, Signal, Timestamp,
    event::{Direction, NewMessage},
};
use serde_json::{Value, json};

/// 2026-08-04T15:00:00Z.
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_785_855_600_000);

pub(super) fn read_at(
    channel: &dyn AnyChannel,
    body: &Value,
    received_at: Timestamp,
) -> Result<Interpreted, NotUnderstood> {
    interpret(channel, &Received { body, received_at, country: None, text_field: None })
}

pub(super) fn event(channel: &dyn AnyChannel, body: &Value) -> crate::domain::Event {
    match read_at(channel, body, NOW) {
        Ok(Interpreted::Event(event)) => *event,
        other => panic!("{other:?} of {body}"),
    }
}

pub(super) fn message(channel: &dyn AnyChannel, body: &Value) -> NewMessage {
    let Signal::Message(message) = event(channel, body).signal else {
        panic!("no message: {body}")
    };
    *message
}

/// The outcome in a word: `accepted`, `recorded …`, `ignored …` or `quarantined …`.
pub(super) fn outcome(channel: &dyn AnyChannel, body: &Value) -> String {
    match read_at(channel, body, NOW) {
        Ok(Interpreted::Ignored { reason, .. }) => format!("ignored {reason}"),
        Err(it) => format!("quarantined {}", it.reason),
        Ok(Interpreted::Event(event)) => {
            let inbound =
                matches!(&event.signal, Signal::Message(it) if it.direction == Direction::Inbound);
            if inbound {
                "accepted".to_owned()
            } else {
                format!("recorded {}", event.signal.reason())
            }
        }
    }
}

/// `body` with the value at `path` replaced, or taken out if it is the word `absent`.
pub(super) fn with(body: &Value, path: &str, value: Value) -> Value {
    let mut body = body.clone();
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let pointer: String =
        parent.split('.').filter(|it| !it.is_empty()).flat_map(|it| ["/", it]).collect();
    let map = body.pointer_mut(&pointer).unwrap().as_object_mut().unwrap();
    if value == json!("absent") {
        map.remove(name);
    } else {
        map.insert(name.to_owned(), value);
    }
    body
}
