//! What holds for every registered channel: each sample is understood, each row of its table is
//! true, no body makes it panic, and docs/CHANNELS.md is up to date.

use crate::bad_bodies::bases;
use postroom::{
    channels::{AnyChannel, Received, interpret, page::page, samples, sms::Sms},
    domain::{
        Event, Interpreted, NotUnderstood, Signal, Timestamp,
        event::{Direction, NewMessage},
    },
    registry,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};

/// 2026-08-04T15:00:00Z.
const NOW: Timestamp = Timestamp::from_millis(1_785_855_600_000);

fn channels() -> Vec<Arc<dyn AnyChannel>> {
    registry::postroom().channels
}

fn read_at(
    channel: &dyn AnyChannel,
    body: &Value,
    received_at: Timestamp,
) -> Result<Interpreted, NotUnderstood> {
    interpret(channel, &Received { body, received_at, country: None, text_field: None })
}

fn event(channel: &dyn AnyChannel, body: &Value) -> Event {
    match read_at(channel, body, NOW) {
        Ok(Interpreted::Event(event)) => *event,
        other => panic!("{other:?} of {body}"),
    }
}

fn message(channel: &dyn AnyChannel, body: &Value) -> NewMessage {
    let Signal::Message(message) = event(channel, body).signal else {
        panic!("no message: {body}")
    };
    *message
}

/// The outcome in a word: `accepted`, `recorded …`, `ignored …` or `quarantined …`.
fn outcome(channel: &dyn AnyChannel, body: &Value) -> String {
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
            let sample = |unique| channel.sample(Some(event), unique).unwrap();
            assert!(!outcome(&*channel, &sample(7)).starts_with("quarantined"), "{event}");
            assert_eq!(sample(7), sample(7));
            assert_ne!(sample(7), sample(8), "{event}");
        }
        let default = |unique| channel.sample(None, unique).unwrap();
        let (one, other) = (message(&*channel, &default(1)), message(&*channel, &default(9)));
        assert_eq!(outcome(&*channel, &default(1)), "accepted");
        assert_ne!(one.keys, other.keys);
        assert_ne!(one.body, other.body);
        assert!(one.opt_out.is_none());
        assert_eq!(channel.sample(Some("no such event"), 1), None);
        for unique in [0, 63_999_999, u64::MAX] {
            let identities = event(&*channel, &default(unique)).identities;
            assert!(!identities.is_empty());
        }
    }
    let known = event(&Sms, &AnyChannel::sample(&Sms, None, u64::MAX).unwrap());
    assert_eq!(known.identities.len(), 3, "the sample's phone number exists: {known:?}");
}

/// What tells that an event came before: its message's keys, or else its lead's identities.
fn known_by(event: &Event) -> Vec<String> {
    let keys = if let Signal::Message(message) = &event.signal {
        Some(&message.keys)
    } else {
        event.signal.about()
    };
    match keys {
        Some(keys) => keys.iter().map(|it| format!("{:?} {}", it.kind, it.key)).collect(),
        None => event.identities.iter().map(|it| it.value.clone()).collect(),
    }
}

#[test]
fn no_two_samples_are_of_one_message_or_one_lead() {
    // `postroom send` numbers its leads from the clock, in nanoseconds.
    for first in [0, 1_764_000_000_000_000_000_u64] {
        for channel in channels() {
            for name in channel.events() {
                let (mut known, mut leads) = (BTreeSet::new(), BTreeSet::new());
                for unique in first..first + 300 {
                    let body = channel.sample(Some(name), unique).unwrap();
                    let Ok(Interpreted::Event(event)) = read_at(&*channel, &body, NOW) else {
                        continue;
                    };
                    for it in known_by(&event) {
                        assert!(known.insert(it.clone()), "{name}: {it} comes again");
                    }
                    for it in &event.identities {
                        assert!(leads.insert(it.clone()), "{name}: {it:?} comes again");
                    }
                }
            }
        }
    }
}

#[test]
fn a_sample_may_be_of_any_account() {
    for channel in channels() {
        for name in channel.events() {
            let body = channel.sample(Some(name), 7).unwrap();
            let named = channel.account(&body);
            let ours = samples::of_account(&*channel, body.clone(), "our-account");
            let expected = named.map(|_| "our-account".to_owned());
            assert_eq!(channel.account(&ours), expected, "{name}");
            assert_eq!(outcome(&*channel, &ours), outcome(&*channel, &body));
        }
    }
}

#[test]
fn every_row_of_the_tables_is_true_of_the_sample() {
    for channel in channels() {
        assert_eq!(channel.events().len(), channel.table().len());
        for row in channel.table() {
            let body = channel.sample(Some(row.event), 7).unwrap();
            assert_eq!(
                outcome(&*channel, &body),
                row.outcome,
                "{} {}",
                channel.name().0,
                row.event
            );
            let warned = row.note.contains("warning in the log");
            let warns = matches!(
                read_at(&*channel, &body, NOW),
                Ok(Interpreted::Ignored { warn: true, .. })
            );
            assert_eq!(warned, warns, "{} {}", channel.name().0, row.event);
        }
    }
}

/// With `UPDATE_DOCS=1` this test writes docs/CHANNELS.md.
#[test]
fn the_page_of_the_channels_is_made_of_their_tables() {
    let page = page(&channels());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/CHANNELS.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == page, "docs/CHANNELS.md is not of today: run this with UPDATE_DOCS=1");
}

/// True if the body has one of the four outcomes, with a reason if that outcome has one.
fn is_defined(channel: &dyn AnyChannel, body: &Value) -> bool {
    const WORDS: [&str; 4] = ["accepted", "recorded ", "ignored ", "quarantined "];
    let outcome = outcome(channel, body);
    WORDS.iter().any(|word| outcome.starts_with(word)) && !outcome.ends_with(' ')
}

/// True if the event keeps the rules that hold for every event, whatever its body was.
fn is_sound(event: &Event) -> bool {
    let kinds: Vec<_> = event.identities.iter().map(|it| it.kind).collect();
    let about = event.signal.about();
    let names_somebody =
        !kinds.is_empty() || event.lead_of_chat.is_some() || about.is_some_and(|it| !it.is_empty());
    let are_told = event.identities.iter().all(|it| !it.value.trim().is_empty());
    let message = if let Signal::Message(message) = &event.signal { Some(message) } else { None };
    let is_message_sound = message.is_none_or(|message| {
        !message.keys.is_empty()
            && !message.body.contains('\0')
            && (message.direction == Direction::Inbound || message.opt_out.is_none())
            && (message.direction == Direction::Outbound || event.creates_lead())
    });
    names_somebody && are_told && is_message_sound && event.at.millis_since(NOW) <= 86_400_000
}

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
            "LEAD_REPLIED",
            "UNTRACKED_REPLY_RECEIVED",
            "Bounced",
            "Sent",
            "mailer-daemon@mx.example",
            "owen@try-northbeam.example",
            "message_received",
            "message_edited",
            "ACoAABown0001KcQvXw_2pZ3YH5lJ8uTnR0sEoA",
            "https://www.linkedin.com/in/dana",
            "EMAIL_REPLY",
            "EMAIL_BOUNCE",
            "LEAD_CATEGORY_UPDATED",
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

/// Replaces the field at `path`; each step picks the key with that index. A value that has no keys
/// is replaced itself.
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

/// The body of one of the payloads or samples.
fn any_base() -> impl Strategy<Value = Value> {
    prop::sample::select(bases::all().into_iter().map(|base| base.body).collect::<Vec<Value>>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_mutation_of_a_body_panics_and_each_has_an_outcome(
        mut body in any_base(),
        changes in proptest::collection::vec(
            (proptest::collection::vec(any::<prop::sample::Index>(), 1..4), any_value()),
            0..4,
        ),
    ) {
        for (path, new) in changes {
            mutate(&mut body, &path, new);
        }
        for channel in channels() {
            channel.account(&body);
            prop_assert!(is_defined(&*channel, &body), "{body}");
            if let Ok(Interpreted::Event(event)) = read_at(&*channel, &body, NOW) {
                prop_assert!(is_sound(&event), "{event:?}");
            }
        }
    }

    #[test]
    fn no_body_panics(body in any_value()) {
        for channel in channels() {
            channel.account(&body);
            prop_assert!(is_defined(&*channel, &body), "{body}");
        }
    }
}
