//! `/sessions`: who has signed in to the pages. `/login-codes`: codes to sign in with.

use super::{
    ApiResult, no_such,
    objects::{self, List, RowKey, at},
    only_id,
    query::Query,
};
use crate::{
    domain::Timestamp,
    http::{
        State, admin,
        openapi::{
            ApiEndpoint, ApiParameter, CURSOR, LIMIT, Takes, UserRoleWord, VALUE_CHARS_MAX, delete,
            get, post,
        },
        operator::Operator,
        problem::{Cause, Problem},
        ui::{CODE_MAX, IDLE_MAX},
    },
    store::{Page, SessionRow, wall_clock},
};
use actix_web::{HttpRequest, web};
use schemars::JsonSchema;
use serde::Serialize;

/// The parameters of the list.
const PARAMETERS: [ApiParameter; 3] =
    [ApiParameter::new("user", Takes::Text(VALUE_CHARS_MAX)), LIMIT, CURSOR];

/// People who have signed in.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        get("/sessions", list)
            .says("Who has signed in to the pages")
            .takes(&PARAMETERS)
            .answers::<List<SessionJson>>(),
        delete("/sessions/{id}", revoke).says("Ends a session").answers::<SessionJson>(),
        post("/login-codes", make_code)
            .says("Makes a code that signs the one who asks in, once")
            .answers::<CodeJson>(),
    ]
}

/// A session, as the API and the System page show it.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct SessionJson {
    pub(in crate::http) id: RowKey,
    /// The user of the configuration.
    pub(in crate::http) user: String,
    /// The name in the audit log.
    pub(in crate::http) name: String,
    /// The user's role now; `null` if the user is gone.
    #[schemars(with = "Option<UserRoleWord>")]
    pub(in crate::http) role: Option<&'static str>,
    pub(in crate::http) browser: String,
    pub(in crate::http) created_at: Timestamp,
    /// When it was last used, to a few minutes.
    pub(in crate::http) used_at: Timestamp,
    /// When it ends however much it is used.
    pub(in crate::http) expires_at: Timestamp,
    pub(in crate::http) revoked_at: Option<Timestamp>,
    /// Why it no longer lets in: `revoked`, `expired`, `idle`, `token` or `user`; `null` if it
    /// does.
    pub(in crate::http) ended: Option<&'static str>,
    /// True for the session that asks.
    pub(in crate::http) is_own: bool,
}

impl SessionJson {
    /// Its id.
    pub(in crate::http) const fn key(&self) -> i64 {
        self.id.0
    }

    fn of(row: SessionRow, state: &State, own: Option<i64>) -> Self {
        let (now, user) = (wall_clock(), state.user(&row.user_name));
        let [created_at, used_at, expires_at] = [row.created_at, row.used_at, row.expires_at]
            .map(|instant| Timestamp::from_millis(instant.0));
        let is_of = |token| state.sign_ins.token_mark(token) == row.token_mark;
        let idle_ms = u128::try_from(now.millis_since(used_at)).unwrap_or_default();
        let ended = match &user {
            _ if row.revoked_at.is_some() => Some("revoked"),
            _ if now >= expires_at => Some("expired"),
            _ if idle_ms >= IDLE_MAX.as_millis() => Some("idle"),
            None => Some("user"),
            Some((_, token)) if !is_of(token) => Some("token"),
            Some(_) => None,
        };
        Self {
            id: RowKey(row.id),
            role: user.map(|(user, _)| user.role.as_str()),
            user: row.user_name,
            name: row.actor,
            browser: row.browser,
            created_at,
            used_at,
            expires_at,
            revoked_at: at!(row.revoked_at),
            ended,
            is_own: own == Some(row.id),
        }
    }
}

/// Sessions before `cursor`, newest first.
///
/// An operator of all clients sees those of all, or of `user`; others see their own.
///
/// # Errors
/// If the request is not let in, or the database is away.
pub(in crate::http) async fn page_of_sessions(
    state: &State,
    request: &HttpRequest,
    user: Option<String>,
    limit: usize,
    cursor: Option<i64>,
) -> Result<Page<SessionJson>, Problem> {
    let viewer = admin::admit(request).await?;
    let user = if viewer.may_operate_all() { user } else { Some(viewer.user) };
    let own = viewer.session.map(|ticket| ticket.id);
    let page = state.sign_ins.stored().list(user, limit, cursor).await?;
    let json = |row| SessionJson::of(row, state, own);
    Ok(Page { items: page.items.into_iter().map(json).collect(), next: page.next })
}

/// `GET /sessions`.
pub(super) async fn list(state: web::Data<State>, request: HttpRequest) -> ApiResult {
    let query = Query::parse(&request, &PARAMETERS)?;
    let user = query.text("user")?.map(str::to_owned);
    let page = page_of_sessions(&state, &request, user, query.limit()?, query.cursor()?).await?;
    objects::page(page.items, page.next)
}

/// Revokes a session, for the one who sends this request: an operator of all clients may end any,
/// others their own.
///
/// # Errors
/// 404 if there is no such session that they may see. If the database is away.
pub(in crate::http) async fn revoke_session(
    state: &State,
    request: &HttpRequest,
    id: i64,
) -> Result<SessionJson, Problem> {
    let viewer = admin::admit(request).await?;
    let stored = state.sign_ins.stored();
    let is_seen = |row: &SessionRow| viewer.may_operate_all() || row.user_name == viewer.user;
    let row = stored.get(id).await?.filter(is_seen).ok_or_else(|| no_such("session", id))?;
    let mut entry = Operator::of(request).did("session.revoke", id);
    entry.old_value = Some(row.user_name);
    stored.revoke(id, entry).await?;
    state.sign_ins.revoke(row.hash);
    let row = stored.get(id).await?.ok_or_else(|| no_such("session", id))?;
    Ok(SessionJson::of(row, state, viewer.session.map(|ticket| ticket.id)))
}

/// `DELETE /sessions/{id}`. A session that has ended stays as it is.
pub(super) async fn revoke(
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<String>,
) -> ApiResult {
    let id = only_id(&request, &path, "session")?;
    objects::object(revoke_session(&state, &request, id).await?)
}

/// A one-time code, as the API shows it.
#[derive(Debug, JsonSchema, Serialize)]
struct CodeJson {
    /// What stands behind `/login#`.
    code: String,
    /// The whole link; `null` if `server.public_url` is not set.
    url: Option<String>,
    expires_at: Timestamp,
}

/// `POST /login-codes`: a code that lets the one who asks sign in, once.
pub(super) async fn make_code(state: web::Data<State>, request: HttpRequest) -> ApiResult {
    Query::none(&request)?;
    let viewer = admin::admit(&request).await?;
    if viewer.session.is_some() {
        let detail = "a session makes no codes, for it would never end: show your token";
        return Err(Problem::new(Cause::Forbidden, detail));
    }
    let (_, token) = state.user(&viewer.user).ok_or_else(Problem::unauthenticated)?;
    let code = state.sign_ins.code(&viewer.user, &viewer.name, &token);
    let code = code.ok_or_else(|| Problem::internal("the code cannot be spelled"))?;
    let public = state.config.get().server.public_url.clone();
    let url = public.map(|url| format!("{}/login#{code}", url.trim_end_matches('/')));
    objects::object(CodeJson { code, url, expires_at: wall_clock().plus(CODE_MAX) })
}
