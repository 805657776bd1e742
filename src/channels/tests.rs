//! What holds for every channel: each built-in sample is understood, and no body makes any panic.

use super::{AnyChannel, Received, instantly::Instantly, interpret, json, samples, sms::Sms};
use crate::domain::{
    Interpreted, NotUnderstood, Signal, Timestamp,
    event::{Direction, NewMessage},
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// 2026-08-04T15:00:00Z.
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_785_855_600_000);

pub(super) fn channels() -> [Box<dyn AnyChannel>; 2] {
    [Box::new(Sms), Box::new(Instantly)]
}

pub(super) fn read_at(
    channel: &dyn AnyChannel,
    body: &Value,
    received_at: Timestamp,
) -> Result<Interpreted, NotUnderstood> {
    interpret(channel, &Received { body, received_at, country: None })
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

#[test]
fn p4_what_is_no_object_is_no_event() {
    for channel in channels() {
        for body in
            [json!([]), json!([{"type": "x"}]), json!("x"), json!(3), json!(true), json!(null)]
        {
            assert_eq!(outcome(&*channel, &body), "quarantined not_an_object");
        }
    }
}

#[test]
fn every_sample_is_understood_and_unlike_the_next() {
    for channel in channels() {
        for event in channel.events() {
            let sample = |unique| samples::sample(channel.name(), Some(event), unique).unwrap();
            assert!(!outcome(&*channel, &sample(7)).starts_with("quarantined"), "{event}");
            assert_eq!(sample(7), sample(7));
            assert_ne!(sample(7), sample(8), "{event}");
        }
        let default = |unique| samples::sample(channel.name(), None, unique).unwrap();
        let (one, other) = (message(&*channel, &default(1)), message(&*channel, &default(9)));
        assert_eq!(outcome(&*channel, &default(1)), "accepted");
        assert_ne!(one.keys, other.keys);
        assert_ne!(one.body, other.body);
        assert!(one.opt_out.is_none());
        assert_eq!(samples::sample(channel.name(), Some("no such event"), 1), None);
        for unique in [0, 63_999_999, u64::MAX] {
            let identities = event(&*channel, &default(unique)).identities;
            assert!(!identities.is_empty());
        }
    }
    let known = event(&Sms, &samples::sample(Sms.name(), None, u64::MAX).unwrap());
    assert_eq!(known.identities.len(), 3, "the sample's phone number exists: {known:?}");
}

const BODIES: [&str; 8] = [
    include_str!("../../tests/payloads/ghl/workflow_sms-1.json"),
    include_str!("../../tests/payloads/ghl/inbound_message-2.json"),
    include_str!("../../tests/payloads/ghl/contact_dnd_update-1.json"),
    include_str!("../../tests/payloads/ghl/workflow_empty-1.json"),
    include_str!("../../tests/payloads/instantly/reply_received-1.json"),
    include_str!("../../tests/payloads/instantly/email_sent-3.json"),
    include_str!("../../tests/payloads/instantly/lead_interested-1.json"),
    include_str!("../../tests/payloads/instantly/email_bounced-1.json"),
];

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        prop::sample::select(vec![
            "N/A",
            "STOP",
            "+16145550142",
            "a@b.example",
            "outbound",
            "reply_received",
            "2026-01-18",
            "Jan 18th, 2026",
            "7:33 PM",
            "\0",
            "InboundMessage",
            "lead_interested",
            "US",
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-zA-Z_]{1,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Replaces the field that is reached by taking at each level the key of that index.
fn mutate(value: &mut Value, path: &[prop::sample::Index], new: Value) {
    let Some((index, rest)) = path.split_first() else {
        *value = new;
        return;
    };
    match value.as_object_mut() {
        Some(map) if !map.is_empty() => {
            let key = map.keys().nth(index.index(map.len())).unwrap().clone();
            mutate(map.get_mut(&key).unwrap(), rest, new);
        }
        _ => *value = new,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_mutation_of_a_body_panics(
        base in prop::sample::select(BODIES.to_vec()),
        changes in proptest::collection::vec(
            (proptest::collection::vec(any::<prop::sample::Index>(), 1..3), any_value()),
            0..4,
        ),
    ) {
        let mut body = json::parse(base.as_bytes()).unwrap();
        for (path, new) in changes {
            mutate(&mut body, &path, new);
        }
        for channel in channels() {
            channel.account(&body);
            if let Ok(Interpreted::Event(event)) = read_at(&*channel, &body, NOW) {
                prop_assert!(!event.identities.is_empty());
                prop_assert!(event.at.millis_since(NOW) <= 86_400_000);
                if let Signal::Message(message) = event.signal {
                    prop_assert!(!message.keys.is_empty());
                    prop_assert!(!message.body.contains('\0'));
                }
            }
        }
    }

    #[test]
    fn no_body_panics(body in any_value()) {
        for channel in channels() {
            channel.account(&body);
            read_at(&*channel, &body, NOW).ok();
        }
    }
}
