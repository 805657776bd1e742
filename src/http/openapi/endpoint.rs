//! An endpoint: a method of a path, what answers it, and what the document says of it.

use super::parameters::ApiParameter;
use crate::http::problem::Problem;
use actix_web::{
    FromRequest, Handler, HttpResponse, Responder, Route,
    http::{Method, StatusCode},
    web::{self, ServiceConfig},
};
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// Who may make a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum EndpointAccess {
    /// Who shows a token of the admin API, or comes with a session.
    Api,
    /// Everybody.
    Open,
    /// A provider, with the secret of a channel.
    Webhook,
}

/// What a request brings in its body.
#[derive(Clone, Debug)]
pub(super) enum BodyTold {
    None,
    /// An object with some of these fields. An empty body is one without fields.
    Fields(Vec<ApiParameter>),
    /// Whatever a provider posts.
    Posted,
}

/// A method of a path. The list of all makes the routes as well as the document.
pub(in crate::http) struct ApiEndpoint {
    pub(super) method: Method,
    /// Below the scope, until the document puts both together.
    pub(super) path: String,
    route: Route,
    pub(super) summary: &'static str,
    pub(super) access: EndpointAccess,
    pub(super) query: Vec<ApiParameter>,
    pub(super) body: BodyTold,
    pub(super) takes_version: bool,
    /// The media type and, if that is JSON, the schema of what is answered.
    pub(super) media: &'static str,
    pub(super) answer: Option<fn(&mut SchemaGenerator) -> Schema>,
    /// The statuses with which this is answered.
    pub(super) statuses: Vec<StatusCode>,
    /// The statuses of its problems, besides those that every request may meet.
    pub(super) problems: Vec<StatusCode>,
}

impl ApiEndpoint {
    fn new(method: Method, path: &str, route: Route) -> Self {
        Self {
            method,
            path: path.to_owned(),
            route,
            summary: "",
            access: EndpointAccess::Api,
            query: Vec::new(),
            body: BodyTold::None,
            takes_version: false,
            media: "application/json",
            answer: None,
            statuses: vec![StatusCode::OK],
            problems: Vec::new(),
        }
    }

    /// In one line, what it does.
    pub(in crate::http) fn says(self, summary: &'static str) -> Self {
        Self { summary, ..self }
    }

    /// Takes these parameters in its query.
    pub(in crate::http) fn takes(self, query: &[ApiParameter]) -> Self {
        Self { query: query.to_vec(), ..self }
    }

    /// Takes an object with these fields in its body.
    pub(in crate::http) fn reads(self, fields: &[ApiParameter]) -> Self {
        Self { body: BodyTold::Fields(fields.to_vec()), ..self }
    }

    /// Takes whatever a provider posts.
    pub(in crate::http) fn reads_posts(self) -> Self {
        Self { body: BodyTold::Posted, ..self }
    }

    /// Takes the version that the caller saw, as `If-Match`.
    pub(in crate::http) fn takes_version(self) -> Self {
        Self { takes_version: true, ..self }
    }

    /// Answers this object as JSON.
    pub(in crate::http) fn answers<T: JsonSchema>(self) -> Self {
        Self { answer: Some(SchemaGenerator::subschema_for::<T>), ..self }
    }

    /// Answers something else than JSON.
    pub(in crate::http) fn answers_as(self, media: &'static str) -> Self {
        Self { media, ..self }
    }

    /// Answers the same with this status, too.
    pub(in crate::http) fn answers_also(mut self, status: StatusCode) -> Self {
        self.statuses.push(status);
        self
    }

    /// May be refused with this status.
    pub(in crate::http) fn refused_with(mut self, status: StatusCode) -> Self {
        self.problems.push(status);
        self
    }

    /// May not be possible in the state that the thing is in.
    pub(in crate::http) fn may_conflict(self) -> Self {
        self.refused_with(StatusCode::CONFLICT)
    }

    /// Is for others than those who have a token of the admin API.
    pub(in crate::http) fn for_all(self, access: EndpointAccess) -> Self {
        Self { access, ..self }
    }

    /// The same, with the path of its scope before its own.
    pub(in crate::http) fn under(self, scope: &str) -> Self {
        Self { path: format!("{scope}{}", self.path), ..self }
    }
}

/// An endpoint for `GET`.
pub(in crate::http) fn get<F, Args>(path: &str, handler: F) -> ApiEndpoint
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    ApiEndpoint::new(Method::GET, path, web::get().to(handler))
}

/// An endpoint for `POST`.
pub(in crate::http) fn post<F, Args>(path: &str, handler: F) -> ApiEndpoint
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    ApiEndpoint::new(Method::POST, path, web::post().to(handler))
}

/// An endpoint for `PATCH`.
pub(in crate::http) fn patch<F, Args>(path: &str, handler: F) -> ApiEndpoint
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    ApiEndpoint::new(Method::PATCH, path, web::patch().to(handler))
}

/// An endpoint for `DELETE`.
pub(in crate::http) fn delete<F, Args>(path: &str, handler: F) -> ApiEndpoint
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    ApiEndpoint::new(Method::DELETE, path, web::delete().to(handler))
}

/// Mounts the endpoints, in their order. Another method of one of their paths is answered 405.
pub(in crate::http) fn mount(cfg: &mut ServiceConfig, endpoints: Vec<ApiEndpoint>) {
    let mut paths: Vec<(String, Vec<ApiEndpoint>)> = Vec::new();
    for endpoint in endpoints {
        match paths.iter_mut().find(|(path, _)| *path == endpoint.path) {
            Some((_, at)) => at.push(endpoint),
            None => paths.push((endpoint.path.clone(), vec![endpoint])),
        }
    }
    for (path, endpoints) in paths {
        let methods: Vec<&str> = endpoints.iter().map(|it| it.method.as_str()).collect();
        let allow = methods.join(", ");
        let resource = endpoints
            .into_iter()
            .fold(web::resource(&path), |resource, it| resource.route(it.route));
        cfg.service(resource.default_service(web::to(move || {
            let problem = Problem::method_not_allowed(allow.clone());
            async move { Err::<HttpResponse, _>(problem) }
        })));
    }
}
