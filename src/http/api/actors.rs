//! `/actors`: the actors of this node and their states.

use super::{
    ApiResult, ApiState,
    objects::{self, List, RowKey},
    query::Query,
};
use crate::{
    domain::Timestamp,
    http::{
        openapi::{
            ActorStateWord, ActorTypeWord, ApiEndpoint, ApiParameter, CURSOR, LIMIT, Takes, get,
        },
        problem::Problem,
    },
    telemetry::board::{ActorState, ActorType, ActorView},
};
use actix_web::{HttpRequest, web};
use schemars::JsonSchema;
use serde::Serialize;

/// The actors of this node.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        get("/actors", list)
            .says("The actors of this node, by name")
            .takes(&PARAMETERS)
            .answers::<List<ActorJson>>(),
    ]
}

/// `GET /actors`.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let query = Query::parse(&request, &PARAMETERS)?;
    let filter = ActorFilter::of(&query)?;
    let items = actors(&state).into_iter().filter(|actor| filter.takes(actor));
    let items = items.map(ActorJson::of).collect();
    objects::object(List::by_name(items, &query, |it: &ActorJson| it.name.clone())?)
}

/// The parameters that select actors.
pub(in crate::http) const FILTERS: [&str; 3] = {
    let [state, r#type, failed, ..] = PARAMETERS;
    [state.name, r#type.name, failed.name]
};
/// The parameters of the list.
const PARAMETERS: [ApiParameter; 5] = [
    ApiParameter::new("state", Takes::Words(|| ActorState::ALL.map(ActorState::as_str).to_vec())),
    ApiParameter::new("type", Takes::Words(|| ActorType::ALL.map(ActorType::as_str).to_vec())),
    ApiParameter::new("failed", Takes::Instant),
    LIMIT,
    CURSOR,
];

/// The actors of this node.
pub(in crate::http) fn actors(state: &ApiState) -> Vec<ActorView> {
    state.board.actors()
}

/// Selects actors. The values of a field are alternatives; an empty field matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::http) struct ActorFilter {
    state: Vec<String>,
    r#type: Vec<String>,
    /// Those that have failed from this instant on.
    failed: Option<Timestamp>,
}

impl ActorFilter {
    /// The filter that a query names.
    pub(in crate::http) fn of(query: &Query) -> Result<Self, Problem> {
        Ok(Self {
            state: query.one_of("state", &ActorState::ALL.map(ActorState::as_str))?,
            r#type: query.one_of("type", &ActorType::ALL.map(ActorType::as_str))?,
            failed: query.instant("failed")?,
        })
    }

    /// True if it matches every actor.
    pub(in crate::http) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// True if it matches this actor.
    pub(in crate::http) fn takes(&self, actor: &ActorView) -> bool {
        let is_of = |values: &[String], value: &str| {
            values.is_empty() || values.iter().any(|it| it == value)
        };
        let failed_at = actor.last_failure.as_ref().map(|failure| failure.at);
        is_of(&self.state, actor.state.as_str())
            && is_of(&self.r#type, actor.kind.as_str())
            && self.failed.is_none_or(|since| failed_at.is_some_and(|at| at >= since))
    }
}

#[derive(Debug, JsonSchema, Serialize)]
struct ActorJson {
    name: String,
    #[schemars(with = "ActorTypeWord")]
    r#type: &'static str,
    parent: Option<&'static str>,
    #[schemars(with = "ActorStateWord")]
    state: &'static str,
    since: Timestamp,
    /// When it is started again, while it backs off.
    resumes_at: Option<Timestamp>,
    restarts: u64,
    last_failure: Option<FailureJson>,
    mailbox_depth: usize,
    mailbox_capacity: usize,
    job_id: Option<RowKey>,
}

#[derive(Debug, JsonSchema, Serialize)]
struct FailureJson {
    at: Timestamp,
    reason: String,
}

impl ActorJson {
    fn of(actor: ActorView) -> Self {
        Self {
            name: actor.name,
            r#type: actor.kind.as_str(),
            parent: Some(actor.parent).filter(|parent| !parent.is_empty()),
            state: actor.state.as_str(),
            since: actor.since,
            resumes_at: actor.resumes_at,
            restarts: actor.restarts,
            last_failure: actor
                .last_failure
                .map(|failure| FailureJson { at: failure.at, reason: failure.reason }),
            mailbox_depth: actor.mailbox_depth,
            mailbox_capacity: actor.mailbox_capacity,
            job_id: actor.job_id.map(RowKey),
        }
    }
}
