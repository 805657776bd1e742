//! Secrets and public keys that webhooks are signed with. They are parsed when the configuration is
//! loaded, and a wrong one is refused then: later it would show as an unexplained 401.

use super::strength::{CHANNEL_CHARS_MIN, flaw};
use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use spki::{
    DecodePublicKey as _, Document, SubjectPublicKeyInfoRef,
    der::{Decode as _, Reader as _, SliceReader, asn1::UintRef},
};
use std::{fmt, sync::LazyLock};

/// Accepts base64 with or without padding, since people copy it either way.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: [GeneralPurpose; 2] =
    [GeneralPurpose::new(&STANDARD, LENIENT), GeneralPurpose::new(&URL_SAFE, LENIENT)];

/// The prefix of Standard Webhooks secrets. Base64 follows it.
const SECRET_PREFIX: &str = "whsec_";
/// The version of the scheme, which some dashboards show before the secret.
const VERSION_PREFIX: &str = "v1,";
/// The prefixes of the keys of Standard Webhooks' asymmetric scheme.
const ASYMMETRIC_PREFIXES: [&str; 3] = ["v1a,", "whsk_", "whpk_"];

/// The least length of the key that the base64 after the prefix decodes to, in bytes.
const KEY_BYTES_MIN: usize = 16;

const OID_ED25519: &str = "1.3.101.112";
const OID_RSA: &str = "1.2.840.113549.1.1.1";

/// A signing secret of Standard Webhooks. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret {
    /// The keys that the text may mean: one or two. Never empty.
    keys: Vec<Vec<u8>>,
}

impl SigningSecret {
    /// Reads `whsec_` and base64 of at least 16 bytes, the same behind `v1,`, or any other text of
    /// at least 16 characters.
    ///
    /// A text without prefix may be the key itself, or base64 that lost its prefix. If it can be
    /// both, a signature by either key is accepted: to know one is to know the other.
    ///
    /// # Errors
    /// What is wrong with the text, to be read after the key's name. It does not show the secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(prefix) =
            ASYMMETRIC_PREFIXES.into_iter().find(|prefix| text.starts_with(prefix))
        {
            return Err(format!(
                "begins with `{prefix}`: keys of the asymmetric scheme are not taken, only secrets \
                 (`{SECRET_PREFIX}…`)"
            ));
        }
        let unversioned = text.strip_prefix(VERSION_PREFIX);
        match unversioned.unwrap_or(text).strip_prefix(SECRET_PREFIX) {
            Some("") => Err(format!("is empty behind `{SECRET_PREFIX}`")),
            Some(encoded) => match decoded(encoded) {
                Some(key) if key.len() < KEY_BYTES_MIN => Err(format!(
                    "is base64 of {} bytes behind `{SECRET_PREFIX}`, and at least {KEY_BYTES_MIN} are needed",
                    key.len()
                )),
                Some(key) => Ok(Self { keys: vec![key] }),
                None => Err(format!("is not base64 behind `{SECRET_PREFIX}`")),
            },
            None if unversioned.is_some() => Err(format!(
                "begins with `{VERSION_PREFIX}` and goes on without `{SECRET_PREFIX}`: take the \
                 secret, not a signature"
            )),
            None => {
                if let Some(reason) = flaw(text, CHANNEL_CHARS_MIN) {
                    return Err(reason);
                }
                let keys = [Some(text.as_bytes().to_vec()), decoded(text)];
                Ok(Self { keys: keys.into_iter().flatten().collect() })
            }
        }
    }

    /// The keys that the secret may mean, at least one. They must not be shown.
    pub fn keys(&self) -> &[Vec<u8>] {
        &self.keys
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(super::value::MASK)
    }
}

/// The bytes that `text` is base64 of, in either alphabet; `None` if it is not, or encodes nothing.
fn decoded(text: &str) -> Option<Vec<u8>> {
    BASE64.iter().find_map(|engine| engine.decode(text).ok()).filter(|bytes| !bytes.is_empty())
}

/// The kind of signatures that a public key verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicKeyKind {
    /// Ed25519 signatures over the body.
    Ed25519,
    /// RSA signatures over the body (PKCS#1 v1.5 with SHA-256).
    Rsa,
}

/// `GoHighLevel`'s published Ed25519 key, for `X-GHL-Signature`.
const GHL_ED25519: &str = "MCowBQYDK2VwAyEAi2HR1srL4o18O8BRa7gVJY7G7bupbN3H9AwJrHCDiOg=";
/// `GoHighLevel`'s published RSA key, for the older `X-WH-Signature`.
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
/// `GoHighLevel`'s published Ed25519 key, parsed.
pub static PUBLISHED_ED25519: LazyLock<Option<PublicKey>> =
    LazyLock::new(|| PublicKey::parse(GHL_ED25519));
/// `GoHighLevel`'s published RSA key, parsed.
pub static PUBLISHED_RSA: LazyLock<Option<PublicKey>> = LazyLock::new(|| PublicKey::parse(GHL_RSA));

/// A public key that verifies the signatures of webhooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// The kind of signatures that it verifies.
    pub kind: PublicKeyKind,
    /// The key in the form that its algorithm takes: 32 bytes for Ed25519, a DER `RSAPublicKey` for
    /// RSA.
    pub bytes: Vec<u8>,
}

impl PublicKey {
    /// True for a key that the provider has published: it signs for all its customers.
    pub(super) fn is_published(&self) -> bool {
        [&PUBLISHED_ED25519, &PUBLISHED_RSA]
            .into_iter()
            .any(|published| published.as_ref() == Some(self))
    }

    /// Reads PEM, or the base64 inside it: a `SubjectPublicKeyInfo` in DER (RFC 5280). `None` also
    /// for an unsafe key, for example one for which anybody can make valid signatures.
    pub fn parse(text: &str) -> Option<Self> {
        let document = if text.contains("BEGIN") {
            Document::from_public_key_pem(text.trim()).ok()?
        } else {
            let compact: String = text.split_whitespace().collect();
            Document::from_public_key_der(&decoded(&compact)?).ok()?
        };
        let info: SubjectPublicKeyInfoRef<'_> = document.decode_msg().ok()?;
        let bytes = info.subject_public_key.as_bytes()?;
        let (kind, is_usable) = match info.algorithm.oid.to_string().as_str() {
            OID_ED25519 => (PublicKeyKind::Ed25519, is_point(bytes)),
            OID_RSA => (PublicKeyKind::Rsa, is_modulus(bytes)),
            _ => return None,
        };
        is_usable.then(|| Self { kind, bytes: bytes.to_vec() })
    }
}

/// True for an Ed25519 key: 32 bytes that are not a point of small order. For such a point (all
/// zeros is one) anybody can make valid signatures.
fn is_point(key: &[u8]) -> bool {
    let Ok(mut y) = <[u8; 32]>::try_from(key) else { return false };
    // The highest bit is the sign of x. The points are of small order with either sign.
    if let Some(last) = y.last_mut() {
        *last &= 0x7f;
    }
    let is_of_order_8 = SMALL_ORDER_8.contains(&y);
    // Also of small order are y = 0 and 1, and y = p - 1, p and p + 1, where p = 2^255 - 19.
    let is_near = |first: std::ops::RangeInclusive<u8>, middle: u8, last: u8| match y.as_slice() {
        [start, between @ .., end] => {
            first.contains(start) && between.iter().all(|byte| *byte == middle) && *end == last
        }
        _ => false,
    };
    !is_of_order_8 && !is_near(0..=1, 0, 0) && !is_near(0xec..=0xee, 0xff, 0x7f)
}

/// The y coordinates of the points of order 8, little-endian.
const SMALL_ORDER_8: [[u8; 32]; 2] = [
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

/// True for an `RSAPublicKey` (RFC 8017) with an odd modulus of 2,048 to 8,192 bits and an odd
/// exponent of 2 to 33 bits, the only ones that signatures are verified with.
fn is_modulus(key: &[u8]) -> bool {
    let numbers = SliceReader::new(key).and_then(|mut der| {
        der.sequence(|inner| Ok((UintRef::decode(inner)?, UintRef::decode(inner)?)))
    });
    let Ok((modulus, exponent)) = numbers else { return false };
    let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
    let bits = |number: &[u8]| {
        let first = number.first().map_or(0, |byte| byte.leading_zeros());
        u32::try_from(number.len()).unwrap_or(u32::MAX).saturating_mul(8).saturating_sub(first)
    };
    let (modulus, exponent) = (modulus.as_bytes(), exponent.as_bytes());
    is_odd(modulus)
        && is_odd(exponent)
        && (2_048..=8_192).contains(&bits(modulus))
        && (2..=33).contains(&bits(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EC: &str = "\
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAELdzRaeROhkXK5a/sm3WceJtog6jmRfQK+baEzfp8FBtYA+/BFiUWuW\
H814wK5kExHqA28CFRoU7Nk+IaaLM2vg==";
    const RSA_1024: &str = "\
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDPiMsQdc3vH2J8yJ+uH6h98OCNX0wWs983XxbL12rNJS00QWgevJ\
6jpu8Muo3zIV5rwo1kj63wMLq7kpKVCR3YjsFDjxKOuFIAPdWg0KyXcJijUxMfDqUzIC5CCpIj4jIRumkXM5jgZ8CO\
pwHhp9bYTnh/yvz7WSfMR/iCR6ZqBwIDAQAB";
    const RSA_2048: &str = "\
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA0IP9YUkPGqNvf7gfeEBvmhKGlKcbfkl8q0qkvALhNaMTr8\
d7jcV1+TNJzlWYWatHWGxhCwC6M8Z4CJtM02sRm3LxouEjIpIrpnyYpsmwU/lfAvrAmAiZaAa7fLoq/gwmCjnxvnsD\
tlXMAOr7yC+jzFDoLXDkyziHBV5y4YEpCP/yJl/9bjWs/EadKKWqA+maMDoAc9Q8YRsktFTGG6vPVM/xDvRQ63sRlw\
qnNKWqD++euOvrOLu+/t6p8/abayZ6KZwM5YxqBgIVi+zVGhm934WzoVGav2SWcJxK6Bwfz2j01rb/GXsKOGu7fLbG\
RBTv/Zn72dAJOlvw6DYZ4OukaQIDAQAB";
    const RSA_EXPONENT_1: &str = "\
MIIBIDANBgkqhkiG9w0BAQEFAAOCAQ0AMIIBCAKCAQEA0IP9YUkPGqNvf7gfeEBvmhKGlKcbfkl8q0qkvALhNaMTr8\
d7jcV1+TNJzlWYWatHWGxhCwC6M8Z4CJtM02sRm3LxouEjIpIrpnyYpsmwU/lfAvrAmAiZaAa7fLoq/gwmCjnxvnsD\
tlXMAOr7yC+jzFDoLXDkyziHBV5y4YEpCP/yJl/9bjWs/EadKKWqA+maMDoAc9Q8YRsktFTGG6vPVM/xDvRQ63sRlw\
qnNKWqD++euOvrOLu+/t6p8/abayZ6KZwM5YxqBgIVi+zVGhm934WzoVGav2SWcJxK6Bwfz2j01rb/GXsKOGu7fLbG\
RBTv/Zn72dAJOlvw6DYZ4OukaQIBAQ==";

    #[test]
    fn a_secret_is_read_where_its_meaning_is_plain() {
        let key = b"secret-one-of-16".as_slice();
        let slashes = b"\xfb\xff\xbf".repeat(6);
        for (text, expected) in [
            ("whsec_c2VjcmV0LW9uZS1vZi0xNg==", &[key][..]),
            ("v1,whsec_c2VjcmV0LW9uZS1vZi0xNg==", &[key]),
            ("whsec_c2VjcmV0LW9uZS1vZi0xNg", &[key]),
            ("whsec_-_-_-_-_-_-_-_-_-_-_-_-_", &[&slashes]),
            ("whsec_+/+/+/+/+/+/+/+/+/+/+/+/", &[&slashes]),
            ("c2VjcmV0LW9uZS1vZi0xNg==", &[b"c2VjcmV0LW9uZS1vZi0xNg==", key]),
            ("no base64, but long", &[b"no base64, but long"]),
            ("ключ-ключ-ключ-16", &["ключ-ключ-ключ-16".as_bytes()]),
        ] {
            let secret = SigningSecret::parse(text).unwrap();
            assert_eq!(secret.keys(), expected, "{text}");
            assert_eq!(format!("{secret:?}"), "***");
        }
    }

    #[test]
    fn a_secret_that_means_nothing_is_refused_without_showing_it() {
        for (text, word) in [
            ("whsec_", "empty"),
            ("v1,whsec_", "empty"),
            ("whsec_QQ==", "of 1 bytes"),
            ("whsec_aHVudGVyMmh1bnRlcjIh", "of 15 bytes"),
            ("v1,whsec_aHVudGVyMmh1bnRlcjIh", "of 15 bytes"),
            ("hunter2", "at least 16"),
            ("aHVudGVyMg==", "at least 16"),
            ("***", "`***`"),
            ("whsec_***", "base64"),
            ("whsec_hunter2!", "base64"),
            ("whsec_c2Vjc mV0", "base64"),
            ("whsec_whsec_c2VjcmV0", "base64"),
            ("whsec_=", "base64"),
            ("v1,c2VjcmV0LW9uZQ==", "signature"),
            ("v1a,hunter2", "asymmetric"),
            ("whsk_hunter2", "asymmetric"),
            ("whpk_hunter2", "asymmetric"),
        ] {
            let reason = SigningSecret::parse(text).unwrap_err();
            assert!(reason.contains(word) && !reason.contains("hunter2"), "{text}: {reason}");
        }
    }

    #[test]
    fn only_keys_that_can_verify_are_public_keys() {
        let der = "MCowBQYDK2VwAyEAi2HR1srL4o18O8BRa7gVJY7G7bupbN3H9AwJrHCDiOg=";
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n");
        for text in [der, &pem] {
            let key = PublicKey::parse(text).unwrap();
            assert_eq!((key.kind, key.bytes.len()), (PublicKeyKind::Ed25519, 32));
        }
        // X25519 has the same shape, and agrees on keys instead.
        let x25519 = "MCowBQYDK2VuAyEAi2HR1srL4o18O8BRa7gVJY7G7bupbN3H9AwJrHCDiOg=";
        for text in ["", "hunter2", "AAAA", x25519, "-----BEGIN PUBLIC KEY-----"] {
            assert_eq!(PublicKey::parse(text), None, "{text}");
        }
        // P-256, RSA of 1024 bits, and RSA with the exponent 1.
        for text in [EC, RSA_1024, RSA_EXPONENT_1] {
            assert_eq!(PublicKey::parse(text), None, "{text}");
        }
        assert_eq!(PublicKey::parse(RSA_2048).map(|it| it.kind), Some(PublicKeyKind::Rsa));
        let ed25519 = |key: &[u8]| {
            let der =
                [&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00], key];
            base64::engine::general_purpose::STANDARD.encode(der.concat())
        };
        let mut around_zero = [0; 32];
        for first in 0..=2 {
            around_zero[0] = first;
            assert_eq!(PublicKey::parse(&ed25519(&around_zero)).is_some(), first == 2, "{first}");
        }
        let mut around_p = [0xff; 32];
        for first in 0xeb..=0xef {
            around_p[0] = first;
            let is_usable = !(0xec..=0xee).contains(&first);
            for last in [0x7f, 0xff] {
                around_p[31] = last;
                assert_eq!(PublicKey::parse(&ed25519(&around_p)).is_some(), is_usable, "{first}");
            }
        }
        for point in SMALL_ORDER_8 {
            assert_eq!(PublicKey::parse(&ed25519(&point)), None);
        }
    }
}
