//! Fuzz targets for everything that reads a stranger's bytes. `cargo test` runs each target for a
//! moment, on its seeds and on random input; `just fuzz` runs it for as long as it is told, guided
//! by code coverage.
//!
//! A fault that was found has a test beside its parser. Here are the rules that hold for any input.

#![cfg(test)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    clippy::allow_attributes,
    unreachable_pub,
    dead_code,
    reason = "a target that meets what it does not expect fails; parts are shared with tests/it"
)]

#[path = "../../it/bad_bodies/bases.rs"]
mod bases;
#[path = "../../it/bad_bodies/duties.rs"]
mod duties;
mod parsers;
mod seeds;
#[path = "../../it/bad_bodies/sound.rs"]
mod sound;

/// The support of the other tests that `bases` uses.
#[path = "../../it/support"]
mod support {
    pub mod payloads;
}

use postroom::{
    channels::{self, AnyChannel, Received, json, masks::Masks},
    domain::Timestamp,
};

/// 2026-08-04T15:00:00Z.
const NOW: Timestamp = Timestamp::from_millis(1_785_855_600_000);

/// Reads a body as the HTTP side does.
fn body(channel: &dyn AnyChannel, bytes: &[u8]) {
    let Ok(body) = json::parse(bytes) else { return };
    assert_eq!(
        json::parse(body.to_string().as_bytes()).as_ref(),
        Ok(&body),
        "not as it was written"
    );
    channel.account(&body);
    if let Some(field) = channel.secret_field() {
        let masked = Masks::new(Some(field), []).body(bytes, &body);
        let masked = masked.map_or_else(|| bytes.to_vec(), |it| it.to_string().into_bytes());
        let masked = json::parse(&masked).expect("what is masked is JSON");
        assert!(body.get(field).is_none() || masked.get(field) == Some(&"***".into()));
    }
    let received =
        Received { body: &body, received_at: NOW, country: Some("US"), text_field: None };
    let made = channels::interpret(channel, &received);
    if let Err(fault) = sound::fault(&made, bytes.len(), NOW) {
        panic!("{fault}: {made:?}");
    }
    let reasons = duties::reasons(channel.name().0, &body);
    match &made {
        Err(it) => {
            let possible = duties::possible(channel.name().0, &body);
            let is_right = reasons.contains(&it.reason) || possible.contains(&it.reason);
            assert!(is_right, "{it:?}, not {reasons:?} {possible:?}");
        }
        Ok(it) => assert!(reasons.is_empty(), "{it:?}, though {reasons:?}"),
    }
}

/// A target of that name, which reads bytes.
macro_rules! targets {
    ($($name:ident: $read:expr;)*) => {
        const TARGETS: &[&str] = &[$(stringify!($name)),*];

        $(
            #[test]
            fn $name() {
                let read: fn(&[u8]) = $read;
                for seed in seeds::of(stringify!($name)) {
                    read(&seed);
                }
                bolero::check!().for_each(|bytes: &[u8]| read(bytes));
            }
        )*
    };
}

targets! {
    email_bodies: |bytes| body(&channels::email::Email, bytes);
    sms_bodies: |bytes| body(&channels::sms::Sms, bytes);
    linkedin_bodies: |bytes| body(&channels::linkedin::Linkedin, bytes);
    smartlead_bodies: |bytes| body(&channels::smartlead::Smartlead, bytes);
    instantly_bodies: |bytes| body(&channels::instantly::Instantly, bytes);
    texts: parsers::texts;
    times: parsers::times;
    phones: parsers::phones;
    profile_addresses: parsers::profile_addresses;
    mail_addresses: parsers::mail_addresses;
    opt_outs: parsers::opt_outs;
    subjects: parsers::subjects;
    quotes_of_ours: parsers::quotes_of_ours;
    signatures: parsers::signatures;
}

#[test]
fn every_channel_is_a_target_and_every_target_has_seeds() {
    for channel in postroom::registry::postroom().channels {
        let name = format!("{}_bodies", channel.name());
        assert!(TARGETS.contains(&name.as_str()), "{name}");
    }
    for target in TARGETS {
        assert!(!seeds::of(target).is_empty(), "{target}");
    }
}

/// Writes the seeds where a fuzzer looks for them:
/// `CORPORA=folder cargo test -p fuzz write_the_seeds -- --ignored`.
#[test]
#[ignore = "a tool of `just fuzz`"]
fn write_the_seeds() {
    let folder = std::env::var_os("CORPORA").expect("CORPORA names a folder");
    for target in TARGETS {
        let folder = std::path::Path::new(&folder).join(target);
        std::fs::create_dir_all(&folder).unwrap();
        for (number, seed) in seeds::of(target).into_iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), seed).unwrap();
        }
    }
}
