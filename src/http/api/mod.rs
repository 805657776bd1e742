//! The admin API under `/api/v1`: what is stored and what runs, for operators and their programs.
//!
//! Each file answers the paths of one kind of object, and spells that object.

pub(in crate::http) mod actors;
mod audit;
mod clients;
mod config;
mod decisions;
mod deliveries;
mod drafts;
mod events;
mod examples;
pub(in crate::http) mod explain;
mod export;
mod heavy;
mod inbox;
pub(in crate::http) mod jobs;
mod json;
mod latest;
mod leads;
mod ledger;
mod messages;
mod model_calls;
mod nodes;
mod objects;
pub(in crate::http) mod operations;
mod opt_outs;
mod overview;
pub(in crate::http) mod pools;
mod quarantine;
mod query;
mod received;
pub(in crate::http) mod search;
pub(in crate::http) mod sessions;

#[cfg(test)]
pub(super) use self::config::NextValueJson;
pub(super) use self::{
    audit::{DECIDED_MAX, DecidedLately},
    clients::{ChannelOfClient, ClientJson},
    config::{ConfigJson, ConfigMoment, ReportJson, ValueJson},
    decisions::{reason_in, time_ahead},
    deliveries::DELIVERY_STATUSES,
    deliveries::DeliveryJson,
    drafts::DraftJson,
    inbox::{INBOX_PARAMETERS, InboxJson, InboxPage, InboxView},
    leads::{LeadDetailJson, LeadJson, LeadRead},
    messages::MessageJson,
    nodes::{NodeDetailJson, SILENT_MAX as NODE_SILENT_MAX, compared as compared_nodes},
    overview::{KindCount, by_kind},
    pools::note_in,
    quarantine::{QUARANTINE_STATUSES, discard_item, replay_item, try_replay},
    query::{Query, parse_id},
    received::{ReceivedItem, ReceivedJson, ReceivedQuery},
};

use self::{heavy::HeavyReads, latest::Latest};
use super::{HttpSetup, admin, problem::Problem, untraced::UntracedWebhooks};
use crate::{
    analyst::Analysts,
    config::Live,
    domain::{ChannelName, Id, Role},
    store::{Audit, AuditEntry, Desk, Operations, Reader, Totals},
    supervisor::ClaimsHere,
    telemetry::{board::Board, metrics::Metrics},
    tuning::Tuner,
};
use actix_web::{
    FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder,
    middleware::from_fn,
    web::{self, ServiceConfig},
};
use std::{fmt, sync::Arc};
use tokio::time::Instant;

/// What the handlers of the admin API share.
pub(super) struct ApiState {
    /// Reads and changes what is stored.
    desk: Desk,
    /// Keeps who changed what.
    audit: Audit,
    /// Changes all jobs that match a filter.
    operations: Operations,
    /// The configuration that applies now.
    config: Live,
    /// Shows the state of the actors.
    board: Arc<Board>,
    /// Tells which configuration runs, and reloads it.
    tuner: Tuner,
    started: Instant,
    /// The metrics in which requests are counted.
    metrics: Metrics,
    role: Role,
    /// The values that the filter `channel` takes.
    channels: Vec<ChannelName>,
    totals: Latest<Totals>,
    heavy_reads: HeavyReads,
    /// What this process has claimed.
    claims: ClaimsHere,
    /// Reads the conversations of which an answer is drafted anew.
    reader: Reader,
    /// Drafts it.
    analysts: Analysts,
    /// The webhooks that left no row.
    untraced: UntracedWebhooks,
}

impl ApiState {
    /// The state of a daemon that started at `started`.
    pub(super) fn new(setup: &HttpSetup, started: Instant) -> Self {
        Self {
            desk: setup.store.desk(),
            audit: setup.store.audit(),
            operations: setup.store.operations(),
            config: setup.config.clone(),
            board: setup.board.clone(),
            tuner: setup.tuner.clone(),
            started,
            metrics: setup.metrics.clone(),
            role: setup.role,
            channels: setup.channels.iter().map(|it| it.name()).collect(),
            totals: Latest::default(),
            heavy_reads: HeavyReads::default(),
            claims: setup.claims.clone(),
            reader: setup.store.reader(),
            analysts: setup.analysts.clone(),
            untraced: UntracedWebhooks::default(),
        }
    }

    /// The webhooks that left no row.
    pub(super) const fn untraced(&self) -> &UntracedWebhooks {
        &self.untraced
    }

    /// The channels that a filter names.
    ///
    /// # Errors
    /// 400 for a channel that this daemon does not have.
    fn channels_in(&self, query: &Query) -> Result<Vec<String>, Problem> {
        let known: Vec<&str> = self.channels.iter().map(|it| it.0).collect();
        query.one_of("channel", &known)
    }

    /// Writes a change to the audit log. The change is done already, so a failure here does not
    /// fail the request: the row is written later.
    async fn record(&self, entry: AuditEntry) {
        if let Err(error) = self.audit.record(vec![entry.clone()]).await {
            tracing::warn!(%error, "a row of the audit log waits for the database");
            self.tuner.record(entry);
        }
    }
}

impl fmt::Debug for ApiState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiState").field("role", &self.role).finish_non_exhaustive()
    }
}

/// What the handlers of the API return.
type ApiResult = Result<HttpResponse, Problem>;

/// Mounts the API. The application data must hold a `web::Data<ApiState>`.
pub(super) fn configure(cfg: &mut ServiceConfig) {
    cfg.service(
        web::scope("/api/v1")
            .wrap(from_fn(admin::guard))
            .configure(written)
            .service(get("/overview", overview::show))
            .service(get("/events", events::stream))
            .service(get("/jobs", jobs::list))
            .service(get("/ledger", ledger::show))
            .service(get("/search", search::find))
            .service(post("/jobs/retry", operations::retry_jobs))
            .service(post("/jobs/cancel", operations::cancel_jobs))
            .service(get("/jobs/{id}", jobs::show))
            .service(get("/jobs/{id}/explain", explain::job))
            .service(post("/jobs/{id}/retry", jobs::retry))
            .service(post("/jobs/{id}/cancel", jobs::cancel))
            .service(get("/operations", operations::list))
            .service(get("/operations/{id}", operations::show))
            .service(post("/operations/{id}/cancel", operations::stop))
            .service(get("/inbox", inbox::list))
            .configure(configure_leads)
            .service(get("/config", config::show))
            .service(post("/config/reload", config::reload))
            .service(get("/clients", clients::list))
            .service(get("/clients/{id}", clients::show))
            .service(get("/pools", pools::list))
            .service(
                web::resource("/pools/{kind}")
                    .route(web::patch().to(pools::change))
                    .default_service(web::to(only_patch)),
            )
            .service(
                web::resource("/pools/{kind}/override")
                    .route(web::delete().to(pools::reset))
                    .default_service(web::to(only_delete)),
            )
            .service(get("/nodes", nodes::list))
            .service(get("/received", received::list))
            .service(get("/audit", audit::list))
            .configure(configure_sessions)
            .service(get("/calls", model_calls::list))
            .service(get("/quarantine", quarantine::list))
            .service(
                web::resource("/quarantine/{id}")
                    .route(web::get().to(quarantine::show))
                    .route(web::delete().to(quarantine::discard))
                    .default_service(web::to(get_or_delete)),
            )
            .service(post("/quarantine/{id}/replay", quarantine::replay))
            .service(get("/actors", actors::list))
            .default_service(web::to(no_such_path)),
    );
}

/// What is written, and what a person decides about it.
fn written(cfg: &mut ServiceConfig) {
    cfg.service(get("/messages", messages::list))
        .service(
            web::resource("/messages/{id}")
                .route(web::get().to(messages::show))
                .route(web::patch().to(decisions::retag))
                .default_service(web::to(get_or_patch)),
        )
        .service(get("/drafts", drafts::list))
        .service(
            web::resource("/drafts/{id}")
                .route(web::get().to(drafts::show))
                .route(web::patch().to(decisions::edit))
                .default_service(web::to(get_or_patch)),
        )
        .service(post("/drafts/{id}/approve", decisions::approve))
        .service(post("/drafts/{id}/undo", decisions::undo))
        .service(post("/drafts/{id}/reject", decisions::reject))
        .service(post("/drafts/{id}/regenerate", decisions::regenerate))
        .service(post("/drafts/{id}/snooze", decisions::snooze))
        .service(get("/examples", examples::list))
        .service(get("/deliveries", deliveries::list))
        .service(get("/deliveries/{id}", deliveries::show))
        .service(post("/deliveries/{id}/resolve", decisions::resolve));
}

/// The paths of leads.
fn configure_leads(cfg: &mut ServiceConfig) {
    cfg.service(get("/leads", leads::list))
        .service(
            web::resource("/leads/{id}")
                .route(web::get().to(leads::show))
                .route(web::delete().to(opt_outs::erase))
                .default_service(web::to(get_or_delete)),
        )
        .service(get("/leads/{id}/export", export::lead))
        .service(
            web::resource("/leads/{id}/opt-out")
                .route(web::post().to(opt_outs::opt_out))
                .route(web::delete().to(opt_outs::lift))
                .default_service(web::to(post_or_delete)),
        )
        .service(get("/leads/{id}/explain", explain::lead));
}

/// The paths of people who have signed in.
fn configure_sessions(cfg: &mut ServiceConfig) {
    cfg.service(get("/sessions", sessions::list))
        .service(
            web::resource("/sessions/{id}")
                .route(web::delete().to(sessions::revoke))
                .default_service(web::to(only_delete)),
        )
        .service(post("/login-codes", sessions::make_code));
}

/// A path for `GET` alone.
fn get<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::resource(path).route(web::get().to(handler)).default_service(web::to(only_get))
}

/// A path for `POST` alone.
fn post<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::resource(path).route(web::post().to(handler)).default_service(web::to(only_post))
}

async fn only_get() -> ApiResult {
    Err(Problem::method_not_allowed("GET"))
}

async fn only_post() -> ApiResult {
    Err(Problem::method_not_allowed("POST"))
}

async fn only_patch() -> ApiResult {
    Err(Problem::method_not_allowed("PATCH"))
}

async fn only_delete() -> ApiResult {
    Err(Problem::method_not_allowed("DELETE"))
}

async fn get_or_patch() -> ApiResult {
    Err(Problem::method_not_allowed("GET, PATCH"))
}

async fn get_or_delete() -> ApiResult {
    Err(Problem::method_not_allowed("GET, DELETE"))
}

async fn post_or_delete() -> ApiResult {
    Err(Problem::method_not_allowed("POST, DELETE"))
}

async fn no_such_path() -> ApiResult {
    Err(Problem::not_found("there is no such path in the API"))
}

/// The id in the path of a request that takes no query. `what` names the kind of object.
///
/// # Errors
/// 400 if there is a query. 404 if the path has no id: then it names nothing.
fn only_id(request: &HttpRequest, path: &str, what: &str) -> Result<Id, Problem> {
    Query::none(request)?;
    id_in(path, what)
}

/// The id in a path.
///
/// # Errors
/// 404 if it is no id: then it names nothing.
fn id_in(path: &str, what: &str) -> Result<Id, Problem> {
    parse_id(path).ok_or_else(|| no_such(what, path))
}

fn no_such(what: &str, id: impl fmt::Display) -> Problem {
    Problem::not_found(format!("there is no {what} {id}"))
}
