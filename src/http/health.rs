//! `/healthz` and `/readyz`. `/metrics` is mounted beside them.

use super::{
    State,
    openapi::{ApiEndpoint, EndpointAccess, ReadyWord, get, mount},
    scrape,
};
use crate::domain::{OverrideEntry, OverrideKey, PoolOverride};
use crate::telemetry::{
    board::{ActorState, ActorType, ActorView},
    pool_post::PoolView,
};
use actix_web::{HttpResponse, http::StatusCode, web};
use schemars::JsonSchema;
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};
use tokio::{sync::Mutex, time::Instant};

/// The canary is late if none came back for this long.
const CANARY_LATE: Duration = Duration::from_secs(180);
/// The supervisor is stalled if it has not ticked for this many ticks.
const TICKS_MISSED_MAX: u32 = 5;
/// How many keys of the configuration a check names.
const NAMED_MAX: usize = 10;
/// How long the database may take to answer a check.
const DATABASE_LIMIT: Duration = Duration::from_secs(2);
/// How long the result of a check is used for further requests.
const DATABASE_CHECK_KEPT: Duration = Duration::from_secs(1);

/// Health checks and metrics.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        get("/healthz", alive)
            .says("Whether the process answers; the database is not touched")
            .for_all(EndpointAccess::Open)
            .answers::<Alive>(),
        get("/readyz", ready)
            .says("Whether the daemon can work, and what is wrong")
            .for_all(EndpointAccess::Open)
            .refused_with(StatusCode::MISDIRECTED_REQUEST)
            .answers_also(StatusCode::SERVICE_UNAVAILABLE)
            .answers::<Ready>(),
        get("/metrics", scrape::show)
            .says("All metrics, in the text format of Prometheus")
            .for_all(EndpointAccess::Open)
            .refused_with(StatusCode::MISDIRECTED_REQUEST)
            .refused_with(StatusCode::INTERNAL_SERVER_ERROR)
            .answers_as("text/plain"),
    ]
}

/// Mounts the paths of health checks and metrics.
pub(super) fn configure(cfg: &mut web::ServiceConfig) {
    mount(cfg, endpoints());
}

/// Answers without touching the database.
pub(super) async fn alive() -> HttpResponse {
    HttpResponse::Ok().json(Alive { status: "ok" })
}

#[derive(Debug, JsonSchema, Serialize)]
struct Alive {
    status: &'static str,
}

/// Results by the name of the check.
type Checks = BTreeMap<&'static str, Check>;

#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(super) struct Check {
    ok: bool,
    detail: Option<String>,
}

impl Check {
    const OK: Self = Self { ok: true, detail: None };

    pub(super) const fn is_ok(&self) -> bool {
        self.ok
    }

    fn failed(detail: impl Into<String>) -> Self {
        Self { ok: false, detail: Some(detail.into()) }
    }

    fn of(ok: bool, detail: impl FnOnce() -> String) -> Self {
        if ok { Self::OK } else { Self::failed(detail()) }
    }
}

#[derive(Debug, JsonSchema, Serialize)]
struct Ready {
    #[schemars(with = "ReadyWord")]
    status: &'static str,
    checks: Checks,
}

fn answer(is_ready: bool, checks: Checks) -> HttpResponse {
    let status = if is_ready { "ready" } else { "not_ready" };
    let mut response =
        if is_ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.insert_header(("cache-control", "no-store")).json(Ready { status, checks })
}

/// `/readyz` of a daemon that has not reached its database yet: not ready.
pub(super) async fn waiting() -> HttpResponse {
    let waits = || Check::failed("waiting for the database");
    let mut checks: Checks = ["migrations", "supervisor", "ingest", "pools", "canary"]
        .into_iter()
        .map(|name| (name, waits()))
        .collect();
    checks.insert("database", Check::failed("away"));
    checks.insert("config", Check::OK);
    checks.insert("accounts", Check::OK);
    answer(false, checks)
}

/// The checks of `/readyz` that decide whether the daemon is ready; the others only show.
pub const DECIDING_CHECKS: [&str; 4] = ["database", "migrations", "supervisor", "ingest"];

/// What `/readyz` says, for the parts of this process.
#[derive(Clone, Debug)]
pub struct Readiness {
    /// Whether it answers 200.
    pub is_ready: bool,
    /// The checks that failed.
    pub troubles: Vec<Trouble>,
}

/// A check of `/readyz` that failed.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// The name of the check.
    pub check: &'static str,
    /// What is wrong, for an operator to read.
    pub detail: String,
}

impl State {
    /// Whether the daemon is ready, as `/readyz` says it.
    pub async fn readiness(&self) -> Readiness {
        let (is_ready, checks) = checks(self).await;
        let failed = checks.into_iter().filter(|(_, check)| !check.ok);
        let troubles = failed
            .map(|(name, found)| Trouble { check: name, detail: found.detail.unwrap_or_default() });
        Readiness { is_ready, troubles: troubles.collect() }
    }
}

async fn ready(state: web::Data<State>) -> HttpResponse {
    let (is_ready, checks) = checks(&state).await;
    answer(is_ready, checks)
}

/// All checks, and whether the daemon is ready.
async fn checks(state: &State) -> (bool, Checks) {
    let mut checks = Checks::new();
    checks.insert("database", database(state).await);
    // The daemon starts only on the schema of its version.
    checks.insert("migrations", Check::OK);
    checks.insert("supervisor", supervisor(state));
    checks.insert("ingest", ingest(state));
    checks.insert("pools", pools(state));
    checks.insert("canary", canary(state));
    checks.insert("config", config(state));
    let is_there = checks.get("database").is_some_and(|check| check.ok);
    checks.insert("accounts", if is_there { accounts(state) } else { Check::OK });
    let all_ok = DECIDING_CHECKS.iter().all(|name| checks.get(name).is_some_and(|check| check.ok));
    (all_ok && !state.board.is_draining(), checks)
}

/// The last check of the database. It is shared, because anybody may ask for it at any rate, and
/// each check costs the database a call.
#[derive(Debug, Default)]
pub(super) struct LastCheck(Mutex<Option<(Instant, Check)>>);

impl LastCheck {
    /// The last result if it is at most `kept` old, else the result of `check`. Requests that come
    /// during a check share its result.
    async fn get(&self, kept: Duration, check: impl AsyncFnOnce() -> Check) -> Check {
        let mut last = self.0.lock().await;
        if let Some((checked_at, check)) = last.as_ref()
            && checked_at.elapsed() < kept
        {
            return check.clone();
        }
        let check = check().await;
        *last = Some((Instant::now(), check.clone()));
        check
    }
}

async fn database(state: &State) -> Check {
    let check = async || match tokio::time::timeout(DATABASE_LIMIT, state.store.answers()).await {
        Ok(Ok(())) => state.store.disk_trouble().map_or(Check::OK, Check::failed),
        Ok(Err(error)) => Check::failed(error.to_string()),
        Err(_) => Check::failed("it does not answer"),
    };
    state.last_check.get(DATABASE_CHECK_KEPT, check).await
}

/// How many accounts send nothing, as the last overview or scrape saw it: a check reads no lists.
/// Anybody may ask, so it does not say whose accounts they are. `/overview` does.
fn accounts(state: &State) -> Check {
    let Some(totals) = state.api.last_totals() else { return Check::OK };
    let disconnected = totals.accounts.iter().filter(|it| it.is_disconnected()).count();
    let paused = totals.accounts.len() - disconnected;
    let details: Vec<String> = [(disconnected, "disconnected"), (paused, "paused by a provider")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, how)| format!("{count} {how}"))
        .collect();
    Check { ok: disconnected == 0, detail: (!details.is_empty()).then(|| details.join(", ")) }
}

pub(super) fn supervisor(state: &State) -> Check {
    let tick = state.config.get().supervisor.tick;
    let limit = tick * TICKS_MISSED_MAX + Duration::from_secs(1);
    let age_ms = crate::store::wall_clock().millis_since(state.board.ticked_at());
    let age = Duration::from_millis(u64::try_from(age_ms).unwrap_or_default());
    // Right after the start the first tick may still be on its way.
    let is_young = state.started.elapsed() < limit;
    // While the recorder waits, no outcome is recorded, so claiming ends soon, too.
    let waits = |actor: &ActorView| {
        actor.kind == ActorType::Recorder && actor.state == ActorState::BackingOff
    };
    if state.board.actors().iter().any(waits) {
        return Check::failed("the recorder goes down again and again");
    }
    Check::of(age < limit || is_young, || format!("the last tick was {age:?} ago"))
}

pub(super) fn ingest(state: &State) -> Check {
    if !state.role.takes_webhooks() {
        return Check::OK;
    }
    let dead: Vec<String> = state
        .board
        .actors()
        .into_iter()
        .filter(|actor| actor.kind == ActorType::Ingest)
        .filter(|actor| matches!(actor.state, ActorState::Dead | ActorState::BackingOff))
        .map(|it| it.name)
        .collect();
    Check::of(dead.is_empty(), || format!("down: {}", dead.join(", ")))
}

fn pools(state: &State) -> Check {
    let mut details = Vec::new();
    let pools = state.board.pools();
    let mut name = |what: &str, is_so: fn(&PoolView) -> bool| {
        let kinds: Vec<String> =
            pools.iter().filter(|pool| is_so(pool)).map(|it| it.kind.to_string()).collect();
        if !kinds.is_empty() {
            details.push(format!("{what}: {}", kinds.join(", ")));
        }
    };
    name("paused because all slots go down", PoolView::is_backing_off);
    name("holding threads that never yield", |it| it.lost_threads > 0);
    // What an operator or the files have set is told with who and why.
    let config = state.config.get();
    let set = |pool: &PoolView| config.pools.override_of(pool.kind.0);
    let paused: Vec<String> = pools
        .iter()
        .filter(|pool| pool.paused)
        .map(|pool| match set(pool).and_then(PoolOverride::pause) {
            Some(who) => format!("{} ({who})", pool.kind),
            None => format!("{} (by the configuration)", pool.kind),
        })
        .collect();
    if !paused.is_empty() {
        details.push(format!("paused: {}", paused.join(", ")));
    }
    let ok = details.is_empty();
    let mut others: Vec<String> = Vec::new();
    for set in pools.iter().filter_map(set) {
        let is_told =
            |entry: &OverrideEntry<'_>| entry.key == OverrideKey::Paused && set.pause().is_some();
        let keys = set.keys().filter(|entry| !is_told(entry));
        others.extend(keys.map(|entry| format!("{} ({entry}, {})", set.kind, entry.set)));
    }
    if !others.is_empty() {
        details.push(format!("overridden: {}", others.join(", ")));
    }
    Check { ok, detail: (!details.is_empty()).then(|| details.join("; ")) }
}

fn canary(state: &State) -> Check {
    if !state.role.works() {
        return Check::OK;
    }
    let late = |since: Duration| Check::failed(format!("the last canary came back {since:?} ago"));
    match state.board.canary() {
        Some((at, _)) => {
            let age_ms = crate::store::wall_clock().millis_since(at);
            let age = Duration::from_millis(u64::try_from(age_ms).unwrap_or_default());
            if age < CANARY_LATE { Check::OK } else { late(age) }
        }
        None if state.started.elapsed() < CANARY_LATE => Check::OK,
        None => late(state.started.elapsed()),
    }
}

/// What an operator should know about the configuration. Whatever it is, the daemon is ready.
fn config(state: &State) -> Check {
    let status = state.tuner.status();
    let mut details = Vec::new();
    if let Some(refused) = status.refused() {
        details
            .push(format!("refused at {}; running with that of {}", refused.at, status.loaded_at));
    }
    if !status.pending.is_empty() {
        let keys: Vec<&str> =
            status.pending.iter().take(NAMED_MAX).map(|it| it.key.as_str()).collect();
        details.push(format!(
            "{} changed keys wait for a restart: {}",
            status.pending.len(),
            keys.join(", ")
        ));
    }
    let live = state.config.get();
    let pools = state.board.pools();
    let set = pools.iter().filter_map(|pool| live.pools.override_of(pool.kind.0));
    let kinds: Vec<&str> = set.map(|set| set.kind.as_str()).collect();
    if !kinds.is_empty() {
        details.push(format!("overridden by operators: {}", kinds.join(", ")));
    }
    if state.tuner.ignores_overrides() {
        details.push("overrides of pools are ignored here (--ignore-overrides)".to_owned());
    }
    let is_closed = state.tuner.is_closed();
    if is_closed {
        details.push("nothing is reloaded any more: the daemon ends".to_owned());
    }
    Check {
        ok: status.refused().is_none() && !is_closed,
        detail: (!details.is_empty()).then(|| details.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn the_database_is_checked_once_for_all_who_ask_within_that_time() {
        let (last, checks) = (LastCheck::default(), AtomicUsize::new(0));
        let check = async || {
            tokio::task::yield_now().await;
            let number = checks.fetch_add(1, Ordering::Relaxed);
            Check::failed(format!("check {number}"))
        };
        let ask = |kept| last.get(kept, check);
        let long = Duration::from_secs(3_600);
        let all = futures_util::future::join_all((0..20).map(|_| ask(long))).await;
        assert!(all.iter().all(|it| it.detail.as_deref() == Some("check 0")), "{all:?}");
        assert_eq!(ask(Duration::ZERO).await.detail.as_deref(), Some("check 1"));
        assert_eq!(ask(long).await.detail.as_deref(), Some("check 1"));
    }
}
