//! The rules that each parser keeps for any input.

use crate::NOW;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use postroom::{
    channels::{
        self, Received, fields, linkedin::Linkedin, phones as numbers, text, times as clock,
    },
    config::{PublicKey, Signature, SignatureScheme, SigningSecret},
    domain::{Interpreted, Medium, mail_subject, opt_out::opt_out_words, quoted},
    http::signatures::{self as headers, Signed},
};
use serde_json::{Value, json};
use std::{str, time::Duration};

/// The text before the first `sign`, and the text behind it.
fn halves(text: &str, sign: char) -> (&str, &str) {
    text.split_once(sign).unwrap_or((text, ""))
}

/// HTML to text, quotes and footers.
pub fn texts(bytes: &[u8]) {
    let Ok(told) = str::from_utf8(bytes) else { return };
    let (plain, html) = halves(told, '\u{1}');
    for (plain, html) in [(Some(plain), Some(html)), (Some(told), None), (None, Some(told))] {
        let most = plain.map_or(0, str::len).max(html.map_or(0, str::len));
        let cleaned = text::clean(plain, html);
        assert!(cleaned.body.len() <= most, "longer than what came: {:?}", cleaned.body);
        assert_eq!(cleaned.body.trim(), cleaned.body);
        assert!(cleaned.has_new_text || cleaned.new_text().is_empty());
        let says = |it: Option<&str>| it.is_some_and(|it| !it.trim().is_empty());
        let is_empty = !says(plain) && !says(html);
        assert!(!cleaned.body.is_empty() || is_empty, "what was there is lost");
        assert!(text::readable(plain, html).len() <= most);
    }
    let short = text::shortened(told, 50);
    assert!(short.is_none_or(|it| it.chars().count() <= 50 && !it.contains('\n')));
}

/// Times, in any of their forms.
pub fn times(bytes: &[u8]) {
    let Ok(told) = str::from_utf8(bytes) else { return };
    for value in [Some(Value::from(told)), serde_json::from_str(told).ok()].into_iter().flatten() {
        let Some(read) = clock::read(&value) else { continue };
        let again = clock::read(&Value::from(read.to_string()));
        assert_eq!(again, Some(read), "{value} is {read}");
        assert!(clock::clamped(read, NOW).millis_since(NOW) <= 86_400_000);
    }
    let (date, time) = halves(told, '|');
    if let Some(read) = clock::from_words(date, time) {
        assert_eq!(clock::read(&Value::from(read.to_string())), Some(read));
    }
}

/// Phone numbers, with a country behind them.
pub fn phones(bytes: &[u8]) {
    let Ok(told) = str::from_utf8(bytes) else { return };
    let (number, country) = halves(told, '|');
    let Some(phone) = numbers::read(number, &[Some(country), Some("US")]) else { return };
    let digits = phone.shown.strip_prefix('+').unwrap_or(&phone.shown);
    assert!(digits.bytes().all(|it| it.is_ascii_digit()), "{phone:?}");
    assert!((5..=20).contains(&digits.len()), "{phone:?}");
    if let Some(known) = &phone.e164 {
        assert!(known == &phone.shown && known.starts_with('+'), "{phone:?}");
        let again = numbers::read(known, &[]).and_then(|it| it.e164);
        assert_eq!(again.as_ref(), Some(known));
    }
}

/// Names and addresses of profiles.
pub fn profile_addresses(bytes: &[u8]) {
    let Ok(told) = str::from_utf8(bytes) else { return };
    let read = |url: &str| {
        let body = json!({
            "event": "new_relation", "user_provider_id": "ACoAA1", "user_profile_url": url,
        });
        let received = Received { body: &body, received_at: NOW, country: None, text_field: None };
        match channels::interpret(&Linkedin, &received) {
            Ok(Interpreted::Event(event)) => event.identities,
            other => panic!("{other:?}"),
        }
    };
    for identity in read(told).iter().filter(|it| it.kind == channels::linkedin::PROFILE_URL) {
        let name = identity.value.strip_prefix("https://linkedin.com/in/").expect("a profile");
        assert!(!name.is_empty() && !name.contains(['/', '?', '#', ' ', '\0', '%']), "{name}");
        assert!(
            read(&identity.value).contains(identity),
            "{identity:?} is another the second time"
        );
    }
}

/// Addresses of mail, alone and in lists.
pub fn mail_addresses(bytes: &[u8]) {
    let Ok(told) = str::from_utf8(bytes) else { return };
    let is_sound = |address: &str| {
        assert_eq!(fields::email_address(address).as_deref(), Some(address), "not the second time");
        assert!(!address.contains(char::is_whitespace) && !address.contains('\0'));
        assert_eq!(address.matches('@').count(), 1);
    };
    if let Some(address) = fields::email_address(told) {
        is_sound(&address);
        fields::has_robots_name(&address);
    }
    let one = json!({"name": told, "address": told});
    for list in [json!(told), json!([told, one]), one] {
        for it in fields::addresses(&json!({"cc": list}), "cc") {
            is_sound(&it.address.expect("an address"));
            assert!(it.name.is_none_or(|it| !it.is_empty() && !it.contains('\0')));
        }
    }
}

/// Opt-out words: a channel, then a text.
pub fn opt_outs(bytes: &[u8]) {
    let Ok(told) = str::from_utf8(bytes) else { return };
    let (channel, words) = halves(told, '|');
    let medium = match channel {
        "sms" => Medium::Text { parts: 3, chars: 160 },
        _ => Medium::Mail,
    };
    for (subject, words) in [(None, words), (Some(words), "")] {
        if let Some(found) = opt_out_words(medium, subject, words) {
            assert!(!found.trim().is_empty() && found.len() < 400, "{found:?}");
        }
    }
}

/// Subjects with marks before them.
pub fn subjects(bytes: &[u8]) {
    let Ok(told) = str::from_utf8(bytes) else { return };
    let bare = mail_subject::without_marks(told);
    assert!(told.contains(bare));
    assert_eq!(mail_subject::without_marks(bare), bare, "not the second time");
    assert_eq!(mail_subject::is_delivery_report(told), mail_subject::is_delivery_report(bare));
    mail_subject::is_answer(told);
}

/// Quotes of our own text: their text, then ours.
pub fn quotes_of_ours(bytes: &[u8]) {
    let Ok(told) = str::from_utf8(bytes) else { return };
    let (theirs, ours) = halves(told, '\u{1}');
    if let Some(left) = quoted::cut_what_repeats(theirs, [ours]) {
        assert!(left.len() <= theirs.len(), "longer than what came: {left:?}");
        assert_eq!(left.trim(), left);
    }
    let spoken = text::spoken(theirs);
    assert!(spoken.body.len() <= theirs.len());
}

/// Headers of signatures, one a line, and then the body. Nobody signs right by chance.
pub fn signatures(bytes: &[u8]) {
    let mut parts = bytes.splitn(4, |it| *it == b'\n');
    let mut next = || parts.next().unwrap_or_default();
    let (one, two, three, body) = (next(), next(), next(), next());
    for (scheme, names) in [
        (
            SignatureScheme::StandardWebhooks,
            ["webhook-id", "webhook-timestamp", "webhook-signature"],
        ),
        (SignatureScheme::Ghl, ["x-ghl-signature", "x-wh-signature", "x-other"]),
    ] {
        let mut map = HeaderMap::new();
        for (name, value) in names.into_iter().zip([one, two, three]) {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                map.insert(HeaderName::from_static(name), value);
            }
        }
        let cfg = Signature {
            scheme,
            secrets: ["whsec_c2VjcmV0LW9uZS1vZi0xNg==", "plain-secret-two"]
                .map(|it| SigningSecret::parse(it).expect("a secret"))
                .into(),
            public_key: str::from_utf8(three).ok().and_then(PublicKey::parse),
            window: Duration::from_secs(u64::MAX),
        };
        let signed = headers::check(&map, body, Some(&cfg), NOW);
        assert!(matches!(signed, Signed::No | Signed::Wrong), "{signed:?}");
    }
}
