//! The secrets with which a sender may post webhooks.
//!
//! One right secret in any of the places is enough, and a wrong one in another place does no harm
//! (docs/RULES.md P2). An unknown client and a wrong secret look the same and take the same time:
//! if there is nothing to compare with, a secret that nobody knows stands in.
//!
//! Secrets are compared as bytes, those of the configuration as UTF-8. A header may hold any bytes,
//! so a secret may have letters outside of ASCII.

use crate::{
    channels::AnyChannel,
    config::{ClientChannel, Secret},
};
use actix_web::{HttpRequest, http::header::HeaderMap};
use sha2::{Digest as _, Sha256};
use std::{borrow::Cow, hint::black_box, sync::LazyLock};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

/// The header in which any provider may send a secret, besides `Authorization` and the header of
/// its own.
const HEADER: &str = "x-webhook-secret";
/// The query parameter for providers that can send no header.
const PARAMETER: &str = "secret";
/// How many values of one request are compared, in the order in which [`given`] finds them. Each is
/// compared with every secret of the channel.
const GIVEN_MAX: usize = 100;

/// What the head of a request proves of its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SenderProof {
    /// A right secret was shown.
    Shown,
    /// No secret is needed.
    Free,
    /// No right secret was shown. One may be in the body, or the body may be signed.
    Unknown,
}

/// Judges by headers and query. `settings` are those of the client's channel, if there is such a
/// client and it has that channel. `is_free` is true if that channel takes webhooks without a
/// secret.
pub(super) fn by_head(
    request: &HttpRequest,
    channel: &dyn AnyChannel,
    settings: Option<&ClientChannel>,
    is_free: bool,
) -> SenderProof {
    let given = given(request.headers(), channel.secret_header(), request.query_string());
    let is_right = given.iter().fold(false, |right, it| right | matches(settings, it));
    if is_right {
        SenderProof::Shown
    } else if is_free {
        SenderProof::Free
    } else {
        SenderProof::Unknown
    }
}

/// True if the secret that was found in a body is right. `settings` are as for [`by_head`].
pub(super) fn by_field(given: &str, settings: Option<&ClientChannel>) -> bool {
    matches(settings, given.as_bytes())
}

/// The values in all places for a secret: in `Authorization: Bearer`, in the two headers, in the
/// query.
fn given<'r>(
    headers: &'r HeaderMap,
    own_header: Option<&str>,
    query: &'r str,
) -> Vec<Cow<'r, [u8]>> {
    let bearer = headers.get_all("authorization").filter_map(|value| bearer(value.as_bytes()));
    let plain = [Some(HEADER), own_header].into_iter().flatten();
    let plain = plain.flat_map(|name| headers.get_all(name)).map(|it| it.as_bytes());
    let in_query = url::form_urlencoded::parse(query.as_bytes());
    let in_query = in_query.filter(|(name, _)| name == PARAMETER).map(|(_, value)| match value {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    });
    bearer.chain(plain).map(Cow::Borrowed).chain(in_query).take(GIVEN_MAX).collect()
}

/// The token of `Authorization: Bearer …`. The case of the scheme does not matter.
pub(super) fn bearer(value: &[u8]) -> Option<&[u8]> {
    let at = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, token) = value.split_at(at);
    scheme.eq_ignore_ascii_case(b"bearer").then(|| token.trim_ascii())
}

/// Compares with every configured secret, or with one that nobody knows if none is configured.
/// Digests are compared, in constant time, so that not even the length of a secret shows.
fn matches(settings: Option<&ClientChannel>, given: &[u8]) -> bool {
    /// Random, and another one in each process.
    static STAND_IN: LazyLock<Secret> = LazyLock::new(|| Secret::new(Uuid::new_v4().to_string()));
    let given = Sha256::digest(given);
    let is = |secret: &Secret| bool::from(Sha256::digest(secret.expose()).ct_eq(&given));
    match settings.map(|it| it.secrets.as_slice()) {
        Some(secrets @ [_, ..]) => secrets.iter().fold(false, |right, it| right | is(it)),
        Some([]) | None => {
            black_box(is(black_box(&STAND_IN)));
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};

    #[test]
    fn a_secret_is_found_as_bytes_in_every_place() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", &b"Basic abc"[..]),
            ("authorization", "bEARER  grün-ключ ".as_bytes()),
            ("x-webhook-secret", "鍵".as_bytes()),
            ("x-own", b"\xff\xfe"),
            ("x-other", b"none"),
        ] {
            let value = HeaderValue::from_bytes(value).unwrap();
            headers.append(HeaderName::from_static(name), value);
        }
        let query = "a=1&secret=gr%C3%BCn&secret=plain&Secret=none&secret=a+b%2Bc";
        let given = given(&headers, Some("x-own"), query);
        let expected: [&[u8]; 6] = [
            "grün-ключ".as_bytes(),
            "鍵".as_bytes(),
            b"\xff\xfe",
            "grün".as_bytes(),
            b"plain",
            b"a b+c",
        ];
        assert_eq!(given, expected);
        assert!(bearer(b"Bearer").is_none() && bearer(b"").is_none());
    }

    #[test]
    fn values_that_are_repeated_all_count_up_to_a_bound() {
        let mut headers = HeaderMap::new();
        for value in ["Bearer first", "Bearer second"] {
            headers
                .append(HeaderName::from_static("authorization"), HeaderValue::from_static(value));
        }
        let query = "secret=x&".repeat(1_000);
        let given = given(&headers, None, &query);
        assert_eq!(given.len(), GIVEN_MAX);
        assert!(given.starts_with(&[b"first".into(), b"second".into(), b"x".into()]));
    }
}
