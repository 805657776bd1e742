//! Who looks at a page, and what they may do.

use super::parts::with_query;
use crate::{
    domain::UserRole,
    http::{
        admin,
        operator::Operator,
        problem::{Cause, Problem},
    },
};
use actix_web::{
    Error, FromRequest, HttpRequest, HttpResponse,
    dev::Payload,
    error::InternalError,
    http::{Method, header::LOCATION},
};
use std::{
    future::{Ready, ready},
    sync::Arc,
};

/// Who looks at a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) struct Viewer {
    /// The name under which changes are written to the audit log.
    pub(in crate::http) name: String,
    pub(in crate::http) role: UserRole,
    /// The only clients that they see; `None` for all.
    pub(in crate::http) clients: Option<Arc<[String]>>,
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

    /// True if they may see what belongs to this client.
    pub(in crate::http) fn sees(&self, client: &str) -> bool {
        self.clients.as_ref().is_none_or(|clients| clients.iter().any(|it| it == client))
    }
}

impl FromRequest for Viewer {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let Some(problem) = admin::refusal(request) else {
            let name = Operator::of(request).name;
            return ready(Ok(Self { name, role: UserRole::Operator, clients: None }));
        };
        let signs_in = problem.cause() == Cause::Unauthenticated && request.method() == Method::GET;
        ready(Err(if signs_in { sign_in(request) } else { problem.into() }))
    }
}

/// Leads to the sign-in, and from there back to the page.
fn sign_in(request: &HttpRequest) -> Error {
    let page = request.uri().path_and_query().map_or("/", |it| it.as_str());
    let location = with_query("/login", [("next", page)]);
    let response = HttpResponse::Found().insert_header((LOCATION, location)).finish();
    InternalError::from_response(Problem::unauthenticated(), response).into()
}
