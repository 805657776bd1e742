//! Guards the admin API: a request must show the token, over a connection that nobody else can
//! read.
//!
//! Wrong tokens are counted by address, and refused for a while if there are too many. The right
//! one is let in at once, whatever others at the same address have tried.

use super::{
    State,
    authentication::bearer,
    connections::OpenConnection,
    limits::{Neighbours, address_of, is_trusted},
    live::Hub,
    problem::{Cause, Problem, name_request},
    request_id,
    tries::Tries,
};
use crate::config::{Config, Secret};
use actix_web::{
    Error, HttpMessage as _, HttpRequest,
    body::{BoxBody, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    error::PayloadError,
    http::{
        Method,
        header::{AUTHORIZATION, CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
    web,
};
use futures_util::{StreamExt as _, stream};
use sha2::{Digest, Sha256};
use std::{
    io,
    net::IpAddr,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};
use subtle::ConstantTimeEq;
use tokio::time::Instant;

/// The wrong tokens of this process.
#[derive(Debug, Default)]
pub(super) struct TokenTries(Mutex<Tries>);

/// The token that counts while none is configured. A clone is the same token.
#[derive(Clone, Debug, Default)]
pub struct FallbackToken(Arc<OnceLock<Secret>>);

impl FallbackToken {
    /// Sets it. The first one stays.
    pub fn set(&self, token: Secret) {
        self.0.get_or_init(|| token);
    }

    /// True if it is set.
    pub fn is_set(&self) -> bool {
        self.0.get().is_some()
    }

    /// True if the request shows the token of `config`, or this one if none is configured.
    fn lets_in(&self, headers: &HeaderMap, config: &Config) -> bool {
        let token = config.admin.token.as_ref().or_else(|| self.0.get());
        token.is_some_and(|token| shows_token(headers, token))
    }
}

/// True if `given` is the token. Digests are compared, in constant time, so that not even the
/// length of the token shows.
fn is_token(given: &[u8], token: &Secret) -> bool {
    let (given, token) = (Sha256::digest(given), Sha256::digest(token.expose()));
    given[..].ct_eq(&token[..]).into()
}

/// True if the request shows the token as `Authorization: Bearer …`.
fn shows_token(headers: &HeaderMap, token: &Secret) -> bool {
    let shown = headers.get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
    shown.is_some_and(|given| is_token(given, token))
}

/// True if nobody else can read a token that comes from `peer`: it comes from this machine, over
/// TLS, or through a trusted proxy, which has taken it over TLS. Also true if the operator allows
/// any way.
fn is_private(peer: Option<IpAddr>, is_encrypted: bool, config: &Config) -> bool {
    let is_near = |address: IpAddr| {
        address.to_canonical().is_loopback() || is_trusted(&config.server, address)
    };
    is_encrypted || config.admin.allow_plain || peer.is_some_and(is_near)
}

/// Why a request is not let in; `None` if it is.
pub(super) fn refusal(request: &HttpRequest) -> Option<Problem> {
    let Some(state) = request.app_data::<web::Data<State>>() else {
        return Some(Problem::unauthenticated());
    };
    let cfg = state.config.get();
    let peer = request.peer_addr().map(|it| it.ip());
    let is_encrypted =
        request.conn_data::<Arc<OpenConnection>>().is_some_and(|it| it.is_encrypted());
    let (reason, problem) = if !is_private(peer, is_encrypted, &cfg) {
        let detail = "the admin API is not served in clear beyond this machine, for everybody on the way could read \
                      its token: ask over TLS (`server.tls`), through a proxy in `server.trusted_proxies` or on \
                      loopback, or set `admin.allow_plain`";
        ("plain", Problem::new(Cause::Forbidden, detail))
    } else if state.fallback_token.lets_in(request.headers(), &cfg) {
        return None;
    } else if let Some(problem) = state.over_limit_of_address(request) {
        ("throttled", problem)
    } else if !request.headers().contains_key(AUTHORIZATION) {
        ("no_token", Problem::unauthenticated())
    } else {
        // Without a forwarded address, the sender behind a proxy is unknown, so the try is not
        // counted.
        let address =
            address_of(request, &cfg.server).filter(|address| !is_trusted(&cfg.server, *address));
        match address.and_then(|address| state.token_tries.wrong(address)) {
            None => ("wrong_token", Problem::unauthenticated()),
            Some(seconds) => {
                let detail =
                    "too many wrong tokens from this address: the right one is let in at any time";
                ("throttled", Problem::new(Cause::RateLimited, detail).retry_after(seconds))
            }
        }
    };
    state.metrics.http().admin_refused(reason);
    if let Some(address) = address_of(request, &cfg.server)
        && let Some(count) = state.token_tries.told(address)
    {
        tracing::warn!(%address, reason, count, "the admin API did not let somebody in");
    }
    Some(problem)
}

impl TokenTries {
    fn wrong(&self, address: IpAddr) -> Option<u64> {
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tries.wrong(Neighbours::of(address), Instant::now())
    }

    fn told(&self, address: IpAddr) -> Option<u64> {
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tries.told(Neighbours::of(address), Instant::now())
    }
}

impl State {
    /// Waits until these headers do not show the token any more: it was changed.
    pub(super) async fn token_revoked(self, headers: HeaderMap) {
        let mut changes = self.config.changes();
        while self.fallback_token.lets_in(&headers, &self.config.get()) {
            if changes.changed().await.is_err() {
                // Nothing changes any more.
                return;
            }
        }
    }
}

/// Lets in requests that show the token. No cache may keep an answer. A body has to come within
/// `server.request_timeout`.
///
/// # Errors
/// The errors of the handler.
pub(super) async fn guard(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let id = request_id::of(request.request());
    let response = match refusal(request.request()) {
        None => {
            if let Some(state) = request.app_data::<web::Data<State>>() {
                let limit = state.config.get().server.request_timeout;
                let payload = within(request.take_payload(), limit);
                request.set_payload(payload);
            }
            let changes = (request.method() != Method::GET)
                .then(|| request.app_data::<web::Data<State>>().map(|state| state.hub.clone()));
            let response = next.call(request).await?.map_into_boxed_body();
            // Those who watch see at once what somebody has changed.
            changes.flatten().inspect(Hub::nudge);
            response
        }
        Some(problem) => request.into_response(problem.of_request(&id).response()),
    };
    let mut response = name_request(response, &id);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    Ok(response)
}

/// The same body, which breaks off if it has not come within `limit`.
fn within(payload: Payload, limit: Duration) -> Payload {
    if matches!(payload, Payload::None) {
        return payload;
    }
    let deadline = Instant::now() + limit;
    let chunks = stream::unfold(payload, move |mut payload| async move {
        match tokio::time::timeout_at(deadline, payload.next()).await {
            Ok(chunk) => Some((chunk?, payload)),
            Err(_) => Some((Err(PayloadError::Io(io::ErrorKind::TimedOut.into())), Payload::None)),
        }
    });
    Payload::Stream { payload: Box::pin(chunks) }
}

/// The problem of a body that could not be read. At most `limit_bytes` are.
pub(super) fn body_problem(error: &Error, limit_bytes: usize) -> Problem {
    match error.as_error::<PayloadError>() {
        Some(PayloadError::Io(error)) if error.kind() == io::ErrorKind::TimedOut => {
            let detail = "the body did not come in time (server.request_timeout)";
            Problem::new(Cause::BadRequest, detail)
        }
        Some(PayloadError::Incomplete(_) | PayloadError::Io(_)) => {
            Problem::new(Cause::BadRequest, "the body broke off")
        }
        _ => Problem::too_large(limit_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    #[test]
    fn only_the_token_lets_in() {
        let token = Secret::new("s3cret");
        let greek = Secret::new("κλειδί");
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_bytes("Bearer κλειδί".as_bytes()).unwrap());
        assert!(shows_token(&headers, &greek) && !shows_token(&headers, &token));
        let load = |token: &str| {
            let env = vec![("POSTROOM__ADMIN__TOKEN".to_owned(), token.to_owned())];
            Config::load(&Sources { env, ..Sources::default() }).expect("valid")
        };
        let (fallback, configured) = (FallbackToken::default(), load("a-configured-admin-token"));
        assert!(!fallback.lets_in(&headers, &load("")), "no token lets nobody in");
        fallback.set(greek.clone());
        fallback.set(token.clone());
        assert!(fallback.lets_in(&headers, &load("")) && !fallback.lets_in(&headers, &configured));
        for (shown, is_let_in) in [
            ("Bearer s3cret", true),
            ("bearer  s3cret ", true),
            ("Bearer s3cre", false),
            ("Bearer s3cret2", false),
            ("Bearer ", false),
            ("Basic s3cret", false),
            ("s3cret", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(shown));
            assert_eq!(shows_token(&headers, &token), is_let_in, "{shown}");
        }
        assert!(!shows_token(&HeaderMap::new(), &token));
    }

    #[test]
    fn a_token_is_taken_where_nobody_else_can_read_it() {
        let load = |settings: &[(&str, &str)]| {
            let env = settings
                .iter()
                .map(|(name, value)| (format!("POSTROOM__{name}"), (*value).to_owned()));
            Config::load(&Sources { env: env.collect(), ..Sources::default() }).expect("valid")
        };
        let plain = load(&[]);
        let behind_proxy =
            load(&[("SERVER__TRUSTED_PROXIES", r#"["10.0.0.1"]"#), ("CLIENTS", "[]")]);
        let allowed = load(&[("ADMIN__ALLOW_PLAIN", "true")]);
        for (peer, is_encrypted, config, is) in [
            ("127.0.0.1", false, &plain, true),
            ("127.9.9.9", false, &plain, true),
            ("::1", false, &plain, true),
            ("::ffff:127.0.0.1", false, &plain, true),
            ("10.0.0.1", false, &plain, false),
            ("2001:db8::1", false, &plain, false),
            ("::ffff:10.0.0.1", false, &plain, false),
            ("10.0.0.1", true, &plain, true),
            ("10.0.0.1", false, &allowed, true),
            ("10.0.0.1", false, &behind_proxy, true),
            ("::ffff:10.0.0.1", false, &behind_proxy, true),
            ("10.0.0.2", false, &behind_proxy, false),
        ] {
            let peer = Some(peer.parse().expect(peer));
            assert_eq!(is_private(peer, is_encrypted, config), is, "{peer:?} {is_encrypted}");
        }
        assert!(!is_private(None, false, &plain) && is_private(None, true, &plain));
    }
}
