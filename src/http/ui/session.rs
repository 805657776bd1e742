//! Sessions of people: how they begin, what lets them in, and how they end.
//!
//! A cookie counts by its signature, so sessions hold while the database is away. A session ends
//! when it expires, when it is revoked, when its user's token is another one, or when the user is
//! gone. Revocations of this process count at once; those of other nodes are read when somebody
//! asks, and at most every two seconds. While they cannot be read, those that are known count.

use super::{
    ticket::{SESSION_MAX, Signer, Ticket, TicketKind, hash},
    viewer::Viewer,
};
use crate::{
    config::{AdminUser, Secret},
    domain::{Timestamp, UserRole},
    http::{State, admin::KnownUser, browsers, limits::is_trusted, problem::Problem, request_id},
    store::{AuditEntry, NewSession, SessionStart, StoreError, UserSessions, Via, wall_clock},
};
use actix_web::{
    HttpMessage as _, HttpRequest,
    dev::ServiceResponse,
    http::{
        Method,
        header::{COOKIE, HeaderValue, SET_COOKIE, USER_AGENT},
    },
};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// The cookie over plain HTTP, and the one over HTTPS, which no other host can set.
const COOKIE_PLAIN: &str = "postroom";
const COOKIE_SECURE: &str = "__Host-postroom";
/// A cookie is made again if it was used this long ago.
const RENEW_AFTER: Duration = Duration::from_secs(5 * 60);
/// Revocations are not read again within this time.
const REVOKED_KEPT: Duration = Duration::from_secs(2);
/// How long a request waits for them.
const REVOKED_WAIT: Duration = Duration::from_millis(250);
/// After they could not be read, the next try is this much later.
const REVOKED_RETRY: Duration = Duration::from_secs(5);
/// A sign-out that could not be stored is tried again after this pause, which doubles up to the
/// second one.
const END_RETRY: Duration = Duration::from_secs(1);
const END_RETRY_MAX: Duration = Duration::from_secs(30);
/// The most characters that are kept of what a browser says of itself.
const BROWSER_CHARS_MAX: usize = 200;

/// The sessions of this process.
#[derive(Debug)]
pub(in crate::http) struct SignIns {
    sessions: UserSessions,
    signer: Signer,
    revoked: Mutex<Revoked>,
    /// Held by the request that reads them for the first time: others wait for it.
    first_read: tokio::sync::Mutex<()>,
    /// Changes when this process learns of a revocation.
    ended: watch::Sender<()>,
}

/// The sessions that are known to be revoked.
#[derive(Debug, Default)]
struct Revoked {
    hashes: HashSet<String>,
    /// True once they were read.
    are_read: bool,
    /// When they are to be read again.
    read_at: Option<Instant>,
    /// Those that this process has revoked, and that were not among those that were read since.
    own: HashSet<String>,
}

/// Why a session does not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum NotIn {
    /// There is no cookie, or it no longer counts.
    NoSession,
    /// Another site's page made the browser send the request.
    CrossSite,
}

/// A cookie that the answer is to set.
struct NewCookie(HeaderValue);

impl SignIns {
    /// The sessions of a daemon that starts now.
    pub(in crate::http) fn new(sessions: UserSessions) -> Self {
        let signer = Signer::new(sessions.key());
        Self {
            sessions,
            signer,
            revoked: Mutex::default(),
            first_read: tokio::sync::Mutex::default(),
            ended: watch::Sender::default(),
        }
    }

    /// The rows of the sessions.
    pub(in crate::http) const fn stored(&self) -> &UserSessions {
        &self.sessions
    }

    /// What the rows of sessions say that were begun with this token.
    pub(in crate::http) fn token_mark(&self, token: &Secret) -> String {
        hash(&self.signer.mark(token))
    }

    /// Changes when a session is revoked that this process had let in.
    pub(in crate::http) fn ended(&self) -> watch::Receiver<()> {
        self.ended.subscribe()
    }

    /// A code that lets this user in once, signed with their token. `actor` is their name in the
    /// audit log.
    pub(in crate::http) fn code(&self, user: &str, actor: &str, token: &Secret) -> Option<String> {
        let ticket = Ticket::code(user, actor, self.signer.mark(token), wall_clock());
        self.signer.sign(TicketKind::Code, &ticket)
    }

    /// Notes that a session is revoked.
    pub(in crate::http) fn revoke(&self, hash: String) {
        let mut revoked = self.revoked();
        revoked.hashes.insert(hash.clone());
        revoked.own.insert(hash);
        drop(revoked);
        self.ended.send_replace(());
    }

    /// Ends a session, whose ticket this is, by its owner. At once here; in the database as soon as
    /// that answers. A daemon that stops before forgets it. `entry` becomes its row of the audit
    /// log.
    ///
    /// # Errors
    /// If the database does not answer now.
    pub(in crate::http) async fn end(
        &self,
        ticket: &Ticket,
        entry: AuditEntry,
    ) -> Result<(), StoreError> {
        self.revoke(ticket.hash());
        let (sessions, id) = (self.sessions.clone(), ticket.id);
        let ended = sessions.revoke(id, entry.clone()).await;
        if ended.as_ref().is_err_and(StoreError::comes_back) {
            actix_web::rt::spawn(async move {
                let mut pause = END_RETRY;
                loop {
                    tokio::time::sleep(pause).await;
                    match sessions.revoke(id, entry.clone()).await {
                        Err(error) if error.comes_back() => pause = (pause * 2).min(END_RETRY_MAX),
                        Err(error) => return tracing::warn!(%error, "a sign-out is not stored"),
                        Ok(_) => return,
                    }
                }
            });
        }
        ended.map(drop)
    }

    fn revoked(&self) -> MutexGuard<'_, Revoked> {
        self.revoked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if the session is revoked, as far as is known. Reads what other nodes have revoked, if
    /// that was not done just now.
    async fn is_revoked(&self, hash: &str) -> bool {
        let are_read = self.revoked().are_read;
        let _first = if are_read { None } else { Some(self.first_read.lock().await) };
        let now = Instant::now();
        let due = {
            let mut revoked = self.revoked();
            let is_due = revoked.read_at.is_none_or(|at| at <= now);
            // Others go on with what is known meanwhile.
            revoked.read_at = if is_due { Some(now + REVOKED_RETRY) } else { revoked.read_at };
            is_due
        };
        if due
            && let Ok(Ok(hashes)) =
                tokio::time::timeout(REVOKED_WAIT, self.sessions.revoked()).await
        {
            let mut revoked = self.revoked();
            revoked.read_at = Some(Instant::now() + REVOKED_KEPT);
            revoked.are_read = true;
            let is_news = hashes.iter().any(|it| !revoked.hashes.contains(it));
            // What this process revoked may not be stored yet, or not at all.
            revoked.own.retain(|it| !hashes.contains(it));
            revoked.hashes = hashes.union(&revoked.own).cloned().collect();
            drop(revoked);
            if is_news {
                self.ended.send_replace(());
            }
        }
        self.revoked().hashes.contains(hash)
    }
}

impl State {
    /// A user with their token, as the configuration says now. `None` if there is no such user.
    pub(in crate::http) fn user(&self, name: &str) -> Option<(KnownUser, Secret)> {
        let cfg = self.config.get();
        if name == AdminUser::ADMIN {
            let token = self.fallback_token.or_configured(&cfg)?;
            return Some((KnownUser::admin(), token));
        }
        let user = cfg.admin.users.iter().find(|user| user.name == name)?;
        Some((KnownUser::of(user), user.token.clone()))
    }

    /// A code that lets the owner of the admin token in, once and within ten minutes. It is the
    /// part behind `/login#`.
    pub fn admin_code(&self) -> Option<String> {
        let (_, token) = self.user(AdminUser::ADMIN)?;
        self.sign_ins.code(AdminUser::ADMIN, AdminUser::ADMIN, &token)
    }

    /// A session's owner, if the session still lets in.
    pub(in crate::http) async fn user_in(&self, ticket: &Ticket) -> Option<KnownUser> {
        let (user, token) = self.user(&ticket.user)?;
        let is_fresh = ticket.is_fresh(TicketKind::Cookie, wall_clock());
        let has_mark = ticket.has_mark(&self.sign_ins.signer.mark(&token));
        let holds = is_fresh && has_mark && !self.sign_ins.is_revoked(&ticket.hash()).await;
        holds.then_some(user)
    }

    /// Who sends a request with a cookie. The answer must pass [`renew`].
    ///
    /// # Errors
    /// If there is no cookie that counts, or the request would change something and another site
    /// may have made it.
    pub(in crate::http) async fn in_session(&self, request: &HttpRequest) -> Result<Viewer, NotIn> {
        let is_https = self.is_https(request);
        let text = cookie(request, cookie_name(is_https)).ok_or(NotIn::NoSession)?;
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        if !reads && !browsers::is_same_origin(request, is_https) {
            return Err(NotIn::CrossSite);
        }
        let now = wall_clock();
        let found = self.sign_ins.signer.check(TicketKind::Cookie, &text, now);
        let ticket = found.ok_or(NotIn::NoSession)?;
        let user = self.user_in(&ticket).await.ok_or(NotIn::NoSession)?;
        if ticket.idle(now) >= RENEW_AFTER {
            self.renew(request, ticket.clone().used(now), is_https, now);
        }
        let KnownUser { name: user, role, clients } = user;
        Ok(Viewer {
            name: ticket.actor.clone(),
            role,
            clients,
            user,
            session: Some(Arc::new(ticket)),
        })
    }

    /// Has the answer set a newer cookie, and notes the use in the session's row.
    fn renew(&self, request: &HttpRequest, ticket: Ticket, is_https: bool, now: Timestamp) {
        if let Some(cookie) = self.cookie_of(&ticket, is_https, now) {
            request.extensions_mut().insert(NewCookie(cookie));
        }
        let sessions = self.sign_ins.sessions.clone();
        actix_web::rt::spawn(async move {
            if let Err(error) = sessions.touch(ticket.hash()).await {
                tracing::debug!(%error, "the use of a session is not noted");
            }
        });
    }

    /// The user whom a one-time code would let in, by its name in the audit log; `None` if it does
    /// not count. Whether it was used before is not known here.
    pub(in crate::http) fn named_by_code(&self, code: &str) -> Option<(String, String)> {
        let code = self.sign_ins.signer.check(TicketKind::Code, code, wall_clock())?;
        Some((code.user.clone(), code.actor.clone()))
    }

    /// Begins a session by a one-time code. Returns its cookie.
    ///
    /// # Errors
    /// 401 if the code does not count or was used before. 503 if the database is away.
    pub(in crate::http) async fn begin_by_code(
        &self,
        request: &HttpRequest,
        code: &str,
    ) -> Result<HeaderValue, Problem> {
        let found = self.sign_ins.signer.check(TicketKind::Code, code, wall_clock());
        let code = found.ok_or_else(Problem::unauthenticated)?;
        let (KnownUser { role, .. }, token) =
            self.user(&code.user).ok_or_else(Problem::unauthenticated)?;
        if !code.has_mark(&self.sign_ins.signer.mark(&token)) {
            return Err(Problem::unauthenticated());
        }
        self.begin(request, code, role).await
    }

    /// Begins a session of a user who has shown their token. `actor` is their name in the audit
    /// log.
    ///
    /// # Errors
    /// As [`Self::begin_by_code`].
    pub(in crate::http) async fn begin_by_token(
        &self,
        request: &HttpRequest,
        user: &str,
        actor: &str,
    ) -> Result<HeaderValue, Problem> {
        let (KnownUser { role, .. }, token) =
            self.user(user).ok_or_else(Problem::unauthenticated)?;
        let mark = self.sign_ins.signer.mark(&token);
        self.begin(request, Ticket::code(user, actor, mark, wall_clock()), role).await
    }

    async fn begin(
        &self,
        request: &HttpRequest,
        code: Ticket,
        role: UserRole,
    ) -> Result<HeaderValue, Problem> {
        let browser = request.headers().get(USER_AGENT).map_or(&b""[..], |it| it.as_bytes());
        let browser: String =
            String::from_utf8_lossy(browser).chars().take(BROWSER_CHARS_MAX).collect();
        let new = NewSession {
            hash: code.hash(),
            token_mark: code.token_mark(),
            user: code.user.clone(),
            actor: code.actor.clone(),
            browser,
            lasts: SESSION_MAX,
        };
        let entry = AuditEntry {
            role: Some(role),
            new_value: Some(format!("{} ({})", code.user, role.as_str())),
            request_id: Some(request_id::of(request)),
            ..AuditEntry::new(code.actor.clone(), Via::Page, "session.begin")
        };
        let id = match self.sign_ins.sessions.begin(new, entry).await? {
            SessionStart::Begun(id) => id,
            SessionStart::UsedBefore => return Err(Problem::unauthenticated()),
            SessionStart::TooMany => {
                let detail = "you have begun too many sessions in a week: revoke some, and wait";
                return Err(Problem::conflict(detail));
            }
        };
        tracing::info!(user = code.user, session = id, "somebody has signed in");
        let now = wall_clock();
        self.cookie_of(&code.begun(id, now), self.is_https(request), now)
            .ok_or_else(|| Problem::internal("the cookie cannot be spelled"))
    }

    fn cookie_of(&self, ticket: &Ticket, is_https: bool, now: Timestamp) -> Option<HeaderValue> {
        let text = self.sign_ins.signer.sign(TicketKind::Cookie, ticket)?;
        let left = ticket.ends_at().millis_since(now) / 1_000;
        HeaderValue::from_str(&spelled(cookie_name(is_https), &text, left, is_https)).ok()
    }

    /// True if the browser came over HTTPS: to this daemon, to a proxy that is trusted or on this
    /// machine, or to a proxy at the public address. A proxy on this machine is believed that much,
    /// because a false word only keeps a cookie from being sent in clear.
    pub(in crate::http) fn is_https(&self, request: &HttpRequest) -> bool {
        let cfg = self.config.get();
        let is_direct = crate::http::admin::is_encrypted(request);
        let peer = request.peer_addr().map(|it| it.ip());
        let said = request.headers().get("x-forwarded-proto");
        let is_said = said.is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"https"))
            && peer.is_some_and(|peer| {
                peer.to_canonical().is_loopback() || is_trusted(&cfg.server, peer)
            });
        is_direct || is_said || browsers::is_at_public_https(request, &cfg.server)
    }
}

/// The name of the cookie.
const fn cookie_name(is_https: bool) -> &'static str {
    if is_https { COOKIE_SECURE } else { COOKIE_PLAIN }
}

/// The header that sets the cookie, for this many seconds.
fn spelled(name: &str, value: &str, seconds: i64, is_https: bool) -> String {
    let secure = if is_https { "; Secure" } else { "" };
    format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// The header that deletes the cookie.
pub(in crate::http) fn no_cookie(is_https: bool) -> HeaderValue {
    let text = spelled(cookie_name(is_https), "", 0, is_https);
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The value of a cookie of a request. Two of one name are none.
pub(in crate::http) fn cookie(request: &HttpRequest, name: &str) -> Option<String> {
    let lines = request.headers().get_all(COOKIE).filter_map(|it| it.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    let mut values = pairs.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim());
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value.to_owned()),
        _ => None,
    }
}

/// Has the answer set a newer cookie, if its request needs one.
pub(in crate::http) fn renew<B>(response: &mut ServiceResponse<B>) {
    let cookie = response.request().extensions_mut().remove::<NewCookie>();
    // An answer that signs out, or in, sets its own.
    let is_set = response.headers().contains_key(SET_COOKIE);
    if let Some(NewCookie(cookie)) = cookie.filter(|_| !is_set) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn a_cookie_is_found_by_its_whole_name_and_only_once() {
        let found = |lines: &[&str]| {
            let request = lines.iter().fold(TestRequest::default(), |request, line| {
                request.append_header(("cookie", *line))
            });
            cookie(&request.to_http_request(), COOKIE_PLAIN)
        };
        for (lines, value) in [
            (&["postroom=a.b"][..], Some("a.b")),
            (&["x=1; postroom=a.b;y=2"], Some("a.b")),
            (&["x=1", "postroom=a.b"], Some("a.b")),
            (&["__Host-postroom=a.b"], None),
            (&["postroom_theme=dark"], None),
            (&["postroom=a.b; postroom=c.d"], None),
            (&["postroom=a.b", "postroom=c.d"], None),
            (&["postroom"], None),
            (&[], None),
        ] {
            assert_eq!(found(lines).as_deref(), value, "{lines:?}");
        }
    }

    #[test]
    fn a_cookie_is_closed_to_scripts_and_other_sites() {
        assert_eq!(
            spelled(cookie_name(true), "a.b", 60, true),
            "__Host-postroom=a.b; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure"
        );
        assert_eq!(no_cookie(false), "postroom=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    }
}
