//! What webhooks are signed with: secrets and public keys, read once, when the configuration is loaded.
//! One that cannot be read is refused there; at a webhook it would be a 401 that nobody explains.

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use spki::{DecodePublicKey as _, Document, SubjectPublicKeyInfoRef};
use std::fmt;

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

const OID_ED25519: &str = "1.3.101.112";
const OID_RSA: &str = "1.2.840.113549.1.1.1";

/// A signing secret of Standard Webhooks. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret {
    keys: Vec<Vec<u8>>,
}

impl SigningSecret {
    /// Reads `whsec_` and base64, the same behind `v1,`, or any other text.
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
                Some(key) => Ok(Self { keys: vec![key] }),
                None => Err(format!("is not base64 behind `{SECRET_PREFIX}`")),
            },
            None if unversioned.is_some() => Err(format!(
                "begins with `{VERSION_PREFIX}` and goes on without `{SECRET_PREFIX}`: take the \
                 secret, not a signature"
            )),
            None => {
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

/// A public key by which webhooks are signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// Of which kind.
    pub kind: PublicKeyKind,
    /// The key itself, as its algorithm wants it.
    pub bytes: Vec<u8>,
}

impl PublicKey {
    /// Reads PEM, or the base64 inside of it: a `SubjectPublicKeyInfo` in DER (RFC 5280).
    pub fn parse(text: &str) -> Option<Self> {
        let document = if text.contains("BEGIN") {
            Document::from_public_key_pem(text.trim()).ok()?
        } else {
            let compact: String = text.split_whitespace().collect();
            Document::from_public_key_der(&decoded(&compact)?).ok()?
        };
        let info: SubjectPublicKeyInfoRef<'_> = document.decode_msg().ok()?;
        let kind = match info.algorithm.oid.to_string().as_str() {
            OID_ED25519 => PublicKeyKind::Ed25519,
            OID_RSA => PublicKeyKind::Rsa,
            _ => return None,
        };
        Some(Self { kind, bytes: info.subject_public_key.as_bytes()?.to_vec() })
    }
}

/// Why nobody can send `secret` along, or would mean it: `None` where all is well.
///
/// A header is trimmed on its way and holds no control characters; a character without a shape was copied by
/// mistake.
pub(super) fn unsendable(secret: &str) -> Option<String> {
    let is_hidden = |it: char| {
        it.is_control() || matches!(it, '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2060}')
    };
    if secret.trim() != secret {
        return Some("begins or ends with a blank or a line end: leave it out".to_owned());
    }
    let hidden = secret.chars().find(|it| is_hidden(*it))?;
    Some(format!(
        "holds a character that cannot be seen (U+{:04X}): leave it out",
        u32::from(hidden)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_where_its_meaning_is_plain() {
        let key = b"secret-one".as_slice();
        for (text, expected) in [
            ("whsec_c2VjcmV0LW9uZQ==", &[key][..]),
            ("v1,whsec_c2VjcmV0LW9uZQ==", &[key]),
            ("whsec_c2VjcmV0LW9uZQ", &[key]),
            ("whsec_-_-_", &[b"\xfb\xff\xbf"]),
            ("whsec_+/+/", &[b"\xfb\xff\xbf"]),
            ("c2VjcmV0LW9uZQ==", &[b"c2VjcmV0LW9uZQ==", key]),
            ("no base64!", &[b"no base64!"]),
            ("ключ", &["ключ".as_bytes()]),
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
    }
}
