//! Who may post webhooks: one right secret in any of the places is enough, and a wrong one in another
//! does not spoil it (docs/RULES.md P2). Unknown client and wrong secret look the same.

use crate::{channels::AnyChannel, config};
use actix_web::HttpRequest;
use serde_json::Value;

/// Where a secret may stand in a request, but for the body.
const HEADER: &str = "x-webhook-secret";

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
    let header =
        |name: &str| request.headers().get(name).and_then(|it| it.to_str().ok()).map(str::to_owned);
    let bearer = header("authorization").and_then(|it| {
        let (scheme, token) = it.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    });
    let own = channel.secret_header().and_then(header);
    let query = url::form_urlencoded::parse(request.query_string().as_bytes())
        .find(|(name, _)| name == "secret")
        .map(|(_, value)| value.into_owned());
    let candidates = [bearer, header(HEADER), own, query];
    let is_right =
        candidates.into_iter().flatten().fold(false, |right, it| right | matches(cfg, &it));
    if is_right { Standing::Authenticated } else { Standing::Open }
}

/// Judges by the secret in a body, for the channels that have it there.
pub(super) fn by_body(body: &Value, channel: &dyn AnyChannel, client: &config::Client) -> Standing {
    let secret = channel.secret_field().and_then(|field| body.get(field)).and_then(Value::as_str);
    match (secret, client.channel(channel.name().0)) {
        (Some(secret), Some(cfg)) if matches(cfg, secret) => Standing::Authenticated,
        _ => Standing::Open,
    }
}

/// Compares with every configured secret, each in constant time.
fn matches(cfg: &config::ClientChannel, given: &str) -> bool {
    let given = config::Secret::new(given);
    cfg.secrets.iter().fold(false, |right, it| right | (*it == given))
}
