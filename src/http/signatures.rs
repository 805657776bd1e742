//! Webhooks that are signed: `GoHighLevel`'s two signatures, and Standard Webhooks. All are over the bytes as
//! received, and every comparison takes the same time whatever is compared.

use crate::{
    config::{PublicKey, PublicKeyKind, Signature, SignatureScheme},
    domain::Timestamp,
};
use actix_web::http::header::HeaderMap;
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{hmac, signature};
use std::{sync::LazyLock, time::Duration};

/// `GoHighLevel`'s published Ed25519 key, of `X-GHL-Signature`.
const GHL_ED25519: &str = "MCowBQYDK2VwAyEAi2HR1srL4o18O8BRa7gVJY7G7bupbN3H9AwJrHCDiOg=";
/// `GoHighLevel`'s published RSA key, of the older `X-WH-Signature`.
const GHL_RSA: &str = "\
MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEAokvo/r9tVgcfZ5DysOSC\
Frm602qYV0MaAiNnX9O8KxMbiyRKWeL9JpCpVpt4XHIcBOK4u3cLSqJGOLaPuXw6\
dO0t6Q/ZVdAV5Phz+ZtzPL16iCGeK9po6D6JHBpbi989mmzMryUnQJezlYJ3DVfB\
csedpinheNnyYeFXolrJvcsjDtfAeRx5ByHQmTnSdFUzuAnC9/GepgLT9SM4nCpv\
uxmZMxrJt5Rw+VUaQ9B8JSvbMPpez4peKaJPZHBbU3OdeCVx5klVXXZQGNHOs8gF\
3kvoV5rTnXV0IknLBXlcKKAQLZcY/Q9rG6Ifi9c+5vqlvHPCUJFT5XUGG5RKgOKU\
J062fRtN+rLYZUV+BjafxQauvC8wSWeYja63VSUruvmNj8xkx2zE/Juc+yjLjTXp\
IocmaiFeAO6fUtNjDeFVkhf5LNb59vECyrHD2SQIrhgXpO4Q3dVNA5rw576PwTzN\
h/AMfHKIjE4xQA1SZuYJmNnmVZLIZBlQAF9Ntd03rfadZ+yDiOXCCs9FkHibELhC\
HULgCsnuDJHcrGNd5/Ddm5hxGQ0ASitgHeMZ0kcIOwKDOzOU53lDza6/Y09T7sYJ\
PQe7z0cvj7aE4B+Ax1ZoZGPzpJlZtGXCsu9aTEGEnKzmsFqwcSsnw3JB31IGKAyk\
T1hhTiaCeIY/OwwwNUY2yvcCAwEAAQ==";
/// What stands in the place of a signature where there is none.
const UNSIGNED: &str = "N/A";

/// What signatures say of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signed {
    /// It bears none that its channel knows.
    No,
    /// It bears one that is wrong, too old, or not its body's.
    Wrong,
    /// It is signed.
    Right {
        /// The signed id of the delivery, where the scheme has one.
        delivery_id: Option<String>,
    },
}

/// Judges the signature of a request by the scheme of its channel.
pub fn check(headers: &HeaderMap, body: &[u8], cfg: &Signature, now: Timestamp) -> Signed {
    match cfg.scheme {
        SignatureScheme::Ghl => ghl(headers, body, cfg.public_key.as_ref()),
        SignatureScheme::StandardWebhooks => standard_webhooks(headers, body, cfg, now),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|it| it.to_str().ok()).map(str::trim)
}

/// `X-GHL-Signature` decides alone where it is there; `N/A` in it is unsigned.
fn ghl(headers: &HeaderMap, body: &[u8], own: Option<&PublicKey>) -> Signed {
    let (given, published) =
        match (text(headers, "x-ghl-signature"), text(headers, "x-wh-signature")) {
            (Some(given), _) => (given, &*PUBLISHED_ED25519),
            (None, Some(given)) => (given, &*PUBLISHED_RSA),
            (None, None) => return Signed::No,
        };
    if given == UNSIGNED {
        return Signed::Wrong;
    }
    let key = own.or(published.as_ref());
    let is_right =
        key.zip(STANDARD.decode(given).ok()).is_some_and(|(key, it)| verifies(key, body, &it));
    if is_right { Signed::Right { delivery_id: None } } else { Signed::Wrong }
}

static PUBLISHED_ED25519: LazyLock<Option<PublicKey>> =
    LazyLock::new(|| PublicKey::parse(GHL_ED25519));
static PUBLISHED_RSA: LazyLock<Option<PublicKey>> = LazyLock::new(|| PublicKey::parse(GHL_RSA));

fn verifies(key: &PublicKey, body: &[u8], given: &[u8]) -> bool {
    let algorithm: &dyn signature::VerificationAlgorithm = match key.kind {
        PublicKeyKind::Ed25519 => &signature::ED25519,
        PublicKeyKind::Rsa => &signature::RSA_PKCS1_2048_8192_SHA256,
    };
    signature::UnparsedPublicKey::new(algorithm, &key.bytes).verify(body, given).is_ok()
}

/// HMAC-SHA256 over `id.timestamp.body`; several signatures and several secrets are valid at once, so that
/// either can be changed without a gap.
fn standard_webhooks(headers: &HeaderMap, body: &[u8], cfg: &Signature, now: Timestamp) -> Signed {
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let [Some(id), Some(timestamp), Some(signatures)] = names.map(|it| text(headers, it)) else {
        return Signed::No;
    };
    if !timestamp.parse().is_ok_and(|it| is_fresh(it, cfg.window, now)) {
        return Signed::Wrong;
    }
    let mut signed = Vec::with_capacity(id.len() + timestamp.len() + body.len() + 2);
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        signed.extend_from_slice(part);
    }
    let given: Vec<Vec<u8>> = signatures
        .split(' ')
        .filter_map(|it| STANDARD.decode(it.strip_prefix("v1,")?).ok())
        .collect();
    let is_right = cfg.secrets.iter().flat_map(|it| it.keys()).fold(false, |right, key| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        given.iter().fold(right, |right, it| right | hmac::verify(&key, &signed, it).is_ok())
    });
    if is_right { Signed::Right { delivery_id: Some(id.to_owned()) } } else { Signed::Wrong }
}

fn is_fresh(timestamp_s: i64, window: Duration, now: Timestamp) -> bool {
    let distance_ms = now.millis_since(Timestamp::from_millis(timestamp_s.saturating_mul(1_000)));
    u128::from(distance_ms.unsigned_abs()) <= window.as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SigningSecret;
    use actix_web::http::header::{HeaderName, HeaderValue};
    use ring::signature::{Ed25519KeyPair, KeyPair};

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
                |pairs: &[(&str, &str)], body: &[u8]| check(&headers(pairs), body, &cfg, NOW);
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
            check(&headers(&pairs), body, &cfg, NOW)
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
}
