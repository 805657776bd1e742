//! One request for a page: who looks, at which address, and how they want pages to look.

use super::{
    PageResult,
    frame::{self, PageContent},
    look::is_own_path,
    parts::{at, with_query},
    viewer::Viewer,
};
use crate::{
    domain::Timestamp,
    http::{
        State,
        api::{ApiState, Query},
        problem::{Cause, Problem},
        scope,
    },
    store::wall_clock,
};
use actix_web::{
    Error, FromRequest, HttpMessage as _, HttpRequest, HttpResponse,
    dev::Payload,
    error::InternalError,
    http::{
        StatusCode,
        header::{CONTENT_TYPE, HOST},
    },
    web,
};
use futures_util::future::LocalBoxFuture;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// How many pages are read at once. Others wait, so that pages never slow a webhook.
const READS_MAX: usize = 8;
/// How many of one user, with all sessions.
const OF_USER_MAX: usize = 4;
/// How long a page waits for its turn before it is refused.
const READ_WAIT: Duration = Duration::from_secs(2);
/// The seconds after which to ask again then.
const READ_RETRY_SECONDS: u64 = 2;
/// The most clients that a page names to choose from. With more of them, each page would be too
/// large, and a person types an id faster than they find it.
const CLIENTS_NAMED: usize = 100;
/// The parameters that every page takes.
const COMMON: [&str; 2] = ["client", "done"];
/// The cookies that hold how pages look.
pub(super) const THEME_COOKIE: &str = "postroom_theme";
pub(super) const KEYS_COOKIE: &str = "postroom_keys";

/// Lets few pages be read at once, and fewer for one user. A clone counts the same ones.
#[derive(Clone, Debug)]
pub(in crate::http) struct PageReads {
    all: Arc<Semaphore>,
    /// By the user of the configuration, so there are as many as that has had.
    of_users: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
}

/// The turn of a page that is being read.
#[derive(Debug)]
pub(in crate::http) struct PageTurn {
    _of_user: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Default for PageReads {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(READS_MAX)), of_users: Arc::default() }
    }
}

impl PageReads {
    /// Lets a page of a user be read until the turn is dropped.
    ///
    /// # Errors
    /// 503 if that takes long, because too many are being read.
    async fn turn(&self, user: &str) -> Result<PageTurn, Problem> {
        self.turn_within(user, READ_WAIT).await
    }

    async fn turn_within(&self, user: &str, wait: Duration) -> Result<PageTurn, Problem> {
        let of_user = {
            // Nothing panics while it holds the lock.
            let mut users = self.of_users.lock().unwrap_or_else(PoisonError::into_inner);
            let of_user = users.entry(user.to_owned());
            of_user.or_insert_with(|| Arc::new(Semaphore::new(OF_USER_MAX))).clone()
        };
        let turn = async {
            let _of_user = of_user.acquire_owned().await?;
            let _of_all = self.all.clone().acquire_owned().await?;
            Ok::<_, AcquireError>(PageTurn { _of_user, _of_all })
        };
        let turn = tokio::time::timeout(wait, turn).await;
        turn.ok().and_then(Result::ok).ok_or_else(|| {
            Problem::unavailable(
                format!(
                    "{READS_MAX} pages are being read, or {OF_USER_MAX} of yours, and this one had to wait \
                     too long"
                ),
                READ_RETRY_SECONDS,
            )
        })
    }
}

/// The colours that a person has chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Theme {
    /// Those of their system.
    #[default]
    System,
    Light,
    Dark,
}

impl Theme {
    pub(super) const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    pub(super) fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|theme| theme.as_str() == text)
    }
}

/// A form that was not done because of one of its fields. Its page is shown again with what was
/// typed, and with the error at the field.
#[derive(Clone, Debug)]
pub(super) struct RefusedForm {
    field: String,
    why: String,
    /// What was typed, by field.
    typed: Vec<(&'static str, String)>,
}

impl RefusedForm {
    /// The form that this problem is about, with what was typed.
    ///
    /// # Errors
    /// The problem, if it is about none of these fields.
    pub(super) fn of(
        problem: Problem,
        typed: Vec<(&'static str, String)>,
    ) -> Result<Self, Problem> {
        let field = problem.field().filter(|field| typed.iter().any(|it| it.0 == *field));
        match (problem.cause(), field) {
            (Cause::BadRequest, Some(field)) => {
                Ok(Self { field: field.to_owned(), why: problem.detail().to_owned(), typed })
            }
            _ => Err(problem),
        }
    }
}

/// One request for a page.
#[derive(Clone, Debug)]
pub(in crate::http) struct Visit {
    pub(in crate::http) viewer: Viewer,
    /// The client that the page is limited to, if any.
    pub(super) client: Option<String>,
    pub(super) now: Timestamp,
    /// How the daemon is reached: `https://post.example/below`.
    pub(super) origin: String,
    pub(super) theme: Theme,
    /// False if the person has switched single keys off.
    pub(super) has_keys: bool,
    /// The path of the page below the mount.
    path: String,
    /// The query of the request, as pairs in their order.
    query: Vec<(String, String)>,
    state: web::Data<State>,
    api: web::Data<ApiState>,
    /// The form that the page shows again, if one was refused.
    refused: Option<Arc<RefusedForm>>,
    /// Held until the page is read. The copy for the page of a problem has none.
    _turn: Option<Arc<PageTurn>>,
}

impl Visit {
    /// The parameters of the request: these, those of every page, and no others. It selects only
    /// clients that the viewer may see.
    ///
    /// # Errors
    /// 400 that names the parameter.
    pub(super) fn query(&self, known: &[&str]) -> Result<Query, Problem> {
        let known: Vec<&str> = known.iter().chain(&COMMON).copied().collect();
        Ok(Query::of_pairs(self.query.clone(), &known)?.limited(&self.viewer))
    }

    /// The first value of a parameter, as it was given.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        let pair = self.query.iter().find(|it| it.0 == name && !it.1.is_empty());
        pair.map(|it| it.1.as_str())
    }

    /// The clients whose rows the page shows, as a filter of the store; empty for all.
    pub(super) fn clients(&self) -> Vec<String> {
        let given = self.query.iter().filter(|it| it.0 == "client");
        let given = given.flat_map(|it| it.1.split(',')).map(str::trim);
        self.viewer.limited(given.filter(|it| !it.is_empty()).map(str::to_owned).collect())
    }

    /// What was done by the form that led here (`?done=`).
    pub(super) fn done(&self) -> Option<&str> {
        self.given("done")
    }

    /// The address of another page, which may have a query, with the client that is looked at.
    pub(super) fn to(&self, path: &str) -> String {
        self.to_with(path, &[])
    }

    /// The address of another page with parameters, and with the client that is looked at unless
    /// they name one.
    pub(super) fn to_with(&self, path: &str, pairs: &[(&str, &str)]) -> String {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let of_path: Vec<(String, String)> =
            url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let of_path = of_path.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let names_client = pairs.iter().any(|it| it.0 == "client");
        let client = self.client.as_deref().filter(|_| !names_client);
        let client = client.map(|it| ("client", it));
        with_query(path, of_path.chain(pairs.iter().copied()).chain(client))
    }

    /// The address of this page with one parameter set, or left out if there is no value. The list
    /// begins at its start again, unless it is its place that is set.
    pub(super) fn with(&self, name: &str, value: Option<&str>) -> String {
        with_query(&self.path, self.kept_beside(name).chain(value.map(|value| (name, value))))
    }

    /// The parameters of this page that stay when the one of this name is set, as pairs.
    pub(super) fn kept_beside(&self, name: &str) -> impl Iterator<Item = (&str, &str)> {
        let passing = ["cursor", "done", "ask", name];
        let kept = self.query.iter().filter(move |it| !passing.contains(&it.0.as_str()));
        kept.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The clients of the configuration that the person may see, in its order. `None`: too many to
    /// name them all.
    pub(super) fn named_clients(&self) -> Option<Vec<String>> {
        let config = self.state.config.get();
        let seen = config.clients.iter().map(|it| &it.id).filter(|it| self.viewer.sees(it));
        let named: Vec<String> = seen.take(CLIENTS_NAMED + 1).cloned().collect();
        (named.len() <= CLIENTS_NAMED).then_some(named)
    }

    /// The address of this page with a value of a filter turned on or off.
    pub(super) fn turned(&self, name: &str, value: &str) -> String {
        let given = self.query.iter().filter(|it| it.0 == name).flat_map(|it| it.1.split(','));
        let mut values: Vec<&str> = given.map(str::trim).filter(|it| !it.is_empty()).collect();
        match values.iter().position(|it| *it == value) {
            Some(at) => drop(values.remove(at)),
            None => values.push(value),
        }
        self.with(name, Some(&values.join(",")))
    }

    /// The same visit at another page of ours, with this query, which shows a form again.
    pub(super) fn again(
        &self,
        path: &str,
        query: Vec<(String, String)>,
        refused: RefusedForm,
    ) -> Self {
        let named = query.iter().find(|it| it.0 == "client" && !it.1.is_empty());
        Self {
            client: named.map(|it| it.1.clone()),
            path: path.to_owned(),
            query,
            refused: Some(Arc::new(refused)),
            ..self.clone()
        }
    }

    /// What was typed into a field of the form that is shown again.
    pub(super) fn typed(&self, field: &str) -> Option<&str> {
        let typed = &self.refused.as_ref()?.typed;
        typed.iter().find(|it| it.0 == field).map(|it| it.1.as_str())
    }

    /// What is wrong with that field.
    pub(super) fn wrong(&self, field: &str) -> Option<&str> {
        self.refused.as_ref().filter(|it| it.field == field).map(|it| it.why.as_str())
    }

    /// Answers the page of a form that was refused.
    pub(super) fn refuse(page: PageResult) -> PageResult {
        let mut page = page?;
        *page.status_mut() = StatusCode::BAD_REQUEST;
        Ok(page)
    }

    /// The address of this page as it is, without what was done. It is for forms that lead back.
    pub(super) fn here(&self) -> String {
        self.with("done", None)
    }

    /// The path of this page, without the mount.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// The address of a trace's page, with a place for its id, if the configuration has one.
    pub(super) fn trace_url(&self) -> Option<String> {
        self.state().config.get().telemetry.trace_url.clone()
    }

    pub(super) fn api(&self) -> &ApiState {
        &self.api
    }

    /// The same for work that outlives the visit.
    pub(super) const fn api_data(&self) -> &web::Data<ApiState> {
        &self.api
    }

    /// Answers with a page.
    pub(super) fn answer(&self, page: &PageContent) -> HttpResponse {
        let document = frame::document(Some(self), page).into_string();
        HttpResponse::build(page.status)
            .insert_header((CONTENT_TYPE, "text/html; charset=utf-8"))
            .body(document)
    }

    /// Answers a form: leads to a page of ours, at an address made by this visit.
    pub(super) fn see(&self, address: &str) -> HttpResponse {
        HttpResponse::SeeOther().insert_header(("location", address)).finish()
    }

    /// Allows what changes all but drafts and deliveries.
    ///
    /// # Errors
    /// 403 for a viewer and a reviewer.
    pub(super) fn must_operate(&self) -> Result<(), Problem> {
        if self.viewer.may_operate() { Ok(()) } else { Err(self.forbidden("an operator")) }
    }

    /// Allows decisions on drafts and deliveries.
    ///
    /// # Errors
    /// 403 for a viewer.
    pub(super) fn must_review(&self) -> Result<(), Problem> {
        if self.viewer.may_review() { Ok(()) } else { Err(self.forbidden("a reviewer")) }
    }

    fn forbidden(&self, role: &str) -> Problem {
        let own = self.viewer.role.as_str();
        Problem::new(Cause::Forbidden, format!("only {role} may do this, and you are a {own}"))
    }
}

impl FromRequest for Visit {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self, Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (viewer, request) = (Viewer::from_request(request, payload), request.clone());
        Box::pin(async move {
            let viewer = viewer.await?;
            let (Some(state), Some(api)) = (
                request.app_data::<web::Data<State>>().cloned(),
                request.app_data::<web::Data<ApiState>>().cloned(),
            ) else {
                return Err(Problem::internal("the pages have no state").into());
            };
            let query = request.query_string().as_bytes();
            let query: Vec<(String, String)> =
                url::form_urlencoded::parse(query).into_owned().collect();
            let named = query.iter().find(|it| it.0 == "client" && !it.1.is_empty());
            let client = named.map(|it| it.1.clone());
            let cookie = |name: &str| request.cookie(name).map(|it| it.value().to_owned());
            let visit = Self {
                viewer,
                client,
                now: wall_clock(),
                origin: origin(&request, &state),
                theme: cookie(THEME_COOKIE).and_then(|it| Theme::of(&it)).unwrap_or_default(),
                has_keys: cookie(KEYS_COOKIE).is_none_or(|it| it != "off"),
                // A path such as `//other.example` would lead away.
                path: if is_own_path(request.path()) { request.path() } else { "/" }.to_owned(),
                query,
                state,
                api,
                refused: None,
                _turn: None,
            };
            request.extensions_mut().insert(visit.clone());
            let seen = scope::must_see(&visit.viewer, &visit.state.store, &visit.path).await;
            if let Err(problem) = seen {
                // The front page is about all clients. Those who see some find their own inbox.
                let inbox = (visit.path == "/").then(|| visit.see(&visit.to("/inbox")));
                return Err(match inbox {
                    Some(inbox) => InternalError::from_response(problem, inbox).into(),
                    None => problem.into(),
                });
            }
            let mut named = visit.client.iter().flat_map(|it| it.split(',')).map(str::trim);
            if let Some(client) = named.find(|it| !visit.viewer.sees(it)) {
                let detail = format!("there is no client `{client}` that you may see");
                return Err(Problem::not_found(detail).into());
            }
            let turn = visit.state.page_reads.turn(&visit.viewer.user).await?;
            Ok(Self { _turn: Some(Arc::new(turn)), ..visit })
        })
    }
}

/// `server.public_url`, or the host that the request asks for.
fn origin(request: &HttpRequest, state: &State) -> String {
    if let Some(url) = &state.config.get().server.public_url {
        return url.trim_end_matches('/').to_owned();
    }
    // What a proxy says of the host is not believed: `server.public_url` is for that.
    let scheme = if state.is_https(request) { "https" } else { "http" };
    let named = request.uri().authority().map(|it| it.as_str());
    let host = named.or_else(|| request.headers().get(HOST)?.to_str().ok());
    format!("{scheme}://{}", host.unwrap_or("localhost"))
}

impl Visit {
    /// The address of one of our files or pages without the client.
    pub(super) fn plain(&self, path: &str) -> String {
        at(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_shown_again_only_if_one_of_its_fields_is_wrong() {
        let typed = || vec![("note", "too long".to_owned())];
        let of_note = RefusedForm::of(Problem::bad_request("note", "is too long"), typed());
        assert_eq!(
            of_note.map(|it| (it.field, it.why)).ok(),
            Some(("note".into(), "is too long".into()))
        );
        for problem in [
            Problem::bad_request("count", "must be a number"),
            Problem::new(Cause::BadRequest, "nothing is to be changed"),
            Problem::conflict("it has ended"),
        ] {
            let detail = problem.detail().to_owned();
            let refused = RefusedForm::of(problem, typed());
            assert_eq!(refused.err().map(|it| it.detail().to_owned()), Some(detail));
        }
    }

    #[tokio::test]
    async fn one_user_leaves_turns_to_others() {
        let reads = PageReads::default();
        let turn = async |user: &str| reads.turn_within(user, Duration::from_millis(1)).await;
        let mut held = Vec::new();
        for _ in 0..OF_USER_MAX {
            held.push(turn("dana").await.unwrap());
        }
        assert_eq!(turn("dana").await.unwrap_err().status(), 503);
        for _ in OF_USER_MAX..READS_MAX {
            held.push(turn("kim").await.unwrap());
        }
        assert_eq!(turn("vic").await.unwrap_err().status(), 503, "all turns are taken");
        held.truncate(1);
        assert!(turn("vic").await.is_ok() && turn("dana").await.is_ok());
    }
}
