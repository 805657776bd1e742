//! Who looks at a page or asks the API, and what they may do.

use super::{
    frame::{self, PageContent, PagePlace},
    parts::{at, link_button, with_query},
    session::cookie,
    ticket::Ticket,
};
use crate::{
    domain::UserRole,
    http::{admin, browsers, problem::Cause},
};
use actix_web::{
    Error, FromRequest, HttpRequest, HttpResponse,
    dev::Payload,
    error::InternalError,
    http::{
        Method,
        header::{CONTENT_TYPE, LOCATION, REFRESH, SET_COOKIE},
    },
};
use futures_util::future::LocalBoxFuture;
use maud::html;
use std::sync::Arc;

/// Says that a page has just been loaded again. A link on another site does send this cookie.
const AGAIN: &str = "postroom_again";

/// Who looks at a page or asks the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) struct Viewer {
    /// The name under which changes are written to the audit log.
    pub(in crate::http) name: String,
    /// What they may do, as the configuration says now.
    pub(in crate::http) role: UserRole,
    /// The only clients that they see; `None` for all.
    pub(in crate::http) clients: Option<Arc<[String]>>,
    /// The user of the configuration.
    pub(in crate::http) user: String,
    /// The session by which they are in; `None` if they showed a token.
    pub(in crate::http) session: Option<Arc<Ticket>>,
}

impl Viewer {
    /// True if they may decide drafts and settle deliveries.
    pub(in crate::http) fn may_review(&self) -> bool {
        self.role >= UserRole::Reviewer
    }

    /// True if they may change all that can be changed.
    pub(in crate::http) fn may_operate(&self) -> bool {
        self.role >= UserRole::Operator
    }

    /// The same, if it is about all clients.
    pub(in crate::http) fn may_operate_all(&self) -> bool {
        self.may_operate() && self.clients.is_none()
    }
}

impl FromRequest for Viewer {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let problem = match admin::admit(&request).await {
                Ok(viewer) => return Ok(viewer),
                Err(problem) => problem,
            };
            let is_unknown = problem.cause() == Cause::Unauthenticated;
            if !is_unknown || !matches!(*request.method(), Method::GET | Method::HEAD) {
                return Err(problem.into());
            }
            let may_have_session =
                browsers::is_led_from_elsewhere(&request) && cookie(&request, AGAIN).is_none();
            let response = if may_have_session { again(&request) } else { sign_in(&request) };
            Err(InternalError::from_response(problem, response).into())
        })
    }
}

/// The path and the query of a request.
fn address(request: &HttpRequest) -> &str {
    request.uri().path_and_query().map_or("/", |it| it.as_str())
}

/// Leads to the sign-in, and from there back to the page.
fn sign_in(request: &HttpRequest) -> HttpResponse {
    let location = with_query("/login", [("next", address(request))]);
    HttpResponse::Found().insert_header((LOCATION, location)).finish()
}

/// Loads the page again, once. A link on another site, in a chat for example, sends no cookie of
/// ours: a page of ours that loads itself does.
fn again(request: &HttpRequest) -> HttpResponse {
    let here = at(address(request));
    let body = html! {
        div.problem {
            h1 { "One moment" }
            p.say { "Another site led here, so your browser did not say that you are signed in. This page loads again by itself." }
            p.row.mt { (link_button(&here, "Go on")) }
        }
    };
    let document = frame::document(None, &PageContent::new(PagePlace::None, "One moment", body));
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((REFRESH, "0"))
        .insert_header((
            SET_COOKIE,
            format!("{AGAIN}=1; Path=/; Max-Age=10; HttpOnly; SameSite=Lax"),
        ))
        .body(document.into_string())
}
