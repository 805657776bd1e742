//! What webhooks are signed with: secrets and public keys, read once, when the configuration is loaded.
//! One that cannot be read is refused there; at a webhook it would be a 401 that nobody explains.

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

/// Base64 as people copy it: with or without padding.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: [GeneralPurpose; 2] =
    [GeneralPurpose::new(&STANDARD, LENIENT), GeneralPurpose::new(&URL_SAFE, LENIENT)];

/// The prefix of Standard Webhooks secrets, behind which they are base64.
const SECRET_PREFIX: &str = "whsec_";
/// The version of the scheme, which some dashboards show before the secret.
const VERSION_PREFIX: &str = "v1,";
/// The prefixes of the keys of Standard Webhooks' asymmetric scheme.
const ASYMMETRIC_PREFIXES: [&str; 3] = ["v1a,", "whsk_", "whpk_"];

/// The least length of the key that is base64 behind the prefix, in bytes.
const KEY_BYTES_MIN: usize = 16;

const OID_ED25519: &str = "1.3.101.112";
const OID_RSA: &str = "1.2.840.113549.1.1.1";

/// A signing secret of Standard Webhooks. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret {
    keys: Vec<Vec<u8>>,
}

impl SigningSecret {
    /// Reads `whsec_` and base64 of at least 16 bytes, the same behind `v1,`, or any other text of
    /// at least 16 characters.
    ///
    /// A text without prefix may be base64 that lost its prefix, or the key itself. Where it is both, a
    /// signature by either is right: whoever knows one knows the other.
    ///
    /// # Errors
    /// What is wrong with it, without the secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(prefix) = ASYMMETRIC_PREFIXES.into_iter().find(|it| text.starts_with(it)) {
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

    /// The keys that it may mean, at least one; never for showing them.
    pub fn keys(&self) -> &[Vec<u8>] {
        &self.keys
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(super::value::MASK)
    }
}

/// The bytes that `text` is base64 of, in either alphabet; none are nothing.
fn decoded(text: &str) -> Option<Vec<u8>> {
    BASE64.iter().find_map(|it| it.decode(text).ok()).filter(|it| !it.is_empty())
}

/// What a public key verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicKeyKind {
    /// Ed25519 signatures.
    Ed25519,
    /// RSA signatures (PKCS#1 v1.5 with SHA-256).
    Rsa,
}

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
/// `GoHighLevel`'s published key of Ed25519, as it is read.
pub static PUBLISHED_ED25519: LazyLock<Option<PublicKey>> =
    LazyLock::new(|| PublicKey::parse(GHL_ED25519));
/// `GoHighLevel`'s published key of RSA, as it is read.
pub static PUBLISHED_RSA: LazyLock<Option<PublicKey>> = LazyLock::new(|| PublicKey::parse(GHL_RSA));

/// A public key by which webhooks are signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// Of which kind.
    pub kind: PublicKeyKind,
    /// The key itself, as its algorithm wants it.
    pub bytes: Vec<u8>,
}

impl PublicKey {
    /// True for a key that the provider has published: it signs for all customers.
    pub(super) fn is_published(&self) -> bool {
        [&PUBLISHED_ED25519, &PUBLISHED_RSA].into_iter().any(|it| it.as_ref() == Some(self))
    }

    /// Reads PEM, or the base64 inside of it: a `SubjectPublicKeyInfo` in DER (RFC 5280). `None`
    /// also for a key by which nothing can be verified, or everything.
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

/// True for 32 bytes that are none of the points of small order: for those, signatures are right
/// that nobody made. A key of nothing but zeros is one of them.
fn is_point(key: &[u8]) -> bool {
    let Ok(mut y) = <[u8; 32]>::try_from(key) else { return false };
    // The highest bit is the sign of x, and each of these points is one with either.
    if let Some(last) = y.last_mut() {
        *last &= 0x7f;
    }
    let is_of_order_8 = SMALL_ORDER_8.contains(&y);
    // 0 and 1, and p - 1, p and p + 1, where p = 2^255 - 19.
    let is_near = |first: std::ops::RangeInclusive<u8>, middle: u8, last: u8| match y.as_slice() {
        [it, between @ .., end] => {
            first.contains(it) && between.iter().all(|it| *it == middle) && *end == last
        }
        _ => false,
    };
    !is_of_order_8 && !is_near(0..=1, 0, 0) && !is_near(0xec..=0xee, 0xff, 0x7f)
}

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

/// True for an `RSAPublicKey` (RFC 8017) of a size and an exponent that signatures are verified
/// with.
fn is_modulus(key: &[u8]) -> bool {
    let numbers = SliceReader::new(key)
        .and_then(|mut it| it.sequence(|it| Ok((UintRef::decode(it)?, UintRef::decode(it)?))));
    let Ok((modulus, exponent)) = numbers else { return false };
    let is_odd = |it: &[u8]| it.last().is_some_and(|it| it % 2 == 1);
    let bits = |it: &[u8]| {
        let first = it.first().map_or(0, |it| it.leading_zeros());
        u32::try_from(it.len()).unwrap_or(u32::MAX).saturating_mul(8).saturating_sub(first)
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
