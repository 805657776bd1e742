//! What the handlers of requests share.

use super::{
    admin::{FallbackToken, TokenTries},
    api::ApiState,
    body_budget::BodyBudget,
    health::LastCheck,
    limits::Limits,
    live::{self, Hub},
    ui::{PageReads, SignIns},
};
use crate::{
    analyst::Analysts,
    channels::AnyChannel,
    config,
    domain::{JobKind, Role, alerts::AlertWatch},
    ingest::Intake,
    store::{Membership, Store},
    supervisor::ClaimsHere,
    telemetry::{
        board::Board,
        history::History,
        history_source::bounds_of,
        metrics::{Metrics, WebhookMetrics},
        sparse::Sparse,
    },
    tuning::Tuner,
};
use actix_web::web;
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::time::Instant;

/// What the HTTP side is made of.
pub struct HttpSetup {
    /// The configuration, read for each request.
    pub config: config::Live,
    /// The channels that have a webhook path.
    pub channels: Vec<Arc<dyn AnyChannel>>,
    /// Where authenticated webhooks go.
    pub intake: Intake,
    /// What the API reads and changes, and what `/readyz` asks.
    pub store: Store,
    /// What the actors do.
    pub board: Arc<Board>,
    /// The metrics in which requests are counted.
    pub metrics: Metrics,
    /// The token of the admin API while none is configured.
    pub fallback_token: FallbackToken,
    /// Tells which configuration runs, and reloads it.
    pub tuner: Tuner,
    /// Whether webhooks are taken and jobs are worked here.
    pub role: Role,
    /// What this process has claimed.
    pub claims: ClaimsHere,
    /// Drafts an answer anew when a person asks for one.
    pub analysts: Analysts,
    /// Tells whether this node leads.
    pub membership: Membership,
    /// The kinds of jobs that this version knows, for the history.
    pub kinds: Vec<JobKind>,
}

/// What the handlers of requests share. A clone is the same state.
#[derive(Clone)]
pub struct State {
    pub(super) config: config::Live,
    /// By the word in the path.
    pub(super) channels: Arc<HashMap<&'static str, ChannelState>>,
    pub(super) intake: Intake,
    /// Lends room to the bodies that are being read.
    pub(super) body_budget: BodyBudget,
    /// When it was last logged that a webhook without a secret was not taken.
    objections: Arc<Mutex<Sparse>>,
    pub(super) store: Store,
    pub(super) board: Arc<Board>,
    pub(super) metrics: Metrics,
    pub(super) limits: Arc<Limits>,
    /// Wrong tokens of the admin API, by address.
    pub(super) token_tries: Arc<TokenTries>,
    pub(super) last_check: Arc<LastCheck>,
    pub(super) started: Instant,
    pub(super) api: web::Data<ApiState>,
    pub(super) fallback_token: FallbackToken,
    pub(super) tuner: Tuner,
    pub(super) role: Role,
    pub(super) membership: Membership,
    /// Tells those who watch what changes.
    pub(super) hub: Hub,
    /// What happened lately, for charts and alerts.
    pub(super) history: Arc<History>,
    /// Since when the conditions of alerts have held.
    pub(super) alerts: Arc<Mutex<AlertWatch>>,
    /// Lets few pages be read at once.
    pub(super) page_reads: PageReads,
    /// The sessions of people.
    pub(super) sign_ins: Arc<SignIns>,
}

/// A channel, and the metrics of its webhooks.
pub(super) struct ChannelState {
    pub(super) channel: Arc<dyn AnyChannel>,
    pub(super) metrics: WebhookMetrics,
}

impl State {
    /// The state of a daemon that starts now.
    pub fn new(setup: HttpSetup) -> Self {
        let started = Instant::now();
        let api = web::Data::new(ApiState::new(&setup, started));
        let HttpSetup {
            config,
            channels,
            intake,
            store,
            board,
            metrics,
            fallback_token,
            tuner,
            role,
            claims: _,
            analysts: _,
            membership,
            kinds,
        } = setup;
        let kinds: Vec<&'static str> = kinds.iter().map(|it| it.0).collect();
        let series = live::series(channels.iter().map(|it| it.name().0), &kinds);
        let history = Arc::new(History::new(series, bounds_of));
        let by_name = channels.into_iter().map(|channel| {
            let name = channel.name();
            (name.0, ChannelState { channel, metrics: metrics.webhook(name) })
        });
        Self {
            sign_ins: Arc::new(SignIns::new(store.user_sessions())),
            config,
            channels: Arc::new(by_name.collect()),
            intake,
            body_budget: BodyBudget::default(),
            objections: Arc::default(),
            store,
            board,
            metrics,
            limits: Arc::default(),
            token_tries: Arc::default(),
            last_check: Arc::default(),
            started,
            api,
            fallback_token,
            tuner,
            role,
            membership,
            hub: Hub::default(),
            history,
            alerts: Arc::default(),
            page_reads: PageReads::default(),
        }
    }

    /// Ends the streams of updates: the daemon takes no more work.
    pub fn end_streams(&self) {
        self.hub.end();
    }

    /// True once a minute: then a refused webhook without a secret is logged.
    pub(super) fn logs_an_objection(&self) -> bool {
        let mut objections = self.objections.lock().unwrap_or_else(PoisonError::into_inner);
        objections.count(Instant::now()).is_some()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}
