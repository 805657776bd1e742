//! Guards the admin API and the pages: a request must show a token or come with a session, over a
//! connection that nobody else can read. What it may do depends on the role of its sender.
//!
//! Wrong tokens are counted by address, and refused for a while if there are too many. The right
//! one is let in at once, whatever others at the same address have tried.

use super::{
    State,
    authentication::bearer,
    browsers,
    connections::OpenConnection,
    limits::{Neighbours, address_of, is_trusted},
    live::Hub,
    operator::given_name,
    problem::{Cause, Problem, name_request},
    request_id, scope,
    tries::{Tries, WRONG_MAX},
    ui::{NotIn, Viewer, session},
};
use crate::{
    config::{AdminUser, Config, Secret},
    domain::UserRole,
};
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

    /// The token of `config`, or this one if none is configured.
    pub(super) fn or_configured(&self, config: &Config) -> Option<Secret> {
        config.admin.token.as_ref().or_else(|| self.0.get()).cloned()
    }
}

/// True if `given` is the token. Digests are compared, in constant time, so that not even the
/// length of the token shows.
fn is_token(given: &[u8], token: &Secret) -> bool {
    let (given, token) = (Sha256::digest(given), Sha256::digest(token.expose()));
    given[..].ct_eq(&token[..]).into()
}

/// A user, and what they may do and see, as the configuration says now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KnownUser {
    pub(super) name: String,
    pub(super) role: UserRole,
    /// The only clients that they see; `None` for all.
    pub(super) clients: Option<Arc<[String]>>,
}

impl KnownUser {
    /// The owner of the admin token.
    pub(super) fn admin() -> Self {
        Self { name: AdminUser::ADMIN.to_owned(), role: UserRole::Operator, clients: None }
    }

    /// A user of the configuration.
    pub(super) fn of(user: &AdminUser) -> Self {
        Self { name: user.name.clone(), role: user.role, clients: user.clients.clone() }
    }
}

/// The user whose token this is. All tokens are compared, whichever it is.
fn owner_of(given: &[u8], config: &Config, fallback: &FallbackToken) -> Option<KnownUser> {
    let admin = fallback.or_configured(config);
    let admin = admin.as_ref().filter(|token| is_token(given, token));
    let admin = admin.map(|_| KnownUser::admin());
    let users = config.admin.users.iter();
    let owner = |found: Option<KnownUser>, user: &AdminUser| {
        let is_theirs = is_token(given, &user.token);
        found.or_else(|| is_theirs.then(|| KnownUser::of(user)))
    };
    users.fold(admin, owner)
}

impl State {
    /// The user whose token this is.
    pub(super) fn owner_of(&self, token: &[u8]) -> Option<KnownUser> {
        owner_of(token, &self.config.get(), &self.fallback_token)
    }
}

/// True if the request came over TLS to this daemon.
pub(super) fn is_encrypted(request: &HttpRequest) -> bool {
    request.conn_data::<Arc<OpenConnection>>().is_some_and(|it| it.is_encrypted())
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

/// Refuses a request whose token or session others could read on the way.
///
/// # Errors
/// 403, with what would be right.
pub(super) fn must_be_private(
    request: &HttpRequest,
    state: &State,
) -> Result<(), AdmissionRefusal> {
    let peer = request.peer_addr().map(|it| it.ip());
    if is_private(peer, is_encrypted(request), &state.config.get()) {
        return Ok(());
    }
    let detail = "the admin API is not served in clear beyond this machine, for everybody on the way could read \
                  its token: ask over TLS (`server.tls`), through a proxy in `server.trusted_proxies` or on \
                  loopback, or set `admin.allow_plain`";
    Err(AdmissionRefusal { reason: "plain", problem: Problem::new(Cause::Forbidden, detail) })
}

/// Why a request is not let in.
#[derive(Debug)]
pub(super) struct AdmissionRefusal {
    /// One of the reasons of the metric.
    reason: &'static str,
    problem: Problem,
}

impl AdmissionRefusal {
    /// Counts and logs it, and returns the answer.
    pub(super) fn noted(self, request: &HttpRequest, state: &State) -> Problem {
        let Self { reason, problem } = self;
        state.metrics.http().admin_refused(reason);
        if let Some(address) = address_of(request, &state.config.get().server)
            && let Some(count) = state.token_tries.told(address)
        {
            tracing::warn!(%address, reason, count, "the admin API did not let somebody in");
        }
        problem
    }

    /// After a wrong token or code: 401, or 429 if there were more than `most`.
    pub(super) fn wrong(request: &HttpRequest, state: &State, most: u32) -> Self {
        if let Some(problem) = state.over_limit_of_address(request) {
            return Self { reason: "throttled", problem };
        }
        // Without a forwarded address, the sender behind a proxy is unknown, so the try is not
        // counted.
        let cfg = state.config.get();
        let address =
            address_of(request, &cfg.server).filter(|address| !is_trusted(&cfg.server, *address));
        match address.and_then(|address| state.token_tries.wrong(address, most)) {
            None => Self { reason: "wrong_token", problem: Problem::unauthenticated() },
            Some(seconds) => {
                let detail =
                    "too many wrong tokens from this address: the right one is let in at any time";
                let problem = Problem::new(Cause::RateLimited, detail).retry_after(seconds);
                Self { reason: "throttled", problem }
            }
        }
    }

    /// Another site may have made a browser send the request.
    pub(super) fn cross_site() -> Self {
        Self { reason: "cross_site", problem: browsers::cross_site() }
    }

    fn without_token(request: &HttpRequest, state: &State) -> Self {
        match state.over_limit_of_address(request) {
            Some(problem) => Self { reason: "throttled", problem },
            None => Self { reason: "no_token", problem: Problem::unauthenticated() },
        }
    }
}

/// Who sends a request: the owner of the token that it shows, or of the session of its cookie. It
/// is found once for each request. A refusal is counted.
///
/// # Errors
/// 401 if it shows neither; 403 if the way is not private, or another site may have made a browser
/// send it; 429 after too many wrong tokens.
pub(super) async fn admit(request: &HttpRequest) -> Result<Viewer, Problem> {
    if let Some(known) = request.extensions().get::<Viewer>() {
        return Ok(known.clone());
    }
    let Some(state) = request.app_data::<web::Data<State>>() else {
        return Err(Problem::unauthenticated());
    };
    let viewer = find(request, state).await.map_err(|refusal| refusal.noted(request, state))?;
    request.extensions_mut().insert(viewer.clone());
    Ok(viewer)
}

async fn find(request: &HttpRequest, state: &State) -> Result<Viewer, AdmissionRefusal> {
    must_be_private(request, state)?;
    if let Some(shown) = request.headers().get(AUTHORIZATION) {
        let owner = bearer(shown.as_bytes()).and_then(|token| state.owner_of(token));
        let KnownUser { name: user, role, clients } =
            owner.ok_or_else(|| AdmissionRefusal::wrong(request, state, WRONG_MAX))?;
        // Programs share the admin's token, so each says who uses it.
        let name = if user == AdminUser::ADMIN { given_name(request) } else { user.clone() };
        return Ok(Viewer { name, role, clients, user, session: None });
    }
    state.in_session(request).await.map_err(|why| match why {
        NotIn::NoSession => AdmissionRefusal::without_token(request, state),
        NotIn::CrossSite => AdmissionRefusal::cross_site(),
    })
}

/// Checks that the role of `viewer` allows a request to the API.
fn must_be_allowed(request: &HttpRequest, viewer: &Viewer) -> Result<(), AdmissionRefusal> {
    let path = request.path().strip_prefix("/api/v1").unwrap_or_default();
    let needed = UserRole::needed_for(request.method().as_str(), path);
    if viewer.role >= needed {
        return Ok(());
    }
    let (own, needed) = (viewer.role.as_str(), needed.as_str());
    let detail = format!("you are a {own}, and only a person with the role {needed} may do this");
    Err(AdmissionRefusal { reason: "role", problem: Problem::new(Cause::Forbidden, detail) })
}

/// Lets a request to the API in, if its sender may make it.
async fn let_in(request: &HttpRequest) -> Result<(), Problem> {
    let viewer = admit(request).await?;
    let Some(state) = request.app_data::<web::Data<State>>() else { return Ok(()) };
    must_be_allowed(request, &viewer).map_err(|refusal| refusal.noted(request, state))?;
    let path = request.path().strip_prefix("/api/v1").unwrap_or_default();
    scope::must_see(&viewer, &state.store, path).await
}

impl TokenTries {
    fn wrong(&self, address: IpAddr, most: u32) -> Option<u64> {
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tries.wrong(Neighbours::of(address), most, Instant::now())
    }

    fn told(&self, address: IpAddr) -> Option<u64> {
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tries.told(Neighbours::of(address), Instant::now())
    }
}

/// How often a stream asks whether its session was revoked at another node.
const ASK_EVERY: Duration = Duration::from_secs(15);

impl State {
    /// Waits until a viewer who was let in by a request with these headers would not be let in any
    /// more, or would be allowed or shown something else.
    pub(super) async fn until_out(self, viewer: Viewer, headers: HeaderMap) {
        let Viewer { user, role, clients, .. } = viewer.clone();
        let was = KnownUser { name: user, role, clients };
        let shown = headers.get(AUTHORIZATION).and_then(|it| bearer(it.as_bytes()));
        let (mut changes, mut ended) = (self.config.changes(), self.sign_ins.ended());
        loop {
            let now = match &viewer.session {
                Some(ticket) => self.user_in(ticket).await,
                None => shown.and_then(|token| self.owner_of(token)),
            };
            if now.as_ref() != Some(&was) {
                return;
            }
            let goes_on = tokio::select! {
                changed = changes.changed() => changed.is_ok(),
                changed = ended.changed() => changed.is_ok(),
                () = tokio::time::sleep(ASK_EVERY), if viewer.session.is_some() => true,
            };
            if !goes_on {
                // Nothing changes any more.
                return;
            }
        }
    }
}

/// Lets in requests that show a token or come with a session, and whose sender may make them. No
/// cache may keep an answer. A body has to come within
/// `server.request_timeout`.
///
/// # Errors
/// The errors of the handler.
pub(super) async fn guard(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let id = request_id::of(request.request());
    let refused = let_in(request.request()).await.err();
    let response = match refused {
        None => {
            bound_body(&mut request);
            let nudge = nudge_after(&request);
            let response = next.call(request).await?.map_into_boxed_body();
            nudge.filter(|_| response.status().as_u16() < 400).inspect(Hub::nudge);
            response
        }
        Some(problem) => request.into_response(problem.of_request(&id).response()),
    };
    let mut response = name_request(response, &id);
    session::renew(&mut response);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    Ok(response)
}

/// Bounds the time for a body that is sent to the pages, and has their answers set a newer cookie
/// if one is due.
///
/// # Errors
/// The errors of the handler.
pub(super) async fn carry_session<B: MessageBody>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    bound_body(&mut request);
    let nudge = nudge_after(&request);
    let mut response = next.call(request).await?;
    nudge.as_ref().inspect(|hub| hub.nudge());
    session::renew(&mut response);
    Ok(response)
}

/// What is to be told after a request that may change something: those who watch see it at once.
fn nudge_after(request: &ServiceRequest) -> Option<Hub> {
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let state = request.app_data::<web::Data<State>>().filter(|_| changes);
    state.map(|state| state.hub.clone())
}

/// A body has to come within `server.request_timeout`.
fn bound_body(request: &mut ServiceRequest) {
    if let Some(state) = request.app_data::<web::Data<State>>() {
        let limit = state.config.get().server.request_timeout;
        let payload = within(request.take_payload(), limit);
        request.set_payload(payload);
    }
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
    fn only_a_token_lets_in_and_tells_whose_it_is() {
        let load = |token: &str| {
            let dana =
                r#"[{ name = "dana", role = "reviewer", token = "danas-token-of-24-characters" }]"#;
            let env = [("ADMIN__TOKEN", token), ("ADMIN__USERS", dana)];
            let env = env.map(|(name, value)| (format!("POSTROOM__{name}"), value.to_owned()));
            Config::load(&Sources { env: env.to_vec(), ..Sources::default() }).expect("valid")
        };
        let (fallback, configured) = (FallbackToken::default(), load("a-configured-admin-token"));
        let owner = |given: &str, config: &Config| {
            let found = owner_of(given.as_bytes(), config, &fallback);
            found.map(|it| format!("{} {}", it.name, it.role.as_str()))
        };
        assert_eq!(owner("", &load("")), None, "no token lets nobody in");
        assert_eq!(owner("κλειδί", &load("")), None);
        fallback.set(Secret::new("κλειδί"));
        fallback.set(Secret::new("the first one stays"));
        for (given, config, expected) in [
            ("κλειδί", &load(""), Some("admin operator")),
            ("κλειδί", &configured, None),
            ("a-configured-admin-token", &configured, Some("admin operator")),
            ("a-configured-admin-toke", &configured, None),
            ("a-configured-admin-token2", &configured, None),
            ("", &configured, None),
            ("the first one stays", &load(""), None),
            ("danas-token-of-24-characters", &configured, Some("dana reviewer")),
            ("danas-token-of-24-characters", &load(""), Some("dana reviewer")),
        ] {
            assert_eq!(owner(given, config).as_deref(), expected, "{given}");
        }
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
