//! Who may post webhooks: one right secret in any of the places is enough, and a wrong one in another
//! does not spoil it (docs/RULES.md P2). Unknown client and wrong secret look the same.
//!
//! Secrets are compared as bytes, those of the configuration as UTF-8: a header may hold any, and a
//! secret with letters outside ASCII is a secret like any other.

use crate::{channels::AnyChannel, config};
use actix_web::{HttpRequest, http::header::HeaderMap};
use serde_json::Value;
use std::borrow::Cow;

/// The header in which any provider may send a secret, beside `Authorization` and its own.
const HEADER: &str = "x-webhook-secret";
/// The query parameter for providers that can send no header.
const PARAMETER: &str = "secret";

/// What was found out about a request's sender without looking at its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// A right secret, or none is needed.
    Authenticated,
    /// No right secret so far; it may be in the body.
    Open,
}

/// Judges by headers and query.
pub(super) fn by_head(
    request: &HttpRequest,
    channel: &dyn AnyChannel,
    client: &config::Client,
) -> Standing {
    let Some(cfg) = client.channel(channel.name().0) else { return Standing::Open };
    if !cfg.has_authentication() {
        return match client.accepts_without_secret(channel.name().0) {
            true => Standing::Authenticated,
            false => Standing::Open,
        };
    }
    let given = given(request.headers(), channel.secret_header(), request.query_string());
    let is_right = given.iter().fold(false, |right, it| right | matches(cfg, it));
    if is_right { Standing::Authenticated } else { Standing::Open }
}

/// All that stands where a secret may: in `Authorization: Bearer`, in the two headers, in the query.
fn given<'r>(
    headers: &'r HeaderMap,
    own_header: Option<&str>,
    query: &'r str,
) -> Vec<Cow<'r, [u8]>> {
    let bearer = headers.get_all("authorization").filter_map(|it| bearer(it.as_bytes()));
    let plain = [Some(HEADER), own_header].into_iter().flatten();
    let plain = plain.flat_map(|name| headers.get_all(name)).map(|it| it.as_bytes());
    let mut given: Vec<Cow<'_, [u8]>> = bearer.chain(plain).map(Cow::Borrowed).collect();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if name == PARAMETER {
            given.push(match value {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            });
        }
    }
    given
}

/// The token of `Authorization: Bearer …`; the scheme's case counts for nothing.
pub(super) fn bearer(value: &[u8]) -> Option<&[u8]> {
    let at = value.iter().position(|it| *it == b' ')?;
    let (scheme, token) = value.split_at(at);
    scheme.eq_ignore_ascii_case(b"bearer").then(|| token.trim_ascii())
}

/// Judges by the secret in a body, for the channels that have it there.
pub(super) fn by_body(body: &Value, channel: &dyn AnyChannel, client: &config::Client) -> Standing {
    let secret = channel.secret_field().and_then(|field| body.get(field)).and_then(Value::as_str);
    match (secret, client.channel(channel.name().0)) {
        (Some(secret), Some(cfg)) if matches(cfg, secret.as_bytes()) => Standing::Authenticated,
        _ => Standing::Open,
    }
}

/// Compares with every configured secret, each in constant time.
fn matches(cfg: &config::ClientChannel, given: &[u8]) -> bool {
    cfg.secrets.iter().fold(false, |right, it| right | it.is(given))
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
}
