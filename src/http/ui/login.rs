//! The sign-in, and the way out.
//!
//! A person pastes their token, or follows a link with a one-time code behind its `#`, which
//! browsers send to nobody: the script puts it into the form.
//!
//! A link of somebody else could sign a person in as that one, who then sees what the person does.
//! So a code asks whether to go on if another site led here, or somebody else is signed in. A link
//! that was typed or opened by a program signs in at once.

use super::{
    PageResult,
    frame::{self, PageContent, PagePlace},
    look::is_own_path,
    parts::{at, command, link_button, outside},
    session::{self, NotIn},
    viewer::Viewer,
};
use crate::{
    config::AdminUser,
    http::{
        State,
        admin::{self, AdmissionRefusal},
        browsers,
        operator::{Operator, shown_name},
        problem::{Cause, Problem},
        tries::WRONG_AT_SIGN_IN_MAX,
    },
};
use actix_web::{
    Error, HttpMessage as _, HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{CONTENT_TYPE, HeaderValue, LOCATION, SET_COOKIE},
    },
    web,
};
use maud::html;
use serde::Deserialize;

/// What the page is asked with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LoginQuery {
    /// The page that the person wanted.
    #[serde(default)]
    next: String,
}

/// The form of the page. A program may leave out all but the token.
#[derive(Deserialize)]
pub(super) struct LoginForm {
    /// A token, or a one-time code.
    token: String,
    /// The name for the audit log, if the token is the admin's.
    #[serde(default)]
    name: String,
    #[serde(default)]
    next: String,
    /// Set if another site led to the form.
    #[serde(default)]
    led: String,
    /// The user as whom the person has said to go on.
    #[serde(default)]
    go_on: String,
}

/// `GET /login`: the form; for one who is in, the page that they wanted.
pub(super) async fn show(
    state: web::Data<State>,
    request: HttpRequest,
    query: Result<web::Query<LoginQuery>, Error>,
) -> PageResult {
    let query = query.map_err(|_| {
        Problem::new(Cause::BadRequest, "the sign-in takes only the parameter `next`")
    })?;
    admin::must_be_private(&request, &state).map_err(|it| it.noted(&request, &state))?;
    match state.in_session(&request).await {
        Ok(_) => Ok(led_to(&query.next)),
        Err(NotIn::NoSession | NotIn::CrossSite) => {
            let led = browsers::is_led_from_elsewhere(&request);
            Ok(form(&query.next, led, StatusCode::OK, None))
        }
    }
}

/// `POST /login`: begins a session by a token or a code, and leads to the page that was wanted.
pub(super) async fn sign_in(
    state: web::Data<State>,
    request: HttpRequest,
    form: Result<web::Form<LoginForm>, Error>,
) -> PageResult {
    admin::must_be_private(&request, &state).map_err(|it| it.noted(&request, &state))?;
    // Otherwise another site could sign a person in as somebody else.
    if !browsers::is_not_cross_site(&request, state.is_https(&request)) {
        return Err(AdmissionRefusal::cross_site().noted(&request, &state));
    }
    let LoginForm { token, name, next, led, go_on } = form
        .map_err(|_| Problem::bad_request("token", "the form of the sign-in is not as expected"))?
        .into_inner();
    let shown = token.trim();
    let begun = match state.owner_of(shown.as_bytes()) {
        Some(user) if user.name == AdminUser::ADMIN => {
            state.begin_by_token(&request, &user.name, &shown_name(&name)).await
        }
        Some(user) => state.begin_by_token(&request, &user.name, &user.name).await,
        None => match state.named_by_code(shown) {
            Some((user, actor))
                if user != go_on && must_ask(&state, &request, &led, &user).await =>
            {
                return Ok(question(shown, &next, &user, &actor));
            }
            _ => state.begin_by_code(&request, shown).await,
        },
    };
    match begun {
        Ok(cookie) => {
            let mut response = led_to(&next);
            response.headers_mut().append(SET_COOKIE, cookie);
            Ok(response)
        }
        Err(problem) if problem.cause() == Cause::Unauthenticated => {
            let refused = AdmissionRefusal::wrong(&request, &state, WRONG_AT_SIGN_IN_MAX);
            Ok(refused_form(&next, &refused.noted(&request, &state)))
        }
        Err(problem) => Err(problem),
    }
}

/// True if a code for `user` is to sign in only after a question: another site led here, or
/// somebody else is signed in.
async fn must_ask(state: &State, request: &HttpRequest, led: &str, user: &str) -> bool {
    !led.is_empty() || state.in_session(request).await.is_ok_and(|it| it.user != user)
}

/// Asks whether to go on as the user of a code, which is not used up by that.
fn question(code: &str, next: &str, user: &str, actor: &str) -> HttpResponse {
    let body = html! {
        div.problem {
            h1 { "Go on as " bdi { (user) } "?" }
            p.say {
                "The link that you followed signs you in as " b { (outside(actor)) }
                ". If it is not your own, whoever made it would see what you do here."
            }
            form.row.mt method="post" action=(at("/login")) {
                input type="hidden" name="token" value=(code);
                input type="hidden" name="next" value=(next);
                input type="hidden" name="go_on" value=(user);
                button.btn.pri { "Go on as " (user) }
                (link_button(&at("/"), "Stay as I am"))
            }
        }
    };
    answered(&PageContent::new(PagePlace::None, "Sign in", body))
}

/// `POST /logout`: ends the session of this browser.
pub(super) async fn sign_out(state: web::Data<State>, request: HttpRequest) -> PageResult {
    match state.in_session(&request).await {
        Err(NotIn::CrossSite) => return Err(AdmissionRefusal::cross_site().noted(&request, &state)),
        Err(NotIn::NoSession) => {}
        Ok(viewer) => {
            if let Err(problem) = end(&state, &request, viewer).await {
                tracing::warn!(
                    detail = problem.detail(),
                    "a sign-out is known to this node only until the database answers"
                );
            }
        }
    }
    let mut response = HttpResponse::SeeOther();
    response.insert_header((LOCATION, at("/login")));
    response.insert_header((SET_COOKIE, session::no_cookie(state.is_https(&request))));
    Ok(response.finish())
}

/// Ends the session of `viewer`. While the database is away, only this node knows of it; it is
/// stored later.
async fn end(state: &State, request: &HttpRequest, viewer: Viewer) -> Result<(), Problem> {
    let Some(ticket) = viewer.session.clone() else { return Ok(()) };
    request.extensions_mut().insert(viewer);
    let entry = Operator::of(request).did("session.revoke", ticket.id);
    Ok(state.sign_ins.end(&ticket, entry).await?)
}

/// Leads to one of our pages.
fn led_to(next: &str) -> HttpResponse {
    let next = if is_own_path(next) { next } else { "/" };
    HttpResponse::SeeOther().insert_header((LOCATION, at(next))).finish()
}

/// The form after a wrong token or code.
fn refused_form(next: &str, problem: &Problem) -> HttpResponse {
    let status = problem.status();
    let text = if status == StatusCode::TOO_MANY_REQUESTS {
        "Too many wrong tries from your address. Wait a minute: the right token is let in at any time."
    } else {
        "This is no token that lets in, or the link was used before or is older than 10 minutes."
    };
    let mut page = form(next, false, status, Some(text));
    // When to try again.
    for (name, value) in problem.response().headers() {
        if name == actix_web::http::header::RETRY_AFTER {
            page.headers_mut().insert(name.clone(), value.clone());
        }
    }
    page
}

fn form(next: &str, is_led: bool, status: StatusCode, error: Option<&str>) -> HttpResponse {
    let body = html! {
        div.problem {
            h1 { "Sign in" }
            form #login method="post" action=(at("/login")) {
                input type="hidden" name="next" value=(next);
                @if is_led { input type="hidden" name="led" value="1"; }
                label.f {
                    "Token"
                    input #token type="password" name="token" required autocomplete="current-password" autofocus
                        aria-invalid=[error.map(|_| "true")] aria-describedby=[error.map(|_| "e-token")];
                    @if let Some(error) = error { span.err #e-token role="alert" { (error) } }
                }
                label.f.mt {
                    "Your name, for the audit log, if the token is shared"
                    input name="name" maxlength="64" autocomplete="username";
                }
                p.row.mt { button.btn.pri { "Sign in" } }
            }
            p.sm.mut.mt { "Without a token at hand: this prints a link that signs you in, once." }
            (command("postroom login-link"))
        }
    };
    answered(&PageContent::new(PagePlace::None, "Sign in", body).status(status))
}

fn answered(page: &PageContent) -> HttpResponse {
    let document = frame::document(None, page).into_string();
    let mut response = HttpResponse::build(page.status).body(document);
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, html);
    response
}
