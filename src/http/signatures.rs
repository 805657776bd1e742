//! Signatures of webhooks: the two of `GoHighLevel`, and Standard Webhooks. All are over the bytes
//! as received, and every comparison takes the same time whatever is compared.
//!
//! What is computed depends on the request alone: each kind of signature that it has is checked. If
//! its client is unknown or has no key for that kind, a key that nobody signs with stands in, and
//! the result is dropped. So the time of an answer does not tell whether there is such a client.

use crate::{
    channels::times,
    config::{
        PUBLISHED_ED25519, PUBLISHED_RSA, PublicKey, PublicKeyKind, Signature, SignatureScheme,
    },
    domain::Timestamp,
    ingest::SignedTime,
};
use actix_web::http::header::HeaderMap;
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{hmac, signature};
use serde_json::Value;
use spki::der::{Decode as _, Reader as _, SliceReader, asn1::UintRef};
use std::{hint::black_box, time::Duration};
use subtle::ConstantTimeEq as _;

/// The headers that hold a signature.
const HEADERS: [&str; 3] = [GHL_ED25519_HEADER, GHL_RSA_HEADER, STANDARD_HEADER];
const GHL_ED25519_HEADER: &str = "x-ghl-signature";
const GHL_RSA_HEADER: &str = "x-wh-signature";
const STANDARD_HEADER: &str = "webhook-signature";
/// A Standard Webhooks signature is computed with at least this many keys: two secrets, each of
/// which may stand for two keys.
const KEYS_MIN: usize = 4;
const ED25519_SIGNATURE_BYTES: usize = 64;

/// The header value by which `GoHighLevel` marks an unsigned request.
const UNSIGNED: &str = "N/A";

/// What the signatures of a request prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signed {
    /// It has none that the settings of its channel name.
    No,
    /// Its signature is wrong, or its time lies outside of the window.
    Wrong,
    /// Its signature is right.
    Right {
        /// The signed id of the delivery, if the scheme has one.
        delivery_id: Option<String>,
    },
}

/// True if a request has a signature of any kind.
pub(super) fn is_borne(headers: &HeaderMap) -> bool {
    HEADERS.iter().any(|name| headers.contains_key(*name))
}

/// Judges the signatures of a request by the settings of its client's channel, if there are any.
pub fn check(
    headers: &HeaderMap,
    body: &[u8],
    settings: Option<&Signature>,
    now: Timestamp,
) -> Signed {
    let of = |scheme| settings.filter(|cfg| cfg.scheme == scheme);
    let (by_ghl, by_standard) = (of(SignatureScheme::Ghl), of(SignatureScheme::StandardWebhooks));
    let ghl = ghl(headers, body, by_ghl);
    let standard = standard_webhooks(headers, body, by_standard, now);
    if by_ghl.is_some() {
        ghl
    } else if by_standard.is_some() {
        standard
    } else {
        Signed::No
    }
}

/// The field in which `GoHighLevel` says when it made a body, which is signed with it.
pub const GHL_TIME: &str = "timestamp";

/// The time at which a body with a right signature was signed. Standard Webhooks signs a header
/// with the time, which has been judged with the signature. `GoHighLevel` signs a time in the body.
pub fn time_of(cfg: &Signature, json: &Value, now: Timestamp) -> SignedTime {
    match cfg.scheme {
        SignatureScheme::StandardWebhooks => SignedTime::InWindow,
        SignatureScheme::Ghl => match json.get(GHL_TIME).and_then(times::read) {
            None => SignedTime::Untold { field: GHL_TIME },
            Some(at) if is_within(at, cfg.window, now) => SignedTime::InWindow,
            Some(_) => SignedTime::OutOfWindow,
        },
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|it| it.to_str().ok()).map(str::trim)
}

/// Checks the signatures of `GoHighLevel`. If `X-GHL-Signature` is there, it decides alone.
fn ghl(headers: &HeaderMap, body: &[u8], settings: Option<&Signature>) -> Signed {
    let (given, published) =
        match (text(headers, GHL_ED25519_HEADER), text(headers, GHL_RSA_HEADER)) {
            (Some(given), _) => (given, &*PUBLISHED_ED25519),
            (None, Some(given)) => (given, &*PUBLISHED_RSA),
            (None, None) => return Signed::No,
        };
    if given == UNSIGNED {
        return Signed::Wrong;
    }
    let Ok(given) = STANDARD.decode(given) else { return Signed::Wrong };
    let key = settings.and_then(|cfg| cfg.public_key.as_ref().or(published.as_ref()));
    // A key whose signatures have another length cannot have signed it, and its check would end too
    // soon.
    let key = key.filter(|key| signature_bytes(key).is_none_or(|bytes| bytes == given.len()));
    let is_right = match (key, stand_in(given.len(), published.as_ref())) {
        (Some(key), _) => verifies(key, body, &given),
        (None, Some(key)) => {
            black_box(verifies(&key, body, &given));
            false
        }
        (None, None) => false,
    };
    if is_right { Signed::Right { delivery_id: None } } else { Signed::Wrong }
}

/// How many bytes a signature by `key` has; `None` if the key cannot be read.
fn signature_bytes(key: &PublicKey) -> Option<usize> {
    match key.kind {
        PublicKeyKind::Ed25519 => Some(ED25519_SIGNATURE_BYTES),
        // RFC 8017, A.1.1: a sequence of modulus and exponent.
        PublicKeyKind::Rsa => SliceReader::new(&key.bytes)
            .and_then(|mut reader| {
                reader.sequence(|numbers| {
                    let (modulus, _) = (UintRef::decode(numbers)?, UintRef::decode(numbers)?);
                    Ok(modulus.as_bytes().len())
                })
            })
            .ok(),
    }
}

/// The stand-in key for signatures of `bytes` bytes, used when the client has none: the published
/// key if it fits. `None` if no key makes such signatures.
fn stand_in(bytes: usize, published: Option<&PublicKey>) -> Option<PublicKey> {
    if let Some(published) = published.filter(|key| signature_bytes(key) == Some(bytes)) {
        return Some(published.clone());
    }
    match bytes {
        ED25519_SIGNATURE_BYTES => PUBLISHED_ED25519.clone(),
        256..=1_024 => Some(PublicKey { kind: PublicKeyKind::Rsa, bytes: odd_modulus(bytes)? }),
        _ => None,
    }
}

/// An RSA public key, in DER, whose modulus is some odd number of `bytes` bytes. Nobody can sign
/// with it, and a check takes as long as by any other key.
fn odd_modulus(bytes: usize) -> Option<Vec<u8>> {
    const EXPONENT: [u8; 5] = [0x02, 0x03, 0x01, 0x00, 0x01];
    let long = |tag: u8, length: usize| {
        let [high, low] = u16::try_from(length).ok()?.to_be_bytes();
        Some([tag, 0x82, high, low])
    };
    let mut modulus = vec![0xd5; bytes];
    *modulus.last_mut()? = 0xd7;
    let integer = [&long(0x02, bytes + 1)?[..], &[0], &modulus].concat();
    Some([&long(0x30, integer.len() + EXPONENT.len())?[..], &integer, &EXPONENT].concat())
}

fn verifies(key: &PublicKey, body: &[u8], given: &[u8]) -> bool {
    let algorithm: &dyn signature::VerificationAlgorithm = match key.kind {
        PublicKeyKind::Ed25519 => &signature::ED25519,
        PublicKeyKind::Rsa => &signature::RSA_PKCS1_2048_8192_SHA256,
    };
    #[cfg(test)]
    tests::WORK.with_borrow_mut(|work| work.push((key.kind, signature_bytes(key))));
    signature::UnparsedPublicKey::new(algorithm, &key.bytes).verify(body, given).is_ok()
}

/// Checks a Standard Webhooks signature: HMAC-SHA256 over `id.timestamp.body`. Several signatures
/// and several secrets are valid at once, so that a secret can be changed without a gap.
fn standard_webhooks(
    headers: &HeaderMap,
    body: &[u8],
    settings: Option<&Signature>,
    now: Timestamp,
) -> Signed {
    /// A key that nobody has.
    const STAND_IN: &[u8] = b"nobody signs with this key, and what comes of it is forgotten";
    let names = ["webhook-id", "webhook-timestamp", STANDARD_HEADER];
    let [Some(id), Some(timestamp), Some(signatures)] = names.map(|name| text(headers, name))
    else {
        return Signed::No;
    };
    let Ok(signed_at) = timestamp.parse() else { return Signed::Wrong };
    let given: Vec<Vec<u8>> = signatures
        .split(' ')
        .filter_map(|value| STANDARD.decode(value.strip_prefix("v1,")?).ok())
        .collect();
    let matches = |key: &[u8]| {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            context.update(part);
        }
        #[cfg(test)]
        tests::HMACS.with_borrow_mut(|count| *count += 1);
        let tag = context.sign();
        let is = |signature: &Vec<u8>| bool::from(tag.as_ref().ct_eq(signature));
        given.iter().fold(false, |right, it| right | is(it))
    };
    let mut key_count = 0;
    let mut is_right = false;
    for key in settings.iter().flat_map(|it| &it.secrets).flat_map(|it| it.keys()) {
        key_count += 1;
        is_right |= matches(key);
    }
    for _ in key_count..KEYS_MIN {
        black_box(matches(STAND_IN));
    }
    // Judged last, because the window is in the settings of the client.
    let is_fresh = settings.is_some_and(|cfg| is_fresh(signed_at, cfg.window, now));
    if is_right && is_fresh {
        Signed::Right { delivery_id: Some(id.to_owned()) }
    } else {
        Signed::Wrong
    }
}

fn is_fresh(timestamp_s: i64, window: Duration, now: Timestamp) -> bool {
    is_within(Timestamp::from_millis(timestamp_s.saturating_mul(1_000)), window, now)
}

fn is_within(at: Timestamp, window: Duration, now: Timestamp) -> bool {
    let distance_ms = now.millis_since(at);
    u128::from(distance_ms.unsigned_abs()) <= window.as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SigningSecret;
    use actix_web::http::header::{HeaderName, HeaderValue};
    use ring::signature::{Ed25519KeyPair, KeyPair};
    use std::cell::RefCell;

    thread_local! {
        /// What was verified by public keys, and the length of its signatures.
        pub(super) static WORK: RefCell<Vec<(PublicKeyKind, Option<usize>)>> =
            const { RefCell::new(Vec::new()) };
        /// How many times a body went through HMAC.
        pub(super) static HMACS: RefCell<usize> = const { RefCell::new(0) };
    }

    const NOW: Timestamp = Timestamp::from_millis(1_764_000_000_000);
    const BODY: &[u8] = b"{\"type\":\"InboundMessage\"}\xff";

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        headers
    }

    fn settings(scheme: SignatureScheme, secrets: &[&str], key: Option<String>) -> Signature {
        Signature {
            scheme,
            secrets: secrets.iter().map(|it| SigningSecret::parse(it).unwrap()).collect(),
            public_key: key.map(|it| PublicKey::parse(&it).unwrap()),
            window: Duration::from_secs(300),
        }
    }

    #[test]
    fn the_published_keys_can_be_read() {
        assert!(
            PUBLISHED_ED25519
                .as_ref()
                .is_some_and(|it| it.kind == PublicKeyKind::Ed25519 && it.bytes.len() == 32)
        );
        assert!(
            PUBLISHED_RSA
                .as_ref()
                .is_some_and(|it| it.kind == PublicKeyKind::Rsa && it.bytes.len() > 500)
        );
    }

    #[test]
    fn an_ed25519_signature_decides_alone() {
        let random = ring::rand::SystemRandom::new();
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let mut spki = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        spki.extend_from_slice(pair.public_key().as_ref());
        let key = STANDARD.encode(&spki);
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n");
        let good = STANDARD.encode(pair.sign(BODY));
        for key in [key, pem] {
            let cfg = settings(SignatureScheme::Ghl, &[], Some(key));
            let judge =
                |pairs: &[(&str, &str)], body: &[u8]| check(&headers(pairs), body, Some(&cfg), NOW);
            assert_eq!(
                judge(&[("x-ghl-signature", &good)], BODY),
                Signed::Right { delivery_id: None }
            );
            assert_eq!(judge(&[("x-ghl-signature", &good)], b"{}"), Signed::Wrong);
            assert_eq!(
                judge(&[("x-ghl-signature", "N/A"), ("x-wh-signature", &good)], BODY),
                Signed::Wrong
            );
            assert_eq!(judge(&[("x-ghl-signature", "not base64!")], BODY), Signed::Wrong);
            assert_eq!(judge(&[], BODY), Signed::No);
        }
    }

    #[test]
    fn the_time_of_a_signed_ghl_body_lies_within_the_window_on_either_side() {
        let ghl = settings(SignatureScheme::Ghl, &[], None);
        let iso = |seconds: i64| NOW.plus_millis(seconds * 1_000).to_string();
        for (time, is_in_time, is_told) in [
            (serde_json::json!(iso(0)), true, true),
            (serde_json::json!(iso(-300)), true, true),
            (serde_json::json!(iso(300)), true, true),
            (serde_json::json!(iso(-301)), false, true),
            (serde_json::json!(iso(301)), false, true),
            (serde_json::json!(1_763_999_700), true, true),
            (serde_json::json!("1763999699"), false, true),
            (serde_json::json!(1e300), false, true),
            (serde_json::json!(null), true, false),
            (serde_json::json!(""), true, false),
            (serde_json::json!("yesterday"), true, false),
            (serde_json::json!({"at": 1}), true, false),
        ] {
            let body = serde_json::json!({"timestamp": time});
            let judged = time_of(&ghl, &body, NOW);
            assert_eq!(judged != SignedTime::OutOfWindow, is_in_time, "{body}");
            let untold = SignedTime::Untold { field: "timestamp" };
            assert_eq!(judged == untold, !is_told, "{body}");
            let other = settings(SignatureScheme::StandardWebhooks, &[], None);
            assert_eq!(time_of(&other, &body, NOW), SignedTime::InWindow);
        }
        let list = time_of(&ghl, &serde_json::json!([1]), NOW);
        assert!(matches!(list, SignedTime::Untold { .. }));
    }

    #[test]
    fn standard_webhooks_takes_any_of_its_secrets_within_the_window() {
        let cfg = settings(
            SignatureScheme::StandardWebhooks,
            &["whsec_c2VjcmV0LW9uZS1vZi0xNg==", "plain-secret-two"],
            None,
        );
        let sign = |secret: &[u8], timestamp: &str| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            let mut signed = format!("msg_1.{timestamp}.").into_bytes();
            signed.extend_from_slice(BODY);
            format!("v1,{}", STANDARD.encode(hmac::sign(&key, &signed)))
        };
        let judge = |timestamp: &str, signatures: &str, body: &[u8]| {
            let pairs = [
                ("webhook-id", "msg_1"),
                ("webhook-timestamp", timestamp),
                ("webhook-signature", signatures),
            ];
            check(&headers(&pairs), body, Some(&cfg), NOW)
        };
        let right = Signed::Right { delivery_id: Some("msg_1".to_owned()) };
        assert_eq!(judge("1764000000", &sign(b"secret-one-of-16", "1764000000"), BODY), right);
        assert_eq!(judge("1763999700", &sign(b"plain-secret-two", "1763999700"), BODY), right);
        let two = format!("v1,AAAA v2,xyz {}", sign(b"plain-secret-two", "1764000000"));
        assert_eq!(judge("1764000000", &two, BODY), right);
        assert_eq!(
            judge("1763999699", &sign(b"plain-secret-two", "1763999699"), BODY),
            Signed::Wrong
        );
        assert_eq!(
            judge("1764000301", &sign(b"plain-secret-two", "1764000301"), BODY),
            Signed::Wrong
        );
        assert_eq!(
            judge("1764000000", &sign(b"plain-secret-two", "1764000000"), b"{}"),
            Signed::Wrong
        );
        assert_eq!(judge("1764000000", &sign(b"stranger", "1764000000"), BODY), Signed::Wrong);
        assert_eq!(judge("now", &sign(b"plain-secret-two", "now"), BODY), Signed::Wrong);
    }

    /// What is worked out for a request of a client with these settings.
    fn work(
        pairs: &[(&str, &str)],
        settings: Option<&Signature>,
    ) -> (Vec<(PublicKeyKind, Option<usize>)>, usize) {
        WORK.take();
        HMACS.take();
        assert!(!matches!(check(&headers(pairs), BODY, settings, NOW), Signed::Right { .. }));
        (WORK.take(), HMACS.take())
    }

    #[test]
    fn the_work_depends_on_the_request_alone() {
        use PublicKeyKind::{Ed25519, Rsa};
        let own_rsa = PublicKey { kind: Rsa, bytes: odd_modulus(256).unwrap() };
        let ghl = settings(SignatureScheme::Ghl, &[], None);
        let ghl_own = |key| Signature { public_key: Some(key), ..ghl.clone() };
        let standard = |secrets: &[&str], window_s| Signature {
            window: Duration::from_secs(window_s),
            ..settings(SignatureScheme::StandardWebhooks, secrets, None)
        };
        let clients = [
            None,
            Some(ghl.clone()),
            Some(ghl_own(PUBLISHED_ED25519.clone().unwrap())),
            Some(ghl_own(PUBLISHED_RSA.clone().unwrap())),
            Some(ghl_own(own_rsa)),
            Some(standard(&["whsec_c2VjcmV0LW9uZS1vZi0xNg=="], 300)),
            Some(standard(&["whsec_c2VjcmV0LW9uZS1vZi0xNg==", "plain-secret-two"], 3_600)),
            Some(standard(&["plain-secret-one", "plain-secret-two"], 1)),
        ];
        let of_length = |bytes| STANDARD.encode(vec![7_u8; bytes]);
        let (short, ed25519) = (of_length(10), of_length(64));
        let (rsa_2048, rsa_3072, rsa_4096) = (of_length(256), of_length(384), of_length(512));
        let tag = format!("v1,{}", of_length(32));
        for (ghl_header, wh_header, standard_at, expected) in [
            (None, None, None, vec![]),
            (Some(&ed25519), None, None, vec![(Ed25519, Some(64))]),
            (None, Some(&ed25519), None, vec![(Ed25519, Some(64))]),
            (Some(&rsa_4096), None, None, vec![(Rsa, Some(512))]),
            (None, Some(&rsa_2048), None, vec![(Rsa, Some(256))]),
            (None, Some(&rsa_3072), None, vec![(Rsa, Some(384))]),
            (None, Some(&rsa_4096), None, vec![(Rsa, Some(512))]),
            (Some(&ed25519), Some(&rsa_4096), None, vec![(Ed25519, Some(64))]),
            (Some(&short), Some(&rsa_4096), None, vec![]),
            (Some(&"N/A".to_owned()), Some(&rsa_4096), None, vec![]),
            (None, None, Some("1764000000"), vec![]),
            (None, None, Some("1"), vec![]),
            (None, None, Some("1763999000"), vec![]),
            (Some(&ed25519), None, Some("1764000000"), vec![(Ed25519, Some(64))]),
        ] {
            let mut pairs = Vec::new();
            pairs.extend(ghl_header.map(|it| ("x-ghl-signature", it.as_str())));
            pairs.extend(wh_header.map(|it| ("x-wh-signature", it.as_str())));
            if let Some(at) = standard_at {
                pairs.extend([("webhook-id", "msg_1"), ("webhook-timestamp", at)]);
                pairs.push(("webhook-signature", &tag));
            }
            let hmacs = if standard_at.is_some() { KEYS_MIN } else { 0 };
            for client in &clients {
                assert_eq!(work(&pairs, client.as_ref()), (expected.clone(), hmacs), "{client:?}");
            }
        }
    }

    #[test]
    fn a_key_that_stands_in_is_one_that_can_be_checked_with() {
        for bytes in [256, 257, 384, 512, 1_024] {
            let key = stand_in(bytes, None).unwrap();
            assert_eq!((key.kind, signature_bytes(&key)), (PublicKeyKind::Rsa, Some(bytes)));
        }
        assert_eq!(PUBLISHED_RSA.as_ref().and_then(signature_bytes), Some(512));
        for bytes in [0, 32, 63, 65, 255, 1_025] {
            assert!(stand_in(bytes, PUBLISHED_RSA.as_ref()).is_none(), "{bytes}");
        }
    }

    #[test]
    fn many_signatures_cost_no_more_passes_over_the_body() {
        let many = "v1,AAAA ".repeat(2_000);
        let pairs =
            [("webhook-id", "m"), ("webhook-timestamp", "1764000000"), (STANDARD_HEADER, &*many)];
        let client =
            settings(SignatureScheme::StandardWebhooks, &["whsec_c2VjcmV0LW9uZS1vZi0xNg=="], None);
        assert_eq!(work(&pairs, Some(&client)).1, KEYS_MIN);
    }
}
