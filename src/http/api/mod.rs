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
mod openapi;
pub(in crate::http) mod operations;
mod opt_outs;
mod overview;
pub(in crate::http) mod pools;
mod quarantine;
mod query;
mod received;
pub(in crate::http) mod search;
pub(in crate::http) mod sessions;
mod stopping;

#[cfg(test)]
pub(super) use self::config::NextValueJson;
pub(super) use self::{
    audit::{DECIDED_MAX, DecidedLately},
    clients::{ChannelOfClient, ClientJson, DecisionsJson},
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
    quarantine::{
        QUARANTINE_STATUSES, discard_item, held_filter, matching_items, replay_item,
        start_on_items, try_replay,
    },
    query::{Query, parse_id},
    received::{ReceivedItem, ReceivedJson, ReceivedQuery, outcome_of},
    stopping::{SENDING_MAX, StopJson},
};

use self::{heavy::HeavyReads, latest::Latest};
use super::{
    HttpSetup, admin,
    openapi::{ApiEndpoint, Vocabulary, mount},
    problem::Problem,
    untraced::UntracedWebhooks,
};
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
    HttpRequest, HttpResponse,
    middleware::from_fn,
    web::{self, Bytes, ServiceConfig},
};
use std::{
    fmt,
    sync::{Arc, OnceLock},
};
use tokio::time::Instant;

/// What the handlers of the admin API share.
pub(super) struct ApiState {
    /// Reads and changes what is stored.
    desk: Desk,
    /// Keeps who changed what.
    audit: Audit,
    /// Changes all jobs, or all held webhooks, that match a filter.
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
    /// What the document of the API names.
    vocabulary: Vocabulary,
    /// The document, once somebody has asked for it.
    document: OnceLock<Bytes>,
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
            vocabulary: Vocabulary {
                channels: setup.channels.iter().map(|it| it.name().0).collect(),
                kinds: setup.kinds.iter().map(|it| it.0).collect(),
            },
            document: OnceLock::new(),
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

/// What was read for a part that an answer may lack. Why it was not read is logged.
pub(super) fn if_read<T>(read: Result<T, impl fmt::Display>, what: &'static str) -> Option<T> {
    read.inspect_err(|error| tracing::warn!(%error, what, "a part of an answer was not read")).ok()
}

/// What the handlers of the API return.
type ApiResult = Result<HttpResponse, Problem>;

/// The path of the API.
pub(super) const PATH: &str = "/api/v1";

/// All that can be asked of the API. Where two paths match, the first one is taken.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    let mut all = Vec::new();
    for part in [
        openapi::endpoints,
        overview::endpoints,
        events::endpoints,
        operations::endpoints,
        jobs::endpoints,
        explain::endpoints,
        ledger::endpoints,
        search::endpoints,
        inbox::endpoints,
        messages::endpoints,
        drafts::endpoints,
        decisions::endpoints,
        examples::endpoints,
        deliveries::endpoints,
        leads::endpoints,
        opt_outs::endpoints,
        export::endpoints,
        config::endpoints,
        clients::endpoints,
        pools::endpoints,
        nodes::endpoints,
        received::endpoints,
        audit::endpoints,
        sessions::endpoints,
        model_calls::endpoints,
        quarantine::endpoints,
        actors::endpoints,
    ] {
        all.extend(part());
    }
    all
}

/// Mounts the API. The application data must hold a `web::Data<ApiState>`.
pub(super) fn configure(cfg: &mut ServiceConfig) {
    cfg.service(
        web::scope(PATH)
            .wrap(from_fn(admin::guard))
            .configure(|cfg| mount(cfg, endpoints()))
            .default_service(web::to(no_such_path)),
    );
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
