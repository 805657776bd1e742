//! `/overview`: how many jobs wait, run and have ended, and how fast.

use super::{
    ApiResult, ApiState,
    latest::Dated,
    nodes::NodeJson,
    objects::{self, RowKey},
    query::Query,
};
use crate::{
    domain::{
        Timestamp,
        alerts::{Alert, OverallVerdict},
    },
    http::{
        State,
        openapi::{ApiEndpoint, OverallStateWord, RoleWord, SeverityWord, get},
    },
    store::{Backlog, DatabaseState, StoreError, Totals, TroubledAccount, wall_clock},
};
use actix_web::{HttpRequest, web};
use schemars::JsonSchema;
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc};

/// The overview.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        get("/overview", show)
            .says("How many jobs wait, run and have ended, and how fast")
            .answers::<OverviewJson<'_>>(),
    ]
}

impl ApiState {
    /// The counts, at most 2 s old, or older if counting takes long ([`super::latest`]).
    ///
    /// # Errors
    /// If the database is away.
    pub(in crate::http) async fn totals(&self) -> Result<Arc<Totals>, StoreError> {
        self.totals_dated().await.0
    }

    /// The same, with the time at which they began to be counted.
    pub(in crate::http) async fn totals_dated(&self) -> Dated<Totals> {
        let desk = self.desk.clone();
        self.totals.dated(|| async move { desk.totals().await }).await
    }

    /// The settings of the database's server under which an acknowledged webhook can be lost.
    ///
    /// # Errors
    /// If the database is away.
    pub(in crate::http) async fn undurable(&self) -> Result<Vec<String>, StoreError> {
        self.desk.undurable().await
    }

    /// What the database is and holds.
    ///
    /// # Errors
    /// If the database is away.
    pub(in crate::http) async fn database_state(&self) -> Result<DatabaseState, StoreError> {
        self.desk.database_state().await
    }

    /// What was last counted, however old, for a request that must not wait for the database.
    pub(in crate::http) fn last_totals(&self) -> Option<Arc<Totals>> {
        self.totals.last()
    }

    /// Since when counting fails; `None` if it succeeded the last time.
    pub(in crate::http) fn totals_fail_since(&self) -> Option<Timestamp> {
        self.totals.failing_since()
    }
}

/// `GET /overview`.
pub(super) async fn show(
    state: web::Data<ApiState>,
    daemon: web::Data<State>,
    request: HttpRequest,
) -> ApiResult {
    Query::none(&request)?;
    let totals = state.totals().await?;
    objects::object(overview(&state, &totals, &daemon.verdict()))
}

fn overview<'a>(
    state: &ApiState,
    totals: &'a Totals,
    verdict: &'a OverallVerdict,
) -> OverviewJson<'a> {
    let sum = |count: fn(&Backlog) -> i64| totals.backlog.iter().map(count).sum();
    let (webhooks_per_second, jobs_per_second) = state.metrics.throughput().per_second();
    let actors = state.board.actors();
    OverviewJson {
        verdict: VerdictJson::of(verdict),
        node: RowKey(state.desk.node()),
        version: env!("CARGO_PKG_VERSION"),
        role: state.role.as_str(),
        uptime_seconds: state.started.elapsed().as_secs(),
        database: state.desk.database(),
        jobs: JobCounts {
            pending: sum(|it| it.pending),
            running: sum(|it| it.running),
            succeeded: totals.succeeded,
            failed: totals.failed,
            cancelled: totals.cancelled,
        },
        by_kind: by_kind(state, &totals.backlog),
        by_client: by_client(&totals.backlog),
        webhooks_per_second,
        jobs_per_second,
        quarantined: totals.quarantined,
        drafts_pending: totals.drafts_pending,
        deliveries_uncertain: totals.deliveries_uncertain,
        sending_enabled: state.config.get().sending.enabled,
        accounts: totals.accounts.iter().map(AccountJson::of).collect(),
        actors_restarted: actors.iter().map(|it| it.restarts).sum(),
        nodes: totals.nodes.iter().map(NodeJson::of).collect(),
    }
}

/// The counts of every kind that has a pool here, or a job on any node.
pub(in crate::http) fn by_kind(state: &ApiState, backlog: &[Backlog]) -> Vec<KindCount> {
    let mut kinds: BTreeMap<&str, (i64, i64, Option<Timestamp>)> = BTreeMap::new();
    let pools = state.board.pools();
    for pool in &pools {
        kinds.entry(pool.kind.0).or_default();
    }
    for counted in backlog {
        let (pending, running, oldest_at) = kinds.entry(&counted.kind).or_default();
        *pending += counted.pending;
        *running += counted.running;
        *oldest_at = match (*oldest_at, counted.oldest_at) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
    let now = wall_clock();
    let count =
        |(kind, (pending, running, oldest_at)): (&str, (i64, i64, Option<Timestamp>))| KindCount {
            kind: kind.to_owned(),
            pending,
            running,
            oldest_pending_seconds: oldest_at.map(|at| now.millis_since(at).max(0) / 1_000),
        };
    kinds.into_iter().map(count).collect()
}

fn by_client(backlog: &[Backlog]) -> Vec<ClientCount<'_>> {
    let mut clients: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for counted in backlog {
        let (pending, running) = clients.entry(&counted.client_id).or_default();
        *pending += counted.pending;
        *running += counted.running;
    }
    let count = |(client_id, (pending, running))| ClientCount { client_id, pending, running };
    clients.into_iter().map(count).collect()
}

#[derive(Debug, JsonSchema, Serialize)]
struct OverviewJson<'a> {
    verdict: VerdictJson<'a>,
    node: RowKey,
    version: &'static str,
    #[schemars(with = "RoleWord")]
    role: &'static str,
    uptime_seconds: u64,
    database: &'static str,
    jobs: JobCounts,
    by_kind: Vec<KindCount>,
    by_client: Vec<ClientCount<'a>>,
    webhooks_per_second: f64,
    jobs_per_second: f64,
    quarantined: i64,
    drafts_pending: i64,
    deliveries_uncertain: i64,
    /// False while the kill switch is off.
    sending_enabled: bool,
    /// The accounts that are in trouble.
    accounts: Vec<AccountJson<'a>>,
    actors_restarted: u64,
    nodes: Vec<NodeJson<'a>>,
}

/// How the daemon is, in one sentence, and what is wrong, at most six lines.
#[derive(Debug, JsonSchema, Serialize)]
struct VerdictJson<'a> {
    #[schemars(with = "OverallStateWord")]
    state: &'static str,
    sentence: &'a str,
    wrong: Vec<AlertJson<'a>>,
    /// How many more things are wrong.
    more: usize,
}

/// Something that is wrong. `fires` says whether it has lasted so long that somebody is told.
#[derive(Debug, JsonSchema, Serialize)]
struct AlertJson<'a> {
    alert: &'static str,
    #[schemars(with = "SeverityWord")]
    severity: &'static str,
    fires: bool,
    since: Timestamp,
    sentence: &'a str,
    /// The path of the page that shows it.
    link: &'static str,
    /// The section of `docs/OPERATIONS.md` that says what to do.
    runbook: Option<&'static str>,
}

impl<'a> VerdictJson<'a> {
    fn of(verdict: &'a OverallVerdict) -> Self {
        let line = |alert: &'a Alert| AlertJson {
            alert: alert.rule.name(),
            severity: alert.rule.severity().as_str(),
            fires: alert.fires,
            since: alert.since,
            sentence: &alert.sentence,
            link: alert.link,
            runbook: alert.rule.runbook(),
        };
        Self {
            state: verdict.state.as_str(),
            sentence: &verdict.sentence,
            wrong: verdict.wrong.iter().map(line).collect(),
            more: verdict.more,
        }
    }
}

#[derive(Debug, JsonSchema, Serialize)]
struct AccountJson<'a> {
    client_id: &'a str,
    channel: &'a str,
    state: &'a str,
    until: Timestamp,
    since: Timestamp,
    error: &'a str,
}

impl<'a> AccountJson<'a> {
    fn of(account: &'a TroubledAccount) -> Self {
        Self {
            client_id: &account.client_id,
            channel: &account.channel,
            state: &account.state,
            until: account.paused_until,
            since: account.since,
            error: &account.reason,
        }
    }
}

#[derive(Debug, JsonSchema, Serialize)]
struct JobCounts {
    pending: i64,
    running: i64,
    succeeded: i64,
    failed: i64,
    cancelled: i64,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct KindCount {
    pub(in crate::http) kind: String,
    pub(in crate::http) pending: i64,
    pub(in crate::http) running: i64,
    pub(in crate::http) oldest_pending_seconds: Option<i64>,
}

#[derive(Debug, JsonSchema, Serialize)]
struct ClientCount<'a> {
    client_id: &'a str,
    pending: i64,
    running: i64,
}
